"""Deletes what a site may no longer keep, for good, and says what that costs.

In comes a policy (days per channel; by default everything stays), the id up to which everything was worked
on, and a function that names entries still needed (parked, being delivered); out goes an account of what was
or would be deleted. The row of an entry stays as a tombstone: id, hash, size, times. Its body and head
(control id, peer, reason) are overwritten, and when the last body of a day is gone that day's key is
destroyed, so that no forgotten copy of the bytes opens again (see `daykeys.py`). SQLite gives the pages back
and empties its log; PostgreSQL vacuums.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from engine.journal import tables
from engine.journal.database import own_connection, reporting
from engine.journal.daykeys import DAY
from engine.journal.names import source_of
from engine.journal.search import hours
from engine.journal.sql import SqlJournal
from engine.kernel.clock import iso, now_ms
from engine.kernel.errors import ConfigError

__all__ = ["Deleted", "Expiry", "Policy", "expire", "plan"]

_AT_ONCE = 200  # entries a transaction: the appender waits for no longer
_PAGES = 200
_e, _b, _m, _k = tables.entry.c, tables.body.c, tables.mark.c, tables.sealing_key.c

Needed = Callable[[Sequence[int]], Collection[int]]
"""Given entries about to be deleted, return those that must stay: parked, waiting, being delivered."""


@dataclass(frozen=True, slots=True)
class Policy:
    """Days a body is kept: `days` for channels not named in `channels`; None keeps for ever."""

    days: int | None = None
    channels: Mapping[str, int | None] = field(default_factory=dict)

    def days_of(self, channel: str) -> int | None:
        """Return the days this channel's bodies are kept. Raises ConfigError below one day."""
        days = self.channels.get(channel, self.days)
        if days is not None and days < 1:
            raise ConfigError(
                f"retention of {days} days", where=channel, remedy="write 1 or more, or leave it out"
            )
        return days


@dataclass(slots=True)
class Deleted:
    """Messages of one channel and type that are, or would be, deleted."""

    channel: str
    message_type: str
    entries: int = 0
    bytes: int = 0
    oldest: int = 0
    newest: int = 0


@dataclass(slots=True)
class Expiry:
    """The account of one run: what goes, and what can no longer be done."""

    deleted: dict[tuple[str, str], Deleted] = field(default_factory=dict)
    ids: list[tuple[int, int]] = field(
        default_factory=list
    )  # inclusive runs, for the outcomes and map revisions
    kept: int = 0  # old enough, but still needed
    keys: int = 0  # day keys destroyed
    log_emptied: bool = True  # False: a reader held SQLite's log; it is overwritten later

    @property
    def entries(self) -> int:
        """How many messages."""
        return sum(d.entries for d in self.deleted.values())

    def lines(self) -> list[str]:
        """Say it to a person, one line a channel and type."""
        return [
            f"{d.entries} {d.message_type or 'unnamed'} of channel {d.channel}, received {iso(d.oldest)} to"
            f" {iso(d.newest)}: the resources they made stay, but can no longer be explained by element,"
            " replayed, or included in the impact of a map change"
            for d in self.deleted.values()
        ]

    def _add(self, rows: Sequence[Any], words: Mapping[int, tuple[str, str]]) -> None:
        for number, source, kind, received, size in rows:  # id and the columns `_due` selects
            channel, message_type = source_of(words[source][1])[0], words[kind][1]
            d = self.deleted.setdefault((channel, message_type), Deleted(channel, message_type))
            d.oldest = min(d.oldest or received, received)
            d.newest = max(d.newest, received)
            d.entries += 1
            d.bytes += size
            if self.ids and self.ids[-1][1] == number - 1:
                self.ids[-1] = (self.ids[-1][0], number)
            else:
                self.ids.append((number, number))


def plan(
    journal: SqlJournal, policy: Policy, *, processed: int, needed: Needed, now: int | None = None
) -> Expiry:
    """Say what `expire` would delete, and delete nothing."""
    account = Expiry()
    with reporting(journal.where):
        for rows in _due(journal, policy, now or now_ms(), processed):
            _weigh(journal, rows, needed, account)
    return account


