"""A listener without a network: Twisted's test transport and clock, and a journal in memory that can fail."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.address import IPv4Address
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from engine.kernel.message import Accepted, NewEntry
from engine.listeners.ack_rules import AckSettings, Strict
from engine.listeners.intake import Budget, Intake
from engine.listeners.metrics import Metrics
from engine.listeners.mllp import MllpPort
from engine.listeners.mllp_settings import MllpChannel, MllpSettings
from engine.wire.mllp import encode

ORU = (
    b"MSH|^~\\&|ANALYZER|NORTHLAB|HUB|NORTH|20260201101500||ORU^R01^ORU_R01|%b|P|2.5.1\r"
    b"PID|1||A1001^^^NORTH^MR||TEST^PATIENT\r"
    b"OBR|1||F1^ANALYZER|718-7^Hemoglobin^LN\r"
    b"OBX|1|NM|718-7^Hemoglobin^LN||13.2|g/dL|||||F\r"
)


def oru(control_id: bytes = b"M1") -> bytes:
    """Return a good message."""
    return ORU % control_id


class MemoryJournal:
    """A journal in memory: ids in order, duplicates and conflicts as the real one tells them."""

    def __init__(self) -> None:
        self.entries: list[NewEntry] = []
        self.appends: list[int] = []
        self.fail: Exception | None = None
        self.choke_on = b""
        self.on_append: list[str] | None = None

    def append(self, entries: Sequence[NewEntry]) -> list[Accepted]:
        if self.on_append is not None:
            self.on_append.append("append")
        if self.fail is not None:
            raise self.fail
        if self.choke_on and any(self.choke_on in e.body for e in entries):
            raise ValueError("an entry that cannot be stored")
        self.appends.append(len(entries))
        return [self._one(entry) for entry in entries]

    def _one(self, entry: NewEntry) -> Accepted:
        conflict = None
        for n, old in enumerate(self.entries, 1):
            if entry.kind == old.kind == "message" and (old.sender, old.control_id) == (
                entry.sender,
                entry.control_id,
            ):
                if old.body == entry.body:
                    return Accepted(n, duplicate_of=n)
                conflict = n
        self.entries.append(entry)
        return Accepted(len(self.entries), conflicts_with=conflict)


class Wire(StringTransport):  # type: ignore[misc]
    """A transport that knows what a TCP connection knows."""

    def setTcpNoDelay(self, enabled: bool) -> None: ...

    def setTcpKeepAlive(self, enabled: bool) -> None: ...

    def getHandle(self) -> Wire:
        """Stand in for the socket, too."""
        return self

    def setsockopt(self, level: int, option: int, value: int) -> None: ...


class Line:
    """One sender's end of a connection to the port under test."""

    def __init__(self, bench: Bench, host: str) -> None:
        self.bench = bench
        self.wire = Wire()
        self.connection = bench.port.buildProtocol(IPv4Address("TCP", host, 40_000))
        self.refused = self.connection is None
        if self.connection is not None:
            self.connection.makeConnection(self.wire)

    def send(self, data: bytes) -> Line:
        """Deliver bytes without ending the turn."""
        assert self.connection is not None
        self.connection.dataReceived(data)
        return self

    def hang_up(self) -> None:
        """End the connection from the sender's side."""
        assert self.connection is not None
        self.connection.connectionLost(Failure(ConnectionDone()))

    @property
    def closed(self) -> bool:
        """Say whether the listener closed the connection."""
        return bool(self.wire.disconnecting or self.wire.disconnected)

    @property
    def acks(self) -> list[bytes]:
        """Return the answers so far, without their frames."""
        data = self.wire.value()
        assert not data or (data.startswith(b"\x0b") and data.endswith(b"\x1c\r"))
        return data[1:-2].split(b"\x1c\r\x0b") if data else []

    @property
    def codes(self) -> list[str]:
        """Return MSA-1 of every answer."""
        return [msa(ack, 1) for ack in self.acks]


def msa(ack: bytes, field: int) -> str:
    """Return one field of an answer's MSA."""
    [line] = [line for line in ack.split(b"\r") if line.startswith(b"MSA|")]
    return (line.decode().split("|") + [""] * 6)[field]


class Bench:
    """A port with its intake, on a clock that the test moves."""

    def __init__(self, rules: AckSettings, strict: Strict | None, mllp: dict[str, Any], sender: str) -> None:
        self.clock = Clock()
        self.journal = MemoryJournal()
        self.metrics = Metrics()
        self.room = True
        self.intake = Intake(
            self.journal,
            lambda flush: self.clock.callLater(0, flush),
            self.metrics,
            self.clock.seconds,
            room_on_disk=lambda: self.room,
        )
        self.budget = Budget(4 << 20)
        channel = MllpChannel(channel="lab", mllp=MllpSettings(port=0, **mllp), rules=rules, sender=sender)
        self.port = MllpPort(channel, self.intake, self.metrics, self.clock.seconds, self.budget, strict)

    def connect(self, host: str = "192.0.2.7") -> Line:
        """Open a connection."""
        return Line(self, host)

    def turn(self) -> None:
        """End the turn of the event loop."""
        self.clock.advance(0)

    def exchange(self, *messages: bytes) -> Line:
        """Send messages on a fresh connection, one turn, and return the line."""
        line = self.connect()
        for message in messages:
            line.send(encode(message))
        self.turn()
        return line

    def reasons(self) -> dict[str, int]:
        """Return how many connections the listener ended, by reason."""
        text = self.metrics.text().splitlines()
        found = [line for line in text if line.startswith("hub_mllp_closed_total{")]
        return {line.split('reason="')[1].split('"')[0]: int(line.rsplit(" ", 1)[1]) for line in found}

    def count(self, name: str, **labels: str) -> float:
        """Return a counter of the channel."""
        return self.metrics.value(name, (("channel", "lab"), *labels.items()))


class MakeBench:
    """Makes benches with the settings a test asks for."""

    def __call__(
        self, rules: AckSettings | None = None, strict: Strict | None = None, sender: str = "", **mllp: Any
    ) -> Bench:
        return Bench(rules or AckSettings(), strict, mllp, sender)
