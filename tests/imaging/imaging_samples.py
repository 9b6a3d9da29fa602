"""Headers as the ingest hands them to the index. All names and numbers are made up."""

from __future__ import annotations

from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset

from engine.kernel.imaging import NewInstance, Peer, Stored

ROOT = "1.2.826.0.1.3680043.10.1462.7"
CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
CT01 = Peer("imaging", "CT01", "10.20.0.7", "HUB")


def uid(*numbers: int) -> str:
    return ".".join([ROOT, *map(str, numbers)])


def header(study: int = 1, series: int = 1, number: int = 1, **said: Any) -> Dataset:
    """A CT image of a study; `said` replaces or removes (None) attributes by keyword."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = EXPLICIT
    values: dict[str, Any] = {
        "SpecificCharacterSet": "ISO_IR 192",
        "SOPClassUID": CT,
        "SOPInstanceUID": uid(study, series, number),
        "StudyInstanceUID": uid(study),
        "SeriesInstanceUID": uid(study, series),
        "StudyDate": "20260501",
        "StudyTime": "101500",
        "StudyID": f"S{study}",
        "AccessionNumber": f"A{study}",
        "StudyDescription": "CT THORAX",
        "ReferringPhysicianName": "ROSSI^ANNA",
        "Modality": "CT",
        "SeriesNumber": series,
        "InstanceNumber": number,
        "PatientName": f"MUSTER^PERSON{study}",
        "PatientID": f"P{study}",
        "IssuerOfPatientID": "NORTH",
        "PatientBirthDate": "19600101",
        "PatientSex": "O",
        "Rows": 512,
        "Columns": 512,
    }
    for keyword, value in (values | said).items():
        if value is not None:
            setattr(dataset, keyword, value)
    return dataset


def new(
    entry: int,
    study: int = 1,
    series: int = 1,
    number: int = 1,
    *,
    address: str = "",
    at: int = 0,
    peer: Peer = CT01,
    **said: Any,
) -> NewInstance:
    stored = Stored(address or f"{study:08x}{series:08x}{number:016x}", 1000 + number)
    return NewInstance(entry, peer, stored, at or 1_000 + entry, header(study, series, number, **said))


def query(**keys: Any) -> Dataset:
    asked = Dataset()
    for keyword, value in keys.items():
        setattr(asked, keyword, value)
    return asked
