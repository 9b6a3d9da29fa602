"""A DICOM node under test: on a free port, its services in memory; and what is said to it, down to bytes."""

from __future__ import annotations

import errno
import io
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pynetdicom import AE, build_context
from pynetdicom.pdu import A_ASSOCIATE_RQ
from pynetdicom.pdu_primitives import (
    A_ASSOCIATE,
    ImplementationClassUIDNotification,
    MaximumLengthNotification,
)

from engine.kernel.imaging import HeldInstance, Received
from engine.listeners.dicom import DicomNode
from engine.listeners.dicom_settings import DicomSettings

CT = "1.2.840.10008.5.1.4.1.1.2"
MR = "1.2.840.10008.5.1.4.1.1.4"
VERIFICATION = "1.2.840.10008.1.1"
STUDY_FIND, STUDY_MOVE, STUDY_GET = (f"1.2.840.10008.5.1.4.1.2.2.{n}" for n in (1, 2, 3))
PATIENT_FIND, PATIENT_GET = "1.2.840.10008.5.1.4.1.2.1.1", "1.2.840.10008.5.1.4.1.2.1.3"
WORKLIST = "1.2.840.10008.5.1.4.31"
MPPS = "1.2.840.10008.3.1.2.3.3"
COMMITMENT = "1.2.840.10008.1.20.1"
COMMITMENT_INSTANCE = "1.2.840.10008.1.20.1.1"
IMPLICIT, EXPLICIT = "1.2.840.10008.1.2", "1.2.840.10008.1.2.1"
ALL = ("store", "find", "retrieve", "worklist", "mpps", "commitment")


def bundled(name: str) -> str:
    """Return a file of pydicom's own."""
    path = get_testdata_file(name, download=False)
    assert path is not None, name
    return str(path)


class Coming:
    """An object on its way in."""

    def __init__(self, services: Memory, received: Received) -> None:
        self.services, self.received = services, received
        self.size, self.longest, self.abandoned = 0, 0, 0
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        assert isinstance(data, bytes)
        if self.services.room is not None and self.size + len(data) > self.services.room:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.size += len(data)
        self.longest = max(self.longest, len(data))
        if self.services.keeps:
            self.data += data
        self.services.written.set()

    def abandon(self) -> None:
        self.abandoned += 1
        self.services.given_up.set()


@dataclass
class Memory:
    """`NodeServices` in memory: what was asked is here, what is answered is set here."""

    room: int | None = None  # bytes of an object that fit
    keeps: bool = True
    status: int = 0x0000
    fails: Exception | None = None
    answers: list[Dataset] = field(default_factory=list)
    endless: Callable[[], Dataset] | None = None
    held: list[HeldInstance] = field(default_factory=list)
    files: dict[str, bytes] = field(default_factory=dict)
    begun: list[Coming] = field(default_factory=list)
    stored: list[Coming] = field(default_factory=list)
    asked: list[tuple[Any, ...]] = field(default_factory=list)
    written: threading.Event = field(default_factory=threading.Event)
    given_up: threading.Event = field(default_factory=threading.Event)
    may_store: threading.Event | None = None  # a store waits for it

    def begin(self, received: Received) -> Coming:
        if self.room == 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        coming = Coming(self, received)
        self.begun.append(coming)
        return coming

    def store(self, received: Received, arriving: Any) -> int:
        if self.may_store is not None:
            assert self.may_store.wait(30)
        if self.fails is not None:
            raise self.fails
        assert arriving.received == received
        self.stored.append(arriving)
        return self.status

    def find(self, peer: Any, level: str, query: Any) -> Iterator[Dataset]:
        self.asked.append(("find", peer, level, query))
        return self._answers()

    def worklist(self, peer: Any, query: Any) -> Iterator[Dataset]:
        self.asked.append(("worklist", peer, query))
        return self._answers()

    def _answers(self) -> Iterator[Dataset]:
        if self.fails is not None:
            raise self.fails
        yield from self.answers
        while self.endless is not None:
            yield self.endless()

    def retrieve(self, peer: Any, level: str, query: Any) -> list[HeldInstance]:
        self.asked.append(("retrieve", peer, level, query))
        if self.fails is not None:
            raise self.fails
        return self.held

    def open(self, address: str) -> io.BytesIO:
        return io.BytesIO(self.files[address])

    def hold(self, path: str) -> HeldInstance:
        """Hold a file."""
        with open(path, "rb") as f:
            raw = f.read()
        head = pydicom.dcmread(io.BytesIO(raw), stop_before_pixels=True)
        address = f"{len(self.files):032x}"
        self.files[address] = raw
        held = HeldInstance(
            str(head.get("StudyInstanceUID", "1.2")),
            str(head.get("SeriesInstanceUID", "1.2.3")),
            str(head.SOPClassUID),
            str(head.SOPInstanceUID),
            str(head.file_meta.TransferSyntaxUID),
            address,
            len(raw),
            len(self.files),
            0,
            head,
        )
        self.held.append(held)
        return held

    def create_step(self, peer: Any, uid: str, dataset: Any) -> int:
        return self._step("create", peer, uid, dataset)

    def set_step(self, peer: Any, uid: str, dataset: Any) -> int:
        return self._step("set", peer, uid, dataset)

    def _step(self, what: str, *said: Any) -> int:
        if self.fails is not None:
            raise self.fails
        self.asked.append((what, *said))
        return self.status

    def commit(self, peer: Any, transaction: str, references: Any) -> int:
        self.asked.append(("commit", peer, transaction, list(references)))
        return self.status


