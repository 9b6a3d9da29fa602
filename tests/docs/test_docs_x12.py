"""The page about X12: the partner's rules it shows do what it says, and its commands run."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest
from docs_pages import DOCS, ROOT, blocks

from engine.cli.parse import parse_paths
from engine.formats.x12.partner_rules import load_partners

PAGE = DOCS / "analysts/x12.md"
SAMPLES = ROOT / "sample_messages/x12"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (block,) = blocks(PAGE, "yaml partner")
    (tmp_path / "config.yaml").write_text("hub: Docs\n")
    (tmp_path / "partners").mkdir()
    (tmp_path / "partners/bluepeak.yaml").write_text(block.text)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_rules_say_what_the_page_shows(project: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (shown,) = blocks(PAGE, "text partner")
    assert parse_paths([SAMPLES / "837P_professional_claim.x12"]) == 0
    trees = orjson.loads(capfdbinary.readouterr().out)
    told = [p for tree in trees for p in tree["problems"] if p["snip"] == 7]
    assert [f"{p['where']}: {p['text']}" for p in told] == shown.text.splitlines()


def test_a_warning_is_one(project: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    (partner,) = load_partners(project)
    assert [rule.severity for rule in partner.rules] == ["E", "E", "E", "E", "W"]
    data = (SAMPLES / "835_payment.x12").read_text()
    (project / "835.x12").write_text(data.replace("*NORTHBAY       *260914", "*BLUEPEAK       *260914", 1))
    assert parse_paths([project / "835.x12"]) == 0
    trees = orjson.loads(capfdbinary.readouterr().out)
    assert [p["severity"] for tree in trees for p in tree["problems"] if p["snip"] == 7] == ["W"]
