"""Code tables are read strictly: what cannot be right is told with its line and what to do."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.errors import ConfigError
from engine.terminology.damage import loinc_valid, sctid_valid
from engine.terminology.tables import COLUMNS, read_system, read_table

HEAD = ",".join(COLUMNS) + "\n"
GOOD = "L,K,Potassium,equivalent,http://loinc.org,2823-3,Potassium,approved,jlee,2026-03-02,\n"


def read(*lines: str) -> None:
    read_table((HEAD + "".join(lines)).encode(), "maps/t.csv")


def refused(*lines: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(*lines)
    return caught.value


def test_a_row_as_written() -> None:
    (row,) = read_table((HEAD + GOOD).encode(), "t.csv")
    assert (row.source_system, row.source_code, row.target_code, row.line) == ("L", "K", "2823-3", 2)
    assert row.translates
    assert not row.drops


def test_bom_blank_lines_and_crlf_are_nothing() -> None:
    data = b"\xef\xbb\xbf" + (HEAD + GOOD + ",,,,,,,,,,\n\n").replace("\n", "\r\n").encode()
    assert len(read_table(data, "t.csv")) == 1


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("L,K,Potassium,equivalent,http://loinc.org,2823-3,Potassium,approved,jlee,2026-03-02\n", "10 cells"),
        ("L,K,Potassium, serum,equal,http://loinc.org,2823-3,P,approved,jlee,2026-03-02,\n", "12 cells"),
        ("L,,Potassium,equal,http://loinc.org,2823-3,P,approved,jlee,2026-03-02,\n", "no source_code"),
        ("L,K ,Potassium,equal,http://loinc.org,2823-3,P,approved,jlee,2026-03-02,\n", "space"),
        ("L,K,Potassium,same,http://loinc.org,2823-3,P,approved,jlee,2026-03-02,\n", "equivalence"),
        ("L,K,Potassium,equal,http://loinc.org,2823-3,P,done,jlee,2026-03-02,\n", "status"),
        ("L,K,Potassium,equal,http://loinc.org,2823-3,P,approved,,2026-03-02,\n", "nobody"),
        ("L,K,Potassium,equal,http://loinc.org,2823-3,P,approved,jlee,3/2/2026,\n", "date"),
        ("L,K,Potassium,unmatched,http://loinc.org,2823-3,P,approved,jlee,,\n", "unmatched and has a target"),
        ("L,K,Potassium,equal,http://loinc.org,,P,approved,jlee,,\n", "no target_code"),
        ("L,A*B*,x,equal,,v*,P,approved,jlee,,\n", "stars"),
        ('L,"K,Potassium\n', "CSV"),
    ],
)
def test_a_row_that_cannot_be_right(line: str, word: str) -> None:
    error = refused(GOOD.replace(",K,", ",K2,"), line)
    assert error.where == "maps/t.csv:3"
    assert word in str(error)


def test_two_answers_for_one_code() -> None:
    error = refused(GOOD, GOOD.replace("2823-3", "2951-2"))
    assert "answers twice" in str(error)
    assert "line 2" in str(error)


def test_a_draft_beside_an_approved_row_is_no_second_answer() -> None:
    read(GOOD, GOOD.replace("2823-3", "2951-2").replace("approved,jlee", "draft,"))


def test_semicolons_are_named() -> None:
    with pytest.raises(ConfigError, match="semicolons"):
        read_table(HEAD.replace(",", ";").encode(), "t.csv")


def test_a_missing_column_is_named() -> None:
    with pytest.raises(ConfigError, match="missing equivalence"):
        read_table(HEAD.replace("equivalence", "eq").encode(), "t.csv")


def test_not_utf8_names_the_line() -> None:
    with pytest.raises(ConfigError) as caught:
        read_table((HEAD + "L,K\xe4,").encode("latin-1"), "t.csv")
    assert caught.value.where == "t.csv:2"


def row(code: str, system: str = "L", target: str = "X1") -> str:
    return f"{system},{code},x,equal,http://x.example,{target},x,approved,jlee,,\n"


@pytest.mark.parametrize(
    "code", ["Mar-93", "Sep-09", "12-Mar", "3/2/2026", "2026-03-02", "01.02.2026", "Mai 93"]
)
def test_a_code_that_became_a_date(code: str) -> None:
    error = refused(row(code))
    assert "date" in str(error)
    assert 'written ="' in str(error)


@pytest.mark.parametrize("code", ["1E5", "1.00E+05", "7.22E+17", "1,00E+05"])
def test_a_code_that_became_a_number(code: str) -> None:
    assert "exponent" in str(refused(row(f'"{code}"')))


def test_long_ids_lose_their_end() -> None:
    assert "15 digits" in str(refused(row("123456789012345000")))


def test_a_code_that_really_looks_like_that_is_protected_as_a_spreadsheet_does() -> None:
    (r,) = read_table((HEAD + row('"=""1E5"""')).encode(), "t.csv")
    assert r.source_code == "1E5"


