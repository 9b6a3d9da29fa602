"""The linter's rules about rows: every row of a map is held against both dictionaries and against its neighbours.

In: one resolved map and the library of what a site sees. Out: findings. The walk mirrors what the emitter does with
rows, so that it knows for each one the FHIR type it stands in and which repetition its locations are bound to.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from difflib import get_close_matches
from functools import cache

from engine.fhir import definitions
from engine.formats.hl7v2 import dictionary
from engine.kernel.errors import MapError
from engine.mapping import types as T
from engine.mapping.conditions import And, Condition, Not, TargetSet, locations_of, targets_of
from engine.mapping.emit import Library
from engine.mapping.locate import Location, locate
from engine.mapping.logic import ALWAYS, chosen, exclusive, possible
from engine.mapping.model import Constant, First, Join, Locate, MapDef, Place, Row, Source, Step
from engine.mapping.read import read_target
from engine.mapping.rules import Finding, finding
from engine.mapping.sheet import condition_text

__all__ = ["check_map", "parts_of"]

CLINICAL = frozenset(
    "status intent priority class gender clinicalStatus verificationStatus criticality category code relationship"
    " role function mode physicalType dataAbsentReason interpretation use activity reason severity outcome"
    " disposition deceasedBoolean active".split()
)
"""Elements whose constants state something about a patient, a visit, a result, a person or a place."""
LATER = {"OBX": 33, "ORC": 38, "PRT": 24, "SPM": 35, "OBR": 55, "IN1": 55}
"""Fields of HL7 v2.9, which the dictionary does not hold."""
_NOT_MAPS = frozenset({"systems", "authorities"})


@dataclass(frozen=True, slots=True)
class _Spot:
    """Where a row stands: the type around it, what is bound, and under which conditions it is reached at all."""

    type: str
    root: str
    many: bool = False  # its value goes into a list
    target: T.Target | None = None  # what an unnamed row (a case, a default) gives
    bound: frozenset[tuple[str, int]] = frozenset()
    under: Condition = ALWAYS
    varies: str = ""
    cased: bool = False
    assumed: bool = False
    path: tuple[str, ...] = ()


@dataclass(slots=True)
class _Check:
    m: MapDef
    library: Library
    found: list[Finding] = field(default_factory=list)

    def say(self, rule: str, place: Place, what: str, try_: str = "", why: str = "", level: str = "") -> None:
        self.found.append(finding(rule, place, what, try_, why=why, level=level))


def check_map(m: MapDef, library: Library) -> list[Finding]:
    """Hold one map against every rule that needs nothing but the map and its neighbours."""
    c = _Check(m, library)
    primitive = definitions.is_primitive(m.to)
    target = T.Target(m.to, False, primitive=True) if primitive else None
    spot = _Spot(m.to, m.to, target=target)
    if primitive:
        for row in m.rows:
            _source(c, row, spot, target)
    else:
        _block(c, m.rows, spot)
    for level in m.levels:
        _condition(c, level.when, spot, level.place)
        _block(c, level.rows, replace(spot, under=level.when or ALWAYS, cased=True))
    _ignored(c)
    _key(c)
    return c.found


def _block(c: _Check, rows: tuple[Row, ...], spot: _Spot) -> None:
    """Check the rows of one element, one by one and against each other."""
    for row in rows:
        _row(c, row, spot)
    _neighbours(c, rows, spot)


def _row(c: _Check, row: Row, spot: _Spot) -> None:
    at, target, many = spot.type, spot.target, spot.many
    path = spot.path
    for i, step in enumerate(row.target):
        last = i == len(row.target) - 1
        if step.name.endswith("[x]"):
            if not last or row.by is None:
                if not row.skip:
                    c.say("M01", row.place, f"{row.name} may hold several types", _concrete(at, step.name))
                return
            if definitions.element(at, step.name) is None:
                _unknown(c, row, at, step)
            else:
                _choice(c, row, spot, at)
            return
        target = T.child_of(at, step.name)
        if target is None:
            _unknown(c, row, at, step)
            return
        if not target.type:
            if not row.skip:
                c.say(
                    "M01",
                    row.place,
                    f"{row.name}: {step.name} may hold several types",
                    _concrete(at, step.name),
                )
            return
        many = target.repeats
        at = target.type
        path = (*path, step.name)
    here = replace(spot, many=many, target=target, path=path)
    _checked(c, row, here, target)


def _concrete(at: str, name: str) -> str:
    e = definitions.element(at, name if name.endswith("[x]") else f"{name}[x]") or definitions.element(
        at, name
    )
    if e is None:
        return ""
    return "name one: " + ", ".join(definitions.concrete_name(e.name, k) for k in e.types[:6])


def _unknown(c: _Check, row: Row, at: str, step: Step) -> None:
    names = [n.removesuffix("[x]") for n in definitions.elements(at)] if at in definitions.types() else []
    near = get_close_matches(step.name, names, 3, 0.6)
    kind = at.split(".")[-1] if "." in at else at
    c.say("M01", row.place, f"{row.name}: {kind} has no element {step.name}", ", ".join(near))


def _choice(c: _Check, row: Row, spot: _Spot, at: str) -> None:
    """Check `value[x]`: its cases hold rows for sibling elements."""
    _condition(c, row.when, spot, row.place)
    if row.by is not None:
        _reads(c, row.by, row.place, spot)
    sibling = replace(spot, target=None, under=_and(spot.under, row.when), cased=True)
    for case in row.cases:
        under = replace(sibling, under=_and(sibling.under, chosen(row, case)))
        if isinstance(row.by, Locate) and row.by.text == "OBX-2" and "else" not in case.values:
            under = replace(under, varies=case.values[0].strip('"'))
        for r in case.rows:
            if r.target or r.failed:
                _row(c, r, under) if r.target else _block(c, r.failed, under)
    for r in row.failed:
        if r.target:
            _row(c, r, sibling)


def _checked(c: _Check, row: Row, spot: _Spot, target: T.Target | None) -> None:
    """Check what a row says, and go on to the rows below it."""
    _condition(c, row.when, spot, row.place)
    if row.skip:
        return
    spot = replace(spot, under=_and(spot.under, row.when), assumed=spot.assumed or bool(row.assumed))
    if row.each:
        if row.each not in dictionary.segment_names() and row.each not in c.library.z_segments:
            c.say("M02", row.place, f"each: {row.each} is no segment", "name a segment, e.g. each: NTE")
        names = frozenset(b for b in spot.bound if b[0] != row.each)
        spot = replace(spot, bound=names)
    _source(c, row, spot, target)
    bound = spot
    own = locate(row.source.text) if isinstance(row.source, Locate) else None
    if own is not None and own.field and (spot.many or row.make):
        bound = replace(spot, bound=spot.bound | {(own.name, own.field)})
    inner = replace(bound, many=False, type=target.type if target else spot.type, target=None)
    if row.children:
        _block(c, row.children, inner)
    if row.make_rows:
        kind = row.make.rsplit("_", 1)[-1]
        if kind in definitions.resource_types():
            _block(c, row.make_rows, replace(inner, type=kind, root=kind, path=()))
        else:
            c.say(
                "M19",
                row.place,
                f"make: {row.make} is no resource type",
                _near(kind, definitions.resource_types()),
            )
    elif row.make and row.make not in c.library.maps:
        c.say("M19", row.place, f"make: there is no map {row.make}", _near(row.make, c.library.maps))
    if row.by is not None:
        _reads(c, row.by, row.place, bound)
        for case in row.cases:
            under = replace(bound, under=_and(bound.under, chosen(row, case)), cased=True)
            for r in case.rows:
                dressed = replace(r, code=r.code or row.code, unmapped=r.unmapped or row.unmapped)
                _row(c, dressed, under) if not r.target else _row(c, r, replace(under, target=None))
    for r in (*row.default, *row.failed):
        low = replace(inner, type=inner.type) if r.target else replace(bound, cased=spot.cased)
        if r.target:
            _row(c, r, low)
        elif r.source is not None or r.children or r.by is not None:
            _row(c, r, low)


# -- one row -------------------------------------------------------------------------------------------------------


def _source(c: _Check, row: Row, spot: _Spot, target: T.Target | None) -> None:
    if row.source is not None:
        _reads(c, row.source, row.place, spot)
    names = c.library.names
    if row.as_ and not row.as_.startswith("fn:") and row.as_ not in names:
        c.say("M19", row.place, f"as: there is no map {row.as_}", _near(row.as_, names))
    if row.code and row.code not in _NOT_MAPS and row.code not in c.library.tables:
        c.say("M19", row.place, f"code: there is no table {row.code}", _near(row.code, c.library.tables))
    if target is None:
        return
    if isinstance(row.source, Constant):
        _constant(c, row, row.source.text, spot, target)
    elif target.required_codes and target.type == "code":
        _required(c, row, spot, target)
    options = row.source.options if isinstance(row.source, First) else (row.source,)
    if not spot.many and not row.each and target.type:
        for s in options:
            if isinstance(s, Locate):
                _single(c, row, s.text, spot)


def _near(name: str, names: Iterable[str]) -> str:
    near = get_close_matches(name, sorted(names), 3, 0.5)
    return " or ".join(near)


def _required(c: _Check, row: Row, spot: _Spot, target: T.Target) -> None:
    if row.source is None or row.by is not None or isinstance(row.source, Join):
        return
    if row.unmapped in ("keep", "flag") and row.code:
        c.say(
            "M06", row.place, f"unmapped: {row.unmapped} would write a code that {row.name or 'this'} does not allow",
            "unmapped: drop, or unmapped: hold",
        )  # fmt: skip
    if not row.code and not row.as_:
        some = ", ".join(sorted(target.required_codes)[:5])
        c.say(
            "M06",
            row.place,
            f"{'.'.join(spot.path)} allows certain codes only",
            f"code: TABLE; allowed are {some}",
        )


def _constant(c: _Check, row: Row, text: str, spot: _Spot, target: T.Target) -> None:
    kind = target.type
    name = spot.path[-1] if spot.path else ""
    coded = kind in ("code", "Coding", "CodeableConcept", "boolean")
    if text.startswith("own:"):
        return
    if "#" in text and not text.startswith(("http", "urn:")):
        table, code = text.split("#", 1)
        if c.library.constants(table, code) is None:
            c.say("M07", row.place, f"={text}: no such code", f"codes are in terminology/systems/{table}.csv")
            return
        text = code
    elif kind in ("Coding", "Identifier", "Reference", "Quantity", "Period", "HumanName", "Address"):
        c.say(
            "M07",
            row.place,
            f"={text} is text, and {kind} is not",
            "write =system#code, or the elements below it",
        )
        return
    if kind == "boolean" and text not in ("true", "false"):
        c.say("M07", row.place, f"={text} is not a boolean", "=true or =false")
    elif (
        target.required_codes
        and kind in ("code", "Coding", "CodeableConcept")
        and text not in target.required_codes
    ):
        near = (
            get_close_matches(text, sorted(target.required_codes), 3, 0.4)
            or sorted(target.required_codes)[:6]
        )
        c.say(
            "M07",
            row.place,
            f"={text} is not a code of {'.'.join(spot.path)}",
            ", ".join(f"={n}" for n in near),
        )
    elif coded and name in CLINICAL and not (spot.assumed or row.assumed or spot.cased or _told(spot.under)):
        c.say(
            "M14", row.place, f"{'.'.join(spot.path)}: ={text} is a fact that nobody sent",
            "add `assumed: who says so`",
        )  # fmt: skip


def _told(under: Condition) -> bool:
    """Say whether a row's condition looks at what was sent: then the message says it, not the map."""
    return bool(locations_of(under))


