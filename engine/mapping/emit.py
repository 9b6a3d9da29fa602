"""Rows -> straight-line Python. One function per map; the text is readable (`hub map python NAME`) and runs as it stands.

The emitter knows both sides' types (types.py) and writes only from typed rows, so a map file cannot execute code. The
same text serves the fast run and the traced twin: what differs is the values it is given (run.py, traced.py); the twin
also gets `x.row = n` lines so that every value knows its row.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from engine.kernel.errors import MapError
from engine.mapping import conditions as C
from engine.mapping import types as T
from engine.mapping.locate import Location, locate
from engine.mapping.model import Case, Constant, First, Join, Locate, MapDef, Place, Row, Source, Step
from engine.mapping.values import BUILTIN, BULKY

__all__ = ["Emitter", "Env", "Handle", "Library", "is_constant"]

PRIMITIVE = {
    "date": "x.date", "dateTime": "x.date_time", "instant": "x.instant", "time": "x.time", "decimal": "x.decimal",
    "integer": "x.integer", "positiveInt": "x.positive", "unsignedInt": "x.integer", "boolean": "x.boolean",
    "code": "x.token", "id": "x.token", "oid": "x.uri", "uri": "x.uri", "url": "x.uri", "canonical": "x.uri", "uuid": "x.uri",
    "base64Binary": "x.string", "string": "x.string", "markdown": "x.string",
}  # fmt: skip
FALLIBLE = frozenset(["date", "dateTime", "instant", "time", "decimal", "integer", "positiveInt", "unsignedInt", "boolean", "uri", "url", "canonical", "oid", "uuid"])
_RAW = re.compile(r"\b(?:f\w*|c)\[\d+\]")
GLUE = {"space": " ", "newline": "\n", "comma": ", ", "": "", "dash": "-"}


@dataclass(frozen=True, slots=True)
class Handle:
    """A raw value in generated code: the expression, its level (rep, comp, sub, text) and its v2 type."""

    expr: str
    level: str
    type: str
    where: str
    table: str = ""
    repeats: bool = False
    raw_field: str = ""


@dataclass(frozen=True, slots=True)
class Env:
    """What names mean at one place of the generated code."""

    own: str
    kind: str  # seg | dt
    level: str = "c"  # dt: c = parts are components, s = subcomponents
    fields: dict[str, str] = field(default_factory=dict)  # segment -> variable of its field list
    bound: dict[tuple[str, int], Handle] = field(default_factory=dict)
    value: Handle | None = None
    paths: dict[tuple[Step, ...], str] = field(default_factory=dict)
    top: str = "o"
    override: bool = False  # child rows beside a row's own map: what they say stands over what the map said
    varies: str = ""  # the type of OBX-5 in the case of OBX-2 that is being written

    def at(self, path: tuple[Step, ...], var: str) -> Env:
        return replace(self, paths={**self.paths, path: var})


@dataclass(slots=True)
class Library:
    """The maps that one site sees, its Z-segments, and what the emitter learns on the way."""

    maps: dict[str, MapDef]
    tables: frozenset[str]
    constants: Callable[[str, str], dict[str, str] | None]  # (table, code) -> {system, code, display}
    identity_base: str
    z_segments: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    names: frozenset[str] = frozenset()
    sets: dict[tuple[str, ...], str] = field(default_factory=dict)

    def constant_set(self, names: tuple[str, ...]) -> str:
        """Name a set of words that generated code refers to; `sets` holds them."""
        if names not in self.sets:
            self.sets[names] = f"SET{len(self.sets)}"
        return self.sets[names]

    def __post_init__(self) -> None:
        self.names = frozenset(self.maps) | frozenset(BUILTIN)


def is_constant(row: Row) -> bool:
    """Say whether a row writes nothing but constants, whatever the message says."""
    if row.by is not None or row.each or row.make:
        return False
    if row.source is None:
        return bool(row.children) and all(map(is_constant, row.children))
    return isinstance(row.source, Constant) and all(map(is_constant, row.children))


def _pure(rows: Iterable[Row]) -> bool:
    return all(is_constant(r) and r.when is None for r in rows)


class Emitter:
    """Writes the functions of one map."""

    def __init__(self, library: Library, rows: list[Row], trace: bool) -> None:
        self.library, self.rows, self.trace = library, rows, trace
        self.lines: list[str] = []
        self.depth = 1
        self.count = 0
        self.needs: set[tuple[str, str]] = set()  # (function prefix + map, level)
        self.segments: set[str] = set()
        self.lists: dict[tuple[str, str, str], str] = {}  # (container, element, label) -> the variable of its entries
        self.late: frozenset[tuple[str, str]] = frozenset()  # (element, label) of lists that rows come back to
        self.types: dict[str, str] = {}  # variable -> type of the element it holds
        self.spot = ""
        self.in_case = False
        self.base = "0"  # failures before this function began are not its own to settle

    # -- writing -----------------------------------------------------------------------------------------------------

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

    # -- blocks of rows ----------------------------------------------------------------------------------------------

    def block(self, rows: tuple[Row, ...], type_: str, var: str, lab: str, env: Env, path: tuple[Step, ...]) -> None:
        """Write all rows of one element: ordinary rows first, then those that test what has become of the target."""
        outer, self.lists, self.types[var] = (self.lists, self.late), {}, type_
        self.late = frozenset((r.target[0].name, r.target[0].label) for r in rows if r.target and _tests_target(r))
        for late in (False, True):
            groups: dict[str, list[Row]] = {}
            for r in rows:
                if _tests_target(r) is late:
                    groups.setdefault(r.target[0].name if r.target else "", []).append(r)
            for name, group in groups.items():
                self.element(name, group, type_, var, lab, env, path)
        self.lists, self.late = outer

    def element(self, name: str, group: list[Row], type_: str, var: str, lab: str, env: Env, path: tuple[Step, ...]) -> None:
        if name.endswith("[x]"):
            for r in group:
                self.choice(r, type_, var, lab, env, path)
            return
        target = T.child_of(type_, name)
        if target is None or (not target.type and not all(len(r.target) == 1 and r.skip for r in group)):
            near = "" if target else f"{type_.split('.')[0]} has no element {name}"
            raise self.error(f"{group[0].name}: unknown element", group[0].place, near or f"{name} may hold several types: name one, e.g. valueQuantity")
        if target.repeats:
            self.list_element(name, group, target, var, lab, env, path)
        else:
            self.single_element(name, group, target, type_, var, env, path)

    def list_element(self, name: str, group: list[Row], target: T.Target, var: str, lab: str, env: Env, path: tuple[Step, ...]) -> None:
        by_label: dict[str, list[Row]] = {}
        for r in group:
            by_label.setdefault(r.target[0].label, []).append(r)
        for label, rows in by_label.items():
            again = self.lists.get((var, name, label))
            sent = ""
            if not again and (name, label) not in self.late and not any(map(is_constant, rows)):
                sent = self.guard(rows, env)
            if sent:
                self.put(f"if {sent}:")
                self.depth += 1
            made = again or self.name("L")
            self.lists[var, name, label] = made
            if again:
                self.put(f"N{made} = len({made})")
            else:
                self.put(f"{made} = []")
            spots = any(r.each and r.each not in ("NTE",) for r in rows) and bool(lab)
            if spots:
                self.put(f"M{made} = []")
                self.spot = f"M{made}"
            here = (*path, Step(name, label))
            for r in (r for r in rows if len(r.target) == 1):
                self.mark(r)
                self.entries(r, target, made, env, here, f"{name}({label})" if label else name)
            deeper = tuple(replace(r, target=r.target[1:]) for r in rows if len(r.target) > 1)
            beside = ""
            if deeper and target.primitive:
                beside = self.name("e")
                self.put(f"{beside} = {{}}")
                self.block(deeper, target.type, beside, "", env, here)
            elif deeper:
                self.touch(deeper, target, made, env, here)
            if again:
                self.put(f"if len({made}) > N{made}: {self.add(var, lab, name, label, f'{made}[N{made}:]', 'NONE')}")
            elif spots:
                self.put(f"if {made}: put_all_of({var}, {lab}, {name!r}, {label!r}, {made}, M{made}, x)")
                self.spot = ""
            elif lab:
                self.put(f"if {made}: {self.add(var, lab, name, label, made, 'x.before')}")
            else:
                self.put(f"if {made}: {self.add(var, lab, name, label, made, 'NONE')}")
            if beside:
                self.put(f"if {beside}: beside({var}, {name!r}, {beside})")
            self.depth -= bool(sent)

    def add(self, var: str, lab: str, name: str, label: str, entries: str, before: str) -> str:
        """Return the call that appends entries to a list. Labels of lists deeper than the resource are kept by the
        twin alone, for inline tests."""
        if not lab and not self.trace:
            return f"put_entries({var}, {name!r}, {entries})"
        return f"put_list({var}, {lab or f'x.labels_of({var}, {name!r})'}, {name!r}, {label!r}, {entries}, {before})"

    def touch(self, rows: tuple[Row, ...], target: T.Target, made: str, env: Env, here: tuple[Step, ...]) -> None:
        """Write rows such as `address(list).district`: into the entries made, or a new one when something is valued."""
        fresh, e = self.name("n"), self.name("e")
        sent = self.guard(rows, env) if not any(map(is_constant, rows)) else ""
        if sent:
            self.put(f"if {sent}:")
            self.depth += 1
        self.put(f"{fresh} = not {made}")
        bare = len(here) == 1 and all(is_constant(r) and not _tests_target(r) and r.target[0].name != "extension" for r in rows)
        alone = "" if bare else " or [{}]"  # a constant never makes an entry; an extension may say that there is none
        self.put(f"for {e} in {made}{alone}:")
        self.depth += 1
        self.filled(rows, target.type, e, replace(env.at(here, e), override=False), here)
        self.put(f"if {fresh} and {e}: {made}.append({e})")
        self.depth -= 1 + bool(sent)

    def filled(self, rows: tuple[Row, ...], type_: str, var: str, env: Env, path: tuple[Step, ...]) -> None:
        """Write child rows so that constants alone never make an entry."""
        fed = {r.target[0] for r in rows if not is_constant(r) and r.target}
        constants = tuple(r for r in rows if is_constant(r) and not _tests_target(r) and (len(r.target) == 1 or r.target[0] not in fed))
        others = tuple(r for r in rows if r not in constants)
        start = len(self.lines)
        if others:
            self.block(others, type_, var, "", env, path)
            if constants:
                self.put(f"if {var}:")
                self.depth += 1
                self.block(constants, type_, var, "", env, path)
                self.depth -= 1
        else:
            self.block(constants, type_, var, "", env, path)
        if len(self.lines) == start:
            self.put("pass")

    def single_element(self, name: str, group: list[Row], target: T.Target, type_: str, var: str, env: Env, path: tuple[Step, ...]) -> None:
        choices = self.choices(type_, name)
        base = any(len(r.target) == 1 and not r.target[0].label for r in group)
        for r in (r for r in group if len(r.target) == 1):
            self.mark(r)
            if r.target[0].label and not target.primitive:
                self.onto(r, target, var, name, env, (*path, r.target[0]))
                if base or _tests_target(r):
                    continue
            self.single(r, target, var, name, env, (*path, r.target[0]), choices)
        deeper = [r for r in group if len(r.target) > 1]
        if not deeper:
            return
        slot = "_" + name if target.primitive else name
        e, fresh = self.name("e"), self.name("n")
        sent = self.guard(deeper, env) if not any(map(is_constant, deeper)) else ""
        if sent:
            self.put(f"if {sent}:")
            self.depth += 1
        self.put(f"{e} = {var}.get({slot!r})")
        self.put(f"{fresh} = {e} is None")
        self.put(f"if {fresh}: {e} = {{}}")
        here = (*path, Step(name))
        rows = tuple(replace(r, target=r.target[1:]) for r in deeper)
        self.filled(rows, target.type, e, replace(env if target.primitive else env.at(here, e), override=False), here)
        guard = f" and {choices}.isdisjoint({var})" if choices else ""
        self.put(f"if {fresh} and {e}{guard}: {var}[{slot!r}] = {e}")
        if not path and all(map(_tests_target, deeper)):
            self.put(f"if {fresh} and {e}: x.weak.append({slot!r})")
        self.depth -= bool(sent)

    def onto(self, row: Row, target: T.Target, var: str, name: str, env: Env, path: tuple[Step, ...]) -> None:
        """Write a labelled row such as `valueQuantity(unit)`: into the element another row made, never alone."""
        if row.skip:
            return
        self.put(f"if {name!r} in {var} and {self.condition(row.when, env)}:")
        self.depth += 1

        def take(value: str) -> None:
            self.put(f"onto({var}[{name!r}], {value})")

        self.value(row, target, env, path, take, lambda _: "pass", many=False)
        self.put("pass")
        self.depth -= 1

    def choices(self, type_: str, name: str) -> str:
        """Return the name of the set of sibling choice elements, or "" where the element is no choice."""
        from engine.fhir import definitions

        found = definitions.element(type_, name)
        if found is None or not found.choice or found.name == name:
            return ""
        return self.alternatives(type_, found.name)

    def alternatives(self, type_: str, name: str) -> str:
        """Return the name of the set of the elements that `value[x]` stands for, or ""."""
        from engine.fhir import definitions

        found = definitions.element(type_, name)
        if found is None or not found.choice:
            return ""
        return self.library.constant_set(tuple(sorted(definitions.concrete_name(found.name, k) for k in found.types)))

    # -- one element, one value --------------------------------------------------------------------------------------

    def single(self, row: Row, target: T.Target, var: str, name: str, env: Env, path: tuple[Step, ...], choices: str = "") -> None:
        """Write one row into a single element."""
        if row.skip:
            return
        free = f"{choices}.isdisjoint({var})" if choices else f"{name!r} not in {var}"
        over = env.override and not is_constant(row) and not choices
        if over:
            free = "True"
        guard = f"{self.condition(row.when, env)} and {free}" if row.when is not None else free
        if self.trace:
            guard = self.condition(row.when, env) if row.when is not None else "True"
        self.put(f"if {guard}:")
        self.depth += 1

        def take(value: str) -> None:
            if self.trace and not over:
                self.put(f"put_one({var}, {name!r}, {value}, x)")
            else:
                self.put(f"{var}[{name!r}] = {value}")
            if row.flag:
                self.put(f"x.flag({_word(row.flag)!r}, {self.where(row, env)!r}, {row.flag!r})")

        self.value(row, target, env, path, take, lambda h: f"x.cleared.append({name!r})", many=False, slot=(var, name))
        self.depth -= 1
        if row.default and all(not r.target for r in row.default):
            empty = " and ".join(f"not {e}" for e in self.raws(row, env)) or "True"
            when = f" and {self.condition(row.when, env)}" if row.when is not None else ""
            self.put(f"if {free} and {empty}{when}:")
            self.depth += 1
            for d in row.default:
                self.mark(row)
                self.single(replace(d, target=row.target), target, var, name, env, path, choices)
            self.depth -= 1

    def entries(self, row: Row, target: T.Target, made: str, env: Env, path: tuple[Step, ...], shown: str) -> None:
        """Write one row into a repeating element: an entry per repetition."""
        if row.skip:
            return
        inside = row.when is not None and not row.each
        if inside:
            assert row.when is not None
            bound = self.per_repetition(row, env)
            if bound is None:
                self.put(f"if {self.condition(row.when, env)}:")
                self.depth += 1

        def take(value: str) -> None:
            self.put(f"{made}.append({value})")
            if row.flag:
                self.put(f"x.flag({_word(row.flag)!r}, {self.where(row, env)!r}, {row.flag!r})")

        self.value(row, target, env, path, take, lambda h: f"x.cleared.append({shown!r})", many=True)
        if inside and self.per_repetition(row, env) is None:
            self.depth -= 1
        if row.default and all(not r.target for r in row.default):
            empty = " and ".join(f"not {e}" for e in self.raws(row, env)) or "True"
            self.put(f"if not {made} and {empty}:")
            self.depth += 1
            for d in row.default:
                self.entries(replace(d, target=row.target), target, made, env, path, shown)
            self.depth -= 1

    def per_repetition(self, row: Row, env: Env) -> Location | None:
        """Return the row's own repeating location when its `when` asks about that repetition's parts."""
        if not isinstance(row.source, Locate):
            return None
        own = locate(row.source.text)
        if own is None or not own.field or own.filtered or env.kind != "seg" or (own.name, own.field) in env.bound:
            return None
        for text in C.locations_of(row.when):
            other = locate(text)
            if other and (other.name, other.field) == (own.name, own.field) and other.component and not other.filtered:
                return own
        return None

    def value(
        self,
        row: Row,
        target: T.Target,
        env: Env,
        path: tuple[Step, ...],
        take: Callable[[str], None],
        clear: Callable[[Handle], str],
        *,
        many: bool,
        slot: tuple[str, str] | None = None,
    ) -> None:
        """Write whatever yields the value(s) of a row and hand each to `take`."""
        if row.each:
            self.each(row, target, env, path, take, many)
        elif row.by is not None:
            self.by(row, env, lambda r: self.value(self.dressed(r, row), target, env, path, take, clear, many=many, slot=slot))
        elif row.make and row.make_rows and row.make not in self.library.maps:
            self.make_inline(row, env, path, take, many)
        elif row.source is None and row.default and not row.children:
            self.weak(row, target, env, path, take, clear, many, slot)
        elif row.source is None and row.children:
            self.composite(row, target, env, path, take, None)
        elif row.source is None:
            if env.value is None:
                raise self.error(f"{row.name or path[-1]}: no source", row.place, "give a location, a constant or `skip: reason`")
            self.one(row, env.value, target, env, path, take, slot)
        elif isinstance(row.source, Constant):
            self.constant(row, target, env, path, take)
        elif isinstance(row.source, Join):
            self.joined(row, row.source, target, env, path, take)
        elif isinstance(row.source, First):
            self.first(row, row.source, target, env, path, take, clear, many, slot)
        else:
            self.located(row, row.source, target, env, path, take, clear, many, slot)

    def weak(
        self, row: Row, target: T.Target, env: Env, path: tuple[Step, ...], take: Callable[[str], None], clear: Callable[[Handle], str], many: bool, slot: tuple[str, str] | None
    ) -> None:
        """Write a row that is nothing but a default: for a resource that does not exist yet, never over one that does."""
        self.put(f"x.weak.append({path[0].name!r})")
        for d in row.default:
            self.value(d, target, env, path, take, clear, many=many, slot=slot)

    def dressed(self, inner: Row, outer: Row) -> Row:
        """Give a case's row what its table says for all cases."""
        return replace(inner, code=inner.code or outer.code, unmapped=inner.unmapped or outer.unmapped, target=inner.target or outer.target)

    def first(
        self, row: Row, source: First, target: T.Target, env: Env, path: tuple[Step, ...], take: Callable[[str], None], clear: Callable[[Handle], str], many: bool, slot: tuple[str, str] | None
    ) -> None:
        """Write `[a, b]`: the first one valued; an explicit delete stops the search."""
        depth = self.depth
        for i, option in enumerate(source.options):
            raw = " or ".join(self.raws(replace(row, source=option), env)) or "True"
            whole = self.whole(option, env)
            if whole:
                raw += f" or {whole} == '\"\"'"
            self.put(f"{'if' if i == 0 else 'elif'} {raw}:" if not isinstance(option, Constant) else ("else:" if i else "if True:"))
            self.depth += 1
            self.value(replace(row, source=option), target, env, path, take, clear, many=many, slot=slot)
            self.depth = depth

    def whole(self, source: Source, env: Env) -> str:
        """The raw field that a component is read from: `""` there deletes the parts too; "" where there is none."""
        loc = locate(source.text) if isinstance(source, Locate) else None
        if loc is None or not loc.component or loc.filtered or loc.segment_tests or env.kind != "seg" or (loc.name, loc.field) in env.bound:
            return ""
        return f"{self.fields(loc, env)}[{loc.field}]"

    def located(
        self, row: Row, source: Locate, target: T.Target, env: Env, path: tuple[Step, ...], take: Callable[[str], None], clear: Callable[[Handle], str], many: bool, slot: tuple[str, str] | None
    ) -> None:
        h = self.handle(source.text, env, row.place)
        raw = h.raw_field
        if not raw and not self.trace and "(" in h.expr and len(found := set(_RAW.findall(h.expr))) == 1:
            raw = found.pop()
        if raw and ((many and h.repeats) or not _reads_elsewhere(row.children, source.text)):
            self.put(f"if {raw}:")
            depth, self.depth = self.depth, self.depth + 1
            self.sent(row, source, h, target, env, path, take, clear, many, slot)
            self.depth = depth
            return
        self.sent(row, source, h, target, env, path, take, clear, many, slot)

    def sent(
        self, row: Row, source: Locate, h: Handle, target: T.Target, env: Env, path: tuple[Step, ...], take: Callable[[str], None], clear: Callable[[Handle], str], many: bool, slot: tuple[str, str] | None
    ) -> None:
        """Write a row whose location is known to hold something, or whose location is no whole field."""
        loop = many and h.repeats
        whole = h.raw_field or self.whole(source, env)
        if whole and env.top in env.paths.values() and len(path) == 1:
            self.put(f"if {whole} == '\"\"': {clear(h)}")
        if loop:
            r = self.name("r")
            self.put(f"for {r} in {h.expr}:")
            self.depth += 1
            one = replace(h, expr=r, repeats=False)
            loc = locate(source.text)
            assert loc is not None
            env = replace(env, bound={**env.bound, (loc.name, loc.field): replace(one, level="rep", type=self.type_of(loc, env))})
            if loc.component:
                one = self.narrow(one, loc)
            if self.per_repetition(row, replace(env, bound={})) is not None:
                self.put(f"if {self.condition(row.when, env)}:")
                self.depth += 1
                self.one(row, one, target, env, path, take, slot)
                self.depth -= 1
            else:
                self.one(row, one, target, env, path, take, slot)
            self.depth -= 1
            return
        if h.repeats:
            loc = locate(source.text)
            assert loc is not None
            h = replace(h, expr=_first(h.expr), repeats=False)
            if loc.component:
                h = self.narrow(h, loc)
        self.one(row, h, target, env, path, take, slot)

    def one(self, row: Row, h: Handle, target: T.Target, env: Env, path: tuple[Step, ...], take: Callable[[str], None], slot: tuple[str, str] | None = None) -> None:
        """Write the value of one raw value, with the row's children and what to do when it cannot be held."""
        v = self.name("v")
        if not h.expr.isidentifier():
            raw = self.name("h")
            self.put(f"{raw} = {h.expr}")
            h = replace(h, expr=raw)
        if row.split:
            self.put(f"for {v} in x.pieces({self.textual(h)}, {GLUE.get(row.split, row.split)!r}):")
            self.depth += 1
            take(v)
            self.depth -= 1
            return
        if row.make:
            self.put(f"{v} = {self.made(row, h)}")
            if row.make_rows:
                o = self.name("o")
                self.put(f"{o} = x.body_of({v})")
                self.put(f"if {o} is not None:")
                self.depth += 1
                start = len(self.lines)
                self.block(row.make_rows, row.make.rsplit("_", 1)[-1], o, "", replace(env, paths={(): o}, top=o, value=h), ())
                if len(self.lines) == start:
                    self.put("pass")
                self.depth -= 1
        else:
            expr = self.convert(row, h, target, env)
            if expr is None:
                if not row.children:
                    raise self.error(
                        f"{'.'.join(map(str, path))}: no usual way from {h.type} ({h.where}) to {target.type}", row.place, f"say `as: {h.type}_{target.type}`, and write that map"
                    )
                self.composite(row, target, replace(env, value=h), path, take, None)
                return
            self.put(f"{v} = {expr} if {h.expr} else None")
        if row.children or (row.default and any(r.target for r in row.default)):
            self.composite(row, target, replace(env, value=h), path, take, v)
        else:
            self.put(f"if {v} is not None:")
            self.depth += 1
            take(v)
            if target.type == "dateTime":
                here = f"{slot[0]}, {slot[1]!r}" if slot is not None and not slot[1].startswith("value") else "None, ''"
                self.put(f"if x.lost: x.keep_original({here}, {h.expr}, {h.where!r})")
            self.depth -= 1
        if row.failed:
            self.put(f"if x.fails > {self.base}:")
            self.depth += 1
            self.put(f"x.forget({self.base})")
            for r in row.failed:
                if r.flag and r.source is None and not r.children:
                    self.put(f"x.flag({_word(r.flag)!r}, {self.where(row, env)!r}, {r.flag!r})")
                    continue
                self.value(r, target, env, path, take, lambda _: "pass", many=False, slot=slot)
            self.depth -= 1
        elif target.type in FALLIBLE or row.as_ or T.pair_map(h.type, target.type, self.library.names) in BUILTIN:
            if not self.in_case:
                self.put(f"if x.fails > {self.base}: x.settle({self.base}, {h.where!r})")

    def composite(self, row: Row, target: T.Target, env: Env, path: tuple[Step, ...], take: Callable[[str], None], base: str | None) -> None:
        """Write an element that its child rows fill, over the value of the row's own map if there is one."""
        e = self.name("e")
        guard = self.guard(row.children, env) if base is None and not row.default else ""
        if guard:
            self.put(f"if {guard}:")
            self.depth += 1
        self.put(f"{e} = {{}}" if base is None else f"{e} = dict({base}) if {base} is not None else {{}}")
        here = env.at(path, e)
        if base is None:
            self.filled(row.children, target.type, e, replace(here, override=False), path)
        else:
            self.put(f"if {e}:") if _pure(row.children) and row.children else None
            self.depth += bool(_pure(row.children) and row.children)
            if row.children:
                self.block(row.children, target.type, e, "", replace(here, override=True), path)
            self.depth -= bool(_pure(row.children) and row.children)
        if row.default:
            self.put(f"if {e}:")
            self.depth += 1
            self.block(tuple(r for r in row.default if r.target), target.type, e, "", here, path)
            self.depth -= 1
        self.put(f"if {e}:")
        self.depth += 1
        take(e)
        self.depth -= 1 + bool(guard)

    def guard(self, rows: Iterable[Row], env: Env) -> str:
        """Return a cheap test that is false only when rows cannot give anything; "" where there is no such test."""
        if self.trace:
            return ""
        found: dict[str, None] = {}
        if not self._feeds(rows, env, found) or not 0 < len(found) <= 6:
            return ""
        return " or ".join(found)

    def _feeds(self, rows: Iterable[Row], env: Env, found: dict[str, None]) -> bool:
        for r in rows:
            if r.skip or is_constant(r):
                continue
            if r.default or r.failed:
                return False
            if r.each:
                found[f"{r.each!r} in x.names"] = None
                continue
            if r.by is not None:
                if not self._feeding(r.by, r, env, found) or not all(self._case_feeds(c, env, found) for c in r.cases):
                    return False
                continue
            if r.source is not None:
                if not self._feeding(r.source, r, env, found) or not self._feeds(r.children, env, found):
                    return False
                continue
            inner = r.children + r.make_rows
            if not inner or not self._feeds(inner, env, found):
                return False
        return True

    def _case_feeds(self, case: Case, env: Env, found: dict[str, None]) -> bool:
        """A case that stands when nothing was sent must not say anything by itself."""
        unsent = "else" in case.values or '""' in case.values
        if unsent and any(not r.skip and (r.flag or is_constant(r)) for r in case.rows):
            return False
        return self._feeds(case.rows, env, found)

    def _feeding(self, source: Source, row: Row, env: Env, found: dict[str, None]) -> bool:
        if isinstance(source, Locate):
            raws = _RAW.findall(self.handle(source.text, env, row.place).expr)
            found.update(dict.fromkeys(raws))
            return bool(raws)
        if isinstance(source, First):
            return all(self._feeding(q, row, env, found) for q in source.options)
        if isinstance(source, Join):
            return all(isinstance(q, Constant) or self._feeding(q, row, env, found) for q in source.parts) and any(not isinstance(q, Constant) for q in source.parts)
        return False

    def each(self, row: Row, target: T.Target, env: Env, path: tuple[Step, ...], take: Callable[[str], None], many: bool) -> None:
        s, f = self.name("s"), self.name("f")
        depth = self.depth
        if not self.trace:
            self.put(f"if {row.each!r} in x.names:")
            self.depth += 1
        self.put(f"for {s} in x.each(g, s, {row.each!r}):")
        self.depth += 1
        self.put(f"{f} = fields({s}, x)")
        inner = replace(env, fields={**env.fields, row.each: f}, bound={k: v for k, v in env.bound.items() if k[0] != row.each})
        if row.when is not None:
            self.put(f"if {self.condition(row.when, inner)}:")
            self.depth += 1
        bare = replace(row, each="", when=None)
        spot = self.spot if row.each != "NTE" else ""

        def taken(value: str) -> None:
            take(value)
            if spot:
                self.put(f"{spot}.append({s})")

        self.value(bare, target, inner, path, taken, lambda _: "pass", many=many)
        self.depth = depth

    def by(self, row: Row, env: Env, write: Callable[[Row], None]) -> None:
        """Write a `by` table: the value chooses the case; no case and no else = nothing, flagged."""
        assert row.by is not None
        b = self.name("b")
        self.put(f"{b} = {self.selector(row.by, env, row.place)}")
        if self.trace:
            self.put(f"x.chose({b})")
        word, has_else = "if", False
        for case in sorted(row.cases, key=lambda c: "else" in c.values):
            values = tuple(v for v in case.values if v != "else")
            values = tuple("" if v == '""' else v for v in values)
            if "else" in case.values:
                has_else = True
                self.put("else:" if word == "elif" else "if True:")
            else:
                self.put(f"{word} {b} in {values!r}:" if len(values) != 1 else f"{word} {b} == {values[0]!r}:")
            word = "elif"
            self.depth += 1
            start = len(self.lines)
            for r in case.rows:
                self.mark(r)
                if r.skip:
                    self.put("pass")
                elif r.when is not None:
                    self.put(f"if {self.condition(r.when, env)}:")
                    self.depth += 1
                    write(replace(r, when=None))
                    self.depth -= 1
                else:
                    write(r)
            if len(self.lines) == start:
                self.put("pass")
            self.depth -= 1
        if not has_else and word == "elif":
            self.put(f"elif {b}: x.flag('no-case', {self.where(row, env)!r}, 'no case of {row.place} is for this value')")

    def choice(self, row: Row, type_: str, var: str, lab: str, env: Env, path: tuple[Step, ...]) -> None:
        """Write `value[x]`: each case holds rows for its sibling elements; `failed` replaces a case that cannot hold its value."""
        self.mark(row)
        if row.skip:
            return
        if row.by is None:
            raise self.error(f"{row.name}: needs a `by` table", row.place, "or name the type, e.g. valueQuantity")
        if row.when is not None:
            self.put(f"if {self.condition(row.when, env)}:")
            self.depth += 1
        self.cases(row, row.failed, type_, var, lab, env, path)
        if row.when is not None:
            self.depth -= 1

    def cases(self, row: Row, failed: tuple[Row, ...], type_: str, var: str, lab: str, env: Env, path: tuple[Step, ...]) -> None:
        outer_env = env

        def one_case(case: Case, env: Env) -> None:
            own = next((r.failed for r in case.rows if not r.target and r.failed and r.by is None), ())
            inner = own or failed
            rows = tuple(r for r in case.rows if r.target)
            nested = tuple(r for r in rows if r.by is not None and r.target[-1].name.endswith("[x]"))
            plain = tuple(r for r in rows if r not in nested)
            for r in nested:
                self.cases(r, r.failed or inner, type_, var, lab, env, path)
            if inner and plain:
                t = self.name("t")
                self.put(f"{t} = {{}}")
                outer, self.in_case = self.in_case, True
                self.block(plain, type_, t, "", replace(env, paths={p: (t if v == var else v) for p, v in env.paths.items()}), path)
                self.in_case = outer
                self.put(f"if x.fails > {self.base}:")
                self.depth += 1
                self.put(f"x.forget({self.base})")
                self.block(tuple(r for r in inner if r.target), type_, var, lab, env, path)
                for r in inner:
                    if not r.target and r.flag:
                        self.put(f"x.flag({_word(r.flag)!r}, {self.where(row, env)!r}, {r.flag!r})")
                self.depth -= 1
                self.put(f"else: put_all({var}, {t}, x)")
            elif plain:
                self.block(plain, type_, var, lab, env, path)
            for r in case.rows:
                if not r.target and r.flag and not r.failed:
                    self.put(f"x.flag({_word(r.flag)!r}, {self.where(row, env)!r}, {r.flag!r})")

        b = self.name("b")
        assert row.by is not None
        self.put(f"{b} = {self.selector(row.by, env, row.place)}")
        if self.trace:
            self.put(f"x.chose({b})")
        word, has_else = "if", False
        for case in sorted(row.cases, key=lambda c: "else" in c.values):
            values = tuple("" if v == '""' else v for v in case.values if v != "else")
            if "else" in case.values:
                has_else = True
                self.put("else:" if word == "elif" else "if True:")
            else:
                self.put(f"{word} {b} in {values!r}:")
            word = "elif"
            self.depth += 1
            start = len(self.lines)
            if isinstance(row.by, Locate) and row.by.text == "OBX-2" and values and values[0]:
                one_case(case, replace(outer_env, varies=values[0]))
            else:
                one_case(case, outer_env)
            if len(self.lines) == start:
                self.put("pass")
            self.depth -= 1
        if not has_else and word == "elif":
            self.put(f"elif {b}: x.flag('no-case', {self.where(row, env)!r}, 'no case of {row.place} is for this value')")

    # -- values ------------------------------------------------------------------------------------------------------

    def constant(self, row: Row, target: T.Target, env: Env, path: tuple[Step, ...], take: Callable[[str], None]) -> None:
        assert isinstance(row.source, Constant)
        text = row.source.text
        expr: str
        if text.startswith("own:"):
            expr = repr(f"{self.library.identity_base}/id/{text[4:]}")
        elif "#" in text and not text.startswith(("http", "urn:")):
            table, code = text.split("#", 1)
            found = self.library.constants(table, code)
            if found is None:
                raise self.error(f"={text}: no such code", row.place, f"codes are in terminology/systems/{table}.csv")
            kind = target.type
            if kind == "CodeableConcept":
                expr = f"{{'coding': [{found!r}]}}"
            elif kind == "Coding":
                expr = f"dict({found!r})"
            else:
                expr = repr(found["code"])
        elif target.type == "boolean":
            if text not in ("true", "false"):
                raise self.error(f"={text} is not a boolean", row.place, "write =true or =false")
            expr = "True" if text == "true" else "False"
        elif target.type in ("integer", "positiveInt", "unsignedInt"):
            expr = str(int(text))
        elif target.type == "CodeableConcept":
            expr = f"{{'text': {text!r}}}"
        else:
            if target.required_codes and text not in target.required_codes:
                raise self.error(f"={text} is not a code of {'.'.join(map(str, path))}", row.place, f"use one of {', '.join(sorted(target.required_codes)[:12])}")
            expr = repr(text)
        if row.children:
            self.composite(row, target, env, path, take, expr)
        else:
            take(expr)

    def joined(self, row: Row, source: Join, target: T.Target, env: Env, path: tuple[Step, ...], take: Callable[[str], None]) -> None:
        v = self.name("v")
        self.put(f"{v} = {self.join(source, env, row.place)}")
        if target.type in ("CodeableConcept",):
            expr = f"{{'text': {v}}}"
        elif target.primitive or row.children:
            expr = v
        elif target.type == "Annotation":
            expr = f"{{'text': {v}}}"
        else:
            raise self.error(f"joined text cannot become {target.type}", row.place)
        if target.type in FALLIBLE:
            expr = f"{PRIMITIVE[target.type]}({v} or '')"
        self.put(f"if {v} is not None:")
        self.depth += 1
        w = self.name("v")
        self.put(f"{w} = {expr}")
        self.put(f"if {w} is not None:")
        self.depth += 1
        take(w)
        self.depth -= 2
        if target.type in FALLIBLE and not self.in_case:
            self.put(f"if x.fails > {self.base}: x.settle({self.base}, {self.where(row, env)!r})")

    def join(self, source: Join, env: Env, place: Place) -> str:
        parts: list[str] = []
        key = source.with_ == "key"
        for p in source.parts:
            parts.append(self.join_part(p, env, place, key))
        body = ", ".join(parts)
        if key:
            return f"x.join_key(({body},))"
        return f"x.join(({body},), {GLUE.get(source.with_, source.with_)!r})"

    def join_part(self, p: Source, env: Env, place: Place, key: bool) -> str:
        """A part of a join as raw text; a repeating field gives all its repetitions (key: the first)."""
        if isinstance(p, Constant):
            return f"lit({p.text!r})"
        if isinstance(p, Join):
            return f"({self.join(p, env, place)} or '')"
        if isinstance(p, First):
            return "(" + " or ".join(self.join_part(q, env, place, True) for q in p.options) + ")"
        h = self.handle(p.text, env, place)
        loc = locate(p.text)
        assert loc is not None
        if not h.repeats:
            return self.textual(h)
        if key:
            return self.textual(self.narrow(replace(h, expr=_first(h.expr), repeats=False), loc) if loc.component else replace(h, expr=_first(h.expr), repeats=False))
        r = "q"
        one = self.narrow(replace(h, expr=r, repeats=False), loc) if loc.component else replace(h, expr=r, repeats=False)
        return f"*[{self.textual(one)} for q in {h.expr}]"

    def convert(self, row: Row, h: Handle, target: T.Target, env: Env) -> str | None:
        """Return the expression that turns a raw value into the FHIR value; None where only the row's children say how."""
        kind = target.type
        if row.as_.startswith("fn:"):
            return f"x.fns[{row.as_[3:]!r}]({self.parts(h)}, x)"
        if row.code:
            return self.coded(row, h, target)
        if row.as_:
            return self.mapped(row.as_, h, row.place)
        if h.level == "text":
            return h.expr if target.primitive else f"{{'text': {h.expr}}}" if kind in ("CodeableConcept", "Annotation") else None
        if target.primitive:
            usual = T.pair_map(h.type, kind, self.library.names)
            if usual and usual not in BUILTIN and h.type not in ("ID", "IS", "ST"):
                return self.mapped(usual, h, row.place)
            return f"{PRIMITIVE[kind]}({self.textual(h)})"
        usual = T.pair_map(h.type, kind, self.library.names)
        if usual:
            return self.mapped(usual, h, row.place)
        if kind == "CodeableConcept":
            if h.type in ("ID", "IS"):
                return f"x.local_concept({_table_url(h.table)!r}, {self.textual(h)})"
            return f"x.text_concept({self.textual(h)})"
        if kind == "Coding":
            if h.type in ("ID", "IS"):
                return f"x.local_coding({_table_url(h.table)!r}, {self.textual(h)})"
            return None
        if kind == "Annotation":
            return f"x.text_concept({self.textual(h)})"
        if kind == "Identifier":
            return f"x.value_identifier({self.textual(h)})"
        if kind == "Reference" and not row.children:
            return f"x.display({self.textual(h)})"
        return None

    def coded(self, row: Row, h: Handle, target: T.Target) -> str:
        table = row.code
        if table in ("systems", "authorities") and target.primitive:
            return f"x.{'system' if table == 'systems' else 'authority'}({self.textual(h)})"
        if table not in self.library.tables:
            raise self.error(f"{row.name}: no code table {table}", row.place, f"put it at terminology/maps/{table}.csv")
        unmapped = row.unmapped or "keep"
        if target.primitive:
            required = bool(target.required_codes)
            if target.type == "boolean":
                return f"x.boolean(x.code({table!r}, {self.textual(h)}, {h.where!r}, {row.unmapped!r}, True) or '')"
            return f"x.code({table!r}, {self.textual(h)}, {h.where!r}, {row.unmapped!r}, {required})"
        if h.type in ("ID", "IS", "ST") or h.level == "sub":
            url = _table_url(h.table) if h.type in ("ID", "IS") else ""
            local = f"x.local_coding({url!r}, {self.textual(h)})" if target.type == "Coding" else f"x.local_concept({url!r}, {self.textual(h)})"
        else:
            name = row.as_ or T.pair_map(h.type, target.type, self.library.names)
            if not name:
                raise self.error(f"{row.name}: no map from {h.type} to {target.type}", row.place)
            local = self.mapped(name, h, row.place)
        method = "coding" if target.type == "Coding" else "concept"
        rest = f"{h.where!r}, {unmapped!r}, {bool(h.table)}"
        if self.trace:
            parts = "()" if h.level in ("sub", "text") or h.type in ("ID", "IS", "ST") else self.parts(h)
            return f"x.{method}({table!r}, {local}, {parts}, {rest})"
        if local.startswith("memo("):
            sep, fn = local[:-1].rsplit(", ", 2)[1:]
            key = " ".join((method, table, fn, h.where, unmapped, str(bool(h.table))))
            return f"memo(x, {key!r}, {h.expr}, {sep}, lambda c, x: x.{method}({table!r}, {fn}(c, x), c, {rest}))"
        key = " ".join((method, table, local.split("(")[0], h.table, h.where, unmapped, str(bool(h.table))))
        parts = "()" if h.level in ("sub", "text") or h.type in ("ID", "IS", "ST") else self.parts(h)
        return f"memo(x, {key!r}, {self.textual(h)}, cs, lambda _, x: x.{method}({table!r}, {local}, {parts}, {rest}))"

    def mapped(self, name: str, h: Handle, place: Place) -> str:
        if name in BUILTIN:
            if self.trace or name in BULKY or h.level not in ("rep", "comp"):
                return f"B_{name}({self.parts(h)}, x)"
            level = "c" if h.level == "rep" else "s"
            return f"memo(x, {name + ' ' + level!r}, {h.expr}, {level}s, B_{name})"
        if name not in self.library.maps:
            raise self.error(f"no map {name}", place, f"write mappings/hl7v2/datatypes/{name}.yaml, or name another")
        level = "c" if h.level == "rep" else "s"
        self.needs.add((name, level))
        if not self.trace and h.level in ("rep", "comp"):
            return f"memo(x, {name + level!r}, {h.expr}, {'cs' if h.level == 'rep' else 'ss'}, D_{name}_{level})"
        return f"D_{name}_{level}({self.parts(h)}, x)"

    def made(self, row: Row, h: Handle) -> str:
        name = row.make
        if name not in self.library.maps:
            raise self.error(f"make: no map {name}", row.place, "name a map from a datatype to a resource, or give rows:")
        level = "c" if h.level == "rep" else "s"
        self.needs.add((name, level))
        if self.library.maps[name].levels:
            return f"x.chain({h.expr}, {self.parts(h)}, CH_{name}_{level})"
        return f"x.make({name!r}, {h.expr}, {self.parts(h)}, R_{name}_{level}) if {h.expr} else None"

    def make_inline(self, row: Row, env: Env, path: tuple[Step, ...], take: Callable[[str], None], many: bool) -> None:
        """Write `make: Type` with rows: a resource of its own in the same scope."""
        loop = None
        if isinstance(row.source, Locate):
            h = self.handle(row.source.text, env, row.place)
            loc = locate(row.source.text)
            assert loc is not None
            if h.repeats and many:
                loop = self.name("r")
                self.put(f"for {loop} in {h.expr}:")
                self.depth += 1
                h = replace(h, expr=loop, repeats=False)
            elif h.repeats:
                h = replace(h, expr=_first(h.expr), repeats=False)
            env = replace(env, value=h, bound={**env.bound, (loc.name, loc.field): h} if not loc.component else env.bound)
        o, lab, k, v = self.name("o"), self.name("l"), self.name("k"), self.name("v")
        guard = self.guard(row.make_rows, replace(env, paths={(): o}, top=o))
        if guard:
            self.put(f"if {guard}:")
            self.depth += 1
        self.put(f"{k} = x.enter()")
        self.put(f"{o}, {lab} = {{}}, {{}}")
        inner = replace(env, paths={(): o}, top=o)
        constants = tuple(r for r in row.make_rows if is_constant(r) and not _tests_target(r))
        others = tuple(r for r in row.make_rows if r not in constants)
        self.block(others, row.make, o, lab, inner, ())
        if constants:
            self.put(f"if {o}:")
            self.depth += 1
            self.block(constants, row.make, o, lab, inner, ())
            self.depth -= 1
        self.put(f"{v} = x.leave({k}, {row.make!r}, {'.'.join(map(str, path))!r}, {o}, {lab})")
        self.put(f"if {v} is not None:")
        self.depth += 1
        take(v)
        self.depth -= 1 + bool(guard) + bool(loop)

    # -- reading -----------------------------------------------------------------------------------------------------

    def type_of(self, loc: Location, env: Env | None = None) -> str:
        if env is not None and env.varies and (loc.name, loc.field) == ("OBX", 5):
            return env.varies
        return T.field_type(loc.name, loc.field, self.library.z_segments)

    def handle(self, text: str, env: Env, place: Place) -> Handle:
        """Return the raw value that a location names."""
        loc = locate(text)
        if loc is None:
            raise self.error(f"{text!r} is not a location", place, "write it like PID-5.1, PID-3(5=MR).1 or =constant")
        if env.kind == "dt":
            if loc.name != env.own and T.SAME.get(loc.name, loc.name) != T.SAME.get(env.own, env.own):
                raise self.error(f"{text}: a {env.own} map reads only {env.own}", place)
            if not loc.field:
                return Handle(f"{'cs' if env.level == 'c' else 'ss'}.join(c)", "rep" if env.level == "c" else "comp", env.own, env.own)
            return self.part_of(Handle("c", "parts", env.own, text), loc.field, loc.component, env.level, text)
        own = env.bound.get((loc.name, loc.field))
        if own is not None and not loc.filtered:
            own = replace(own, type=self.type_of(loc, env)) if env.varies else own
            return self.narrow(own, loc) if loc.component else own
        if not loc.field:
            raise self.error(f"{text}: names a segment, not a field", place)
        f = self.fields(loc, env)
        kind = self.type_of(loc, env)
        raw = f"{f}[{loc.field}]"
        table = T.field_table(loc.name, loc.field)
        if loc.name in ("MSH", "BHS", "FHS") and loc.field in (1, 2):
            return Handle(raw, "rep", "ST", text)
        if loc.segment_tests:
            raw = f"x.find(g, {loc.name!r}, {_tests(loc.segment_tests)}, {loc.field})"
        if loc.n:
            h = Handle(f"nth({raw}, rs, {loc.n - 1})", "rep", kind, text, table)
        elif loc.only:
            h = Handle(f"only({raw}, rs)", "rep", kind, text, table)
        elif loc.tests:
            h = Handle(f"x.pick({raw}, {_tests(loc.tests)})", "rep", kind, text, table, repeats=True)
        else:
            h = Handle(f"reps({raw}, rs)", "rep", kind, text, table, repeats=True, raw_field=raw if not loc.component else "")
        if loc.component and not h.repeats:
            h = self.narrow(h, loc)
        return h

    def narrow(self, h: Handle, loc: Location) -> Handle:
        """Step from a repetition into its component and subcomponent."""
        if h.level != "rep":
            return h
        kind = T.component_type(h.type, loc.component)
        table = T.component_table(h.type, loc.component)
        out = Handle(_component(h.expr, loc.component - 1), "comp", kind, h.where, table)
        if loc.sub:
            out = Handle(f"part({out.expr}, ss, {loc.sub - 1})", "sub", T.component_type(kind, loc.sub), h.where, T.component_table(kind, loc.sub))
        return out

    def part_of(self, h: Handle, component: int, sub: int, level: str, where: str) -> Handle:
        kind = T.component_type(h.type, component)
        table = T.component_table(h.type, component)
        if level == "s":
            return Handle(f"c[{component - 1}]" if sub <= 1 else "''", "sub", kind if not sub else T.component_type(kind, sub), where, table)
        out = Handle(f"c[{component - 1}]", "comp", kind, where, table)
        if sub:
            out = Handle(f"part(c[{component - 1}], ss, {sub - 1})", "sub", T.component_type(kind, sub), where, T.component_table(kind, sub))
        return out

    def fields(self, loc: Location, env: Env) -> str:
        if loc.name in env.fields:
            return env.fields[loc.name]
        self.segments.add(loc.name)
        return f"f_{loc.name}"

    def parts(self, h: Handle) -> str:
        return {"rep": f"{h.expr}.split(cs)", "comp": f"{h.expr}.split(ss)"}.get(h.level, f"[{h.expr}]")

    def textual(self, h: Handle) -> str:
        """The raw text of a primitive: the first part of a composite, else the whole."""
        if h.level == "rep" and T.is_composite(h.type):
            inner = f"{h.expr}.split(cs, 1)[0]"
            return f"{inner}.split(ss, 1)[0]" if T.is_composite(T.component_type(h.type, 1)) else inner
        if h.level == "comp" and T.is_composite(h.type):
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
            h = replace(h, expr=_first(h.expr), repeats=False)
            if loc.component:
                h = self.narrow(h, loc)
        return f"x.text({self.textual(h)})"

    def raws(self, row: Row, env: Env) -> list[str]:
        """Raw expressions that are all empty exactly when nothing was sent for this row."""
        out: list[str] = []

        def walk(s: Source | None) -> None:
            if isinstance(s, Locate):
                h = self.handle(s.text, env, row.place)
                loc = locate(s.text)
                assert loc is not None
                if h.repeats and loc.component:
                    h = self.narrow(replace(h, expr=_first(h.expr), repeats=False), loc)
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
        return "-" + texts[0].split("-", 1)[-1] if texts and texts[0].startswith(env.own + "-") else (texts[0] if texts else row.name)

    # -- conditions --------------------------------------------------------------------------------------------------

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
        loc = locate(c.location)
        if loc is None:
            raise self.error(f"{c.location!r} is not a location", place)
        if not loc.field and env.kind == "seg":
            if loc.name == env.own:
                return "True"
            return f"(g.near({loc.name!r}) is not None)"
        h = self.handle(c.location, env, place)
        if isinstance(c, C.Cleared):
            return f"({h.raw_field or h.expr} == '\"\"')"
        if isinstance(c, C.Compare) and c.function == "count":
            if h.raw_field and not self.trace:
                return f"count({h.raw_field}, rs) {'==' if c.op == '=' else c.op} {c.values[0]}"
            return f"len({h.expr}) {'==' if c.op == '=' else c.op} {c.values[0]}" if h.repeats else f"int(bool({h.expr})) {'==' if c.op == '=' else c.op} {c.values[0]}"
        if h.repeats:
            if isinstance(c, C.Valued) and not loc.component:
                return self.valued(h.raw_field or _first(h.expr))
            h = replace(h, expr=_first(h.expr), repeats=False)
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
        return f"({expr} and valued({expr}))" if _RAW.fullmatch(expr) and not self.trace else f"valued({expr})"

    def target_set(self, element: str, env: Env) -> str:
        steps: list[Step] = []
        from engine.mapping.read import read_target

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


