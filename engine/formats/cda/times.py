"""Points in time, spans and schedules of CDA as plain records: TS, IVL_TS, PIVL_TS, EIVL_TS, SXPR_TS.

In: an element, or the text of a `value`. Out: `Moment` with the precision and the offset that were written,
`Interval`, `Periodic`, `AtEvent`. Nothing is made more exact: no zero hour, no first of the month; a time
without offset keeps its day for FHIR and its local time for whoever knows the sender's zone. Follows HL7 v3
Data Types R1 (TS, GTS).
"""

from __future__ import annotations

import re
from datetime import date
from typing import NamedTuple

from engine.formats.cda.elements import Element, attr, child, children, flag, null_flavor, type_of
from engine.formats.cda.quantities import Quantity, read_quantity

__all__ = [
    "AtEvent",
    "Interval",
    "Moment",
    "Periodic",
    "Timing",
    "compact",
    "moment",
    "read_interval",
    "read_moment",
    "read_timing",
]

_TS = re.compile(
    r"^(\d{4})(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:(\d\d)(?:[.,](\d{1,9}))?)?)?)?)?)?"
    r"(Z|[+-]\d\d(?::?\d\d)?)?$",
    re.ASCII,
)
_ISO = re.compile(
    r"^(\d{4})-(\d\d)(?:-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.,](\d{1,9}))?)?)?)?"
    r"(Z|[+-]\d\d(?::?\d\d)?)?$",
    re.ASCII,
)
_MIXED = re.compile(r"^\d{8}[T ]\d\d", re.ASCII)  # 20200102T1011: neither the one nor the other
_EARLIEST = 1800  # 0000, 0001 and the like are placeholders, nobody's date
_PRECISIONS = ("year", "month", "day", "hour", "minute", "second", "fraction")


class Moment(NamedTuple):
    """A point in time as far as it was said; `null` or `problem` where it says none that can be used."""

    text: str  # as written
    fhir: str = ""  # date or dateTime, never more exact than written
    precision: str = ""  # year | month | day | hour | minute | second | fraction
    offset: int | None = None  # minutes east of UTC
    local: str = ""  # with its time, without offset: 2020-01-02T10:11:12
    null: str = ""
    problem: str = ""  # stable word: not-a-time | no-offset | hour-only | zero-part | iso | time

    @property
    def day(self) -> str:
        """The date as written, before any shift of zone."""
        return self.fhir[:10]


class Interval(NamedTuple):
    """A span: its bounds, or one point; an open bound is None, one that says why it is empty has `null`."""

    low: Moment | None = None
    high: Moment | None = None
    low_closed: bool = True
    high_closed: bool = True
    point: Moment | None = None
    center: Moment | None = None
    width: Quantity | None = None
    null: str = ""
    operator: str = ""  # A I E H P, as in a set of times


class Periodic(NamedTuple):
    """Every so often: `period` (a quantity or a range of them) from `phase` on."""

    period: Quantity | None
    low: Quantity | None  # a period between low and high
    high: Quantity | None
    phase: Interval | None
    by_institution: bool
    operator: str = ""
    null: str = ""
    alignment: str = ""


class AtEvent(NamedTuple):
    """Before or after a daily event such as a meal (`AC`, `HS` ...)."""

    event: str
    low: Quantity | None
    high: Quantity | None
    operator: str = ""
    null: str = ""


Timing = Interval | Periodic | AtEvent


def moment(text: str) -> Moment:
    """Read the text of a TS."""
    said = text.strip()
    if _MIXED.match(said):
        said = said[:8] + said[9:].replace(":", "")
    found = _TS.match(said)
    problem = ""
    if found is None:
        found = _ISO.match(said)
        problem = "iso"
        if found is None:
            return Moment(text, problem="not-a-time")
    year, month, day, hour, minute, second, fraction, zone = found.groups()
    if int(year) < _EARLIEST:
        return Moment(text, problem="not-a-time")
    if month == "00" and not any(int(p) for p in (day, hour, minute, second) if p):
        return Moment(text, year, "year", problem="zero-part")
    if day == "00" and 1 <= int(month) <= 12 and not any(int(p) for p in (hour, minute, second) if p):
        return Moment(text, f"{year}-{month}", "month", problem="zero-part")
    if month is None:
        return Moment(text, year, "year", problem=problem)
    try:
        date(int(year), int(month), int(day or 1))
    except ValueError:
        return Moment(text, problem="not-a-time")
    if day is None:
        return Moment(text, f"{year}-{month}", "month", problem=problem)
    written = f"{year}-{month}-{day}"
    if hour is None:
        return Moment(text, written, "day", problem=problem)
    offset = _offset(zone)
    if int(hour) > 23 or (minute and int(minute) > 59) or (second and int(second) > 60) or offset == _BAD:
        return Moment(text, written, "day", problem="time")
    if minute is None:
        return Moment(text, written, "hour", offset, problem="hour-only")
    precision = "fraction" if fraction else "second" if second else "minute"
    local = f"{written}T{hour}:{minute}:{second or '00'}" + (f".{fraction}" if fraction else "")
    if offset is None:
        return Moment(text, written, precision, None, local, problem="no-offset")
    sign = "-" if offset < 0 else "+"
    zone = f"{sign}{abs(offset) // 60:02}:{abs(offset) % 60:02}"
    return Moment(text, local + zone, precision, offset, local, problem=problem)


