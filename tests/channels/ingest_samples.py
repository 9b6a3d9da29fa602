"""An ingest over a real journal, index and object store, and objects to bring. All names are made up."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset

from engine.channels.node.ingest import Ingest
from engine.imaging.index import SqlIndex
from engine.journal.sql import SqlJournal
from engine.kernel.imaging import Arriving, Peer, Received
from engine.objects.folder import FolderObjects
from engine.security.keys import Keyring

ROOT = "1.2.826.0.1.3680043.10.1462.8"
CT = "1.2.840.10008.5.1.4.1.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
CT01 = Peer("imaging", "CT01", "10.20.0.7", "HUB")
PACS = Peer("imaging", "PACS", "10.20.0.8", "HUB")


class Parts:
    """What an ingest stands on, in one folder."""

    def __init__(self, folder: Path, **options: Any) -> None:
        self.keyring = Keyring.open(folder / "hub.key", existing_data=(folder / "hub.key").exists())
        self.objects = FolderObjects(folder / "objects", self.keyring)
        self.journal = SqlJournal.open(f"sqlite:///{folder / 'journal.db'}", self.keyring)
        self.index = SqlIndex.open(f"sqlite:///{folder / 'imaging.db'}", self.keyring)
        self.seen: list[str] = []
        self.ingest = Ingest(
            self.objects,
            self.index,
            self.journal.append,
            seen=lambda channel, outcome, size: self.seen.append(outcome),
            **options,
        )

    def files(self) -> list[Path]:
        return sorted(p for p in self.objects.root.rglob("*") if p.is_file())

    def close(self) -> None:
        self.journal.close()
        self.index.close()


def uid(*numbers: int) -> str:
    return ".".join([ROOT, *map(str, numbers)])


def image(study: int = 1, series: int = 1, number: int = 1, pixels: int = 2048, **said: Any) -> Dataset:
    dataset = Dataset()
    values: dict[str, Any] = {
        "SOPClassUID": CT,
        "SOPInstanceUID": uid(study, series, number),
        "StudyDate": "20260501",
        "AccessionNumber": f"A{study}",
        "Modality": "CT",
        "PatientName": f"MUSTER^PERSON{study}",
        "PatientID": f"P{study}",
        "IssuerOfPatientID": "NORTH",
        "StudyInstanceUID": uid(study),
        "SeriesInstanceUID": uid(study, series),
        "InstanceNumber": number,
        "Rows": 32,
        "Columns": 32,
        "BitsAllocated": 16,
    }
    for keyword, value in (values | said).items():
        if value is not None:
            setattr(dataset, keyword, value)
    if pixels:
        dataset.PixelData = (b"%08d" % number) * (pixels // 8)
        dataset["PixelData"].VR = "OW"
    return dataset


def encoded(dataset: Dataset) -> bytes:
    """The dataset alone, explicit little endian, as C-STORE sends it."""
    out = BytesIO()
    dcmwrite(out, dataset, implicit_vr=False, little_endian=True)
    return out.getvalue()


def as_file(dataset: Dataset, **meta: str) -> bytes:
    """A whole Part 10 file, as STOW-RS sends it."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = EXPLICIT
    for keyword, value in meta.items():
        setattr(dataset.file_meta, keyword, value)
    out = BytesIO()
    dcmwrite(out, dataset, enforce_file_format=True)
    return out.getvalue()


def received(dataset: Dataset, peer: Peer = CT01, syntax: str = EXPLICIT, is_file: bool = False) -> Received:
    return Received(peer, str(dataset.SOPClassUID), str(dataset.SOPInstanceUID), syntax, is_file)


def bring(
    ingest: Ingest,
    dataset: Dataset,
    peer: Peer = CT01,
    *,
    data: bytes | None = None,
    piece: int = 1000,
    is_file: bool = False,
    before_store: Callable[[Arriving], None] = lambda arriving: None,
    **announced: str,
) -> int:
    """Send an object in pieces; return its status."""
    told = received(dataset, peer, is_file=is_file)
    if announced:
        told = Received(
            peer,
            announced.get("sop_class", told.sop_class),
            announced.get("sop", told.sop_instance),
            EXPLICIT,
        )
    whole = data if data is not None else encoded(dataset)
    arriving = ingest.begin(told)
    for at in range(0, len(whole), piece):
        arriving.write(whole[at : at + piece])
    before_store(arriving)
    return ingest.store(told, arriving)
