"""The word of an event, by type and by state; what stands in it and what does not."""

from __future__ import annotations

import json
import re
from decimal import Decimal
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from engine.channels.delivering.events import (
    _BY_TYPE,
    _OF_APPOINTMENTS,
    _OF_PATIENTS,
    event_body,
    event_of,
    happened,
)
from engine.kernel.message import Entry, Outcome

ROOT = Path(__file__).parents[2]
SCHEMA: dict[str, Any] = json.loads((ROOT / "docs/analysts/events.schema.json").read_text())
VALID = jsonschema_rs.Draft202012Validator(SCHEMA, validate_formats=True)
AT = 1_777_777_777_123


def entry(message_type: str) -> Entry:
    return Entry(
        *(5214, "lab_oru", b"MSH|", AT, "LAKESIDE", "10.0.0.1", "C-MRN7788990", message_type, "", "message"),
        *((3,), None, 5214, "", None),
    )


def one(type: str, status: str = "", version: str = "1", **more: Any) -> dict[str, Any]:
    made = {"resourceType": type, "id": f"{type.lower()}-{version}", "meta": {"versionId": version}}
    return {**made, **({"status": status} if status else {}), **more}


def report(status: str) -> dict[str, Any]:
    return one("DiagnosticReport", status)


def value(status: str) -> dict[str, Any]:
    return one("Observation", status)


@pytest.mark.parametrize(
    ("message", "resources", "word"),
    [
        ("ORU^R01", [report("final"), value("final")], "result.final"),
        ("ORU^R01^ORU_R01", [report("preliminary"), value("final")], "result.preliminary"),
        ("ORU^R01", [report("partial")], "result.preliminary"),
        ("ORU^R01", [report("final"), report("preliminary")], "result.final"),
        ("ORU^R01", [report("corrected")], "result.corrected"),
        ("ORU^R01", [report("amended"), report("final")], "result.corrected"),
        ("ORU^R01", [report("final"), value("corrected")], "result.corrected"),
        ("ORU^R01", [report("final"), value("entered-in-error")], "result.corrected"),
        ("ORU^R01", [report("cancelled"), value("cancelled")], "result.cancelled"),
        ("ORU^R01", [report("entered-in-error"), value("entered-in-error")], "result.cancelled"),
        ("OUL^R22", [value("final")], "result.final"),
        ("ORU^R01", [report("unknown")], "result.received"),
        ("ORU^R01", [one("Patient")], "result.received"),
        ("ADT^A01", [one("Patient")], "patient.admitted"),
        ("ADT^A40^ADT_A39", [one("Patient")], "patient.merged"),
        ("ADT^A20", [one("Location")], "bed.changed"),
        ("ADT^A99", [one("Patient")], "patient.changed"),
        ("OML^O21", [one("ServiceRequest", "active")], "order.placed"),
        ("OML^O21", [one("ServiceRequest", "active", "2")], "order.changed"),
        ("ORM^O01", [one("ServiceRequest", "revoked", "2")], "order.cancelled"),
        ("ORM^O01", [one("ServiceRequest", "on-hold", "2")], "order.held"),
        ("RDE^O11", [one("MedicationRequest", "completed", "2")], "order.completed"),
        ("ORL^O22", [one("ServiceRequest", "active", "2")], "order.answered"),
        ("SIU^S12", [one("Appointment", "booked")], "appointment.booked"),
        ("SIU^S14", [one("Appointment", "booked")], "appointment.changed"),
        ("cda 34133-9", [one("DocumentReference")], "document.received"),
        ("x12 837P", [one("Claim")], "claim.received"),
        ("ncpdp NewRx", [one("MedicationRequest")], "prescription.received"),
        ("ZZZ^Z01", [one("Basic")], "message.done"),
        ("", [one("Basic")], "message.done"),
    ],
)
def test_words(message: str, resources: list[dict[str, Any]], word: str) -> None:
    event = event_of(entry(message), resources)
    assert event["type"] == word
    VALID.validate(event)


def test_every_word_is_in_the_schema_and_on_the_page() -> None:
    words = {f"patient.{w}" for w in _OF_PATIENTS.values()} | set(_BY_TYPE.values())
    words |= {f"appointment.{w}" for w in _OF_APPOINTMENTS.values()}
    known = set(SCHEMA["properties"]["type"]["enum"])
    assert words <= known
    page = (ROOT / "docs/analysts/events.md").read_text()
    assert set(re.findall(r"`([a-z]+\.[a-z-]+)`", page)) - {"data.content"} <= known


def test_the_example_of_the_page_is_one() -> None:
    (block,) = re.findall(r"```json\n(.*?)```", (ROOT / "docs/analysts/events.md").read_text(), re.S)
    VALID.validate(json.loads(block))


def test_what_stands_in_it() -> None:
    coded = {
        "coding": [
            {"system": "http://loinc.org", "code": "2823-3", "display": "Potassium of Zzyzxson"},
            {"system": "urn:lab", "code": "K Zzyzxson Qwertina"},
            {"code": "local"},
        ],
        "text": "Potassium of Zzyzxson",
    }
    patient = one("Patient", name=[{"family": "Zzyzxson"}], identifier=[{"value": "MRN7788990"}])
    seen = one(
        "Observation",
        "final",
        "3",
        code=coded,
        subject={"reference": "Patient/patient-1", "display": "Zzyzxson"},
        valueString="Zzyzxson",
    )
    condition = one("Condition", code={"coding": [{"system": "http://snomed.info/sct", "code": "86406008"}]})
    outcome = Outcome(5214, "done", at=AT + 877)
    event = event_of(entry("ORU^R01"), [patient, seen, condition], outcome, gone=["Observation/o9"])
    VALID.validate(event)
    assert event["time"].endswith(":38.000Z") and event["data"]["received"].endswith(":37.123Z")
    assert event["data"]["patients"] == ["Patient/patient-1"]
    assert event["data"]["resources"] == [
        {"type": "Patient", "id": "patient-1", "version": "1"},
        {
            "type": "Observation",
            "id": "observation-3",
            "version": "3",
            "status": "final",
            "codes": [{"system": "http://loinc.org", "code": "2823-3"}],
        },
        {"type": "Condition", "id": "condition-1", "version": "1"},
    ]
    assert event["data"]["deleted"] == ["Observation/o9"]
    said = json.dumps(event)
    assert "Zzyzxson" not in said and "MRN7788990" not in said and "86406008" not in said


def test_content_only_where_it_is_asked_for() -> None:
    seen = one("Observation", "final", valueQuantity={"value": Decimal("4.10")})
    assert "content" not in json.loads(event_body(entry("ORU^R01"), [seen]))["data"]
    body = event_body(entry("ORU^R01"), [seen], with_content=True)
    assert happened(body) == "result.final"
    assert b"4.10" in body  # with the digits it has
    assert json.loads(body)["data"]["content"][0]["id"] == seen["id"]
    VALID.validate(json.loads(body))
    assert body == event_body(entry("ORU^R01"), [seen], with_content=True)
