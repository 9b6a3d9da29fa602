"""DICOMweb in this process, over a real index and a real object store, and who asks it."""

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

from engine.console.callers import Callers
from engine.console.dicomweb import DicomWeb, add_dicomweb
from engine.console.guard import Guard
from engine.console.recorder import Recorder
from engine.console.tokens import Tokens
from engine.formats.dicom.header import read_header
from engine.imaging.index import SqlIndex
from engine.kernel.errors import HubError, StoreUnavailable
from engine.kernel.imaging import Arriving, HeldInstance, NewInstance, Received
from engine.objects.folder import FolderObjects
from engine.security.keys import Keyring
from engine.store.audit import Access


class Coming:
    """An object on its way into the store, on a disk that has room for so many bytes."""

    def __init__(self, inner: Arriving, room: int) -> None:
        self.inner, self._room, self.abandoned = inner, room, False

    def write(self, data: bytes) -> None:
        self._room -= len(data)
        if self._room < 0:
            raise OSError(28, "No space left on device")
        self.inner.write(data)

    def abandon(self) -> None:
        self.abandoned = True
        self.inner.abandon()


@dataclass
class Kept:
    """Objects and index. `room`: bytes until the disk is full; `status`: what is answered."""

    objects: FolderObjects
    index: SqlIndex
    coming: list[Coming] = field(default_factory=list)
    received: list[Received] = field(default_factory=list)
    sent: dict[str, bytes] = field(default_factory=dict)  # SOP instance -> the file
    room: int = 1 << 40
    status: int = 0
    opened: int = 0
    gone: bool = False  # the object store does not answer

    def begin(self, received: Received) -> Arriving:
        self.received.append(received)
        self.coming.append(Coming(self.objects.begin(), self.room))
        return self.coming[-1]

    def store(self, received: Received, arriving: Arriving) -> int:
        assert isinstance(arriving, Coming) and not arriving.abandoned
        if self.status and self.status & 0xF000 != 0xB000:
            arriving.abandon()
            return self.status
        stored = self.objects.keep(arriving.inner)
        with self.objects.open(stored.address) as stream:
            header = read_header(stream)
        self.index.add([NewInstance(len(self.received), received.peer, stored, 1_700_000_000_000, header)])
        return self.status

    def open(self, address: str) -> BinaryIO:
        if self.gone:
            raise StoreUnavailable("the objects cannot be reached")
        self.opened += 1
        return self.objects.open(address)

    def instances(
        self, study: str = "", series: str = "", sop: Sequence[str] = (), attributes: bool = True
    ) -> list[HeldInstance]:
        return self.index.instances(study, series, sop, attributes)

    def search(self, level: str, query: Dataset, limit: int = 0, offset: int = 0) -> Iterator[Dataset]:
        return self.index.search(level, query, limit, offset)


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

    kept: Kept
    ledger: Ledger
    app: Any
    client: TestClient
    stranger: TestClient

    def get(self, path: str, accept: str = "", **more: Any) -> Any:
        headers = {"Accept": accept} if accept else {}
        return self.client.get(f"/dicomweb{path}", headers=headers, **more)

    def stow(self, *files: bytes, study: str = "", accept: str = "") -> Any:
        kind = 'multipart/related; type="application/dicom"; boundary=a-boundary'
        headers = {"Content-Type": kind, **({"Accept": accept} if accept else {})}
        path = f"/dicomweb/studies/{study}" if study else "/dicomweb/studies"
        return self.client.post(path, content=body_of(*files), headers=headers)

    def keep(self, *files: bytes) -> list[HeldInstance]:
        """Store files; return what is held of them."""
        answer = self.stow(*files)
        assert answer.status_code == 200, answer.text
        held = []
        for one in files:
            sop = str(read_header(BytesIO(one)).SOPInstanceUID)
            self.kept.sent[sop] = one
            held += self.kept.instances(sop=(sop,))
        return held


def body_of(*files: bytes) -> bytes:
    """Return a multipart body of objects."""
    head = b"--a-boundary\r\nContent-Type: application/dicom\r\n\r\n"
    return b"".join(head + one + b"\r\n" for one in files) + b"--a-boundary--\r\n"


def make_side(folder: Path, *, tokens: str = TOKEN, **more: Any) -> Side:
    keyring = Keyring.open(folder / "hub.key", existing_data=False)
    index = SqlIndex.open(f"sqlite:///{folder / 'imaging.db'}", keyring)
    kept, ledger = Kept(FolderObjects(folder / "objects", keyring), index), Ledger()
    app = FastAPI(openapi_url=None)
    guard = Guard(app)
    web = DicomWeb(kept, kept, kept, "imaging", **more)
    add_dicomweb(app, web, Callers(Tokens.read(tokens)), Recorder(ledger))  # type: ignore[arg-type]
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    client = TestClient(guard, BASE, headers=bearer, client=("127.0.0.1", 50000))
    stranger = TestClient(guard, BASE, client=("192.0.2.7", 50002))
    return Side(kept, ledger, guard, client, stranger)


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


def place(one: HeldInstance) -> str:
    """Return the path of an instance."""
    return f"/studies/{one.study}/series/{one.series}/instances/{one.sop_instance}"


def parts(answer: Any) -> list[tuple[dict[str, str], bytes]]:
    """Split a multipart answer as a mail program would: by its own rules, not by ours."""
    assert answer.status_code == 200, answer.text
    head = f"Content-Type: {answer.headers['content-type']}\r\n\r\n".encode()
    made = BytesParser(policy=HTTP).parsebytes(head + answer.content)
    assert not made.defects, made.defects
    boundary = str(made.get_boundary()).encode()
    pieces = answer.content.split(b"\r\n--" + boundary)[1:-1]
    return [
        ({name.lower(): str(value) for name, value in part.items()}, piece.partition(b"\r\n\r\n")[2])
        for part, piece in zip(made.iter_parts(), pieces, strict=True)
    ]
