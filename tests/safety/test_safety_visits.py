"""The course of a visit: what it was before stands in its history, and what is taken back leaves it."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from safety_hub import Hub, adt, oru, who

from engine.fhir.validate import validate
from engine.kernel.message import Outcome

DAY = "20260502"


def pv1(
    bed: str = "3W^301^A^NORTH",
    kind: str = "I",
    before: str = "",
    since: str = "",
    until: str = "",
    more: str = "",
) -> str:
    fields = [""] * 46
    fields[0:4] = ["PV1", "1", kind, bed]
    fields[6], fields[19], fields[44], fields[45] = before, "V100^^^NORTH^VN", since, until
    return "|".join(fields) + more


def at(hour: int, minute: int = 0) -> str:
    return f"{DAY}{hour:02}{minute:02}00-0500"


def event(
    name: str, hour: int, bed: str = "3W^301^A^NORTH", *, occurred: str = "", app: str = "ADTSYS", **more: str
) -> str:
    said = adt(name, who(), pv1(bed, **more), app=app, at=at(hour))
    return said.replace(f"EVN|{name}|{at(hour)}", f"EVN|{name}|{at(hour)}||||{occurred}")


ICU = "ICU^2^B^NORTH"
WARD = "3W^301^A^NORTH"
ER = "ER^1^^NORTH"


def places(hub: Hub) -> list[tuple[str, str, str, str]]:
    """(bed, status, start, end) of every place, as hours."""
    visit = hub.one("Encounter")
    names = {f"Location/{one['id']}": one for one in hub.all("Location")}
    found = []
    for place in visit.get("location", ()):
        at_ = names[place["location"]["reference"]]
        short = at_["name"]
        while short not in ("ICU", "3W", "ER", "OR"):
            at_ = names[at_["partOf"]["reference"]]
            short = at_["name"]
        period = place.get("period", {})
        found.append((short, place.get("status", ""), hour(period.get("start")), hour(period.get("end"))))
    return found


def hour(text: str | None) -> str:
    return text[11:16] if text else ""


def history(visit: dict[str, Any], element: str = "status") -> list[tuple[str, str, str]]:
    found = []
    for one in visit.get(f"{element}History", ()):
        value = one[element] if element == "status" else one[element]["code"]
        found.append((value, hour(one["period"].get("start")), hour(one["period"].get("end"))))
    return found


def work_of(outcome: Outcome) -> list[str]:
    return [f.code for f in outcome.flags if f.work]


def test_from_planned_to_finished(hub: Hub) -> None:
    hub.adt(event("A05", 8))
    hub.adt(event("A01", 9, since=at(9)))
    hub.adt(event("A21", 11))
    hub.adt(event("A22", 12))
    hub.adt(event("A03", 14, since=at(9), until=at(13, 30)))
    visit = hub.one("Encounter")
    assert visit["status"] == "finished"
    assert history(visit) == [
        ("planned", "08:00", "09:00"),
        ("in-progress", "09:00", "11:00"),
        ("onleave", "11:00", "12:00"),
        ("in-progress", "12:00", "13:30"),
    ]
    assert places(hub) == [("3W", "completed", "09:00", "13:30")]
    assert validate(visit) == []


def test_the_class_that_was(hub: Hub) -> None:
    hub.adt(event("A04", 9, ER, kind="E"))
    hub.adt(event("A06", 10, kind="I"))
    hub.adt(event("A07", 12, kind="O"))
    visit = hub.one("Encounter")
    assert visit["class"]["code"] == "AMB"
    assert history(visit, "class") == [("EMER", "09:00", "10:00"), ("IMP", "10:00", "12:00")]
    assert places(hub) == [("3W", "active", "10:00", ""), ("ER", "completed", "09:00", "10:00")]


def test_every_bed_of_a_stay(hub: Hub) -> None:
    hub.adt(event("A01", 9))
    hub.adt(event("A02", 11, ICU, occurred=at(10, 30), before=WARD))
    hub.adt(event("A08", 12, ICU, before=WARD))
    hub.adt(event("A02", 14, before=ICU))
    assert places(hub) == [
        ("3W", "active", "14:00", ""),
        ("ICU", "completed", "10:30", "14:00"),
        ("3W", "completed", "09:00", "10:30"),
    ]


def test_a_place_before_that_nobody_had_told(hub: Hub) -> None:
    hub.adt(event("A02", 10, ICU, before=ER))
    assert places(hub) == [("ICU", "active", "10:00", ""), ("ER", "completed", "", "10:00")]


def test_a_place_before_in_an_update_has_no_time(hub: Hub) -> None:
    hub.adt(event("A08", 10, ICU, before=ER))
    assert places(hub) == [("ICU", "active", "", ""), ("ER", "completed", "", "")]


def test_an_update_tells_a_move_that_no_transfer_told(hub: Hub) -> None:
    hub.adt(event("A01", 9))
    hub.adt(event("A08", 11, ICU))
    assert places(hub) == [("ICU", "active", "11:00", ""), ("3W", "completed", "09:00", "11:00")]


def test_without_times_nothing_is_made_up(hub: Hub) -> None:
    def bare(name: str, bed: str) -> str:
        head = f"MSH|^~\\&|ADTSYS|NORTH|HUB|CDR|||ADT^{name}|N{name}{bed[:2]}|P|2.5.1"
        return "\n".join([head, f"EVN|{name}", who(), pv1(bed)])

    hub.adt(bare("A05", WARD))
    hub.adt(bare("A01", WARD))
    hub.adt(bare("A02", ICU))
    visit = hub.one("Encounter")
    unknown = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
    assert visit["statusHistory"] == [{"status": "planned", "period": {"extension": [unknown]}}]
    assert validate(visit) == []
    assert places(hub) == [("ICU", "active", "", ""), ("3W", "completed", "", "")]


def test_a_transfer_taken_back_leaves_the_history(hub: Hub) -> None:
    hub.adt(event("A01", 9))
    hub.adt(event("A02", 11, ICU, before=WARD))
    hub.adt(event("A08", 12, ICU))
    assert hub.adt(event("A12", 13, WARD, occurred=at(11))).flags == ()
    assert places(hub) == [("3W", "active", "09:00", "")]


def test_of_two_transfers_the_last_is_taken_back(hub: Hub) -> None:
    hub.adt(event("A01", 9))
    hub.adt(event("A02", 11, ICU))
    hub.adt(event("A02", 12, "OR^1^^NORTH"))
    hub.adt(event("A12", 13, ICU))
    assert places(hub) == [("ICU", "active", "11:00", ""), ("3W", "completed", "09:00", "11:00")]


def test_a_transfer_taken_back_that_names_the_wrong_bed_again(hub: Hub) -> None:
    hub.adt(event("A01", 9))
    hub.adt(event("A02", 11, ICU))
    assert "cancel-unclear" in work_of(hub.adt(event("A12", 12, ICU)))
    assert places(hub) == [("3W", "active", "09:00", "")]


def test_a_transfer_taken_back_that_is_not_known(hub: Hub) -> None:
    hub.adt(event("A01", 9))
    assert "nothing-to-change" in work_of(hub.adt(event("A12", 12)))
    assert places(hub) == [("3W", "active", "09:00", "")]


def test_a_discharge_taken_back_leaves_the_history(hub: Hub) -> None:
    hub.adt(event("A01", 9))
    hub.adt(event("A03", 11, until=at(11)))
    hub.adt(event("A13", 12, until=at(11)))
    visit = hub.one("Encounter")
    assert (visit["status"], history(visit)) == ("in-progress", [])
    assert "end" not in visit.get("period", {})
    assert places(hub) == [("3W", "active", "09:00", "")]


def test_a_discharge_taken_back_gives_back_the_leave(hub: Hub) -> None:
    hub.adt(event("A01", 9))
    hub.adt(event("A21", 10))
    hub.adt(event("A03", 11, until=at(11)))
    hub.adt(event("A13", 12))
    visit = hub.one("Encounter")
    assert (visit["status"], history(visit)) == ("onleave", [("in-progress", "09:00", "10:00")])


def test_a_leave_taken_back_and_a_return_taken_back(hub: Hub) -> None:
    hub.adt(event("A01", 9))
    hub.adt(event("A21", 10))
    hub.adt(event("A52", 11))
    assert (hub.one("Encounter")["status"], history(hub.one("Encounter"))) == ("in-progress", [])
    hub.adt(event("A21", 12))
    hub.adt(event("A22", 13))
    hub.adt(event("A53", 14))
    visit = hub.one("Encounter")
    assert (visit["status"], history(visit)) == ("onleave", [("in-progress", "09:00", "12:00")])


def test_an_admission_taken_back_never_was(hub: Hub) -> None:
    hub.adt(event("A05", 8))
    hub.adt(event("A01", 9))
    hub.adt(event("A02", 10, ICU, before=WARD))
    hub.adt(event("A11", 12, ICU, occurred=at(9)))
    visit = hub.one("Encounter")
    assert (visit["status"], history(visit)) == ("cancelled", [("planned", "08:00", "12:00")])
    assert all("status" not in place and "period" not in place for place in visit["location"])


def test_a_plan_that_is_called_off_was_one(hub: Hub) -> None:
    hub.adt(event("A05", 8))
    hub.adt(event("A38", 9))
    visit = hub.one("Encounter")
    assert (visit["status"], history(visit)) == ("cancelled", [("planned", "08:00", "09:00")])


def test_a_result_that_comes_before_the_admission_dates_nothing(hub: Hub) -> None:
    hub.lab(oru(who(), visit=pv1(WARD)))
    hub.adt(event("A01", 9))
    assert places(hub) == [
        ("3W", "active", "09:00", ""),
        ("3W", "active", "", ""),
    ]  # as registration, as the lab
    assert history(hub.one("Encounter")) == []
    hub.adt(event("A02", 10, ICU))
    assert places(hub)[:2] == [("ICU", "active", "10:00", ""), ("3W", "completed", "09:00", "10:00")]


def test_another_sender_names_places_in_its_own_way(hub: Hub) -> None:
    hub.adt(event("A01", 9))
    for hour in (10, 11):
        hub.adt(event("A08", hour, app="OTHERADT"))
        hub.adt(event("A08", hour, app="ADTSYS"))
    assert places(hub)[0] == ("3W", "active", "09:00", "")
    assert all(place[1] == "active" for place in places(hub))


def test_a_transfer_told_late_has_its_place_in_the_history(hub: Hub) -> None:
    hub.adt(event("A01", 9))
    hub.adt(event("A03", 14, until=at(14)))
    outcome = hub.adt(event("A02", 11, ICU, before=WARD))
    assert "late" in work_of(outcome)
    visit = hub.one("Encounter")
    assert visit["status"] == "finished"
    assert ("ICU", "completed", "11:00", "") in places(hub)
    assert ("3W", "completed", "09:00", "11:00") in places(hub)


def test_a_discharge_told_late_ends_the_visit(hub: Hub) -> None:
    hub.adt(event("A01", 9))
    hub.adt(event("A31", 15))
    hub.adt(event("A03", 12, until=at(12)))
    visit = hub.one("Encounter")
    assert (visit["status"], hour(visit["period"]["end"])) == ("finished", "12:00")
    assert places(hub) == [("3W", "completed", "09:00", "12:00")]


STORY = {
    "A01": event("A01", 9),
    "A02": event("A02", 11, ICU, before=WARD),
    "A08": event("A08", 12, ICU),
    "A12": event("A12", 13, WARD, occurred=at(11)),
    "A03": event("A03", 14, WARD, until=at(14)),
    "A13": event("A13", 15, WARD),
}


def _result(hub: Hub) -> Any:
    visit = hub.one("Encounter")
    return visit["status"], history(visit), visit.get("classHistory"), sorted(places(hub))


@pytest.mark.parametrize("order", list(itertools.permutations(("A02", "A12", "A03", "A13")))[::4])
def test_the_order_of_arrival_does_not_matter(hub: Hub, order: tuple[str, ...]) -> None:
    hub.adt(STORY["A01"])
    for name in order:
        hub.adt(STORY[name])
    assert _result(hub) == ("in-progress", [], None, [("3W", "active", "09:00", "")])


@pytest.mark.parametrize("entry", [1, 2, 3, 4, 5, 6])
def test_a_replay_gives_the_same_history(hub: Hub, entry: int) -> None:
    for message in STORY.values():
        hub.adt(message)
    before = _result(hub)
    for number in (entry, 1, entry):
        assert hub.replay(number).status == "done"
        assert _result(hub) == before


def test_a_replay_of_a_stay_with_a_late_transfer(hub: Hub) -> None:
    for name in ("A01", "A03", "A02"):
        hub.adt(STORY[name])
    before = _result(hub)
    for number in (3, 1, 2, 3):
        assert hub.replay(number).status == "done"
        assert _result(hub) == before


def test_admitted_again_under_the_same_number(hub: Hub) -> None:
    """The first stay's discharge is in the history; the second stay has not ended before it began."""
    hub.adt(event("A01", 8, since=at(8)))
    hub.adt(event("A03", 9, until=at(9)))
    hub.adt(event("A01", 11, ICU, since=at(11)))
    visit = hub.one("Encounter")
    assert visit["status"] == "in-progress"
    assert {end: hour(when) for end, when in visit["period"].items()} == {"start": "11:00"}
    assert history(visit) == [("in-progress", "08:00", "09:00"), ("finished", "09:00", "11:00")]
    assert validate(visit) == []
    hub.adt(event("A11", 12, ICU))
    assert "end" not in hub.one("Encounter")["period"]


