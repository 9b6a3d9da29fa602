"""What one draft does to the resource that is already there: merge and snapshot, per element and per list
entry.

In: the current body with its ownership, a draft, its sender. Out: the new body and the new ownership; nothing
given is changed in place. Follows the mapping language, "Write": a single element sent replaces, not sent
stays; of a list, the entries this sender and map wrote before under the labels now sent are replaced as a
whole, entries of others stay.

Ownership is kept per list entry as claims `[sender, map, label]`: an entry leaves when its last claim does. A
single element counts as one entry. It is stored short, `[sender, map, {element: labels}]`, while one map of
one sender wrote everything, else as `{element: [[claim, ...], ...]}`. With it stands, fourth or under `""`,
by what times of its own each sender has spoken: `{"OBR-22 ACME": milliseconds}`; and of a visit, fifth or
under `~`, its facts (engine.store.course).
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from engine.kernel.message import Draft
from engine.store.course import Fact
from engine.store.listed import is_gap, one_by_one, same_entry, stem, unknown_entries
from engine.store.visits import Visit, keep_course, settle_visit

__all__ = [
    "choice_group",
    "claims_of",
    "dated",
    "facts_of",
    "merged",
    "owned_by",
    "times_of",
    "unknown",
]

Claim = tuple[str, str, str]  # sender, map, label
Own = Any
_Lists = dict[str, list[list[Claim]]]

_CHOICE = re.compile(
    r"(value|effective|deceased|multipleBirth|onset|abatement|occurrence|performed|medication|asNeeded|serviced"
    r"|timing|born|age|reported|quantity|product|content|item|allowed|used|location|collected|minimumVolume|defaultValue)"
    r"(Quantity|CodeableConcept|String|Boolean|Integer|Range|Ratio|SampledData|Time|DateTime|Date|Period|Instant"
    r"|Timing|Age|Reference|Attachment|Decimal|Duration|Coding|Identifier|Money|Uri|Code|\[x\])"
).fullmatch
_NESTED = {"hospitalization", "period", "collection"}
"""Single elements whose parts arrive in different messages (admission, then discharge): merged by part."""
_NEVER = {"resourceType", "id", "meta", "contained"}
_OF_THE_VALUE = ("interpretation", "referenceRange", "note")
"""What is said about a result's value: it does not outlive the value it was said about."""
_GATHERED = {("DiagnosticReport", "result")}
"""Lists that a later message adds to: a corrected report that repeats one result has not lost the others."""
_FOR_GOOD = "deceased"
"""A death is taken back by PID-30 `N` or `""`, never by a message that does not mention it."""
_NONE: Mapping[str, str] = {}
_FACTS = "~"  # where the facts of a visit stand in the long form of the ownership


def owned_by(sender: str, draft: Draft) -> Own:
    """Return the ownership of a resource that this draft alone has written."""
    return [sender, draft.map, {element: labels for element, labels in draft.labels.items() if any(labels)}]


def times_of(own: Own) -> dict[str, int]:
    """Return the latest time that each sender gave for what it said, by kind of time and sender."""
    if isinstance(own, list):
        return own[3] if len(own) > 3 else {}
    found: dict[str, int] = own.get("", {})
    return found


def dated(own: Own, times: dict[str, int], facts: list[Fact] | None = None) -> Own:
    """Return the ownership with these times, and with the facts of a visit."""
    if facts:
        return [*own[:3], times, facts] if isinstance(own, list) else {**own, "": times, _FACTS: facts}
    if not times:
        return own
    return [*own[:3], times] if isinstance(own, list) else {**own, "": times}


def facts_of(own: Own) -> list[Fact]:
    """Return what entries told of the course of a visit."""
    found: list[Fact] = (own[4] if len(own) > 4 else []) if isinstance(own, list) else own.get(_FACTS, [])
    return found


def claims_of(own: Own, element: str, entries: int) -> list[list[Claim]]:
    """Return the claims on each entry of a list, whichever way the ownership is stored."""
    if isinstance(own, list):
        labels = own[2].get(element) or [""] * entries
        found = [[(own[0], own[1], label)] for label in labels]
    else:
        found = [[(c[0], c[1], c[2]) for c in claims] for claims in own.get(element, ())]
    return found + [[] for _ in range(entries - len(found))]


