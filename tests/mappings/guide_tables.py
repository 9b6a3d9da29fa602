"""Reads the tables of HL7's v2-to-FHIR guide (CSV), and says which of their rows our maps hold.

In: the folder of the tables (`HUB_V2_TO_FHIR`, or `v2-to-fhir/mappings` beside the project), and our maps.
Out: the rows that no map holds. A row is held when a map of that segment or datatype reads the field and
writes the same element of the same type; a row with a constant, when such a map has the constant.
"""

from __future__ import annotations

import csv
import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.mapping.model import Constant, First, Join, Locate, MapDef, Row, Source

NAMES = re.compile(r"HL7 (?:Segment|Data Type|Concept Map)(?: - FHIR R4)?_ (.+?) - [^-]*\.csv$")
PLACE = re.compile(r"([A-Z][A-Z0-9]{1,2})[-.](\d+)")


def folder(project: Path) -> Path | None:
    """Return the folder of the guide's tables, or None where they are not at hand."""
    named = os.environ.get("HUB_V2_TO_FHIR")
    found = Path(named) if named else project.parent / "v2-to-fhir" / "mappings"
    return found if (found / "segments").is_dir() else None


@dataclass(frozen=True)
class GuideRow:
    """One row of a segment or datatype table that has a target."""

    table: str
    source: str  # PID-13, CX.4; empty for a constant of the whole table
    target: str
    constant: str  # what is assigned when it is a literal; `/…/` when it is prose

    @property
    def name(self) -> str:
        """How the list of rows that are not mapped names it."""
        return f"{self.source or 'always'} > {self.target}"


def tables(where: Path, kind: str) -> Iterator[tuple[str, list[list[str]]]]:
    """Yield every table of a kind (segments, datatypes, codesystems): its name and its rows."""
    for path in sorted((where / kind).glob("*.csv")):
        named = NAMES.match(path.name)
        assert named, path.name
        rows = list(csv.reader(io.StringIO(path.read_text("utf-8-sig"))))[2:]
        yield named[1].strip(), [[c.strip() for c in r] + [""] * (19 - len(r)) for r in rows]


def guide_rows(where: Path, kind: str) -> Iterator[GuideRow]:
    """Yield the rows with a target of all segment or datatype tables."""
    for name, rows in tables(where, kind):
        for r in rows:
            target = " ".join(r[9].split())
            if not target:
                continue
            found = PLACE.match(r[1])
            source = f"{found[1]}-{found[2]}" if found else ""
            literal = re.fullmatch(r'"([^"]*)"', r[16])
            inside = re.search(r'=\s*"([^"]*)"\s*$', target)
            constant = literal[1] if literal else inside[1] if inside else r[16]
            yield GuideRow(name, source, target, constant.strip())


def code_rows(where: Path) -> Iterator[tuple[str, str, str, str]]:
    """Yield (table, code, its system, FHIR code) of every code row with a FHIR code."""
    for name, rows in tables(where, "codesystems"):
        for r in rows:
            if r[0] and r[6]:
                yield name, r[0], r[2], r[6]


@dataclass(frozen=True)
class Held:
    """What one map does: the fields it reads into which elements, and its constants."""

    definition: MapDef
    reads: frozenset[tuple[str, str]]  # (PID-13, telecom)
    constants: frozenset[str]

    @classmethod
    def of(cls, definition: MapDef) -> Held:
        """Collect what the rows of a map read and write."""
        reads: set[tuple[str, str]] = set()
        constants: set[str] = set()
        rows = list(definition.rows) + [r for level in definition.levels for r in level.rows]
        for row in rows:
            _collect(row, row.target[0].name if row.target else "", reads, constants)
        for level in definition.levels:
            reads |= {(m, "") for m in _places(str(level.when))}
        return cls(definition, frozenset(reads), frozenset(constants))

    def writes(self, place: str, element: str) -> bool:
        """Say whether a row reads this field into this element; `$this` is any."""
        for at, to in self.reads:
            if at == place and (element == "" or to == "" or to[:5] == element[:5]):
                return True
        return False


def _places(text: str) -> set[str]:
    return {f"{m[1]}-{m[2]}" for m in PLACE.finditer(text)}


def _collect(row: Row, element: str, reads: set[tuple[str, str]], constants: set[str]) -> None:
    for source in (row.source, row.by):
        _source(source, element, reads, constants)
    if row.skip:
        return
    for place in _places(str(row.when)) if row.when is not None else ():
        reads.add((place, element))
    for case in row.cases:
        for r in case.rows:
            _collect(r, _deeper(r, element), reads, constants)
    for r in (*row.default, *row.failed, *row.children, *row.make_rows):
        _collect(r, _deeper(r, element), reads, constants)


def _deeper(row: Row, element: str) -> str:
    return row.target[0].name if element.endswith("[x]") and row.target else element


def _source(source: Source | None, element: str, reads: set[tuple[str, str]], constants: set[str]) -> None:
    if isinstance(source, Locate):
        reads |= {(p, element) for p in _places(source.text)}
    elif isinstance(source, Constant):
        constants.add(source.text)
    elif isinstance(source, Join):
        for part in source.parts:
            _source(part, element, reads, constants)
    elif isinstance(source, First):
        for part in source.options:
            _source(part, element, reads, constants)


def element_of(target: str) -> str:
    """Return the first element of a guide target: `name` of `name[1].family`."""
    text = re.sub(r"\[[^\]]*\]", "", target.split("=")[0]).replace(" ", "")
    text = re.sub(r"^\(?[A-Z][A-Za-z]*\.", "", text)
    first = re.split(r"[.(]", text.lstrip("("))[0]
    return "" if first.startswith("$") else first


def resource_of(table: str) -> str:
    """Return the FHIR type of a table: Observation of `OBX[Observation-Component]`."""
    return re.split(r"[-.]", table[table.index("[") + 1 : -1])[0]


def unheld(row: GuideRow, held: list[Held]) -> bool:
    """Say whether none of these maps holds a row."""
    if row.constant.startswith("/"):
        return True
    element = element_of(row.target)
    if row.constant and not PLACE.search(row.constant):
        return not any(_has(h, row.constant) for h in held)
    return not any(h.writes(row.source, element) for h in held)


def _has(held: Held, constant: str) -> bool:
    short = constant.rsplit("/", 1)[-1].lower()
    return any(constant.lower() in c.lower() or c.split("#")[0].lower() == short for c in held.constants)


def held_elsewhere(row: GuideRow, held: Held) -> bool:
    """Say whether a map of another type holds the row: it reads the same component, or has the constant."""
    if row.constant.startswith("/"):
        return False
    if row.constant and not PLACE.search(row.constant):
        return _has(held, row.constant)
    number = row.source.partition("-")[2]
    own = held.definition.source
    return any(at in (row.source, f"{own}-{number}") for at, _ in held.reads)
