"""Provenance without a row a message: made from the history and the outcome of an entry when somebody asks.

In: an entry. Out: a FHIR R4 Provenance `entry-<n>` naming what the entry wrote, when, through which channel
and map revision, from which sender, with which versions of its code tables, and, for what was run again, who
asked and why.
"""

from __future__ import annotations

from typing import Any

from engine.kernel.clock import iso
from engine.store.gaps import tables_of_revision
from engine.store.outcomes import record
from engine.store.read import Reader

__all__ = ["entry_of", "provenance", "provenance_about"]

_LATE = "Older than what was already there: the targets marked `not written` were left as they are."
_OPERATION = "http://terminology.hl7.org/CodeSystem/v3-DataOperation"
_PARTICIPANT = "http://terminology.hl7.org/CodeSystem/provenance-participant-type"


def entry_of(id_: str) -> int | None:
    """Return the entry a Provenance id stands for."""
    digits = id_.removeprefix("entry-")
    return int(digits) if digits != id_ and digits.isascii() and digits.isdigit() else None


def provenance(reader: Reader, entry: int) -> dict[str, Any] | None:
    """Return the Provenance of one entry, or None if it neither wrote anything nor came too late to."""
    written = reader.written_by(entry)
    known = record(reader.session, reader.keys, entry)
    if known is None:
        return None
    outcome, facts = known
    late = reader.left_by(entry, facts["position"]) if outcome.superseded else []
    if not written and not late:
        return None
    code = "CREATE" if all(op == "create" for *_, op in written) else "UPDATE"
    agents = [_agent("assembler", f"channel {facts['channel']}")]
    if facts["sender"]:
        agents.append(_agent("author", f"sender {facts['sender']}"))
    made: dict[str, Any] = {
        "resourceType": "Provenance",
        "id": f"entry-{entry}",
        "meta": {"lastUpdated": iso(outcome.at), "source": f"urn:hub:entry:{facts['position']}"},
        "target": [{"reference": f"{kind}/{id_}/_history/{version}"} for kind, id_, version, _ in written],
        "recorded": iso(outcome.at),
        "activity": {"coding": [{"system": _OPERATION, "code": code}]},
        "agent": agents,
        "entity": [
            {"role": "source", "what": {"identifier": {"system": "urn:hub:entry", "value": str(entry)}}}
        ],
    }
    if outcome.revision:
        made["policy"] = [f"urn:hub:revision:{outcome.revision}"]
        made["entity"] += [
            {"role": "source", "what": {"identifier": {"system": "urn:hub:table", "value": name}}}
            for name in tables_of_revision(reader.session, outcome.revision)
        ]
    if late:
        made["activity"]["text"] = _LATE
        made["target"] += [{"reference": f"{kind}/{id_}", "display": "not written"} for kind, id_ in late]
        if not written:
            del made["activity"]["coding"]
    if facts["position"] != entry:
        origin = {"system": "urn:hub:entry", "value": str(facts["position"])}
        made["entity"].append({"role": "revision", "what": {"identifier": origin}})
    if facts["reason"]:
        who, _, why = facts["reason"].partition(": ")
        agents.append(_agent("enterer", who))
        made["reason"] = [{"text": why or who}]
    return made


def provenance_about(reader: Reader, kind: str, id_: str) -> list[dict[str, Any]]:
    """Return the Provenance of every entry that wrote a resource or came too late to, newest first."""
    row = reader.row(kind, id_)
    late = reader.late_about(row) if row is not None else []
    entries = sorted({*late, *(v.entry for v in reader.versions(kind, id_))}, reverse=True)
    return [made for entry in entries if (made := provenance(reader, entry)) is not None]


def _agent(role: str, name: str) -> dict[str, Any]:
    return {"type": {"coding": [{"system": _PARTICIPANT, "code": role}]}, "who": {"display": name}}