def merged(
    old: dict[str, Any],
    own: Own,
    draft: Draft,
    body: dict[str, Any],
    sender: str,
    visit: Visit | None = None,
) -> tuple[dict[str, Any], Own]:
    """Return body and ownership after `body` (the draft's, references resolved) is written over `old`.

    `visit`: of an Encounter, the course of its visit.
    """
    owner = (sender, draft.map)
    snapshot = draft.write == "snapshot"
    new = dict(old)
    lists: dict[str, list[list[Claim]]] = {}
    for element, value in body.items():
        if is_gap(value) and old.get(element.lstrip("_")):
            continue  # "unknown" is said where nothing is known, never over what is
        if element == "deceasedBoolean" and value is True and "deceasedDateTime" in old:
            continue  # said again without its time
        if element in _NEVER:
            if element == "meta":
                new["meta"] = _meta(old.get("meta"), value)
            elif element == "contained":
                new["contained"] = value
        elif isinstance(value, list) and element[0] != "_":
            kept = _held(old, own, element)
            labels = draft.labels.get(element) or ("",) * len(value)
            if (draft.type, element) in _GATHERED:
                value, labels = _gathered(kept, value, labels)
            acts = draft.acts.get(element, {})
            _write_list(new, lists, element, _replaced(kept, value, labels, owner, snapshot, acts))
        else:
            _write_single(new, old, body, element, value, own, None if not snapshot else owner)
    for element in draft.acts.keys() - body.keys():
        kept = _held(old, own, element)
        _write_list(new, lists, element, _replaced(kept, [], (), owner, snapshot, draft.acts[element]))
    if snapshot:
        groups = {choice_group(element.lstrip("_")) for element in body} - {None}
        said = {*draft.weak, *(name.lstrip("_") for name in body)}
        for element in draft.owns - said - _NEVER - draft.acts.keys():
            group = choice_group(element.lstrip("_"))
            if group not in groups and group != _FOR_GOOD:
                _withdraw(new, own, lists, element, owner, draft.weak)
    if draft.type == "Observation":
        _follow_value(new, old, lists, body)
    for place in draft.cleared:
        _clear(new, own, lists, place, owner)
    if draft.type == "Encounter":
        if visit is not None:
            claims = claims_of(own, "location", len(new.get("location", ())))
            lists |= keep_course(new, lists.get("location", claims), owner, body, visit)
        settle_visit(new, old)
    return new, _ownership(new, old, own, lists, owner, body)


def _held(body: dict[str, Any], own: Own, element: str) -> list[tuple[Any, list[Claim]]]:
    """Return the entries of a list with the claims on each."""
    held = body.get(element)
    if not isinstance(held, list):
        return []
    return list(zip(held, claims_of(own, element, len(held)), strict=True))


def unknown(draft: Draft, body: dict[str, Any], own: Own, sender: str) -> list[str]:
    """Return the elements of which a draft changes or takes out an entry that is not there."""
    held = {element: _held(body, own, element) for element in draft.acts}
    return unknown_entries(draft, held, (sender, draft.map))


def _write_single(
    new: dict[str, Any],
    old: dict[str, Any],
    body: dict[str, Any],
    element: str,
    value: Any,
    own: Own,
    all_of: tuple[str, str] | None,
) -> None:
    """Write a single element; `all_of` tells everything it knows, so that parts it alone wrote and leaves out
    go.
    """
    bare = element.lstrip("_")
    for other in _rivals(new, bare):
        if other not in body:
            del new[other]
    parts = bare in _NESTED and isinstance(value, dict) and isinstance(old.get(element), dict)
    if parts and not (all_of and _alone(own, element, all_of)):
        value = {**old[element], **value}
    new[element] = value


def _alone(own: Own, element: str, owner: tuple[str, str]) -> bool:
    """Say whether nobody but the owner has written a single element."""
    claims = claims_of(own, element, 1)[0]
    return bool(claims) and all(claim[:2] == owner for claim in claims)


def _gathered(
    kept: list[tuple[Any, list[Claim]]], sent: list[Any], labels: tuple[str, ...]
) -> tuple[list[Any], tuple[str, ...]]:
    """Return what was sent with what is there and not repeated: nothing of such a list is taken back by
    silence.
    """
    more = [(entry, claims[0][2] if claims else "") for entry, claims in kept if entry not in sent]
    return [*[entry for entry, _ in more], *sent], (*[label for _, label in more], *labels)


