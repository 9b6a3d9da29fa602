"""`hub map export`: maps into a workbook, one sheet a map and one for every code table they use, or into a
CSV file.

In: names of maps, a site. Out: a file whose cells are all text, so that no spreadsheet takes `1-2` for a
date or `=final` for a formula. Each sheet carries the hash of the rows it was made from; `hub map import`
reads it back.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from openpyxl import Workbook, load_workbook
from openpyxl.styles import Alignment, Font
from openpyxl.utils import get_column_letter
from openpyxl.utils.exceptions import InvalidFileException

from engine.cli.mapcells import COLUMNS, HEADINGS, Cell, Grid, comments, flat, said_hash
from engine.cli.maps import open_program, the_map
from engine.kernel.errors import ConfigError, MapError
from engine.mapping.entries import Entry, entries
from engine.mapping.project import SiteProgram

__all__ = ["map_export", "read_book"]

HEAD = ("map", "from", "to", "as", "revision", "rows", "key", "ignore", "note", "table")
_WIDTHS = {"depth": 7, "element": 34, "from": 40, "when": 44, "comment": 60, "set by": 40, "assumed": 30}


def map_export(root: Path, names: Sequence[str], out: Path, site: str = "") -> int:
    """Write maps into a workbook or a CSV file; returns the exit code."""
    program = open_program(root, site)
    made = [the_map(program, name) for name in names or sorted(program.resolved)]
    sheets = [(m.name, _head(program, m.name), _table(root, list(entries(m)))) for m in made]
    if out.suffix.lower() == ".csv":
        if len(made) != 1:
            raise ConfigError("a CSV file holds one map", remedy="name one map, or write a .xlsx")
        _, head, lines = sheets[0]
        with out.open("w", encoding="utf-8-sig", newline="") as f:
            csv.writer(f).writerows([*head, *lines])
    elif out.suffix.lower() == ".xlsx":
        tables = {e.words["code"] for m in made for e in _all(entries(m)) if "code" in e.words}
        book = Workbook()
        book.remove(book.worksheets[0])
        for title, head, lines in sheets:
            _sheet(book, title, head, lines)
        for table in sorted(tables):
            path = root / f"terminology/maps/{table}.csv"
            if path.is_file():
                with path.open(encoding="utf-8", newline="") as f:
                    rows = [tuple(_unquoted(c) for c in row) for row in csv.reader(f)]
                _sheet(book, f"table {table}", [("table", table), ()], rows)
        book.save(out)
    else:
        raise ConfigError(f"{out.name}: neither .xlsx nor .csv", remedy="name the file so")
    print(f"{len(made)} maps in {out}")
    return 0


def _unquoted(cell: str) -> str:
    return cell[2:-1] if cell.startswith('="') and cell.endswith('"') else cell


def _all(rows: Iterable[Entry]) -> Iterable[Entry]:
    for e in rows:
        yield e
        yield from _all(e.inside)


def _head(program: SiteProgram, name: str) -> list[tuple[str, ...]]:
    m = program.resolved[name]
    words = {
        "map": m.name,
        "from": m.source,
        "to": m.to,
        "as": program.name,
        "revision": program.revision,
        "rows": said_hash(entries(m)),
        "key": m.key_text,
        "ignore": ", ".join(m.ignore),
        "note": " ".join(m.note.split()),
    }
    return [*words.items(), ()]


def _table(root: Path, rows: list[Entry]) -> list[tuple[str, ...]]:
    comments(root, rows)
    return [tuple(HEADINGS.get(c, c) for c in COLUMNS), *flat(rows)]


def _sheet(
    book: Workbook, title: str, head: Sequence[tuple[str, ...]], lines: Sequence[tuple[str, ...]]
) -> None:
    """Add a sheet whose cells are text, whatever they look like."""
    taken = {s.title for s in book.worksheets}
    short, n = title[:31], 1
    while short in taken:
        n += 1
        short = f"{title[:28]}~{n}"
    sheet: Any = book.create_sheet(short)
    for number, row in enumerate([*head, *lines], 1):
        heading = number == len(head) + 1
        for column, text in enumerate(row, 1):
            cell = sheet.cell(number, column)
            cell.number_format = "@"
            cell.quotePrefix = text.startswith("=")
            if text:
                cell.value = text
                cell.data_type = "s"
            if heading:
                cell.font = Font(bold=True)
            elif column == 2 and number > len(head) + 1 and row[0].isdigit():
                cell.alignment = Alignment(indent=2 * int(row[0]))
    for column, name in enumerate(lines[0], 1):
        name = next((k for k, v in HEADINGS.items() if v == name), name)
        dimension = sheet.column_dimensions[get_column_letter(column)]
        dimension.width = _WIDTHS.get(name, 16)
        dimension.number_format = "@"  # what is still to be typed is text too
    sheet.freeze_panes = sheet.cell(len(head) + 2, 3)


# -- reading ---------------------------------------------------------------------------------------


def read_book(path: Path) -> list[Grid]:
    """Read the sheets of a workbook or a CSV file. Raises ConfigError or MapError."""
    if path.suffix.lower() == ".csv":
        try:
            with path.open(encoding="utf-8-sig", newline="") as f:
                rows = list(csv.reader(f))
        except (OSError, UnicodeDecodeError) as e:
            raise ConfigError("cannot be read", where=str(path), why=type(e).__name__) from None
        cells = [
            [Cell(f"{path.name}!{get_column_letter(c)}{r}", text or None) for c, text in enumerate(row, 1)]
            for r, row in enumerate(rows, 1)
        ]
        return [_grid(path.name, cells)]
    try:
        book = load_workbook(path)
    except (OSError, InvalidFileException, KeyError, ValueError, BadZipFile):
        raise ConfigError("is no workbook", where=str(path), remedy="save it as .xlsx") from None
    found = []
    for sheet in book.worksheets:
        cells = [
            [Cell(f"{sheet.title}!{c.coordinate}", c.value, c.data_type in ("f", "e")) for c in row]
            for row in sheet.iter_rows()
        ]
        found.append(_grid(sheet.title, cells))
    return found


def _grid(title: str, rows: list[list[Cell]]) -> Grid:
    """Take a sheet apart into head and lines; the headings begin with `depth` or `source_system`."""
    out = Grid(title)
    headings: list[str] = []
    back = {v: k for k, v in HEADINGS.items()}
    for row in rows:
        first = str(row[0].value or "").strip() if row else ""
        if headings:
            out.lines.append({name: cell for name, cell in zip(headings, row, strict=False) if name})
        elif first in ("depth", "source_system"):
            names = [cell.text(free=True) for cell in row]
            headings = [back.get(n, n) for n in names]
        elif first in HEAD and len(row) > 1:
            out.head[first] = row[1]
    if not headings or not {"map", "table"} & out.head.keys():
        raise MapError(
            "is no sheet that `hub map export` wrote",
            where=title,
            remedy="keep the lines above the table as they are",
        )
    return out
