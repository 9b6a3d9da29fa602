"""Older by the sender's own time never overwrites newer, whatever order the messages arrive in."""

from __future__ import annotations

import pytest
from safety_hub import Hub, adt, merge, obx, oru, stay, who

NINE, TEN, ELEVEN, NOON = (f"20260502{hour}0000-0500" for hour in ("09", "10", "11", "12"))


def value(hub: Hub) -> tuple[str, str]:
    result = hub.one("Observation")
    return str(result["valueQuantity"]["value"]), result["status"]


def flags(outcome: object) -> list[tuple[str, bool]]:
    return [(f.code, f.work) for f in outcome.flags]  # type: ignore[attr-defined]


def test_a_preliminary_that_arrives_after_the_final_changes_nothing(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.1", "F"), status="F", reported=ELEVEN))
    outcome = hub.lab(oru(who(), obx("9.9", "P", flag="HH"), status="P", reported=TEN))
    assert outcome.status == "done"
    assert outcome.superseded == 2
    assert ("late", False) in flags(outcome)
    assert value(hub) == ("4.1", "final")
    assert hub.one("DiagnosticReport")["status"] == "final"
    assert "interpretation" not in hub.one("Observation")


def test_a_correction_told_later_wins(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.1", "F"), reported=TEN))
    hub.lab(oru(who(), obx("4.4", "C"), status="C", reported=ELEVEN))
    assert value(hub) == ("4.4", "corrected")
    outcome = hub.lab(oru(who(), obx("4.1", "F"), reported=TEN))
    assert value(hub) == ("4.4", "corrected")
    assert ("late", True) in flags(outcome)


def test_a_correction_dated_before_what_it_corrects_is_put_on_a_list(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.1", "F"), reported=ELEVEN))
    outcome = hub.lab(oru(who(), obx("4.4", "C"), status="C", reported=TEN))
    assert value(hub) == ("4.1", "final")
    assert ("late", True) in flags(outcome)


def test_at_one_time_the_later_arrival_wins(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.1", "P"), reported=TEN))
    hub.lab(oru(who(), obx("4.2", "F"), reported=TEN))
    assert value(hub) == ("4.2", "final")


def test_a_minute_is_not_before_its_own_seconds(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.1", "P"), reported="20260502100030-0500"))
    hub.lab(oru(who(), obx("4.2", "F"), reported="202605021000-0500"))
    assert value(hub) == ("4.2", "final")


def test_offsets_are_counted(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.1", "F"), reported="20260502110000-0500"))
    hub.lab(oru(who(), obx("4.2", "C"), reported="20260502103000-0700"))  # 12:30 on the first clock
    assert value(hub) == ("4.2", "corrected")
    hub.lab(oru(who(), obx("4.3", "C"), reported="20260502120000-0400"))  # 11:00
    assert value(hub) == ("4.2", "corrected")


@pytest.mark.parametrize("unsure", ["20260502090000", "20260502", "2026050209-0500", ""])
def test_what_is_no_sure_instant_is_not_compared(hub: Hub, unsure: str) -> None:
    hub.lab(oru(who(), obx("4.1", "F"), reported=NOON, at="20260502120000"))
    hub.lab(oru(who(), obx("4.2", "C"), reported=unsure, at="20260502120000"))
    assert value(hub) == ("4.2", "corrected")


def test_another_senders_clock_is_not_compared(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.1", "F"), reported=NOON))
    hub.lab(oru(who(), obx("4.2", "C"), reported=NINE, app="OTHERLIS"))
    assert value(hub) == ("4.2", "corrected")


def test_the_time_of_sending_decides_where_no_report_time_is_told(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.2", "F"), reported="", at=NOON))
    hub.lab(oru(who(), obx("4.1", "P"), reported="", at=TEN))
    assert value(hub) == ("4.2", "final")


def test_times_of_two_kinds_are_not_compared(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.1", "F"), reported="", at=NOON))
    hub.lab(oru(who(), obx("4.2", "C"), reported=ELEVEN, at="20260502130000-0500"))
    assert value(hub) == ("4.2", "corrected")


def test_saying_the_same_again_later_counts(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.1", "F"), reported=TEN))
    hub.lab(oru(who(), obx("4.1", "F"), reported=NOON))
    hub.lab(oru(who(), obx("9.9", "F"), reported=ELEVEN))
    assert value(hub) == ("4.1", "final")


def test_each_order_of_a_message_has_its_own_time(hub: Hub) -> None:
    def two(first: str, second: str, value: str) -> str:
        one = oru(who(), obx(value), reported=first)
        other = oru(who(), obx(value), filler="F2^LIS", placer="P2^EHR", reported=second).split("\n", 2)[2]
        return one + "\n" + other

    hub.lab(two(NOON, TEN, "4.1"))
    hub.lab(two(ELEVEN, ELEVEN, "4.9"))
    assert [str(r["valueQuantity"]["value"]) for r in hub.all("Observation")] == ["4.1", "4.9"]


def test_an_update_told_before_the_discharge_does_not_undo_it(hub: Hub) -> None:
    hub.adt(adt("A01", who(), stay(), at=NINE))
    hub.adt(adt("A03", who(), stay(until=ELEVEN), at=ELEVEN))
    outcome = hub.adt(adt("A02", who(), stay(), at=TEN))
    (visit,) = hub.of("77", "Encounter")
    assert visit["status"] == "finished"
    assert ("late", True) in flags(outcome)


def test_a_patient_keeps_the_newer_name(hub: Hub) -> None:
    hub.adt(adt("A08", who("77", "DOE^JOANNA"), at=ELEVEN))
    hub.adt(adt("A08", who("77", "DOE^JO"), at=TEN))
    assert hub.patient("77")["name"][0]["given"] == ["JOANNA"]


def test_a_merge_is_recorded_however_late(hub: Hub) -> None:
    hub.adt(adt("A08", who("77", "DOE^JOANNA"), at=NOON))
    hub.adt(adt("A08", who("88", "DOE^JO"), at=NOON))
    outcome = hub.adt(merge("77", "88", name="DOE^J"))  # of the day before
    assert outcome.status == "done"
    assert hub.patient("88")["active"] is False
    assert hub.patient("88")["name"][0]["given"] == ["JO"]
    assert hub.patient("77")["name"][0]["given"] == ["JOANNA"]


def test_what_came_too_late_is_found_in_provenance(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.1", "F"), reported=ELEVEN))
    hub.lab(oru(who(), obx("9.9", "P"), status="P", reported=TEN))
    name = f"Observation/{hub.one('Observation')['id']}"
    found = hub.store.search("Provenance", [("target", name)]).resources
    assert [p["id"] for p in found] == ["entry-2", "entry-1"]
    assert {"reference": name, "display": "not written"} in found[0]["target"]


def test_a_replay_judges_by_the_same_times(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.0", "P"), status="P", reported=NINE))
    hub.lab(oru(who(), obx("4.2", "F"), reported=ELEVEN))
    hub.lab(oru(who(), obx("4.1", "P"), status="P", reported=TEN))
    for entry in (1, 2, 3, 1, 3):
        assert hub.replay(entry).status == "done"
        assert value(hub) == ("4.2", "final")


def test_a_replay_of_what_was_late_stays_late_after_a_repeat(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.2", "F"), reported=NINE))
    hub.lab(oru(who(), obx("4.2", "F"), reported=NOON, at=NOON))
    hub.lab(oru(who(), obx("9.9", "F"), reported=ELEVEN))
    assert value(hub) == ("4.2", "final")
    assert hub.replay(3).status == "done"
    assert value(hub) == ("4.2", "final")


def local(hub: Hub, at: str, value: str, status: str) -> object:
    return hub.lab(oru(who(), obx(value, status), status=status, at=at, reported=""))


def test_local_times_of_one_sender_more_than_an_hour_apart_are_compared(hub: Hub) -> None:
    local(hub, "20260502120000", "4.1", "F")
    outcome = local(hub, "20260502105800", "9.9", "P")
    assert value(hub) == ("4.1", "final")
    assert ("late", False) in flags(outcome)


def test_nearer_local_times_are_put_on_a_list(hub: Hub) -> None:
    local(hub, "20260502120000", "4.1", "F")
    assert ("late-unclear", True) in flags(local(hub, "20260502115900", "4.2", "C"))
    assert value(hub) == ("4.2", "corrected")
    assert ("late-unclear", True) not in flags(local(hub, "20260502120000", "4.3", "C"))


def test_a_time_with_an_offset_beats_a_local_one_of_the_same_message(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.2", "F"), reported="20260502140000", at=NOON))
    hub.lab(oru(who(), obx("4.1", "F"), reported="20260502150000", at=ELEVEN))
    assert value(hub) == ("4.2", "final")


@pytest.mark.parametrize("status", ["P", "I"])
def test_a_final_result_that_is_preliminary_again_is_put_on_a_list(hub: Hub, status: str) -> None:
    hub.lab(oru(who(), obx("4.1", "F"), reported=TEN))
    outcome = hub.lab(oru(who(), obx("4.2", status), status=status, reported=ELEVEN))
    assert flags(outcome).count(("no-longer-final", True)) == 2
    again = hub.lab(oru(who(), obx("4.2", "F"), reported=NOON))
    assert ("no-longer-final", True) not in flags(again)
