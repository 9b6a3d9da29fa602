"""Opens the journal's database and says what an error of it means.

SQLite (default): WAL with synchronous=FULL, so that a commit returns after its fsync; no automatic checkpoint
(see `checkpoint.py`); deleted bytes are overwritten (secure_delete) and freed pages can be given back
(incremental auto_vacuum); the file is its owner's only. PostgreSQL: a server that commits without flushing is
refused.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Connection, Engine, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError

from engine.kernel.errors import ConfigError, HubError, StoreUnavailable
from engine.kernel.postgres import socket_words
from engine.kernel.sqlitewal import write_ahead_log

__all__ = ["connect", "exists", "file_of", "own_connection", "reporting", "unavailable"]

_BUSY_MS = 20_000


def connect(url: str) -> Engine:
    """Return an engine for the journal at `url` (`sqlite:///PATH` or `postgresql+psycopg://...`)."""
    parsed = _parse(url)
    if parsed.get_backend_name() == "sqlite":
        return _sqlite(parsed)
    engine = sa.create_engine(
        parsed, pool_pre_ping=True, pool_size=4, max_overflow=28, connect_args=socket_words(parsed)
    )
    sa.event.listen(engine, "connect", _set_up_postgresql)
    return engine


def exists(url: str, table: str = "entry") -> bool:
    """Tell whether data of ours, known by one of its tables, is at `url`, without making any."""
    path = file_of(url)
    if path is not None:
        return path.exists() and path.stat().st_size > 0
    engine = connect(url)
    try:
        with engine.connect() as connection:
            return sa.inspect(connection).has_table(table)
    except DBAPIError as e:
        raise unavailable(e, engine.url.render_as_string(hide_password=True)) from None
    finally:
        engine.dispose()


def file_of(url: str) -> Path | None:
    """Return the file of an SQLite journal; None for PostgreSQL."""
    parsed = _parse(url)
    return Path(parsed.database or "") if parsed.get_backend_name() == "sqlite" else None


def unavailable(error: Exception, where: str) -> HubError:
    """Turn a driver's error into ours: StoreUnavailable. The driver's text is kept, parameters are not."""
    cause = error.orig if isinstance(error, DBAPIError) and error.orig is not None else error
    text = str(cause).strip().partition("\n")[0]
    name = getattr(cause, "sqlite_errorname", "") or getattr(cause, "sqlstate", "") or type(cause).__name__
    remedies = {
        "SQLITE_FULL": "free space on the disk of the journal",
        "SQLITE_READONLY": "give the hub's user write access to the journal and its folder",
        "SQLITE_CANTOPEN": "check that the journal's folder exists and is writable",
    }
    remedy = remedies.get(
        name, "check the disk or server of the journal; the hub goes on by itself once it works"
    )
    return StoreUnavailable("the journal cannot be used", where=where, why=f"{text} ({name})", remedy=remedy)


@contextmanager
def reporting(where: str) -> Iterator[None]:
    """Turn the errors of SQLAlchemy and sqlite3 into StoreUnavailable."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error) as e:
        raise unavailable(e, where) from None


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except ArgumentError:
        raise ConfigError(
            "the journal's address is no database URL",
            remedy="write sqlite:///FILE or postgresql://USER@HOST/DATABASE",
        ) from None
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise ConfigError(
            "the journal cannot be kept there",
            where=parsed.render_as_string(hide_password=True),
            why="it must be a file of SQLite or a database of PostgreSQL",
            remedy="write sqlite:///FILE or postgresql://USER@HOST/DATABASE",
        )
    return parsed


def _sqlite(url: URL) -> Engine:
    path = Path(url.database or "")
    try:
        new = not path.exists()
        handle = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)  # -wal and -shm take the mode of the file
        if new:
            folder = os.open(path.parent, os.O_RDONLY)
            os.fsync(folder)  # SQLite does this for its logs, not for a file that it finds
            os.close(folder)
    except OSError as e:
        raise ConfigError(
            "the journal cannot be opened",
            where=str(path),
            why=e.strerror or "",
            remedy="check its folder's rights",
        ) from None
    os.close(handle)
    engine = sa.create_engine(
        url,
        connect_args={"isolation_level": None, "check_same_thread": False, "cached_statements": 256},
        pool_size=4,
        max_overflow=28,
    )
    sa.event.listen(engine, "connect", _set_up_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _set_up_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
    if connection.execute("PRAGMA page_count").fetchone()[0] == 0:  # on a made database the second one writes
        connection.execute(
            "PRAGMA page_size=4096"
        )  # measured: for batches of one it writes less log than 8 KB
        connection.execute("PRAGMA auto_vacuum=INCREMENTAL")
    write_ahead_log(connection)
    for pragma in (
        "synchronous=FULL",
        "fullfsync=ON",  # macOS, where fsync alone leaves bytes in the disk's cache
        "checkpoint_fullfsync=ON",
        "wal_autocheckpoint=0",
        "secure_delete=ON",
        "cache_size=-16000",
        "trusted_schema=OFF",
    ):
        connection.execute(f"PRAGMA {pragma}")


def _begin_sqlite(connection: Connection) -> None:
    immediate = connection.get_execution_options().get("immediate")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _set_up_postgresql(connection: Any, _record: Any) -> None:
    connection.autocommit = True
    for setting, remedy in (
        ("fsync", "set fsync = on in postgresql.conf"),
        ("full_page_writes", "set full_page_writes = on in postgresql.conf"),
    ):
        if connection.execute(f"SHOW {setting}").fetchone()[0] == "off":
            raise ConfigError(
                f"PostgreSQL runs with {setting} = off",
                why="messages it confirmed could be lost in a power cut",
                remedy=remedy,
            )
    if connection.execute("SHOW synchronous_commit").fetchone()[0] == "off":
        connection.execute("SET synchronous_commit = on")
    connection.autocommit = False


def own_connection(engine: Engine) -> Any:
    """Return a set-up driver connection that the pool knows nothing of; its user closes it."""
    pooled = engine.raw_connection()
    connection = pooled.driver_connection
    pooled.detach()
    return connection
