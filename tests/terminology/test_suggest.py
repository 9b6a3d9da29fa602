"""Suggestions for local codes: what text, unit, specimen, values and other senders say, and the reasons."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.kernel.errors import ConfigError
from engine.terminology.concepts import Concept
from engine.terminology.localwords import Abbreviations, name_of, same_text
from engine.terminology.suggest import LocalTerm, Precedent, Suggestion, gather, named, queries, suggest
from engine.terminology.testclues import properties_of, scale_of, system_of, systems_fit

LOINC = "http://loinc.org"
SHIPPED = Abbreviations.read(
    (Path(__file__).parents[2] / "terminology/abbreviations.csv").read_bytes(), "abbreviations.csv"
)


def term(code: str, name: str, property_: str, system: str, scale: str = "Qn", **more: str) -> Concept:
    """Make a candidate with LOINC's axes."""
    axes = {"PROPERTY": property_, "SYSTEM": system, "SCALE_TYP": scale, **more}
    return Concept(LOINC, code, name, properties={key: value for key, value in axes.items() if value})


GLUCOSE = term("2345-7", "Glucose [Mass/volume] in Serum or Plasma", "MCnc", "Ser/Plas")
GLUCOSE_SI = term("14749-6", "Glucose [Moles/volume] in Serum or Plasma", "SCnc", "Ser/Plas")
GLUCOSE_BLOOD = term("2339-0", "Glucose [Mass/volume] in Blood", "MCnc", "Bld")
GLUCOSE_URINE = term("5792-7", "Glucose [Mass/volume] in Urine by Test strip", "MCnc", "Urine")
GLUCOSE_STRIP = term("25428-4", "Glucose [Presence] in Urine by Test strip", "PrThr", "Urine", "Ord")
GLUCOSE_1H = term(
    "20438-8", "Glucose [Mass/volume] in Serum or Plasma --1 hour post dose glucose", "MCnc", "Ser/Plas"
)
NEUTROPHILS = term("751-8", "Neutrophils [#/volume] in Blood by Automated count", "NCnc", "Bld")
NEUTROPHILS_PERCENT = term("770-8", "Neutrophils/100 leukocytes in Blood by Automated count", "NFr", "Bld")
ALT = term(
    "1742-6", "Alanine aminotransferase [Enzymatic activity/volume] in Serum or Plasma", "CCnc", "Ser/Plas"
)
AST = term(
    "1920-8", "Aspartate aminotransferase [Enzymatic activity/volume] in Serum or Plasma", "CCnc", "Ser/Plas"
)
POTASSIUM = term("2823-3", "Potassium [Moles/volume] in Serum or Plasma", "SCnc", "Ser/Plas")
ALL = [GLUCOSE_1H, GLUCOSE_STRIP, GLUCOSE_URINE, GLUCOSE_BLOOD, GLUCOSE_SI, GLUCOSE, NEUTROPHILS]
ALL += [NEUTROPHILS_PERCENT, ALT, AST, POTASSIUM]


def best(local: LocalTerm, *precedents: Precedent) -> Suggestion:
    """Return the first suggestion among all candidates."""
    return suggest(local, ALL, SHIPPED, precedents)[0]


@pytest.mark.parametrize(
    ("local", "code"),
    [
        (LocalTerm("4001", "Glucose", unit="mg/dL"), "2345-7"),
        (LocalTerm("4001", "Glucose", unit="mmol/L"), "14749-6"),
        (LocalTerm("4001", "Glucose", unit="mg/dL", specimen="BLD"), "2345-7"),
        (LocalTerm("4001", "Glucose, whole blood", unit="mg/dL", specimen="Blood"), "2339-0"),
        (LocalTerm("4001", "Glucose", unit="mg/dL", specimen="UR"), "5792-7"),
        (LocalTerm("4001", "Urine glucose", values=("Negative", "Trace", "2+")), "25428-4"),
        (LocalTerm("4001", "GLUCOSE,1 HOUR", unit="mg/dL"), "20438-8"),
        (LocalTerm("GLU", ""), "2345-7"),
        (LocalTerm("77", "SGPT", unit="U/L"), "1742-6"),
        (LocalTerm("78", "SGOT (AST)", unit="U/L"), "1920-8"),
        (LocalTerm("K", "K", unit="mmol/L"), "2823-3"),
        (LocalTerm("5", "Neutrophils", unit="%"), "770-8"),
        (LocalTerm("5", "Neutrophils", unit="10*3/uL"), "751-8"),
        (LocalTerm("5", "Neutrophils absolute"), "751-8"),
        (LocalTerm("5", "Neutrophil percent"), "770-8"),
        (LocalTerm("5", "Neutrofils", unit="%"), "770-8"),  # a slip of the pen
    ],
)
def test_the_term_that_fits_comes_first(local: LocalTerm, code: str) -> None:
    assert best(local).concept.code == code