def _single(c: _Check, row: Row, text: str, spot: _Spot) -> None:
    loc = locate(text)
    if loc is None or not loc.field or loc.filtered or c.m.source in dictionary.datatype_names():
        return
    if (loc.name, loc.field) in spot.bound or not _repeats_now(loc.name, loc.field):
        return
    counted = [f"count({loc.name}-{loc.field})"]
    if any(t in condition_text(spot.under) for t in counted):
        return
    c.say(
        "M04", row.place, f"{text} may repeat and {'.'.join(spot.path) or 'the element'} is single",
        f"{loc.name}-{loc.field}(1){'.' + str(loc.component) if loc.component else ''}, or a filter such as (5=MR)",
    )  # fmt: skip


@cache
def _repeats_now(segment: str, number: int) -> bool:
    """Say whether the newest version that has the field lets it repeat."""
    for v in T.VERSIONS:
        found = dictionary.version(v).field(segment, number)
        if found is not None and not found.withdrawn:
            return found.repeats
    return False


def _reads(c: _Check, source: Source, place: Place, spot: _Spot) -> None:
    """Check that every location of a source exists in some version."""
    if isinstance(source, First):
        for s in source.options:
            _reads(c, s, place, spot)
    elif isinstance(source, Join):
        for s in source.parts:
            _reads(c, s, place, spot)
    elif isinstance(source, Locate):
        _location(c, source.text, place, spot)


