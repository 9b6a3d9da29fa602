"""Where a simulated process reaches a real database, and what fails there.

In: the chances of the schedule. Out: a `Database` and the end of a journal whose transactions may fail before
their commit or after it, with the driver's own errors, in the middle at any statement, on a full disk (which
is SQLite's own: it may take no further page), or because the process dies there. Between transactions others
go on.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

from engine.journal.sql import SqlJournal
from engine.journal.sqlite import SqliteTail
from engine.kernel.message import Accepted, Entry, NewEntry
from engine.store.database import Database, Session

from .schedule import Crash, Schedule

if TYPE_CHECKING:
    from .databases import RealCore, RealJournal, Store

T = TypeVar("T")
NO_BOUND = 4_294_967_294


class Trouble:
    """What is to go wrong inside one transaction: after so many statements, or never."""

    def __init__(self, schedule: Schedule, broken: Callable[[], Exception]) -> None:
        self._schedule, self._broken = schedule, broken
        self._left = 0
        self.written: set[str] = set()

    def begin(self) -> None:
        """Decide about the next transaction."""
        s = self._schedule
        self.written = set()
        self._left = s.random.randint(1, 14) if s.random.random() < s.faults.within else 0

    def statement(self, sql: str) -> None:
        """Pass one statement."""
        head = sql.split(None, 3)
        if head[0] == "INSERT":
            self.written.add(head[2])
        elif head[0] == "UPDATE":
            self.written.add(head[1])
        if self._left:
            self._left -= 1
            if not self._left:
                s = self._schedule
                if s.random.random() < 0.3:
                    s.note(f"is killed at {sql[:40]}")
                    raise Crash
                s.note(f"{sql[:40]} fails")
                raise self._broken()


def disk_error() -> Exception:
    """Return what SQLite raises where the disk fails."""
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    error.sqlite_errorname = "SQLITE_IOERR"
    return error


class Watched:
    """A cursor, or a connection, of the driver that lets trouble in."""

    def __init__(self, made: Any, trouble: Trouble) -> None:
        self._made, self._trouble = made, trouble

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        self._trouble.statement(sql)
        return self._made.execute(sql, parameters)

    def executemany(self, sql: str, rows: Any) -> Any:
        self._trouble.statement(sql)
        return self._made.executemany(sql, rows)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._made, name)


class Edge(Database):
    """The core store's database as one process reaches it."""

    store: Store

    def __init__(self, core: RealCore, schedule: Schedule, name: str) -> None:
        self._core, self._schedule = core, schedule
        self.engine, self.postgres = core.files.core, core.files.postgres
        self._lock = threading.RLock()
        self._one = None  # nobody else is in the middle of a transaction here
        self._key = name if self.postgres else ""
        self._trouble = Trouble(schedule, self._breaks)

    @property
    def _writer(self) -> Any:
        return self._core.writers.get(self._key)

    @_writer.setter
    def _writer(self, made: Any) -> None:
        self._core.writers[self._key] = made

    @contextmanager
    def write(self) -> Iterator[Session]:
        s = self._schedule
        s.cross("store.write")
        s.fails(s.faults.before, "store, before,")
        with super().write() as session:
            yield session
            s.fails(s.faults.before / 2, "store's commit")
        self._committed()

    @contextmanager
    def beside(self) -> Iterator[Session]:
        if not self.postgres:
            with super().beside() as session:  # it is `write`
                yield session
            return
        s = self._schedule
        s.cross("store.beside")
        s.fails(s.faults.before, "store, before,")
        with super().beside() as session:
            self._watch(session)
            yield session
        self._committed()

    @contextmanager
    def read(self) -> Iterator[Session]:
        s = self._schedule
        s.cross("store.read")
        s.fails(s.faults.before, "store, reading,")
        if self.postgres:
            with super().read() as session:
                yield session
            return
        reader = self._core.files.reader  # the pool of SQLAlchemy would cost most of a run
        reader.execute("BEGIN")
        try:
            yield Session(reader, False)
        finally:
            reader.rollback()

    def _begin(self) -> Session:
        session = super()._begin()
        s, core = self._schedule, self._core
        if not self.postgres and (s.full or core.bounded):
            s.note("finds the disk full" if s.full else "finds the disk free")
            session.run(f"PRAGMA max_page_count={1 if s.full else NO_BOUND}")  # 1: as many as there are
            core.bounded = s.full
        self._watch(session)
        return session

    def _watch(self, session: Session) -> None:
        self._trouble.begin()
        session._cursor = Watched(session._cursor, self._trouble)

    def _committed(self) -> None:
        s = self._schedule
        self._core.committed(self.store, self._trouble.written)
        s.fails(s.faults.after, "store, after,")
        s.cross("store done")

    def _breaks(self) -> Exception:
        if not self.postgres:
            return disk_error()
        import psycopg

        return psycopg.OperationalError("server closed the connection unexpectedly")


