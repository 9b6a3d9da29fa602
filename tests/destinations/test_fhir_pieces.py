"""What a parcel is cut into: order, circles, numbers to the last digit; what is told of an outcome."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from typing import Any

import pytest
from fhir_side import parcel
from hypothesis import example, given, settings
from hypothesis import strategies as st

from engine.destinations.fhir_addresses import Addresses
from engine.destinations.fhir_judging import told
from engine.destinations.fhir_pieces import groups, pieces
from engine.fhir import jsonio
from engine.kernel.delivery import Parcel

BOTH = [Addresses("https://f.example", "https://hub.example", ours) for ours in (True, False)]


@given(st.from_regex(r"-?(0|[1-9][0-9]{0,20})\.[0-9]{1,20}([eE][+-]?[0-9]{1,3})?", fullmatch=True))
@example("100.0")
@example("4.10")
@example("0.000000100")
@example("12345678901234567890.12345678901234567890")
@settings(deadline=None, max_examples=300)
def test_a_number_keeps_every_digit(number: str) -> None:
    body = b'{"resourceType":"Bundle","entry":[{"resource":{"resourceType":"Observation","id":"o",'
    body += b'"valueQuantity":{"value":%s}}}]}' % number.encode()
    (piece,) = pieces(Parcel("k", 1, "lab", body, "application/fhir+json"))
    for addresses in BOTH:
        text = jsonio.dumps(addresses.entry(piece, {piece.name}, {})).decode()
        found = re.search(r'"valueQuantity":\{"value":([^}]+)\}', text)
        assert found
        assert Decimal(found[1]).as_tuple() == Decimal(number).as_tuple()


NAMES = st.integers(0, 11)


@given(st.sets(st.tuples(NAMES, NAMES), max_size=30), st.integers(1, 12))
@settings(deadline=None, max_examples=300)
def test_what_is_referred_to_is_never_after_what_refers_to_it(links: set[tuple[int, int]], most: int) -> None:
    resources = [
        {
            "resourceType": "Observation",
            "id": f"o{n}",
            "hasMember": [{"reference": f"Observation/o{b}"} for a, b in sorted(links) if a == n],
        }
        for n in range(12)
    ]
    found = pieces(parcel(*resources))
    cut = groups(found, most)
    assert sorted(one.name for group in cut for one in group) == sorted(one.name for one in found)
    number = {one.name: i for i, group in enumerate(cut) for one in group}
    reach = {one.name: _reach(one.name, {p.name: p.refers for p in found}) for one in found}
    for one in found:
        assert all(number[other] <= number[one.name] for other in one.refers)
    for group in cut:  # longer than asked only for one circle
        assert len(group) <= most or all(a.name in reach[b.name] for a in group for b in group if a != b)


def _reach(start: str, refers: dict[str, frozenset[str]]) -> set[str]:
    seen, new = set(), set(refers[start])
    while new:
        seen |= new
        new = {other for name in new for other in refers[name]} - seen
    return seen


@pytest.mark.parametrize(
    "issue, said",
    [
        ({"code": "value", "expression": ["Patient.birthDate"]}, "value at Patient.birthDate"),
        ({"code": "value", "expression": ["Bundle.entry[3].resource"]}, "value at Bundle.entry[3].resource"),
        ({"code": "value", "expression": ["Patient.name[0].family"]}, "value at Patient.name[0].family"),
        (
            {"code": "value", "expression": ["Patient.name.where(family='Doe')", "Doe.John", "Patient.doe"]},
            "value",
        ),
        ({"code": "Doe", "expression": ["Patient.birthDate"]}, ""),
        ({"code": "value", "severity": "warning"}, ""),
        (
            {
                "code": "not-found",
                "details": {
                    "text": "Doe",
                    "coding": [
                        {
                            "system": "http://terminology.hl7.org/CodeSystem/operation-outcome",
                            "code": "MSG_NO_MATCH",
                        },
                        {"system": "urn:doe", "code": "MSG_DOE"},
                    ],
                },
            },
            "not-found MSG_NO_MATCH",
        ),
        ("Doe", ""),
    ],
)
def test_of_an_outcome_only_codes_and_elements_are_told(issue: Any, said: str) -> None:
    assert told({"issue": [issue]}) == said
    assert told(json.loads(json.dumps({"issue": [issue] * 5}))) == said  # the same again is not told again
