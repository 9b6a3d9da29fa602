"""Bringing the tables of the core store to the newest form, at open, by Alembic; Alembic is loaded only when
needed.
"""

from __future__ import annotations

import threading
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from engine.kernel.errors import ConfigError

__all__ = ["HEAD", "VERSION_TABLE", "migrate"]

_one_at_a_time = threading.Lock()  # Alembic keeps its context in the module

HEAD = "0008"
VERSION_TABLE = "core_version"


def migrate(engine: Engine) -> None:
    """Make or upgrade the tables of the core store; nothing is done when they are current."""
    with engine.connect() as connection:
        found = None
        if sa.inspect(connection).has_table(VERSION_TABLE):
            found = connection.execute(sa.text(f"SELECT version_num FROM {VERSION_TABLE}")).scalar()
    if found == HEAD:
        return
    if found is not None and found > HEAD:
        raise ConfigError(
            f"the core store has the form {found}",
            why=f"this version of the hub knows it up to {HEAD}",
            remedy="start the newer version that made it",
        )
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent).replace("%", "%%"))
    # two processes may open a fresh store at once: one makes the tables, the other waits and finds them
    with _one_at_a_time, engine.connect().execution_options(immediate=True) as connection:
        config.attributes["connection"] = connection
        if engine.dialect.name == "postgresql":
            connection.execute(sa.text("SELECT pg_advisory_xact_lock(7249501)"))
        command.upgrade(config, "head")
        connection.commit()
