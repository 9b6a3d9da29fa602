"""Rows -> Python for documents (CDA, SCRIPT): what the emitter writes differently where locations are paths.

Every path gives a list. A repeating element takes one entry of each that says something, a single one the
first. The rows inside a row that has a source start at its element, so do the rows of the resource it makes;
`when` and `by` of a row start where the row stands. Everything else is the language as it is for HL7 v2
(emit.py and the modules below it).
"""

from __future__ import annotations

from dataclasses import replace

from engine.formats.xml.paths import read_path
from engine.kernel.errors import MapError
from engine.mapping import conditions as C
from engine.mapping import types as T
from engine.mapping.emit import Emitter
from engine.mapping.emitnames import Aim, Env, Handle, is_constant, tests_target
from engine.mapping.locate import Location
from engine.mapping.model import First, Join, Locate, Place, Row, Source
from engine.mapping.tree_values import FUNCTIONS
from engine.mapping.treetypes import type_of_path

__all__ = ["TreeEmitter"]

MADE_HERE = "made_here"
"""`as: made_here`: References to the resources made of what stands in the element."""


class TreeEmitter(Emitter):
    """Writes the functions of one map that reads a document."""

    # -- locations -------------------------------------------------------------------------------------------

    def handle(self, text: str, env: Env, place: Place) -> Handle:
        """Return the list that a path names, seen from the element the row stands on."""
        try:
            path = read_path(text)
        except MapError as e:
            raise self.error(e.what, place, e.remedy, e.why) from None
        level = "leaf" if path.attribute else "node"
        expr = f"{self.library.path(text)}({env.ctx})"
        return Handle(expr, level, type_of_path(path), f"/{text}", repeats=True)

    def foremost(self, h: Handle) -> Handle:
        """The first of a list that says something."""
        return replace(h, expr=f"first({h.expr})", repeats=False) if h.repeats else h

    def narrow(self, h: Handle, loc: Location) -> Handle:
        return h

    def parts(self, h: Handle) -> str:
        return h.expr

    def textual(self, h: Handle) -> str:
        if h.repeats:
            h = self.foremost(h)
        return f"said({h.expr})" if h.level == "node" else h.expr

    def whole(self, source: Source, env: Env) -> str:
        return ""

    def selector(self, source: Source, env: Env, place: Place) -> str:
        if isinstance(source, First):
            return "(" + " or ".join(self.selector(s, env, place) for s in source.options) + ")"
        if isinstance(source, Join):
            return f"({self.join(source, env, place)} or '')"
        assert isinstance(source, Locate)
        return f"x.text({self.textual(self.handle(source.text, env, place))})"

    def raws(self, row: Row, env: Env) -> list[str]:
        out: list[str] = []

        def walk(s: Source | None) -> None:
            if isinstance(s, Locate):
                out.append(f"there({self.handle(s.text, env, row.place).expr})")
            elif isinstance(s, First):
                for q in s.options:
                    walk(q)
            elif isinstance(s, Join):
                for q in s.parts:
                    walk(q)

        walk(row.source if row.source is not None else row.by)
        return out

    def where(self, row: Row, env: Env) -> str:
        texts = [s.text for s in (row.source, row.by) if isinstance(s, Locate)]
        return f"/{texts[0]}" if texts else f" {row.name}"

    def join_part(self, p: Source, env: Env, place: Place, key: bool) -> str:
        if not isinstance(p, Locate):
            return super().join_part(p, env, place, key)
        h = self.handle(p.text, env, place)
        if key:
            return self.textual(h)
        return f"*[{self.textual(replace(h, expr='q', repeats=False))} for q in some({h.expr})]"

    def condition(self, c: C.Condition | None, env: Env, place: Place | None = None) -> str:
        place = place or Place()
        if isinstance(c, C.Valued):
            return f"there({self.handle(c.location, env, place).expr})"
        if isinstance(c, C.Cleared):
            raise self.error("`cleared` is for HL7 v2 alone", place, "a document never deletes by a sign")
        if isinstance(c, C.GroupThere):
            return f"g.holds({c.group!r})"
        if isinstance(c, C.Compare | C.Looks):
            h = self.handle(c.location, env, place)
            if isinstance(c, C.Looks):
                return f"looks(x.text({self.textual(h)}), {c.like!r})"
            op = "==" if c.op == "=" else c.op
            if c.function == "count":
                return f"len(some({h.expr})) {op} {c.values[0]}"
            if c.function == "length":
                return f"len(x.text({self.textual(h)})) {op} {c.values[0]}"
            if c.op in ("=", "!="):
                values = tuple("" if v == '""' else v for v in c.values)
                return f"{'not ' if c.op == '!=' else ''}among({h.expr}, {values!r})"
            return f"number(x.text({self.textual(h)}), {c.op!r}, {c.values[0]})"
        return super().condition(c, env, place)

    # -- rows ------------------------------------------------------------------------------------------------

    def per_repetition(self, row: Row, env: Env) -> Location | None:
        return None

    def guard(self, rows: object, env: Env) -> str:
        return ""

    def located(self, row: Row, source: Locate, aim: Aim, env: Env) -> None:
        """Write a row with a path: every element that says something, or the first that does."""
        h = self.handle(source.text, env, row.place)
        if aim.many:
            r = self.name("r")
            self.put(f"for {r} in some({h.expr}):")
            self.depth += 1
            self.one(row, replace(h, expr=r, repeats=False), aim, env)
            self.depth -= 1
            return
        self.one(row, self.foremost(h), aim, env)

    def one(self, row: Row, h: Handle, aim: Aim, env: Env) -> None:
        """Write the value of one element or text; the rows inside start at the element."""
        if not h.expr.isidentifier():
            raw = self.name("h")
            self.put(f"{raw} = {h.expr}")
            h = replace(h, expr=raw)
        start = len(self.lines)
        self.put(f"if {h.expr}:")
        self.depth += 1
        if h.level == "node":
            env = replace(env, ctx=h.expr)
            told = aim.target.primitive and not (row.as_ or row.make)
            if told:  # a code table and a date read what the element says
                raw = self.name("h")
                self.put(f"{raw} = said({h.expr})")
                h = replace(h, expr=raw, level="leaf", type="ST")
        super().one(row, h, aim, env)
        self.depth -= 1
        if len(self.lines) == start + 1:
            self.put("    pass")

    def spoken(self, h: Handle) -> str:
        return f"said({h.expr})" if h.level == "node" else h.expr

    def convert(self, row: Row, h: Handle, target: T.Target, env: Env) -> str | None:
        if row.as_ == MADE_HERE:
            return f"x.made_here({h.expr}, {target.targets!r})"
        return super().convert(row, h, target, env)

    def coded(self, row: Row, h: Handle, target: T.Target) -> str:
        table = row.code
        if target.primitive:
            return super().coded(row, h, target)
        if table not in self.library.tables:
            raise self.error(
                f"{row.name}: no code table {table}", row.place, f"put it at terminology/maps/{table}.csv"
            )
        if h.level == "leaf":
            local = f"x.code_alone({h.expr}, {target.type == 'Coding'})"
        else:
            name = (
                row.as_ or self.kinds.pair_map(h.type, target.type, self.library.names) or f"CD_{target.type}"
            )
            local = self.mapped(name, h, row.place)
        method = "coding" if target.type == "Coding" else "concept"
        return f"x.{method}({table!r}, {local}, (), {h.where!r}, {row.unmapped or 'keep'!r}, False)"

    def mapped(self, name: str, h: Handle, place: Place) -> str:
        if name in FUNCTIONS:
            return f"T_{name}({h.expr}, x)"
        if name not in self.library.maps:
            raise self.error(f"no map {name}", place, "write it under mappings, or name another")
        self.needs.add((name, "n"))
        return f"D_{name}_n({h.expr}, x)"

    def made(self, row: Row, h: Handle) -> str:
        name = row.make
        if name not in self.library.maps:
            raise self.error(
                f"make: no map {name}", row.place, "name a map from an element to a resource, or give rows:"
            )
        self.needs.add((name, "n"))
        return f"x.make_of({name!r}, {h.expr}, R_{name}_n)"

    def make_inline(self, row: Row, aim: Aim, env: Env) -> None:
        """Write `make: Type` with rows: a resource of its own, of the row's element or of the one around."""
        depth = self.depth
        if isinstance(row.source, Locate):
            h = self.handle(row.source.text, env, row.place)
            r = self.name("r")
            self.put(f"for {r} in some({h.expr}){'' if aim.many else '[:1]'}:")
            self.depth += 1
            env = replace(env, ctx=r, value=replace(h, expr=r, repeats=False))
        o, lab, k, v = self.name("o"), self.name("l"), self.name("k"), self.name("v")
        self.put(f"{k} = x.enter()")
        self.put(f"{o}, {lab} = {{}}, {{}}")
        inner = replace(env, paths={(): o}, top=o)
        constants = tuple(r for r in row.make_rows if is_constant(r) and not tests_target(r))
        self.block(tuple(r for r in row.make_rows if r not in constants), row.make, o, lab, inner, ())
        if constants:
            self.put(f"if {o}:")
            self.depth += 1
            self.block(constants, row.make, o, lab, inner, ())
            self.depth -= 1
        self.put(f"{v} = x.leave({k}, {row.make!r}, {'.'.join(map(str, aim.path))!r}, {o}, {lab})")
        self.put(f"if {v} is not None:")
        self.depth += 1
        aim.take(v)
        self.depth = depth

    def each(self, row: Row, aim: Aim, env: Env) -> None:
        """Write `each: path`: once for every element that says something; what is inside starts there."""
        h = self.handle(row.each, env, row.place)
        if h.level == "leaf":
            raise self.error(f"each: {row.each} names an attribute", row.place, "name an element")
        r = self.name("r")
        depth = self.depth
        self.put(f"for {r} in some({h.expr}):")
        self.depth += 1
        one = replace(h, expr=r, repeats=False)
        inner = replace(env, ctx=r, value=one)
        if row.when is not None:
            self.put(f"if {self.condition(row.when, inner)}:")
            self.depth += 1
        bare = replace(row, each="", when=None)
        spot, start, take = self.spot, len(self.lines), aim.take

        def taken(value: str) -> None:
            take(value)
            if spot:
                self.put(f"{spot}.append({r})")

        each = replace(aim, take=taken, slot=None)
        inline = bool(bare.make and bare.make_rows and bare.make not in self.library.maps)
        if bare.source is None and bare.by is None and not inline and not bare.children:
            self.one(bare, one, each, inner)
        else:
            self.value(bare, each, inner)
        if len(self.lines) == start:
            self.put("pass")
        self.depth = depth
