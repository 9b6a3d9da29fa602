"""The list of codes as files: CSV, workbook, Usagi's CSV, FHIR ConceptMap; out, and back in as drafts.

In: the worklist, the bytes of a file whose ending says its form. Out: the bytes (every cell of a workbook is
text), or drafts made from them. Importing approves nothing; a line that says what stands already does
nothing; a cell that a spreadsheet has changed stops the import with its line.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any
from zipfile import BadZipFile, ZipFile

from openpyxl import Workbook, load_workbook
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter
from openpyxl.utils.exceptions import InvalidFileException

from engine.channels.worklist import Worklist
from engine.fhir import jsonio
from engine.kernel.clock import iso, now_ms
from engine.kernel.errors import ConfigError, HubError
from engine.kernel.message import Gap
from engine.store.audit import Access
from engine.store.gaps import Sighting
from engine.terminology.exchange import (
    COLUMNS,
    Line,
    from_concept_map,
    from_rows,
    read_csv,
    to_concept_map,
    to_csv,
    to_usagi,
)

__all__ = ["FORMS", "STATES", "Imported", "book", "import_lines", "line_of", "lines_in"]
__all__ += ["media_of", "opened", "written"]

STATES = ("open", "draft", "reviewed", "approved")
FORMS = (".usagi.csv", ".csv", ".xlsx", ".json")
_MOST_CELLS = 2_000_000
_MOST_BYTES = 200 << 20  # of a workbook, unpacked
_TYPES = {
    ".csv": "text/csv; charset=utf-8",
    ".json": "application/fhir+json",
    ".xlsx": "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
}


@dataclass(slots=True)
class Imported:
    """What an import did, or would do."""

    lines: int = 0
    new: int = 0  # codes that nobody has sent yet
    draft: int = 0
    same: int = 0  # say what stands
    refused: list[dict[str, str]] = field(default_factory=list)


def line_of(s: Sighting) -> Line:
    """Return a code as a line of a list."""
    p = s.proposal
    return Line(
        sender=s.sender,
        field=s.field,
        source_system=s.system or s.uri,
        source_code=s.code,
        source_display=s.text,
        unit=s.units[0] if s.units else "",
        specimen=s.specimens[0] if s.specimens else "",
        count=str(s.count),
        state=s.state,
        equivalence=p.equivalence if p else "",
        target_system=p.target_system if p else "",
        target_code=p.target_code if p else "",
        target_display=p.target_display if p else "",
        by=p.who if p else "",
        on=iso(p.at)[:10] if p else "",
        comment=p.comment if p else "",
    )


def media_of(name: str) -> str:
    """Return the media type of a file of a list."""
    return next((media for ending, media in _TYPES.items() if name.lower().endswith(ending)), "text/plain")


def written(work: Worklist, found: Sequence[Sighting], name: str, whose: str = "") -> bytes:
    """Return codes as a file of the form that its name says. Raises ConfigError."""
    lines = [line_of(s) for s in found]
    name = name.lower()
    if name.endswith(".usagi.csv"):
        return to_usagi(lines, lambda system, code: _concept_id(work, system, code))
    if name.endswith(".csv"):
        return to_csv(lines)
    if name.endswith(".json"):
        now = iso(now_ms())
        url = f"{work.config.identity_base}/ConceptMap/local-codes"
        title = f"Local codes of {whose or 'all senders'}"
        return jsonio.dumps_pretty(to_concept_map(lines, url, title, now[:10], now))
    if name.endswith(".xlsx"):
        return book("codes", COLUMNS, [[getattr(one, c) for c in COLUMNS] for one in lines])
    raise ConfigError(f"{name}: no known form", remedy=f"name it {', '.join(FORMS)}")


def book(title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> bytes:
    """Return a workbook of one sheet in which every cell is text."""
    made = Workbook()
    sheet = made.worksheets[0]
    sheet.title = title
    for at, row in enumerate([header, *rows], 1):
        for column, text in enumerate(row, 1):
            cell = sheet.cell(at, column, "".join(c for c in text if c.isprintable()))
            cell.number_format, cell.data_type = "@", "s"
            cell.font = Font(bold=at == 1)
    for column in range(1, len(header) + 1):
        sheet.column_dimensions[get_column_letter(column)].width = 18
        sheet.column_dimensions[get_column_letter(column)].number_format = "@"
    sheet.freeze_panes = "A2"
    out = io.BytesIO()
    made.save(out)
    return out.getvalue()


def opened(data: bytes, name: str, *, data_only: bool = False) -> Any:
    """Open a workbook that fits into memory: neither long unpacked nor with cells far out.

    Raises ConfigError, and what openpyxl raises of what is no workbook.
    """
    with ZipFile(io.BytesIO(data)) as parts:
        if sum(part.file_size for part in parts.infolist()) > _MOST_BYTES:
            raise ConfigError("is too large unpacked", where=name, remedy="import it in parts")
    book = load_workbook(io.BytesIO(data), data_only=data_only)
    if sum((s.max_row or 0) * (s.max_column or 0) for s in book.worksheets) > _MOST_CELLS:
        raise ConfigError("has too many cells", where=name, remedy="import it in parts")
    return book


def _read_book(data: bytes, name: str) -> list[Line]:
    """Read a workbook; a cell that is no text where a code stands was changed by the spreadsheet."""
    try:
        sheet = opened(data, name, data_only=True).worksheets[0]
    except (BadZipFile, InvalidFileException, KeyError, OSError, ValueError) as e:
        raise ConfigError("cannot be read as a workbook", where=name, why=type(e).__name__) from None
    rows: list[tuple[int, list[str]]] = []
    for at, row in enumerate(sheet.iter_rows(values_only=True), 1):
        cells = []
        for column, value in enumerate(row):
            of = rows[0][1][column] if rows and column < len(rows[0][1]) else ""
            if value is not None and not isinstance(value, str) and of in ("source_code", "target_code"):
                raise ConfigError(
                    f"{of} is no text but {type(value).__name__} {value}",
                    where=f"{name}:{at}",
                    why="the spreadsheet read the code as a number or a date",
                    remedy="format the column as text and write the code again",
                )
            cells.append("" if value is None else str(value))
        rows.append((at, cells))
    return from_rows(rows, name, typed=True)


def lines_in(work: Worklist, data: bytes, name: str) -> list[Line]:
    """Read a file of the form that its name says. Raises ConfigError."""
    ending = name.lower()
    if ending.endswith(".xlsx"):
        return _read_book(data, name)
    if ending.endswith(".json"):
        return from_concept_map(data, name)
    if ending.endswith(".csv"):
        return read_csv(data, name, lambda number, text: _resolved(work, number, text))
    raise ConfigError(f"{name}: no known form", remedy="name it .csv, .xlsx or .json")


def _resolved(work: Worklist, number: str, text: str) -> tuple[str, str, str] | None:
    """Find the (system, code, display) of an OMOP concept id in what was loaded from Athena."""
    for release in work.codes.releases() if work.codes is not None else ():
        assert work.codes is not None
        for concept in work.codes.search(release.system, text, 50, 0, {"concept_id": number}):
            return concept.system, concept.code, concept.display
    return None


def _concept_id(work: Worklist, system: str, code: str) -> str:
    found = work.codes.lookup(system, code) if work.codes is not None else None
    return found.properties.get("concept_id", "") if found is not None else ""


def import_lines(
    work: Worklist,
    lines: Sequence[Line],
    name: str,
    who: str,
    *,
    sender: str = "",
    field: str = "OBX-3",
    dry_run: bool = False,
    allowed: Callable[[str], bool] = lambda _: True,
) -> Imported:
    """Make drafts of what a file says. Lines that say nothing put codes on the list that are not on it.

    `allowed` says of a sender whether the person may say what its codes mean.
    """
    known = {(s.sender, s.field, s.system or s.uri, s.code): s for s in work.sightings(STATES)}
    bare = {(s.sender, s.field, s.code): s for s in known.values()}
    made = Imported(len(lines))
    for line in lines:
        whose, where = line.sender or sender, line.field or field
        s = known.get((whose, where, line.source_system, line.source_code))
        if s is None and not line.source_system:
            s = bare.get((whose, where, line.source_code))
        if s is None and not whose:
            same = [k for k in known.values() if (k.field, k.code) == (where, line.source_code)]
            s = same[0] if len({k.sender for k in same}) == 1 else None
        if s is None and not whose:
            made.refused.append({"code": line.source_code, "why": "nobody sent it: say --sender"})
            continue
        if not allowed(s.sender if s is not None else whose):
            made.refused.append({"code": line.source_code, "why": "your roles do not cover its sender"})
            continue
        if s is None:
            made.new += 1
            if dry_run:
                made.draft += line.decided
                continue
            table = next(
                (k.table for k in known.values() if (k.sender, k.field) == (whose, where) and k.table), ""
            )
            gap = Gap(
                "", table, "keep", line.source_code, line.source_system, "", line.source_display, line.unit
            )
            s = work.one(work.store.gaps.add(whose, gap._replace(specimen=line.specimen), where))
        if not line.decided:
            continue
        p, meaning = s.proposal, line.equivalence or "equivalent"
        if p is not None and (p.target_code, p.equivalence) == (line.target_code, meaning):
            made.same += 1
            continue
        if dry_run:
            made.draft += 1
            continue
        comment = "; ".join(
            filter(None, (line.comment, f"from {name}" + (f", {line.by}" if line.by else "")))
        )
        try:
            work.propose(
                s.id,
                who,
                line.target_code,
                system=line.target_system,
                equivalence=meaning,
                display=line.target_display,
                comment=comment,
            )
            made.draft += 1
        except HubError as e:
            made.refused.append({"code": line.source_code, "why": str(e)})
    if not dry_run:
        work.store.audit.record(Access(who, "terms:import", "codes", f"{len(lines)} from {name}"))
    return made
