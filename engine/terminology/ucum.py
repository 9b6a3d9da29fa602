"""UCUM: reads a unit code, tells what it measures, and converts a number where both sides measure the same.

In: case-sensitive UCUM codes (`mg/dL`, `10*3/uL`, `mm[Hg]`) and decimal numbers. Out: `Unit` (an exact
factor and the powers of base units), its canonical text, a converted number, or a `UnitError` that says why
not. The Unified Code for Units of Measure 2.2, §§ 2-11 (grammar), 21-22 (special units).

Digits: the result is rounded to the largest power of ten that is not worth more than the last digit that was
sent. 5 mg/dL of glucose is 0.28 mmol/L, 5.0 is 0.278; nothing that was measured is lost, little that was not
is claimed, and converting back, rounded to the digits that were sent, gives the number that was sent.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from functools import lru_cache

from engine.kernel.errors import HubError
from engine.terminology.ucumtable import FUNCTIONS, SYMBOL, Function, table

__all__ = [
    "SYSTEM",
    "Unit",
    "UnitError",
    "canonical",
    "convert",
    "is_unit",
    "last_digit",
    "parse",
    "rounded",
    "why_not",
]

SYSTEM = "http://unitsofmeasure.org"
LONGEST, DEEPEST, HIGHEST = 120, 12, 99  # characters, parentheses, exponent: no real unit comes near

SAY_NOTHING = frozenset({"cells", "cell", "copies", "count", "counts"})
"""Annotations that only name what is counted: one side may leave them out. All others (`{FEU}`, `{creat}`,
`{1.73_m2}`, `{WBC}`) say what the number is about, and it never turns into one about something else."""

_WIDE = Context(prec=400)
_DIGITS = re.compile(r"\d+")
_EXPONENT = re.compile(r"[+-]?\d+")
_NOTE = re.compile(r"\{[!-z|~]*\}")
_LINEAR = Function(lambda x: x, lambda a: a, linear=True)


class UnitError(HubError):
    """A text that is no UCUM unit, or two units that do not convert."""


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit: `factor` x the powers of base units in `dims`.

    `function` is the scale of a special unit (`Cel`, `pH`) and `reach` the prefix before it; `alone` is
    False where a special unit is part of a product, which measures differences at best and is never
    converted. `cancelled` names the bases that stand above and below the line and leave nothing
    (mmol/mol: mol).
    """

    code: str
    factor: Fraction
    dims: tuple[tuple[str, int], ...] = ()
    notes: tuple[str, ...] = ()
    parts: tuple[tuple[str, str], ...] = ()  # (prefix, unit) as written
    cancelled: frozenset[str] = frozenset()
    function: str = ""
    reach: Fraction = Fraction(1)
    alone: bool = True
    counted_below: bool = False  # a number stands below the line: mg/24.h is (mg/24).h

    @property
    def dimension(self) -> str:
        """Return the powers of base units as UCUM text: `g.m-3`; `1` for a plain number."""
        return ".".join(b + (str(e) if e != 1 else "") for b, e in self.dims) or "1"


_ONE = Unit("1", Fraction(1))


@lru_cache(maxsize=8192)
def parse(code: str) -> Unit:
    """Read a UCUM code. Raises UnitError saying where it goes wrong."""
    if not code or len(code) > LONGEST:
        raise UnitError("is no unit", why="it is empty" if not code else f"longer than {LONGEST} characters")
    return _Reader(code).whole()


@lru_cache(maxsize=8192)
def is_unit(code: str) -> bool:
    """Say whether a text is a UCUM code."""
    try:
        parse(code)
    except UnitError:
        return False
    return True


def canonical(code: str) -> tuple[Fraction, str]:
    """Return how many of which base units a unit is; a special unit is that of its scale's zero and step.

    Raises UnitError for a unit that is no unit, or is no multiple of one (pH, decibel, degrees).
    """
    unit = parse(code)
    if unit.function:
        raise UnitError(f"{code} is no multiple of {unit.dimension}", why="it is a scale of its own")
    return unit.factor, unit.dimension