def _follow_value(
    new: dict[str, Any], old: dict[str, Any], lists: dict[str, list[list[Claim]]], body: dict[str, Any]
) -> None:
    """Let what was said about a result's old value go with it when the message brings another value."""
    said = {name for name in body if choice_group(name.lstrip("_")) == "value"}
    if not said and "component" not in body:
        return
    gone = []
    if "component" not in body:
        gone.append("component")
    elif not said:
        gone += [name for name in new if choice_group(name.lstrip("_")) == "value"]
    now = {name: value for name, value in new.items() if name not in gone and _is_value(name)}
    if now == {name: value for name, value in old.items() if _is_value(name)}:
        return
    for name in (*gone, *(name for name in _OF_THE_VALUE if name not in body)):
        if new.pop(name, None) is not None:
            lists[name] = []


def _is_value(name: str) -> bool:
    return name == "component" or choice_group(name.lstrip("_")) == "value"


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
    acts: Mapping[str, str] = _NONE,
) -> list[tuple[Any, list[Claim]]]:
    """Replace the owner's entries under the labels sent, in place; entries that others claim stay, and so
    does what is told one by one (`acts`) and not told of.
    """
    single = {stem(label) for label in acts}
    leaving: frozenset[str] = frozenset()
    if acts:
        sent, labels, leaving = one_by_one(held, sent, labels, acts, owner, _rivals)
    rows = {stem(label) for label in labels}

    def leaves(label: str) -> bool:
        return label in leaving if stem(label) in single else all_mine or stem(label) in rows

    kept: list[tuple[Any, list[Claim]]] = []
    place = None
    for entry, claims in held:
        rest = [c for c in claims if c[:2] != owner or not leaves(c[2])]
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
            twin = next((n for n, (other, _) in enumerate(pool) if same_entry(other, entry)), None)
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
    new: dict[str, Any], own: Own, lists: _Lists, element: str, owner: tuple[str, str], weak: tuple[str, ...]
) -> None:
    """Remove what the owner wrote of an element it owns and has not sent; that it is not known may stay."""
    held = new.get(element)
    if isinstance(held, list):
        entries = list(zip(held, lists.get(element) or claims_of(own, element, len(held)), strict=True))
        _write_list(new, lists, element, _replaced(entries, [], (), owner, True))
        return
    for name in _rivals(new, element):
        if name not in weak and _alone(own, name, owner):
            del new[name]


def _clear(
    new: dict[str, Any], own: Own, lists: dict[str, list[list[Claim]]], place: str, owner: tuple[str, str]
) -> None:
    """Follow an explicit delete: `element`, `element(label)`, or one of these with a part,
    `element(label).part`; `element@Type/id` deletes the entries that refer to a resource.
    """
    place, _, target = place.partition("@")
    name, _, part = place.partition(".")
    element, _, label = name.rstrip(")").partition("(")
    held = new.get(element)
    if isinstance(held, list):
        claims = lists.get(element) or claims_of(own, element, len(held))
        entries: list[tuple[Any, list[Claim]]] = []
        for entry, claimed in zip(held, claims, strict=True):
            mine = not label or any(c[:2] == owner and label in (c[2], stem(c[2])) for c in claimed)
            if target:
                parts = (entry, *entry.values()) if isinstance(entry, dict) else ()
                mine = any(isinstance(p, dict) and p.get("reference") == target for p in parts)
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
    new: dict[str, Any],
    old: dict[str, Any],
    own: Own,
    lists: dict[str, list[list[Claim]]],
    owner: tuple[str, str],
    body: dict[str, Any],
) -> Own:
    mine = isinstance(own, list) and (own[0], own[1]) == owner
    if mine and all(
        len(claims) == 1 and claims[0][:2] == owner for made in lists.values() for claims in made
    ):
        labels = {e: kept for e, kept in own[2].items() if e in new and e not in lists}
        labels |= {e: [c[0][2] for c in made] for e, made in lists.items() if any(c[0][2] for c in made)}
        return [*owner, labels]
    full = {}
    for element, value in new.items():
        if element in lists or element in _NEVER:
            continue
        if isinstance(value, list) and element[0] != "_":
            full[element] = claims_of(own, element, len(value))
            continue
        claims = claims_of(own, element, 1)[0] if element in old else []
        if element in body and value == body[element]:
            others = claims if old.get(element) == value or element in _NESTED else []
            claims = [*[claim for claim in others if claim[:2] != owner], (*owner, "")]
        full[element] = [claims]
    return full | {element: claims for element, claims in lists.items() if claims}
