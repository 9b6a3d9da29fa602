"""MLLP framing without a network: bytes in, messages or a violation out; a message in, a frame out.

A frame is <VT> message <FS><CR> (HL7 v2.5.1 Appendix C.4; MLLP Transport Specification, Release 1). A
`Framer` takes whatever pieces a connection delivers and gives back whole messages; the result does not depend
on how the stream was cut. Listeners and destinations share it. Being strict here would cost results, so two
things senders get wrong are let through: CR and LF between frames, and a lone VT or FS inside a text (word
processors leave VT there). What cannot be read any further ends the stream with one `Violation`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

from engine.kernel.errors import FormatError

__all__ = ["END", "START", "Framer", "Violation", "ViolationKind", "encode"]

START = b"\x0b"
END = b"\x1c\r"

ViolationKind = Literal[
    "garbage",  # the stream does not begin with a start block
    "http",  # somebody pointed a browser or a health check at this port
    "tls",  # a TLS handshake on a port that speaks plain TCP
    "missing-end-block",  # a new start block and header inside a frame: the one before never ended
    "half-frame",  # the connection ended, or its time was up, inside a frame
    "too-long",  # the frame outgrew the limit
]

_VT = 0x0B
_FS = 0x1C
_CR = 0x0D
_STRAY = b"\r\n"
_HEADERS = (b"\x0bMSH", b"\x0bFHS", b"\x0bBHS")
_HTTP = tuple(
    word + b" "
    for word in (
        b"GET",
        b"PUT",
        b"POST",
        b"HEAD",
        b"PRI",
        b"DELETE",
        b"OPTIONS",
        b"CONNECT",
        b"PATCH",
        b"TRACE",
    )
)
_TLS = b"\x16\x03"
_LONGEST = max(map(len, _HTTP))


@dataclass(frozen=True, slots=True)
class Violation:
    """Why a stream cannot be read further. `body` is what was complete and must be kept; it may hold PHI."""

    kind: ViolationKind
    size: int  # bytes of the frame it is about, 0 outside a frame
    body: bytes = b""


class Framer:
    """Cut one connection's stream into messages. After a violation everything that follows is ignored."""

    __slots__ = ("_held", "_inside", "_limit", "violation")

    def __init__(self, max_bytes: int) -> None:
        self._limit = max_bytes
        self._held = bytearray()  # grows in place: a 2 MB frame in 64 KB pieces costs one copy, not thirty
        self._inside = False
        self.violation: Violation | None = None

    @property
    def inside(self) -> bool:
        """Say whether something was begun and has not ended: a frame, or the first bytes of the unknown."""
        return self._inside or bool(self._held)

    @property
    def held(self) -> int:
        """Count the bytes kept for a frame that has not ended."""
        return len(self._held)

    def receive(self, data: bytes) -> list[bytes]:
        """Take the next bytes of the stream and return the messages they complete, in order.

        Look at `violation` afterwards: messages before it are returned, nothing after it is.
        """
        # Nearly every read is exactly one frame.
        if (
            not self._inside
            and not self._held
            and len(data) > 2
            and data.startswith(START)
            and data.find(END, 1) == len(data) - 2
            and len(data) - 3 <= self._limit
            and data.find(START, 1) < 0
            and self.violation is None
        ):
            return [data[1:-2]]
        return list(self._receive(data))

    def close(self) -> Violation | None:
        """End the stream: whatever was begun and not completed is a violation."""
        if self.violation is None and self.inside:
            if self._inside:
                self._stop("half-frame", len(self._held))
            else:
                self._stop("garbage")
        return self.violation

    def _receive(self, data: bytes) -> Iterator[bytes]:
        at = 0
        while self.violation is None and at < len(data):
            if not self._inside:
                at = self._between(data, at)
                continue
            held = self._held
            if held and held[-1] == _FS and data[at] == _CR:  # the end block was cut in two
                body = bytes(memoryview(held)[:-1])
                held = self._held = bytearray()
                at += 1
            elif (end := data.find(END, at)) >= 0:
                if held:
                    held += memoryview(data)[at:end]
                    body = bytes(held)
                    held = self._held = bytearray()  # a large frame is not kept twice any longer
                else:
                    body = data[at:end]
                at = end + 2
            elif len(held) + len(data) - at > self._limit + 1:  # the one more may be half an end block
                self._stop("too-long", self._limit)
                return
            else:
                held += memoryview(data)[at:]
                return
            self._held = bytearray()
            self._inside = False
            if len(body) > self._limit:
                self._stop("too-long", self._limit)
            elif START in body and any(header in body for header in _HEADERS):
                self._stop("missing-end-block", len(body), body)
            else:
                yield body

    def _between(self, data: bytes, at: int) -> int:
        """Skip to the next start block, or find out what else this is; return where to go on."""
        if not self._held:
            byte = data[at]
            if byte == _VT:
                self._inside = True
                return at + 1
            if byte in _STRAY:
                return at + 1
        # Not MLLP. A few bytes more tell what it is, so that whoever reads the log knows whom to call.
        self._held += data[at : at + _LONGEST]
        start = bytes(self._held[:_LONGEST])
        if start.startswith(_HTTP):
            self._stop("http")
        elif start.startswith(_TLS):
            self._stop("tls")
        elif not any(known.startswith(start) for known in (*_HTTP, _TLS)):
            self._stop("garbage")
        return len(data)

    def _stop(self, kind: ViolationKind, size: int = 0, body: bytes = b"") -> None:
        self.violation = Violation(kind, size, body)
        self._held = bytearray()
        self._inside = False


def encode(message: bytes) -> bytes:
    """Put a message into a frame. A message that holds an end block cannot travel over MLLP: FormatError."""
    if END in message:
        raise FormatError(
            "the message holds the two bytes that end an MLLP frame (1C 0D)",
            why="the receiver would see two pieces",
            remedy="send it in another way, or encode the part that holds binary data",
        )
    return START + message + END
