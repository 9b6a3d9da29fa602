"""The loops of one X12 transaction set as maps see them: what a location reads, which loop a name means.

In: a tree of loops (formats/x12/walk.py). Out: `LoopScope`s. A bare location reads only the segments of the
row's own loop, never those of a neighbour, of an outer loop or of one inside: a REF or NM1 belongs to what it
stands under. Another loop is named (`2010BB/NM1-09`): the enclosing one, else the only one inside, else the
only one that stands directly in an enclosing loop. `ST/BPR-02` is the transaction set's own; ISA and GS stand
there too. Segments that hold several groups of elements (HI, CAS, PLB ...) are taken apart by `pieces`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from typing import Any

from engine.formats.x12.segments import Segment
from engine.formats.x12.separators import Guessed
from engine.formats.x12.tables import LoopRule, shape
from engine.formats.x12.walk import Loop
from engine.mapping.padded import EMPTY
from engine.mapping.traced import Address, TStr

__all__ = ["LoopScope", "Piece", "pieces"]


class LoopScope:
    """One loop: its own segments, the loops in it, the loop around it."""

    __slots__ = (
        "_by_code",
        "_made_at",
        "_pieces",
        "_places",
        "_text",
        "all",
        "groups",
        "inside",
        "name",
        "own",
        "padded",
        "parent",
        "top",
    )

    strict = True
    strangers: frozenset[str] = frozenset()

    def __init__(self, loop: Loop, parent: LoopScope | None, mark: str = "") -> None:
        self.name = loop.id or "ST"
        self.parent = parent
        self.top: LoopScope = self if parent is None else parent.top
        self.all: dict[str, list[LoopScope]] = {} if parent is None else parent.all
        self.all.setdefault(self.name, []).append(self)
        self.inside = _inside(loop.rule)  # ids of loops that may stand below
        self._made_at: dict[
            str, set[str]
        ] = {}  # of the top: resource line -> ids of the loops it made some at
        self.own: dict[str, list[Any]] = {}
        for s in loop.segments:
            self.own.setdefault(s.name, []).append(
                s if type(s.separators) is not Guessed else _plain(s, mark)
            )
        self.groups: dict[str, list[LoopScope]] = {}
        for inner in loop.loops:
            if inner.segments or inner.loops:
                self.groups.setdefault(inner.id, []).append(LoopScope(inner, self, mark))
        self.padded: dict[str, list[str]] = {}  # elements of segments read from here
        self._by_code: dict[str, dict[str, Any]] = {}
        self._pieces: dict[str, list[tuple[Any, LoopScope]]] = {}
        self._places: dict[str, LoopScope | bool | None] = {}
        self._text = ""

    @property
    def names(self) -> set[str]:
        """The ids of all loops of the transaction set and the segments in them: `2300`, `2300/REF`."""
        found = set(self.all)
        for name, scopes in self.all.items():
            here: set[str] = set().union(*(s.own for s in scopes))
            found |= here
            found.update(f"{name}/{segment}" for segment in here)
        found.update(f"ST/{segment}" for segment in self.top.own)
        return found

    @property
    def text(self) -> str:
        """The elements of its own segments, in order of their names."""
        if not self._text:
            self._text = "\x1e".join("\x1d".join(s.fields) for own in self.own.values() for s in own)
        return self._text

    # -- loops -----------------------------------------------------------------------------------------------

    def loop(self, ids: str) -> LoopScope | bool | None:
        """Find the loop that `2010BB` or `2010BA|2010CA` means from here; None = there is none, False =
        several and none is nearer."""
        if ids not in self._places:
            self._places[ids] = self._search(_ids(ids))
        return self._places[ids]

    def _search(self, ids: frozenset[str]) -> LoopScope | bool | None:
        if self.name in ids:
            return self
        level = [self] if not ids.isdisjoint(self.inside) else []
        while level := [g for s in level for gs in s.groups.values() for g in gs]:
            inside = [g for g in level if g.name in ids]
            if inside:
                return inside[0] if len(inside) == 1 else False
        came, at = self, self.parent
        while at is not None:
            if at.name in ids:
                return at
            beside = [g for name in ids for g in at.groups.get(name, ()) if g.name != came.name]
            if beside:
                return beside[0] if len(beside) == 1 else False
            came, at = at, at.parent
        return None

    def _below(self, ids: frozenset[str]) -> Iterator[LoopScope]:
        if ids.isdisjoint(self.inside):
            return
        for name, scopes in self.groups.items():
            for g in scopes:
                if name in ids:
                    yield g
                elif g.groups:
                    yield from g._below(ids)

    def loops(self, ids: str) -> list[LoopScope]:
        """The loops of these ids inside this one."""
        wanted = _ids(ids)
        if len(wanted) == 1:
            return self.groups.get(ids) or (list(self._below(wanted)) if self.groups else [])
        return list(self._below(wanted))

    def named(self, ids: str) -> list[LoopScope]:
        """The loops of these ids inside this one, else the one that the ids mean from here."""
        found = self.loops(ids)
        if not found and isinstance(one := self.loop(ids), LoopScope):
            return [one]
        return found

    def at(self, path: tuple[str, ...]) -> list[tuple[LoopScope, None]]:
        """Every loop that a line's `per` names, wherever it stands; the transaction set for an empty one."""
        if not path:
            return [(self, None)]
        found = [g for name in path[-1].split("|") for g in self.all.get(name, ())]
        return [(g, None) for g in found if len(path) == 1 or g._stands_in(path[:-1])]

    def _stands_in(self, path: tuple[str, ...]) -> bool:
        above = self.parent
        return (
            above is not None
            and above.name in _ids(path[-1])
            and (len(path) == 1 or above._stands_in(path[:-1]))
        )

    def holds(self, ids: str) -> bool:
        """Say whether this loop is, stands in, or has beside or inside it a loop of that id."""
        return self.loop(ids) is not None

    def within(self, other: object) -> bool:
        """Say whether this loop is `other` or inside it."""
        at: LoopScope | None = self
        while at is not None:
            if at is other:
                return True
            at = at.parent
        return False

    def relate(self, index: Mapping[tuple[int, str], list[Any]], name: str, many: bool) -> list[Any]:
        """Return the resources `name` that a link from here means: all inside this loop, else the one made at
        a loop around it, else the only one made at a loop that stands directly in one around it."""
        where = self.top._where(index, name)
        found = list(self._made(index, name, where))
        came, at = self, self.parent
        while not found and at is not None:
            found = index.get((id(at), name), [])[-1:]
            if not found:
                inner = [g for n, gs in at.groups.items() if n != came.name and n in where for g in gs]
                found = [n for g in inner for n in index.get((id(g), name), ())]
                if found:
                    return found if many or len(found) == 1 else []
            came, at = at, at.parent
        return found

    def _where(self, index: Mapping[tuple[int, str], list[Any]], name: str) -> set[str]:
        """The ids of the loops at which a line made resources; worked out for all lines at once."""
        if not self._made_at:
            for (_, line), nodes in index.items():
                self._made_at.setdefault(line, set()).add(nodes[0].scope.name)
        return self._made_at.get(name, set())

    def _made(self, index: Mapping[tuple[int, str], list[Any]], name: str, where: set[str]) -> Iterator[Any]:
        yield from index.get((id(self), name), ())
        if self.name == "ST" or not where.isdisjoint(self.inside):
            for scopes in self.groups.values():
                for g in scopes:
                    yield from g._made(index, name, where)

    # -- segments --------------------------------------------------------------------------------------------

    def near(self, name: str) -> Any:
        """The segment a location names: `NM1` in this loop, `2010BB/NM1` in that one, `2010BB` its first.

        None = not sent, False = several such loops and none is nearer.
        """
        here = self.own.get(name)
        if here:
            return here[0]
        ids, slash, segment = name.rpartition("/")
        if not slash:
            ids = name if name == self.name else ""
            return next((found[0] for found in self.own.values()), None) if ids else None
        found = self.top if ids == "ST" else self.loop(ids)
        if not isinstance(found, LoopScope):
            return found
        inner = found.own.get(segment)
        return inner[0] if inner else None

    def segments(self, name: str) -> list[Any]:
        """All segments that `REF` or `2330B/REF` names."""
        ids, slash, segment = name.rpartition("/")
        if not slash:
            return self.own.get(name, [])
        found = self.top if ids == "ST" else self.loop(ids)
        return found.own.get(segment, []) if isinstance(found, LoopScope) else []

    def pieces(self, name: str) -> list[tuple[Any, LoopScope]]:
        """The own segments of a name, taken apart into their groups of elements, each with this scope."""
        found = self._pieces.get(name)
        if found is None:
            own = self.own.get(name)
            found = self._pieces[name] = [(p, self) for s in own for p in pieces(s)] if own else []
        return found

    def coded(self, name: str, code: str) -> Any:
        """The first segment whose first element is `code`: `REF(01=G1)`."""
        known = self._by_code.get(name)
        if known is None:
            known = self._by_code[name] = {}
            for s in self.segments(name):
                known.setdefault(s.fields[1].strip() if len(s.fields) > 1 else "", s)
        return known.get(code)

    def release(self) -> None:
        """Let go of the ways up, so that the memory is free at once."""
        scopes = [s for found in self.all.values() for s in found]
        self.all.clear()
        for s in scopes:
            s.parent = None
            del s.top
            s._places.clear()
            s._pieces.clear()


