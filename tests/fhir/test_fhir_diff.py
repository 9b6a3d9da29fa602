"""Differences in meaning: found where there are any, and none where only ids and order differ."""

from __future__ import annotations

import copy
from decimal import Decimal
from random import Random
from typing import Any

import pytest
from fhir_maker import Maker, damaged
from fhir_samples import Json, observation, patient
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.fhir.diff import Difference, diff, equal


def _bundle(names: str = "abcdef", **change: Any) -> Json:
    """Make a patient, two specimens that look alike, and three results linked to them, under these ids."""
    p, s, t, x, y, z = (f"urn:uuid:{n}" for n in names)
    subject = {"reference": p}

    def entry(url: str, resource: Json) -> Json:
        id = url.removeprefix("urn:uuid:")
        kind = resource["resourceType"]
        return {
            "fullUrl": url,
            "resource": resource | {"id": id},
            "request": {"method": "PUT", "url": f"{kind}/{id}"},
        }

    specimen = {"resourceType": "Specimen", "subject": subject, "type": {"text": "blood"}}
    sodium = {"text": "Sodium"}
    return {
        "resourceType": "Bundle",
        "type": "transaction",
        "entry": [
            entry(p, patient()),
            entry(s, dict(specimen)),
            entry(t, dict(specimen)),
            entry(x, observation(subject=subject, specimen={"reference": s}) | change),
            entry(y, observation(subject=subject, specimen={"reference": t}, code=sodium, identifier=...)),
            entry(
                z,
                observation(
                    subject=subject, hasMember=[{"reference": x}, {"reference": y}], code={"text": "all"}
                ),
            ),
        ],
    }


def _shuffled(value: Any, random: Random, path: str = "") -> Any:
    if isinstance(value, dict):
        items = [(k, _shuffled(v, random, k)) for k, v in value.items()]
        random.shuffle(items)
        return dict(items)
    if isinstance(value, list):
        made = [_shuffled(v, random, path) for v in value]
        if path not in ("given", "line", "prefix", "suffix"):
            random.shuffle(made)
        return made
    return value


def test_ids_and_order_do_not_count() -> None:
    for seed in range(20):
        other = _shuffled(_bundle("uvwxyz"), Random(seed))
        assert diff(_bundle(), other) == []
        assert equal(other, _bundle())


def test_a_change_is_told_once_and_in_its_place() -> None:
    other = _shuffled(_bundle("uvwxyz", status="preliminary"), Random(1))
    assert [str(d) for d in diff(_bundle(), other)] == [
        'changed Observation[0].status: "final" -> "preliminary"'
    ]


def test_a_link_to_another_resource_is_a_change() -> None:
    other = _bundle("uvwxyz")
    both = [other["entry"][i]["resource"] for i in (3, 4)]
    both[0]["specimen"], both[1]["specimen"] = both[1]["specimen"], both[0]["specimen"]
    assert equal(_bundle(), other)  # the specimens look alike: the same picture, mirrored
    other["entry"][1]["resource"]["type"] = {"text": "urine"}
    third = _bundle("uvwxyz")
    third["entry"][2]["resource"]["type"] = {"text": "urine"}
    assert equal(other, third)  # mirrored again
    third["entry"][3]["resource"]["specimen"] = third["entry"][4]["resource"]["specimen"]
    assert [d.path for d in diff(other, third)] == ["Observation[0].specimen.reference"]


def test_digits_count() -> None:
    other = observation()
    other["valueQuantity"]["value"] = Decimal("4.1")
    assert diff(observation(), other) == [
        Difference("Observation.valueQuantity.value", "changed", Decimal("4.10"), Decimal("4.1"))
    ]
    assert not equal({"resourceType": "Basic", "x": True}, {"resourceType": "Basic", "x": "True"})
    assert not equal({"resourceType": "Basic", "x": 1}, {"resourceType": "Basic", "x": "1"})


def test_entries_of_lists_meet_by_content() -> None:
    left = patient(telecom=[{"system": "phone", "value": "1"}, {"system": "email", "value": "a@x.example"}])
    right = patient(
        telecom=[
            {"system": "email", "value": "a@x.example", "use": "work"},
            {"system": "phone", "value": "1"},
        ]
    )
    assert [str(d) for d in diff(left, right)] == ['added Patient.telecom[1].use: "work"']
    right["telecom"].append({"system": "fax", "value": "2"})
    assert {(d.path, d.kind) for d in diff(left, right)} == {
        ("Patient.telecom[1].use", "added"),
        ("Patient.telecom[2]", "added"),
    }
    assert {d.kind for d in diff(right, left)} == {"removed"}


def test_the_order_of_given_names_counts() -> None:
    other = patient()
    other["name"][0]["given"].reverse()
    assert [d.path for d in diff(patient(), other)] == ["Patient.name[0].given"]


def test_whole_resources_come_and_go() -> None:
    other = _bundle("uvwxyz")
    del other["entry"][5]
    assert [(d.path, d.kind) for d in diff(_bundle(), other)] == [("Observation[2]", "removed")]
    assert [(d.path, d.kind) for d in diff(other, _bundle())] == [("Observation[2]", "added")]


def test_contained_resources_are_compared_by_content() -> None:
    def holding(id: str, name: str) -> Json:
        inside = {"resourceType": "Practitioner", "id": id, "name": [{"family": name}]}
        return observation(contained=[inside], performer=[{"reference": f"#{id}"}])

    assert equal(holding("a", "Sample"), holding("b", "Sample"))
    assert not equal(holding("a", "Sample"), holding("a", "Other"))


def test_the_request_counts_but_not_the_id_in_it() -> None:
    other = _bundle("uvwxyz")
    other["entry"][0]["request"] = {"method": "PUT", "url": "Patient?identifier=urn%3Ax%7C1"}
    assert [d.path for d in diff(_bundle(), other)] == ["Patient[0](entry).request.url"]
    other = _bundle() | {"type": "batch"}
    assert [d.path for d in diff(_bundle(), other)] == ["Bundle.type"]


def test_what_is_to_be_ignored_is() -> None:
    other = _bundle("uvwxyz", issued="2026-05-01T14:05:00Z", meta={"versionId": "7", "lastUpdated": "2026"})
    assert [d.path for d in diff(_bundle(), other)] == ["Observation[0].issued", "Observation[0].meta"]
    assert diff(_bundle(), other, ignore=["Observation.issued", "Observation.meta"]) == []


def test_a_bundle_is_no_resource() -> None:
    assert [d.path for d in diff(_bundle(), patient())] == ["resourceType"]
    assert diff(patient(), observation())[0].path == "Patient.resourceType"


@given(st.integers())
@settings(max_examples=120, deadline=None)
def test_equal_means_equal(seed: int) -> None:
    """Of any resource: equal to itself shuffled, and different from itself damaged."""
    random = Random(seed)
    kind = random.choice(["Observation", "Patient", "Encounter", "Bundle"])
    made = Maker(random, 0.4, depth=3).resource(kind)
    assert diff(made, _shuffled(copy.deepcopy(made), random)) == []
    if len(made) > 1:
        broken = damaged(made, random)
        told = diff(made, broken)
        assert bool(told) is (broken != made) or kind == "Bundle"
        for d in told:
            assert str(d)


@pytest.mark.parametrize("kind", ["added", "removed", "changed"])
def test_a_difference_reads_as_a_line(kind: str) -> None:
    text = str(Difference("Patient.gender", kind, "male", "female"))
    assert text.startswith(f"{kind} Patient.gender: ")
