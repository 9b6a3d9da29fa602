"""`hub deliveries` and what `hub doctor` says of a destination that nobody knows any more."""

from __future__ import annotations

from pathlib import Path

import pytest
from hub_project import Hub, make_project, shipped_maps
from typer.testing import CliRunner

from engine.cli.main import app

NAME = "lab_oru.archive"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A project with two results that wait for a folder, which is then taken out of the channel."""
    root = make_project(tmp_path / "p")
    path = root / "channels/lab_oru.yaml"
    words = path.read_text()
    path.write_text(words + f"\ndeliver:\n  archive: {{file: {{path: '{tmp_path}/{{entry}}.hl7'}}}}\n")
    hub = Hub.open(root, shipped_maps())
    for n in range(2):
        hub.take("lab_oru", "lab/oru_potassium", {"LAB0001": f"C{n}"})
    hub.close()
    path.write_text(words)
    monkeypatch.chdir(root)
    return root


def test_what_waits_for_nobody_is_named_and_can_be_skipped(root: Path) -> None:
    run = CliRunner()
    said = run.invoke(app, ["doctor"]).output
    assert f"to {NAME}" in said and "nothing delivers to it any more" in said
    for words in (
        ["--why", "gone"],
        ["1", "--to", NAME, "--why", "gone"],
        ["--to", "nobody", "--why", "gone"],
    ):
        assert run.invoke(app, ["deliveries", "skip", *words]).exit_code != 0
    done = run.invoke(app, ["deliveries", "skip", "--to", NAME, "--why", "it was taken out of service"])
    assert done.exit_code == 0 and "2 deliveries" in done.output
    assert "nothing delivers to it any more" not in run.invoke(app, ["doctor"]).output
    listed = run.invoke(app, ["deliveries", "list", "--to", NAME, "--status", "skipped"])
    assert listed.output.count("skipped by") == 2
