"""Code tables and code systems as files that people own: CSV in, checked rows out.

A table (`terminology/maps/<name>.csv`) says what a sender's codes mean in FHIR, one row a code, with the R4
ConceptMap words for how sure the meaning is and who approved it. A code system
(`terminology/systems/<name>.csv`) lists the codes and displays of one system. Reading is strict: a cell that
a spreadsheet has changed, a missing column, an unknown word or two answers for one code are errors with
`file:line` and a remedy. FHIR R4 ConceptMap (equivalence), HL7 v2.9 ch. 2C.
"""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from engine.kernel.errors import ConfigError
from engine.terminology import damage

__all__ = ["COLUMNS", "CodeSystem", "TableRow", "read_system", "read_table"]

COLUMNS = (
    "source_system",
    "source_code",
    "source_display",
    "equivalence",
    "target_system",
    "target_code",
    "target_display",
    "status",
    "by",
    "on",
    "note",
)
_SMALL = 32 << 10
TRANSLATING = frozenset({"equal", "equivalent", "wider"})
EQUIVALENCES = TRANSLATING | {"narrower", "inexact", "unmatched"}
_QUOTE = 'put "..." around a text that contains a comma'
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_SYSTEM_LINE = re.compile(r"# system: (\S+)")


@dataclass(frozen=True, slots=True)
class TableRow:
    """One row of a code table; `line` is where it stands in the file."""

    source_system: str
    source_code: str
    source_display: str
    equivalence: str
    target_system: str
    target_code: str
    target_display: str
    status: str
    by: str
    on: str
    note: str
    line: int

    @property
    def translates(self) -> bool:
        """Only what somebody approved as meaning the same, or something that includes it, is used."""
        return self.status == "approved" and self.equivalence in TRANSLATING

    @property
    def drops(self) -> bool:
        """Approved as having no meaning on the other side: left out, on purpose."""
        return self.status == "approved" and self.equivalence == "unmatched"

    @property
    def pattern(self) -> bool:
        """`HL7*` -> `...v2-*`: the star stands for the number of an HL7 table, four digits."""
        return "*" in self.source_code and "*" in self.target_code


@dataclass(frozen=True, slots=True)
class CodeSystem:
    """The codes of one system with their displays."""

    name: str
    url: str
    displays: dict[str, str]

    def __contains__(self, code: str) -> bool:
        return code in self.displays

    def display(self, code: str) -> str | None:
        """Return the display of a code, or None when the system has no such code."""
        return self.displays.get(code)


def read_table(data: bytes, name: str) -> tuple[TableRow, ...]:
    """Read one table; `name` is the file as errors show it. Raises ConfigError."""
    return _known(data, name) if len(data) <= _SMALL else _read(data, name)


@lru_cache(maxsize=512)
def _known(data: bytes, name: str) -> tuple[TableRow, ...]:
    """Read a small table once: a draft has nearly all of them in common with what is live."""
    return _read(data, name)


def _read(data: bytes, name: str) -> tuple[TableRow, ...]:
    lines = _lines(data, name)
    header = next(lines, (1, []))[1]
    if tuple(header) != COLUMNS:
        raise ConfigError(
            "has other columns than a code table",
            where=f"{name}:1",
            why=_header_why(header),
            remedy=f"the first line is exactly {','.join(COLUMNS)}",
        )
    rows: list[TableRow] = []
    bare: list[TableRow] = []  # rows whose code is not protected as text
    seen: dict[tuple[str, str], int] = {}
    for line, cells in lines:
        if not any(cells):
            continue
        if len(cells) != len(COLUMNS):
            raise ConfigError(
                f"has {len(cells)} cells instead of {len(COLUMNS)}",
                where=f"{name}:{line}",
                remedy=_QUOTE,
            )
        row = TableRow(*_eleven(damage.text_cells(cells)), line)
        _check(row, name, cells)
        if row.translates or row.drops:
            key = (row.source_system, row.source_code)
            if key in seen:
                raise ConfigError(
                    f"answers twice for {row.source_code!r}",
                    where=f"{name}:{line}",
                    why=f"first at line {seen[key]}",
                    remedy="keep one approved row per source code",
                )
            seen[key] = line
        rows.append(row)
        if cells[1] == row.source_code:
            bare.append(row)
    damage.check_columns(bare, name)
    return tuple(rows)


