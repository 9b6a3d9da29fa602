"""Brings a journal's tables up to date at open: reads one number, and loads Alembic only when that number is
old.

In comes an SQLAlchemy engine; afterwards the tables are those of `tables.py`. Two processes may open a new
journal at once: the second waits for the first. A journal made by a newer hub is refused, never touched.
"""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import OperationalError, ProgrammingError

from engine.journal.tables import REVISION
from engine.kernel.errors import ConfigError

__all__ = ["bring_up_to_date", "is_made"]

_LOCK = 0x68_75_62_6A  # "hubj": the advisory lock under which PostgreSQL journals are migrated


def is_made(engine: Engine) -> bool:
    """Tell whether the database holds a journal already."""
    with engine.connect() as connection:
        return _revision(connection) is not None


def bring_up_to_date(engine: Engine) -> None:
    """Run the migrations that are missing, all or none. Raises ConfigError for a journal from a newer hub."""
    with engine.connect() as connection:
        if _revision(connection) == REVISION:
            return
    with engine.execution_options(immediate=True).connect() as connection, connection.begin():
        if engine.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(:n)"), {"n": _LOCK})
        if _revision(connection) == REVISION:
            return  # another process was first
        _migrate(connection)


def _revision(connection: Connection) -> str | None:
    try:
        with connection.begin_nested() if connection.in_transaction() else connection.begin():
            return connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar()
    except (OperationalError, ProgrammingError) as e:
        if "alembic_version" in str(e.orig):  # no such table / relation does not exist
            return None
        raise


def _migrate(connection: Connection) -> None:
    from alembic import command
    from alembic.config import Config
    from alembic.util.exc import CommandError

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as e:
        raise ConfigError(
            "this journal was made by another version of the hub",
            where=connection.engine.url.render_as_string(hide_password=True),
            why=str(e),
            remedy="start it with that version, or a newer one",
        ) from None
