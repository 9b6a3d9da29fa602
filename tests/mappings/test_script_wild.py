"""Shapes of SCRIPT that senders made up: read where they are clear, never for an approval where not."""

from __future__ import annotations

import pytest
from test_script_maps import fast, one, resources, text

from engine.fhir.validate import validate
from engine.formats.ncpdp.message import parse
from engine.formats.ncpdp.parties import parties
from engine.formats.ncpdp.prescription import prescriptions

RENEWED = text("rxrenewal_response_approved")
APPROVED = b"<Response>\n        <Approved/>\n      </Response>"


def answered(answer: bytes) -> bytes:
    assert APPROVED in RENEWED
    return RENEWED.replace(APPROVED, answer)


def test_an_answer_without_response_around_it_is_an_answer() -> None:
    for plain, status in (
        (b"<Approved/>", "completed"),
        (b"<Denied><ReasonCode>AF</ReasonCode></Denied>", "rejected"),
    ):
        found = resources(answered(plain))
        assert one(found, "Task")["status"] == status
        assert [r["status"] for r in found["MedicationRequest"]] == [
            "active" if status == "completed" else "unknown"
        ]


@pytest.mark.parametrize(
    "answer",
    [
        b"<Response><Approved/><Denied/></Response>",
        b"<Response><Denied/></Response><Response><Approved/></Response>",
        b"<Response><DenyNewToFollow/></Response>",
        b"<Response><DeniedNewPrescriptionToFollow><Note>x</Note></DeniedNewPrescriptionToFollow></Response>",
    ],
)
def test_a_denial_beats_what_stands_beside_it(answer: bytes) -> None:
    data = answered(answer)
    found, built = resources(data), fast(data)
    assert one(found, "Task")["status"] == "rejected"
    assert not [r for r in found["MedicationRequest"] if r["status"] == "active"]
    assert any(f.code == "several-answers" and f.work for f in built.flags) == (
        answer.count(b"<Approved") > 0
    )


@pytest.mark.parametrize(
    "answer",
    [b"", b"<Response/>", b"<Response><Perhaps/></Response>", b"<Response><Approved/><Replace/></Response>"],
)
def test_what_is_no_clear_answer_approves_nothing_and_is_work(answer: bytes) -> None:
    data = answered(answer)
    built = fast(data)
    task = next(d for d in built.drafts if d.type == "Task")
    assert "status" in task.weak and any(f.work for f in built.flags)
    assert not [d for d in built.drafts if d.body.get("status") in ("active", "completed", "cancelled")]


def test_a_cancellation_is_confirmed_by_an_approval_alone() -> None:
    for answer in (b"", b"<Response><Pending/></Response>", b"<Response><Approved/><Denied/></Response>"):
        data = text("cancelrx_response_approved")
        begin, end = data.index(b"<Response>"), data.index(b"</Response>") + len(b"</Response>")
        found = resources(data[:begin] + answer + data[end:])
        assert not [r for r in found["MedicationRequest"] if r["status"] == "cancelled"]


def test_a_medication_inside_the_answer_is_what_is_answered() -> None:
    inside = (
        b"<Response><ApprovedWithChanges><MedicationPrescribed><DrugDescription>metformin 850 MG Oral Tablet"
        b"</DrugDescription></MedicationPrescribed></ApprovedWithChanges></Response>"
    )
    for shape in (inside, inside.replace(b"<Response>", b"").replace(b"</Response>", b"")):
        data = answered(shape)
        rx = one(resources(data), "MedicationRequest")
        assert rx["medicationReference"]["display"] == "metformin 850 MG Oral Tablet"
        assert [p.role for p in prescriptions(parse(data))] == ["prescribed", "answered"]


def test_a_strength_beside_the_code() -> None:
    data = text("newrx")
    begin, end = data.index(b"<Strength>"), data.index(b"</Strength>") + len(b"</Strength>")
    strength = data[begin:end]
    moved = (data[:begin] + data[end:]).replace(b"</DrugCoded>", b"</DrugCoded>" + strength)
    assert (
        one(resources(moved), "MedicationRequest")["contained"]
        == one(resources(data), "MedicationRequest")["contained"]
    )
    (first,), (other,) = prescriptions(parse(data)), prescriptions(parse(moved))
    assert first.strength == other.strength is not None


def test_numbers_told_by_a_qualifier() -> None:
    data = text(
        "newrx_minimal",
        changes={
            "<NPI>1234567893</NPI>": "",
            "<NCPDPID>9876543</NCPDPID>": "",
            ' Qualifier="D"': "",
            ' Qualifier="P"': "",
        },
    )
    data = data.replace(
        b"<NonVeterinarian>", b'<NonVeterinarian><Identification Qualifier="NPI">1234567893</Identification>'
    )
    data = data.replace(
        b"<Pharmacy>", b'<Pharmacy><Identification Qualifier="NCPDPID">9876543</Identification>'
    )
    script = parse(data)
    assert (script.prescriber, script.pharmacy) == ("1234567893", "9876543")
    assert {p.role: p.numbers for p in parties(script)}["Prescriber"] == (("NPI", "1234567893"),)
    found = resources(data)
    assert one(found, "Practitioner")["identifier"][0] == {
        "value": "1234567893",
        "system": "http://hl7.org/fhir/sid/us-npi",
    }
    assert one(found, "Organization", "pharmacy")["identifier"][0]["value"] == "9876543"


def test_a_cancellation_that_names_nothing_is_work() -> None:
    data = text("cancelrx", changes={"<PrescriberOrderNumber>ORD-5501</PrescriberOrderNumber>": ""})
    begin, end = data.index(b"<MedicationPrescribed>"), data.index(b"</MedicationPrescribed>")
    built = fast(data[:begin] + data[end + len(b"</MedicationPrescribed>") :])
    assert not [d for d in built.drafts if d.type == "MedicationRequest"]
    assert any(f.work and "names no prescription" in f.text for f in built.flags)


def test_a_structure_that_contradicts_the_words_is_left_to_them() -> None:
    for words in ("Take 2 tablets by mouth at bedtime", "Take 1-2 tablets by mouth"):
        data = text("newrx", changes={"Take 1 tablet by mouth twice a day with food for 30 days": words})
        (sig,) = one(resources(data), "MedicationRequest")["dosageInstruction"]
        assert sig["text"] == words and "doseAndRate" not in sig
        assert "frequency" not in sig.get("timing", {}).get("repeat", {})
        assert "sig-text-differs" in {f.code for f in fast(data).flags}


def test_directions_instead_of_a_sig() -> None:
    data = text("newrx_minimal", changes={"<Sig>": "<Directions>", "</Sig>": "</Directions>"})
    data = data.replace(b"<SigText>", b"").replace(b"</SigText>", b"")
    (sig,) = one(resources(data), "MedicationRequest")["dosageInstruction"]
    assert sig == {"text": "One drop in each eye when they feel dry"}


def test_all_of_these_are_valid() -> None:
    for answer in (
        b"<Approved/>",
        b"<Response><Approved/><Denied/></Response>",
        b"<Response><Perhaps/></Response>",
    ):
        assert [p for d in fast(answered(answer)).drafts for p in validate(d.body)] == []
