"""LOINC: what a release holds, whatever the order of its columns, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest
from code_samples import LOINC_COLUMNS, LOINC_ROWS, csv_text, loinc, loinc_row, loinc_zip

from engine.codes.loaders.loinc import version_in
from engine.codes.loaders.summary import Asked
from engine.codes.loading import load_release
from engine.codes.store import CodeStore
from engine.codes.systems import LOINC
from engine.kernel.errors import HubError

A, B, OLD, PANEL, COLOUR = (loinc(9100000 + n) for n in range(1, 6))


@pytest.fixture
def store(tmp_path: Path) -> CodeStore:
    return CodeStore(tmp_path / "var" / "codes.db")


@pytest.fixture
def loaded(tmp_path: Path, store: CodeStore) -> CodeStore:
    load_release(tmp_path / "var" / "codes.db", loinc_zip(tmp_path / "Loinc_2.80.zip"))
    return store


def test_the_whole_release(loaded: CodeStore) -> None:
    (release,) = loaded.releases()
    assert (release.system, release.version, release.concepts) == (LOINC, "2.80", 8)
    found = loaded.lookup(LOINC, A)
    assert found is not None
    assert found.display == "Examplate [Moles/volume] in Serum or Plasma"
    assert found.active
    assert found.properties["SYSTEM"] == "Ser/Plas"
    assert "METHOD_TYP" not in found.properties  # empty there
    panel = loaded.lookup(LOINC, PANEL)
    assert panel is not None
    assert panel.display == 'Invented "panel", with quotes'
    assert panel.properties["panel-members"] == A
    assert panel.parents == ()


def test_deprecated_terms_lead_to_their_successor(loaded: CodeStore) -> None:
    assert loaded.validate(LOINC, OLD) == (False, f"{OLD!r} is no longer active in {LOINC} 2.80")
    (match,) = loaded.translate(LOINC, OLD, LOINC)
    assert (match.code, match.equivalence, match.source) == (A, "equivalent", "LOINC MapTo")
    assert match.display.startswith("Examplate")


def test_answers(loaded: CodeStore) -> None:
    coloured, list_ = loaded.lookup(LOINC, COLOUR), loaded.lookup(LOINC, "LL9001-1")
    assert coloured is not None and list_ is not None
    assert coloured.properties["answer-list"] == "LL9001-1"
    assert list_.properties["answers"].split("\n") == ["LA9001-1", "LA9002-9"]
    answer = loaded.lookup(LOINC, "LA9002-9")
    assert answer is not None and answer.display == "Blue"


def test_names_in_other_languages_and_related_ones_are_found(loaded: CodeStore) -> None:
    assert ("Beispielat [Stoffmenge/Volumen]", "de-DE", "LONG_COMMON_NAME") in loaded.names(LOINC, A)
    for text in ("beispielat", "xmp", "EXAMPL serum", "farbung", "Färb"):
        assert loaded.search(LOINC, text), text
    assert [c.code for c in loaded.search(LOINC, "examplate")] == [A, OLD]  # what is active first


def test_reordered_and_missing_columns_load_the_same(tmp_path: Path) -> None:
    columns = sorted(
        set(LOINC_COLUMNS) - {"CONSUMER_NAME", "EXTERNAL_COPYRIGHT_NOTICE", "CLASS"}, reverse=True
    )
    rows = [{name: row[name] for name in columns} for row in LOINC_ROWS]
    path = tmp_path / "Loinc.csv"
    path.write_text(csv_text(rows, columns), newline="")
    load_release(tmp_path / "codes.db", path, Asked(version="2.79"))
    found = CodeStore(tmp_path / "codes.db").lookup(LOINC, B)
    assert found is not None
    assert found.display == "Testonium [Moles/volume] in Serum or Plasma"
    assert found.properties["PROPERTY"] == "SCnc"


def test_a_version_that_nothing_says_is_that_of_the_newest_term(tmp_path: Path) -> None:
    path = tmp_path / "Loinc.csv"
    path.write_text(csv_text([loinc_row(9100009, "X", VersionLastChanged="2.9"), *LOINC_ROWS], LOINC_COLUMNS))
    summary = load_release(tmp_path / "codes.db", path)
    assert summary.releases[0][0].version == "2.80"
    assert "--release" in summary.notes[0]


@pytest.mark.parametrize(
    ("name", "version"),
    [("Loinc_2.81.zip", "2.81"), ("LOINC_2.8", "2.8"), ("Loinc.csv", ""), ("Loinc_2.812.zip", "")],
)
def test_the_version_in_a_name(name: str, version: str) -> None:
    assert version_in(name) == version


def _changed(text: str, old: str, new: str) -> str:
    assert old in text
    return text.replace(old, new, 1)


GOOD = csv_text(LOINC_ROWS, LOINC_COLUMNS)
DAMAGED = {
    "cut in a cell": (GOOD[: GOOD.index("Testonium") + 3], r"Loinc\.csv:3: ends in the middle of a line"),
    "a lost quote": (_changed(GOOD, '"Testonium"', '"Testonium'), r"Loinc\.csv:\d: is not readable as CSV"),
    "cut after a cell": (GOOD[: GOOD.index('"Testonium"') + 11], r"Loinc\.csv:3: .*(columns instead|middle)"),
    "cut at the end": (GOOD[:-2], r"Loinc\.csv:6: ends in the middle of a line"),
    "header only": (GOOD[: GOOD.index("\r\n") + 2], r"Loinc\.csv: has no codes"),
    "empty": ("", r"Loinc\.csv:1: lacks the column LOINC_NUM"),
    "a date": (_changed(GOOD, A, "Mar-93"), r"Loinc\.csv:2: has the LOINC_NUM 'Mar-93': a spreadsheet"),
    "a check digit": (_changed(GOOD, B, B[:-1] + str((int(B[-1]) + 1) % 10)), r"Loinc\.csv:3: .*check digit"),
    "a shifted row": (_changed(GOOD, '"ACTIVE"', '"CHEM"'), r"Loinc\.csv:2: has the STATUS 'CHEM'"),
    "a row twice": (GOOD + GOOD.splitlines(keepends=True)[1], r"Loinc\.csv:7: .* second time"),
    "a lost column": (_changed(GOOD, '"SCALE_TYP"', '"SCALE"'), r"Loinc\.csv:1: lacks the column SCALE_TYP"),
    "zeros": (_changed(GOOD, "Examplate", "Exam\0late"), r"Loinc\.csv:2: has zero bytes"),
    "latin-1": (GOOD.encode("latin-1"), r"Loinc\.csv:6: is not UTF-8"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_a_damaged_file_is_refused_and_changes_nothing(case: str, tmp_path: Path, loaded: CodeStore) -> None:
    data, said = DAMAGED[case]
    path = tmp_path / "Loinc.csv"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(HubError, match=said) as error:
        load_release(tmp_path / "var" / "codes.db", path, Asked(version="2.81"))
    assert error.value.remedy or case == "header only"
    assert [r.version for r in loaded.releases()] == ["2.80"]
    assert loaded.lookup(LOINC, A) is not None


def test_much_fewer_terms_than_before_need_a_word(tmp_path: Path, loaded: CodeStore) -> None:
    path = tmp_path / "Loinc.csv"
    path.write_text(csv_text(LOINC_ROWS[:3], LOINC_COLUMNS))
    with pytest.raises(
        HubError, match=r"has 3 concepts of http://loinc\.org: 2\.80, which is current, has 8"
    ):
        load_release(tmp_path / "var" / "codes.db", path, Asked(version="2.81"))
    load_release(tmp_path / "var" / "codes.db", path, Asked(version="2.81"), accept_smaller=True)
    loaded._due = 0.0
    assert [r.version for r in loaded.releases()] == ["2.81", "2.80"]