@cache
def _inside(rule: LoopRule) -> frozenset[str]:
    """The ids of all loops that a loop may hold."""
    inner = [item for item in rule.items if isinstance(item, LoopRule)]
    return frozenset(i.id for i in inner).union(*map(_inside, inner))


@cache
def _ids(text: str) -> frozenset[str]:
    return frozenset(text.split("|"))


# -- groups of elements in one segment -----------------------------------------------------------------------


class _Groups:
    """Which elements of a segment repeat as a group: each group is read where the first one stands."""

    def __init__(self, starts: Iterable[int], size: int, shared: tuple[int, ...] = ()) -> None:
        self.starts, self.size, self.shared = tuple(starts), size, shared
        self.first = self.starts[0]
        self.width = max((self.first + size, *(n + 1 for n in shared)))


_GROUPS = {
    "HI": _Groups(range(1, 13), 1),
    "CAS": _Groups(range(2, 20, 3), 3, (1,)),
    "PLB": _Groups(range(3, 15, 2), 2, (1, 2)),
    "PER": _Groups(range(3, 9, 2), 2, (1, 2)),
    "CRC": _Groups(range(3, 8), 1, (1, 2)),
    "MOA": _Groups(range(3, 8), 1),
    "MIA": _Groups((5, 20, 21, 22, 23), 1),
    "STC": _Groups((1, 10, 11), 1, (2, 3, 4, 5, 6, 7, 8, 9, 12)),
    "LIN": _Groups(range(2, 31, 2), 2, (1,)),
    "IK5": _Groups(range(2, 7), 1, (1,)),
    "AK5": _Groups(range(2, 7), 1, (1,)),
    "AK9": _Groups(range(5, 10), 1, (1, 2, 3, 4)),
}

