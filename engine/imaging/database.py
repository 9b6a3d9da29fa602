"""The database under the index of imaging: SQLite or PostgreSQL, the same statements for both.

In: SQL with `?` places. Out: rows as tuples. One writer at a time among all processes (`kernel.sqldatabase`),
so that a batch finds what it is compared with. What the journal can bring back is committed without waiting
for the disk; what it cannot is `durable`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from engine.kernel.postgres import NOBODY_WAITS
from engine.kernel.sqldatabase import SqlDatabase

__all__ = ["Database", "Session"]

_LOCK = 0x68_75_62_69  # "hubi": the advisory lock under which PostgreSQL is written
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


class Database(SqlDatabase):
    """Transactions of one process; threads may share it."""

    def __init__(self, url: str) -> None:
        super().__init__(url, "the index of imaging")

    @contextmanager
    def write(self, durable: bool = False) -> Iterator[Session]:
        """Open the one write transaction; commit at the end, roll back on any error."""
        with self.reporting(), self.alone() as one, self._connected() as connection:
            session = Session(connection, self.postgres)
            if self.postgres:
                if not durable:
                    session.run("SET LOCAL synchronous_commit = off")
                session.run(f"SELECT {NOBODY_WAITS}, pg_advisory_xact_lock({_LOCK})")
            else:
                if one is not None:
                    one.settle(connection)
                session.run(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
                session.run("BEGIN IMMEDIATE")
            yield session
            connection.commit()

    @contextmanager
    def read(self) -> Iterator[Session]:
        """Open one snapshot for reading. Raises StoreUnavailable."""
        with self.reporting(), self._connected() as connection:
            session = Session(connection, self.postgres)
            if self.postgres:
                session.run("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            else:
                session.run("BEGIN")
            yield session

    @contextmanager
    def _connected(self) -> Iterator[Any]:
        """Lend a connection; what was not committed is rolled back, and one that broke is not lent again."""
        pooled = self.engine.raw_connection()
        try:
            yield pooled.driver_connection
        except BaseException:
            pooled.invalidate()  # its state is not known
            raise
        finally:
            pooled.close()  # the pool rolls back
