"""One thing under several numbers: after a merge, and when the filler's number comes later.

Never doubled, never joined by a bare number.
"""

from __future__ import annotations

from safety_hub import Hub, adt, merge, obx, oru, who

CL = "2075-0^Chloride^LN"


def values(hub: Hub) -> list[str]:
    return sorted(str(r["valueQuantity"]["value"]) for r in hub.all("Observation"))


def work_flags(outcome: object) -> list[str]:
    return [f.code for f in outcome.flags if f.work]  # type: ignore[attr-defined]


# -- after a merge --


def test_a_repeat_under_the_surviving_number_is_the_same_result(hub: Hub) -> None:
    hub.lab(oru(who("88"), obx("4.0", "P"), status="P"))
    hub.adt(merge("77", "88"))
    hub.lab(oru(who("77"), obx("4.1", "F")))
    assert values(hub) == ["4.1"]
    assert len(hub.all("DiagnosticReport")) == 1
    assert len(hub.all("Specimen")) <= 1


def test_a_repeat_under_the_retired_number_is_the_same_result(hub: Hub) -> None:
    hub.adt(adt("A01", who("88")))
    hub.adt(merge("77", "88"))
    hub.lab(oru(who("77"), obx("4.0", "P"), status="P"))
    hub.lab(oru(who("88"), obx("4.1", "F")))
    assert values(hub) == ["4.1"]
    hub.lab(oru(who("77"), obx("4.2", "C"), status="C"))
    assert values(hub) == ["4.2"]


def test_the_numbers_of_a_chain_of_merges_are_all_one_patients(hub: Hub) -> None:
    hub.lab(oru(who("88"), obx("4.0", "P")))
    hub.adt(merge("77", "88"))
    hub.adt(merge("66", "77"))
    hub.lab(oru(who("66"), obx("4.1", "F")))
    hub.lab(oru(who("77"), obx("4.2", "C")))
    assert values(hub) == ["4.2"]


def test_several_messages_of_one_batch_see_the_merge(hub: Hub) -> None:
    frames = [oru(who("88"), obx("4.0", "P")), merge("77", "88"), oru(who("77"), obx("4.1", "F"))]
    for text, channel in zip(frames, ("lab_oru", "adt", "lab_oru"), strict=True):
        hub.take(text, channel)
    hub.work()
    assert values(hub) == ["4.1"]


def test_one_order_number_of_two_patients_who_become_one_is_a_work_item(hub: Hub) -> None:
    hub.lab(oru(who("88"), obx("4.0")))
    hub.lab(oru(who("77"), obx("5.0"), placer="P2^EHR"))
    hub.adt(merge("77", "88"))
    outcome = hub.lab(oru(who("77"), obx("5.1", "C"), placer="P2^EHR"))
    assert "duplicate-key" in work_flags(outcome)
    assert values(hub) == ["4.0", "5.1"]


def test_a_number_that_might_be_either_of_two_results_waits(hub: Hub) -> None:
    for number in ("88", "99"):
        hub.lab(oru(who(number), obx("4.0"), placer=f"P{number}^EHR"))
    hub.adt(merge("77", "88"))
    hub.adt(merge("77", "99"))
    outcome = hub.lab(oru(who("77"), obx("4.1", "C"), placer="P77^EHR"))
    assert (outcome.status, outcome.cause) == ("parked", "duplicate-key")
    assert values(hub) == ["4.0", "4.0"]


# -- the filler's number comes later --


