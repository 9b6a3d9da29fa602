"""Makes `sample_messages/dicom`: small DICOM objects with values of our own, and a study as the hub tells of
it.

Run `python tools/dicom_samples.py`. The result depends on nothing but this file: the same bytes every time.
Two CT images of one series and an ultrasound image, one procedure step begun and completed, a report of
measurements (PS3.16 TID 1500), one of obstetric ultrasound (TID 5000), a key object selection, and a study
entry.
"""

from __future__ import annotations

import json
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.filewriter import dcmwrite
from pydicom.uid import ExplicitVRLittleEndian

OUT = Path(__file__).parents[1] / "sample_messages/dicom"
ROOT = "2.25.314159265358979323846"
STUDY, ULTRASOUND = f"{ROOT}.1", f"{ROOT}.2"
CT, US, MPPS = "1.2.840.10008.5.1.4.1.1.2", "1.2.840.10008.5.1.4.1.1.6.1", "1.2.840.10008.3.1.2.3.3"
REPORT, SELECTION = "1.2.840.10008.5.1.4.1.1.88.33", "1.2.840.10008.5.1.4.1.1.88.59"


def dataset(**values: Any) -> Dataset:
    """Make a dataset of keywords and values."""
    made = Dataset()
    for name, value in values.items():
        setattr(made, name, value)
    return made


def code(value: str, scheme: str, meaning: str) -> list[Dataset]:
    """Make a code sequence of one item."""
    return [dataset(CodeValue=value, CodingSchemeDesignator=scheme, CodeMeaning=meaning)]


def patient(study: str) -> dict[str, Any]:
    """Give the attributes of patient and study."""
    return {
        "SpecificCharacterSet": "ISO_IR 192",
        "StudyDate": "20260502",
        "StudyTime": "083015",
        "TimezoneOffsetFromUTC": "-0500",
        "AccessionNumber": "AC77" if study == STUDY else "AC78",
        "ReferringPhysicianName": "QUILL^NORA",
        "StudyDescription": "CT chest" if study == STUDY else "Obstetric ultrasound",
        "PatientName": "SAMPLE^WREN",
        "PatientID": "100234",
        "IssuerOfPatientIDQualifiersSequence": [
            dataset(UniversalEntityID="2.16.840.1.113883.19.4.7", UniversalEntityIDType="ISO")
        ],
        "PatientBirthDate": "19610412",
        "PatientSex": "F",
        "StudyInstanceUID": study,
        "StudyID": "S77",
    }


def image(study: str, sop_class: str, modality: str, number: int, **more: Any) -> Dataset:
    """Make an image of 8 by 8 pixels."""
    series = f"{study}.1"
    return dataset(
        **patient(study),
        SOPClassUID=sop_class,
        SOPInstanceUID=f"{series}.{number}",
        ImageType=["ORIGINAL", "PRIMARY"],
        SeriesDate="20260502",
        SeriesTime="083120",
        Modality=modality,
        SeriesInstanceUID=series,
        SeriesNumber=1,
        InstanceNumber=number,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        Rows=8,
        Columns=8,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelRepresentation=0,
        PixelData=bytes(range(64)),
        **more,
    )


def step(status: str) -> Dataset:
    """Make a performed procedure step as it stands."""
    ended = status == "COMPLETED"
    made = dataset(
        SpecificCharacterSet="ISO_IR 192",
        SOPClassUID=MPPS,
        SOPInstanceUID=f"{ROOT}.9",
        TimezoneOffsetFromUTC="-0500",
        Modality="CT",
        PatientName="SAMPLE^WREN",
        PatientID="100234",
        IssuerOfPatientIDQualifiersSequence=patient(STUDY)["IssuerOfPatientIDQualifiersSequence"],
        PatientBirthDate="19610412",
        PatientSex="F",
        PerformedProcedureStepID="PPS77",
        PerformedStationAETitle="CT01",
        PerformedStationName="CT room 4",
        PerformedProcedureStepStartDate="20260502",
        PerformedProcedureStepStartTime="083000",
        PerformedProcedureStepStatus=status,
        PerformedProcedureStepDescription="CT chest",
        ScheduledStepAttributesSequence=[
            dataset(
                StudyInstanceUID=STUDY,
                AccessionNumber="AC77",
                RequestedProcedureID="RP1",
                ScheduledProcedureStepID="SPS1",
                RequestedProcedureDescription="CT chest",
            )
        ],
    )
    if ended:
        made.PerformedProcedureStepEndDate, made.PerformedProcedureStepEndTime = "20260502", "084200"
        made.PerformedSeriesSequence = [dataset(SeriesInstanceUID=f"{STUDY}.1", ProtocolName="CHEST")]
    return made


def container(concept: list[Dataset], *content: Dataset, relation: str = "CONTAINS") -> Dataset:
    """Make a content item that holds others."""
    return dataset(
        RelationshipType=relation,
        ValueType="CONTAINER",
        ConceptNameCodeSequence=concept,
        ContinuityOfContent="SEPARATE",
        ContentSequence=list(content),
    )


