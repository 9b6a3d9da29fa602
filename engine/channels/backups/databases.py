"""The databases of a hub in a backup: consistent copies beside its running processes, and what was in them.

In: the settings. Out: one file a database, in the order that fits: the journal last, unless the core store is
in the same database, so that it reaches whatever the core store has worked on. SQLite is copied by its own
online backup, in one read transaction; PostgreSQL by `pg_dump`, in the snapshot in which its rows are
counted.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import URL, make_url

from engine.kernel.config import Config
from engine.kernel.errors import HubError

__all__ = [
    "NAMES",
    "PG_DUMP",
    "PG_RESTORE",
    "Source",
    "connected",
    "copy_to",
    "counted_in",
    "counted_on",
    "integrity_of",
    "pg_address",
    "pg_run",
    "sources",
]

NAMES = ("core", "imaging", "staff", "codes", "journal")
"""The databases, in the order in which they are copied."""

PG_DUMP, PG_RESTORE = "pg_dump", "pg_restore"
_POSITIONS = {"entry": "SELECT max(id) FROM entry", "worked": "SELECT max(watermark) FROM lane"}
_POSITIONS |= {"feed": "SELECT max(seq) FROM core_clock"}


@dataclass(frozen=True, slots=True)
class Source:
    """One database, and which of the hub's are in it."""

    names: tuple[str, ...]
    url: URL

    @property
    def path(self) -> Path | None:
        """The file of SQLite; None on a server."""
        return Path(self.url.database or "") if self.url.get_backend_name() == "sqlite" else None

    @property
    def file(self) -> str:
        """What its copy is called."""
        return f"{self.names[0]}.{'dump' if self.path is None else 'db'}"

    @property
    def where(self) -> str:
        """Its address, without a password."""
        return self.url.render_as_string(hide_password=True)


def sources(config: Config, without: tuple[str, ...] = ()) -> list[Source]:
    """Return the databases there are, in the order in which they are to be copied."""
    together: dict[str, list[str]] = {}
    urls: dict[str, URL] = {}
    for name in NAMES:
        if name in without:
            continue
        text = getattr(config, f"{name}_url", "") or f"sqlite:///{config.data_dir / name}.db"
        url = make_url(text)
        if url.get_backend_name() == "sqlite":
            if not (url.database and Path(url.database).exists()):
                continue
            place = str(Path(url.database).resolve())
        else:
            place = f"{url.query.get('host', url.host)}:{url.port or 5432}/{url.database}"
        together.setdefault(place, []).append(name)
        urls.setdefault(place, url)
    found = [Source(tuple(names), urls[place]) for place, names in together.items()]
    return sorted(found, key=lambda one: "journal" in one.names)  # stable: the others as they stood


def copy_to(source: Source, to: Path) -> dict[str, Any]:
    """Copy one database to a new file; return the rows of every table, and the positions it holds."""
    os.close(os.open(to, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    if source.path is None:
        return _dump(source.url, to)
    live = sqlite3.connect(f"file:{source.path}?mode=ro", uri=True)
    with closing(live), closing(sqlite3.connect(to)) as copy:
        live.backup(copy)  # in one read transaction: nobody's writing disturbs it
        copy.execute("PRAGMA journal_mode=DELETE")
    handle = os.open(to, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
    return counted_in(to)


def counted_in(path: Path) -> dict[str, Any]:
    """Return the rows of every table of a file of SQLite, and the positions it holds."""
    with closing(_opened(path)) as db:
        return _counted(lambda sql: db.execute(sql).fetchall(), _SQLITE_TABLES)


def connected(url: URL) -> sa.Engine:
    """Return an engine for a server that holds no connections."""
    driver = url.set(drivername="postgresql+psycopg")
    return sa.create_engine(driver, poolclass=sa.pool.NullPool)


def integrity_of(path: Path) -> str:
    """Return `ok`, or what SQLite finds wrong with a file."""
    try:
        with closing(_opened(path)) as db:
            return str(db.execute("PRAGMA integrity_check(1)").fetchone()[0])
    except sqlite3.Error as e:
        return str(e)


def pg_address(url: URL) -> str:
    """Return the address of a database as PostgreSQL's own tools take it, without the password."""
    bare = URL.create("postgresql", url.username, None, url.host, url.port, url.database, url.query)
    return bare.render_as_string(hide_password=False)


def pg_run(tool: str, url: URL, *words: str) -> None:
    """Run one of PostgreSQL's own tools on a database. Raises HubError with the first line it says."""
    found = shutil.which(tool)
    if found is None:
        raise HubError(
            f"{tool} is not installed here",
            where=url.render_as_string(hide_password=True),
            why="a database on a server is backed up and restored by PostgreSQL's own tools",
            remedy="install the client tools of the server's version (Debian: postgresql-client), or use "
            "them where the server is: docs/operators/backup.md",
        )
    secret = {"PGPASSWORD": url.password} if url.password else {}
    done = subprocess.run(
        [found, "--no-password", *words, "--dbname", pg_address(url)],
        env=os.environ | secret,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        said = (done.stderr.strip() or f"exit code {done.returncode}").splitlines()[0]
        raise HubError(f"{tool} failed", where=url.render_as_string(hide_password=True), why=said[:300])


_SQLITE_TABLES = (
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%' "
    "AND sql NOT LIKE 'CREATE VIRTUAL%' ORDER BY name"
)
_PG_TABLES = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema() ORDER BY tablename"


def counted_on(connection: sa.Connection) -> dict[str, Any]:
    """Return the rows of every table of a database on a server, and the positions it holds."""
    return _counted(lambda sql: connection.exec_driver_sql(sql).fetchall(), _PG_TABLES)


def _counted(ask: Any, tables: str) -> dict[str, Any]:
    rows = {name: int(ask(f'SELECT count(*) FROM "{name}"')[0][0]) for (name,) in ask(tables)}
    positions = {}
    for name, sql in _POSITIONS.items():
        if sql.rpartition(" ")[2] in rows:
            positions[name] = int(ask(sql)[0][0] or 0)
    return {"rows": rows, **positions}


def _dump(url: URL, to: Path) -> dict[str, Any]:
    engine = connected(url)
    with _reporting(url), engine.connect() as connection:
        connection.exec_driver_sql("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        snapshot = connection.exec_driver_sql("SELECT pg_export_snapshot()").scalar()
        said = counted_on(connection)
        pg_run(PG_DUMP, url, "--format=custom", f"--snapshot={snapshot}", f"--file={to}")
        return said


class _reporting:
    """Say what a server's driver complains of in our words."""

    def __init__(self, url: URL) -> None:
        self.url = url

    def __enter__(self) -> None: ...

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, sa.exc.SQLAlchemyError):
            cause = getattr(error, "orig", None) or error
            raise HubError(
                "the database cannot be read",
                where=self.url.render_as_string(hide_password=True),
                why=str(cause).strip().partition("\n")[0],
            ) from None


def _opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(f"file:{path}?mode=ro&immutable=1", uri=True)
