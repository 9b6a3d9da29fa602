"""Migrations: they make what `tables.py` says, cost nothing when current, and two processes may start at
once."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from journal_samples import oru

import engine.journal.migrations
from engine.journal import schema, tables
from engine.journal.sql import SqlJournal
from engine.kernel.errors import ConfigError, StoreUnavailable
from engine.security.keys import Keyring

Open = Callable[..., SqlJournal]


def test_the_migrations_make_the_tables_of_the_code(journal: SqlJournal) -> None:
    with journal.engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        differences = compare_metadata(MigrationContext.configure(connection, opts=options), tables.metadata)
    assert differences == []


def test_the_newest_migration_is_the_one_the_code_expects(journal: SqlJournal) -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(engine.journal.migrations.__path__[0])))
    script = ScriptDirectory.from_config(config)
    assert script.get_heads() == [tables.REVISION]
    with journal.engine.connect() as connection:
        assert (
            connection.exec_driver_sql("SELECT version_num FROM alembic_version").scalar() == tables.REVISION
        )


def test_a_current_journal_is_opened_without_alembic(opened: Open, url: str, tmp_path: Path) -> None:
    opened().append([oru(1)])
    program = (
        "import sys; from pathlib import Path; from engine.journal.sql import SqlJournal;"
        "from engine.security.keys import Keyring;"
        f"key = Path({str(tmp_path / 'hub.key')!r});"
        f"j = SqlJournal.open({url!r}, Keyring.open(key, existing_data=True));"
        "print(j.head(), 'alembic' in sys.modules); j.close()"
    )
    root = str(Path(__file__).parents[2])
    said = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": root},
    )
    assert said.stdout.split() == ["1", "False"]


def test_a_journal_of_a_newer_hub_is_refused_and_left_alone(opened: Open) -> None:
    journal = opened()
    journal.append([oru(1)])
    with journal.engine.begin() as connection:
        connection.exec_driver_sql("UPDATE alembic_version SET version_num = '9999'")
    with pytest.raises(ConfigError, match="another version of the hub") as e:
        opened()
    assert "9999" in str(e.value) and e.value.remedy
    assert journal.head() == 1


def _open_and_append(url: str, key: Path, number: int, out: multiprocessing.Queue[object]) -> None:
    try:
        journal = SqlJournal.open(url, Keyring.open(key, existing_data=True))
        out.put(journal.append([oru(number)])[0].id)
        journal.close()
    except Exception as e:
        out.put(e)


def test_processes_that_start_together_make_one_journal(url: str, keyring: Keyring, tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    out: multiprocessing.Queue[object] = context.Queue()
    processes = [
        context.Process(target=_open_and_append, args=(url, tmp_path / "hub.key", n, out)) for n in range(2)
    ]
    for p in processes:
        p.start()
    said = [out.get(timeout=60) for _ in processes]
    for p in processes:
        p.join()
    assert sorted(said, key=str) == [1, 2]


def test_a_file_that_is_no_database_is_refused(tmp_path: Path, keyring: Keyring) -> None:
    path = tmp_path / "journal.db"
    path.write_bytes(b"this is a letter, not a database. " * 200)
    before = path.read_bytes()
    with pytest.raises(StoreUnavailable, match="not a database"):
        SqlJournal.open(f"sqlite:///{path}", keyring)
    assert path.read_bytes() == before


def test_a_folder_that_is_missing_is_named(tmp_path: Path, keyring: Keyring) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        SqlJournal.open(f"sqlite:///{tmp_path / 'nowhere' / 'journal.db'}", keyring)


def test_the_failure_of_a_migration_leaves_nothing_behind(
    url: str, keyring: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    import alembic.command

    copied: Any = schema.bring_up_to_date
    monkeypatch.setattr(schema, "bring_up_to_date", copied.__wrapped__)
    upgrade = alembic.command.upgrade

    def half(config: Config, revision: str) -> None:
        upgrade(config, revision)
        raise RuntimeError("power cut on purpose")

    monkeypatch.setattr(alembic.command, "upgrade", half)
    with pytest.raises(RuntimeError, match="on purpose"):
        SqlJournal.open(url, keyring)
    plain = sa.create_engine(url)
    with plain.connect() as connection:
        assert sa.inspect(connection).get_table_names() == []
    plain.dispose()
    monkeypatch.undo()
    journal = SqlJournal.open(url, keyring)
    assert journal.append([oru(1)])[0].id == 1
    journal.close()
