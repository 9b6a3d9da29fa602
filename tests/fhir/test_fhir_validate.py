"""The validator: what it must refuse, what it must let pass, and that it says nothing of the patient."""

from __future__ import annotations

import copy
import re
from decimal import Decimal
from random import Random
from typing import Any

import fhirkit
import pytest
from fhir.resources.R4B import get_fhir_model_class
from fhir_maker import Maker, damaged
from fhir_samples import CONTROLS, DEFECTS, Defect, Json, observation, patient
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.fhir import compiler, definitions, jsonio
from engine.fhir.invariants import INVARIANTS
from engine.fhir.validate import Problem, validate


@pytest.mark.parametrize("defect", DEFECTS, ids=[d[0] for d in DEFECTS])
def test_each_defect_is_found_where_it_is(defect: Defect) -> None:
    _, make, change, path, code = defect
    resource = copy.deepcopy(make())
    change(resource)
    assert (path, code) in {(p.path, p.code) for p in validate(resource)}


@pytest.mark.parametrize("control", CONTROLS, ids=[c[0] for c in CONTROLS])
def test_what_is_odd_but_legal_passes(control: tuple[str, Json]) -> None:
    assert validate(control[1]) == []


@pytest.mark.parametrize("defect", DEFECTS, ids=[d[0] for d in DEFECTS])
def test_a_defect_alone_is_told_alone(defect: Defect) -> None:
    """One broken thing does not drag a crowd of complaints behind it."""
    _, make, change, *_ = defect
    resource = copy.deepcopy(make())
    change(resource)
    assert len(validate(resource)) <= 2


# Validators written by others.


def _fhirkit(resource: Json) -> list[str]:
    return [str(issue) for issue in fhirkit.validate(jsonio.dumps(resource))]


def _fhir_resources(resource: Json) -> list[str]:
    model = get_fhir_model_class(resource["resourceType"])
    try:
        model.model_validate_json(jsonio.dumps(resource))
    except ValueError as error:
        return [str(error)]
    return []


def _structural(resource: Json) -> list[Problem]:
    """Leave out invariants, which the others do not know."""
    return [p for p in validate(resource) if not re.fullmatch(r"[a-z]+-\d+", p.code)]


@pytest.mark.parametrize("control", CONTROLS, ids=[c[0] for c in CONTROLS])
def test_the_controls_are_legal_to_others_too(control: tuple[str, Json]) -> None:
    assert _fhirkit(control[1]) == []
    assert _fhir_resources(control[1]) == []


@pytest.mark.parametrize("kind", sorted(definitions.resource_types()))
def test_no_false_alarm_on_any_type(kind: str) -> None:
    random = Random(kind)
    for chance in (0, 0.2, 0.5, 0.35, 1):
        made = Maker(random, chance, depth=3).resource(kind)
        assert _fhirkit(made) == []
        assert _structural(made) == []


@pytest.mark.parametrize("kind", sorted(definitions.resource_types()))
def test_whatever_fhirkit_refuses_is_refused(kind: str) -> None:
    random = Random(kind + " damaged")
    for chance in (0.2, 0.4):
        made = Maker(random, chance, depth=3).resource(kind)
        for _ in range(15 if len(made) > 1 else 0):
            broken = damaged(made, random)
            try:
                refused = bool(_fhirkit(broken))
            except fhirkit.ParseError:
                refused = True
            if refused:
                assert validate(broken) != []


_CLINICAL = [
    "AllergyIntolerance",
    "Condition",
    "Coverage",
    "DiagnosticReport",
    "DocumentReference",
    "Encounter",
    "Location",
    "MessageHeader",
    "Observation",
    "Organization",
    "Patient",
    "Practitioner",
    "PractitionerRole",
    "Procedure",
    "Provenance",
    "RelatedPerson",
    "ServiceRequest",
    "Specimen",
]


@pytest.mark.parametrize("kind", _CLINICAL)
def test_whatever_fhir_resources_accepts_has_no_structural_fault(kind: str) -> None:
    """Of damaged resources too: what both others accept may differ only in what they do not look at."""
    random = Random(kind + " accepted")
    for chance in (0.2, 0.5):
        made = Maker(random, chance, depth=2).resource(kind)
        assert _fhir_resources(made) == []
        for _ in range(5):
            broken = damaged(made, random)
            try:
                accepted = not _fhirkit(broken) and not _fhir_resources(broken)
            except fhirkit.ParseError:
                accepted = False
            if accepted:
                assert {p.code for p in _structural(broken)} <= {
                    "code",
                    "reference",
                    "reference-target",
                    "empty",
                }


# What it says, and what it survives.


@pytest.mark.parametrize("defect", DEFECTS, ids=[d[0] for d in DEFECTS])
def test_no_text_holds_a_value(defect: Defect) -> None:
    _, make, change, *_ = defect
    resource = copy.deepcopy(make())
    change(resource)
    for problem in validate(resource):
        for value in ("Testperson", "Anna", "100234", "Sampleton", "1970-02", "F", "done", "2023-02-30"):
            assert value not in re.split(r"[ ,;]", problem.text)


def test_a_key_that_is_no_element_name_is_not_repeated() -> None:
    problems = validate(patient() | {"Testperson, Anna 1970": 1})
    assert [p.path for p in problems] == ["Patient.?"]


_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.sampled_from(["#x", "#"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "extension",
                    "url",
                    "valueString",
                    "coding",
                    "code",
                    "_status",
                    "status",
                    "contained",
                    "resourceType",
                    "reference",
                    "text",
                    "div",
                    "component",
                    "value",
                    "low",
                    "subject",
                ]
            ),
            inner,
            max_size=5,
        )
    ),
    max_leaves=20,
)


@given(_JSON)
@settings(max_examples=400, deadline=None)
def test_no_input_makes_it_fail(value: Any) -> None:
    validate(value)
    if isinstance(value, dict):
        for kind in ("Observation", "Patient", "Bundle", "Extension"):
            validate({**value, "resourceType": kind})


@given(st.data())
@settings(max_examples=150, deadline=None)
def test_a_sound_resource_with_anything_in_one_place_does_not_make_it_fail(data: st.DataObject) -> None:
    made = observation()
    name = data.draw(st.sampled_from(sorted(definitions.elements("Observation"))))
    made[name.replace("[x]", "Quantity")] = data.draw(_JSON)
    for problem in validate(made):
        assert problem.path.startswith("Observation")
        assert problem.text


def test_depth_is_a_problem_not_a_crash() -> None:
    nested: Json = {"url": "urn:x", "valueString": "x"}
    for _ in range(5000):
        nested = {"url": "urn:x", "extension": [nested]}
    assert [p.code for p in validate(patient(extension=[nested]))] == ["depth"]


def test_the_generated_source_can_be_read() -> None:
    text = compiler.source("Observation")
    assert text.startswith("def Observation(o):")
    assert "get('effectiveDateTime')" in text
    assert "obs-6" in text


def test_every_type_compiles() -> None:
    for kind in definitions.types():
        compile(compiler.source(kind), kind, "exec")


def test_every_invariant_names_a_type_of_the_standard() -> None:
    for kind in INVARIANTS:
        assert definitions.elements(kind), kind


def test_decimal_int_and_float_are_numbers() -> None:
    for value in (Decimal("4.10"), 4, 4.1, Decimal("-0")):
        assert validate(observation(valueQuantity={"value": value})) == []
