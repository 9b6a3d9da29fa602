"""Everybody and everything that the header of a document names, in sample_messages/cda/referral_note.xml."""

from __future__ import annotations

from typing import Any

from test_documents import resources, sample

Json = dict[str, Any]
NOTE = "referral_note.xml"


def by_reference(kind: str, reference: Json) -> Json:
    """Find what a Reference of the note means."""
    bundle = sample(NOTE).bundle
    assert bundle is not None
    [entry] = [e for e in bundle["entry"] if e["fullUrl"] == reference["reference"]]
    assert entry["resource"]["resourceType"] == kind
    found: Json = entry["resource"]
    return found


def extension(resource: Json, name: str) -> Json:
    [found] = [e for e in resource.get("extension", ()) if e["url"].endswith(name)]
    return found


def family(role: Json) -> str:
    return str(by_reference("Practitioner", role["practitioner"])["name"][0]["family"])


def test_nothing_of_the_header_is_lost() -> None:
    unmapped = {(u["source"], u["why"]) for u in sample(NOTE).report["unmapped"]}
    assert unmapped == set()


def test_the_patient_in_full() -> None:
    [patient] = resources(sample(NOTE), "Patient")
    assert [i["value"] for i in patient["identifier"]] == ["H-40271", "111-00-2330"]
    assert patient["deceasedBoolean"] is False
    assert [t["system"] for t in patient["telecom"]] == ["phone", "email"]
    assert patient["telecom"][0]["use"] == "mobile"
    race = extension(patient, "us-core-race")["extension"]
    assert [e.get("valueCoding", {}).get("code") for e in race] == ["2106-3", "2108-9", None]
    assert extension(patient, "patient-birthPlace")["valueAddress"]["city"] == "Uig"
    [contact] = patient["contact"]
    assert contact["name"]["family"] == "Sample"
    assert {c["code"] for r in contact["relationship"] for c in r["coding"]} == {"SPS", "GUARD"}
    [spoken] = patient["communication"]
    assert [c["code"] for c in spoken["language"]["coding"]] == ["en", "eng"]
    assert by_reference("Organization", patient["managingOrganization"])["name"] == "Harbour Clinic"


def test_one_clinic_is_one_organization() -> None:
    assert sorted(o["name"] for o in resources(sample(NOTE), "Organization")) == [
        "Cardiology",
        "Harbour Clinic",
    ]
    [clinic] = [o for o in resources(sample(NOTE), "Organization") if o["name"] == "Harbour Clinic"]
    assert clinic["telecom"] == [{"system": "phone", "value": "+1(207)555-0100", "use": "work"}]
    assert clinic["address"] == [{"city": "Portree"}]


def test_authors_are_a_person_and_a_system() -> None:
    [composition] = resources(sample(NOTE), "Composition")
    person, system = composition["author"]
    role = by_reference("PractitionerRole", person)
    assert family(role) == "Quill"
    assert role["specialty"][0]["coding"][0]["system"] == "http://nucc.org/provider-taxonomy"
    assert by_reference("Device", system)["deviceName"][0]["name"] == "Chart"
    recorded = [p.get("recorded") for p in resources(sample(NOTE), "Provenance")]
    assert recorded == ["2020-03-01T08:55:00-05:00", None]  # the other time has no zone


def test_those_who_took_part() -> None:
    [composition] = resources(sample(NOTE), "Composition")
    entered = extension(composition, "DataEntererExtension")["extension"]
    assert entered[0] == {"url": "time", "valueDateTime": "2020-03-01"}
    assert family(by_reference("PractitionerRole", entered[1]["valueReference"])) == "Keys"
    told = extension(composition, "InformantExtension")["valueReference"]
    assert by_reference("RelatedPerson", told)["name"][0]["given"] == ["Robin"]
    parties = [e["extension"] for e in composition["extension"] if e["url"].endswith("ParticipantExtension")]
    kinds = [by["valueReference"]["reference"] for p in parties for by in p if by["url"] == "party"]
    called, mother = (
        by_reference(k, {"reference": r})
        for k, r in zip(("PractitionerRole", "RelatedPerson"), kinds, strict=True)
    )
    assert family(called) == "Phone"
    assert {c["code"] for r in mother["relationship"] for c in r["coding"]} == {"MTH", "NOK"}
    assert extension(composition, "OrderExtension")["valueReference"]["identifier"]["value"] == "O-1"


def test_who_signed_for_whom_it_is_and_what_it_replaces() -> None:
    [composition] = resources(sample(NOTE), "Composition")
    [attester] = composition["attester"]
    assert (attester["mode"], attester["time"]) == ("legal", "2020-03-01T09:00:00-05:00")
    assert family(by_reference("PractitionerRole", attester["party"])) == "Quill"
    [relates] = composition["relatesTo"]
    assert (relates["code"], relates["targetIdentifier"]["value"]) == ("replaces", "RN-1")
    assert extension(composition, "versionNumber")["valueString"] == "2"
    assert composition["confidentiality"] == "R"


def test_the_visit_the_team_and_the_consent() -> None:
    [visit] = resources(sample(NOTE), "Encounter")
    assert (visit["status"], visit["class"]["code"]) == ("finished", "AMB")
    assert by_reference("Location", visit["location"][0]["location"])["name"] == "East wing"
    [team] = resources(sample(NOTE), "CareTeam")
    assert team["participant"][0]["role"][0]["coding"][0]["code"] == "PCP"
    [composition] = resources(sample(NOTE), "Composition")
    assert by_reference("CareTeam", composition["event"][0]["detail"][0]) == team
    [consent] = resources(sample(NOTE), "Consent")
    assert consent["category"][0]["coding"][0]["code"] == "64292-6"


def test_an_empty_section_inside_another() -> None:
    [composition] = resources(sample(NOTE), "Composition")
    [reason] = composition["section"]
    assert '<p id="why">Chest pain on <span><b>stairs</b></span></p>' in reason["text"]["div"]
    assert reason["section"][0]["emptyReason"]["coding"][0]["code"] == "unavailable"
