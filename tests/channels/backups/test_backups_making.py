"""Backups: consistent copies beside a writing hub, verified; what is not whole is said."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest
from backup_project import NOW, PROJECT, make
from typer.testing import CliRunner

from engine.channels.backups.archive import LIST, OBJECTS, objects_in, read, verify
from engine.channels.backups.making import back_up, elsewhere
from engine.channels.opening import open_journal, open_keyring, open_staff, open_store
from engine.cli.main import app
from engine.kernel.config import Config, load_config
from engine.kernel.errors import HubError
from engine.objects.folder import FolderObjects
from engine.security.keys import Keyring
from engine.staff.staff import Staff


@pytest.fixture
def config(tmp_path: Path) -> Iterator[Config]:
    """A project whose databases are open, as beside a running hub."""
    with make(tmp_path) as made:
        yield made


@pytest.fixture
def keyring(config: Config) -> Keyring:
    return open_keyring(config)


@pytest.fixture
def staff(config: Config, keyring: Keyring) -> Iterator[Staff]:
    opened = open_staff(config, keyring)
    yield opened
    opened.close()


def test_a_backup_holds_what_was_committed_and_can_be_started_from(
    config: Config, keyring: Keyring, staff: Staff, tmp_path: Path
) -> None:
    said: list[str] = []
    made = back_up(config, tmp_path / "to", "ann", staff, keyring, said.append, NOW)
    assert made.folder.name == "2026-09-21T141320Z" and made.entry == 7
    assert list(made.said["databases"]) == ["core.db", "staff.db", "journal.db"]  # the journal last
    assert made.said["databases"]["journal.db"]["rows"]["entry"] == 7
    assert {name.partition("/")[0] for name in made.files} == {
        "core.db", "staff.db", "journal.db", "project", "state",
    }  # fmt: skip
    assert all(p.stat().st_mode & 0o077 == 0 for p in [made.folder, *made.folder.rglob("*")])
    (told,) = staff.backups.newest()
    assert (told.who, told.place, told.entry, told.verified) == ("ann", str(made.folder), 7, True)
    assert any("copying journal.db" in one for one in said)
    restored = tmp_path / "restored"
    shutil.copytree(made.folder, restored / "var")
    shutil.copy(config.key_file, restored / "var")
    (restored / "config.yaml").write_text("hub: Mercy\n")
    again = load_config(restored)
    journal, store = open_journal(again, keyring), open_store(again, keyring)
    assert [e.body for e in journal.read(0, 10)] == [b"MSH|1"] * 7 and store.audit.prove().whole
    journal.close()
    store.close()


def test_neither_the_key_nor_a_literal_secret_is_in_it(
    config: Config, keyring: Keyring, staff: Staff, tmp_path: Path
) -> None:
    config.token_file.write_text("ward a-token-of-the-test-suite-0123456789\n")
    folder = back_up(config, tmp_path / "to", "ann", staff, keyring).folder
    everything = b"".join(p.read_bytes() for p in folder.rglob("*") if p.is_file())
    for secret in (*keyring.text().split(b"\n")[2:], b"a-token-of-the-test-suite", b"hunter2", b"s3kr1t"):
        assert not secret or secret not in everything
    assert (
        b"Password of the mail server" in (folder / "project/config.yaml").read_bytes()
    )  # its comments stay
    wants = read(folder, keyring)["needs"]["secrets"]
    assert wants == ["ALERTS_MAIL_PASSWORD", "OBJECTS_ACCESS_KEY", "TX"]
    (tmp_path / "again").mkdir()
    shutil.copy(folder / "project/config.yaml", tmp_path / "again")
    loaded = load_config(tmp_path / "again", dict.fromkeys(wants, "supplied"))
    assert loaded.alerts.mail is not None and loaded.alerts.mail.password == "supplied"
    assert loaded.terminology.server == "https://tx.mercy.example/fhir"


@pytest.mark.parametrize("name", ["core.db", "journal.db", "project/channels/lab.yaml", LIST])
def test_a_copy_that_was_damaged_later_is_found(
    config: Config, keyring: Keyring, staff: Staff, tmp_path: Path, name: str
) -> None:
    folder = back_up(config, tmp_path / "to", "ann", staff, keyring).folder
    path = folder / name
    path.write_bytes(path.read_bytes()[:-10] + b"x" * 10)
    with pytest.raises(HubError, match=r"not a backup|not the file"):
        verify(folder)
    path.unlink()
    with pytest.raises(HubError, match=r"not a backup|cannot be read"):
        verify(folder)


def test_a_list_that_somebody_made_to_fit_is_found_with_the_key(
    config: Config, keyring: Keyring, staff: Staff, tmp_path: Path
) -> None:
    folder = back_up(config, tmp_path / "to", "ann", staff, keyring).folder
    said = orjson.loads((folder / LIST).read_bytes())
    said["entry"] = 6
    (folder / LIST).write_bytes(orjson.dumps(said))
    assert verify(folder).entry == 6  # nobody without the key could tell
    with pytest.raises(HubError, match="not the list that was written"):
        verify(folder, keyring)
    with pytest.raises(HubError, match="another data key"):
        verify(folder, Keyring.supplied(b"another-secret-of-thirty-two-bytes!!"))


def test_objects_are_copied_once_and_linked_after_that(
    config: Config, keyring: Keyring, staff: Staff, tmp_path: Path
) -> None:
    objects = FolderObjects(config.objects_dir, keyring)
    arriving = objects.begin()
    arriving.write(b"pixels" * 1000)
    first = objects.keep(arriving).address
    older = back_up(config, tmp_path / "to", "ann", staff, keyring, now=NOW)
    assert older.said["objects"]["count"] == 1
    arriving = objects.begin()
    arriving.write(b"other pixels")
    second = objects.keep(arriving).address
    newer = back_up(config, tmp_path / "to", "ann", staff, keyring, now=NOW + 1000)
    assert {o.address for o in objects_in(newer.folder)} == {first, second}
    copies = [b.folder / "objects" / first[:2] / first for b in (older, newer)]
    assert copies[0].samefile(copies[1]) and not copies[0].samefile(config.objects_dir / first[:2] / first)
    assert newer.bytes > older.bytes
    copies[1].write_bytes(b"x" * copies[1].stat().st_size)
    with pytest.raises(HubError, match="not the file that was made"):
        verify(newer.folder)
    left_out = back_up(config, tmp_path / "to", "ann", staff, keyring, now=NOW + 2000, without=("objects",))
    assert left_out.said["left out"] == ["objects"] and not (left_out.folder / OBJECTS).exists()


def test_a_pair_that_does_not_fit_is_refused(
    config: Config, keyring: Keyring, staff: Staff, tmp_path: Path
) -> None:
    with sqlite3.connect(config.data_dir / "core.db") as db:
        db.execute("INSERT INTO lane (lane, watermark) VALUES (0, 99)")
    db.close()
    with pytest.raises(HubError, match="older than the core store"):
        back_up(config, tmp_path / "to", "ann", staff, keyring)
    assert staff.backups.newest() == []


def test_where_nothing_can_be_written(config: Config, keyring: Keyring, staff: Staff, tmp_path: Path) -> None:
    (tmp_path / "to").write_text("a file")
    with pytest.raises(HubError, match="could not be made"):
        back_up(config, tmp_path / "to", "ann", staff, keyring)


def test_databases_on_a_server_need_its_own_tools(
    config: Config, keyring: Keyring, staff: Staff, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url = "postgresql://hub:secret@db.mercy.example/hub"
    far = config.model_copy(update={"journal": url, "core": url})
    assert elsewhere(far)[0] == "pg_dump -Fc -d postgresql://hub@db.mercy.example/hub -f core.dump"
    assert elsewhere(config) == []
    near = "postgresql://hub:secret@127.0.0.1:1/hub"
    with pytest.raises(HubError, match="cannot be read") as refused:
        back_up(
            config.model_copy(update={"journal": near, "core": near}), tmp_path / "to", "ann", staff, keyring
        )
    assert "secret" not in str(refused.value)


def test_from_the_command_line(config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(config.root)
    monkeypatch.setenv("HUB_SECRET_TX", "x")
    run = CliRunner()
    done = run.invoke(app, ["backup", "--to", str(tmp_path / "to")])
    assert done.exit_code == 0 and "whole, up to entry 7" in done.output, done.output
    (folder,) = (tmp_path / "to").iterdir()
    assert "OK: " in run.invoke(app, ["backup", "--verify", str(folder)]).output
    assert run.invoke(app, ["backup", "--told", "nightly pg_dump on db1"]).output == "noted\n"
    staff = open_staff(config, open_keyring(config))
    assert [b.place for b in staff.backups.newest(2)] == ["nightly pg_dump on db1", str(folder)]
    staff.close()
    assert PROJECT in (config.root / "config.yaml").read_text()  # the project itself keeps what it says
