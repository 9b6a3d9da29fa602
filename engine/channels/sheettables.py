"""Code tables of a workbook against those of the project: what differs, and the CSV text that says it.

In: the grids of tables. Out: new texts of `terminology/maps/*.csv` and each cell that differs. A site may not
change a table that others use.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path

from engine.channels.sheetcells import Grid
from engine.channels.sheetrows import Edit
from engine.kernel.errors import MapError
from engine.mapping.entries import Entry, entries
from engine.mapping.project import Maps
from engine.terminology.tables import COLUMNS as TABLE_COLUMNS

__all__ = ["table_edits"]

_FREE = ("source_display", "target_display", "by", "note")
"""Columns of a code table that hold words for people."""


def table_edits(
    root: Path, maps: Maps, grids: dict[str, Grid], to_site: bool
) -> tuple[dict[str, str], list[Edit]]:
    """Return the text of every table that differs, and its edits. A site may not change what others use."""
    shared = {
        e.words["code"] for m in maps.maps.values() for e in _all(list(entries(m))) if "code" in e.words
    }
    texts: dict[str, str] = {}
    edits: list[Edit] = []
    for name, grid in grids.items():
        if not re.fullmatch(r"[A-Za-z0-9_]+", name):
            raise MapError(f"{name!r} is no name of a table", where=grid.title)
        path = root / f"terminology/maps/{name}.csv"
        old = list(csv.reader(io.StringIO(path.read_text("utf-8"))))[1:] if path.is_file() else []
        rows = [
            [line[c].text(free=c in _FREE) if c in line else "" for c in TABLE_COLUMNS] for line in grid.lines
        ]
        kept = [(row, line) for row, line in zip(rows, grid.lines, strict=True) if any(row)]
        was = {tuple(r[:2]): r for r in ([c[2:-1] if c.startswith('="') else c for c in o] for o in old) if r}
        found: list[Edit] = []
        for row, line in kept:
            before = was.pop((row[0], row[1]), None)
            where = line["source_code"].address
            if before is None:
                found.append(Edit(name, row[1], where, "added", "", ""))
                continue
            found += [
                Edit(name, row[1], line[c].address if c in line else where, c, a, b)
                for c, a, b in zip(TABLE_COLUMNS, before, row, strict=False)
                if a != b
            ]
        found += [Edit(name, key[1], grid.title, "removed", "", "") for key in was]
        if found and to_site and name in shared:
            raise MapError(
                f"table {name} belongs to all senders", where=found[0].cell,
                remedy="import it with --standard, or copy the table under a name of the sender's own",
            )  # fmt: skip
        if found:
            made = io.StringIO()
            csv.writer(made, lineterminator="\n").writerows(
                [TABLE_COLUMNS, *(_guarded(row) for row, _ in kept)]
            )
            texts[f"terminology/maps/{name}.csv"] = made.getvalue()
            edits += found
    return texts, edits


def _guarded(row: list[str]) -> list[str]:
    """Write a code that looks like a spreadsheet's number as the tables' reader wants it: `="1E5"`."""
    return [f'="{c}"' if re.fullmatch(r"\d+[Ee]\d+", c) else c for c in row]


def _all(rows: list[Entry]) -> Iterator[Entry]:
    for e in rows:
        yield e
        yield from _all(e.inside)
