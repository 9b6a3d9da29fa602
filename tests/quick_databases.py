"""Databases that cost tests little: what migrations make of an empty file is made once a session and copied,
and a database of PostgreSQL that a test has used is emptied and given to the next.

In: nothing. Out: `copy_fresh_databases`, which a session switches on, and `Spares`. Only a file of no bytes
is ever filled from a copy, so that whatever a test brings along is migrated as anywhere else.
"""

from __future__ import annotations

import secrets
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any

import psycopg
from sqlalchemy.engine import Engine

Make = Callable[[Engine], None]


def copied(make: Make) -> Make:
    """Return `make`, which brings a database up to date, with what it made of the first empty SQLite file
    written into every other."""
    image = b""

    @wraps(make)  # a test that wants the migrations themselves takes `__wrapped__`
    def made(engine: Engine) -> None:
        nonlocal image
        path = Path(engine.url.database or "") if engine.dialect.name == "sqlite" else None
        empty = path is not None and path.is_file() and path.stat().st_size == 0
        if empty and image and path is not None:
            path.write_bytes(image)
        make(engine)
        if empty and not image:
            found = sqlite3.connect(str(path))
            image = found.serialize()
            found.close()

    return made


def copy_fresh_databases() -> None:
    """Let every new journal and core store of this process be such a copy."""
    from engine.journal import schema
    from engine.store import sql

    schema.bring_up_to_date = copied(schema.bring_up_to_date)
    sql.migrate = copied(sql.migrate)  # type: ignore[attr-defined]


class Spares:
    """Empty databases of one PostgreSQL server. Making one costs it three times what emptying one does."""

    def __init__(self, host: str) -> None:
        self.host = host
        self._free: list[str] = []
        self._server: psycopg.Connection[Any] = self._connect("postgres")

    @contextmanager
    def one(self) -> Iterator[str]:
        """Give the URL of an empty database."""
        name = self._free.pop() if self._free else self._make()
        yield f"postgresql+psycopg://postgres@/{name}?host={self.host}"
        if self._emptied(name):
            self._free.append(name)
        else:
            self._server.execute(f'DROP DATABASE "{name}" WITH (FORCE)')

    def close(self) -> None:
        self._server.close()

    def _connect(self, name: str) -> psycopg.Connection[Any]:
        return psycopg.connect(f"host={self.host} user=postgres dbname={name}", autocommit=True)

    def _make(self) -> str:
        name = f"test_{secrets.token_hex(6)}"
        self._server.execute(f'CREATE DATABASE "{name}"')
        return name

    def _emptied(self, name: str) -> bool:
        """Take everything out of a database; False where a test has set something that would stay."""
        own = self._server.execute(
            "SELECT count(*) FROM pg_db_role_setting s JOIN pg_database d ON d.oid = s.setdatabase"
            " WHERE d.datname = %s",
            (name,),
        ).fetchone()
        if own != (0,):
            return False
        self._server.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = %s", (name,)
        )
        with self._connect(name) as connection:
            others = connection.execute(
                "SELECT count(*) FROM pg_namespace WHERE nspname !~ '^pg_' AND nspname NOT IN"
                " ('public', 'information_schema')"
            ).fetchone()
            if others != (0,):
                return False
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return True
