"""Matching of C-FIND: every rule of PS3.4 C.2.2.2, one row each."""

from __future__ import annotations

import io
from typing import Any

import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset

from engine.formats.dicom.attributes import from_json, to_json
from engine.formats.dicom.comparing import compare
from engine.formats.dicom.matching import answer, matches
from tests.formats.dicom_samples import dataset, image

_STUDY = dataset(
    PatientName="Müller^Jürgen^^Dr=山田^太郎=やまだ^たろう",
    PatientID="A*1",
    PatientBirthDate="19700102",
    StudyInstanceUID="1.2.3",
    StudyDate="20240105",
    StudyTime="093015.25",
    StudyDescription="CT Thorax (nativ)",
    AccessionNumber="",
    ModalitiesInStudy=["CT", "SR"],
    NumberOfStudyRelatedInstances=60,
    ProcedureCodeSequence=[
        dataset(CodeValue="CT1", CodingSchemeDesignator="99X"),
        dataset(CodeValue="CT2", CodingSchemeDesignator="99Y"),
    ],
)


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        # single value (C.2.2.2.1): with case, but names without
        ({"PatientName": "müller^JÜRGEN^^dr"}, True),
        ({"PatientName": "Müller^Jürgen"}, False),
        ({"PatientName": "Müller"}, False),
        ({"PatientName": "山田^太郎"}, True),
        ({"PatientName": "=山田^太郎"}, True),
        ({"PatientName": "=やまだ^たろう"}, False),
        ({"PatientName": "Müller*=山田*=や*"}, True),
        ({"PatientName": "Meier*=山田*"}, False),
        ({"PatientName": "Mu\u0308ller*"}, True),
        ({"StudyDescription": "ct thorax (nativ)"}, False),
        ({"NumberOfStudyRelatedInstances": "60"}, True),
        ({"NumberOfStudyRelatedInstances": "6"}, False),
        # universal (C.2.2.2.3)
        ({"PatientName": "", "AccessionNumber": "", "StudyDate": ""}, True),
        ({"AccessionNumber": "*"}, True),
        ({"AccessionNumber": "?"}, False),
        ({"AccessionNumber": "X"}, False),
        # wildcards (C.2.2.2.4): not in UIDs, dates or numbers; no other sign is special
        ({"PatientName": "M?ller*"}, True),
        ({"PatientName": "*^Jür*"}, True),
        ({"StudyDescription": "CT*(nat?v)"}, True),
        ({"StudyDescription": "CT.*"}, False),
        ({"PatientID": "A*1"}, True),
        ({"PatientID": "A[*]1"}, False),
        ({"StudyInstanceUID": "1.2.*"}, False),
        ({"StudyDate": "202401*"}, False),
        # lists of UIDs (C.2.2.2.2), any of several values
        ({"StudyInstanceUID": ["1.9", "1.2.3"]}, True),
        ({"StudyInstanceUID": ["1.9", "1.2.30"]}, False),
        ({"ModalitiesInStudy": "SR"}, True),
        ({"ModalitiesInStudy": ["MR", "SR"]}, True),
        ({"ModalitiesInStudy": "MR"}, False),
        # ranges (C.2.2.2.5)
        ({"StudyDate": "20240105"}, True),
        ({"StudyDate": "2024.01.05"}, True),
        ({"StudyDate": "20240101-20240105"}, True),
        ({"StudyDate": "20240106-"}, False),
        ({"StudyDate": "20240105-"}, True),
        ({"StudyDate": "-20240104"}, False),
        ({"StudyDate": "-20240105"}, True),
        ({"StudyTime": "0930"}, True),
        ({"StudyTime": "09:30:15"}, True),
        ({"StudyTime": "0900-0930"}, True),
        ({"StudyTime": "0931-"}, False),
        ({"StudyTime": "-093015.1"}, False),
        ({"StudyDate": "20240101-20240106", "StudyTime": "10-12"}, False),
        # sequences (C.2.2.2.6): one item has it all
        ({"ProcedureCodeSequence": []}, True),
        ({"ProcedureCodeSequence": [dataset()]}, True),
        ({"ProcedureCodeSequence": [dataset(CodeValue="CT2")]}, True),
        (
            {
                "ProcedureCodeSequence": [
                    dataset(CodeValue="CT2", CodingSchemeDesignator="99Y", CodeMeaning="")
                ]
            },
            True,
        ),
        ({"ProcedureCodeSequence": [dataset(CodeValue="CT2", CodingSchemeDesignator="99X")]}, False),
        ({"ProcedureCodeSequence": [dataset(CodeValue="CT2", CodeMeaning="x")]}, False),
        # keys of lower levels, keys nobody keeps, and what is no key
        ({"Modality": "MR", "SOPInstanceUID": "9"}, True),
        ({"ContrastBolusVolume": "3"}, True),
        ({"StudyID": "7"}, False),
        ({"QueryRetrieveLevel": "STUDY", "SpecificCharacterSet": "ISO_IR 100", "RetrieveAETitle": "X"}, True),
    ],
)
def test_matching(asked: dict[str, Any], expected: bool) -> None:
    assert matches(dataset(**asked), _STUDY, level="STUDY") is expected
    assert (
        matches(from_json(to_json(dataset(**asked))), from_json(to_json(_STUDY)), level="STUDY") is expected
    )


