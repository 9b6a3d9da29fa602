"""Molar masses and LOINC properties: reviewed rows, checked by the formula and an independent package."""

from __future__ import annotations

import csv
import re
from decimal import Decimal
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ucum_lhc import lhc

from engine.kernel.errors import ConfigError
from engine.terminology.measures import MOLAR, Measures, read_properties, read_substances
from engine.terminology.translate import Terminology
from engine.terminology.ucum import UnitError

ROOT = Path(__file__).parents[2]
MEASURES = Terminology.open(ROOT / "terminology").measures

# IUPAC, Standard atomic weights of the elements 2021, abridged (Pure Appl. Chem. 2022; 94: 573)
WEIGHTS = {
    **{
        "H": "1.008",
        "Li": "6.94",
        "C": "12.011",
        "N": "14.007",
        "O": "15.999",
        "F": "18.998",
        "Na": "22.990",
    },
    **{
        "Mg": "24.305",
        "Al": "26.982",
        "P": "30.974",
        "S": "32.06",
        "Cl": "35.45",
        "K": "39.098",
        "Ca": "40.078",
    },
    **{"Cr": "51.996", "Mn": "54.938", "Fe": "55.845", "Co": "58.933", "Ni": "58.693", "Cu": "63.546"},
    **{"Zn": "65.38", "As": "74.922", "Se": "78.971", "I": "126.90", "Hg": "200.59", "Pb": "207.2"},
}


def test_every_molar_mass_is_that_of_its_formula() -> None:
    assert len(MEASURES.substances) > 90
    for s in MEASURES.substances:
        parts = re.findall(r"([A-Z][a-z]?)(\d*)", s.formula)
        assert "".join(a + n for a, n in parts) == s.formula and s.formula, s.component
        mass = sum(Fraction(WEIGHTS[a]) * int(n or 1) for a, n in parts)
        assert abs(s.mass - mass) <= Fraction(1, 1000), (s.component, float(mass))


@pytest.mark.parametrize(
    ("code", "component", "source", "target", "number", "result"),
    [  # the factors of Young & Huth, SI Units for Clinical Measurement (1998), as laboratories print them
        ("2345-7", "", "mg/dL", "mmol/L", "100", "5.55"),
        ("2160-0", "", "mg/dL", "umol/L", "1.0", "88"),
        ("2160-0", "", "umol/L", "mg/dL", "88.4", "1.000"),
        ("3094-0", "", "mg/dL", "mmol/L", "14", "5.0"),
        ("2571-8", "", "mg/dL", "mmol/L", "150", "1.69"),
        ("19123-9", "", "mg/dL", "mmol/L", "2.0", "0.82"),
        ("19123-9", "", "mg/dL", "meq/L", "2.0", "1.65"),
        ("19123-9", "", "meq/L", "mmol/L", "1.6", "0.80"),
        ("2823-3", "", "meq/L", "mmol/L", "4.1", "4.1"),
        ("1", "Calcium", "mg/dL", "mmol/L", "10.0", "2.50"),
        ("1", "CALCIUM", "meq/L", "mmol/L", "5.0", "2.50"),
        ("1", "Cholesterol.in HDL", "mg/dL", "mmol/L", "40", "1.03"),
        ("1", "Bilirubin", "mg/dL", "umol/L", "1.0", "17"),
        ("1", "Urate", "mg/dL", "umol/L", "7.0", "416"),
        ("1", "Thyroxine", "ug/dL", "nmol/L", "8.0", "103"),
        ("1", "Lactate", "mg/dL", "mmol/L", "9.0", "1.00"),
        ("1", "Phosphate", "mg/dL", "mmol/L", "3.1", "1.00"),
    ],
)
def test_mass_amount_and_charge(
    code: str, component: str, source: str, target: str, number: str, result: str
) -> None:
    made = MEASURES.convert(Decimal(number), source, target, MEASURES.substance(code, component))
    assert made.unit == target
    digits = max(1, len(result.replace(".", "").lstrip("0")))
    assert f"{made.value:.{digits}g}" == f"{Decimal(result):.{digits}g}", made


