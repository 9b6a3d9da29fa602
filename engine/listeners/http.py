"""The HTTP listener on Twisted: a message or batch a POST in, its acknowledgement as the answer's body.

In: HTTP/1.1 requests (RFC 9112, read by h11) of senders that stay connected as they like. Out: bodies, handed
to the intake of the process, and its answers: 200 with the ACK once it is on disk and accepted, 422 with the
ACK where it is kept, not processed, 204 where nothing is to be said. 503 when the journal cannot write: its
sender has the message and sends it again. What is refused before it is read (401, 403, 404, 405, 413, 415,
431, 408) is not kept. Nothing of a request is logged but the peer and the reason.
"""

from __future__ import annotations

import logging
import re
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import h11
from twisted.internet import protocol
from twisted.internet.interfaces import IHalfCloseableProtocol, IHandshakeListener, IPushProducer
from zope.interface import implementer  # type: ignore[import-untyped]

from engine.formats.hl7v2.header import Header
from engine.listeners.ack_rules import AckRules, OutcomeWord
from engine.listeners.fhir_door import MEDIA, Asked
from engine.listeners.fhir_door import TYPES as FHIR_TYPES

if TYPE_CHECKING:
    from engine.listeners.http_port import HttpPort
    from engine.listeners.mail import Answer

__all__ = ["HttpConnection", "HttpRules"]

log = logging.getLogger(__name__)

TYPES = frozenset(
    (
        "",
        "application/hl7-v2",
        "application/hl7-v2+er7",
        "application/edi-hl7v2",
        "application/edi-hl7",
        "x-application/hl7-v2+er7",
        "text/plain",
        "text/hl7v2",
        "application/octet-stream",
    )
)
"""What a body may say it is; the bytes themselves, MSH-18 too, say the rest."""
OTHER_TYPES = TYPES | frozenset(
    (
        "application/xml",
        "text/xml",
        "application/cda+xml",
        "application/hl7-cda+xml",
        "application/hl7-sda+xml",
        "application/edi-x12",
        "application/x12",
        "application/edi",
        "application/zip",
        "application/x-zip-compressed",
    )
)
"""The same where a channel takes more than HL7 v2."""

_HEAD = 16 << 10  # bytes of a request's head
_LINGER = 2.0  # seconds in which a refused sender may read why
_CODES = re.compile(rb"[\r\n]MSA.[AC]([AER])").findall
_AGAIN = ("Retry-After", "30")


class HttpRules(AckRules):
    """The table as HTTP needs it: every request is answered, so MSH-15 `NE` is not followed."""

    def answer(self, header: Header, outcome: OutcomeWord) -> str:
        """Return the acknowledgement code; never empty."""
        return super().answer(header, outcome) or {"accept": "CA", "error": "CE", "reject": "CR"}[outcome]


