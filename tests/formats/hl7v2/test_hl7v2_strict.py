"""Strict validation and the tree for people."""

from __future__ import annotations

import json

import pytest
from hl7v2_samples import ADT, MERGE, ORU, SAMPLES, VXU

from engine.formats.hl7v2.parse import leaves, parse
from engine.formats.hl7v2.strict import validate
from engine.formats.hl7v2.tree import to_json

VALID = (
    "MSH|^~\\&|REG|GENERAL|HUB|GENERAL|20260301080000||ADT^A01^ADT_A01|A-1|P|2.5.1\r"
    "EVN||20260301080000\r"
    "PID|1||4712^^^GENERAL^MR||MUSTER^BERT||19500101|M\r"
    "PV1|1|I\r"
)


def test_a_valid_message_has_no_problems():
    assert validate(VALID.encode()) == []


@pytest.mark.parametrize(
    ("old", "new", "code", "location"),
    [
        ("19500101|M", "19501350|M", "102", "PID[1]-7[1]"),
        ("PV1|1|I", "PV1|X|I", "102", "PV1[1]-1[1]"),
        ("PV1|1|I\r", "", "100", "PV1"),
        ("PV1|1|I\r", "PV1|1|I\rOBR|1|||X\r", "100", "OBR[1]"),
        ("PV1|1|I\r", "PV1|1|I\rPV1|2|I\r", "100", "PV1"),
        ("PV1|1|I", "PV1|1", "101", "PV1[1]-2"),
        ("|M\r", "|M~F\r", "102", "PID[1]-8"),
        ("|M\r", "|M^X\r", "102", "PID[1]-8[1]"),
        ("EVN||20260301080000", "EVN", "101", "EVN[1]-2"),
        ("|2.5.1", "|2.99", "203", "MSH[1]-12"),
        ("ADT^A01^ADT_A01", "ADT^Z99", "200", "MSH[1]-9"),
        ("EVN||", "XYZ|1\rEVN||", "100", "XYZ[1]"),
        ("PID|1|", "\npid|1|", "100", "PID[1]"),
    ],
)
def test_problems_have_a_place_and_no_values(old, new, code, location):
    assert old in VALID
    problems = validate(VALID.replace(old, new).encode())
    assert (code, location) in [(problem.code, problem.location) for problem in problems]
    for problem in problems:
        assert "19501350" not in problem.text and "MUSTER" not in problem.text


def test_a_value_outside_its_table_is_a_warning():
    data = (
        VALID.replace("MUSTER^BERT", "MUSTER^BERT^^^^^L")
        .replace("PV1|1|I", "PV1|1|I")
        .replace("|P|2.5.1", "|P|2.5.1|||XX")
    )
    assert [(p.severity, p.code, p.location) for p in validate(data.encode())] == [
        ("W", "103", "MSH[1]-15[1]")
    ]


def test_observation_values_are_checked_against_obx_2():
    bad = ORU.replace("||98|mg/dL", "||high|mg/dL").encode()
    assert ("E", "102", "OBX[1]-5[1]") in [problem[:3] for problem in validate(bad)]
    assert not any(problem.location.startswith("OBX[1]-5") for problem in validate(ORU.encode()))


def test_no_message_at_all():
    assert [problem.code for problem in validate(b"nothing")] == ["100"]


@pytest.mark.parametrize("name", SAMPLES)
def test_validation_never_raises(name):
    for cut in range(0, len(SAMPLES[name]), 97):
        validate(SAMPLES[name][:cut].encode())


def test_the_tree_for_people():
    data = ORU.encode()
    found = to_json(parse(data))
    json.dumps(found)
    assert found["message_type"] == "ORU^R01^ORU_R01"
    assert (found["line_end"], found["bytes"], found["repairs"]) == ("CR", len(data), [])
    pid = next(row for row in found["segments"] if row["segment"] == "PID[1]")
    assert pid["group"] == "PATIENT_RESULT/PATIENT"
    name = next(row for row in pid["fields"] if row["address"] == "PID[1]-5")
    assert (name["name"], name["datatype"]) == ("Patient Name", "XPN")
    assert [(value["address"], value["value"]) for value in name["values"]][:2] == [
        ("PID[1]-5[1].1", "EXAMPLE"),
        ("PID[1]-5[1].2", "ANNA"),
    ]
    start, end = name["values"][0]["offset"]
    assert data[start:end] == b"EXAMPLE"
    sample = next(row for row in found["segments"] if row["segment"] == "OBX[1]")
    assert next(row for row in sample["fields"] if row["field"] == 5)["datatype"] == "NM"
    authority = pid["fields"][1]["values"][1]
    assert (authority["address"], authority["name"]) == (
        "PID[1]-3[1].4.1",
        "Assigning Authority: Namespace ID",
    )


@pytest.mark.parametrize("text", [ADT, ORU, MERGE, VXU, "junk\r" + ADT.replace("\rNK1", "\n\nnk1")])
def test_the_tree_holds_every_leaf(text):
    message = parse(text.encode())
    shown = [
        (value["address"], value["value"])
        for segment in to_json(message)["segments"]
        for field in segment["fields"]
        for value in field["values"]
    ]
    assert shown == [(leaf.address, leaf.value) for leaf in leaves(message)]
