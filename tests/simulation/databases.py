"""The real core store and the real journal under a run, and what the judge reads of them.

In: two databases, emptied before each run: files of SQLite in memory (tmpfs where there is one), never
flushed. Out: `SqlStore` and `SqlJournal` objects, one for every process and life of it, each with its own
memory of what it has seen. All SQL is the hub's own; faults come in where the databases are reached
(edges.py). After every commit the judge is told what is new, read on a connection that never fails.
"""

from __future__ import annotations

import os
import sqlite3
import tempfile
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import orjson
import sqlalchemy as sa

from engine.journal import database as journal_database
from engine.journal import schema
from engine.journal.sql import SqlJournal
from engine.kernel.message import Outcome, Work
from engine.security.keys import Keyring
from engine.store.database import Database, engine_for
from engine.store.deliveries import Delivery
from engine.store.keys import id_text
from engine.store.migrations import migrate
from engine.store.sql import SqlStore
from engine.store.tables import OP_RELINK

from .core import Judge, Resource
from .edges import NO_BOUND, Edge, JournalEdge, Tail
from .journal import LANES, Journal
from .schedule import Schedule

KEYRING = Keyring.supplied(b"a secret of the simulation, and of nothing else")
_CACHE = 1 << 20
_DELIVERY = (
    "SELECT d.id, d.entry, p.name, d.status, d.keys, d.due, d.tries, d.round, d.anew, d.at, d.first, d.done, "
    "d.why, d.reference FROM delivery d JOIN destination p ON p.id = d.destination"
)
Copies = list[sqlite3.Connection]


class Files:
    """Two files of SQLite, the core store and the journal, emptied by writing a copy over them."""

    postgres = False

    def __init__(self) -> None:
        shm = "/dev/shm"
        self.folder = tempfile.TemporaryDirectory(prefix="hub-sim-", dir=shm if os.access(shm, 2) else None)
        core, journal = (Path(self.folder.name) / name for name in ("core.db", "journal.db"))
        self.core = engine_for(f"sqlite:///{core}")
        self.journal_url = f"sqlite:///{journal}"
        self.journal = journal_database.connect(self.journal_url)
        for engine in (self.core, self.journal):
            sa.event.listen(engine, "connect", _unflushed)
        migrate(self.core)
        schema.bring_up_to_date(self.journal)
        SqlJournal.open(self.journal_url, KEYRING, lanes=LANES).close()
        self.reader = sqlite3.connect(core, isolation_level=None, cached_statements=256)
        self._own = [sqlite3.connect(path, isolation_level=None) for path in (core, journal)]
        for own in self._own:
            _unflushed(own, None)
        self._empty = [self.copy(n) for n in range(2)]

    def ask(self, sql: str) -> list[tuple[Any, ...]]:
        """Read the core store, beside all that happens."""
        return self._own[0].execute(sql).fetchall()

    def copy(self, n: int) -> sqlite3.Connection:
        """Copy one of them as a backup does: 0 is the core store, 1 the journal."""
        copy = sqlite3.connect(":memory:")
        self._own[n].backup(copy)
        return copy

    def put_back(self, copies: Copies) -> None:
        """Write copies over what is there."""
        for copy, own in zip(copies, self._own, strict=True):
            copy.backup(own)
            own.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def empty(self) -> None:
        """Begin anew."""
        self.put_back(self._empty)

    def close(self) -> None:
        for own in (*self._own, self.reader):
            own.close()
        self.core.dispose()
        self.journal.dispose()
        self.folder.cleanup()


