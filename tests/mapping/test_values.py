"""Numbers, structured numerics, ranges, documents: what becomes a FHIR value and what stays a word."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mapping_maker import message_of, shipped

from engine.mapping.convert import unkeyed
from engine.mapping.run import Run
from engine.mapping.values import BUILTIN, decimal_of


def value(name: str, text: str) -> tuple[Any, int]:
    """(value, number of failures) of one raw v2 value."""
    x = Run(message_of("PID|1"), shipped().program().sender("urn:test"), {}, {}, unkeyed)
    return BUILTIN[name](text.split("^"), x), x.fails


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("4.10", "4.10"),
        ("+7", "7"),
        ("-0.5", "-0.5"),
        (".5", "0.5"),
        ("5.", "5"),
        ("007", "7"),
        ("1e3", None),
    ],
)
def test_numbers_keep_their_digits(text: str, found: str | None) -> None:
    n = decimal_of(text)
    assert (None if n is None else str(n)) == found


@pytest.mark.parametrize(
    "text", ["", " ", "1,000", "1 000", "0x10", "NaN", "Infinity", "--5", "1.2.3", "٣", "5-"]
)
def test_what_is_no_number(text: str) -> None:
    assert decimal_of(text) is None


@given(st.decimals(allow_nan=False, allow_infinity=False, places=3, min_value=-(10**9), max_value=10**9))
def test_a_number_comes_out_as_it_went_in(n: Decimal) -> None:
    assert str(decimal_of(f"{n:f}")) == f"{n:f}"


@pytest.mark.parametrize(
    ("name", "text", "found"),
    [
        ("NM_Quantity", "4.10", {"value": Decimal("4.10")}),
        ("NM_Quantity", "<0.2", {"value": Decimal("0.2"), "comparator": "<"}),
        ("NM_Quantity", "> 10", {"value": 10, "comparator": ">"}),
        ("NM_Quantity", "=>3", {"value": 3, "comparator": ">="}),
        ("NM_Quantity", "=3", {"value": 3}),
        ("NM_Quantity", "1:40", None),
        ("NM_Quantity", "5^6", None),
        ("SN_Quantity", "<^0.2", {"value": Decimal("0.2"), "comparator": "<"}),
        ("SN_Quantity", "=^7", {"value": 7}),
        ("SN_Quantity", "<>^7", None),
        ("SN_Quantity", "^7^+", None),
        ("SN_Quantity", "^", None),
        ("SN_Range", "^1^-^10", {"low": {"value": 1}, "high": {"value": 10}}),
        ("SN_Range", "<^1^-^10", None),
        (
            "SN_Ratio",
            "^1^:^128",
            {"numerator": {"value": 1}, "denominator": {"value": 128}},
        ),
        ("SN_Ratio", "^1^:^x", None),
        ("NR_Range", "3.5^5.10", {"low": {"value": Decimal("3.5")}, "high": {"value": Decimal("5.10")}}),
        ("NR_Range", "^5", {"high": {"value": 5}}),
        ("NR_Range", "a^5", None),
    ],
)
def test_structured_numbers(name: str, text: str, found: Any) -> None:
    got, fails = value(name, text)
    assert got == found and str(got) == str(found)
    assert bool(fails) is (found is None and bool(text.strip("^")))


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("3.5-5.1", {"low": {"value": Decimal("3.5")}, "high": {"value": Decimal("5.1")}}),
        ("3.50 - 5.10", {"low": {"value": Decimal("3.50")}, "high": {"value": Decimal("5.10")}}),
        ("<5", None),
        ("negative", None),
        ("5.1-3.5", None),
        ("3.5-5.1 mg", None),
    ],
)
def test_a_reference_range_is_read_or_stays_text(text: str, found: Any) -> None:
    assert value("ST_ReferenceRange", text) == (found, 0)


@pytest.mark.parametrize(
    ("text", "data", "url", "fails"),
    [
        ("^application^pdf^Base64^JVBERi0=", "JVBERi0=", None, 0),
        ("^application^pdf^Hex^255044462d", "JVBERi0=", None, 0),
        ("^text^plain^A^hello", "aGVsbG8=", None, 0),
        ("^application^pdf^Base64^***", None, None, 1),
        ("^application^pdf^Hex^xyz", None, None, 1),
    ],
)
def test_documents_are_checked_and_never_text(
    text: str, data: str | None, url: str | None, fails: int
) -> None:
    got, failed = value("ED_Attachment", text)
    assert (got or {}).get("data") == data
    assert failed == fails


def test_a_pointer_is_a_url() -> None:
    got, _ = value("RP_Attachment", "https://pacs.example/1^PACS^application^pdf")
    assert got["url"] == "https://pacs.example/1" and "data" not in got