@lru_cache(maxsize=8192)
def why_not(source: str, target: str) -> str:
    """Say why a number in one unit cannot become one in the other; empty where it can. Raises UnitError."""
    a, b = parse(source), parse(target)
    if a.dims != b.dims:
        kinds = {d for u in (a, b) for d, _ in u.dims} & {"mol", "eq", "osm"}
        need = "; without the substance nobody can say" if kinds else ""
        return f"{source} measures {a.dimension}, {target} measures {b.dimension}{need}"
    if not (a.alone and b.alone):
        return "a unit with a scale of its own (Cel, pH, dB) is part of a product"
    if sorted(a.notes) != sorted(b.notes) and ((a.notes and b.notes) or _tells(a) or _tells(b)):
        return "the annotations differ, so the numbers may be about different things"
    if a.cancelled != b.cancelled and ("mol" in a.cancelled | b.cancelled or (a.cancelled and b.cancelled)):
        return (
            "a part of an amount of substance, of a mass and of a volume are three things; name the substance"
        )
    return ""


def convert(value: Decimal, source: str, target: str) -> Decimal:
    """Convert a number. Raises UnitError where the units do not measure the same."""
    if not value.is_finite():
        raise UnitError("is no number", why="it is infinite or no number at all")
    if source == target:
        parse(source)
        return value
    if reason := why_not(source, target):
        raise UnitError(f"{source} does not convert to {target}", why=reason)
    a, b = parse(source), parse(target)
    if not (a.function or b.function):
        ratio = _ratio(source, target)
        return value if ratio == 1 else rounded(Fraction(value) * ratio, last_digit(value) * ratio)

    def scale(x: Fraction) -> Fraction:
        return _from_base(_to_base(x, a), b)

    try:
        exact, step = Fraction(value), last_digit(value)
        around = scale(exact + step / 2) - scale(exact - step / 2)
        return rounded(scale(exact), abs(around))
    except (ArithmeticError, ValueError):
        raise UnitError(
            f"{source} does not convert to {target}", why="the number is outside of what the scale can say"
        ) from None


@lru_cache(maxsize=8192)
def _ratio(source: str, target: str) -> Fraction:
    return parse(source).factor / parse(target).factor


def rounded(exact: Fraction, step: Fraction) -> Decimal:
    """Round to the largest power of ten that is no more than `step`; ties go to the even digit."""
    at = _magnitude(step) if step else 0
    ten = Fraction(10) ** at
    number = round(exact / ten)
    return Decimal(number * 10**at) if at > 0 else Decimal(number).scaleb(at, _WIDE)


def _magnitude(x: Fraction) -> int:
    """The exponent of the largest power of ten that is not above a positive number."""
    at = len(str(x.numerator)) - len(str(x.denominator))
    return at if Fraction(10) ** at <= x else at - 1


def last_digit(value: Decimal) -> Fraction:
    """What one of the last digit is worth."""
    exponent = value.as_tuple().exponent
    assert isinstance(exponent, int)
    return Fraction(10) ** exponent


def _to_base(x: Fraction, unit: Unit) -> Fraction:
    return _function(unit).to(x * unit.reach) * unit.factor


def _from_base(x: Fraction, unit: Unit) -> Fraction:
    return _function(unit).back(x / unit.factor) / unit.reach


def _function(unit: Unit) -> Function:
    return FUNCTIONS[unit.function] if unit.function else _LINEAR


def _tells(unit: Unit) -> bool:
    return not SAY_NOTHING.issuperset(unit.notes)


