"""Releases are written down before they happen, so that none is lost and none happens twice."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from engine.kernel.errors import HubError
from engine.staff.releases import RELEASES
from engine.staff.staff import Staff

ABOUT = ("lab", "no-map", "MSH-9", 0)


def test_a_release_goes_on_where_it_stopped(both: Staff) -> None:
    releases = both.releases
    made = releases.begin("t1", "form-1", "ann", "map written", ABOUT, [3, 1, 2], head=9)
    assert (made.entries, made.reason, made.ended, made.head) == (3, "map written", None, 9)
    assert releases.of_form("form-1") == made and releases.of_form("form-2") is None
    assert releases.busy() == {1, 2, 3} and releases.left(made.number, 2) == [1, 2]
    releases.asked(made.number, {1: 10, 2: 0})
    assert releases.left(made.number, 5) == [3] and releases.busy() == {3}
    releases.asked(made.number, {3: 12, 4: 13})  # 4 was not planned
    releases.end(made.number, held_back=2)
    found = releases.get(made.number)
    assert found is not None and (found.entries, found.held_back) == (4, 2) and found.ended
    assert releases.lines(made.number) == [(1, 10), (2, 0), (3, 12), (4, 13)]
    assert releases.lines(made.number, after=2, limit=1) == [(3, 12)]
    assert releases.busy() == set()


def test_a_form_makes_one_release(both: Staff) -> None:
    both.releases.begin("t1", "form", "ann", "why", ABOUT, [1])
    with pytest.raises(HubError):
        both.releases.begin("t1", "form", "bob", "why", ABOUT, [1])
    assert len(both.releases.newest()) == 1 and both.releases.left(1, 10) == [1]


def test_those_of_a_task_are_found_newest_first(both: Staff) -> None:
    for n, task in enumerate(("t1", "t2", "t1")):
        both.releases.begin(task, f"form-{n}", "ann", "why", ABOUT, [n], kind="close" if n else "release")
    assert [r.number for r in both.releases.of_task("t1")] == [3, 1]
    assert [r.number for r in both.releases.newest(2)] == [3, 2]
    assert both.releases.busy() == {0}  # a closing asks for nothing
    both.releases.reopen(3)
    found = both.releases.get(3)
    assert found is not None and found.reopened == both.now()


def test_reasons_are_sealed(staff: Staff) -> None:
    staff.releases.begin("t1", "form", "ann", "it is Jane Doe", ABOUT, [])
    with staff.database.read() as c:
        (sealed,) = c.execute(sa.select(RELEASES.c.reason)).scalars()
    assert b"Jane" not in sealed
