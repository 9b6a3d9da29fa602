"""De-identified copies: nothing of the patient is left in any byte, what must fit together still does."""

from __future__ import annotations

import io
from typing import Any

import pydicom
import pytest
from pydicom.encaps import encapsulate

from engine.formats.dicom.deidentify import deidentified, deidentify
from engine.formats.dicom.profile import action_of
from engine.formats.dicom.uids import is_uid, study_uid_of
from engine.formats.dicom.values import tag_of
from engine.kernel.errors import FormatError
from tests.formats.dicom_samples import (
    BIG,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    dataset,
    file_of,
    image,
    sample,
    samples,
)

_SECRETS = (
    "Mustermann",
    "Erika",
    "Elsewhere",
    "19610203",
    "20240105",
    "103000",
    "ACC77",
    "Dr^House",
    "NORTHGENERAL",
    "+4930",
)


def _uid(uid: str) -> str:
    return study_uid_of(b"key" + uid.encode())


def _code(value: str, meaning: str) -> Any:
    return dataset(CodeValue=value, CodingSchemeDesignator="99X", CodeMeaning=meaning)


def _full(**more: Any) -> Any:
    """Make an object that has the patient in every kind of place."""
    made = image(
        PatientName="Mustermann^Erika",
        PatientID="Mustermann-1",
        PatientBirthDate="19610203",
        PatientSex="F",
        PatientAge="063Y",
        PatientAddress="1 Elsewhere",
        PatientTelephoneNumbers="+4930",
        OtherPatientIDsSequence=[dataset(PatientID="Mustermann-2", IssuerOfPatientID="NORTHGENERAL")],
        AccessionNumber="ACC77",
        StudyDate="20240105",
        StudyTime="103000",
        SeriesDate="20240105",
        AcquisitionDateTime="20240105103000",
        ContentDate="20240105",
        InstanceCreationDate="20240105",
        StudyDescription="Thorax of Mustermann",
        SeriesDescription="Mustermann",
        ReferringPhysicianName="Dr^House",
        PerformingPhysicianName="Dr^House",
        OperatorsName="Dr^House",
        InstitutionName="NORTHGENERAL",
        StationName="NORTHGENERAL1",
        RequestAttributesSequence=[
            dataset(RequestedProcedureID="ACC77", RequestedProcedureDescription="Mustermann")
        ],
        ReferencedImageSequence=[
            dataset(ReferencedSOPClassUID="1.2.840.10008.5.1.4.1.1.2", ReferencedSOPInstanceUID="1.2.3.5")
        ],
        FrameOfReferenceUID="1.2.3.9",
        ImageComments="Mustermann",
        ProtocolName="Mustermann 103000",
        BodyPartExamined="CHEST",
        KVP="120",
        BurnedInAnnotation="NO",
        PixelData=b"\1\0\2\0\3\0\4\0\5\0\6\0",
        **more,
    )
    made["PixelData"].VR = "OW"
    made.private_block(0x0009, "ACME", create=True).add_new(1, "LO", "Mustermann")
    made.add_new(0x60003000, "OW", b"\1\1")
    made.add_new(0x60004000, "LT", "Mustermann")
    made.add_new(0x50003000, "OW", b"\1\1")
    made.add_new(0x40104019, "DT", "20240105")  # a moment that the table does not name
    made.add_new(0x00084000, "LT", "Mustermann")
    return made


