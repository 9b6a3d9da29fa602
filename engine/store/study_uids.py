"""The Study Instance UID of an imaging order: assigned once where no message brings one, and kept.

In: an order (ServiceRequest, category imaging) as a draft leaves it, with its ownership. Out: the same with
one identifier `urn:dicom:uid` more, claimed by the hub itself, so that no sender's message takes it away; or
without it, once a message brings a UID of its own and no images came under the first. UIDs are made of keyed
hashes as PS3.5 B.2 makes them of UUIDs (`2.25.`); orders of one requested procedure share theirs (PS3.3
C.4.11).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from engine.kernel.message import Draft, Flag
from engine.store.merge import claims_of, dated, facts_of, times_of
from engine.store.state import Row, State

if TYPE_CHECKING:
    from engine.store.content import Plan

__all__ = ["UID_SYSTEM", "assigned_of", "is_imaging", "settle_study_uid", "study_uids"]

UID_SYSTEM = "urn:dicom:uid"
HUB = ("urn:hub:own", "study-uid", "assigned")
"""The claim on an identifier that the hub gave: sender, map and label of nobody."""
IMAGING = frozenset(
    {("http://terminology.hl7.org/CodeSystem/v2-0074", "IMG"), ("http://snomed.info/sct", "363679005")}
)
"""The categories that say so: the one our maps give, and the one that FHIR's own examples give."""
PROCEDURE = "Requested Procedure ID"
ENDED = frozenset({"completed", "entered-in-error", "revoked", "unknown"})


def is_imaging(order: dict[str, Any]) -> bool:
    """Say whether an order is one for images."""
    return any(
        (coding.get("system"), coding.get("code")) in IMAGING
        for category in order.get("category") or ()
        for coding in category.get("coding") or ()
    )


def study_uids(order: dict[str, Any]) -> list[str]:
    """Return the Study Instance UIDs of an order, the one that holds first."""
    return [
        str(one["value"]).removeprefix("urn:oid:")
        for one in order.get("identifier") or ()
        if one.get("system") == UID_SYSTEM and one.get("value")
    ]


def assigned_of(body: dict[str, Any], own: Any) -> dict[str, Any] | None:
    """Return the identifier that the hub gave an order."""
    held = body.get("identifier") or []
    for entry, claims in zip(held, claims_of(own, "identifier", len(held)), strict=True):
        if HUB in claims:
            found: dict[str, Any] = entry
            return found
    return None


def settle_study_uid(
    draft: Draft, row: Row, new: dict[str, Any], own: Any, made: Plan, state: State
) -> tuple[dict[str, Any], Any]:
    """Give an imaging order its Study Instance UID, or take the hub's away where a message's holds."""
    if draft.type != "ServiceRequest" or draft.write == "create" or not is_imaging(new):
        return new, own
    uids = study_uids(new)
    if not uids:
        given = row.assigned or _of_procedure(row, new, made, state)
        if given is None:
            if new.get("status") in ENDED:
                return new, own
            given = {"system": UID_SYSTEM, "value": f"urn:oid:{_made(row, state)}"}
        return _with(new, own, given)
    mine = assigned_of(new, own)
    if mine is None or len(uids) == 1:
        return new, own
    if state.having("ImagingStudy", UID_SYSTEM, mine["value"]):
        if row.body is None or set(uids) != set(study_uids(row.body.value)):
            text = "another Study Instance UID than images came under already: both are kept, the first holds"
            made.flags.append(Flag("study-uid-differs", draft.name, text, work=True))
        return _with(*_without(new, own), mine)
    text = "the message brings a Study Instance UID of its own: it stands instead of the one assigned here"
    made.flags.append(Flag("study-uid-replaced", draft.name, text, work=True))
    return _without(new, own)


def _made(row: Row, state: State) -> str:
    """Make a UID of the order's identity: the same on every run, and nobody can tell whose it is."""
    number = int.from_bytes(state.keys.identity("ImagingStudy", "urn:hub:study-of", row.id), "big")
    return f"2.25.{number}"


def _of_procedure(row: Row, new: dict[str, Any], made: Plan, state: State) -> dict[str, Any] | None:
    """Return the UID of another order of the same requested procedure, accession and patient."""
    wanted = [one for one in new.get("identifier") or () if _is_procedure(one)]
    subject = (new.get("subject") or {}).get("reference")
    if not wanted or not subject:
        return None
    others: list[dict[str, Any]] = [
        version.shape if version.row is not row else {}
        for version in made.versions
        if version.row.type == "ServiceRequest"
    ]
    for one in wanted:
        found = state.having("ServiceRequest", one.get("system") or "", one["value"])
        state.load_current(found)
        others += [other.body.value for other in found if other is not row and other.body is not None]
    for other in others:
        if (other.get("subject") or {}).get("reference") == subject and is_imaging(other):
            same = any(_same(one, two) for one in wanted for two in other.get("identifier") or ())
            uids = study_uids(other)
            if same and uids and _accessions(new) == _accessions(other):
                return {"system": UID_SYSTEM, "value": f"urn:oid:{uids[0]}"}
    return None


def _is_procedure(one: dict[str, Any]) -> bool:
    return (one.get("type") or {}).get("text") == PROCEDURE and bool(one.get("value"))


def _same(one: dict[str, Any], other: dict[str, Any]) -> bool:
    return _is_procedure(other) and all(one.get(n) == other.get(n) for n in ("system", "value", "assigner"))


def _accessions(order: dict[str, Any]) -> set[tuple[Any, Any]]:
    return {
        (one.get("system"), one.get("value"))
        for one in order.get("identifier") or ()
        for coding in (one.get("type") or {}).get("coding") or ()
        if coding.get("code") == "ACSN"
    }


def _with(new: dict[str, Any], own: Any, given: dict[str, Any]) -> tuple[dict[str, Any], Any]:
    """Put the hub's identifier in, before any other of its kind: the first is the one that holds."""
    held = new.get("identifier") or []
    claims = claims_of(own, "identifier", len(held))
    at = next((n for n, one in enumerate(held) if one.get("system") == UID_SYSTEM), len(held))
    identifiers = [*held[:at], given, *held[at:]]
    return {**new, "identifier": identifiers}, _claimed(new, own, [*claims[:at], [HUB], *claims[at:]])


def _without(new: dict[str, Any], own: Any) -> tuple[dict[str, Any], Any]:
    """Take the hub's identifier out; where a message gave the same one, that stays."""
    held = new.get("identifier") or []
    kept = []
    for entry, claims in zip(held, claims_of(own, "identifier", len(held)), strict=True):
        rest = [claim for claim in claims if claim != HUB]
        if rest or not claims:
            kept.append((entry, rest))
    return {**new, "identifier": [entry for entry, _ in kept]}, _claimed(new, own, [c for _, c in kept])


def _claimed(new: dict[str, Any], own: Any, identifiers: Iterable[Any]) -> Any:
    """Return the ownership in its long form, with these claims on the identifiers (engine.store.merge)."""
    full = {
        name: claims_of(own, name, len(value) if isinstance(value, list) and name[0] != "_" else 1)
        for name, value in new.items()
        if name not in ("resourceType", "id", "meta", "contained")
    }
    return dated(full | {"identifier": list(identifiers)}, times_of(own), facts_of(own))
