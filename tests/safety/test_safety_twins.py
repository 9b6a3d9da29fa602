"""Two results of one key: a message that brings one of them waits: nothing says which is meant."""

from __future__ import annotations

import pytest
from safety_hub import Hub, obx, oru, who

LATER = {"at": "20260501130000-0500", "reported": "20260501125900-0500"}


def values(hub: Hub) -> list[str]:
    return [str(r["valueQuantity"]["value"]) for r in hub.all("Observation")]


@pytest.mark.parametrize("known", [("4.1", "4.4"), ("4.1", "4.2", "4.4")])
def test_one_of_two_with_the_same_key_waits(hub: Hub, known: tuple[str, ...]) -> None:
    hub.lab(oru(who(), *(obx(v) for v in known)))
    outcome = hub.lab(oru(who(), *(obx(v, "C") for v in known[1:]), **LATER))
    assert (outcome.status, outcome.cause) == ("parked", "duplicate-key")
    assert values(hub) == list(known)


def test_both_of_them_are_written(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.1"), obx("4.4")))
    assert hub.lab(oru(who(), obx("4.1"), obx("4.5", "C"), **LATER)).status == "done"
    assert values(hub) == ["4.1", "4.5"]


def test_sub_ids_tell_them_apart(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.1", sub="1"), obx("4.4", sub="2")))
    assert hub.lab(oru(who(), obx("4.5", "C", sub="2"), **LATER)).status == "done"
    assert values(hub) == ["4.1", "4.5"]


def test_a_second_one_that_comes_later_is_a_second_one(hub: Hub) -> None:
    hub.lab(oru(who(), obx("4.1")))
    hub.lab(oru(who(), obx("4.1"), obx("4.4"), **LATER))
    assert values(hub) == ["4.1", "4.4"]
