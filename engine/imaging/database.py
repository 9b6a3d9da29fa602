"""The database under the index of imaging: SQLite or PostgreSQL, the same statements for both.

In: SQL with `?` places. Out: rows as tuples. One writer at a time among all processes (SQLite: the lock of
`kernel.onewriter`; PostgreSQL: an advisory lock), so that a batch finds what it is compared with. What the
journal can bring back is committed without waiting for the disk; what it cannot is `durable`.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, Engine
from sqlalchemy.exc import ArgumentError

from engine.kernel.errors import ConfigError, StoreUnavailable
from engine.kernel.onewriter import OneWriter, make_private
from engine.kernel.sqlitewal import write_ahead_log

__all__ = ["Database", "Session"]

_LOCK = 0x68_75_62_69  # "hubi": the advisory lock under which PostgreSQL is written
_BUSY_MS = 60_000
_TOGETHER = 500  # values in one IN (...); a few fixed sizes keep the statement cache warm


class Session:
    """Statements inside one transaction, on a raw connection of the driver."""

    def __init__(self, connection: Any, postgres: bool) -> None:
        self.connection = connection
        self.postgres = postgres
        self._cursor = connection.cursor()

    def all(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a query and return all its rows."""
        self._cursor.execute(sql.replace("?", "%s") if self.postgres else sql, tuple(values))
        rows: list[tuple[Any, ...]] = self._cursor.fetchall()
        return rows

    def one(self, sql: str, values: Sequence[Any] = ()) -> tuple[Any, ...] | None:
        """Run a query and return its first row."""
        return next(iter(self.all(sql, values)), None)

    def run(self, sql: str, values: Sequence[Any] = ()) -> int:
        """Run one statement; return how many rows it changed."""
        self._cursor.execute(sql.replace("?", "%s") if self.postgres else sql, tuple(values))
        return int(self._cursor.rowcount)

    def many(self, sql: str, rows: Sequence[Sequence[Any]]) -> None:
        """Run one statement for many rows."""
        if rows:
            self._cursor.executemany(sql.replace("?", "%s") if self.postgres else sql, rows)

    def among(self, sql: str, among: Sequence[Any]) -> list[tuple[Any, ...]]:
        """Run a query whose `IN (...)` stands for many values, a few hundred at a time."""
        found: list[tuple[Any, ...]] = []
        for start in range(0, len(among), _TOGETHER):
            part = list(among[start : start + _TOGETHER])
            size = next(size for size in (1, 4, 16, 64, 200, _TOGETHER) if size >= len(part))
            part.extend(part[-1:] * (size - len(part)))
            found += self.all(sql.replace("(...)", "(" + ",".join("?" * size) + ")"), part)
        return found


class Database:
    """Transactions of one process; threads may share it."""

    def __init__(self, url: str) -> None:
        parsed = _parsed(url)
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
                "the index of imaging cannot be opened",
                where=self.where,
                why=e.strerror or "",
                remedy="check that its folder exists and is writable",
            ) from None
        self._engine = _engine(parsed)

    @contextmanager
    def write(self, durable: bool = False) -> Iterator[Session]:
        """Open the one write transaction; commit at the end, roll back on any error."""
        with self._lock, self._reporting(), self._alone(), self._connected() as connection:
            session = Session(connection, self.postgres)
            if self.postgres:
                if not durable:
                    session.run("SET LOCAL synchronous_commit = off")
                session.run(f"SELECT pg_advisory_xact_lock({_LOCK})")
            else:
                if self._one is not None:
                    self._one.settle(connection)
                session.run(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                session.run("BEGIN IMMEDIATE")
            try:
                yield session
                connection.commit()
            except BaseException as error:
                if self._one is not None:
                    self._one.failed(error)
                raise

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open one snapshot for reading. Raises StoreUnavailable."""
        with self._reporting(), self._connected() as connection:
            session = Session(connection, self.postgres)
            if self.postgres:
                session.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            else:
                session.run("BEGIN")
            yield session

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            self._engine.dispose()
            if self._one is not None:
                self._one.close()
                self._one = None

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """Lend a connection; what was not committed is rolled back, and one that broke is not lent again."""
        pooled = self._engine.raw_connection()
        try:
            yield pooled.driver_connection
        except BaseException:
            pooled.invalidate()  # its state is not known
            raise
        finally:
            pooled.close()  # the pool rolls back

    @contextmanager
    def _alone(self) -> Iterator[None]:
        one = self._one
        if one is None:
            yield
            return
        one.take()
        try:
            yield
        finally:
            one.give()

    @contextmanager
    def _reporting(self) -> Iterator[None]:
        driver = self._engine.dialect.loaded_dbapi
        try:
            yield
        except (driver.Error, sa.exc.SQLAlchemyError) as error:
            cause = getattr(error, "orig", None) or error
            # only the first line of a driver's text: the second may quote values
            text = str(cause).strip().partition("\n")[0]
            raise StoreUnavailable(
                "the index of imaging cannot be read or written",
                where=self.where,
                why=f"{type(cause).__name__}: {text}",
                remedy="the work is tried again; see that the database runs and its disk has space",
            ) from None


def _parsed(url: str) -> URL:
    remedy = "write sqlite:///FILE or postgresql://USER@HOST/DATABASE"
    try:
        parsed = sa.engine.make_url(url)
    except ArgumentError:
        raise ConfigError("the address of the index of imaging is no database URL", remedy=remedy) from None
    backend = parsed.get_backend_name()
    if backend == "postgresql":
        return parsed.set(drivername="postgresql+psycopg")
    if backend != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise ConfigError(
            "the index of imaging cannot be kept there",
            where=parsed.render_as_string(hide_password=True),
            why="it must be a file of SQLite or a database of PostgreSQL",
            remedy=remedy,
        )
    return parsed


def _engine(url: URL) -> Engine:
    if url.get_backend_name() == "postgresql":
        return sa.create_engine(url, pool_pre_ping=True, pool_size=4, max_overflow=60)
    engine = sa.create_engine(
        url,
        connect_args={"isolation_level": None, "check_same_thread": False, "cached_statements": 256},
        pool_size=4,
        max_overflow=60,
    )
    sa.event.listen(engine, "connect", _set_up)
    return engine


def _set_up(connection: sqlite3.Connection, _record: object) -> None:
    connection.execute(f"PRAGMA busy_timeout={_BUSY_MS}")
    write_ahead_log(connection)
    for pragma in (
        "fullfsync=ON",  # macOS, where fsync alone leaves bytes in the disk's cache
        "checkpoint_fullfsync=ON",
        "secure_delete=ON",
        "cache_size=-32000",
        "temp_store=MEMORY",
        "trusted_schema=OFF",
    ):
        connection.execute(f"PRAGMA {pragma}")
