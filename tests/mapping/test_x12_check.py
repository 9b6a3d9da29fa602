"""What the linter finds in maps of X12."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from x12_maker import ROOT

from engine.mapping.checkx12 import check_x12
from engine.mapping.project import Maps


def found(tmp_path: Path, folder: str, text: str) -> list[str]:
    """The findings of a project that has one map of X12."""
    shutil.copytree(ROOT / "terminology", tmp_path / "terminology")
    home = tmp_path / "mappings" / "x12" / folder
    home.mkdir(parents=True)
    (tmp_path / "mappings" / "sites").mkdir()
    name = text.split("map:", 1)[1].split()[0]
    (home / f"{name}.yaml").write_text(text)
    maps = Maps.open(tmp_path).of("x12")
    return [f"{f.place.rpartition(':')[2]}: {f.what}" for f in check_x12(maps)]


MAP = "map: NM1_Organization\nfrom: NM1\nto: Organization\nrows:\n  name: {}\n"


@pytest.mark.parametrize(
    ("location", "told"),
    [
        ("NM1-03", []),
        ("2010BB/NM1-03", []),
        ("ST/BHT-03", []),
        ("SV1-01.8", []),
        ("NM1-44", ["5: NM1 has 12 elements, none is 44"]),
        ("XX1-02", ["5: there is no segment XX1"]),
        ("2999ZZ/NM1-03", ["5: 2999ZZ/NM1: no transaction set has a loop 2999ZZ"]),
        ("SV1-01.9", ["5: SV1-01 has 8 components"]),
        ("REF(01=G1)-12", ["5: REF has 4 elements, none is 12"]),
    ],
)
def test_locations(tmp_path: Path, location: str, told: list[str]) -> None:
    assert found(tmp_path, "parties", MAP.format(location)) == told


def test_what_is_repeated(tmp_path: Path) -> None:
    text = (
        MAP.format("NM1-03")
        + "  telecom: {each: 2999, as: PER_ContactPoint}\n  contact: {each: PRE, as: X}\n"
    )
    assert found(tmp_path, "parties", text) == [
        "6: each: no transaction set has a loop 2999",
        "7: each: there is no segment PRE",
    ]


def test_loops_of_a_message_map(tmp_path: Path) -> None:
    text = (
        'map: X\nfrom: 837D\nto: Bundle\nfor: ["837D"]\nresources:\n'
        "  a: {per: 2310A|2420H, rows: [NM1_Organization]}\n"
    )
    assert found(tmp_path, "documents", text) == ["6: a: 837D has no loop 2420H"]


def test_the_shipped_maps() -> None:
    assert list(check_x12(Maps.open(ROOT).of("x12"))) == []
