"""The header peek and the acknowledgements built from it."""

from __future__ import annotations

import hl7
import pytest
from hl7apy.parser import parse_message
from hl7v2_samples import DELIMITERS, ORU, SAMPLES, with_delimiters
from hypothesis import given
from hypothesis import strategies as st

from engine.formats.hl7v2.ack import (
    AckError,
    acknowledge,
    application_answer,
    fast_ack,
    first_answer,
    timestamp,
)
from engine.formats.hl7v2.header import peek
from engine.formats.hl7v2.parse import parse
from engine.kernel.errors import FormatError

AT = 1_772_356_500_123  # 2026-03-01 09:15:00.123 UTC


def request(**fields: str) -> bytes:
    """Build an MSH; keys are m3, m15 and so on."""
    row = {
        3: "LAB",
        4: "NORTH",
        5: "HUB",
        6: "GENERAL",
        7: "2026",
        9: "ORU^R01^ORU_R01",
        10: "C-1",
        11: "P",
        12: "2.5.1",
    }
    row |= {int(key[1:]): value for key, value in fields.items()}
    return ("MSH|^~\\&|" + "|".join(row.get(n, "") for n in range(3, 22)) + "\rPID|1\r").encode()


def test_peek_reads_what_a_listener_needs():
    header = peek(ORU.encode())
    assert header.ok and header.reason == ""
    assert (header.separator, header.encoding) == ("|", "^~\\&")
    assert (header.sending_application, header.sending_facility) == ("LAB", "NORTH LAB")
    assert (header.receiving_application, header.receiving_facility) == ("HUB", "GENERAL")
    assert (header.code, header.event, header.structure) == ("ORU", "R01", "ORU_R01")
    assert (header.control_id, header.processing_id, header.version) == ("L-1001", "P", "2.5.1")
    assert (header.accept_ack, header.application_ack, header.charset) == ("AL", "NE", "")
    assert header.message_type == "ORU^R01"


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("chars", DELIMITERS.values(), ids=DELIMITERS)
@pytest.mark.parametrize("end", ["\r", "\n", "\r\n"])
def test_peek_agrees_with_parse(name, chars, end):
    data = with_delimiters(SAMPLES[name], chars).replace("\r", end).encode()
    header, message = peek(data), parse(data)
    assert (header.code, header.event, header.structure) == (message.code, message.event, message.structure)
    assert (header.control_id, header.version) == (message.control_id, message.version)


@pytest.mark.parametrize(
    ("before", "after"),
    [(b"\x0b", b"\x1c\r"), (b"\xef\xbb\xbf", b""), (b"\r\n \r\n", b""), (b"noise\r", b"")],
)
def test_peek_looks_through_frames_and_stray_bytes(before, after):
    assert peek(before + ORU.encode() + after).control_id == "L-1001"


@pytest.mark.parametrize(
    "data", [b"", b"\x0b\x1c\r", b"PID|1\r", b"GET / HTTP/1.1\r\n\r\n", b"MSH", b"MSHX|", b"\x00" * 50]
)
def test_peek_says_why_there_is_no_header(data):
    header = peek(data)
    assert not header.ok and header.reason
    assert header.control_id == ""
    assert fast_ack(header, "AR", "1", "2026").endswith(b"MSA|AR|\r")  # a reply can be formed all the same


@pytest.mark.parametrize("data", [b"MSH|", b"MSH|^~\\&", b"MSH|^~\\&|A", b"MSH|||||||||||"])
def test_a_short_header_reads_as_empty_fields(data):
    header = peek(data)
    assert header.ok and header.control_id == "" and header.charset == ""


def test_utf_16_headers_and_answers():
    header = peek(ORU.encode("utf-16-le"))
    assert header.control_id == "L-1001"
    assert fast_ack(header, "AA", "1", "2026").decode("utf-16-le").endswith("MSA|AA|L-1001\r")
    answer = acknowledge(
        header, "AE", errors=[AckError("E", "101", "PID-3", "none")], control_id="1", at_ms=AT
    )
    assert "ERR||PID^1^3^1|" in answer.decode("utf-16-le")


