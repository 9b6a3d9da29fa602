"""The units that senders write: rows to the letter, plain UCUM, and nothing else."""

from __future__ import annotations

import re
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.errors import ConfigError
from engine.terminology import ucum
from engine.terminology.tables import COLUMNS, read_table
from engine.terminology.translate import Table, Terminology
from engine.terminology.units import UnitTable, read_plain

ROOT = Path(__file__).parents[2]
TERMS = Terminology.open(ROOT / "terminology")
HOUSE, DECLARED = TERMS.tables["units"], TERMS.tables["ucum"]
assert isinstance(HOUSE, UnitTable) and isinstance(DECLARED, UnitTable)


def code(text: str, table: Table = HOUSE) -> str:
    hit = table.translate(text)
    return hit.code if hit else ""


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("K/uL", "10*3/uL"),
        ("x10E3/uL", "10*3/uL"),
        ("X10(3)/uL", "10*3/uL"),
        ("10^9/L", "10*9/L"),
        ("M/uL", "10*6/uL"),
        ("IU/L", "[IU]/L"),
        ("uIU/mL", "u[IU]/mL"),
        ("U/l", "U/l"),
        ("u/L", "U/L"),
        ("mcg", "ug"),
        ("MCG/DL", "ug/dL"),
        ("cc", "mL"),
        ("mmHg", "mm[Hg]"),
        ("mm Hg", "mm[Hg]"),
        ("mm  Hg", "mm[Hg]"),
        ("MG/DL", "mg/dL"),
        ("Mg/dL", "mg/dL"),
        ("mg%", "mg/dL"),
        ("meq/L", "meq/L"),
        ("mEq/L", "meq/L"),
        ("MEQ/L", "meq/L"),
        ("%", "%"),
        ("gm/dL", "g/dL"),
        ("sec", "s"),
        ("/HPF", "/[HPF]"),
        ("/[HPF]", "/[HPF]"),
        ("mm/hr", "mm/h"),
        ("mL/min/1.73m2", "mL/min/{1.73_m2}"),
        ("mg/24 hr", "mg/(24.h)"),
        ("mg/24.h", "mg/(24.h)"),
        ("mg/(24.h)", "mg/(24.h)"),
        ("mg/g creat", "mg/g{creat}"),
        ("ug/mL FEU", "ug{FEU}/mL"),
        ("pH", "[pH]"),
        ("bpm", "/min"),
        ("b/min", "/min"),
        ("µg/L", "ug/L"),
        ("μmol/L", "umol/L"),
        ("µIU/mL", "u[IU]/mL"),
        ("10*3/uL", "10*3/uL"),
        ("kg/m2", "kg/m2"),
        ("mm[Hg]", "mm[Hg]"),
        ("[degF]", "[degF]"),
        ("Cel", "Cel"),
        ("g/dl", "g/dl"),
    ],
)
def test_what_laboratories_write(text: str, unit: str) -> None:
    assert code(text) == unit


@pytest.mark.parametrize(
    "text",
    [
        *("C", "F", "K", "U", "units", "AU/mL", "BAU/mL", "EU/mL", "MIU/L", "mil/uL", "G/L", "oz", "cal"),
        *(
            "Pg",
            "mG/dL",
            "nG",
            "N",
            "S",
            "H",
            "a",
            "U/h",
            "kl",
            "T",
            "t",
            "B",
            "10",
            "1",
            "zz",
            "<5",
            "mg / dL",
        ),
        *("m/uL", "m/mL", "g2", "s/m", "mol2/L", "L.L", "mm4", "V/m"),
        *("mMOL/l", "mgdl", "K / uL", "k/UL", ""),
    ],
)
def test_what_could_be_two_things_stays_as_sent(text: str) -> None:
    assert code(text) == ""


def test_why_a_unit_is_ambiguous_is_said() -> None:
    assert isinstance(HOUSE, UnitTable)
    assert "coulomb" in HOUSE.ambiguous("C")
    assert HOUSE.ambiguous("mg/dL") == ""


@pytest.mark.parametrize(
    ("text", "unit"),
    [
        ("10^9/L", "10^9/L"),  # legal UCUM: as sent
        ("a", "a"),
        ("U/h", "U/h"),
        ("g/dl", "g/dl"),
        ("K/uL", "10*3/uL"),  # legal, and never meant: kelvin per microlitre
        ("pH", "[pH]"),  # picohenry
        ("b/min", "/min"),  # barn per minute
        ("mg/24.h", "mg/(24.h)"),
        ("MG/DL", "mg/dL"),  # no UCUM, whatever the sender says
        ("mmHg", "mm[Hg]"),
        ("C", ""),
        ("F", ""),
        ("AU/mL", ""),
        ("zz", ""),
    ],
)
def test_what_the_sender_calls_ucum(text: str, unit: str) -> None:
    assert code(text, DECLARED) == unit


def test_a_row_says_where_it_stands() -> None:
    hit = HOUSE.translate("K/uL")
    assert hit is not None and hit.system == ucum.SYSTEM
    name, _, line = hit.where.partition(":")
    assert name == "units.csv"
    rows = (ROOT / "terminology/maps/units.csv").read_text("utf-8").splitlines()
    assert rows[int(line) - 1].startswith(",K/uL,")


def test_no_two_approved_texts_differ_in_meaning_by_blanks_alone() -> None:
    said: dict[str, set[str]] = {}
    for row in HOUSE.rows:
        if row.translates and not row.source_system:
            said.setdefault(row.source_code.replace(" ", ""), set()).add(row.target_code)
    assert {k: v for k, v in said.items() if len(v) > 1} == {}


