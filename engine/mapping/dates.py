"""HL7 times (DT, TM, DTM, TS) -> FHIR date, dateTime, instant and time, never more precise than what was
sent.

HL7 v2.8.2 §2A.3.21-22, §2A.3.78. An offset in the field wins, else the sender's time zone; with neither only
the day is kept. A local time that happens twice or never (daylight saving) keeps its day only. Seconds are
zero-filled where the sender gave minutes, as FHIR R4 §2.24.0.1 demands; an hour without minutes keeps its day
only.
"""

from __future__ import annotations

import re
from datetime import date, datetime, timedelta
from functools import lru_cache
from typing import NamedTuple
from zoneinfo import ZoneInfo

__all__ = ["When", "read_date", "read_datetime", "read_instant", "read_time"]

_TS = re.compile(
    r"(?P<y>\d{4})(?:(?P<m>\d\d)(?:(?P<d>\d\d)(?:(?P<H>\d\d)(?:(?P<M>\d\d)(?:(?P<S>\d\d)(?P<f>\.\d{1,9})?)?)?)?)?)?(?P<z>[+-]\d{4}|Z)?",
    re.ASCII,
)
_TM = re.compile(r"(?P<H>\d\d)(?:(?P<M>\d\d)(?:(?P<S>\d\d)(?P<f>\.\d{1,9})?)?)?(?P<z>[+-]\d{4}|Z)?", re.ASCII)


class When(NamedTuple):
    """A FHIR value, and the stable word of what was lost on the way ("" = nothing): `no-zone`, `dst-
    ambiguous`, `dst-gap`, `hour-only`."""

    value: str
    lost: str


@lru_cache(maxsize=8192)
def read_date(text: str) -> str | None:
    """Return a FHIR date at the precision written, cut at the sender's day before any zone shift; None if
    unreadable."""
    m = _TS.fullmatch(text)
    return _day(m) if m else None


def _day(m: re.Match[str]) -> str | None:
    y, mo, d = m["y"], m["m"], m["d"]
    if y == "0000" or mo == "00":
        return None
    try:
        date(int(y), int(mo or 1), int(d or 1))
    except ValueError:
        return None
    return f"{y}-{mo}-{d}" if d else f"{y}-{mo}" if mo else y


@lru_cache(maxsize=8192)
def read_datetime(text: str, zone: str) -> When | None:
    """Return a FHIR dateTime; `zone` is an IANA name or `+hh:mm`, "" when the sender's zone is not known."""
    m = _TS.fullmatch(text)
    if not m:
        return None
    day = _day(m)
    if day is None:
        return None
    if not m["H"]:
        return When(day, "")
    if not m["M"]:
        return When(day, "hour-only") if int(m["H"]) < 24 else None
    hour, minute, second = int(m["H"]), int(m["M"]), int(m["S"] or 0)
    if hour > 23 or minute > 59 or second > 59:
        return None
    clock = f"{day}T{m['H']}:{m['M']}:{m['S'] or '00'}{m['f'] or ''}"
    if m["z"]:
        offset = _offset(m["z"])
        return When(clock + offset, "") if offset else None
    if not zone:
        return When(day, "no-zone")
    if zone[0] in "+-Z":
        return When(clock + zone, "")
    local = datetime(int(day[:4]), int(day[5:7]), int(day[8:10]), hour, minute, second, tzinfo=ZoneInfo(zone))
    first, second_pass = local.utcoffset(), local.replace(fold=1).utcoffset()
    assert first is not None and second_pass is not None
    if first != second_pass:
        return When(day, "dst-ambiguous" if first > second_pass else "dst-gap")
    return When(clock + _hhmm(first), "")


def _offset(z: str) -> str:
    if z == "Z":
        return "Z"
    if int(z[1:3]) > 14 or int(z[3:]) > 59 or (int(z[1:3]) == 14 and z[3:] != "00"):
        return ""
    return f"{z[:3]}:{z[3:]}"


def _hhmm(delta: timedelta) -> str:
    minutes = int(delta.total_seconds()) // 60
    sign = "-" if minutes < 0 else "+"
    return f"{sign}{abs(minutes) // 60:02d}:{abs(minutes) % 60:02d}"


def read_instant(text: str, zone: str) -> When | None:
    """Return a FHIR instant: seconds and a zone are needed, otherwise `lost` says why it has no value
    (`""`)."""
    m = _TS.fullmatch(text)
    if m and not m["S"]:
        return When("", "too-coarse") if _day(m) else None
    when = read_datetime(text, zone)
    if when is None or not when.lost:
        return when
    return When("", when.lost)


@lru_cache(maxsize=2048)
def read_time(text: str) -> When | None:
    """Return a FHIR time `hh:mm:ss`; without seconds `lost` is `too-coarse`, a dropped offset is `offset-
    dropped`."""
    m = _TM.fullmatch(text)
    if not m or int(m["H"]) > 23 or int(m["M"] or 0) > 59 or int(m["S"] or 0) > 59:
        return None
    if not m["S"]:
        return When("", "too-coarse")
    return When(f"{m['H']}:{m['M']}:{m['S']}{m['f'] or ''}", "offset-dropped" if m["z"] else "")
