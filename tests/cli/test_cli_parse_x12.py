"""`hub parse` takes X12 by its content: trees on stdout, the file back byte for byte."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.cli.parse import parse_paths

SAMPLES = Path(__file__).parents[2] / "sample_messages"


def _trees(capsysbinary: pytest.CaptureFixture[bytes]) -> list[dict[str, object]]:
    return list(json.loads(capsysbinary.readouterr().out))


def test_files_come_back_whatever_they_are_called(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    claim = (SAMPLES / "x12" / "837P_professional_claim.x12").read_bytes()
    odd = tmp_path / "in" / "a.dat"
    odd.parent.mkdir()
    odd.write_bytes(b"\xef\xbb\xbf" + claim.replace(b"~\n", b"~\r\n") + claim + b"\n\n")
    assert parse_paths([odd], tmp_path / "out") == 0
    assert (tmp_path / "out" / "a.dat").read_bytes() == odd.read_bytes()
    trees = _trees(capsysbinary)
    assert [tree.get("set", "interchange") for tree in trees] == ["837", "interchange", "837", "interchange"]
    rows = trees[0]["segments"]
    assert isinstance(rows, list)
    row = next(row for row in rows if row["segment"] == "CLM[2]")
    assert row["loop"] == "2000A/2000B/2000C/2300"
    assert {"address": "CLM[2]-05.3", "value": "7"}.items() <= row["values"][4].items()


def test_a_folder_gives_both_formats(tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    hl7 = next((SAMPLES / "adt").glob("*.hl7"))
    (tmp_path / "one.hl7").write_bytes(hl7.read_bytes())
    (tmp_path / "two.txt").write_bytes((SAMPLES / "x12" / "835_payment.x12").read_bytes())
    assert parse_paths([tmp_path]) == 0
    assert {Path(str(tree["file"])).name for tree in _trees(capsysbinary)} == {"one.hl7", "two.txt"}


def test_a_damaged_file_is_reported_and_comes_back(
    tmp_path: Path, capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    damaged = tmp_path / "cut.x12"
    damaged.write_bytes((SAMPLES / "x12" / "835_payment.x12").read_bytes()[:700])
    assert parse_paths([damaged], tmp_path / "out") == 0
    assert (tmp_path / "out" / "cut.x12").read_bytes() == damaged.read_bytes()
    trees = _trees(capsysbinary)
    text = json.dumps(trees)
    assert "SE is missing" in text
    assert "IEA is missing" in text
