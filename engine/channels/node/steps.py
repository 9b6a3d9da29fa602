"""Modality performed procedure steps: the state machine of N-CREATE and N-SET (PS3.4 F.7, PS3.3 C.4.13).

In: what a modality says. Out: a DIMSE status, given only once the journal has the state after the change; a
worker makes a Task of it and moves the order on. A step that has ended stays as it is (0x0110).
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from hashlib import blake2b
from io import BytesIO
from typing import Any, Protocol

from pydicom import dcmwrite
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import ExplicitVRLittleEndian

from engine.kernel.imaging import Peer, Step
from engine.kernel.message import Accepted, NewEntry

__all__ = ["MPPS", "StepBook", "Steps", "part10"]

MPPS = "1.2.840.10008.3.1.2.3.3"
SUCCESS, PROCESSING_FAILURE, BAD_VALUE = 0x0000, 0x0110, 0x0106
DUPLICATE, UNKNOWN, MISSING = 0x0111, 0x0112, 0x0120
"""PS3.7 annex C; 0x0110 is what PS3.4 F.7.2.2.3 wants of a step that may no longer be updated."""
LEFT_GROUP, LEFT_CREATOR = 0x0099, "HUB STEPS LEFT"
"""The private attribute (0099,1001) of the journal's copy; maps see it as `x00991001`."""
STATES = ("IN PROGRESS", "COMPLETED", "DISCONTINUED")
NEEDED = (
    "ScheduledStepAttributesSequence",
    "PerformedProcedureStepID",
    "PerformedStationAETitle",
    "PerformedProcedureStepStartDate",
    "PerformedProcedureStepStartTime",
    "PerformedProcedureStepStatus",
    "Modality",
)
"""Type 1 of N-CREATE (PS3.4 table F.7.2-1): without them nobody knows what is done, when or where."""
FIXED = frozenset(NEEDED) - {"PerformedProcedureStepStatus"} | {
    *("PatientName", "PatientID", "PatientBirthDate", "PatientSex", "IssuerOfPatientID", "StudyID"),
    *("ReferencedPatientSequence", "SpecificCharacterSet"),
}
"""What an N-SET may not change (the same table): a step never becomes another patient's."""


class StepBook(Protocol):
    """Where steps are kept (`engine.imaging`)."""

    def step(self, uid: str) -> Step | None: ...
    def put_step(self, step: Step, studies: Iterable[str] = ()) -> None: ...


class Steps:
    """The performed procedure steps that modalities tell of."""

    def __init__(
        self,
        book: StepBook,
        append: Callable[[Sequence[NewEntry]], list[Accepted]],
        clock: Callable[[], int],
        order_keys: Callable[[Any], tuple[str, ...]],
        left: Callable[[str, Collection[str]], int] = lambda study, done: 0,
    ) -> None:
        """`left` says how many steps of a study's orders are still to do beside those that are named."""
        self._book, self._append, self._clock = book, append, clock
        self._order_keys, self._left = order_keys, left
        self._lock = threading.Lock()  # one step at a time: two N-SETs of one step must not meet

    def create(self, peer: Peer, uid: str, said: Any) -> int:
        """Begin a step; return the status of its N-CREATE."""
        if any(not _valued(said, keyword) for keyword in NEEDED):
            return MISSING
        if said.PerformedProcedureStepStatus != "IN PROGRESS":
            return BAD_VALUE
        with self._lock:
            known = self._book.step(uid)
            if known is not None:
                return DUPLICATE
            self._keep(peer, uid, said)
        return SUCCESS

    def set(self, peer: Peer, uid: str, said: Any) -> int:
        """Change a step that is in progress; return the status of its N-SET."""
        with self._lock:
            known = self._book.step(uid)
            if known is None:
                return UNKNOWN
            if known.status != "IN PROGRESS":
                return PROCESSING_FAILURE
            status = said.get("PerformedProcedureStepStatus")
            if status is not None and status not in STATES:
                return BAD_VALUE
            after = Dataset()
            after.update(known.dataset)
            after.update({e.tag: e for e in said if e.keyword not in FIXED})
            self._keep(peer, uid, after)
        return SUCCESS

    def _keep(self, peer: Peer, uid: str, dataset: Any) -> None:
        """Write the state down, in the journal first: what is answered is on disk."""
        status = str(dataset.PerformedProcedureStepStatus)
        body = part10(self._marked(dataset, status), MPPS, uid)
        entry = NewEntry(
            channel=peer.channel,
            body=body,
            received=self._clock(),
            sender=peer.aet,
            peer=peer.address,
            control_id=f"{uid} {blake2b(body, digest_size=8).hexdigest()}",  # said again: the same entry
            message_type=f"dicom mpps {status.lower()}",
            order_keys=self._order_keys(dataset),
        )
        (accepted,) = self._append([entry])
        step = Step(uid, status, dataset, accepted.id)
        scheduled = dataset.get("ScheduledStepAttributesSequence") or ()
        studies = {str(item.get("StudyInstanceUID") or "") for item in scheduled} - {""}
        self._book.put_step(step, sorted(studies))

    def _marked(self, dataset: Any, status: str) -> Any:
        """Say in the journal's copy where an order has other steps to come: this one does not complete it."""
        if status != "COMPLETED":
            return dataset
        scheduled = dataset.get("ScheduledStepAttributesSequence") or ()
        done = {str(item.get("ScheduledProcedureStepID") or "") for item in scheduled}
        studies = {str(item.get("StudyInstanceUID") or "") for item in scheduled} - {""}
        left = sum(self._left(study, done) for study in studies)
        if not left:
            return dataset
        marked = Dataset()
        marked.update(dataset)
        marked.private_block(LEFT_GROUP, LEFT_CREATOR, create=True).add_new(1, "US", min(left, 0xFFFF))
        return marked


def part10(dataset: Any, sop_class: str, sop_instance: str) -> bytes:
    """Write a dataset as a file of its own (PS3.10 7.1), explicit little endian."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = sop_class
    meta.MediaStorageSOPInstanceUID = sop_instance
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    whole = Dataset()
    whole.update(dataset)
    whole.SOPClassUID, whole.SOPInstanceUID = sop_class, sop_instance
    whole.file_meta = meta
    out = BytesIO()
    dcmwrite(out, whole, enforce_file_format=True)
    return out.getvalue()


def _valued(dataset: Any, keyword: str) -> bool:
    element = dataset.get(keyword)
    return (
        element is not None
        and str(element).strip() != ""
        and (not hasattr(element, "__len__") or len(element) > 0)
    )
