"""SCRIPT samples through the real maps, in both shapes: what would harm if wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import fhirkit
import pytest
from fhir.resources.R4B import get_fhir_model_class

from engine.fhir import jsonio
from engine.fhir.bundle import transaction, unresolved
from engine.fhir.validate import validate
from engine.formats.ncpdp.message import parse
from engine.mapping.build import Built
from engine.mapping.convert import Conversion, map_arrived, trace_arrived, unkeyed
from engine.mapping.from_ncpdp import mark_known
from engine.mapping.project import Maps
from engine.mapping.treearrived import script_arrived

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_messages" / "ncpdp"
NAMES = sorted(p.stem for p in (SAMPLES / "elements").glob("*.xml"))
SHAPES = ("elements", "attributes")
NOWHERE = {
    "CardHolderName/LastName",
    "CardHolderName/FirstName",
    "Allergies/SourceOfInformation",
    "SeverityCoded/Text",
    "FrequencyUnits/Text",
    "IntervalUnits/Text",
    "IndicationPrecursor/Code",
    "MedicationDispensed/WrittenDate",
    "MedicationRequested/WrittenDate",
    "OtherMedicationDate/OtherMedicationDate",
}
"""All that the samples say and FHIR R4 has no place for; a report names each by its XPath."""
Json = dict[str, Any]


@cache
def script_maps() -> Maps:
    return Maps.open(ROOT).of("ncpdp")


def text(name: str, shape: str = "elements", changes: Mapping[str, str] | None = None) -> bytes:
    data = (SAMPLES / shape / f"{name}.xml").read_text()
    for old, new in (changes or {}).items():
        assert old in data, old
        data = data.replace(old, new)
    return data.encode()


def traced(data: bytes) -> Conversion:
    return trace_arrived(script_arrived(parse(data)), script_maps(), "standard", "entry")


def fast(data: bytes) -> Built:
    program = script_maps().program("standard")
    return map_arrived(script_arrived(parse(data)), program, unkeyed, "entry")


def resources(data: bytes) -> dict[str, list[Json]]:
    """The resources of a message by type, as JSON has them."""
    out: dict[str, list[Json]] = {}
    for draft in fast(data).drafts:
        body = json.loads(jsonio.dumps(draft.body))
        out.setdefault(draft.type, []).append({**body, "_line": draft.name, "_id": draft.id})
    return out


def one(found: dict[str, list[Json]], kind: str, line: str = "") -> Json:
    (body,) = [b for b in found[kind] if not line or b["_line"] == line]
    return body


def drug(request: Json) -> Json:
    (inner,) = [
        c for c in request["contained"] if f"#{c['id']}" == request["medicationReference"]["reference"]
    ]
    return dict(inner)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("name", NAMES)
def test_every_transaction_is_mapped_whole_and_valid(name: str, shape: str) -> None:
    data = text(name, shape)
    done, built = traced(data), fast(data)
    assert [d.body for d in done.built.drafts] == [d.body for d in built.drafts] != []
    assert done.built.held is None
    ids = {f"urn:uuid:{d.id}" for d in built.drafts}
    for draft in built.drafts:
        body = {**draft.body, "id": draft.id}
        plain = jsonio.dumps(body).decode()
        assert not validate(body), (draft.type, validate(body))
        assert not list(fhirkit.validate(plain)), draft.type
        get_fhir_model_class(draft.type).model_validate_json(plain)
        for reference in _references(body):
            assert reference in ids or reference.startswith("#")
    lost = {
        "/".join(part.split("[")[0] for part in u.source.removesuffix("/Date[1]").split("/")[-2:])
        for u in done.report.unmapped
        if u.state in ("not mapped", "unreadable")
    }
    assert lost <= NOWHERE
    total = {u.source for u in done.report.unmapped} | {m.source for m in done.report.mapped}
    assert {leaf.place for leaf in parse(data).leaves()} <= total


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        here = [value["reference"]] if isinstance(value.get("reference"), str) else []
        return here + [r for v in value.values() for r in _references(v)]
    return [r for v in value for r in _references(v)] if isinstance(value, list) else []


@pytest.mark.parametrize("name", NAMES)
def test_both_shapes_become_the_same(name: str) -> None:
    one_way, other = (fast(text(name, shape)) for shape in SHAPES)
    assert [(d.type, d.id, d.body) for d in one_way.drafts] == [(d.type, d.id, d.body) for d in other.drafts]


def test_a_new_prescription() -> None:
    found = resources(text("newrx"))
    rx = one(found, "MedicationRequest")
    assert (rx["status"], rx["intent"], rx["authoredOn"]) == ("active", "order", "2026-03-02")
    assert rx["identifier"][0]["value"] == "ORD-5501"
    assert rx["identifier"][0]["system"] == "urn:hub:script:prescriber:1234567893001"
    dispense = rx["dispenseRequest"]
    assert dispense["quantity"] == {
        "value": 60,
        "unit": "tablet",
        "code": "C48542",
        "system": "http://ncicb.nci.nih.gov/xml/owl/EVS/Thesaurus.owl",
    }
    assert dispense["numberOfRepeatsAllowed"] == 2 and dispense["expectedSupplyDuration"]["value"] == 30
    assert dispense["validityPeriod"] == {"start": "2026-03-05"}
    assert rx["substitution"] == {"allowedBoolean": True}
    assert rx["note"] == [{"text": "Patient prefers blister packs"}]
    medication = drug(rx)
    assert [(c["system"], c["code"]) for c in medication["code"]["coding"]] == [
        ("http://hl7.org/fhir/sid/ndc", "00093104801"),
        ("http://www.nlm.nih.gov/research/umls/rxnorm", "861007"),
    ]
    assert medication["code"]["text"] == "metformin 500 MG Oral Tablet"
    assert medication["form"]["coding"][0]["code"] == "C42998"
    assert medication["ingredient"][0]["strength"]["numerator"]["value"] == 500
    for element, kind in (("subject", "Patient"), ("requester", "PractitionerRole")):
        assert rx[element]["reference"] in {f"urn:uuid:{b['_id']}" for b in found[kind]}
    assert dispense["performer"]["reference"] == f"urn:uuid:{one(found, 'Organization', 'pharmacy')['_id']}"
    assert rx["reasonReference"][0]["reference"] == f"urn:uuid:{one(found, 'Condition')['_id']}"
    assert one(found, "Condition")["code"]["coding"][0]["code"] == "E11.9"
    coverage = one(found, "Coverage")
    assert coverage["subscriberId"] == "LH-0071" and coverage["order"] == 1
    assert [c["type"]["coding"][0]["code"] for c in coverage["class"]] == ["rxbin", "rxpcn", "rxgroup"]
    allergy = one(found, "AllergyIntolerance")
    assert allergy["code"]["text"] == "penicillin G" and allergy["reaction"][0]["severity"] == "moderate"
    task = one(found, "Task")
    assert (task["status"], task["code"]["text"]) == ("requested", "NewRx")


def test_the_words_of_a_sig_are_the_truth_and_the_structure_stands_beside_them() -> None:
    (sig,) = one(resources(text("newrx")), "MedicationRequest")["dosageInstruction"]
    assert sig["text"] == "Take 1 tablet by mouth twice a day with food for 30 days"
    assert sig["doseAndRate"][0]["doseQuantity"]["value"] == 1
    assert sig["route"]["coding"][0] == {"system": "http://snomed.info/sct", "code": "26643006"}
    repeat = sig["timing"]["repeat"]
    assert (repeat["frequency"], repeat["period"], repeat["periodUnit"]) == (2, 1, "d")
    assert repeat["boundsDuration"]["value"] == 30 and repeat["boundsDuration"]["code"] == "d"


@pytest.mark.parametrize(
    "more",
    [
        "<MaximumDoseRestriction><MaximumDoseRestrictionNumericValue>3</MaximumDoseRestrictionNumericValue></MaximumDoseRestriction>",
        "<ClarifyingFreeText>only on bad days</ClarifyingFreeText>",
        "<IndicationForUse><IndicationPrecursor><Text>for</Text></IndicationPrecursor></IndicationForUse>",
    ],
)
def test_a_time_that_is_not_all_is_left_to_the_words(more: str) -> None:
    data = text("newrx", changes={"</Instruction>": f"{more}</Instruction>"})
    (sig,) = one(resources(data), "MedicationRequest")["dosageInstruction"]
    assert "timing" not in sig and sig["text"] and sig["doseAndRate"]


def test_two_instructions_are_told_by_the_words_alone() -> None:
    data = text("newrx", changes={"</Sig>": "<Instruction><DoseAdministration/></Instruction></Sig>"})
    data = data.replace(
        b"<DoseAdministration/>",
        b"<DoseAdministration><Dosage><DoseQuantity>2</DoseQuantity></Dosage></DoseAdministration>",
    )
    (sig,) = one(resources(data), "MedicationRequest")["dosageInstruction"]
    assert sig == {"text": "Take 1 tablet by mouth twice a day with food for 30 days"}


def test_a_compound_has_its_ingredients_and_as_needed_is_no_schedule() -> None:
    rx = one(resources(text("newrx_compound")), "MedicationRequest")
    ingredients = drug(rx)["ingredient"]
    assert [i["itemCodeableConcept"]["text"].split()[0] for i in ingredients] == [
        "lidocaine",
        "diphenhydramine",
        "aluminum",
    ]
    assert [i["strength"]["numerator"]["value"] for i in ingredients] == [60, 60, 60]
    (sig,) = rx["dosageInstruction"]
    assert sig["asNeededCodeableConcept"] == {"text": "mouth pain"}
    assert sig["timing"]["repeat"] == {"period": 6, "periodUnit": "h"}


def test_what_is_not_sent_is_not_there() -> None:
    rx = one(resources(text("newrx_minimal")), "MedicationRequest")
    assert (
        rx["authoredOn"] == "2026-03-02T09:10:00-05:00"
        and "reasonReference" not in rx
        and "insurance" not in rx
    )
    assert rx["substitution"] == {"allowedBoolean": False}
    assert rx["note"] == [{"text": "Quantity qualifier: QS"}]
    assert "expectedSupplyDuration" not in rx["dispenseRequest"]
    none = one(resources(text("newrx_minimal")), "AllergyIntolerance")
    assert none["code"]["coding"][0]["code"] == "716186003"
    no_answer = text("newrx_minimal", changes={"<NoKnownAllergies>Y<": "<NoKnownAllergies>N<"})
    assert "AllergyIntolerance" not in resources(no_answer)
    assert "AllergyIntolerance" not in resources(text("newrx_compound"))


def test_a_time_without_zone_keeps_its_day_and_says_so() -> None:
    done = traced(text("newrx_minimal", changes={"2026-03-02T09:10:00-05:00": "2026-03-02T09:10:00"}))
    rx = next(d for d in done.built.drafts if d.type == "MedicationRequest")
    assert rx.body["authoredOn"] == "2026-03-02" and "no-zone" in {f.code for f in done.built.flags}


FOLLOWING = [
    n
    for n in NAMES
    if n.startswith(
        ("cancelrx", "rxfill", "rxchange_request", "rxrenewal_request", "rxrenewal_response_denied")
    )
]


@pytest.mark.parametrize("name", FOLLOWING)
def test_every_message_about_a_prescription_means_that_prescription(name: str) -> None:
    """Whoever sends it: the number and who gave it decide, and nothing else does."""
    meant = one(resources(text("newrx")), "MedicationRequest")["_id"]
    lines = ("prescription", "cancelled")

    def of(data: bytes) -> Json:
        (body,) = [b for b in resources(data)["MedicationRequest"] if b["_line"] in lines]
        return body

    assert of(text(name))["_id"] == meant
    another = text(name, changes={"ORD-5501": "ORD-5502"})
    assert of(another)["_id"] == one(resources(text("newrx_compound")), "MedicationRequest")["_id"] != meant
    assert of(text(name, changes={"1234567893001": "1999999999001"}))["_id"] != meant
    same_drug_other_person = text(name, changes={"H-40271": "H-99999", "Wren": "Robin"})
    assert of(same_drug_other_person)["_id"] == meant  # the store then finds another patient, and parks it
    other_drug = text(name, changes={"metformin 500 MG Oral Tablet": "lisinopril 10 MG Oral Tablet"})
    assert of(other_drug)["_id"] == meant


def test_a_cancellation_by_number_alone_cancels_that_number() -> None:
    meant = one(resources(text("newrx")), "MedicationRequest")["_id"]
    data = text("cancelrx")
    begin, end = data.index(b"<MedicationPrescribed>"), data.index(b"</MedicationPrescribed>")
    alone = data[:begin] + data[end + len(b"</MedicationPrescribed>") :]
    rx = one(resources(alone), "MedicationRequest")
    assert (rx["_id"], rx["status"], rx["_line"]) == (meant, "cancelled", "cancelled_alone")
    assert not validate({k: v for k, v in rx.items() if k[0] != "_"})


def test_a_cancellation_without_any_number_is_work() -> None:
    data = text("cancelrx", changes={"<PrescriberOrderNumber>ORD-5501</PrescriberOrderNumber>": ""})
    built = fast(data)
    assert any(f.work and "by a number" in f.text for f in built.flags)
    assert (
        one(resources(data), "MedicationRequest")["_id"]
        != one(resources(text("newrx")), "MedicationRequest")["_id"]
    )


@pytest.mark.parametrize(
    ("name", "line", "status", "task", "words"),
    [
        ("cancelrx", "cancelled", "cancelled", "requested", None),
        ("cancelrx_response_approved", "cancelled", "cancelled", "completed", "Approved"),
        ("cancelrx_response_denied", "prescription", "unknown", "rejected", "Denied"),
        ("rxchange_request", "proposal", "draft", "requested", None),
        ("rxchange_response_approved", "changed", "active", "completed", "Approved"),
        ("rxchange_response_with_changes", "changed", "active", "completed", "ApprovedWithChanges"),
        ("rxrenewal_request", "proposal", "draft", "requested", None),
        ("rxrenewal_response_approved", "renewed", "active", "completed", "Approved"),
        ("rxrenewal_response_with_changes", "renewed", "active", "completed", "ApprovedWithChanges"),
        ("rxrenewal_response_replace", "renewedTo", "active", "completed", "Replace"),
        ("rxrenewal_response_denied", "prescription", "unknown", "rejected", "Denied"),
    ],
)
def test_what_a_transaction_does(name: str, line: str, status: str, task: str, words: str | None) -> None:
    found = resources(text(name))
    assert one(found, "MedicationRequest", line)["status"] == status
    done = one(found, "Task")
    assert done["status"] == task and done.get("businessStatus", {}).get("text") == words


def test_a_denial_says_why_and_prescribes_nothing() -> None:
    for name in ("rxrenewal_response_denied", "rxchange_response_denied"):
        found = resources(text(name))
        assert not [r for r in found.get("MedicationRequest", []) if r["status"] == "active"]
        assert one(found, "Task")["statusReason"]["coding"] == [{"code": "AF"}]
    assert (
        one(resources(text("rxrenewal_response_denied")), "Task")["statusReason"]["text"]
        == "Patient should be seen first"
    )


def test_a_proposal_is_never_the_prescription() -> None:
    for name, drugs in (
        ("rxchange_request", "metformin 850 MG Oral Tablet"),
        ("rxrenewal_request", "metformin 500 MG Oral Tablet"),
    ):
        found = resources(text(name))
        proposal, known = (one(found, "MedicationRequest", n) for n in ("proposal", "prescription"))
        assert proposal["intent"] == "proposal" and proposal["_id"] != known["_id"]
        assert "ORD-5501" not in json.dumps(proposal["identifier"])
        assert proposal["medicationReference"]["display"] == drugs
        beside = proposal.get("priorPrescription") or proposal["basedOn"][0]
        assert beside["reference"] == f"urn:uuid:{known['_id']}"
        assert one(found, "Task")["status"] == "requested"


def test_an_approved_renewal_is_a_prescription_after_the_pharmacys() -> None:
    renewed = one(resources(text("rxrenewal_response_approved")), "MedicationRequest")
    assert renewed["_id"] != one(resources(text("newrx")), "MedicationRequest")["_id"]
    prior = renewed["priorPrescription"]["identifier"]
    assert (prior["value"], prior["system"]) == ("RX-88", "urn:hub:script:pharmacy:9876543")
    assert "numberOfRepeatsAllowed" not in renewed["dispenseRequest"]  # there it counts dispensings
    assert {"text": "Dispensings approved (NumberOfRefills): 3"} in renewed["note"]


@pytest.mark.parametrize(
    ("name", "status", "quantity", "task"),
    [
        ("rxfill_dispensed", "completed", 60, "completed"),
        ("rxfill_partial", "completed", 30, "in-progress"),
        ("rxfill_not_dispensed", "declined", None, "failed"),
    ],
)
def test_a_fill(name: str, status: str, quantity: int | None, task: str) -> None:
    found = resources(text(name))
    fill = one(found, "MedicationDispense")
    assert fill["status"] == status and fill.get("quantity", {}).get("value") == quantity
    known = one(found, "MedicationRequest", "prescription")
    assert fill["authorizingPrescription"] == [{"reference": f"urn:uuid:{known['_id']}"}]
    assert one(found, "Task")["status"] == task
    assert one(found, "Task")["_id"] == one(resources(text("newrx")), "Task")["_id"]
    if quantity is None:
        assert "whenPrepared" not in fill and "daysSupply" not in fill
        assert fill["statusReasonCodeableConcept"]["coding"] == [{"code": "AH"}]
    else:
        assert fill["whenPrepared"] == "2026-03-06"
    assert fill.get("type", {}).get("text") == ("partial fill" if name == "rxfill_partial" else None)


@pytest.mark.parametrize(
    ("name", "asks"),
    [
        ("cancelrx_response_approved", "cancelrx"),
        ("cancelrx_response_denied", "cancelrx"),
        ("rxchange_response_denied", "rxchange_request"),
        ("rxrenewal_response_denied", "rxrenewal_request"),
        ("rxrenewal_response_approved", "rxrenewal_request"),
        ("status", "newrx"),
        ("error", "newrx"),
        ("verify", "newrx"),
    ],
)
def test_an_answer_is_about_the_task_of_what_it_answers(name: str, asks: str) -> None:
    assert one(resources(text(name)), "Task")["_id"] == one(resources(text(asks)), "Task")["_id"]


def test_an_error_fails_the_task_and_a_status_changes_nothing_of_it() -> None:
    failed, outcome = (one(resources(text("error")), kind) for kind in ("Task", "OperationOutcome"))
    assert failed["status"] == "failed" and failed["statusReason"]["text"] == "Date of birth is missing"
    issue = outcome["issue"][0]
    assert issue["severity"] == "error" and [c["code"] for c in issue["details"]["coding"]] == ["900", "4010"]
    assert failed["output"][0]["valueReference"]["reference"] == f"urn:uuid:{outcome['_id']}"
    header = one(resources(text("error")), "MessageHeader")["response"]
    assert (header["identifier"], header["code"]) == ("M-101", "fatal-error")
    drafts = {d.type: d for d in fast(text("status")).drafts}
    assert "status" in drafts["Task"].weak and drafts["Task"].body["businessStatus"] == {"text": "Status 010"}


def test_an_answer_to_nothing_is_work() -> None:
    built = fast(text("error", changes={"<RelatesToMessageID>M-101</RelatesToMessageID>": ""}))
    assert any(f.work for f in built.flags)
    task = next(d for d in built.drafts if d.type == "Task")
    assert task.id != one(resources(text("newrx")), "Task")["_id"]


def test_what_is_quoted_changes_only_numbers_and_a_cancellation_only_the_status() -> None:
    for name, line, free in (
        ("rxfill_partial", "prescription", set()),
        ("cancelrx", "cancelled", {"status"}),
    ):
        drafts = fast(text(name)).drafts
        mark_known(drafts)
        draft = next(d for d in drafts if d.name == line)
        assert draft.changes and draft.write == "merge"
        assert set(draft.body) - set(draft.weak) == {"resourceType", "identifier", *free}


def test_a_patient_without_a_number_is_found_by_the_prescriptions() -> None:
    bare = {"<MedicalRecordIdentificationNumberEHR>H-40271</MedicalRecordIdentificationNumberEHR>": ""}
    new, fill = fast(text("newrx")).drafts, fast(text("rxfill_partial", changes=bare)).drafts
    for drafts in (new, fill):
        mark_known(drafts)
    known, quoted = (next(d for d in drafts if d.type == "Patient") for drafts in (new, fill))
    assert known.keys[0][1] == "H-40271" and quoted.keys[0] in known.keys
    assert "patient-of" not in json.dumps(known.body["identifier"])
    other = fast(text("rxfill_partial", changes={**bare, "ORD-5501": "ORD-7"})).drafts
    assert next(d for d in other if d.type == "Patient").keys[0] not in known.keys


def test_a_bundle_can_be_made_of_each() -> None:
    for name in NAMES:
        bundle = transaction(fast(text(name)).drafts)
        assert not list(fhirkit.validate(jsonio.dumps(bundle).decode())) and not unresolved(bundle)


def test_a_measurement_sent_with_a_prescription() -> None:
    found = resources(text("newrx"))
    weight = one(found, "Observation")
    assert weight["code"]["coding"] == [{"code": "29463-7", "system": "http://loinc.org"}]
    assert weight["valueQuantity"] == {
        "value": 71.5,
        "unit": "kg",
        "code": "kg",
        "system": "http://unitsofmeasure.org",
    }
    assert weight["effectiveDateTime"] == "2026-02-27"
    beside = one(found, "MedicationRequest")["supportingInformation"]
    assert {"reference": f"urn:uuid:{weight['_id']}"} in beside


def without_prescribed(data: bytes) -> bytes:
    begin, end = data.index(b"<MedicationPrescribed>"), data.index(b"</MedicationPrescribed>")
    return data[:begin] + data[end + len(b"</MedicationPrescribed>") :]


@pytest.mark.parametrize(
    "name", ["rxfill_dispensed", "rxfill_partial", "rxrenewal_request", "rxchange_request"]
)
def test_a_message_that_names_the_prescription_by_number_alone_means_it_too(name: str) -> None:
    meant = one(resources(text("newrx")), "MedicationRequest")["_id"]
    found = resources(without_prescribed(text(name)))
    alone = one(found, "MedicationRequest", "prescription_alone")
    assert alone["_id"] == meant
    speaks = found.get("MedicationDispense") or [
        b for b in found["MedicationRequest"] if b["_line"] == "proposal"
    ]
    assert f"urn:uuid:{meant}" in _references(speaks[0])


def test_an_answer_that_quotes_the_prescription_before_prescribes_only_the_answer() -> None:
    quoted = text("newrx")
    begin, end = quoted.index(b"<MedicationPrescribed>"), quoted.index(b"</MedicationPrescribed>")
    quote = quoted[begin : end + len(b"</MedicationPrescribed>")]
    both = text("rxrenewal_response_replace").replace(
        b"<MedicationResponse>", quote + b"<MedicationResponse>"
    )
    rx = one(resources(both), "MedicationRequest")
    assert rx["medicationReference"]["display"] == "metformin 850 MG Oral Tablet"
    assert rx["identifier"][0]["value"] == "ORD-5603"
