"""A site's changes laid over the standard maps, row by row; every row remembers which layer set it.

`change:` names a map and the rows that differ. A row with the same target (label included) replaces the one
below; `skip` takes it away; in a `by` table a case replaces the base's case of that name, and the base's case
stays for when the new one's `when` is false.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.kernel.errors import MapError
from engine.kernel.yamlfile import Map
from engine.mapping import conditions
from engine.mapping.model import Case, MapDef, Place, Row
from engine.mapping.read import WORDS, HasChild, Parse, Reader, read_target

__all__ = ["apply_change"]


def apply_change(
    base: MapDef,
    change: Map,
    file: str,
    layer: str,
    has_child: HasChild,
    parse: Parse = conditions.parse,
) -> MapDef:
    """Lay one site's rows over a map. Raises MapError for a row that is gone or cannot be read."""
    reader = Reader(base.to, file, layer, has_child, parse)
    rows = list(base.rows)
    for key, value in change.items():
        line, column = change.key_lines[key], change.key_columns[key]
        target = read_target(key, f"{file}:{line}")
        at = [i for i, r in enumerate(rows) if r.target == target]
        if isinstance(value, str) and value == "skip":
            if not at:
                raise MapError(
                    f"{base.name} has no row {key} to skip",
                    where=f"{file}:{line}",
                    remedy=f"see {base.place.file}",
                )
            rows[at[0]] = Row(target, Place(file, line, layer, column), skip=f"by {layer}")
            continue
        if (
            at
            and isinstance(value, Map)
            and rows[at[0]].cases
            and not set(value) & (WORDS - {"code", "as", "value"})
        ):
            rows[at[0]] = _cases(rows[at[0]], value, reader, target)
            continue
        row = reader.row(target, value, (), line, column)
        if at:
            rows[at[0]] = row
        else:
            rows.append(row)
    return replace(base, rows=tuple(rows))


def _cases(row: Row, change: Map, reader: Reader, target: tuple[Any, ...]) -> Row:
    cases = list(row.cases)
    choice = target[-1].name.endswith("[x]")
    for key, value in change.items():
        spot = change.key_lines[key], change.key_columns[key]
        new = reader.case(key, value, target, (), *spot, choice)
        at = next((i for i, c in enumerate(cases) if set(c.values) == set(new.values)), None)
        if at is None:
            # a narrower case: take its values out of the one that has them
            cases = [replace(c, values=tuple(v for v in c.values if v not in new.values)) for c in cases]
            base = next((c for c in row.cases if set(new.values) <= set(c.values)), None)
            cases = [new if base is None else _either(new, base), *[c for c in cases if c.values]]
        else:
            cases[at] = _either(new, cases[at])
    return replace(row, cases=tuple(cases))


def _either(new: Case, base: Case) -> Case:
    """A case with a `when` keeps the base's rows for when it is false."""
    from engine.mapping.conditions import Not

    guards = {r.when for r in new.rows if r.when is not None}
    if len(guards) != 1 or any(r.when is None for r in new.rows):
        return new
    guard = guards.pop()
    assert guard is not None
    from engine.mapping.conditions import And

    rest = tuple(
        replace(r, when=Not(guard) if r.when is None else And((Not(guard), r.when))) for r in base.rows
    )
    return replace(new, rows=new.rows + rest)
