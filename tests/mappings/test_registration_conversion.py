"""The sample registration messages through the real maps: what a hospital would look for in the result."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.cli.convert import convert_bytes
from engine.mapping.project import Maps

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_messages/adt"


@pytest.fixture(scope="module")
def maps() -> Maps:
    return Maps.open(ROOT)


def resources(maps: Maps, name: str) -> dict[str, list[dict[str, Any]]]:
    """The resources of one sample by type, with what they are called by under `_url`."""
    (result,) = convert_bytes((SAMPLES / f"adt_{name}.hl7").read_bytes(), maps)
    assert result.error is None
    assert result.report["errors"] == []
    out: dict[str, list[dict[str, Any]]] = {}
    for entry in (result.bundle or {}).get("entry", []):
        body = entry["resource"]
        out.setdefault(body["resourceType"], []).append({**body, "_url": entry["fullUrl"]})
    return out


def one(found: dict[str, list[dict[str, Any]]], kind: str) -> dict[str, Any]:
    (body,) = found[kind]
    return body


@pytest.mark.parametrize("path", sorted(SAMPLES.glob("*.hl7")), ids=lambda p: p.stem)
def test_sample_becomes_valid_resources(maps: Maps, path: Path) -> None:
    (result,) = convert_bytes(path.read_bytes(), maps)
    assert result.error is None
    assert result.report["errors"] == []


@pytest.mark.parametrize(
    "name, status, place",
    [
        ("a01_admit", "in-progress", "active"),
        ("a02_transfer", "in-progress", "active"),
        ("a03_discharge", "finished", "completed"),
        ("a05_preadmit", "planned", "planned"),
        ("a06_to_inpatient", "in-progress", "active"),
        ("a07_to_outpatient", "in-progress", "active"),
        ("a09_leaving", "in-progress", "active"),
        ("a11_cancel_admit", "cancelled", None),
        ("a12_cancel_transfer", "in-progress", "active"),
        ("a13_cancel_discharge", "in-progress", "active"),
        ("a14_pending_admit", "planned", "planned"),
        ("a38_cancel_preadmit", "cancelled", None),
    ],
)
def test_the_event_says_the_status_of_the_visit(
    maps: Maps, name: str, status: str, place: str | None
) -> None:
    visit = one(resources(maps, name), "Encounter")
    assert visit["status"] == status
    assert visit["location"][0].get("status") == place
    assert "_status" not in visit


def test_the_events_of_one_stay_are_one_encounter(maps: Maps) -> None:
    stay = (
        "a01_admit",
        "a02_transfer",
        "a03_discharge",
        "a08_deletes",
        "a11_cancel_admit",
        "a13_cancel_discharge",
    )
    assert len({one(resources(maps, n), "Encounter")["_url"] for n in stay}) == 1


def test_next_of_kin_are_the_same_people_in_every_event(maps: Maps) -> None:
    admitted = {r["_url"]: r["name"][0]["family"] for r in resources(maps, "a01_admit")["RelatedPerson"]}
    updated = {r["_url"] for r in resources(maps, "a08_deletes")["RelatedPerson"]}
    assert updated <= set(admitted)


def test_a_diagnosis_keeps_its_own_use_and_rank(maps: Maps) -> None:
    found = resources(maps, "a01_admit")
    by_url = {c["_url"]: c["code"]["coding"][0]["code"] for c in found["Condition"]}
    said = {
        by_url[d["condition"]["reference"]]: (d["use"]["coding"][-1]["code"], d["rank"])
        for d in one(found, "Encounter")["diagnosis"]
    }
    assert said == {"R07.9": ("A", 1), "I10": ("W", 2)}


def test_a_deleted_diagnosis_is_marked_and_not_dropped(maps: Maps) -> None:
    found = {c["code"]["coding"][0]["code"]: c for c in resources(maps, "a03_discharge")["Condition"]}
    assert found["R07.9"]["verificationStatus"]["coding"][0]["code"] == "entered-in-error"
    assert "verificationStatus" not in found["I20.0"]


def test_three_kin_one_of_them_an_office(maps: Maps) -> None:
    found = resources(maps, "a01_admit")
    contacts = one(found, "Patient")["contact"]
    kin = [r["relationship"][0]["coding"][0]["code"] for r in found["RelatedPerson"]]
    assert len(contacts) == 3
    assert "organization" in contacts[2]
    assert kin.count("MTH") == 1
    assert not any("E" in {c["code"] for c in r["relationship"][0]["coding"]} for r in found["RelatedPerson"])


def test_the_insured_is_the_patient_or_a_relative(maps: Maps) -> None:
    found = resources(maps, "a01_admit")
    patient = one(found, "Patient")["_url"]
    relatives = {r["_url"] for r in found["RelatedPerson"]}
    subscribers = [c["subscriber"]["reference"] for c in found["Coverage"]]
    assert subscribers[1] == patient or subscribers[0] == patient
    assert sum(s in relatives for s in subscribers) == 1
    assert all(c["beneficiary"]["reference"] == patient for c in found["Coverage"])


def test_severity_and_reaction_stay_and_none_known_is_a_code(maps: Maps) -> None:
    allergies = {
        a["code"]["coding"][0]["code"]: a for a in resources(maps, "a01_admit")["AllergyIntolerance"]
    }
    assert [m["text"] for m in allergies["7980"]["reaction"][0]["manifestation"]] == ["Hives", "Wheezing"]
    assert allergies["7980"]["reaction"][0]["severity"] == "severe"
    assert allergies["PNUT"]["reaction"][0]["severity"] == "moderate"
    none_known = one(resources(maps, "a08_deletes"), "AllergyIntolerance")
    assert none_known["code"]["coding"][0]["code"] == "716186003"
    assert "reaction" not in none_known


def test_each_merge_retires_its_own_number(maps: Maps) -> None:
    patients = {p["identifier"][0]["value"]: p for p in resources(maps, "a40_two_pairs")["Patient"]}
    for survivor, retired in (("1004217", "1009990"), ("1005531", "1009991")):
        assert patients[survivor]["link"] == [
            {"other": {"reference": patients[retired]["_url"]}, "type": "replaces"}
        ]
        assert patients[retired]["link"] == [
            {"other": {"reference": patients[survivor]["_url"]}, "type": "replaced-by"}
        ]
        assert patients[retired]["active"] is False
        assert "active" not in patients[survivor]


def test_a_number_is_never_merged_into_itself(maps: Maps) -> None:
    (result,) = convert_bytes((SAMPLES / "adt_a40_into_itself.hl7").read_bytes(), maps)
    assert not (result.bundle or {}).get("entry")
    assert [w["code"] for w in result.report["warnings"]] == ["refused"]


def test_names_of_other_alphabets_arrive(maps: Maps) -> None:
    assert one(resources(maps, "a31_latin1"), "Patient")["name"][0]["family"] == "Größ-Öztürk"
    assert one(resources(maps, "a08_latin2"), "Patient")["name"][0]["family"] == "Źdźbłowska"


def test_a_person_event_makes_no_visit(maps: Maps) -> None:
    found = resources(maps, "a28_three_numbers")
    assert "Encounter" not in found
    assert [i["value"] for i in one(found, "Patient")["identifier"]] == [
        "1006002",
        "SP-44-8812",
        "884-20-1190",
        "L77-102",
    ]


def test_no_hour_is_made_up_without_a_zone(maps: Maps) -> None:
    found = resources(maps, "a01_clock_change")
    assert one(found, "Encounter")["period"]["start"] == "2026-11-01"
    assert one(found, "Patient")["birthDate"] == "1979-03-14"
