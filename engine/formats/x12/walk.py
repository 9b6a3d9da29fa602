"""Segments into loops: a transaction set's table walked with its segments, each landing in one loop.

In: the segments of ST..SE and a `Table`. Out: a tree of `Loop`s, or with `parts` one loop after another
(a claim of an 837, a payment of an 835), so that a transaction set of any length needs the memory of one.
A segment out of order, with a qualifier the guide does not know, or without any place lands in the nearest
loop and is marked so; nothing is left out. How a segment moves is worked out once for each (place, name,
qualifier) and remembered.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import NamedTuple

from engine.formats.x12.components import mend_components
from engine.formats.x12.segments import Segment
from engine.formats.x12.tables import ElementRule, LoopRule, SegmentRule, Table, shape

__all__ = ["Loop", "Walker", "around", "arrange", "parts"]

_PARTIES = ("NM1", "N1")
IN_ORDER, OUT_OF_ORDER, UNKNOWN_CODE, NO_PLACE, NO_SEGMENT = "", "7", "code", "2", "1"


class Loop:
    """One occurrence of a loop. `rules[i]` is where `segments[i]` landed, None where it has no place."""

    __slots__ = ("faults", "loops", "n", "parent", "rule", "rules", "segments")

    def __init__(self, rule: LoopRule, parent: Loop | None, n: int = 1) -> None:
        self.rule = rule
        self.parent = parent
        self.n = n  # which of its kind in its parent, from 1
        self.segments: list[Segment] = []
        self.rules: list[SegmentRule | None] = []
        self.faults: dict[int, str] = {}  # index of a segment -> why its place is not a right one
        self.loops: list[Loop] = []

    @property
    def id(self) -> str:
        """Give the loop's id, such as 2010AA; empty for the transaction set itself."""
        return self.rule.id

    def walk(self) -> Iterator[Loop]:
        """Give this loop and all inside it, as they stand in the input."""
        yield self
        for inner in self.loops:
            yield from inner.walk()

    def find(self, *ids: str) -> list[Loop]:
        """Give the loops of these ids inside this one."""
        return [loop for loop in self.walk() if loop.id in ids]

    def named(self, name: str, code: str = "") -> list[Segment]:
        """Give this loop's own segments of a name (and first element)."""
        return [s for s in self.segments if s.name == name and (not code or s.component(1) == code)]

    def first(self, name: str, code: str = "") -> Segment | None:
        """Give the first of this loop's own segments of a name (and first element)."""
        for s in self.segments:
            if s.name == name and (not code or s.component(1) == code):
                return s
        return None


class _Move(NamedTuple):
    up: int
    down: tuple[LoopRule, ...]
    rule: SegmentRule | None
    state: int
    fault: str


class Walker:
    """Put one segment after another into its loop."""

    def __init__(self, table: Table) -> None:
        self.table = table
        self.root = Loop(table.root, None)
        self.current = self.root
        self.state = _Memory.of(table).number(table.root, 0)
        self.memory = _Memory.of(table)

    def step(self, segment: Segment) -> list[Loop]:
        """Land a segment; gives the loops that it closed, innermost first."""
        chooser = self.table.choosers.get(segment.name)
        code = ""
        if chooser is not None:
            number, codes = chooser
            elements = segment.elements
            if number < len(elements):
                code = elements[number]
                if code and code not in codes:
                    code = code.split(segment.separators.component, 1)[0]
                    if code not in codes:
                        code = "?"
        move = self.memory.moves.get((self.state, segment.name, code))
        if move is None:
            move = self.memory.work_out(self.state, segment.name, code)
        current = self.current
        closed: list[Loop] = []
        for _ in range(move.up):
            closed.append(current)
            assert current.parent is not None
            current = current.parent
        for rule in move.down:
            n = 1
            for before in reversed(current.loops):
                if before.rule is rule:
                    n = before.n + 1
                    break
            inner = Loop(rule, current, n)
            current.loops.append(inner)
            current = inner
        if move.fault:
            current.faults[len(current.segments)] = move.fault
        current.segments.append(segment)
        current.rules.append(move.rule)
        self.current = current
        self.state = move.state
        return closed

    def finish(self) -> list[Loop]:
        """Give the loops still open, innermost first, without the root."""
        closed = []
        loop: Loop | None = self.current
        while loop is not None and loop.parent is not None:
            closed.append(loop)
            loop = loop.parent
        return closed


