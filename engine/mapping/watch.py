"""The twin that reports: the traced program, written with a few lines more that tell a run of every row.

In: the maps of one site. Out: a `WatchedProgram`, whose functions call the run that seen.py describes. When a
map changes, what was compiled of the others is taken over: an analyst who types waits for one map alone.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import FunctionType
from typing import Any

from engine.mapping import conditions as C
from engine.mapping.compile import Program
from engine.mapping.emit import Emitter
from engine.mapping.emitnames import Aim, Env, Handle, Library, first_of
from engine.mapping.emittree import TreeEmitter
from engine.mapping.locate import locate
from engine.mapping.model import MapDef, Place, Row
from engine.mapping.seen import Spot
from engine.mapping.sheettext import condition_text

__all__ = ["WatchedProgram", "take_over"]


class WatchedEmitter(Emitter):
    """Writes functions that report, for messages of segments."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.numbers: dict[Spot, int] = {}
        self.current = -1  # the row being written
        self.top = -1  # the row whose values are being written
        self.asking = False

    def number(self, row: Row) -> int:
        """Return a row's number, giving it one the first time."""
        spot = row.place.file, row.place.line, row.place.column
        if spot not in self.numbers:
            self.rows.append(row)
            self.numbers[spot] = len(self.rows) - 1
        return self.numbers[spot]

    def mark(self, row: Row) -> None:
        super().mark(row)
        self.current = len(self.rows) - 1
        self.numbers[row.place.file, row.place.line, row.place.column] = self.current
        self.put(f"x.reached({self.current})")

    def put_value(self, row: Row, aim: Aim, env: Env, write: Callable[[Row, Aim, Env], None]) -> None:
        """Write a row's values so that each is told of before it is laid down."""
        n = self.number(row)
        if n == self.top:
            write(row, aim, env)
            return
        outer, self.top, before = self.top, n, self.current
        take = aim.take

        def told(value: str) -> None:
            w = self.name("w")
            self.put(f"{w} = {value}")
            self.put(f"x.gave({n}, {w})")
            take(w)

        write(row, replace(aim, take=told), env)
        self.top, self.current = outer, before

    def value(self, row: Row, aim: Aim, env: Env) -> None:
        self.put_value(row, aim, env, super().value)

    def mapped(self, name: str, h: Handle, place: Place) -> str:
        expr = super().mapped(name, h, place)
        return f"x.came(x.goes({name!r}, {h.where!r}, True), {expr})" if name in self.library.maps else expr

    def made(self, row: Row, h: Handle) -> str:
        return f"x.came(x.goes({row.make!r}, {h.where!r}, True), {super().made(row, h)})"

    def condition(self, c: C.Condition | None, env: Env, place: Place | None = None) -> str:
        if self.asking or c is None:
            return super().condition(c, env, place)
        self.asking = True
        expr = super().condition(c, env, place)
        parts = "".join(self._part(p, env, place) + ", " for p in _parts(c))
        self.asking = False
        n = self.number(Row((), place)) if place is not None and place.line else self.current
        return f"x.asked({n}, {expr}, lambda: ({parts}))" if n >= 0 else expr

    def _part(self, c: C.Condition, env: Env, place: Place | None) -> str:
        """Return what one part says, its test and the text it looks at, as a tuple in code."""
        inner = c.inner if isinstance(c, C.Not) else c
        text = "''"
        if not isinstance(inner, C.TargetSet | C.GroupThere | C.And | C.Or | C.Not):
            loc = None if self.library.tree else locate(inner.location)
            if self.library.tree or (loc is not None and loc.field):
                h = self.handle(inner.location, env, place or Place())
                if h.repeats and loc is not None:
                    h = replace(h, expr=first_of(h.expr), repeats=False)
                    h = self.narrow(h, loc) if loc.component else h
                text = f"x.text({self.textual(h)})"
        return f"({condition_text(c)!r}, {super().condition(c, env, place)}, {text})"


def _parts(c: C.Condition) -> tuple[C.Condition, ...]:
    """Return the tests that a condition is made of, each with its `not`."""
    if isinstance(c, C.And | C.Or):
        return tuple(p for part in c.parts for p in _parts(part))
    if isinstance(c, C.Not) and isinstance(c.inner, C.And | C.Or):
        return _parts(c.inner)
    return (c,)


class WatchedTreeEmitter(WatchedEmitter, TreeEmitter):
    """Writes functions that report, for documents."""


class WatchedProgram(Program):
    """The compiled maps of one site, watched."""

    def __init__(self, library: Library) -> None:
        super().__init__(library, trace=True)

    def emitter(self, rows: list[Row], trace: bool) -> Emitter:
        return (WatchedTreeEmitter if self.library.tree else WatchedEmitter)(self.library, self.rows, True)

    def prepare(self, name: str) -> Callable[[], None]:
        """Write a map's function and make it run at once: it is asked for again and again."""
        if name not in self._prepared:
            super().prepare(name)()
            self._prepared[name] = _done
        return self._prepared[name]

    def _body(self, e: Emitter, m: MapDef, rows: tuple[Row, ...], env: Env) -> list[str]:
        e.put(f"x.goes({m.name!r}, x.where, False)")
        super()._body(e, m, rows, env)
        e.put("x.came(None, None)")
        return e.lines


def _done() -> None:
    """It runs already."""


def take_over(new: WatchedProgram, old: WatchedProgram) -> None:
    """Take over what was compiled of maps that are the same in both; of none where one of the others has
    another type than it had, since that is written into those that call it."""
    before, after = old.library, new.library
    changed = {n for n, m in after.maps.items() if before.maps.get(n) != m}
    if (
        before.maps.keys() != after.maps.keys()
        or any(_type(before.maps[n]) != _type(after.maps[n]) for n in changed)
        or (before.tables, before.z_segments) != (after.tables, after.z_segments)
    ):
        return
    after.sets.update(before.sets)
    after.stems.update(before.stems)
    new.rows.extend(old.rows)
    stale = {f"{head}_{n}" for n in changed for head in ("M", "K")}
    stale |= {f"{head}_{n}_{level}" for n in changed for head in ("D", "R", "CH") for level in "csn"}
    for name, value in old.space.items():
        if name in stale or name in new.space or name.startswith(("W_", "WRITE_")):
            continue
        if isinstance(value, FunctionType) and value.__globals__ is old.space:
            value = FunctionType(value.__code__, new.space, name, value.__defaults__, value.__closure__)
        new.space[name] = value
    new._prepared.update((n, _done) for n in old._prepared if n not in changed)
    new.sources.update((n, text) for n, text in old.sources.items() if n not in changed)
    for name in sorted(changed):  # those that call it have only its name
        if f"M_{name}" in old.space:
            new.segment(name)
        for level in "csn":
            if f"D_{name}_{level}" in old.space and f"D_{name}_{level}" not in new.space:
                new.datatype(name, level)


def _type(m: MapDef) -> tuple[str, str, bool, bool]:
    """What those that call a map know of it."""
    return m.source, m.to, bool(m.levels), bool(m.key)
