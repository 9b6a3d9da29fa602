"""The newcomer's walk, typed: each command of docs/analysts/new-lab.md runs and prints what it shows."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from docs_pages import DOCS, ROOT, Block, blocks
from typer.testing import CliRunner

from engine.cli.main import app

WALK = DOCS / "analysts/new-lab.md"
FILES = {
    "hl7": "harbor.hl7",
    "yaml site": "mappings/sites/harbor.yaml",
    "csv": "terminology/maps/harbor_to_loinc.csv",
}


def shown(line: str, out: str) -> bool:
    """Say whether a printed line is the one shown; `...` stands for anything."""
    pattern = ".*".join(re.escape(part) for part in line.split("..."))
    return re.search(f"^{pattern}$", out, re.M) is not None


def typed(block: Block) -> str:
    """Type the commands of a block and return what they print."""
    out = ""
    for line in block.text.splitlines():
        words = shlex.split(line, comments=True)
        assert words[0] == "hub", line
        done = CliRunner().invoke(app, words[1:], catch_exceptions=False)
        wrong = done.exit_code and words[1:3] != ["map", "diff"]  # diff says with 1 that something differs
        assert not wrong, f"{line}: {done.output}"
        out += done.output
    return out


def test_the_walk_can_be_walked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mappings", "terminology", "channels"):
        shutil.copytree(ROOT / name, tmp_path / name)
    for path in (tmp_path / "channels").glob("*.test.yaml"):
        path.unlink()
    shutil.copy(ROOT / "config.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    out, steps = "", 0
    for block in blocks(WALK):
        if block.info in FILES:
            (tmp_path / FILES[block.info]).write_text(block.text)
        elif block.info == "sh":
            out = typed(block)
        elif block.info == "text":
            for line in block.text.splitlines():
                assert shown(line, out), f"{block}: {line}\n{out}"
                steps += 1
    assert steps > 15


def test_a_line_that_is_not_printed_is_missed() -> None:
    assert shown("a ... c", "x\na b c\n") and not shown("a ... d", "a b c") and not shown("b", "a b c")