def test_an_admission_told_late_says_when_the_visit_began(hub: Hub) -> None:
    hub.adt(event("A03", 14, until=at(14)))
    hub.adt(event("A01", 9, since=at(8)))
    period = hub.one("Encounter")["period"]
    assert (hour(period["start"]), hour(period["end"])) == ("08:00", "14:00")


def test_the_time_of_admission_stays_until_it_is_deleted_or_another_is_told(hub: Hub) -> None:
    hub.adt(event("A01", 9, since=at(9)))
    hub.adt(event("A08", 10))
    assert hour(hub.one("Encounter")["period"]["start"]) == "09:00"
    hub.adt(event("A08", 11, since=at(8)))
    assert hour(hub.one("Encounter")["period"]["start"]) == "08:00"
    hub.adt(event("A08", 12, since='""'))
    assert "start" not in hub.one("Encounter").get("period", {})


@pytest.mark.parametrize("name", ["A08", "A02"])
def test_a_place_that_is_deleted_is_left(hub: Hub, name: str) -> None:
    hub.adt(event("A01", 9, since=at(9)))
    hub.adt(event(name, 11, '""'))
    assert places(hub) == [("3W", "completed", "09:00", "11:00")]
    hub.adt(event("A08", 12))
    assert places(hub) == [("3W", "active", "12:00", ""), ("3W", "completed", "09:00", "11:00")]


def test_another_sender_deletes_no_place(hub: Hub) -> None:
    hub.adt(event("A01", 9, since=at(9)))
    hub.adt(event("A08", 11, '""', app="EHR"))
    assert places(hub) == [("3W", "active", "09:00", "")]
