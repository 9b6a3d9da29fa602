"""What a DICOM node asks of the hub, answered from its rooms: objects, journal, index, core store.

In: calls of a node's threads (`NodeServices`). Out: statuses and datasets. What shows patient data is in the
audit table before it is given out; what is acknowledged is on disk before it is. Follows PS3.4 annexes B, C,
F, J and K.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO, Protocol

from pydicom.dataset import Dataset

from engine.formats.dicom.matching import answer
from engine.formats.dicom.values import items_of, text_of
from engine.kernel.imaging import Arriving, HeldInstance, NotUnique, Objects, Peer, Received
from engine.listeners.dicom_settings import DicomSettings
from engine.store.audit import Access

__all__ = ["Services"]

NO_SUCH_PLACE = 0x0110
"""Status of an N-ACTION whose answer would reach nobody (PS3.7 C.5.9, processing failure)."""


class Takes(Protocol):
    """The way of objects to the disk (`ingest.py`)."""

    def begin(self, received: Received) -> Arriving: ...
    def store(self, received: Received, arriving: Arriving) -> int: ...


class Holds(Protocol):
    """What is held (`engine.imaging`)."""

    def search(self, level: str, query: Any) -> Iterator[Any]: ...
    def instances(self, study: str = "", series: str = "", sop: Sequence[str] = ()) -> list[HeldInstance]: ...
    def add_commitment(
        self, transaction: str, peer: Peer, references: Sequence[tuple[str, str]], at: int
    ) -> None: ...


class Lists(Protocol):
    """The modality worklist (`worklist.py`)."""

    def answers(self, query: Any) -> Iterator[Any]: ...


class Begun(Protocol):
    """Procedure steps (`steps.py`)."""

    def create(self, peer: Peer, uid: str, said: Any) -> int: ...
    def set(self, peer: Peer, uid: str, said: Any) -> int: ...


class Services:
    """One node's side of the hub; calls come from several threads."""

    def __init__(
        self,
        settings: DicomSettings,
        takes: Takes,
        holds: Holds,
        objects: Objects,
        lists: Lists,
        begun: Begun,
        record: Callable[[Access], None],
        clock: Callable[[], int],
        woken: Callable[[], None] = lambda: None,
    ) -> None:
        self._settings, self._takes, self._holds = settings, takes, holds
        self._objects, self._lists, self._begun = objects, lists, begun
        self._record, self._clock, self._woken = record, clock, woken

    def begin(self, received: Received) -> Arriving:
        """Begin an object."""
        return self._takes.begin(received)

    def store(self, received: Received, arriving: Arriving) -> int:
        """Keep an object; return a C-STORE status."""
        return self._takes.store(received, arriving)

    def find(self, peer: Peer, level: str, query: Any) -> Iterator[Any]:
        """Answer a C-FIND over what is held."""
        self._note(peer, "find", level.lower(), _asked(query))
        for held in self._holds.search(level, query):
            found = answer(query, held)
            found.QueryRetrieveLevel = level
            found.RetrieveAETitle = self._settings.ae_title
            yield found

    def worklist(self, peer: Peer, query: Any) -> Iterator[Any]:
        """Answer a C-FIND of the worklist."""
        self._note(peer, "worklist", "worklist", _asked(query))
        yield from self._lists.answers(query)

    def retrieve(self, peer: Peer, level: str, query: Any) -> Sequence[HeldInstance]:
        """Return what a C-MOVE or C-GET asks for: by unique keys alone (PS3.4 C.4.2.1.4).

        Raises NotUnique where a Patient ID is several issuers'.
        """
        study, series = _uids(query, "StudyInstanceUID"), _uids(query, "SeriesInstanceUID")
        sop = _uids(query, "SOPInstanceUID")
        self._note(peer, "retrieve", level.lower(), _asked(query))
        if level == "PATIENT":
            study = tuple(uid for uid in self._studies_of(query) if not study or uid in study)
            if not study:
                return []
        if level == "STUDY":
            series, sop = (), ()
        elif level == "SERIES":
            sop = ()
        found = []
        for uid in study or ("",):
            for part in series or ("",):
                if uid or part or sop:
                    found += self._holds.instances(study=uid, series=part, sop=sop)
        return found

    def _studies_of(self, query: Any) -> list[str]:
        """Return the studies of one patient: a number is unique with its issuer only (PS3.3 C.7.1.1)."""
        number, issuer = text_of(query, "PatientID"), text_of(query, "IssuerOfPatientID")
        asked = Dataset()
        asked.PatientID, asked.StudyInstanceUID = number, ""
        studies = [
            (self._issuer_of(held), text_of(held, "StudyInstanceUID"))
            for held in self._holds.search("STUDY", asked)
            if text_of(held, "PatientID") == number  # whole, whatever a query would match
        ]
        if not issuer and len({by for by, _ in studies}) > 1:
            raise NotUnique(
                "this number is of several issuers", where="(0010,0020)", remedy="say the issuer: (0010,0021)"
            )
        return [uid for by, uid in studies if by == (issuer or by)]

    def _issuer_of(self, held: Any) -> str:
        said = [text_of(held, "IssuerOfPatientID")]
        for item in items_of(held, "IssuerOfPatientIDQualifiersSequence"):
            said.append(text_of(item, "UniversalEntityID"))
        return next((one for one in said if one), self._settings.issuers.patient)

    def open(self, address: str) -> BinaryIO:
        """Open an object."""
        return self._objects.open(address)

    def create_step(self, peer: Peer, uid: str, dataset: Any) -> int:
        """Begin a performed procedure step."""
        return self._begun.create(peer, uid, dataset)

    def set_step(self, peer: Peer, uid: str, dataset: Any) -> int:
        """Change a performed procedure step."""
        return self._begun.set(peer, uid, dataset)

    def commit(self, peer: Peer, transaction: str, references: Iterable[tuple[str, str]]) -> int:
        """Take a request for storage commitment; its answer goes out on an association of its own."""
        known = self._settings.peer(peer.aet)
        if known is None or not known.host:
            return NO_SUCH_PLACE
        self._holds.add_commitment(transaction, peer, list(references), self._clock())
        self._woken()
        return 0x0000

    def _note(self, peer: Peer, action: str, what: str, detail: str) -> None:
        self._record(Access(f"dicom:{peer.aet}", f"dicom:{action}", what, f"{peer.address} {detail}".strip()))


def _uids(query: Any, keyword: str) -> tuple[str, ...]:
    value = query.get(keyword)
    if not value:
        return ()
    return (
        tuple(str(one) for one in value)
        if hasattr(value, "__iter__") and not isinstance(value, str)
        else (str(value),)
    )


def _asked(query: Any) -> str:
    """Say what was asked for, for the audit table, where it is sealed."""
    said = [f"{e.keyword}={e.value}" for e in query if e.VR != "SQ" and e.keyword and str(e.value)]
    return ", ".join(said)[:500]
