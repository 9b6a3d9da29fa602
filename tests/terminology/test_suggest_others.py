"""Suggestions for diagnoses, drugs and vaccines: names as published, texts as senders write them."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.terminology.concepts import Concept
from engine.terminology.localwords import Abbreviations
from engine.terminology.otherwords import kind_of, parts, searches
from engine.terminology.suggest import LocalTerm, Precedent, suggest

SHIPPED = Abbreviations.read(
    (Path(__file__).parents[2] / "terminology/abbreviations.csv").read_bytes(), "abbreviations.csv"
)
ICD = "http://hl7.org/fhir/sid/icd-10-cm"
RXNORM = "http://www.nlm.nih.gov/research/umls/rxnorm"
CVX = "http://hl7.org/fhir/sid/cvx"

DIAGNOSES = [
    Concept(ICD, code, name, properties={"billable": billable})
    for code, name, billable in (
        ("I10", "Essential (primary) hypertension", "true"),
        ("K76.6", "Portal hypertension", "true"),
        ("I1A", "Other hypertension", "false"),
        ("E11", "Type 2 diabetes mellitus", "false"),
        ("E11.9", "Type 2 diabetes mellitus without complications", "true"),
        ("E11.21", "Type 2 diabetes mellitus with diabetic nephropathy", "true"),
        ("J18.9", "Pneumonia, unspecified organism", "true"),
        ("J17", "Pneumonia in diseases classified elsewhere", "true"),
        ("A01.03", "Typhoid pneumonia", "true"),
    )
]
DRUGS = [
    Concept(RXNORM, code, name)
    for code, name in (
        ("314076", "lisinopril 10 MG Oral Tablet"),
        ("311354", "lisinopril 5 MG Oral Tablet"),
        ("197885", "hydrochlorothiazide 12.5 MG / lisinopril 10 MG Oral Tablet"),
        ("198284", "timolol 10 MG Oral Tablet"),
        ("1719286", "10 ML furosemide 10 MG/ML Injection"),
        ("197730", "furosemide 10 MG/ML Oral Solution"),
    )
]
VACCINES = [
    Concept(CVX, code, name)
    for code, name in (
        ("08", "Hep B, adolescent or pediatric"),
        ("45", "Hep B, unspecified formulation"),
        ("83", "Hep A, ped/adol, 2 dose"),
        ("133", "Pneumococcal conjugate PCV 13"),
        ("100", "pneumococcal conjugate PCV 7"),
    )
]


@pytest.mark.parametrize(
    ("candidates", "text", "code"),
    [
        (DIAGNOSES, "HTN", "I10"),
        (DIAGNOSES, "DM2", "E11.9"),
        (DIAGNOSES, "Type 2 diabetes mellitus", "E11.9"),
        (DIAGNOSES, "pneumonia", "J18.9"),
        (DRUGS, "LISINOPRIL 10MG TAB", "314076"),
        (DRUGS, "Lisinopril 5 mg po tabs", "311354"),
        (DRUGS, "furosemide inj 10 mg/mL", "1719286"),
        (VACCINES, "Hepatitis B ped", "08"),
        (VACCINES, "Hepatitis B vaccine", "45"),
        (VACCINES, "PCV13", "133"),
    ],
)
def test_the_right_name_comes_first(candidates: list[Concept], text: str, code: str) -> None:
    assert suggest(LocalTerm("1", text, "DG1-3"), candidates, SHIPPED)[0].concept.code == code


def test_a_strength_and_a_form_make_no_drug() -> None:
    """A drug nobody knows is not proposed as another one of its strength."""
    assert suggest(LocalTerm("1", "Lasix 10mg tab", "RXE-2"), DRUGS, SHIPPED) == []


def test_a_drug_with_more_in_it_comes_late_and_says_what() -> None:
    made = suggest(LocalTerm("1", "lisinopril 10 mg tab", "RXE-2"), DRUGS, SHIPPED)
    late = next(s for s in made if s.concept.code == "197885")
    assert late.score < 75
    assert "does not say hydrochlorothiazide" in late.reasons[0]


def test_a_heading_says_that_it_is_one() -> None:
    made = suggest(LocalTerm("1", "Type 2 diabetes mellitus", "DG1-3"), DIAGNOSES, SHIPPED)
    heading = next(s for s in made if s.concept.code == "E11")
    assert heading.reasons[-1] == "a heading: a diagnosis is given by a code below it"


def test_what_another_sender_mapped_counts() -> None:
    before = Precedent("LISINOPRIL 10", "311354", "ward")
    made = suggest(LocalTerm("1", "Lisinopril 10", "RXE-2"), DRUGS[:2], SHIPPED, [before])
    assert any("ward has this text mapped to it" in s.reasons for s in made if s.concept.code == "311354")


def test_numbers_and_units_come_apart() -> None:
    assert parts("500mg Tablets, 2.5ML") == ["500", "mg", "tablet", "2.5", "ml"]
    assert kind_of("http://snomed.info/sct") == "diagnoses"


def test_what_is_searched_for() -> None:
    made = searches(["fracture of the left radius"], "diagnoses")
    assert made == [
        "fracture of the left radius",
        "fracture left radius",
        "fracture left",
        "fracture radius",
        "left radius",
    ]
    assert searches([""], "drugs") == []
