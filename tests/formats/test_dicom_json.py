"""Datasets as JSON and what the index keeps of them: right names, and no bad value stops anything."""

from __future__ import annotations

import io
import json
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from engine.formats.dicom.attributes import INDEXED, from_json, level_of, levels, to_json
from engine.formats.dicom.header import dataset_header, read_header
from engine.formats.dicom.jsonmodel import from_model, to_model
from engine.formats.dicom.values import items_of, tag_of, text_of, texts_of
from engine.kernel.errors import FormatError
from tests.formats.dicom_samples import EXPLICIT, dataset, file_of, image, sample, samples

_READABLE = [p for p in samples() if p.name != "rtplan_truncated.dcm"]


@pytest.mark.parametrize("path", _READABLE, ids=lambda p: p.name)
def test_every_file_of_pydicom_goes_through_json_and_back(path: Any) -> None:
    header = read_header(io.BytesIO(path.read_bytes()))
    text = to_json(header, binary=1 << 24)
    assert to_json(from_json(text), binary=1 << 24) == text
    kept = levels(header)
    for level in kept:
        assert set(map(int, level.keys())) <= INDEXED
        assert to_json(from_json(to_json(level))) == to_json(level)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("chrArab.dcm", {"Alphabetic": "قباني^لنزار"}),
        ("chrFren.dcm", {"Alphabetic": "Buc^Jérôme"}),
        ("chrGerm.dcm", {"Alphabetic": "Äneas^Rüdiger"}),
        ("chrGreek.dcm", {"Alphabetic": "Διονυσιος"}),
        (
            "chrH31.dcm",
            {"Alphabetic": "Yamada^Tarou", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"},
        ),
        ("chrH32.dcm", {"Alphabetic": "ﾔﾏﾀﾞ^ﾀﾛｳ", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}),
        ("chrHbrw.dcm", {"Alphabetic": "שרון^דבורה"}),
        ("chrI2.dcm", {"Alphabetic": "Hong^Gildong", "Ideographic": "洪^吉洞", "Phonetic": "홍^길동"}),
        ("chrRuss.dcm", {"Alphabetic": "Люкceмбypг"}),
        ("chrX1.dcm", {"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小東"}),
        ("chrX2.dcm", {"Alphabetic": "Wang^XiaoDong", "Ideographic": "王^小东"}),
    ],
)
def test_names_of_all_character_sets_are_unicode(name: str, expected: dict[str, str]) -> None:
    study, _, _ = levels(read_header(io.BytesIO(sample(name))))
    assert to_model(study)["00100010"] == {"vr": "PN", "Value": [expected]}


def test_a_name_in_a_sequence_is_decoded_as_its_dataset() -> None:
    header = read_header(io.BytesIO(sample("chrSQEncoding.dcm")))
    item = items_of(header, "RequestedProcedureCodeSequence")[0]
    assert to_model(item)["00100010"]["Value"] == [
        {"Alphabetic": "ﾔﾏﾀﾞ^ﾀﾛｳ", "Ideographic": "山田^太郎", "Phonetic": "やまだ^たろう"}
    ]


def _raw(*found: tuple[int, bytes, bytes]) -> Dataset:
    body = b"".join(
        tag.to_bytes(4, "big")[1::-1] + tag.to_bytes(4, "big")[:1:-1] + vr + len(v).to_bytes(2, "little") + v
        for tag, vr, v in found
    )
    return read_header(io.BytesIO(dataset_header("1.2", "1.2.3", EXPLICIT, "") + body))


def test_values_that_are_not_what_their_vr_says_stay_as_text() -> None:
    header = _raw(
        (0x00080020, b"DA", b"yesterday "),
        (0x00180050, b"DS", b"abc "),
        (0x00200011, b"IS", b"1.5 "),
        (0x00200013, b"IS", b"7 "),
        (0x00280010, b"US", b"\1\0\2"),
    )
    model = to_model(header)
    assert model["00180050"] == {"vr": "DS", "Value": ["abc"]}
    assert model["00200011"] == {"vr": "IS", "Value": ["1.5"]}
    assert model["00200013"] == {"vr": "IS", "Value": [7]}
    assert model["00080020"] == {"vr": "DA", "Value": ["yesterday"]}
    assert model["00280010"]["vr"] == "UN"
    back = from_json(json.dumps(model))
    assert to_model(back) == model
    assert texts_of(back, "SliceThickness") == ["abc"]


