"""A receiver of MLLP that does what a script says, message by message, well or badly.

A step is a function of the message: bytes are written, None closes the connection, SILENT keeps it open and
says nothing. Where the script has ended, the last step goes on.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable

from engine.wire.mllp import Framer, encode

__all__ = ["SILENT", "Peer", "ack", "answers", "closes", "silent"]

SILENT = b""
Step = Callable[[bytes], bytes | None]


def ack(message: bytes, code: str = "AA", rest: str = "", named: str | None = None) -> bytes:
    """Write an ACK; `rest` goes on after MSA-2, `named` is another MSA-2."""
    if named is None:
        named = message.split(b"|")[9].decode()
    return (
        f"MSH|^~\\&|LIS|NORTH|HUB|MERCY|20260501||ACK|A-{named}|P|2.5.1\rMSA|{code}|{named}{rest}\r".encode()
    )


def answers(code: str = "AA", rest: str = "", named: str | None = None) -> Step:
    return lambda message: encode(ack(message, code, rest, named))


def closes(message: bytes) -> None:
    return None


def silent(message: bytes) -> bytes:
    return SILENT


class Peer:
    """`got` is every message with the number of the connection it came over."""

    def __init__(self, *steps: Step, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1") -> None:
        self.got: list[tuple[int, bytes]] = []
        self.steps = list(steps) or [answers()]
        self.connections = 0
        self._tls, self._host = tls, host
        self._open: list[socket.socket] = []
        self._lock = threading.Lock()
        self.port = 0
        self._socket: socket.socket | None = None
        self.back()

    @property
    def url(self) -> str:
        return f"mllp{'s' if self._tls else ''}://{'localhost' if self._tls else self._host}:{self.port}"

    @property
    def messages(self) -> list[bytes]:
        return [message for _, message in self.got]

    def away(self) -> None:
        """Close the port and every connection."""
        assert self._socket is not None
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)
        self.hang_up()

    def back(self) -> None:
        """Listen, on the same port as before."""
        self._socket = socket.create_server((self._host, self.port))
        self.port = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._accept, args=(self._socket,), daemon=True)
        self._thread.start()

    def hang_up(self) -> None:
        """Close every connection, and go on listening."""
        with self._lock:
            for one in self._open:
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
            self._open.clear()

    def say(self, data: bytes) -> None:
        """Write to the newest connection without being asked."""
        with self._lock:
            self._open[-1].sendall(data)

    def close(self) -> None:
        self.away()

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        try:
            if self._tls is not None:
                connection = self._tls.wrap_socket(connection, server_side=True)
        except OSError:
            connection.close()
            return
        with self._lock:
            self.connections += 1
            number = self.connections
            self._open.append(connection)
        framer = Framer(1 << 24)
        with connection, contextlib.suppress(OSError):
            while data := connection.recv(65536):
                for message in framer.receive(data):
                    with self._lock:
                        self.got.append((number, message))
                        step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
                    said = step(message)
                    if said is None:
                        connection.shutdown(socket.SHUT_RDWR)
                        return
                    connection.sendall(said)
