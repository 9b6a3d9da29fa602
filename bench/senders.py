"""A load of MLLP senders: closed loop (each waits for its answer) or at a fixed rate, from one event loop.

In: a template in which @ID@ becomes a fresh 12-digit number, @PT@ one of 2,000 patient numbers and @V3@ a
changing three-digit value. Out: a `Load`: answers, their latencies in seconds, errors. At a rate, latency
counts from the planned moment, so that a stall is not hidden by senders that wait for it.
"""

from __future__ import annotations

import random
import re
import selectors
import socket
import time
from dataclasses import dataclass, field
from pathlib import Path

TEMPLATE = Path(__file__).with_name("oru_template.hl7")
PATIENTS = 2000


class Template:
    """Makes the frames of a load, each with a new control id and order."""

    def __init__(self, path: Path = TEMPLATE, start: int | None = None) -> None:
        raw = path.read_bytes().replace(b"\r\n", b"\r").replace(b"\n", b"\r").strip(b"\r") + b"\r"
        self._parts = re.split(rb"(@ID@|@PT@|@V3@)", raw)
        self._next = int(time.time() * 1000) % 10**9 * 1000 if start is None else start
        self._random = random.Random(self._next)

    def message(self) -> tuple[bytes, bytes]:
        """Return a control id and its message."""
        number, self._next = self._next, self._next + 1
        marks = {b"@ID@": b"%012d" % number, b"@PT@": b"%06d" % (number % PATIENTS)}
        digits = self._random.randrange
        body = b"".join(
            marks.get(part, part) if part != b"@V3@" else b"%03d" % digits(100, 1000) for part in self._parts
        )
        return marks[b"@ID@"], body


@dataclass(slots=True)
class Load:
    """What came of a load."""

    seconds: float = 0.0
    good: int = 0
    bad: int = 0
    latencies: list[float] = field(default_factory=list)

    def quantile(self, part: float) -> float:
        """Return a quantile of the latencies in milliseconds."""
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(len(ordered) * part))] * 1000 if ordered else 0.0


class _Sender:
    __slots__ = ("answer", "control", "due", "idle", "socket")

    def __init__(self, port: int) -> None:
        self.socket = socket.create_connection(("127.0.0.1", port), 10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.answer = b""
        self.control = b""
        self.due = 0.0
        self.idle = True


def drive(
    port: int,
    connections: int,
    *,
    count: int = 0,
    seconds: float = 0.0,
    rate: float = 0.0,
    template: Template | None = None,
) -> Load:
    """Send `count` messages, or for so many seconds; `rate` is messages a second over all connections."""
    made = template or Template()
    load = Load()
    selector = selectors.DefaultSelector()
    senders = [_Sender(port) for _ in range(connections)]
    for sender in senders:
        selector.register(sender.socket, selectors.EVENT_READ, sender)
    free = list(senders)
    sent = 0
    begun = time.perf_counter()

    def more() -> bool:
        return (not count or sent < count) and (not seconds or time.perf_counter() - begun < seconds)

    while True:
        now = time.perf_counter()
        while free and more() and (not rate or now >= begun + sent / rate):
            sender = free.pop()
            sender.control, body = made.message()
            sender.due = begun + sent / rate if rate else time.perf_counter()
            sender.answer = b""
            sender.socket.sendall(b"\x0b" + body + b"\x1c\r")
            sent += 1
        if len(free) == len(senders) and not more():
            break
        wait = max(0.0, begun + sent / rate - now) if rate and free and more() else 5.0
        for key, _ in selector.select(wait):
            sender = key.data
            data = sender.socket.recv(65536)
            if not data:
                raise ConnectionError("the hub closed a connection")
            sender.answer += data
            if sender.answer.endswith(b"\x1c\r"):
                load.latencies.append(time.perf_counter() - sender.due)
                good = re.search(rb"\rMSA\|[AC]A\|" + sender.control, sender.answer)
                load.good += bool(good)
                load.bad += not good
                free.append(sender)
    load.seconds = time.perf_counter() - begun
    for sender in senders:
        sender.socket.close()
    return load
