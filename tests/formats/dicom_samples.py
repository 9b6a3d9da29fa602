"""Objects that tests of DICOM make or take from pydicom's own."""

from __future__ import annotations

from functools import cache
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom.data import get_charset_files, get_testdata_files
from pydicom.dataset import Dataset, FileMetaDataset

from engine.formats.dicom.header import is_dicom

CT = "1.2.840.10008.5.1.4.1.1.2"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
DEFLATED, BIG = "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.2"


@cache
def samples() -> tuple[Path, ...]:
    """Return pydicom's Part 10 files."""
    names = {*get_testdata_files(), *get_charset_files("*.dcm")}
    paths = sorted(Path(name) for name in names if Path(name).is_file())
    return tuple(path for path in paths if is_dicom(path.read_bytes()))


def sample(name: str) -> bytes:
    """Return one of them."""
    return next(path for path in samples() if path.name == name).read_bytes()


def dataset(**values: Any) -> Any:
    """Make a dataset by keywords."""
    made = Dataset()
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def image(**values: Any) -> Any:
    """Make a small CT image."""
    made = dataset(
        SOPClassUID=CT,
        SOPInstanceUID="1.2.3.4",
        StudyInstanceUID="1.2.3",
        SeriesInstanceUID="1.2.3.1",
        Modality="CT",
        PatientName="Doe^Jane",
        PatientID="P1",
        Rows=2,
        Columns=3,
        SamplesPerPixel=1,
        PhotometricInterpretation="MONOCHROME2",
        BitsAllocated=16,
        BitsStored=16,
        HighBit=15,
        PixelRepresentation=0,
    )
    for keyword, value in values.items():
        setattr(made, keyword, value)
    return made


def file_of(made: Any, syntax: str = EXPLICIT) -> bytes:
    """Write a dataset as a Part 10 file."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = made.get("SOPClassUID", CT)
    meta.MediaStorageSOPInstanceUID = made.get("SOPInstanceUID", "1.2.3.4")
    meta.TransferSyntaxUID = syntax
    made.file_meta = meta
    out = BytesIO()
    made.save_as(out, enforce_file_format=True)
    return out.getvalue()
