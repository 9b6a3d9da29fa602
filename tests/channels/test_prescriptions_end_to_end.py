"""A prescription's life in a real store: a cancel, a change and a fill act on the right one, or on none."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from pharmacy import RECORD, Pharmacy, flags_of, numbers


@pytest.fixture
def pharmacy(tmp_path: Path) -> Iterator[Pharmacy]:
    made = Pharmacy(tmp_path)
    yield made
    made.hub.close()


def test_a_cancel_withdraws_the_prescription_with_that_number_and_no_other(pharmacy: Pharmacy) -> None:
    assert pharmacy.take("newrx").status == "done"
    other = {"ORD-5501": "ORD-7701", "M-101": "M-701"}  # same patient, same drug, another prescription
    assert pharmacy.take("newrx", other).status == "done"
    colleague = {
        "1234567893001": "1999999999001",
        "1234567893<": "1992999999<",
        "M-101": "M-702",
        "H-40271": "H-9",
    }
    assert pharmacy.take("newrx", colleague).status == "done"  # the same number of another prescriber
    before = pharmacy.all("MedicationRequest")
    done = pharmacy.take("cancelrx")
    assert done.status == "done" and not any(work for _, work in flags_of(done))
    after = pharmacy.all("MedicationRequest")
    assert sorted(b["status"] for b in after) == ["active", "active", "cancelled"]
    (withdrawn,) = [b for b in after if b["status"] == "cancelled"]
    assert {(i["system"], i["value"]) for i in withdrawn["identifier"]} == {
        ("urn:hub:script:prescriber:1234567893001", "ORD-5501")
    }
    was = next(b for b in before if b["id"] == withdrawn["id"])
    assert {k: v for k, v in withdrawn.items() if k not in ("status", "meta")} == {
        k: v for k, v in was.items() if k not in ("status", "meta")
    }


def test_a_cancel_that_finds_no_prescription_is_work_and_touches_none(pharmacy: Pharmacy) -> None:
    pharmacy.take("newrx")
    done = pharmacy.take("cancelrx", {"ORD-5501": "ORD-9999"})
    assert ("nothing-to-change", True) in flags_of(done)
    assert pharmacy.rx("ORD-5501")["status"] == "active" and pharmacy.rx("ORD-9999")["status"] == "cancelled"


def test_a_prescription_that_comes_after_its_cancel_stays_cancelled(pharmacy: Pharmacy) -> None:
    later = {"2026-03-02T09:15:00-05:00": "2026-03-02T10:15:00-05:00"}
    assert ("nothing-to-change", True) in flags_of(pharmacy.take("cancelrx", later))
    pharmacy.take("newrx")
    assert pharmacy.rx("ORD-5501")["status"] == "cancelled"


def test_what_a_pharmacy_quotes_changes_nothing_and_adds_its_number(pharmacy: Pharmacy) -> None:
    pharmacy.take("newrx")
    before = pharmacy.rx("ORD-5501")
    quoted = {"metformin 500 MG Oral Tablet": "metformin XR 500 MG Tablet", "twice a day": "four times a day"}
    assert pharmacy.take("rxfill_partial", quoted).status == "done"
    after = pharmacy.rx("ORD-5501")
    assert numbers(after) == {"ORD-5501", "RX-88"}
    same = set(before) - {"identifier", "meta"}
    assert {k: after[k] for k in same} == {k: before[k] for k in same}
    (fill,) = pharmacy.all("MedicationDispense")
    assert fill["authorizingPrescription"][0]["reference"] == f"MedicationRequest/{before['id']}"
    assert fill["quantity"]["value"] == 30
    by_its_own_number = {"<PrescriberOrderNumber>ORD-5501</PrescriberOrderNumber>": "", "M-142": "M-143"}
    assert pharmacy.take("rxfill_not_dispensed", by_its_own_number).status == "done"
    assert len(pharmacy.all("MedicationRequest")) == 1


def test_a_patient_without_a_number_is_the_prescriptions(pharmacy: Pharmacy) -> None:
    pharmacy.take("newrx")
    for name in ("rxfill_partial", "rxrenewal_request", "cancelrx"):
        assert pharmacy.take(name, {RECORD: ""}).status == "done"
    (patient,) = pharmacy.all("Patient")
    assert [i["value"] for i in patient["identifier"]] == ["H-40271"]
    assert pharmacy.rx("ORD-5501")["status"] == "cancelled"
    wrong = pharmacy.take("rxfill_dispensed", {RECORD: "", "<Date>1961-04-12": "<Date>1988-08-08"})
    assert wrong.status == "parked"  # the number is the prescription's, the birth date is not its patient's


def test_another_patient_under_the_same_number_waits_for_a_person(pharmacy: Pharmacy) -> None:
    pharmacy.take("newrx")
    done = pharmacy.take("cancelrx", {"H-40271": "H-5", "Wren": "Robin", "1961-04-12": "1970-01-01"})
    assert done.status == "parked"
    assert pharmacy.rx("ORD-5501")["status"] == "active"


def test_a_change_and_a_renewal_from_request_to_answer(pharmacy: Pharmacy) -> None:
    pharmacy.take("newrx")
    first = pharmacy.rx("ORD-5501")
    for name in ("rxchange_request", "rxrenewal_request"):
        done = pharmacy.take(name)
        assert done.status == "done" and not any(work for _, work in flags_of(done))
    proposals = [b for b in pharmacy.all("MedicationRequest") if b["intent"] == "proposal"]
    assert len(proposals) == 2 and {b["status"] for b in proposals} == {"draft"}
    assert pharmacy.take("rxchange_response_denied").status == "done"
    assert pharmacy.take("rxrenewal_response_approved").status == "done"
    tasks = {t["identifier"][0]["value"]: t["status"] for t in pharmacy.all("Task")}
    assert tasks == {"M-101": "requested", "M-120": "rejected", "M-130": "completed"}
    renewed = pharmacy.rx("ORD-5601")
    assert renewed["status"] == "active" and renewed["id"] != first["id"]
    assert pharmacy.rx("ORD-5501")["status"] == "active"


def test_an_approved_change_that_keeps_its_number_changes_that_prescription(pharmacy: Pharmacy) -> None:
    pharmacy.take("newrx")
    pharmacy.take("rxchange_response_approved")
    (changed,) = pharmacy.all("MedicationRequest")
    assert changed["medicationReference"]["display"] == "metformin 850 MG Oral Tablet"
    assert (changed["status"], changed["authoredOn"]) == ("active", "2026-03-03")


def test_answers_reach_the_task_of_what_they_answer(pharmacy: Pharmacy) -> None:
    pharmacy.take("newrx")
    assert pharmacy.take("status").status == "done"
    (task,) = pharmacy.all("Task")
    assert (task["status"], task["businessStatus"]) == ("requested", {"text": "Status 010"})
    assert not any(work for _, work in flags_of(pharmacy.take("error")))
    (task,) = pharmacy.all("Task")
    assert (task["status"], task["statusReason"]["text"]) == ("failed", "Date of birth is missing")
    unknown = pharmacy.take("error", {"M-101": "M-404", "M-151": "M-951"})
    assert ("nothing-to-change", True) in flags_of(unknown)
