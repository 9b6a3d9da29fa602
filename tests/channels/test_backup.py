"""Backups: consistent copies beside a writing hub, verified; what is not whole is said."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.channels.backup import LIST, back_up, elsewhere, verify
from engine.channels.opening import open_journal, open_keyring, open_staff, open_store, prepare_folder
from engine.cli.main import app
from engine.kernel.config import Config, load_config
from engine.kernel.errors import HubError
from engine.kernel.message import NewEntry
from engine.staff.staff import Staff
from engine.store.audit import Access

NOW = 1_790_000_000_000


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    """A project whose databases are open, as beside a running hub."""
    (tmp_path / "channels").mkdir()
    (tmp_path / "config.yaml").write_text("hub: Mercy\n")
    config = load_config(tmp_path)
    prepare_folder(config)
    keyring = open_keyring(config)
    journal, store = open_journal(config, keyring), open_store(config, keyring)
    journal.append([NewEntry(channel="lab", body=b"MSH|1", received=NOW, sender="a") for _ in range(7)])
    store.audit.record(Access("ann", "fhir:read", "Patient/1"))
    yield config
    journal.close()
    store.close()


@pytest.fixture
def staff(config: Config) -> Iterator[Staff]:
    opened = open_staff(config, open_keyring(config))
    yield opened
    opened.close()


def test_a_backup_holds_what_was_committed_and_can_be_started_from(
    config: Config, staff: Staff, tmp_path: Path
) -> None:
    said: list[str] = []
    made = back_up(config, tmp_path / "to", "ann", staff, said.append, NOW)
    assert made.folder.name == "2026-09-21T141320Z" and made.entry == 7
    assert list(made.files) == ["core.db", "staff.db", "journal.db"]  # the journal last
    assert made.folder.stat().st_mode & 0o077 == 0
    assert all((made.folder / name).stat().st_mode & 0o077 == 0 for name in [*made.files, LIST])
    (told,) = staff.backups.newest()
    assert (told.who, told.place, told.entry, told.verified) == ("ann", str(made.folder), 7, True)
    assert any("copying journal.db" in one for one in said)
    restored = tmp_path / "restored"
    shutil.copytree(made.folder, restored / "var")
    shutil.copy(config.key_file, restored / "var")
    (restored / "config.yaml").write_text("hub: Mercy\n")
    again = load_config(restored)
    keyring = open_keyring(again)
    journal, store = open_journal(again, keyring), open_store(again, keyring)
    assert [e.body for e in journal.read(0, 10)] == [b"MSH|1"] * 7 and store.audit.prove().whole
    journal.close()
    store.close()


@pytest.mark.parametrize("name", ["core.db", "journal.db", LIST])
def test_a_copy_that_was_damaged_later_is_found(
    config: Config, staff: Staff, tmp_path: Path, name: str
) -> None:
    folder = back_up(config, tmp_path / "to", "ann", staff).folder
    path = folder / name
    path.write_bytes(path.read_bytes()[:-100] + b"x" * 100)
    with pytest.raises(HubError, match=r"not a backup|not the file"):
        verify(folder)
    path.unlink()
    with pytest.raises(HubError, match=r"not a backup|cannot be read"):
        verify(folder)


def test_a_pair_that_does_not_fit_is_refused(config: Config, staff: Staff, tmp_path: Path) -> None:
    with sqlite3.connect(config.data_dir / "core.db") as db:
        db.execute("INSERT INTO lane (lane, watermark) VALUES (0, 99)")
    db.close()
    with pytest.raises(HubError, match="older than the core store"):
        back_up(config, tmp_path / "to", "ann", staff)
    assert staff.backups.newest() == []


def test_where_nothing_can_be_written(config: Config, staff: Staff, tmp_path: Path) -> None:
    (tmp_path / "to").write_text("a file")
    with pytest.raises(HubError, match="could not be made"):
        back_up(config, tmp_path / "to", "ann", staff)


def test_databases_on_a_server_are_for_their_own_tools(config: Config, staff: Staff, tmp_path: Path) -> None:
    url = "postgresql://hub:secret@db.mercy.example/hub"
    far = config.model_copy(update={"journal": url, "core": url})
    with pytest.raises(HubError, match="pg_dump") as refused:
        back_up(far, tmp_path / "to", "ann", staff)
    assert "secret" not in str(refused.value)
    assert elsewhere(far)[0] == "pg_dump -Fc -h db.mercy.example -d hub -f core.dump"
    assert elsewhere(config) == []


def test_from_the_command_line(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(config.root)
    run = CliRunner()
    done = run.invoke(app, ["backup", "--to", str(tmp_path / "to")])
    assert done.exit_code == 0 and "whole, up to entry 7" in done.output
    (folder,) = (tmp_path / "to").iterdir()
    assert "OK: 3 files" in run.invoke(app, ["backup", "--verify", str(folder)]).output
    assert run.invoke(app, ["backup", "--told", "nightly pg_dump on db1"]).output == "noted\n"
    staff = open_staff(config, open_keyring(config))
    assert [b.place for b in staff.backups.newest(2)] == ["nightly pg_dump on db1", str(folder)]
    staff.close()
