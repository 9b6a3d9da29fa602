"""The worklist as other tools read and write it: a plain list, Usagi's CSV, a FHIR ConceptMap.

In: lines of the worklist, or a file of one of these forms. Out: the file, or the lines. Every cell of a list
is text; a cell that a spreadsheet has changed is refused with its line, and nothing is guessed. Usagi names
targets by OMOP concept id: system and code stand in ADD_INFO columns beside it; where they do not, the id is
looked up in the loaded vocabularies. Usagi file format (OHDSI); FHIR R4 ConceptMap.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

from engine.kernel.errors import ConfigError
from engine.terminology.damage import check_cell, text_cells
from engine.terminology.tables import EQUIVALENCES

__all__ = ["COLUMNS", "Line", "from_concept_map", "from_rows", "from_usagi", "read_csv", "to_concept_map"]
__all__ += ["to_csv", "to_usagi"]

STATES = ("open", "draft", "reviewed", "approved")


@dataclass(frozen=True, slots=True)
class Line:
    """One code of the worklist with what was said of it, all as text."""

    sender: str = ""
    field: str = ""
    source_system: str = ""
    source_code: str = ""
    source_display: str = ""
    unit: str = ""
    specimen: str = ""
    count: str = ""
    state: str = "open"
    equivalence: str = ""
    target_system: str = ""
    target_code: str = ""
    target_display: str = ""
    by: str = ""
    on: str = ""
    comment: str = ""

    @property
    def decided(self) -> bool:
        """Say whether the line says what the code means."""
        return bool(self.target_code) or self.equivalence == "unmatched"


COLUMNS = tuple(f.name for f in fields(Line))
_NEEDED = ("source_code",)
Resolve = Callable[[str, str], tuple[str, str, str] | None]
"""(OMOP concept id, name) -> (system, code, display) of it, where a loaded vocabulary has it."""


def cells(line: Line) -> list[str]:
    """Return the cells of a line."""
    return [getattr(line, name) for name in COLUMNS]


def to_csv(lines: Iterable[Line]) -> bytes:
    """Write a plain list. What a spreadsheet would change, or take for a formula, is written ="1E5"."""
    rows = []
    for line in lines:
        row = [" ".join(c.split()) for c in cells(line)]
        for name, system in (("source_code", line.source_system), ("target_code", line.target_system)):
            at = COLUMNS.index(name)
            if row[at] and '"' not in row[at] and _damaged(row[at], system):
                row[at] = f'="{row[at]}"'
        rows.append([_no_formula(cell) for cell in row])
    return _csv(COLUMNS, rows)


def _no_formula(cell: str) -> str:
    """Return a cell of which no spreadsheet makes a formula: a sender may write anything into a code."""
    if cell[:1] not in ("=", "+", "-", "@") or re.fullmatch(r'="[^"]*"', cell):
        return cell
    return f"'{cell}" if '"' in cell else f'="{cell}"'


def _damaged(code: str, system: str) -> bool:
    try:
        check_cell(code, code, system, "", "")
    except ConfigError:
        return True
    return code.isdigit() and (code[0] == "0" or len(code) > 15)


def _csv(header: Sequence[str], rows: Iterable[Sequence[str]]) -> bytes:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return b"\xef\xbb\xbf" + out.getvalue().encode()


def read_csv(data: bytes, name: str, resolve: Resolve | None = None) -> list[Line]:
    """Read a plain list or Usagi's CSV, whichever its first line says. Raises ConfigError."""
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as e:
        line = data.count(b"\n", 0, e.start) + 1
        raise ConfigError("is not UTF-8", where=f"{name}:{line}", remedy="save it as `CSV UTF-8`") from None
    try:
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        rows = [(reader.line_num, row) for row in reader]
    except csv.Error as e:
        raise ConfigError("is not readable CSV", where=name, why=str(e)) from None
    header = rows[0][1] if rows else []
    if "sourceCode" in header:
        return from_usagi(rows, name, resolve)
    return from_rows(rows, name)


def from_rows(rows: Sequence[tuple[int, Sequence[str]]], name: str, typed: bool = False) -> list[Line]:
    """Read a plain list from its rows, (line, cells), the header first. `typed`: from a workbook whose cells
    are known to be text. Raises ConfigError."""
    header = list(rows[0][1]) if rows else []
    while header and not header[-1]:
        header.pop()
    wrong = [c for c in header if c not in COLUMNS]
    missing = [c for c in _NEEDED if c not in header]
    if wrong or missing:
        raise ConfigError(
            "has other columns than a list of codes",
            where=f"{name}:1",
            why=f"missing {', '.join(missing)}" if missing else f"unknown {', '.join(wrong)}",
            remedy=f"columns are: {', '.join(COLUMNS)}",
        )
    made = []
    for number, row in rows[1:]:
        if not any(row):
            continue
        raw = dict(zip(header, row, strict=False))
        plain = dict(zip(header, text_cells(list(row)), strict=False))
        made.append(_line(plain, raw, f"{name}:{number}", typed))
    return made


