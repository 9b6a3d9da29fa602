"""`hub draft`, `hub impact`, `hub deploy`: what they print, and what they refuse."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from hub_project import Hub, make_project
from typer.testing import CliRunner

from engine.channels import deciding
from engine.channels.deciding import approve
from engine.channels.drafts import Drafts
from engine.channels.opening import open_staff
from engine.cli.main import app

OBX = "mappings/hl7v2/segments/OBX_Observation.yaml"
ROW = "  interpretation:    {from: OBX-8, code: InterpretationCode}\n"


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, str]]:
    """Type commands in a project that has received a result."""
    project = Hub.open(make_project(tmp_path / "project"))
    project.take("lab_oru", "lab/oru_cmp")
    project.take("adt", "adt/adt_a01_admit")
    project.close()
    monkeypatch.chdir(project.root)
    monkeypatch.setattr(deciding, "_looked", lambda root, base: ([], [], ""))

    def typed(*words: str) -> tuple[int, str]:
        done = CliRunner().invoke(app, list(words), catch_exceptions=True)
        return done.exit_code, done.stdout if done.exception is None or done.stdout else str(done.exception)

    return typed


def test_from_a_draft_to_live_and_back(hub: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    root = tmp_path / "project"
    text = (root / OBX).read_text()
    (tmp_path / "new.yaml").write_text(text.replace(ROW, "  interpretation:    OBX-8\n"))
    assert hub("draft", "new", "Interpretation as sent") == (0, "1\n")
    code, said = hub("draft", "put", "1", OBX, str(tmp_path / "new.yaml"))
    assert (code, said) == (0, f"draft 1 changes {OBX}\n")
    code, said = hub("draft", "show", "1")
    assert "-" + ROW.rstrip() in said and "+  interpretation:    OBX-8" in said
    code, said = hub("impact", "1", "--last", "50", "--since", "1d", "--json")
    found = json.loads(said)
    assert code == 1 and found["groups"][0]["label"] == "OBX_Observation/interpretation"
    assert "values" not in found["groups"][0]["effects"][0]
    code, said = hub("impact", "1", "--show-phi")
    assert code == 1 and "-> " in said
    assert hub("deploy", "plan", "1")[0] == 1
    assert hub("draft", "check", "1") == (0, "0 things stop it; 0 tests pass\n")
    assert hub("draft", "ask", "1")[0] == 0
    assert "only an approved draft" in hub("deploy", "apply", "1")[1]
    project = Hub.open(root)
    staff = open_staff(project.config, project.keyring)
    drafts = Drafts(project.config, staff)
    approve(drafts, 1, "cleo", drafts.get(1).digest)
    staff.close()
    assert json.loads(hub("deploy", "plan", "1", "--json")[1])["problems"] == []
    code, said = hub("deploy", "apply", "1")
    assert code == 0 and (root / OBX).read_text() == (tmp_path / "new.yaml").read_text()
    assert "approved by cleo" in hub("deploy", "list")[1]
    assert hub("deploy", "back", "1")[0] == 0 and (root / OBX).read_text() == text
    assert json.loads(hub("draft", "list", "--all", "--json")[1])[0]["state"] == "rolled back"
    actions = [row.action for row in project.store.audit.rows(0, 100)]
    project.close()
    assert {"draft-begun", "draft-write", "change-checks", "change-ask", "change-live"} <= set(actions)
    assert {"change-impact", "change-values", "change-back"} <= set(actions)


def test_a_folder_instead_of_a_draft(hub: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    code, said = hub("impact", "--dir", str(tmp_path / "project"))
    assert code == 0 and said.startswith("0 of 0 messages come out otherwise; 2 cannot be reached")


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (("impact",), "the impact of what"),
        (("impact", "1", "--since", "yesterday"), "7d or 12h"),
        (("draft", "show", "9"), "there is no draft 9"),
        (("draft", "put", "1", OBX), "what shall the file say"),
        (("deploy", "back", "3"), "no change 3"),
    ],
)
def test_what_is_refused(hub: Callable[..., tuple[int, str]], words: tuple[str, ...], why: str) -> None:
    code, said = hub(*words)
    assert code != 0 and why in said
