"""Appends to a journal in PostgreSQL: one connection, two round trips a batch, ids in commit order.

The row of `tail` holds the newest id and is locked from before ids are given until after the commit is
visible, so the next appender, in any process on any machine, gets higher ids and nobody can see them before
these. A sequence could not promise that. The batch goes in as arrays (unnest), which beats COPY for the small
batches of group commit.
"""

from __future__ import annotations

import threading
from typing import Any

import psycopg
from sqlalchemy.engine import Engine
from sqlalchemy.exc import SQLAlchemyError

from engine.journal.appending import Batch, Laid, lay_out
from engine.journal.database import own_connection, unavailable
from engine.journal.daykeys import DayKeys, KeyGone
from engine.kernel.message import Accepted
from engine.kernel.pgarray import arrays
from engine.kernel.postgres import release_when_gone

__all__ = ["PostgresTail"]

_LAST = "SELECT last FROM tail WHERE one = 1 FOR UPDATE"
# A statement of its own: it must see what was committed while the one above waited for the row.
_STATE = """
SELECT (SELECT count(sealed) FROM sealing_key WHERE id = %s),
       (SELECT hour FROM mark ORDER BY first DESC LIMIT 1),
       (SELECT key_id FROM mark ORDER BY first DESC LIMIT 1),
       w.control, w.hash,
       (SELECT id FROM entry e WHERE e.control = w.control AND e.kind < 2 AND e.received >= w.since LIMIT 1),
       (SELECT min(id) FROM entry e
         WHERE e.control = w.control AND e.hash = w.hash AND e.kind < 2 AND e.received >= w.since)
  FROM (SELECT 1) AS one
       LEFT JOIN unnest(%s::bigint[], %s::bytea[], %s::bigint[]) AS w(control, hash, since) ON true"""
_WANTED = ("bigint", "bytea", "bigint")
_ENTRY = (
    *("bigint", "int", "int", "int", "smallint", "bigint", "bigint", "bigint", "bytea", "bytea"),
    *("bigint", "bigint", "bigint", "bytea"),
)
_BODY = ("bigint", "bytea")
_INSERT = f"""
  WITH e AS (INSERT INTO entry SELECT * FROM unnest({",".join(f"%s::{t}[]" for t in _ENTRY)})),
       b AS (INSERT INTO body SELECT * FROM unnest({",".join(f"%s::{t}[]" for t in _BODY)}))
UPDATE tail SET last = %s WHERE one = 1"""
_MARKS = "INSERT INTO mark VALUES (%s, %s, %s)"


class PostgresTail:
    """The end of a PostgreSQL journal, where entries are added."""

    def __init__(self, engine: Engine, where: str) -> None:
        self._engine = engine
        self._where = where
        self._lock = threading.Lock()
        self._connection: psycopg.Connection[Any] | None = None

    def append(self, batch: Batch, keys: DayKeys) -> list[Accepted]:
        """Append in one transaction; return once it is on disk. StoreUnavailable: nothing was appended."""
        with self._lock:
            connection = self._connection or self._open()
            try:
                laid = self._lay_out(connection, batch, keys)
                if laid.entries:
                    self._insert(connection, laid)
                else:
                    connection.execute("ROLLBACK")
            except BaseException as e:
                self._drop()  # whatever state it is in, the server rolls back
                if isinstance(e, psycopg.Error):
                    raise unavailable(e, self._where) from None
                raise
        return laid.accepted

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._drop()

    def _lay_out(self, connection: psycopg.Connection[Any], batch: Batch, keys: DayKeys) -> Laid:
        wanted = [(e.control, e.hash, e.since) for e in batch.entries if e.unique]
        with connection.pipeline():
            connection.execute("BEGIN")
            newest = connection.execute(_LAST)
            state = connection.execute(_STATE, (batch.key_id, *arrays(wanted, _WANTED)), binary=True)
        last: int = newest.fetchall()[0][0]
        rows = state.fetchall()
        key_lives, hour, key_id = rows[0][:3]
        if not key_lives:
            raise KeyGone(batch.key_id)
        names: dict[int, int] = {}
        twins: dict[tuple[int, bytes], int] = {}
        for *_, control, digest, name, twin in rows:
            if name is not None:
                names[control] = name
            if twin is not None:
                twins[control, bytes(digest)] = twin
        return lay_out(
            batch,
            last,
            (hour or 0, key_id or 0),
            keys,
            lambda control, _: names.get(control),
            lambda control, digest, _: twins.get((control, digest)),
        )

    def _insert(self, connection: psycopg.Connection[Any], laid: Laid) -> None:
        with connection.pipeline():
            for mark in laid.marks:
                connection.execute(_MARKS, mark)
            columns = (*arrays(laid.entries, _ENTRY), *arrays(laid.bodies, _BODY))
            connection.execute(_INSERT, (*columns, laid.entries[-1][0]))
            connection.execute("COMMIT")

    def _open(self) -> psycopg.Connection[Any]:
        try:
            connection: psycopg.Connection[Any] = own_connection(self._engine)
        except SQLAlchemyError as e:
            raise unavailable(e, self._where) from None
        connection.rollback()
        release_when_gone(connection)
        connection.autocommit = True
        self._connection = connection
        return connection

    def _drop(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None
