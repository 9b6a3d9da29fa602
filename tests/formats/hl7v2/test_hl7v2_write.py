"""Writing: parsed messages, edited messages, and new ones."""

from __future__ import annotations

import pytest
from hl7v2_samples import ADT, ORU

from engine.formats.hl7v2.delims import Delims
from engine.formats.hl7v2.locations import read
from engine.formats.hl7v2.parse import parse
from engine.formats.hl7v2.write import Draft, build, emit
from engine.kernel.errors import FormatError


def test_an_edited_field_is_written_and_nothing_else_changes():
    message = parse(ORU.encode())
    message.segment("PID").fields[8] = "O"
    assert emit(message) == ORU.replace("19610704|F|", "19610704|O|").encode()


def test_a_removed_segment_and_an_edited_header():
    message = parse(ADT.encode())
    message.segments[0].fields[10] = "NEW"
    message.segments.pop()
    written = emit(message)
    assert written == ADT.replace("|A-1|", "|NEW|").replace("ZPI|1|local^value\r", "").encode()


def test_an_edited_message_keeps_its_character_set():
    data = "MSH|^~\\&|A|||||||||2.5||||||GB 18030-2000\rPID|1||7||王^小明\r".encode("gb18030")
    message = parse(data)
    message.segment("PID").fields[3] = "8"
    assert emit(message) == data.replace(b"||7||", b"||8||")


def test_build_escapes_and_nests():
    data = build(
        [
            ["MSH", "HUB", "", "", "", "2026", "", ["ACK", "A01"], "1", "P", "2.5.1"],
            [
                "PID",
                "1",
                "",
                [["4711", "", "", ["GEN", "1.2", "ISO"], "MR"], ["9", "", "", "PAY"]],
                "",
                ["O'A|B", "X&Y"],
                '""',
            ],
        ]
    )
    assert data == (
        b"MSH|^~\\&|HUB||||2026||ACK^A01|1|P|2.5.1\r"
        b'PID|1||4711^^^GEN&1.2&ISO^MR~9^^^PAY||O\'A\\F\\B^X\\T\\Y|""\r'
    )
    message = parse(data)
    assert [found.value for found in read(message, "PID-5.2")] == ["X&Y"]
    assert emit(message) == data


@pytest.mark.parametrize("delims", [Delims(), Delims("#", "@", "*", "!", "$"), Delims(truncation="#")])
@pytest.mark.parametrize("charset", ["utf-8", "8859/1"])
def test_a_draft_set_by_locations_reads_back(delims, charset):
    draft = Draft(delims=delims, charset=charset)
    draft.header(
        "ADT", "A08", "ADT_A01", control_id="D-1", at_ms=0, sender=("HUB", "GEN"), receiver=("LAB", "N|S")
    )
    values = {
        "PID-3(1).1": "4711",
        "PID-3(1).4.2": "1.2.3",
        "PID-3(2).1": "12#@~^",
        "PID-5.1": "Müller & Söhne",
        "PID-11": '""',
        "NTE(2)-3": "two\nlines",
    }
    for location, value in values.items():
        draft.set(location, value)
    message = parse(draft.write())
    assert message.repairs == []
    assert (message.code, message.event, message.control_id, message.charset) == (
        "ADT",
        "A08",
        "D-1",
        "utf-8" if charset == "utf-8" else "iso8859-1",
    )
    for location, value in values.items():
        assert [found.value for found in read(message, location)] == [value]
    assert [segment.name for segment in message.segments] == ["MSH", "PID", "NTE", "NTE"]
    assert message.segments[0].field(7) == "19700101000000+0000"


@pytest.mark.parametrize("location", ["PID", "PID-3(5=MR).1", "PID-3(only)", "OBX(2=NM)-5", "XPN.1"])
def test_a_value_is_set_at_one_exact_place(location):
    with pytest.raises(FormatError, match="exact"):
        Draft().set(location, "x")
