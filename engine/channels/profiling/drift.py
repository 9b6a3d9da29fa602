"""What is different since somebody signed: fields that stopped or began, new codes, longer than ever, quirks.

In: what was seen when the contract was signed, and what is seen now. Out: `Drift` lines. That something
stopped is said once chance has become unlikely: with what share of messages it came then, so many without
it would happen less than once in a million. A code is a value: it is in `values` only, for those who may
see bodies.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from engine.channels.profiling.quirks import quirk_text
from engine.channels.profiling.seen import MOST_CODES, PlaceSeen, SenderSeen, TypeSeen

__all__ = ["Drift", "Snapshot", "drift", "stopped"]

_UNLIKELY = math.log(1e-6)
_SURE = 0.95  # no share counts for more: a signed contract rests on few messages at times
_ENOUGH = 20  # values that a statement about lengths and kinds needs
_DAY = 86_400_000
_SHOWN = 20
_NUMBERS = {"whole number": "number", "decimal number": "number"}


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A sender at one moment."""

    sender: SenderSeen
    types: dict[str, TypeSeen]


@dataclass(frozen=True, slots=True)
class Drift:
    """One difference. `when` is when it was first seen, of what stopped when it was last seen."""

    kind: str
    place: str
    text: str
    types: tuple[str, ...] = ()
    when: int = 0
    entry: int = 0
    values: tuple[str, ...] = field(default=(), repr=False)


def drift(then: Snapshot, now: Snapshot) -> list[Drift]:
    """Return what is different, the latest first; the same of several message types is one line."""
    found: dict[tuple[str, str, str], Drift] = {}
    for one in (*_of_sender(then.sender, now.sender), *_of_types(then, now)):
        key = (one.kind, one.place, one.text)
        if key in found:
            both = found[key]
            late = max(both, one, key=lambda d: d.when)
            values = tuple(dict.fromkeys((*both.values, *one.values)))[:_SHOWN]
            found[key] = replace(late, types=(*both.types, *one.types), values=values)
        else:
            found[key] = one
    return sorted(found.values(), key=lambda d: (-d.when, d.kind, d.place))


def stopped(had: int, of: int, since: int) -> bool:
    """Say whether something that `had` of `of` messages had is gone for good after `since` without it."""
    share = min(_SURE, (had + 0.5) / (of + 1))
    return had > 0 and since > 0 and since * math.log(1 - share) < _UNLIKELY


def _of_sender(then: SenderSeen, now: SenderSeen) -> Iterator[Drift]:
    for what, place, before, after in (
        ("version", "MSH-12", then.versions, now.versions),
        ("character set", "MSH-18", then.charsets, now.charsets),
        ("way the bytes are read", "", then.codecs, now.codecs),
        ("delimiters", "MSH-2", then.delimiters, now.delimiters),
        ("line end", "", then.line_ends, now.line_ends),
        ("format", "", then.formats, now.formats),
    ):
        new = [word for word in after if word not in before]
        if new and before:
            shown = tuple(new) if what in ("character set", "delimiters") else ()
            text = f"new {what}" if shown else f"new {what}: {', '.join(new)}"
            yield Drift(f"new {what}", place, text, when=now.last, values=shown)
    if then.zones and "none" in now.zones and "none" not in then.zones:
        yield Drift("no time zone", "", "times come without their offset", when=now.last)
    if set(then.zones) == {"none"} and set(now.zones) - {"none"}:
        yield Drift("time zone", "", "times come with an offset", when=now.last)
    for key, quirk in now.quirks.items():
        if key not in then.quirks:
            word, _, place = key.partition(" ")
            yield Drift("new quirk", place, quirk_text(word), when=quirk.first, entry=quirk.first_entry)
    for name, count in now.types.items():
        was = then.types.get(name)
        if was is None:
            yield Drift("new message type", "MSH-9", "a new message type", (name,), count.first)
        elif (
            now.messages > then.messages
            and now.last - count.last > _DAY
            and stopped(was.count, then.messages, now.messages - max(count.at, then.messages))
        ):
            yield Drift("message type stopped", "MSH-9", "no message of this type comes", (name,), count.last)


def _of_types(then: Snapshot, now: Snapshot) -> Iterator[Drift]:
    for name, seen in now.types.items():
        was = then.types.get(name)
        if was is not None and seen.looked > was.looked and was.looked:
            for one in _of_type(was, seen):
                yield replace(one, types=(name,))


def _of_type(then: TypeSeen, now: TypeSeen) -> Iterator[Drift]:
    quiet: set[str] = set()  # what is above them was said already
    for name, segment in now.segments.items():
        old = then.segments.get(name)
        if old is None:
            quiet.add(name)
            yield Drift("new segment", name, f"{name} is new", when=segment.first, entry=segment.first_entry)
        elif stopped(old.messages, then.looked, now.looked - max(segment.at, then.looked)):
            quiet.add(name)
            text = f"{name} stopped"
            yield Drift("segment stopped", name, text, when=segment.last, entry=segment.last_entry)
    for place in sorted(now.places, key=lambda p: ("." in p, p)):
        segment_name, above = place.partition("-")[0], place.partition(".")[0]
        if segment_name in quiet or (above != place and above in quiet):
            continue
        seen, old_place = now.places[place], then.places.get(place)
        if old_place is None:
            quiet.add(place)
            yield Drift("new field", place, f"{place} is new", when=seen.first, entry=seen.first_entry)
            continue
        if stopped(old_place.messages, then.looked, now.looked - max(seen.at, then.looked)):
            quiet.add(place)
            yield Drift("field stopped", place, f"{place} stopped", when=seen.last, entry=seen.last_entry)
            continue
        yield from _of_place(place, old_place, seen)


def _of_place(place: str, then: PlaceSeen, now: PlaceSeen) -> Iterator[Drift]:
    open_set = then.uncounted or len(then.codes) > MOST_CODES // 2
    new = [(key, code) for key, code in now.codes.items() if key not in then.codes]
    if then.codes and new and not open_set:
        newest = max((code for _, code in new), key=lambda code: code.first)
        values = tuple("^".join((c, code.text, s)).rstrip("^") for (c, s), code in new[:_SHOWN])
        text = f"{len(new)} new code{'s' if len(new) != 1 else ''} in {place}"
        yield Drift("new codes", place, text, when=newest.first, entry=newest.entry, values=values)
    if then.times < _ENOUGH:
        return
    steady = then.shortest == then.longest
    if now.longest > then.longest and (steady or now.longest > then.longest * 1.25 + 2):
        text = f"{place} is longer than ever: {now.longest} characters, at most {then.longest} before"
        yield Drift("longer", place, text, when=now.last, entry=now.longest_entry)
    if now.most > then.most and (then.most == 1 or now.most > then.most * 1.5):
        text = f"{place} repeats {now.most} times, at most {then.most} before"
        yield Drift("repeats", place, text, when=now.last, entry=now.last_entry)
    before, after = _kinds(then), _kinds(now)
    fresh = after - before - {"code"}
    if "text" in before:
        fresh &= {"delete", "not a date", "not a time"}
    if fresh:
        text = f"{place} holds another kind of data: {', '.join(sorted(fresh))}"
        yield Drift("new kind of data", place, text, when=now.last, entry=now.last_entry)


def _kinds(place: PlaceSeen) -> set[str]:
    return {_NUMBERS.get(kind, kind) for kind in place.kinds}