@contextmanager
def serving(services: Memory | None = None, **settings: Any) -> Iterator[tuple[DicomNode, Memory]]:
    """Serve on a free port; whoever calls may do everything unless it is said otherwise."""
    services = services or Memory()
    said = {"port": 0, "ae_title": "HUB", "others": ALL, "idle_seconds": 20, **settings}
    node = DicomNode("imaging", DicomSettings(**said), services)
    node.start()
    try:
        yield node, services
    finally:
        node.stop(5)


@contextmanager
def associated(
    node: DicomNode, *contexts: Any, calling: str = "CT01", called: str = "HUB", **more: Any
) -> Iterator[Any]:
    """Make an association with pynetdicom as the one who calls; contexts are UIDs or (UID, syntaxes)."""
    ae = AE(ae_title=calling)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = 20
    made = [build_context(c) if isinstance(c, str) else build_context(c[0], list(c[1])) for c in contexts]
    assoc = ae.associate("127.0.0.1", node.port, contexts=made, ae_title=called, max_pdu=131_072, **more)
    try:
        yield assoc
    finally:
        if assoc.is_established:
            assoc.release()


def echoes(node: DicomNode) -> bool:
    """Say whether the node answers a C-ECHO."""
    with associated(node, VERIFICATION) as assoc:
        return bool(assoc.is_established and assoc.send_c_echo().get("Status") == 0)


def until(what: Callable[[], bool], seconds: float = 20) -> bool:
    """Wait until something is so."""
    end = time.monotonic() + seconds
    while not what():
        if time.monotonic() > end:
            return False
        time.sleep(0.01)
    return True


def open_files() -> int:
    """Count the files this process has open."""
    return len(os.listdir("/proc/self/fd"))


# -- bytes


def proposal(abstract: str = CT, syntax: str = EXPLICIT, calling: str = "CT01", called: str = "HUB") -> bytes:
    """Write an A-ASSOCIATE-RQ."""
    rq = A_ASSOCIATE()
    rq.application_context_name = "1.2.840.10008.3.1.1.1"
    rq.calling_ae_title, rq.called_ae_title = calling, called
    longest, implementation = MaximumLengthNotification(), ImplementationClassUIDNotification()
    longest.maximum_length_received = 16384
    implementation.implementation_class_uid = "1.2.3.4"
    rq.user_information = [longest, implementation]
    context = build_context(abstract, syntax)
    context.context_id = 1
    rq.presentation_context_definition_list = [context]
    pdu = A_ASSOCIATE_RQ()
    pdu.from_primitive(rq)
    return bytes(pdu.encode())


def pdata(*values: tuple[int, int, bytes]) -> bytes:
    """Write a P-DATA-TF: (context, control, fragment) each; control 1 is a command, 2 the last."""
    body = b"".join(struct.pack(">LBB", len(f) + 2, cx, control) + f for cx, control, f in values)
    return struct.pack(">BxL", 4, len(body)) + body


def command(**elements: int | str) -> bytes:
    """Write a command set of elements by keyword."""
    numbers = {
        "AffectedSOPClassUID": 0x0002,
        "CommandField": 0x0100,
        "MessageID": 0x0110,
        "MessageIDBeingRespondedTo": 0x0120,
        "Priority": 0x0700,
        "CommandDataSetType": 0x0800,
        "Status": 0x0900,
        "AffectedSOPInstanceUID": 0x1000,
    }
    parts = []
    for keyword, value in sorted(elements.items(), key=lambda e: numbers[e[0]]):
        raw = (
            struct.pack("<H", value) if isinstance(value, int) else value.encode() + b"\0" * (len(value) % 2)
        )
        parts.append(struct.pack("<HHL", 0, numbers[keyword], len(raw)) + raw)
    rest = b"".join(parts)
    return struct.pack("<HHLL", 0, 0, 4, len(rest)) + rest


def c_store(sop_instance: str = "1.2.3.4", sop_class: str = CT, message_id: int = 1) -> bytes:
    """Write the command of a C-STORE-RQ."""
    return command(
        AffectedSOPClassUID=sop_class,
        CommandField=1,
        MessageID=message_id,
        Priority=0,
        CommandDataSetType=1,
        AffectedSOPInstanceUID=sop_instance,
    )


RELEASE = struct.pack(">BxLL", 5, 4, 0)
ABORT = struct.pack(">BxLL", 7, 4, 0)


class Raw:
    """A connection that says whatever bytes a test wants."""

    def __init__(self, node: DicomNode) -> None:
        self.socket = socket.create_connection(("127.0.0.1", node.port), timeout=20)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def __enter__(self) -> Raw:
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, *data: bytes) -> None:
        """Send; that the node has ended already is no fault."""
        try:
            for part in data:
                self.socket.sendall(part)
        except OSError:
            pass

    def says_no_more(self) -> None:
        """End our side of the stream; that the node has ended already is no fault."""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:
            pass

    def pdu(self) -> tuple[int, bytes]:
        """Read one PDU; (0, b"") is the end."""
        try:
            header = self._exactly(6)
            kind, length = struct.unpack(">BxL", header)
            return kind, self._exactly(length)
        except (EOFError, ConnectionError):
            return 0, b""

    def associate(self, **said: str) -> Raw:
        """Ask for an association, which must be accepted."""
        self.send(proposal(**said))
        assert self.pdu()[0] == 2
        return self

    def status(self) -> int:
        """Read the answer to a request and return its status."""
        kind, body = self.pdu()
        assert kind == 4, kind
        at = body.index(b"\0\0\0\x09\2\0\0\0") + 8
        return int.from_bytes(body[at : at + 2], "little")

    def ends(self) -> bool:
        """Read until the node has closed the connection."""
        while self.pdu()[0]:
            pass
        return True

    def _exactly(self, size: int) -> bytes:
        data = bytearray()
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return bytes(data)
