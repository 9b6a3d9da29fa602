"""Copies the databases of a project in SQLite into PostgreSQL as they are: the same rows, the same keys.

In: the SQLite files, the URL of an empty PostgreSQL database whose tables the hub has made. Out: all rows in
it, by COPY: a million messages in minutes. What is measured there is then exactly what was measured before.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

from engine.journal import tables as journal_tables
from engine.store import tables as store_tables

__all__ = ["copy_into"]

_AT_ONCE = 20_000


def copy_into(data: Path, url: str) -> None:
    """Copy journal and core store; what the empty ones hold already is replaced."""
    with psycopg.connect(url, autocommit=False) as there:
        for file, metadata in (("journal.db", journal_tables.metadata), ("core.db", store_tables.METADATA)):
            with sqlite3.connect(data / file) as here:
                for table in metadata.sorted_tables:
                    _copy(here, there, table)
        there.execute("UPDATE tail SET last = (SELECT max(id) FROM entry)")
        there.commit()
    with psycopg.connect(url, autocommit=True) as there:
        there.execute("VACUUM ANALYZE")


def _copy(here: sqlite3.Connection, there: psycopg.Connection[Any], table: sa.Table) -> None:
    rows = here.execute(f"SELECT {', '.join(c.name for c in table.columns)} FROM {table.name}")
    if table.name == "tail":
        return  # of PostgreSQL alone
    if there.execute(f"SELECT 1 FROM {table.name} LIMIT 1".encode()).fetchone():
        there.execute(f"DELETE FROM {table.name}".encode())  # what a new database begins with
    names = ", ".join(f'"{c.name}"' for c in table.columns)
    with there.cursor() as cursor, cursor.copy(f"COPY {table.name} ({names}) FROM STDIN".encode()) as out:
        while part := rows.fetchmany(_AT_ONCE):
            for row in part:
                out.write_row(row)
