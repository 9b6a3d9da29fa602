"""Switching an SQLite file to its write-ahead log while others open it too.

The switch takes the file's exclusive lock and does not wait for it as statements do (sqlite.org/wal.html:
`busy_timeout` does not cover it), so that two processes that open a fresh file at once could see one refused.
"""

from __future__ import annotations

import sqlite3
import time

__all__ = ["write_ahead_log"]

_PAUSE = 0.02


def write_ahead_log(connection: sqlite3.Connection, patience: float = 60.0) -> None:
    """Put a database in WAL mode, trying for `patience` seconds. Raises sqlite3.OperationalError."""
    until = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)
            if not busy or time.monotonic() > until:
                raise
        time.sleep(_PAUSE)
