"""The samples of scheduling, documents, immunization, orders, referrals and problems through the real maps:
what somebody at the bedside would look for in the result."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest

from engine.cli.convert import convert_bytes
from engine.mapping.project import Maps

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "sample_messages"
AREAS = ("scheduling", "documents", "immunization", "orders", "referrals", "problems")
PATHS = sorted(p for area in AREAS for p in (SAMPLES / area).glob("*.hl7"))
Json = dict[str, Any]


@pytest.fixture(scope="module")
def maps() -> Maps:
    return Maps.open(ROOT)


def resources(maps: Maps, name: str) -> dict[str, list[Json]]:
    """The resources of one sample by type, with what they are called by under `_url`."""
    (result,) = convert_bytes((SAMPLES / f"{name}.hl7").read_bytes(), maps)
    assert result.error is None
    assert result.report["errors"] == []
    out: dict[str, list[Json]] = {}
    for entry in (result.bundle or {}).get("entry", []):
        body = entry["resource"]
        out.setdefault(body["resourceType"], []).append({**body, "_url": entry["fullUrl"]})
    return out


def one(found: dict[str, list[Json]], kind: str) -> Json:
    (body,) = found[kind]
    return body


def code(concept: Json) -> str:
    return str(concept["coding"][0]["code"])


def references(value: Any) -> list[str]:
    """Every reference below a value."""
    if isinstance(value, dict):
        own = [value["reference"]] if isinstance(value.get("reference"), str) else []
        return own + [r for v in value.values() for r in references(v)]
    return [r for v in value for r in references(v)] if isinstance(value, list) else []


def test_there_are_samples_of_every_area() -> None:
    assert len(PATHS) >= 30
    versions = {p.read_bytes().split(b"\r")[0].split(b"|")[11].decode() for p in PATHS}
    assert {"2.3", "2.3.1", "2.4", "2.5", "2.5.1", "2.6", "2.8"} <= versions


@pytest.mark.parametrize("path", PATHS, ids=lambda p: p.stem)
def test_sample_becomes_valid_resources(maps: Maps, path: Path) -> None:
    (result,) = convert_bytes(path.read_bytes(), maps)
    assert result.error is None
    assert result.report["errors"] == []
    flags = {w["code"] for w in result.report["warnings"]}
    assert not flags & {"required", "no-map", "value", "choice", "binding"}, flags
    urls = {e["fullUrl"] for e in result.bundle["entry"]}
    inside = [
        r for e in result.bundle["entry"] for r in references(e["resource"]) if r.startswith("urn:uuid:")
    ]
    assert set(inside) <= urls


# -- scheduling ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name, status",
    [
        ("siu_s12_book", "booked"),
        ("siu_s13_move_v2.3", "booked"),
        ("siu_s14_change_v2.8", "booked"),
        ("siu_s15_cancel", "cancelled"),
        ("siu_s17_delete", "entered-in-error"),
        ("siu_s26_noshow", "noshow"),
        ("siu_s12_group", "waitlist"),
    ],
)
def test_the_event_says_how_the_appointment_stands(maps: Maps, name: str, status: str) -> None:
    assert one(resources(maps, f"scheduling/{name}"), "Appointment")["status"] == status


def test_one_appointment_through_its_life(maps: Maps) -> None:
    life = ("siu_s12_book", "siu_s14_change_v2.8", "siu_s15_cancel", "siu_s26_noshow")
    assert len({one(resources(maps, f"scheduling/{n}"), "Appointment")["_url"] for n in life}) == 1


def test_everybody_is_a_participant_with_the_status_that_was_sent(maps: Maps) -> None:
    found = resources(maps, "scheduling/siu_s12_book")
    appointment = one(found, "Appointment")
    people = {
        p["actor"]["reference"]: p for p in appointment["participant"] if "reference" in p.get("actor", {})
    }
    assert people[one(found, "Patient")["_url"]]["status"] == "accepted"
    nurse = next(p["_url"] for p in found["Practitioner"] if p["name"][0]["family"] == "RASK")
    assert people[nurse]["status"] == "needs-action"  # AIP-12 says Pending, though the appointment is booked
    assert {p["status"] for p in people.values()} == {"accepted", "needs-action"}
    assert references(appointment["basedOn"]) == [one(found, "ServiceRequest")["_url"]]


def test_of_a_cancelled_appointment_nobody_says_who_declined(maps: Maps) -> None:
    appointment = one(resources(maps, "scheduling/siu_s15_cancel"), "Appointment")
    assert all("status" not in p and p["_status"]["extension"] for p in appointment["participant"])
    assert code(appointment["cancelationReason"]) == "ILL"


def test_notes_of_services_and_of_things_are_kept_apart(maps: Maps) -> None:
    appointment = one(resources(maps, "scheduling/siu_s12_book"), "Appointment")
    notes = [e["valueAnnotation"]["text"] for e in appointment["extension"] if "valueAnnotation" in e]
    assert notes == [
        "Patient asked for a morning slot",
        "Light meal the day before\nNothing to drink for two hours",
        "Check the light source",
    ]


def test_a_room_taken_out_is_no_participant(maps: Maps) -> None:
    found = resources(maps, "scheduling/siu_s14_change_v2.8")
    assert "ROOM2" not in {place["name"] for place in found["Location"]}
    assert "ROOM4" in {place["name"] for place in found["Location"]}


def test_two_patients_of_a_group_are_two_participants(maps: Maps) -> None:
    found = resources(maps, "scheduling/siu_s12_group")
    patients = {p["_url"] for p in found["Patient"]}
    assert len(patients) == 2
    assert patients <= set(references(one(found, "Appointment")["participant"]))


def test_a_blocked_slot_is_no_appointment(maps: Maps) -> None:
    assert "Appointment" not in resources(maps, "scheduling/siu_s23_block")


# -- documents -------------------------------------------------------------------------------------


def test_the_lines_of_a_document_are_one_text(maps: Maps) -> None:
    found = resources(maps, "documents/mdm_t02_discharge")
    document = one(found, "DocumentReference")
    text = base64.b64decode(document["content"][0]["attachment"]["data"]).decode()
    assert text == "Admitted for colitis.\nDischarged home, improved.\nFollow up in four weeks."
    assert (document["status"], document["docStatus"]) == ("current", "final")
    weight = one(found, "Observation")
    assert weight["valueQuantity"]["value"] == 71.5  # a number is data, not a line of the text
    assert weight["_url"] in references(document["context"])


def test_a_replacement_supersedes_what_it_replaces(maps: Maps) -> None:
    first = one(resources(maps, "documents/mdm_t02_discharge"), "DocumentReference")
    new, old = resources(maps, "documents/mdm_t10_replace_cda")["DocumentReference"]
    assert (new["status"], old["status"]) == ("current", "superseded")
    assert new["relatesTo"][0]["code"] == "replaces"
    assert old["_url"] == first["_url"]  # the same document, found by patient and number


def test_a_cda_document_is_kept_as_it_came(maps: Maps) -> None:
    new = resources(maps, "documents/mdm_t10_replace_cda")["DocumentReference"][0]
    attachment = new["content"][0]["attachment"]
    assert attachment["contentType"] == "text/xml"
    assert base64.b64decode(attachment["data"]).startswith(b'<?xml version="1.0"?><ClinicalDocument')


def test_an_addendum_appends(maps: Maps) -> None:
    document = one(resources(maps, "documents/mdm_t06_addendum"), "DocumentReference")
    assert document["relatesTo"][0]["code"] == "appends"
    assert document["relatesTo"][0]["target"]["identifier"]["value"] == "DOC7001"


def test_a_cancelled_document_was_in_error(maps: Maps) -> None:
    document = one(resources(maps, "documents/mdm_t11_cancel_v2.3"), "DocumentReference")
    assert (document["status"], document["docStatus"]) == ("entered-in-error", "entered-in-error")


# -- immunization ----------------------------------------------------------------------------------


def test_a_refusal_never_becomes_a_vaccine_that_was_given(maps: Maps) -> None:
    found = resources(maps, "immunization/vxu_given_refused_history")
    doses = {code(i["vaccineCode"]): i for i in found["Immunization"]}
    assert {k: i["status"] for k, i in doses.items()} == {
        "115": "completed",
        "03": "not-done",
        "21": "completed",
    }
    assert code(doses["03"]["statusReason"]) == "00"
    assert "doseQuantity" not in doses["03"]
    assert doses["21"]["primarySource"] is False
    assert doses["115"]["primarySource"] is True
    assert "998" not in doses  # "no vaccine administered" is no vaccine


def test_what_is_said_about_a_dose_is_part_of_it(maps: Maps) -> None:
    found = resources(maps, "immunization/vxu_given_refused_history")
    tdap = found["Immunization"][0]
    assert {c["system"] for c in tdap["vaccineCode"]["coding"]} == {
        "http://hl7.org/fhir/sid/cvx",
        "http://hl7.org/fhir/sid/ndc",
    }
    assert tdap["lotNumber"] == "C4321AA"
    assert code(tdap["programEligibility"][0]) == "V01"
    assert tdap["education"] == [
        {
            "documentType": "Tdap VIS 253088698300028811170411",
            "publicationDate": "2021-08-06",
            "presentationDate": "2026-05-01",
        }
    ]
    about = {code(o["code"]): o for o in found["Observation"]}
    fever, presumed = about["31044-1"], about["59784-9"]
    assert references(tdap["reaction"]) == [fever["_url"]]
    assert code(presumed["valueCodeableConcept"]) == "38907003"
    assert "partOf" not in presumed


def test_a_deleted_dose_is_the_one_that_was_given(maps: Maps) -> None:
    given = resources(maps, "immunization/vxu_given_refused_history")["Immunization"][0]
    deleted = one(resources(maps, "immunization/vxu_deleted_v2.3"), "Immunization")
    assert deleted["status"] == "entered-in-error"
    assert deleted["identifier"][0]["value"] == "13696"
    assert given["status"] == "completed"


def test_a_forecast_keeps_each_vaccine_with_its_own_dates(maps: Maps) -> None:
    found = resources(maps, "immunization/rsp_k11_forecast")
    due = {
        code(r["recommendation"][0]["vaccineCode"][0]): {
            code(c["code"]): c["value"] for c in r["recommendation"][0]["dateCriterion"]
        }
        for r in found["ImmunizationRecommendation"]
    }
    assert due == {"03": {"30980-7": "2026-06-01", "30981-5": "2026-05-15"}, "21": {"30980-7": "2027-03-01"}}
    assert [i["status"] for i in found["Immunization"]] == ["completed"]  # the carrier 998 is none


# -- orders and laboratory automation --------------------------------------------------------------


def test_two_orders_share_one_tube(maps: Maps) -> None:
    found = resources(maps, "orders/oul_r22_two_orders")
    specimen = one(found, "Specimen")
    assert specimen["container"][-1]["identifier"][0]["value"] == "T90"
    assert all(references(r["specimen"]) == [specimen["_url"]] for r in found["DiagnosticReport"])
    assert {r["status"] for r in found["DiagnosticReport"]} == {"final", "preliminary"}
    assert {o["status"] for o in found["Observation"]} == {"final", "preliminary"}


def test_a_corrected_result_is_the_same_report(maps: Maps) -> None:
    asked = one(resources(maps, "orders/orf_r04_answer_v2.3"), "DiagnosticReport")
    corrected = one(resources(maps, "orders/oul_r21_v2.4"), "DiagnosticReport")
    assert corrected["status"] == "corrected"
    assert asked["_url"] == corrected["_url"]


def test_an_answer_names_what_it_answers(maps: Maps) -> None:
    accepted = one(resources(maps, "orders/orl_o22_accepted"), "MessageHeader")
    assert accepted["response"] == {"identifier": "L77", "code": "ok"}
    refused = resources(maps, "orders/orr_o02_refused_v2.3")
    assert one(refused, "MessageHeader")["response"]["code"] == "fatal-error"


def test_an_imaging_order_keeps_its_modality_and_its_number(maps: Maps) -> None:
    order = one(resources(maps, "orders/omi_o23_modality_v2.8"), "ServiceRequest")
    assert {code(d) for d in order["orderDetail"]} == {"CT", "CTCHEST"}
    assert {i["value"] for i in order["identifier"]} >= {"P6001", "R9902", "AC77"}
    asked = one(resources(maps, "orders/omg_o19_imaging"), "ServiceRequest")
    assert asked["_url"] == order["_url"]


# -- referrals and problems ------------------------------------------------------------------------


def test_a_referral_has_its_sender_its_receiver_and_its_reason(maps: Maps) -> None:
    found = resources(maps, "referrals/ref_i12_second_opinion")
    referral = one(found, "ServiceRequest")
    roles = {r["_url"]: code(r["code"][0]) for r in found["PractitionerRole"]}
    assert roles[referral["requester"]["reference"]] == "RP"
    assert roles[references(referral["performer"])[0]] == "RT"
    assert references(referral["reasonReference"]) == [one(found, "Condition")["_url"]]
    assert referral["status"] == "active"


def test_a_rejected_referral_is_the_one_that_was_sent(maps: Maps) -> None:
    sent = one(resources(maps, "referrals/ref_i12_second_opinion"), "ServiceRequest")
    answer = one(resources(maps, "referrals/rri_i12_rejected_v2.8"), "ServiceRequest")
    assert answer["status"] == "revoked"
    assert {i["value"] for i in answer["identifier"]} <= {i["value"] for i in sent["identifier"]}


def test_a_problem_and_what_hangs_on_it(maps: Maps) -> None:
    found = resources(maps, "problems/ppr_pc1_add")
    problem = one(found, "Condition")
    assert code(problem["clinicalStatus"]) == "active"
    assert references(one(found, "Goal")["addresses"]) == [problem["_url"]]
    assert references(one(found, "CarePlan")["addresses"]) == [problem["_url"]]
    assert references(one(found, "CareTeam")["reasonReference"]) == [problem["_url"]]
    assert one(found, "Goal")["note"][0]["text"] == "With one cane"


def test_a_deleted_problem_has_no_clinical_status(maps: Maps) -> None:
    added = one(resources(maps, "problems/ppr_pc1_add"), "Condition")
    deleted = one(resources(maps, "problems/ppr_pc3_delete_v2.3"), "Condition")
    assert code(deleted["verificationStatus"]) == "entered-in-error"
    assert "clinicalStatus" not in deleted
    assert deleted["_url"] == added["_url"]


def test_a_goal_that_was_reached(maps: Maps) -> None:
    set_ = one(resources(maps, "problems/ppr_pc1_add"), "Goal")
    reached = one(resources(maps, "problems/pgl_pc7_reached_v2.8"), "Goal")
    assert (reached["lifecycleStatus"], code(reached["achievementStatus"])) == ("completed", "achieved")
    assert reached["_url"] == set_["_url"]
