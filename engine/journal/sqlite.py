"""Appends to a journal in SQLite: one writer connection, one transaction and one fsync a batch.

Ids follow from BEGIN IMMEDIATE: only one transaction, in any process, is between reading the newest id and
its commit. SQLite says when a commit is on disk (WAL, synchronous=FULL); when it cannot say so, nothing of
the batch counts. After an I/O error, and at the first append of a process (the one before may have died of
such an error), what the log holds is moved into the database file and the log emptied, so that no later entry
stands behind a page the disk never got.
"""

from __future__ import annotations

import sqlite3
import time
from typing import cast

from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from engine.journal.appending import Batch, Laid, lay_out
from engine.journal.checkpoint import Checkpoints
from engine.journal.database import own_connection, unavailable
from engine.journal.daykeys import DayKeys, KeyGone
from engine.kernel.message import Accepted

__all__ = ["SqliteTail"]

_STATE = (
    """SELECT ifnull((SELECT max(id) FROM entry), 0), (SELECT count(sealed) FROM sealing_key WHERE id = ?)"""
)
_MARK = "SELECT hour, key_id FROM mark ORDER BY first DESC LIMIT 1"
_NAMESAKE = "SELECT id FROM entry WHERE control = ? AND kind < 2 AND received >= ? LIMIT 1"
_TWIN = "SELECT min(id) FROM entry WHERE control = ? AND hash = ? AND kind < 2 AND received >= ?"
_ENTRY = f"INSERT INTO entry VALUES ({','.join('?' * 14)})"
_BODY = "INSERT INTO body VALUES (?, ?)"
_MARKS = "INSERT INTO mark VALUES (?, ?, ?)"
_PATIENCE = 20.0  # seconds another process may hold the journal


class SqliteTail:
    """The end of an SQLite journal, where entries are added."""

    def __init__(self, engine: Engine, where: str, checkpoints: Checkpoints) -> None:
        self._engine = engine
        self._where = where
        self._checkpoints = checkpoints
        self._lock = checkpoints.lock
        self._connection: sqlite3.Connection | None = None
        self._doubtful = True  # the log may hold pages that are not on disk
        self._last, self._mark = -1, (0, 0)  # the newest entry this process wrote, and its mark

    def append(self, batch: Batch, keys: DayKeys) -> list[Accepted]:
        """Append in one transaction; return once it is on disk. StoreUnavailable: nothing was appended."""
        with self._lock:
            connection = self._connection or self._open()
            try:
                _begin(connection)
                laid = self._lay_out(connection, batch, keys)
                if laid.entries:
                    connection.executemany(_ENTRY, laid.entries)
                    connection.executemany(_BODY, laid.bodies)
                    connection.executemany(_MARKS, laid.marks)
                connection.execute("COMMIT")
            except BaseException as e:
                self._undo(connection, e)
                if isinstance(e, sqlite3.Error):
                    raise unavailable(e, self._where) from None
                raise
            if laid.entries:
                self._last = cast(int, laid.entries[-1][0])
                if laid.marks:
                    self._mark = laid.marks[-1][1:]
        self._checkpoints.written(len(laid.bodies), sum(len(sealed) for _, sealed in laid.bodies))
        return laid.accepted

    def close(self) -> None:
        """Close the writer connection."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
                self._connection = None

    def _lay_out(self, connection: sqlite3.Connection, batch: Batch, keys: DayKeys) -> Laid:
        execute = connection.execute
        last, key_lives = execute(_STATE, (batch.key_id,)).fetchone()
        if not key_lives:  # retention destroyed it between choosing and locking: the clock was set back
            raise KeyGone(batch.key_id)
        if last != self._last:
            self._last = -1  # another process appended
            self._mark = execute(_MARK).fetchone() or (0, 0)

        def namesake(control: int, since: int) -> int | None:
            row = execute(_NAMESAKE, (control, since)).fetchone()
            return row[0] if row else None

        def twin(control: int, digest: bytes, since: int) -> int | None:
            found: int | None = execute(_TWIN, (control, digest, since)).fetchone()[0]
            return found

        return lay_out(batch, last, self._mark, keys, namesake, twin)

    def _open(self) -> sqlite3.Connection:
        try:
            if self._doubtful:
                self._checkpoints.empty_the_log()
                self._doubtful = False
            connection: sqlite3.Connection = own_connection(self._engine)
            connection.execute("PRAGMA busy_timeout=0")  # see _begin
        except (sqlite3.Error, SQLAlchemyError) as e:
            raise unavailable(e, self._where) from None
        self._connection, self._last = connection, -1
        return connection

    def _undo(self, connection: sqlite3.Connection, error: BaseException) -> None:
        self._last = -1
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except sqlite3.Error:
            self._doubtful = True
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if isinstance(error, sqlite3.Error) and code not in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_FULL):
            self._doubtful = True
        if self._doubtful:
            self._connection = None
            connection.close()


def _begin(connection: sqlite3.Connection) -> None:
    """Begin to write, in turn with other processes: SQLite's own waiting sleeps up to 0.1 s between looks."""
    until = time.monotonic() + _PATIENCE
    while True:
        try:
            connection.execute("BEGIN IMMEDIATE")
            return
        except sqlite3.OperationalError as e:
            if e.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
            time.sleep(0.001)
