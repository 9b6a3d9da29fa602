"""Finds entries: by control id, or page by page by channel, sender, type, kind and time of receipt.

In come plain values, which are hashed or looked up as names here; out go ids or `Line`s, the sealed heads
opened, the bodies never touched. Pages go by id (before or after one), so that entries arriving meanwhile
shift nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine

from engine.journal import tables
from engine.journal.appending import HOUR, control_key
from engine.journal.database import reporting
from engine.journal.names import Names, source_of
from engine.security.crypto import SealError
from engine.security.keys import Keyring

__all__ = ["Filters", "Line", "Search", "hours"]

_e, _b, _m = tables.entry.c, tables.body.c, tables.mark.c
_AT_ONCE = 500  # values in one IN (...)


@dataclass(frozen=True, slots=True)
class Line:
    """One entry as a list shows it."""

    id: int
    channel: str
    sender: str
    peer: str
    control_id: str
    message_type: str
    kind: str
    received: int
    size: int
    parent: int | None
    position: int
    reason: str
    conflicts_with: int | None
    deleted: bool  # retention removed the body, and with it control id, peer and reason
    damaged: bool = False  # the head cannot be opened


@dataclass(frozen=True, slots=True)
class Filters:
    """What a page shows; None means all. Times are ms since the epoch, `since` included, `until` not."""

    channel: str | None = None
    sender: str | None = None
    message_type: str | None = None
    kind: str | None = None
    since: int | None = None
    until: int | None = None
    conflicts: bool = False  # only entries that reuse a control id


class Search:
    """Reads `entry` for people."""

    def __init__(
        self, engine: Engine, names: Names, keyring: Keyring, open_head: Callable[[int, bytes], list[str]]
    ) -> None:
        self._engine = engine
        self._names = names
        self._keyring = keyring
        self._open_head = open_head

    def by_control(self, control_id: str, sender: str | None = None, channel: str | None = None) -> list[int]:
        """Return the ids of the entries with this control id (of this sender, this channel), oldest first."""
        wanted = [
            control_key(self._keyring, on, by, control_id)
            for on, by in self._names.sources().values()
            if sender in (None, by) and channel in (None, on)
        ]
        found: list[int] = []
        with reporting("journal"), self._engine.connect() as connection:
            for at in range(0, len(wanted), _AT_ONCE):
                query = sa.select(_e.id).where(_e.control.in_(wanted[at : at + _AT_ONCE]))
                found += connection.execute(query).scalars()
        return sorted(found)

    def page(
        self,
        filters: Filters = Filters(),
        *,
        before: int | None = None,
        after: int | None = None,
        limit: int = 50,
    ) -> list[Line]:
        """Return up to `limit` lines, newest first, below `before`; given `after`, oldest first above it."""
        query = sa.select(tables.entry).limit(limit)
        query = query.order_by(_e.id if after is not None else _e.id.desc())
        if before is not None:
            query = query.where(_e.id < before)
        if after is not None:
            query = query.where(_e.id > after)
        with reporting("journal"):
            with self._engine.connect() as connection:
                conditions = self._conditions(filters, connection)
                rows = [] if conditions is None else connection.execute(query.where(*conditions)).all()
            words = self._names.texts(n for row in rows for n in (row.source, row.type))
        return [self._line(row, words[row.source][1], words[row.type][1]) for row in rows]

    def again(self, after: int) -> list[tuple[int, int]]:
        """Return (entry, parent) of every replay and edited message after an entry, oldest first."""
        query = sa.select(_e.id, _e.parent).where(_e.id > after, _e.parent.is_not(None)).order_by(_e.id)
        with reporting("journal"), self._engine.connect() as connection:
            return [(row.id, row.parent) for row in connection.execute(query)]

    def received(self, entries: Sequence[int]) -> dict[int, int]:
        """Return when entries were received, in ms."""
        found: dict[int, int] = {}
        with reporting("journal"), self._engine.connect() as connection:
            for at in range(0, len(entries), _AT_ONCE):
                query = sa.select(_e.id, _e.received).where(_e.id.in_(entries[at : at + _AT_ONCE]))
                found |= {row.id: row.received for row in connection.execute(query)}
        return found

    def lines(self, entries: Sequence[int]) -> list[Line]:
        """Return the lines of these entries, newest first; those that are not there are left out."""
        rows: list[sa.Row[Any]] = []
        with reporting("journal"):
            with self._engine.connect() as connection:
                for at in range(0, len(entries), _AT_ONCE):
                    query = sa.select(tables.entry).where(_e.id.in_(entries[at : at + _AT_ONCE]))
                    rows += connection.execute(query).all()
            words = self._names.texts(n for row in rows for n in (row.source, row.type))
        rows.sort(key=lambda row: -row.id)
        return [self._line(row, words[row.source][1], words[row.type][1]) for row in rows]

    def _conditions(self, f: Filters, connection: Connection) -> list[sa.ColumnElement[bool]] | None:
        """Return what an entry must fulfil, or None when none can."""
        conditions: list[sa.ColumnElement[bool]] = []
        if f.channel is not None or f.sender is not None:
            sources = [
                n
                for n, (channel, sender) in self._names.sources().items()
                if f.channel in (None, channel) and f.sender in (None, sender)
            ]
            if not sources:
                return None
            conditions.append(_e.source.in_(sources))
        if f.message_type is not None:
            number = self._names.find(("type", f.message_type))
            if number is None:
                return None
            conditions.append(_e.type == number)
        if f.kind is not None:
            conditions.append(_e.kind == tables.KINDS.index(f.kind))
        if f.conflicts:
            conditions.append(_e.conflicts.is_not(None))
        if f.since is not None or f.until is not None:
            first, end = hours(connection, f.since, f.until)
            if first is None:
                return None
            conditions.append(_e.id >= first)
            if end is not None:
                conditions.append(_e.id < end)
            if f.since is not None:
                conditions.append(_e.received >= f.since)
            if f.until is not None:
                conditions.append(_e.received < f.until)
        return conditions

    def _line(self, row: sa.Row[Any], source: str, message_type: str) -> Line:
        control_id = peer = reason = odd_type = ""
        damaged = False
        if row.head is not None:
            try:
                control_id, peer, reason, odd_type, _ = self._open_head(row.id, row.head)
            except SealError:
                damaged = True
        channel, sender = source_of(source)
        return Line(
            id=row.id,
            channel=channel,
            sender=sender,
            peer=peer,
            control_id=control_id,
            message_type=odd_type or message_type,
            kind=tables.KINDS[row.kind],
            received=row.received,
            size=row.size,
            parent=row.parent,
            position=row.position or row.id,
            reason=reason,
            conflicts_with=row.conflicts,
            deleted=row.head is None,
            damaged=damaged,
        )


def hours(connection: Connection, since: int | None, until: int | None) -> tuple[int | None, int | None]:
    """Return ids [first, end) between which all received in [since, until) lies; first None: nothing."""
    segment = (
        sa.select(_m.first, _m.hour, sa.func.lead(_m.first).over(order_by=_m.first).label("next"))
        .subquery()
        .c
    )
    query = sa.select(sa.func.min(segment.first), sa.func.max(sa.func.coalesce(segment.next, 1 << 62)))
    if since is not None:
        query = query.where(segment.hour >= since // HOUR)
    if until is not None:
        query = query.where(segment.hour <= until // HOUR)
    first, end = connection.execute(query).one()
    return first, None if end == 1 << 62 else end
