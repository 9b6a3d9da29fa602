"""The MLLP listener on Twisted: connections in, whole frames to the intake, answers out.

In: TCP or TLS connections of many senders, each open for as long as it likes. Out: frames, handed to the
intake of the process, and its answers, in the order of the frames. Framing is `engine.wire.mllp` (HL7 v2.5.1
Appendix C.4); this file adds what only a network has: who may connect, how much and how long, TLS, and a stop
that answers what it took. A connection that does not speak MLLP is counted by kind, logged without its
content, and closed.
"""

from __future__ import annotations

import logging
import socket
from collections.abc import Callable
from typing import Any

from twisted.internet import defer, protocol
from twisted.internet.error import ConnectionDone, ConnectionLost
from twisted.internet.interfaces import IHandshakeListener, IPushProducer
from zope.interface import implementer  # type: ignore[import-untyped]

from engine.listeners.ack_rules import Strict
from engine.listeners.allow import AllowList
from engine.listeners.binding import listen_on
from engine.listeners.intake import Budget, Intake
from engine.listeners.metrics import Metrics
from engine.listeners.mllp_settings import MllpChannel
from engine.listeners.receiving import source_of
from engine.wire.mllp import END, START, Framer, Violation

__all__ = ["MllpPort"]

log = logging.getLogger(__name__)

_KEEPALIVE = [  # a sender that lost its power is gone after two minutes, not after two hours
    (getattr(socket, name), value)
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
    if hasattr(socket, name)
]
_ORDINARY = (ConnectionDone, ConnectionLost)


def _socket_of(transport: Any) -> Any:
    """Return the TCP socket of a connection; under TLS it is the socket of the transport below."""
    return getattr(transport, "transport", transport).getHandle()


@implementer(IHandshakeListener, IPushProducer)
class _Connection(protocol.Protocol):  # type: ignore[misc]
    """One sender's connection."""

    def __init__(self, port: MllpPort, peer: str) -> None:
        self.peer = peer
        self._port = port
        self._framer = Framer(port.settings.max_message_bytes)
        self._held = 0
        self._waiting = 0  # frames taken and not yet answered
        self._send: Any = None  # writes now and returns how much; None: leave it to the transport
        self.closing = False
        self._gone = False
        self.active = 0.0  # when the last message was complete
        self.begun = 0.0  # when what is now unfinished began; 0: nothing is
        self.full = 0.0  # since when the sender has not been reading its answers; 0: it is

    def connectionMade(self) -> None:
        self.active = self._port.now()
        if self._port.settings.tls is not None:
            self.begun = self.active  # the handshake
        else:
            self._send = getattr(self.transport, "writeSomeData", None)
        self.transport.setTcpNoDelay(True)
        self.transport.setTcpKeepAlive(True)
        handle = _socket_of(self.transport)
        for option, value in _KEEPALIVE:
            handle.setsockopt(socket.IPPROTO_TCP, option, value)
        self.transport.registerProducer(self, True)
        self._port.opened(self)

    def handshakeCompleted(self) -> None:
        self.begun = 0.0

    def dataReceived(self, data: bytes) -> None:
        if self.closing:
            return
        framer = self._framer
        messages = framer.receive(data)
        for message in messages:
            self._waiting += 1
            self._port.intake.accept(self, self._port.source, message)
        if messages:
            self.active = self._port.now()
            self.begun = self.active if framer.inside else 0.0
        elif not self.begun and framer.inside:
            self.begun = self._port.now()
        if framer.violation is not None:
            self._violated(framer.violation)
        if framer.held != self._held:
            self._port.budget.changed(self, framer.held - self._held)
            self._held = framer.held

    def answer(self, acks: list[bytes], frames: int) -> None:
        """Write the answers of `frames` frames; nothing happens when the sender is gone."""
        self._waiting -= frames
        if self._gone:
            return
        if acks:
            self._write(b"".join([b"%b%b%b" % (START, ack, END) for ack in acks]))
        if not self._waiting:
            if self.closing:
                self._close()
            elif self._port.stopping and self.idle:
                self.finish()

    def abandon(self) -> None:
        """Close at once: what was not answered will be sent again."""
        self.closing = True
        if not self._gone:
            self._gone = True  # nothing more is written: a later answer would stand in the place of this one
            self.transport.unregisterProducer()
            self.transport.abortConnection()

    def hold(self, on: bool) -> None:
        """Read no further while a large frame is worked off; what is read already waits in the intake."""
        if not self._gone and not self.closing:
            if on:
                self.transport.pauseProducing()
            elif not self.full:
                self.transport.resumeProducing()

    def stop(self, kind: str, size: int = 0) -> None:
        """Count why this connection ends, and close it once what it sent before is answered."""
        if not self.closing:
            self._port.count(kind, self.peer, size)
            self._framer.close()
            self._release()
            self.finish()

    def finish(self) -> None:
        """Read no more; close when everything taken is answered."""
        self.closing = True
        self.begun = self._port.now()
        if not self._waiting:
            self._close()

    @property
    def idle(self) -> bool:
        """Say whether nothing is under way."""
        return not self._waiting and not self._framer.inside

    def connectionLost(self, reason: Any) -> None:
        self._gone = True
        if not self.closing:
            violation = self._framer.close()
            if violation is not None:
                self._port.count(violation.kind, self.peer, violation.size)
            elif self._port.settings.tls is not None and not reason.check(*_ORDINARY):
                self._port.count("tls-failed", self.peer)
        self._release()
        self._port.closed(self)

    def pauseProducing(self) -> None:
        """Stop reading: the sender does not read its answers."""
        self.full = self._port.now()
        self.transport.pauseProducing()

    def resumeProducing(self) -> None:
        self.full = 0.0
        self.transport.resumeProducing()

    def stopProducing(self) -> None:
        """The transport is gone; connectionLost follows."""

    def _violated(self, violation: Violation) -> None:
        if violation.body:
            self._waiting += 1
            self._port.intake.keep(self, self._port.source, violation.body, violation.kind)
        self.stop(violation.kind, violation.size)

    def _write(self, data: bytes) -> None:
        # Writing at once, not at the next turn, saves two system calls, and a sender that has shut down its
        # own
        # direction gets its answer: at the next turn the end of its stream would be read first.
        if self._send is not None:
            sent = self._send(data)
            if not isinstance(sent, int):
                return  # gone; connectionLost follows
            if sent == len(data):
                return
            self._send, data = None, data[sent:]  # from now on the transport queues
        self.transport.write(data)

    def _release(self) -> None:
        if self._held:
            self._port.budget.changed(self, -self._held)
            self._held = 0

    def _close(self) -> None:
        if not self._gone:
            self.transport.unregisterProducer()
            self.transport.loseConnection()


