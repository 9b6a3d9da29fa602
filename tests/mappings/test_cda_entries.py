"""What problems, allergies, medications, vaccines, procedures, visits, devices and plans become.

Negation, nullFlavor and ids that are not unique are looked at one by one, in sample_messages/cda.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import fhirkit
import pytest

from engine.cli.convert import convert_bytes
from engine.fhir import jsonio
from engine.mapping.project import Maps

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_messages" / "cda"
NAMES = ("problems", "allergies", "medications", "immunizations", "procedures")
XMLNS = 'xmlns="urn:hl7-org:v3" xmlns:sdtc="urn:hl7-org:sdtc" xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance"'
ACTIVE = ("active", "recurrence", "relapse")
Json = dict[str, Any]


@cache
def maps() -> Maps:
    return Maps.open(ROOT)


def converted(data: bytes) -> tuple[list[Json], Json]:
    (result,) = convert_bytes(data, maps())
    assert result.bundle is not None, result.error
    bundle = json.loads(jsonio.dumps(result.bundle))
    report = json.loads(jsonio.dumps(result.report)) if result.report is not None else {}
    return [{**e["resource"], "id": e["fullUrl"].rpartition(":")[2]} for e in bundle["entry"]], report


@cache
def sample(name: str) -> list[Json]:
    return converted((SAMPLES / f"{name}.xml").read_bytes())[0]


def numbers(r: Json) -> list[Json]:
    """Give the identifiers of a resource (a Composition has one alone)."""
    said = r.get("identifier", [])
    return said if isinstance(said, list) else [said]


def of(name: str, kind: str) -> dict[str, Json]:
    """Give the resources of a type by the number that the sender gave them."""
    out = {}
    for r in sample(name):
        if r["resourceType"] == kind:
            told = [i["value"] for i in numbers(r) if "own/id" not in i.get("system", "")]
            out[told[0] if told else ""] = r
    return out


LOINC = 'codeSystem="2.16.840.1.113883.6.1"'
SNOMED = 'codeSystem="2.16.840.1.113883.6.96"'
EVENT = 'classCode="ACT" moodCode="EVN"'


def document(entries: str, code: str, patient: str = "H-1") -> bytes:
    return (
        f'<ClinicalDocument {XMLNS}><id root="1.2.3" extension="D-1"/><code code="34133-9" {LOINC}/>'
        f"<recordTarget><patientRole><id root='1.2.3.4' extension='{patient}'/><patient><name>"
        "<family>Example</family></name></patient></patientRole></recordTarget>"
        f'<component><structuredBody><component><section><code code="{code}" {LOINC}/><text>words</text>'
        f"{entries}</section></component></structuredBody></component></ClinicalDocument>"
    ).encode()


def codes(concept: Any) -> list[str]:
    return [c["code"] for c in (concept or {}).get("coding", []) if "code" in c]


def problem(id_: str, code: str) -> str:
    return (
        f'<entry><act {EVENT}><templateId root="2.16.840.1.113883.10.20.22.4.3"/><statusCode code="active"/>'
        '<entryRelationship typeCode="SUBJ"><observation classCode="OBS" moodCode="EVN">'
        f'<templateId root="2.16.840.1.113883.10.20.22.4.4"/>{id_}<code code="55607006" {SNOMED}/>'
        f'<statusCode code="completed"/><value xsi:type="CD" code="{code}" {SNOMED}/>'
        "</observation></entryRelationship></act></entry>"
    )


# -- every sample --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_a_sample_becomes_valid_fhir(name: str) -> None:
    for r in sample(name):
        issues = [str(i) for i in fhirkit.validate(json.dumps(r)) if str(i).startswith("error")]
        assert not issues, (r["resourceType"], issues)


@pytest.mark.parametrize("name", NAMES[:4])
def test_without_templates_the_same_things_are_said(name: str) -> None:
    text = (SAMPLES / f"{name}.xml").read_text(encoding="utf-8")
    made = converted(re.sub(r"<templateId[^>]*/>", "", text).encode())[0]
    assert Counter(r["resourceType"] for r in made) == Counter(r["resourceType"] for r in sample(name))


@pytest.mark.parametrize("name", NAMES)
def test_every_statement_is_about_the_patient(name: str) -> None:
    resources = sample(name)
    (patient,) = [r for r in resources if r["resourceType"] == "Patient"]
    for r in resources:
        said = r.get("subject") or r.get("patient")
        if r["resourceType"] in (
            "Condition",
            "AllergyIntolerance",
            "Procedure",
            "Immunization",
            "MedicationRequest",
        ):
            assert said is not None
            assert said["reference"].endswith(patient["id"])


@pytest.mark.parametrize("name", NAMES)
def test_no_patients_number_stands_in_the_keys_of_statements(name: str) -> None:
    text = [i["value"] for r in sample(name) for i in numbers(r) if "own/id/cda-entry" in i.get("system", "")]
    assert text
    assert not [value for value in text if "51820" in value]


# -- problems ------------------------------------------------------------------------------------------------


def test_a_problem_with_all_that_is_said_of_it() -> None:
    asthma = next(r for r in sample("problems") if codes(r.get("code"))[:1] == ["195967001"])
    assert codes(asthma["clinicalStatus"]) == ["active"]
    assert "verificationStatus" not in asthma  # nobody confirmed it
    assert codes(asthma["code"]) == ["195967001", "J45.909"]
    assert asthma["code"]["text"] == "Asthma"
    assert codes(asthma["category"][0]) == ["problem-list-item"]
    assert codes(asthma["severity"]) == ["6736007"]
    assert asthma["onsetDateTime"] == "2020-03-01"
    assert asthma["recordedDate"] == "2020-03-05"  # the author's time, not the concern's
    assert asthma["note"][0]["text"] == "Worse in spring."
    dated = [e for e in asthma["extension"] if e["url"].endswith("condition-assertedDate")]
    assert dated[0]["valueDateTime"] == "2020-03-04"


@pytest.mark.parametrize(
    ("number", "status"),
    [("P-2", ["resolved"]), ("P-3", ["active"]), ("P-4", ["inactive"]), ("P-6", ["active"])],
)
def test_whether_a_problem_is_over(number: str, status: list[str]) -> None:
    assert codes(of("problems", "Condition")[number]["clinicalStatus"]) == status


def test_an_end_of_unknown_date_is_an_end() -> None:
    over = of("problems", "Condition")["P-4"]
    assert over["_abatementDateTime"]["extension"][0]["valueCode"] == "unknown"
    assert over["_onsetDateTime"]["extension"][0]["valueCode"] == "unknown"
    assert (
        "_abatementDateTime" not in of("problems", "Condition")["P-3"]
    )  # said to be active in so many words


@pytest.mark.parametrize("number", ["P-5", "P-11"])
def test_a_denied_problem_is_refuted(number: str) -> None:
    denied = of("problems", "Condition")[number]
    assert codes(denied["verificationStatus"]) == ["refuted"]
    assert "clinicalStatus" not in denied


def test_a_nullified_problem_was_an_error() -> None:
    assert codes(of("problems", "Condition")["P-10"]["verificationStatus"]) == ["entered-in-error"]


def test_a_null_code_is_no_code() -> None:
    knee, words = of("problems", "Condition")["P-6"], of("problems", "Condition")["P-7"]
    assert codes(knee["code"]) == ["M25.561"]
    assert "onsetDateTime" not in knee  # the 30th of February
    assert words["code"] == {"text": "Sore knee since the fall"}


def test_an_age_is_an_onset() -> None:
    assert of("problems", "Condition")["P-8"]["onsetAge"]["value"] == 48


def test_one_number_on_two_problems_makes_two() -> None:
    both = [r for r in sample("problems") if any(i["value"] == "P-1" for i in numbers(r))]
    assert sorted(codes(r["code"])[0] for r in both) == ["13645005", "195967001"]
    assert len({r["id"] for r in both}) == 2


def test_one_problem_told_twice_is_one() -> None:
    assert (
        sum(
            codes(r.get("code"))[:1] == ["233604007"]
            for r in sample("problems")
            if r["resourceType"] == "Condition"
        )
        == 1
    )


def test_a_diagnosis_of_a_visit_belongs_to_it() -> None:
    visit, sprain = of("problems", "Encounter")["V-1"], of("problems", "Condition")["P-20"]
    assert codes(sprain["category"][0]) == ["encounter-diagnosis"]
    assert sprain["encounter"]["reference"].endswith(visit["id"])
    assert [d["condition"]["reference"].endswith(sprain["id"]) for d in visit["diagnosis"]] == [True]
    assert visit["class"]["code"] == "AMB"
    assert visit["status"] == "unknown"  # begun, and nobody says that it is over
    assert codes(visit["reasonCode"][0]) == ["57676002"]
    others = [r for r in of("problems", "Condition").values() if r is not sprain and "encounter" in r]
    assert not others  # the one visit of a document is not that of every problem


def test_a_discharge_diagnosis_says_its_role() -> None:
    assert [codes(c) for c in of("problems", "Condition")["P-30"]["category"][:2]] == [
        ["encounter-diagnosis"],
        ["DD"],
    ]


def test_the_visit_of_the_header_and_of_the_body_is_one() -> None:
    header = (
        '<componentOf><encompassingEncounter><id root="1.9.9" extension="V"/><effectiveTime>'
        '<low value="20260502"/></effectiveTime><dischargeDispositionCode code="01"/></encompassingEncounter>'
        "</componentOf><component><structuredBody>"
    )
    body = (
        '<entry><encounter classCode="ENC" moodCode="EVN"><id root="1.9.9" extension="V"/>'
        '<code code="IMP" codeSystem="2.16.840.1.113883.5.4"/><effectiveTime><low value="20260502"/>'
        '<high value="20260504"/></effectiveTime></encounter></entry>'
    )
    text = document(body, "46240-8").decode().replace("<component><structuredBody>", header, 1)
    (visit,) = [r for r in converted(text.encode())[0] if r["resourceType"] == "Encounter"]
    assert (visit["status"], visit["class"]["code"]) == ("finished", "IMP")
    assert visit["period"] == {"start": "2026-05-02", "end": "2026-05-04"}
    assert codes(visit["hospitalization"]["dischargeDisposition"]) == ["01"]


# -- keys over documents -------------------------------------------------------------------------------------


def ids(data: bytes, kind: str = "Condition") -> list[str]:
    return sorted(r["id"] for r in converted(data)[0] if r["resourceType"] == kind)


def test_a_later_version_is_the_same_resource() -> None:
    before = document(problem('<id root="1.2.9" extension="7"/>', "38341003"), "11450-4")
    after = document(problem('<id root="1.2.9" extension="7"/>', "59621000"), "11450-4")
    assert ids(before) == ids(after)


def test_a_sample_number_of_two_patients_is_two_resources() -> None:
    entry = problem('<id root="ab1791b0-5c71-11db-b0de-0800200c9a66"/>', "38341003")
    assert ids(document(entry, "11450-4", "H-1")) != ids(document(entry, "11450-4", "H-2"))


def test_a_root_alone_is_no_number_of_another_problem() -> None:
    root = '<id root="2.16.840.1.113883.19.1"/>'
    assert ids(document(problem(root, "38341003"), "11450-4")) != ids(
        document(problem(root, "73211009"), "11450-4")
    )


def test_order_changes_no_key_of_a_repeated_number() -> None:
    one, two = (
        problem('<id root="1" extension="7"/>', "38341003"),
        problem('<id root="1" extension="7"/>', "73211009"),
    )
    assert ids(document(one + two, "11450-4")) == ids(document(two + one, "11450-4"))


def test_without_a_number_nothing_is_merged() -> None:
    entry = problem('<id nullFlavor="UNK"/>', "38341003")
    assert len(ids(document(entry + problem("", "73211009"), "11450-4"))) == 2


# -- allergies -----------------------------------------------------------------------------------------------


def test_an_allergy_with_its_reactions() -> None:
    penicillin = of("allergies", "AllergyIntolerance")["A-1"]
    assert codes(penicillin["code"]) == ["7980"]
    assert (penicillin["type"], penicillin["category"], penicillin["criticality"]) == (
        "allergy",
        ["medication"],
        "high",
    )
    assert [codes(r["manifestation"][0]) for r in penicillin["reaction"]] == [
        ["247472004"],
        ["56018004"],
    ]  # the denied one is none
    assert penicillin["reaction"][0]["severity"] == "severe"
    assert "severity" not in penicillin["reaction"][1]


def test_a_severity_that_fhir_has_no_word_for_stays_as_sent() -> None:
    reaction = of("allergies", "AllergyIntolerance")["A-2"]["reaction"][0]
    assert "severity" not in reaction
    assert codes(reaction["_severity"]["extension"][0]["valueCodeableConcept"]) == ["371923003"]


def test_without_a_substance_the_finding_is_the_code() -> None:
    assert codes(of("allergies", "AllergyIntolerance")["A-3"]["code"]) == ["91935009"]
    assert of("allergies", "AllergyIntolerance")["A-6"]["code"]["text"] == "Some red fruit"


@pytest.mark.parametrize("number", ["A-4", "A-8"])
def test_an_allergy_that_is_denied_is_refuted(number: str) -> None:
    denied = of("allergies", "AllergyIntolerance")[number]
    assert codes(denied["verificationStatus"]) == ["refuted"]
    assert codes(denied["clinicalStatus"]) == ["inactive"]


def test_no_known_drug_allergies() -> None:
    none = of("allergies", "AllergyIntolerance")["A-5"]
    assert codes(none["code"]) == ["409137002"]
    assert none["code"]["text"] == "No known drug allergies"
    assert codes(none["verificationStatus"]) == ["confirmed"]


def test_nobody_asked_makes_no_allergy_and_is_reported() -> None:
    assert "A-7" not in of("allergies", "AllergyIntolerance")
    _, report = converted((SAMPLES / "allergies.xml").read_bytes())
    assert any(u["value"] == "111088007" for u in report["unmapped"])


def allergy(entity: str, denied: str = "true") -> bytes:
    return document(
        f'<entry><act {EVENT}><statusCode code="active"/><entryRelationship typeCode="SUBJ">'
        f'<observation classCode="OBS" moodCode="EVN" negationInd="{denied}">'
        '<code code="ASSERTION" codeSystem="2.16.840.1.113883.5.4"/><statusCode code="completed"/>'
        f'<value xsi:type="CD" code="414285001" {SNOMED} displayName="Food allergy"/>'
        f'<participant typeCode="CSM"><participantRole><playingEntity>{entity}</playingEntity>'
        "</participantRole></participant></observation></entryRelationship></act></entry>",
        "48765-2",
    )


@pytest.mark.parametrize(
    ("entity", "code", "status"),
    [
        ('<code nullFlavor="NI"/>', ["429625007"], "confirmed"),
        ('<code nullFlavor="NI"/><name>No known food allergies</name>', ["429625007"], "confirmed"),
        (f'<code code="105590001" {SNOMED}/>', ["429625007"], "confirmed"),
        ('<code nullFlavor="OTH"/><name>Peanut</name>', [], "refuted"),
        ('<code nullFlavor="OTH"><originalText>Peanut</originalText></code>', [], "refuted"),
        (
            f'<code nullFlavor="OTH"><translation code="256349002" {SNOMED}/></code>',
            ["256349002"],
            "refuted",
        ),
    ],
)
def test_no_peanut_allergy_is_not_no_food_allergies(entity: str, code: list[str], status: str) -> None:
    """False reassurance about all food would be worse than silence."""
    (made,) = [r for r in converted(allergy(entity))[0] if r["resourceType"] == "AllergyIntolerance"]
    assert codes(made["code"]) == code
    assert codes(made["verificationStatus"]) == [status]


@pytest.mark.parametrize("word", ["true", "1", "TRUE", "yes"])
def test_a_denial_is_one_however_it_is_spelled(word: str) -> None:
    made = converted(
        allergy(
            f'<code code="256349002" {SNOMED}/>',
            word,
        )
    )[0]
    assert [codes(r["verificationStatus"]) for r in made if r["resourceType"] == "AllergyIntolerance"] == [
        ["refuted"]
    ]


# -- medications ---------------------------------------------------------------------------------------------


def test_a_prescription_with_its_supply() -> None:
    order = of("medications", "MedicationRequest")["M-1"]
    (dosage,) = order["dosageInstruction"]
    assert (order["status"], order["intent"], order["authoredOn"]) == ("active", "order", "2026-04-01")
    assert dosage["text"] == "Take one tablet every morning."
    assert dosage["timing"]["repeat"] == {
        "boundsPeriod": {"start": "2026-04-01"},
        "frequency": 1,
        "period": 24,
        "periodUnit": "h",
    }
    assert dosage["maxDosePerPeriod"]["denominator"]["code"] == "d"
    assert order["dispenseRequest"]["numberOfRepeatsAllowed"] == 3  # four supplies are three refills
    assert order["dispenseRequest"]["validityPeriod"]["end"] == "2027-04-01"
    assert codes(order["reasonCode"][0]) == ["38341003"]
    (dispense,) = of("medications", "MedicationDispense").values()
    assert dispense["authorizingPrescription"][0]["reference"].endswith(order["id"])
    assert (dispense["whenHandedOver"], dispense["quantity"]["value"]) == ("2026-04-03", 90)


def test_a_time_of_day_and_a_range_of_doses() -> None:
    (dosage,) = of("medications", "MedicationRequest")["M-3"]["dosageInstruction"]
    assert (dosage["timing"]["repeat"]["when"], dosage["timing"]["repeat"]["offset"]) == (["ACM"], 30)
    assert dosage["doseAndRate"][0]["doseRange"] == {"low": {"value": 1}, "high": {"value": 2}}


def test_twice_a_day_at_the_times_of_the_house() -> None:
    (dosage,) = of("medications", "MedicationStatement")["M-2"]["dosage"]
    assert codes(dosage["timing"]["code"]) == ["BID"]
    (order,) = [r for k, r in of("medications", "MedicationRequest").items() if k == "S-2"]
    assert codes(order["medicationCodeableConcept"]) == [
        "861007"
    ]  # a supply without a product is of its medication


def test_as_needed() -> None:
    statements = of("medications", "MedicationStatement")
    (coded,), (plain,) = statements["M-4"]["dosage"], statements["M-5"]["dosage"]
    assert codes(coded["asNeededCodeableConcept"]) == ["25064002"]
    assert (coded["timing"]["repeat"]["period"], coded["timing"]["repeat"]["periodMax"]) == (4, 6)
    assert plain["asNeededBoolean"] is True
    assert codes(statements["M-4"]["medicationCodeableConcept"]) == ["0904-7914-61"]


def test_more_than_a_code_is_a_medication() -> None:
    statement = of("medications", "MedicationStatement")["M-5"]
    (medication,) = [r for r in sample("medications") if r["resourceType"] == "Medication"]
    assert statement["medicationReference"]["reference"].endswith(medication["id"])
    assert medication["code"]["text"] == "the blue inhaler"
    assert codes(medication["form"]) == ["C42944"]


def test_what_is_not_taken_and_what_must_not_be_given() -> None:
    statements = of("medications", "MedicationStatement")
    assert statements["M-6"]["status"] == "not-taken"
    assert statements[""]["status"] == "not-taken"  # "no medications"
    assert of("medications", "MedicationRequest")["M-7"]["doNotPerform"] is True


def test_a_supply_alone_among_medications_is_of_a_drug() -> None:
    product = (
        f'<product><manufacturedProduct><manufacturedMaterial><code code="387207008" {SNOMED}/>'
        "</manufacturedMaterial></manufacturedProduct></product>"
    )
    entries = "".join(
        f'<entry><supply moodCode="{mood}"><statusCode code="active"/>{product}</supply></entry>'
        for mood in ("EVN", "INT")
    )
    made = {r["resourceType"] for r in converted(document(entries, "10160-0"))[0]}
    assert made >= {"MedicationDispense", "MedicationRequest"}
    assert not made & {"DeviceUseStatement", "SupplyRequest"}
    assert "DeviceUseStatement" in {r["resourceType"] for r in converted(document(entries, "46264-8"))[0]}


def test_the_status_that_ccd_1_0_says_in_an_observation() -> None:
    statements = of("medications", "MedicationStatement")
    assert statements["M-8"]["status"] == "active"
    assert statements["M-9"]["status"] == "unknown"  # the code says on hold, the words no longer active
    assert codes(statements["M-9"]["_status"]["extension"][0]["valueCodeableConcept"]) == ["421139008"]


# -- vaccines ------------------------------------------------------------------------------------------------


def test_a_vaccine_given() -> None:
    given = of("immunizations", "Immunization")["I-1"]
    assert (given["status"], given["lotNumber"], given["doseQuantity"]["code"]) == (
        "completed",
        "QX-4471",
        "mL",
    )
    assert given["protocolApplied"] == [{"doseNumberPositiveInt": 2}]
    assert codes(given["performer"][0]["function"]) == ["AP"]
    fever = next(r for r in sample("immunizations") if r["resourceType"] == "Observation")
    assert given["reaction"][0]["detail"]["reference"].endswith(fever["id"])
    assert codes(fever["valueCodeableConcept"]) == ["386661006"]


def test_a_vaccine_refused_or_called_off_was_not_given() -> None:
    doses = of("immunizations", "Immunization")
    assert (doses["I-2"]["status"], codes(doses["I-2"]["statusReason"])) == ("not-done", ["PATOBJ"])
    assert doses["I-4"]["status"] == "not-done"


def test_nobody_knows_when() -> None:
    assert of("immunizations", "Immunization")["I-3"]["occurrenceString"] == "unknown"
    assert of("immunizations", "Immunization")["I-5"]["occurrenceDateTime"] == "2021"


def test_a_planned_vaccine_is_a_request() -> None:
    planned = of("immunizations", "MedicationRequest")["I-6"]
    assert (planned["intent"], codes(planned["medicationCodeableConcept"])) == ("plan", ["121"])
    assert "I-6" not in of("immunizations", "Immunization")


# -- procedures, equipment, plans ----------------------------------------------------------------------------


def test_a_procedure_with_place_person_and_reason() -> None:
    done = of("procedures", "Procedure")["R-1"]
    assert (done["status"], done["performedPeriod"]) == (
        "completed",
        {"start": "2026-01-14", "end": "2026-01-14"},
    )
    assert codes(done["bodySite"][0]) == ["71854001"]
    assert codes(done["reasonCode"][0]) == ["271737000"]
    assert done["performer"][0]["actor"]["reference"]
    assert done["location"]["reference"]


def test_a_refused_procedure_and_why() -> None:
    refused, why = of("procedures", "Procedure")["R-2"], of("procedures", "Condition")["R-2P"]
    assert refused["status"] == "not-done"
    assert codes(refused["statusReason"]) == ["38341003"]
    assert "verificationStatus" not in why  # the reason of a refusal is not refused


def test_a_procedure_given_up() -> None:
    assert of("procedures", "Procedure")["R-3"]["status"] == "stopped"
    assert (
        of("procedures", "Procedure")["R-3"]["_performedDateTime"]["extension"][0]["valueCode"] == "unknown"
    )


def test_what_a_procedure_found() -> None:
    done, found = of("procedures", "Procedure")["R-4"], of("procedures", "Observation")["R-4"]
    assert codes(found["valueCodeableConcept"]) == ["68453008"]
    assert found["partOf"][0]["reference"].endswith(done["id"])


def test_a_device_put_in() -> None:
    (device,) = [r for r in sample("procedures") if r["resourceType"] == "Device"]
    assert device["udiCarrier"][0]["deviceIdentifier"] == "00643169007222"
    assert device["serialNumber"] == "BLC200461H"
    assert device["patient"]
    used = of("procedures", "Procedure")["R-6"]["focalDevice"][0]["manipulated"]["reference"]
    assert used.endswith(device["id"])


def test_equipment_is_used() -> None:
    (used,) = of("procedures", "DeviceUseStatement").values()
    (wheelchair,) = used["contained"]
    assert codes(wheelchair["type"]) == ["58938008"]
    assert [e["valueQuantity"]["value"] for e in used["extension"] if "quantity" in e["url"]] == [2]


def test_a_plan_is_never_a_deed() -> None:
    assert not {"T-1", "T-3"} & (set(of("procedures", "Procedure")) | set(of("procedures", "Observation")))
    requests = of("procedures", "ServiceRequest")
    assert (requests["T-1"]["intent"], requests["T-1"]["occurrenceDateTime"]) == ("order", "2026-06-01")
    assert requests["T-3"]["doNotPerform"] is True
    assert of("procedures", "Encounter")["T-2"]["status"] == "planned"
    assert of("procedures", "MedicationRequest")["T-4"]["intent"] == "plan"
    assert of("procedures", "SupplyRequest")["T-5"]["quantity"]["value"] == 30
    assert [r["patientInstruction"] for k, r in requests.items() if not k] == ["Keep the knee up."]


# -- all of it denied ----------------------------------------------------------------------------------------

DENIED = {
    "Condition": {"refuted", "entered-in-error"},
    "AllergyIntolerance": {"refuted", "entered-in-error"},
    "MedicationStatement": {"not-taken"},
    "MedicationDispense": {"declined"},
    "Immunization": {"not-done"},
    "Procedure": {"not-done"},
    "Observation": {"cancelled"},
    "DeviceUseStatement": {"entered-in-error"},
}
NONE_KNOWN = {"409137002", "429625007", "716186003"}


@pytest.mark.parametrize("name", [*NAMES, "ccd", "c32", "discharge_summary"])
def test_nothing_stands_as_true_when_all_is_denied(name: str) -> None:
    text = (SAMPLES / f"{name}.xml").read_text(encoding="utf-8")
    text = re.sub(r' negationInd="\w+"', "", text)
    text = re.sub(r' moodCode="(\w+)"', r' moodCode="\1" negationInd="true"', text)
    resources, _ = converted(text.encode())
    looked_at = 0
    for r in resources:
        kind = r["resourceType"]
        if kind in ("MedicationRequest", "ServiceRequest"):
            assert r["doNotPerform"] is True
        elif kind in DENIED and "hasMember" not in r and not set(codes(r.get("code"))) & NONE_KNOWN:
            said = codes(r.get("verificationStatus")) if "verificationStatus" in r else [r.get("status")]
            assert set(said) <= DENIED[kind], (kind, r.get("code"))
            assert not [k for k in r if k.startswith("value")]
            looked_at += 1
    assert looked_at


@pytest.mark.parametrize("name", NAMES)
def test_a_status_that_nobody_knows_breaks_no_document(name: str) -> None:
    text = (SAMPLES / f"{name}.xml").read_text(encoding="utf-8")
    resources, _ = converted(re.sub(r'statusCode code="\w+"', 'statusCode code="weird"', text).encode())
    assert len(resources) >= len(sample(name)) - 3  # what was nullified is none any more
    for r in resources:
        assert not [str(i) for i in fhirkit.validate(json.dumps(r)) if str(i).startswith("error")]
    assert not [
        r for r in resources if r["resourceType"] == "Immunization" and r.get("status") == "completed"
    ]


# -- what stands inside a statement is a statement too ------------------------------------------------------


def inside(of_: str, code: str, value: str, attributes: str) -> str:
    return (
        f'<entryRelationship typeCode="{of_}"><observation classCode="OBS" moodCode="EVN"{attributes}>'
        f'<code code="{code}"/><statusCode code="completed"/>{value}</observation></entryRelationship>'
    )


@pytest.mark.parametrize("attributes", [' negationInd="true"', ' nullFlavor="NI"'])
def test_a_reason_that_is_denied_is_no_reason(attributes: str) -> None:
    value = f'<value xsi:type="CD" code="38341003" {SNOMED}/>'
    told = f'<entry><procedure moodCode="EVN"><code code="80146002" {SNOMED}/>{{}}</procedure></entry>'
    for said, reasons in (("", ["38341003"]), (attributes, [])):
        made = converted(document(told.format(inside("RSON", "404684003", value, said)), "47519-4"))[0]
        (done,) = [r for r in made if r["resourceType"] == "Procedure"]
        assert [codes(c) for c in done.get("reasonCode", [])] == ([reasons] if reasons else [])


@pytest.mark.parametrize(
    ("more", "verification", "clinical"),
    [
        ("", [], ["active"]),
        (inside("REFR", "33999-4", f'<value xsi:type="CD" code="410516002" {SNOMED}/>', ""), ["refuted"], []),
        (
            inside(
                "REFR", "33999-4", f'<value xsi:type="CD" code="413322009" {SNOMED}/>', ' negationInd="1"'
            ),
            [],
            ["active"],
        ),
    ],
)
def test_known_absent_is_refuted(more: str, verification: list[str], clinical: list[str]) -> None:
    entry = problem("", "38341003").replace("</observation>", f"{more}</observation>", 1)
    (made,) = [r for r in converted(document(entry, "11450-4"))[0] if r["resourceType"] == "Condition"]
    assert codes(made.get("verificationStatus")) == verification
    assert codes(made.get("clinicalStatus")) == clinical


def test_an_observation_that_was_called_off_is_no_active_problem() -> None:
    entry = problem("", "38341003").replace('statusCode code="completed"', 'statusCode code="cancelled"')
    (made,) = [r for r in converted(document(entry, "11450-4"))[0] if r["resourceType"] == "Condition"]
    assert codes(made["verificationStatus"]) == ["unconfirmed"]
    assert "clinicalStatus" not in made


def test_no_vaccine_administered_is_no_vaccine() -> None:
    entry = (
        '<entry><substanceAdministration moodCode="EVN"><statusCode code="completed"/><consumable>'
        '<manufacturedProduct><manufacturedMaterial><code code="998" codeSystem="2.16.840.1.113883.12.292"/>'
        "</manufacturedMaterial></manufacturedProduct></consumable></substanceAdministration></entry>"
    )
    made = converted(document(entry, "11369-6"))[0]
    assert [r["status"] for r in made if r["resourceType"] == "Immunization"] == ["not-done"]