def test_the_reasons_are_said_in_words() -> None:
    made = {
        s.concept.code: s
        for s in suggest(LocalTerm("1", "Glucose", unit="mmol/L", specimen="SER"), ALL, SHIPPED, limit=9)
    }
    assert "unit mmol/L is a substance concentration, as SCnc needs" in made["14749-6"].reasons
    assert "unit mmol/L is a substance concentration: MCnc excluded" in made["2345-7"].reasons
    assert "specimen SER is not Urine" in made["5792-7"].reasons
    assert made["14749-6"].score > 3 * made["2345-7"].score
    assert best(LocalTerm("1", "SGPT")).reasons[0] == "text read as 'alanine aminotransferase': 100 % alike"


def test_a_unit_of_no_kind_says_nothing() -> None:
    said = [r for s in suggest(LocalTerm("5", "Neutrophils", unit="m/uL"), ALL, SHIPPED) for r in s.reasons]
    assert said and not [reason for reason in said if reason.startswith("unit")]


def test_a_unit_is_read_by_whoever_can() -> None:
    local = LocalTerm("1", "Glucose", unit="MG/DL")
    assert "mass concentration" not in " ".join(best(local).reasons)  # nobody said what MG/DL is
    read = suggest(local, ALL, SHIPPED, ucum_of={"MG/DL": "mg/dL"}.get)[0]  # type: ignore[arg-type]
    assert "unit MG/DL is a mass concentration, as MCnc needs" in read.reasons


def test_what_others_approved_for_the_same_text_counts() -> None:
    local = LocalTerm("1", "Sugar", unit="mg/dL")
    assert suggest(local, ALL, SHIPPED) == []
    made = best(local, Precedent("SUGAR", "2345-7", "NORTHLAB"), Precedent("sugar", "2345-7", "ACME"))
    assert made.concept.code == "2345-7"
    assert "ACME, NORTHLAB have this text mapped to it" in made.reasons
    assert best(LocalTerm("1", "Glucose"), Precedent("glucose", "14749-6", "X")).concept.code == "14749-6"
    assert best(LocalTerm("1", "Glucose"), Precedent("gluconate", "14749-6", "X")).concept.code == "2345-7"


def test_a_retired_term_is_never_suggested_and_a_discouraged_one_comes_later() -> None:
    gone = Concept(LOINC, "1-8", "Glucose [Mass/volume] in Serum or Plasma", active=False)
    shy = term("2-6", GLUCOSE.display, "MCnc", "Ser/Plas", STATUS="DISCOURAGED")
    made = suggest(LocalTerm("1", "Glucose", unit="mg/dL"), [gone, shy, GLUCOSE], SHIPPED)
    assert [s.concept.code for s in made] == ["2345-7", "2-6"]


def test_a_common_test_comes_before_a_rare_one() -> None:
    common = term("3-4", "Anion gap in Serum or Plasma", "", "Ser/Plas", COMMON_TEST_RANK="37")
    rare = term("4-2", "Anion gap in Serum or Plasma", "", "Ser/Plas", COMMON_TEST_RANK="0")
    made = suggest(LocalTerm("1", "Anion gap"), [rare, common], SHIPPED)
    assert [s.concept.code for s in made] == ["3-4", "4-2"]
    assert "number 37 of the most common tests" in made[0].reasons


def test_a_name_is_read_without_its_unit_and_what_it_may_lead_to() -> None:
    assert named("LACTIC ACID (mmol/L)") == "LACTIC ACID"
    assert named("MICROALBUMIN - mg/dL") == "MICROALBUMIN -"
    assert named("TSH W/REFLEX TO FT4") == "TSH"
    assert named("Reflex test") == "Reflex test"


def test_queries_spell_abbreviations_out() -> None:
    assert queries(LocalTerm("77", "SGPT"), SHIPPED)[0] == "alanine aminotransferase"
    assert "hemoglobin" in queries(LocalTerm("HGB", ""), SHIPPED)
    assert queries(LocalTerm("", ""), SHIPPED) == []