def _location(c: _Check, text: str, place: Place, spot: _Spot) -> None:
    try:
        loc = locate(text)
    except MapError as e:
        c.say("M02", place, e.what, e.remedy)
        return
    if loc is None:
        c.say("M02", place, f"{text!r} is not a location", "PID-5.1, PID-3(5=MR).1 or =constant")
        return
    told = _missing(loc, spot.varies, c.library.z_segments)
    if told:
        c.say("M02", place, f"{text}: {told}", "look the number up in your message specification")


def _missing(loc: Location, varies: str, local: dict[str, tuple[tuple[str, str], ...]]) -> str:
    """Say what of a location no version of HL7 knows; "" = it is known."""
    if loc.name in dictionary.datatype_names() and loc.name not in dictionary.segment_names():
        most = _components(loc.name)
        if loc.field > max(most, 1):
            return f"{loc.name} has {most} components"
        most = max(map(_components, _part_kinds(loc.name, loc.field)), default=0)
        if loc.component > max(most, 1):
            return f"component {loc.field} of {loc.name} has {max(most, 1)} parts"
        return ""
    if loc.name in local:
        return (
            "" if loc.field <= len(local[loc.name]) else f"{loc.name} has {len(local[loc.name])} fields here"
        )
    if loc.name not in dictionary.segment_names():
        return f"there is no segment {loc.name}" + (
            "; a segment of your own needs segments: in the site file" if loc.name.startswith("Z") else ""
        )
    if not loc.field:
        return ""
    last = _fields(loc.name)
    if loc.field > last and loc.name not in ("MSH", "BHS", "FHS"):
        return f"{loc.name} has {last} fields in the newest version"
    kind = varies if (loc.name, loc.field) == ("OBX", 5) else ""
    if (loc.name, loc.field) == ("OBX", 5) and not kind:
        return ""
    kinds = {kind} if kind else _kinds(loc.name, loc.field)
    if loc.component and kinds and all(loc.component > max(_components(k), 1) for k in kinds):
        return f"{' or '.join(sorted(kinds))} has {max(_components(k) for k in kinds)} components"
    return ""


