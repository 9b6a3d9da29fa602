"""Numbers keep their digits; what is not JSON is refused."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.fhir.jsonio import dumps, dumps_pretty, loads
from engine.kernel.errors import FormatError


@pytest.mark.parametrize(
    "digits", ["4.10", "100.0", "0.000", "-0.50", "1E+3", "1.5E-7", "123456789012345678.90"]
)
def test_digits_survive_the_round_trip(digits: str) -> None:
    written = dumps({"value": Decimal(digits)})
    assert written == b'{"value":' + digits.encode() + b"}"
    assert str(loads(written)["value"]) == digits


def test_integers_stay_integers() -> None:
    assert loads(b'{"a":4,"b":-0,"c":123456789012345678901234567890}') == {
        "a": 4,
        "b": 0,
        "c": 123456789012345678901234567890,
    }
    assert type(loads(b"4")) is int


def test_pretty_is_the_same_value_in_many_lines() -> None:
    value = {"a": [Decimal("4.10"), {"b": "ü"}]}
    written = dumps_pretty(value)
    assert b"\n  " in written and written.endswith(b"\n") and "ü".encode() in written
    assert loads(written) == value


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), Decimal("NaN"), Decimal("-Infinity"), Decimal("sNaN")]
)
def test_no_number_that_is_none_is_written(value: Any) -> None:
    with pytest.raises(FormatError):
        dumps({"a": [{"value": value}]})


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", {1: 2}, "\ud800", 2**70])
def test_what_json_cannot_say_is_refused(value: Any) -> None:
    with pytest.raises(FormatError):
        dumps({"a": value})


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"{",
        b"[1,]",
        b"NaN",
        b'{"a":Infinity}',
        b"01",
        b"1.",
        b'"\xff"',
        b"{}x",
        b"'a'",
        b"\x00",
        b"[" * 100_000,
    ],
)
def test_what_is_not_json_is_refused(text: bytes) -> None:
    with pytest.raises(FormatError):
        loads(text)


def test_no_error_holds_a_value() -> None:
    with pytest.raises(FormatError) as caught:
        loads(b'{"family": "Testperson", "x": }')
    assert "Testperson" not in str(caught.value)
    with pytest.raises(FormatError) as caught:
        dumps({"family": "Testperson", "x": object()})
    assert "Testperson" not in str(caught.value)


def test_null_in_a_list_is_no_reason_to_refuse() -> None:
    assert dumps({"given": [None, "null"], "x": 1.5}) == b'{"given":[null,"null"],"x":1.5}'


_VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner),
    max_leaves=15,
)


@given(_VALUES)
def test_whatever_is_written_is_read_back(value: Any) -> None:
    written = dumps(value)
    assert loads(written) == value
    json.loads(written)
