"""Visits and accounts that move, visits that become one, people who are taken apart: what hangs on them goes
along, in any order and when run again; what is not clear waits for a person.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from safety_hub import Hub, adt, merge, obx, oru, stay, who

from engine.kernel.message import Outcome


def work_of(outcome: Outcome) -> list[str]:
    return [f.code for f in outcome.flags if f.work]


def visit(number: str = "V100") -> str:
    return stay(number)


def mrg(patient: str = "88", number: str = "", account: str = "") -> str:
    account = f"{account}^^^NORTH^AN" if account else ""
    number = f"{number}^^^NORTH^VN" if number else ""
    return f"MRG|{patient}^^^NORTH^MR||{account}||{number}"


def moved(to: str = "77", of: str = "88", number: str = "V100") -> str:
    return adt("A45", who(to), mrg(of, number))


def encounter(hub: Hub, number: str = "V100") -> dict[str, Any]:
    (found,) = [e for e in hub.all("Encounter") if e["identifier"][0]["value"] == number]
    return found


def counts(hub: Hub, number: str) -> tuple[int, int, int, int]:
    kinds = ("Encounter", "DiagnosticReport", "Observation", "ServiceRequest")
    return tuple(len(hub.of(number, kind)) for kind in kinds)  # type: ignore[return-value]


def test_a_visit_moves_with_all_that_hangs_on_it(hub: Hub) -> None:
    hub.adt(adt("A01", who("77")))
    hub.adt(adt("A01", who("88"), visit()))
    hub.lab(oru(who("88"), visit=visit()))
    hub.lab(oru(who("88"), filler="F2^LIS", placer="P2^EHR"))
    assert hub.adt(moved()).status == "done"
    assert counts(hub, "77")[0] == 1
    assert counts(hub, "77")[1:] == (1, 1, 1)
    assert counts(hub, "88")[1:] == (1, 1, 1)


def test_a_move_said_again_changes_nothing(hub: Hub) -> None:
    hub.adt(adt("A01", who("88"), visit()))
    hub.lab(oru(who("88"), visit=visit()))
    hub.adt(moved())
    head = hub.store.head()
    assert hub.adt(moved()).status == "done"
    assert counts(hub, "77") == (1, 1, 1, 1)
    kinds = {c.type for c in hub.store.feed(head, 1000)}
    assert not kinds & {"Encounter", "Observation", "DiagnosticReport"}


def test_the_visit_of_a_third_patient_does_not_move(hub: Hub) -> None:
    hub.adt(adt("A01", who("99"), visit()))
    hub.adt(adt("A01", who("88")))
    outcome = hub.adt(moved())
    assert (outcome.status, outcome.cause) == ("parked", "move-unclear")
    assert encounter(hub)["subject"]["reference"].endswith(hub.patient("99")["id"])


def test_a_move_that_names_nobody_before_waits(hub: Hub) -> None:
    hub.adt(adt("A01", who("88"), visit()))
    assert hub.adt(adt("A45", who("77"), "MRG|||||V100^^^NORTH^VN")).cause == "other-patient"


def test_the_visit_of_a_retired_number_moves(hub: Hub) -> None:
    hub.adt(adt("A01", who("88"), visit()))
    hub.adt(merge("66", "88"))
    assert hub.adt(moved()).status == "done"
    assert len(hub.of("77", "Encounter")) == 1


def test_what_hangs_on_two_visits_stays_and_is_told(hub: Hub) -> None:
    hub.adt(adt("A01", who("88"), visit()))
    hub.lab(oru(who("88"), visit=visit()))
    hub.lab(oru(who("88"), visit=visit("V200"), filler="F2^LIS", placer="P1^EHR"))
    hub.adt(moved())
    assert len(hub.of("77", "DiagnosticReport")) + len(hub.of("88", "DiagnosticReport")) == 2
    about = {r["subject"]["reference"] for r in hub.all("ServiceRequest")}
    assert all(name.startswith("Patient/") for name in about)


@pytest.mark.parametrize("entry", [1, 2, 3])
def test_replays_keep_a_move(hub: Hub, entry: int) -> None:
    hub.adt(adt("A01", who("88"), visit()))
    hub.lab(oru(who("88"), visit=visit()))
    hub.adt(moved())
    for number in (entry, 1, 2, 3):
        assert hub.replay(number).status == "done"
        assert counts(hub, "77") == (1, 1, 1, 1)


def test_news_under_the_patient_who_had_the_visit_waits(hub: Hub) -> None:
    hub.adt(adt("A01", who("88"), visit()))
    hub.lab(oru(who("88"), visit=visit()))
    hub.adt(moved())
    assert hub.lab(oru(who("88"), obx("9.9", "C"), status="C", visit=visit())).cause == "other-patient"
    assert str(hub.one("Observation")["valueQuantity"]["value"]) == "4.1"


def test_an_account_moves_with_its_visits(hub: Hub) -> None:
    pid = who("88", rest="|" * 10 + "ACC1^^^NORTH^AN")
    hub.adt(adt("A01", pid, visit()))
    hub.lab(oru(who("88"), visit=visit()))
    outcome = hub.any(adt("A44", who("77"), mrg("88", account="ACC1")))
    assert outcome.status == "done"
    account = hub.one("Account")
    assert [one["reference"] for one in account["subject"]] == [f"Patient/{hub.patient('77')['id']}"]
    assert counts(hub, "77") == (1, 1, 1, 1)


def test_two_visits_become_one(hub: Hub) -> None:
    hub.adt(adt("A01", who("77"), visit("V100")))
    hub.adt(adt("A01", who("77"), visit("V99")))
    hub.lab(oru(who("77"), visit=visit("V99")))
    assert hub.any(adt("A42", who("77"), mrg("77", "V99"), visit("V100"))).status == "done"
    kept, gone = encounter(hub, "V100"), encounter(hub, "V99")
    assert (kept["status"], gone["status"]) == ("in-progress", "entered-in-error")
    name = f"Encounter/{kept['id']}"
    assert hub.one("Observation")["encounter"]["reference"] == name
    assert hub.one("DiagnosticReport")["encounter"]["reference"] == name
    hub.lab(oru(who("77"), visit=visit("V99"), filler="F2^LIS", placer="P2^EHR"))
    assert {r["encounter"]["reference"] for r in hub.all("Observation")} == {name}
    for entry in (3, 4, 1, 2):
        assert hub.replay(entry).status == "done"
        assert {r["encounter"]["reference"] for r in hub.all("Observation")} == {name}
        assert encounter(hub, "V99")["status"] == "entered-in-error"


def test_the_end_of_a_visit_that_became_another_one_is_not_lost(hub: Hub) -> None:
    """Nothing says that it is the end of the other one: a person looks."""
    hub.adt(adt("A01", who("77"), visit("V100")))
    hub.adt(adt("A01", who("77"), visit("V99")))
    hub.any(adt("A42", who("77"), mrg("77", "V99"), visit("V100")))
    assert work_of(hub.adt(adt("A03", who("77"), visit("V99")))) == ["retired-visit"]
    assert work_of(hub.adt(adt("A08", who("77"), visit("V99")))) == []
    assert work_of(hub.lab(oru(who("77"), visit=visit("V99")))) == []
    assert encounter(hub, "V100")["status"] == "in-progress"


def test_visits_that_cannot_become_one(hub: Hub) -> None:
    hub.adt(adt("A01", who("77"), visit("V100")))
    hub.adt(adt("A01", who("88"), visit("V99")))
    assert hub.any(adt("A42", who("77"), mrg("77", "V99"), visit("V100"))).cause == "other-patient"
    assert hub.any(adt("A42", who("77"), mrg("77", "V100"), visit("V100"))).status == "parked"
    hub.any(adt("A42", who("77"), mrg("77", "V98"), visit("V100")))
    assert hub.any(adt("A42", who("77"), mrg("77", "V98"), visit("V101"))).cause == "merge-conflict"


def link(event: str, one: str = "77", other: str = "88") -> str:
    return adt(event, who(one), who(other).replace("PID|1", "PID|2"))


def test_a_link_is_taken_back(hub: Hub) -> None:
    hub.any(link("A24"))
    assert "link" in hub.patient("77") and "link" in hub.patient("88")
    assert work_of(hub.any(link("A37"))) == []
    assert "link" not in hub.patient("77") and "link" not in hub.patient("88")


def test_a_link_that_was_none_is_told(hub: Hub) -> None:
    hub.adt(adt("A01", who("77")))
    assert work_of(hub.any(link("A37"))) == ["nothing-to-change"]


def test_a_merge_is_taken_back(hub: Hub) -> None:
    hub.lab(oru(who("88")))
    hub.lab(oru(who("77"), filler="F2^LIS", placer="P2^EHR"))
    hub.adt(merge("77", "88"))
    assert counts(hub, "77")[1:] == (2, 2, 2)
    assert work_of(hub.any(link("A37"))) == []
    assert counts(hub, "77")[1:] == (1, 1, 1)
    assert counts(hub, "88")[1:] == (1, 1, 1)
    for number in ("77", "88"):
        assert "link" not in hub.patient(number) and "active" not in hub.patient(number)
    hub.lab(oru(who("88"), obx("4.4", "C"), status="C"))
    assert sorted(str(r["valueQuantity"]["value"]) for r in hub.of("88", "Observation")) == ["4.4"]


def test_what_came_between_goes_by_its_number(hub: Hub) -> None:
    hub.adt(adt("A01", who("77")))
    hub.adt(adt("A01", who("88")))
    hub.adt(merge("77", "88"))
    hub.lab(oru(who("88")))
    assert len(hub.of("77", "Observation")) == 1
    assert work_of(hub.any(link("A37"))) == []
    assert len(hub.of("88", "Observation")) == 1


def test_what_came_between_under_the_survivor_is_told(hub: Hub) -> None:
    hub.adt(adt("A01", who("88")))
    hub.adt(merge("77", "88"))
    hub.lab(oru(who("77")))
    assert work_of(hub.any(link("A37"))) == ["unmerge-check"]
    assert len(hub.of("77", "Observation")) == 1


def test_the_middle_of_a_chain_comes_apart_with_what_it_had(hub: Hub) -> None:
    for n, number in enumerate(("88", "77", "66"), 1):
        hub.lab(oru(who(number), filler=f"F{n}^LIS", placer=f"P{n}^EHR"))
    hub.adt(merge("77", "88"))
    hub.adt(merge("66", "77"))
    assert len(hub.of("66", "Observation")) == 3
    assert hub.any(link("A37", "66", "88")).cause == "unmerge-chain"
    assert hub.any(link("A37", "66", "77")).status == "done"
    assert (len(hub.of("66", "Observation")), len(hub.of("77", "Observation"))) == (1, 2)
    hub.lab(oru(who("88"), filler="F9^LIS", placer="P9^EHR"))
    assert len(hub.of("77", "Observation")) == 3
    assert hub.any(link("A37", "77", "88")).status == "done"
    assert (len(hub.of("77", "Observation")), len(hub.of("88", "Observation"))) == (1, 2)


@pytest.mark.parametrize("first", [1, 2, 3, 4, 5])
def test_replays_keep_the_unmerge(hub: Hub, first: int) -> None:
    hub.lab(oru(who("88")))
    hub.lab(oru(who("77"), filler="F2^LIS", placer="P2^EHR"))
    hub.adt(merge("77", "88"))
    hub.lab(oru(who("88"), obx("4.4", "C"), status="C"))
    hub.any(link("A37"))
    for number in (first, 1, 3, 5):
        assert hub.replay(number).status == "done"
        assert (len(hub.of("77", "Observation")), len(hub.of("88", "Observation"))) == (1, 1)
        assert all("active" not in p and "link" not in p for p in hub.all("Patient"))


def test_merged_again_after_the_unmerge(hub: Hub) -> None:
    hub.lab(oru(who("88")))
    hub.adt(merge("77", "88"))
    hub.any(link("A37"))
    assert hub.adt(merge("77", "88")).status == "done"
    assert len(hub.of("77", "Observation")) == 1
    assert hub.patient("88")["active"] is False


def test_a_number_moves_to_another_person(hub: Hub) -> None:
    def of(external: str) -> str:
        return who("77").replace("PID|1||", f"PID|1|{external}^^^CITY^PI|")

    hub.adt(adt("A08", of("E1")))
    hub.lab(oru(who("77")))
    assert hub.any(adt("A43", of("E2"), "MRG|77^^^NORTH^MR|||E1^^^CITY^PI")).status == "done"
    (person,) = hub.all("Patient")
    assert [one["value"] for one in person["identifier"]] == ["77", "E2"]
    assert len(hub.of("77", "Observation")) == 1


@pytest.mark.parametrize("prior", ["88^^^NORTH^MR|||E1^^^CITY^PI", "77^^^NORTH^MR"])
def test_a_move_to_another_number_or_from_nobody_waits(hub: Hub, prior: str) -> None:
    hub.adt(adt("A08", who("88")))
    assert hub.any(adt("A43", who("77"), f"MRG|{prior}")).cause == "refused"
    assert len(hub.all("Patient")) == 1


def test_a_channel_without_authority_moves_and_parts_nothing(hub: Hub) -> None:
    hub.adt(adt("A01", who("77"), visit("V99")))
    hub.adt(adt("A01", who("88"), visit()))
    hub.adt(merge("66", "77"))
    head = hub.store.head()
    channel = hub.channels["lab_oru"]
    assert channel.mllp is not None
    rules = channel.mllp.rules.model_copy(update={"accept": ()})
    hub.channels["lab_oru"] = replace(channel, mllp=channel.mllp.model_copy(update={"rules": rules}))
    joined = adt("A42", who("77"), mrg("77", "V99"), visit("V100"))
    for message in (moved(), joined, link("A37", "66", "77")):
        assert hub.lab(message).cause == "no-authority"
    assert hub.store.head() == head
