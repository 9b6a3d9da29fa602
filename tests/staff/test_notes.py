"""Notes on work: who has a task, until when it sleeps, comments that nobody reads in the database."""

from __future__ import annotations

import sqlalchemy as sa
from staff_clock import Clock

from engine.staff.notes import NOTES, Standing
from engine.staff.staff import Staff

ABOUT = ("lab", "no-map", "MSH-9", 0)


def test_a_task_is_taken_sleeps_and_is_talked_about(both: Staff, clock: Clock) -> None:
    notes = both.notes
    assert notes.standing(["t1"]) == {} and notes.of("t1") == []
    notes.comment("t1", ABOUT, "ann", "asked the vendor")
    assert notes.standing(["t1"]) == {"t1": Standing("", 0, ABOUT)}
    notes.assign("t1", ABOUT, "ann", "bob")
    notes.snooze("t1", ABOUT, "bob", both.now() + 1000, "until the vendor answers")
    notes.comment("t2", ABOUT, "ann", "another")
    found = notes.standing(["t1", "t2", "t3"])
    assert found["t1"] == Standing("bob", both.now() + 1000, ABOUT) and found["t1"].asleep(both.now())
    assert set(found) == {"t1", "t2"} and not found["t2"].asleep(both.now())
    notes.wake("t1", ABOUT, "bob")
    notes.assign("t1", ABOUT, "bob", "")
    assert notes.standing(["t1"])["t1"] == Standing("", 0, ABOUT)
    said = [(n.who, n.what, n.to, n.text) for n in notes.of("t1")]
    assert said == [
        ("ann", "comment", "", "asked the vendor"),
        ("ann", "assigned", "bob", ""),
        ("bob", "snoozed", "", "until the vendor answers"),
        ("bob", "woken", "", ""),
        ("bob", "assigned", "", ""),
    ]
    assert [n.what for n in notes.of("t1", limit=2)] == ["woken", "assigned"]  # the newest, oldest first


def test_texts_are_sealed(staff: Staff) -> None:
    staff.notes.comment("t1", ABOUT, "ann", "it is Jane Doe")
    with staff.database.read() as c:
        (sealed,) = c.execute(sa.select(NOTES.c.text)).scalars()
    assert b"Jane" not in sealed
