"""Synthetic resources for the FHIR tests: sound ones that are odd but legal, and sound ones with one thing
broken."""

from __future__ import annotations

from collections.abc import Callable
from decimal import Decimal
from typing import Any

Json = dict[str, Any]
UCUM = "http://unitsofmeasure.org"
LOINC = "http://loinc.org"
CS = "http://terminology.hl7.org/CodeSystem/"
UUID = "urn:uuid:0b7e6b3a-5d0c-4c1e-9d57-1a2b3c4d5e6f"
DIV = '<div xmlns="http://www.w3.org/1999/xhtml"><p>Potassium <b>normal</b></p></div>'


def observation(**more: Any) -> Json:
    """Make an ordinary laboratory result."""
    made: Json = {
        "resourceType": "Observation",
        "id": "k-1",
        "identifier": [{"system": "https://lab.example/results", "value": "A-1"}],
        "status": "final",
        "category": [{"coding": [{"system": CS + "observation-category", "code": "laboratory"}]}],
        "code": {
            "coding": [{"system": LOINC, "code": "2823-3", "display": "Potassium"}],
            "text": "Potassium",
        },
        "subject": {"reference": "Patient/p-1"},
        "effectiveDateTime": "2026-05-01T14:05:00-05:00",
        "valueQuantity": {"value": Decimal("4.10"), "unit": "mmol/L", "system": UCUM, "code": "mmol/L"},
        "interpretation": [{"coding": [{"system": CS + "v3-ObservationInterpretation", "code": "N"}]}],
        "referenceRange": [
            {"low": {"value": Decimal("3.5"), "unit": "mmol/L"}, "high": {"value": 5, "unit": "mmol/L"}}
        ],
    }
    made.update(more)
    return {k: v for k, v in made.items() if v is not ...}


def patient(**more: Any) -> Json:
    """Make an ordinary patient."""
    made: Json = {
        "resourceType": "Patient",
        "id": "p-1",
        "identifier": [
            {
                "use": "usual",
                "type": {"coding": [{"system": CS + "v2-0203", "code": "MR"}]},
                "system": "urn:oid:2.16.840.1.113883.19.5",
                "value": "100234",
            }
        ],
        "name": [{"use": "official", "family": "Testperson", "given": ["Anna", "B"]}],
        "telecom": [{"system": "phone", "value": "555 0100", "use": "home"}],
        "gender": "female",
        "birthDate": "1970-02-28",
        "address": [{"line": ["1 Sample Street"], "city": "Sampleton", "postalCode": "00000"}],
        "contact": [{"name": {"text": "Next of kin"}}],
    }
    made.update(more)
    return {k: v for k, v in made.items() if v is not ...}


def bundle(*entries: Json, **more: Any) -> Json:
    """Make a transaction of entries."""
    return {"resourceType": "Bundle", "type": "transaction", "entry": list(entries)} | more


def put(resource: Json) -> Json:
    """Make an entry that writes a resource at its id."""
    url = f"{resource['resourceType']}/{resource['id']}"
    return {"fullUrl": UUID, "resource": resource, "request": {"method": "PUT", "url": url}}


