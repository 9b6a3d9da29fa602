"""Observations over several messages: a value said again is the same one, a correction corrects it."""

from __future__ import annotations

from typing import Any

import pytest
from safety_hub import Hub, adt, obx, oru, stay, who

WEIGHT = "OBX|1|NM|29463-7^Weight^LN||{}|kg|||||{}|||{}"


def weights(hub: Hub) -> list[tuple[str, str]]:
    return [(str(o["valueQuantity"]["value"]), o["status"]) for o in hub.all("Observation")]


def test_a_weight_in_every_registration_is_one_weight(hub: Hub) -> None:
    for event in ("A01", "A08", "A08"):
        hub.adt(adt(event, "", stay(), WEIGHT.format("71.5", "F", "20260501")))
    assert weights(hub) == [("71.5", "final")]
    hub.adt(adt("A08", "", stay(), WEIGHT.format("81.50", "C", "20260501")))
    assert weights(hub) == [("81.50", "corrected")]


def test_another_time_is_another_weight(hub: Hub) -> None:
    hub.adt(adt("A01", "", stay(), WEIGHT.format("71.5", "F", "20260501")))
    hub.adt(adt("A08", "", stay(), WEIGHT.format("70.0", "F", "20260502")))
    assert weights(hub) == [("71.5", "final"), ("70.0", "final")]


def test_a_weight_without_a_time_is_that_of_the_visit(hub: Hub) -> None:
    hub.adt(adt("A01", "", stay(), WEIGHT.format("71.5", "F", "")))
    hub.adt(adt("A08", "", stay(), WEIGHT.format("81.50", "C", "")))
    hub.adt(adt("A01", "", stay("V200"), WEIGHT.format("69", "F", "")))
    assert weights(hub) == [("81.50", "corrected"), ("69", "final")]


def test_an_account_number_is_no_patient(hub: Hub) -> None:
    hub.lab(oru())
    for kind in ("AN", "ANON", "VN", "PEN"):
        held = hub.lab(oru(who(f"77^^^NORTH^{kind}"), obx("9.9")))
        assert (held.status, held.cause) == ("parked", "no-patient-key")
    (potassium,) = hub.all("Observation")
    assert str(potassium["valueQuantity"]["value"]) == "4.1"


def test_beside_an_account_number_the_other_one_decides(hub: Hub) -> None:
    hub.lab(oru(who("77^^^NORTH")))
    told = hub.lab(oru(who("A1^^^NORTH^AN~77^^^NORTH"), obx("4.4", "C"), status="C"))
    assert told.status == "done"
    assert len(hub.all("Patient")) == 1


def test_a_comment_behind_a_foreign_segment_stays_with_its_result(hub: Hub) -> None:
    sodium = obx("140", code="2951-2^Sodium^LN")
    for foreign in ("ZOB|1|x", "DRG|1|x"):
        hub.lab(oru("", obx(), "NTE|1|L|first", foreign, "NTE|2|L|hemolyzed, do not use", sodium))
        notes = [[n["text"] for n in o.get("note", ())] for o in hub.all("Observation")]
        assert notes == [["first", "hemolyzed, do not use"], []]


def test_a_procedure_taken_back_is_found_by_code_and_time(hub: Hub) -> None:
    done = "PR1|1||44970^Appendectomy^C4||20260501140000-0500" + "|" * 14
    hub.adt(adt("A01", "", stay(), done))
    hub.adt(adt("A08", "", stay(), done + "PN1^S|U"))
    assert [p["status"] for p in hub.all("Procedure")] == ["unknown"]
    hub.adt(adt("A08", "", stay(), done + "PN1^S|D"))
    assert [p["status"] for p in hub.all("Procedure")] == ["entered-in-error"]


def test_two_numbered_procedures_of_one_time_stay_two(hub: Hub) -> None:
    for side, number in (("LT", "PN1"), ("RT", "PN2")):
        one = f"PR1|1||27447^Knee^C4||20260501140000-0500{'|' * 11}{side}|||{number}^S|"
        hub.adt(adt("A08", "", stay(), one + "A"))
        hub.adt(adt("A08", "", stay(), one + "U"))
    assert [p["status"] for p in hub.all("Procedure")] == ["unknown", "unknown"]


def test_a_report_cancelled_without_its_results_is_somebodys_work(hub: Hub) -> None:
    hub.lab(oru())
    outcome = hub.lab(oru("", "NTE|1|L|called off", status="X"))
    assert "results-of-cancelled" in [f.code for f in outcome.flags if f.work]
    outcome = hub.lab(oru("", obx("", "X"), status="X"))
    assert "results-of-cancelled" not in [f.code for f in outcome.flags]


GROWTH = "OBX|1|CE|600-7^Bacteria^LN|2|3092008^Staphylococcus^SCT||||||F"


def susceptibility() -> str:
    cipro = obx("0.5", code="18906-8^Cipro^LN", sub="2")
    parent = "||LAB|F|600-7&Bacteria&LN^2^Staphylococcus|||P1&EHR^F1&LIS"
    return oru("", cipro, filler="F2^LIS", placer="P2^EHR").replace("||LAB|F", parent)


@pytest.mark.parametrize("culture_first", [True, False])
def test_a_susceptibility_in_its_own_message_finds_its_isolate(hub: Hub, culture_first: bool) -> None:
    culture = oru("", GROWTH, GROWTH.replace("|2|3092008", "|1|112283007"))
    for message in (culture, susceptibility()) if culture_first else (susceptibility(), culture):
        assert hub.lab(message).status == "done"
    by_code = {o["code"]["coding"][0]["code"] + _sub(o): o for o in hub.all("Observation")}
    (isolate,) = by_code["18906-8 2"]["derivedFrom"]
    assert isolate["reference"] == f"Observation/{by_code['600-7 2']['id']}"


def _sub(observation: dict[str, Any]) -> str:
    parts = observation["extension"][0]["extension"]
    return " " + next(p["valueString"] for p in parts if p["url"] == "original-sub-identifier")


def test_taking_back_the_admitting_diagnosis_leaves_the_final_one(hub: Hub) -> None:
    for kind in "AF":
        hub.adt(adt("A08", "", stay(), f"DG1|1||I10^Hypertension^I10C|||{kind}{'|' * 15}A"))
    hub.adt(adt("A08", "", stay(), f"DG1|1||I10^Hypertension^I10C|||A{'|' * 15}D"))
    taken_back = ["verificationStatus" in c for c in hub.all("Condition")]
    assert taken_back == [True, False]
