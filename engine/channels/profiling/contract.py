"""The signed contract of a sender: freezing what is seen, and how far it has drifted since.

In: what is kept of a sender, a person's name and note. Out: a version of the contract that never changes,
the drift since, and a conformance profile (`mappings/profiles/NAME.yaml`) that a channel can hold messages
against.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import yaml

from engine.channels.profiling.drift import Drift, Snapshot, drift
from engine.channels.profiling.seen import PlaceSeen, SenderSeen, TypeSeen
from engine.formats.hl7v2.parse import HEADERS
from engine.kernel.errors import HubError
from engine.staff.senders import Senders

__all__ = ["as_profile", "drift_count", "drift_of", "freeze", "signed_snapshot", "snapshot"]

_LEAST = 50  # messages that a rule of a profile rests on
_MOST_CODES = 40
_NAME = re.compile(r"[^a-z0-9]+")


def snapshot(senders: Senders, id_: str) -> Snapshot:
    """Return what is seen of a sender now. Raises HubError where there is none."""
    said = senders.seen(id_)
    if said is None:
        raise HubError(
            "there is no such sender",
            where=f"sender {id_}",
            remedy="hub profile lists them; a new one is there half a minute after its first message",
        )
    types = {name: TypeSeen.of_json(t) for name, t in senders.types(id_).items()}
    return Snapshot(SenderSeen.of_json(said), types)


def signed_snapshot(seen: Mapping[str, Any]) -> Snapshot:
    """Return what a contract holds."""
    return Snapshot(
        SenderSeen.of_json(seen["sender"]), {n: TypeSeen.of_json(t) for n, t in seen["types"].items()}
    )


def freeze(senders: Senders, id_: str, who: str, note: str) -> int:
    """Sign what is seen now as the contract; return its version. Raises HubError."""
    now = snapshot(senders, id_)
    if not now.sender.looked:
        raise HubError(
            "nothing of this sender was looked at yet",
            where=f"sender {id_}",
            why="a contract rests on HL7 v2 messages that came",
            remedy="sign it when some have come",
        )
    seen = {"sender": now.sender.as_json(), "types": {n: t.as_json() for n, t in now.types.items()}}
    return senders.sign(id_, seen, who, note.strip())


def drift_of(senders: Senders, id_: str, now: Snapshot | None = None) -> list[Drift]:
    """Return the drift since the newest contract; none where nobody signed one."""
    contract = senders.contract(id_)
    if contract is None:
        return []
    return drift(signed_snapshot(contract.seen), now or snapshot(senders, id_))


def drift_count(senders: Senders, id_: str, sender: SenderSeen, changed: Mapping[str, TypeSeen]) -> int:
    """Count the drift as it will be once `sender` and the `changed` types are kept."""
    contract = senders.contract(id_)
    if contract is None:
        return 0
    kept = {n: TypeSeen.of_json(t) for n, t in senders.types(id_).items() if n not in changed}
    return len(drift(signed_snapshot(contract.seen), Snapshot(sender, kept | dict(changed))))


def as_profile(seen: Snapshot, name: str) -> str:
    """Write what is seen as a conformance profile, with codes where their set is small and settled."""
    looked = {n: t for n, t in seen.types.items() if t.looked and n != "odd"}
    segments: dict[str, Any] = {}
    for segment in sorted({s for t in looked.values() for s in t.segments}):
        having = [(t, t.segments[segment]) for t in looked.values() if segment in t.segments]
        rule: dict[str, Any] = {}
        if len(having) == len(looked) and all(s.messages == t.looked for t, s in having):
            rule["usage"] = "required"
        if all(s.most == 1 for _, s in having):
            rule["most"] = 1
        if rule:
            segments[segment] = rule
    fields: dict[str, Any] = {}
    for place in sorted({p for t in looked.values() for p in t.places}, key=_in_order):
        if rule := _field(place, looked):
            fields[place] = rule
    made = {
        "profile": _NAME.sub("_", name.lower()).strip("_") or "sender",
        "for": sorted(looked),
        "segments": segments,
        "fields": fields,
        "note": f"as seen in {seen.sender.looked} messages; read it before a channel names it",
    }
    return yaml.safe_dump(made, sort_keys=False, allow_unicode=True, width=110)


def _field(place: str, types: Mapping[str, TypeSeen]) -> dict[str, Any]:
    segment = place.partition("-")[0]
    of = [(t.segments[segment].times, t.places.get(place)) for t in types.values() if segment in t.segments]
    seen = [p for _, p in of if p is not None]
    total = sum(n for n, _ in of)
    if total < _LEAST or segment in HEADERS:
        return {}
    rule: dict[str, Any] = {}
    if "." not in place and sum(p.segments for p in seen) == total:
        rule["usage"] = "required"
    rule["length"] = max(p.longest for p in seen)
    if "." not in place:
        rule["repeats"] = max(p.most for p in seen)
    codes = _codes(seen)
    if codes:
        rule["codes"] = codes
    return rule


def _codes(seen: list[PlaceSeen]) -> list[str]:
    """Return the codes of a place where every value was one of a few, each seen often."""
    if any(p.uncounted or sum(p.kinds.values()) != p.kinds.get("code", 0) for p in seen):
        return []
    codes = {code for p in seen for code, _ in p.codes}
    times = sum(c.count for p in seen for c in p.codes.values())
    return sorted(codes) if len(codes) <= _MOST_CODES and times >= 10 * len(codes) else []


def _in_order(place: str) -> tuple[str, int, int]:
    segment, _, rest = place.partition("-")
    field, _, component = rest.partition(".")
    return segment, int(field), int(component or 0)
