"""The words that the modules of the emitter share: raw values, what names mean at one place, the maps that a
site sees.

In: typed rows (model.py). Out: small records and questions about rows; nothing here writes code.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from engine.mapping import conditions as C
from engine.mapping import types as T
from engine.mapping.locate import locate
from engine.mapping.model import Constant, First, Join, Locate, MapDef, Row, Source, Step
from engine.mapping.values import BUILTIN

__all__ = [
    "GLUE", "RAW", "Aim", "Env", "Handle", "Library", "all_constant", "component_of", "first_of", "ignored",
    "is_constant", "reads_elsewhere", "segments_of",
    "tests_of", "tests_target", "variable", "word_of",
]  # fmt: skip

RAW = re.compile(r"\b(?:f\w*|c)\[\d+\]")
"""A raw field or part as it stands in generated code."""
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
    scope: str = "g"  # the variable of the scope that locations are read from
    ctx: str = "s"  # in a document: the variable of the element that locations start at

    def at(self, path: tuple[Step, ...], var: str) -> Env:
        return replace(self, paths={**self.paths, path: var})


def ignored(_: Handle) -> str:
    """What is written where an explicit delete changes nothing."""
    return "pass"


@dataclass(frozen=True, slots=True)
class Aim:
    """Where the values of a row go: the element, and what to write for each value and for an explicit
    delete."""

    target: T.Target
    path: tuple[Step, ...]
    take: Callable[[str], None]
    clear: Callable[[Handle], str] = ignored
    many: bool = False  # every repetition gives a value
    slot: tuple[str, str] | None = None  # container and name of a single element


@dataclass(slots=True)
class Library:
    """The maps that one site sees, its Z-segments, and what the emitter learns on the way."""

    maps: dict[str, MapDef]
    tables: frozenset[str]
    constants: Callable[[str, str], dict[str, str] | None]  # (table, code) -> {system, code, display}
    identity_base: str
    z_segments: dict[str, tuple[tuple[str, str], ...]] = field(default_factory=dict)
    types: T.SourceTypes = T.HL7  # of the side that is read
    names: frozenset[str] = frozenset()
    sets: dict[tuple[str, ...], str] = field(default_factory=dict)
    tree: bool = False  # the source is a document: locations are paths from element to element
    functions: frozenset[str] = frozenset()  # what a document's rows may call besides maps
    stems: dict[str, str] = field(default_factory=dict)  # paths -> their names in generated code

    def path(self, text: str) -> str:
        """Name a path that generated code walks; `stems` holds them."""
        return self.stems.setdefault(text, f"P{len(self.stems)}")

    def constant_set(self, names: tuple[str, ...]) -> str:
        """Name a set of words that generated code refers to; `sets` holds them."""
        if names not in self.sets:
            self.sets[names] = f"SET{len(self.sets)}"
        return self.sets[names]

    def __post_init__(self) -> None:
        self.names = frozenset(self.maps) | (self.functions if self.tree else frozenset(BUILTIN))


def is_constant(row: Row) -> bool:
    """Say whether a row writes nothing but constants, whatever the message says."""
    if row.by is not None or row.each or row.make:
        return False
    if row.source is None:
        return bool(row.children) and all(map(is_constant, row.children))
    return isinstance(row.source, Constant) and all(map(is_constant, row.children))


def all_constant(rows: Iterable[Row]) -> bool:
    return all(is_constant(r) and r.when is None for r in rows)


def segments_of(*sources: Source | None) -> set[str]:
    """Return the names of the segments that sources read."""
    found: set[str] = set()
    for s in sources:
        if isinstance(s, Locate) and (loc := locate(s.text)) is not None:
            found.add(loc.name)
        elif isinstance(s, First):
            found |= segments_of(*s.options)
        elif isinstance(s, Join):
            found |= segments_of(*s.parts)
    return found


def reads_elsewhere(rows: Iterable[Row], own: str) -> bool:
    """Say whether child rows read another field than their row's own: they speak even when that one is
    empty."""

    def other(s: Source | None) -> bool:
        if isinstance(s, Locate):
            a, b = locate(s.text), locate(own)
            return a is not None and b is not None and (a.name, a.field) != (b.name, b.field)
        if isinstance(s, First):
            return any(map(other, s.options))
        return isinstance(s, Join) and any(map(other, s.parts))

    return any(
        r.each
        or other(r.source)
        or other(r.by)
        or reads_elsewhere(
            (*r.children, *r.make_rows, *r.default, *(q for c in r.cases for q in c.rows)), own
        )
        for r in rows
    )


def tests_target(row: Row) -> bool:
    return bool(C.targets_of(row.when))


def tests_of(tests: Iterable[object]) -> str:
    return repr(tuple((t.component, t.sub, t.values, t.negated) for t in tests))  # type: ignore[attr-defined]


def first_of(expr: str) -> str:
    """The first of the repetitions an expression gives."""
    if expr.startswith("reps(") and expr.endswith(", rs)"):
        return f"one({expr[5:-5]}, rs)"
    return f"first({expr})"


def component_of(expr: str, number: int) -> str:
    """A component of a repetition."""
    if expr.startswith("one(") and expr.endswith(", rs)") and expr.count("(") == 1:
        return f"comp({expr[4:-5]}, rs, cs, {number})"
    return f"part({expr}, cs, {number})"


def variable(name: str) -> str:
    """The variable of another segment's fields: `f_PID`, `f_2010BB_NM1`."""
    return f"f_{name}" if name.isalnum() else "f_" + re.sub(r"\W", "_", name)


def word_of(text: str) -> str:
    return text.lower().replace(" ", "-")
