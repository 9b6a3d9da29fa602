"""What the linter says of maps of X12: locations that no segment has, loops that no transaction set has.

In: the maps of X12. Out: findings of rule M02. A loop is known where any transaction set has it; a message
map runs only at loops of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import cache

from engine.formats.x12.tables import NAMES, LoopRule, segment_names, shape, table
from engine.mapping.locate import Location
from engine.mapping.model import MessageDef, Row
from engine.mapping.project import Maps
from engine.mapping.readings import readings
from engine.mapping.rules import Finding, finding
from engine.mapping.x12types import X12, composite

__all__ = ["check_x12"]

_ENVELOPE = {"ISA": 16, "GS": 8, "ST": 3, "SE": 2, "TA1": 5}
_LOOK = "look it up in the guide"
_WHY = "no 005010 guide has it, so nothing ever comes of it"


def check_x12(maps: Maps) -> Iterator[Finding]:
    """Check every map and message map of X12."""
    known = frozenset(maps.maps)
    for m in maps.maps.values():
        if m.source[:1].isdigit() and m.source not in _loops():
            yield finding("M02", m.place, f"from: no transaction set has a loop {m.source}", _LOOK, why=_WHY)
        for r in readings(m, known, X12):
            told = _missing(r.location)
            if told:
                yield finding("M02", r.place, told, _LOOK, why=_WHY)
        yield from _repeated(m.rows)
    for message in maps.messages.values():
        yield from _message(message)


def _loops() -> frozenset[str]:
    return frozenset().union(*(_loops_of(name) for name in NAMES))


@cache
def _loops_of(name: str) -> frozenset[str]:
    def walk(rule: LoopRule) -> Iterator[str]:
        for item in rule.items:
            if isinstance(item, LoopRule):
                yield item.id
                yield from walk(item)

    return frozenset(walk(table(name).root))


def _missing(loc: Location) -> str:
    """Say what of a location nobody knows; "" = it is known."""
    ids, _, name = loc.name.rpartition("/")
    for one in ids.split("|") if ids and ids != "ST" else ():
        if one not in _loops():
            return f"{loc.name}: no transaction set has a loop {one}"
    if name[:1].isdigit():
        return "" if name in _loops() else f"no transaction set has a loop {name}"
    parts = composite(name)
    if parts is not None:
        return "" if loc.field <= len(parts) else f"{name} has {len(parts)} components"
    known = shape(name)
    most = len(known) if known is not None else _ENVELOPE.get(name, 0)
    if not most:
        return f"there is no segment {name}"
    if loc.field > most:
        return f"{name} has {most} elements, none is {loc.field:02d}"
    if loc.component > 1 and known is not None and loc.field:
        inner = known[loc.field - 1][1]
        if loc.component > max(len(inner), 1):
            return f"{name}-{loc.field:02d} has {max(len(inner), 1)} components"
    return ""


def _repeated(rows: Iterable[Row]) -> Iterator[Finding]:
    """Check what `each` names, however deep."""
    for row in rows:
        if row.each and row.each != ".":
            told = _each(row.each)
            if told:
                yield finding("M02", row.place, f"each: {told}", _LOOK, why=_WHY)
        inner = (*row.children, *row.make_rows, *row.default, *row.failed)
        yield from _repeated((*inner, *(r for c in row.cases for r in c.rows)))


def _each(text: str) -> str:
    ids, slash, name = text.rpartition("/")
    loops = [*(ids.split("|") if ids != "ST" else ()), *(name.split("|") if name[:1].isdigit() else ())]
    for one in loops if slash or name[:1].isdigit() else ():
        if one and one not in _loops():
            return f"no transaction set has a loop {one}"
    if not name[:1].isdigit() and name not in segment_names() and name not in _ENVELOPE:
        return f"there is no segment {name}"
    return ""


def _message(m: MessageDef) -> Iterator[Finding]:
    names = [n for trigger, _ in m.triggers for n in NAMES if trigger in (n, table(n).set_id)]
    if not names:
        return
    own = frozenset().union(*(_loops_of(n) for n in names))
    for r in m.resources:
        for one in (one for step in r.per for one in step.split("|")):
            if one not in own:
                told = f"{r.name}: {' and '.join(names)} has no loop {one}"
                yield finding("M02", r.place, told, _LOOK, why=_WHY)