@given(st.binary(max_size=300))
def test_peek_never_raises(data):
    for candidate in (data, b"MSH" + data, b"MSH|^~\\&|" + data):
        header = peek(candidate)
        fast_ack(header, "AA", "1", "2026")
        acknowledge(header, "AE", errors=[AckError("E", "100", "PID-1", "x")], control_id="1", at_ms=AT)


def test_an_accepting_answer():
    answer = fast_ack(peek(ORU.encode()), "AA", "H-1", "20260301")
    assert answer == (
        b"MSH|^~\\&|HUB|GENERAL|LAB|NORTH LAB|20260301||ACK^R01^ACK|H-1|P|2.5.1\rMSA|AA|L-1001\r"
    )


@pytest.mark.parametrize("name", SAMPLES)
@pytest.mark.parametrize("chars", DELIMITERS.values(), ids=DELIMITERS)
def test_answers_speak_the_language_of_the_request(name, chars):
    data = with_delimiters(SAMPLES[name], chars).encode()
    answer = parse(
        acknowledge(
            parse(data), "AE", errors=[AckError("E", "101", "PID-5.1", "a|b^c")], control_id="1", at_ms=AT
        )
    )
    header, asked = answer.segments[0], parse(data).segments[0]
    assert answer.delims == parse(data).delims
    assert [header.field(n) for n in (3, 4, 5, 6)] == [asked.field(n) for n in (5, 6, 3, 4)]
    assert (header.field(11), answer.version) == (asked.field(11), parse(data).version)
    assert (answer.code, answer.segment("MSA").field(2)) == ("ACK", asked.field(10))
    assert answer.repairs == []


@pytest.mark.parametrize(
    ("version", "kind"),
    [
        ("2.1", "ACK"),
        ("2.2", "ACK^R01"),
        ("2.3", "ACK^R01"),
        ("2.3.1", "ACK^R01^ACK"),
        ("2.5.1", "ACK^R01^ACK"),
        ("2.8.2", "ACK^R01^ACK"),
        ("", "ACK^R01^ACK"),
        ("nonsense", "ACK^R01^ACK"),
    ],
)
def test_message_type_by_version(version, kind):
    assert parse(fast_ack(peek(request(m12=version)), "AA", "1", "2026")).segments[0].field(9) == kind


def test_without_an_event_the_type_is_ack():
    assert parse(fast_ack(peek(request(m9="ORU")), "AA", "1", "2026")).segments[0].field(9) == "ACK"


ERRORS = [
    AckError("E", "101", "PID-5.1", "the family name is missing"),
    AckError("W", "103", "OBX[2]-3[1].1", "unknown"),
]


def test_errors_from_2_5_on():
    answer = parse(acknowledge(peek(request()), "AE", errors=ERRORS, control_id="H-1", at_ms=AT))
    assert answer.segments[0].field(7) == "20260301091500.123+0000"
    assert answer.segment("MSA").fields == ["MSA", "AE", "C-1", "the family name is missing"]
    first, second = answer.segment("ERR", 1), answer.segment("ERR", 2)
    assert first.fields[2:5] == ["PID^1^5^1^1", "101^Required field missing^HL70357", "E"]
    assert first.field(8) == "the family name is missing"
    assert second.fields[2:5] == ["OBX^2^3^1^1", "103^Table value not found^HL70357", "W"]


def test_errors_before_2_5():
    answer = parse(acknowledge(peek(request(m12="2.3")), "AR", errors=ERRORS, control_id="H-1", at_ms=AT))
    assert answer.segment("ERR").fields == [
        "ERR",
        "PID^1^5^101&Required field missing&HL70357~OBX^2^3^103&Table value not found&HL70357",
    ]
    assert answer.segment("MSA").field(3) == "the family name is missing"


