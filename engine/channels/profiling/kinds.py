"""What kind of data a value is: a number, a date to the day, text; and how lengths are counted.

In: one value of a message, unescaped, and the datatype that the standard gives its place. Out: one word
that holds nothing of the value. Dates are told from numbers by their datatype; where it is unknown, by
being a date that exists. Follows HL7 v2.8.2 ch. 2A.21 (DT), 2A.22 (DTM), 2A.75 (TM).
"""

from __future__ import annotations

import re
from collections.abc import Mapping

__all__ = ["DATES", "DELETE", "bucket", "kind_of", "offset_of", "percentile"]

DATES = frozenset({"TS", "DT", "DTM", "TM"})
DELETE = "delete"
"""The kind of `""`."""

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?|[+-]?\.\d+").fullmatch
_TIME = re.compile(
    r"(?P<date>\d{4}(?:(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])?)?)"
    r"(?P<time>(?<=\d{8})(?:[01]\d|2[0-3])(?:[0-5]\d(?:[0-5]\d(?P<fraction>\.\d{1,4})?)?)?)?"
    r"(?P<zone>[+-]\d{4})?"
).fullmatch
_CLOCK = re.compile(r"(?:[01]\d|2[0-3])(?:[0-5]\d(?:[0-5]\d(?:\.\d{1,4})?)?)?(?P<zone>[+-]\d{4})?").fullmatch
_PRECISION = {4: "year", 6: "month", 8: "day", 10: "hour", 12: "minute", 14: "second"}
_MODERN = re.compile(r"(?:18|19|20)\d{2}(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])").match
_LENGTHS = frozenset({8, 12, 14})


def kind_of(value: str, datatype: str, coded: bool = False) -> str:
    """Return the kind of a value in words, e.g. `whole number`, `time to the minute, with zone`."""
    if value == '""':
        return DELETE
    if coded:
        return "code"
    if datatype in DATES:
        return _date(value, datatype)
    if _NUMBER(value):
        if datatype != "NM" and len(value) in _LENGTHS and value.isdigit() and _MODERN(value):
            return _date(value, "DTM")
        return "whole number" if value.lstrip("+-").isdigit() else "decimal number"
    if not datatype and _MODERN(value) and (found := _TIME(value)) and found["time"]:
        return _date(value, "DTM")
    return "text of several lines" if "\n" in value or "\r" in value else "text"


def _date(value: str, datatype: str) -> str:
    if datatype == "TM":
        found = _CLOCK(value)
        return "not a time" if found is None else "time of day" + (", with zone" if found["zone"] else "")
    found = _TIME(value)
    if found is None:
        return "not a date"
    zone = ", with zone" if found["zone"] else ""
    if found["fraction"]:
        return f"time to the fraction of a second{zone}"
    digits = len(found["date"]) + len(found["time"] or "")
    return f"{'time' if digits > 8 else 'date'} to the {_PRECISION[digits]}{zone}"


def offset_of(value: str) -> str:
    """Return the offset that a time carries, `+0100`; `none` for a time without one, "" for no time."""
    found = _TIME(value)
    if found is None or not found["time"]:
        return ""
    return found["zone"] or "none"


def bucket(length: int) -> int:
    """Return the length under which a length is counted: exact to 32, then in steps of an eighth."""
    if length <= 32:
        return length
    step = 1 << (length.bit_length() - 4)
    return -(-length // step) * step


def percentile(counts: Mapping[int, int], share: float) -> int:
    """Return the length that this share of the values does not exceed; 0 where there is none."""
    total = sum(counts.values())
    passed = 0
    for length in sorted(counts):
        passed += counts[length]
        if passed >= share * total:
            return length
    return 0
