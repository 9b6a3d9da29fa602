"""A row goes into a table that people own; everything else of the file stays as it was."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.kernel.errors import ConfigError
from engine.terminology.edit import new_table, with_row, write_rows
from engine.terminology.tables import TableRow, read_table

ROW = TableRow(
    "L",
    "GLU",
    "Glucose",
    "equivalent",
    "http://loinc.org",
    "2345-7",
    "Glucose",
    "approved",
    "ann",
    "2026-11-21",
    "",
    0,
)
HEAD = new_table().decode()


def codes(data: bytes) -> list[str]:
    return [r.source_code for r in read_table(data, "t.csv")]


def test_a_new_row_goes_to_the_end() -> None:
    made = with_row(new_table(), ROW, "t.csv")
    (row,) = read_table(made, "t.csv")
    assert replace(row, line=0) == ROW
    again = with_row(made, replace(ROW, source_code="NA", target_code="2951-2"), "t.csv")
    assert again.startswith(made) and codes(again) == ["GLU", "NA"]


def test_a_row_takes_the_place_of_its_draft_and_the_others_stay_byte_for_byte() -> None:
    before = (
        "\ufeff" + HEAD.replace("\n", "\r\n") + 'L,A,"one, two",equal,S,x,,approved,jlee,2026-01-02,\r\n'
        "L,GLU,Glucose,wider,http://loinc.org,2345-7,,draft,mroy,,ask\r\n"
        'L,B,"line\r\nbreak",equal,S,y,,approved,jlee,,'
    ).encode()
    made = with_row(before, ROW, "t.csv")
    lines, old = made.split(b"\r\n"), before.split(b"\r\n")
    assert [x for n, x in enumerate(lines) if n != 2 and x] == [x for n, x in enumerate(old) if n != 2]
    assert lines[2] == b"L,GLU,Glucose,equivalent,http://loinc.org,2345-7,Glucose,approved,ann,2026-11-21,"
    assert codes(made) == ["A", "GLU", "B"]


def test_a_meaning_that_was_approved_before_is_replaced() -> None:
    first = with_row(new_table(), ROW, "t.csv")
    second = with_row(first, replace(ROW, target_code="2339-0"), "t.csv")
    assert [r.target_code for r in read_table(second, "t.csv")] == ["2339-0"]


@pytest.mark.parametrize("code", ["Mar-93", "1E5", "3/4/2020", "12345678901234500"])
def test_codes_that_a_spreadsheet_would_change_are_written_as_text(code: str) -> None:
    made = with_row(new_table(), replace(ROW, source_code=code), "t.csv")
    assert codes(made) == [code] and f'="{code}"'.replace('"', '""').encode() in made


def test_local_numbers_of_several_lengths_may_stand_in_one_table() -> None:
    made = new_table()
    for code in ("007", "008", "12", "3"):
        made = with_row(made, replace(ROW, source_code=code), "t.csv")
    assert codes(made) == ["007", "008", "12", "3"]


def test_a_wrong_target_is_refused_and_nothing_comes_out() -> None:
    with pytest.raises(ConfigError, match="check digit"):
        with_row(new_table(), replace(ROW, target_code="2345-8"), "t.csv")
    with pytest.raises(ConfigError, match="other columns"):
        with_row(b"a,b\n", ROW, "t.csv")


@settings(max_examples=60, deadline=None)
@given(
    st.text(min_size=1, max_size=12).map(str.strip).filter(lambda t: t and "\x00" not in t and "*" not in t),
    st.text(max_size=20).filter(lambda t: "\x00" not in t),
)
def test_what_is_written_is_read(code: str, text: str) -> None:
    row = replace(ROW, source_code=" ".join(code.split()), source_display=text)
    try:
        (read,) = read_table(with_row(new_table(), row, "t.csv"), "t.csv")
    except ConfigError:
        return  # refused, and says so: never written as something else
    assert read.source_code == row.source_code
    assert read.source_display == " ".join(text.split())


def test_a_whole_table() -> None:
    rows = [ROW, replace(ROW, source_code="1E5")]
    assert [replace(r, line=0) for r in read_table(write_rows(rows), "t.csv")] == rows
