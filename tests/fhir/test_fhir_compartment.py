"""Whose a resource is: by its subject; by who is named in it only where it has none."""

from __future__ import annotations

from typing import Any

import pytest

from engine.fhir.compartment import OWNERS, belongs
from engine.fhir.definitions import resource_types


def ref(target: str) -> dict[str, str]:
    return {"reference": target}


@pytest.mark.parametrize(
    "resource,theirs",
    [
        ({"resourceType": "Patient", "id": "a"}, True),
        ({"resourceType": "Patient", "id": "b", "link": [{"other": ref("Patient/a")}]}, False),
        ({"resourceType": "Observation", "subject": ref("Patient/a")}, True),
        ({"resourceType": "Observation", "subject": ref("Patient/a/_history/2")}, True),
        ({"resourceType": "Observation", "subject": ref("Patient/ab")}, False),
        (
            {"resourceType": "Observation", "subject": ref("Patient/b"), "performer": [ref("Patient/a")]},
            False,
        ),
        ({"resourceType": "Observation", "performer": [ref("Patient/a")]}, True),
        ({"resourceType": "Observation", "subject": ref("Device/a")}, False),
        ({"resourceType": "Observation"}, False),
        (
            {"resourceType": "Coverage", "beneficiary": ref("Patient/b"), "subscriber": ref("Patient/a")},
            False,
        ),
        ({"resourceType": "Coverage", "beneficiary": ref("Patient/a"), "subscriber": ref("Patient/b")}, True),
        ({"resourceType": "Appointment", "participant": [{"actor": ref("Patient/a")}]}, True),
        (
            {
                "resourceType": "Appointment",
                "participant": [{"actor": ref("Patient/a")}, {"actor": ref("Patient/b")}],
            },
            False,
        ),
        ({"resourceType": "RelatedPerson", "patient": ref("Patient/a")}, True),
        ({"resourceType": "Task", "for": ref("Patient/a"), "focus": ref("ServiceRequest/x")}, True),
        ({"resourceType": "Practitioner", "id": "a"}, False),
        ({"resourceType": "Location", "managingOrganization": ref("Patient/a")}, False),
        ({"resourceType": "Observation", "subject": {"identifier": {"value": "1"}}}, False),
        ({}, False),
    ],
)
def test_whose_it_is(resource: dict[str, Any], theirs: bool) -> None:
    assert belongs(resource, "a") is theirs


def test_the_types_are_types() -> None:
    assert set(OWNERS) <= resource_types()
