"""FHIR that says two things of who somebody is: it waits, and no number becomes another patient's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fhir_gateway import MRN, Gateway, bundle, patient, pulse, transaction


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    made = Gateway(tmp_path)
    yield made
    made.hub.close()


def of(number: str) -> dict[str, Any]:
    return pulse(subject={"reference": f"Patient?identifier={MRN}|{number}"})


def test_a_condition_names_no_number_that_the_resource_has_not(gateway: Gateway) -> None:
    asked = transaction(("POST", "Patient", patient("9999")))
    asked["entry"][0]["request"]["ifNoneExist"] = f"identifier={MRN}|4711"
    for body in (asked, transaction(("PUT", f"Patient?identifier={MRN}|4711", patient("9999")))):
        done = gateway.take(body, "partner")
        assert (done.status, done.cause) == ("parked", "address-differs")
    assert gateway.take(of("4711"), "partner").status == "done"
    assert "reference" not in gateway.one("Observation")["subject"], "9999 is somebody else"


def test_a_condition_names_one_of_several(gateway: Gateway) -> None:
    several = patient("4711", id="7")
    several["identifier"].append({"system": "urn:oid:2.999.4", "value": "x"})
    asked = transaction(("POST", "Patient", several))
    asked["entry"][0]["request"]["ifNoneExist"] = "identifier=urn:oid:2.999.4|x"
    assert gateway.take(asked, "partner").status == "done"


@pytest.mark.parametrize("authority", ["", "authority: demographics\n"])
def test_an_id_that_is_given_to_another_patient_makes_their_number_nobody_elses(
    tmp_path: Path, authority: str
) -> None:
    gateway = Gateway(tmp_path, authority)
    try:
        gateway.take(transaction(("PUT", "Patient/7", patient("1001", id="7"))), "partner")
        again = transaction(("PUT", "Patient/7", patient("1001", id="7", gender="female")))
        assert gateway.take(again, "partner").status == "done"
        other = gateway.take(transaction(("PUT", "Patient/7", patient("1002", id="7"))), "partner")
        assert (other.status, other.cause) == ("parked", "patient-mismatch")
        gateway.take(of("1002"), "partner")
        assert "reference" not in gateway.one("Observation")["subject"]
        assert gateway.one("Patient")["identifier"][0]["value"] == "1001"
    finally:
        gateway.hub.close()


def test_a_second_number_of_another_system_is_no_other_patient(gateway: Gateway) -> None:
    gateway.take(transaction(("PUT", "Patient/7", patient("1001", id="7"))), "partner")
    known = patient("1001", id="8")
    assert gateway.take(transaction(("PUT", "Patient/8", known)), "partner").status == "done"
    gateway.take(bundle(pulse(subject={"reference": "Patient/8"})), "partner")
    assert gateway.one("Observation")["subject"]["reference"] == f"Patient/{gateway.one('Patient')['id']}"


@pytest.mark.parametrize(("number", "status"), [("2001", "done"), ("1003", "parked")])
def test_a_reference_and_the_identifier_beside_it_name_one_patient(
    gateway: Gateway, number: str, status: str
) -> None:
    body = bundle(patient("2001"), pulse())
    address = body["entry"][0]["fullUrl"] = "urn:uuid:11111111-1111-4111-8111-111111111111"
    said = {"reference": address, "identifier": {"system": MRN, "value": number}}
    body["entry"][1]["resource"]["subject"] = said
    done = gateway.take(body, "partner")
    assert (done.status, done.cause) == (status, "mixed-patients" if status == "parked" else "")


def test_a_patient_by_an_id_of_the_hub_that_nobody_has_is_told(gateway: Gateway) -> None:
    gateway.take(patient("4711"), "partner")
    gateway.take(of("4711"), "partner")
    there, result = gateway.one("Patient")["id"], gateway.one("Observation")["id"]
    for nobody in ("00000000-0000-8000-8000-000000000000", result):
        at = {"effectiveDateTime": "2026-05-02"}
        done = gateway.take(pulse(subject={"reference": f"Patient/{nobody}"}, **at), "partner")
        assert (done.status, done.cause) == ("parked", "reference-not-found")
    done = gateway.take(pulse(subject={"reference": f"Patient/{there}"}, **at), "partner")
    assert done.status == "done"


def test_a_system_that_is_no_text_is_invalid_and_no_fault_of_ours(gateway: Gateway) -> None:
    code = {"coding": [{"system": ["http://loinc.org"], "code": "8867-4"}]}
    done = gateway.take(bundle(pulse(code=code)))
    assert (done.status, done.cause) == ("parked", "invalid")
