"""Numbers of CDA as plain records: PQ, IVL_PQ, RTO, MO, INT, REAL, BL.

In: an element. Out: `Quantity`, `Span`, `Ratio` with the digits as they were written (`4.10` stays `4.10`)
and no unit converted; what is no number is told, never rounded into one. Follows HL7 v3 Data Types R1.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import NamedTuple

from engine.formats.cda.elements import Element, attr, child, children, flag, null_flavor

__all__ = ["Quantity", "Ratio", "Span", "number", "read_quantity", "read_ratio", "read_span"]

_NUMBER = re.compile(r"^[+-]?(?:\d{1,40}(?:\.\d{0,40})?|\.\d{1,40})(?:[eE][+-]?\d{1,3})?$", re.ASCII)


class Quantity(NamedTuple):
    """A number with its unit; `value` is None where `text` is no number or there is none."""

    value: Decimal | None
    text: str = ""  # the digits as written
    unit: str = ""
    currency: str = ""
    null: str = ""
    translations: tuple[tuple[str, str, str], ...] = ()  # (value, code of the unit, its system's OID)
    problem: str = ""  # not-a-number | null-and-value


class Span(NamedTuple):
    """A range; a bound that is missing is open."""

    low: Quantity | None
    high: Quantity | None
    low_closed: bool = True
    high_closed: bool = True
    center: Quantity | None = None
    width: Quantity | None = None
    null: str = ""


class Ratio(NamedTuple):
    """One quantity to another."""

    numerator: Quantity | Span | None
    denominator: Quantity | Span | None
    null: str = ""


def number(text: str) -> Decimal | None:
    """Read a decimal number, all its digits; None for anything else (`<5`, `1,5`, `pos`)."""
    return Decimal(text) if _NUMBER.match(text) else None


def read_quantity(element: Element | None) -> Quantity | None:
    """Read a PQ, MO, INT or REAL; None where it is missing or says nothing."""
    if element is None:
        return None
    text, null = attr(element, "value"), null_flavor(element)
    if not text and not null:
        text = (element.text or "").strip()  # written as text by senders who do not know better
    if not text and not null and not attr(element, "unit"):
        return None
    value = None if null else number(text)
    return Quantity(
        value,
        text,
        attr(element, "unit"),
        attr(element, "currency"),
        null,
        tuple(
            (attr(t, "value"), attr(t, "code"), attr(t, "codeSystem"))
            for t in children(element, "translation")
        ),
        "null-and-value" if null and text else "not-a-number" if text and value is None else "",
    )


def read_span(element: Element | None) -> Span | None:
    """Read an IVL_PQ or IVL_INT; one number alone is both bounds."""
    if element is None:
        return None
    low, high = child(element, "low"), child(element, "high")
    one = read_quantity(element) if attr(element, "value") else None
    found = Span(
        one or read_quantity(low),
        one or read_quantity(high),
        flag(low, "inclusive") is not False,
        flag(high, "inclusive") is not False,
        read_quantity(child(element, "center")),
        read_quantity(child(element, "width")),
        null_flavor(element),
    )
    return found if any(part is not None for part in found[:2] + found[4:6]) or found.null else None


def read_ratio(element: Element | None) -> Ratio | None:
    """Read an RTO, RTO_PQ_PQ or RTO_QTY_QTY."""
    if element is None:
        return None
    parts = [_part(child(element, name)) for name in ("numerator", "denominator")]
    null = null_flavor(element)
    return Ratio(parts[0], parts[1], null) if parts[0] or parts[1] or null else None


def _part(element: Element | None) -> Quantity | Span | None:
    if child(element, "low") is not None or child(element, "high") is not None:
        return read_span(element)
    return read_quantity(element)
