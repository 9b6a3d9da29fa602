"""The primitive types of FHIR R4 as conditions that the generated validators carry in line.

In: the name of a primitive type. Out: a Python expression over `v` that is true when `v` is not such a
value, and the words for the person who must mend it. Follows R4 datatypes.html (regular expressions,
ranges) with real calendar dates: 2023-02-30 fits the published expression and is refused here. Fast answers
come first, regular expressions only where a cheap test cannot decide.
"""

from __future__ import annotations

import binascii
import re
from datetime import date
from decimal import Decimal
from math import isfinite
from typing import Any

__all__ = ["CONDITIONS", "NAMES", "TEXTS", "is_oid", "is_uuid", "same_or_earlier"]

_YEAR = "(?!0000)[0-9]{4}"
_DAY_28 = "(?:0[1-9]|1[0-9]|2[0-8])"
_LEAP = "(?:[0-9]{2}(?:0[48]|[2468][048]|[13579][26])|(?:[02468][048]|[13579][26])00)"
_MONTH = "(?:0[1-9]|1[0-2])"
_DATE = (
    f"(?:{_YEAR}-(?:{_MONTH}-{_DAY_28}|(?:0[13-9]|1[0-2])-(?:29|30)|(?:0[13578]|1[02])-31)"
    f"|(?!0000){_LEAP}-02-29)"
)
_TIME = r"(?:[01][0-9]|2[0-3]):[0-5][0-9]:(?:[0-5][0-9]|60)(?:\.[0-9]+)?"
_ZONE = "(?:Z|[+-](?:(?:0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_BROKEN = "\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff"  # not XML 1.0 characters, or half of a character

_date = re.compile(f"{_DATE}|{_YEAR}-{_MONTH}|{_YEAR}").fullmatch
_instant = re.compile(f"{_DATE}T{_TIME}{_ZONE}").fullmatch
_date_time = re.compile(f"{_DATE}(?:T{_TIME}{_ZONE})?|{_YEAR}-{_MONTH}|{_YEAR}").fullmatch
_time = re.compile(_TIME).fullmatch
_id = re.compile(r"[A-Za-z0-9\-.]{1,64}").fullmatch
_code = re.compile(rf"[^\s{_BROKEN}]+(?:\s[^\s{_BROKEN}]+)*", re.ASCII).fullmatch
_uri = re.compile(rf"[^\s{_BROKEN}]+", re.ASCII).fullmatch
is_oid = re.compile(r"urn:oid:[0-2](?:\.(?:0|[1-9][0-9]*))+").fullmatch
is_uuid = re.compile(r"urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}").fullmatch
_mime = re.compile(r"[\w!#$&^.+-]+/[\w!#$&^.+*-]+(?:\s*;.*)?", re.ASCII | re.DOTALL).fullmatch
_currency = re.compile("[A-Z]{3}").fullmatch
_broken = re.compile(f"[{_BROKEN}]").search
_SPACES = {ord(c): None for c in " \t\r\n"}


def _bad_base64(value: str) -> bool:
    try:
        binascii.a2b_base64(value, strict_mode=True)
        return False
    except ValueError:
        packed = value.translate(_SPACES)
    if not packed or len(packed) == len(value):
        return True
    try:
        binascii.a2b_base64(packed, strict_mode=True)
    except ValueError:
        return True
    return False


NAMES: dict[str, Any] = {
    "Decimal": Decimal,
    "isfinite": isfinite,
    "NUMBERS": frozenset({int, float, Decimal}),
    "is_broken": _broken,
    "is_date": _date,
    "is_instant": _instant,
    "is_date_time": _date_time,
    "is_time": _time,
    "is_id": _id,
    "is_code": _code,
    "is_uri": _uri,
    "is_oid": is_oid,
    "is_uuid": is_uuid,
    "is_mime": _mime,
    "is_currency": _currency,
    "bad_base64": _bad_base64,
}
"""What the conditions refer to; part of the name space of generated code."""

_STRING = (
    "type(v) is not str or not v or v.isspace() or len(v) > 1048576 or (not v.isprintable() and is_broken(v))"
)
_TOKEN = "type(v) is not str or not v or ((' ' in v or not v.isprintable()) and not {}(v))"

