"""Critical results and subscriptions in the staff database, on SQLite and on PostgreSQL."""

from __future__ import annotations

from dataclasses import replace

from staff_clock import Clock

from engine.kernel.delivery import Receipt
from engine.staff.criticals import NewCritical
from engine.staff.staff import Staff
from engine.staff.subscriptions import Told

FIRST = NewCritical(
    *("Observation/1", "new", ("K", "Flagged"), ("above the limit", "interpretation HH"), "Call", "lab"),
    *(7, 1, 40, "Patient/1", b"digest", 1_000),
    escalate_ms=60_000,
)
BODY = {
    "resourceType": "Subscription",
    "criteria": "Observation?code=K",
    "channel": {"header": ["A: secret"]},
}


def test_rows_and_cursor_are_one(both: Staff, clock: Clock) -> None:
    kept = both.criticals.keep(
        None, "40-a", [FIRST], [("K", "lab", "no unit", 7), ("K", "lab", "no unit", 8)]
    )
    assert kept is not None
    (row,) = kept
    assert (row.rules, row.why, row.digest, row.open) == (FIRST.rules, FIRST.why, b"digest", True)
    assert both.criticals.keep(None, "41-b", [FIRST]) is None  # somebody else was there first
    assert both.followed.cursor("critical") == "40-a"
    assert [(u.count, u.entry) for u in both.criticals.unjudged()] == [(2, 8)]
    assert both.criticals.newest(["Observation/1", "Observation/2"]) == {"Observation/1": row}
    later = both.criticals.keep("40-a", "44-c", [replace(FIRST, kind="corrected", version=2, seq=44)])
    assert later is not None
    assert [r.id for r in both.criticals.open()] == [later[0].id] and both.criticals.count_open() == 1
    assert [r.followed_by for r in both.criticals.of("Observation/1")] == [later[0].id, None]
    assert [r.id for r in both.criticals.past()] == [row.id]


def test_what_is_due_to_be_told(both: Staff, clock: Clock) -> None:
    never = replace(FIRST, subject="Observation/2", escalate_ms=None)
    late = replace(FIRST, subject="Observation/3", late=True)
    both.criticals.keep(None, "40-a", [FIRST, never, late])
    assert [r.subject for r in both.criticals.untold(9)] == ["Observation/1", "Observation/2"]
    both.criticals.was_told(1)
    assert [r.id for r in both.criticals.untold(9)] == [2]
    clock.forward(seconds=61)
    assert [r.id for r in both.criticals.to_escalate(clock(), 86_400_000, 9)] == [1]
    both.criticals.was_escalated(1, 1)
    both.criticals.was_escalated(1, 1)
    assert both.criticals.to_escalate(clock(), 86_400_000, 9) == []
    assert [r.id for r in both.criticals.overdue(clock())] == [1, 2]
    done = both.criticals.acknowledge(1, "anna", "read back")
    assert (done.acknowledged_by, both.criticals.note_of(1), done.escalations) == ("anna", "read back", 1)


def test_a_subscription_and_what_waits_for_it(both: Staff, clock: Clock) -> None:
    subscriptions = both.subscriptions
    made = subscriptions.make("key/a", "Observation", dict(BODY), 0, None, 5)
    subscriptions.set_status(made.id, "active", when="requested")
    told = [Told(made.id, "Observation/1", 5, clock()), Told(made.id, "Observation/2", 6, clock())]
    assert subscriptions.note(None, "6-a", told) and not subscriptions.note(None, "7-b", told)
    assert subscriptions.note("6-a", "8-c", [Told(made.id, "Observation/1", 8, clock())])
    assert [(t.resource, t.seq) for t in subscriptions.waiting(made.id, 9)] == [
        ("Observation/2", 6),
        ("Observation/1", 8),
    ]
    subscriptions.called(told[0], Receipt("sent"))  # it has changed since: it goes on waiting
    subscriptions.called(told[1], Receipt("sent"))
    assert subscriptions.backlog() == {made.id: 1}
    for _ in range(260):
        subscriptions.called(Told(made.id, "Observation/1", 8, 0), Receipt("retry", "answered 503"))
    failing = subscriptions.get(made.id)
    assert failing is not None and (failing.failures, failing.error) == (260, "answered 503")
    assert failing.due > clock() + 299_000 and len(subscriptions.calls(made.id, 1000)) < 260
    subscriptions.set_status(made.id, "error", "given up")
    assert subscriptions.backlog() == {} and [s.id for s in subscriptions.all(status="error")] == [made.id]
    changed = subscriptions.change(made.id, "Patient", dict(BODY), "requested", 9, None)
    assert changed is not None and (changed.kind, changed.failures, changed.since) == ("Patient", 0, 9)
    assert subscriptions.delete(made.id) and not subscriptions.delete(made.id)
