"""Every row of docs/operators/ack-rules.md, played against a listener: the page cannot say what is not so."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from listener_bench import Bench, Line, MakeBench, msa, oru

from engine.formats.hl7v2.ack import AckError
from engine.kernel.errors import StoreUnavailable
from engine.listeners.ack_rules import ROWS, Accepts, AckSettings
from engine.wire.mllp import encode

PAGE = (Path(__file__).parents[2] / "docs/operators/ack-rules.md").read_text("utf-8")


def table(heading: str) -> list[list[str]]:
    """Return the cells of the table under a heading of the page."""
    section = PAGE.split(f"\n## {heading}\n")[1].split("\n## ")[0]
    rows = [line.strip("|").split("|") for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip().strip("`") for cell in row] for row in rows[2:]]


LAB = AckSettings(accept=(Accepts(type="ORU^R01|R30", version="2.3 to 2.5.1"), Accepts(type="ADT^*")))
STRICT = LAB.model_copy(update={"strict": True})


def changed(**fields: bytes) -> bytes:
    """Return a good message with other MSH fields, named `f9` for MSH-9."""
    segments = oru().split(b"\r")
    msh = segments[0].split(b"|") + [b""] * 4
    for name, value in fields.items():
        msh[int(name[1:]) - 1] = value
    return b"\r".join([b"|".join(msh), *segments[1:]])


def batch(*messages: bytes, count: int | None = None) -> bytes:
    """Wrap messages in a batch whose id is B7."""
    number = len(messages) if count is None else count
    return b"FHS|^~\\&|LAB\rBHS|^~\\&|LAB||||||||B7\r" + b"".join(messages) + b"BTS|%d\rFTS|1\r" % number


TESTED = oru(b"T1")
TWO = batch(oru(b"M1"), oru(b"M2"))

# row -> what is sent before, and the frame itself; MSH-15 is added for enhanced mode
MESSAGES: dict[str, tuple[list[bytes], bytes]] = {
    "not-hl7": ([], b'{"resourceType": "Patient"}'),
    "no-type": ([], changed(f9=b"")),
    "acknowledgement": ([], changed(f9=b"ACK^R01")),
    "wrong-type": ([], changed(f9=b"MDM^T02")),
    "wrong-event": ([], changed(f9=b"ORU^R40")),
    "wrong-processing-id": ([], changed(f11=b"T")),
    "wrong-version": ([], changed(f12=b"2.8")),
    "no-control-id": ([], changed(f10=b" ")),
    "strict": ([], changed()),
    "good": ([], changed()),
    "duplicate": ([changed()], changed()),
    "conflict": ([changed()], changed(f7=b"20270101")),
    "batch": ([], TWO),
    "batch-partly": ([], batch(oru(b"M1"), changed(f9=b"MDM^T02"))),
    "batch-count": ([], batch(oru(b"M1"), count=2)),
}


def enhanced(frame: bytes) -> bytes:
    """Put AL into MSH-15 of every message."""
    return re.sub(
        rb"(?m)MSH\|[^\r]*", lambda m: b"|".join([*(m[0].split(b"|") + [b""] * 9)[:14], b"AL"]), frame
    )


def test_the_page_has_every_row_of_the_code_and_every_row_a_case() -> None:
    names = [row[0] for row in table("Messages")]
    assert len(names) == len(set(names))
    assert set(names) == set(MESSAGES)
    assert set(ROWS) <= set(names)


@pytest.mark.parametrize("row", table("Messages"), ids=lambda row: str(row[0]))
@pytest.mark.parametrize("mode", ["original", "enhanced"])
def test_messages(row: list[str], mode: str, make_bench: MakeBench) -> None:
    name, _, original, in_enhanced, err, kept = row
    finding = [AckError("E", "101", "PID-5", "the patient name is missing")]
    bench = make_bench(STRICT, lambda _: finding) if name == "strict" else make_bench(LAB)
    before, frame = MESSAGES[name]
    if mode == "enhanced":
        before, frame = [enhanced(b) for b in before], enhanced(frame)
    bench.exchange(*before)
    known = len(bench.journal.entries)
    line = bench.exchange(frame)

    expected = original if mode == "original" else in_enhanced
    assert line.codes == ([] if expected == "none" else [expected])
    assert [e.kind for e in bench.journal.entries[known:]] == expand(kept, frame)
    if err != "none":
        code, place = err.split()
        [ack] = line.acks
        errs = [segment.decode() for segment in ack.split(b"\r") if segment.startswith(b"ERR|")]
        assert len(errs) == 1
        assert errs[0].split("|")[3].startswith(f"{code}^")
        assert located(errs[0].split("|")[2]) == place
    elif expected != "none":
        assert b"ERR|" not in line.acks[0]
    assert not line.closed
    if name in ROWS and name != "batch-count":
        assert bench.count("hub_mllp_messages_total", row=name) == 1


def expand(kept: str, frame: bytes) -> list[str]:
    """Return the kinds of the entries that a cell of the table promises for one frame."""
    kinds = [] if kept == "nothing" else kept.split(", ")
    return kinds * max(1, frame.count(b"MSH|")) if len(kinds) == 1 else kinds


def located(place: str) -> str:
    """Write ERR-2 (segment^sequence^field^repetition^component) as `MSH-9.1`."""
    parts = [*place.split("^"), "", "", "", "", ""]
    text = parts[0] + (f"-{parts[2]}" if parts[2] else "")
    return text + (f".{parts[4]}" if parts[4] else "")


@pytest.mark.parametrize("row", table("Original and enhanced mode"), ids=lambda row: f"{row[0]}-{row[1]}")
def test_modes(row: list[str], make_bench: MakeBench) -> None:
    words = [{"empty": b"", "other": b"YES"}.get(word, word.encode()) for word in row[:2]]
    bench = make_bench(LAB)
    for expected, kind in zip(row[2:], (b"ORU^R01", b"MDM^T02"), strict=True):
        line = bench.exchange(changed(f9=kind, f15=words[0], f16=words[1]))
        assert line.codes == ([] if expected == "none" else [expected])
        assert not line.closed
    always = make_bench(LAB.model_copy(update={"acknowledge": "original"}))
    assert always.exchange(changed(f15=words[0], f16=words[1])).codes == ["AA"]


def _stale(bench: Bench) -> Line:
    line = bench.connect().send(b"\x0bMSH|")
    bench.clock.advance(61)
    bench.port.sweep()
    return line


def _idle(bench: Bench) -> Line:
    line = bench.connect()
    bench.clock.advance(601)
    bench.port.sweep()
    return line


def _unread(bench: Bench) -> Line:
    line = bench.exchange(oru())
    assert line.connection is not None
    line.wire.clear()
    line.connection.pauseProducing()
    bench.clock.advance(61)
    bench.port.sweep()
    return line


def _half(bench: Bench) -> Line:
    line = bench.connect().send(b"\x0bMSH|^~")
    line.hang_up()
    return line


def _crowd(bench: Bench) -> Line:
    for _ in range(19):
        bench.connect()
    return bench.connect()


def _memory(bench: Bench) -> Line:
    small, large = bench.connect(), bench.connect()
    large.send(b"\x0b" + b"x" * (3 << 20))
    small.send(b"\x0b" + b"x" * (2 << 20))
    assert not small.closed
    return large


CLOSED: dict[str, Callable[[Bench], Line]] = {
    "garbage": lambda bench: bench.connect().send(b"hello\r\n"),
    "http": lambda bench: bench.connect().send(b"GET / HTTP/1.1\r\nHost: hub\r\n\r\n"),
    "tls": lambda bench: bench.connect().send(b"\x16\x03\x01\x02\x00\x01\x00\x01"),
    "missing-end-block": lambda bench: bench.connect().send(b"\x0b" + oru() + encode(oru(b"M2"))),
    "half-frame": _half,
    "too-long": lambda bench: bench.connect().send(b"\x0b" + b"x" * (3 << 20) + b"x" * (3 << 20)),
    "slow-frame": _stale,
    "answers-unread": _unread,
    "idle": _idle,
    "not-allowed": lambda bench: bench.connect("198.51.100.9"),
    "too-many-connections": _crowd,
    "memory": _memory,
}


@pytest.mark.parametrize(
    "row",
    [row for row in table("What closes a connection") if row[0] != "tls-failed"],
    ids=lambda row: str(row[0]),
)
def test_what_closes_a_connection(row: list[str], make_bench: MakeBench) -> None:
    reason, _, journaled = row
    limit = 6_000_000 if reason == "too-long" else 4_000_000
    bench = make_bench(allow=["192.0.2.0/24"], max_connections=20, idle_seconds=600, max_message_bytes=limit)
    neighbour = bench.connect().send(encode(oru(b"N1"))[:40])
    bench.clock.advance(1)
    line = CLOSED[reason](bench)
    known = [e for e in bench.journal.entries if e.kind == "garbage"]
    bench.turn()
    kept = [e.kind for e in bench.journal.entries if e.kind == "garbage" and e not in known]
    assert kept == ([] if journaled == "nothing" else [journaled])
    assert bench.reasons().get(reason) == 1
    if reason != "half-frame":
        assert line.closed or line.refused
    assert line.refused or line.acks == []
    if reason not in ("slow-frame", "idle", "answers-unread"):  # there the neighbour was slow as well
        neighbour.send(encode(oru(b"N1"))[40:])
        bench.turn()
        assert neighbour.codes == ["AA"]


def test_the_page_names_every_reason() -> None:
    names = {row[0] for row in table("What closes a connection")}
    assert names == {*CLOSED, "tls-failed"}  # tls-failed needs a network: test_listener_network.py


@pytest.mark.parametrize("row", table("When nothing can be written"), ids=lambda row: row[0][:12])
def test_when_nothing_can_be_written(row: list[str], bench: Bench) -> None:
    if "reserve" in row[0]:
        bench.room = False
    else:
        bench.journal.fail = StoreUnavailable("database or disk is full")
    assert row[1] == "none, connection closed"
    line = bench.exchange(oru())
    assert line.closed and line.acks == []
    assert bench.metrics.value("hub_mllp_store_down") == 1
    assert bench.count("hub_mllp_unanswered_total") == 1
    bench.room, bench.journal.fail = True, None
    assert bench.exchange(oru()).codes == ["AA"]
    assert bench.metrics.value("hub_mllp_store_down") == 0


def test_several_messages_in_one_frame(make_bench: MakeBench) -> None:
    bench = make_bench(LAB)
    line = bench.exchange(batch(oru(b"M1"), changed(f9=b"MDM^T02"), oru(b"M3")))
    [ack] = line.acks
    assert (msa(ack, 1), msa(ack, 2)) == ("AR", "B7")
    assert b"message 2 of 3: " in ack
    assert bench.journal.appends == [3]
    assert [e.control_id for e in bench.journal.entries] == ["M1", "M1", "M3"]
    assert bench.journal.entries[0].body == oru(b"M1")
    assert "BHS|^~\\&|LAB||||||||B7" in bench.journal.entries[0].reason
    assert "BTS|3\rFTS|1" in bench.journal.entries[0].reason

    plain = make_bench().exchange(oru(b"M1") + oru(b"M2"))
    assert [msa(ack, 2) for ack in plain.acks] == ["M1"]
    assert [e.body for e in plain.bench.journal.entries] == [oru(b"M1"), oru(b"M2")]
