"""An order whose filler says that it is completed: it is, and nothing else of it is changed by a result."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from hub_project import Hub, make_project

from engine.channels.replay import ask_replay

HEAD = "MSH|^~\\&|{app}|NORTH|HUB|MERCY|20260501{n:06d}-0500||{kind}|M{n}|P|2.5.1\r"
WHO = "PID|1||{mrn}^^^NORTH&2.16.840.1.113883.19.5&ISO^MR||HALE^JUNE||19600606|F\r"
RESULT = "OBX|1|NM|718-7^Hemoglobin^LN||12.1|g/dL^^UCUM|12-16|N|||F|||20260502083000-0500\r"


class Case:
    """One patient and order of a hub that all tests of this file share."""

    made = 0

    def __init__(self, hub: Hub) -> None:
        Case.made += 1
        self.number, self.journal, self.store, self.work = f"P{Case.made}", hub.journal, hub.store, hub.work
        self._hub, self._who = hub, WHO.format(mrn=f"55{Case.made:02d}")

    def say(self, kind: str, *rest: str, app: str = "LIS") -> int:
        count = Case.made * 20 + len(self._hub.entries)
        self._hub.entries[f"{count}"] = count
        body = HEAD.format(app=app, n=len(self._hub.entries), kind=kind) + self._who + "".join(rest)
        entry = self._hub.receive("lab_oru", body.encode())
        self.work()
        outcome = self.store.outcome(entry)
        assert outcome is not None and outcome.status == "done", outcome
        return entry

    def written(self, entry: int, kind: str) -> str:
        return self._hub.written(entry, kind)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hub]:
    made = Hub.open(make_project(tmp_path_factory.mktemp("orders") / "project"))
    yield made
    made.close()


@pytest.fixture
def hub(shared: Hub) -> Case:
    return Case(shared)


def place(hub: Any, control: str = "NW", number: str = "") -> str:
    number = number or hub.number
    order = hub.say(
        "ORM^O01^ORM_O01",
        f"ORC|{control}|{number}^EHR|||||||20260501090000-0500|||77^Welby^Marcus\r",
        f"OBR|1|{number}^EHR||58410-2^CBC^LN\r",
        app="EHR",
    )
    return str(hub.written(order, "ServiceRequest"))


def report(hub: Any, status: str, *, number: str = "", control: str = "RE", result: str = "F") -> int:
    number = number or hub.number
    return int(
        hub.say(
            "ORU^R01^ORU_R01",
            f"ORC|{control}|{number}^EHR|F{number}^LIS||{status}|||||||99^Other^Doctor\r",
            f"OBR|1|{number}^EHR|F{number}^LIS|CBCX^CBC local^L|||20260502083000-0500|||||||||||||||"
            f"20260502110000-0500||LAB|{result}\r",
            RESULT,
        )
    )


def test_the_filler_completes_it_and_changes_nothing_else(hub):
    order = place(hub)
    before = hub.store.read("ServiceRequest", order)
    entry = report(hub, "CM")
    after = hub.store.read("ServiceRequest", order)
    assert (before["status"], after["status"]) == ("active", "completed")
    plain = {k: v for k, v in after.items() if k not in ("status", "meta")}
    assert plain == {k: v for k, v in before.items() if k not in ("status", "meta")}
    found = hub.store.read("DiagnosticReport", hub.written(entry, "DiagnosticReport"))
    assert found["basedOn"] == [{"reference": f"ServiceRequest/{order}"}] and found["status"] == "final"


@pytest.mark.parametrize("status", ["", "IP", "A", "SC", "HD", "CA"])
def test_any_other_word_leaves_it_as_the_orderer_said(hub, status):
    order = place(hub)
    before = hub.store.read("ServiceRequest", order)
    report(hub, status)
    assert hub.store.read("ServiceRequest", order) == before


def test_a_final_result_alone_completes_nothing(hub):
    order = place(hub)
    report(hub, "", control="NW")  # some echo the order control of the order
    assert hub.store.read("ServiceRequest", order)["status"] == "active"


def test_what_was_revoked_stays_so(hub):
    order = place(hub)
    place(hub, "OC")
    report(hub, "CM")
    assert hub.store.read("ServiceRequest", order)["status"] == "revoked"


def test_part_of_an_order_is_not_the_whole(hub):
    order = place(hub)
    groups = (
        f"ORC|RE|{hub.number}^EHR|X{n}^LIS||{said}\rOBR|{n}|{hub.number}^EHR|X{n}^LIS|T{n}^Test^L|||20260502083000-0500|||||||||||||||"
        f"20260502110000-0500||LAB|F\r{RESULT}"
        for n, said in ((1, "CM"), (2, "IP"))
    )
    hub.say("ORU^R01^ORU_R01", *groups)
    assert hub.store.read("ServiceRequest", order)["status"] == "active"


def test_an_order_that_nobody_sent_is_made_as_before(hub):
    entry = report(hub, "CM", number="Q9")
    made = hub.store.read("ServiceRequest", hub.written(entry, "ServiceRequest"))
    assert made["status"] == "completed" and made["code"]["coding"][0]["code"] == "CBCX"


def test_said_twice_and_corrected(hub):
    order = place(hub)
    report(hub, "CM")
    version = hub.store.read("ServiceRequest", order)["meta"]["versionId"]
    report(hub, "CM", result="C")
    assert hub.store.read("ServiceRequest", order)["meta"]["versionId"] == version


def test_another_orders_completion_is_its_own(hub):
    first, second = place(hub), place(hub, number="Q2")
    report(hub, "CM", number="Q2")
    status = [hub.store.read("ServiceRequest", one)["status"] for one in (first, second)]
    assert status == ["active", "completed"]


def again(hub: Any, entry: int) -> None:
    asked = ask_replay(hub.journal, entry, "a tester", "to see it")
    hub.work()
    outcome = hub.store.outcome(asked.id)
    assert outcome is not None and outcome.status == "done", outcome


def test_run_again_it_says_the_same(hub):
    order = place(hub)
    done = report(hub, "CM")
    again(hub, done)
    assert hub.store.read("ServiceRequest", order)["status"] == "completed"


def test_what_came_later_still_counts_when_the_result_runs_again(hub):
    order = place(hub)
    done = report(hub, "CM")
    place(hub, "XO")  # a change says nothing of how it stands
    assert hub.store.read("ServiceRequest", order)["status"] == "completed"
    place(hub, "OC")
    assert hub.store.read("ServiceRequest", order)["status"] == "revoked"
    again(hub, done)
    assert hub.store.read("ServiceRequest", order)["status"] == "revoked"


def test_a_result_that_came_before_its_order(hub):
    report(hub, "CM")
    order = place(hub)
    report(hub, "CM", result="C")
    assert hub.store.read("ServiceRequest", order)["status"] == "completed"
