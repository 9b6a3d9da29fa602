"""The file of the embedded code store: its tables, how it is opened, who may write.

In: the path of `codes.db`. Out: connections of the standard library's sqlite3. One load of a release, or of
a package with many code systems, has tables of its own (`concept_7`, `name_7`, ...): they are filled while
nobody reads them, named in `release` by one last transaction, and dropped when the release goes. What a load
that was interrupted has left behind has no row in `release` that is ready, so no reader ever sees it.
"""

from __future__ import annotations

import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from engine.kernel.errors import HubError, StoreUnavailable
from engine.kernel.sqlitewal import write_ahead_log

__all__ = ["FORMAT", "clean_up", "drop_load", "make_tables", "open_reader", "writing"]

FORMAT = 1  # PRAGMA user_version; another number is another layout
_MMAP = 0x7FFF0000  # the most SQLite is built for; only what is read becomes resident, and is shared
_REGISTRY = """
CREATE TABLE load (
  id INTEGER PRIMARY KEY AUTOINCREMENT, source TEXT NOT NULL, loader TEXT NOT NULL, ready INTEGER NOT NULL);
CREATE TABLE release (
  id INTEGER PRIMARY KEY AUTOINCREMENT, load INTEGER NOT NULL, system TEXT NOT NULL, version TEXT NOT NULL,
  effective TEXT NOT NULL, source TEXT NOT NULL, concepts INTEGER NOT NULL, digest TEXT NOT NULL,
  current INTEGER NOT NULL, ready INTEGER NOT NULL);
CREATE TABLE crosswalk (
  id INTEGER PRIMARY KEY AUTOINCREMENT, load INTEGER NOT NULL, release INTEGER NOT NULL, name TEXT NOT NULL,
  source TEXT NOT NULL, target TEXT NOT NULL);
CREATE TABLE document (
  load INTEGER NOT NULL, release INTEGER NOT NULL, kind TEXT NOT NULL, url TEXT NOT NULL,
  version TEXT NOT NULL, body BLOB NOT NULL);
CREATE INDEX document_url ON document (kind, url);
"""
_TABLES = (
    "CREATE TABLE concept_{n} (id INTEGER PRIMARY KEY, release INTEGER NOT NULL, code TEXT NOT NULL, "
    "display TEXT NOT NULL, active INTEGER NOT NULL, properties TEXT NOT NULL, parents TEXT NOT NULL)",
    "CREATE TABLE name_{n} (release INTEGER NOT NULL, code TEXT NOT NULL, value TEXT NOT NULL, "
    "language TEXT NOT NULL, use TEXT NOT NULL, key TEXT NOT NULL)",
    "CREATE TABLE edge_{n} (release INTEGER NOT NULL, child TEXT NOT NULL, parent TEXT NOT NULL)",
    "CREATE TABLE link_{n} (crosswalk INTEGER NOT NULL, code TEXT NOT NULL, target TEXT NOT NULL, "
    "display TEXT NOT NULL, equivalence TEXT NOT NULL, part INTEGER NOT NULL, priority INTEGER NOT NULL, "
    "note TEXT NOT NULL, key TEXT NOT NULL)",
    "CREATE TABLE member_{n} (component INTEGER NOT NULL, refset INTEGER NOT NULL, "
    "PRIMARY KEY (component, refset)) WITHOUT ROWID",
    "CREATE VIRTUAL TABLE words_{n} USING fts5 "
    "(display, names, content='', tokenize='unicode61 remove_diacritics 2')",
)
_NAMES = ("words", "member", "link", "edge", "name", "concept")


def open_reader(path: Path) -> sqlite3.Connection | None:
    """Open the store for reading; None when nothing was ever loaded. Raises StoreUnavailable."""
    if not path.is_file():
        return None
    try:
        connection = sqlite3.connect(
            f"{path.resolve().as_uri()}?mode=ro",
            uri=True,
            timeout=10,
            isolation_level=None,
            check_same_thread=False,
        )
        (found,) = connection.execute("PRAGMA user_version").fetchone()
        connection.execute(f"PRAGMA mmap_size={_MMAP}")
        connection.execute("PRAGMA cache_size=-2048")
    except sqlite3.Error as error:
        raise unavailable(path, error) from None
    if found == 0:  # made a moment ago by another process, nothing in it yet
        connection.close()
        return None
    _same_format(found, path)
    return connection


def unavailable(path: Path, error: sqlite3.Error) -> StoreUnavailable:
    """Say that the file cannot be read or written."""
    return StoreUnavailable(
        "the code store cannot be read or written",
        where=str(path),
        why=str(error),
        remedy="see that the disk has space and the file is yours; a damaged file is deleted and "
        "the releases are loaded again",
    )


def _same_format(found: int, path: Path) -> None:
    if found != FORMAT:
        raise HubError(
            "the code store was written by another version of the hub",
            where=str(path),
            why=f"its layout is {found}, this hub reads {FORMAT}",
            remedy="delete the file and load the releases again: hub terms load",
        )


@contextmanager
def writing(path: Path) -> Iterator[sqlite3.Connection]:
    """Open the store for one writer, making it where there is none; loads wait for nobody: the second fails.

    Raises HubError while another process loads, StoreUnavailable when the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        lock = os.open(f"{path}-load.lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StoreUnavailable(
            "the code store cannot be written", where=str(path), why=error.strerror or ""
        ) from None
    try:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HubError(
                "another process is loading a release", where=str(path), remedy="wait until it is done"
            ) from None
        connection: sqlite3.Connection | None = None
        try:
            connection = _writer(path)
            yield connection
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        except sqlite3.Error as error:
            raise unavailable(path, error) from error
        finally:
            if connection is not None:
                connection.close()
    finally:
        os.close(lock)


def _writer(path: Path) -> sqlite3.Connection:
    os.close(os.open(path, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600))  # licensed content: the owner's
    connection = sqlite3.connect(path, timeout=60, isolation_level=None, cached_statements=64)
    connection.execute("PRAGMA page_size=8192")
    write_ahead_log(connection)
    for pragma in (
        "synchronous=NORMAL",  # a crash may lose the end of a load, which is then run again
        "cache_size=-131072",
        "temp_store=FILE",
        "secure_delete=OFF",  # nothing in here is about a patient
        "wal_autocheckpoint=4000",
    ):
        connection.execute(f"PRAGMA {pragma}")
    (found,) = connection.execute("PRAGMA user_version").fetchone()
    if found == 0:
        connection.executescript(f"BEGIN;{_REGISTRY}PRAGMA user_version={FORMAT};COMMIT;")
    else:
        _same_format(found, path)
    return connection


def make_tables(connection: sqlite3.Connection, load: int) -> None:
    """Make the tables of one load."""
    for sql in _TABLES:
        connection.execute(sql.format(n=load))


def drop_load(connection: sqlite3.Connection, load: int) -> None:
    """Remove a load with all its releases; inside the caller's transaction."""
    for table in ("document", "crosswalk", "release"):
        connection.execute(f"DELETE FROM {table} WHERE load = ?", (load,))
    for name in _NAMES:
        connection.execute(f"DROP TABLE IF EXISTS {name}_{load}")
    connection.execute("DELETE FROM load WHERE id = ?", (load,))


def clean_up(connection: sqlite3.Connection) -> int:
    """Remove what interrupted loads have left; returns how many there were."""
    left = [n for (n,) in connection.execute("SELECT id FROM load WHERE NOT ready").fetchall()]
    for load in left:
        connection.execute("BEGIN IMMEDIATE")
        drop_load(connection, load)
        connection.execute("COMMIT")
    return len(left)
