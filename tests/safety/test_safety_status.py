"""Statuses: what ended stays ended, what was cancelled stays cancelled, until somebody says otherwise."""

from __future__ import annotations

from typing import Any

import pytest
from safety_hub import Hub, adt, orm, oru, stay, who


@pytest.mark.parametrize("event", ["A08", "A31"])
@pytest.mark.parametrize("kind", ["I", ""])
def test_an_update_does_not_reopen_a_finished_visit(hub: Hub, event: str, kind: str) -> None:
    hub.adt(adt("A01", who(), stay()))
    hub.adt(adt("A03", who(), stay(until="20260505")))
    hub.adt(adt(event, who(), stay(kind=kind)))
    visit = hub.one("Encounter")
    assert visit["status"] == "finished"
    assert visit["class"]["code"] == "IMP"


def test_an_update_does_not_revive_a_cancelled_visit(hub: Hub) -> None:
    hub.adt(adt("A01", who(), stay()))
    hub.adt(adt("A11", who(), stay()))
    hub.adt(adt("A08", who(), stay()))
    assert hub.one("Encounter")["status"] == "cancelled"


def test_a_laboratory_does_not_change_a_visit(hub: Hub) -> None:
    hub.adt(adt("A01", who(), stay()))
    hub.adt(adt("A03", who(), stay(until="20260505")))
    hub.lab(oru(visit=stay(kind="O")))
    visit = hub.one("Encounter")
    assert (visit["status"], visit["class"]["code"]) == ("finished", "IMP")
    assert hub.one("Observation")["encounter"]["reference"] == f"Encounter/{visit['id']}"


@pytest.mark.parametrize("event", ["A01", "A08", "A11", "A03"])
def test_a_channel_without_authority_changes_nobody_known(hub: Hub, event: str) -> None:
    hub.adt(adt("A01", who(), stay()))
    before = hub.patient("77"), hub.one("Encounter")
    outcome = hub.lab(adt(event, who(name="DOE^JOAN", rest="|||9 New^^Town"), stay(until="20260506")))
    assert outcome.status == "done"
    assert (hub.patient("77"), hub.one("Encounter")) == before


def test_a_channel_without_authority_makes_a_minimal_patient(hub: Hub) -> None:
    assert hub.lab(oru()).status == "done"
    assert hub.patient("77")["birthDate"] == "1980-01-01"


@pytest.mark.parametrize("control", ["SC", "NA", "RE", "CA", "HD", "XO", ""])
def test_a_cancelled_order_is_not_revived_by_a_message_that_says_nothing_of_it(
    hub: Hub, control: str
) -> None:
    hub.lab(orm("NW"))
    assert hub.one("ServiceRequest")["status"] == "active"
    hub.lab(orm("OC"))
    hub.lab(orm(control))
    assert hub.one("ServiceRequest")["status"] == "revoked"


def test_asking_to_cancel_is_not_cancelled_and_being_cancelled_is(hub: Hub) -> None:
    hub.lab(orm("NW"))
    hub.lab(orm("CA"))
    assert hub.one("ServiceRequest")["status"] == "active"
    hub.lab(orm("CR"))
    assert hub.one("ServiceRequest")["status"] == "revoked"


def test_the_status_sent_beats_the_control_code(hub: Hub) -> None:
    hub.lab(orm("NW"))
    hub.lab(orm("SC", state="CM"))
    assert hub.one("ServiceRequest")["status"] == "completed"


def test_a_result_does_not_change_its_order(hub: Hub) -> None:
    hub.lab(orm("NW"))
    before = hub.one("ServiceRequest")
    hub.lab(oru())
    assert hub.one("ServiceRequest") == before
    assert hub.one("Observation")["basedOn"][0]["reference"] == f"ServiceRequest/{before['id']}"


def test_a_cancellation_that_comes_first_makes_a_cancelled_order(hub: Hub) -> None:
    hub.lab(orm("OC"))
    assert hub.one("ServiceRequest")["status"] == "revoked"


def test_a_discharge_that_reaches_no_visit_is_put_on_a_list(hub: Hub) -> None:
    hub.adt(adt("A01", who(), "PV1|1|I|ICU^2^B"))
    outcome = hub.adt(adt("A03", who(), "PV1|1|I|ICU^2^B"))
    assert [f.code for f in outcome.flags if f.work] == ["no-visit-number"]


def places(visit: dict[str, Any]) -> list[str]:
    return [p.get("status", "") for p in visit["location"]]


@pytest.mark.parametrize("event", ["A08", "A31"])
@pytest.mark.parametrize("until", ["", "20260505"])
def test_nobody_lies_in_the_bed_of_a_visit_that_has_ended(hub: Hub, event: str, until: str) -> None:
    hub.adt(adt("A01", who(), stay()))
    assert places(hub.one("Encounter")) == ["active"]
    hub.adt(adt("A03", who(), stay(until="20260505")))
    hub.adt(adt(event, who(), stay(until=until)))
    visit = hub.one("Encounter")
    assert (visit["status"], places(visit), visit["period"]["end"]) == (
        "finished",
        ["completed"],
        "2026-05-05",
    )
    hub.adt(adt("A13", who(), stay(until=until)))
    visit = hub.one("Encounter")
    assert (visit["status"], places(visit)) == ("in-progress", ["active"]) and "end" not in visit["period"]


def test_nobody_lies_in_the_bed_of_a_cancelled_visit(hub: Hub) -> None:
    hub.adt(adt("A01", who(), stay()))
    hub.adt(adt("A11", who(), stay()))
    hub.adt(adt("A08", who(), stay()))
    visit = hub.one("Encounter")
    assert (visit["status"], places(visit)) == ("cancelled", [""])


def dg1(code: str, action: str = "A") -> str:
    return f"DG1|1||{code}^x^I10C|||F{'|' * 15}{action}"


@pytest.mark.parametrize("event", ["A01", "A08"])
def test_a_diagnosis_that_is_taken_back_is_of_no_visit(hub: Hub, event: str) -> None:
    hub.adt(adt("A01", who(), stay(), dg1("I21.4"), dg1("I10")))
    both = [d["condition"]["reference"] for d in hub.one("Encounter")["diagnosis"]]
    hub.adt(adt("A01", who(), stay(), dg1("I21.4", "D")))
    assert [d["condition"]["reference"] for d in hub.one("Encounter")["diagnosis"]] == both[1:]
    wrong = [c["code"]["coding"][0]["code"] for c in hub.all("Condition") if "verificationStatus" in c]
    assert wrong == ["I21.4"]
    hub.adt(adt(event, who(), stay(), dg1("I10", "D")))
    assert "diagnosis" not in hub.one("Encounter") and len(hub.all("Condition")) == 2
