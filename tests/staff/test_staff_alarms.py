"""Alarms are raised once and cleared once; silences, notices and backups."""

from __future__ import annotations

import pytest
from staff_clock import Clock

from engine.kernel.errors import HubError
from engine.security.keys import Keyring
from engine.staff.alarms import Condition, Settled
from engine.staff.staff import Staff

SETTLE = 120_000
HELD = Condition("lab|held > 3", "held", "5 messages are parked", "lab", "look", 5)
QUIET = Condition("lab|silent", "silent", "no message", "lab")
KINDS = {"held", "silent"}


def look(staff: Staff, *on: Condition, judged: set[str] = KINDS) -> tuple[int, int]:
    changed = staff.alarms.settle(on, judged, SETTLE, ("silent",))
    return len(changed.raised), len(changed.cleared)


class TestRaisedOnce:
    def test_and_cleared_once_it_has_been_gone_for_a_while(self, both: Staff, clock: Clock) -> None:
        assert look(both, HELD) == (1, 0)
        assert look(both, HELD) == (0, 0)
        (alarm,) = both.alarms.open()
        assert (alarm.channel, alarm.what, alarm.say, alarm.value) == ("lab", HELD.what, "look", 5)
        clock.forward(seconds=119)
        assert look(both) == (0, 0)
        clock.forward(seconds=2)
        assert look(both) == (0, 1)
        assert look(both) == (0, 0) and both.alarms.open() == []
        assert both.alarms.past()[0].cleared == clock()

    def test_a_value_that_swings_about_its_limit_is_one_alarm(self, both: Staff, clock: Clock) -> None:
        raised = 0
        for n in range(60):
            clock.forward(seconds=45)
            raised += look(both, *([HELD] if n % 2 else []))[0]
        assert raised == 1 and both.alarms.past() == []

    def test_one_message_ends_a_silence(self, both: Staff) -> None:
        assert look(both, QUIET) == (1, 0)
        assert look(both) == (0, 1)

    def test_what_could_not_be_judged_is_not_cleared(self, both: Staff, clock: Clock) -> None:
        look(both, HELD, QUIET)
        clock.forward(hours=1)
        assert look(both, judged={"certificate"}) == (0, 0)
        assert len(both.alarms.open()) == 2

    def test_over_a_restart(self, staff_url: str, keyring: Keyring, clock: Clock) -> None:
        for _ in range(3):
            staff = Staff.open(staff_url, keyring, clock)
            look(staff, HELD)
            assert [a.id for a in staff.alarms.open()] == [1]
            staff.close()
            clock.forward(hours=2)

    def test_by_two_that_look_at_the_same_moment(
        self, staff_url: str, keyring: Keyring, clock: Clock
    ) -> None:
        one, two = (Staff.open(staff_url, keyring, clock) for _ in range(2))
        stale = two.alarms
        stale.open = lambda: []  # type: ignore[method-assign]  # it looked before the other had raised it
        assert look(one, HELD) == (1, 0)
        assert stale.settle([HELD], KINDS, SETTLE) == Settled()
        assert len(one.alarms.open()) == 1
        one.close()
        two.close()

    def test_it_knows_how_bad_it_was(self, staff: Staff, clock: Clock) -> None:
        look(staff, HELD)
        look(staff, Condition(HELD.key, "held", "x", "lab", value=500))
        clock.forward(minutes=2)
        look(staff, Condition(HELD.key, "held", "x", "lab", value=7))
        (alarm,) = staff.alarms.open()
        assert (alarm.value, alarm.most) == (7, 500)


def test_acknowledged_by_the_first_who_does(both: Staff, clock: Clock) -> None:
    look(both, HELD)
    assert both.alarms.acknowledge(1, "ann").acknowledged_by == "ann"
    assert both.alarms.acknowledge(1, "bob").acknowledged_by == "ann"
    with pytest.raises(HubError, match="no alarm 9"):
        both.alarms.acknowledge(9, "ann")


def test_history_page_by_page(both: Staff, clock: Clock) -> None:
    for _ in range(5):
        look(both, QUIET)
        look(both)
    first = both.alarms.past(limit=2)
    assert [a.id for a in first] == [5, 4]
    assert [a.id for a in both.alarms.past(before=4, limit=2)] == [3, 2]