CONDITIONS: dict[str, str] = {
    "base64Binary": "type(v) is not str or not v or bad_base64(v)",
    "boolean": "v is not True and v is not False",
    "canonical": _TOKEN.format("is_uri"),
    "code": _TOKEN.format("is_code"),
    "date": "type(v) is not str or not is_date(v)",
    "dateTime": "type(v) is not str or not is_date_time(v)",
    "decimal": (
        "(t := type(v)) not in NUMBERS or (t is Decimal and not v.is_finite())"
        " or (t is float and not isfinite(v))"
    ),
    "id": "type(v) is not str or not is_id(v)",
    "instant": "type(v) is not str or not is_instant(v)",
    "integer": "type(v) is not int or not -2147483648 <= v <= 2147483647",
    "markdown": _STRING,
    "oid": "type(v) is not str or not is_oid(v)",
    "positiveInt": "type(v) is not int or not 0 < v <= 2147483647",
    "string": _STRING,
    "time": "type(v) is not str or not is_time(v)",
    "unsignedInt": "type(v) is not int or not 0 <= v <= 2147483647",
    "uri": _TOKEN.format("is_uri"),
    "url": _TOKEN.format("is_uri"),
    "uuid": "type(v) is not str or not is_uuid(v)",
    "xhtml": "type(v) is not str or not v",
    "mime": "type(v) is not str or not is_mime(v)",
    "currency": "type(v) is not str or not is_currency(v)",
}
"""True when `v` is not a value of the type. `mime` and `currency` are codes of registries that cannot be
shipped."""

TEXTS: dict[str, tuple[str, str]] = {
    "base64Binary": ("value", "must be Base64 text"),
    "boolean": ("type", "must be true or false"),
    "canonical": ("value", "must be a URI without spaces"),
    "code": ("value", "must be a code: text without leading, trailing or double spaces"),
    "date": ("date", "must be a real calendar date: YYYY, YYYY-MM or YYYY-MM-DD"),
    "dateTime": (
        "date",
        "must be a real date, and with a time also seconds and a zone: YYYY-MM-DDThh:mm:ss+zz:zz",
    ),
    "decimal": ("type", "must be a finite number"),
    "id": ("id", "must be 1 to 64 letters, digits, `-` or `.`"),
    "instant": ("date", "must be a real date with time to the second and a zone: YYYY-MM-DDThh:mm:ss+zz:zz"),
    "integer": ("type", "must be a whole number of 32 bits"),
    "markdown": ("value", "must be text that is not blank, of at most 1 MB, without control characters"),
    "oid": ("value", "must be urn:oid: and an OID"),
    "positiveInt": ("type", "must be a whole number from 1"),
    "string": ("value", "must be text that is not blank, of at most 1 MB, without control characters"),
    "time": ("date", "must be a time of day: hh:mm:ss"),
    "unsignedInt": ("type", "must be a whole number from 0"),
    "uri": ("value", "must be a URI without spaces"),
    "url": ("value", "must be a URL without spaces"),
    "uuid": ("value", "must be urn:uuid: and a lower-case UUID"),
    "xhtml": ("value", "must be XHTML text"),
    "mime": ("code", "must be a MIME type such as application/pdf"),
    "currency": ("code", "must be a currency of ISO 4217: three capital letters"),
}
"""(problem code, what is asked) of each condition."""


def _minute(value: str) -> tuple[int, int, int]:
    """Turn a checked dateTime that has a time into (UTC minutes, seconds, nanoseconds)."""
    tail, zone = value[16:], 0
    if tail[-1] == "Z":
        tail = tail[:-1]
    else:
        zone = int(tail[-5:-3]) * 60 + int(tail[-2:])
        zone = -zone if tail[-6] == "-" else zone
        tail = tail[:-6]
    days = date.fromisoformat(value[:10]).toordinal()
    minutes = (days * 24 + int(value[11:13])) * 60 + int(value[14:16]) - zone
    whole, _, part = tail[1:].partition(".")
    return minutes, int(whole), int(part.ljust(9, "0")[:9])


def same_or_earlier(start: str, end: str) -> bool:
    """Say whether a start is not after an end, both checked; true where their precision leaves it open
    (per-1)."""
    if len(start) > 10 and len(end) > 10:
        return _minute(start) <= _minute(end)
    n = min(len(start), len(end), 10)
    if start[:n] <= end[:n] or n < 10 or len(start) == len(end) == 10:
        return start[:n] <= end[:n]
    # One has a zone and the other none: only days that no zone can reconcile count as out of order.
    return date.fromisoformat(start[:10]).toordinal() - date.fromisoformat(end[:10]).toordinal() <= 1
