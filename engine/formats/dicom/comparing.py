"""One key's value against an attribute's values, by VR: lists, wildcards, names, numbers, ranges of time.

In: texts as they are in a query and in a dataset. Out: yes or no. Follows PS3.4 C.2.2.2.1 to C.2.2.2.5.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import datetime, timedelta
from functools import lru_cache

__all__ = ["compare", "is_range", "within_together"]

_WILD = frozenset(("AE", "CS", "LO", "LT", "SH", "ST", "UC", "UR", "UT"))
_NUMBERS = frozenset(("IS", "DS", "SL", "SS", "SV", "UL", "US", "UV", "FL", "FD"))
_MOMENT = r"\d{4,14}(?:\.\d{0,6})?"
_ZONED = re.compile(rf"({_MOMENT})([+-](?:0\d|1[0-4])[0-5]\d)?")
_ZONED_RANGE = re.compile(
    rf"({_MOMENT}(?:[+-](?:0\d|1[0-4])[0-5]\d)?)?-({_MOMENT}(?:[+-](?:0\d|1[0-4])[0-5]\d)?)?"
)
_LOW = "00000101000000.000000"
_HIGH = "99991231235959.999999"


def compare(vr: str, asked: list[str], held: list[str]) -> bool:
    """Say whether one of the values held is one of those asked for."""
    if vr == "PN":
        return any(_name(a, h) for a in asked for h in held)
    if vr in _WILD:
        return any(_wild(a).fullmatch(h) is not None for a in asked for h in held)
    if vr in ("DA", "TM"):
        return any(_within(vr, a, h) for a in asked for h in held)
    if vr == "DT":
        return any(_moment_within(a, h) for a in asked for h in held)
    if vr in _NUMBERS:
        return any(_number(a) == _number(h) for a in asked for h in held)
    return not set(asked).isdisjoint(held)  # UI and the like: a list of UIDs, never a wildcard


@lru_cache(maxsize=512)
def _wild(pattern: str) -> re.Pattern[str]:
    first, *rest = (
        "".join("." if c == "?" else re.escape(c) for c in part)
        for part in re.sub(r"\*+", "*", pattern).split("*")
    )
    if not rest:
        return re.compile(first, re.DOTALL)
    # the first place where a part fits is as good as any other: no going back, however many `*` there are
    middle = "".join(f"(?>.*?{part})" for part in rest[:-1])
    return re.compile(f"{first}{middle}.*{rest[-1]}", re.DOTALL)


def _name(asked: str, held: str) -> bool:
    """Match a name without regard to case; one group of it against any, several each against its own."""
    wanted, groups = _groups(asked), _groups(held)
    if len(wanted) == 1:
        return any(_one_name(wanted[0], group) for group in groups if group)
    groups += [""] * (len(wanted) - len(groups))
    return all(_one_name(a, h) for a, h in zip(wanted, groups, strict=False) if a)


def _groups(name: str) -> list[str]:
    return [unicodedata.normalize("NFC", group).casefold().strip() for group in name.split("=")]


def _one_name(asked: str, held: str) -> bool:
    asked, held = asked.rstrip("^ "), held.rstrip("^ ")
    if "*" not in asked and "?" not in asked:
        return asked == held
    # components that are not there are empty ones: `DOE^*` is for somebody without a given name too
    padded = held + "^" * max(0, asked.count("^") - held.count("^"))
    return _wild(asked).fullmatch(padded) is not None


def _number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def is_range(text: str) -> bool:
    """Say whether a key of VR DA or TM asks for a range (PS3.4 C.2.2.2.5)."""
    return "-" in text


def _plain(vr: str, text: str) -> str:
    text = text.strip()
    # before version 3.0 dates had points and times colons (PS3.5 6.2)
    return text.replace(".", "") if vr == "DA" else text.replace(":", "")


def _bounds(vr: str, text: str) -> tuple[str, str]:
    low, dash, high = _plain(vr, text).partition("-")
    if not dash:
        high = low
    return (_first(vr, low), _last(vr, high))


def _first(vr: str, text: str) -> str:
    model = _LOW[:8] if vr == "DA" else _LOW[8:]
    return text + model[len(text) :]


def _last(vr: str, text: str) -> str:
    model = _HIGH[:8] if vr == "DA" else _HIGH[8:]
    return text + model[len(text) :]


def _within(vr: str, asked: str, held: str) -> bool:
    low, high = _bounds(vr, asked)
    value = _plain(vr, held)
    return value.replace(".", "").isdigit() and low <= _first(vr, value) <= high


def within_together(dates: str, times: str, date: str, time: str) -> bool:
    """Match a date and a time that make one range together (PS3.4 K.6.1.2.2, C.2.2.2.5.4)."""
    first_day, _, last_day = _plain("DA", dates).partition("-")
    first_time, _, last_time = _plain("TM", times).partition("-")
    day, clock = _plain("DA", date), _plain("TM", time)
    if not day.isdigit():
        return False
    low = _first("DA", first_day) + _first("TM", first_time if first_day else "")
    high = _last("DA", last_day) + _last("TM", last_time if last_day else "")
    return low <= day + _first("TM", clock) <= high


def _moment_within(asked: str, held: str) -> bool:
    """Match a DT: one moment or a range, each with or without its offset from UTC (PS3.4 C.2.2.2.5)."""
    single = _ZONED.fullmatch(asked)
    if single:
        low = high = asked
    else:
        found = _ZONED_RANGE.fullmatch(asked)
        if found is None:
            return asked == held
        low, high = found[1] or "", found[2] or ""
    value = _ZONED.fullmatch(held)
    if value is None:
        return False
    return (not low or _in_order(low, held, _LOW, _LOW)) and (not high or _in_order(held, high, _LOW, _HIGH))


def _in_order(earlier: str, later: str, of_earlier: str, of_later: str) -> bool:
    """Say whether one DT is not after another, in UTC where both know their offset."""
    zoned = all((found := _ZONED.fullmatch(text)) is not None and found[2] for text in (earlier, later))
    return _moment(earlier, of_earlier, zoned) <= _moment(later, of_later, zoned)


def _moment(text: str, model: str, zoned: bool) -> str:
    """Return a DT in full."""
    found = _ZONED.fullmatch(text)
    if found is None:
        return text
    digits, offset = found[1], found[2]
    whole = digits + model[len(digits) :]
    if not (offset and zoned):
        return whole
    minutes = int(offset[1:3]) * 60 + int(offset[3:5])
    moved = timedelta(minutes=-minutes if offset[0] == "+" else minutes)
    try:
        shifted = datetime.strptime(whole[:14], "%Y%m%d%H%M%S") + moved
    except (OverflowError, ValueError):
        return whole
    return shifted.strftime("%Y%m%d%H%M%S") + whole[14:]
