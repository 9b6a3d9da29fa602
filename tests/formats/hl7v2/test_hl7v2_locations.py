"""Locations: every form an analyst writes, its canonical text, and what a message holds there."""

from __future__ import annotations

import pytest
from hl7v2_samples import ADT, ORU

from engine.formats.hl7v2.locations import Condition, Location, parse_location, read
from engine.formats.hl7v2.parse import parse
from engine.kernel.errors import FormatError

FORMS = [
    ("PID", "PID", Location("PID")),
    ("PID-5", "PID-5", Location("PID", field=5)),
    ("PID-5.1", "PID-5.1", Location("PID", field=5, component=1)),
    ("PID.5.1", "PID-5.1", Location("PID", field=5, component=1)),
    ("PID-3.4.2", "PID-3.4.2", Location("PID", field=3, component=4, subcomponent=2)),
    ("PID-3(2)", "PID-3(2)", Location("PID", field=3, n=2)),
    ("PID-3(only)", "PID-3(only)", Location("PID", field=3, only=True)),
    (
        "PID-3(5=MR).1",
        "PID-3(5=MR).1",
        Location("PID", field=3, filter=(Condition((5,), False, ("MR",)),), component=1),
    ),
    (
        "PID-3( 4.1 = MRN and 5=MR|PI )",
        "PID-3(4.1=MRN and 5=MR|PI)",
        Location(
            "PID", field=3, filter=(Condition((4, 1), False, ("MRN",)), Condition((5,), False, ("MR", "PI")))
        ),
    ),
    ("PID-3(5!=MR)", "PID-3(5!=MR)", Location("PID", field=3, filter=(Condition((5,), True, ("MR",)),))),
    ("OBX(2)-5", "OBX(2)-5", Location("OBX", segment_n=2, field=5)),
    (
        "OBX(3.1=8302-2)-5",
        "OBX(3.1=8302-2)-5",
        Location("OBX", segment_filter=(Condition((3, 1), False, ("8302-2",)),), field=5),
    ),
    ("XPN.1.1", "XPN.1.1", Location(datatype="XPN", component=1, subcomponent=1)),
    ("CX.4", "CX.4", Location(datatype="CX", component=4)),
    ("ZLR-1", "ZLR-1", Location("ZLR", field=1)),
]


@pytest.mark.parametrize(("text", "canonical", "expected"), FORMS)
def test_forms(text, canonical, expected):
    found = parse_location(text)
    assert found == expected
    assert str(found) == canonical
    assert parse_location(canonical) == expected


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("pid-5", "PID-5"),
        ("PID-3[2]", r"PID-3\(2\)"),
        ("PID-0", "PID-1"),
        ("PID-5.0", "PID-1"),
        ("PID-3(x)", "5=MR"),
        ("PID-3(0=x)", "4.1"),
        ("PID(only)-3", r"PID-3\(only\)"),
        ("XPN(2).1", "XPN.1"),
        ("PZ-1", "PID-5.1"),
        ("", "PID-5.1"),
        ("PID-5.1.1.1", "PID-5.1"),
        ("PID 5", "PID-5.1"),
    ],
)
def test_errors_say_what_to_write(text, remedy):
    with pytest.raises(FormatError, match=remedy):
        parse_location(text)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("PID-5.1", [("PID[1]-5[1].1", "EXAMPLE")]),
        ("PID-5", [("PID[1]-5[1]", "EXAMPLE^ANNA^B^^DR^^L")]),
        ("PID-3.1", [("PID[1]-3[1].1", "4711"), ("PID[1]-3[2].1", "900-12")]),
        ("PID-3(5=MR).1", [("PID[1]-3[1].1", "4711")]),
        ("PID-3(5!=MR).1", [("PID[1]-3[2].1", "900-12")]),
        ("PID-3(5=XX|SS).1", [("PID[1]-3[2].1", "900-12")]),
        ("PID-3(4=GENERAL and 5=MR).4.2", [("PID[1]-3[1].4.2", "1.2.3.4")]),
        ("PID-3(4.2=1.2.3.4).1", [("PID[1]-3[1].1", "4711")]),
        ("PID-3(2).1", [("PID[1]-3[2].1", "900-12")]),
        ("PID-3(9).1", []),
        ("PID-3(only)", []),
        ("PID-8(only)", [("PID[1]-8[1]", "F")]),
        ("OBX(2)-5.2", [("OBX[2]-5[1].2", "0.4")]),
        ("OBX(3.1=2345-7)-5", [("OBX[1]-5[1]", "98")]),
        ("OBX(2!=NM)-3.1", [("OBX[2]-3[1].1", "2160-0"), ("OBX[3]-3[1].1", "18748-4")]),
        ("OBX(3.3=LN and 2=TX)-5", [("OBX[3]-5[1]", "Line one\nline two | end")]),
        ("NTE(3)", [("NTE[3]", "NTE|1||Below the range \\T\\ repeated")]),
        ("MSH-2", [("MSH[1]-2[1]", "^~\\&")]),
        ("PID-99", []),
        ("ZZZ-1", []),
    ],
)
def test_read(text, expected):
    assert [tuple(found) for found in read(parse(ORU.encode()), text)] == expected


def test_a_delete_is_a_value():
    assert [found.value for found in read(parse(ADT.encode()), "PID-11")] == ['""']


def test_a_datatype_has_no_place_in_a_message():
    with pytest.raises(FormatError, match="PID-5"):
        read(parse(ORU.encode()), "XPN.1")