_ABSENT = {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
_RACE = {
    "url": "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race",
    "extension": [
        {
            "url": "ombCategory",
            "valueCoding": {"system": "urn:oid:2.16.840.1.113883.6.238", "code": "2106-3"},
        },
        {"url": "text", "valueString": "White"},
    ],
}

CONTROLS: list[tuple[str, Json]] = [
    ("ordinary result", observation()),
    ("ordinary patient", patient()),
    ("resource with only a type", {"resourceType": "Patient"}),
    ("status absent with a reason", observation(status=..., _status={"extension": [_ABSENT]})),
    ("primitive with value and extension", patient(_birthDate={"extension": [_ABSENT]})),
    ("birth date absent with a reason", patient(birthDate=..., _birthDate={"extension": [_ABSENT]})),
    ("birth year only", patient(birthDate="1970")),
    ("birth month only", patient(birthDate="1970-02")),
    ("29 February of a leap year", patient(birthDate="2024-02-29")),
    ("29 February 2000", patient(birthDate="2000-02-29")),
    (
        "a given name that is only an extension",
        patient(name=[{"given": ["Anna", None], "_given": [None, {"extension": [_ABSENT]}]}]),
    ),
    ("all given names absent", patient(name=[{"family": "T", "_given": [{"extension": [_ABSENT]}]}])),
    ("nested extension", patient(extension=[_RACE])),
    ("date and time in UTC with fractions", observation(effectiveDateTime="2026-05-01T19:05:00.250Z")),
    ("leap second", observation(effectiveDateTime="2016-12-31T23:59:60Z")),
    ("day only", observation(effectiveDateTime="2026-05-01")),
    ("half-hour zone", observation(effectiveDateTime="2026-05-01T14:05:00+05:30")),
    ("zero result", observation(valueQuantity={"value": 0})),
    ("negative decimal", observation(valueQuantity={"value": Decimal("-0.50")})),
    ("exponent", observation(valueQuantity={"value": Decimal("1.2E+3")})),
    ("float", observation(valueQuantity={"value": 4.1})),
    ("comparator", observation(valueQuantity={"value": 5, "comparator": "<"})),
    ("boolean false", observation(valueQuantity=..., valueBoolean=False)),
    (
        "text result with line breaks and tab",
        observation(valueQuantity=..., valueString="No growth\r\n\tafter 48 h"),
    ),
    ("letters beyond Latin", patient(name=[{"text": "Größe Ñandú 王小明 العربية"}])),
    ("non-breaking space inside", patient(name=[{"text": "a\u00a0b"}])),
    ("value only as an extension", observation(valueQuantity=..., _valueString={"extension": [_ABSENT]})),
    ("logical reference", observation(subject={"identifier": {"value": "100234"}, "type": "Patient"})),
    ("reference with display only", observation(subject={"display": "somebody"})),
    ("urn:uuid reference", observation(subject={"reference": UUID})),
    ("urn:oid reference", observation(subject={"reference": "urn:oid:1.2.3"})),
    ("absolute reference", observation(subject={"reference": "https://ehr.example/fhir/Patient/p-1"})),
    (
        "absolute reference of another shape",
        observation(subject={"reference": "https://ehr.example/people?x=1"}),
    ),
    ("versioned reference", observation(subject={"reference": "Patient/p-1/_history/3"})),
    ("conditional reference", observation(subject={"reference": "Patient?identifier=urn:oid:1.2%7C7"})),
    (
        "reference type as URL",
        observation(subject={"type": "http://hl7.org/fhir/StructureDefinition/Patient"}),
    ),
    (
        "contained resource",
        observation(
            contained=[{"resourceType": "Practitioner", "id": "doc", "name": [{"text": "Dr Sample"}]}],
            performer=[{"reference": "#doc"}],
        ),
    ),
    (
        "contained resource that points back",
        observation(
            contained=[
                {
                    "resourceType": "Provenance",
                    "id": "x",
                    "target": [{"reference": "#"}],
                    "recorded": "2026-05-01T14:05:00Z",
                    "agent": [{"who": {"display": "lab"}}],
                }
            ]
        ),
    ),
    ("code with an inner space", observation(valueQuantity={"value": 1, "system": UCUM, "code": "a b"})),
    ("empty string is no code of a list", observation(code={"text": "K"})),
    (
        "component without a value beside it",
        observation(valueQuantity=..., component=[{"code": {"text": "a"}, "valueInteger": 3}]),
    ),
    (
        "components of other codes beside a value",
        observation(component=[{"code": {"coding": [{"system": LOINC, "code": "1-8"}]}, "valueString": "x"}]),
    ),
    ("no value, a reason", observation(valueQuantity=..., dataAbsentReason={"text": "cancelled"})),
    ("narrative", observation(text={"status": "generated", "div": DIV})),
    (
        "period of one instant",
        observation(effectiveDateTime=..., effectivePeriod={"start": "2026", "end": "2026"}),
    ),
    (
        "period across a zone",
        observation(
            effectiveDateTime=...,
            effectivePeriod={"start": "2026-05-01T20:00:00-05:00", "end": "2026-05-02T01:30:00Z"},
        ),
    ),
    (
        "period of time and day",
        observation(
            effectiveDateTime=..., effectivePeriod={"start": "2026-05-02T01:00:00+10:00", "end": "2026-05-01"}
        ),
    ),
    (
        "timing",
        observation(
            effectiveDateTime=...,
            effectiveTiming={"repeat": {"frequency": 1, "period": 1, "periodUnit": "d"}},
        ),
    ),
    (
        "ratio",
        observation(valueQuantity=..., valueRatio={"numerator": {"value": 1}, "denominator": {"value": 8}}),
    ),
    ("time of day", observation(valueQuantity=..., valueTime="08:30:00")),
    (
        "sampled data",
        observation(
            valueQuantity=...,
            valueSampledData={"origin": {"value": 0}, "period": 10, "dimensions": 1, "data": "1 2 E U"},
        ),
    ),
    (
        "nested parts by content reference",
        {
            "resourceType": "Questionnaire",
            "status": "draft",
            "item": [{"linkId": "1", "type": "group", "item": [{"linkId": "1.1", "type": "string"}]}],
        },
    ),
    (
        "attachment with spaces in Base64",
        {
            "resourceType": "DocumentReference",
            "status": "current",
            "content": [{"attachment": {"contentType": "text/plain; charset=utf-8", "data": "SGVs\nbG8="}}],
        },
    ),
    (
        "transaction",
        bundle(
            put(patient()),
            {
                "fullUrl": "urn:uuid:aaaaaaaa-5d0c-4c1e-9d57-1a2b3c4d5e6f",
                "resource": observation(id=...),
                "request": {"method": "POST", "url": "Observation", "ifNoneExist": "identifier=a%7Cb"},
            },
        ),
    ),
    ("empty transaction", {"resourceType": "Bundle", "type": "transaction"}),
    (
        "same entry in history twice",
        {
            "resourceType": "Bundle",
            "type": "history",
            "total": 2,
            "entry": [
                put(patient()) | {"response": {"status": "200"}},
                put(patient()) | {"response": {"status": "201"}},
            ],
        },
    ),
    (
        "parameters",
        {
            "resourceType": "Parameters",
            "parameter": [
                {"name": "a", "valueInteger": 1},
                {"name": "b", "part": [{"name": "c", "resource": patient()}]},
            ],
        },
    ),
    (
        "allergy with a verified status",
        {
            "resourceType": "AllergyIntolerance",
            "patient": {"reference": "Patient/1"},
            "category": ["food"],
            "clinicalStatus": {"coding": [{"system": CS + "allergyintolerance-clinical", "code": "active"}]},
        },
    ),
    (
        "an error entered needs no clinical status",
        {
            "resourceType": "AllergyIntolerance",
            "patient": {"reference": "Patient/1"},
            "verificationStatus": {
                "coding": [{"system": CS + "allergyintolerance-verification", "code": "entered-in-error"}]
            },
        },
    ),
    (
        "a required concept whose coding is one of several",
        {
            "resourceType": "AllergyIntolerance",
            "patient": {"reference": "Patient/1"},
            "clinicalStatus": {
                "coding": [
                    {"system": "urn:x:local", "code": "A"},
                    {"system": CS + "allergyintolerance-clinical", "code": "active"},
                ]
            },
        },
    ),
    (
        "encounter",
        {
            "resourceType": "Encounter",
            "status": "in-progress",
            "class": {"system": CS + "v3-ActCode", "code": "IMP"},
            "subject": {"reference": UUID},
            "period": {"start": "2026-05-01T14:05:00-05:00"},
        },
    ),
    ("money", {"resourceType": "Account", "status": "active", "name": "x"}),
    ("element id", patient(name=[{"id": "n1", "family": "T"}])),
    (
        "meta",
        patient(
            meta={
                "versionId": "1",
                "lastUpdated": "2026-05-01T14:05:00.123Z",
                "profile": ["http://hl7.org/fhir/us/core/StructureDefinition/us-core-patient"],
                "tag": [{"system": "urn:x", "code": "a"}],
            }
        ),
    ),
]


def _set(*path: Any) -> Callable[[Json], None]:
    """Return a change that puts the last argument at a path; `...` as the last argument removes what is
    there."""

    def change(resource: Json) -> None:
        *way, last, value = path
        at: Any = resource
        for step in way:
            at = at[step]
        if value is ...:
            del at[last]
        else:
            at[last] = value

    return change


Q = "valueQuantity"
Defect = tuple[str, Callable[[], Json], Callable[[Json], None], str, str]

DEFECTS: list[Defect] = [
    # What the validators in the field were measured with: the first sixteen.
    ("bad required code", observation, _set("status", "done"), "Observation.status", "code"),
    ("bad gender", patient, _set("gender", "F"), "Patient.gender", "code"),
    (
        "month 13",
        observation,
        _set("effectiveDateTime", "2024-13-05"),
        "Observation.effectiveDateTime",
        "date",
    ),
    (
        "30 February",
        observation,
        _set("effectiveDateTime", "2023-02-30"),
        "Observation.effectiveDateTime",
        "date",
    ),
    (
        "time without zone",
        observation,
        _set("effectiveDateTime", "2026-05-01T14:05:00"),
        "Observation.effectiveDateTime",
        "date",
    ),
    ("missing status", observation, _set("status", ...), "Observation.status", "required"),
    ("missing code", observation, _set("code", ...), "Observation.code", "required"),
    ("unknown element", observation, _set("colour", "red"), "Observation.colour", "unknown"),
    (
        "unknown nested element",
        observation,
        _set(Q, "colour", "red"),
        "Observation.valueQuantity.colour",
        "unknown",
    ),
    (
        "reference to the wrong type",
        observation,
        _set("subject", "reference", "Practitioner/1"),
        "Observation.subject.reference",
        "reference-target",
    ),
    ("two values", observation, _set("valueString", "x"), "Observation.valueQuantity", "choice"),
    ("number as text", observation, _set(Q, "value", "4.1"), "Observation.valueQuantity.value", "type"),
    (
        "object where a list belongs",
        observation,
        _set("category", {"text": "x"}),
        "Observation.category",
        "cardinality",
    ),
    (
        "bad nested code",
        observation,
        _set(Q, "comparator", "=<"),
        "Observation.valueQuantity.comparator",
        "code",
    ),
    ("id with a space", observation, _set("id", "a b"), "Observation.id", "id"),
    ("empty text", observation, _set("code", "text", ""), "Observation.code.text", "empty"),
    # The twenty of the second comparison that are not above.
    ("31 February", patient, _set("birthDate", "1970-02-31"), "Patient.birthDate", "date"),
    ("list where one belongs", patient, _set("birthDate", ["1970"]), "Patient.birthDate", "cardinality"),
    ("list of objects where one belongs", observation, _set("code", [{}]), "Observation.code", "cardinality"),
    (
        "extension without url",
        patient,
        _set("extension", [{"valueString": "x"}]),
        "Patient.extension[0].url",
        "required",
    ),
    ("empty list", patient, _set("name", []), "Patient.name", "empty"),
    ("empty list of extensions", patient, _set("extension", []), "Patient.extension", "empty"),
    (
        "unknown resource type",
        patient,
        _set("resourceType", "Person2"),
        "Resource.resourceType",
        "resource-type",
    ),
    ("no resource type", patient, _set("resourceType", ...), "Resource.resourceType", "resource-type"),
    (
        "obs-7",
        observation,
        _set(
            "component", [{"code": {"coding": [{"system": LOINC, "code": "2823-3", "display": "Potassium"}]}}]
        ),
        "Observation",
        "obs-7",
    ),
    ("pat-1", patient, _set("contact", [{"gender": "male"}]), "Patient.contact[0]", "pat-1"),
    (
        "code with a leading space",
        observation,
        _set(Q, "code", " mmol"),
        "Observation.valueQuantity.code",
        "value",
    ),
    ("null", observation, _set("issued", None), "Observation.issued", "null"),
    (
        "infinite number",
        observation,
        _set(Q, "value", Decimal("Infinity")),
        "Observation.valueQuantity.value",
        "type",
    ),
    ("not a number", observation, _set(Q, "value", float("nan")), "Observation.valueQuantity.value", "type"),
    # More.
    ("29 February of a common year", patient, _set("birthDate", "2023-02-29"), "Patient.birthDate", "date"),
    ("29 February 1900", patient, _set("birthDate", "1900-02-29"), "Patient.birthDate", "date"),
    ("31 April", patient, _set("birthDate", "2023-04-31"), "Patient.birthDate", "date"),
    ("year 0", patient, _set("birthDate", "0000"), "Patient.birthDate", "date"),
    ("date of v2", patient, _set("birthDate", "19700228"), "Patient.birthDate", "date"),
    ("date with a time", patient, _set("birthDate", "1970-02-28T00:00:00Z"), "Patient.birthDate", "date"),
    (
        "time without seconds",
        observation,
        _set("effectiveDateTime", "2026-05-01T14:05Z"),
        "Observation.effectiveDateTime",
        "date",
    ),
    (
        "hour 24",
        observation,
        _set("effectiveDateTime", "2026-05-01T24:00:00Z"),
        "Observation.effectiveDateTime",
        "date",
    ),
    (
        "zone 15",
        observation,
        _set("effectiveDateTime", "2026-05-01T14:05:00+15:00"),
        "Observation.effectiveDateTime",
        "date",
    ),
    ("instant without time", observation, _set("issued", "2026-05-01"), "Observation.issued", "date"),
    ("digits of another script", patient, _set("birthDate", "١٩٧٠"), "Patient.birthDate", "date"),
    ("newline after a date", patient, _set("birthDate", "1970\n"), "Patient.birthDate", "date"),
    ("true as a number", observation, _set(Q, "value", True), "Observation.valueQuantity.value", "type"),
    ("number as a boolean", patient, _set("active", 1), "Patient.active", "type"),
    ("text as a boolean", patient, _set("active", "true"), "Patient.active", "type"),
    (
        "number as text value",
        patient,
        _set("identifier", 0, "value", 100234),
        "Patient.identifier[0].value",
        "value",
    ),
    ("object as text", patient, _set("name", 0, "family", {"a": 1}), "Patient.name[0].family", "type"),
    ("only spaces", patient, _set("name", 0, "family", "  "), "Patient.name[0].family", "value"),
    ("only a line break", patient, _set("name", 0, "family", "\n"), "Patient.name[0].family", "value"),
    ("control character", patient, _set("name", 0, "family", "a\x0bb"), "Patient.name[0].family", "value"),
    ("half a character", patient, _set("name", 0, "family", "\ud83d"), "Patient.name[0].family", "value"),
    ("NUL", patient, _set("name", 0, "family", "a\x00"), "Patient.name[0].family", "value"),
    (
        "blank entry in a list of text",
        patient,
        _set("name", 0, "given", ["Anna", ""]),
        "Patient.name[0].given[1]",
        "empty",
    ),
    ("null in a list", patient, _set("name", 0, "given", ["Anna", None]), "Patient.name[0].given[1]", "null"),
    ("null in a list of objects", patient, _set("name", [None]), "Patient.name[0]", "null"),
    ("empty object", observation, _set("code", {}), "Observation.code", "empty"),
    ("object with an id alone", observation, _set("code", {"id": "a"}), "Observation.code", "ele-1"),
    ("empty companion", patient, _set("_birthDate", {}), "Patient._birthDate", "empty"),
    ("companion of nothing known", patient, _set("_birthday", {"id": "a"}), "Patient._birthday", "unknown"),
    ("companion of an object", patient, _set("_name", [{"id": "a"}]), "Patient._name", "unknown"),
    (
        "companion with a value",
        patient,
        _set("_birthDate", {"value": "1970"}),
        "Patient._birthDate.value",
        "unknown",
    ),
    (
        "companion list of another length",
        patient,
        _set("name", 0, "_given", [{"id": "a"}]),
        "Patient.name[0]._given",
        "cardinality",
    ),
    (
        "companion of nulls",
        patient,
        _set("name", 0, "_given", [None, None]),
        "Patient.name[0]._given",
        "empty",
    ),
    (
        "value and extension in another choice",
        observation,
        _set("_valueString", {"id": "a"}),
        "Observation.valueQuantity",
        "choice",
    ),
    ("choice without its type", observation, _set("value", 4), "Observation.value", "unknown"),
    (
        "choice of a type not allowed",
        observation,
        _set("valueDecimal", 4),
        "Observation.valueDecimal",
        "unknown",
    ),
    (
        "extension with value and extensions",
        patient,
        _set(
            "extension", [{"url": "urn:x", "valueString": "a", "extension": [{"url": "b", "valueCode": "c"}]}]
        ),
        "Patient.extension[0]",
        "ext-1",
    ),
    (
        "extension with neither",
        patient,
        _set("extension", [{"url": "urn:x"}]),
        "Patient.extension[0]",
        "ext-1",
    ),
    (
        "extension with two values",
        patient,
        _set("extension", [{"url": "urn:x", "valueString": "a", "valueCode": "b"}]),
        "Patient.extension[0].valueCode",
        "choice",
    ),
    (
        "extension with a wrong value",
        patient,
        _set("extension", [{"url": "urn:x", "valueDate": "2023-02-30"}]),
        "Patient.extension[0].valueDate",
        "date",
    ),
    (
        "extension of an unknown type",
        patient,
        _set("extension", [{"url": "urn:x", "valueWord": "a"}]),
        "Patient.extension[0].valueWord",
        "unknown",
    ),
    (
        "extension as an object",
        patient,
        _set("extension", {"url": "urn:x"}),
        "Patient.extension",
        "cardinality",
    ),
    (
        "modifierExtension of a datatype",
        observation,
        _set("code", "modifierExtension", [{"url": "urn:x", "valueCode": "a"}]),
        "Observation.code.modifierExtension",
        "unknown",
    ),
    (
        "reference to no type",
        observation,
        _set("subject", "reference", "12345"),
        "Observation.subject.reference",
        "reference",
    ),
    (
        "reference to an unknown type",
        observation,
        _set("subject", "reference", "Patients/1"),
        "Observation.subject.reference",
        "reference",
    ),
    (
        "reference with a bad id",
        observation,
        _set("subject", "reference", "Patient/a_b"),
        "Observation.subject.reference",
        "reference",
    ),
    (
        "upper-case UUID",
        observation,
        _set("subject", "reference", UUID.upper().replace("URN:UUID", "urn:uuid")),
        "Observation.subject.reference",
        "reference",
    ),
    (
        "not a UUID",
        observation,
        _set("subject", "reference", "urn:uuid:patient-1"),
        "Observation.subject.reference",
        "reference",
    ),
    (
        "absolute reference to the wrong type",
        observation,
        _set("subject", "reference", "https://ehr.example/fhir/Organization/1"),
        "Observation.subject.reference",
        "reference-target",
    ),
    (
        "reference type that does not fit",
        observation,
        _set("subject", "type", "Organization"),
        "Observation.subject.type",
        "reference-target",
    ),
    (
        "reference type against reference",
        observation,
        _set("subject", "type", "Group"),
        "Observation.subject.type",
        "reference",
    ),
    ("reference as text", observation, _set("subject", "Patient/p-1"), "Observation.subject", "type"),
    (
        "reference to nothing contained",
        observation,
        _set("subject", "reference", "#pat"),
        "Observation.subject.reference",
        "ref-1",
    ),
    (
        "contained but not referred to",
        observation,
        _set("contained", [{"resourceType": "Patient", "id": "x"}]),
        "Observation.contained[0]",
        "dom-3",
    ),
    (
        "contained with a defect",
        observation,
        _set("contained", [{"resourceType": "Patient", "id": "x", "gender": "F"}]),
        "Observation.contained[0].gender",
        "code",
    ),
    (
        "contained in contained",
        observation,
        _set(
            "contained",
            [{"resourceType": "Patient", "id": "x", "contained": [{"resourceType": "Patient", "id": "y"}]}],
        ),
        "Observation.contained[0].contained",
        "dom-2",
    ),
    (
        "contained with a version",
        observation,
        _set("contained", [{"resourceType": "Patient", "id": "x", "meta": {"versionId": "1"}}]),
        "Observation.contained[0].meta",
        "dom-4",
    ),
    (
        "contained with a label",
        observation,
        _set("contained", [{"resourceType": "Patient", "id": "x", "meta": {"security": [{"code": "R"}]}}]),
        "Observation.contained[0].meta.security",
        "dom-5",
    ),
    (
        "contained without id",
        observation,
        _set("contained", [{"resourceType": "Patient"}]),
        "Observation.contained[0].id",
        "required",
    ),
    ("value and reason", observation, _set("dataAbsentReason", {"text": "x"}), "Observation", "obs-6"),
    (
        "range of nothing",
        observation,
        _set("referenceRange", [{"age": {"low": {"value": 1}}}]),
        "Observation.referenceRange[0]",
        "obs-3",
    ),
    (
        "range bound with a comparator",
        observation,
        _set("referenceRange", 0, "low", "comparator", "<"),
        "Observation.referenceRange[0].low.comparator",
        "unknown",
    ),
    ("unit code without system", observation, _set(Q, "system", ...), "Observation.valueQuantity", "qty-3"),
    ("telecom without system", patient, _set("telecom", 0, "system", ...), "Patient.telecom[0]", "cpt-2"),
    (
        "period backwards",
        patient,
        _set("name", 0, "period", {"start": "2026-05-02", "end": "2026-05-01"}),
        "Patient.name[0].period",
        "per-1",
    ),
    (
        "period backwards in UTC",
        patient,
        _set("name", 0, "period", {"start": "2026-05-01T20:00:00-05:00", "end": "2026-05-02T00:59:59Z"}),
        "Patient.name[0].period",
        "per-1",
    ),
    (
        "period backwards by months",
        patient,
        _set("name", 0, "period", {"start": "2026-06", "end": "2026-05-01"}),
        "Patient.name[0].period",
        "per-1",
    ),
    (
        "system with a space",
        patient,
        _set("identifier", 0, "system", "urn: x"),
        "Patient.identifier[0].system",
        "value",
    ),
    (
        "missing nested required",
        patient,
        _set("communication", [{"preferred": True}]),
        "Patient.communication[0].language",
        "required",
    ),
    (
        "missing required object in a list",
        patient,
        _set("link", [{"type": "refer"}]),
        "Patient.link[0].other",
        "required",
    ),
    (
        "narrative with a script",
        patient,
        _set("text", {"status": "generated", "div": DIV.replace("p>", "script>")}),
        "Patient.text.div",
        "xhtml",
    ),
    (
        "narrative with an event",
        patient,
        _set("text", {"status": "generated", "div": DIV.replace("<p>", '<p onclick="x()">')}),
        "Patient.text.div",
        "xhtml",
    ),
    (
        "narrative that is no XML",
        patient,
        _set("text", {"status": "generated", "div": "<div>"}),
        "Patient.text.div",
        "xhtml",
    ),
    (
        "narrative without its namespace",
        patient,
        _set("text", {"status": "generated", "div": "<div>a</div>"}),
        "Patient.text.div",
        "xhtml",
    ),
    (
        "narrative with an entity",
        patient,
        _set("text", {"status": "generated", "div": '<!DOCTYPE div [<!ENTITY a "b">]>' + DIV}),
        "Patient.text.div",
        "xhtml",
    ),
    (
        "narrative with a script link",
        patient,
        _set("text", {"status": "generated", "div": DIV.replace("<b>", '<b><a href="javascript:x()">y</a>')}),
        "Patient.text.div",
        "xhtml",
    ),
    (
        "blank narrative",
        patient,
        _set("text", {"status": "generated", "div": '<div xmlns="http://www.w3.org/1999/xhtml"> </div>'}),
        "Patient.text.div",
        "xhtml",
    ),
    (
        "integer too large",
        patient,
        _set("multipleBirthInteger", 2**31),
        "Patient.multipleBirthInteger",
        "type",
    ),
    (
        "integer with a fraction",
        patient,
        _set("multipleBirthInteger", Decimal("1.0")),
        "Patient.multipleBirthInteger",
        "type",
    ),
    ("positive integer 0", patient, _set("telecom", 0, "rank", 0), "Patient.telecom[0].rank", "type"),
    (
        "Base64 that is none",
        patient,
        _set("photo", [{"contentType": "image/png", "data": "a*b="}]),
        "Patient.photo[0].data",
        "value",
    ),
    ("photo without its type", patient, _set("photo", [{"data": "YWJj"}]), "Patient.photo[0]", "att-1"),
    (
        "MIME type that is none",
        patient,
        _set("photo", [{"contentType": "PDF", "data": "YWJj"}]),
        "Patient.photo[0].contentType",
        "code",
    ),
]


def _transaction() -> Json:
    return bundle(put(patient()))


def _allergy() -> Json:
    return {
        "resourceType": "AllergyIntolerance",
        "patient": {"reference": "Patient/1"},
        "clinicalStatus": {"coding": [{"system": CS + "allergyintolerance-clinical", "code": "active"}]},
    }


DEFECTS += [
    (
        "defect inside a bundle",
        _transaction,
        _set("entry", 0, "resource", "gender", "F"),
        "Bundle.entry[0].resource.gender",
        "code",
    ),
    ("entry without request", _transaction, _set("entry", 0, "request", ...), "Bundle", "bdl-3"),
    ("request in a collection", _transaction, _set("type", "collection"), "Bundle", "bdl-3"),
    ("total in a transaction", _transaction, _set("total", 1), "Bundle", "bdl-1"),
    (
        "two entries with one fullUrl",
        _transaction,
        lambda b: b["entry"].append(put(observation())),
        "Bundle",
        "bdl-7",
    ),
    (
        "entry of nothing",
        lambda: bundle({"fullUrl": UUID}, type="collection"),
        lambda b: None,
        "Bundle.entry[0]",
        "bdl-5",
    ),
    (
        "method that does not exist",
        _transaction,
        _set("entry", 0, "request", "method", "UPSERT"),
        "Bundle.entry[0].request.method",
        "code",
    ),
    (
        "required concept with a local code alone",
        _allergy,
        _set("clinicalStatus", {"coding": [{"system": "urn:x", "code": "active"}]}),
        "AllergyIntolerance.clinicalStatus",
        "code",
    ),
    (
        "required concept with text alone",
        _allergy,
        _set("clinicalStatus", {"text": "active"}),
        "AllergyIntolerance.clinicalStatus",
        "code",
    ),
    (
        "required code in a list",
        _allergy,
        _set("category", ["food", "drink"]),
        "AllergyIntolerance.category[1]",
        "code",
    ),
    ("allergy without clinical status", _allergy, _set("clinicalStatus", ...), "AllergyIntolerance", "ait-1"),
    (
        "ratio of half",
        lambda: observation(valueQuantity=..., valueRatio={"numerator": {"value": 1}}),
        lambda o: None,
        "Observation.valueRatio",
        "rat-1",
    ),
    (
        "range upside down",
        lambda: observation(
            valueQuantity=..., valueRange={"low": {"value": 2}, "high": {"value": Decimal("1.9")}}
        ),
        lambda o: None,
        "Observation.valueRange",
        "rng-2",
    ),
    (
        "home telecom of an organization",
        lambda: {
            "resourceType": "Organization",
            "name": "x",
            "telecom": [{"system": "phone", "value": "1", "use": "home"}],
        },
        lambda o: None,
        "Organization",
        "org-3",
    ),
    (
        "organization without name",
        lambda: {"resourceType": "Organization", "active": True},
        lambda o: None,
        "Organization",
        "org-1",
    ),
    (
        "required choice missing",
        lambda: {
            "resourceType": "MedicationStatement",
            "status": "active",
            "subject": {"reference": "Patient/1"},
        },
        lambda o: None,
        "MedicationStatement.medication",
        "required",
    ),
    (
        "wrong currency",
        lambda: {"resourceType": "Invoice", "status": "draft", "totalNet": {"value": 1, "currency": "$"}},
        lambda o: None,
        "Invoice.totalNet.currency",
        "code",
    ),
    ("not an object", lambda: [], lambda o: None, "Resource", "cardinality"),  # type: ignore[list-item]
]


def _same(resource: Json) -> Callable[[], Json]:
    return lambda: resource


def _nothing(resource: Json) -> None:
    """Leave a resource that is wrong as it is."""


_MEMBER = {"entity": {"reference": "Patient/1"}}
_EVIDENCE = {"extension": [{"url": "urn:x", "valueCode": "a"}]}

DEFECTS += [
    (
        "fullUrl with a version",
        lambda: bundle(put(patient())),
        _set("entry", 0, "fullUrl", "https://ehr.example/Patient/p-1/_history/2"),
        "Bundle.entry[0]",
        "bdl-8",
    ),
    (
        "member of a group that is none",
        _same({"resourceType": "Group", "type": "person", "actual": False, "member": [_MEMBER]}),
        _nothing,
        "Group",
        "grp-1",
    ),
    (
        "evidence of nothing",
        _same({"resourceType": "Condition", "subject": {"reference": UUID}, "evidence": [_EVIDENCE]}),
        _nothing,
        "Condition.evidence[0]",
        "con-2",
    ),
    (
        "age without code",
        _same({"resourceType": "Condition", "subject": {"reference": UUID}, "onsetAge": {"value": 3}}),
        _nothing,
        "Condition.onsetAge",
        "age-1",
    ),
    (
        "ended but active",
        _same({"resourceType": "Condition", "subject": {"reference": UUID}, "abatementDateTime": "2026"}),
        _nothing,
        "Condition",
        "con-4",
    ),
    (
        "appointment with a start alone",
        _same(
            {
                "resourceType": "Appointment",
                "status": "booked",
                "start": "2026-05-01T14:05:00Z",
                "participant": [{"actor": {"reference": UUID}, "status": "accepted"}],
            }
        ),
        _nothing,
        "Appointment",
        "app-2",
    ),
    (
        "repeat with a period and no unit",
        lambda: observation(effectiveDateTime=..., effectiveTiming={"repeat": {"period": 1}}),
        _nothing,
        "Observation.effectiveTiming.repeat",
        "tim-2",
    ),
    (
        "output of a task without value",
        _same(
            {
                "resourceType": "Task",
                "status": "draft",
                "intent": "order",
                "output": [{"type": {"text": "a"}}],
            }
        ),
        _nothing,
        "Task.output[0].value",
        "required",
    ),
    (
        "parameter of two kinds",
        _same(
            {
                "resourceType": "Parameters",
                "parameter": [{"name": "a", "valueInteger": 1, "part": [{"name": "b"}]}],
            }
        ),
        _nothing,
        "Parameters.parameter[0].part[0]",
        "inv-1",
    ),
]