class TestSilences:
    @pytest.mark.parametrize(
        ("channel", "kind", "covers"),
        [
            ("lab", "", [True, True, False, False]),
            ("lab", "held", [True, False, False, False]),
            ("l*", "", [True, True, True, False]),
            ("*", "", [True, True, True, True]),
            ("*", "disk", [False, False, False, True]),
        ],
    )
    def test_what_is_silenced(self, both: Staff, channel: str, kind: str, covers: list[bool]) -> None:
        both.silences.make(channel, kind, 60, "the lab moves", "ann")
        (silence,) = both.silences.now_silent()
        alarms = [("lab", "held"), ("lab", "silent"), ("lis", "silent"), ("", "disk")]
        assert [silence.covers(*alarm) for alarm in alarms] == covers

    def test_until_its_time_or_taken_back(self, both: Staff, clock: Clock) -> None:
        one = both.silences.make("lab", "", 60, "why", "ann")
        two = both.silences.make("lis", "", 30, "why", "ann")
        assert [s.id for s in both.silences.now_silent()] == [two, one]
        clock.forward(minutes=31)
        assert [s.id for s in both.silences.now_silent()] == [one]
        both.silences.end(one, "bob")
        assert both.silences.now_silent() == []
        with pytest.raises(HubError, match="over"):
            both.silences.end(one, "bob")

    @pytest.mark.parametrize(("minutes", "why"), [(0, "why"), (50_000, "why"), (5, "  ")])
    def test_only_with_a_reason_and_an_end(self, staff: Staff, minutes: int, why: str) -> None:
        with pytest.raises(HubError):
            staff.silences.make("lab", "", minutes, why, "ann")


class TestNotices:
    def test_each_is_made_once_and_tried_until_it_arrives(self, both: Staff, clock: Clock) -> None:
        for _ in range(2):
            both.notices.make(7, "raised", ["mail:a@b.example", "webhook:pager"])
        mail, hook = both.notices.take()
        assert both.notices.take() == []  # somebody is sending them
        both.notices.done(mail, True, "accepted")
        both.notices.done(hook, False, "answered 500 " + "x" * 900)
        assert [n.state for n in both.notices.of(7)] == ["sent", "failing"]
        (troubled,) = both.notices.troubled()
        assert troubled.way == "webhook:pager" and len(troubled.answer) == 300
        clock.forward(seconds=29)
        assert both.notices.take() == []
        clock.forward(seconds=2)
        (again,) = both.notices.take()
        assert (again.id, again.tries) == (hook.id, 1)
        both.notices.done(again, True, "200")
        assert both.notices.troubled() == []

    def test_pauses_grow_and_after_a_day_it_is_given_up(self, staff: Staff, clock: Clock) -> None:
        staff.notices.make(1, "raised", ["webhook:pager"])
        pauses = []
        while due := staff.notices.take():
            staff.notices.done(due[0], False, "no")
            (kept,) = staff.notices.of(1)
            if kept.due is None:
                break
            pauses.append((kept.due - clock()) // 1000)
            clock.ms = kept.due
        assert pauses[:7] == [30, 60, 120, 300, 900, 1800, 3600] and set(pauses[7:]) == {3600}
        assert kept.state == "given up" and len(pauses) < 40
        staff.notices.again(kept.id)
        assert [n.id for n in staff.notices.take()] == [kept.id]

    def test_what_a_process_took_that_died_is_sent_by_another(self, staff: Staff, clock: Clock) -> None:
        staff.notices.make(1, "raised", ["webhook:pager"])
        assert len(staff.notices.take()) == 1
        clock.forward(minutes=6)
        assert len(staff.notices.take()) == 1

    def test_tests_are_notices_without_an_alarm(self, staff: Staff, clock: Clock) -> None:
        for _ in range(2):
            staff.notices.make(None, "test", ["webhook:pager"])
            clock.forward(seconds=1)
        assert [n.event for n in staff.notices.recent()] == ["test", "test"]


def test_the_newest_backup(both: Staff, clock: Clock) -> None:
    assert both.backups.newest() == []
    both.backups.told("cli:root", "/backup/1", 10, 5, True)
    clock.forward(hours=1)
    both.backups.told("dba", "pg_dump")
    newest, before = both.backups.newest(5)
    assert (newest.who, newest.verified, newest.at) == ("dba", False, clock())
    assert (before.bytes, before.entry, before.verified) == (10, 5, True)
