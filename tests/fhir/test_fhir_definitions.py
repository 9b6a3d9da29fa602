"""The distilled definitions against facts of the R4 standard that can be looked up in it."""

from __future__ import annotations

import pytest

from engine.fhir import definitions
from engine.fhir.definitions import UnknownPath, element, resolve_path


def test_it_is_r4_and_says_so() -> None:
    assert "4.0.1" in definitions.notice()
    assert "CC0" in definitions.notice()
    assert len(definitions.resource_types()) == 146
    # R4B, R5 and vendor content that repackagings of R4 have carried.
    assert not {"SubscriptionStatus", "Citation", "Ingredient", "Bot"} & definitions.types()
    assert element("Meta", "account") is None
    assert element("Binary", "url") is None
    assert element("DeviceDefinition", "bodySite") is None
    assert element("EvidenceVariable.characteristic", "definitionTriggerDefinition") is not None


@pytest.mark.parametrize(
    ("owner", "name", "types", "low", "high"),
    [
        ("Patient", "name", ("HumanName",), 0, None),
        ("Patient", "id", ("id",), 0, 1),
        ("Observation", "status", ("code",), 1, 1),
        ("Observation", "valueQuantity", ("Quantity",), 0, 1),
        ("Observation.component", "code", ("CodeableConcept",), 1, 1),
        ("Observation.component", "referenceRange", ("Observation.referenceRange",), 0, None),
        ("Observation.referenceRange", "low", ("SimpleQuantity",), 0, 1),
        ("Patient", "contact", ("Patient.contact",), 0, None),
        ("Coding", "userSelected", ("boolean",), 0, 1),
        ("Age", "comparator", ("code",), 0, 1),
        ("Timing.repeat", "boundsPeriod", ("Period",), 0, 1),
        ("Bundle.entry", "resource", ("Resource",), 0, 1),
        ("Patient.contact", "modifierExtension", ("Extension",), 0, None),
    ],
)
def test_elements(owner: str, name: str, types: tuple[str, ...], low: int, high: int | None) -> None:
    found = element(owner, name)
    assert found is not None
    assert (found.types, found.min, found.max) == (types, low, high)


def test_a_choice_answers_to_three_names() -> None:
    for name in ("value[x]", "value"):
        found = element("Observation", name)
        assert found is not None and found.choice and len(found.types) == 11
    quantity = element("Observation", "valueQuantity")
    assert quantity is not None and quantity.types == ("Quantity",)
    assert element("Observation", "valueDecimal") is None


def test_targets_and_bindings() -> None:
    subject = element("Observation", "subject")
    assert subject is not None and set(subject.targets) == {"Patient", "Group", "Device", "Location"}
    focus = element("Observation", "focus")
    assert focus is not None and focus.targets == ()
    gender = element("Patient", "gender")
    assert gender is not None and gender.binding is not None and gender.binding.strength == "required"
    assert definitions.codes(gender.binding.value_set) == {"male", "female", "other", "unknown"}
    assert "sex" not in gender.short.lower() or gender.short


def test_codes_come_with_system_and_display() -> None:
    systems = definitions.codes_by_system("http://hl7.org/fhir/ValueSet/condition-clinical")
    (codes,) = systems.values()
    assert set(codes) == {"active", "recurrence", "relapse", "inactive", "remission", "resolved"}
    assert codes["recurrence"] == "Recurrence"
    assert definitions.codes("http://hl7.org/fhir/ValueSet/administrative-gender|4.0.1")
    assert definitions.codes("http://hl7.org/fhir/ValueSet/mimetypes") == frozenset()
    assert {"s", "min", "h", "d", "wk", "mo", "a"} == definitions.codes(
        "http://hl7.org/fhir/ValueSet/units-of-time"
    )


def test_almost_every_required_binding_has_its_codes() -> None:
    missing = set()
    for kind in definitions.types():
        for e in definitions.elements(kind).values():
            if e.binding and e.binding.strength == "required" and not definitions.codes(e.binding.value_set):
                missing.add(e.binding.value_set.rsplit("/", 1)[-1])
    assert missing <= {"mimetypes", "currencies", "ucum-units", "LL379-9"}


@pytest.mark.parametrize(
    ("path", "kind", "in_list"),
    [
        ("Observation.valueQuantity.value", "decimal", False),
        ("Observation.value.unit", "string", False),
        ("Patient.birthDate.extension.valueString", "string", True),
        ("Patient._birthDate.extension.url", "uri", True),
        ("Observation.component.referenceRange.low.value", "decimal", True),
        ("Questionnaire.item.item.item.linkId", "string", True),
        ("Patient.contact.name.family", "string", True),
        ("Bundle.entry.resource.id", "id", True),
        ("Patient.meta.profile", "canonical", True),
        ("HumanName.given", "string", True),
    ],
)
def test_paths(path: str, kind: str, in_list: bool) -> None:
    found = resolve_path(path)
    assert (found.type, found.in_list) == (kind, in_list)


def test_repeats_is_of_the_last_step() -> None:
    assert resolve_path("Patient.name").repeats
    assert not resolve_path("Patient.name.family").repeats
    assert resolve_path("Observation.value").type == ""  # several types


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("Patient.nmae.family", "Did you mean `name`"),
        ("Pateint.name", "no type `Pateint`"),
        ("Observation.valueFoo", "no element `valueFoo`"),
        ("Patient.birthDate.value", "no element `value`"),
        ("Observation.value.system", ""),
        ("Patient", "needs an element"),
        ("Patient.name.", ""),
        ("", ""),
    ],
)
def test_a_wrong_path_says_why(path: str, words: str) -> None:
    if path == "Observation.value.system":
        assert resolve_path(path).type == "uri"  # of the types only Quantity has one
        return
    with pytest.raises(UnknownPath) as caught:
        resolve_path(path)
    assert words in str(caught.value)


def test_search_parameters() -> None:
    of_patient = definitions.search_parameters("Patient")
    assert of_patient["birthdate"].expression == "Patient.birthDate"
    assert of_patient["_lastUpdated"].type == "date"
    subject = definitions.search_parameters("Observation")["patient"]
    assert (subject.type, subject.targets) == (
        "reference",
        ("Group", "Patient"),
    ) or "Patient" in subject.targets
    assert "identifier" not in definitions.search_parameters("Provenance")


def test_every_type_name_is_defined() -> None:
    for kind in definitions.types():
        for e in definitions.elements(kind).values():
            for t in e.types:
                assert definitions.is_primitive(t) or definitions.elements(t), (kind, e.name, t)
