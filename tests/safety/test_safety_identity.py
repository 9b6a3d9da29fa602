"""Whose is it: two people never share a chart, a result, an order or a visit, whatever their numbers are."""

from __future__ import annotations

import pytest
from safety_hub import Hub, adt, group, obx, orm, oru, stay, who

ANN = {"name": "ROE^ANN", "born": "19500505"}


def test_one_number_of_two_authorities_is_two_people_with_results_of_their_own(hub: Hub) -> None:
    hub.lab(oru(who("77^^^NORTH^MR"), obx("4.1"), filler="", placer="P1^EHRN"))
    hub.lab(oru(who("77^^^SOUTH^MR", **ANN), obx("9.9"), filler="", placer="P1^EHRS"))
    assert len(hub.all("Patient")) == 2
    results = hub.all("Observation")
    assert [str(r["valueQuantity"]["value"]) for r in results] == ["4.1", "9.9"]
    assert len({r["subject"]["reference"] for r in results}) == 2
    assert len(hub.all("DiagnosticReport")) == 2


@pytest.mark.parametrize(
    "segment",
    ["AL1|1|DA|7980^Penicillin^RXN|SV", "DG1|1||I21.4^NSTEMI^I10C|||A", "IN1|1|EPO^Elm^L|C80||||||||"],
)
def test_what_one_patient_has_is_not_moved_to_a_namesake_of_another_hospital(hub: Hub, segment: str) -> None:
    kind = {"AL1": "AllergyIntolerance", "DG1": "Condition", "IN1": "Coverage"}[segment[:3]]
    hub.adt(adt("A01", who("77^^^NORTH^MR"), segment))
    hub.adt(adt("A01", who("77^^^SOUTH^MR", **ANN), segment))
    owners = {
        (r.get("subject") or r.get("patient") or r.get("beneficiary"))["reference"] for r in hub.all(kind)
    }
    assert len(owners) == 2


def test_the_authority_of_another_number_does_not_change_the_key(hub: Hub) -> None:
    hub.lab(oru(who("77^^^^MR"), obx("4.1", "P")))
    hub.lab(oru(who("77^^^^MR~A9^^^CITY^PI"), obx("4.2", "F")))
    assert hub.one("Observation")["status"] == "final"


def test_a_number_without_authority_is_private_to_its_sender(hub: Hub) -> None:
    hub.lab(oru(who("77^^^^MR"), app="L1", facility="A"))
    hub.lab(oru(who("77^^^^MR", **ANN), app="L2", facility="B", placer="P2^EHR"))
    assert len(hub.all("Patient")) == 2
    assert len(hub.all("Observation")) == 2


@pytest.mark.parametrize(
    ("number", "cause"),
    [
        ("", "no-patient-key"),
        ('""', "no-patient-key"),
        ("^^^NORTH^MR", "no-patient-key"),
        ("77^^^NORTH^MR~78^^^NORTH^MR", "ambiguous-patient-key"),
    ],
)
def test_no_number_or_several_park_and_write_nothing(hub: Hub, number: str, cause: str) -> None:
    outcome = hub.lab(oru(f"PID|1||{number}||DOE^JO||19800101|F"))
    assert (outcome.status, outcome.cause) == ("parked", cause)
    assert hub.store.head() == 0


def test_a_result_without_any_patient_is_parked(hub: Hub) -> None:
    lines = oru().split("\n")
    assert hub.lab("\n".join(lines[:1] + lines[2:])).status == "parked"
    assert hub.store.head() == 0


@pytest.mark.parametrize("other", [{"born": "19310101"}, {"name": "ROE^ANN"}])
def test_one_number_with_other_demographics_waits_for_a_person(hub: Hub, other: dict[str, str]) -> None:
    hub.adt(adt("A01"))
    assert hub.lab(oru(who(**other))).cause == "patient-mismatch"
    assert hub.all("Observation") == []


def test_two_patients_in_one_message_keep_their_results(hub: Hub) -> None:
    second = group(who("78", **ANN), obx("9.9"), filler="F2^LIS", placer="P2^EHR")
    assert hub.lab(oru() + "\n" + second).status == "done"
    assert [str(r["valueQuantity"]["value"]) for r in hub.of("77", "Observation")] == ["4.1"]
    assert [str(r["valueQuantity"]["value"]) for r in hub.of("78", "Observation")] == ["9.9"]
    assert hub.of("77", "DiagnosticReport")[0]["result"] != hub.of("78", "DiagnosticReport")[0]["result"]