@cache
def _part_kinds(datatype: str, number: int) -> frozenset[str]:
    names = {datatype, T.SAME.get(datatype, datatype)}
    parts = [dictionary.version(v).components(n) for v in dictionary.versions() for n in names]
    return frozenset(p[number - 1].datatype for p in parts if 0 < number <= len(p))


@cache
def _components(datatype: str) -> int:
    names = {datatype, T.SAME.get(datatype, datatype)}
    return max(len(dictionary.version(v).components(n)) for v in dictionary.versions() for n in names)


@cache
def _fields(segment: str) -> int:
    found = [dictionary.version(v).segment(segment) for v in dictionary.versions()]
    return max([LATER.get(segment, 0), *(len(s.fields) for s in found if s is not None)])


@cache
def _kinds(segment: str, number: int) -> frozenset[str]:
    found = [dictionary.version(v).field(segment, number) for v in dictionary.versions()]
    return frozenset(f.datatype for f in found if f is not None and f.datatype not in ("", "WD"))


def _condition(c: _Check, when: Condition | None, spot: _Spot, place: Place) -> None:
    if when is None:
        return
    for text in locations_of(when):
        _location(c, text, place, spot)
    for element in targets_of(when):
        _tested(c, element, spot, place)
    shown = condition_text(when)
    if not possible(when):
        c.say(
            "M08", place, f"`{shown}` is never true", "remove the row, or write what was meant", level="error"
        )
    elif not possible(_and(spot.under, when)):
        around = condition_text(spot.under)
        c.say(
            "M08", place, f"`{shown}` is never true under `{around}`", "remove the row, or change one of them"
        )
    elif not possible(Not(when)):
        c.say("M08", place, f"`{shown}` is always true", "leave `when` out, or write what was meant")


