"""What travels between the rooms of imaging: an object on its way in, what is held of it, what it belongs to.

Plain records without behaviour, and the few calls a room may make of another (typing.Protocol). Times are
milliseconds since the epoch, UTC. UIDs are as DICOM writes them, without padding. A `Dataset` is pydicom's.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, NamedTuple, Protocol

from engine.kernel.errors import HubError

__all__ = [
    "Added",
    "Arriving",
    "HeldInstance",
    "HeldStudy",
    "Linked",
    "NewInstance",
    "NodeServices",
    "NotUnique",
    "Objects",
    "Peer",
    "Received",
    "Step",
    "Stored",
    "StudyTree",
]

Dataset = Any


class NotUnique(HubError):
    """A unique key of a retrieval that names more than one."""


class Peer(NamedTuple):
    """Who is at the other end of an association, or of a request of DICOMweb."""

    channel: str
    aet: str  # calling AE title; the name of the token for DICOMweb
    address: str = ""  # network address, without port
    called: str = ""  # called AE title


@dataclass(frozen=True, slots=True)
class Received:
    """What is known of an object before its bytes have come (PS3.7 9.3.1, C-STORE-RQ)."""

    peer: Peer
    sop_class: str
    sop_instance: str
    transfer_syntax: str
    is_file: bool = False  # what comes is a whole Part 10 file (STOW-RS), not a bare dataset


class Arriving(Protocol):
    """One object while it comes in. Nothing of it is visible before `Objects.keep` has returned."""

    def write(self, data: bytes) -> None:
        """Take more bytes. Raises OSError (ENOSPC where the disk is full)."""

    def abandon(self) -> None:
        """Forget it; may be called at any time, more than once."""


class Stored(NamedTuple):
    """An object on disk."""

    address: str  # hex, the keyed hash of its bytes: the same bytes have the same address
    size: int  # bytes as sent


class Objects(Protocol):
    """The object store: sealed, content-addressed, for objects of any size."""

    def begin(self) -> Arriving:
        """Begin an object."""

    def keep(self, arriving: Arriving) -> Stored:
        """Make it durable (file and folder fsynced) under its address, and say where it is."""

    def open(self, address: str) -> BinaryIO:
        """Open an object to read: seekable, memory bounded. Raises HubError where it is gone or damaged."""

    def touch(self, address: str) -> bool:
        """Count on an object as if it were brought now; says whether it is there."""

    def delete(self, address: str) -> bool:
        """Remove an object; says whether there was one."""


@dataclass(frozen=True, slots=True)
class NewInstance:
    """An object that is on disk, with its journal entry, for the index."""

    entry: int
    peer: Peer
    stored: Stored
    received: int
    header: Dataset  # without pixels, with file_meta
    other: bool = (
        False  # its entry says so: other bytes are held under its UID, it never becomes the one served
    )


@dataclass(frozen=True, slots=True)
class Added:
    """What the index says of one new instance."""

    what: str  # new | same (bytes are held) | other (other bytes are held under this UID: kept, not served)
    study: str


@dataclass(frozen=True, slots=True)
class HeldInstance:
    """One instance that is held."""

    study: str
    series: str
    sop_class: str
    sop_instance: str
    transfer_syntax: str
    address: str
    size: int
    entry: int
    received: int
    dataset: Dataset  # the attributes the index keeps, of all levels


@dataclass(frozen=True, slots=True)
class HeldStudy:
    """One study that is held, with what it was found to belong to."""

    uid: str
    channel: str
    dataset: Dataset  # study-level attributes, with NumberOfStudyRelated..., ModalitiesInStudy
    series: int
    instances: int
    changed: int  # ms: when the last instance came, or something it belongs to
    told: int  # the state that was told last (0: never); untold when `version` is greater
    version: int
    link: str  # "" not looked for yet | linked | unmatched | mismatch
    reason: str  # stable word: why, e.g. `no-order`, `birth-date-differs`
    bound_by: str = ""  # who bound it by hand


@dataclass(frozen=True, slots=True)
class Linked:
    """What a study, a procedure step or a report of DICOM belongs to in the core store."""

    state: str  # linked | unmatched | mismatch
    reason: str = ""  # stable word
    by: str = ""  # study-uid | accession | requested-procedure | patient | hand
    patient: tuple[str, str] | None = None  # (system, value): a key of the Patient in the core store
    patient_id: str = ""  # its id there
    order: tuple[str, str] | None = None  # a key of the ServiceRequest
    order_id: str = ""
    encounter_id: str = ""


@dataclass(frozen=True, slots=True)
class StudyTree:
    """All that is held of one study, as the maps are given it."""

    study: HeldStudy
    series: tuple[tuple[Dataset, tuple[HeldInstance, ...]], ...]


@dataclass(frozen=True, slots=True)
class Step:
    """A modality performed procedure step (PS3.4 F.7)."""

    uid: str
    status: str  # IN PROGRESS | COMPLETED | DISCONTINUED
    dataset: Dataset  # as N-CREATE said it, N-SETs applied
    entry: int  # the journal entry of its last change


class NodeServices(Protocol):
    """What a DICOM node asks of the hub. Called from any thread; none returns before it is durable."""

    def begin(self, received: Received) -> Arriving:
        """Begin an object. Raises OSError (ENOSPC) where there is no room for one."""

    def store(self, received: Received, arriving: Arriving) -> int:
        """Keep an object, journal it, index it; return a C-STORE status (PS3.4 B.2.3)."""

    def find(self, peer: Peer, level: str, query: Dataset) -> Iterator[Dataset]:
        """Answer a C-FIND of the study root (PS3.4 C.4.1); level PATIENT, STUDY, SERIES or IMAGE."""

    def worklist(self, peer: Peer, query: Dataset) -> Iterator[Dataset]:
        """Answer a C-FIND of the modality worklist (PS3.4 K.6.1)."""

    def retrieve(self, peer: Peer, level: str, query: Dataset) -> Sequence[HeldInstance]:
        """Return what a C-MOVE or C-GET asks for (PS3.4 C.4.2, C.4.3), and record that it was asked for.

        Raises NotUnique where a Patient ID is several persons'.
        """

    def open(self, address: str) -> BinaryIO:
        """Open an object: a whole Part 10 file."""

    def create_step(self, peer: Peer, uid: str, dataset: Dataset) -> int:
        """N-CREATE of a performed procedure step; return its status (PS3.4 F.7.2.1.3, PS3.7 C)."""

    def set_step(self, peer: Peer, uid: str, dataset: Dataset) -> int:
        """N-SET of a performed procedure step; return its status: 0x0110 for one that has ended."""

    def commit(self, peer: Peer, transaction: str, references: Iterable[tuple[str, str]]) -> int:
        """N-ACTION of storage commitment: (SOP class, SOP instance) pairs; the answer follows (PS3.4 J.3)."""