def _line(plain: Mapping[str, str], raw: Mapping[str, str], where: str, typed: bool) -> Line:
    line = Line(**{k: v.strip() for k, v in plain.items()})
    if not line.source_code:
        raise ConfigError("has no source_code", where=where)
    if line.equivalence and line.equivalence not in EQUIVALENCES:
        raise ConfigError(
            f"has the equivalence {line.equivalence!r}",
            where=where,
            remedy=f"use one of {', '.join(sorted(EQUIVALENCES))}",
        )
    if line.equivalence == "unmatched" and line.target_code:
        raise ConfigError("is unmatched and has a target", where=where)
    for column, system in (("source_code", line.source_system), ("target_code", line.target_system)):
        code = plain.get(column, "")
        if code:
            check_cell(code, "" if typed else raw.get(column, ""), system, where, column)
    return line


# -- Usagi ------------------------------------------------------------

_USAGI = (
    "sourceCode",
    "sourceName",
    "sourceFrequency",
    "sourceAutoAssignedConceptIds",
    "ADD_INFO:sender",
    "ADD_INFO:field",
    "ADD_INFO:sourceSystem",
    "ADD_INFO:unit",
    "ADD_INFO:specimen",
    "ADD_INFO:targetSystem",
    "ADD_INFO:targetCode",
    "matchScore",
    "mappingStatus",
    "equivalence",
    "statusSetBy",
    "statusSetOn",
    "conceptId",
    "conceptName",
    "domainId",
    "mappingType",
    "comment",
    "createdBy",
    "createdOn",
    "assignedReviewer",
)


def to_usagi(lines: Iterable[Line], concept_id: Callable[[str, str], str] = lambda s, c: "") -> bytes:
    """Write Usagi's CSV; `concept_id` gives the OMOP id of a (system, code), "" where none is known."""
    rows = []
    for line in lines:
        status = {"approved": "APPROVED", "open": "UNCHECKED"}.get(line.state, "UNCHECKED")
        number = concept_id(line.target_system, line.target_code) if line.target_code else ""
        made = {
            "sourceCode": line.source_code,
            "sourceName": line.source_display,
            "sourceFrequency": line.count or "-1",
            "ADD_INFO:sender": line.sender,
            "ADD_INFO:field": line.field,
            "ADD_INFO:sourceSystem": line.source_system,
            "ADD_INFO:unit": line.unit,
            "ADD_INFO:specimen": line.specimen,
            "ADD_INFO:targetSystem": line.target_system,
            "ADD_INFO:targetCode": line.target_code,
            "matchScore": "0",
            "mappingStatus": status,
            "equivalence": line.equivalence.upper() or "UNREVIEWED",
            "statusSetBy": line.by,
            "statusSetOn": "0",
            "conceptId": number or "0",
            "conceptName": line.target_display,
            "mappingType": "MAPS_TO" if line.target_code else "",
            "comment": line.comment,
            "createdBy": line.by,
            "createdOn": "0",
        }
        rows.append([made.get(column, "") for column in _USAGI])
    return _csv(_USAGI, rows)[3:]  # Usagi takes a byte order mark for a part of the first name