def _tested(c: _Check, element: str, spot: _Spot, place: Place) -> None:
    """`x set` where no row ever sets x: the row waits for ever."""
    first = read_target(element, str(place))[0].name
    for kind in dict.fromkeys((spot.type, spot.root)):
        if first.endswith("[x]") or T.child_of(kind, first) is not None or definitions.element(kind, first):
            return
    c.say("M01", place, f"{element}: {spot.root} has no such element")


# -- neighbours ----------------------------------------------------------------------------------------------------


def _neighbours(c: _Check, rows: tuple[Row, ...], spot: _Spot) -> None:
    lists: dict[str, list[Row]] = {}
    singles: dict[str, list[Row]] = {}
    for row in rows:
        if not row.target or row.skip:
            continue
        step = row.target[0]
        target = T.child_of(spot.type, step.name)
        if target is None:
            continue
        if target.repeats:
            lists.setdefault(step.name, []).append(row)
        elif len(row.target) == 1 and target.type:
            singles.setdefault(_stem(spot.type, step.name), []).append(row)
    for name, group in lists.items():
        makers = [r for r in group if len(r.target) == 1]
        bare = [r for r in makers if not r.target[0].label]
        if len(makers) > 1 and bare:
            late = bare[-1] if bare[-1] is not makers[0] else bare[0]
            c.say(
                "M16",
                late.place,
                f"{name} has {len(makers)} rows and not all have a label",
                f"{name}(what it is)",
            )
        deep: dict[tuple[str, ...], list[Row]] = {}
        for r in group:
            if len(r.target) > 1 and _is_single(target_of(spot.type, r.target)):
                deep.setdefault((str(r.target[0]), *(s.name for s in r.target[1:])), []).append(r)
        for same in deep.values():
            _shadowed(c, same, spot)
    for group in singles.values():
        _shadowed(c, group, spot)


def target_of(kind: str, steps: Iterable[Step]) -> T.Target | None:
    """Return the element at the end of a path; None where there is none."""
    target = None
    for step in steps:
        target = T.child_of(kind, step.name)
        if target is None or (target.repeats and step.label):
            return None
        kind = target.type
    return target


def _is_single(target: T.Target | None) -> bool:
    return target is not None and not target.repeats


def _stem(kind: str, name: str) -> str:
    e = definitions.element(kind, name)
    return e.name if e is not None and e.choice else name


def _shadowed(c: _Check, rows: list[Row], spot: _Spot) -> None:
    """Two rows for one single element must exclude each other, wait for each other, or add to each other."""
    for i, first in enumerate(rows):
        for later in rows[i + 1 :]:
            if later.target != first.target and later.target[-1].label and not _primitive(spot, later):
                continue  # a labelled row adds to the element that the other made
            if _waits(later) or _waits(first) or exclusive(first, later):
                continue
            c.say(
                "M09", later.place, f"{later.name} may give a value where {first.name} (line {first.place.line}) does",
                "give each a `when` that excludes the other, or write one row with [a, b]",
            )  # fmt: skip
            return


def _primitive(spot: _Spot, row: Row) -> bool:
    target = target_of(spot.type, row.target)
    return target is not None and target.primitive


