"""Deleting for good: only what the policy says and nobody needs, with tombstones, destroyed keys and an
account."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from journal_samples import DAY, oru

from engine.journal import daykeys, retention, tables
from engine.journal.retention import Policy, expire, plan
from engine.journal.sql import SqlJournal, UnreadableEntry
from engine.kernel.errors import ConfigError
from engine.security.crypto import SealError

Open = Callable[..., SqlJournal]
START = 20_700 * DAY + 5


def nothing(_: object) -> list[int]:
    return []


@pytest.fixture
def days(journal: SqlJournal, monkeypatch: pytest.MonkeyPatch) -> SqlJournal:
    """Ten days with three messages each: ids 1-3 on day 0, 4-6 on day 1 ...; every third is of adt."""
    for day in range(10):
        at = START + day * DAY
        monkeypatch.setattr(daykeys, "now_ms", lambda at=at: at)
        journal.append(
            [oru(day * 3 + n, received=at + n, channel="adt" if n == 2 else "lab") for n in range(3)],
        )
    monkeypatch.setattr(retention, "now_ms", lambda: START + 10 * DAY)
    return journal


def live(journal: SqlJournal) -> list[int]:
    with journal.engine.connect() as connection:
        return list(
            connection.execute(sa.select(tables.body.c.entry).order_by(tables.body.c.entry)).scalars()
        )


def keys(journal: SqlJournal) -> tuple[int, int]:
    with journal.engine.connect() as connection:
        rows = connection.execute(sa.select(tables.sealing_key)).all()
    return len([r for r in rows if r.sealed is not None]), len([r for r in rows if r.destroyed is not None])


def test_by_default_everything_is_kept(days: SqlJournal) -> None:
    account = expire(days, Policy(), processed=30, needed=nothing)
    assert (account.entries, account.kept, account.keys, account.lines()) == (0, 0, 0, [])
    assert live(days) == list(range(1, 31))
    assert keys(days) == (10, 0)


def test_what_is_older_goes_and_tombstones_stay(days: SqlJournal) -> None:
    before = {line.id: line for line in days.search.page(limit=100)}
    account = expire(days, Policy(days=7), processed=30, needed=nothing)
    assert (account.entries, account.ids, account.keys) == (9, [(1, 9)], 3)
    assert live(days) == list(range(10, 31))
    assert keys(days) == (7, 3)
    assert days.head() == 30
    for line in days.search.page(limit=100):
        was = before[line.id]
        assert (line.channel, line.received, line.size, line.message_type) == (
            was.channel,
            was.received,
            was.size,
            was.message_type,
        )
        assert line.deleted == (line.id <= 9)
        assert line.control_id == ("" if line.deleted else was.control_id)
    with pytest.raises(UnreadableEntry, match="retention policy") as e:
        days.read(0, 50)
    assert e.value.entry == 1
    assert [x.id for x in days.read(9, 50)] == list(range(10, 31))
    assert len(days.heads(0, 50)) == 30


def test_the_account_says_what_can_no_longer_be_done(days: SqlJournal) -> None:
    planned = plan(days, Policy(days=7), processed=30, needed=nothing)
    assert live(days) == list(range(1, 31))
    account = expire(days, Policy(days=7), processed=30, needed=nothing)
    assert planned.deleted == account.deleted and planned.ids == account.ids
    lab = account.deleted["lab", "ORU^R01^ORU_R01"]
    assert (lab.entries, lab.oldest, lab.newest) == (6, START, START + 2 * DAY + 1)
    assert lab.bytes == sum(len(oru(n).body) for n in (0, 1, 3, 4, 6, 7))
    assert any("6 ORU^R01^ORU_R01 of channel lab" in line and "explained" in line for line in account.lines())


def test_channels_have_policies_of_their_own(days: SqlJournal) -> None:
    account = expire(days, Policy(days=2, channels={"adt": None}), processed=30, needed=nothing)
    assert live(days) == [*range(3, 25, 3), *range(25, 31)]
    assert account.keys == 0  # every day still has a body of adt
    account = expire(days, Policy(channels={"adt": 5}), processed=30, needed=nothing)
    assert account.ids == [(n, n) for n in range(3, 16, 3)]
    assert account.keys == 5


def test_what_was_not_worked_on_is_never_deleted(days: SqlJournal) -> None:
    account = expire(days, Policy(days=1), processed=4, needed=nothing)
    assert account.ids == [(1, 4)]
    assert live(days) == list(range(5, 31))
    assert account.keys == 1


def test_what_is_still_needed_stays_with_its_key(days: SqlJournal) -> None:
    account = expire(days, Policy(days=7), processed=30, needed=lambda ids: {2, 5} & set(ids))
    assert (account.entries, account.kept, account.keys) == (7, 2, 1)
    assert live(days) == [2, 5, *range(10, 31)]
    assert days.get(2) is not None


def test_running_it_twice_changes_nothing_more(days: SqlJournal) -> None:
    expire(days, Policy(days=7), processed=30, needed=nothing)
    account = expire(days, Policy(days=7), processed=30, needed=nothing)
    assert (account.entries, account.keys) == (0, 0)


def test_a_copy_of_the_bytes_does_not_open_any_more(days: SqlJournal, opened: Open) -> None:
    with days.engine.connect() as connection:
        copy = connection.execute(
            sa.select(tables.body.c.sealed).where(tables.body.c.entry == 1)
        ).scalar_one()
    assert days.keys.sealer.open(copy, b"journal:1") == oru(0).body
    expire(days, Policy(days=7), processed=30, needed=nothing)
    for journal in (days, opened()):
        with pytest.raises(SealError, match="destroyed"):
            journal.keys.sealer.open(copy, b"journal:1")


def test_twins_of_deleted_messages_are_still_recognised(days: SqlJournal) -> None:
    expire(days, Policy(days=7), processed=30, needed=nothing)
    assert days.append([oru(0)])[0].duplicate_of == 1
    assert days.search.by_control("C0") == [1]


def test_a_clock_set_back_to_a_destroyed_day_gets_a_new_key(
    days: SqlJournal, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = opened()
    monkeypatch.setattr(daykeys, "now_ms", lambda: START)
    other.keys.today()  # chosen, not used yet
    expire(days, Policy(days=7), processed=30, needed=nothing)
    assert other.append([oru(500)])[0].id == 31
    assert other.read(30, 1)[0].body == oru(500).body
    assert opened().read(30, 1)[0].body == oru(500).body


def test_the_bytes_leave_the_file_and_the_disk(
    tmp_path: Path, keyring: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = SqlJournal.open(f"sqlite:///{tmp_path / 'journal.db'}", keyring)  # type: ignore[arg-type]
    monkeypatch.setattr(daykeys, "now_ms", lambda: START)
    import os

    journal.append([oru(n, body=os.urandom(3000), received=START) for n in range(300)])
    with journal.engine.connect() as connection:
        marks = [bytes(s[-24:]) for s in connection.execute(sa.select(tables.body.c.sealed)).scalars()]
    account = expire(journal, Policy(days=1), processed=300, needed=nothing, now=START + 9 * DAY)
    assert (account.entries, account.keys, account.log_emptied) == (300, 1, True)
    for name in ("journal.db", "journal.db-wal"):
        content = (tmp_path / name).read_bytes()
        assert not [mark for mark in marks if mark in content]
    assert (tmp_path / "journal.db").stat().st_size < 200_000
    journal.close()


def test_less_than_a_day_is_refused(days: SqlJournal) -> None:
    with pytest.raises(ConfigError, match="0 days"):
        expire(days, Policy(days=0), processed=30, needed=nothing)
    assert len(live(days)) == 30
