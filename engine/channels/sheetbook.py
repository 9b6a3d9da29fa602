"""Maps as a workbook, one sheet a map and one for every code table they use, or as a CSV file; and back.

In: names of maps, a site. Out: bytes of a file whose cells are all text, so that no spreadsheet takes `1-2`
for a date or `=final` for a formula. Each sheet carries the revision and the hash of the rows it was made
from: what comes back, signed, is held against them (sheetedits.py).
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from openpyxl import Workbook
from openpyxl.styles import Alignment, Font
from openpyxl.utils import get_column_letter
from openpyxl.utils.exceptions import InvalidFileException

from engine.channels.codebook import opened
from engine.channels.sheetcells import COLUMNS, HEADINGS, Cell, Grid, comments, flat, said_hash
from engine.kernel.errors import ConfigError, MapError
from engine.mapping.entries import Entry, entries
from engine.mapping.model import MapDef
from engine.mapping.project import SiteProgram

__all__ = ["book_of", "csv_of", "read_book", "the_map"]

HEAD = ("map", "from", "to", "as", "revision", "rows", "key", "ignore", "note", "table")
_WIDTHS = {"depth": 7, "element": 34, "from": 40, "when": 44, "comment": 60, "set by": 40, "assumed": 30}


def book_of(program: SiteProgram, root: Path, names: Sequence[str]) -> bytes:
    """Return a workbook of maps, and of the code tables they use."""
    made = [the_map(program, name) for name in names or sorted(program.resolved)]
    tables = {e.words["code"] for m in made for e in _all(entries(m)) if "code" in e.words}
    book = Workbook()
    book.remove(book.worksheets[0])
    for m in made:
        _sheet(book, m.name, _head(program, m.name), _table(root, list(entries(m))))
    for table in sorted(tables):
        path = root / f"terminology/maps/{table}.csv"
        if path.is_file():
            with path.open(encoding="utf-8", newline="") as f:
                rows = [tuple(_unquoted(c) for c in row) for row in csv.reader(f)]
            _sheet(book, f"table {table}", [("table", table), ()], rows)
    out = io.BytesIO()
    book.save(out)
    return out.getvalue()


def csv_of(program: SiteProgram, root: Path, name: str) -> bytes:
    """Return one map as CSV, with the mark that spreadsheets know UTF-8 by."""
    m = the_map(program, name)
    out = io.StringIO()
    csv.writer(out).writerows([*_head(program, m.name), *_table(root, list(entries(m)))])
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def the_map(program: SiteProgram, name: str) -> MapDef:
    """Return a map by its name. Raises MapError that says which names are near."""
    found = program.resolved.get(name)
    if found is None:
        near = get_close_matches(name, sorted({*program.resolved, *program.maps.messages}), 3, 0.5)
        raise MapError(f"there is no map {name}", remedy=f"did you mean {' or '.join(near)}?" if near else "")
    return found


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


def read_book(data: bytes, name: str) -> list[Grid]:
    """Read the sheets of a workbook or a CSV file of this name. Raises ConfigError or MapError."""
    if name.lower().endswith(".csv"):
        try:
            rows = list(csv.reader(io.StringIO(data.decode("utf-8-sig"), newline="")))
        except (UnicodeDecodeError, csv.Error) as e:
            raise ConfigError("cannot be read", where=name, why=type(e).__name__) from None
        cells = [
            [Cell(f"{name}!{get_column_letter(c)}{r}", text or None) for c, text in enumerate(row, 1)]
            for r, row in enumerate(rows, 1)
        ]
        return [_grid(name, cells)]
    try:
        book = opened(data, name)
    except (OSError, InvalidFileException, KeyError, ValueError, BadZipFile):
        raise ConfigError("is no workbook", where=name, remedy="save it as .xlsx") from None
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
