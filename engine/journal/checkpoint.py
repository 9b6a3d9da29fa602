"""Moves an SQLite journal's log into its database file beside the appender, so that no append waits for it.

A thread with a connection of its own copies what was committed (PASSIVE: nobody waits), and only when the log
has grown past its bound does it hold the appender for the last few pages (RESTART), after which the log is
written from its beginning again; it keeps its size, because overwriting costs less than growing.

Among all processes that append only one does this, the holder of the file lock, and it starts a checkpoint
only when something was committed since its last one ended. Both matter: SQLite before 3.51.3 (3.50.7, 3.44.6)
can lose committed pages when a checkpoint starts on a log that is already copied while a writer resets it
(sqlite.org/wal.html, "the WAL-reset bug"). A commit since the last checkpoint means that the log is not
copied, and then no writer resets it.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy.engine import Engine

from engine.journal.database import own_connection, unavailable
from engine.kernel.errors import HubError

__all__ = ["Checkpoints"]

_EVERY = 4 << 20  # bytes of log between two checkpoints, about
_IDLE = 5.0  # seconds after which less is copied too
_PATIENCE = 10.0  # seconds others may go on reading a log that has to be emptied
_FRAME = 4096 + 24


class Checkpoints:
    """The checkpoint thread of one process. `lock` is the one the appender holds while it writes."""

    def __init__(self, engine: Engine, path: Path, *, log_limit: int = 64 << 20) -> None:
        self.lock = threading.Lock()
        self.trouble: HubError | None = None
        self._engine = engine
        self._path = path
        self._limit = log_limit
        self._every = min(_EVERY, log_limit // 4)
        self._bytes = 0
        self._restart_at = log_limit
        self._wake = threading.Event()
        self._stop = False
        self._version = -1  # data_version after the last checkpoint
        self._handle = os.open(f"{path}-checkpoint.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        self._mine = False
        self._connection: sqlite3.Connection | None = None
        self._thread = threading.Thread(target=self._run, name="journal checkpoints", daemon=True)
        self._thread.start()

    def written(self, entries: int, size: int) -> None:
        """Hear that a transaction appended so many entries with so many sealed bytes."""
        self._bytes += (
            16_000 + 2_200 * entries + size
        )  # measured: pages of tables and indexes it wrote as well
        if self._bytes >= self._every:
            self._bytes = 0
            self._wake.set()

    def empty_the_log(self) -> None:
        """Copy everything and truncate the log, or raise sqlite3.Error. Call it with `lock` held."""
        with self._alone() as connection:
            connection.execute("PRAGMA busy_timeout=500")
            until = time.monotonic() + _PATIENCE
            while connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                if time.monotonic() > until:
                    raise sqlite3.OperationalError("the log is still being read by others")

    def close(self) -> None:
        """Stop the thread and give up the file lock."""
        self._stop = True
        self._wake.set()
        self._thread.join()
        os.close(self._handle)

    @contextmanager
    def _alone(self) -> Iterator[sqlite3.Connection]:
        """Give a connection of its own."""
        connection: sqlite3.Connection = own_connection(self._engine)
        try:
            yield connection
        finally:
            connection.close()

    def _run(self) -> None:
        while not self._stop:
            self._wake.wait(_IDLE)
            self._wake.clear()
            if self._stop:
                break
            try:
                self._checkpoint()
                self.trouble = None
            except sqlite3.Error as e:
                self.trouble = unavailable(e, str(self._path))
                self._drop()
        self._drop()

    def _checkpoint(self) -> None:
        if not self._mine:
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return  # another process does it
            self._mine = True
        connection = self._connection
        if connection is None:
            connection = self._connection = own_connection(self._engine)
            assert connection is not None
            connection.execute("PRAGMA busy_timeout=5")
            # What this process did not see may have been copied already: begin with a commit it does see.
            self._version = self._data_version(connection)
            return
        if self._data_version(connection) == self._version:
            return
        _, pages, copied = connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
        size = pages * _FRAME
        if size <= self._limit:
            self._restart_at = self._limit
        elif size > self._restart_at and copied == pages:  # fewer: somebody still reads what is older
            with self.lock:
                busy = connection.execute("PRAGMA wal_checkpoint(RESTART)").fetchone()[0]
            self._restart_at = size + self._limit // 4 if busy else self._limit
        self._version = self._data_version(connection)

    @staticmethod
    def _data_version(connection: sqlite3.Connection) -> int:
        return int(connection.execute("PRAGMA data_version").fetchone()[0])

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
