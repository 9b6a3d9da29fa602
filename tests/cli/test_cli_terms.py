"""`hub terms`: load, ask, switch and remove, as people and programs see it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.cli.main import app
from engine.codes.loaders.known import LOADERS
from engine.codes.systems import SHORT, full, short
from engine.kernel.errors import HubError

LIST = "code,display,group\nA,Alpha test,x\nB,Beta test,y\n"
RUN = CliRunner()


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "config.yaml").write_text("hub: Test\n")
    (tmp_path / "own.csv").write_text(LIST)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def hub(*words: str, code: int = 0) -> str:
    result = RUN.invoke(app, ["terms", *words])
    if isinstance(result.exception, HubError):
        raise result.exception
    assert result.exit_code == code, result.output
    return result.output


def load(version: str, *more: str) -> str:
    return hub("load", "own.csv", "--system", "urn:x:own", "--release", version, *more)


def test_load_and_ask(project: Path) -> None:
    assert "no release is loaded" in hub("releases")
    said = load("1", "--effective", "2020-01-01")
    assert "own.csv: loaded in" in said
    assert "urn:x:own 1, in effect from 2020-01-01: 2 concepts, current" in said
    assert "* urn:x:own 1  2020-01-01  2 concepts  own.csv" in hub("releases")
    assert "A  Alpha test" in hub("lookup", "urn:x:own", "A")
    assert "'Z' is not in urn:x:own 1" in hub("lookup", "urn:x:own", "Z", code=1)
    assert hub("search", "urn:x:own", "te", "bet") == "B  Beta test\n"
    assert (project / "var" / "codes.db").is_file()


def test_json_says_the_same(project: Path) -> None:
    (told,) = json.loads(load("1", "--json"))
    assert told["rows"] == {"own.csv": 2}
    assert told["releases"][0]["concepts"] == 2 and told["releases"][0]["current"] is True
    (release,) = json.loads(hub("releases", "--json"))
    assert release["digest"] == told["releases"][0]["digest"]
    found = json.loads(hub("lookup", "urn:x:own", "A", "--json"))
    assert found["concept"]["properties"] == {"group": "x"}
    assert [c["code"] for c in json.loads(hub("search", "urn:x:own", "alpha", "--json"))] == ["A"]
    assert json.loads(hub("lookup", "urn:x:own", "Z", "--json", code=1))["concept"] is None


def test_versions(project: Path) -> None:
    load("1")
    assert "beside (hub terms current urn:x:own 2 makes it current)" in load("2", "--beside")
    assert hub("current", "urn:x:own", "2") == "urn:x:own 2 is current\n"
    with pytest.raises(HubError, match="2 is the current release of urn:x:own"):
        hub("remove", "urn:x:own", "2")
    assert hub("remove", "urn:x:own", "1") == "urn:x:own 1 is removed\n"
    assert [r["version"] for r in json.loads(hub("releases", "urn:x:own", "--json"))] == ["2"]


def test_what_cannot_be_followed(project: Path) -> None:
    assert "name a release to load" in RUN.invoke(app, ["terms", "load"]).output
    with pytest.raises(HubError, match=r"--column display is not understood"):
        load("1", "--column", "display")
    with pytest.raises(HubError, match=r"--effective 1\.1\.2026 is no day"):
        load("1", "--effective", "1.1.2026")
    with pytest.raises(HubError, match="--system lionc is neither a URI nor a short name"):
        hub("load", "own.csv", "--system", "lionc", "--release", "1")
    with pytest.raises(HubError, match="there is no loader 'nothing'"):
        load("1", "--as", "nothing")
    with pytest.raises(HubError, match="no release of urn:x:own is loaded"):
        hub("search", "urn:x:own", "x")
    assert "name a release to load" in RUN.invoke(app, ["terms", "load", "own.csv", "--shipped"]).output


def test_what_ships_is_listed_in_a_file(project: Path) -> None:
    folder = project / "terminology" / "releases" / "own"
    folder.mkdir(parents=True)
    (folder / "own.csv").write_text(LIST)
    listing = folder.parent / "releases.yaml"
    listing.write_text("- file: own/own.csv\n  system: urn:x:own\n  version: 7\n  effective: 2026-01-01\n")
    hub("load", "--shipped")
    assert "urn:x:own 7  2026-01-01  2 concepts" in hub("releases")
    listing.write_text("- name: own/own.csv\n")
    with pytest.raises(HubError, match="has a row that is no release"):
        hub("load", "--shipped")


def test_the_second_release_that_fails_leaves_the_first(project: Path) -> None:
    (project / "bad.csv").write_text("code,display\nMar-93,x\n")
    with pytest.raises(HubError, match=r"bad\.csv:2: has the code 'Mar-93'"):
        hub("load", "own.csv", "bad.csv", "--system", "urn:x:own", "--release", "1")
    assert "urn:x:own 1" in hub("releases")


def test_the_operators_page_has_every_kind_of_release() -> None:
    page = (Path(__file__).parents[2] / "docs/operators/terminology.md").read_text()
    for loader in LOADERS:
        assert f"| `{loader.name}` |" in page, loader.name
    for name in SHORT:
        assert full(name.upper()) == SHORT[name] and short(SHORT[name]) == name