class _Reader:
    """Reads one code from left to right, as the grammar of UCUM (§ 8) has it."""

    def __init__(self, code: str) -> None:
        self.code, self.at, self.depth = code, 0, 0
        self.parts: list[tuple[str, str]] = []
        self.notes: list[str] = []
        self.special: list[Unit] = []
        self.count = 0  # components that are more than an annotation
        self.above: set[str] = set()
        self.below: set[str] = set()
        self.counted = False

    def whole(self) -> Unit:
        factor, dims = self._term(over=False)
        if self.at != len(self.code):
            self._fail("does not belong here")
        powers = tuple(sorted((b, e) for b, e in dims.items() if e))
        special = self.special[0] if self.special else _ONE
        single = bool(self.special) and self.count == 1 and self.code[0] != "/" and "/" not in self._bare()
        return Unit(
            self.code,
            factor,
            powers,
            tuple(self.notes),
            tuple(self.parts),
            frozenset(b for b in self.above & self.below if not dims[b]),
            special.function if single else "",
            special.reach if single else Fraction(1),
            single or not self.special,
            self.counted,
        )

    def _bare(self) -> str:
        return re.sub(r"\[[^\]]*\]|\{[^}]*\}", "", self.code)

    def _fail(self, why: str) -> None:
        rest = self.code[self.at : self.at + 12]
        raise UnitError(
            "is no UCUM unit", where=repr(self.code), why=f"{rest!r} {why}" if rest else "it ends too early"
        )

    def _term(self, over: bool) -> tuple[Fraction, dict[str, int]]:
        """Read `/a.b/c`; `over` says that a line above turns everything round."""
        factor, dims = Fraction(1), dict[str, int]()
        divide = self._take("/")
        while True:
            f, d = self._component(over != divide)
            factor = factor / f if divide else factor * f
            for base, exponent in d.items():
                dims[base] = dims.get(base, 0) + (-exponent if divide else exponent)
            if self._take("."):
                divide = False
            elif self._take("/"):
                divide = True
            else:
                return factor, dims

    def _take(self, sign: str) -> bool:
        if self.code.startswith(sign, self.at):
            self.at += 1
            return True
        return False

    def _component(self, over: bool) -> tuple[Fraction, dict[str, int]]:
        factor, dims = Fraction(1), dict[str, int]()
        if self._take("("):
            self.depth += 1
            if self.depth > DEEPEST:
                self._fail("is nested too deep")
            factor, dims = self._term(over)
            if not self._take(")"):
                self._fail("stands where a parenthesis should close")
            self.depth -= 1
        elif m := SYMBOL.match(self.code, self.at):
            factor, dims = self._unit(m, over)
        elif m := _DIGITS.match(self.code, self.at):
            self.at = m.end()
            self.count += 1
            self.counted |= over and not self.depth
            factor = Fraction(int(m[0]))
            if not factor:
                self._fail("follows a zero")
        elif not _NOTE.match(self.code, self.at):
            self._fail("is no unit")
        while m := _NOTE.match(self.code, self.at):
            self.at = m.end()
            self.notes.append(m[0][1:-1])
        return factor, dims

    def _unit(self, m: re.Match[str], over: bool) -> tuple[Fraction, dict[str, int]]:
        found = _simple(m[0])
        if found is None:
            self._fail("is no unit of UCUM")
            raise AssertionError
        self.at = m.end()
        self.count += 1
        exponent = 1
        if e := _EXPONENT.match(self.code, self.at):
            exponent = int(e[0])
            if not 0 < abs(exponent) <= HIGHEST:
                self._fail("is no exponent")
            self.at = e.end()
        self.parts += found.parts
        if found.function:
            self.special.append(found)
            if exponent != 1:
                self.count += 1
        for base, power in found.dims:
            (self.below if (power * exponent < 0) != over else self.above).add(base)
        return found.factor**exponent, {b: p * exponent for b, p in found.dims}


@lru_cache(maxsize=4096)
def _simple(text: str) -> Unit | None:
    """Read a unit with or without prefix; the unit itself goes before a prefix and a shorter one."""
    units = table()
    for prefix, code in _splits(text):
        atom = units.atoms.get(code)
        if atom is None or (prefix and not atom.metric):
            continue
        reach = units.prefixes[prefix] if prefix else Fraction(1)
        if atom.base:
            return Unit(text, reach, ((code, 1),), parts=((prefix, code),))
        of = parse(atom.unit)
        factor = of.factor * atom.value
        if atom.function:
            return Unit(text, factor, of.dims, (), ((prefix, code),), frozenset(), atom.function, reach)
        return Unit(text, factor * reach, of.dims, parts=((prefix, code),))
    return None


def _splits(text: str) -> Iterator[tuple[str, str]]:
    yield "", text
    for size in (2, 1):
        if text[:size] in table().prefixes and len(text) > size:
            yield text[:size], text[size:]