class Tail(SqliteTail):
    """The end of a journal of SQLite, where entries are added."""

    def __init__(self, journal: SqlJournal, schedule: Schedule) -> None:
        super().__init__(journal.engine, journal.where, Quiet())  # type: ignore[arg-type]
        self._schedule = schedule
        self._trouble = Trouble(schedule, disk_error)

    def append(self, batch: Any, keys: Any) -> list[Accepted]:
        self._trouble.begin()
        return super().append(batch, keys)

    def _open(self) -> sqlite3.Connection:
        connection: Any = Bounded(super()._open(), self._trouble, self._schedule)
        self._connection = connection
        return connection


class Bounded(Watched):
    """A connection that finds the disk full while it is."""

    def __init__(self, made: Any, trouble: Trouble, schedule: Schedule) -> None:
        super().__init__(made, trouble)
        self._schedule = schedule

    def execute(self, sql: str, parameters: Sequence[Any] = ()) -> Any:
        s = self._schedule
        if sql == "BEGIN IMMEDIATE":
            self._made.execute(f"PRAGMA max_page_count={1 if s.full else NO_BOUND}")
        done = super().execute(sql, parameters)
        if sql == "COMMIT" and s.faults.after and s.random.random() < s.faults.after:
            s.note("journal, after, fails")
            raise disk_error()
        return done


class Quiet:
    """Nothing copies the log of a journal that lives for one run."""

    def __init__(self) -> None:
        self.lock = threading.Lock()

    def written(self, entries: int, size: int) -> None: ...
    def empty_the_log(self) -> None: ...


class JournalEdge:
    """The journal as one process reaches it."""

    def __init__(self, shared: RealJournal, made: SqlJournal, schedule: Schedule) -> None:
        self._shared, self._journal, self._schedule = shared, made, schedule
        self.lanes = made.lanes

    def append(self, entries: Sequence[NewEntry]) -> list[Accepted]:
        return self._call("append", lambda: self._append(entries))

    def _append(self, entries: Sequence[NewEntry]) -> list[Accepted]:
        try:
            return self._journal.append(entries)
        finally:
            self._shared.look()

    def heads(self, after: int, limit: int) -> list[tuple[int, tuple[int, ...]]]:
        return self._call("heads", lambda: self._journal.heads(after, limit))

    def read(self, after: int, limit: int) -> list[Entry]:
        return self._call("read", lambda: self._journal.read(after, limit))

    def pick(self, entries: Sequence[int]) -> list[Entry]:
        return self._call("pick", lambda: self._journal.pick(entries))

    def get(self, entry: int) -> Entry | None:
        return self._call("get", lambda: self._journal.get(entry))

    def _call(self, what: str, do: Callable[[], T]) -> T:
        s = self._schedule
        s.cross(f"journal.{what}")
        s.fails(s.faults.before, f"journal.{what}, before,")
        done = do()
        s.cross(f"journal.{what} done")
        return done
