"""The units that senders write, read as UCUM: by a table that people own, never by guessing.

In: the text of a unit (OBX-6, CQ.2). Out: its UCUM code, or nothing. `UnitTable` is the code table
`maps/units.csv` with two rules of its own. A text that has a row means what the row says, to the letter;
a row that is a draft, or not approved as the same, makes it unknown. A text without a row is UCUM only if
all its parts are in `units/plain.csv`, where no laboratory means anything else, and what it measures is in
`units/measured.csv`: UCUM reads `MG/L` as megagauss, `b/min` as barn and `m/uL` as metres. Table `units` is
asked for a unit of which the sender does not say what it is; table `ucum` for one that it says is UCUM, which
is taken at its word unless a row whose source system is UCUM speaks against it. HL7 v2.8.2 § 7.4.2.6; FHIR R4
datatypes, Quantity.
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


@dataclass(frozen=True, slots=True)
class Plain:
    """What nobody mistakes: unit -> the prefixes it may have (`""`: none), and what is measured at all."""

    units: Mapping[str, frozenset[str]] = field(default_factory=dict)
    measured: frozenset[tuple[tuple[str, int], ...]] = frozenset()

    def __contains__(self, text: str) -> bool:
        """Say whether a text is UCUM of which nobody mistakes any part."""
        if not ucum.is_unit(text):
            return False
        unit = ucum.parse(text)
        if unit.counted_below or not (unit.parts or unit.notes):
            # mg/24.h is (mg/24).h to UCUM alone; a mere number is no unit
            return False
        bracketed = any("[" in code for _, code in unit.parts)
        return (bracketed or unit.dims in self.measured) and all(
            "[" in code or prefix in self.units.get(code, ()) for prefix, code in unit.parts
        )


MICRO = str.maketrans({"µ": "u", "μ": "u"})  # micro sign and Greek mu: UCUM writes u
_CACHED = 4096


@dataclass(slots=True)
class UnitTable(Table):
    """The table of units: rows, then plain UCUM. `first` is a site's own table, asked before this one."""

    plain: Plain = field(default_factory=Plain)
    declared: bool = False  # the sender says that what it writes is UCUM
    first: Table | None = None
    _said: dict[tuple[str, str], Hit] = field(default_factory=dict)
    _unknown: frozenset[tuple[str, str]] = frozenset()
    _found: dict[str, Hit | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        Table.__post_init__(self)
        self.target_systems = frozenset({ucum.SYSTEM})
        unknown = set()
        for table, name in ((self, HOUSE), (self.first, self.first.name if self.first else "")):
            for row in table.rows if table is not None else ():
                key = (row.source_system, row.source_code)
                if row.translates:
                    where = f"{name}.csv:{row.line}"
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
        """Return this table with a site's own rows before it. Raises ConfigError where they lead nowhere."""
        check_units(first.rows, f"terminology/maps/{first.name}.csv")
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
        if plain in self.plain:
            return Hit(ucum.SYSTEM, plain, "", "equal", "units/plain.csv")
        return None


def read_plain(units: bytes, measured: bytes, folder: str) -> Plain:
    """Read `plain.csv` (unit, prefixes: `-` = none, note) and `measured.csv` (unit, note) of `units/`.

    Raises ConfigError.
    """
    out: dict[str, frozenset[str]] = {}
    for line, cells in records(units, f"{folder}/plain.csv", ("unit", "prefixes", "note")):
        unit = cells["unit"]
        where = f"{folder}/plain.csv:{line}"
        prefixes = [p.replace("-", "") for p in cells["prefixes"].split()]
        for prefix in prefixes or [""]:
            if not ucum.is_unit(prefix + unit) or ucum.parse(prefix + unit).parts != ((prefix, unit),):
                raise ConfigError(f"{prefix + unit} is no unit of UCUM", where=where)
        if unit in out:
            raise ConfigError(f"lists {unit} twice", where=where, remedy="keep one of them")
        out[unit] = frozenset(prefixes)
    dims = set()
    for line, cells in records(measured, f"{folder}/measured.csv", ("unit", "note")):
        if not ucum.is_unit(cells["unit"]):
            raise ConfigError(f"{cells['unit']} is no unit of UCUM", where=f"{folder}/measured.csv:{line}")
        dims.add(ucum.parse(cells["unit"]).dims)
    return Plain(out, frozenset(dims))


def unit_tables(
    rows: tuple[TableRow, ...], version: str, content: Mapping[str, bytes], folder: str
) -> dict[str, Table]:
    """Make the two tables of units. Raises ConfigError for a row that leads to what is no unit."""
    check_units(rows, f"{folder}/maps/{HOUSE}.csv")
    lists = content.get("units/plain.csv"), content.get("units/measured.csv")
    plain = read_plain(lists[0], lists[1], f"{folder}/units") if lists[0] and lists[1] else Plain()
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
