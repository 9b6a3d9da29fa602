"""Which rows read which locations, and under which conditions: what a map says of a field without any
message.

In: resolved maps and a message map. Out: `Reading` records, and for a location of a message the best reason
why nothing came of it. Lineage says with them whether a field was not mapped or excluded by a condition.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

from engine.mapping import types as T
from engine.mapping.conditions import Condition, locations_of
from engine.mapping.locate import Location, locate
from engine.mapping.model import First, Join, Locate, MapDef, MessageDef, Place, Row, Source
from engine.mapping.sheettext import condition_text, source_text

__all__ = ["Reading", "Why", "forget", "readings", "why_not"]


@dataclass(frozen=True, slots=True)
class Reading:
    """One row reading one location. `role`: value, chooses (a case), condition or key."""

    map: str
    row: str
    place: Place
    location: Location
    role: str
    conditions: tuple[str, ...] = ()
    through: str = ""  # the datatype map that takes the value apart, "" where there is none

    @property
    def name(self) -> str:
        """How reports name the row: `PID_Patient/gender (file:line)`."""
        return f"{self.map}/{self.row} ({self.place})"


@dataclass(frozen=True, slots=True)
class Why:
    """Why nothing came of a location: its state in one word, the words for people, the row if there is
    one."""

    state: str
    text: str
    row: str = ""
    place: Place | None = None
    conditions: tuple[str, ...] = ()


def readings(
    m: MapDef, known: frozenset[str] = frozenset(), kinds: T.SourceTypes = T.HL7
) -> Iterator[Reading]:
    """Give every reading of a map; `known` are the names of all maps."""
    walk = _Walk(m, known, kinds)
    for key in m.key:
        for location in _locations(key):
            yield Reading(m.name, "key", m.place, location, "key")
    for level in m.levels:
        yield from walk.tested(level.when, level.name, level.place, ())
        yield from walk.rows(level.rows, level.name, m.to, _and((), level.when))
    yield from walk.rows(m.rows, "", m.to, ())


def _locations(s: Source | None) -> list[Location]:
    if isinstance(s, Locate):
        found = locate(s.text)
        return [found] if found is not None else []
    parts = s.options if isinstance(s, First) else s.parts if isinstance(s, Join) else ()
    return [x for p in parts for x in _locations(p)]


def _and(conditions: tuple[str, ...], when: Condition | None) -> tuple[str, ...]:
    return (*conditions, condition_text(when)) if when is not None else conditions


class _Walk:
    def __init__(self, m: MapDef, known: frozenset[str], kinds: T.SourceTypes) -> None:
        self.m, self.known, self.kinds = m, known, kinds

    def rows(
        self, rows: tuple[Row, ...], path: str, kind: str, conditions: tuple[str, ...]
    ) -> Iterator[Reading]:
        for r in rows:
            yield from self.row(r, ".".join(filter(None, (path, r.name))), kind, conditions)

    def row(self, r: Row, path: str, kind: str, above: tuple[str, ...]) -> Iterator[Reading]:
        conditions = _and(above, r.when)
        yield from self.tested(r.when, path, r.place, above)
        target = kind
        for step in r.target:
            found = T.child_of(target, step.name) if target else None
            target = found.type if found is not None else ""
        yield from self.source(r.source, r, path, target, conditions)
        for role, source in (("key", r.known_by), ("chooses", r.action), ("chooses", r.by)):
            for location in _locations(source):
                yield Reading(self.m.name, path, r.place, location, role, conditions)
        chosen = source_text(r.by)
        sides = path.rpartition(".")[0] if r.target and r.target[-1].name.endswith("[x]") else path
        for case in r.cases:
            words = "|".join(v or '""' for v in case.values)
            said = f"{chosen} is none of the others" if words == "else" else f"{chosen} = {words}"
            inside = kind if sides != path else target
            yield from self.rows(case.rows, sides, inside, (*conditions, said))
        yield from self.rows(r.children, path, target, conditions)
        yield from self.rows(r.make_rows, path, r.make.rpartition("_")[2], conditions)
        yield from self.rows(r.default, path, target, (*conditions, "nothing else gave a value"))
        unreadable = (*conditions, "the value cannot be read as its type")
        yield from self.rows(r.failed, sides, kind if sides != path else target, unreadable)

    def source(
        self, s: Source | None, r: Row, path: str, target: str, conditions: tuple[str, ...]
    ) -> Iterator[Reading]:
        if isinstance(s, First):
            before: tuple[str, ...] = ()
            for option in s.options:
                yield from self.source(option, r, path, target, (*conditions, *before))
                before = (*before, f"{source_text(option)} not valued")
            return
        for location in _locations(s):
            through = r.as_ or self._usual(location, r.make or target)
            yield Reading(self.m.name, path, r.place, location, "value", conditions, through)

    def _usual(self, location: Location, target: str) -> str:
        if target in self.known or not target:
            return target
        if location.name == self.m.source and not location.field:
            return ""
        kinds = self.kinds
        whole = kinds.field_type(location.name, location.field) if kinds.is_segment(location.name) else ""
        kind = kinds.component_type(whole, location.component) if whole and location.component else whole
        return kinds.pair_map(kind, target, self.known) if kind else ""

    def tested(
        self, when: Condition | None, path: str, place: Place, conditions: tuple[str, ...]
    ) -> Iterator[Reading]:
        for text in locations_of(when):
            location = locate(text)
            if location is not None:
                yield Reading(self.m.name, path, place, location, "condition", conditions)


_MOST = 4096
"""Maps, or message types of a sender, that are remembered. Maps never change: a changed one is another."""
_read: dict[int, tuple[MapDef, list[Reading]]] = {}


def _remembered(m: MapDef, known: frozenset[str], kinds: T.SourceTypes) -> list[Reading]:
    """Return the readings of a map."""
    if id(m) not in _read:
        if len(_read) >= _MOST:
            _read.clear()
        _read[id(m)] = (m, list(readings(m, known, kinds)))
    return _read[id(m)][1]


class _Asked:
    """What the rows of one message type read, by segment and field, and the answers given so far."""

    def __init__(self, maps: Mapping[str, MapDef], message: MessageDef | None, kinds: T.SourceTypes) -> None:
        self.kinds = kinds
        self.maps, self.message = maps, message  # held, so that no other ones can come by their ids
        self.known = frozenset(maps)
        self.answers: dict[tuple[str, tuple[int, int, int]], Why] = {}
        self.read: dict[tuple[str, int], list[tuple[tuple[str, ...], Reading]]] = {}
        lines = message.resources if message else ()
        for name, when in (
            [(n, r.when) for r in lines for n in r.rows] if message else [(n, None) for n in maps]
        ):
            made = _and((), when)
            for r in self.of(name):
                self.read.setdefault((r.location.name, r.location.field), []).append((made, r))

    def of(self, name: str) -> list[Reading]:
        return _remembered(self.maps[name], self.known, self.kinds) if name in self.maps else []


_asked: dict[tuple[int, int], _Asked] = {}


def forget(maps: Mapping[str, MapDef]) -> None:
    """Let go of what is remembered of maps that are out of use."""
    for key in [k for k, asked in [*_asked.items()] if asked.maps is maps]:
        _asked.pop(key, None)


def why_not(
    segment: str,
    place: tuple[int, int, int],
    maps: Mapping[str, MapDef],
    message: MessageDef | None = None,
    kinds: T.SourceTypes = T.HL7,
) -> Why:
    """Say why the leaf at (field, component, subcomponent) of a segment reached nothing, going by the maps
    alone."""
    asked = _asked.get((id(maps), id(message)))
    if asked is None or asked.maps is not maps:
        if len(_asked) >= _MOST:
            _asked.clear()
        asked = _asked[id(maps), id(message)] = _Asked(maps, message, kinds)
    answer = asked.answers.get((segment, place))
    if answer is None:
        answer = asked.answers[segment, place] = _why_not(segment, place, asked)
    return answer


def _why_not(segment: str, place: tuple[int, int, int], asked: _Asked) -> Why:
    field, component, sub = place
    excluded: list[Why] = []
    lacking: list[Why] = []
    silent: list[Why] = []
    decides: list[Why] = []
    for made, r in asked.read.get((segment, field), ()):
        at = r.location
        if at.component not in (0, component):
            continue
        if at.sub and at.sub != sub:
            continue
        if r.role != "value":
            decides.append(
                Why(
                    "decides",
                    f"only decides or names: read by row {r.name}",
                    r.name,
                    r.place,
                    r.conditions,
                )
            )
            continue
        conditions = (*made, *r.conditions)
        inner = _inside(r, (component, sub), asked.of)
        if inner is None:
            text = f"not mapped: {r.through} has no row for {segment}-{field}.{component}"
            lacking.append(Why("not mapped", text, r.name, r.place))
            continue
        conditions += inner
        if conditions:
            text = f"excluded: row {r.name} reads it only when {_all(conditions)}"
            excluded.append(Why("excluded", text, r.name, r.place, conditions))
        else:
            silent.append(Why("no effect", f"row {r.name} read it and made nothing of it", r.name, r.place))
    for found in (silent, excluded, lacking, decides):
        if found:
            return found[0]
    return Why("not mapped", "no row reads it")


def _all(conditions: tuple[str, ...]) -> str:
    return " and ".join(f"({c})" if " or " in c and len(conditions) > 1 else c for c in conditions)


def _inside(r: Reading, part: tuple[int, int], of: Callable[[str], list[Reading]]) -> tuple[str, ...] | None:
    """Say under which conditions a datatype map reads a part of the value; None if it has no row for it."""
    component, sub = part
    if not r.through or r.location.sub:
        return ()
    if r.location.component:
        component, sub = sub, 0
    found: list[Reading] = [
        x
        for x in of(r.through)
        if x.role == "value"
        and x.location.field in (0, component)
        and (not x.location.component or not sub or x.location.component == sub)
    ]
    if not found:
        return None
    return min((x.conditions for x in found), key=len)
