"""`hub answer`: TA1, 999 and 277CA of a file, with the rules of the project's partners."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.cli.answer_x12 import answer_file, answers

SAMPLES = Path(__file__).parents[2] / "sample_messages/x12"
RULE = """partner: Bluepeak
match: {receiver: BLUEPEAK}
rules:
- in: 837P
  loop: 2300
  need: REF(01=D9)
"""


def test_a_999_and_with_claims_a_277ca(tmp_path: Path) -> None:
    file = SAMPLES / "837P_professional_claim.x12"
    one = list(answers(file, [], False, False, 7, "202609140845"))
    assert [b"ST*999*" in each for each in one] == [True]
    two = list(answers(file, [], True, False, 7, "202609140845"))
    assert [each.rstrip(b"~").rpartition(b"*")[2] for each in two] == [b"000000007", b"000000008"]
    assert b"ST*277*" in two[1]


def test_rules_of_the_project_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfdbinary: pytest.CaptureFixture[bytes]
) -> None:
    (tmp_path / "config.yaml").write_text("hub: Test\n")
    (tmp_path / "partners").mkdir()
    (tmp_path / "partners/bluepeak.yaml").write_text(RULE)
    monkeypatch.chdir(tmp_path)
    assert answer_file(SAMPLES / "837P_professional_claim.x12", True, False, 1) == 0
    out = capfdbinary.readouterr().out
    assert b"IK5*A~" in out
    assert out.count(b"*U*120") == 1
    (tmp_path / "partners/bluepeak.yaml").write_text(RULE.replace("need", "needs"))
    assert answer_file(SAMPLES / "837P_professional_claim.x12", True, False, 1) == 1
    assert b"partners/bluepeak.yaml:6" in capfdbinary.readouterr().err


def test_acknowledgments_are_not_answered(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    assert answer_file(SAMPLES / "999_acknowledgment.x12", True, False, 1) == 1
    assert b"nothing to answer" in capfdbinary.readouterr().err
    assert answer_file(SAMPLES / "no_such_file.x12", True, False, 1) == 1
