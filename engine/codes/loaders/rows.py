"""Lines and rows of release files, read strictly: every row is whole, or the file is refused with its line.

In: a member of `Files`. Out: (line number, cells). Three shapes: lines with a separator and no quoting (RF2,
RRF, the CDC's tables), CSV with a header read by name (LOINC), and lines of fixed places (ICD-10 order
files).
"""

from __future__ import annotations

import csv
from collections.abc import Iterator, Sequence

from engine.codes.loaders.files import Files, Member
from engine.kernel.errors import FormatError

__all__ = ["AGAIN", "Table", "csv_rows", "csv_table", "lines", "separated"]

AGAIN = "fetch the file from its publisher again; if it was opened in a spreadsheet, use the original"
_CELL = 1 << 20  # characters in one cell of a CSV file
_BOM = b"\xef\xbb\xbf"


def lines(
    files: Files, member: Member, *, whole: bool = True, legacy: bool = False, remedy: str = AGAIN
) -> Iterator[tuple[int, str]]:
    """Give the lines of a file without their ends. Raises FormatError.

    `whole`: the last line must end too, as in files that programs write; one that does not was cut off.
    `legacy`: UTF-16 with a byte order mark, and Windows-1252 where a line is not UTF-8, are read as well.
    """
    with files.open(member) as stream:
        if legacy and stream.peek(2)[:2] in (b"\xff\xfe", b"\xfe\xff"):
            text = stream.read().decode("utf-16", "strict")
            yield from enumerate(text.splitlines(), 1)
            return
        last = b"\n"
        number = 0
        for number, raw in enumerate(stream, 1):
            if number == 1 and raw.startswith(_BOM):
                raw = raw[3:]
            try:
                text = raw.decode()
            except UnicodeDecodeError:
                if not legacy:
                    raise FormatError(
                        "is not UTF-8",
                        where=files.where(member, number),
                        why="it was saved in another encoding, or damaged",
                        remedy=remedy,
                    ) from None
                text = raw.decode("cp1252", "replace")
            if "\0" in text:
                raise FormatError(
                    "has zero bytes in it", where=files.where(member, number), why="damaged", remedy=AGAIN
                )
            last = raw
            yield number, text.rstrip("\r\n")
        if whole and not last.endswith(b"\n"):
            raise FormatError(
                "ends in the middle of a line",
                where=files.where(member, number),
                why="the file was cut short",
                remedy=AGAIN,
            )


def separated(
    files: Files, member: Member, separator: str, cells: int, *, header: Sequence[str] | None = None
) -> Iterator[tuple[int, list[str]]]:
    """Give the rows of a file without quoting, each with exactly `cells` cells. Raises FormatError.

    `header`: what the first line must say, name by name without regard to case.
    """
    for number, line in lines(files, member):
        row = line.split(separator)
        if len(row) != cells:
            raise FormatError(
                f"has {len(row)} columns instead of {cells}",
                where=files.where(member, number),
                why="the line is cut or changed",
                remedy=AGAIN,
            )
        if number == 1 and header is not None:
            if [cell.strip().lower() for cell in row] != [name.lower() for name in header]:
                raise FormatError(
                    "has another header than this kind of file",
                    where=files.where(member, 1),
                    why=f"expected {' '.join(header)}",
                    remedy="see that the file is not renamed; releases of another layout cannot be read",
                )
            continue
        yield number, row


class Table:
    """The rows of a CSV file with a header: cells by the name of their column, in whatever order."""

    def __init__(self, header: Sequence[str], rows: Iterator[tuple[int, list[str]]]) -> None:
        self.header = list(header)
        self.rows = rows
        self._at = {name: n for n, name in reversed(list(enumerate(header)))}

    def __contains__(self, name: str) -> bool:
        return name in self._at

    def at(self, name: str) -> int:
        """Return the place of a column."""
        return self._at[name]


def csv_rows(
    files: Files,
    member: Member,
    *,
    delimiter: str = ",",
    quoting: bool = True,
    whole: bool = True,
    legacy: bool = False,
    remedy: str = AGAIN,
) -> Iterator[tuple[int, list[str]]]:
    """Give the rows of a CSV file; lines in quoted cells are part of their cell. Raises FormatError."""
    texts = (text + "\n" for _, text in lines(files, member, whole=whole, legacy=legacy, remedy=remedy))
    csv.field_size_limit(_CELL)
    reader = csv.reader(
        texts,
        strict=True,
        delimiter=delimiter,
        quoting=csv.QUOTE_MINIMAL if quoting else csv.QUOTE_NONE,
    )
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error as error:
        raise FormatError(
            "is not readable as CSV",
            where=files.where(member, reader.line_num),
            why=str(error),
            remedy=remedy,
        ) from None


def csv_table(
    files: Files,
    member: Member,
    needs: Sequence[str],
    *,
    delimiter: str = ",",
    quoting: bool = True,
    legacy: bool = False,
) -> Table:
    """Open a CSV file whose header must name `needs`, in any order. Raises FormatError."""
    rows = csv_rows(files, member, delimiter=delimiter, quoting=quoting, legacy=legacy)
    header = [name.strip() for name in next(rows, (1, []))[1]]
    missing = [name for name in needs if name not in header]
    if missing:
        raise FormatError(
            f"lacks the column {missing[0]}",
            where=files.where(member, 1),
            why=f"the first line must name {', '.join(needs)}",
            remedy="use the file as it is published",
        )
    return Table(header, _whole(rows, len(header), files, member))


def _whole(
    rows: Iterator[tuple[int, list[str]]], cells: int, files: Files, member: Member
) -> Iterator[tuple[int, list[str]]]:
    for number, row in rows:
        if len(row) != cells:
            if not row:
                continue
            raise FormatError(
                f"has {len(row)} columns instead of {cells}",
                where=files.where(member, number),
                why="the line is cut or changed",
                remedy=AGAIN,
            )
        yield number, row
