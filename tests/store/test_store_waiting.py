"""What waits is read in one snapshot, from small indexes; what is closed waits no more and is not lost."""

from __future__ import annotations

from collections.abc import Callable

from store_messages import patient, result, work
from test_store_gaps import GLU, HELD, told

from engine.kernel.message import Flag, Work
from engine.store.sql import SqlStore

LATE = Flag("late-unclear", "OBX[1]", "perhaps older", True)
NOTE = Flag("note", "OBX[1]", "a note", False)
LANES = 4


def flagged(entry: int, *flags: Flag) -> Work:
    made = work(entry, patient(str(entry)), result(str(entry), f"A{entry}"))
    made.flags = list(flags)
    return made


def parked(entry: int, cause: str = "no-map") -> Work:
    made = work(entry)
    made.parked = Flag(cause, "MSH-9", "no map", True)
    return made


def any_place(code: str) -> Callable[[str, str], bool]:
    return lambda flag, _: flag == code


def test_a_look_gives_what_is_new_and_counts_of_all(store: SqlStore) -> None:
    store.apply([parked(1), flagged(2, LATE, NOTE), flagged(3, NOTE), told(4, GLU), parked(5, "invalid")])
    look = store.waiting.look(LANES)
    assert (look.parked_count, look.flagged_count) == (2, 1)
    assert [(row[0], row[3], row[4]) for row in sorted(look.parked)] == [
        (1, "no-map", "MSH-9"),
        (5, "invalid", "MSH-9"),
    ]
    assert [row[0] for row in look.flagged] == [2]
    number = store.gaps.all()[0].id
    assert look.waits == [(number, 4, 2)]
    again = store.waiting.look(LANES, 1, 2, look.mark)
    assert ([row[0] for row in again.parked], again.flagged, again.waits) == ([5], [], None)
    assert (again.parked_count, again.flagged_count) == (2, 1)
    assert store.waiting.states([1, 2, 9]) == {1: "parked", 2: "done"}
    assert store.waiting.channels([1, 9]) == {1: "lab"}
    assert store.waiting.outcomes([5])[5].cause == "invalid" and store.waiting.superseded([1, 2]) == 0


def test_closing_a_parked_message_keeps_its_cause_and_is_taken_back(store: SqlStore) -> None:
    store.apply([parked(1), parked(2), told(3, HELD), flagged(4)])
    number = store.gaps.all()[0].id
    assert store.closing.close([1, 3, 4, 9], any_place("no-map"), "closed by ann: a test") == [1, 3, 4]
    outcome = store.outcome(1)
    assert outcome is not None and (outcome.status, outcome.cause) == ("closed", "no-map")
    assert [o.entry for o in store.parked()] == [2] and store.gaps.waiting([number]) == {}
    assert store.waiting.look(LANES).parked_count == 1
    assert store.closing.close([1], any_place("no-map"), "again") == []
    assert store.closing.reopen([1, 3], any_place("no-map")) == [1, 3]
    assert [o.entry for o in store.parked()] == [1, 2, 3]


def test_closing_a_flag_leaves_what_was_written_and_the_other_flags(store: SqlStore) -> None:
    other = Flag("invalid", "Patient.name", "empty", True)
    store.apply([flagged(1, LATE, other, NOTE)])
    before = store.written_by(1)
    assert store.closing.close([1], any_place("late-unclear"), "seen") == [1]
    outcome = store.outcome(1)
    assert outcome is not None and outcome.status == "done" and store.written_by(1) == before
    assert [(f.code, bool(f.work)) for f in outcome.flags] == [
        ("late-unclear", False),
        ("invalid", True),
        ("note", False),
    ]
    assert store.waiting.look(LANES).flagged_count == 1
    store.closing.close([1], any_place("invalid"), "seen")
    assert store.waiting.look(LANES).flagged_count == 0
    assert store.closing.reopen([1], any_place("late-unclear")) == [1]
    outcome = store.outcome(1)
    assert outcome is not None and [f.work for f in outcome.flags] == [True, 0, False]
    assert store.closing.reopen([1], any_place("note")) == []  # a note never was work


def test_closing_a_code_is_about_that_code(store: SqlStore) -> None:
    both = told(1, GLU, GLU._replace(code="OTHER", where="OBX[2]-3"))
    both.flags = [Flag("unmapped-code", "OBX[1]-3 and 1 more", "no table has it", True)]
    store.apply([both])
    first, second = (s.id for s in store.gaps.all())
    store.closing.close([1], any_place("unmapped-code"), "seen", first)
    assert store.gaps.waiting([first, second]) == {1: set()} and store.waiting.look(LANES).flagged_count == 1
    store.closing.close([1], any_place("unmapped-code"), "seen", second)
    assert store.gaps.waiting([first, second]) == {} and store.waiting.look(LANES).flagged_count == 0
    store.closing.reopen([1], any_place("unmapped-code"), first)
    assert store.gaps.waiting([first]) == {1: set()} and store.waiting.look(LANES).flagged_count == 1
