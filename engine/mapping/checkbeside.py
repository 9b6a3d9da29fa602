"""The linter's rules about rows beside each other, and about a map's key and its `ignore`.

In: the rows of one element, or a whole map. Out: findings, said through `Check`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace

from engine.fhir import definitions
from engine.formats.hl7v2 import dictionary
from engine.mapping import types as T
from engine.mapping.checkparts import Check, Spot, missing, near, repeats_now
from engine.mapping.conditions import And, Condition, Not, TargetSet
from engine.mapping.locate import locate
from engine.mapping.logic import exclusive
from engine.mapping.model import First, Join, Locate, MapDef, Place, Row, Source, Step
from engine.mapping.read import read_target

__all__ = ["check_ignored", "check_key", "check_neighbours", "parts_of"]


def check_neighbours(c: Check, rows: tuple[Row, ...], spot: Spot) -> None:
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


def _shadowed(c: Check, rows: list[Row], spot: Spot) -> None:
    """Two rows for one single element must exclude each other, wait for each other, or add to each other."""
    for i, first in enumerate(rows):
        for later in rows[i + 1 :]:
            if later.target != first.target and later.target[-1].label and not _primitive(spot, later):
                continue  # a labelled row adds to the element that the other made
            if _waits(later) or _waits(first) or exclusive(first, later):
                continue
            c.say(
                "M09", later.place, f"{later.name} may give what {first.name} gives, line {first.place.line}",
                "give each a `when` that excludes the other, or write one row with [a, b]",
            )  # fmt: skip
            return


def _primitive(spot: Spot, row: Row) -> bool:
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


def check_ignored(c: Check) -> None:
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
        told = missing(loc, "", c.library.z_segments)
        if told:
            c.say("M02", place, f"ignore: {text}: {told}")
        components = read.get((loc.name, loc.field), set())
        if loc.component in components or (components and not loc.component):
            c.say("M10", place, f"{text} is in ignore: and a row reads it", f"take {text} out of ignore:")


def check_key(c: Check) -> None:
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
                and repeats_now(loc.name, loc.field)
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
                near(step.label, labels),
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
    return loc is not None and not loc.filtered and repeats_now(loc.name, loc.field)