@pytest.mark.parametrize("syntax", [IMPLICIT, EXPLICIT, BIG, DEFLATED])
def test_nothing_of_the_patient_is_left(syntax: str) -> None:
    data = file_of(_full(), syntax)
    out = b"".join(deidentified(io.BytesIO(data), _uid, patient="P-0001"))
    for secret in _SECRETS:
        assert secret.encode() not in out
    made = pydicom.dcmread(io.BytesIO(out))
    assert made.file_meta.TransferSyntaxUID == (EXPLICIT if syntax == DEFLATED else syntax)
    original = pydicom.dcmread(io.BytesIO(data))
    assert made.PixelData == original.PixelData
    assert (made.PatientID, made.PatientName) == ("P-0001", "P-0001")
    assert (made.StudyDate, made.StudyTime, made.AccessionNumber, made.PatientSex) == ("", "", "", "")
    assert made.PatientIdentityRemoved == "YES"
    assert made.DeidentificationMethodCodeSequence[0].CodeValue == "113100"
    assert (made.BodyPartExamined, str(made.KVP), made.Modality) == ("CHEST", "120", "CT")
    assert not [e for e in made if e.tag.is_private or e.tag.group & 0xFF00 in (0x5000, 0x6000)]
    for keyword in ("PatientAge", "OtherPatientIDsSequence", "StudyDescription", "RequestAttributesSequence"):
        assert keyword not in made


def test_uids_are_replaced_everywhere_alike() -> None:
    made = deidentify(_full(), _uid)
    assert made.SOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
    assert made.StudyInstanceUID == _uid("1.2.3")
    assert made.SeriesInstanceUID == _uid("1.2.3.1")
    assert made.SOPInstanceUID == _uid("1.2.3.4")
    assert made.FrameOfReferenceUID == _uid("1.2.3.9")
    assert made.ReferencedImageSequence[0].ReferencedSOPInstanceUID == _uid("1.2.3.5")
    assert made.ReferencedImageSequence[0].ReferencedSOPClassUID == "1.2.840.10008.5.1.4.1.1.2"
    out = pydicom.dcmread(io.BytesIO(b"".join(deidentified(io.BytesIO(file_of(_full())), _uid))))
    assert out.file_meta.MediaStorageSOPInstanceUID == out.SOPInstanceUID == _uid("1.2.3.4")


def test_the_original_is_left_as_it_was() -> None:
    made = _full()
    before = made.to_json()
    deidentify(made, _uid)
    assert made.to_json() == before


def test_a_report_keeps_its_numbers_and_codes_and_no_text() -> None:
    items = [
        dataset(
            RelationshipType="CONTAINS",
            ValueType="TEXT",
            ConceptNameCodeSequence=[_code("1", "Finding")],
            TextValue="Mustermann has",
        ),
        dataset(RelationshipType="HAS OBS CONTEXT", ValueType="PNAME", PersonName="Dr^House"),
        dataset(ValueType="DATE", Date="20240105"),
        dataset(ValueType="UIDREF", UID="1.2.3.4"),
        dataset(
            ValueType="NUM",
            ConceptNameCodeSequence=[_code("2", "Length")],
            MeasuredValueSequence=[
                dataset(NumericValue="12.5", MeasurementUnitsCodeSequence=[_code("mm", "mm")])
            ],
            ContentSequence=[dataset(ValueType="TEXT", TextValue="Elsewhere")],
        ),
    ]
    observer = dataset(
        VerifyingObserverName="Dr^House",
        VerificationDateTime="20240105",
        VerifyingOrganization="NORTHGENERAL",
        VerifyingObserverIdentificationCodeSequence=[_code("Dr^House", "Dr^House")],
    )
    author = dataset(PersonIdentificationCodeSequence=[_code("Dr^House", "Dr^House")])
    made = dataset(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.88.22",
        SOPInstanceUID="1.2.3.4",
        PatientName="Mustermann",
        ValueType="CONTAINER",
        ContentSequence=items,
        VerifyingObserverSequence=[observer],
        AuthorObserverSequence=[author],
        ContentQualification=None,
    )
    out = b"".join(deidentified(io.BytesIO(file_of(made)), _uid))
    for secret in _SECRETS:
        assert secret.encode() not in out
    read = pydicom.dcmread(io.BytesIO(out))
    length = read.ContentSequence[4]
    assert str(length.MeasuredValueSequence[0].NumericValue) == "12.5"
    assert length.ConceptNameCodeSequence[0].CodeMeaning == "Length"
    assert read.SOPInstanceUID == read.ContentSequence[3].UID
    assert read.ContentSequence[0].TextValue == "REMOVED"


