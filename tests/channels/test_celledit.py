"""One cell of the grid, written into the file that should say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.channels.celledit import CellRow, add_row, drop_row, edit_cell, grid
from engine.kernel.errors import MapError
from engine.mapping.derived import derived
from engine.mapping.project import Maps

ROOT = Path(__file__).resolve().parents[2]
PID = "mappings/hl7v2/segments/PID_Patient.yaml"
ACME = "mappings/sites/acme_lab.yaml"


@pytest.fixture(scope="module")
def maps() -> Maps:
    return Maps.open(ROOT)


def row_of(rows: list[CellRow], element: str) -> CellRow:
    return next(r for r in rows if r.element == element and r.depth == 0)


def lines_that_differ(before: str, after: str) -> tuple[list[str], list[str]]:
    a, b = before.splitlines(), after.splitlines()
    return [x for x in a if x not in b], [x for x in b if x not in a]


def test_a_cell_of_the_standard_changes_one_line(maps: Maps) -> None:
    rows, seen = grid(ROOT, maps, "standard", "PID_Patient")
    gender = row_of(rows, "gender")
    assert (gender.file, gender.words["from"]) == (PID, "PID-8")
    made = edit_cell(ROOT, maps, "standard", "PID_Patient", gender.spot, "unmapped", "hold", seen)
    assert [(e.element, e.word, e.was, e.now) for e in made.edits] == [("gender", "unmapped", "", "hold")]
    gone, came = lines_that_differ((ROOT / PID).read_text(), made.texts[PID])
    assert len(gone) == len(came) == 1 and "unmapped: hold" in came[0]


def test_a_cell_of_a_site_becomes_a_delta(maps: Maps) -> None:
    rows, seen = grid(ROOT, maps, "acme_lab", "PID_Patient")
    gender = row_of(rows, "gender")
    made = edit_cell(ROOT, maps, "acme_lab", "PID_Patient", gender.spot, "from", "PID-16", seen)
    assert list(made.texts) == [ACME]
    gone, came = lines_that_differ((ROOT / ACME).read_text(), made.texts[ACME])
    assert gone == [] and "gender:" in " ".join(came) and "PID-16" in " ".join(came)
    after = derived(maps, made.texts).program("acme_lab").resolved["PID_Patient"]
    place = next(r.place for r in after.rows if r.name == "gender")
    assert (place.file, place.layer) == (ACME, "acme_lab")


def test_what_a_cell_says_must_be_right(maps: Maps) -> None:
    rows, seen = grid(ROOT, maps, "standard", "PID_Patient")
    spot = row_of(rows, "gender").spot
    wrong = (("code", "NoSuchTable"), ("when", "PID-8 is F"), ("from", "PID-8-"), ("as", "Mar-93"))
    for word, value in wrong:
        with pytest.raises(MapError):
            edit_cell(ROOT, maps, "standard", "PID_Patient", spot, word, value, seen)
    with pytest.raises(MapError, match="no column"):
        edit_cell(ROOT, maps, "standard", "PID_Patient", spot, "rows", "x", seen)


def test_an_old_sheet_is_not_edited(maps: Maps) -> None:
    rows, _ = grid(ROOT, maps, "standard", "PID_Patient")
    with pytest.raises(MapError, match="has changed"):
        edit_cell(ROOT, maps, "standard", "PID_Patient", rows[0].spot, "from", "PID-2", "0" * 12)


def test_rows_come_and_go(maps: Maps) -> None:
    rows, seen = grid(ROOT, maps, "acme_lab", "PID_Patient")
    added = add_row(ROOT, maps, "acme_lab", "PID_Patient", "telecom(pager)", "PID-40", seen)
    assert "telecom(pager):" in added.texts[ACME]
    dropped = drop_row(ROOT, maps, "acme_lab", "PID_Patient", row_of(rows, "gender").spot, seen)
    assert "gender: skip" in " ".join(dropped.texts[ACME].split())
    with pytest.raises(MapError, match="has a row"):
        add_row(ROOT, maps, "acme_lab", "PID_Patient", "gender", "PID-8", seen)
