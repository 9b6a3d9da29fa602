"""Lanes belong to whoever took them last: the store refuses everybody else, with nothing written."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest
from store_messages import patient, work

from engine.kernel.message import Work
from engine.store.owning import LanesLost
from engine.store.sql import SqlStore


def of_lane(entry: int, lane: int) -> Work:
    return replace(work(entry, patient(str(entry))), lanes=(lane,))


def test_who_lost_a_lane_writes_nothing(open_store: Callable[[], SqlStore]) -> None:
    slow, quick = open_store(), open_store()
    slow.own({1, 2}, "a/worker-0")
    assert slow.apply([of_lane(1, 1)])[0].status == "done"
    quick.own({2}, "b/worker-0")
    with pytest.raises(LanesLost) as lost:
        slow.apply([of_lane(2, 2)])
    assert lost.value.lanes == {2} and "b/worker-0" in str(lost.value)
    assert quick.outcome(2) is None and quick.watermarks().get(2) is None
    assert quick.apply([of_lane(2, 2)])[0].status == "done"
    assert slow.apply([of_lane(3, 1)])[0].status == "done", "the lane it still has is its own"
    assert slow.owners() == {1: "a/worker-0", 2: "b/worker-0"}


@pytest.mark.parametrize("attempt", ["advance", "rerun", "one of a batch"])
def test_every_way_of_writing_is_refused(open_store: Callable[[], SqlStore], attempt: str) -> None:
    slow, quick = open_store(), open_store()
    slow.own({1, 2}, "a")
    quick.own({1}, "b")
    with pytest.raises(LanesLost):
        if attempt == "advance":
            slow.advance([1], 7)
        elif attempt == "rerun":
            slow.rerun([of_lane(1, 1)], who="ada")
        else:
            slow.apply([of_lane(1, 2), of_lane(2, 1)])
    assert quick.outcomes() == [] and quick.watermarks() == {}


def test_a_lane_taken_back_is_written_again(open_store: Callable[[], SqlStore]) -> None:
    one, other = open_store(), open_store()
    one.own({5}, "a")
    other.own({5}, "b")
    one.own({5}, "a")
    assert one.apply([of_lane(1, 5)])[0].status == "done"
    with pytest.raises(LanesLost):
        other.advance([5], 9)


def test_a_store_that_owns_nothing_is_not_asked(open_store: Callable[[], SqlStore]) -> None:
    """People's commands and the web side write without lanes."""
    worker, person = open_store(), open_store()
    worker.own({1}, "a")
    assert person.apply([of_lane(1, 1)])[0].status == "done"