def expire(
    journal: SqlJournal,
    policy: Policy,
    *,
    processed: int,
    needed: Needed,
    now: int | None = None,
    progress: Callable[[int], None] = lambda entries: None,
) -> Expiry:
    """Delete what the policy says, up to entry `processed`; destroy the keys of days that are wholly gone."""
    account = Expiry()
    moment = now or now_ms()
    with reporting(journal.where):
        for rows in _due(journal, policy, moment, processed):
            gone = _weigh(journal, rows, needed, account)
            with journal.engine.execution_options(immediate=True).begin() as connection:
                connection.execute(tables.body.delete().where(_b.entry.in_(gone)))
                connection.execute(tables.entry.update().where(_e.id.in_(gone)).values(head=None))
            progress(len(gone))
        account.keys = _destroy_keys(journal, moment)
        if account.entries or account.keys:
            account.log_emptied = _give_back(journal)
    return account


def _due(journal: SqlJournal, policy: Policy, now: int, processed: int) -> Iterator[Sequence[Any]]:
    """Yield entries with a body that the policy does not cover any more, a few at a time."""
    by_days: dict[int, list[int]] = {}
    for number, (channel, _) in journal.names.sources().items():
        if (days := policy.days_of(channel)) is not None:
            by_days.setdefault(days, []).append(number)
    for days, sources in by_days.items():
        cutoff = now - days * DAY
        with journal.engine.connect() as connection:
            first, end = hours(connection, None, cutoff)
        if first is None:
            continue
        upto = processed if end is None else min(processed, end - 1)
        at = first - 1
        while True:
            query = (
                sa.select(_e.id, _e.source, _e.type, _e.received, _e.size)
                .where(
                    _e.id > at,
                    _e.id <= upto,
                    _e.received < cutoff,
                    _e.source.in_(sources),
                    _e.head.is_not(None),
                )
                .order_by(_e.id)
                .limit(_AT_ONCE)
            )
            with journal.engine.connect() as connection:
                rows = connection.execute(query).all()
            if not rows:
                break
            at = rows[-1].id
            yield rows


def _weigh(
    journal: SqlJournal,
    rows: Sequence[Any],
    needed: Needed,
    account: Expiry,
) -> list[int]:
    stay = set(needed([row.id for row in rows]))
    gone = [row for row in rows if row.id not in stay]
    account.kept += len(rows) - len(gone)
    account._add(gone, journal.names.texts(n for row in gone for n in (row.source, row.type)))
    return [row.id for row in gone]


def _destroy_keys(journal: SqlJournal, now: int) -> int:
    """Destroy the keys of past days that seal nothing any more."""
    destroyed: list[int] = []
    with journal.engine.execution_options(immediate=True).begin() as connection:
        if journal.engine.dialect.name == "postgresql":
            connection.execute(sa.select(tables.tail.c.last).with_for_update())  # no append meanwhile
        past = sa.select(_k.id).where(_k.sealed.is_not(None), _k.day < now // DAY - 1)
        for key_id in connection.execute(past).scalars().all():
            if not _seals_something(connection, key_id):
                change = tables.sealing_key.update().where(_k.id == key_id).values(sealed=None, destroyed=now)
                connection.execute(change)
                destroyed.append(key_id)
    for key_id in destroyed:
        journal.keys.forget(key_id)
    return len(destroyed)


def _seals_something(connection: Connection, key_id: int) -> bool:
    segment = (
        sa.select(_m.first, _m.key_id, sa.func.lead(_m.first).over(order_by=_m.first).label("next"))
        .subquery()
        .c
    )
    query = sa.select(segment.first, sa.func.coalesce(segment.next, 1 << 62)).where(segment.key_id == key_id)
    for first, end in connection.execute(query).all():
        body = sa.select(_b.entry).where(_b.entry >= first, _b.entry < end).limit(1)
        if connection.execute(body).first() is not None:
            return True
    return False


def _give_back(journal: SqlJournal) -> bool:
    """Give free pages back to the disk and empty the log; return whether the log could be emptied."""
    if journal.engine.dialect.name == "postgresql":
        with journal.engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
            connection.exec_driver_sql("VACUUM body, entry, sealing_key")
        return True
    own: sqlite3.Connection = own_connection(journal.engine)
    try:
        while own.execute("PRAGMA freelist_count").fetchone()[0]:
            own.execute(f"PRAGMA incremental_vacuum({_PAGES})").fetchall()
        own.execute("PRAGMA busy_timeout=2000")
        return not own.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
    finally:
        own.close()
