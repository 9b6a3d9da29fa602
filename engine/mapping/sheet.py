"""A map as a sheet that a person reads: element, source, how, when, and who set it; and the texts of rows'
parts.

In: resolved maps. Out: `Line` records and plain text. `hub map show` prints them, the linter quotes them.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from engine.mapping.conditions import And, Cleared, Compare, Condition, Looks, Not, Or, TargetSet, Valued
from engine.mapping.model import Constant, First, Join, Locate, MapDef, Row, Source

__all__ = ["Line", "condition_text", "sheet", "source_text"]


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the sheet; `depth` tells how far it belongs under the line above."""

    element: str
    source: str
    how: str
    when: str
    set_by: str
    place: str
    depth: int = 0


def source_text(s: Source | None) -> str:
    """Return a source as a map file says it."""
    if s is None:
        return ""
    if isinstance(s, Locate):
        return s.text
    if isinstance(s, Constant):
        return f"={s.text}"
    if isinstance(s, First):
        return "[" + ", ".join(source_text(o) for o in s.options) + "]"
    assert isinstance(s, Join)
    if not s.with_:
        return " + ".join(source_text(p) for p in s.parts)
    return "join [" + ", ".join(source_text(p) for p in s.parts) + f"] with {s.with_}"


def condition_text(c: Condition | None) -> str:
    """Return a condition as a map file says it."""
    if c is None:
        return ""
    if isinstance(c, And | Or):
        word = " and " if isinstance(c, And) else " or "
        return word.join(
            f"({condition_text(p)})" if isinstance(p, And | Or) else condition_text(p) for p in c.parts
        )
    if isinstance(c, Not):
        if isinstance(c.inner, Valued):
            return f"{c.inner.location} not valued"
        if isinstance(c.inner, TargetSet):
            return f"{c.inner.element} not set"
        return f"not ({condition_text(c.inner)})"
    if isinstance(c, Valued):
        return f"{c.location} valued"
    if isinstance(c, Cleared):
        return f"{c.location} cleared"
    if isinstance(c, Looks):
        return f"{c.location} looks like {c.like}"
    if isinstance(c, TargetSet):
        return f"{c.element} set"
    assert isinstance(c, Compare)
    left = f"{c.function}({c.location})" if c.function else c.location
    return f"{left} {c.op} {'|'.join(c.values)}"


def how_text(row: Row) -> str:
    """Return everything a row says beside its source and condition."""
    parts = []
    if row.as_:
        parts.append(f"as {row.as_}")
    if row.code:
        parts.append(f"code {row.code}" + (f" (unmapped: {row.unmapped})" if row.unmapped else ""))
    if row.make:
        parts.append(f"make {row.make}")
    if row.each:
        parts.append(f"each {row.each}")
    if row.split:
        parts.append(f"split {row.split}")
    if row.by is not None:
        parts.append(f"by {source_text(row.by)}")
    if row.flag:
        parts.append(f"flag: {row.flag}")
    if row.skip:
        parts.append(f"skip: {row.skip}")
    if row.assumed:
        parts.append(f"assumed: {row.assumed}")
    return "; ".join(parts)


def sheet(m: MapDef) -> Iterator[Line]:
    """Give the lines of a map, in the order of its rows."""
    for level in m.levels:
        yield Line(f"[{level.name}]", "", "", condition_text(level.when), level.place.layer, str(level.place))
        yield from lines(level.rows, 1)
    yield from lines(m.rows, 0)


def lines(rows: Iterable[Row], depth: int, word: str = "") -> Iterator[Line]:
    """Give the lines of some rows and of what hangs below them."""
    for r in rows:
        name = r.name or word or "(this element)"
        label = f"{word} {name}" if word and r.name and word != name else name
        yield Line(
            label,
            source_text(r.source),
            how_text(r),
            condition_text(r.when),
            r.place.layer,
            str(r.place),
            depth,
        )
        yield from lines(r.children, depth + 1)
        yield from lines(r.make_rows, depth + 1)
        for case in r.cases:
            shown = "|".join(v or '""' for v in case.values)
            yield from lines(case.rows, depth + 1, f"{shown}:")
        yield from lines(r.default, depth + 1, "default:")
        yield from lines(r.failed, depth + 1, "failed:")
