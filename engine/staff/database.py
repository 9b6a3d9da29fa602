"""The database of what people do: `staff.db`, or what `staff:` in config.yaml names.

In: statements of SQLAlchemy Core on the tables of `tables`. Out: rows. A write transaction is the only one
among all processes and is on disk when it returns; a reader sees one snapshot.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import sqlalchemy as sa

from engine.kernel.clock import now_ms
from engine.kernel.errors import ConfigError
from engine.kernel.postgres import NOBODY_WAITS
from engine.kernel.sqldatabase import SqlDatabase
from engine.security.keys import Keyring
from engine.staff.tables import META, METADATA

__all__ = ["Database", "Part"]

_LOCK = 0x68_75_62_73  # "hubs": the advisory lock under which PostgreSQL is written


class Database(SqlDatabase):
    """Transactions of one process; threads may share it."""

    def __init__(self, url: str) -> None:
        super().__init__(url, "the database of accounts and notes (staff)", cache_kib=4_000)

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Open the one write transaction; commit at the end, roll back on any error."""
        with self.reporting(), self.alone() as one, self.engine.connect() as connection:
            if self.postgres:
                connection.exec_driver_sql(f"SELECT {NOBODY_WAITS}, pg_advisory_xact_lock({_LOCK})")
            else:
                if one is not None:
                    one.settle(connection.connection.driver_connection)  # type: ignore[arg-type]
                connection.exec_driver_sql("PRAGMA synchronous=FULL")
                connection.exec_driver_sql("BEGIN IMMEDIATE")
            yield connection
            connection.commit()

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Open one snapshot for reading. Raises StoreUnavailable."""
        with self.reporting(), self.engine.connect() as connection:
            if self.postgres:
                connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
            else:
                connection.exec_driver_sql("BEGIN")
            yield connection

    def bring_up_to_date(self, whose: str) -> None:
        """Make the tables that are missing. Raises ConfigError where they belong to another key file."""
        with self.write() as c:
            METADATA.create_all(c)
            known = c.execute(sa.select(META.c.value).where(META.c.item == "keyring")).scalar()
            if known is None:
                c.execute(sa.insert(META).values(item="keyring", value=whose))
            elif known != whose:
                raise ConfigError(
                    f"{self.what} was made with another key",
                    where=self.where,
                    why="what is sealed in it does not belong to the key file in use",
                    remedy="use the key file that was in use when it was made",
                )


class Part:
    """One thing kept in the database: what a file of this room is about."""

    def __init__(self, database: Database, keyring: Keyring, now: Callable[[], int] = now_ms) -> None:
        self.database, self.keyring, self.now = database, keyring, now