def test_how_it_was_converted_is_said() -> None:
    made = MEASURES.convert(Decimal("100"), "mg/dL", "mmol/L", MEASURES.substance("2345-7"))
    assert made.how == f"Glucose: 180.156 g/mol ({MEASURES.by_code['2345-7'].where})"
    assert str(made.value) == "5.55"
    assert MEASURES.convert(Decimal("5"), "mg/dL", "g/L").how == "UCUM"


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("mg/dL", "[IU]/L"),
        ("mg/g{creat}", "mmol/g{creat}"),  # the gram below the line is another substance's
        ("mg/dL{x}", "mmol/L"),
        ("meq/L", "mmol/L"),  # glucose has no charge
        ("mg/mg", "mmol/L"),
        ("mg2/dL", "mmol/L"),
        ("mosm/kg", "mmol/kg"),
    ],
)
def test_what_a_molar_mass_does_not_say(source: str, target: str) -> None:
    glucose = MEASURES.substance("2345-7")
    assert glucose is not None and glucose.charge == 0
    with pytest.raises(UnitError):
        MEASURES.convert(Decimal(1), source, target, glucose)


def test_mass_per_mass_of_another_substance_is_one_sided() -> None:
    """mg of the substance in a kilogram: only what stands above the line is counted in moles."""
    made = MEASURES.convert(Decimal("180.156"), "mg/(24.h)", "mmol/d", MEASURES.substance("2345-7"))
    assert made.value == Decimal("1.000000") or float(made.value) == pytest.approx(1)


def test_hba1c_has_no_row() -> None:
    """NGSP per cent and IFCC mmol/mol are two scales: no molar mass leads from one to the other."""
    assert MEASURES.substance("4548-4", "Hemoglobin A1c/Hemoglobin.total") is None


@given(st.decimals(min_value="0.01", max_value=99999, places=2), st.sampled_from(MEASURES.substances))
def test_there_and_back(value: Decimal, substance: object) -> None:
    there = MEASURES.convert(value, "mg/dL", "umol/L", substance)  # type: ignore[arg-type]
    back = MEASURES.convert(there.value, "umol/L", "mg/dL", substance)  # type: ignore[arg-type]
    assert abs(back.value - value) < Decimal("0.006")


def test_every_code_is_named_so_in_the_shipped_part_of_loinc() -> None:
    """A code of a row is a concentration or rate of that substance: by its LOINC name, not from memory."""
    path = ROOT / "terminology/releases/loinc/LoincTable/Loinc.csv"
    with path.open(encoding="utf-8", newline="") as f:
        names = {r["LOINC_NUM"]: (r["LONG_COMMON_NAME"], r["PROPERTY"]) for r in csv.DictReader(f)}
    for code, s in MEASURES.by_code.items():
        name, property_ = names[code]
        words = re.split(r"[. ]", s.component.lower().replace(".in ", " in "))
        first = name.lower().partition(" [")[0]
        assert all(w in first for w in words) or s.component in ("Cobalamins", "Calcidiol"), (code, name)
        assert property_ in ("MCnc", "SCnc", "MRat", "SRat"), (code, property_)


def test_shipped_loinc_contradicts_itself_nowhere() -> None:
    """The unit in brackets of a LOINC name measures the property of the code."""
    path = ROOT / "terminology/releases/loinc/LoincTable/Loinc.csv"
    unit = {"Mass/volume": "mg/dL", "Moles/volume": "mmol/L", "#/volume": "10*3/uL", "Mass/time": "mg/(24.h)"}
    seen = 0
    with path.open(encoding="utf-8", newline="") as f:
        for row in csv.DictReader(f):
            bracket = re.search(r" \[([^\]]+)\]", row["LONG_COMMON_NAME"])
            if bracket and bracket[1] in unit and row["PROPERTY"] in MEASURES.properties:
                seen += 1
                assert not MEASURES.contradiction(row["PROPERTY"], unit[bracket[1]]), row
    assert seen > 150


def test_ucum_lhc_turns_mass_into_amount_the_same() -> None:
    """With our molar masses and charges, for every substance."""
    calls: list[tuple[object, ...]] = []
    ours = []
    for s in MEASURES.substances:
        options = {"molecularWeight": float(s.mass), **({"charge": s.charge} if s.charge else {})}
        pairs = [("mg/dL", "umol/L"), ("nmol/L", "ug/dL")]
        pairs += [("meq/L", "mmol/L"), ("mmol/L", "meq/L"), ("mg/dL", "meq/L")] if s.charge else []
        for a, b in pairs:
            calls.append((7.25, a, b, options))
            ours.append(float(MEASURES.convert(Decimal("7.2500000000"), a, b, s).value))
    answers = lhc(calls)
    assert len(answers) > 200
    for call, mine, theirs in zip(calls, ours, answers, strict=True):
        assert mine == pytest.approx(theirs, rel=3e-6), call  # its mole is that of 1986


