"""C-GET and C-MOVE of a node: what is held goes out as it is held, and each object is counted.

In: requests of associations that were accepted. Out: C-STOREs, over the same association or one to the peer
that is named, and responses with the counts of sub-operations. pynetdicom's own would decode every object
into memory, write it anew and name the wrong originator; so the objects are sent by
`engine.wire.dicom_sending`. Follows PS3.4 C.4.2 and C.4.3, PS3.7 9.1.3 and 9.1.4.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from typing import Any

from pydicom.dataset import Dataset
from pynetdicom import AE, build_context, evt
from pynetdicom.dsutils import decode, encode

from engine.formats.dicom.uids import EXPLICIT, IMPLEMENTATION_UID, IMPLEMENTATION_VERSION, IMPLICIT
from engine.formats.dicom.values import texts_of
from engine.kernel.errors import HubError
from engine.kernel.imaging import HeldInstance, NodeServices, NotUnique, Peer
from engine.listeners.dicom_metrics import NodeMetrics
from engine.listeners.dicom_settings import DicomPeer, DicomSettings
from engine.listeners.dicom_tls import client_context
from engine.wire.dicom_sending import Lost, context_for, send_object, verdict_of

__all__ = ["Retrieval"]

log = logging.getLogger("hub.dicom")

SUCCESS, PENDING, CANCELLED, SOME_FAILED = 0x0000, 0xFF00, 0xFE00, 0xB000
CANNOT_COUNT, CANNOT_PERFORM, NO_SUCH_DESTINATION = 0xA701, 0xA702, 0xA801
DOES_NOT_MATCH, CANNOT_PROCESS, NOT_AUTHORIZED = 0xA900, 0xC000, 0x0124
_KEYS = {
    "PATIENT": "PatientID",
    "STUDY": "StudyInstanceUID",
    "SERIES": "SeriesInstanceUID",
    "IMAGE": "SOPInstanceUID",
}
_MOST = 0xFFFF  # sub-operations that can be counted
_MOST_CONTEXTS = 128
_PLAIN = (EXPLICIT, IMPLICIT)


class _Counts:
    """What became of the sub-operations so far."""

    def __init__(self, remaining: int) -> None:
        self.remaining, self.completed, self.warned = remaining, 0, 0
        self.failed: list[str] = []

    def one(self, sop_instance: str, status: int | None) -> None:
        self.remaining -= 1
        if status is None or verdict_of(status) != "sent":
            self.failed.append(sop_instance)
        elif status == 0:
            self.completed += 1
        else:
            self.warned += 1

    def final(self) -> int:
        if not self.failed and not self.warned:
            return SUCCESS
        return SOME_FAILED if self.completed or self.warned else CANNOT_PERFORM


class Retrieval:
    """Answers what asks for objects at one node."""

    def __init__(
        self,
        channel: str,
        settings: DicomSettings,
        services: NodeServices,
        metrics: NodeMetrics,
        peer_of: Callable[[Any], Peer],
    ) -> None:
        self._channel, self._settings, self._services = channel, settings, services
        self._metrics, self._peer_of = metrics, peer_of

    def serve(self, assoc: Any, request: Any, context: Any) -> None:
        """Answer one C-GET or C-MOVE, of which the association's thread has taken the request."""
        destination = getattr(request, "MoveDestination", None)
        status = self._refused(assoc, destination)
        if status is None:
            try:
                wanted = self._wanted(assoc, request, context)
                status = self._retrieve(assoc, request, context, wanted, destination)
            except _Refused as e:
                status = e.status
        if status is not None:
            _respond(assoc, request, context, status, None)
            self._count(status)

    def _refused(self, assoc: Any, destination: Any) -> int | None:
        if "retrieve" not in assoc.may:
            return NOT_AUTHORIZED
        if destination is not None and self._destination(destination) is None:
            return NO_SUCH_DESTINATION
        return None

    def _destination(self, title: Any) -> DicomPeer | None:
        peer = self._settings.peer(str(title).strip())
        return peer if peer is not None and peer.host else None

    def _wanted(self, assoc: Any, request: Any, context: Any) -> Sequence[HeldInstance]:
        """Return what is asked for. Raises _Refused."""
        syntax = context.transfer_syntax[0]
        try:
            query = decode(request.Identifier, syntax.is_implicit_VR, syntax.is_little_endian)
            level = str(query.get("QueryRetrieveLevel", "") or "").strip()
            known = _is_whole(query, level)
        except Exception:  # pydicom raises whatever the bytes lead it to
            raise _Refused(DOES_NOT_MATCH) from None
        if not known:
            raise _Refused(DOES_NOT_MATCH)  # never all there is
        try:
            wanted = self._services.retrieve(self._peer_of(assoc), level, query)
        except NotUnique:
            raise _Refused(DOES_NOT_MATCH) from None
        except Exception as e:
            log.error("channel %s: a retrieval failed: %s", self._channel, type(e).__name__)
            raise _Refused(CANNOT_COUNT if isinstance(e, (HubError, OSError)) else CANNOT_PROCESS) from None
        if len(wanted) > _MOST:
            raise _Refused(CANNOT_COUNT)
        return wanted

    def _retrieve(
        self, assoc: Any, request: Any, context: Any, wanted: Sequence[HeldInstance], destination: Any
    ) -> int | None:
        counts = _Counts(len(wanted))
        status = SUCCESS
        try:
            for held, sent in self._sent(assoc, request, wanted, destination):
                counts.one(held.sop_instance, sent)
                if counts.remaining:
                    _respond(assoc, request, context, PENDING, counts)
                if counts.remaining and request.MessageID in assoc.dimse.cancel_req:
                    status = CANCELLED
                    break
        except Lost:
            self._count(CANNOT_PERFORM)
            return None  # nobody is there to be answered
        status = status or counts.final()
        _respond(assoc, request, context, status, counts)
        self._count(status)
        return None

    def _sent(
        self, assoc: Any, request: Any, wanted: Sequence[HeldInstance], destination: Any
    ) -> Iterator[tuple[HeldInstance, int | None]]:
        if destination is None:
            for number, held in enumerate(wanted):
                yield held, self._send(assoc, held, request.MessageID + number, None)
            return
        peer = self._destination(destination)
        originator = (self._peer_of(assoc).aet, request.MessageID)
        with _called(self._settings, peer, wanted) as other:
            for number, held in enumerate(wanted):
                try:
                    yield held, None if other is None else self._send(other, held, number, originator)
                except Lost:
                    other = None  # the rest fails, and is told as such
                    yield held, None

    def _send(
        self, assoc: Any, held: HeldInstance, number: int, originator: tuple[str, int] | None
    ) -> int | None:
        context = context_for(assoc, held.sop_class, held.transfer_syntax)
        if context is None:
            return None
        uid, syntax, message_id = held.sop_instance, held.transfer_syntax, number % 0xFFFF + 1
        try:
            with self._services.open(held.address) as opened:
                return send_object(assoc, context, opened, uid, syntax, message_id, originator)
        except Lost:
            raise
        except (HubError, OSError) as e:
            what = e.what if isinstance(e, HubError) else e.strerror
            log.error("channel %s: an object cannot be sent: %s", self._channel, what)
            return None

    def _count(self, status: int) -> None:
        kind = {SUCCESS: "success", SOME_FAILED: "warning", CANCELLED: "cancel"}.get(status, "failure")
        self._metrics.count("requests", self._channel, service="retrieve", status=kind)