def _unflushed(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute("PRAGMA synchronous=OFF")


class RealJournal(Journal):
    """What all processes share; its entries are read back after every append."""

    def __init__(self, files: Files) -> None:
        super().__init__()
        self.files = files
        self._view = self._made()
        self._tails: list[Tail] = []

    def side(self, schedule: Schedule) -> JournalEdge:
        """Return the journal as one process reaches it."""
        made = self._made()
        tail = Tail(made, schedule)
        self._tails.append(tail)
        made._tail = tail
        return JournalEdge(self, made, schedule)

    def _made(self) -> SqlJournal:
        made = SqlJournal(self.files.journal, self.files.journal_url, KEYRING, None, 64 << 20)
        made.lanes = LANES
        return made

    def look(self) -> None:
        """See what was appended."""
        for entry in self._view.read(len(self.entries), 1000):
            self.entries.append(entry)
            for lane in entry.lanes:
                self.lanes_in[lane].append(entry.id)

    def close(self) -> None:
        for tail in self._tails:
            tail.close()


class Store(SqlStore):
    """The core store as one process has it; the judge is told who writes."""

    owner = ""
    again: Collection[int] = ()  # entries that a rerun is writing

    @property
    def mine(self) -> Collection[int]:
        return self._owning.lanes

    def own(self, lanes: Collection[int], owner: str) -> None:
        super().own(lanes, owner)
        self.owner = owner

    def rerun(self, works: Sequence[Work], **rest: Any) -> list[Outcome]:
        self.again = {work.entry for work in works}
        try:
            return super().rerun(works, **rest)
        finally:
            self.again = ()


class RealCore:
    """What all processes share, as it stood after the newest commit."""

    def __init__(self, files: Files, judge: Judge, journal: RealJournal, note: Callable[[str], None]) -> None:
        self.files, self.judge, self.journal, self.note = files, judge, journal, note
        self.writers: dict[str, Any] = {}
        self.bounded = False
        self.owners: dict[int, tuple[int, str]] = {}
        self.marks: dict[int, int] = {}
        self.outcomes: dict[int, Outcome] = {}
        self.rows: dict[int, Delivery] = {}
        self.states: dict[str, str] = {}
        self.turns: dict[str, tuple[int, str]] = {}  # destination -> number of the hand-over, who has it
        self._at: dict[tuple[str, str], int] = {}  # the position of every resource
        self._outcomes: dict[int, tuple[Any, ...]] = {}
        self._seq = 0

    def side(self, schedule: Schedule) -> Store:
        """Return the core store as one process reaches it."""
        edge = Edge(self, schedule, schedule.me.name)
        edge.store = made = Store(edge, KEYRING, _CACHE)
        return made

    # -- after every commit -------------------------------------------------

    def committed(self, store: Store, tables: Collection[str]) -> None:
        """Tell the judge what a transaction wrote into these tables."""
        ask = self.files.ask
        if "lane_owner" in tables:
            self.owners = {
                lane: (n, who) for lane, n, who in ask("SELECT lane, handed, owner FROM lane_owner")
            }
        if "outcome" in tables:
            self._worked(store)
        if "history" in tables:
            self._wrote()
        if "lane" in tables:
            for lane, mark in sorted(ask("SELECT lane, watermark FROM lane")):
                if mark != self.marks.get(lane, 0):
                    self.marks[lane] = mark
                    self.judge.marked(lane, mark)
        if "destination" in tables:
            self._standing()
        if "delivery" in tables:
            known, self.rows = self.rows, self._deliveries()
            for number in sorted(known.keys() | self.rows.keys()):
                if known.get(number) != self.rows.get(number):
                    self._turned(known.get(number), self.rows.get(number))
                    self.judge.turned(known.get(number), self.rows.get(number))

    def _standing(self) -> None:
        for name, state, n, holder in self.files.ask(
            "SELECT name, state, handed, holder FROM destination ORDER BY name"
        ):
            before, had = self.states.get(name, "open"), self.turns.get(name, (0, ""))
            self.states[name], self.turns[name] = state, (n, holder)
            if state != before:
                self.judge.state(name, before, state)
            if (n, holder) != had:
                self.judge.handed(name, had[1], holder)

    def _turned(self, before: Delivery | None, now: Delivery | None) -> None:
        if now is not None:
            was = f"{before.status} {before.round}" if before is not None else "new"
            self.note(f"{now.destination} {now.id >> 12}: {was} -> {now.status} {now.round} {now.why}")

    def _worked(self, store: Store) -> None:
        sql = "SELECT entry, status, position, revision, cause, at, written, unchanged, reason FROM outcome"
        for row in self.files.ask(sql + " ORDER BY entry"):
            entry = row[0]
            if self._outcomes.get(entry) == row and entry not in store.again:
                continue
            lanes = self.journal.entries[entry - 1].lanes
            work: Any = SimpleNamespace(entry=entry, position=row[2], lanes=lanes, revision=row[3])
            self.judge.worked(work, store.owner, store.mine, entry in store.again)
            self._outcomes[entry] = row
            run = "again, " if store.again else ""
            self.note(f"entry {entry}, position {row[2]}, is {row[1]} ({run}{row[3]}, {row[6]} written)")
            self.outcomes[entry] = Outcome(entry, row[1], row[4] or "", revision=row[3], at=row[5])

    def _wrote(self) -> None:
        for seq, rid, kind, entry, position in self.files.ask(
            "SELECT h.seq, r.id, t.name, h.entry, h.position FROM history h JOIN resource r ON r.rid = h.rid "
            f"JOIN rtype t ON t.id = r.type WHERE h.seq > {self._seq} AND h.op <> {OP_RELINK} ORDER BY h.seq"
        ):
            name = kind, id_text(bytes(rid))
            self.judge.wrote(name, SimpleNamespace(entry=entry, position=position), self._at.get(name, -1))  # type: ignore[arg-type]
            self._at[name] = position
            self._seq = seq

    def _deliveries(self) -> dict[int, Delivery]:
        return {
            row[0]: Delivery(*row[:4], tuple(orjson.loads(row[4])), *row[5:])
            for row in self.files.ask(_DELIVERY)
        }

    # -- at the end ---------------------------------------------------------

    @property
    def resources(self) -> dict[tuple[str, str], Resource]:
        """Return every resource as it says it is."""
        store = SqlStore(Plain(self.files), KEYRING, _CACHE)
        found: dict[tuple[str, str], Resource] = {}
        for rid, kind, key, position in self.files.ask(
            "SELECT r.rid, t.name, r.id, r.position FROM resource r JOIN rtype t ON t.id = r.type"
        ):
            name = kind, id_text(bytes(key))
            body = store.read(*name) or {}
            versions = self.files.ask(
                f"SELECT entry, '' FROM history WHERE rid = {rid} AND op <> {OP_RELINK}"
            )
            found[name] = Resource(position, body.get("value", ""), list(versions))
        return found

    @property
    def written(self) -> Collection[int]:
        """Return the entries that wrote anything."""
        return {entry for (entry,) in self.files.ask("SELECT DISTINCT entry FROM history")}

    @property
    def tries(self) -> dict[int, list[tuple[str, str]]]:
        """Return (verdict, why) of the tries of every delivery."""
        found: dict[int, list[tuple[str, str]]] = {number: [] for number in self.rows}
        for number, verdict, why in self.files.ask(
            "SELECT delivery, verdict, why FROM delivery_try ORDER BY delivery, n"
        ):
            found.setdefault(number, []).append((verdict, why))
        return found

    def close(self) -> None:
        """Let go of every connection."""
        for writer in self.writers.values():
            if writer is not None:
                writer.driver_connection.execute(f"PRAGMA max_page_count={NO_BOUND}")
                writer.close()
        self.writers.clear()


class Plain(Database):
    """The same database without faults."""

    def __init__(self, files: Files) -> None:
        self.engine, self.postgres = files.core, files.postgres