def _waits(row: Row) -> bool:
    """Say whether a row looks whether an element is still free before it writes."""

    def tests(c: Condition | None) -> bool:
        if isinstance(c, And):
            return any(map(tests, c.parts))
        return isinstance(c, Not) and isinstance(c.inner, TargetSet)

    return tests(row.when) or (
        row.source is None and not row.children and row.by is None and bool(row.default)
    )


# -- the map -------------------------------------------------------------------------------------------------------


def parts_of(rows: Iterable[Row]) -> Iterator[tuple[Row, Source]]:
    """Give every source that rows read, with the row that reads it, however deep."""

    def each(row: Row, s: Source | None) -> Iterator[tuple[Row, Source]]:
        if isinstance(s, First):
            for o in s.options:
                yield from each(row, o)
        elif isinstance(s, Join):
            for o in s.parts:
                yield from each(row, o)
        elif s is not None:
            yield row, s

    for row in rows:
        yield from each(row, row.source)
        yield from parts_of((*row.children, *row.make_rows, *row.default, *row.failed))
        for case in row.cases:
            yield from parts_of(case.rows)


def _ignored(c: _Check) -> None:
    read: dict[tuple[str, int], set[int]] = {}
    for _, source in parts_of(c.m.rows):
        loc = locate(source.text) if isinstance(source, Locate) else None
        if loc is not None:
            read.setdefault((loc.name, loc.field), set()).add(loc.component)
    for text in c.m.ignore:
        loc = locate(text)
        place = replace(c.m.place, line=getattr(text, "line", c.m.place.line))
        if loc is None or not loc.field:
            if loc is None or loc.name not in dictionary.segment_names():
                c.say("M02", place, f"ignore: {text} is not a location", "ignore: [OBX-1]")
            continue
        told = _missing(loc, "", c.library.z_segments)
        if told:
            c.say("M02", place, f"ignore: {text}: {told}")
        components = read.get((loc.name, loc.field), set())
        if loc.component in components or (components and not loc.component):
            c.say("M10", place, f"{text} is in ignore: and a row reads it", f"take {text} out of ignore:")


def _key(c: _Check) -> None:
    """A key names one identifier: a filter, a repetition, `(only)`, or the label of a row that makes one."""

    def one(source: Source, at: Place) -> None:
        if isinstance(source, First):
            for o in source.options:
                one(o, at)
            return
        if not isinstance(source, Locate):
            return
        loc = locate(source.text)
        if loc is not None:
            if (
                c.m.source in dictionary.segment_names()
                and not loc.filtered
                and _repeats_now(loc.name, loc.field)
            ):
                what = f"key: {source.text} may hold several identifiers"
                c.say("M13", at, what, f"{loc.name}-{loc.field}(5=MR) or {loc.name}-{loc.field}(only)")
            return
        (step, *_) = read_target(source.text, str(at))
        makers = [r for r in c.m.rows if r.target and r.target[0].name == step.name and not r.skip]
        named = [r for r in makers if r.target[0].label == step.label or not step.label]
        if not named:
            labels = [r.target[0].label for r in makers]
            c.say(
                "M13",
                at,
                f"key: no row makes {source.text}",
                _near(step.label, labels),
                why="nothing can match it",
            )
        elif not step.label and len({r.target[0].label for r in named}) > 1:
            c.say(
                "M13",
                at,
                f"key: {source.text} has several rows",
                f"name one: {step.name}({named[0].target[0].label})",
            )
        elif len(named) == 1 and _several(named[0], c.m):
            text = named[0].source.text if isinstance(named[0].source, Locate) else ""
            c.say(
                "M13",
                at,
                f"key: {source.text} is made of {text}, which may repeat",
                f"{text}(1), or a filter",
            )

    for source in c.m.key:
        one(source, c.m.place)


def _several(row: Row, m: MapDef) -> bool:
    if not isinstance(row.source, Locate) or m.source in dictionary.datatype_names():
        return False
    loc = locate(row.source.text)
    return loc is not None and not loc.filtered and _repeats_now(loc.name, loc.field)


def _and(*parts: Condition | None) -> Condition:
    kept = tuple(p for p in parts if p is not None and p != ALWAYS)
    return kept[0] if len(kept) == 1 else And(kept)
