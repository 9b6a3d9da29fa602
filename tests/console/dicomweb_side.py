"""DICOMweb in this process: an index and an object store in memory, and who asks them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import pydicom
from console_web import BASE
from fastapi import FastAPI
from hub_project import TOKEN
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from starlette.testclient import TestClient

from engine.console.dicomweb import DicomWeb, add_dicomweb
from engine.console.guard import Guard
from engine.console.recorder import Recorder
from engine.console.tokens import Tokens
from engine.formats.dicom.header import read_header
from engine.formats.dicom.matching import matches
from engine.kernel.errors import HubError
from engine.kernel.imaging import Arriving, HeldInstance, Received
from engine.store.audit import Access


class Coming:
    """An object on its way in."""

    def __init__(self, room: int) -> None:
        self.data, self._room, self.abandoned = bytearray(), room, False

    def write(self, data: bytes) -> None:
        if len(self.data) + len(data) > self._room:
            raise OSError(28, "No space left on device")
        self.data += data

    def abandon(self) -> None:
        self.abandoned = True


@dataclass
class Memory:
    """Objects, index and the way to them. `room`: bytes that an object may have before the disk is full."""

    files: dict[str, bytes] = field(default_factory=dict)
    held: dict[str, HeldInstance] = field(default_factory=dict)
    coming: list[Coming] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    room: int = 1 << 30
    status: int = 0
    opened: int = 0

    def begin(self, received: Received) -> Arriving:
        self.received.append(received)
        self.coming.append(Coming(self.room))
        return self.coming[-1]

    def store(self, received: Received, arriving: Arriving) -> int:
        assert isinstance(arriving, Coming) and not arriving.abandoned
        if self.status == 0 or self.status & 0xF000 == 0xB000:
            self.add(bytes(arriving.data))
        return self.status

    def add(self, data: bytes) -> HeldInstance:
        address = f"{len(self.files):032x}"
        header = read_header(BytesIO(data))
        self.files[address] = data
        one = HeldInstance(
            str(header.StudyInstanceUID), str(header.SeriesInstanceUID), str(header.SOPClassUID),
            str(header.SOPInstanceUID), str(header.file_meta.TransferSyntaxUID), address, len(data), 1, 0, header,
        )  # fmt: skip
        self.held[one.sop_instance] = one
        return one

    def open(self, address: str) -> BinaryIO:
        if address not in self.files:
            raise HubError("there is no such object")
        self.opened += 1
        return BytesIO(self.files[address])

    def instances(self, study: str = "", series: str = "", sop: Sequence[str] = ()) -> list[HeldInstance]:
        return [
            one
            for one in self.held.values()
            if study in ("", one.study)
            and series in ("", one.series)
            and (not sop or one.sop_instance in sop)
        ]

    def search(self, level: str, query: Dataset, limit: int = 0, offset: int = 0) -> Iterator[Dataset]:
        key = {"STUDY": "study", "SERIES": "series", "IMAGE": "sop_instance"}[level]
        found: dict[str, Dataset] = {}
        for one in self.held.values():
            if matches(query, one.dataset, level=level):
                found.setdefault(getattr(one, key), one.dataset)
        yield from list(found.values())[offset : offset + limit if limit else None]


class Ledger:
    """An audit table in memory. `broken`: it cannot be written."""

    def __init__(self) -> None:
        self.rows: list[Access] = []
        self.broken = False

    def record(self, *accesses: Access) -> None:
        if self.broken:
            raise HubError("the audit table cannot be written")
        self.rows += accesses


@dataclass
class Side:
    """DICOMweb and who asks it."""

    memory: Memory
    ledger: Ledger
    app: Any
    client: TestClient

    def get(self, path: str, accept: str = "", **more: Any) -> Any:
        headers = {"Accept": accept} if accept else {}
        return self.client.get(f"/dicomweb{path}", headers=headers, **more)

    def stow(self, *files: bytes, study: str = "", accept: str = "") -> Any:
        boundary = "a-boundary"
        body = b"".join(
            b"--a-boundary\r\nContent-Type: application/dicom\r\n\r\n" + one + b"\r\n" for one in files
        )
        headers = {"Content-Type": f'multipart/related; type="application/dicom"; boundary={boundary}'}
        headers |= {"Accept": accept} if accept else {}
        path = f"/dicomweb/studies/{study}" if study else "/dicomweb/studies"
        return self.client.post(path, content=body + b"--a-boundary--\r\n", headers=headers)


def make_side(**more: Any) -> Side:
    memory, ledger = Memory(), Ledger()
    app = FastAPI(openapi_url=None)
    guard = Guard(app)
    web = DicomWeb(memory, memory, memory, "imaging", **more)
    add_dicomweb(app, web, Tokens.read(TOKEN), Recorder(ledger))  # type: ignore[arg-type]
    client = TestClient(
        guard, BASE, headers={"Authorization": f"Bearer {TOKEN}"}, client=("127.0.0.1", 50000)
    )
    return Side(memory, ledger, guard, client)


def sample(name: str, **changes: Any) -> bytes:
    """Return a file of pydicom's own; with `changes`, written anew with these attributes."""
    path = Path(str(get_testdata_file(name)))
    if not changes:
        return path.read_bytes()
    dataset = pydicom.dcmread(path)
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    if "SOPInstanceUID" in changes:
        dataset.file_meta.MediaStorageSOPInstanceUID = changes["SOPInstanceUID"]
    out = BytesIO()
    dataset.save_as(out)
    return out.getvalue()


def parts(answer: Any) -> list[tuple[dict[str, str], bytes]]:
    """Split a multipart answer as a mail program would: by its own rules, not by ours."""

    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    made = BytesParser(policy=HTTP).parsebytes(head + answer.content)
    assert not made.defects, made.defects
    boundary = str(made.get_boundary()).encode()
    pieces = answer.content.split(b"\r\n--" + boundary)[1:-1]
    return [
        ({k.lower(): str(v) for k, v in part.items()}, piece.partition(b"\r\n\r\n")[2])
        for part, piece in zip(made.iter_parts(), pieces, strict=True)
    ]