def arrange(segments: Iterable[Segment], table: Table) -> Loop:
    """Arrange the segments of one transaction set, ST..SE, as a tree."""
    walker = Walker(table)
    step = walker.step
    for segment in segments:
        mend_components(segment, table)
        step(segment)
    return walker.root


def parts(segments: Iterable[Segment], table: Table, *ids: str) -> Iterator[Loop]:
    """Give each loop of these ids once it is whole, then forget it; what encloses it can be read by `parent`.

    A loop that enclosed such ones (a subscriber) is given after them, without them, and forgotten too. The
    root comes last, with all that was not given.
    """
    walker = Walker(table)
    wanted = frozenset(ids)
    enclosing: set[int] = set()
    for segment in segments:
        mend_components(segment, table)
        for loop in walker.step(segment):
            if loop.id in wanted or id(loop) in enclosing:
                yield loop
                _forget(loop, enclosing)
    for loop in walker.finish():
        if loop.id in wanted or id(loop) in enclosing:
            yield loop
            _forget(loop, enclosing)
    yield walker.root


def _forget(loop: Loop, enclosing: set[int]) -> None:
    """Take a loop out of its parent; an empty one stays in its place so that the next is counted on."""
    assert loop.parent is not None
    enclosing.discard(id(loop))
    if loop.parent.parent is not None:
        enclosing.add(id(loop.parent))
    kept = Loop(loop.rule, loop.parent, loop.n)
    siblings = loop.parent.loops
    siblings[:] = [
        each for each in siblings if each is not loop and (each.rule is not loop.rule or each.segments)
    ]
    siblings.append(kept)


class _Memory:
    """Where segments go, as far as it was asked before; one for each table."""

    _all: dict[int, _Memory] = {}

    def __init__(self, table: Table) -> None:
        self.table = table
        self.moves: dict[tuple[int, str, str], _Move] = {}
        self.states: list[tuple[LoopRule, int]] = []
        self.numbers: dict[tuple[int, int], int] = {}
        self.strangers: dict[tuple[LoopRule, str], LoopRule] = {}

    @classmethod
    def of(cls, table: Table) -> _Memory:
        return cls._all.setdefault(id(table), cls(table))

    def number(self, loop: LoopRule, place: int) -> int:
        key = (id(loop), place)
        if key not in self.numbers:
            self.numbers[key] = len(self.states)
            self.states.append((loop, place))
        return self.numbers[key]

    def work_out(self, state: int, name: str, code: str) -> _Move:
        loop, place = self.states[state]
        move = self._search(loop, place, name, code)
        if len(self.moves) < 100_000:  # names are the sender's: no memory without end
            self.moves[state, name, code] = move
        return move

    def _search(self, loop: LoopRule, place: int, name: str, code: str) -> _Move:
        known = name in self.table.names
        for fits, late, fault in (
            (_fits, False, IN_ORDER),
            (_fits, True, OUT_OF_ORDER),
            (_named, False, UNKNOWN_CODE),
            (_named, True, UNKNOWN_CODE),
        ):
            if not known:
                break
            up, node, at = 0, loop, place
            while True:
                for item in node.items:
                    rule = item.first if isinstance(item, LoopRule) else item
                    # the segment that begins a loop begins another one, it is never the same loop's second
                    if (item.place < at and not late) or (item is node.items[0] and node.parent is not None):
                        continue
                    if rule.name == name and fits(rule, code):
                        if isinstance(item, LoopRule) and fault == UNKNOWN_CODE and name in _PARTIES:
                            item = self._stranger(node, name)
                            rule = item.first
                        down = (item,) if isinstance(item, LoopRule) else ()
                        return self._move(up, down, rule, fault)
                if node.parent is None or (late and name != "HL" and node.first.name == "HL"):
                    break  # what follows an HL is said of that level, never of the one above it
                up, at, node = up + 1, node.place, node.parent
            if fault == OUT_OF_ORDER and (found := self._below(loop, name, code)) is not None:
                return found
        if known and name == "HL":
            return self._strange_level(loop)
        fault = NO_SEGMENT if shape(name) is None else NO_PLACE
        return _Move(0, (), None, self.number(loop, place), fault)

    def _stranger(self, parent: LoopRule, name: str) -> LoopRule:
        """Give the loop of a party the guide does not know: its address must not become another's."""
        if (parent, name) not in self.strangers:
            like = [i for i in parent.items if isinstance(i, LoopRule) and i.first.name == name]
            loop = LoopRule(f"?{name}", "S", 0, like[-1].place, parent)
            names: set[str] = set()
            for rule in (rule for each in like for rule in each.items if isinstance(rule, SegmentRule)):
                if rule.name not in names:
                    loop.items.append(SegmentRule(rule.name, "S", 0, rule.place, _any(rule), loop))
                names.add(rule.name)
            self.strangers[parent, name] = loop
        return self.strangers[parent, name]

    def _strange_level(self, loop: LoopRule) -> _Move:
        """Open a loop for a level the guide does not know: no claim behind it must become another's."""
        chain = [loop]
        while (above := chain[-1].parent) is not None:
            chain.append(above)
        up = max((n for n, each in enumerate(chain, 1) if each.id == "?HL"), default=0)
        while chain[up].parent is not None and chain[up].first.name != "HL":
            up += 1
        node = chain[up]
        if (node, "HL") not in self.strangers:
            self.strangers[node, "HL"] = _unknown_level(node)
        strange = self.strangers[node, "HL"]
        return self._move(up, (strange,), strange.first, UNKNOWN_CODE)

    def _below(self, loop: LoopRule, name: str, code: str) -> _Move | None:
        """Find a loop whose outer loops are missing: they are opened empty."""
        up, node = 0, loop
        while True:
            for path in _descents(node):
                if path[-1].first.name == name and _fits(path[-1].first, code):
                    return self._move(up, path, path[-1].first, OUT_OF_ORDER)
            if node.parent is None or node.first.name == "HL":
                return None
            up, node = up + 1, node.parent

    def _move(self, up: int, down: tuple[LoopRule, ...], rule: SegmentRule, fault: str) -> _Move:
        return _Move(up, down, rule, self.number(rule.loop, rule.place), fault)