def test_labunits_has_the_same_factors() -> None:
    if find_spec("labunits") is None:
        pytest.skip("labunits NOT ASKED: it is not installed, so the molar factors have no second opinion")
    import json

    spec = find_spec("labunits")
    assert spec is not None and spec.origin is not None
    known = json.loads((Path(spec.origin).parent / "data/analytes.json").read_text("utf-8"))
    compared = 0
    for code, substance in MEASURES.by_code.items():
        theirs = known.get(code)
        if theirs is None:
            continue
        source = theirs["traditional_units"].replace("mEq", "meq").replace("μ", "u").replace("/24 h", "/d")
        target = theirs["si_units"].replace("μ", "u").replace("/day", "/d")
        ours = MEASURES.convert(Decimal("1000000"), source, target, substance)
        compared += 1
        assert float(ours.value) / 1e6 == pytest.approx(theirs["conversion_factor"], rel=0.01), code
    assert compared >= 15


@pytest.mark.parametrize(
    ("property_", "unit", "contradicts"),
    [
        ("MCnc", "mg/dL", False),
        ("MCnc", "ng{FEU}/mL", False),
        ("MCnc", "mmol/L", True),
        ("SCnc", "mmol/L", False),
        ("SCnc", "meq/L", False),
        ("SCnc", "mg/dL", True),
        ("NCnc", "10*3/uL", False),
        ("NCnc", "{cells}/uL", False),
        ("NCnc", "K/uL", True),
        ("CCnc", "U/L", False),
        ("CCnc", "[IU]/L", False),
        ("CCnc", "ug/L", True),
        ("MFr", "%", False),
        ("MFr", "mmol/mol", False),
        ("EntVol", "fL", False),
        ("Temp", "[degF]", False),
        ("Pres", "mm[Hg]", False),
        ("ArVRat", "mL/min/{1.73_m2}", False),
        ("ArVRat", "mg/dL", True),
        ("Osmol", "mosm/kg", False),
        ("ACnc", "mg/dL", False),  # arbitrary: nobody knows
        ("", "mg/dL", False),
        ("MCnc", "no unit", False),
    ],
)
def test_a_unit_against_its_property(property_: str, unit: str, contradicts: bool) -> None:
    assert bool(MEASURES.contradiction(property_, unit)) is contradicts


GOOD = dict(
    zip(
        MOLAR,
        ["2345-7", "Glucose", "C6H12O6", "180.156", "", "approved", "x", "2026-01-02", "y", ""],
        strict=True,
    )
)


def molar(**change: str) -> bytes:
    return (",".join(MOLAR) + "\n" + ",".join({**GOOD, **change}.values()) + "\n").encode()


def test_a_draft_converts_nothing() -> None:
    assert read_substances(molar(), "molar.csv")
    assert read_substances(molar(status="draft"), "molar.csv") == ()


@pytest.mark.parametrize(
    "change",
    [
        {"molar_mass": "0"}, {"molar_mass": "1.8E2"}, {"molar_mass": ""}, {"molar_mass": "0.180"},
        {"charge": "-1"}, {"status": "yes"}, {"by": ""}, {"on": "2/1/26"}, {"source": ""},
        {"loinc": "2345-8"}, {"loinc": "Mar-93"}, {"loinc": "2345-7 2345-7"}, {"component": ""},
    ],
)  # fmt: skip
def test_a_row_that_cannot_be_right_is_refused(change: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"molar\.csv:2"):
        read_substances(molar(**change), "molar.csv")


def test_other_columns_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"molar\.csv:1"):
        read_substances(b"loinc,mass\n", "molar.csv")
    with pytest.raises(ConfigError, match=r"properties\.csv:2"):
        read_properties(b"property,units,name\nMCnc,zz,x\n", "properties.csv")


def test_nothing_is_known_without_files() -> None:
    assert Measures().contradiction("MCnc", "mmol/L") == ""
    assert Measures().substance("2345-7") is None
