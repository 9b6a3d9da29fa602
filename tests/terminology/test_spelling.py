"""Codes that senders write in more than one way, and those that nobody may guess."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.terminology.spelling import eleven, spelled

NDC, CM, CVX = (f"http://hl7.org/fhir/sid/{name}" for name in ("ndc", "icd-10-cm", "cvx"))


@pytest.mark.parametrize(
    ("system", "code", "written"),
    [
        (NDC, "0002-3456-07", "00002345607"),
        (NDC, "1234567890", "1234567890"),
        (CM, "E119", "E11.9"),
        (CM, "S52501A", "S52.501A"),
        (CM, "E11.9", "E11.9"),
        (CM, "E11", "E11"),
        (CM, "e119", "e119"),
        (CM, "250.00", "250.00"),
        (CVX, "8", "08"),
        (CVX, "08", "08"),
        (CVX, "", ""),
        (CVX, "x", "x"),
        ("http://loinc.org", "8", "8"),
    ],
)
def test_spelled(system: str, code: str, written: str) -> None:
    assert spelled(system, code) == written


@given(st.sampled_from([NDC, CM, CVX, "urn:x:other"]), st.text(max_size=14))
def test_what_is_spelled_stays_so(system: str, code: str) -> None:
    assert spelled(system, spelled(system, code)) == spelled(system, code)


@pytest.mark.parametrize(
    ("ndc", "full"),
    [
        ("0002-3456-07", "00002345607"),
        ("50242-040-62", "50242004062"),
        ("60575-4112-1", "60575411201"),
        ("12345-6789-01", "12345678901"),
        (" 12345678901 ", "12345678901"),
        ("1234567890", None),
        ("123-4567-89", None),
        ("0002-3456-0", None),
        ("١٢٣٤٥٦٧٨٩٠١", None),
        ("", None),
    ],
)
def test_ndc_in_eleven_digits(ndc: str, full: str | None) -> None:
    assert eleven(ndc) == full


@given(
    st.integers(0, 99999),
    st.integers(0, 9999),
    st.integers(0, 99),
    st.sampled_from(["4-4-2", "5-3-2", "5-4-1"]),
)
def test_no_form_of_an_ndc_changes_what_it_means(labeler: int, product: int, package: int, form: str) -> None:
    a, b, c = (int(n) for n in form.split("-"))
    labeler, product, package = labeler % 10**a, product % 10**b, package % 10**c
    written = f"{labeler:0{a}d}-{product:0{b}d}-{package:0{c}d}"
    assert eleven(written) == f"{labeler:05d}{product:04d}{package:02d}"