def _reads_elsewhere(rows: Iterable[Row], own: str) -> bool:
    """Say whether child rows read another field than their row's own: they speak even when that one is empty."""

    def other(s: Source | None) -> bool:
        if isinstance(s, Locate):
            a, b = locate(s.text), locate(own)
            return a is not None and b is not None and (a.name, a.field) != (b.name, b.field)
        if isinstance(s, First):
            return any(map(other, s.options))
        return isinstance(s, Join) and any(map(other, s.parts))

    return any(
        r.each or other(r.source) or other(r.by) or _reads_elsewhere((*r.children, *r.make_rows, *r.default, *(q for c in r.cases for q in c.rows)), own)
        for r in rows
    )


def _tests(tests: Iterable[object]) -> str:
    return repr(tuple((t.component, t.sub, t.values, t.negated) for t in tests))  # type: ignore[attr-defined]


def _tests_target(row: Row) -> bool:
    return bool(C.targets_of(row.when))


def _table_url(table: str) -> str:
    return f"http://terminology.hl7.org/CodeSystem/v2-{table}" if table else ""


def _first(expr: str) -> str:
    """The first of the repetitions an expression gives."""
    if expr.startswith("reps(") and expr.endswith(", rs)"):
        return f"one({expr[5:-5]}, rs)"
    return f"first({expr})"


def _component(expr: str, number: int) -> str:
    """A component of a repetition."""
    if expr.startswith("one(") and expr.endswith(", rs)") and expr.count("(") == 1:
        return f"comp({expr[4:-5]}, rs, cs, {number})"
    return f"part({expr}, cs, {number})"


def _word(text: str) -> str:
    return text.lower().replace(" ", "-")
