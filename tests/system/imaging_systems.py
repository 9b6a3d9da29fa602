"""A modality for tests, by pynetdicom: asks for its worklist, tells of its steps, sends objects, wants them
committed.

Everything is invented here; the images are 8 x 8 pixels.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Any

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian, generate_uid
from pynetdicom import AE, build_role, evt
from pynetdicom.sop_class import (  # type: ignore[attr-defined]
    ModalityPerformedProcedureStep,
    ModalityWorklistInformationFind,
    StorageCommitmentPushModel,
    StorageCommitmentPushModelInstance,
    StudyRootQueryRetrieveInformationModelFind,
)

__all__ = ["Modality", "image", "registered", "step_of"]


def registered(mrn: str, name: str, born: str, sex: str) -> bytes:
    """Make the ADT that registers a patient of the hospital NORTH."""
    return (
        f"MSH|^~\\&|REG|NORTH|HUB|CDR|20261121070000-0500||ADT^A04^ADT_A01|A{mrn}|P|2.5.1"
        "|||||||UNICODE UTF-8\r"
        f"EVN|A04|20261121070000-0500\rPID|1||{mrn}^^^NORTH^MR||{name}||{born}|{sex}\rPV1|1|N\r"
    ).encode()


class Modality:
    """A CT scanner that calls a node, and listens for its reports."""

    def __init__(self, node_port: int, aet: str = "CT01", called: str = "HUB") -> None:
        self.node, self.aet, self.called = node_port, aet, called
        self.reports: list[Dataset] = []
        self.reported = threading.Event()
        ae = AE(aet)
        ae.add_supported_context(StorageCommitmentPushModel, scu_role=True, scp_role=True)
        self._server: Any = ae.start_server(
            ("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_N_EVENT_REPORT, self._report)]
        )
        self.port: int = self._server.server_address[1]

    def __enter__(self) -> Modality:
        return self

    def __exit__(self, kind: type | None, e: BaseException | None, tb: TracebackType | None) -> None:
        self._server.shutdown()

    def _report(self, event: Any) -> tuple[int, None]:
        self.reports.append(event.event_information)
        self.reported.set()
        return 0x0000, None

    def _call(self, *contexts: Any, roles: Any = None) -> Any:
        ae = AE(self.aet)
        for context in contexts:
            ae.add_requested_context(*context) if isinstance(context, tuple) else ae.add_requested_context(
                context
            )
        called = ae.associate("127.0.0.1", self.node, ae_title=self.called, ext_neg=roles or [])
        assert called.is_established, "the node does not answer"
        return called

    def worklist(self, **keys: str) -> list[Dataset]:
        """Ask for the steps of CT."""
        step = Dataset()
        step.Modality, step.ScheduledStationAETitle = "CT", ""
        step.ScheduledProcedureStepStartDate, step.ScheduledProcedureStepID = "", ""
        query = Dataset()
        query.ScheduledProcedureStepSequence = [step]
        for keyword in ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"):
            setattr(query, keyword, "")
        for keyword in ("AccessionNumber", "RequestedProcedureID", "StudyInstanceUID"):
            setattr(query, keyword, "")
        for keyword, value in keys.items():
            setattr(query, keyword, value)
        return self._find(ModalityWorklistInformationFind, query)

    def studies(self, **keys: str) -> list[Dataset]:
        """Ask what is held."""
        query = Dataset()
        query.QueryRetrieveLevel, query.StudyInstanceUID = "STUDY", ""
        query.NumberOfStudyRelatedInstances = None
        for keyword, value in keys.items():
            setattr(query, keyword, value)
        return self._find(StudyRootQueryRetrieveInformationModelFind, query)

    def _find(self, model: Any, query: Dataset) -> list[Dataset]:
        called = self._call(model)
        try:
            found = []
            for status, identifier in called.send_c_find(query, model):
                assert status.Status in (0x0000, 0xFF00, 0xFF01), hex(status.Status)
                if identifier is not None:
                    found.append(identifier)
            return found
        finally:
            called.release()

    def begin(self, uid: str, step: Dataset) -> int:
        """N-CREATE."""
        called = self._call(ModalityPerformedProcedureStep)
        try:
            status, _ = called.send_n_create(step, ModalityPerformedProcedureStep, uid)
            return int(status.Status)
        finally:
            called.release()

    def end(self, uid: str, how: str = "COMPLETED") -> int:
        """N-SET."""
        change = Dataset()
        change.PerformedProcedureStepStatus = how
        change.PerformedProcedureStepEndDate, change.PerformedProcedureStepEndTime = "20261121", "101500"
        called = self._call(ModalityPerformedProcedureStep)
        try:
            status, _ = called.send_n_set(change, ModalityPerformedProcedureStep, uid)
            return int(status.Status)
        finally:
            called.release()

    def send(self, images: Iterable[Dataset]) -> list[int]:
        """C-STORE each, over one association; an image not answered has no status."""
        called = self._call((CTImageStorage, ExplicitVRLittleEndian))
        statuses = []
        for one in images:
            if not called.is_established:
                break
            statuses.append(int(called.send_c_store(one).get("Status", -1)))
        if called.is_established:
            called.release()
        return statuses

    def commit(self, transaction: str, images: Iterable[Dataset]) -> int:
        """N-ACTION: want to hear that these are safe."""
        asked = Dataset()
        asked.TransactionUID = transaction
        asked.ReferencedSOPSequence = [_reference(one) for one in images]
        called = self._call(
            StorageCommitmentPushModel, roles=[build_role(StorageCommitmentPushModel, scu_role=True)]
        )
        try:
            status, _ = called.send_n_action(
                asked, 1, StorageCommitmentPushModel, StorageCommitmentPushModelInstance
            )
            return int(status.Status)
        finally:
            called.release()


def _reference(one: Dataset) -> Dataset:
    out = Dataset()
    out.ReferencedSOPClassUID, out.ReferencedSOPInstanceUID = one.SOPClassUID, one.SOPInstanceUID
    return out


def step_of(item: Dataset, uid: str = "") -> Dataset:
    """Make the N-CREATE of a step that stood on the worklist."""
    scheduled = Dataset()
    scheduled.StudyInstanceUID, scheduled.AccessionNumber = item.StudyInstanceUID, item.AccessionNumber
    scheduled.RequestedProcedureID = item.RequestedProcedureID
    scheduled.ScheduledProcedureStepID = item.ScheduledProcedureStepSequence[0].ScheduledProcedureStepID
    out = Dataset()
    out.ScheduledStepAttributesSequence = [scheduled]
    for keyword in ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"):
        setattr(out, keyword, item.get(keyword, ""))
    out.PerformedProcedureStepID, out.PerformedStationAETitle = "PPS1", "CT01"
    out.PerformedProcedureStepStartDate, out.PerformedProcedureStepStartTime = "20261121", "100000"
    out.PerformedProcedureStepStatus, out.Modality, out.StudyID = "IN PROGRESS", "CT", "1"
    out.PerformedSeriesSequence = []
    return out


def image(item: Dataset, series: str, number: int) -> Dataset:
    """Make one small CT image of what stood on the worklist."""
    out = Dataset()
    out.SOPClassUID, out.SOPInstanceUID = CTImageStorage, generate_uid(entropy_srcs=[series, str(number)])
    for keyword in ("PatientName", "PatientID", "IssuerOfPatientID", "PatientBirthDate", "PatientSex"):
        setattr(out, keyword, item.get(keyword, ""))
    out.StudyInstanceUID, out.AccessionNumber = item.StudyInstanceUID, item.AccessionNumber
    out.StudyDate, out.StudyTime, out.StudyID = "20261121", "100000", "1"
    out.Modality, out.SeriesInstanceUID, out.SeriesNumber = "CT", series, "1"
    out.InstanceNumber = str(number)
    out.Rows = out.Columns = 8
    out.BitsAllocated = out.BitsStored = 8
    out.HighBit, out.PixelRepresentation, out.SamplesPerPixel = 7, 0, 1
    out.PhotometricInterpretation = "MONOCHROME2"
    out.PixelData = bytes((number + n) % 256 for n in range(64))
    out.file_meta = FileMetaDataset()
    out.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    return out
