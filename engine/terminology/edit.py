"""Writes single rows into a code table that people own: the rest of the file stays as it is, byte for byte.

In: the file, a row. Out: the file with that row in place of the one for the same code, or at its end; and the
whole read back, so that what is written is a table that the hub starts with. A code that a spreadsheet would
take for a date, a number or lose zeros of is written ="1E5".
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import astuple

from engine.kernel.errors import ConfigError
from engine.terminology.damage import check_cell, text_cells
from engine.terminology.tables import COLUMNS, TableRow, read_table

__all__ = ["cells_of", "new_table", "with_row", "write_rows"]


def new_table() -> bytes:
    """Return a table without rows."""
    return (",".join(COLUMNS) + "\n").encode()


def with_row(data: bytes, row: TableRow, name: str) -> bytes:
    """Return the table with this row; `name` is the file as errors show it. Raises ConfigError.

    Rows for the same code of the same system go: its drafts, and what was approved before.
    """
    bom = b"\xef\xbb\xbf" if data.startswith(b"\xef\xbb\xbf") else b""
    text = data.decode("utf-8-sig")
    read_table(data, name)
    end = "\r\n" if "\r\n" in text else "\n"
    key = (row.source_system, row.source_code)
    kept: list[str] = []
    at: int | None = None
    for raw, cells in _records(text):
        read = text_cells(cells)
        if len(read) == len(COLUMNS) and tuple(read[:2]) == key:
            at = len(kept) if at is None else at
            continue
        kept.append(raw)
    where = len(kept) if at is None else at
    error: ConfigError | None = None
    for protected in (False, True):
        line = _line(cells_of(row, protect=protected), end)
        before = kept[:where]
        if before and not before[-1].endswith("\n"):
            before[-1] += end
        made = bom + "".join([*before, line, *kept[where:]]).encode()
        try:
            read_table(made, name)
        except ConfigError as e:
            error = error or e
        else:
            return made
    assert error is not None
    raise error


def _records(text: str) -> Iterator[tuple[str, list[str]]]:
    """Give each record as it stands in the file, with its cells."""
    lines = text.splitlines(keepends=True)
    reader = csv.reader(iter(lines), strict=True)
    start = 0
    for cells in reader:
        yield "".join(lines[start : reader.line_num]), cells
        start = reader.line_num


def cells_of(row: TableRow, protect: bool = False) -> list[str]:
    """Return the cells of a row as the file has them. `protect`: codes as text, whatever they look like."""
    cells = [str(c) for c in astuple(row)[: len(COLUMNS)]]
    for place, system in ((1, row.source_system), (5, row.target_system)):
        code = cells[place]
        if not code or '"' in code:
            continue
        if protect and place == 1:
            cells[place] = f'="{code}"'
            continue
        try:
            check_cell(code, code, system, "", COLUMNS[place])
        except ConfigError:
            cells[place] = f'="{code}"'
    return cells


def _line(cells: Sequence[str], end: str) -> str:
    out = io.StringIO()
    csv.writer(out, lineterminator=end).writerow([" ".join(c.split()) for c in cells])
    return out.getvalue()


def write_rows(rows: Sequence[TableRow]) -> bytes:
    """Return a whole table of these rows."""
    return new_table() + "".join(_line(cells_of(r), "\n") for r in rows).encode()
