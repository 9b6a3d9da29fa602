"""How generated code carries one row out: where its values come from, one by one, and what becomes of each.

In: a row and a function that takes the expression of each value. Out: lines of code. The order of the cases
in `value` is the language's: `each`, `by`, `make`, a default alone, children alone, a constant, joined text,
`[a, b]`, a location.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import replace

from engine.mapping import conditions as C
from engine.mapping.emitnames import (
    GLUE,
    RAW,
    Aim,
    Env,
    Handle,
    all_constant,
    first_of,
    ignored,
    reads_elsewhere,
)
from engine.mapping.emitvalues import FALLIBLE, Values
from engine.mapping.locate import Location, locate
from engine.mapping.model import Constant, First, Join, Locate, Row
from engine.mapping.values import BUILTIN

__all__ = ["Rows"]


class Rows(Values):
    """Writes rows."""

    @abstractmethod
    def by(self, row: Row, env: Env, write: Callable[[Row], None]) -> None:
        """Write a `by` table."""

    @abstractmethod
    def standing(self, row: Row, aim: Aim, env: Env) -> None:
        """Write `each` over loops, segments or their groups of elements (X12)."""

    @abstractmethod
    def one_by_one(self, row: Row, aim: Aim, env: Env) -> None:
        """Write a row whose entries are told one by one."""

    def per_repetition(self, row: Row, env: Env) -> Location | None:
        """Return the row's own repeating location when its `when` asks about that repetition's parts."""
        if not isinstance(row.source, Locate):
            return None
        own = locate(row.source.text)
        if (
            own is None
            or not own.field
            or own.filtered
            or env.kind != "seg"
            or (own.name, own.field) in env.bound
        ):
            return None
        for text in C.locations_of(row.when):
            other = locate(text)
            if (
                other
                and (other.name, other.field) == (own.name, own.field)
                and other.component
                and not other.filtered
            ):
                return own
        return None

    def value(
        self,
        row: Row,
        aim: Aim,
        env: Env,
    ) -> None:
        """Write whatever yields the value(s) of a row and hand each to `take`."""
        if row.each:
            self.each(row, aim, env)
        elif row.by is not None:
            self.by(
                row,
                env,
                lambda r: self.value(self.dressed(r, row), aim, env),
            )
        elif row.make and row.make_rows and row.make not in self.library.maps:
            self.make_inline(row, aim, env)
        elif row.source is None and row.default and not row.children:
            self.weak(row, aim, env)
        elif row.source is None and row.children:
            self.composite(row, aim, env, None)
        elif row.source is None:
            if env.value is None:
                raise self.error(
                    f"{row.name or aim.path[-1]}: no source",
                    row.place,
                    "give a location, a constant or `skip: reason`",
                )
            self.one(row, env.value, aim, env)
        elif isinstance(row.source, Constant):
            self.constant(row, aim, env)
        elif isinstance(row.source, Join):
            self.joined(row, row.source, aim, env)
        elif isinstance(row.source, First):
            self.first(row, row.source, aim, env)
        else:
            self.located(row, row.source, aim, env)

    def weak(
        self,
        row: Row,
        aim: Aim,
        env: Env,
    ) -> None:
        """Write a row that is nothing but a default: for a resource that does not exist yet, never over one
        that does."""
        self.put(f"x.weak.append({aim.path[0].name!r})")
        for d in row.default:
            self.value(d, aim, env)

    def dressed(self, inner: Row, outer: Row) -> Row:
        """Give a case's row what its table says for all cases."""
        return replace(
            inner,
            code=inner.code or outer.code,
            unmapped=inner.unmapped or outer.unmapped,
            target=inner.target or outer.target,
        )

    def first(
        self,
        row: Row,
        source: First,
        aim: Aim,
        env: Env,
    ) -> None:
        """Write `[a, b]`: the first one valued; an explicit delete stops the search."""
        depth = self.depth
        for i, option in enumerate(source.options):
            raw = " or ".join(self.raws(replace(row, source=option), env)) or "True"
            whole = self.whole(option, env)
            if whole:
                raw += f" or {whole} == '\"\"'"
            self.put(
                f"{'if' if i == 0 else 'elif'} {raw}:"
                if not isinstance(option, Constant)
                else ("else:" if i else "if True:")
            )
            self.depth += 1
            self.value(replace(row, source=option), aim, env)
            self.depth = depth

    def located(
        self,
        row: Row,
        source: Locate,
        aim: Aim,
        env: Env,
    ) -> None:
        h = self.handle(source.text, env, row.place)
        raw = h.raw_field
        if not raw and not self.trace and "(" in h.expr and len(found := set(RAW.findall(h.expr))) == 1:
            raw = found.pop()
        if raw and ((aim.many and h.repeats) or not reads_elsewhere(row.children, source.text)):
            self.put(f"if {raw}:")
            depth, self.depth = self.depth, self.depth + 1
            self.sent(row, source, h, aim, env)
            self.depth = depth
            return
        self.sent(row, source, h, aim, env)

    def sent(
        self,
        row: Row,
        source: Locate,
        h: Handle,
        aim: Aim,
        env: Env,
    ) -> None:
        """Write a row whose location is known to hold something, or whose location is no whole field."""
        loop = aim.many and h.repeats
        whole = h.raw_field or self.whole(source, env)
        if whole and env.top in env.paths.values() and len(aim.path) == 1 and self.kinds.format == "hl7v2":
            self.put(f"if {whole} == '\"\"': {aim.clear(h)}")
        if loop:
            r = self.name("r")
            self.put(f"for {r} in {h.expr}:")
            self.depth += 1
            one = replace(h, expr=r, repeats=False)
            loc = locate(source.text)
            assert loc is not None
            env = replace(
                env,
                bound={
                    **env.bound,
                    (loc.name, loc.field): replace(one, level="rep", type=self.type_of(loc, env)),
                },
            )
            if loc.component:
                one = self.narrow(one, loc)
            if self.per_repetition(row, replace(env, bound={})) is not None:
                self.put(f"if {self.condition(row.when, env)}:")
                self.depth += 1
                self.one(row, one, aim, env)
                self.depth -= 1
            else:
                self.one(row, one, aim, env)
            self.depth -= 1
            return
        if h.repeats:
            loc = locate(source.text)
            assert loc is not None
            h = replace(h, expr=first_of(h.expr), repeats=False)
            if loc.component:
                h = self.narrow(h, loc)
        self.one(row, h, aim, env)

    def one(
        self,
        row: Row,
        h: Handle,
        aim: Aim,
        env: Env,
    ) -> None:
        """Write the value of one raw value, with the row's children and what to do when it cannot be held."""
        v = self.name("v")
        if not h.expr.isidentifier():
            raw = self.name("h")
            self.put(f"{raw} = {h.expr}")
            h = replace(h, expr=raw)
        if row.split:
            self.put(f"for {v} in x.pieces({self.textual(h)}, {GLUE.get(row.split, row.split)!r}):")
            self.depth += 1
            aim.take(v)
            self.depth -= 1
            return
        if row.make:
            self.put(f"{v} = {self.made(row, h)}")
            if row.make_rows:
                o = self.name("o")
                self.put(f"{o} = x.body_of({v})")
                self.put(f"if {o} is not None:")
                self.depth += 1
                frame = self.name("k")
                self.put(f"{frame} = x.inside({o})")
                self.block(
                    row.make_rows,
                    row.make.rsplit("_", 1)[-1],
                    o,
                    "",
                    replace(env, paths={(): o}, top=o, value=h),
                    (),
                )
                self.put(f"x.outside({frame}, {o})")
                self.depth -= 1
        else:
            expr = self.convert(row, h, aim.target, env)
            if expr is None:
                if not row.children:
                    raise self.error(
                        f"{'.'.join(map(str, aim.path))}: no usual way from {h.type} ({h.where}) "
                        f"to {aim.target.type}",
                        row.place,
                        f"say `as: {h.type}_{aim.target.type}`, and write that map",
                    )
                self.composite(row, aim, replace(env, value=h), None)
                return
            self.put(f"{v} = {expr} if {h.expr} else None")
        if row.children or (row.default and any(r.target for r in row.default)):
            self.composite(row, aim, replace(env, value=h), v)
        else:
            self.put(f"if {v} is not None:")
            self.depth += 1
            aim.take(v)
            if aim.target.type == "dateTime":
                here = self.beside(aim)
                self.put(f"if x.lost: x.keep_original({here}, {self.spoken(h)}, {h.where!r})")
            self.depth -= 1
        if row.failed:
            self.put(f"if x.fails > {self.base}:")
            self.depth += 1
            self.put(f"x.forget({self.base})")
            for r in row.failed:
                if (r.flag or r.work) and r.source is None and not r.children:
                    self.put(self.noted(r, self.where(row, env)))
                    continue
                self.value(r, replace(aim, clear=ignored, many=False), env)
            self.depth -= 1
        elif (
            aim.target.type in FALLIBLE
            or row.as_
            or self.kinds.pair_map(h.type, aim.target.type, self.library.names) in BUILTIN
        ):
            if not self.in_case:
                self.put(f"if x.fails > {self.base}: x.settle({self.base}, {h.where!r})")

    def composite(
        self,
        row: Row,
        aim: Aim,
        env: Env,
        base: str | None,
    ) -> None:
        """Write an element that its child rows fill, over the value of the row's own map if there is one."""
        e = self.name("e")
        guard = self.guard(row.children, env) if base is None and not row.default else ""
        if guard:
            self.put(f"if {guard}:")
            self.depth += 1
        self.put(f"{e} = {{}}" if base is None else f"{e} = dict({base}) if {base} is not None else {{}}")
        target, path = aim.target, aim.path
        here = env.at(path, e)
        if base is None:
            self.filled(row.children, target.type, e, replace(here, override=False), path)
        else:
            self.put(f"if {e}:") if all_constant(row.children) and row.children else None
            self.depth += bool(all_constant(row.children) and row.children)
            if row.children:
                self.block(row.children, target.type, e, "", replace(here, override=True), path)
            self.depth -= bool(all_constant(row.children) and row.children)
        if row.default:
            self.put(f"if {e}:")
            self.depth += 1
            self.block(tuple(r for r in row.default if r.target), target.type, e, "", here, path)
            self.depth -= 1
        self.put(f"if {e}:")
        self.depth += 1
        aim.take(e)
        self.depth -= 1 + bool(guard)

    def spoken(self, h: Handle) -> str:
        """Return the text that a handle stands for."""
        return h.expr

    def each(
        self,
        row: Row,
        aim: Aim,
        env: Env,
    ) -> None:
        if self.kinds.format == "x12":
            self.standing(row, aim, env)
            return
        if row.known_by is not None or row.action is not None:
            self.one_by_one(row, aim, env)
            return
        s, f = self.name("s"), self.name("f")
        depth = self.depth
        if not self.trace:
            self.put(f"if {row.each_segment!r} in x.names:")
            self.depth += 1
        self.put(f"for {s} in x.each(g, s, {row.each!r}):")
        self.depth += 1
        self.put(f"{f} = fields({s}, x)")
        inner = replace(
            env,
            fields={**env.fields, row.each_segment: f},
            bound={k: v for k, v in env.bound.items() if k[0] != row.each_segment},
        )
        guarded = self.depth
        if row.when is not None:
            self.put(f"if {self.condition(row.when, inner)}:")
            self.depth += 1
        bare = replace(row, each="", when=None)
        spot = self.spot if row.each_segment != "NTE" else ""

        def taken(value: str) -> None:
            aim.take(value)
            if spot:
                self.put(f"{spot}.append({s})")

        self.value(bare, replace(aim, take=taken, clear=ignored, slot=None), inner)
        if row.when is not None and spot:
            self.depth = guarded
            self.put(f"else: x.refuse({self.spot_of!r}, {s})")
        self.depth = depth
