"""SCRIPT messages: both shapes, every transaction, answers back in the sender's namespace, hostile input."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.formats.ncpdp.answers import error, status, verify
from engine.formats.ncpdp.elements import Code, read_code, read_date
from engine.formats.ncpdp.message import TRANSACTIONS, Script, emit, is_script, parse
from engine.formats.ncpdp.parties import parties
from engine.formats.ncpdp.prescription import Amount, fill_status, prescriptions
from engine.formats.ncpdp.tree import to_json
from engine.formats.xml.read import read_xml
from engine.kernel.errors import FormatError

SAMPLES = Path(__file__).parents[3] / "sample_messages" / "ncpdp"
NAMES = sorted(p.stem for p in SAMPLES.glob("*.xml"))


def sample(name: str) -> Script:
    return parse((SAMPLES / f"{name}.xml").read_bytes())


@pytest.mark.parametrize("name", NAMES)
def test_samples_are_read_and_kept(name: str) -> None:
    data = (SAMPLES / f"{name}.xml").read_bytes()
    script = parse(data)
    assert is_script(data) and emit(script) == data and script.repairs == ()
    assert script.transaction in TRANSACTIONS and script.id.startswith("M-")
    assert script.sent == "2026-03-02T09:15:00-05:00"
    tree = to_json(script)
    assert tree["document_type"] == script.transaction
    assert len({leaf["place"] for leaf in tree["leaves"]}) == len(tree["leaves"])


def test_there_is_a_sample_of_every_transaction() -> None:
    assert {sample(name).transaction for name in NAMES} == set(TRANSACTIONS)


def test_both_shapes_say_the_same() -> None:
    (one,) = prescriptions(sample("newrx_2017071"))
    (other,) = prescriptions(sample("newrx_2023011"))
    assert one.codes == other.codes == (Code("00093104801", "ND"), Code("861007", "SCD"))
    for name in ("description", "sig", "days_supply", "refills", "written", "role"):
        assert getattr(one, name) == getattr(other, name) != ""
    assert one.quantity == Amount("60", "C48542", "38")
    assert other.quantity == Amount("60.50", "C48542")  # digits as written
    assert one.strength == Amount("500", "C28253") and one.form == "C42998"
    assert (one.substitutions, other.substitutions) == ("0", "1")
    assert other.dates == (("EffectiveDate", "2026-03-05"),) and other.refills_qualifier == "R"
    assert one.diagnoses == (Code("E119", "ABF", "Type 2 diabetes mellitus without complications"),)
    assert one.notes == ("Patient prefers blister packs",)
    assert (one.order_number, other.order_number) == ("ORD-5501", "ORD-5502")


def test_parties_are_found_wherever_the_version_puts_them() -> None:
    for name in ("newrx_2017071", "newrx_2023011"):
        found = {p.role: p for p in parties(sample(name))}
        assert set(found) == {"Patient", "Pharmacy", "Prescriber"}
        patient = found["Patient"]
        assert (patient.family, patient.given[0], patient.born, patient.gender) == (
            "Sample",
            "Wren",
            "1961-04-12",
            "F",
        )
        assert ("MedicalRecordIdentificationNumberEHR", "H-40271") in patient.numbers
        assert ("NPI", "1234567893") in found["Prescriber"].numbers
        assert found["Pharmacy"].organization == "Pier Pharmacy"
        assert ("NCPDPID", "9876543") in found["Pharmacy"].numbers
    full = {p.role: p for p in parties(sample("newrx_2017071"))}
    assert full["Patient"].place == "/Message/Body[1]/NewRx[1]/Patient[1]/HumanPatient[1]"
    assert full["Prescriber"].telecoms == (("PrimaryTelephone", "2075550100 x12"),)
    assert (full["Patient"].lines, full["Patient"].city) == (("17 Quay Street",), "Portree")


@pytest.mark.parametrize(
    ("name", "kind", "codes", "relates_to"),
    [
        ("cancelrx_response", "Approved", [], "M-2"),
        ("rxchange_response", "ApprovedWithChanges", [], "M-4"),
        ("rxrenewal_response", "Denied", ["AF"], "M-6"),
        ("status", "Status", ["010"], "M-1"),
        ("error", "Error", ["900", "4010"], "M-1"),
        ("verify", "Verify", ["010"], "M-1"),
    ],
)
def test_answers_say_what_and_to_which(name: str, kind: str, codes: list[str], relates_to: str) -> None:
    script = sample(name)
    answer = script.answer
    assert answer is not None and answer.kind == kind and [c.code for c in answer.codes] == codes
    assert script.relates_to == relates_to
    assert name == "status" or answer.text


def test_requests_answer_nothing() -> None:
    assert all(sample(n).answer is None for n in ("newrx_2017071", "cancelrx", "rxchange_request", "rxfill"))


def test_a_message_of_several_medications_keeps_their_roles() -> None:
    assert [m.role for m in prescriptions(sample("rxchange_request"))] == ["prescribed", "requested"]
    assert [m.role for m in prescriptions(sample("rxfill"))] == ["dispensed", "prescribed"]
    assert fill_status(sample("rxfill")) == ("PartiallyDispensed", "30 of 60 dispensed")
    assert fill_status(sample("newrx_2017071")) == ("", "")


@pytest.mark.parametrize("name", ["newrx_2017071", "newrx_2023011"])
def test_our_answers_are_messages_back_to_the_sender(name: str) -> None:
    asked = sample(name)
    when = "2026-03-02T14:15:01Z"
    for data, kind, code in (
        (status(asked, "A-1", when), "Status", "010"),
        (error(asked, "A-1", when, "900", "4010", "no date of birth"), "Error", "900"),
        (verify(asked, "A-1", when), "Verify", "010"),
    ):
        made = parse(data)
        assert made.transaction == kind and made.answer is not None and made.answer.codes[0].code == code
        assert (made.relates_to, made.sender, made.receiver) == (asked.id, asked.receiver, asked.sender)
        assert made.version == asked.version and made.order_number == asked.order_number
        assert is_script(data) and b"ns0" not in data


def test_a_prefix_or_no_namespace_changes_nothing() -> None:
    data = (SAMPLES / "newrx_2023011.xml").read_text()
    prefixed = re.sub(r"<(/?)(?=[A-Z])", r"<\1n:", data).replace("xmlns=", "xmlns:n=")
    plain = re.sub(r' ?xmlns="[^"]*"', "", data)
    trees = [to_json(parse(x.encode())) for x in (data, prefixed, plain)]
    for tree in trees:
        assert is_script(data.encode())
        tree.pop("bytes")
    assert trees[0] == trees[1] == trees[2]


@pytest.mark.parametrize(
    ("text", "date"),
    [
        ("2026-03-02", "2026-03-02"),
        ("20260302", "2026-03-02"),
        ("2026-03-02T09:15:00-05:00", "2026-03-02T09:15:00-05:00"),
        ("2026-03-02T09:15:00.25Z", "2026-03-02T09:15:00.25+00:00"),
        ("2026-03-02T09:15:00", "2026-03-02"),
        ("2026-02-30", ""),
        ("2024-02-29", "2024-02-29"),
        ("2026-13-01", ""),
        ("March", ""),
    ],
)
def test_dates(text: str, date: str) -> None:
    assert read_date(read_xml(f"<D><Date>{text}</Date></D>".encode()).root) == date
    assert read_date(read_xml(f"<D>{text}</D>".encode()).root) == date


def test_codes_of_nothing() -> None:
    assert read_code(None) is None and read_code(read_xml(b"<C/>").root) is None
    assert read_code(read_xml(b"<C><Qualifier>ND</Qualifier></C>").root) is None


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"<Message/>",
        b"<Message><Header/></Message>",
        b"<Message><Header/><Body/></Message>",
        b"<ClinicalDocument/>",
        b"UNA:+./*'UIB+UNOA:0'",
        b"<!DOCTYPE Message [<!ENTITY x SYSTEM 'file:///etc/hostname'>]><Message><Header/><Body><NewRx>&x;</NewRx></Body>"
        b"</Message>",
    ],
)
def test_what_is_no_script_message_is_refused_in_words(data: bytes) -> None:
    with pytest.raises(FormatError) as refused:
        parse(data)
    assert refused.value.why


def test_recognition_is_by_content() -> None:
    assert not is_script(b"<Message xmlns='urn:hl7-org:v2xml'><MSH/></Message>")
    assert not is_script(b"MSH|^~\\&|") and not is_script(b"<Patient xmlns='http://hl7.org/fhir'/>")


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 4000), st.binary(max_size=4))
def test_a_damaged_message_is_read_or_refused(at: int, junk: bytes) -> None:
    data = bytearray((SAMPLES / "newrx_2017071.xml").read_bytes())
    data[at : at + len(junk)] = junk
    is_script(bytes(data))
    try:
        to_json(parse(bytes(data)))
    except FormatError as refused:
        assert "Wren" not in str(refused)
