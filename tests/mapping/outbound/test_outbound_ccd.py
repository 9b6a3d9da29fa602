"""A patient's resources as a C-CDA document, and back."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest
from lxml import etree
from outbound_maker import ROOT, project, resource, sample

from engine.formats.cda.document import parse
from engine.mapping.convert import trace_arrived
from engine.mapping.outbound.write import Refused, write_ccd
from engine.mapping.project import Maps
from engine.mapping.treearrived import cda_arrived

GIVEN = {
    "root": "2.999.1.2.3",
    "document": "D-1",
    "now": "2026-11-21T14:00:00+01:00",
    "organization": "Northbay Clinic",
    "software": "hub",
}
NS = {"h": "urn:hl7-org:v3", "xsi": "http://www.w3.org/2001/XMLSchema-instance"}


def ccd(change=None, given=GIVEN):
    bundle = copy.deepcopy(sample("patient"))
    if change is not None:
        change(bundle)
    data, report = write_ccd(project(), bundle, given)
    return etree.fromstring(data), report, data


def section(root, code):
    return root.xpath(f"//h:section[h:code/@code='{code}']", namespaces=NS)[0]


def test_the_document_is_what_our_reader_calls_a_ccd():
    _, report, data = ccd()
    document = parse(data)
    assert document.guide == "C-CDA R2.1"
    assert document.id.extension == "D-1"
    assert report.flags == [] and report.not_written == []


def test_every_section_has_a_table_and_each_entry_points_to_its_row():
    root, _, _ = ccd()
    assert len(root.xpath("//h:section", namespaces=NS)) == 9
    ids = set(root.xpath("//@ID"))
    pointed = root.xpath("//h:entry//h:text/h:reference/@value", namespaces=NS)
    assert len(pointed) > 15 and {p[1:] for p in pointed} <= ids


def test_what_is_denied_stays_denied():
    root, _, _ = ccd()
    denied = root.xpath("//*[@negationInd='true']", namespaces=NS)
    words = {
        e.xpath(
            "string((.//h:value | .//h:manufacturedMaterial/h:code | h:code)[last()]/@displayName)",
            namespaces=NS,
        )
        for e in denied
    }
    assert {"Stroke", "zoster recombinant", "Colonoscopy", "aspirin 81 MG Oral Tablet"} <= words
    latex = root.xpath(
        "//h:playingEntity/h:code[@displayName='Latex']/ancestor::h:observation", namespaces=NS
    )[0]
    assert latex.get("negationInd") == "true"
    given = root.xpath(
        "//h:code[@displayName='influenza, injectable, quadrivalent']/ancestor::h:substanceAdministration",
        namespaces=NS,
    )
    assert given[0].get("negationInd") == "false"


def test_no_known_allergy_is_never_an_allergy():
    def none(bundle):
        allergy = resource(bundle, "AllergyIntolerance/penicillin")
        allergy["code"] = {
            "coding": [
                {"system": "http://snomed.info/sct", "code": "716186003", "display": "No known allergy"}
            ]
        }
        allergy.pop("reaction")

    root, _, _ = ccd(none)
    found = root.xpath("//h:observation[h:value/@code='419199007'][@negationInd='true']", namespaces=NS)
    absent = [o.xpath("h:participant//h:code/@nullFlavor", namespaces=NS) for o in found]
    assert absent.count(["NA"]) == 1


def test_a_reason_for_no_value_is_its_null_flavor():
    root, _, _ = ccd()
    culture = root.xpath("//h:observation[h:code/@code='630-4']", namespaces=NS)[0]
    assert culture.xpath("h:value/@nullFlavor", namespaces=NS) == ["NASK"]


def test_a_code_without_an_oid_is_words_and_no_code():
    def local(bundle):
        condition = resource(bundle, "Condition/pneumonia")
        condition["code"] = {
            "coding": [{"system": "http://example.org/codes", "code": "P1", "display": "Pneumonia, local"}]
        }

    root, report, _ = ccd(local)
    value = root.xpath("//h:value[h:originalText='Pneumonia, local']", namespaces=NS)[0]
    assert value.get("nullFlavor") == "OTH" and value.get("code") is None
    assert "Condition/pneumonia.code.coding[0].code" in report.not_written


def test_a_section_without_entries_says_so():
    def healthy(bundle):
        bundle["entry"] = [
            e for e in bundle["entry"] if e["resource"]["resourceType"] != "AllergyIntolerance"
        ]

    root, _, _ = ccd(healthy)
    allergies = section(root, "48765-2")
    assert allergies.get("nullFlavor") == "NI"
    assert allergies.xpath("h:entry", namespaces=NS) == []
    assert allergies.xpath("string(h:text/h:paragraph)", namespaces=NS) == "No information"


def test_what_was_entered_in_error_is_not_passed_on():
    def wrong(bundle):
        for name, element in (("Condition/diabetes", "verificationStatus"), ("Observation/weight", "status")):
            value: Any = "entered-in-error"
            if element == "verificationStatus":
                value = {"coding": [{"code": value}]}
            resource(bundle, name)[element] = value

    root, _, _ = ccd(wrong)
    assert root.xpath("//h:section[h:code/@code='11450-4']//h:value[@code='44054006']", namespaces=NS) == []
    assert root.xpath("//h:code[@code='29463-7']", namespaces=NS) == []


@pytest.mark.parametrize(
    "change",
    [
        lambda b: b["entry"].append({"resource": {"resourceType": "Patient", "id": "other"}}),
        lambda b: resource(b, "Condition/stroke").update(subject={"reference": "Patient/other"}),
        lambda b: b["entry"].remove(
            next(e for e in b["entry"] if e["resource"]["resourceType"] == "Patient")
        ),
    ],
)
def test_two_patients_never_share_a_document(change):
    with pytest.raises(Refused):
        ccd(change)


def test_a_document_without_its_number_is_refused():
    with pytest.raises(Refused) as refused:
        ccd(given={**GIVEN, "root": ""})
    assert "id/@root has no value" in refused.value.reasons


def leaves(value: Any, path: str) -> Iterator[tuple[str, str]]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "reference":
                yield f"{path}.reference", "*"
            elif name not in ("resourceType", "id", "meta", "fullUrl"):
                yield from leaves(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for inner in value:
            yield from leaves(inner, path)
    else:
        yield path, str(value)


def test_back_again_most_of_it_is_the_same():
    maps = Maps.open(ROOT).of("cda")
    _, _, data = ccd()
    back = trace_arrived(cda_arrived(parse(data)), maps, "standard", "k")
    have: Counter[tuple[str, str]] = Counter()
    for draft in back.built.drafts:
        have.update(leaves(draft.body, draft.type))
    asked = [
        leaf
        for e in sample("patient")["entry"]
        for leaf in leaves(e["resource"], e["resource"]["resourceType"])
    ]
    found = 0
    for leaf in asked:
        if have[leaf] > 0:
            have[leaf] -= 1
            found += 1
    assert found / len(asked) > 0.9


def certainty(code):
    return {
        "coding": [{"system": "http://terminology.hl7.org/CodeSystem/condition-ver-status", "code": code}]
    }


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (
            lambda b: resource(b, "Condition/pneumonia").update(verificationStatus=certainty("differential")),
            "233604007",
        ),
        (lambda b: resource(b, "MedicationRequest/metformin").update(status="draft"), "860975"),
        (lambda b: resource(b, "Procedure/appendix").update(status="preparation"), "80146002"),
        (lambda b: resource(b, "Encounter/visit").update(status="planned"), "99213"),
    ],
)
def test_what_has_not_happened_or_is_only_suspected_is_told_in_words_alone(change, code):
    before, _, _ = ccd()
    assert before.xpath(f"//h:entry//*[@code='{code}']", namespaces=NS)
    root, _, _ = ccd(change)
    assert root.xpath(f"//h:entry//*[@code='{code}']", namespaces=NS) == []
    rows = len(before.xpath("//h:tbody/h:tr", namespaces=NS))
    assert len(root.xpath("//h:tbody/h:tr", namespaces=NS)) == rows


def test_a_refuted_diagnosis_of_a_visit_is_not_told_as_one():
    def refuted(bundle):
        resource(bundle, "Condition/diabetes")["verificationStatus"] = certainty("refuted")

    root, _, _ = ccd(refuted)
    told = root.xpath("//h:observation[h:value/@code='44054006']/@negationInd", namespaces=NS)
    assert told == ["true", "true"]


def test_components_of_a_result_are_results():
    def parts(bundle):
        result = resource(bundle, "Observation/hba1c")
        part = {
            "code": {"coding": [{"system": "http://loinc.org", "code": "59261-8"}]},
            "valueQuantity": {"value": 54},
        }
        result["component"] = [part]

    root, _, _ = ccd(parts)
    found = root.xpath("//h:organizer/h:component/h:observation[h:code/@code='59261-8']", namespaces=NS)
    assert found[0].xpath("string(h:value/@value)", namespaces=NS) == "54"


@pytest.mark.parametrize(
    ("sent", "written"),
    [
        ("20260901081500", "20260901081500"),
        ("202609010815", "202609010815"),
        ("20260902081500", "20260901"),
        ("morning", "20260901"),
    ],
)
def test_a_time_without_a_zone_goes_out_as_it_was_sent(sent, written):
    def local(bundle):
        url = "http://hl7.org/fhir/StructureDefinition/originalText"
        resource(bundle, "Observation/weight").update(
            effectiveDateTime="2026-09-01",
            _effectiveDateTime={"extension": [{"url": url, "valueString": sent}]},
        )

    root, _, _ = ccd(local)
    weight = root.xpath("//h:observation[h:code/@code='29463-7']", namespaces=NS)[0]
    assert weight.xpath("string(h:effectiveTime/@value)", namespaces=NS) == written


def test_a_diagnosis_of_a_visit_alone_points_nowhere_and_is_in_the_words_of_the_visit():
    def visit(bundle):
        codes = resource(bundle, "Condition/diabetes")["category"][0]["coding"][0]
        codes["code"] = "encounter-diagnosis"

    root, _, _ = ccd(visit)
    ids = set(root.xpath("//@ID"))
    assert {p[1:] for p in root.xpath("//h:entry//h:text/h:reference/@value", namespaces=NS)} <= ids
    assert root.xpath("//h:encounter//h:value/@code", namespaces=NS) == ["44054006", "55561003"]
    told = root.xpath("//h:tr[@ID='Encounter-visit']/h:td/text()", namespaces=NS)
    assert "Diabetes" in told


def _first_order(bundle, **change):
    order = next(each for each in bundle["entry"] if each["resource"]["resourceType"] == "MedicationRequest")
    order["resource"].update(change)
    return order["resource"]["id"]


def test_what_must_not_be_given_does_not_read_as_a_medication():
    found = {}
    root, _, _ = ccd(lambda bundle: found.update(id=_first_order(bundle, doNotPerform=True, status="active")))
    row = root.xpath(f"//h:tr[@ID='MedicationRequest-{found['id']}']", namespaces=NS)[0]
    assert "do not give, active" in ["".join(cell.itertext()) for cell in row]


@pytest.mark.parametrize(
    ("dosage", "words", "code"),
    [
        ({"asNeededBoolean": True}, "as needed", ""),
        (
            {
                "asNeededCodeableConcept": {
                    "coding": [{"system": "http://snomed.info/sct", "code": "56018004"}]
                }
            },
            "",
            "56018004",
        ),
        ({"asNeededBoolean": False}, None, None),
        ({}, None, None),
    ],
)
def test_what_is_taken_as_needed_goes_out_as_needed(dosage, words, code):
    found = {}
    root, _, _ = ccd(
        lambda bundle: found.update(id=_first_order(bundle, dosageInstruction=[{"text": "one", **dosage}]))
    )
    mark = f"//h:substanceAdministration[h:text/h:reference/@value='#MedicationRequest-{found['id']}']"
    needed = root.xpath(f"{mark}/h:precondition", namespaces=NS)
    assert [
        (
            one.xpath("string(h:criterion/h:text)", namespaces=NS),
            one.xpath("string(h:criterion/h:value/@code)", namespaces=NS),
        )
        for one in needed
    ] == ([] if words is None else [(words, code)])


def test_every_direction_of_a_dose_that_changes_is_told():
    found = {}
    steps = [{"text": "10 mg for 5 days"}, {"text": "then 5 mg"}]
    root, _, _ = ccd(lambda bundle: found.update(id=_first_order(bundle, dosageInstruction=steps)))
    row = root.xpath(f"//h:tr[@ID='MedicationRequest-{found['id']}']", namespaces=NS)[0]
    assert row[1].text == "10 mg for 5 days; then 5 mg" and len(row) == 4
    mark = f"//h:substanceAdministration[h:text/h:reference/@value='#MedicationRequest-{found['id']}']"
    assert root.xpath(f"{mark}//h:substanceAdministration/h:text", namespaces=NS)[0].text == row[1].text


@pytest.mark.parametrize(
    ("repeat", "period"),
    [
        ({"frequency": 1, "period": 4, "periodMax": 6, "periodUnit": "h"}, ["4", "6"]),
        ({"frequency": 1, "frequencyMax": 2, "period": 1, "periodUnit": "d"}, None),
        ({"frequency": 2, "period": 1, "periodMax": 2, "periodUnit": "d"}, None),
    ],
)
def test_a_range_of_times_is_never_narrowed(repeat, period):
    found = {}
    dosage = [{"text": "as it says", "timing": {"repeat": repeat}}]
    root, _, _ = ccd(lambda bundle: found.update(id=_first_order(bundle, dosageInstruction=dosage)))
    mark = f"//h:substanceAdministration[h:text/h:reference/@value='#MedicationRequest-{found['id']}']"
    times = root.xpath(f"{mark}/h:effectiveTime[@xsi:type='PIVL_TS']", namespaces=NS)
    assert [t.xpath("h:period/*/@value", namespaces=NS) for t in times] == (
        [] if period is None else [period]
    )