def test_msa_3_is_withdrawn_in_2_7():
    answer = parse(acknowledge(peek(request(m12="2.8")), "AE", errors=ERRORS, control_id="1", at_ms=AT))
    assert answer.segment("MSA").fields == ["MSA", "AE", "C-1"]


def test_texts_are_escaped_and_places_may_be_missing():
    errors = [AckError("E", "207", "", "a|b&c\nd"), AckError("E", "207", "nowhere at all", "x")]
    answer = parse(acknowledge(peek(request()), "AE", errors=errors, control_id="1", at_ms=AT))
    assert answer.segment("ERR", 1).field(8) == "a\\F\\b\\T\\c\\.br\\d"
    assert answer.segment("ERR", 1).field(2) == answer.segment("ERR", 2).field(2) == ""


def test_the_character_set_is_echoed_and_used():
    asked = request(m3="LABOR Süd", m18="8859/1").decode().encode("iso8859-1")
    answer = acknowledge(
        peek(asked), "AE", errors=[AckError("E", "207", "", "größer")], control_id="1", at_ms=AT
    )
    read = parse(answer)
    assert (read.charset, read.segments[0].field(18)) == ("iso8859-1", "8859/1")
    assert read.segments[0].field(5) == "LABOR Süd"
    assert read.segment("ERR").field(8) == "größer"


def test_a_receiver_the_request_does_not_name():
    answer = parse(
        acknowledge(
            peek(request(m5="", m6="")), "AA", control_id="1", at_ms=AT, application="HUB", facility="US"
        )
    )
    assert (answer.segments[0].field(3), answer.segments[0].field(4)) == ("HUB", "US")


def test_an_unknown_code_is_refused():
    with pytest.raises(FormatError, match="AA, AE"):
        acknowledge(peek(request()), "OK", control_id="1", at_ms=AT)


@pytest.mark.parametrize(
    ("m15", "m16", "accept", "error", "reject"),
    [
        ("", "", "AA", "AE", "AR"),
        ("AL", "NE", "CA", "CE", "CR"),
        ("AL", "AL", "CA", "CE", "CR"),
        ("AL", "", "CA", "CE", "CR"),
        ("ER", "NE", "", "CE", "CR"),
        ("SU", "NE", "CA", "", ""),
        ("NE", "NE", "", "", ""),
        ("NE", "AL", "AA", "AE", "AR"),
        ("NE", "ER", "", "AE", "AR"),
        ("NE", "SU", "AA", "", ""),
        ("", "AL", "AA", "AE", "AR"),
        ("", "NE", "", "", ""),
        (" al ", "", "CA", "CE", "CR"),
        ("??", "", "CA", "CE", "CR"),
    ],
)
def test_which_code_is_sent_once_the_message_is_safe(m15, m16, accept, error, reject):
    header = peek(request(m15=m15, m16=m16))
    assert [first_answer(header, outcome) for outcome in ("accept", "error", "reject")] == [
        accept,
        error,
        reject,
    ]


def test_the_later_application_answer():
    assert application_answer(peek(request(m15="AL", m16="AL")), "accept") == "AA"
    assert application_answer(peek(request(m15="AL", m16="ER")), "accept") == ""
    assert application_answer(peek(request(m15="AL", m16="ER")), "error") == "AE"
    assert application_answer(peek(request(m15="AL", m16="NE")), "error") == ""


def test_other_libraries_read_the_answers():
    plain = fast_ack(peek(request()), "AA", "H-1", timestamp(AT)).decode()
    assert str(hl7.parse(plain).segment("MSA")[1]) == "AA"
    failed = acknowledge(peek(request()), "AE", errors=ERRORS, control_id="H-1", at_ms=AT).decode()
    read = parse_message(failed)
    assert read.msa.msa_2.to_er7() == "C-1"
    assert read.err[0].err_4.to_er7() == "E"
