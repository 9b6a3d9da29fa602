"""How old a patient was when something was measured, and whether that lies in a band of ages.

In: a birth date as FHIR has it (a year, a month or a day), a day. Out: whether the age may lie in the band.
A birth date that is not known, or not to the day, could be in the band wherever its possible days are: then
it counts as in it, because a rule that holds back would hide a result.
"""

from __future__ import annotations

import calendar
import re
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from engine.kernel.errors import ConfigError
from engine.kernel.yamlfile import Map

__all__ = ["Age", "Band", "may_be_in", "read_band"]

_AGE = re.compile(r"([0-9]{1,5})\s*(day|week|month|year)s?")
_REMEDY = "write e.g. age: {from: 28 days, under: 18 years}"


@dataclass(frozen=True, slots=True)
class Age:
    """A span of life: `28 days`, `6 months`, `18 years`."""

    days: int = 0
    months: int = 0

    def after(self, birth: date) -> date:
        """Return the day on which somebody born on a day reaches it."""
        month = birth.month - 1 + self.months
        year, month = birth.year + month // 12, month % 12 + 1
        if year > 9998:
            return date.max
        day = min(birth.day, calendar.monthrange(year, month)[1])
        return date(year, month, day) + timedelta(days=self.days)


@dataclass(frozen=True, slots=True)
class Band:
    """From an age on, the day of it included; under an age, the day of it not."""

    least: Age | None = None
    under: Age | None = None


def read_band(value: Any, where: str) -> Band:
    """Read `{from: 28 days, under: 18 years}`. Raises ConfigError."""
    if not isinstance(value, Map) or not value or set(value) - {"from", "under"}:
        raise ConfigError("age: takes from: and under:", where=where, remedy=_REMEDY)
    return Band(*(_age(value.get(word), where) for word in ("from", "under")))


def _age(text: Any, where: str) -> Age | None:
    if text is None:
        return None
    found = _AGE.fullmatch(str(text).strip())
    if found is None:
        raise ConfigError(f"age: {text!r} is no age", where=where, remedy=_REMEDY)
    count = int(found[1])
    match found[2]:
        case "day":
            return Age(days=count)
        case "week":
            return Age(days=7 * count)
        case "month":
            return Age(months=count)
        case _:
            return Age(months=12 * count)


def may_be_in(band: Band, birth: str, at: date) -> bool:
    """Say whether somebody born on `birth` (FHIR date, empty: not known) may be in the band on a day."""
    possible = _days(birth)
    if possible is None:
        return True
    earliest, latest = possible
    old_enough = band.least is None or band.least.after(earliest) <= at
    young_enough = band.under is None or band.under.after(latest) > at
    return old_enough and young_enough


def _days(birth: str) -> tuple[date, date] | None:
    """Return the first and the last day a birth date may mean."""
    try:
        parts = [int(part) for part in birth[:10].split("-")]
        first = date(parts[0], parts[1] if len(parts) > 1 else 1, parts[2] if len(parts) > 2 else 1)
        if len(parts) > 2:
            return first, first
        month = parts[1] if len(parts) > 1 else 12
        return first, date(parts[0], month, calendar.monthrange(parts[0], month)[1])
    except (ValueError, IndexError):
        return None
