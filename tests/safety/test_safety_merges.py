"""Merges (A40): everything follows the survivor, whatever comes first; what should not merge does not."""

from __future__ import annotations

from safety_hub import Hub, adt, merge, obx, oru, stay, who

from engine.kernel.message import Outcome


def test_results_of_the_retired_number_move(hub: Hub) -> None:
    hub.lab(oru(who("88")))
    hub.adt(merge("77", "88"))
    assert len(hub.of("77", "Observation")) == 1
    assert hub.patient("88")["active"] is False


def test_the_merge_may_come_before_the_result(hub: Hub) -> None:
    hub.adt(merge("77", "88"))
    outcome = hub.lab(oru(who("88")))
    assert "retired-patient" in [f.code for f in outcome.flags]
    assert len(hub.of("77", "Observation")) == 1


def test_a_correction_under_the_retired_number_corrects_the_result(hub: Hub) -> None:
    hub.lab(oru(who("88"), obx("4.0", "P")))
    hub.adt(merge("77", "88"))
    hub.lab(oru(who("88"), obx("4.1", "F")))
    (result,) = hub.of("77", "Observation")
    assert (str(result["valueQuantity"]["value"]), result["status"]) == ("4.1", "final")


def test_a_chain_ends_at_the_last_survivor(hub: Hub) -> None:
    hub.lab(oru(who("88")))
    hub.adt(merge("77", "88"))
    hub.adt(merge("66", "77"))
    hub.lab(oru(who("88"), filler="F2^LIS", placer="P2^EHR"))
    assert len(hub.of("66", "Observation")) == 2


def test_swapped_numbers_and_circles_are_parked(hub: Hub) -> None:
    hub.adt(merge("77", "88"))
    assert hub.adt(merge("88", "77")).status == "parked"
    assert hub.adt(merge("88", "99")).status == "parked"
    assert hub.adt(merge("66", "88")).status == "parked"
    assert hub.adt(merge("77", "77")).status == "parked"
    assert "active" not in hub.patient("77")


def test_a_merge_said_again_changes_nothing(hub: Hub) -> None:
    hub.adt(merge("77", "88"))
    before = hub.all("Patient")
    assert hub.adt(merge("77", "88")).status == "done"
    assert hub.all("Patient") == before


def test_one_bad_pair_merges_nothing(hub: Hub) -> None:
    outcome = hub.adt(merge("77", "88", who("90", "ROE^ANN", ""), "MRG|90^^^NORTH^MR"))
    assert outcome.status == "parked"
    assert hub.store.head() == 0


def test_a_channel_without_authority_merges_nobody(hub: Hub) -> None:
    hub.adt(adt("A01", who("77")))
    hub.adt(adt("A01", who("88")))
    before = hub.all("Patient")
    assert hub.lab(merge("77", "88")).cause == "no-authority"
    assert hub.all("Patient") == before


def test_a_merge_of_two_unlike_people_is_put_on_a_list(hub: Hub) -> None:
    hub.adt(adt("A01", who("77")))
    hub.adt(adt("A01", who("88", "ROE^ANN", "19500505")))
    outcome = hub.adt(merge("77", "88"))
    assert [f.code for f in outcome.flags if f.work] == ["merge-differs"]


def test_an_update_of_the_retired_number_does_not_take_the_survivors_number(hub: Hub) -> None:
    hub.adt(adt("A01", who("88")))
    hub.adt(adt("A01", who("77", rest="|||1 Elm^^Troy")))
    hub.adt(merge("77", "88"))
    hub.adt(adt("A08", who("88")))
    survivor = hub.patient("77")
    assert survivor["address"] == [{"line": ["1 Elm"], "city": "Troy"}]
    assert "active" not in survivor


def test_replaying_what_came_before_the_merge_keeps_the_merge(hub: Hub) -> None:
    hub.adt(adt("A01", who("88"), stay()))
    hub.adt(adt("A08", who("88"), stay()))
    hub.adt(merge("77", "88"))
    assert hub.replay(2).status == "done"
    assert hub.patient("88")["active"] is False
    assert len(hub.of("77", "Encounter")) == 1


def test_the_visit_in_a_merge_follows_it(hub: Hub) -> None:
    hub.adt(adt("A01", who("88"), stay()))
    assert hub.adt(merge("77", "88", stay())).status == "done"
    assert hub.adt(adt("A03", who("77"), stay())).status == "done"
    assert hub.adt(adt("A08", who("88"), stay())).status == "done"
    (visit,) = hub.of("77", "Encounter")
    assert visit["status"] == "finished"


def work_of(outcome: Outcome) -> list[str]:
    return [f.code for f in outcome.flags if f.work]


def test_a_retired_number_without_its_authority_is_put_on_a_list(hub: Hub) -> None:
    hub.adt(adt("A08", who("88")))
    assert "merge-unknown-number" in work_of(hub.adt(adt("A40", who(), "MRG|88")))
    assert "merge-unknown-number" not in work_of(hub.adt(merge("77", "88")))
    assert "merge-unknown-number" not in work_of(hub.adt(merge("77", "99")))


def test_senders_that_never_name_an_authority_merge_as_they_number(hub: Hub) -> None:
    hub.adt(adt("A08", who("88^^^^MR")))
    assert "merge-unknown-number" not in work_of(hub.adt(adt("A40", who("77^^^^MR"), "MRG|88^^^^MR")))


def test_a_change_of_number_onto_that_of_another_patient_waits(hub: Hub) -> None:
    hub.adt(adt("A08", who("88")))
    hub.adt(adt("A08", who("77")))
    outcome = hub.adt(adt("A47", who("77"), "MRG|88^^^NORTH^MR"))
    assert (outcome.status, outcome.cause) == ("parked", "number-taken")
    assert all("active" not in p and "link" not in p for p in hub.all("Patient"))


def test_a_change_of_number_onto_a_new_one_is_done_once_and_again(hub: Hub) -> None:
    hub.adt(adt("A08", who("88")))
    assert hub.adt(adt("A47", who("77"), "MRG|88^^^NORTH^MR")).status == "done"
    assert hub.adt(adt("A47", who("77"), "MRG|88^^^NORTH^MR")).status == "done"
    assert hub.lab(oru(who("88"))).status == "done"


def test_a_result_of_a_patient_who_was_deleted_is_put_on_a_list(hub: Hub) -> None:
    hub.adt(adt("A08", who()))
    assert "inactive-patient" not in work_of(hub.adt(adt("A29", who(), stay())))
    assert "inactive-patient" not in work_of(hub.adt(adt("A29", who(), stay())))
    assert work_of(hub.lab(oru())).count("inactive-patient") == 1
