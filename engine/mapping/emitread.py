"""How generated code reads a message: locations -> expressions over raw text, conditions -> tests.

In: locations and conditions as rows hold them. Out: Python expressions over `f` (the own segment's fields),
`f_PID` (another's), `c` (the parts of a datatype) and the run `x`. HL7 v2.8.2 §2.5: field, repetition,
component, subcomponent.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import replace

from engine.fhir import definitions
from engine.kernel.errors import MapError
from engine.mapping import conditions as C
from engine.mapping.emitnames import (
    RAW,
    Env,
    Handle,
    Library,
    component_of,
    first_of,
    tests_of,
    variable,
    word_of,
)
from engine.mapping.locate import ABOVE, MINE, TOP, Location, locate
from engine.mapping.model import First, Join, Locate, Place, Row, Source, Step
from engine.mapping.read import read_target

__all__ = ["Reading"]


class Reading(ABC):
    """Writes lines, and the expressions that read a message."""

    def __init__(self, library: Library, rows: list[Row], trace: bool) -> None:
        self.library, self.rows, self.trace = library, rows, trace
        self.kinds = library.types
        self.lines: list[str] = []
        self.depth = 1
        self.count = 0
        self.needs: set[tuple[str, str]] = set()  # (function prefix + map, level)
        self.segments: set[str] = set()
        self.lists: dict[
            tuple[str, str, str], str
        ] = {}  # (container, element, label) -> the variable of its entries
        self.late: frozenset[tuple[str, str]] = (
            frozenset()
        )  # (element, label) of lists that rows come back to
        self.types: dict[str, str] = {}  # variable -> type of the element it holds
        self.spot = ""  # the variable of the segments of the entries that `each` makes
        self.spot_of = ("", "")  # and the element and label of these
        self.in_case = False
        self.base = "0"  # failures before this function began are not its own to settle

    # -- writing ---------------------------------------------------------------------------------------------

    def put(self, line: str) -> None:
        self.lines.append("    " * self.depth + line)

    def name(self, stem: str) -> str:
        self.count += 1
        return f"{stem}{self.count}"

    def mark(self, row: Row) -> None:
        """Note in the twin which row runs."""
        if self.trace:
            self.rows.append(row)
            self.put(f"x.row = {len(self.rows) - 1}")

    def error(self, what: str, place: Place, remedy: str = "", why: str = "") -> MapError:
        return MapError(what, where=str(place), why=why, remedy=remedy)

    def noted(self, row: Row, where: str) -> str:
        """Return the call that takes a row's note for people, `work:` as an item of the work list."""
        text = row.work or row.flag
        return f"x.flag({word_of(text)!r}, {where!r}, {text!r}{', True' if row.work else ''})"

    @abstractmethod
    def block(
        self, rows: tuple[Row, ...], type_: str, var: str, lab: str, env: Env, path: tuple[Step, ...]
    ) -> None:
        """Write all rows of one element."""

    @abstractmethod
    def filled(self, rows: tuple[Row, ...], type_: str, var: str, env: Env, path: tuple[Step, ...]) -> None:
        """Write child rows so that constants alone never make an entry."""

    # -- locations -------------------------------------------------------------------------------------------

    def type_of(self, loc: Location, env: Env | None = None) -> str:
        if env is not None and env.varies and (loc.name, loc.field) == ("OBX", 5):
            return env.varies
        return self.kinds.field_type(loc.name, loc.field, self.library.z_segments)

    def handle(self, text: str, env: Env, place: Place) -> Handle:
        """Return the raw value that a location names."""
        loc = locate(text)
        if loc is None:
            raise self.error(
                f"{text!r} is not a location", place, "write it like PID-5.1, PID-3(5=MR).1 or =constant"
            )
        if env.kind == "dt":
            if loc.name != env.own and self.kinds.same(loc.name) != self.kinds.same(env.own):
                raise self.error(f"{text}: a {env.own} map reads only {env.own}", place)
            if not loc.field:
                return Handle(
                    f"{'cs' if env.level == 'c' else 'ss'}.join(c)",
                    "rep" if env.level == "c" else "comp",
                    env.own,
                    env.own,
                )
            return self.part_of(
                Handle("c", "parts", env.own, text), loc.field, loc.component, env.level, text
            )
        own = env.bound.get((loc.name, loc.field))
        if own is not None and not loc.filtered and not loc.segment_tests:
            own = replace(own, type=self.type_of(loc, env)) if env.varies else own
            return self.narrow(own, loc) if loc.component else own
        if not loc.field:
            raise self.error(f"{text}: names a segment, not a field", place)
        kind = self.type_of(loc, None if loc.segment_tests else env)
        raw = "" if loc.segment_tests else f"{self.fields(loc, env)}[{loc.field}]"
        table = self.kinds.field_table(loc.name, loc.field)
        if loc.name in ("MSH", "BHS", "FHS") and loc.field in (1, 2):
            return Handle(raw, "rep", "ST", text)
        if loc.segment_tests:
            mine = ""
            if any(t.values in (MINE, TOP, ABOVE) for t in loc.segment_tests):
                if loc.name not in env.fields:
                    remedy = f"it compares with the {loc.name} that the row stands in"
                    raise self.error(f"{text}: there is no {loc.name} of mine here", place, remedy)
                mine = f", {env.fields[loc.name]}"
            raw = f"x.find({env.scope}, {loc.name!r}, {tests_of(loc.segment_tests)}, {loc.field}{mine})"
        if loc.n:
            h = Handle(f"nth({raw}, rs, {loc.n - 1})", "rep", kind, text, table)
        elif loc.only:
            h = Handle(f"only({raw}, rs)", "rep", kind, text, table)
        elif loc.tests:
            h = Handle(f"x.pick({raw}, {tests_of(loc.tests)})", "rep", kind, text, table, repeats=True)
        else:
            h = Handle(
                f"reps({raw}, rs)",
                "rep",
                kind,
                text,
                table,
                repeats=True,
                raw_field=raw if not loc.component else "",
            )
        if loc.component and not h.repeats:
            h = self.narrow(h, loc)
        return h

    def narrow(self, h: Handle, loc: Location) -> Handle:
        """Step from a repetition into its component and subcomponent."""
        if h.level != "rep":
            return h
        kind = self.kinds.component_type(h.type, loc.component)
        table = self.kinds.component_table(h.type, loc.component)
        out = Handle(component_of(h.expr, loc.component - 1), "comp", kind, h.where, table)
        if loc.sub:
            out = Handle(
                f"part({out.expr}, ss, {loc.sub - 1})",
                "sub",
                self.kinds.component_type(kind, loc.sub),
                h.where,
                self.kinds.component_table(kind, loc.sub),
            )
        return out

    def part_of(self, h: Handle, component: int, sub: int, level: str, where: str) -> Handle:
        kind = self.kinds.component_type(h.type, component)
        table = self.kinds.component_table(h.type, component)
        if level == "s":
            return Handle(
                f"c[{component - 1}]" if sub <= 1 else "''",
                "sub",
                kind if not sub else self.kinds.component_type(kind, sub),
                where,
                table,
            )
        out = Handle(f"c[{component - 1}]", "comp", kind, where, table)
        if sub:
            out = Handle(
                f"part(c[{component - 1}], ss, {sub - 1})",
                "sub",
                self.kinds.component_type(kind, sub),
                where,
                self.kinds.component_table(kind, sub),
            )
        return out

    def fields(self, loc: Location, env: Env) -> str:
        if loc.name in env.fields:
            return env.fields[loc.name]
        if env.scope != "g":
            return f"near(x, {env.scope}, {loc.name!r})"
        self.segments.add(loc.name)
        return variable(loc.name)

    def parts(self, h: Handle) -> str:
        return {"rep": f"{h.expr}.split(cs)", "comp": f"{h.expr}.split(ss)"}.get(h.level, f"[{h.expr}]")

    def textual(self, h: Handle) -> str:
        """The raw text of a primitive: the first part of a composite, else the whole."""
        if h.level == "rep" and self.kinds.is_composite(h.type):
            inner = f"{h.expr}.split(cs, 1)[0]"
            return (
                f"{inner}.split(ss, 1)[0]"
                if self.kinds.is_composite(self.kinds.component_type(h.type, 1))
                else inner
            )
        if h.level == "comp" and self.kinds.is_composite(h.type):
            return f"{h.expr}.split(ss, 1)[0]"
        return h.expr

    def selector(self, source: Source, env: Env, place: Place) -> str:
        if isinstance(source, First):
            return "(" + " or ".join(self.selector(s, env, place) for s in source.options) + ")"
        if isinstance(source, Join):
            return f"({self.join(source, env, place)} or '')"
        assert isinstance(source, Locate)
        loc = locate(source.text)
        h = self.handle(source.text, env, place)
        if h.repeats:
            assert loc is not None
            h = replace(h, expr=first_of(h.expr), repeats=False)
            if loc.component:
                h = self.narrow(h, loc)
        return f"x.text({self.textual(h)})"

    def whole(self, source: Source, env: Env) -> str:
        """The raw field that a component is read from: `""` there deletes the parts too; "" where there is
        none."""
        loc = locate(source.text) if isinstance(source, Locate) else None
        if (
            loc is None
            or not loc.component
            or loc.filtered
            or loc.segment_tests
            or env.kind != "seg"
            or (loc.name, loc.field) in env.bound
        ):
            return ""
        return f"{self.fields(loc, env)}[{loc.field}]"

    def raws(self, row: Row, env: Env) -> list[str]:
        """Raw expressions that are all empty exactly when nothing was sent for this row."""
        out: list[str] = []

        def walk(s: Source | None) -> None:
            if isinstance(s, Locate):
                h = self.handle(s.text, env, row.place)
                loc = locate(s.text)
                assert loc is not None
                if h.repeats and loc.component:
                    h = self.narrow(replace(h, expr=first_of(h.expr), repeats=False), loc)
                    out.append(h.expr)
                else:
                    out.append(h.raw_field or h.expr)
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
        return (
            "-" + texts[0].split("-", 1)[-1]
            if texts and texts[0].startswith(env.own + "-")
            else (texts[0] if texts else row.name)
        )

    @abstractmethod
    def join(self, source: Join, env: Env, place: Place) -> str:
        """Return the expression of text glued from several parts."""

    # -- conditions ------------------------------------------------------------------------------------------

    def condition(self, c: C.Condition | None, env: Env, place: Place | None = None) -> str:
        place = place or Place()
        if c is None:
            return "True"
        if isinstance(c, C.And):
            return "(" + " and ".join(self.condition(p, env, place) for p in c.parts) + ")"
        if isinstance(c, C.Or):
            return "(" + " or ".join(self.condition(p, env, place) for p in c.parts) + ")"
        if isinstance(c, C.Not):
            return f"not {self.condition(c.inner, env, place)}"
        if isinstance(c, C.TargetSet):
            return self.target_set(c.element, env)
        if isinstance(c, C.GroupThere):
            if env.kind != "seg":
                raise self.error(f"{c.group}: a datatype stands in no group", place)
            return f"{env.scope}.holds({c.group!r})"
        loc = locate(c.location)
        if loc is None:
            raise self.error(f"{c.location!r} is not a location", place)
        if not loc.field and env.kind == "seg":
            if loc.name == env.own:
                return "True"
            return f"({env.scope}.near({loc.name!r}) is not None)"
        h = self.handle(c.location, env, place)
        if isinstance(c, C.Cleared):
            return f"({h.raw_field or h.expr} == '\"\"')"
        if isinstance(c, C.Compare) and c.function == "count":
            if h.raw_field and not self.trace:
                return f"count({h.raw_field}, rs) {'==' if c.op == '=' else c.op} {c.values[0]}"
            return (
                f"len({h.expr}) {'==' if c.op == '=' else c.op} {c.values[0]}"
                if h.repeats
                else f"int(bool({h.expr})) {'==' if c.op == '=' else c.op} {c.values[0]}"
            )
        if h.repeats:
            if isinstance(c, C.Valued) and not loc.component:
                return self.valued(h.raw_field or first_of(h.expr))
            h = replace(h, expr=first_of(h.expr), repeats=False)
            if loc.component:
                h = self.narrow(h, loc)
        if isinstance(c, C.Valued):
            return self.valued(h.expr)
        text = f"x.text({self.textual(h)})"
        if isinstance(c, C.Looks):
            return f"looks({text}, {c.like!r})"
        assert isinstance(c, C.Compare)
        if c.function == "length":
            return f"len({text}) {'==' if c.op == '=' else c.op} {c.values[0]}"
        if c.op in ("=", "!="):
            values = tuple("" if v == '""' else v for v in c.values)
            return f"{text} {'in' if c.op == '=' else 'not in'} {values!r}"
        return f"number({text}, {c.op!r}, {c.values[0]})"

    def valued(self, expr: str) -> str:
        """Ask whether raw text says something; most fields are empty, which needs no call to see."""
        return f"({expr} and valued({expr}))" if RAW.fullmatch(expr) and not self.trace else f"valued({expr})"

    def target_set(self, element: str, env: Env) -> str:
        steps: list[Step] = []
        steps = list(read_target(element, ""))
        best: tuple[Step, ...] = ()
        for known in env.paths:
            if tuple(steps[: len(known)]) == known and len(known) >= len(best):
                best = known
        var = env.paths.get(best, env.top)
        rest = steps[len(best) :]
        if not rest:
            return f"bool({var})"
        if len(rest) == 1 and not self.trace:  # no element is ever empty
            if not rest[0].name.endswith("[x]"):
                return f"({rest[0].name!r} in {var})"
            names = self.alternatives(self.types.get(var, ""), rest[0].name)
            if names:
                return f"(not {names}.isdisjoint({var}))"
        return f"is_set({var}, {tuple(s.name for s in rest)!r})"

    def choices(self, type_: str, name: str) -> str:
        """Return the name of the set of sibling choice elements, or "" where the element is no choice."""
        found = definitions.element(type_, name)
        if found is None or not found.choice or found.name == name:
            return ""
        return self.alternatives(type_, found.name)

    def alternatives(self, type_: str, name: str) -> str:
        """Return the name of the set of the elements that `value[x]` stands for, or ""."""
        found = definitions.element(type_, name)
        if found is None or not found.choice:
            return ""
        return self.library.constant_set(
            tuple(sorted(definitions.concrete_name(found.name, k) for k in found.types))
        )
