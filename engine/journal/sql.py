"""The journal: what came in, on disk before anyone is told so, in an order that never changes.

In come batches of new entries from listeners, and replays; out go answers once the bytes are on disk, entries
for the workers in the order of their ids, and lanes without bodies for the doorbell. One schema on SQLite and
PostgreSQL. Ids are 1, 2, 3 without gaps and become visible in that order: whoever has read up to N never sees
a smaller one appear. Nothing readable is stored: bodies, control ids, peers, senders and reasons are sealed,
what is looked for is hashed.
"""

from __future__ import annotations

import shutil
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Protocol

import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from engine.journal import database, schema, tables
from engine.journal.appending import Batch, open_head, prepare
from engine.journal.briefs import Briefs
from engine.journal.checkpoint import Checkpoints
from engine.journal.database import reporting
from engine.journal.daykeys import DayKeys, KeyGone
from engine.journal.names import Names, Word, source_of
from engine.journal.search import Search
from engine.journal.sqlite import SqliteTail
from engine.kernel.errors import ConfigError, HubError
from engine.kernel.message import Accepted, Entry, NewEntry
from engine.security.crypto import SealError
from engine.security.keys import Keyring

__all__ = ["LANES", "SqlJournal", "UnreadableEntry"]

LANES = 64
"""Lanes of a new journal. Fixed when it is made: an entry's lanes are stored with it."""

_READ_BYTES = 64 << 20  # bodies one `read` returns at most, unless the first alone is larger
_e, _b = tables.entry.c, tables.body.c
_HEADS = (
    sa.select(_e.id, _e.lanes).where(_e.id > sa.bindparam("after")).order_by(_e.id).limit(sa.bindparam("n"))
)
_SIZES = (
    sa.select(_e.id, _e.size).where(_e.id > sa.bindparam("after")).order_by(_e.id).limit(sa.bindparam("n"))
)
_ANY = sa.select(tables.entry, _b.sealed).join_from(
    tables.entry, tables.body, _b.entry == _e.id, isouter=True
)
_THESE = _ANY.where(_e.id.in_(sa.bindparam("these", expanding=True))).order_by(_e.id)
_FULL = _ANY.where(_e.id > sa.bindparam("after"), _e.id <= sa.bindparam("upto")).order_by(_e.id)


_NEWEST = sa.select(sa.func.max(_e.id))


class Tail(Protocol):
    """The end of a journal, where entries are added: one class a database."""

    def append(self, batch: Batch, keys: DayKeys) -> list[Accepted]:
        """Append in one transaction and return once it is on disk."""

    def close(self) -> None:
        """Close the connection."""


class UnreadableEntry(HubError):
    """An entry whose body is gone or damaged. `entry` is its id; the ones after it can be read."""

    def __init__(self, entry: int, what: str, *, why: str = "", remedy: str = "") -> None:
        super().__init__(what, where=f"journal entry {entry}", why=why, remedy=remedy)
        self.entry = entry

    def __reduce__(self) -> tuple[object, ...]:
        return _unreadable, (self.entry, self.what, self.why, self.remedy)


def _unreadable(entry: int, what: str, why: str, remedy: str) -> UnreadableEntry:
    return UnreadableEntry(entry, what, why=why, remedy=remedy)


