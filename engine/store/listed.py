"""Entries of a list: which are one, and, where a message tells them one by one with an action for each, which
stored entry is meant and what becomes of it.

In: the entries a list holds with their claims, what was sent, the action of each entry. Out: what to write,
and the labels that leave. The label of such an entry is `row#first#second`: what it is known by, most telling
first. HL7 v2.8.2 §2.10.4.2 (action codes and unique identifiers), tables 0206, 0287 and 0323: `A` adds, `U`
changes what it says of the entry, `X` changes nothing, `D` takes it out; the rest of the list stays.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from engine.kernel.message import Draft

__all__ = ["is_gap", "one_by_one", "same_entry", "stem", "unknown_entries", "without_duplicates"]

Claim = tuple[str, str, str]
Held = list[tuple[Any, list[Claim]]]
Rivals = Callable[[dict[str, Any], str], list[str]]

_IDENTIFIER = {"use", "type", "system", "value", "period", "assigner", "extension", "id"}
_GAP = "http://hl7.org/fhir/StructureDefinition/data-absent-reason"


def stem(label: str) -> str:
    """Return the label of the row that made an entry."""
    return label.partition("#")[0]


def one_by_one(
    held: Held,
    sent: list[Any],
    labels: Iterable[str],
    acts: Mapping[str, str],
    owner: tuple[str, str],
    rivals: Rivals,
) -> tuple[list[Any], tuple[str, ...], frozenset[str]]:
    """Return entries to write, their labels, and the stored labels whose entries leave.

    `rivals`: what of an entry cannot stand beside an element.
    """
    stored = _stored(held, owner)
    leaving: set[str] = set()
    out: list[Any] = []
    names: list[str] = []
    pairs = list(zip(sent, labels, strict=True))
    for entry, label in pairs:
        if label not in acts:
            out.append(entry)
            names.append(label)
    for label, act in acts.items():
        known = _meant(label, act, stored)
        fresh = [entry for entry, name in pairs if name == label]
        if known is not None:
            if act == "X":
                continue
            if act == "D" or fresh:
                leaving.add(known)
            if not _another(known, label) and len(fresh) == len(stored[known]) == 1:
                fresh = [_changed(stored[known][0], fresh[0], rivals)]
        out += fresh
        names += [_joined(known, label) if known else label] * len(fresh)
    return out, tuple(names), frozenset(leaving)


def unknown_entries(draft: Draft, held: Mapping[str, Held], owner: tuple[str, str]) -> list[str]:
    """Return the elements of which the draft changes or takes out an entry that no list of it holds."""
    told: dict[str, tuple[str, bool]] = {}  # what the entry is known by -> element, whether it was found
    for element, acts in draft.acts.items():
        stored = _stored(held.get(element, []), owner)
        for label, act in acts.items():
            if act in ("D", "U"):
                key = act + label.partition("#")[2]
                found = _meant(label, act, stored) is not None
                told[key] = (told.get(key, (element,))[0], found or told.get(key, ("", False))[1])
    return [element for element, found in told.values() if not found]


def _stored(held: Held, owner: tuple[str, str]) -> dict[str, list[Any]]:
    found: dict[str, list[Any]] = {}
    for entry, claims in held:
        for claim in claims:
            if claim[:2] == owner and "#" in claim[2]:
                found.setdefault(claim[2], []).append(entry)
    return found


def _meant(label: str, act: str, stored: Mapping[str, list[Any]]) -> str | None:
    """Find the one stored entry that a label means: by what tells most first.

    An entry known by something else in an earlier place is another one; only a change may put something else
    in its place. More than one that fits: none, a person looks.
    """
    row, *told = label.split("#")
    fits = [(other, other.split("#")[1:]) for other in stored if stem(other) == row]
    for place, value in enumerate(told):
        if not value:
            continue
        found = [(other, parts) for other, parts in fits if parts[place : place + 1] == [value]]
        if act != "U":
            found = [
                (other, parts)
                for other, parts in found
                if all(not a or not b or a == b for a, b in zip(told[:place], parts, strict=False))
            ]
        if len(found) > 1:
            found = [one for one in found if one[1] == told]
            return found[0][0] if found else None
        if found:
            return found[0][0]
    return None


def _another(known: str, label: str) -> bool:
    """Say whether a label puts something else in an entry's place: both say what it is, and differently."""
    old, new = known.split("#")[1], label.split("#")[1]
    return bool(old and new and old != new)


def _joined(known: str, label: str) -> str:
    """Keep what an entry was known by, unless something else took its place."""
    old, new = known.split("#"), label.split("#")
    if len(old) != len(new) or _another(known, label):
        return label
    return "#".join(a or b for a, b in zip(old, new, strict=True))


def _changed(old: Any, sent: Any, rivals: Rivals) -> Any:
    """Put what was sent over an entry: what was not sent stays."""
    if not (isinstance(old, dict) and isinstance(sent, dict)):
        return sent
    out = dict(old)
    for name, value in sent.items():
        if is_gap(value) and old.get(name.lstrip("_")):
            continue
        if name == "extension":
            urls = {one.get("url") for one in value}
            value = [*(one for one in old.get(name, ()) if one.get("url") not in urls), *value]
        for other in rivals(out, name.lstrip("_")):
            if other not in sent:
                del out[other]
        out[name] = value
    return out


def is_gap(value: Any) -> bool:
    """Say whether a value is nothing but the words that it is not known."""
    if not isinstance(value, dict) or value.keys() != {"extension"}:
        return False
    return [one.get("url") for one in value["extension"]] == [_GAP]


def same_entry(one: Any, other: Any) -> bool:
    """Say whether two entries of a list are one."""
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


def without_duplicates(body: dict[str, Any]) -> bool:
    """Say whether no identifier of a new body stands twice."""
    found = body.get("identifier")
    if not isinstance(found, list) or len(found) < 2:
        return True
    pairs = [(one.get("system"), one.get("value")) for one in found]
    return len(set(pairs)) == len(pairs)
