"""What is sound at a glance is sound for the validator; what is known is looked at again once it changed."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from engine.fhir import compiler, glance
from engine.fhir.validate import sound_elements, validate

OBSERVATION: dict[str, Any] = {
    "resourceType": "Observation",
    "identifier": [{"system": "urn:x", "value": "7"}],
    "status": "final",
    "category": [{"coding": [{"system": "urn:c", "code": "laboratory", "display": "Laboratory"}]}],
    "code": {"coding": [{"system": "http://loinc.org", "code": "2345-7"}], "text": "Glucose"},
    "subject": {"reference": "Patient/p1"},
    "effectiveDateTime": "2026-03-01T10:05:00-06:00",
    "valueQuantity": {"value": Decimal("5.4"), "unit": "mg/dL"},
    "extension": [{"url": "urn:e", "valueString": "x"}],
    "referenceRange": [{"low": {"value": 4}, "text": "4-6"}],
}
WRONG: list[Any] = [None, "", " ", [], {}, True, 7, "x y", {"reference": "Medication/m"}, [None], [{}]]


def _places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        yield (*path, key)
        yield from _places(part, (*path, key))


def _with(path: tuple[Any, ...], value: Any) -> dict[str, Any]:
    out = copy.deepcopy(OBSERVATION)
    at: Any = out
    for step in path[:-1]:
        at = at[step]
    at[path[-1]] = value
    return out


def test_a_plain_resource_is_sound_at_a_glance_the_second_time_too() -> None:
    assert glance.sound(OBSERVATION, {}) and glance.sound(OBSERVATION, {})


@pytest.mark.parametrize("path", list(_places(OBSERVATION)), ids=str)
def test_it_never_says_sound_of_what_the_validator_refuses(path: tuple[Any, ...]) -> None:
    for value in WRONG:
        body = _with(path, value)
        if glance.sound(body, {}):
            assert compiler.resource(body) is None


@pytest.mark.parametrize(
    "extra",
    [
        {"valueString": "two values"},
        {"unknown": "element"},
        {"dataAbsentReason": {"text": "a value is there"}},
        {"component": [{"code": {"coding": [{"system": "http://loinc.org", "code": "2345-7"}]}}]},
        {"_status": {}},
    ],
    ids=lambda e: next(iter(e)),
)
def test_what_depends_on_several_elements_is_left_to_the_validator(extra: dict[str, Any]) -> None:
    assert glance.sound(OBSERVATION, {})
    assert validate({**OBSERVATION, **extra})


def test_a_missing_element_is_seen_after_many_sound_ones() -> None:
    assert glance.sound(OBSERVATION, {})
    body = {k: v for k, v in OBSERVATION.items() if k != "status"}
    assert [p.path for p in validate(body)] == ["Observation.status"]


def test_known_elements_are_those_without_a_problem() -> None:
    known = dict(
        sound_elements("Observation", {"code": OBSERVATION["code"], "subject": {"reference": "Medication/m"}})
    )
    assert known == {"code": OBSERVATION["code"]}


def test_a_known_element_that_was_changed_is_validated_again() -> None:
    known = {"code": copy.deepcopy(OBSERVATION["code"])}
    body = copy.deepcopy(OBSERVATION)
    assert not validate(body, known)
    body["code"]["text"] = ""
    assert [p.path for p in validate(body, known)] == ["Observation.code.text"]