@pytest.mark.parametrize(
    "code", ["2093-3", "E11.9", "99213", "0012", "10*3/uL", "K-12", "MAR", "1-8", "5-Fluor"]
)
def test_codes_as_they_are_pass(code: str) -> None:
    read(row(code))


def test_lost_zeros_show_beside_codes_that_kept_them() -> None:
    error = refused(row("0012"), row("13"))
    assert error.where == "maps/t.csv:3"
    assert "zeros" in str(error)


def test_lost_zeros_show_where_the_system_has_a_length() -> None:
    line = "L,DTP,x,equal,http://hl7.org/fhir/sid/cvx,1,DTP,approved,jlee,,\n"
    assert "two digits" in str(refused(line))


@pytest.mark.parametrize(
    ("system", "code", "ok"),
    [
        ("http://loinc.org", "2823-3", True),
        ("http://loinc.org", "2823-4", False),
        ("http://loinc.org", "LA11874-9", True),
        ("http://snomed.info/sct", "10828004", True),
        ("http://snomed.info/sct", "10828005", False),
    ],
)
def test_check_digits(system: str, code: str, ok: bool) -> None:
    line = f"L,K,x,equal,{system},{code},x,approved,jlee,,\n"
    if ok:
        read(line)
    else:
        assert "check digit" in str(refused(line))


@given(st.integers(min_value=1, max_value=9_999_999))
def test_exactly_one_check_digit_fits_a_loinc_number(number: int) -> None:
    assert sum(loinc_valid(f"{number}-{d}") for d in range(10)) == 1


@given(st.integers(min_value=10_000, max_value=10**16))
def test_exactly_one_check_digit_fits_a_snomed_id(number: int) -> None:
    assert sum(sctid_valid(f"{number}{d}") for d in range(10)) == 1


@given(st.binary(max_size=300))
def test_any_bytes_are_a_table_or_a_told_error(data: bytes) -> None:
    for content in (data, HEAD.encode() + data):
        try:
            read_table(content, "t.csv")
        except ConfigError as e:
            assert e.where.startswith("t.csv")


def test_a_code_system() -> None:
    system = read_system(
        b'# system: http://x.example/cs\ncode,display\nA,Apple\nB,"Bean, broad"\n', "s.csv", "s"
    )
    assert system.url == "http://x.example/cs"
    assert system.display("B") == "Bean, broad"
    assert system.display("C") is None
    assert "A" in system


@pytest.mark.parametrize(
    "text",
    [
        "code,display\nA,Apple\n",
        "# system: http://x.example/cs\nA,Apple\n",
        "# system: http://x.example/cs\ncode,display\nA,Apple,red\n",
        "# system: http://x.example/cs\ncode,display\nA,Apple\nA,Apple\n",
    ],
)
def test_a_code_system_that_cannot_be_right(text: str) -> None:
    with pytest.raises(ConfigError, match=r"s\.csv:\d"):
        read_system(text.encode(), "s.csv", "s")