def test_a_sites_own_rows_come_first() -> None:
    head = ",".join(COLUMNS)
    own = f"{head}\n,C,,equal,{ucum.SYSTEM},Cel,,approved,lab,2026-03-02,\n,K/uL,,inexact,,,,draft,lab,,?\n"
    table = Table("acme_units", read_table(own.encode(), "acme_units.csv"))
    assert isinstance(HOUSE, UnitTable)
    site = HOUSE.site(table)
    assert code("C", site) == "Cel"
    assert site.translate("C").where == "acme_units.csv:2"  # type: ignore[union-attr]
    assert code("K/uL", site) == ""  # the site's doubt counts more than our certainty
    assert code("MG/DL", site) == "mg/dL"
    assert code("C") == "" and code("K/uL") == "10*3/uL"  # nobody else's
    wrong = f"{head}\n,C,,equal,{ucum.SYSTEM},degC,,approved,lab,2026-03-02,\n"
    with pytest.raises(ConfigError, match=r"acme_units\.csv:2.*no unit of UCUM"):
        HOUSE.site(Table("acme_units", read_table(wrong.encode(), "acme_units.csv")))


@pytest.mark.parametrize(
    ("row", "why"),
    [
        (f",K/uL,,equal,{ucum.SYSTEM},K/ul^,,approved,x,2026-01-02,", "no unit of UCUM"),
        (",K/uL,,equal,http://x.example,10*3/uL,,approved,x,2026-01-02,", "no unit of UCUM"),
        (f"L,K/uL,,equal,{ucum.SYSTEM},10*3/uL,,approved,x,2026-01-02,", "source_system"),
    ],
)
def test_a_row_that_leads_nowhere_is_refused(row: str, why: str) -> None:
    with pytest.raises(ConfigError, match=why):
        Terminology.of({"maps/units.csv": f"{','.join(COLUMNS)}\n{row}\n".encode()})


@pytest.mark.parametrize("line", ["xx,-,", "g,q,", "cal,k,\ncal,k,", "g,-", "mg,-,", 'g,"-,'])
def test_a_plain_unit_that_is_none_is_refused(line: str) -> None:
    with pytest.raises(ConfigError, match=r"plain\.csv:\d"):
        read_plain(f"unit,prefixes,note\n{line}\n".encode(), b"unit,note\nm,\n", "units")


def test_what_is_measured_are_units() -> None:
    with pytest.raises(ConfigError, match=r"measured\.csv:2"):
        read_plain(b"unit,prefixes,note\nm,-,\n", b"unit,note\nmeter,\n", "units")


@given(st.text(alphabet="mgLdlUuKMGk/*^%{}[]() 0123456789.", max_size=12))
def test_what_is_resolved_is_ucum(text: str) -> None:
    for table in (HOUSE, DECLARED):
        hit = table.translate(text)
        assert hit is None or ucum.is_unit(hit.code)


@given(st.text(alphabet="mgLdlUuKMGk/iIcC", max_size=8))
def test_case_is_never_guessed(text: str) -> None:
    """Whatever resolves without a row is exactly what was written."""
    rows = {r.source_code for r in HOUSE.rows}
    hit = HOUSE.translate(text)
    if hit is not None and text not in rows:
        assert hit.code == text


def test_most_official_examples_need_nobody_to_say_that_they_are_ucum() -> None:
    """The rest: units of enzymes alone, of physics, and what others write for something else."""
    spec = find_spec("ucumvert")
    if spec is None or spec.origin is None:
        pytest.skip("ucumvert is not installed: the official UCUM examples are not at hand")
    text = (Path(spec.origin).parent / "vendor/ucum_examples.tsv").read_text("utf-8")
    codes = [line.split("\t")[1] for line in text.splitlines()[1:]]
    plain = [c for c in codes if code(c)]
    assert len(codes) == 848 and len(plain) > 750
    assert [c for c in plain if ucum.parse(code(c)).dims != ucum.parse(c).dims] == []


@pytest.mark.parametrize(
    ("file", "column", "unknown"),
    [  # what is left is no unit, or two: nobody can say what a laboratory means by `units` and `m/uL`
        ("mimic_lab_to_loinc.txt", 3, {"N/A", "units", "m/uL", "Pos/Neg"}),
        ("mimic_lab_to_loinc_2.txt", 3, {"N/A", "+/-"}),
        ("lab_catalogue.txt", 5, {"U/(2.h)"}),
    ],
)
def test_units_of_two_hospitals(file: str, column: int, unknown: set[str]) -> None:
    lines = (ROOT / "tools/release_sources" / file).read_text("utf-8").splitlines()
    units = {parts[column].strip() for line in lines if len(parts := line.split("|")) > column}
    units.discard("")
    assert len(units) > 15
    assert {u for u in units if not code(u)} == unknown


def test_a_catalogues_units_measure_what_loinc_says() -> None:
    """Local tests with their LOINC code and unit: the property in LOINC's short name and the unit agree."""
    contradictions, seen = [], 0
    for line in (ROOT / "tools/release_sources/lab_catalogue.txt").read_text("utf-8").splitlines():
        parts = line.split("|")
        property_ = re.search(r"-?([acmns]Cnc|[mnsv]Fr|[ms]Rat|EntVol|EntMass|Time|MRto)\b", parts[4])
        if len(parts) > 5 and property_ and (unit := code(parts[5].strip())):
            name = property_[1][0].upper() + property_[1][1:]
            seen += name in TERMS.measures.properties
            if TERMS.measures.contradiction(name, unit):
                contradictions.append((parts[2], name, unit))
    assert seen > 100
    assert contradictions == []
