"""UCUM: grammar, canonical form, conversion; held against two independent libraries."""

from __future__ import annotations

import csv
import warnings
from decimal import Decimal
from fractions import Fraction
from importlib.util import find_spec
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ucum_lhc import lhc

from engine.terminology import ucum
from engine.terminology.ucum import UnitError, canonical, convert, is_unit, parse, why_not
from engine.terminology.ucumtable import FUNCTIONS, SYMBOL, table

UCUMVERT = find_spec("ucumvert")


def examples() -> list[str]:
    """The official list of example codes (v1.5), which the package ucumvert carries for its own tests."""
    if UCUMVERT is None or UCUMVERT.origin is None:
        pytest.skip("ucumvert is not installed: the official UCUM examples are not at hand")
    path = Path(UCUMVERT.origin).parent / "vendor/ucum_examples.tsv"
    with path.open(newline="", encoding="utf-8") as f:
        rows = list(csv.reader(f, delimiter="\t"))
    assert rows[0][1] == "UCUM_CODE"
    return [r[1] for r in rows[1:]]


def test_every_official_example_is_read() -> None:
    codes = examples()
    assert len(codes) == 848
    for code in codes:
        assert parse(code).code == code


def test_the_table_is_whole() -> None:
    units = table()
    assert units.version == "2.2"
    assert len(units.prefixes) == 24
    assert len(units.atoms) == 7 + 305 + 1
    for code, atom in units.atoms.items():
        assert SYMBOL.fullmatch(code), code
        parse(code)
        assert not atom.function or atom.function in FUNCTIONS


def test_ucumvert_says_the_same() -> None:
    """Every example whose unit pint can hold is worth the same there, to nine digits."""
    codes = examples()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from ucumvert import PintUcumRegistry

        registry = PintUcumRegistry()
        differ, compared = [], 0
        for code in codes:
            if parse(code).function:  # compared number by number below
                continue
            try:
                theirs = registry.from_ucum(code).to_base_units()
            except Exception:  # annotations alone, Torr: ucumvert cannot
                continue
            unit = parse(code)
            kilogram = Fraction(1000) ** dict(unit.dims).get("g", 0)
            compared += 1
            if abs(float(unit.factor / kilogram) - theirs.magnitude) > 1e-9 * theirs.magnitude:
                differ.append(code)
    assert compared > 770
    # the millimetre of mercury of UCUM is 133.322 Pa, that of pint 133.322387415
    assert sorted(differ) == ["[in_i'H2O]", "cm[Hg]", "mm[Hg]"]


CONVERSIONS = [
    ("mg/dL", "g/L", "95"),
    ("ug/L", "ug/dL", "0.50"),
    ("10*3/uL", "10*9/L", "7.2"),
    ("m[IU]/L", "u[IU]/mL", "2.5"),
    ("mm[Hg]", "kPa", "120"),
    ("[in_i]", "cm", "70"),
    ("[lb_av]", "kg", "150"),
    ("[oz_av]", "g", "112"),
    ("[degF]", "Cel", "98.6"),
    ("Cel", "[degF]", "37.0"),
    ("Cel", "K", "37.0"),
    ("U/L", "nkat/L", "40"),
    ("mL/min", "L/h", "90"),
    ("cm[H2O]", "mm[Hg]", "12"),
    ("kcal", "kJ", "250"),
    ("[ft_i]", "m", "5.5"),
    ("[gal_us]", "L", "2"),
    ("mo", "d", "6"),
    ("%", "1", "45.0"),
    ("[ppm]", "%", "20"),
    ("mg/kg/d", "ug/g/h", "5"),
    ("dyn.s/cm5", "kPa.s/L", "1200"),
    ("mmol/(8.h)", "mmol/h", "16"),
    ("umol/L", "nmol/dL", "3.1"),
]


def test_ucum_lhc_converts_the_same() -> None:
    answers = lhc([(n, a, b) for a, b, n in CONVERSIONS])
    for (a, b, n), theirs in zip(CONVERSIONS, answers, strict=True):
        ours = convert(Decimal(n + "00000" if "." in n else n + ".00000"), a, b)
        if "[IU]" in a:  # ucum-lhc converts no arbitrary units, not even among themselves
            assert theirs is None
            continue
        assert isinstance(theirs, float | int), (a, b)
        assert float(ours) == pytest.approx(theirs, rel=1e-6), (a, b)


def test_every_example_converts_as_ucum_lhc_converts_it() -> None:
    """Each official example into the first of its kind. Where ucum-lhc does not convert, we look why."""
    kinds: dict[tuple[object, ...], str] = {}
    calls = []
    for code in examples():
        unit = parse(code)
        first = kinds.setdefault((unit.dims, tuple(sorted(unit.notes)), unit.cancelled), code)
        if code != first:
            assert not why_not(code, first), (code, first)
            calls.append((code, first))
    answers = lhc([("1.234", a, b) for a, b in calls])
    compared, silent = 0, []
    for (a, b), theirs in zip(calls, answers, strict=True):
        if theirs is None:
            silent.append((a, b))
            continue
        assert isinstance(theirs, float | int)
        ours = float(convert(Decimal("1.23400000000"), a, b))
        assert ours == pytest.approx(theirs, rel=1e-6), (a, b)
        compared += 1
    assert compared > 450
    # what it leaves: arbitrary units, which UCUM lets nobody convert but into themselves
    assert not [pair for pair in silent if "[" not in pair[0] + pair[1]]


