"""DICOM as a tree: what stands in it, from datasets and from the JSON model; what is refused, and how."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lxml import etree
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import ExplicitVRLittleEndian

from engine.formats.content import recognise
from engine.formats.dicom.document import Dicom, parse, study_of
from engine.formats.dicom.header import dataset_header
from engine.formats.dicom.tree import DEEPEST, add_dataset, add_json, known_names
from engine.formats.facts import facts_of
from engine.kernel.errors import FormatError
from engine.mapping.from_dicom import arrange, kinds_of

HERE = Path(__file__).parents[2]
SAMPLES = HERE / "sample_messages/dicom"
CT = "1.2.840.10008.5.1.4.1.1.2"


def tree(dataset: Dataset) -> tuple[etree._Element, list[Any]]:
    root, repairs = etree.Element("Object"), []
    add_dataset(root, dataset, repairs)
    return root, repairs


def said(root: etree._Element) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for e in root:
        out.setdefault(str(e.tag), []).append(e.text or "")
    return out


def file(dataset: Dataset, sop_class: str = CT, instance: str = "1.2.3") -> bytes:
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, False
    write_dataset(out, dataset)
    return dataset_header(sop_class, instance, ExplicitVRLittleEndian, "CT01") + out.getvalue()


def entry(**changes: Any) -> bytes:
    whole = json.loads((SAMPLES / "study_entry.json").read_bytes())
    return json.dumps({**whole, **changes}).encode()


def test_every_kind_of_value_is_written() -> None:
    made = Dataset()
    made.PatientName = "SAMPLE^WREN^Q=\u5c71\u7530^\u592a\u90ce"
    made.ImageType = ["ORIGINAL", "", "AXIAL"]
    made.SliceThickness = "1.50"
    made.Rows = 8
    made.add_new(0x00091010, "OB", b"\0\1\2")
    made.add_new(0x00091011, "LO", "private")
    made.DataSetTrailingPadding = b"\0" * 6
    made.SelectorATValue = [0x00100020]
    made.ImageComments = "a\x0bb"
    made.PatientID = ""
    root, repairs = tree(made)
    assert said(root) == {
        "PatientName": ["SAMPLE^WREN^Q=\u5c71\u7530^\u592a\u90ce"],
        "ImageType": ["ORIGINAL", "", "AXIAL"],  # its second value is empty: the third stays the third
        "SliceThickness": ["1.50"],  # the digits as they were written
        "Rows": ["8"],
        "x00091010": ["3 bytes"],
        "x00091011": ["private"],
        "DataSetTrailingPadding": ["6 bytes"],
        "SelectorATValue": ["00100020"],
        "ImageComments": ["a\ufffdb"],  # no XML could hold it
    }
    assert not repairs


def test_long_lists_of_numbers_are_counted() -> None:
    made = Dataset()
    made.add_new(0x00283006, "US", list(range(500)))  # LUTData
    assert said(tree(made)[0]) == {"LUTData": ["500 values"]}


def test_what_cannot_be_read_is_told_and_its_neighbours_are_there() -> None:
    data = file_with(0x00081190, b"UN", b"")  # nothing there
    assert parse(data).repairs == ()
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID, made.StudyInstanceUID, made.PatientID = CT, "1.2.3", "1.2", "77"
    raw = file(made)
    at = raw.index(b"\x10\x00\x20\x00LO")
    broken = raw[:at] + b"\x10\x00\x20\x00FD\x03\x00abc" + raw[at + 10 :]  # 3 bytes are no double
    found = parse(broken)
    assert [r.code for r in found.repairs] == ["unreadable-attribute"]
    assert "PatientID" in found.repairs[0].text and "abc" not in found.repairs[0].text
    assert found.own("StudyInstanceUID") == "1.2"


def file_with(tag: int, vr: bytes, value: bytes) -> bytes:
    made = Dataset()
    made.SOPClassUID, made.SOPInstanceUID = CT, "1.2.3"
    made.add_new(tag, vr.decode(), value)
    return file(made)


def test_sequences_stand_inside_each_other_to_a_bounded_depth() -> None:
    made = Dataset()
    at = made
    for _ in range(DEEPEST):
        inner = Dataset()
        at.ContentSequence = [inner]
        at = inner
    at.TextValue = "x"
    root, _ = tree(made)
    assert len(list(root.iter("TextValue"))) == 1
    inner = Dataset()
    at.ContentSequence = [inner]
    inner.TextValue = "y"
    with pytest.raises(FormatError, match="too deep"):
        tree(made)


def test_the_json_model_gives_the_same_tree() -> None:
    made = dcmread(SAMPLES / "sr_measurements.dcm")
    one, _ = tree(made)
    other = etree.Element("Object")
    add_json(other, made.to_json_dict())
    for element in (*one.iter("NumericValue"), *other.iter("NumericValue")):
        element.text = str(float(element.text or ""))  # JSON has numbers, DICOM their digits
    assert etree.tostring(one) == etree.tostring(other)


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=5),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(
                    ["vr", "Value", "00100010", "0020000D", "series", "study", "SQ", "instances"]
                ),
                inner,
                max_size=4,
            )
        ),
        max_leaves=12,
    ),
    st.sampled_from(["study", "series", "link", "issuers", "uid", "told"]),
)
def test_a_study_entry_is_read_or_refused(value: Any, key: str) -> None:
    data = entry(**{key: value})
    assert recognise(data) == "dicom"
    try:
        found = parse(data)
    except FormatError:
        return
    assert found.kind == "study"
    arrange(found)


@given(st.integers(0, 3489), st.integers(0, 255))
def test_a_damaged_object_is_read_or_refused(at: int, byte: int) -> None:
    data = bytearray((SAMPLES / "sr_measurements.dcm").read_bytes())
    data[at % len(data)] = byte
    try:
        found = parse(bytes(data))
    except FormatError:
        return
    arrange(found)
    assert kinds_of(found)


@given(st.integers(132, 3489))
def test_a_cut_object_is_read_or_refused(length: int) -> None:
    data = (SAMPLES / "sr_measurements.dcm").read_bytes()[:length]
    try:
        assert isinstance(parse(data), Dicom)
    except FormatError as e:
        assert "SAMPLE" not in str(e)


@pytest.mark.parametrize(
    ("name", "kind", "type_", "kinds"),
    [
        ("ct_1.dcm", "instance", "CT", ("study",)),
        ("study_entry.json", "study", "study", ("study",)),
        ("mpps_completed.dcm", "mpps", "mpps", ("mpps",)),
        ("sr_measurements.dcm", "sr", "SR", ("sr 1500", "sr measurements", "sr")),
        ("sr_obstetric.dcm", "sr", "SR", ("sr 5000", "sr measurements", "sr")),
        ("key_objects.dcm", "kos", "KO", ("kos",)),
    ],
)
def test_kinds_are_told_by_content(name: str, kind: str, type_: str, kinds: tuple[str, ...]) -> None:
    data = (SAMPLES / name).read_bytes()
    assert recognise(data) == "dicom"
    found = parse(data)
    assert (found.kind, found.type, kinds_of(found)) == (kind, type_, kinds)


def test_what_says_nothing_of_itself_is_refused() -> None:
    nothing = Dataset()
    nothing.PatientID = "77"
    with pytest.raises(FormatError, match="does not say what it is"):
        parse(file(nothing, sop_class=""))
    with pytest.raises(FormatError, match="no SOP Instance UID"):
        parse(file(nothing, instance=""))


def test_a_step_has_its_uid_from_the_command() -> None:
    step = Dataset()
    step.PerformedProcedureStepStatus = "IN PROGRESS"
    found = parse(file(step, "1.2.840.10008.3.1.2.3.3", "1.2.9"))
    assert (found.kind, found.own("SOPInstanceUID")) == ("mpps", "1.2.9")


def test_objects_of_a_study_are_put_together_level_by_level() -> None:
    objects = [parse((SAMPLES / f"{name}.dcm").read_bytes()) for name in ("ct_1", "ct_2")]
    found = study_of(objects).root
    assert [e.findtext("SOPInstanceUID") for e in found.iter("Instance")] == [
        o.own("SOPInstanceUID") for o in objects
    ]
    assert len(found.findall("Series")) == 1
    assert found.findtext("PatientID") == "100234"
    assert found.findtext("Series/BodyPartExamined") == "CHEST"
    assert found.find("Series/Instance/StudyInstanceUID") is None
    numbers = [found.findtext(f"NumberOfStudyRelated{what}") for what in ("Series", "Instances")]
    assert numbers == ["1", "2"]


def test_a_study_counts_what_it_holds_whatever_it_was_told() -> None:
    whole = json.loads((SAMPLES / "study_entry.json").read_bytes())
    whole["study"]["00201208"] = {"vr": "IS", "Value": [99]}
    found = parse(json.dumps(whole).encode()).root
    assert [e.text for e in found.findall("NumberOfStudyRelatedInstances")] == ["2"]
    assert [e.text for e in found.findall("ModalitiesInStudy")] == ["CT"]


def test_what_an_object_is_found_by() -> None:
    facts = facts_of((SAMPLES / "mpps_completed.dcm").read_bytes(), "dicom")
    assert {
        ("patient", "100234"),
        ("name", "sample"),
        ("name", "wren"),
        ("birth", "19610412"),
        ("order", "AC77"),
        ("order", "RP1"),
        ("study", "2.25.314159265358979323846.1"),
    } <= set(facts.words)
    assert (facts.message_type, facts.sender) == ("dicom mpps", "CT01")


def test_the_names_of_the_linter_are_those_of_the_dictionary() -> None:
    assert {"PatientID", "ContentSequence", "ScheduledStepAttributesSequence"} <= known_names()
    assert "" not in known_names()
