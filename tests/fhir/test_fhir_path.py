"""Paths: what analysts write in channel tests, and every search parameter of the standard."""

from __future__ import annotations

from decimal import Decimal
from random import Random
from typing import Any

import pytest
from fhir_maker import Maker
from fhir_samples import UUID, Json, bundle, observation, patient, put

from engine.fhir import definitions
from engine.fhir.definitions import UnknownPath
from engine.fhir.path import compile_path, read

_REASON = {"url": "urn:example:reason", "valueCode": "unknown"}
BUNDLE: Json = bundle(
    put(
        patient(
            name=[
                {"use": "official", "family": "Testperson", "given": ["Anna", "B"]},
                {"use": "nickname", "given": ["Annie"]},
            ],
            _birthDate={"extension": [_REASON]},
            deceasedBoolean=False,
        )
    ),
    {
        "fullUrl": UUID[:-1] + "0",
        "resource": observation(subject={"reference": UUID}),
        "request": {"method": "POST", "url": "Observation"},
    },
    {
        "fullUrl": UUID[:-1] + "1",
        "resource": observation(
            id="c-2",
            subject={"reference": "Patient/p-1"},
            status="preliminary",
            valueQuantity=...,
            valueString="haemolysed",
            performer=[{"reference": "#doc"}],
            contained=[{"resourceType": "Practitioner", "id": "doc", "name": [{"family": "Sample"}]}],
        ),
        "request": {"method": "POST", "url": "Observation"},
    },
)


@pytest.mark.parametrize(
    ("path", "values"),
    [
        ("Patient.name.family", ["Testperson"]),
        ("Patient.name.given", ["Anna", "B", "Annie"]),
        ("Patient.name[1].given", ["Annie"]),
        ("Patient.name(1).given", ["Annie"]),
        ("Patient.name.where(use = 'nickname').given", ["Annie"]),
        ("Patient.identifier.where(type.coding.code='MR').value", ["100234"]),
        ("Patient.identifier.where(type.coding.code='XX').value", []),
        ("Observation.count()", [2]),
        ("Encounter.count()", [0]),
        ("Observation.code.coding.where(system='http://loinc.org').code", ["2823-3", "2823-3"]),
        ("Observation.code.coding(0).code", ["2823-3", "2823-3"]),
        ("Observation.code.coding[0].code", ["2823-3"]),
        ("Observation.where(value.comparator = '<').count()", [0]),
        ("Observation.value", [{"value": Decimal("4.10"), "unit": "mmol/L", "system": "http://unitsofmeasure.org",
                                "code": "mmol/L"}, "haemolysed"]),
        ("Observation.value.value", [Decimal("4.10")]),
        ("Observation.valueQuantity.value", [Decimal("4.10")]),
        ("Observation.value.ofType(string)", ["haemolysed"]),
        ("(Observation.value as Quantity).unit", ["mmol/L"]),
        ("Observation.value.as(System.String)", ["haemolysed"]),
        ("Observation.effective", ["2026-05-01T14:05:00-05:00"] * 2),
        ("Observation.where(status = 'preliminary').value", ["haemolysed"]),
        ("Observation.where(value is Quantity and status = 'final').id", ["k-1"]),
        ("Observation.where(value.value > 4).id", ["k-1"]),
        ("Observation.where(value.value <= 4.1).id", ["k-1"]),
        ("Observation.where(status in ('final' | 'amended')).id", ["k-1"]),
        ("Observation.subject.resolve().name.family", ["Testperson", "Testperson"]),
        ("Observation.subject.where(resolve() is Patient).reference", [UUID, "Patient/p-1"]),
        ("Observation.performer.resolve().name.family", ["Sample"]),
        ("Patient.birthDate.extension.value", ["unknown"]),
        ("Patient.birthDate.extension('urn:example:reason').value", ["unknown"]),
        ("Patient.birthDate.hasValue()", [True]),
        ("Patient.deceased", [False]),
        ("Patient.deceased.exists()", [True]),
        ("Patient.deceased.exists() and Patient.deceased != false", [False]),
        ("Patient.deceased.not()", [True]),
        ("Patient.photo.empty()", [True]),
        ("Patient.name.family.first()", ["Testperson"]),
        ("Patient.name.given.last()", ["Annie"]),
        ("Patient.name.given.skip(1).take(1)", ["B"]),
        ("Patient.name[0].given.join(' ')", ["Anna B"]),
        ("Patient.name.exists(family.startsWith('Test'))", [True]),
        ("Patient.name.all(given.exists())", [True]),
        ("Patient.name.given.where($this.contains('nn'))", ["Anna", "Annie"]),
        ("Patient.name.given | Patient.name.given", ["Anna", "B", "Annie"]),
        ("Observation.code.coding.code.distinct()", ["2823-3"]),
        ("Patient.resourceType", ["Patient"]),
        ("Bundle.entry.count()", [3]),
        ("Bundle.entry[0].resource.gender", ["female"]),
        ("Bundle.entry.resource.ofType(Patient).gender", ["female"]),
        ("Bundle.type", ["transaction"]),
        ("entry.request.method", ["PUT", "POST", "POST"]),
        ("Patient.name.`given`", ["Anna", "B", "Annie"]),
        ("Resource.id.count()", [0]),
    ],
)  # fmt: skip
def test_paths(path: str, values: list[Any]) -> None:
    assert read(BUNDLE, path) == values


def test_a_resource_and_a_list_can_be_read_too() -> None:
    assert read(patient(), "Patient.gender") == ["female"]
    assert read(patient(), "gender") == ["female"]
    assert read([patient(), observation()], "Observation.status") == ["final"]
    assert read(observation(), "Patient.gender") == []
    assert read([], "Patient.gender") == []


@pytest.mark.parametrize(
    "path",
    [
        "Patient.nmae",
        "Patient.name.surname",
        "Observation.values",
        "Patient.name.shout()",
        "Patient.name.where()",
        "Patient.name.where(",
        "Patient..name",
        "Patient.name[x]",
        "Patient.name = ",
        "'open",
        "",
        "Observation.value is Quantitee",
        "Patient.name;drop",
        "Patient.name.ofType(1)",
    ],
)
def test_what_cannot_be_read_says_so(path: str) -> None:
    with pytest.raises(UnknownPath):
        read(BUNDLE, path)


def test_a_reference_somewhere_else_still_has_its_type() -> None:
    for reference in ("https://ehr.example/fhir/Patient/9", "Patient/9", "Patient?identifier=x"):
        there = observation(subject={"reference": reference})
        assert read(there, "Observation.subject.where(resolve() is Patient).exists()") == [True]
        assert read(there, "Observation.subject.resolve().gender") == []


@pytest.mark.parametrize("kind", sorted(definitions.resource_types()))
def test_every_search_parameter_can_be_read(kind: str) -> None:
    made = Maker(Random(kind), 0.7, depth=3).resource(kind)
    found = 0
    for parameter in definitions.search_parameters(kind).values():
        found += len(compile_path(parameter.expression).read(made))
    assert found or len(definitions.search_parameters(kind)) <= 8