def test_levels() -> None:
    made = image(AccessionNumber="A1", SeriesNumber=3, InstanceNumber=4, WindowCenter=1)
    study, series, instance = levels(made)
    assert text_of(study, "AccessionNumber") == "A1"
    assert text_of(study, "PatientName") == "Doe^Jane"
    assert text_of(series, "SeriesNumber") == "3"
    assert text_of(instance, "InstanceNumber") == "4"
    assert not any("WindowCenter" in level for level in (study, series, instance))
    assert [level_of(tag_of(k)) for k in ("PatientID", "StudyDate", "Modality", "Rows", "WindowCenter")] == [
        "PATIENT",
        "STUDY",
        "SERIES",
        "IMAGE",
        "",
    ]


def test_binary_values_are_inline_or_a_uri_or_left_out() -> None:
    made = dataset(EncapsulatedDocument=b"%PDF" * 4, RequestAttributesSequence=[dataset(StudyComments="x")])
    assert to_model(made)["00420011"] == {"vr": "OB", "InlineBinary": "JVBERiVQREYlUERGJVBERg=="}
    assert to_model(made, binary=4)["00420011"] == {"vr": "OB"}
    said = to_model(made, binary=4, bulk=lambda path, length: f"/bulk/{path}?{length}")
    assert said["00420011"] == {"vr": "OB", "BulkDataURI": "/bulk/00420011?16"}
    assert from_json(to_json(made)).EncapsulatedDocument == b"%PDF" * 4


def test_several_values_empty_ones_and_numbers() -> None:
    made = dataset(
        ImageType=["ORIGINAL", "", "AXIAL"],
        PixelSpacing=["0.5", "0.25"],
        PatientName="",
        SelectorFDValue=math.inf,
    )
    model = to_model(made)
    assert model["00080008"]["Value"] == ["ORIGINAL", None, "AXIAL"]
    assert model["00280030"]["Value"] == [0.5, 0.25]
    assert model["00100010"] == {"vr": "PN"}
    assert json.loads(to_json(made))["00720074"]["Value"] == ["inf"]
    back = from_json(to_json(made))
    assert list(back.ImageType) == ["ORIGINAL", "", "AXIAL"]
    assert str(back.PatientName) == ""
    file_of(
        image(**{e.keyword: e.value for e in back if e.keyword != "SelectorFDValue"})
    )  # it can be written


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "1",
        '{"00100010": {}}',
        '{"x": {"vr": "PN"}}',
        '{"00100010": {"vr": "PN", "Value": "a"}}',
        '{"0010": {"vr": "LO"}}',
        '{"00420011": {"vr": "OB", "InlineBinary": "?"}}',
        '{"00100020": {"vr": "LO", "Value": [{"a": 1}]}}',
        '{"00081140": {"vr": "SQ", "Value": [1]}}',
    ],
)
def test_what_is_no_dicom_json_is_refused(text: str) -> None:
    with pytest.raises(FormatError):
        from_json(text)


def test_nesting_is_bounded() -> None:
    model: dict[str, Any] = {}
    for _ in range(200):
        model = {"00081140": {"vr": "SQ", "Value": [model]}}
    with pytest.raises(FormatError):
        from_model(model)


_scalar = st.one_of(
    st.none(), st.text(max_size=8), st.integers(), st.floats(allow_nan=False, allow_infinity=False)
)
_vr = st.sampled_from(
    [
        "AE",
        "AS",
        "AT",
        "CS",
        "DA",
        "DS",
        "DT",
        "FD",
        "FL",
        "IS",
        "LO",
        "LT",
        "OB",
        "PN",
        "SH",
        "SL",
        "SQ",
        "SS",
        "ST",
        "TM",
        "UC",
        "UI",
        "UL",
        "UN",
        "UR",
        "US",
        "UT",
        "XX",
    ]
)
_attribute = st.fixed_dictionaries(
    {"vr": _vr},
    optional={
        "Value": st.lists(
            st.one_of(
                _scalar, st.dictionaries(st.sampled_from(["Alphabetic", "Phonetic"]), st.text(max_size=5))
            ),
            max_size=3,
        ),
        "InlineBinary": st.text(max_size=8),
    },
)


@given(
    st.dictionaries(
        st.sampled_from(["00100010", "00200013", "00280010", "00081140", "0020000D", "zz"]), _attribute
    )
)
@settings(max_examples=300, deadline=None)
def test_any_json_is_read_or_refused_and_what_was_read_can_be_written(model: dict[str, Any]) -> None:
    try:
        read = from_json(json.dumps(model))
    except FormatError:
        return
    once = to_json(read)
    assert to_json(from_json(once)) == once
    for level in levels(read):
        to_json(level)