class SqlJournal:
    """A journal in SQLite or PostgreSQL. One object may be used by several threads, never across a fork."""

    def __init__(
        self, engine: Engine, url: str, keyring: Keyring, window: int | None, log_limit: int
    ) -> None:
        self.engine = engine
        self.where = engine.url.render_as_string(hide_password=True)
        self.keyring = keyring
        self.names = Names(engine, keyring)
        self.keys = DayKeys(engine, keyring)
        self.search = Search(engine, self.names, keyring, self.open_head)
        self.briefs = Briefs(engine)
        self.lanes = 0
        self.bell: Callable[[Iterable[int], int], None] | None = None
        """Called after every append with its lanes and the newest id."""
        self._window = window
        self._log_limit = log_limit
        self._path = database.file_of(url)
        self._starting = threading.Lock()
        self._checkpoints: Checkpoints | None = None
        self._tail: Tail | None = None

    @classmethod
    def open(
        cls,
        url: str,
        keyring: Keyring,
        *,
        lanes: int = LANES,
        duplicate_window_ms: int | None = None,
        log_limit: int = 64 << 20,
    ) -> SqlJournal:
        """Open the journal at `url`, making or migrating it first; raises ConfigError or StoreUnavailable.

        `lanes` (1 to 256) counts only when the journal is made. Duplicates are looked for as far back as an
        entry says, else `duplicate_window_ms` (None: for ever). `log_limit` bounds SQLite's write-ahead log,
        in bytes.
        """
        engine = database.connect(url)
        try:
            schema.bring_up_to_date(engine)
            journal = cls(engine, url, keyring, duplicate_window_ms, log_limit)
            journal.lanes = journal._agree(lanes)
        except SQLAlchemyError as e:
            engine.dispose()
            raise database.unavailable(e, engine.url.render_as_string(hide_password=True)) from None
        except BaseException:
            engine.dispose()
            raise
        return journal

    def close(self) -> None:
        """Close every connection. What was answered is on disk already."""
        with self._starting:
            if self._tail is not None:
                self._tail.close()
            if self._checkpoints is not None:
                self._checkpoints.close()
            self._tail = self._checkpoints = None
        self.engine.dispose()

    def append(self, entries: Sequence[NewEntry]) -> list[Accepted]:
        """Append in one transaction with one fsync; answer in the same order once all are on disk.

        Raises StoreUnavailable: nothing was appended, nobody may be answered; the next call may work again.
        """
        if not entries:
            return []
        tail = self._tail or self._start()
        while True:
            with reporting(self.where):
                batch = prepare(entries, self.names, self.keys, self.keyring, self.lanes, self._window)
            try:
                accepted = tail.append(batch, self.keys)
                break
            except KeyGone as e:
                self.keys.forget(e.key_id)
        if self.bell is not None:
            self.bell({lane for e in batch.entries for lane in e.lanes}, accepted[-1].id)
        return accepted

    def read(self, after: int, limit: int) -> list[Entry]:
        """Return up to `limit` entries after id `after`, bodies opened, oldest first; fewer when large.

        An entry that cannot be opened ends the list; where it is the first, UnreadableEntry names it.
        """
        with reporting(self.where), self.engine.connect() as connection:
            upto, size = after, 0
            for number, bytes_ in connection.execute(_SIZES, {"after": after, "n": limit}):
                size += bytes_
                if size > _READ_BYTES and upto > after:
                    break
                upto = number
            rows = connection.execute(_FULL, {"after": after, "upto": upto}).all()
        return self._opened(rows)

    def pick(self, entries: Sequence[int]) -> list[Entry]:
        """Return these entries, oldest first, as `read` does; fewer when large."""
        where = _e.id.in_(sa.bindparam("these", expanding=True))
        sizes = sa.select(_e.id, _e.size).where(where).order_by(_e.id)
        with reporting(self.where), self.engine.connect() as connection:
            these: list[int] = []
            size = 0
            for number, bytes_ in connection.execute(sizes, {"these": list(entries)}):
                size += bytes_
                if size > _READ_BYTES and these:
                    break
                these.append(number)
            rows = connection.execute(_THESE, {"these": these}).all()
        return self._opened(rows)

    def _opened(self, rows: Sequence[sa.Row[Any]]) -> list[Entry]:
        entries: list[Entry] = []
        words = self.names.texts(n for row in rows for n in (row.source, row.type, row.charset))
        for row in rows:
            try:
                entries.append(self._entry(row, words))
            except UnreadableEntry:
                if not entries:
                    raise
                break
        return entries

    def get(self, entry: int) -> Entry | None:
        """Return one entry, body opened; None where there is none of that id. Raises UnreadableEntry."""
        with reporting(self.where), self.engine.connect() as connection:
            row = connection.execute(_FULL, {"after": entry - 1, "upto": entry}).one_or_none()
        return self._entry(row, self.names.texts((row.source, row.type, row.charset))) if row else None

    def readable(self, entries: Sequence[int]) -> list[Entry]:
        """Return those of these entries that can be opened, newest first."""
        found: list[Entry] = []
        query = _ANY.where(_e.id.in_(sorted(entries)[-1000:]))
        with reporting(self.where), self.engine.connect() as connection:
            rows = connection.execute(query).all()
        words = self.names.texts(n for row in rows for n in (row.source, row.type, row.charset))
        for row in rows:
            try:
                found.append(self._entry(row, words))
            except UnreadableEntry:
                continue
        return sorted(found, key=lambda entry: -entry.id)

    def heads(self, after: int, limit: int) -> list[tuple[int, tuple[int, ...]]]:
        """Return (id, lanes) of up to `limit` entries after id `after`, without opening anything."""
        with reporting(self.where), self.engine.connect() as connection:
            rows = connection.execute(_HEADS, {"after": after, "n": limit}).all()
        return [(number, tuple(lanes)) for number, lanes in rows]

    def head(self) -> int:
        """Return the newest id; 0 for an empty journal."""
        with reporting(self.where), self.engine.connect() as connection:
            return int(connection.execute(_NEWEST).scalar() or 0)

    def count_after(self, entry: int) -> int:
        """Return how many entries came after id `entry`: ids have no gaps."""
        return max(0, self.head() - max(0, entry))

    def oldest_after(self, entry: int) -> int | None:
        """Return when the first entry after id `entry` was received, in ms; None where there is none."""
        query = sa.select(_e.received).where(_e.id > entry).order_by(_e.id).limit(1)
        with reporting(self.where), self.engine.connect() as connection:
            found: int | None = connection.execute(query).scalar()
            return found

    def disk_free(self) -> int | None:
        """Return the free bytes of the journal's disk; None on PostgreSQL, whose server watches its own."""
        return None if self._path is None else shutil.disk_usage(self._path.parent).free

    def trouble(self) -> HubError | None:
        """Return what stops the log from being copied into the database file, if anything does."""
        return self._checkpoints.trouble if self._checkpoints else None

    def verify_watermark(self, highest: int) -> None:
        """Refuse a journal that ends before what the core store has worked on: a restored, older one."""
        newest = self.head()
        if highest > newest:
            raise ConfigError(
                "the journal is older than the core store",
                where=self.where,
                why=f"it ends at entry {newest}, but entry {highest} was worked on already; new messages "
                "would get ids that were used before and be skipped",
                remedy=f"restore a journal that reaches entry {highest}, or the core store of that moment",
            )

    def _start(self) -> Tail:
        with self._starting:
            if self._tail is None:
                if self._path is None:
                    from engine.journal.postgres import PostgresTail

                    self._tail = PostgresTail(self.engine, self.where)
                else:
                    self._checkpoints = Checkpoints(self.engine, self._path, log_limit=self._log_limit)
                    self._tail = SqliteTail(self.engine, self.where, self._checkpoints)
            return self._tail

    def _agree(self, lanes: int) -> int:
        """Write down the number of lanes and whose keys these are, or compare with what is written down."""
        if not 1 <= lanes <= 256:
            raise ConfigError(
                f"the journal cannot have {lanes} lanes", remedy="choose 1 to 256; 64 is the default"
            )
        mine = {"lanes": str(lanes), "keyring": self.keyring.mac16("journal", "whose keys are these").hex()}
        query = sa.select(tables.meta.c.item, tables.meta.c.value)
        with self.engine.execution_options(immediate=True).begin() as connection:
            known = {row.item: row.value for row in connection.execute(query)}
            if not known:
                insert = sa.text(
                    "INSERT INTO meta (item, value) VALUES (:item, :value) ON CONFLICT DO NOTHING"
                )
                connection.execute(insert, [{"item": item, "value": value} for item, value in mine.items()])
                known = {row.item: row.value for row in connection.execute(query)}
        if known["keyring"] != mine["keyring"]:
            raise ConfigError(
                "the journal was made with another key",
                where=self.where,
                why="its messages and search keys do not belong to the key file in use",
                remedy="use the key file that was in use when this journal was made",
            )
        return int(known["lanes"])

    def _entry(self, row: sa.Row[Any], words: Mapping[int, Word]) -> Entry:
        number: int = row.id
        if row.sealed is None or row.head is None:
            raise UnreadableEntry(
                number, "has no body any more", why="it was deleted by the retention policy"
            )
        try:
            control_id, peer, reason, odd_type, odd_charset = self.open_head(number, row.head)
            body = self.keys.sealer.open(row.sealed, b"journal:%d" % number)
        except SealError as e:
            raise UnreadableEntry(number, "cannot be opened", why=e.why or e.what, remedy=e.remedy) from None
        channel, sender = source_of(words[row.source][1])
        return Entry(
            id=number,
            channel=channel,
            body=body,
            received=row.received,
            sender=sender,
            peer=peer,
            control_id=control_id,
            message_type=odd_type or words[row.type][1],
            charset=odd_charset or words[row.charset][1],
            kind=tables.KINDS[row.kind],
            lanes=tuple(row.lanes),
            parent=row.parent,
            position=row.position or number,
            reason=reason,
            conflicts_with=row.conflicts,
        )

    def open_head(self, entry: int, sealed: bytes) -> list[str]:
        """Return control id, peer, reason, and a type and charset too odd for a name. Raises SealError."""
        return open_head(self.keys.sealer.open(sealed, b"head:%d" % entry))
