"""What acknowledgements of others say, in every version's places."""

from __future__ import annotations

import pytest

from engine.formats.hl7v2.ack import AckError, acknowledge
from engine.formats.hl7v2.answers import read_answer
from engine.formats.hl7v2.controlid import control_id
from engine.formats.hl7v2.header import peek
from engine.formats.hl7v2.rewriting import with_header
from engine.kernel.errors import FormatError

HEAD = "MSH|^~\\&|LIS|NORTH|HUB|MERCY|20260501||ACK|1|P|2.5.1\r"


@pytest.mark.parametrize(
    ("rest", "code", "named", "codes", "plain"),
    [
        ("MSA|AA|M1\r", "AA", "M1", [], []),
        ("MSA| ca | M1 \r", "CA", "M1", [], []),
        ("MSA|AA|M1", "AA", "M1", [], []),
        ("MSA|AE|M1\rERR||PID^1^5^1^1|101^Required^HL70357|E\r", "AE", "M1", ["101"],
         ["PID-5.1 101 required field missing"]),
        ("MSA|AE|M1\rERR|PID^1^3^101&Required&HL70357~OBR^1^4^103\r", "AE", "M1", ["101", "103"],
         ["PID-3 101 required field missing", "OBR-4 103 table value not found"]),
        ("MSA|AR|M1|bad|||207^internal^HL70357\r", "AR", "M1", ["207"], ["207 application internal error"]),
        ("MSA|AE|M1|DOE^JO is unknown\rERR||doe^jo|SMITH\r", "AE", "M1", ["SMITH"], ["a code of its own"]),
        ("MSA|AE|M1\rERR|||204|W||||no such patient\r", "AE", "M1", ["204"], ["204 unknown key identifier"]),
        ("MSA|YES|M1\r", "", "M1", [], []),
        ("MSA||M1\r", "", "M1", [], []),
        ("PID|1\r", "", "", [], []),
        ("MSA|AA|M1\rMSA|AE|M2\r", "AA", "M1", [], []),
    ],
)  # fmt: skip
def test_what_an_answer_says(rest, code, named, codes, plain):
    said = read_answer((HEAD + rest).encode())
    assert (said.code, said.named) == (code, named)
    assert [one.code for one in said.complaints] == codes
    assert [one.plain for one in said.complaints] == plain


@pytest.mark.parametrize("data", [b"", b"HTTP/1.1 400", b"\0\0", b"MSA|AA|M1\r", b"MSH"])
def test_what_is_no_answer(data):
    assert read_answer(data).code == ""


def test_other_separators_and_utf_16():
    other = "MSH#*!~%#A#B#C#D#2026##ACK#1#P#2.5.1\rMSA#AE#M1\rERR##PID*1*3#101*x#E###\\##a%F%b\r"
    said = read_answer(other.encode("utf-16"))
    assert (said.code, said.named, said.complaints[0].place) == ("AE", "M1", "PID-3")


@pytest.mark.parametrize("version", ["2.3", "2.5.1", "2.8"])
def test_it_reads_what_this_hub_writes(version):
    request = peek(f"MSH|^~\\&|A|B|C|D|2026||ORU^R01|M7|P|{version}\r".encode())
    errors = [AckError("E", "101", "PID-3", "needed")]
    said = read_answer(acknowledge(request, "AE", errors=errors, control_id="X", at_ms=0))
    assert (said.code, said.named) == ("AE", "M7")
    assert [one.plain for one in said.complaints] == ["PID-3 101 required field missing"]


MESSAGE = b"MSH|^~\\&|A|B|C|D|2026||ORU^R01|M7|P|2.5.1\nPID|1||77\xe9\r\n\rOBX|1|ST|\x0b"


def test_only_the_named_fields_change():
    made = with_header(MESSAGE, {3: "HUB^1.2^ISO", 6: "A|B", 15: "AL", 16: "NE"})
    assert made == MESSAGE.replace(b"|A|B|C|D|2026|", b"|HUB^1.2^ISO|B|C|A\\F\\B|2026|").replace(
        b"|2.5.1\n", b"|2.5.1|||AL|NE\n"
    )
    assert with_header(b"\r\n " + MESSAGE, {10: "9"}) == b"\r\n " + MESSAGE.replace(b"M7", b"9")
    assert with_header(MESSAGE[:40], {}) == MESSAGE[:40]


@pytest.mark.parametrize(
    ("message", "field"),
    [(b"PID|1", "x"), (MESSAGE.replace(b"\xe9", b"").decode().encode("utf-16"), "x"), (MESSAGE, "Ø")],
)
def test_what_cannot_be_changed(message, field):
    with pytest.raises(FormatError):
        with_header(message, {3: field})


def test_a_control_id_is_at_most_twenty_characters():
    assert control_id("lab-17-1") == "lab-17-1"
    assert len(control_id("lab_oru-101-repository-1")) == 20