def from_usagi(
    rows: Sequence[tuple[int, Sequence[str]]], name: str, resolve: Resolve | None = None
) -> list[Line]:
    """Read Usagi's CSV, one line a source code. Raises ConfigError where a target cannot be known."""
    header = list(rows[0][1])
    made: dict[tuple[str, str, str], Line] = {}
    for number, row in rows[1:]:
        if not any(row):
            continue
        where = f"{name}:{number}"
        raw = dict(zip(header, row, strict=False))
        plain = dict(zip(header, text_cells(list(row)), strict=False))
        said = plain.get("equivalence", "").lower()
        status = plain.get("mappingStatus", "")
        system, code = plain.get("ADD_INFO:targetSystem", ""), plain.get("ADD_INFO:targetCode", "")
        display = plain.get("conceptName", "")
        concept = plain.get("conceptId", "0")
        if status in ("IGNORED", "INVALID_TARGET"):
            system = code = display = ""
        elif not code and concept not in ("", "0"):
            found = resolve(concept, display) if resolve else None
            if found is None:
                raise ConfigError(
                    f"names the target by the OMOP concept {concept}",
                    where=where,
                    why="no loaded vocabulary has it",
                    remedy="load the Athena download it came from (hub terms load), or add the columns "
                    "ADD_INFO:targetSystem and ADD_INFO:targetCode",
                )
            system, code, display = found
        if status == "IGNORED" or said == "unmatched":
            said, system, code, display = "unmatched", "", "", ""
        line = {
            "sender": plain.get("ADD_INFO:sender", ""),
            "field": plain.get("ADD_INFO:field", ""),
            "source_system": plain.get("ADD_INFO:sourceSystem", ""),
            "source_code": plain.get("sourceCode", ""),
            "source_display": plain.get("sourceName", ""),
            "unit": plain.get("ADD_INFO:unit", ""),
            "specimen": plain.get("ADD_INFO:specimen", ""),
            "state": "approved"
            if status == "APPROVED"
            else "draft"
            if code or said == "unmatched"
            else "open",
            "equivalence": said if said in EQUIVALENCES else ("equivalent" if code else ""),
            "target_system": system,
            "target_code": code,
            "target_display": display,
            "by": plain.get("statusSetBy", ""),
            "comment": plain.get("comment", ""),
        }
        key = (line["sender"], line["source_system"], line["source_code"])
        if key in made and code and made[key].target_code not in ("", code):
            raise ConfigError(
                f"maps {line['source_code']!r} to several targets", where=where, remedy="keep one of them"
            )
        read = _line(line, {"source_code": raw.get("sourceCode", ""), "target_code": code}, where, False)
        if key not in made or read.decided:
            made[key] = read
    return list(made.values())


# -- FHIR ------------------------------------------------------------


def to_concept_map(lines: Iterable[Line], url: str, title: str, version: str, date: str) -> dict[str, Any]:
    """Make a ConceptMap of what was said. Codes without a system are of `<url>/source`."""
    groups: dict[tuple[str, str], list[dict[str, Any]]] = {}
    approved = True
    for line in lines:
        if not line.decided:
            continue
        approved &= line.state == "approved"
        target: dict[str, Any] = {"equivalence": line.equivalence or "equivalent"}
        if line.target_code:
            target["code"] = line.target_code
        if line.target_display:
            target["display"] = line.target_display
        if line.comment:
            target["comment"] = line.comment
        element: dict[str, Any] = {"code": line.source_code, "target": [target]}
        if line.source_display:
            element["display"] = line.source_display
        system = line.source_system
        source = system if ":" in system else f"{url}/source/{system}" if system else f"{url}/source"
        groups.setdefault((source, line.target_system), []).append(element)
    made: dict[str, Any] = {
        "resourceType": "ConceptMap",
        "url": url,
        "version": version,
        "name": "LocalCodes",
        "title": title,
        "status": "active" if approved and groups else "draft",
        "date": date,
    }
    group = []
    for (source, target_system), elements in sorted(groups.items()):
        one: dict[str, Any] = {"source": source, "element": elements}
        if target_system:
            one["target"] = target_system
        group.append(one)
    if group:
        made["group"] = group
    return made


def from_concept_map(data: bytes, name: str) -> list[Line]:
    """Read the lines of a ConceptMap of R4. Raises ConfigError."""
    try:
        value = json.loads(data)
    except ValueError as e:
        raise ConfigError("is not JSON", where=name, why=str(e)) from None
    if not isinstance(value, dict) or value.get("resourceType") != "ConceptMap":
        raise ConfigError("is not a ConceptMap", where=name)
    url = str(value.get("url", ""))
    state = "approved" if value.get("status") == "active" else "draft"
    made = []
    for group in value.get("group", ()):
        source = str(group.get("source", ""))
        for own in (f"{url}/source/", f"{url}/source"):
            if url and source.startswith(own):
                source = source[len(own) :]
                break
        for element in group.get("element", ()):
            targets = [t for t in element.get("target", ()) if t.get("equivalence") not in ("disjoint",)]
            if len(targets) > 1:
                raise ConfigError(
                    f"maps {element.get('code')!r} to several targets", where=name, remedy="keep one of them"
                )
            for target in targets or [{}]:
                said = _FHIR.get(str(target.get("equivalence", "")), "inexact")
                line = {
                    "source_system": source,
                    "source_code": str(element.get("code", "")),
                    "source_display": str(element.get("display", "")),
                    "state": state if target else "open",
                    "equivalence": said if target else "",
                    "target_system": str(group.get("target", "")) if target.get("code") else "",
                    "target_code": str(target.get("code", "")),
                    "target_display": str(target.get("display", "")),
                    "comment": str(target.get("comment", "")),
                }
                made.append(_line(line, {}, name, True))
    return made


_FHIR = {
    "equal": "equal",
    "equivalent": "equivalent",
    "wider": "wider",
    "subsumes": "wider",
    "narrower": "narrower",
    "specializes": "narrower",
    "inexact": "inexact",
    "relatedto": "inexact",
    "unmatched": "unmatched",
}
