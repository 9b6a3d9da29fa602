"""What every database of the hub that is written by several processes has in common: SQLite or PostgreSQL.

In: a URL, what the database is called to people, a number for PostgreSQL's advisory lock. Out: an engine, the
lock under which one process at a time writes (SQLite: `kernel.onewriter`; PostgreSQL: the caller takes the
advisory lock), and errors said in our words. What is read and written is the rooms' own.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import ArgumentError

from engine.kernel.errors import ConfigError, StoreUnavailable
from engine.kernel.onewriter import OneWriter, make_private
from engine.kernel.postgres import socket_words
from engine.kernel.sqlitewal import write_ahead_log

__all__ = ["SqlDatabase"]

_BUSY_MS = 60_000
_REMEDY = "write sqlite:///FILE or postgresql://USER@HOST/DATABASE"


class SqlDatabase:
    """One database in one process; threads may share it."""

    def __init__(self, url: str, what: str, cache_kib: int = 32_000) -> None:
        self.what = what
        parsed = _parsed(url, what)
        self.where = parsed.render_as_string(hide_password=True)
        self.postgres = parsed.get_backend_name() == "postgresql"
        self._lock = threading.RLock()
        path = None if self.postgres else Path(parsed.database or "")
        try:
            if path is not None:
                make_private(path)
            self._one = None if path is None else OneWriter(path)
        except OSError as e:
            raise StoreUnavailable(
                f"{what} cannot be opened",
                where=self.where,
                why=e.strerror or "",
                remedy="check that its folder exists and is writable",
            ) from None
        self.engine = _engine(parsed, cache_kib)

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            self.engine.dispose()
            if self._one is not None:
                self._one.close()
                self._one = None

    @contextmanager
    def alone(self) -> Iterator[OneWriter | None]:
        """Be the one writer among threads, and for SQLite among processes."""
        with self._lock:
            one = self._one
            if one is None:
                yield None
                return
            one.take()
            try:
                yield one
            except BaseException as error:
                # SQLAlchemy wraps what the driver raised
                one.failed(getattr(error, "orig", None) or error)
                raise
            finally:
                one.give()

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Turn what the driver complains of into StoreUnavailable."""
        driver = self.engine.dialect.loaded_dbapi
        try:
            yield
        except (driver.Error, sa.exc.SQLAlchemyError) as error:
            cause = getattr(error, "orig", None) or error
            # only the first line of a driver's text: the second may quote values
            text = str(cause).strip().partition("\n")[0]
            raise StoreUnavailable(
                f"{self.what} cannot be read or written",
                where=self.where,
                why=f"{type(cause).__name__}: {text}",
                remedy="the work is tried again; see that the database runs and its disk has space",
            ) from None


def _parsed(url: str, what: str) -> URL:
    try:
        parsed = sa.engine.make_url(url)
    except ArgumentError:
        raise ConfigError(f"the address of {what} is no database URL", remedy=_REMEDY) from None
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise ConfigError(
            f"{what} cannot be kept there",
            where=parsed.render_as_string(hide_password=True),
            why="it must be a file of SQLite or a database of PostgreSQL",
            remedy=_REMEDY,
        )
    return parsed


def _engine(url: URL, cache_kib: int) -> Engine:
    if url.get_backend_name() == "postgresql":
        return sa.create_engine(
            url, pool_pre_ping=True, pool_size=4, max_overflow=60, connect_args=socket_words(url)
        )
    engine = sa.create_engine(
        url,
        connect_args={"isolation_level": None, "check_same_thread": False, "cached_statements": 256},
        pool_size=4,
        max_overflow=60,
    )

    def set_up(connection: sqlite3.Connection, _record: object) -> None:
        connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
        write_ahead_log(connection)
        for pragma in (
            "fullfsync=ON",  # macOS, where fsync alone leaves bytes in the disk's cache
            "checkpoint_fullfsync=ON",
            "secure_delete=ON",
            f"cache_size=-{cache_kib}",
            "temp_store=MEMORY",
            "trusted_schema=OFF",
        ):
            connection.execute(f"PRAGMA {pragma}")

    sa.event.listen(engine, "connect", set_up)
    return engine
