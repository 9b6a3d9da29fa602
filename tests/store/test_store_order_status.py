"""An order whose filler says that it is completed: it is, and nothing else of it is changed by a result."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hub_project import Hub, make_project

HEAD = "MSH|^~\\&|{app}|NORTH|HUB|MERCY|20260501{n:06d}-0500||{kind}|M{n}|P|2.5.1\r"
WHO = "PID|1||5501^^^NORTH&2.16.840.1.113883.19.5&ISO^MR||HALE^JUNE||19600606|F\r"
RESULT = "OBX|1|NM|718-7^Hemoglobin^LN||12.1|g/dL^^UCUM|12-16|N|||F|||20260502083000-0500\r"


@pytest.fixture
def hub(tmp_path: Path) -> Iterator[Any]:
    made = Hub.open(make_project(tmp_path / "project"))
    count = 0

    def take(kind: str, *rest: str, app: str = "LIS") -> int:
        nonlocal count
        count += 1
        body = HEAD.format(app=app, n=count, kind=kind) + WHO + "".join(rest)
        entry = made.receive("lab_oru", body.encode())
        made.work()
        outcome = made.store.outcome(entry)
        assert outcome is not None and outcome.status == "done", outcome
        return entry

    made.say = take
    yield made
    made.close()


def place(hub: Any, control: str = "NW", number: str = "P1") -> str:
    order = hub.say(
        "ORM^O01^ORM_O01",
        f"ORC|{control}|{number}^EHR|||||||20260501090000-0500|||77^Welby^Marcus\r",
        f"OBR|1|{number}^EHR||58410-2^CBC^LN\r",
        app="EHR",
    )
    return str(hub.written(order, "ServiceRequest"))


def report(hub: Any, status: str, *, number: str = "P1", control: str = "RE", result: str = "F") -> int:
    return int(
        hub.say(
            "ORU^R01^ORU_R01",
            f"ORC|{control}|{number}^EHR|F1^LIS||{status}|||||||99^Other^Doctor\r",
            f"OBR|1|{number}^EHR|F1^LIS|CBCX^CBC local^L|||20260502083000-0500|||||||||||||||"
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
        f"ORC|RE|P1^EHR|F{n}^LIS||{said}\rOBR|{n}|P1^EHR|F{n}^LIS|T{n}^Test^L|||20260502083000-0500|||||||||||||||"
        f"20260502110000-0500||LAB|F\r{RESULT}"
        for n, said in ((1, "CM"), (2, "IP"))
    )
    hub.say("ORU^R01^ORU_R01", *groups)
    assert hub.store.read("ServiceRequest", order)["status"] == "active"


def test_an_order_that_nobody_sent_is_made_as_before(hub):
    entry = report(hub, "CM", number="P9")
    made = hub.store.read("ServiceRequest", hub.written(entry, "ServiceRequest"))
    assert made["status"] == "completed" and made["code"]["coding"][0]["code"] == "CBCX"


def test_said_twice_and_corrected(hub):
    order = place(hub)
    report(hub, "CM")
    version = hub.store.read("ServiceRequest", order)["meta"]["versionId"]
    report(hub, "CM", result="C")
    assert hub.store.read("ServiceRequest", order)["meta"]["versionId"] == version


def test_another_orders_completion_is_its_own(hub):
    first, second = place(hub), place(hub, number="P2")
    report(hub, "CM", number="P2")
    status = [hub.store.read("ServiceRequest", one)["status"] for one in (first, second)]
    assert status == ["active", "completed"]
