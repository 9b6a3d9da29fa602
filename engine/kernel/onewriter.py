"""One process at a time writes a database in SQLite, and copies the log into its file while it is alone.

In: the file of the database and the writer's connection. Out: a file lock around every write transaction.
SQLite before 3.51.3 (3.50.7, 3.44.6) can lose committed pages when a checkpoint runs into another
connection's reset of the log (sqlite.org/wal.html, "the WAL-reset bug"). Automatic checkpoints are part of a
commit, so with every transaction under the lock no checkpoint meets another writer, however many workers
there are. The lock also hands the database from worker to worker without SQLite's own waiting, which sleeps
up to 0.1 s.

The log is emptied before the first write of a process and after a commit that failed: what a process whose
fsync failed left in the log may be in the kernel's memory only, and no later commit may stand behind it.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
import time
from pathlib import Path

from engine.kernel.disk import sync_folder

__all__ = ["OneWriter", "make_private"]

_PATIENCE = 60.0  # seconds another process may write
_READERS_MS = 10_000  # others may go on reading a log that has to be emptied
_HARMLESS = (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_CONSTRAINT)


def make_private(path: Path) -> None:
    """Make the database file, if there is none, readable by its owner only; its folder knows it for good."""
    new = not path.exists()
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))  # -wal and -shm take its mode
    if new:
        sync_folder(path.parent)


class OneWriter:
    """The write lock of one database in one process."""

    def __init__(self, path: Path) -> None:
        self._handle = os.open(f"{path}-write.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        self._doubtful = True

    def take(self) -> None:
        """Take the lock. Raises sqlite3.OperationalError when others keep it too long."""
        until, pause = time.monotonic() + _PATIENCE, 0.0002
        while True:
            try:
                fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError:
                if time.monotonic() > until:
                    raise sqlite3.OperationalError(
                        "another process keeps the database's write lock"
                    ) from None
                time.sleep(pause)
                pause = min(pause * 1.5, 0.002)

    def give(self) -> None:
        """Give the lock back."""
        fcntl.flock(self._handle, fcntl.LOCK_UN)

    def settle(self, connection: sqlite3.Connection) -> None:
        """Empty a log that may hold what is not on disk; call it before a transaction, with the lock held."""
        if not self._doubtful:
            return
        ((patience,),) = connection.execute("PRAGMA busy_timeout").fetchall()
        connection.execute(f"PRAGMA busy_timeout={_READERS_MS}")
        try:
            if connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]:
                raise sqlite3.OperationalError("the log of the database is still being read by others")
        finally:
            connection.execute(f"PRAGMA busy_timeout={patience}")
        self._doubtful = False

    def failed(self, error: BaseException) -> None:
        """Hear why a transaction failed: only a full disk or a lock leaves no doubt about the log."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if isinstance(error, sqlite3.Error) and code not in _HARMLESS:
            self._doubtful = True

    def close(self) -> None:
        """Give the lock file back."""
        os.close(self._handle)
