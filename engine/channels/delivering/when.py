"""Conditions of `deliver: when:`, asked of a whole HL7 v2 message: `OBR-24 = MB|PTH and PV1-2 not valued`.

In: a condition as maps write it, a parsed message. Out: whether it holds. Where a place stands several times
(OBR-24 of every order), one value that fits is enough; `!=` holds where no value is one of those named.
"""

from __future__ import annotations

import operator
from collections.abc import Callable

from engine.formats.hl7v2.locations import parse_location, read
from engine.formats.hl7v2.parse import Message
from engine.kernel.errors import FormatError, MapError
from engine.mapping.conditions import And, Cleared, Compare, Condition, Looks, Not, Or, Valued, parse

__all__ = ["holds", "read_condition"]

_ORDER: dict[str, Callable[[float, float], bool]] = {
    "<": operator.lt,
    ">": operator.gt,
    "<=": operator.le,
    ">=": operator.ge,
}
_REMEDY = "write e.g. OBR-24 = MB|PTH, PV1-2 valued, count(OBX) > 1, not OBX-11 = P"


def read_condition(text: str, where: str) -> Condition:
    """Read one condition. Raises MapError for what cannot be asked of a whole message."""
    condition = parse(text, where)
    _check(condition, text, where)
    return condition


def _check(condition: Condition, text: str, where: str) -> None:
    if isinstance(condition, And | Or):
        for part in condition.parts:
            _check(part, text, where)
    elif isinstance(condition, Not):
        _check(condition.inner, text, where)
    elif isinstance(condition, Valued | Cleared | Compare | Looks):
        if isinstance(condition, Looks) and condition.like != "number":
            raise MapError(f"{text!r}: looks like {condition.like} is not known", where=where, remedy=_REMEDY)
        try:
            place = parse_location(condition.location)
        except FormatError as e:
            raise MapError(f"{text!r}: {e.what}", where=where, remedy=e.remedy) from None
        if not place.segment:
            raise MapError(
                f"{text!r}: {condition.location} is no place in a message", where=where, remedy=_REMEDY
            )
    else:
        raise MapError(f"{text!r} cannot be asked of a whole message", where=where, remedy=_REMEDY)


def holds(condition: Condition, message: Message) -> bool:
    """Say whether a condition holds for a message."""
    if isinstance(condition, And):
        return all(holds(part, message) for part in condition.parts)
    if isinstance(condition, Or):
        return any(holds(part, message) for part in condition.parts)
    if isinstance(condition, Not):
        return not holds(condition.inner, message)
    assert isinstance(condition, Valued | Cleared | Compare | Looks)
    values = [found.value.strip() for found in read(message, parse_location(condition.location))]
    if isinstance(condition, Cleared):
        return '""' in values
    values = [value for value in values if value and value != '""']
    if isinstance(condition, Valued):
        return bool(values)
    if isinstance(condition, Looks):
        return any(_number(value) is not None for value in values)
    return _compares(condition, values)


def _compares(condition: Compare, values: list[str]) -> bool:
    if condition.function == "count":
        values = [str(len(values))]
    elif condition.function == "length":
        values = [str(len(value)) for value in values]
    wanted = condition.values
    if condition.op in ("=", "!="):
        there = any(value in wanted for value in values)
        return there if condition.op == "=" else not there
    compare = _ORDER[condition.op]
    limits = [limit for text in wanted if (limit := _number(text)) is not None]
    return any(
        compare(number, limit)
        for value in values
        if (number := _number(value)) is not None
        for limit in limits
    )


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None