@implementer(IHalfCloseableProtocol, IHandshakeListener, IPushProducer)
class HttpConnection(protocol.Protocol):  # type: ignore[misc]
    """One sender's connection: one request after the other."""

    def __init__(self, port: HttpPort, peer: str) -> None:
        self._host = self.peer = peer
        self._port = port
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=_HEAD)
        self._body = bytearray()
        self._method = b""
        self._asked: Asked | None = None  # what an address of FHIR says
        self.gone = self._closing = False
        self._last = False  # the sender has closed its direction
        self.heard = False  # anything at all came
        self.waiting = False  # a request is with the intake
        self.refused = 0.0  # since when this connection only waits for its answer to be read
        self.begun = 0.0  # when the request that is coming in began; 0: none is
        self.headed = False  # its head is complete
        self.active = 0.0  # when the last answer was written
        self.full = 0.0  # since when the sender has not been reading its answers

    def connectionMade(self) -> None:
        self.begun = self.active = self._port.now()
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        self.transport.registerProducer(self, True)
        self._port.opened(self)

    def handshakeCompleted(self) -> None:
        self.begun = self._port.now()

    def dataReceived(self, data: bytes) -> None:
        if self.refused or self.gone or self._closing:
            return
        self.heard = True
        if not self.begun and not self.waiting:
            self.begun = self._port.now()
        self._http.receive_data(data)
        self._read()

    def _read(self) -> None:
        """Take what the bytes so far say, up to the end of one request."""
        while not self.refused and not self.gone:
            try:
                event = self._http.next_event()
            except h11.RemoteProtocolError as e:
                self.refuse(e.error_status_hint or 400, "not-http")
                return
            if isinstance(event, h11.Request):
                self._head(event)
            elif isinstance(event, h11.Data):
                self._take(event.data)
            elif isinstance(event, h11.EndOfMessage):
                self._complete()
                return
            else:  # NEED_DATA, PAUSED, ConnectionClosed
                return

    def _head(self, request: h11.Request) -> None:
        """Refuse what needs no body to be refused; the order gives a stranger no answer but 401."""
        self.headed, self._method = True, request.method
        port, settings = self._port, self._port.settings
        headers: dict[bytes, bytes] = {}
        for name, value in request.headers:
            if name == b"authorization" and name in headers:
                self.refuse(400, "two-authorizations")
                return
            headers[name] = value
        certified = port.admission.certified(
            self.transport.getPeerCertificate() if settings.tls is not None else None
        )
        if certified is None:
            self.refuse(403, "certificate")
            return
        who: str | None = certified
        if port.admission.asks:
            who = port.admission.who(headers.get(b"authorization", b""))
            if who is None:
                self.refuse(401, "authorization", ("WWW-Authenticate", port.admission.challenge))
                return
        self.peer = f"{self._host} ({who})" if who else self._host
        size = headers.get(b"content-length", b"")
        asked = port.fhir.asked(request.method, request.target, headers) if port.fhir is not None else None
        self._asked = asked if isinstance(asked, Asked) else None
        if isinstance(asked, tuple) and not isinstance(asked, Asked):
            self.refuse(*asked)
        elif asked is None and request.target != settings.path.encode():
            self.refuse(404, "path")
        elif asked is None and request.method != b"POST":
            self.refuse(405, "method", ("Allow", "POST"))
        elif headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            self.refuse(415, "content-encoding")
        elif headers.get(b"content-type", b"").partition(b";")[0].strip().lower().decode("latin-1") not in (
            (OTHER_TYPES | FHIR_TYPES if port.fhir else OTHER_TYPES) if port.takes_others else TYPES
        ):
            self.refuse(415, "content-type")
        elif len(size) > 18 or int(size or 0) > settings.max_bytes:
            self.refuse(413, "too-long")
        elif self._http.they_are_waiting_for_100_continue:
            self.transport.write(self._http.send(h11.InformationalResponse(status_code=100, headers=[])))

    def _take(self, data: bytes) -> None:
        if len(self._body) + len(data) > self._port.settings.max_bytes:
            self.refuse(413, "too-long")
            return
        self._body += data
        self._port.budget.changed(self, len(data))

    def _complete(self) -> None:
        """Hand a whole body to the intake, and read no further until it is answered."""
        body = bytes(self._body)
        self._release()
        self.begun, self.headed = 0.0, False
        if self._asked is not None and self._asked.metadata:
            self._respond(200, self._port.fhir.metadata() if self._port.fhir else b"", MEDIA)
            return
        if not body.strip():
            self.refuse(400, "empty")
            return
        self.waiting = True
        self.transport.pauseProducing()
        if self._asked is not None or self._port.is_other(body):
            self._port.read(self, body, self._asked)
            return
        self._port.intake.accept(self, self._port.source, body)

    def answer_mail(self, answer: Answer) -> None:
        """Answer a request that brought no HL7 v2; nothing happens when the sender is gone."""
        self.waiting = False
        if not self.gone:
            self._respond(answer.status, answer.body, answer.type)

    def answer(self, acks: list[bytes], frames: int) -> None:
        """Answer the request; nothing happens when the sender is gone."""
        self.waiting = False
        body = b"".join(acks)
        status = 422 if any(code != b"A" for code in _CODES(body)) else 200 if body else 204
        if not self.gone:
            self._respond(status, body, "application/hl7-v2")

    def abandon(self) -> None:
        """Say that nothing could be written: the sender keeps the message and sends it again."""
        self.waiting = False
        self.refuse(503, "not-written", _AGAIN)

    def hold(self, on: bool) -> None:
        """Do nothing: no further request is read before this one is answered."""

    def stop(self, reason: str) -> None:
        """Give up a request that is not complete."""
        self.refuse(503, reason, _AGAIN)

    def refuse(self, status: int, reason: str, *more: tuple[str, str]) -> None:
        """Answer that this is not taken, count why, and close once that could be read."""
        if self.refused or self.gone:
            return
        self._release()
        self._port.count(reason, self._host)
        self.refused = self._port.now() or 1e-9
        fhir = self._port.fhir
        if fhir is not None:
            self._respond(status, fhir.refusal(status, reason), MEDIA, *more)
        else:
            self._respond(status, f"{status} {reason}\n".encode(), "text/plain", *more)
        # An answer to a sender that is still writing would be lost in a reset: what comes now is thrown away.
        if not self.gone:
            self.transport.resumeProducing()

    def cut(self) -> None:
        """Close at once."""
        if not self.gone:
            self.gone = True
            if not self._closing:
                self.transport.unregisterProducer()
            self.transport.abortConnection()

    def close(self) -> None:
        """Close when what is written was sent."""
        if not self.gone and not self._closing:
            self._closing = True
            self.transport.unregisterProducer()
            self.transport.loseConnection()

    @property
    def idle(self) -> bool:
        """Say whether nothing is under way: no request began, and none waits."""
        return not self.waiting and not self.begun and not self.refused

    def readConnectionLost(self) -> None:
        """The sender has sent its last; what it asked is answered before the connection is closed."""
        self._last = True
        if not self.waiting:
            self.close()

    def writeConnectionLost(self) -> None:
        """The sender reads no more; what it sent is taken all the same."""

    def connectionLost(self, reason: Any) -> None:
        self.gone = True
        if self.begun and self.headed and not self.refused:
            self._port.count("half-request", self._host)
        self._release()
        self._port.closed(self)

    def pauseProducing(self) -> None:
        """Stop reading: the sender does not read its answers."""
        self.full = self._port.now()
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self.full = 0.0
        if not self.waiting:
            self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """The transport is gone; connectionLost follows."""

    def _respond(self, status: int, body: bytes, kind: str, *more: tuple[str, str]) -> None:
        self._port.answered(status)
        last = bool(self.refused) or self._port.stopping or self._last
        headers = [("Date", formatdate(usegmt=True)), ("Cache-Control", "no-store"), *more]
        if status != 204:
            headers += [("Content-Type", kind), ("Content-Length", str(len(body)))]
        if last:
            headers.append(("Connection", "close"))
        http = self._http
        if http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            self.close()
            return
        out = http.send(h11.Response(status_code=status, headers=headers)) or b""
        if self._method != b"HEAD":
            out += http.send(h11.Data(data=body)) or b""
        out += http.send(h11.EndOfMessage()) or b""
        self.transport.write(out)
        self.active = self._port.now()
        if self.refused:
            return
        if last or {http.our_state, http.their_state} != {h11.DONE}:
            self.close()
            return
        http.start_next_cycle()
        if http.trailing_data[0]:
            self.begun = self.active
        self.transport.resumeProducing()
        self._read()

    def _release(self) -> None:
        if self._body:
            self._port.budget.changed(self, -len(self._body))
            self._body = bytearray()