def compact(text: str) -> tuple[str, str]:
    """Write what a TS says in digits alone, and name what could not be kept of it: `time`, `zero-part`; the
    digits are empty for what is no time."""
    read = moment(text)
    if read.problem in ("time", "zero-part"):
        return read.fhir.replace("-", ""), read.problem
    if not read.fhir:
        return "", "not-a-time"
    if not read.local:
        return read.fhir.replace("-", "") + ("" if read.precision != "hour" else text.strip()[8:10]), ""
    zone = read.fhir[len(read.local) :].replace(":", "") if read.offset is not None else ""
    digits = re.sub(r"[-:T]", "", read.local)
    return (digits[:12] if read.precision == "minute" else digits) + zone, ""


_BAD = 10_000


def _offset(zone: str | None) -> int | None:
    if not zone:
        return None
    if zone == "Z":
        return 0
    digits = zone[1:].replace(":", "")
    hours, minutes = int(digits[:2]), int(digits[2:] or 0)
    if hours > 14 or minutes > 59:
        return _BAD
    return (hours * 60 + minutes) * (-1 if zone[0] == "-" else 1)


def read_moment(element: Element | None) -> Moment | None:
    """Read a TS element; None where it is missing or says nothing at all."""
    if element is None:
        return None
    text, null = attr(element, "value"), null_flavor(element)
    if null:
        return Moment(text, null=null, problem="null-and-value" if text else "")
    return moment(text) if text else None


def read_interval(element: Element | None) -> Interval | None:
    """Read an IVL_TS, or a TS as a span of one point."""
    if element is None:
        return None
    low, high = child(element, "low"), child(element, "high")
    found = Interval(
        low=read_moment(low),
        high=read_moment(high),
        low_closed=flag(low, "inclusive") is not False,
        high_closed=flag(high, "inclusive") is not False,
        point=moment(attr(element, "value")) if attr(element, "value") and not null_flavor(element) else None,
        center=read_moment(child(element, "center")),
        width=read_quantity(child(element, "width")),
        null=null_flavor(element),
        operator=attr(element, "operator"),
    )
    said = (found.low, found.high, found.point, found.center, found.width)
    return found if found.null or any(part is not None for part in said) else None


def read_timing(element: Element | None) -> tuple[Timing, ...]:
    """Read an `effectiveTime` of any kind; the parts of an SXPR_TS come out one after the other."""
    if element is None:
        return ()
    kind = type_of(element)
    if kind == "SXPR_TS":
        return tuple(part for comp in children(element, "comp") for part in read_timing(comp))
    if kind == "PIVL_TS" or child(element, "period") is not None:
        period = child(element, "period")
        return (
            Periodic(
                period=read_quantity(period) if attr(period, "value") else None,
                low=read_quantity(child(period, "low")),
                high=read_quantity(child(period, "high")),
                phase=read_interval(child(element, "phase")),
                by_institution=bool(flag(element, "institutionSpecified")),
                operator=attr(element, "operator"),
                null=null_flavor(element),
                alignment=attr(element, "alignment"),
            ),
        )
    if kind == "EIVL_TS" or child(element, "event") is not None:
        offset = child(element, "offset")
        return (
            AtEvent(
                attr(child(element, "event"), "code"),
                read_quantity(child(offset, "low"))
                or read_quantity(offset if attr(offset, "value") else None),
                read_quantity(child(offset, "high")),
                attr(element, "operator"),
                null_flavor(element),
            ),
        )
    span = read_interval(element)
    return (span,) if span else ()