class _Refused(Exception):
    def __init__(self, status: int) -> None:
        super().__init__(f"{status:04X}")
        self.status = status


def _is_whole(query: Any, level: str) -> bool:
    """Say whether the unique key of a level is there, and those above it and the issuer have no wildcards.

    There is one patient at a time, of the others there may be lists (PS3.4 C.4.2.1.4). Raises KeyError.
    """
    own = texts_of(query, _KEYS[level])
    above = list(_KEYS.values())[: list(_KEYS).index(level) + 1]
    said = [text for keyword in (*above, "IssuerOfPatientID") for text in texts_of(query, keyword)]
    one = level != "PATIENT" or len(own) == 1
    return bool(own) and one and not any(set(text) & set("*?") for text in said)


def _respond(assoc: Any, request: Any, context: Any, status: int, counts: _Counts | None) -> None:
    answer = type(request)()
    answer.MessageIDBeingRespondedTo = request.MessageID
    answer.AffectedSOPClassUID = request.AffectedSOPClassUID
    answer.Status = status
    if counts is not None:
        if status in (PENDING, CANCELLED):
            answer.NumberOfRemainingSuboperations = counts.remaining
        answer.NumberOfCompletedSuboperations = counts.completed
        answer.NumberOfWarningSuboperations = counts.warned
        answer.NumberOfFailedSuboperations = len(counts.failed)
        if counts.failed and status != PENDING:
            said = Dataset()
            said.FailedSOPInstanceUIDList = counts.failed
            syntax = context.transfer_syntax[0]
            answer.Identifier = BytesIO(encode(said, syntax.is_implicit_VR, syntax.is_little_endian) or b"")
    assoc.dimse.send_msg(answer, context.context_id)


@contextmanager
def _called(settings: DicomSettings, peer: DicomPeer | None, wanted: Sequence[HeldInstance]) -> Iterator[Any]:
    """Make an association to where objects are moved; None where there is none."""
    offered: dict[tuple[str, str], None] = {}
    for held in wanted:
        more = _PLAIN if held.transfer_syntax in _PLAIN else ()
        # each transfer syntax by itself: the acceptor chooses one of each context
        offered.update(dict.fromkeys((held.sop_class, syntax) for syntax in (held.transfer_syntax, *more)))
    if peer is None or not offered:
        yield None
        return
    ae = AE(settings.ae_title)
    ae.acse_timeout = ae.dimse_timeout = ae.network_timeout = ae.connection_timeout = settings.idle_seconds
    ae.implementation_class_uid = IMPLEMENTATION_UID
    ae.implementation_version_name = IMPLEMENTATION_VERSION
    more_args = {"tls_args": (client_context(settings.tls), peer.host)} if peer.tls else {}
    try:
        assoc: Any = ae.associate(
            peer.host,
            peer.port,
            contexts=[build_context(*one) for one in list(offered)[:_MOST_CONTEXTS]],
            ae_title=peer.ae_title,
            max_pdu=settings.max_pdu_bytes,
            evt_handlers=[(evt.EVT_CONN_OPEN, _no_delay)],
            **more_args,
        )
    except (OSError, RuntimeError, ValueError):
        log.error("dicom://%s:%s cannot be called to move objects to it", peer.host, peer.port)
        yield None
        return
    try:
        yield assoc if assoc.is_established else None
    finally:
        if assoc.is_established:
            assoc.release()
            assoc.join(settings.idle_seconds)


def _no_delay(event: Any) -> None:
    event.assoc.dul.socket.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