def test_a_filler_number_that_comes_later_is_the_same_result(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.0", "P"), filler="", status="P"))
    outcome = hub.lab(oru(who(), obx("4.1", "F"), obx("101", code=CL)))
    assert values(hub) == ["101", "4.1"]
    assert len(hub.all("DiagnosticReport")) == 1
    assert len(hub.all("ServiceRequest")) == 1
    assert "number-added" in [f.code for f in outcome.flags]
    hub.lab(oru(who(), obx("4.2", "C")))
    hub.lab(oru(who(), obx("4.3", "C"), filler=""))
    assert values(hub) == ["101", "4.3"]


def test_a_result_repeated_without_its_filler_number_is_the_same_result(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.0", "P"), status="P"))
    hub.lab(oru(who(), obx("4.1", "F"), filler=""))
    assert values(hub) == ["4.1"]
    assert len(hub.all("DiagnosticReport")) == 1


def test_another_placer_authority_is_another_order(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.0"), placer="P1^EHR", filler=""))
    hub.lab(oru(who(), obx("5.0"), placer="P1^CLINIC", filler="F1^LIS"))
    assert values(hub) == ["4.0", "5.0"]


def test_a_bare_number_joins_nothing(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.0"), placer="P1", filler=""))
    outcome = hub.lab(oru(who(), obx("5.0"), placer="P1", filler="F1"))
    assert values(hub) == ["4.0", "5.0"]
    assert "duplicate-key" in work_flags(outcome)


def test_two_fillers_of_one_placer_number_are_two_reports(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.0"), filler="F1^LIS"))
    hub.lab(oru(who(), obx("5.0"), filler="F2^LIS"))
    assert values(hub) == ["4.0", "5.0"]
    outcome = hub.lab(oru(who(), obx("6.0"), filler=""))
    assert (outcome.status, outcome.cause) == ("parked", "duplicate-key")


def test_another_patients_number_is_another_order(hub: Hub) -> None:
    hub.lab(oru(who("77"), obx("4.0"), filler=""))
    outcome = hub.lab(oru(who("88"), obx("5.0"), placer="P1^OTHER"))
    assert outcome.status == "done"
    assert values(hub) == ["4.0", "5.0"]


def test_an_order_known_by_its_filler_is_found_when_the_placer_is_told(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.0", "P"), placer=""))
    hub.lab(oru(who(), obx("4.1", "F")))
    assert values(hub) == ["4.1"]
    assert len(hub.all("ServiceRequest")) == 1


def test_both_numbers_keep_working_in_a_replay(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.0", "P"), filler="", status="P"))
    hub.lab(oru(who(), obx("4.1", "F")))
    for entry in (1, 2):
        assert hub.replay(entry).status == "done"
    assert values(hub) == ["4.1"]


# -- several numbers in MRG-1 --

TWO = "88^^^NORTH^MR~X1^^^CITY^PI"


def test_every_number_of_a_retired_patient_is_retired(hub: Hub) -> None:
    hub.adt(adt("A01", who(TWO)))
    outcome = hub.adt(adt("A40", who("77"), f"MRG|{TWO}"))
    assert "merge-several-numbers" in work_flags(outcome)
    assert hub.patient("88")["active"] is False
    hub.lab(oru(who("X1^^^CITY^PI")))
    assert len(hub.of("77", "Observation")) == 1


def test_a_second_known_patient_in_one_merge_waits_for_a_person(hub: Hub) -> None:
    hub.adt(adt("A01", who("88")))
    hub.adt(adt("A01", who("X1^^^CITY^PI")))
    before = hub.all("Patient")
    outcome = hub.adt(adt("A40", who("77"), f"MRG|{TWO}"))
    assert (outcome.status, outcome.cause) == ("parked", "merge-several")
    assert hub.all("Patient") == before


def test_a_patient_known_only_by_the_second_number_is_the_one_retired(hub: Hub) -> None:
    hub.lab(oru(who("X1^^^CITY^PI")))
    assert hub.adt(adt("A40", who("77"), f"MRG|{TWO}")).status == "done"
    assert len(hub.of("77", "Observation")) == 1
    assert len(hub.all("Patient")) == 2


def test_two_record_numbers_in_one_merge_wait(hub: Hub) -> None:
    hub.adt(adt("A01", who("88")))
    hub.adt(adt("A01", who("89")))
    outcome = hub.adt(adt("A40", who("77"), "MRG|88^^^NORTH^MR~89^^^NORTH^MR"))
    assert outcome.status == "parked"
    assert "active" not in hub.patient("88")
    assert "active" not in hub.patient("89")


def test_the_merge_of_several_numbers_said_again_changes_nothing(hub: Hub) -> None:
    hub.adt(adt("A01", who(TWO)))
    hub.adt(adt("A40", who("77"), f"MRG|{TWO}"))
    before = hub.all("Patient")
    assert hub.adt(adt("A40", who("77"), f"MRG|{TWO}")).status == "done"
    assert hub.all("Patient") == before
