"""One database under the core store: SQLite or PostgreSQL, the same statements for both.

In: SQL with `?` places, rows as lists of columns. Out: rows as tuples. The writer holds one raw connection
and takes the store's one write lock first (SQLite: `kernel.onewriter`, PostgreSQL: the row of `core_clock`),
so that positions become visible in commit order; readers take a connection of the pool and see one snapshot.
Everything the database itself complains of leaves as `StoreUnavailable`, except a broken constraint
(`Conflict`), which is the work's fault.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Engine

from engine.kernel.errors import HubError, StoreUnavailable
from engine.kernel.onewriter import OneWriter, make_private
from engine.kernel.pgarray import array, arrays
from engine.kernel.postgres import release_when_gone, socket_words
from engine.kernel.sqlitewal import write_ahead_log

__all__ = ["Conflict", "Database", "Session", "engine_for"]

_CHUNK = 500  # values in one IN (...); a few fixed sizes keep the statement cache warm


class Conflict(HubError):
    """A row that the constraints of the store refuse: the content is at fault, not the database."""


class _Undo(Exception):
    """Nothing of this transaction is to stay."""


def engine_for(url: str) -> Engine:
    """Make the SQLAlchemy engine of a store: `sqlite:///core.db` or `postgresql+psycopg://...`."""
    if url.startswith("postgresql://"):
        url = "postgresql+psycopg://" + url.removeprefix("postgresql://")
    if not url.startswith("sqlite"):
        parsed = sa.engine.make_url(url)
        return sa.create_engine(parsed, pool_pre_ping=True, connect_args=socket_words(parsed))
    path = file_of(url)
    if path is not None:
        try:
            make_private(path)
        except OSError as error:
            raise StoreUnavailable(
                "the core store cannot be opened",
                where=str(path),
                why=error.strerror or "",
                remedy="check that its folder exists and is writable",
            ) from None
    engine = sa.create_engine(
        url, connect_args={"check_same_thread": False, "timeout": 60, "cached_statements": 256}
    )

    @event.listens_for(engine, "connect")
    def _connected(connection: sqlite3.Connection, _record: object) -> None:
        connection.isolation_level = (
            None  # we say BEGIN ourselves, so that reads are snapshots and writes IMMEDIATE
        )
        write_ahead_log(connection)
        for pragma in (
            "synchronous=FULL",
            "fullfsync=ON",  # macOS, where fsync alone leaves bytes in the disk's cache
            "checkpoint_fullfsync=ON",
            "cache_size=-65536",
            "wal_autocheckpoint=8000",
            "temp_store=MEMORY",
        ):
            connection.execute(f"PRAGMA {pragma}")

    @event.listens_for(engine, "begin")
    def _begun(connection: sa.Connection) -> None:
        immediate = connection.get_execution_options().get("immediate")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")

    return engine


def file_of(url: str) -> Path | None:
    """Return the file of an SQLite store; None where it has none."""
    parsed = sa.engine.make_url(url)
    if parsed.get_backend_name() != "sqlite" or parsed.database in (None, "", ":memory:"):
        return None
    return Path(str(parsed.database))


class Session:
    """Statements inside one transaction, on a raw connection of the driver."""

    def __init__(self, connection: Any, postgres: bool) -> None:
        self.connection = connection
        self.postgres = postgres
        self._cursor = connection.cursor()

    def all(self, sql: str, parameters: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """Run a query and return all its rows."""
        self._cursor.execute(sql.replace("?", "%s") if self.postgres else sql, parameters)
        rows: list[tuple[Any, ...]] = self._cursor.fetchall()
        return rows

    def run(self, sql: str, parameters: Sequence[Any] = ()) -> None:
        """Run one statement."""
        self._cursor.execute(sql.replace("?", "%s") if self.postgres else sql, parameters)

    def among(self, sql: str, values: Sequence[Any], kind: str = "bigint") -> list[tuple[Any, ...]]:
        """Run a query whose `IN (...)` stands for many values (`kind`: bigint or bytea)."""
        if not values:
            return []
        if self.postgres:
            return self.all(sql.replace("IN (...)", f"= ANY(?::{kind}[])"), (array(values, kind),))
        found: list[tuple[Any, ...]] = []
        for start in range(0, len(values), _CHUNK):
            part = list(values[start : start + _CHUNK])
            size = next(size for size in (1, 4, 16, 64, 200, _CHUNK) if size >= len(part))
            part.extend([None] * (size - len(part)))
            found += self.all(sql.replace("(...)", "(" + ",".join("?" * size) + ")"), part)
        return found

    def insert(self, table: str, columns: str, rows: Sequence[Sequence[Any]], tail: str = "") -> None:
        """Insert many rows. `columns`: names with PostgreSQL types, e.g. `rid bigint, key bytea`."""
        if not rows:
            return
        names = [column.split()[0] for column in columns.split(", ")]
        head = f"INSERT INTO {table} ({', '.join(names)}) "
        if not self.postgres:
            self._cursor.executemany(f"{head}VALUES ({','.join('?' * len(names))}) {tail}", rows)
            return
        kinds = [column.split()[1] for column in columns.split(", ")]
        places = ", ".join(f"%s::{kind}[]" for kind in kinds)
        self._cursor.execute(f"{head}SELECT * FROM unnest({places}) {tail}", arrays(rows, kinds))

    def update(self, table: str, key: str, columns: str, rows: Sequence[Sequence[Any]]) -> None:
        """Update many rows by one bigint key. Each row: the values of `columns` in order, then the key."""
        if not rows:
            return
        names = [column.split()[0] for column in columns.split(", ")]
        if not self.postgres:
            sets = ", ".join(f"{name} = ?" for name in names)
            self._cursor.executemany(f"UPDATE {table} SET {sets} WHERE {key} = ?", rows)
            return
        kinds = [column.split()[1] for column in columns.split(", ")] + ["bigint"]
        places = ", ".join(f"%s::{kind}[]" for kind in kinds)
        sets = ", ".join(f"{name} = new.{name}" for name in names)
        self._cursor.execute(
            f"UPDATE {table} SET {sets} FROM unnest({places}) AS new({', '.join(names)}, the_key) "
            f"WHERE {table}.{key} = new.the_key",
            arrays(rows, kinds),
        )


class Database:
    """The engine, one writer connection, and snapshots for readers."""

    def __init__(self, url: str) -> None:
        self.engine = engine_for(url)
        self.postgres = self.engine.dialect.name == "postgresql"
        self._lock = threading.RLock()
        self._writer: Any = None
        path = file_of(url)
        self._one = OneWriter(path) if path is not None else None

    @contextmanager
    def write(self) -> Iterator[Session]:
        """Open the store's one write transaction; commit at the end, roll back on any error."""
        with self._lock, self._alone():
            try:
                session = self._begin()
            except Exception as error:
                self._drop()
                raise self.translated(error) from error
            try:
                yield session
                session.connection.commit()
            except BaseException as error:
                if self._one is not None:
                    self._one.failed(error)
                self._roll_back(session)
                translated = self.translated(error)
                if translated is error:
                    raise
                raise translated from error

    @contextmanager
    def beside(self) -> Iterator[Session]:
        """Open a write transaction for what neither feed nor order depends on: on PostgreSQL it takes no turn
        among the workers' transactions; SQLite has one writer."""
        if not self.postgres:
            with self.write() as session:
                yield session
            return
        try:
            with self.engine.begin() as connection:
                yield Session(connection.connection.driver_connection, True)
        except Exception as error:
            translated = self.translated(error)
            if translated is error:
                raise
            raise translated from error

    @contextmanager
    def undone(self) -> Iterator[Session]:
        """Open the write transaction for what is only tried: it is rolled back at the end."""
        with suppress(_Undo), self.write() as session:
            yield session
            raise _Undo

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the lock among processes that SQLite needs; see `kernel.onewriter`."""
        one = self._one
        if one is None:
            yield
            return
        try:
            one.take()
        except Exception as error:
            raise self.translated(error) from error
        try:
            yield
        finally:
            one.give()

    def _begin(self) -> Session:
        if self._writer is None:
            self._writer = self.engine.raw_connection()
            if self.postgres:
                release_when_gone(self._writer.driver_connection)
        session = Session(self._writer.driver_connection, self.postgres)
        if self.postgres:
            session.run("SELECT seq FROM core_clock WHERE id = 1 FOR UPDATE")
        else:
            if self._one is not None:
                self._one.settle(session.connection)
            session.run("BEGIN IMMEDIATE")
        return session

    def _roll_back(self, session: Session) -> None:
        try:
            session.connection.rollback()
        except self.engine.dialect.loaded_dbapi.Error:
            self._drop()  # the connection is gone, and its transaction with it

    def _drop(self) -> None:
        if self._writer is not None:
            self._writer.invalidate()
            self._writer = None

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open one snapshot for reading."""
        try:
            with self.engine.connect().execution_options(
                **({"isolation_level": "REPEATABLE READ"} if self.postgres else {})
            ) as connection:
                connection.begin()
                yield Session(connection.connection.driver_connection, self.postgres)
        except Exception as error:
            translated = self.translated(error)
            if translated is error:
                raise
            raise translated from error

    def translated(self, error: BaseException) -> BaseException:
        dbapi = self.engine.dialect.loaded_dbapi
        original = error.orig if isinstance(error, sa.exc.DBAPIError) and error.orig else error
        if isinstance(original, (dbapi.IntegrityError, dbapi.DataError)):
            return Conflict("the store refuses a row", why=type(original).__name__)
        if isinstance(original, (dbapi.Error, sa.exc.SQLAlchemyError)):
            # only the first line of a driver's text: the second may quote values
            return StoreUnavailable(
                "the core store cannot be read or written",
                why=f"{type(original).__name__}: {str(original).splitlines()[0] if str(original) else ''}",
                remedy="the work is tried again; see that the database runs and its disk has space",
            )
        return error

    def close(self) -> None:
        """Close every connection."""
        with self._lock:
            if self._writer is not None:
                self._writer.close()
                self._writer = None
            if self._one is not None:
                self._one.close()
                self._one = None
        self.engine.dispose()
