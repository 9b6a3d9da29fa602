"""One connection of a sender of MLLP: opened, written to, read from, one message under way.

In: an address, TLS, frames to send. Out: the messages that the other side sends, or a NotAnswered that says
what became of it instead. What came without being asked for is found before anything is sent (`stale`), so
that it is never taken for the answer to what comes next. Plain blocking sockets, used by one thread.
"""

from __future__ import annotations

import socket
import ssl
import time
from typing import NamedTuple
from urllib.parse import urlsplit

from engine.destinations.tls import ClientTls, context_of
from engine.kernel.errors import ConfigError, HubError
from engine.wire.mllp import Framer, encode

__all__ = ["Address", "Closed", "Connection", "Garbled", "NotAnswered", "Silent", "Unreachable", "address_of"]

_PORT = 2575  # IANA: hl7
_MOST = 16 << 20
_PIECE = 65536


class NotAnswered(HubError):
    """The message was sent, or not, and nobody said that it is safe: send it again."""


class Unreachable(NotAnswered):
    """There is no connection."""


class Silent(NotAnswered):
    """No answer in time."""


class Closed(NotAnswered):
    """The other side closed the connection, or it broke."""


class Garbled(NotAnswered):
    """What came is no answer."""


class Address(NamedTuple):
    """Where to connect to."""

    host: str
    port: int
    tls: bool

    def __str__(self) -> str:
        shown = f"[{self.host}]" if ":" in self.host else self.host
        return f"mllp{'s' if self.tls else ''}://{shown}:{self.port}"


def address_of(url: str) -> Address:
    """Read `mllp://HOST:PORT` or `mllps://HOST:PORT`. Raises ConfigError."""
    try:
        parts = urlsplit(url)
        port = parts.port or _PORT
    except ValueError:
        parts, port = urlsplit(""), 0
    if parts.scheme not in ("mllp", "mllps") or not parts.hostname:
        raise ConfigError(
            f"{url!r} is no MLLP address", remedy="write mllp://HOST:PORT, or mllps://HOST:PORT for TLS"
        )
    return Address(parts.hostname, port, parts.scheme == "mllps")


class Connection:
    """One TCP or TLS connection. Raises Unreachable where there is none, ConfigError for files of TLS."""

    def __init__(
        self,
        address: Address,
        tls: ClientTls | None = None,
        *,
        seconds: float = 30,
        keepalive: int = 0,
        name: str = "",
    ) -> None:
        context = context_of(tls) if address.tls else None
        self._framer = Framer(_MOST)
        self._early: list[bytes] = []
        where = str(address)
        try:
            made = socket.create_connection((address.host, address.port), seconds)
        except OSError as e:
            raise Unreachable("cannot connect", where=where, why=e.strerror or str(e)) from None
        try:
            made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if keepalive:
                _keep_alive(made, keepalive)
            self._socket = (
                context.wrap_socket(made, server_hostname=name or address.host) if context else made
            )
        except ssl.SSLError as e:
            made.close()
            raise Unreachable("the TLS handshake failed", where=where, why=e.reason or str(e)) from None
        except OSError as e:
            made.close()
            raise Unreachable("cannot connect", where=where, why=e.strerror or str(e)) from None

    @property
    def protocol(self) -> str:
        """`TLSv1.3`; empty without TLS."""
        return (self._socket.version() or "") if isinstance(self._socket, ssl.SSLSocket) else ""

    def stale(self) -> tuple[bool, list[bytes]]:
        """Look, without waiting, whether anything can still be sent; return what came unasked."""
        unasked, self._early = self._early, []
        self._socket.setblocking(False)
        try:
            while data := self._socket.recv(_PIECE):
                unasked += self._framer.receive(data)
        except (BlockingIOError, ssl.SSLWantReadError):
            return self._framer.violation is not None or self._framer.inside, unasked
        except OSError:
            pass
        return True, unasked

    def send(self, message: bytes, seconds: float) -> None:
        """Write one message. Raises FormatError, Closed, Silent."""
        frame = encode(message)
        try:
            self._socket.settimeout(seconds)
            self._socket.sendall(frame)
        except TimeoutError:
            raise Silent(f"it did not take the message within {seconds:g} s") from None
        except OSError as e:
            raise Closed("the connection broke while sending", why=e.strerror or str(e)) from None

    def receive(self, until: float, seconds: float) -> bytes:
        """Wait for one message until a time of the monotonic clock. Raises Silent, Closed, Garbled."""
        while not self._early:
            try:
                self._socket.settimeout(max(0.001, until - time.monotonic()))
                data = self._socket.recv(_PIECE)
            except TimeoutError:
                raise Silent(f"no answer within {seconds:g} s", remedy="send it again") from None
            except OSError as e:
                raise Closed("the connection broke", why=e.strerror or str(e)) from None
            if not data:
                raise Closed(
                    "the connection was closed without an answer",
                    why="the receiver could not make the message safe, or does not speak MLLP with us",
                    remedy="its log says why; send the message again",
                )
            self._early += self._framer.receive(data)
            if self._framer.violation is not None and not self._early:
                raise Garbled(f"the answer is not MLLP ({self._framer.violation.kind})")
        return self._early.pop(0)

    def close(self) -> None:
        """Close it."""
        self._socket.close()


def _keep_alive(made: socket.socket, seconds: int) -> None:
    """Ask the system to notice a peer that is gone (RFC 1122 4.2.3.6); firewalls see traffic, too."""
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (("TCP_KEEPIDLE", seconds), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 3)):
        if hasattr(socket, option):
            made.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
