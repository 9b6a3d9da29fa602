"""A list of codes as sites have them: CSV or XLSX with a header, CPT, HCPCS, CARC, RARC or a hospital's own.

In: a file with a column of codes and one of names, and what system it is. Out: one release; the other
columns become properties under their own names. A spreadsheet may have eaten zeros, dates and exponents, so
every code is held against that, and the file is refused with the line where one was damaged.
"""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time

from openpyxl import load_workbook

from engine.codes.loaders.files import Files, Member
from engine.codes.loaders.rows import csv_rows
from engine.codes.loaders.summary import Asked, Loader, Summary
from engine.codes.systems import CARC, CPT, HCPCS, RARC
from engine.codes.writing import Load
from engine.kernel.errors import FormatError
from engine.terminology.damage import check_cell, check_columns, text_cells

__all__ = ["LOADER"]

_CODE = ("code", "concept_code", "hcpc", "hcpcs", "hcpcs code", "cpt", "cpt code", "carc", "rarc", "loinc")
_NAME = (
    *("display", "long description", "description", "long_description", "name", "long name", "title"),
    *("short description", "text", "concept_name"),
)
_STATUS = ("active", "status")
_PARENT = ("parent", "parent code")
_OFF = frozenset({"0", "false", "no", "n", "inactive", "retired", "deleted", "terminated", "deactivated"})
_SYSTEMS = {"hcpc": HCPCS, "cpt": CPT, "carc": CARC, "rarc": RARC}  # what a file's name may begin with
_HEADER_WITHIN = 25  # rows of titles and notes that may stand before the header
_LARGE = 1 << 30


@dataclass(frozen=True, slots=True)
class _Row:
    source_system: str
    source_code: str
    target_system: str
    target_code: str
    line: int


def _sheets(files: Files) -> list[Member]:
    return files.matching(lambda m: m.base.lower().endswith((".csv", ".tsv", ".xlsx")))


def _fits(files: Files) -> bool:
    return len(_sheets(files)) == 1


def _load(files: Files, load: Load, asked: Asked, summary: Summary) -> None:
    found = _sheets(files) or files.members
    if len(found) != 1:
        raise FormatError(
            f"holds {len(found)} files", where=files.path.name, remedy="name the one with the codes"
        )
    files.expect(found)
    member = found[0]
    low = member.base.lower()
    system = asked.system or next((uri for start, uri in _SYSTEMS.items() if low.startswith(start)), "")
    if not system or not asked.version:
        raise FormatError(
            "does not say its code system and version" if not system else "does not say its version",
            where=files.where(member),
            remedy="give them: --system URI --release VERSION",
        )
    rows = _sheet(files, member) if low.endswith(".xlsx") else _text(files, member)
    header, places = _header(rows, files, member, asked)
    code_at, name_at = places["code"], places["display"]
    taken = {n for n in places.values() if n >= 0}
    release = load.release(system, asked.version, asked.effective)
    seen: dict[str, tuple[int, str]] = {}
    checked: list[_Row] = []
    for line, raw in rows:
        if not any(cell.strip() for cell in raw):
            continue
        where = files.where(member, line)
        if len(raw) < len(header):
            if low.endswith(".xlsx"):
                raw = [*raw, *[""] * (len(header) - len(raw))]
            else:
                raise FormatError(
                    f"has {len(raw)} cells instead of {len(header)}",
                    where=where,
                    why="the line is cut, or a text with a comma has no quotes",
                    remedy="save the list again, as `CSV UTF-8`",
                )
        row = [cell.strip() for cell in text_cells(raw)]
        summary.rows[member.base] += 1
        code = row[code_at]
        if not code:
            summary.skipped["row without a code"] += 1
            continue
        check_cell(code, raw[code_at].strip(), system, where, header[code_at])
        checked.append(_Row(system, code, "", "", line))
        if code in seen:
            if seen[code][1] == row[name_at]:
                summary.skipped["code and name a second time"] += 1
                continue
            raise FormatError(
                f"has {code!r} a second time, with another name",
                where=where,
                why=f"first at line {seen[code][0]}",
                remedy="keep one row per code",
            )
        seen[code] = (line, row[name_at])
        said = {header[n]: row[n] for n in range(len(header)) if n not in taken and row[n] and header[n]}
        active = places["active"] < 0 or row[places["active"]].lower() not in _OFF
        parents = [row[places["parent"]]] if places["parent"] >= 0 and row[places["parent"]] else []
        load.concept(release, code, row[name_at] or code, active, said, parents)
    check_columns(checked, member.base)


def _header(
    rows: Iterator[tuple[int, list[str]]], files: Files, member: Member, asked: Asked
) -> tuple[list[str], dict[str, int]]:
    """Find the header: the first row that has a column for codes and one for names."""
    for count, (_, row) in enumerate(rows):
        header = [cell.strip() for cell in row]
        low = [cell.lower() for cell in header]
        places = {
            ours: _place(low, [asked.columns[ours].lower()] if ours in asked.columns else names)
            for ours, names in (
                ("code", _CODE),
                ("display", _NAME),
                ("active", _STATUS),
                ("parent", _PARENT),
            )
        }
        if places["code"] >= 0 and places["display"] >= 0:
            return header, places
        if count >= _HEADER_WITHIN:
            break
    raise FormatError(
        "has no column for codes or none for names",
        where=files.where(member, 1),
        why="a row with the columns' names comes before the codes",
        remedy="name the columns `code` and `display`, or say which they are: --column code=HCPC",
    )


def _place(header: Sequence[str], names: Sequence[str]) -> int:
    return next((header.index(name) for name in names if name in header), -1)


def _text(files: Files, member: Member) -> Iterator[tuple[int, list[str]]]:
    begin = files.peek(member).split(b"\n", 1)[0].decode("utf-8", "replace")
    delimiter = max(",;\t|", key=begin.count)
    remedy = "save the list again, as `CSV UTF-8`"
    return csv_rows(files, member, delimiter=delimiter, whole=False, remedy=remedy)


def _sheet(files: Files, member: Member) -> Iterator[tuple[int, list[str]]]:
    """Give the rows of a workbook's first sheet as texts; a number or date that stands for a code shows."""
    with files.open(member) as stream:
        data = stream.read()
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as parts:
            if sum(part.file_size for part in parts.infolist()) > _LARGE:
                raise FormatError("unpacks to far more than a list does", where=files.where(member))
        book = load_workbook(io.BytesIO(data), read_only=True, data_only=True)
        for number, row in enumerate(book.worksheets[0].iter_rows(values_only=True), 1):
            yield number, [_cell(value) for value in row]
    except (zipfile.BadZipFile, KeyError, ValueError, EOFError) as error:
        raise FormatError(
            "is no readable workbook", where=files.where(member), why=str(error), remedy="save it again"
        ) from None


def _cell(value: object) -> str:
    """Write a cell as the spreadsheet would: a date as a date, so that the check for damage knows it."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime | date):
        return value.isoformat(sep=" ") if isinstance(value, datetime) else value.isoformat()
    if isinstance(value, time):
        return value.isoformat()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() and abs(value) < 1e15 else repr(value)
    return str(value)


LOADER = Loader("list", "a list of codes, CSV or XLSX: CPT, HCPCS, CARC, RARC, your own", _fits, _load)