def number(
    concept: list[Dataset], value: str, unit: list[Dataset], *content: Dataset, **more: Any
) -> Dataset:
    """Make a content item with a number."""
    made = dataset(
        RelationshipType=more.pop("relation", "CONTAINS"),
        ValueType="NUM",
        ConceptNameCodeSequence=concept,
        MeasuredValueSequence=[dataset(NumericValue=value, MeasurementUnitsCodeSequence=unit)]
        if value
        else [],
        **more,
    )
    if content:
        made.ContentSequence = list(content)
    return made


def coded(
    concept: list[Dataset], value: list[Dataset], relation: str = "CONTAINS", *content: Dataset
) -> Dataset:
    """Make a content item with a code."""
    made = dataset(
        RelationshipType=relation,
        ValueType="CODE",
        ConceptNameCodeSequence=concept,
        ConceptCodeSequence=value,
    )
    if content:
        made.ContentSequence = list(content)
    return made


def text(concept: list[Dataset], value: str, relation: str = "HAS OBS CONTEXT") -> Dataset:
    """Make a content item with words."""
    return dataset(
        RelationshipType=relation, ValueType="TEXT", ConceptNameCodeSequence=concept, TextValue=value
    )


def evidence(study: str, *instances: str, sop_class: str = CT) -> list[Dataset]:
    """Say which objects a report was made of."""
    objects = [dataset(ReferencedSOPClassUID=sop_class, ReferencedSOPInstanceUID=uid) for uid in instances]
    return [
        dataset(
            StudyInstanceUID=study,
            ReferencedSeriesSequence=[dataset(SeriesInstanceUID=f"{study}.1", ReferencedSOPSequence=objects)],
        )
    ]


def document(study: str, sop_class: str, series: int, title: list[Dataset], **more: Any) -> Dataset:
    """Make a report or a selection."""
    return dataset(
        **patient(study),
        SOPClassUID=sop_class,
        SOPInstanceUID=f"{study}.{series}.1",
        Modality="KO" if sop_class == SELECTION else "SR",
        SeriesInstanceUID=f"{study}.{series}",
        SeriesNumber=series,
        InstanceNumber=1,
        ContentDate="20260502",
        ContentTime="101500",
        ValueType="CONTAINER",
        ConceptNameCodeSequence=title,
        ContinuityOfContent="SEPARATE",
        **more,
    )


MM = code("mm", "UCUM", "mm")


def measurements() -> Dataset:
    """Make a report of one nodule: how long it is, where, how it looks (TID 1500)."""
    source = dataset(
        RelationshipType="INFERRED FROM",
        ValueType="IMAGE",
        ReferencedSOPSequence=[dataset(ReferencedSOPClassUID=CT, ReferencedSOPInstanceUID=f"{STUDY}.1.2")],
    )
    site = coded(
        code("363698007", "SCT", "Finding Site"),
        code("39607008", "SCT", "Lung"),
        "HAS CONCEPT MOD",
        coded(code("272741003", "SCT", "Laterality"), code("24028007", "SCT", "Right"), "HAS CONCEPT MOD"),
    )
    group = container(
        code("125007", "DCM", "Measurement Group"),
        text(code("112039", "DCM", "Tracking Identifier"), "Nodule 1"),
        dataset(
            RelationshipType="HAS OBS CONTEXT",
            ValueType="UIDREF",
            ConceptNameCodeSequence=code("112040", "DCM", "Tracking Unique Identifier"),
            UID=f"{ROOT}.50",
        ),
        coded(code("121071", "DCM", "Finding"), code("27925004", "SCT", "Nodule")),
        site,
        number(code("103339001", "SCT", "Long Axis"), "12.50", MM, source),
        number(
            code("1000", "99HUB", "Density"),
            "",
            MM,
            NumericValueQualifierCodeSequence=code("114006", "DCM", "Measurement failure"),
        ),
        coded(code("111034", "DCM", "Shape"), code("30807003", "SCT", "Round shape")),
    )
    library = container(
        code("111028", "DCM", "Image Library"),
        number(code("112225", "DCM", "Slice Thickness"), "1.25", MM),
    )
    return document(
        STUDY,
        REPORT,
        5,
        code("126000", "DCM", "Imaging Measurement Report"),
        CompletionFlag="COMPLETE",
        VerificationFlag="VERIFIED",
        VerifyingObserverSequence=[
            dataset(
                VerifyingOrganization="North",
                VerificationDateTime="20260502101400-0500",
                VerifyingObserverName="QUILL^NORA",
            )
        ],
        ContentTemplateSequence=[dataset(MappingResource="DCMR", TemplateIdentifier="1500")],
        CurrentRequestedProcedureEvidenceSequence=evidence(STUDY, f"{STUDY}.1.1", f"{STUDY}.1.2"),
        ContentSequence=[library, container(code("126010", "DCM", "Imaging Measurements"), group)],
    )


