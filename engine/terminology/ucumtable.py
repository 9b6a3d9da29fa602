"""The table of UCUM: prefixes, units with their definitions, and the functions of its special units.

In: `data/ucum-essence.xml`, as the UCUM Organization publishes it, never changed. Out: `table()`, read once.
UCUM version 2.2, §§ 21-30 (special units), § 45 (the tables). Three things are ours, because a conversion in
medicine must not be guessed: amounts of substance are counted by themselves (UCUM writes a mole as a plain
number, so that mmol would turn into cells), equivalents and osmoles are not moles until somebody names the
substance, and the fields of view of a microscope have no size.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from functools import cache
from importlib.resources import files
from xml.etree import ElementTree

__all__ = ["ALONE", "FUNCTIONS", "SYMBOL", "Atom", "Function", "Table", "table"]

SYMBOL = re.compile(r"10[*^]|(?:\[[^\[\]{}\s]+\]|[^\s()+\-./=\[\]{}\"0-9\x00-\x20\x7f-\U0010ffff])+")
"""A unit with or without prefix: the ten for powers, or everything up to a digit or a sign of the grammar;
what stands between square brackets is part of it whatever it is."""

ALONE = frozenset({"mol", "eq", "osm", "[HPF]", "[LPF]"})
"""Units that convert into nothing but themselves, although UCUM gives them a number."""

ALSO = {"Torr": ("1", "mm[Hg]")}
"""Official example codes that the table forgot, as the list of examples has them (760 Torr = 760 mm[Hg])."""

_NS = "{http://unitsofmeasure.org/ucum-essence}"
_EXACT = Context(prec=50)


@dataclass(frozen=True, slots=True)
class Atom:
    """One unit of the table. `value` x `unit` defines it; both empty for a base unit. `function` names the
    function of a special unit, whose definition is the unit that the function gives its result in."""

    code: str
    name: str
    property: str
    metric: bool
    value: Fraction
    unit: str
    function: str = ""
    arbitrary: bool = False
    base: bool = False


@dataclass(frozen=True, slots=True)
class Table:
    """Prefixes and units of UCUM."""

    version: str
    prefixes: dict[str, Fraction]
    atoms: dict[str, Atom]


@dataclass(frozen=True, slots=True)
class Function:
    """From a number on the special scale to the number of its reference unit, and back. `linear`: degrees of
    temperature, where a step is the same everywhere; the others are logarithms, tangents and roots."""

    to: Callable[[Fraction], Fraction]
    back: Callable[[Fraction], Fraction]
    linear: bool = False


@cache
def table() -> Table:
    """Read the table of UCUM."""
    root = ElementTree.fromstring(files("engine.terminology").joinpath("data/ucum-essence.xml").read_bytes())
    prefixes = {p.attrib["Code"]: _number(p) for p in root.iter(f"{_NS}prefix")}
    atoms: dict[str, Atom] = {}
    for unit in root.iter(f"{_NS}base-unit"):
        code = unit.attrib["Code"]
        atoms[code] = Atom(
            code, _text(unit, "name"), _text(unit, "property"), True, Fraction(1), "", base=True
        )
    for unit in root.iter(f"{_NS}unit"):
        code = unit.attrib["Code"]
        value = unit.find(f"{_NS}value")
        assert value is not None
        function = value.find(f"{_NS}function")
        amount, of = (
            (_number(unit), value.attrib["Unit"])
            if function is None
            else (Fraction(function.attrib["value"]), function.attrib["Unit"])
        )
        arbitrary = unit.get("isArbitrary") == "yes" and of == "1"
        atoms[code] = Atom(
            code,
            _text(unit, "name"),
            _text(unit, "property"),
            unit.get("isMetric") == "yes",
            amount,
            of,
            "" if function is None else function.attrib["name"],
            arbitrary,
            arbitrary or code in ALONE,
        )
    for code, (number, of) in ALSO.items():
        if code not in atoms:
            atoms[code] = Atom(code, code.lower(), "pressure", False, Fraction(number), of)
    return Table(root.attrib["version"], prefixes, atoms)


def _number(element: ElementTree.Element) -> Fraction:
    value = element.find(f"{_NS}value")
    assert value is not None
    return Fraction(Decimal(value.attrib["value"]))


def _text(element: ElementTree.Element, name: str) -> str:
    found = element.find(f"{_NS}{name}")
    return " ".join("".join(found.itertext()).split()) if found is not None else ""


def _decimal(x: Fraction) -> Decimal:
    return _EXACT.divide(Decimal(x.numerator), Decimal(x.denominator))


def _power(base: int, scale: int = 1) -> Function:
    """`x = scale * log_base(a)`: levels, pH (scale -1), homeopathic potencies."""
    return Function(
        lambda x: Fraction(_EXACT.power(Decimal(base), _decimal(x / scale))),
        lambda a: Fraction(_EXACT.divide(_EXACT.ln(_decimal(a)), _EXACT.ln(Decimal(base)))) * scale,
    )


def _tangent(degrees: bool) -> Function:
    """`x = 100 tan(a)`, the angle in degrees or radians; good for fifteen digits."""
    turn = math.pi / 180 if degrees else 1.0
    return Function(
        lambda x: Fraction(math.atan(x / 100) / turn), lambda a: Fraction(100 * math.tan(float(a) * turn))
    )


def _root(a: Fraction) -> Fraction:
    return Fraction(_EXACT.sqrt(_decimal(a)))


def _offset(zero: str) -> Function:
    shift = Fraction(zero)
    return Function(lambda x: x + shift, lambda a: a - shift, linear=True)


FUNCTIONS: dict[str, Function] = {
    "Cel": _offset("273.15"),
    "degF": _offset("459.67"),
    "degRe": _offset("218.52"),
    "pH": _power(10, -1),
    "hpX": _power(10, -1),
    "hpC": _power(100, -1),
    "hpM": _power(1000, -1),
    "hpQ": _power(50000, -1),
    "lg": _power(10),
    "lgTimes2": _power(10, 2),
    "ld": _power(2),
    "ln": Function(lambda x: Fraction(_EXACT.exp(_decimal(x))), lambda a: Fraction(_EXACT.ln(_decimal(a)))),
    "sqrt": Function(lambda x: x * x, _root),
    "tanTimes100": _tangent(degrees=False),
    "100tan": _tangent(degrees=True),
}
