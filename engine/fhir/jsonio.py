"""JSON of FHIR R4 in and out, with every digit of every number kept (json.html: precision is meaningful).

In and out: bytes and plain Python values. A `decimal.Decimal` is written with the digits it has (4.10 stays
4.10) and numbers with a fraction or exponent are read as Decimal. What JSON cannot say (NaN, infinities) is
refused both ways, never turned into null.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal
from typing import Any

import msgspec
import orjson

from engine.kernel.errors import FormatError

__all__ = ["dumps", "dumps_pretty", "loads"]


_NULL = re.compile(rb"[\[:,\s]null[\],}\s]")
"""What may be the value null; words that hold it are many."""


def _number(value: Any) -> Any:
    if type(value) is Decimal:
        if value.is_finite():
            return orjson.Fragment(str(value).encode())
        raise FormatError("a number that is not finite cannot be written as JSON")
    raise FormatError(f"{type(value).__name__} cannot be written as JSON")


def _dumps(value: Any, option: int) -> bytes:
    try:
        out = orjson.dumps(value, _number, option)
    except orjson.JSONEncodeError as error:
        if isinstance(error.__cause__, FormatError):
            raise error.__cause__ from None
        raise FormatError("this value cannot be written as JSON", why=_reason(error)) from None
    if b"null" in out and _NULL.search(out):
        _refuse_nan(value)  # orjson writes the float NaN as null
    return out


def _reason(error: Exception) -> str:
    """Return the library's words only where they hold no part of the value."""
    text = str(error)
    return text if text.isascii() and len(text) < 80 else type(error).__name__


def _refuse_nan(value: Any) -> None:
    if type(value) is float:
        if not math.isfinite(value):
            raise FormatError("a number that is not finite cannot be written as JSON")
    elif isinstance(value, dict):
        for item in value.values():
            _refuse_nan(item)
    elif isinstance(value, (list, tuple)):
        for item in value:
            _refuse_nan(item)


def dumps(value: Any) -> bytes:
    """Write a value as compact UTF-8 JSON."""
    return _dumps(value, 0)


def dumps_pretty(value: Any) -> bytes:
    """Write a value as indented UTF-8 JSON with a newline at its end."""
    return _dumps(value, orjson.OPT_INDENT_2 | orjson.OPT_APPEND_NEWLINE)


_reader = msgspec.json.Decoder(float_hook=Decimal)


def loads(data: bytes | str) -> Any:
    """Read JSON, numbers with a fraction or exponent as Decimal; raise FormatError for what is not JSON."""
    try:
        return _reader.decode(data)
    except msgspec.DecodeError as error:
        raise FormatError("not JSON", why=str(error).removeprefix("JSON is malformed: ")) from None
    except UnicodeError:
        raise FormatError("not JSON", why="the bytes are not UTF-8") from None
    except RecursionError:
        raise FormatError("JSON that is nested too deeply") from None
