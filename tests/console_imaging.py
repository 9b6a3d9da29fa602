"""Images of invented studies, held by a hub of the test suite."""

from __future__ import annotations

from io import BytesIO

import pydicom
from pydicom.data import get_testdata_file

from engine.channels.node.opening import Imaging
from engine.formats.dicom.header import read_header
from engine.kernel.imaging import NewInstance, Peer

CT01 = Peer("imaging", "CT01", "10.20.0.7", "HUB")
ROOT = "1.2.826.0.1.3680043.10.1462.9"


def keep(imaging: Imaging, study: str, number: int, **said: str) -> None:
    """Hold one image of a study."""
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    values = {
        "StudyInstanceUID": study,
        "SeriesInstanceUID": f"{study}.1",
        "SOPInstanceUID": f"{study}.1.{number}",
        "StudyDate": "20260501",
        "AccessionNumber": f"ACC{study[-1]}",
        "Modality": "CT",
        "ModalitiesInStudy": "CT",
    }
    for keyword, value in (values | said).items():
        setattr(dataset, keyword, value)
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    out = BytesIO()
    dataset.save_as(out)
    coming = imaging.objects.begin()
    coming.write(out.getvalue())
    stored = imaging.objects.keep(coming)
    with imaging.objects.open(stored.address) as stream:
        header = read_header(stream)
    imaging.index.add([NewInstance(number, CT01, stored, 1_780_000_000_000, header)])
