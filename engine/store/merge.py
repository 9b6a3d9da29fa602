"""What one draft does to the resource that is already there: merge and snapshot, per element and per list
entry.

In: the current body with its ownership, a draft, its sender. Out: the new body and the new ownership; nothing
given is changed in place. Follows the mapping language, "Write": a single element sent replaces, not sent
stays; of a list, the entries this sender and map wrote before under the labels now sent are replaced as a
whole, entries of others stay.

Ownership is kept per list entry as claims `[sender, map, label]`: an entry leaves when its last claim does.
It is stored short, `[sender, map, {element: labels}]`, while one map of one sender wrote everything, else as
`{element: [[claim, ...], ...]}`.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Any

from engine.kernel.message import Draft

__all__ = ["claims_of", "merged", "owned_by", "without_duplicates"]

Claim = tuple[str, str, str]  # sender, map, label
Own = Any

_CHOICE = re.compile(
    r"(value|effective|deceased|multipleBirth|onset|abatement|occurrence|performed|medication|asNeeded|serviced"
    r"|timing|born|age|reported|quantity|product|content|item|allowed|used|location|collected|minimumVolume|defaultValue)"
    r"(Quantity|CodeableConcept|String|Boolean|Integer|Range|Ratio|SampledData|Time|DateTime|Date|Period|Instant"
    r"|Timing|Age|Reference|Attachment|Decimal|Duration|Coding|Identifier|Money|Uri|Code|\[x\])"
).fullmatch
_NESTED = {"hospitalization", "period", "collection"}
"""Single elements whose parts arrive in different messages (admission, then discharge): merged by part."""
_NEVER = {"resourceType", "id", "meta", "contained"}


def owned_by(sender: str, draft: Draft) -> Own:
    """Return the ownership of a resource that this draft alone has written."""
    return [sender, draft.map, {element: labels for element, labels in draft.labels.items() if any(labels)}]


def claims_of(own: Own, element: str, entries: int) -> list[list[Claim]]:
    """Return the claims on each entry of a list, whichever way the ownership is stored."""
    if isinstance(own, list):
        labels = own[2].get(element) or [""] * entries
        found = [[(own[0], own[1], label)] for label in labels]
    else:
        found = [[(c[0], c[1], c[2]) for c in claims] for claims in own.get(element, ())]
    return found + [[] for _ in range(entries - len(found))]


def merged(
    old: dict[str, Any], own: Own, draft: Draft, body: dict[str, Any], sender: str
) -> tuple[dict[str, Any], Own]:
    """Return body and ownership after `body` (the draft's, references resolved) is written over `old`."""
    owner = (sender, draft.map)
    snapshot = draft.write == "snapshot"
    new = dict(old)
    lists: dict[str, list[list[Claim]]] = {}
    for element, value in body.items():
        if element in _NEVER:
            if element == "meta":
                new["meta"] = _meta(old.get("meta"), value)
            elif element == "contained":
                new["contained"] = value
        elif isinstance(value, list) and element[0] != "_":
            held = old.get(element)
            kept = (
                list(zip(held, claims_of(own, element, len(held)), strict=True))
                if isinstance(held, list)
                else []
            )
            labels = draft.labels.get(element) or ("",) * len(value)
            _write_list(new, lists, element, _replaced(kept, value, labels, owner, snapshot))
        else:
            _write_single(new, old, body, element, value)
    if snapshot:
        for element in draft.owns:
            if element not in body and element not in _NEVER:
                _withdraw(new, own, lists, element, owner)
    for place in draft.cleared:
        _clear(new, own, lists, place, owner)
    return new, _ownership(new, own, lists, owner)


def _write_single(
    new: dict[str, Any], old: dict[str, Any], body: dict[str, Any], element: str, value: Any
) -> None:
    bare = element.lstrip("_")
    for other in _rivals(new, bare):
        if other not in body:
            del new[other]
    if bare in _NESTED and isinstance(value, dict) and isinstance(old.get(element), dict):
        value = {**old[element], **value}
    new[element] = value


def _rivals(body: dict[str, Any], element: str) -> list[str]:
    """Return what of `body` cannot stand beside a newly sent element: its `_` twin, other choices of its
    group.
    """
    group = choice_group(element)
    if group is None:
        return [name for name in (element, "_" + element) if name in body]
    return [name for name in body if choice_group(name.lstrip("_")) == group]


@lru_cache(maxsize=4096)
def choice_group(element: str) -> str | None:
    """Return the `x` of a choice element `x[x]`; dataAbsentReason stands in for a value."""
    if element == "dataAbsentReason":
        return "value"
    match = _CHOICE(element)
    return match.group(1) if match else None


def _meta(old: dict[str, Any] | None, sent: dict[str, Any]) -> dict[str, Any]:
    meta = dict(old or {})
    for element, value in sent.items():
        if isinstance(value, list):
            held = list(meta.get(element, ()))
            meta[element] = held + [one for one in value if one not in held]
        else:
            meta[element] = value
    return meta


def _replaced(
    held: list[tuple[Any, list[Claim]]],
    sent: list[Any],
    labels: tuple[str, ...],
    owner: tuple[str, str],
    all_mine: bool,
) -> list[tuple[Any, list[Claim]]]:
    """Replace the owner's entries under the labels sent, in place; entries that others claim stay."""
    kept: list[tuple[Any, list[Claim]]] = []
    place = None
    for entry, claims in held:
        rest = [c for c in claims if c[:2] != owner or not (all_mine or c[2] in labels)]
        if rest or not claims:
            kept.append((entry, rest))
        elif place is None:
            place = len(kept)
    if place is None:
        place = len(kept)
    fresh: list[tuple[Any, list[Claim]]] = []
    for entry, label in zip(sent, labels, strict=True):
        claim = (*owner, label)
        for pool, mine in ((kept, False), (fresh, True)):
            twin = next((n for n, (other, _) in enumerate(pool) if _same(other, entry)), None)
            if twin is not None:
                other, claims = pool[twin]
                if isinstance(entry, dict) and other != entry:
                    entry = {**entry, **other} if mine else {**other, **entry}
                    pool[twin] = (entry, claims)
                if claim not in claims:
                    claims.append(claim)
                break
        else:
            fresh.append((entry, [claim]))
    return kept[:place] + fresh + kept[place:]


def _same(one: Any, other: Any) -> bool:
    if one == other:
        return True
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return False
    value = one.get("value")  # an Identifier: equal system and value are one entry
    return (
        value is not None
        and "system" in one
        and one.get("system") == other.get("system")
        and value == other.get("value")
        and one.keys() <= _IDENTIFIER
        and other.keys() <= _IDENTIFIER
    )


_IDENTIFIER = {"use", "type", "system", "value", "period", "assigner", "extension", "id"}


def without_duplicates(body: dict[str, Any]) -> bool:
    """Say whether no identifier of a new body stands twice."""
    found = body.get("identifier")
    if not isinstance(found, list) or len(found) < 2:
        return True
    pairs = [(one.get("system"), one.get("value")) for one in found]
    return len(set(pairs)) == len(pairs)


def _write_list(
    new: dict[str, Any],
    lists: dict[str, list[list[Claim]]],
    element: str,
    entries: list[tuple[Any, list[Claim]]],
) -> None:
    if entries:
        new[element] = [entry for entry, _ in entries]
    else:
        new.pop(element, None)
    lists[element] = [claims for _, claims in entries]


def _withdraw(
    new: dict[str, Any], own: Own, lists: dict[str, list[list[Claim]]], element: str, owner: tuple[str, str]
) -> None:
    """Remove what the owner wrote of an element it owns and has not sent."""
    held = new.get(element)
    if isinstance(held, list):
        entries = list(zip(held, lists.get(element) or claims_of(own, element, len(held)), strict=True))
        _write_list(new, lists, element, _replaced(entries, [], (), owner, True))
        return
    for name in _rivals(new, element):
        del new[name]


def _clear(
    new: dict[str, Any], own: Own, lists: dict[str, list[list[Claim]]], place: str, owner: tuple[str, str]
) -> None:
    """Follow an explicit delete: `element`, `element(label)`, or one of these with a part,
    `element(label).part`.
    """
    name, _, part = place.partition(".")
    element, _, label = name.rstrip(")").partition("(")
    held = new.get(element)
    if isinstance(held, list):
        claims = lists.get(element) or claims_of(own, element, len(held))
        entries: list[tuple[Any, list[Claim]]] = []
        for entry, claimed in zip(held, claims, strict=True):
            mine = not label or (*owner, label) in claimed
            if mine and part and isinstance(entry, dict):
                entry = {key: value for key, value in entry.items() if key not in (part, "_" + part)}
                mine = not entry
            if not mine:
                entries.append((entry, claimed))
        _write_list(new, lists, element, entries)
    elif part and isinstance(held, dict):
        rest = {key: value for key, value in held.items() if key not in (part, "_" + part)}
        if rest:
            new[element] = rest
        else:
            del new[element]
    else:
        for gone in (element, "_" + element) if element[-1] != "]" else _rivals(new, element):
            new.pop(gone, None)


def _ownership(
    new: dict[str, Any], own: Own, lists: dict[str, list[list[Claim]]], owner: tuple[str, str]
) -> Own:
    mine = isinstance(own, list) and (own[0], own[1]) == owner
    if mine and all(
        len(claims) == 1 and claims[0][:2] == owner for made in lists.values() for claims in made
    ):
        labels = {e: kept for e, kept in own[2].items() if e in new and e not in lists}
        labels |= {e: [c[0][2] for c in made] for e, made in lists.items() if any(c[0][2] for c in made)}
        return [*owner, labels]
    full = {
        element: claims_of(own, element, len(value))
        for element, value in new.items()
        if isinstance(value, list) and element[0] != "_" and element not in lists
    }
    return full | {element: claims for element, claims in lists.items() if claims}
