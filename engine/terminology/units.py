"""The units that senders write, read as UCUM: by a table that people own, never by guessing.

In: the text of a unit (OBX-6, CQ.2). Out: its UCUM code, or nothing. `UnitTable` is the code table
`maps/units.csv` with two rules of its own. A text that has a row means what the row says, to the letter;
a row that is a draft, or not approved as the same, makes it unknown. A text without a row is UCUM only if
all its parts are in `units/plain.csv`, where no laboratory means anything else: UCUM reads `MG/L` as
megagauss, `b/min` as barn and `pH` as picohenry. Table `units` is asked for a unit of which the sender does
not say what it is; table `ucum` for one that it says is UCUM, which is taken at its word unless a row whose
source system is UCUM speaks against it. HL7 v2.8.2 § 7.4.2.6; FHIR R4 datatypes, Quantity.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from engine.kernel.errors import ConfigError
from engine.terminology import ucum
from engine.terminology.csvrows import records
from engine.terminology.measures import Measures, read_properties, read_substances
from engine.terminology.tables import TableRow
from engine.terminology.translate import Hit, Table

__all__ = [
    "DECLARED",
    "HOUSE",
    "Plain",
    "UnitTable",
    "check_units",
    "measures_of",
    "read_plain",
    "unit_tables",
]

HOUSE, DECLARED = "units", "ucum"
"""The tables' names, as `code:` of a map has them."""

Plain = Mapping[str, frozenset[str]]
"""A unit of UCUM -> the prefixes with which it is not mistaken; "" = without one."""

MICRO = str.maketrans({"µ": "u", "μ": "u"})  # micro sign and Greek mu: UCUM writes u
_CACHED = 4096


@dataclass(slots=True)
class UnitTable(Table):
    """The table of units: rows, then plain UCUM. `first` is a site's own table, asked before this one."""

    plain: Plain = field(default_factory=dict)
    declared: bool = False  # the sender says that what it writes is UCUM
    first: Table | None = None
    _said: dict[tuple[str, str], Hit] = field(default_factory=dict)
    _unknown: frozenset[tuple[str, str]] = frozenset()
    _found: dict[str, Hit | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        Table.__post_init__(self)
        self.target_systems = frozenset({ucum.SYSTEM})
        unknown = set()
        for row in (*self.rows, *(self.first.rows if self.first else ())):
            key = (row.source_system, row.source_code)
            if row.translates:
                own = self.first is not None and row in self.first.rows
                where = f"{self.first.name if own and self.first else HOUSE}.csv:{row.line}"
                self._said[key] = Hit(row.target_system, row.target_code, "", row.equivalence, where)
                unknown.discard(key)
            else:
                unknown.add(key)
                self._said.pop(key, None)
        self._unknown = frozenset(unknown)

    def translate(
        self, code: str, system: str = "", uri: str = "", *, any_system: bool = False
    ) -> Hit | None:
        """Return the UCUM code of a unit as the sender writes it; None = nobody has said what it is."""
        try:
            return self._found[code]
        except KeyError:
            pass
        if len(self._found) >= _CACHED:
            self._found.clear()
        hit = self._found[code] = self._read(" ".join(code.split()))
        return hit

    def site(self, first: Table) -> UnitTable:
        """Return this table with a site's own rows before it."""
        return replace(self, first=first, _said={}, _unknown=frozenset(), _found={})

    def ambiguous(self, text: str) -> str:
        """Return the note of a row that makes a text unknown, or nothing."""
        for table in (self.first, self):
            for row in table.rows if table is not None else ():
                if row.source_code == text and not row.translates:
                    return row.note
        return ""

    def _read(self, text: str) -> Hit | None:
        if self.declared:
            key = (ucum.SYSTEM, text)
            if hit := self._said.get(key):
                return hit
            if key in self._unknown:
                return None
            if ucum.is_unit(text):
                return Hit(ucum.SYSTEM, text, "", "equal", "UCUM")
        key = ("", text)
        if hit := self._said.get(key):
            return hit
        if key in self._unknown:
            return None
        plain = text.translate(MICRO)
        if plain != text and (hit := self._said.get(("", plain))):
            return hit
        if is_plain(plain, self.plain):
            return Hit(ucum.SYSTEM, plain, "", "equal", "units/plain.csv")
        return None


def is_plain(text: str, plain: Plain) -> bool:
    """Say whether a text is UCUM of which every part is on the list of what nobody mistakes."""
    if not ucum.is_unit(text):
        return False
    unit = ucum.parse(text)
    if not unit.parts and not unit.notes:
        return False  # a number is no unit
    # a number below the line belongs to what follows it, for everybody but UCUM: mg/24.h is mg.h/24
    return not unit.counted_below and all(
        "[" in code or prefix in plain.get(code, frozenset()) for prefix, code in unit.parts
    )


def read_plain(data: bytes, name: str) -> Plain:
    """Read `units/plain.csv`: unit, prefixes (`-` = none), note. Raises ConfigError."""
    out: dict[str, frozenset[str]] = {}
    for line, cells in records(data, name, ("unit", "prefixes", "note")):
        unit = cells["unit"]
        prefixes = [p.replace("-", "") for p in cells["prefixes"].split()]
        for prefix in prefixes or [""]:
            if not ucum.is_unit(prefix + unit) or ucum.parse(prefix + unit).parts != ((prefix, unit),):
                raise ConfigError(f"{prefix + unit} is no unit of UCUM", where=f"{name}:{line}")
        if unit in out:
            raise ConfigError(f"lists {unit} twice", where=f"{name}:{line}", remedy="keep one of them")
        out[unit] = frozenset(prefixes)
    return out


def unit_tables(
    rows: tuple[TableRow, ...], version: str, content: Mapping[str, bytes], folder: str
) -> dict[str, Table]:
    """Make the two tables of units. Raises ConfigError for a row that leads to what is no unit."""
    check_units(rows, f"{folder}/maps/{HOUSE}.csv")
    data = content.get("units/plain.csv")
    plain = {} if data is None else read_plain(data, f"{folder}/units/plain.csv")
    return {
        name: UnitTable(name, rows, version=version, plain=plain, declared=name == DECLARED)
        for name in (HOUSE, DECLARED)
    }


def measures_of(content: Mapping[str, bytes], folder: str) -> Measures:
    """Read the substances and properties of a folder's `units/`. Raises ConfigError."""
    molar, properties = content.get("units/molar.csv"), content.get("units/properties.csv")
    return Measures.of(
        () if molar is None else read_substances(molar, f"{folder}/units/molar.csv"),
        {} if properties is None else read_properties(properties, f"{folder}/units/properties.csv"),
    )


def check_units(rows: tuple[TableRow, ...], where: str) -> None:
    """Refuse a row of a table of units that does not lead to UCUM. Raises ConfigError."""
    for row in _said(rows):
        if row.target_system != ucum.SYSTEM or not ucum.is_unit(row.target_code):
            raise ConfigError(
                f"{row.target_code!r} is no unit of UCUM",
                where=f"{where}:{row.line}",
                remedy=f"target_system is {ucum.SYSTEM}, target_code as `hub terms unit` shows it",
            )
        if row.source_system not in ("", ucum.SYSTEM):
            raise ConfigError(
                f"has the source_system {row.source_system!r}",
                where=f"{where}:{row.line}",
                remedy=f"leave it empty, or write {ucum.SYSTEM} for texts that the sender calls UCUM",
            )


def _said(rows: tuple[TableRow, ...]) -> Iterator[TableRow]:
    return (row for row in rows if row.translates)