def obstetric() -> Dataset:
    """Make a report of fetal biometry that nobody has verified (TID 5000)."""
    fetus = (
        coded(code("121024", "DCM", "Subject Class"), code("121026", "DCM", "Fetus"), "HAS OBS CONTEXT"),
        text(code("11951-1", "LN", "Fetus ID"), "A"),
    )
    biparietal = container(
        code("125005", "DCM", "Biometry Group"),
        number(
            code("11820-8", "LN", "Biparietal Diameter"),
            "4.71",
            code("cm", "UCUM", "cm"),
            coded(code("121401", "DCM", "Derivation"), code("373098007", "SCT", "Mean"), "HAS CONCEPT MOD"),
        ),
    )
    return document(
        ULTRASOUND,
        REPORT,
        5,
        code("125000", "DCM", "OB-GYN Ultrasound Procedure Report"),
        CompletionFlag="COMPLETE",
        VerificationFlag="UNVERIFIED",
        ContentTemplateSequence=[dataset(MappingResource="DCMR", TemplateIdentifier="5000")],
        ContentSequence=[container(code("125002", "DCM", "Fetal Biometry"), *fetus, biparietal)],
    )


def selection() -> Dataset:
    """Make a key object selection."""
    return document(
        STUDY,
        SELECTION,
        6,
        code("113000", "DCM", "Of Interest"),
        CurrentRequestedProcedureEvidenceSequence=evidence(STUDY, f"{STUDY}.1.2"),
        ContentSequence=[
            text(code("113012", "DCM", "Key Object Description"), "The nodule on the right", "CONTAINS"),
            dataset(
                RelationshipType="CONTAINS",
                ValueType="IMAGE",
                ReferencedSOPSequence=[
                    dataset(ReferencedSOPClassUID=CT, ReferencedSOPInstanceUID=f"{STUDY}.1.2")
                ],
            ),
        ],
    )


def file(made: Dataset) -> bytes:
    """Write a dataset as a file (PS3.10)."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID, meta.MediaStorageSOPInstanceUID = made.SOPClassUID, made.SOPInstanceUID
    meta.TransferSyntaxUID, meta.ImplementationClassUID = ExplicitVRLittleEndian, f"{ROOT}.0"
    meta.SourceApplicationEntityTitle = "CT01"
    made.file_meta = meta
    out = BytesIO()
    dcmwrite(out, made, enforce_file_format=True)
    return out.getvalue()


def entry() -> bytes:
    """Write the CT study as the hub tells of it: linked to its patient and its order."""
    one, two = image(STUDY, CT, "CT", 1), image(STUDY, CT, "CT", 2)
    of_series = ("Modality", "SeriesInstanceUID", "SeriesNumber", "SeriesDate", "SeriesTime")
    of_instance = ("SOPClassUID", "SOPInstanceUID", "InstanceNumber", "ImageType")

    def model(of: Dataset, names: Any) -> dict[str, Any]:
        picked = dataset(**{name: of[name].value for name in names})
        found: dict[str, Any] = picked.to_json_dict()
        return found

    made = {
        "dicom study": 1,
        "uid": STUDY,
        "told": 2,
        "channel": "imaging",
        "link": {
            "state": "linked",
            "reason": "",
            "by": "study-uid",
            "patient": {"system": "urn:oid:2.16.840.1.113883.19.4.7", "value": "100234"},
            "order": {"system": "urn:dicom:uid", "value": f"urn:oid:{STUDY}"},
        },
        "retrieve": "https://hub.example.org/dicomweb",
        "issuers": {"patient": "", "accession": ""},
        "study": model(one, [n for n in patient(STUDY) if n != "SpecificCharacterSet"]),
        "series": [
            {"series": model(one, of_series), "instances": [model(one, of_instance), model(two, of_instance)]}
        ],
    }
    return json.dumps(made).encode()


def main() -> None:
    """Write all of them."""
    OUT.mkdir(exist_ok=True)
    chest = {"BodyPartExamined": "CHEST", "Laterality": "R", "OperatorsName": "REED^ADA"}
    for name, made in {
        "ct_1": image(STUDY, CT, "CT", 1, **chest),
        "ct_2": image(STUDY, CT, "CT", 2, **chest),
        "us_1": image(ULTRASOUND, US, "US", 1),
        "mpps_in_progress": step("IN PROGRESS"),
        "mpps_completed": step("COMPLETED"),
        "sr_measurements": measurements(),
        "sr_obstetric": obstetric(),
        "key_objects": selection(),
    }.items():
        (OUT / f"{name}.dcm").write_bytes(file(made))
    (OUT / "study_entry.json").write_bytes(entry())


if __name__ == "__main__":
    main()
