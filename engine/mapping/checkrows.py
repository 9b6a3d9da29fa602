"""The linter's rules about rows: every row of a map is held against both dictionaries and against its
neighbours.

In: one resolved map and the library of what a site sees. Out: findings. The walk mirrors what the emitter
does with rows, so that it knows for each one the FHIR type it stands in and which repetition its locations
are bound to.
"""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches

from engine.fhir import definitions
from engine.formats.hl7v2 import dictionary
from engine.kernel.errors import MapError
from engine.mapping import types as T
from engine.mapping.checkbeside import check_ignored, check_key, check_neighbours
from engine.mapping.checkparts import Check, Spot, both, missing, near, repeats_now
from engine.mapping.conditions import Condition, Not, locations_of, targets_of
from engine.mapping.emit import Library
from engine.mapping.locate import locate
from engine.mapping.logic import ALWAYS, chosen, possible
from engine.mapping.model import Constant, First, Join, Locate, MapDef, Place, Row, Source, Step
from engine.mapping.read import read_target
from engine.mapping.rules import Finding
from engine.mapping.sheet import condition_text

__all__ = ["check_map"]

_NOT_MAPS = frozenset({"systems", "authorities"})


KEPT_BY_STORE = ("statusHistory", "classHistory")
"""Elements of an Encounter that follow from what its messages told (docs/analysts/visits.md)."""


def check_map(m: MapDef, library: Library) -> list[Finding]:
    """Hold one map against every rule that needs nothing but the map and its neighbours."""
    c = Check(m, library)
    primitive = definitions.is_primitive(m.to)
    target = T.Target(m.to, False, primitive=True) if primitive else None
    spot = Spot(m.to, m.to, target=target)
    if primitive:
        for row in m.rows:
            _source(c, row, spot, target)
    else:
        _block(c, m.rows, spot)
    for level in m.levels:
        _condition(c, level.when, spot, level.place)
        _block(c, level.rows, replace(spot, under=level.when or ALWAYS, cased=True))
    check_ignored(c)
    check_key(c)
    return c.found


def _block(c: Check, rows: tuple[Row, ...], spot: Spot) -> None:
    """Check the rows of one element, one by one and against each other."""
    for row in rows:
        _row(c, row, spot)
    check_neighbours(c, rows, spot)


def _row(c: Check, row: Row, spot: Spot) -> None:
    if spot.root == spot.type == "Encounter" and row.target and row.target[0].name in KEPT_BY_STORE:
        c.say("M26", row.place, f"{row.name}: the store keeps it", "map status, class and location(assigned)")
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


def _unknown(c: Check, row: Row, at: str, step: Step) -> None:
    names = [n.removesuffix("[x]") for n in definitions.elements(at)] if at in definitions.types() else []
    near = get_close_matches(step.name, names, 3, 0.6)
    kind = at.split(".")[-1] if "." in at else at
    c.say("M01", row.place, f"{row.name}: {kind} has no element {step.name}", ", ".join(near))


def _choice(c: Check, row: Row, spot: Spot, at: str) -> None:
    """Check `value[x]`: its cases hold rows for sibling elements."""
    _condition(c, row.when, spot, row.place)
    if row.by is not None:
        _reads(c, row.by, row.place, spot)
    sibling = replace(spot, target=None, under=both(spot.under, row.when), cased=True)
    for case in row.cases:
        under = replace(sibling, under=both(sibling.under, chosen(row, case)))
        if isinstance(row.by, Locate) and row.by.text == "OBX-2" and "else" not in case.values:
            under = replace(under, varies=case.values[0].strip('"'))
        for r in case.rows:
            if r.target or r.failed:
                _row(c, r, under) if r.target else _block(c, r.failed, under)
    for r in row.failed:
        if r.target:
            _row(c, r, sibling)


def _checked(c: Check, row: Row, spot: Spot, target: T.Target | None) -> None:
    """Check what a row says, and go on to the rows below it."""
    _condition(c, row.when, spot, row.place)
    if row.skip:
        return
    spot = replace(spot, under=both(spot.under, row.when), assumed=spot.assumed or bool(row.assumed))
    if row.each:
        for name in row.each.split("/"):
            if name not in dictionary.segment_names() and name not in c.library.z_segments:
                c.say("M02", row.place, f"each: {name} is no segment", "name a segment, e.g. each: NTE")
        names = frozenset(b for b in spot.bound if b[0] != row.each_segment)
        spot = replace(spot, bound=names)
    if row.known_by is not None or row.action is not None:
        _told_singly(c, row, spot)
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
                near(kind, definitions.resource_types()),
            )
    elif row.make and row.make not in c.library.maps:
        c.say("M19", row.place, f"make: there is no map {row.make}", near(row.make, c.library.maps))
    if row.by is not None:
        _reads(c, row.by, row.place, bound)
        for case in row.cases:
            under = replace(bound, under=both(bound.under, chosen(row, case)), cased=True)
            for r in case.rows:
                dressed = replace(r, code=r.code or row.code, unmapped=r.unmapped or row.unmapped)
                _row(c, dressed, under) if not r.target else _row(c, r, replace(under, target=None))
    for r in (*row.default, *row.failed):
        low = replace(inner, type=inner.type) if r.target else replace(bound, cased=spot.cased)
        if r.target or r.source is not None or r.children or r.by is not None:
            _row(c, r, low)