class Searched:
    """Stands for a code service: finds by beginnings of words, as the code store does."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    def search(
        self, system: str, text: str, limit: int = 50, offset: int = 0, properties: object = None
    ) -> list[Concept]:
        self.asked.append(text)
        wanted = text.lower().split()
        return [
            c
            for c in ALL
            if all(
                any(have.startswith(w) for have in c.display.lower().replace("/", " ").split())
                for w in wanted
            )
        ][:limit]


def test_everything_that_may_be_meant_is_gathered_once() -> None:
    service = Searched()
    found = gather(service, LOINC, LocalTerm("77", "SGPT (ALT)"), SHIPPED)  # type: ignore[arg-type]
    assert [c.code for c in found] == ["1742-6", "1920-8"]  # AST by the word "aminotransferase" alone
    assert service.asked[0] == "alanine aminotransferase alanine aminotransferase"
    assert "serum" not in service.asked and "in" not in service.asked
    slip = gather(Searched(), LOINC, LocalTerm("1", "Potassuim"), SHIPPED)  # type: ignore[arg-type]
    assert [c.code for c in slip] == ["2823-3"]
    assert gather(Searched(), LOINC, LocalTerm("", ""), SHIPPED) == []  # type: ignore[arg-type]


def test_the_longest_abbreviation_wins_and_readings_keep_their_order() -> None:
    read = Abbreviations.read(
        b"abbreviation,expansion,note,for\nRED,red,,\nRED CELLS,erythrocytes,,tests\n"
        b"PT,prothrombin time,,\nPT,patient,,\nPT,patient,,drugs\n",
        "x",
    )
    assert read.expand("Red cells") == ["erythrocytes"]
    assert read.expand("PT") == ["prothrombin time", "patient"]
    assert read.expand("red, cell") == ["red cell"]
    assert read.of("tests") is read
    assert read.of("drugs").expand("red pt") == ["red patient"]
    assert read.of("vaccines").expand("PT") == ["pt"]


@pytest.mark.parametrize(
    ("data", "where"),
    [
        (b"abbreviation,expansion\nA,b\n", "x:1"),
        (b"abbreviation,expansion,note\nA,b,\n", "x:1"),
        (b"abbreviation,expansion,note,for\nHGB,,,\n", "x:2"),
        (b"abbreviation,expansion,note,for\n,hemoglobin,,\n", "x:2"),
        (b"abbreviation,expansion,note,for\nHGB,hemoglobin\n", "x:2"),
        (b"abbreviation,expansion,note,for\nHGB,hemoglobin,,labs\n", "x:2"),
    ],
)
def test_a_damaged_dictionary_is_refused_with_its_line(data: bytes, where: str) -> None:
    with pytest.raises(ConfigError) as told:
        Abbreviations.read(data, "x")
    assert told.value.where == where


def test_a_name_is_taken_apart() -> None:
    assert name_of("Bilirubin.total [Mass/volume] in Serum or Plasma").analyte == {"bilirubin"}
    assert name_of("Neutrophils/100 leukocytes in Blood").analyte == {"neutrophils"}
    assert name_of("Glucose [Mass/volume] in Serum or Plasma --1 hour post dose glucose").challenge >= {
        "hour",
        "post",
    }
    assert "rbc" in name_of("Erythrocytes [#/volume] in Blood", ["RBC # Bld"]).all


@pytest.mark.parametrize(
    ("unit", "properties"),
    [
        ("mg/dL", {"MCnc"}),
        ("umol/L", {"SCnc"}),
        ("meq/L", {"SCnc"}),
        ("10*9/L", {"NCnc"}),
        ("/uL", {"NCnc"}),
        ("fL", {"EntVol", "Vol"}),
        ("mm[Hg]", {"PPres", "Pres"}),
        ("s", {"Time"}),
        ("mg/(24.h)", {"MRat"}),
        ("/[HPF]", {"Naric"}),
        ("nonsense", set()),
        ("", set()),
        ("1", set()),
    ],
)
def test_units_say_their_properties(unit: str, properties: set[str]) -> None:
    assert properties_of(unit)[1] == properties


def test_specimens() -> None:
    assert [system_of(s) for s in ("SER", "Serum", "Urine specimen", "BLD", "tear")] == [
        "Ser",
        "Ser",
        "Urine",
        "Bld",
        "",
    ]
    assert systems_fit("Ser", "Ser/Plas") == "same"
    assert systems_fit("Bld", "Ser/Plas") == "may"
    assert systems_fit("Urine", "Ser/Plas") == "no"
    assert systems_fit("Ser", "PPP") == "no"
    assert systems_fit("", "Bld") == ""


def test_scales() -> None:
    assert scale_of("ST", ("4.1", "<0.5", "7"), "") == "Qn"
    assert scale_of("ST", ("Negative", "Positive"), "") == "Ord"
    assert scale_of("NM", (), "") == "Qn"
    assert scale_of("CWE", (), "") == "Ord"
    assert scale_of("ST", (), "") == ""
    assert scale_of("TX", ("Sections show mild chronic inflammation. " * 3,), "") == "Nar"


@settings(max_examples=60, deadline=None)
@given(
    st.builds(
        LocalTerm,
        st.text(max_size=12),
        st.text(max_size=40),
        unit=st.text(max_size=10),
        specimen=st.text(max_size=10),
        values=st.lists(st.text(max_size=8), max_size=3).map(tuple),
        panel=st.text(max_size=10),
    ),
    st.integers(1, 12),
)
def test_whatever_a_sender_writes_suggestions_stay_in_bounds(local: LocalTerm, limit: int) -> None:
    made = suggest(local, [*ALL, GLUCOSE], SHIPPED, limit=limit)
    assert len(made) <= limit
    assert [s.score for s in made] == sorted((s.score for s in made), reverse=True)
    assert all(1 <= s.score <= 100 and s.reasons for s in made)
    assert len({s.concept.code for s in made}) == len(made)
    assert same_text(local.text) == same_text(same_text(local.text))