class MllpPort(protocol.ServerFactory):  # type: ignore[misc]
    """One channel's port and its connections."""

    noisy = False

    def __init__(
        self,
        channel: MllpChannel,
        intake: Intake,
        metrics: Metrics,
        now: Callable[[], float],
        budget: Budget,
        strict: Strict | None = None,
        conceal: Callable[[str], str] | None = None,
    ) -> None:
        self.settings = channel.mllp
        self.source = source_of(channel, strict, conceal)
        self.intake = intake
        self.now = now
        self.budget = budget
        self.stopping = False
        self._metrics = metrics
        self._label = ("channel", channel.channel)
        self._connections: set[_Connection] = set()
        self._allowed = AllowList(channel.mllp.allow)
        self._logged: dict[str, tuple[float, int]] = {}
        self._emptied: list[defer.Deferred[None]] = []
        self._listening: Any = None
        metrics.counter("hub_mllp_connections_total", "Connections opened.")
        metrics.gauge("hub_mllp_connections", "Connections open now.")
        metrics.counter("hub_mllp_closed_total", "Connections closed by the listener, by reason.")

    def listen(self, reactor: Any) -> str:
        """Begin to listen; return the address. Raises ConfigError when that is not possible."""
        s = self.settings
        self._listening, address = listen_on(reactor, self, s.host, s.port, s.tls, self.source.channel)
        return f"{'mllps' if s.tls else 'mllp'}://{address}"

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
            connection.abandon()

    def sweep(self) -> None:
        """Close what has been idle, half sent or unread for too long; call it about once a second."""
        now = self.now()
        idle, patience = self.settings.idle_seconds, self.settings.frame_seconds
        for connection in list(self._connections):
            if connection.begun and now - connection.begun > patience:
                if connection.closing:
                    connection.abandon()
                else:
                    connection.stop("slow-frame")
            elif connection.full and now - connection.full > patience:
                self.count("answers-unread", connection.peer)
                connection.abandon()
            elif idle and connection.idle and now - connection.active > idle:
                connection.stop("idle")

    def buildProtocol(self, addr: Any) -> _Connection | None:
        """Let a sender in, or not."""
        host = addr.host
        if host not in self._allowed:
            self.count("not-allowed", host)
            return None
        if len(self._connections) >= self.settings.max_connections:
            self.count("too-many-connections", host)
            return None
        return _Connection(self, host)

    def opened(self, connection: _Connection) -> None:
        """Note a connection that began."""
        self._connections.add(connection)
        self._metrics.add("hub_mllp_connections_total", (self._label,))
        self._metrics.set("hub_mllp_connections", len(self._connections), (self._label,))

    def closed(self, connection: _Connection) -> None:
        """Note a connection that is gone."""
        self._connections.discard(connection)
        self._metrics.set("hub_mllp_connections", len(self._connections), (self._label,))
        self._let_go()

    def count(self, kind: str, peer: str, size: int = 0) -> None:
        """Count a connection that the listener ends, and log it: at most one line a second and kind."""
        self._metrics.add("hub_mllp_closed_total", (self._label, ("reason", kind)))
        last, unsaid = self._logged.get(kind, (-1e9, 0))
        now = self.now()
        if now - last < 1:
            self._logged[kind] = (last, unsaid + 1)
            return
        self._logged[kind] = (now, 0)
        more = f", and {unsaid} more since the last of these lines" if unsaid else ""
        held = f" after {size} bytes of a frame" if size else ""
        log.warning(
            "channel %s: connection from %s closed: %s%s%s", self.source.channel, peer, kind, held, more
        )

    def _let_go(self) -> None:
        if self.stopping:
            for connection in list(self._connections):
                if connection.idle and not connection.closing:
                    connection.finish()
            if not self._connections:
                waiting, self._emptied = self._emptied, []
                for gone in waiting:
                    gone.callback(None)