def test_a_bad_second_patient_writes_nothing_of_the_first(hub: Hub) -> None:
    assert hub.lab(oru() + "\n" + group(who(""), filler="F2^LIS")).status == "parked"
    assert hub.store.head() == 0


def test_one_order_number_for_two_patients_of_one_message_is_parked(hub: Hub) -> None:
    outcome = hub.lab(oru() + "\n" + group(who("78", **ANN), filler="F2^LIS", placer="P1^EHR"))
    assert outcome.cause == "mixed-patients"
    assert hub.store.head() == 0


def test_an_order_number_used_again_does_not_take_the_order_from_its_patient(hub: Hub) -> None:
    hub.lab(orm("NW"))
    assert hub.lab(orm("NW", who("78", **ANN))).cause == "other-patient"
    assert len(hub.of("77", "ServiceRequest")) == 1


def test_a_result_is_not_hung_under_the_order_of_another_patient(hub: Hub) -> None:
    hub.lab(orm("NW"))
    assert hub.lab(oru(who("78", **ANN))).cause == "other-patient"
    assert hub.all("Observation") == []


def test_a_visit_number_used_again_does_not_take_the_visit_from_its_patient(hub: Hub) -> None:
    hub.adt(adt("A01", who(), stay()))
    assert hub.adt(adt("A01", who("78", **ANN), stay())).cause == "other-patient"
    assert len(hub.of("77", "Encounter")) == 1
    assert hub.lab(oru(who("78", **ANN), visit=stay())).cause == "other-patient"


def test_a_family_may_share_an_account(hub: Hub) -> None:
    account = "|" * 10 + "ACC1^^^NORTH^AN"
    assert hub.adt(adt("A01", who(rest=account))).status == "done"
    assert hub.adt(adt("A01", who("78", "DOE^BABY", "20260501", account))).status == "done"


def test_running_numbers_in_obx_21_do_not_merge_two_tests(hub: Hub) -> None:
    def numbered(line: str) -> str:
        return line + "|" * 10 + "1"

    hub.lab(oru(who(), numbered(obx("4.1"))))
    hub.lab(oru(who(), numbered(obx("140", code="2951-2^Sodium^LN")), filler="F2^LIS", placer="P2^EHR"))
    assert [str(r["valueQuantity"]["value"]) for r in hub.all("Observation")] == ["4.1", "140"]


def test_separators_inside_values_never_make_one_key_of_two(hub: Hub) -> None:
    hub.lab(oru(who(), obx("1", code="A\\F\\B^X^L", sub="C"), filler="F1^LIS"))
    hub.lab(oru(who(), obx("2", code="A^X^L", sub="B\\F\\C"), filler="F1^LIS"))
    hub.lab(oru(who(), obx("3", code="A\\E\\^X^L", sub="\\F\\C"), filler="F1^LIS"))
    assert [r["valueQuantity"]["value"] for r in hub.all("Observation")] == [1, 2, 3]


def test_one_staff_number_of_two_authorities_is_two_people(hub: Hub) -> None:
    pv1 = stay().replace(
        "|ICU^2^B^NORTH||||", "|ICU^2^B^NORTH||||D7^QUILL^NORA^^^^^^NORTH~D7^ABEL^TOM^^^^^^SOUTH~D7^NEMO^C"
    )
    hub.adt(adt("A01", who(), pv1))
    assert [p["name"][0]["family"] for p in hub.all("Practitioner")] == ["QUILL", "ABEL"]
    assert (
        hub.one("Encounter")["contained"][0]["name"][0]["family"] == "NEMO"
    )  # known to nobody: stays inside


def test_bed_1_of_two_hospitals_is_two_beds(hub: Hub) -> None:
    hub.adt(adt("A01", who(), stay()))
    hub.adt(adt("A01", who("78", **ANN), stay("V200").replace("^NORTH|", "^SOUTH|", 1)))
    beds = [p for p in hub.all("Location") if p["name"] == "B"]
    assert len(beds) == 2