_REPEATED = {"EB": 3, "EQ": 1}
"""Segments that say the same of several: one piece for each repetition of that element."""


class Piece:
    """One group of elements of a segment, with what all its groups share; reads like a segment."""

    __slots__ = ("fields", "n", "name", "numbers", "offset", "rep")

    def __init__(
        self, s: Any, fields: list[str], numbers: dict[int, int], rep: tuple[int, int] = (0, 0)
    ) -> None:
        self.rep = rep  # (element, which of its repetitions the piece has)
        self.name, self.n, self.offset = s.name, s.n, s.offset
        self.fields = fields
        self.numbers = numbers  # place in `fields` -> number of the element in the segment

    def traced(self) -> list[str]:
        """The fields, each with the address it has in the segment."""
        many, which = self.rep
        return [
            TStr(v, (Address(self.name, self.n, self.numbers[i], which if i == many else 0),))
            if i in self.numbers
            else v
            for i, v in enumerate(self.fields)
        ]


def pieces(s: Any) -> list[Any]:
    """Take a segment apart into its valued groups of elements; one that has no groups stays whole."""
    elements = s.fields
    groups = _GROUPS.get(s.name)
    if groups is None:
        return _repetitions(s, _REPEATED[s.name]) if s.name in _REPEATED else [s]
    out = []
    for start in groups.starts:
        if start >= len(elements):
            break
        group = elements[start : start + groups.size]
        if not any(v.strip() for v in group):
            continue
        fields = EMPTY[: groups.width]
        fields[0] = s.name
        numbers = {}
        for n in groups.shared:
            if n < len(elements):
                fields[n], numbers[n] = elements[n], n
        for i, v in enumerate(group):
            fields[groups.first + i], numbers[groups.first + i] = v, start + i
        out.append(Piece(s, fields, numbers))
    return out


def _repetitions(s: Any, number: int) -> list[Any]:
    """Take a segment apart at an element that repeats; all else is shared."""
    mark = s.separators.repetition if isinstance(s, Segment) else ""
    fields = s.fields
    if not mark or number >= len(fields) or mark not in fields[number]:
        return [s]
    numbers = {i: i for i in range(1, len(fields))}
    said = enumerate(fields[number].split(mark), 1)
    return [
        Piece(s, [*fields[:number], v, *fields[number + 1 :]], numbers, (number, which))
        for which, v in said
        if v.strip()
    ]


def _plain(s: Segment, mark: str) -> Piece:
    """Read a segment by the mark that its components are plainly written with (formats/x12/components.py)."""
    known = shape(s.name) or ()
    fields = list(s.fields)
    for i in range(1, len(fields)):
        if i <= len(known) and known[i - 1][1]:
            fields[i] = fields[i].replace(s.separators.component, mark)
    return Piece(s, fields, {i: i for i in range(1, len(fields))})
