"""What a quantity is of: molar masses, and the units that a LOINC property allows.

In: `units/molar.csv` (a substance, its molar mass and charge, who reviewed it) and `units/properties.csv`
(LOINC's PROPERTY axis and the units that measure it). Out: a number in another unit, where the dimension
agrees or the reviewed row of the substance makes it agree; or why not. Mass turns into amount by the molar
mass, equivalents by the charge; nothing else turns into anything. LOINC Users' Guide, "Kind of Property".
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from fractions import Fraction

from engine.kernel.errors import ConfigError
from engine.terminology import ucum
from engine.terminology.csvrows import records
from engine.terminology.damage import loinc_valid
from engine.terminology.ucum import UnitError

__all__ = ["Converted", "Measures", "Property", "Substance", "read_properties", "read_substances"]

MOLAR = ("loinc", "component", "formula", "molar_mass", "charge", "status", "by", "on", "source", "note")
_NUMBER = re.compile(r"[1-9]\d{0,6}(?:\.\d{1,6})?|0\.\d{1,6}")
_DAY = re.compile(r"\d{4}-\d\d-\d\d")


@dataclass(frozen=True, slots=True)
class Substance:
    """One reviewed row: grams of one mole, and equivalents of one mole (0: not an ion)."""

    component: str
    formula: str
    mass: Fraction
    charge: int
    codes: tuple[str, ...]
    where: str


@dataclass(frozen=True, slots=True)
class Converted:
    """A number in the unit that was asked for, and how it came about."""

    value: Decimal
    unit: str
    how: str


@dataclass(frozen=True, slots=True)
class Property:
    """A LOINC property: what it is called, and the dimensions that measure it."""

    name: str
    dims: frozenset[tuple[tuple[str, int], ...]]


@dataclass(frozen=True, slots=True)
class Measures:
    """The substances by LOINC code and by LOINC component, and the dimensions of LOINC properties."""

    substances: tuple[Substance, ...] = ()
    properties: dict[str, Property] = field(default_factory=dict)
    by_code: dict[str, Substance] = field(default_factory=dict)
    by_component: dict[str, Substance] = field(default_factory=dict)

    @classmethod
    def of(cls, substances: Iterable[Substance], properties: dict[str, Property]) -> Measures:
        """Index reviewed rows."""
        rows = tuple(substances)
        by_code = {c: s for s in rows for c in s.codes}
        return cls(rows, properties, by_code, {s.component.casefold(): s for s in rows})

    def substance(self, loinc: str, component: str = "") -> Substance | None:
        """Return the reviewed row of a LOINC code, by itself or by its COMPONENT."""
        return self.by_code.get(loinc) or (self.by_component.get(component.casefold()) if component else None)

    def convert(self, value: Decimal, source: str, target: str, of: Substance | None = None) -> Converted:
        """Convert a number, by the row of its substance where the dimensions need it. Raises UnitError."""
        if not ucum.why_not(source, target):
            return Converted(ucum.convert(value, source, target), target, "UCUM")
        if of is not None and (factor := molar_factor(source, target, of)) is not None:
            a, b = ucum.parse(source), ucum.parse(target)
            ratio = a.factor / b.factor * factor
            number = ucum.rounded(Fraction(value) * ratio, ucum.last_digit(value) * ratio)
            said = f"{of.component}: {float(of.mass):.7g} g/mol" + (
                f", charge {of.charge}" if of.charge else ""
            )
            return Converted(number, target, f"{said} ({of.where})")
        raise UnitError(f"{source} does not convert to {target}", why=ucum.why_not(source, target))

    def contradiction(self, property_: str, unit: str) -> str:
        """Say how a UCUM unit contradicts a LOINC property; empty where it does not, or nobody knows."""
        known = self.properties.get(property_)
        if known is None or not ucum.is_unit(unit) or ucum.parse(unit).dims in known.dims:
            return ""
        return f"the code is of property {property_} ({known.name}), which {unit} does not measure"


def molar_factor(source: str, target: str, of: Substance) -> Fraction | None:
    """Return what a number is multiplied with beside the units' own factors; None = no way between them."""
    a, b = ucum.parse(source), ucum.parse(target)
    if sorted(a.notes) != sorted(b.notes) or a.cancelled or b.cancelled or not (a.alone and b.alone):
        return None
    if a.function or b.function:
        return None
    moles = {"g": 1 / of.mass, "mol": Fraction(1)}
    if of.charge:
        moles["eq"] = Fraction(1, of.charge)
    left, right = dict(a.dims), dict(b.dims)
    for one in moles:
        for other in moles:
            # one base turns into another, once, above the line; all else agrees
            if one != other and left.get(one) == 1 and right.get(other) == 1:
                if {**left, one: 0, other: 1} == {**right, one: 0} and other not in left and one not in right:
                    return moles[one] / moles[other]
    return None


def read_substances(data: bytes, name: str) -> tuple[Substance, ...]:
    """Read `units/molar.csv`; only approved rows are used. Raises ConfigError."""
    out: list[Substance] = []
    seen: dict[str, int] = {}
    for line, c in records(data, name, MOLAR):
        where = f"{name}:{line}"
        if not _NUMBER.fullmatch(c["molar_mass"]) or Fraction(c["molar_mass"]) < 1:
            raise ConfigError(
                f"has the molar mass {c['molar_mass']!r}",
                where=where,
                remedy="write grams per mole as 180.156",
            )
        if c["charge"] not in ("", "1", "2", "3"):
            raise ConfigError(f"has the charge {c['charge']!r}", where=where, remedy="use 1, 2, 3 or nothing")
        if c["status"] not in ("approved", "draft"):
            raise ConfigError(f"has the status {c['status']!r}", where=where, remedy="use approved or draft")
        if not c["component"] or not c["source"]:
            raise ConfigError(
                "says not of what, or not from where", where=where, remedy="fill component and source"
            )
        if c["status"] == "approved" and not (c["by"] and _DAY.fullmatch(c["on"])):
            raise ConfigError("is approved by nobody", where=where, remedy="fill by and on (2026-03-02)")
        codes = tuple(c["loinc"].split())
        for key in (*codes, c["component"].casefold()):
            if key in seen:
                raise ConfigError(
                    f"names {key} again", where=where, why=f"first at line {seen[key]}", remedy="keep one row"
                )
            seen[key] = line
        for code in codes:
            if not loinc_valid(code):
                raise ConfigError(
                    f"has the LOINC code {code!r}", where=where, why="its check digit is wrong for LOINC"
                )
        if c["status"] == "approved":
            at = f"{name.rsplit('/', 1)[-1]}:{line}"
            mass, charge = Fraction(c["molar_mass"]), int(c["charge"] or 0)
            out.append(Substance(c["component"], c["formula"], mass, charge, codes, at))
    return tuple(out)


def read_properties(data: bytes, name: str) -> dict[str, Property]:
    """Read `units/properties.csv`: property, units that measure it, name. Raises ConfigError."""
    out: dict[str, Property] = {}
    for line, c in records(data, name, ("property", "units", "name")):
        for unit in c["units"].split():
            if not ucum.is_unit(unit):
                raise ConfigError(f"{unit} is no unit of UCUM", where=f"{name}:{line}")
        if not c["property"] or not c["units"] or c["property"] in out:
            raise ConfigError("names no property, no unit, or one again", where=f"{name}:{line}")
        dims = frozenset(ucum.parse(unit).dims for unit in c["units"].split())
        out[c["property"]] = Property(c["name"], dims)
    return out