@pytest.mark.parametrize(
    ("values", "allowed"),
    [
        ({"BurnedInAnnotation": "YES"}, False),
        ({"BurnedInAnnotation": "NO"}, True),
        ({"BurnedInAnnotation": None}, True),
        ({"BurnedInAnnotation": None, "Modality": "US"}, False),
        ({"BurnedInAnnotation": None, "SOPClassUID": "1.2.840.10008.5.1.4.1.1.7"}, False),
        ({"BurnedInAnnotation": "NO", "Modality": "US"}, True),
    ],
)
def test_names_in_pixels_are_refused_unless_somebody_looked(values: dict[str, Any], allowed: bool) -> None:
    made = _full()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    if allowed:
        deidentify(made, _uid)
    else:
        with pytest.raises(FormatError, match="pixels"):
            deidentify(made, _uid)
        assert deidentify(made, _uid, burned_in=True).PatientName == ""


def test_documents_of_other_formats_are_refused() -> None:
    made = dataset(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.104.1", SOPInstanceUID="1.2", EncapsulatedDocument=b"%PDF"
    )
    with pytest.raises(FormatError, match="document"):
        deidentify(made, _uid, burned_in=True)


def test_fragments_are_passed_on_and_nothing_behind_them() -> None:
    made = _full(NumberOfFrames=2)
    made.PixelData = encapsulate([b"\1" * 30, b"\2" * 30])
    made["PixelData"].is_undefined_length = True
    made["PixelData"].VR = "OB"
    made.DigitalSignaturesSequence = [
        dataset(MACIDNumber=1, DigitalSignatureUID="1.2.3.77", CertificateOfSigner=b"Mustermann")
    ]
    data = file_of(made, "1.2.840.10008.1.2.5")
    out = b"".join(deidentified(io.BytesIO(data), _uid, chunk=7))
    assert b"Mustermann" not in out
    read = pydicom.dcmread(io.BytesIO(out))
    assert read.PixelData == pydicom.dcmread(io.BytesIO(data)).PixelData
    assert "DigitalSignaturesSequence" not in read


@pytest.mark.parametrize(
    "path",
    [p for p in samples() if p.name not in ("rtplan_truncated.dcm", "MR_truncated.dcm")],
    ids=lambda p: p.name,
)
def test_every_file_of_pydicom_can_be_made_anonymous(path: Any) -> None:
    data = path.read_bytes()
    out = b"".join(deidentified(io.BytesIO(data), _uid, patient="P1", burned_in=True))
    read = pydicom.dcmread(io.BytesIO(out))
    assert read.PatientName == "P1"
    original = pydicom.dcmread(io.BytesIO(data))
    if original.get("SOPInstanceUID"):
        assert read.SOPInstanceUID == _uid(original.SOPInstanceUID)
    if "PixelData" in original:
        assert read.PixelData == original.PixelData
    for name in original.get("PatientName", "").components if original.get("PatientName") else ():
        assert len(name) < 5 or name.encode() not in out


def test_an_object_that_is_cut_off_is_refused() -> None:
    with pytest.raises(FormatError, match="cut off"):
        b"".join(deidentified(io.BytesIO(sample("MR_truncated.dcm")), _uid, burned_in=True))


def test_rows_of_the_table() -> None:
    rows = {
        "PatientName": "Z",
        "PatientID": "Z/D",
        "StudyInstanceUID": "U",
        "AcquisitionDate": "X/Z",
        "SeriesDate": "X/D",
        "StationName": "X/Z/D",
        "ReferencedImageSequence": "X/Z/U",
        "PatientComments": "X",
        "VerifyingObserverName": "D",
        "GPSLatitude": "X",
        "BodyPartExamined": "",
    }
    assert {keyword: action_of(tag_of(keyword)) for keyword in rows} == rows
    assert (action_of(0x60024000), action_of(0x60020010), action_of(0x50FE0000)) == ("X", "", "X")
    assert is_uid(_uid("1.2"))
