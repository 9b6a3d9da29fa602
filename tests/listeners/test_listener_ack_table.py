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
    "query": ([], changed(f9=b"QBP^Q22^QBP_Q21")),
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
    "several": ([], oru(b"M1") + oru(b"M2")),
    "several-partly": ([], oru(b"M1") + changed(f9=b"MDM^T02")),
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
    codes = [text.decode() for ack in line.acks for text in re.findall(rb"\rMSA\|(\w+)\|", ack)]
    assert codes == ([] if expected == "none" else expected.split())
    assert len(line.acks) == (expected != "none")  # one frame, one answer
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
    [answer] = line.acks
    assert pairs(answer) == [("AA", "M1"), ("AR", "M1"), ("AA", "M3")]
    assert bench.journal.appends == [3]
    assert [e.control_id for e in bench.journal.entries] == ["M1", "M1", "M3"]
    assert bench.journal.entries[0].body == oru(b"M1")
    assert "BHS|^~\\&|LAB||||||||B7" in bench.journal.entries[0].reason
    assert "BTS|3\rFTS|1" in bench.journal.entries[0].reason

    plain = make_bench(LAB).exchange(oru(b"M1") + changed(f9=b"MDM^T02"))
    assert [(msa(ack, 1), msa(ack, 2)) for ack in plain.acks] == [("AR", "M1")]
    assert b"message 2 of 2: " in plain.acks[0]
    plain = make_bench().exchange(oru(b"M1") + oru(b"M2"))
    assert [msa(ack, 2) for ack in plain.acks] == ["M1"]
    assert [e.body for e in plain.bench.journal.entries] == [oru(b"M1"), oru(b"M2")]


def pairs(answer: bytes) -> list[tuple[str, str]]:
    """Return (MSA-1, MSA-2) of every ACK of a batch of answers."""
    return [(a.decode(), b.decode()) for a, b in re.findall(rb"\rMSA\|(\w+)\|([^|\r]*)", answer)]


def test_a_batch_is_answered_by_a_batch(make_bench: MakeBench) -> None:
    asked = (
        b"FHS|^~\\&|LAB|NORTH|HUB|MERCY|20260201||||F3\rBHS|^~\\&|LAB|NORTH|HUB|MERCY|20260201||||B7\r"
        + oru(b"M1")
        + changed(f10=b"M2", f15=b"NE")
        + changed(f10=b"M3", f15=b"AL")
        + b"BTS|3\rBHS|^~\\&|LAB||||||||B8\r"
        + changed(f9=b"ACK^R01", f10=b"M4")
        + changed(f9=b"MDM^T02", f10=b"M5")
        + b"BTS|2\rFTS|2\r"
    )
    [answer] = make_bench(LAB).exchange(asked).acks
    lines = [line.split("|") for line in answer.decode().strip("\r").split("\r")]
    assert [line[0] for line in lines] == (
        ["FHS", "BHS", "MSH", "MSA", "MSH", "MSA", "BTS", "BHS", "MSH", "MSA", "ERR", "BTS", "FTS"]
    )
    file, first, second = lines[0], lines[1], lines[7]
    assert file[2:6] == first[2:6] == ["HUB", "MERCY", "LAB", "NORTH"]
    assert (file[11], first[11], second[11]) == ("F3", "B7", "B8")
    assert [line[1] for line in lines if line[0] in ("BTS", "FTS")] == ["2", "1", "2"]
    assert pairs(answer) == [("AA", "M1"), ("CA", "M3"), ("AR", "M5")]  # M2 wants none, M4 is an ACK
    ids = [line[9] for line in lines if line[0] == "MSH"] + [line[10] for line in (file, first, second)]
    assert all(ids) and len(set(ids)) == len(ids)


def test_a_batch_that_wants_no_answers_gets_none(make_bench: MakeBench) -> None:
    silent = [changed(f10=n, f15=b"NE") for n in (b"M1", b"M2")]
    assert make_bench(LAB).exchange(batch(*silent)).acks == []
    assert make_bench(LAB).exchange(batch(*silent, count=3)).acks == []
    [answer] = make_bench(LAB).exchange(batch(oru(b"M1"), count=3)).acks
    assert pairs(answer) == [("AA", "M1"), ("AE", "B7")]


@pytest.mark.parametrize("kind", [b"ACK", b"ACK^R01^ACK", b"MCF^Q02", b"ORR^O02", b"RSP^K22"])
def test_an_answer_is_kept_and_never_answered(kind: bytes, make_bench: MakeBench) -> None:
    bench = make_bench(LAB)
    answer = changed(f9=kind, f15=b"AL", f16=b"AL").replace(b"\rPID", b"\rMSA|AA|OURS1\rPID")
    assert bench.exchange(answer).acks == []
    assert [e.kind for e in bench.journal.entries] == ["answer"]


def test_an_answer_that_the_channel_wants_is_a_message(make_bench: MakeBench) -> None:
    bench = make_bench(AckSettings(accept=(Accepts(type="RSP^K22"),)))
    assert bench.exchange(changed(f9=b"RSP^K22").replace(b"\rPID", b"\rMSA|AA|Q1\rPID")).codes == ["AA"]
    assert [e.kind for e in bench.journal.entries] == ["message"]


QPD = b"QPD|Q22^Find Candidates^HL7|TAG7|@PID.3.1^A1001"


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        (b"QBP^Q22^QBP_Q21", "RSP^K22^RSP_K22"),
        (b"QBP^Q13^QBP_Q13", "RTB^K13^RTB_K13"),
        (b"QBP^Q15", "RDY^K15^RDY_K15"),
        (b"QVR^Q17", "RSP^K17^RSP_K17"),
    ],
)
def test_a_query_is_refused_in_the_form_its_sender_reads(
    kind: bytes, expected: str, make_bench: MakeBench
) -> None:
    query = changed(f9=kind).split(b"\r")[0] + b"\r" + QPD + b"\rRCP|I\r"
    [answer] = make_bench().exchange(query).acks
    lines = answer.decode().strip("\r").split("\r")
    assert lines[0].split("|")[8] == expected
    assert [line[:3] for line in lines] == ["MSH", "MSA", "ERR", "QAK", "QPD"]
    assert lines[1].startswith("MSA|AR|M1") and "200^" in lines[2]
    assert lines[3] == "QAK|TAG7|AR|Q22^Find Candidates^HL7"
    assert lines[4].encode() == QPD
    [accept] = make_bench().exchange(enhanced(query)).acks
    assert pairs(accept) == [("CR", "M1")] and b"QAK" not in accept  # the accept level speaks of receipt only


@pytest.mark.parametrize("kind", [b"QRY^A19", b"QRY^R02", b"VXQ^V01", b"QBP^Z04", b"QBP"])
def test_other_queries_get_a_plain_refusal(kind: bytes, make_bench: MakeBench) -> None:
    query = changed(f9=kind).split(b"\r")[0] + b"\rQRD|20260201|R|I|Q1|||1^RD|A1001|DEM\r"
    accepting = AckSettings(accept=(Accepts(type=kind.decode()),))
    [answer] = make_bench(accepting).exchange(query).acks
    assert pairs(answer) == [("AR", "M1")] and b"ACK" in answer.split(b"\r")[0]
