"""`hub init` writes a whole project, never over one; and what needs a project says so where there is none."""

from __future__ import annotations

import filecmp
from pathlib import Path

import pytest
from typer.testing import CliRunner

from engine.channels.definition import load_channels
from engine.cli.main import app
from engine.cli.project import PARTS, make_project, project_root, shipped
from engine.kernel.errors import ConfigError, HubError

ROOT = Path(__file__).parents[2]


def files(folder: Path) -> set[Path]:
    return {
        p.relative_to(folder)
        for part in PARTS
        for p in [folder / part, *(folder / part).rglob("*")]
        if p.is_file()
    }


def test_a_new_project_is_the_shipped_one_and_checks_clean(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["init", "mine"])
    assert done.exit_code == 0 and "cd mine && hub serve" in done.stdout, done.output
    made = files(tmp_path / "mine")
    assert made == files(shipped()) and len(made) > 50
    assert filecmp.cmpfiles(shipped(), tmp_path / "mine", [str(p) for p in made], shallow=False)[1:] == (
        [],
        [],
    )
    assert {c.name for c in load_channels(tmp_path / "mine")} >= {"lab_oru", "adt"}
    assert project_root(tmp_path / "mine/channels") == tmp_path / "mine"


def test_in_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, ["init"])
    assert done.exit_code == 0 and done.stdout.endswith("next:  hub serve\n")


def test_nothing_that_exists_is_touched(tmp_path: Path) -> None:
    (tmp_path / "channels").mkdir()
    (tmp_path / "channels/mine.yaml").write_text("channel: mine\n")
    with pytest.raises(ConfigError, match="never overwrites"):
        make_project(tmp_path)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["channels", "mine.yaml"]


def test_a_folder_that_cannot_be_written() -> None:
    with pytest.raises(ConfigError, match="Make the folder writable"):
        make_project(Path("/proc/hub"))


@pytest.mark.parametrize("words", [["serve"], ["keep"], ["feed"], ["msg", "find"], ["audit", "verify"]])
def test_what_needs_a_project_of_ones_own_says_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    done = CliRunner().invoke(app, words)
    assert isinstance(done.exception, HubError) and "`hub init`" in str(done.exception)
    assert list(tmp_path.iterdir()) == []


def test_converting_needs_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sample = ROOT / "sample_messages/lab/oru_potassium.hl7"
    done = CliRunner().invoke(app, ["convert", str(sample), "--out", "out"])
    assert done.exit_code == 0 and (tmp_path / "out/oru_potassium.json").is_file()
