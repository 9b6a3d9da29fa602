"""What a DICOM node answers: each DIMSE service as a handler of pynetdicom, done by the hub's services.

In: events of associations. Out: statuses and datasets. A service that a caller may not use is refused here
as well as in the negotiation. Follows PS3.4 B.2.3 (storage), C.4 (query), F.7 (procedure steps),
J.3 (commitment), K.4 (worklist) and PS3.7 annex C. C-GET and C-MOVE are `dicom_retrieve`.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import evt

from engine.formats.dicom.uids import is_uid
from engine.kernel.errors import HubError, place_of
from engine.kernel.imaging import NodeServices, Peer, Received
from engine.listeners.dicom_metrics import NodeMetrics
from engine.listeners.dicom_policy import COMMITMENT_INSTANCE, SERVICES, WORKLIST
from engine.listeners.dicom_receiving import ObjectSink
from engine.listeners.dicom_settings import DicomSettings

__all__ = ["Answers"]

log = logging.getLogger("hub.dicom")

SUCCESS, PENDING, CANCELLED = 0x0000, 0xFF00, 0xFE00
OUT_OF_RESOURCES, DOES_NOT_MATCH, CANNOT_PROCESS = 0xA700, 0xA900, 0xC000
PROCESSING_FAILURE, INVALID_INSTANCE, NO_SUCH_INSTANCE = 0x0110, 0x0117, 0x0112
NO_SUCH_ACTION, CLASS_NOT_SUPPORTED, NOT_AUTHORIZED, MISSING_ATTRIBUTE = 0x0123, 0x0122, 0x0124, 0x0120
_LEVELS = ("PATIENT", "STUDY", "SERIES", "IMAGE")


class Answers:
    """The handlers of one node."""

    def __init__(
        self,
        channel: str,
        settings: DicomSettings,
        services: NodeServices,
        metrics: NodeMetrics,
    ) -> None:
        self._channel, self._settings = channel, settings
        self._services, self._metrics = services, metrics

    def handlers(self) -> list[Any]:
        """Return what pynetdicom binds."""
        return [
            (evt.EVT_C_ECHO, self._echo),
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_FIND, self._find),
            (evt.EVT_N_CREATE, self._create),
            (evt.EVT_N_SET, self._set),
            (evt.EVT_N_ACTION, self._action),
        ]

    def peer_of(self, association: Any) -> Peer:
        """Say who is at the other end."""
        rq = association.requestor
        called = association.requestor.primitive.called_ae_title if association.requestor.primitive else ""
        return Peer(self._channel, str(rq.ae_title).strip(), str(rq.address), str(called).strip())

    def begin(self, association: Any, context_id: int, command: Any) -> ObjectSink:
        """Begin to receive the object of a C-STORE."""
        context = association._accepted_cx.get(context_id)
        syntax = str(context.transfer_syntax[0]) if context is not None else ""
        received = Received(
            self.peer_of(association),
            str(command.get("AffectedSOPClassUID") or ""),
            str(command.get("AffectedSOPInstanceUID") or ""),
            syntax,
        )
        refusal = self._refusal(association, received, context)
        return ObjectSink(self._services, received, self._settings.max_object_mb << 20, refusal)

    def _refusal(self, association: Any, received: Received, context: Any) -> tuple[int, str] | None:
        """Say why an object is not even begun."""
        if context is None or not context.as_scp or "store" not in association.may:
            return NOT_AUTHORIZED, "this system may not store"
        if not self._settings.takes_class(received.sop_class):
            return CLASS_NOT_SUPPORTED, "this SOP class is not taken"
        if not is_uid(received.sop_instance):
            return INVALID_INSTANCE, "the SOP Instance UID is no UID"
        return None

    def _echo(self, event: Any) -> Any:
        return self._done("echo", SUCCESS)

    def _store(self, event: Any) -> Any:
        sink = event.request.DataSet
        if not isinstance(sink, ObjectSink):
            return self._done("store", CANNOT_PROCESS)
        begun = time.perf_counter()
        try:
            status = sink.keep()
        except Exception as e:  # a fault of ours; its text may quote the object
            log.error("channel %s: an object could not be kept: %s", self._channel, _said(e))
            status = CANNOT_PROCESS
        self._metrics.stored(self._channel, sink.size, time.perf_counter() - begun)
        return self._done("store", status, sink.why)

    def _find(self, event: Any) -> Iterator[tuple[int, Any]]:
        abstract = str(event.context.abstract_syntax)
        service = SERVICES.get(abstract, "")
        if service not in event.assoc.may:
            yield self._done(service, NOT_AUTHORIZED), None
            return
        try:
            query = _identifier(event.identifier)
            level = "" if abstract == WORKLIST else _level(query)
        except ValueError:
            yield self._done(service, DOES_NOT_MATCH), None
            return
        peer = self.peer_of(event.assoc)
        try:
            found = self._services.find(peer, level, query) if level else self._services.worklist(peer, query)
            for match in found:
                if event.is_cancelled:
                    yield self._done(service, CANCELLED), None
                    return
                yield PENDING, match
        except Exception as e:
            yield self._failed(service, e), None
            return
        self._done(service, SUCCESS)

    def _create(self, event: Any) -> tuple[int, Any]:
        uid = str(event.request.AffectedSOPInstanceUID or "")
        return self._step(event, uid, lambda peer, said: self._services.create_step(peer, uid, said))

    def _set(self, event: Any) -> tuple[int, Any]:
        uid = str(event.request.RequestedSOPInstanceUID or "")
        return self._step(event, uid, lambda peer, said: self._services.set_step(peer, uid, said))

    def _step(self, event: Any, uid: str, do: Any) -> tuple[int, Any]:
        if "mpps" not in event.assoc.may:
            return self._done("mpps", NOT_AUTHORIZED), None
        if not is_uid(uid):  # who performs the step names it (PS3.4 F.7.2.1.1)
            return self._done("mpps", INVALID_INSTANCE), None
        said = event.attribute_list if hasattr(event.request, "AttributeList") else event.modification_list
        try:
            return self._done("mpps", do(self.peer_of(event.assoc), said)), None
        except Exception as e:
            self._failed("mpps", e)
            return PROCESSING_FAILURE, None

    def _action(self, event: Any) -> tuple[int, Any]:
        if "commitment" not in event.assoc.may:
            return self._done("commitment", NOT_AUTHORIZED), None
        if str(event.request.RequestedSOPInstanceUID) != COMMITMENT_INSTANCE:
            return self._done("commitment", NO_SUCH_INSTANCE), None
        if event.action_type != 1:
            return self._done("commitment", NO_SUCH_ACTION), None
        try:
            asked = event.action_information
            transaction = str(asked.get("TransactionUID", ""))
            references = [
                (str(item.get("ReferencedSOPClassUID", "")), str(item.get("ReferencedSOPInstanceUID", "")))
                for item in asked.get("ReferencedSOPSequence") or ()
            ]
            if not is_uid(transaction) or not references or not all(map(all, references)):
                return self._done("commitment", MISSING_ATTRIBUTE), None
            status = self._services.commit(self.peer_of(event.assoc), transaction, references)
            return self._done("commitment", status), None
        except Exception as e:
            self._failed("commitment", e)
            return PROCESSING_FAILURE, None

    def _done(self, service: str, status: int, why: str = "") -> Any:
        """Count an answer; return it as pynetdicom takes it."""
        kind = "success" if status == SUCCESS else "cancel" if status == CANCELLED else "failure"
        self._metrics.count("requests", self._channel, service=service or "other", status=kind)
        if not why or status == SUCCESS:
            return status
        told = Dataset()
        told.Status, told.ErrorComment = status, why[:64]
        return told

    def _failed(self, service: str, error: Exception) -> int:
        """Turn an error into a status; its text may hold what was asked for, so its place is logged alone."""
        log.error("channel %s: %s failed: %s", self._channel, service, _said(error))
        status = OUT_OF_RESOURCES if isinstance(error, (HubError, OSError)) else CANNOT_PROCESS
        self._done(service, status)
        return status


def _said(error: BaseException) -> str:
    """Name an error by its kind and place, and by its own words where they are for people."""
    return f"{place_of(error)}: {error.what}" if isinstance(error, HubError) else place_of(error)


def _identifier(dataset: Any) -> Any:
    """Return a query whose values can be read. Raises ValueError."""
    try:
        for element in dataset.iterall():
            str(element.value)
    except Exception as e:  # pydicom raises whatever the bytes lead it to; its texts may hold values
        raise ValueError(type(e).__name__) from None
    return dataset


def _level(query: Any) -> str:
    """Return the level a query is at (PS3.4 C.6.1, C.6.2). Raises ValueError."""
    level = str(query.get("QueryRetrieveLevel", "") or "").strip()
    if level not in _LEVELS:
        raise ValueError("no query/retrieve level")
    return level
