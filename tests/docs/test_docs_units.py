"""The page on units: its commands print what it shows, its table and its site do what it says."""

from __future__ import annotations

import re
import shlex
import shutil
from pathlib import Path

import pytest
from docs_pages import DOCS, ROOT, blocks
from test_docs_walk import shown
from typer.testing import CliRunner

from engine.cli.main import app
from engine.mapping.project import Maps
from engine.mapping.tests_inline import run_all
from engine.terminology.translate import Terminology

PAGE = DOCS / "analysts/units.md"
FILES = {"csv": "terminology/maps/example_units.csv", "yaml site": "mappings/sites/units_example.yaml"}


def typed(line: str) -> str:
    """Type one command and return what it prints; 1 says that a unit stays as sent."""
    words = shlex.split(line)
    assert words[:3] == ["hub", "terms", "unit"]
    done = CliRunner().invoke(app, words[1:], catch_exceptions=False)
    assert done.exit_code == ("stays as sent" in done.output), f"{line}: {done.output}"
    return done.output


def test_the_page_on_units_does_what_it_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("mappings", "terminology"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=shutil.ignore_patterns("releases"))
    shutil.copy(ROOT / "config.yaml", tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "400")
    for block in blocks(PAGE):
        if block.info in FILES:
            (tmp_path / FILES[block.info]).write_text(block.text)
    out, steps = "", 0
    for block in blocks(PAGE):
        if block.info == "sh":
            out = "".join(typed(line) for line in block.text.splitlines())
        elif block.info == "text":
            for line in block.text.splitlines():
                assert shown(line, out), f"{block}: {line}\n{out}"
                steps += 1
    assert steps == 10
    maps = Maps.open(tmp_path)
    found = list(run_all(maps, "units_example"))
    assert found and not [d for r in found for d in r.differences]
    assert maps.sites["units_example"].units is not None


def test_the_table_of_the_page_is_true() -> None:
    tables = Terminology.open(ROOT / "terminology").tables
    rows = re.findall(r"^\| (`[^|]*) \| ([^|]+) \|[^|]*\|$", PAGE.read_text("utf-8"), re.M)
    assert len(rows) == 7
    for texts, means in rows:
        units = re.findall(r"`([^`]+)`", means)
        for n, text in enumerate(re.findall(r"`([^`]+)`", texts)):
            hit = tables["units"].translate(text)
            expected = units[n] if len(units) > 1 else units[0] if units else None
            assert (hit.code if hit else None) == expected, text
