"""Appointments, doses and documents over several messages: called off is called off, refused is not given."""

from __future__ import annotations

from dataclasses import replace

import pytest
from safety_hub import Hub, adt, merge, who

from engine.kernel.message import Outcome


@pytest.fixture(autouse=True)
def everything(hub: Hub) -> None:
    """Let the registration channel take every kind of message."""
    channel = hub.channels["adt"]
    assert channel.mllp is not None
    rules = channel.mllp.rules.model_copy(update={"accept": ()})
    hub.channels["adt"] = replace(channel, mllp=channel.mllp.model_copy(update={"rules": rules}))


def siu(event: str, control: str, sch: str, *more: str) -> str:
    head = rf"MSH|^~\&|SCHED|NORTH|HUB|CDR|20260501120000-0500||SIU^{event}^SIU_S12|{control}|P|2.5.1"
    return "\r".join((head, sch, who("77"), "RGS|1", *more)) + "\r"


def booked(numbers: str, times: str = "^^30^20260510090000-0500^20260510093000-0500") -> str:
    return f"SCH|{numbers}|||||||||{times}||||||||||||||Booked"


def test_an_appointment_known_by_one_number_is_found_by_the_other(hub: Hub) -> None:
    hub.adt(siu("S12", "A1", booked("A1^EHR|")))
    hub.adt(siu("S12", "A2", booked("A1^EHR|F1^SCHED")))
    hub.adt(siu("S15", "A3", "SCH||F1^SCHED"))
    assert [a["status"] for a in hub.all("Appointment")] == ["cancelled"]


def test_a_new_time_leaves_nothing_of_the_old_one(hub: Hub) -> None:
    hub.adt(siu("S12", "B1", booked("A1^EHR|F1^SCHED")))
    hub.adt(siu("S15", "B2", "SCH|A1^EHR|F1^SCHED||||ILL^Patient ill^L"))
    hub.adt(siu("S13", "B3", booked("A1^EHR|F1^SCHED", "^^30^20260511090000-0500")))
    (appointment,) = hub.all("Appointment")
    assert appointment["status"] == "booked"
    assert appointment["start"] == "2026-05-11T09:00:00-05:00"
    assert "end" not in appointment
    assert "cancelationReason" not in appointment


def vxu(control: str, rxa: str) -> str:
    head = rf"MSH|^~\&|EHR|NORTH|HUB|CDR|20260501120000-0500||VXU^V04^VXU_V04|{control}|P|2.5.1"
    return "\r".join((head, who("77"), "ORC|RE|4422^EHR|13696^EHR", rxa)) + "\r"


def test_refused_then_given_then_refused(hub: Hub) -> None:
    given = "RXA|0|1|20260501||03^MMR^CVX|0.5|mL^^UCUM||||||||C43||||{}CP|U"
    refused = "RXA|0|1|20260501||03^MMR^CVX|999||||||||||||00^Parental decision^NIP002||RE|{}"
    hub.adt(vxu("C1", refused.format("A")))
    hub.adt(vxu("C2", given.format("|")))
    (dose,) = hub.all("Immunization")
    assert (dose["status"], "statusReason" in dose) == ("completed", False)
    hub.adt(vxu("C3", refused.format("U")))
    (dose,) = hub.all("Immunization")
    assert (dose["status"], "doseQuantity" in dose, "lotNumber" in dose) == ("not-done", False, False)


def of_another(message: str) -> str:
    return message.replace(who("77"), who("88", "ROE^ANN", "19900101"))


@pytest.mark.parametrize("event", ["S12", "S14", "S15"])
def test_an_appointment_is_not_taken_from_its_patient(hub: Hub, event: str) -> None:
    hub.adt(siu("S12", "T1", booked("A1^EHR|F1^SCHED")))
    before = hub.all("Appointment")
    outcome = hub.adt(of_another(siu(event, "T2", booked("A1^EHR|F1^SCHED"))))
    assert (outcome.status, outcome.cause) == ("parked", "other-patient")
    assert hub.all("Appointment") == before


def test_an_appointment_follows_its_patient_through_a_merge(hub: Hub) -> None:
    hub.adt(of_another(siu("S12", "U1", booked("A1^EHR|F1^SCHED"))))
    hub.adt(adt("A08", who("77", "ROE^ANN", "19900101")))
    hub.adt(merge("77", "88", name="ROE^ANN").replace("19800101", "19900101"))
    (appointment,) = hub.all("Appointment")
    actors = [
        p["actor"]["reference"] for p in appointment["participant"] if "reference" in p.get("actor", {})
    ]
    survivor = f"Patient/{next(p['id'] for p in hub.all('Patient') if p.get('active') is not False)}"
    assert survivor in actors


def work_of(outcome: Outcome) -> list[str]:
    return [f.code for f in outcome.flags if f.work]


@pytest.mark.parametrize("event", ["S13", "S14", "S15", "S16", "S17", "S26"])
def test_a_change_of_an_appointment_that_is_not_known_is_put_on_a_list(hub: Hub, event: str) -> None:
    assert "nothing-to-change" in work_of(hub.adt(siu(event, "K1", booked("A1^EHR|F1^SCHED"))))
    assert "nothing-to-change" not in work_of(hub.adt(siu("S14", "K2", booked("A1^EHR|F1^SCHED"))))
    assert "nothing-to-change" not in work_of(hub.adt(siu("S12", "K3", booked("A2^EHR|F2^SCHED"))))


def test_the_fillers_number_of_another_placers_appointment_waits(hub: Hub) -> None:
    hub.adt(siu("S12", "L1", booked("A1^EHR|F1^SCHED")))
    before = hub.all("Appointment")
    for event in ("S12", "S14", "S15"):
        outcome = hub.adt(siu(event, f"L{event}", booked("A2^EHR|F1^SCHED")))
        assert (outcome.status, outcome.cause) == ("parked", "ambiguous-key")
    assert hub.all("Appointment") == before
    assert hub.adt(siu("S14", "L9", booked("|F1^SCHED"))).status == "done"
    assert hub.adt(siu("S12", "L10", booked("A2^EHR|F2^SCHED"))).status == "done"
    assert len(hub.all("Appointment")) == 2
