"""One channel's HTTP port: who may connect, how many, how slowly, and a stop that answers what it took.

In: connections. Out: `HttpConnection`s, counted and swept; the same faces towards the process as `MllpPort`.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from twisted.internet import defer, protocol

from engine.listeners.ack_rules import Strict
from engine.listeners.allow import AllowList
from engine.listeners.binding import listen_on
from engine.listeners.fhir_door import FhirDoor
from engine.listeners.http import _LINGER, HttpConnection, HttpRules
from engine.listeners.http_auth import Admission
from engine.listeners.http_settings import HttpChannel
from engine.listeners.intake import Budget, Intake
from engine.listeners.metrics import Metrics
from engine.listeners.receiving import source_of

if TYPE_CHECKING:
    from engine.listeners.fhir_door import Asked
    from engine.listeners.mail import Mail

__all__ = ["HttpPort"]

log = logging.getLogger(__name__)


class HttpPort(protocol.ServerFactory):  # type: ignore[misc]
    """One channel's port and its connections."""

    noisy = False

    def __init__(
        self,
        channel: HttpChannel,
        intake: Intake,
        metrics: Metrics,
        now: Callable[[], float],
        budget: Budget,
        strict: Strict | None = None,
        conceal: Callable[[str], str] | None = None,
    ) -> None:
        self.settings = channel.http
        self.source = source_of(channel, strict, conceal, HttpRules)
        self.takes_v2, self.takes_others = channel.rules.v2, bool(channel.rules.others)
        fhir = tuple(t for t in channel.rules.others if t.format == "fhir")
        self.fhir = FhirDoor(channel.http.path, fhir) if fhir else None
        self.admission = Admission(channel.http.auth)
        self.intake = intake
        self.now = now
        self.budget = budget
        self.stopping = False
        self._metrics = metrics
        self._label = ("channel", channel.channel)
        self._connections: set[HttpConnection] = set()
        self._allowed = AllowList(channel.http.allow)
        self._logged: dict[str, tuple[float, int]] = {}
        self._reading = defer.DeferredLock()  # one body at a time: a large one takes memory
        self._emptied: list[defer.Deferred[None]] = []
        self._listening: Any = None
        self.in_thread: Callable[..., Any] = _in_thread
        metrics.counter("hub_post_requests_total", "Requests answered, by channel and status.")
        metrics.gauge("hub_post_connections", "Connections open now.")
        metrics.counter("hub_post_refused_total", "Requests and connections not taken, by reason.")

    def listen(self, reactor: Any) -> str:
        """Begin to listen; return the address. Raises ConfigError when that is not possible."""
        s = self.settings
        self._listening, address = listen_on(reactor, self, s.host, s.port, s.tls, self.source.channel)
        return f"{'https' if s.tls else 'http'}://{address}{s.path}"

    def stop(self) -> defer.Deferred[None]:
        """Take no more connections, answer what was taken, close; the result comes with the last one gone."""
        self.stopping = True
        gone: defer.Deferred[None] = defer.Deferred()
        self._emptied.append(gone)
        stopped = (
            defer.maybeDeferred(self._listening.stopListening) if self._listening else defer.succeed(None)
        )
        stopped.addBoth(lambda _: self._let_go())
        return gone

    def abandon(self) -> None:
        """Close every connection at once."""
        for connection in list(self._connections):
            connection.cut()

    def sweep(self) -> None:
        """Close what is idle, half sent, unread or refused for too long; call it about once a second."""
        now, s = self.now(), self.settings
        for connection in list(self._connections):
            begun = connection.begun
            if connection.gone:
                continue  # connectionLost follows
            if connection.refused:
                if now - connection.refused > _LINGER:
                    connection.cut() if connection.full else connection.close()
                if now - connection.refused > s.header_seconds:
                    connection.cut()  # the transport could not end it
            elif connection.full and now - connection.full > s.request_seconds:
                self.count("answers-unread", connection.peer)
                connection.cut()
            elif begun and not connection.headed and now - begun > s.header_seconds:
                if connection.heard:
                    connection.refuse(408, "slow-head")
                else:
                    self.count("silent", connection.peer)
                    connection.cut()
            elif begun and now - begun > s.request_seconds:
                connection.refuse(408, "slow-body")
            elif connection.idle and now - connection.active > s.idle_seconds:
                connection.close()

    def buildProtocol(self, addr: Any) -> HttpConnection | None:
        """Let a sender in, or not."""
        host = addr.host
        if host not in self._allowed:
            self.count("not-allowed", host)
            return None
        if len(self._connections) >= self.settings.max_connections:
            self.count("too-many-connections", host)
            return None
        return HttpConnection(self, host)

    def is_other(self, body: bytes) -> bool:
        """Say whether a body is for `read`: a channel that takes other formats has one that is no HL7 v2."""
        if not self.takes_others:
            return False
        from engine.formats.content import recognise

        return not self.takes_v2 or recognise(body) != "hl7v2"

    def read(self, connection: HttpConnection, body: bytes, asked: Asked | None = None) -> None:
        """Read a body that is no HL7 v2 in a thread, so that others are answered meanwhile; then take it."""
        from engine.listeners.fhir_mail import mail_asked
        from engine.listeners.mail import mail_of

        def take(mail: Mail) -> None:
            self.intake.post(connection, self.source, mail)

        def failed(failure: Any) -> None:
            log.error("channel %s: a body could not be read: %s", self.source.channel, failure.type.__name__)
            connection.abandon()  # nothing was written: its sender has it

        job = (mail_of,) if asked is None else (mail_asked,)
        more = () if asked is None else (asked,)
        reading = self._reading.run(self.in_thread, *job, body, self.source, connection.peer, *more)
        reading.addCallbacks(take, failed)

    def opened(self, connection: HttpConnection) -> None:
        """Note a connection that began."""
        self._connections.add(connection)
        self._metrics.set("hub_post_connections", len(self._connections), (self._label,))

    def closed(self, connection: HttpConnection) -> None:
        """Note a connection that is gone."""
        self._connections.discard(connection)
        self._metrics.set("hub_post_connections", len(self._connections), (self._label,))
        self._let_go()

    def answered(self, status: int) -> None:
        """Count an answer."""
        self._metrics.add("hub_post_requests_total", (self._label, ("status", str(status))))

    def count(self, kind: str, peer: str) -> None:
        """Count what is not taken, and log it: at most one line a second and kind."""
        self._metrics.add("hub_post_refused_total", (self._label, ("reason", kind)))
        last, unsaid = self._logged.get(kind, (-1e9, 0))
        now = self.now()
        if now - last < 1:
            self._logged[kind] = (last, unsaid + 1)
            return
        self._logged[kind] = (now, 0)
        more = f", and {unsaid} more since the last of these lines" if unsaid else ""
        log.warning("channel %s: not taken from %s: %s%s", self.source.channel, peer, kind, more)

    def _let_go(self) -> None:
        if self.stopping:
            for connection in list(self._connections):
                if connection.idle or (connection.begun and not connection.headed):
                    connection.close()
            if not self._connections:
                waiting, self._emptied = self._emptied, []
                for gone in waiting:
                    gone.callback(None)


def _in_thread(*call: Any) -> Any:
    from twisted.internet.threads import deferToThread  # with it comes the reactor of the process

    return deferToThread(*call)