@pytest.mark.parametrize(
    ("asked", "held", "expected"),
    [
        ("20240105", "20240105103000", True),
        ("2024-2025", "20250631", True),
        ("20240105-", "20240104235959", False),
        ("20240105103000+0100", "20240105093000+0000", True),
        ("20240105103000+0100", "20240105103000+0000", False),
        ("20240105090000+0000-20240105100000+0000", "20240105103000+0100", True),
        ("20240105100000-0500", "20240105150000+0000", True),
        ("-20240105", "20240105235959.5", True),
        ("20240105103000", "20240105103000+0200", True),
        ("nonsense", "20240105", False),
        ("20240105", "nonsense", False),
    ],
)
def test_moments(asked: str, held: str, expected: bool) -> None:
    assert compare("DT", [asked], [held]) is expected


@pytest.mark.parametrize(
    ("date", "time", "combined", "expected"),
    [
        ("20240704-20240706", "10-18", True, True),
        ("20240704-20240706", "10-18", False, False),
        ("20240705-20240706", "10-18", True, False),
        ("20240704-20240705", "10-0930", True, True),
        ("20240704-20240705", "10-0929", True, False),
        ("20240704-", "10-", True, True),
        ("-20240705", "-0931", True, True),
        ("20240705", "09-10", True, True),
        ("20240705", "10-11", True, False),
    ],
)
def test_date_and_time_of_a_worklist_are_one_range(
    date: str, time: str, combined: bool, expected: bool
) -> None:
    step = dataset(ScheduledProcedureStepStartDate="20240705", ScheduledProcedureStepStartTime="0930")
    held = dataset(ScheduledProcedureStepSequence=[step])
    asked = dataset(ScheduledProcedureStepStartDate=date, ScheduledProcedureStepStartTime=time)
    assert matches(dataset(ScheduledProcedureStepSequence=[asked]), held, combined=combined) is expected


def test_series_and_images_are_compared_at_their_level() -> None:
    held = image(InstanceNumber=5)
    assert matches(dataset(Modality="CT", InstanceNumber="9"), held, level="SERIES")
    assert not matches(dataset(Modality="MR"), held, level="SERIES")
    assert matches(dataset(InstanceNumber="5"), held, level="IMAGE")
    assert not matches(dataset(InstanceNumber="9"), held, level="IMAGE")


def test_an_answer_has_what_was_asked_for() -> None:
    asked = dataset(
        QueryRetrieveLevel="STUDY",
        SpecificCharacterSet="ISO_IR 100",
        PatientName="M*",
        StudyID="",
        Modality="",
        StudyDate="20240101-",
        ProcedureCodeSequence=[dataset(CodeValue="", CodeMeaning="")],
        ReferencedStudySequence=[],
    )
    given_back = answer(asked, _STUDY, "STUDY")
    assert given_back.SpecificCharacterSet == "ISO_IR 192"
    assert given_back.QueryRetrieveLevel == "STUDY"
    assert str(given_back.PatientName).startswith("Müller^Jürgen")
    assert given_back.StudyDate == "20240105"
    assert given_back.StudyID == ""
    assert given_back.Modality == ""
    assert given_back.StudyInstanceUID == "1.2.3"
    assert "PatientID" not in given_back
    assert len(given_back.ReferencedStudySequence) == 0
    assert [(i.CodeValue, i.CodeMeaning) for i in given_back.ProcedureCodeSequence] == [
        ("CT1", ""),
        ("CT2", ""),
    ]
    assert "CodingSchemeDesignator" not in given_back.ProcedureCodeSequence[0]


def test_an_answer_can_be_sent_whatever_is_held() -> None:
    held = from_json(
        '{"00200013": {"vr": "IS", "Value": ["1.5"]}, "00280010": {"vr": "US", "Value": ["x"]}, '
        '"00100010": {"vr": "PN", "Value": [{"Ideographic": "山田"}]}}'
    )
    given_back = answer(dataset(InstanceNumber="", Rows=None, PatientName="", StudyDate=""), held, "IMAGE")
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = True, True
    write_dataset(out, given_back)
    assert "山田".encode() in out.getvalue()


_text = st.text(alphabet="ab*?^=[]\\.-1", max_size=8)


@given(_text, _text, st.sampled_from(["PN", "LO", "UI", "DA", "TM", "DT", "IS", "SH", "CS"]))
def test_comparing_never_fails_and_a_value_is_itself(asked: str, held: str, vr: str) -> None:
    assert compare(vr, [asked], [held]) in (True, False)
    if vr in ("LO", "SH", "UI"):
        assert compare(vr, [held], [held])


@given(st.text(alphabet="ab*", max_size=30), st.text(alphabet="ab", max_size=60))
def test_many_wildcards_cost_little(pattern: str, text: str) -> None:
    parts = pattern.split("*")
    at = 0
    fits = text.startswith(parts[0])
    for part in parts:
        found = text.find(part, at)
        fits = fits and found >= 0
        at = max(found, 0) + len(part)
    fits = (
        fits
        and text.endswith(parts[-1])
        and (len(parts) > 1 or text == pattern)
        and sum(map(len, parts)) <= len(text)
    )
    assert compare("LO", [pattern], [text]) is fits


def test_the_bytes_of_an_answer_are_read_by_others() -> None:
    given_back = answer(dataset(PatientName=""), _STUDY, "STUDY")
    out = DicomBytesIO()
    out.is_implicit_VR, out.is_little_endian = False, True
    write_dataset(out, given_back)
    read = pydicom.dcmread(io.BytesIO(out.getvalue()), force=True)
    assert read.PatientName.family_name == "Müller"
