"""FHIR in a real store: who is who, what is told again, what a device measured and what a laboratory did."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fhir_gateway import BASE, DEVICE, MRN, Gateway, bundle, patient, pulse, sample, transaction
from hub_project import HERE

from engine.channels.ordering import ordering_keys
from engine.channels.posting import posted_by
from engine.channels.replay import ask_replay
from engine.listeners.mail import mail_of


@pytest.fixture
def gateway(tmp_path: Path) -> Iterator[Gateway]:
    made = Gateway(tmp_path)
    yield made
    made.hub.close()


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    """One of which nothing is ever stored."""
    made = Gateway(tmp_path_factory.mktemp("gateway"))
    yield made
    made.hub.close()


@pytest.fixture
def deleting(tmp_path: Path) -> Iterator[Gateway]:
    shipped = (HERE / "channels/wearables.yaml").read_text()
    assert 'patients: "urn:oid:2.999.3.1"}' in shipped
    made = Gateway(tmp_path)
    for name in ("wearables", "partner"):
        path = tmp_path / f"channels/{name}.yaml"
        words = 'patients: "urn:oid:2.999.3.1", deletes: entered in error}'
        path.write_text(path.read_text().replace('patients: "urn:oid:2.999.3.1"}', words))
    made.hub.close()
    made.hub = type(made.hub).open(tmp_path)
    yield made
    made.hub.close()


def test_a_measurement_is_linked_when_its_patient_comes_and_to_nobody_else(gateway: Gateway) -> None:
    assert gateway.take(pulse()).status == "done"
    waiting = gateway.one("Observation")
    assert "reference" not in waiting["subject"]
    gateway.take(patient("4712"), "partner")
    assert "reference" not in gateway.one("Observation")["subject"]
    gateway.take(patient(), "partner")
    (mine,) = [p for p in gateway.all("Patient") if p["identifier"][0]["value"] == "4711"]
    assert gateway.one("Observation")["subject"]["reference"] == f"Patient/{mine['id']}"


def test_the_same_measurement_is_one_a_correction_its_next_version(gateway: Gateway) -> None:
    gateway.take(bundle(patient(), pulse(64)))
    assert gateway.take(bundle(patient(), pulse(64), kind="batch") | {"type": "collection"}).status == "done"
    gateway.take(bundle(patient(), pulse(66, status="corrected")))
    found = gateway.one("Observation")
    assert found["valueQuantity"]["value"] == 66 and found["status"] == "corrected"
    gateway.take(bundle(patient(), pulse(70, effectiveDateTime="2026-05-01T12:55:00-05:00")))
    assert len(gateway.all("Observation")) == 2


def test_a_result_and_a_measurement_of_one_number_are_two(gateway: Gateway) -> None:
    number = {"identifier": [{"system": "https://lab.example/results", "value": "R1"}], "id": "same"}
    gateway.take(bundle(patient(), pulse(64, **number)), "partner")
    gateway.take(bundle(patient(), pulse(99, **number)), "wearables")
    lab, measured = sorted(gateway.all("Observation"), key=lambda o: float(o["valueQuantity"]["value"]))
    assert (lab["valueQuantity"]["value"], measured["valueQuantity"]["value"]) == (64, 99)
    assert not any(i["system"].endswith(DEVICE) for i in lab["identifier"])
    assert measured["identifier"][0]["system"].endswith(DEVICE)
    assert measured["category"][0]["coding"][0]["code"] == "vital-signs" and "category" not in lab


def test_the_sample_transaction_makes_what_it_says(gateway: Gateway) -> None:
    done = gateway.take(sample("monitor_transaction"))
    assert (done.status, done.written) == ("done", 4)
    who, device = gateway.one("Patient"), gateway.one("Device")
    assert {"system": f"{BASE}/Device", "value": "mon-12"} in device["identifier"]
    for one in gateway.all("Observation"):
        assert one["subject"]["reference"] == f"Patient/{who['id']}"
        assert one["device"]["reference"] == f"Device/{device['id']}"
    again = gateway.take(sample("monitor_transaction") | {"id": "another-body"})
    assert (again.status, again.written) == ("done", 0)


def test_references_of_a_later_body_find_what_an_earlier_one_brought_by_the_senders_id(
    gateway: Gateway,
) -> None:
    gateway.take(transaction(("PUT", "Patient/p1", patient() | {"id": "p1"})), "partner")
    gateway.take(pulse(subject={"reference": "Patient/p1"}))
    gateway.take(pulse(subject={"reference": f"{BASE}/Patient/p1"}, effectiveDateTime="2026-05-02"))
    gateway.take(
        pulse(subject={"reference": "https://other.example/Patient/p1"}, effectiveDateTime="2026-05-03")
    )
    who = gateway.one("Patient")
    found = {o["effectiveDateTime"]: o["subject"].get("reference") for o in gateway.all("Observation")}
    mine = f"Patient/{who['id']}"
    assert found == {"2026-05-01T11:55:00-05:00": mine, "2026-05-02": mine, "2026-05-03": None}


def test_an_update_tells_a_result_whole_and_an_older_one_changes_nothing(gateway: Gateway) -> None:
    def put(at: str, value: float, **more: Any) -> dict[str, Any]:
        body = pulse(value, id="o1", meta={"lastUpdated": at, "versionId": "7"}, **more)
        return transaction(("PUT", "Observation/o1", body))

    note = {"note": [{"text": "after exercise"}]}
    gateway.take(bundle(patient()), "partner")
    gateway.take(put("2026-05-01T12:00:00Z", 90, **note), "partner")
    gateway.take(put("2026-05-01T13:00:00Z", 91), "partner")
    assert "note" not in gateway.one("Observation")
    gateway.take(put("2026-05-01T12:30:00Z", 95, **note), "partner")
    found = gateway.one("Observation")
    assert found["valueQuantity"]["value"] == 91 and "note" not in found


def test_a_patient_is_made_and_never_changed_without_authority(gateway: Gateway) -> None:
    gateway.take(patient(birthDate="1961-02-14"), "partner")
    gateway.take(patient(gender="female", birthDate="1961-02-14"), "partner")
    assert "gender" not in gateway.one("Patient")
    other = gateway.take(bundle(patient(birthDate="1999-01-01"), pulse()), "partner")
    assert (other.status, other.cause) == ("parked", "patient-mismatch")
    assert gateway.all("Observation") == []


def test_entered_in_error_stays_so_in_the_store(gateway: Gateway) -> None:
    gateway.take(bundle(patient(), pulse(id="o1")))
    gateway.take(bundle(patient(), pulse(id="o1", status="entered-in-error")))
    assert gateway.one("Observation")["status"] == "entered-in-error"


def test_a_delete_marks_where_the_channel_allows_it(deleting: Gateway) -> None:
    deleting.take(transaction(("PUT", "Observation/o1", pulse(id="o1"))), "partner")
    done = deleting.take(transaction(("DELETE", "Observation/o1", None)), "partner")
    assert done.status == "done"
    found = deleting.one("Observation")
    assert found["status"] == "entered-in-error" and found["valueQuantity"]["value"] == 64
    unknown = deleting.take(transaction(("DELETE", "Observation/o2", None)), "partner")
    assert [f.code for f in unknown.flags] == ["not-known"] and len(deleting.all("Observation")) == 1
    device = deleting.take(transaction(("DELETE", "Organization/o", None)), "partner")
    assert (device.status, device.cause) == ("parked", "delete-not-followed")


def test_a_measurement_is_deleted_by_the_channel_of_devices(deleting: Gateway) -> None:
    deleting.take(transaction(("PUT", "Observation/o1", pulse(id="o1"))))
    deleting.take(transaction(("DELETE", "Observation/o1", None)))
    assert deleting.one("Observation")["status"] == "entered-in-error"


def test_a_replay_writes_nothing_anew_and_shows_the_same_lineage(gateway: Gateway) -> None:
    gateway.take(sample("monitor_transaction"))
    before = {o["id"]: o["meta"]["versionId"] for o in gateway.all("Observation")}
    again = ask_replay(gateway.hub.journal, 1, "anna", "to see that it is the same").id
    gateway.hub.work()
    done = gateway.hub.store.outcome(again)
    assert done is not None and (done.status, done.written) == ("done", 0)
    assert {o["id"]: o["meta"]["versionId"] for o in gateway.all("Observation")} == before


@pytest.mark.parametrize(
    ("body", "cause", "where"),
    [
        (bundle(pulse(subject={"reference": "urn:uuid:nobody"})), "reference-not-found", "subject.reference"),
        (bundle(pulse(subject={"reference": "Patient?name=Okafor"})), "condition-not-followed", "reference"),
        (bundle(pulse(subject={"reference": "Person-of-ours/1"})), "reference-not-found", "reference"),
        (pulse(status="gone"), "invalid", "Observation.status"),
        (pulse(implicitRules="https://a.example"), "implicit-rules", "Observation.implicitRules"),
        ({"resourceType": "Patient", "name": [{"family": "Nemo"}]}, "no-patient-key", "Patient"),
        (bundle(pulse(id="a"), pulse(70, id="a")), "duplicate-key", "Bundle.entry[1].resource"),
        (transaction(("PUT", "Observation/b", pulse(id="a"))), "address-differs", "entry[0].request.url"),
        (transaction(("PATCH", "Observation/b", pulse())), "refused", ""),
        (transaction(("GET", "Observation/b", None)), "refused", ""),
    ],
)
def test_what_cannot_be_followed_waits_with_its_place(
    shared: Gateway, body: dict[str, Any], cause: str, where: str
) -> None:
    done = shared.take(body, "partner")
    assert (done.status, done.cause) == ("parked", cause), done
    assert where in done.where
    assert shared.all("Observation") == [] == shared.all("Patient")


def test_it_is_found_by_the_patients_number_name_and_birth_date(gateway: Gateway) -> None:
    gateway.take(sample("monitor_transaction"))
    for kind, value in (
        ("patient", "4711"),
        ("name", "okafor"),
        ("birth", "19610214"),
        ("control", "mon-12"),
    ):
        assert list(gateway.hub.store.find(kind, value, 10)) == [1], kind
    lanes = gateway.hub.journal.get(1)
    assert lanes is not None and lanes.message_type == "fhir transaction"


def test_units_and_codes_that_nobody_knows_are_on_the_lists(gateway: Gateway) -> None:
    odd = pulse(
        code={
            "coding": [{"system": "urn:iso:std:iso:11073:10101", "code": "1", "display": "MDC_OF_THE_MAKER"}]
        },
        valueQuantity={"value": 3, "unit": "x", "system": "http://unitsofmeasure.org", "code": "beats"},
    )
    done = gateway.take(bundle(patient(), odd))
    assert {f.code for f in done.flags} == {"unmapped-code", "not-a-unit"}
    quantity = gateway.one("Observation")["valueQuantity"]
    assert quantity["unit"] == "x" and "code" not in quantity and "system" not in quantity
    assert quantity["extension"][0]["valueCoding"]["code"] == "beats"


def test_mrn_of_the_channel_decides_who_a_patient_is(gateway: Gateway) -> None:
    two = patient("4711")
    two["identifier"].insert(0, {"system": "https://wear.example/users", "value": "u-1"})
    gateway.take(bundle(two, pulse()))
    who = gateway.one("Patient")
    assert gateway.one("Observation")["subject"]["reference"] == f"Patient/{who['id']}"
    assert MRN in {i["system"] for i in who["identifier"]}


def test_a_provided_document_is_one_and_supersedes_what_it_replaces(gateway: Gateway) -> None:
    gateway.take(patient(), "partner")
    assert gateway.take(sample("mhd_provide"), "partner").status == "done"
    again = gateway.take(sample("mhd_provide") | {"id": "sent-again"}, "partner")
    assert again.status == "done"
    first = gateway.one("DocumentReference")
    assert first["status"] == "current" and first["subject"]["reference"].startswith("Patient/")
    (listed,) = gateway.all("List")
    assert listed["entry"][0]["item"]["reference"] == f"DocumentReference/{first['id']}"
    newer = sample("mhd_provide")
    newer["entry"][0]["resource"]["identifier"][0]["value"] = "urn:oid:2.999.1.9.79"
    reference = newer["entry"][1]["resource"]
    old = reference["masterIdentifier"]
    reference["masterIdentifier"] = {**old, "value": "urn:oid:2.999.1.9.80"}
    reference["relatesTo"] = [{"code": "replaces", "target": {"identifier": old}}]
    gateway.take(newer, "partner")
    found = {d["masterIdentifier"]["value"][-2:]: d["status"] for d in gateway.all("DocumentReference")}
    assert found == {"78": "superseded", "80": "current"}
    gateway.take(sample("mhd_provide") | {"id": "late"}, "partner")
    assert (
        next(d for d in gateway.all("DocumentReference") if d["id"] == first["id"])["status"] == "superseded"
    )


def test_one_value_an_interval_is_kept_where_the_channel_says_so(tmp_path: Path) -> None:
    made = Gateway(tmp_path)
    path = tmp_path / "channels/wearables.yaml"
    path.write_text(path.read_text() + "downsample:\n  - {loinc: 8867-4, every: 15 minutes}\n")
    made.hub.close()
    made.hub = type(made.hub).open(tmp_path)
    for minute in range(0, 40, 5):
        at = {"effectiveDateTime": f"2026-05-01T12:{minute:02}:00Z", "device": {"reference": "Device/w"}}
        made.take(bundle(patient(), pulse(60 + minute, **at)))
    assert sorted(float(o["valueQuantity"]["value"]) for o in made.all("Observation")) == [60, 75, 90]
    made.hub.close()


def test_an_edited_body_keeps_the_order_of_its_patient(gateway: Gateway) -> None:
    body = sample("monitor_transaction")
    gateway.take(body)
    channel = next(c for c in gateway.hub.channels if c.name == "wearables")
    mail = mail_of(json.dumps(body).encode(), posted_by(channel), "x")
    assert ordering_keys(channel, BASE, mail.entries[0].body) == mail.entries[0].order_keys


def test_an_id_that_its_sender_gave_to_somebody_else_waits(gateway: Gateway) -> None:
    first = patient("4711") | {"id": "p1"}
    gateway.take(transaction(("PUT", "Patient/p1", first)), "partner")
    assert (
        gateway.take(transaction(("PUT", "Patient/p1", first | {"gender": "female"})), "partner").status
        == "done"
    )
    other = patient("4712") | {"id": "p1"}
    done = gateway.take(bundle(other, pulse(subject={"reference": "Patient/p1"})), "partner")
    assert (done.status, done.cause) == ("parked", "patient-mismatch")
    assert len(gateway.all("Patient")) == 1 and gateway.all("Observation") == []


def test_a_known_patient_is_found_by_the_senders_id_from_then_on(gateway: Gateway) -> None:
    gateway.take(patient("4711"), "partner")
    gateway.take(transaction(("PUT", "Patient/p1", patient("4711") | {"id": "p1"})), "partner")
    gateway.take(pulse(subject={"reference": "Patient/p1"}))
    assert gateway.one("Observation")["subject"]["reference"] == f"Patient/{gateway.one('Patient')['id']}"
