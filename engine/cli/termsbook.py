"""`hub terms export` and `hub terms import`: the worklist as CSV, workbook, Usagi's CSV or FHIR ConceptMap.

In: the worklist, a file whose ending says its form. Out: the file (every cell of a workbook is text), or
drafts made from one. Importing approves nothing; a line that says what stands already does nothing.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

from openpyxl import Workbook, load_workbook
from openpyxl.styles import Font
from openpyxl.utils import get_column_letter
from openpyxl.utils.exceptions import InvalidFileException

from engine.channels.worklist import Worklist
from engine.cli.opened import Opened
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

__all__ = ["export_list", "import_list", "line_of", "print_imported"]

_STATES = ("open", "draft", "reviewed", "approved")


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


def export_list(hub: Opened, work: Worklist, file: Path, who: str, state: str, sender: str = "") -> int:
    """Write the list; audited. Returns how many codes. Raises ConfigError."""
    if state not in (*_STATES, "all"):
        raise ConfigError(f"--state {state}", remedy=f"use one of {', '.join(_STATES)}, all")
    states = _STATES if state == "all" else (state,)
    found = [s for s in work.sightings(states) if sender.casefold() in s.sender.casefold()]
    lines = [line_of(s) for s in found]
    hub.store.audit.record(Access(who, "terms:export", "codes", f"{len(lines)} to {file.name}"))
    name = file.name.lower()
    try:
        if name.endswith(".usagi.csv"):
            file.write_bytes(to_usagi(lines, lambda system, code: _concept_id(work, system, code)))
        elif name.endswith(".csv"):
            file.write_bytes(to_csv(lines))
        elif name.endswith(".json"):
            now = iso(now_ms())
            url = f"{hub.config.identity_base}/ConceptMap/local-codes"
            title = f"Local codes of {sender or 'all senders'}"
            file.write_bytes(jsonio.dumps_pretty(to_concept_map(lines, url, title, now[:10], now)))
        elif name.endswith(".xlsx"):
            _book(lines).save(file)
        else:
            raise ConfigError(
                f"{file.name}: no known form", remedy="name it .csv, .usagi.csv, .xlsx or .json"
            )
    except OSError as e:
        raise ConfigError("cannot be written", where=str(file), why=e.strerror or "") from None
    return len(lines)


def _book(lines: list[Line]) -> Workbook:
    book = Workbook()
    sheet = book.worksheets[0]
    sheet.title = "codes"
    for at, row in enumerate([list(COLUMNS), *([getattr(one, c) for c in COLUMNS] for one in lines)], 1):
        for column, text in enumerate(row, 1):
            cell = sheet.cell(at, column, "".join(c for c in text if c.isprintable()))
            cell.number_format, cell.data_type = "@", "s"
            cell.font = Font(bold=at == 1)
    for column in range(1, len(COLUMNS) + 1):
        sheet.column_dimensions[get_column_letter(column)].width = 18
        sheet.column_dimensions[get_column_letter(column)].number_format = "@"
    sheet.freeze_panes = "A2"
    return book


def _read_book(file: Path) -> list[Line]:
    """Read a workbook; a cell that is no text where a code stands was changed by the spreadsheet."""
    try:
        sheet = load_workbook(file, data_only=True).worksheets[0]
    except (BadZipFile, InvalidFileException, KeyError, OSError, ValueError) as e:
        raise ConfigError("cannot be read as a workbook", where=file.name, why=type(e).__name__) from None
    rows: list[tuple[int, list[str]]] = []
    for at, row in enumerate(sheet.iter_rows(values_only=True), 1):
        cells = []
        for column, value in enumerate(row):
            name = rows[0][1][column] if rows and column < len(rows[0][1]) else ""
            if value is not None and not isinstance(value, str) and name in ("source_code", "target_code"):
                raise ConfigError(
                    f"{name} is no text but {type(value).__name__} {value}",
                    where=f"{file.name}:{at}",
                    why="the spreadsheet read the code as a number or a date",
                    remedy="format the column as text and write the code again",
                )
            cells.append("" if value is None else str(value))
        rows.append((at, cells))
    return from_rows(rows, file.name, typed=True)


def _read(file: Path, work: Worklist) -> list[Line]:
    name = file.name.lower()
    if name.endswith(".xlsx"):
        return _read_book(file)
    try:
        data = file.read_bytes()
    except OSError as e:
        raise ConfigError("cannot read this file", where=str(file), why=e.strerror or "") from None
    if name.endswith(".json"):
        return from_concept_map(data, file.name)
    if name.endswith(".csv"):
        return read_csv(data, file.name, lambda number, text: _resolved(work, number, text))
    raise ConfigError(f"{file.name}: no known form", remedy="name it .csv, .xlsx or .json")


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


def import_list(
    hub: Opened, work: Worklist, file: Path, who: str, sender: str, field: str, dry_run: bool
) -> dict[str, Any]:
    """Make drafts of what a file says. Lines that say nothing put codes on the list that are not on it."""
    lines = _read(file, work)
    known = {(s.sender, s.field, s.system or s.uri, s.code): s for s in work.sightings(_STATES)}
    bare = {(s.sender, s.field, s.code): s for s in known.values()}
    counts: Counter[str] = Counter()
    refused: list[dict[str, str]] = []
    for line in lines:
        whose, where = line.sender or sender, line.field or field
        s = known.get((whose, where, line.source_system, line.source_code))
        if s is None and not line.source_system:
            s = bare.get((whose, where, line.source_code))
        if s is None and not whose:
            same = [k for k in known.values() if (k.field, k.code) == (where, line.source_code)]
            s = same[0] if len({k.sender for k in same}) == 1 else None
        if s is None and not whose:
            refused.append({"code": line.source_code, "why": "nobody sent it: say --sender"})
            continue
        if s is None:
            counts["new"] += 1
            if dry_run:
                counts["draft"] += line.decided
                continue
            table = next(
                (k.table for k in known.values() if (k.sender, k.field) == (whose, where) and k.table), ""
            )
            gap = Gap(
                "", table, "keep", line.source_code, line.source_system, "", line.source_display, line.unit
            )
            s = work.one(hub.store.gaps.add(whose, gap._replace(specimen=line.specimen), where))
        if not line.decided:
            continue
        p, meaning = s.proposal, line.equivalence or "equivalent"
        if p is not None and (p.target_code, p.equivalence) == (line.target_code, meaning):
            counts["same"] += 1
            continue
        if dry_run:
            counts["draft"] += 1
            continue
        comment = "; ".join(
            filter(None, (line.comment, f"from {file.name}" + (f", {line.by}" if line.by else "")))
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
            counts["draft"] += 1
        except HubError as e:
            refused.append({"code": line.source_code, "why": str(e)})
    if not dry_run:
        hub.store.audit.record(Access(who, "terms:import", "codes", f"{len(lines)} from {file.name}"))
    return {"lines": len(lines), **{n: counts[n] for n in ("new", "draft", "same")}, "refused": refused}


def print_imported(made: dict[str, Any], dry_run: bool) -> None:
    """Print what an import did."""
    would = "would be " if dry_run else ""
    print(
        f"{made['lines']} lines: {made['draft']} {would}drafts, {made['same']} say what stands, "
        f"{made['new']} codes not seen yet"
    )
    for one in made["refused"]:
        print(f"  {one['code']}: {one['why']}")
