"""`hub user` and `hub key`: people and programs from the command line, all of it in the audit."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hub_project import make_project
from typer.testing import CliRunner

from engine.channels.opening import open_keyring, open_staff, open_store, prepare_folder
from engine.cli.beforehand import first_link
from engine.cli.main import app
from engine.kernel.config import load_config
from engine.kernel.errors import ConfigError, HubError

GOOD = "trombone quiet ladder"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    made = make_project(tmp_path / "project")
    monkeypatch.chdir(made)
    prepare_folder(load_config(made))
    return made


def hub(*words: str, fails: bool = False) -> str:
    done = CliRunner().invoke(app, list(words))
    if fails:
        assert isinstance(done.exception, HubError), (done.output, done.exception)
        return str(done.exception)
    assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def test_a_person_from_the_link_to_being_shut_out(root: Path) -> None:
    config = load_config(root)
    said = hub(
        "user", "add", "JLee", "--role", "analyst=lab_*,adt", "--role", "viewer", "--display", "Jo Lee"
    )
    address = said.splitlines()[0]
    assert address.startswith(f"http://{config.console.listen}/welcome#")
    staff = open_staff(config, open_keyring(config))
    account = staff.links.use(address.partition("#")[2], GOOD)
    assert account.person().may("draft", "lab_oru") and not account.person().may("draft", "pharmacy")
    (row,) = json.loads(hub("user", "list", "--json"))
    assert (row["name"], row["roles"], row["state"]) == ("jlee", "analyst on adt, lab_*; viewer", "ok")
    hub("user", "role", "jlee", "--role", "auditor")
    assert staff.accounts.named("jlee").person().may("see.audit")  # type: ignore[union-attr]
    assert "shut out" in hub("user", "disable", "jlee")
    assert staff.accounts.named("jlee").disabled  # type: ignore[union-attr]
    hub("user", "disable", "jlee", "--undo")
    assert "#" in hub("user", "link", "jlee")
    staff.close()
    store = open_store(config, open_keyring(config))
    rows = store.audit.rows(limit=50)
    assert [row.action for row in rows] == [
        *("cli:user-added", "cli:user-roles", "cli:user-disabled", "cli:user-disabled", "cli:user-link"),
    ]
    assert all(row.what == "account/1" for row in rows) and "jlee" in rows[0].detail
    store.close()


def test_what_cannot_be_is_said(root: Path) -> None:
    assert "no role" in hub("user", "add", "jlee", "--role", "chief", fails=True)
    assert "no account" in hub("user", "role", "nobody", "--role", "viewer", fails=True)
    assert "no scopes" in hub("key", "new", "ehr", "--scope", "all", fails=True)
    assert hub("user", "list") == "none\n"


def test_a_key_is_printed_once(root: Path) -> None:
    text = hub("key", "new", "ehr", "--scope", "system/*.rs", "--scope", "feed", "--days", "30").split("\n")[
        0
    ]
    config = load_config(root)
    staff = open_staff(config, open_keyring(config))
    assert staff.keys.find(text) is not None
    listed = hub("key", "list")
    assert "system/*.rs feed" in listed and text.split("_")[2] not in listed
    hub("key", "revoke", "ehr")
    assert staff.keys.find(text) is None
    staff.close()


def test_a_start_prints_the_first_link_while_nobody_has_an_account(root: Path) -> None:
    config = load_config(root)
    keyring = open_keyring(config)
    first, second = first_link(config, keyring), first_link(config, keyring)
    staff = open_staff(config, keyring)
    assert first and second and first != second
    assert hub("user", "link", "--first").startswith("http://")
    staff.accounts.add("chief", [], "test")
    staff.close()
    assert first_link(config, keyring) == ""
    assert "accounts already" in hub("user", "link", "--first", fails=True)


def test_production_prints_no_link(root: Path) -> None:
    config = load_config(root, profile="production")
    with pytest.raises(ConfigError, match="hub user add NAME --role admin"):
        first_link(config, open_keyring(config))