def _fits(rule: SegmentRule, code: str) -> bool:
    number = 3 if rule.name == "HL" else 2 if rule.name == "ENT" else 1
    codes = rule.codes(number)
    return not codes or code in codes or (not code and rule.elements[number].usage == "S")


def _any(rule: SegmentRule) -> dict[int, ElementRule]:
    return {number: ElementRule(number, "S", 0) for number in range(1, len(shape(rule.name) or ()) + 1)}


def _named(rule: SegmentRule, code: str) -> bool:
    return rule.name != "HL"  # a level nobody knows opens no loop of another


def _unknown_level(outer: LoopRule) -> LoopRule:
    """Make the rule of a level the guide does not know: it holds what one of this depth holds."""
    levels = [i for i in outer.items if isinstance(i, LoopRule) and i.first.name == "HL"]
    others = [i.place for i in outer.items if i not in levels]
    place = levels[-1].place if levels else 0
    if outer.parent is not None and place <= max(others):
        place = max(others) + 1  # nothing behind it goes on with the level around it
    loop = _copied(levels[0] if levels else outer, outer)
    loop.id, loop.place = "?HL", place
    head = loop.first
    head.elements = _any(head)
    return loop


def _copied(rule: LoopRule, parent: LoopRule) -> LoopRule:
    loop = LoopRule(rule.id, rule.usage, rule.maximum, rule.place, parent)
    for i in rule.items:
        if isinstance(i, LoopRule):
            loop.items.append(_copied(i, loop))
        else:
            loop.items.append(SegmentRule(i.name, i.usage, i.maximum, i.place, i.elements, loop))
    return loop


def _descents(loop: LoopRule) -> Iterator[tuple[LoopRule, ...]]:
    for item in loop.items:
        if isinstance(item, LoopRule):
            for inner in item.items:
                if isinstance(inner, LoopRule):
                    yield (item, inner)
            for path in _descents(item):
                if len(path) > 1:
                    yield (item, *path)


def around(loop: Loop, objects: Collection[str]) -> Iterator[Segment]:
    """Give the segments of what encloses a loop: its header, its parties, no other object and no sibling."""
    inner, outer = loop, loop.parent
    while outer is not None:
        yield from outer.segments
        for beside in outer.loops:
            if beside.id not in objects and beside.rule is not inner.rule:
                for each in beside.walk():
                    yield from each.segments
        inner, outer = outer, outer.parent