def test_ucum_lhc_says_the_same_of_every_example() -> None:
    codes = examples()
    answers = lhc([(c,) for c in codes])
    mole = float(table().atoms["mol"].value) * 1e23
    differ = []
    for code, theirs in zip(codes, answers, strict=True):
        unit = parse(code)
        if unit.function:
            continue
        assert isinstance(theirs, list), code
        dims = dict(unit.dims)
        moles = sum(dims.get(b, 0) for b in ("mol", "eq", "osm"))
        ours = [dims.get(b, 0) for b in ("m", "s", "g", "rad", "K", "C", "cd")]
        # ucum-lhc counts a mole as 6.0221367e23 (CODATA 1986) or, in its own tables, not at all
        values = [float(unit.factor) * m**moles for m in (mole, 6.0221367e23, 1.0)]
        if theirs[1] != ours or not any(theirs[0] == pytest.approx(v, rel=1e-6) for v in values):
            differ.append(code)
    assert differ == ["[diop]"]  # a dioptre is 1/m, in the table too; ucum-lhc 7.1.9 has it as a length


@pytest.mark.parametrize(
    ("source", "target", "number", "result"),
    [
        ("[degF]", "Cel", "98.6", "37.00"),
        ("Cel", "[degF]", "37.0", "98.6"),
        ("Cel", "K", "-273.15", "0.00"),
        ("[degRe]", "Cel", "80.0", "100.0"),
        ("[pH]", "nmol/L", "7.40", "39.8"),
        ("nmol/L", "[pH]", "40", "7.40"),
        ("%[slope]", "deg", "100", "45.0"),
        ("[p'diop]", "deg", "1.00", "0.573"),
        ("dB", "B", "35", "3.5"),
        ("B[V]", "mV", "2.00", "10000"),
        ("B[SPL]", "Pa", "6.00", "0.020"),
        ("Np", "1", "1.000", "2.718"),
        ("[hp'_X]", "1", "3.0", "0.0010"),
        ("[hp'_C]", "[hp'_X]", "2.0", "4.0"),
        ("bit_s", "1", "3.00", "8.00"),
        ("[m/s2/Hz^(1/2)]", "m2/s4/Hz", "3.0", "9.0"),
    ],
)
def test_special_units(source: str, target: str, number: str, result: str) -> None:
    """Numbers from the definitions: 0 dB SPL is 20 uPa, B[V] = 2 lg(U / 1 V), pH = -lg(c / 1 mol/L)."""
    ours = convert(Decimal(number), source, target)
    assert ours == Decimal(result) or float(ours) == pytest.approx(float(result), rel=2e-2)


@pytest.mark.parametrize(
    ("source", "target", "number", "result"),
    [
        ("mg/dL", "g/L", "5", "0.05"),  # as exact as the sender, neither more nor less
        ("mg/dL", "g/L", "5.00", "0.0500"),
        ("g/L", "mg/dL", "5", "500"),
        ("g", "mg", "0.5", "500"),
        ("mg/dL", "mg/dL", "4.10", "4.10"),
        ("10*3/uL", "10*9/L", "7.20", "7.20"),
        ("mmol/L", "umol/L", "0.0", "0"),
        ("[in_i]", "cm", "-1.0", "-2.5"),
    ],
)
def test_digits_are_those_of_the_sender(source: str, target: str, number: str, result: str) -> None:
    assert str(convert(Decimal(number), source, target)) == result


@pytest.mark.parametrize(
    ("source", "target"),
    [
        ("mg/dL", "mmol/L"),  # needs the substance
        ("meq/L", "mmol/L"),  # needs the charge: calcium has two
        ("mosm/kg", "mmol/kg"),
        ("mmol/L", "10*3/uL"),  # UCUM writes a mole as a number; a cell count is none of molecules
        ("%", "mmol/mol"),  # HbA1c: 7 % (NGSP) is 53 mmol/mol (IFCC), not 70
        ("g/g", "mL/mL"),
        ("ng/mL{FEU}", "ng/mL{DDU}"),  # D-dimer: one is about half of the other
        ("ng/mL{FEU}", "ug/mL"),
        ("mL/min/{1.73_m2}", "mL/min"),
        ("{cells}/uL", "{copies}/uL"),
        ("/100{WBC}", "%"),
        ("/[HPF]", "/[LPF]"),
        ("[IU]/L", "U/L"),  # international units are defined one substance at a time
        ("[IU]/mL", "[arb'U]/mL"),
        ("K/uL", "10*3/uL"),  # UCUM: kelvin per microlitre
        ("Cel/min", "[degF]/min"),
        ("kg", "L"),
    ],
)
def test_what_does_not_measure_the_same_is_never_converted(source: str, target: str) -> None:
    assert why_not(source, target)
    with pytest.raises(UnitError):
        convert(Decimal(1), source, target)


