"""The dictionary: the shipped file is what hl7apy says, nearest versions, fields, components, tables,
structures.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pytest

from engine.formats.hl7v2.dictionary import (
    GroupDef,
    SegmentRef,
    datatype_names,
    segment_names,
    structure_id,
    version,
    versions,
)
from engine.formats.hl7v2.structures import _by_event, tree

TOOL = Path(__file__).resolve().parents[3] / "tools" / "hl7v2_dictionary.py"


def load_tool():
    spec = importlib.util.spec_from_file_location("hl7v2_dictionary", TOOL)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_the_shipped_file_is_what_the_tool_makes_of_hl7apy():
    tool = load_tool()
    shipped = tool.TARGET.read_bytes()
    assert tool.unpack(shipped) == tool.unpack(tool.compile_dictionary())
    assert len(shipped) < 400_000


@pytest.mark.parametrize(
    ("asked", "given"),
    [
        ("2.5.1", "2.5.1"),
        ("2.1", "2.1"),
        ("", "2.5.1"),
        ("2.9", "2.8.2"),
        ("2.9.1", "2.8.2"),
        ("3.0", "2.8.2"),
        ("2.3.2", "2.3.1"),
        ("2.7.1", "2.7"),
        ("1.0", "2.1"),
        ("v2.4", "2.4"),
        ("D.0", "2.5.1"),
        (" 2.6 ", "2.6"),
    ],
)
def test_nearest_version(asked, given):
    assert version(asked).number == given


def test_fields():
    field = version("2.5.1").field("PID", 5)
    assert (field.number, field.name, field.datatype, field.min, field.max) == (
        5,
        "Patient Name",
        "XPN",
        1,
        -1,
    )
    assert version("2.5.1").field("PID", 7).name == "Date/Time of Birth"
    assert version("2.5.1").field("PID", 8).table == "0001"
    assert version("2.5.1").field("PID", 99) is None
    assert version("2.5.1").field("ZZZ", 1) is None
    assert version("2.3").field("OBX", 5).datatype == "varies"


def test_withdrawn_fields_keep_their_number_and_their_old_name():
    pid4, dg1 = version("2.8").field("PID", 4), version("2.6").segment("DG1")
    assert pid4.withdrawn and pid4.name.startswith("Alternate Patient")
    assert [field.number for field in dg1.fields] == list(range(1, len(dg1.fields) + 1))
    assert dg1.fields[6].withdrawn and dg1.fields[14].name.startswith("Diagnosis Priority")


@pytest.mark.parametrize("number", versions())
def test_every_segment_of_every_version_is_numbered_without_gaps(number):
    known = version(number)
    for name in known.segment_names:
        fields = known.segment(name).fields
        assert [field.number for field in fields] == list(range(1, len(fields) + 1))


def test_components():
    names = [part.name for part in version("2.5.1").components("CX")]
    assert names[:5] == [
        "ID Number",
        "Check Digit",
        "Check Digit Scheme",
        "Assigning Authority",
        "Identifier Type Code",
    ]
    assert version("2.5.1").components("CX")[3].datatype == "HD"
    assert version("2.5.1").components("ST") == []
    assert {"CX", "XPN", "ST", "CWE"} <= datatype_names()
    assert {"PID", "OBX", "PRT"} <= segment_names()


def test_tables():
    assert "F" in version("2.5.1").table("0001").codes
    assert version("2.5.1").table("1").name == version("2.5.1").table("0001").name
    assert version("2.5.1").table("9999") is None


def paths(group: GroupDef, before: str = "") -> list[str]:
    found = []
    for child in group.children:
        if isinstance(child, GroupDef):
            found += [before + child.name, *paths(child, before + child.name + "/")]
    return found


@pytest.mark.parametrize("number", versions())
def test_group_names_are_without_prefix_and_the_same_in_all_versions(number):
    structure = version(number).structure("ORU_R01")
    assert paths(structure)[:2] == ["PATIENT_RESULT", "PATIENT_RESULT/PATIENT"]
    for name in version(number).structure_names:
        for path in paths(tree(name)):
            last = path.split("/")[-1]
            assert not last.endswith("_SUPPGRP")
            assert not last.startswith(name + "_")


def test_a_structure_is_a_tree_with_cardinalities():
    oru = version("2.5.1").structure("ORU_R01")
    assert oru.children[0] == SegmentRef("MSH", 1, 1)
    result = oru.children[2]
    assert (result.name, result.min, result.max) == ("PATIENT_RESULT", 1, -1)
    assert version("2.5.1").structure("XXX_X01") is None


@pytest.mark.parametrize(
    ("code", "event", "declared", "expected"),
    [
        ("ADT", "A01", "ADT_A01", "ADT_A01"),
        ("ADT", "A04", "", "ADT_A01"),
        ("ADT", "A08", "ADT_A08", "ADT_A01"),
        ("ADT", "A13", "ADT_A01", "ADT_A01"),
        ("ADT", "A28", "", "ADT_A05"),
        ("ADT", "A31", "ADT_A05", "ADT_A05"),
        ("ADT", "A31", "ADT_A01", "ADT_A01"),  # known, and it has all that ADT_A05 requires
        ("ADT", "A40", "", "ADT_A39"),
        ("ADT", "A40", "ADT_A01", "ADT_A39"),  # ADT_A01 has no MRG: it cannot be meant
        ("ADT", "A34", "", "ADT_A30"),
        ("ADT", "A11", "", "ADT_A09"),
        ("ORU", "R01", "", "ORU_R01"),
        ("ORU", "R01", "ADT_A01", "ORU_R01"),
        ("ORU", "R01", "nonsense", "ORU_R01"),
        ("ORU", "", "", "ORU_R01"),
        ("ORM", "O01", "", "ORM_O01"),
        ("OML", "O21", "", "OML_O21"),
        ("RDE", "O01", "", "RDE_O11"),
        ("MDM", "T08", "", "MDM_T02"),
        ("SIU", "S26", "", "SIU_S12"),
        ("oru", "r01", "", "ORU_R01"),
        ("ACK", "A01", "ACK", "ACK"),
        ("XXX", "X01", "", ""),
        ("", "", "", ""),
        ("", "", "ORU_R01", "ORU_R01"),
    ],
)
def test_structure_of_an_event(code, event, declared, expected):
    assert structure_id(code, event, declared, "2.5.1") == expected


def test_every_structure_of_the_event_table_exists():
    assert [name for name in _by_event().values() if tree(name) is None] == []
