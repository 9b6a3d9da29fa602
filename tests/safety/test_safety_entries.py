"""Lists told one entry at a time: an action code speaks of one entry of a list, and the others stay."""

from __future__ import annotations

from typing import Any

import pytest
from safety_hub import Hub, header, who

from engine.kernel.message import Outcome

SCH = "SCH|A1^EHR|F1^SCHED|||||||||^^^20260510090000-0500^20260510093000-0500||||||||||||||Booked"
CHAIR, LAMP = "AIG|1|{}|C1^Chair^L|CHAIR^Chair^L||||20260510090000-0500", "AIG|2|{}|L1^Lamp^L|LAMP^Lamp^L"
QUILL = "AIP|1|{}|D9^QUILL^NORA^^^^^^NORTH|SURG^Surgeon^L"
ABEL = "AIP|2|{}|D13^ABEL^TOM^^^^^^NORTH|ANES^Anesthetist^L"


def siu(hub: Hub, event: str, *segments: str) -> Outcome:
    return hub.any("\n".join((header(f"SIU^{event}^SIU_S12", "SCHED"), SCH, who(), "RGS|1|", *segments)))


def booked(hub: Hub) -> None:
    lines = [CHAIR.format("A"), "NTE|1||With arms", LAMP.format("A"), QUILL.format("A"), ABEL.format("A")]
    assert siu(hub, "S12", *lines).status == "done"


def roles(hub: Hub) -> list[str]:
    """What takes part, the patient apart."""
    parts = hub.one("Appointment")["participant"]
    return [p["type"][0]["text"] for p in parts if p.get("type")]


def part(hub: Hub, role: str) -> dict[str, Any]:
    (found,) = [
        p for p in hub.one("Appointment")["participant"] if p.get("type", [{}])[0].get("text") == role
    ]
    return found


def work(outcome: Outcome) -> list[str]:
    assert outcome.status == "done"
    return [f.code for f in outcome.flags if f.work]


def test_taken_out_is_that_one_and_no_other(hub: Hub) -> None:
    booked(hub)
    assert work(siu(hub, "S14", LAMP.format("D"))) == []
    assert roles(hub) == ["Chair", "Surgeon", "Anesthetist"]


def test_added_joins_the_others(hub: Hub) -> None:
    booked(hub)
    assert work(siu(hub, "S14", "AIG|3|A|T1^Table^L|TABLE^Table^L")) == []
    assert sorted(roles(hub)) == ["Anesthetist", "Chair", "Lamp", "Surgeon", "Table"]


def test_changed_is_that_one_and_keeps_what_is_not_said(hub: Hub) -> None:
    booked(hub)
    assert work(siu(hub, "S14", "AIG|1|U|C1^Chair^L|CHAIR^Armchair^L")) == []
    assert sorted(roles(hub)) == ["Anesthetist", "Armchair", "Lamp", "Surgeon"]
    assert part(hub, "Armchair")["period"] == {"start": "2026-05-10T09:00:00-05:00"}
    assert "With arms" in str(hub.one("Appointment")["extension"])


def test_another_person_in_the_place_of_one(hub: Hub) -> None:
    booked(hub)
    before = part(hub, "Anesthetist")["actor"]
    assert work(siu(hub, "S14", "AIP|2|U|D20^MOSS^IDA^^^^^^NORTH|ANES^Anesthetist^L")) == []
    assert sorted(roles(hub)) == ["Anesthetist", "Chair", "Lamp", "Surgeon"]
    assert part(hub, "Anesthetist")["actor"] != before


def test_the_number_of_a_line_takes_nobody_else_out(hub: Hub) -> None:
    booked(hub)
    outcome = siu(hub, "S14", "AIP|1|D|D13^ABEL^TOM^^^^^^NORTH|ANES^Anesthetist^L")
    assert work(outcome) == []
    assert roles(hub) == ["Chair", "Lamp", "Surgeon"]


def test_a_line_without_its_person_is_known_by_its_number(hub: Hub) -> None:
    booked(hub)
    assert work(siu(hub, "S14", "AIP|2|D")) == []
    assert roles(hub) == ["Chair", "Lamp", "Surgeon"]


def test_taking_out_what_is_not_there_takes_out_nothing(hub: Hub) -> None:
    booked(hub)
    assert work(siu(hub, "S14", "AIP|2|D|D99^NOBODY^NED^^^^^^NORTH")) == ["nothing-to-change"]
    assert roles(hub) == ["Chair", "Lamp", "Surgeon", "Anesthetist"]


def test_no_change_changes_nothing(hub: Hub) -> None:
    booked(hub)
    before = hub.one("Appointment")
    assert work(siu(hub, "S14", "AIP|2|X|D13^ABEL^TOM^^^^^^NORTH|OTHER^Other^L")) == []
    assert hub.one("Appointment")["participant"] == before["participant"]


def test_no_change_of_what_is_not_known_is_news(hub: Hub) -> None:
    booked(hub)
    assert work(siu(hub, "S14", "AIG|3|X|T1^Table^L|TABLE^Table^L")) == []
    assert "Table" in roles(hub)


def test_a_group_taken_out_takes_its_resources_with_it(hub: Hub) -> None:
    booked(hub)
    head = (header("SIU^S14^SIU_S12", "SCHED"), SCH, who())
    lines = ("RGS|1|D", LAMP.format(""), "RGS|2|U", ABEL.format(""))
    assert work(hub.any("\n".join((*head, *lines)))) == []
    assert sorted(roles(hub)) == ["Anesthetist", "Chair", "Surgeon"]


def test_without_any_action_the_message_tells_them_all(hub: Hub) -> None:
    booked(hub)
    assert work(siu(hub, "S14", QUILL.format(""))) == []
    assert sorted(roles(hub)) == ["Chair", "Lamp", "Surgeon"], "of people it tells all, of things nothing"


def test_a_new_time_with_actions_leaves_the_rest(hub: Hub) -> None:
    booked(hub)
    assert work(siu(hub, "S13", LAMP.format("D"))) == []
    assert "Lamp" not in roles(hub)
    assert "Chair" in roles(hub)


def test_notes_of_one_resource_go_with_it(hub: Hub) -> None:
    booked(hub)
    assert work(siu(hub, "S14", CHAIR.format("D"))) == []
    assert "With arms" not in str(hub.one("Appointment").get("extension", ""))
    assert roles(hub) == ["Lamp", "Surgeon", "Anesthetist"]


def test_an_unknown_action_deletes_nothing(hub: Hub) -> None:
    booked(hub)
    assert work(siu(hub, "S14", "AIP|2|Q|D13^ABEL^TOM^^^^^^NORTH|ANES^Anesthetist^L")) == ["unknown-action"]
    assert "Anesthetist" in roles(hub)


@pytest.mark.parametrize("event", ["S12", "S14"])
def test_taken_out_before_it_was_known_is_nobody(hub: Hub, event: str) -> None:
    assert work(siu(hub, event, QUILL.format("A"), ABEL.format("D"))) in ([], ["nothing-to-change"])
    assert roles(hub) == ["Surgeon"]
