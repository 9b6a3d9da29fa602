"""An order that a result calls cancelled: the order stays the orderer's, and a person is told."""

from __future__ import annotations

import pytest
from safety_hub import Hub, obx, orm, oru, who

CANCELLED = oru(who(), obx("", "X"), status="X")
BY_CONTROL = oru(who(), obx("4.1")).replace("ORC|RE|", "ORC|OC|")


def work_flags(outcome: object) -> list[str]:
    return [f.code for f in outcome.flags if f.work]  # type: ignore[attr-defined]


@pytest.mark.parametrize("result", [CANCELLED, BY_CONTROL], ids=["OBR-25 X", "ORC-1 OC"])
def test_an_active_order_that_a_result_calls_cancelled_is_put_on_a_list(hub: Hub, result: str) -> None:
    hub.lab(orm("NW"))
    outcome = hub.lab(result)
    assert outcome.status == "done"
    assert "order-cancelled" in work_flags(outcome)
    assert hub.one("ServiceRequest")["status"] == "active"


def test_an_order_revoked_already_needs_nobody(hub: Hub) -> None:
    hub.lab(orm("NW"))
    hub.lab(orm("OC"))
    outcome = hub.lab(CANCELLED)
    assert "order-cancelled" not in work_flags(outcome)
    assert hub.one("ServiceRequest")["status"] == "revoked"


def test_a_final_result_says_nothing_against_its_order(hub: Hub) -> None:
    hub.lab(orm("NW"))
    assert "order-cancelled" not in work_flags(hub.lab(oru(who(), obx("4.1"))))


def test_only_the_cancelled_order_of_a_message_is_named(hub: Hub) -> None:
    hub.lab(orm("NW"))
    hub.lab(orm("NW", placer="P2^EHR"))
    second = oru(who(), obx("4.1"), placer="P2^EHR", filler="F2^LIS").split("\n", 2)[2]
    outcome = hub.lab(CANCELLED + "\n" + second)
    assert work_flags(outcome).count("order-cancelled") == 1