def read_system(data: bytes, name: str, stem: str) -> CodeSystem:
    """Read one code system: `# system: <url>`, then `code,display` and its rows. Raises ConfigError."""
    lines = _lines(data, name)
    first = ",".join(next(lines, (1, []))[1])
    found = _SYSTEM_LINE.fullmatch(first)
    if not found or next(lines, (2, []))[1] != ["code", "display"]:
        raise ConfigError(
            "does not begin like a code system",
            where=f"{name}:1",
            remedy="the first line is `# system: <url>`, the second `code,display`",
        )
    displays: dict[str, str] = {}
    for line, cells in lines:
        if not any(cells):
            continue
        if len(cells) != 2 or not cells[0]:
            raise ConfigError(
                "is not `code,display`",
                where=f"{name}:{line}",
                remedy=_QUOTE,
            )
        code = cells[0]
        if code in displays:
            raise ConfigError(f"lists {code!r} twice", where=f"{name}:{line}", remedy="keep one of them")
        displays[code] = cells[1]
    return CodeSystem(stem, found[1], displays)


def _lines(data: bytes, name: str) -> Iterator[tuple[int, list[str]]]:
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        raise ConfigError("is not UTF-8", where=f"{name}:{line}", remedy="save it as `CSV UTF-8`") from None
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        for cells in reader:
            yield reader.line_num, cells
    except csv.Error as e:
        raise ConfigError("is not readable CSV", where=f"{name}:{reader.line_num}", why=str(e)) from None


def _eleven(c: list[str]) -> tuple[str, str, str, str, str, str, str, str, str, str, str]:
    return (c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7], c[8], c[9], c[10])


def _header_why(header: list[str]) -> str:
    for mark, word in ((";", "semicolons"), ("\t", "tabs")):
        if len(header) == 1 and mark in header[0]:
            return f"the cells are separated by {word}, not commas"
    missing = [c for c in COLUMNS if c not in header]
    return f"missing {', '.join(missing)}" if missing else "the order or a name differs"


def _check(row: TableRow, name: str, cells: list[str]) -> None:
    where = f"{name}:{row.line}"
    if not row.source_code:
        raise ConfigError("has no source_code", where=where)
    for column in (0, 1, 4, 5):
        if cells[column] != cells[column].strip():
            raise ConfigError(
                f"has a space around its {COLUMNS[column]}", where=where, remedy="remove the space"
            )
    if row.equivalence not in EQUIVALENCES:
        raise ConfigError(
            f"has the equivalence {row.equivalence!r}",
            where=where,
            remedy="use equal, equivalent, wider, narrower, inexact or unmatched",
        )
    if row.status not in ("approved", "draft"):
        raise ConfigError(f"has the status {row.status!r}", where=where, remedy="use approved or draft")
    if row.status == "approved" and not row.by:
        raise ConfigError("is approved by nobody", where=where, remedy="name who approved it in column `by`")
    if row.on and not _DAY.fullmatch(row.on):
        raise ConfigError(
            f"has the date {row.on!r}",
            where=where,
            remedy="write it as 2026-03-02; a spreadsheet needs a text column for that",
        )
    if row.equivalence == "unmatched":
        if row.target_code or row.target_system:
            raise ConfigError(
                "is unmatched and has a target",
                where=where,
                remedy="empty the target or choose another equivalence",
            )
    elif row.translates and not row.target_code:
        raise ConfigError("has no target_code", where=where, remedy="fill it, or say unmatched")
    if row.pattern and row.source_code.count("*") + row.target_code.count("*") != 2:
        raise ConfigError("has too many stars", where=where, remedy="a pattern row has one * on each side")
    damage.check_cell(row.source_code, cells[1], row.source_system, where, "source_code")
    damage.check_cell(row.target_code, cells[5], row.target_system, where, "target_code")