# -- one row -------------------------------------------------------------------------------------------


def _source(c: Check, row: Row, spot: Spot, target: T.Target | None) -> None:
    if row.source is not None:
        _reads(c, row.source, row.place, spot)
    names = c.library.names
    if row.as_ and not row.as_.startswith("fn:") and row.as_ not in names:
        c.say("M19", row.place, f"as: there is no map {row.as_}", near(row.as_, names))
    if row.code and row.code not in _NOT_MAPS and row.code not in c.library.tables:
        c.say("M19", row.place, f"code: there is no table {row.code}", near(row.code, c.library.tables))
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


def _told_singly(c: Check, row: Row, spot: Spot) -> None:
    """Check a row whose entries are told one by one, each with its action code."""
    for source in (row.known_by, row.action):
        if source is not None:
            _reads(c, source, row.place, spot)
    if row.known_by is None:
        c.say("M25", row.place, f"{row.name}: action: without known_by:", "known_by: [AIP-3.1, AIP-1]")
    if not row.each or not spot.many or len(row.target) != 1 or spot.type != spot.root:
        c.say(
            "M25", row.place, f"{row.name} is no list of the resource that repeats with segments", "each: AIP"
        )


def _required(c: Check, row: Row, spot: Spot, target: T.Target) -> None:
    if row.source is None or row.by is not None or isinstance(row.source, Join):
        return
    if row.unmapped in ("keep", "flag") and row.code:
        c.say(
            "M06", row.place, f"unmapped: {row.unmapped} writes what {'.'.join(spot.path)} does not allow",
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


def _constant(c: Check, row: Row, text: str, spot: Spot, target: T.Target) -> None:
    kind = target.type
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
    elif (
        coded
        and _clinical(spot.path)
        and not (spot.assumed or row.assumed or spot.cased or _told(spot.under))
    ):
        c.say(
            "M14", row.place, f"{'.'.join(spot.path)}: ={text} is a fact that nobody sent",
            "add `assumed: who says so`",
        )  # fmt: skip


def _clinical(path: tuple[str, ...]) -> bool:
    """Say whether a code there states a fact; the kind of an identifier or of a part is only its name."""
    return bool(path) and "extension" not in path and path[-1] != "type" and path[0] != "meta"


def _told(under: Condition) -> bool:
    """Say whether a row's condition looks at what was sent: then the message says it, not the map."""
    return bool(locations_of(under))


def _single(c: Check, row: Row, text: str, spot: Spot) -> None:
    loc = locate(text)
    if loc is None or not loc.field or loc.filtered or c.m.source in dictionary.datatype_names():
        return
    if (loc.name, loc.field) in spot.bound or not repeats_now(loc.name, loc.field):
        return
    counted = [f"count({loc.name}-{loc.field})"]
    if any(t in condition_text(spot.under) for t in counted):
        return
    c.say(
        "M04", row.place, f"{text} may repeat and {'.'.join(spot.path) or 'the element'} is single",
        f"{loc.name}-{loc.field}(1){f'.{loc.component}' if loc.component else ''}, or a filter like (5=MR)",
    )  # fmt: skip


def _reads(c: Check, source: Source, place: Place, spot: Spot) -> None:
    """Check that every location of a source exists in some version."""
    if isinstance(source, First):
        for s in source.options:
            _reads(c, s, place, spot)
    elif isinstance(source, Join):
        for s in source.parts:
            _reads(c, s, place, spot)
    elif isinstance(source, Locate):
        _location(c, source.text, place, spot)


def _location(c: Check, text: str, place: Place, spot: Spot) -> None:
    try:
        loc = locate(text)
    except MapError as e:
        c.say("M02", place, e.what, e.remedy)
        return
    if loc is None:
        c.say("M02", place, f"{text!r} is not a location", "PID-5.1, PID-3(5=MR).1 or =constant")
        return
    told = missing(loc, spot.varies, c.library.z_segments)
    if not told and _foreign(loc.name) and not _foreign(c.m.source):
        told = f"{loc.name} is a datatype; a map of {c.m.source} reads fields"
    if told:
        c.say("M02", place, f"{text}: {told}", "look the number up in your message specification")


def _foreign(name: str) -> bool:
    """Say whether a name is a datatype and no segment."""
    return name in dictionary.datatype_names() and name not in dictionary.segment_names()


def _condition(c: Check, when: Condition | None, spot: Spot, place: Place) -> None:
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
    elif not possible(both(spot.under, when)):
        around = condition_text(spot.under)
        c.say(
            "M08", place, f"`{shown}` is never true under `{around}`", "remove the row, or change one of them"
        )
    elif not possible(Not(when)):
        c.say("M08", place, f"`{shown}` is always true", "leave `when` out, or write what was meant")


def _tested(c: Check, element: str, spot: Spot, place: Place) -> None:
    """`x set` where no row ever sets x: the row waits for ever."""
    first = read_target(element, str(place))[0].name
    for kind in dict.fromkeys((spot.type, spot.root)):
        if first.endswith("[x]") or T.child_of(kind, first) is not None or definitions.element(kind, first):
            return
    c.say("M01", place, f"{element}: {spot.root} has no such element")