def test_annotations_that_only_count_do_not_stand_in_the_way() -> None:
    assert convert(Decimal("5.1"), "{cells}/uL", "10*6/L") == Decimal("5.1")
    assert convert(Decimal("5"), "ng/mL{FEU}", "ug/mL{FEU}") == Decimal("0.005")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "mg/",
            "(mg",
            "mg)",
            "mg//dL",
            "m g",
            "MG/DL",
            "mEq/L",
            "/",
            "mg{x",
            ".",
            "m-0",
            "0",
            "m²",
            "µg/L",
        ),
        *(
            "10**3",
            "mg.",
            "kk",
            "mm[Hg",
            "IU/L",
            "mmHg",
            "cc",
            "m99999",
            "x" * 200,
            "(" * 60 + "m" + ")" * 60,
        ),
    ],
)
def test_what_is_no_unit_is_refused(text: str) -> None:
    assert not is_unit(text)
    with pytest.raises(UnitError):
        parse(text)


def test_canonical_form() -> None:
    assert canonical("mg/dL") == (Fraction(10), "g.m-3")
    assert canonical("kPa") == (Fraction(1_000_000), "g.m-1.s-2")
    assert canonical("10*3/uL") == (Fraction(10**12), "m-3")
    assert canonical("%") == (Fraction(1, 100), "1")
    with pytest.raises(UnitError):
        canonical("[pH]")


def test_a_number_without_end_is_no_quantity() -> None:
    with pytest.raises(UnitError):
        convert(Decimal("Infinity"), "mg", "g")


def test_a_logarithm_of_nothing_is_refused() -> None:
    with pytest.raises(UnitError):
        convert(Decimal(0), "mol/L", "[pH]")


# -- properties ----------------------------------------------------------------------------------------------

PLAIN = sorted(c for c, a in table().atoms.items() if not a.function)
METRIC = sorted(c for c, a in table().atoms.items() if a.metric and not a.function)


@st.composite
def symbols(draw: st.DrawFn) -> str:
    if draw(st.booleans()):
        text = draw(st.sampled_from(sorted(table().prefixes))) + draw(st.sampled_from(METRIC))
    else:
        text = draw(st.sampled_from(PLAIN))
    exponent = draw(st.sampled_from(["", "", "", "2", "-1", "+3", "-2"]))
    return text + exponent + draw(st.sampled_from(["", "", "", "{note}"]))


@st.composite
def codes(draw: st.DrawFn) -> str:
    text = draw(st.sampled_from(["", "", "/"])) + draw(symbols())
    for _ in range(draw(st.integers(0, 3))):
        part = draw(symbols())
        if draw(st.integers(0, 4)) == 0:
            part = f"({part}/{draw(symbols())})"
        text += draw(st.sampled_from("./")) + part
    return text if len(text) <= ucum.LONGEST else "m"


@given(codes())
def test_canonical_text_is_a_unit_of_the_same_dimension(code: str) -> None:
    factor, base = canonical(code)
    assert factor > 0
    assert canonical(base) == (Fraction(1), base)
    assert parse(base).dims == parse(code).dims


@given(codes(), codes())
def test_a_quotient_measures_what_its_sides_say(a: str, b: str) -> None:
    left, right = parse(a), parse(b)
    whole = f"({a})/({b})"
    if len(whole) > ucum.LONGEST or a[0] == "/" or b[0] == "/":
        return
    assert parse(whole).factor == left.factor / right.factor
    expected = dict(left.dims)
    for base, exponent in right.dims:
        expected[base] = expected.get(base, 0) - exponent
    assert dict(parse(whole).dims) == {b: e for b, e in expected.items() if e}


numbers = st.decimals(min_value=-(10**9), max_value=10**9, allow_nan=False, places=3)


@given(numbers, st.sampled_from([(a, b) for a, b, _ in CONVERSIONS]))
def test_there_and_back_gives_what_was_sent(value: Decimal, pair: tuple[str, str]) -> None:
    there = convert(value, *pair)
    back = convert(there, pair[1], pair[0])
    assert abs(back - value) <= Decimal("0.0005") * Decimal("1.2")
    assert back.quantize(Decimal("0.001")) == value or abs(back - value) < Decimal("0.0006")


@given(st.text(max_size=30))
def test_no_text_breaks_the_reader(text: str) -> None:
    try:
        parse(text)
    except UnitError as e:
        assert "is no" in str(e)


@given(st.text(alphabet="mgL/.(){}[]*^0123456789-+%'_U", max_size=24))
def test_what_is_read_is_read_whole(text: str) -> None:
    if is_unit(text):
        assert parse(text).factor > 0
        assert is_unit(f"({text})")
