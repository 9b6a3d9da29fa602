"""One turn, one commit, then the answers: whatever the journal or a connection does."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from listener_bench import Bench, Line, MakeBench, MemoryJournal, msa, oru
from twisted.internet.main import CONNECTION_LOST
from twisted.python.failure import Failure

from engine.kernel.errors import StoreUnavailable
from engine.kernel.message import Accepted, NewEntry
from engine.listeners.ack_rules import AckSettings
from engine.listeners.intake import Budget
from engine.wire.mllp import END, START, encode


def test_every_frame_of_a_turn_is_one_commit_and_nobody_is_answered_before_it(bench: Bench) -> None:
    events: list[str] = []
    bench.journal.on_append = events
    lines = [bench.connect() for _ in range(5)]
    for n, line in enumerate(lines):
        write = line.wire.write
        line.wire.write = lambda data, write=write: (events.append("answer"), write(data))
        line.send(encode(oru(b"A%d" % n)))
    assert events == [] and not any(line.acks for line in lines)
    bench.turn()
    assert events == ["append"] + ["answer"] * 5
    assert bench.journal.appends == [5]
    assert [msa(line.acks[0], 2) for line in lines] == ["A0", "A1", "A2", "A3", "A4"]


def test_pipelined_frames_are_answered_in_order_in_one_write(bench: Bench) -> None:
    line = bench.connect()
    writes: list[bytes] = []
    line.wire.write = writes.append
    line.send(b"".join(encode(oru(b"P%d" % n)) for n in range(20)))
    bench.turn()
    [data] = writes
    assert [msa(ack, 2) for ack in data[1:-2].split(END + START)] == [f"P{n}" for n in range(20)]


def test_what_the_journal_is_told(make_bench: MakeBench) -> None:
    bench = make_bench()
    bench.exchange(oru(b"M1").replace(b"|P|2.5.1", b"|P|2.5.1||||||UNICODE UTF-8"))
    [entry] = bench.journal.entries
    assert (entry.channel, entry.peer, entry.kind, entry.reason) == ("lab", "192.0.2.7", "message", "")
    assert (entry.sender, entry.control_id, entry.message_type) == ("ANALYZER|NORTHLAB", "M1", "ORU^R01")
    assert entry.charset == "UNICODE UTF-8"
    assert entry.order_keys == ("NORTH|A1001",)
    assert entry.received > 1_700_000_000_000
    named = make_bench(sender="acme_lab").exchange(oru()).bench.journal.entries[0]
    assert named.sender == "acme_lab"


def test_garbage_is_kept_whole_and_cannot_be_taken_for_a_message(bench: Bench) -> None:
    for frame in (b"", b"\x00\xff" * 50, b"PID|1||A1\r", b"MSH", b"<ClinicalDocument/>"):
        line = bench.exchange(frame)
        entry = bench.journal.entries[-1]
        assert (entry.body, entry.kind, entry.reason) == (frame, "garbage", "not-hl7")
        assert (entry.control_id, entry.order_keys) == ("", ())
        assert line.codes == ["AR"] and msa(line.acks[0], 2) == ""


def test_a_refused_message_is_kept_with_its_row(bench: Bench) -> None:
    bench.exchange(oru().replace(b"|P|", b"|T|"))
    [entry] = bench.journal.entries
    assert (entry.kind, entry.reason, entry.control_id) == ("refused", "wrong-processing-id", "M1")


def test_a_refused_message_does_not_make_its_next_try_a_duplicate(make_bench: MakeBench) -> None:
    bench = make_bench()
    training = oru().replace(b"|P|", b"|T|")
    assert bench.exchange(training).codes == ["AR"]
    mended = make_bench(AckSettings(processing_id=("P", "T")))
    mended.journal.entries = bench.journal.entries
    assert mended.exchange(training).codes == ["AA"]
    assert [e.kind for e in mended.journal.entries] == ["refused", "message"]


def test_while_the_journal_is_down_everyone_is_closed_and_the_next_turn_tries_again(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    bench.journal.fail = StoreUnavailable("fsync failed")
    with caplog.at_level(logging.WARNING):
        lines = [bench.connect().send(encode(oru(b"X%d" % n))) for n in range(3)]
        bystander = bench.connect()
        bench.turn()
        for n in range(5):
            assert bench.exchange(oru(b"Y%d" % n)).closed
        assert all(line.closed and not line.acks for line in lines)
        assert not bystander.closed
        assert bench.count("hub_mllp_unanswered_total") == 8
        bench.journal.fail = None
        assert bench.exchange(oru(b"X0")).codes == ["AA"]
    assert [r.levelname for r in caplog.records] == ["CRITICAL", "WARNING"]  # once down, once up
    assert "fsync failed" in caplog.text and "PATIENT" not in caplog.text


def test_one_entry_the_journal_chokes_on_costs_only_its_own_sender(bench: Bench) -> None:
    bench.journal.choke_on = b"|POISON|"
    good, bad, other = (bench.connect() for _ in range(3))
    good.send(encode(oru(b"G1")))
    bad.send(encode(oru(b"POISON")))
    other.send(encode(oru(b"G2")))
    bench.turn()
    assert (good.codes, other.codes) == (["AA"], ["AA"])
    assert bad.acks == [] and bad.closed
    assert bench.metrics.value("hub_mllp_store_down") == 0


def test_a_journal_that_answers_short_is_not_believed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bench.journal, "append", lambda entries: [])
    line = bench.exchange(oru())
    assert line.closed and line.acks == []


def test_a_connection_closed_during_the_commit_harms_nobody(bench: Bench) -> None:
    first, second = bench.connect(), bench.connect()
    first.send(encode(oru(b"C1")))
    second.send(encode(oru(b"C2")))
    first.hang_up()
    bench.turn()
    assert first.acks == [] and second.codes == ["AA"]
    assert len(bench.journal.entries) == 2


def test_a_write_that_raises_harms_nobody_and_never_stops_the_loop(bench: Bench) -> None:
    def broken(data: bytes) -> None:
        raise OSError("the transport is gone")

    first, second = bench.connect(), bench.connect()
    first.wire.write = broken
    first.send(encode(oru(b"C1")))
    second.send(encode(oru(b"C2")))
    bench.turn()
    assert second.codes == ["AA"] and first.closed
    assert bench.exchange(oru(b"C3")).codes == ["AA"]


def test_a_partial_write_is_finished_by_the_transport_in_order(bench: Bench) -> None:
    sent: list[bytes] = []
    line = bench.connect()

    def some(data: bytes) -> Any:
        sent.append(data[:10])
        return 10

    assert line.connection is not None
    line.connection._send = some
    line.send(encode(oru(b"W1")))
    bench.turn()
    line.send(encode(oru(b"W2")))
    bench.turn()
    stream = b"".join(sent) + line.wire.value()
    assert len(sent) == 1
    assert [msa(ack, 2) for ack in stream[1:-2].split(END + START)] == ["W1", "W2"]


def test_a_write_to_a_lost_connection_is_quiet(bench: Bench) -> None:
    line = bench.connect()
    assert line.connection is not None
    line.connection._send = lambda data: CONNECTION_LOST
    line.send(encode(oru()))
    bench.turn()
    line.connection.connectionLost(Failure(CONNECTION_LOST))
    assert bench.exchange(oru(b"M2")).codes == ["AA"]


def test_what_came_before_garbage_is_answered_before_the_connection_closes(bench: Bench) -> None:
    line = bench.connect().send(encode(oru(b"B1")) + encode(oru(b"B2")) + b"junk" + encode(oru(b"B3")))
    assert not line.closed
    bench.turn()
    assert [msa(ack, 2) for ack in line.acks] == ["B1", "B2"]
    assert line.closed and [e.control_id for e in bench.journal.entries] == ["B1", "B2"]


def test_a_sender_that_does_not_read_is_not_read_from(bench: Bench) -> None:
    line = bench.exchange(oru())
    assert line.connection is not None
    line.connection.pauseProducing()
    assert line.wire.producerState == "paused"
    line.connection.resumeProducing()
    bench.clock.advance(600)
    bench.port.sweep()
    assert line.wire.producerState == "producing" and not line.closed


def test_a_slow_frame_is_given_its_time_once_and_a_fast_one_starts_anew(make_bench: MakeBench) -> None:
    bench = make_bench(frame_seconds=10)
    line = bench.connect()
    for n in range(5):
        frame = encode(oru(b"S%d" % n))
        line.send(frame[:50])
        bench.clock.advance(9)
        bench.port.sweep()
        line.send(frame[50:])
        bench.turn()
    assert line.codes == ["AA"] * 5
    for byte in b"\x0bMSH|^~\\&|dribble":
        line.send(bytes([byte]))
        bench.clock.advance(1)
        bench.port.sweep()
    assert line.closed and bench.reasons() == {"slow-frame": 1}


def test_stop_closes_the_idle_answers_the_waiting_and_waits_for_the_half_sent(bench: Bench) -> None:
    idle, waiting, half = bench.connect(), bench.connect(), bench.connect()
    frame = encode(oru(b"H1"))
    waiting.send(encode(oru(b"W1")))
    half.send(frame[:30])
    done: list[object] = []
    bench.port.stop().addCallback(done.append)
    assert idle.closed and not waiting.closed and not half.closed
    bench.turn()
    assert waiting.codes == ["AA"] and waiting.closed
    half.send(frame[30:])
    bench.turn()
    assert half.codes == ["AA"] and half.closed
    for line in (idle, waiting, half):
        assert done == []
        line.hang_up()
    assert done == [None]
    assert bench.reasons() == {}


def test_the_budget_forgets_what_is_gone(bench: Bench) -> None:
    lines = [bench.connect().send(b"\x0b" + b"x" * 1000) for _ in range(10)]
    assert bench.budget.total == 10_000
    lines[0].send(b"y" + END)
    lines[1].hang_up()
    lines[2].send(b"y" * 500)
    assert bench.budget.total == 8500
    for line in lines[2:]:
        line.hang_up()
    assert bench.budget.total == 0


def test_a_flood_of_bad_connections_is_counted_in_full_and_logged_in_short(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        for _ in range(500):
            line = bench.connect().send(b"\r\nSECRET^NAME")
            line.hang_up()
        bench.clock.advance(2)
        bench.connect().send(b"SECRET^NAME")
    assert bench.reasons() == {"garbage": 501}
    assert len(caplog.records) == 2 and "499 more" in caplog.text
    assert "SECRET" not in caplog.text and "192.0.2.7" in caplog.text


@pytest.mark.parametrize(
    ("allow", "host", "welcome"),
    [
        (["10.0.0.0/8"], "10.9.9.9", True),
        (["10.0.0.0/8"], "11.0.0.1", False),
        (["10.0.0.0/8"], "::ffff:10.1.1.1", True),
        (["fd00::/8", "192.0.2.7/32"], "fd00::1%eth0", True),
        (["fd00::/8"], "192.0.2.7", False),
        ([], "203.0.113.9", True),
    ],
)
def test_allow_list(make_bench: MakeBench, allow: list[str], host: str, welcome: bool) -> None:
    bench = make_bench(allow=allow)
    assert bench.connect(host).refused is not welcome
    assert bench.connect(host).refused is not welcome  # remembered


PIECES = st.lists(
    st.one_of(
        st.sampled_from([START, END, encode(oru()), oru(), b"MSH|", b"\rMSH|^~\\&|", b"FHS|\r", b"BTS|x\r"]),
        st.binary(max_size=40),
    ),
    max_size=10,
)


@settings(max_examples=200)
@given(st.lists(PIECES, min_size=1, max_size=3))
def test_whatever_comes_nothing_is_raised_and_a_good_neighbour_is_answered(
    streams: list[list[bytes]],
) -> None:
    bench = MakeBench()(AckSettings(processing_id=()))
    neighbour = bench.connect()
    lines = [bench.connect() for _ in streams]
    for n in range(max(map(len, streams))):
        for line, pieces in zip(lines, streams, strict=True):
            if n < len(pieces) and not line.closed:
                line.send(pieces[n])
        bench.turn()
    neighbour.send(encode(oru(b"N1")))
    bench.turn()
    assert neighbour.codes == ["AA"]
    taken = sum(bench.journal.appends)
    assert taken >= 1
    for line in lines:
        assert line_is_framed(line)


def line_is_framed(line: Line) -> bool:
    """Say whether everything written to a sender is whole frames: one ACK, or a batch of them."""
    return all(
        ack.startswith((b"MSH", b"BHS", b"FHS"))
        and ack.count(b"\rMSA") == ack.count(b"\rMSH") + ack.startswith(b"MSH") > 0
        for ack in line.acks
    )


def long_batch(count: int) -> bytes:
    """Return a batch whose frame is too large for one turn."""
    note = b"NTE|1||" + b"x" * 8000 + b"\r"
    messages = b"".join(oru(b"L%d" % n) + note for n in range(count))
    return b"FHS|^~\\&|LAB\rBHS|^~\\&|LAB||||||||B7\r" + messages + b"BTS|%d\rFTS|1\r" % count


def between(bench: Bench, then: Callable[[], object]) -> None:
    """Do something while the journal takes the second part of a long frame."""
    append = bench.journal.append

    def appending(entries: Sequence[NewEntry]) -> list[Accepted]:
        if len(bench.journal.appends) == 1:
            then()
        return append(entries)

    bench.journal.append = appending  # type: ignore[method-assign]


def test_a_long_batch_takes_several_turns_and_others_are_answered_between(make_bench: MakeBench) -> None:
    bench = make_bench(max_message_bytes=32 << 20)
    bench.budget = bench.port.budget = Budget(64 << 20)
    count = 700
    line, other = bench.connect(), bench.connect()
    states: list[tuple[str, bool]] = []

    def meanwhile() -> None:
        states.append((line.wire.producerState, bool(line.acks)))
        other.send(encode(oru(b"OTHER")))

    between(bench, meanwhile)
    line.send(encode(long_batch(count)) + encode(oru(b"NEXT")))
    bench.turn()
    assert states == [("paused", False)]  # the sender is read no further meanwhile, and not answered
    assert [len(re.findall(rb"\rMSA\|AA\|", ack)) for ack in line.acks] == [count, 1]
    assert b"BTS|%d\r" % count in line.acks[0] and b"|NEXT" in line.acks[1]  # in the order of the frames
    assert line.wire.producerState == "producing"
    assert other.codes == ["AA"]
    order = [e.control_id for e in bench.journal.entries]
    assert order.index("OTHER") < order.index(f"L{count - 1}") < order.index("NEXT")
    mine = [e for e in bench.journal.entries if e.control_id.startswith("L")]
    assert [e.control_id for e in mine] == [f"L{n}" for n in range(count)]
    assert b"".join(e.body for e in mine) in long_batch(count)
    assert "BHS|^~\\&|LAB||||||||B7" in mine[0].reason and "BTS|700\rFTS|1" in mine[0].reason
    assert bench.count("hub_mllp_messages_total", row="good") == count + 2


def test_a_long_batch_that_cannot_be_kept_to_its_end_is_not_answered(make_bench: MakeBench) -> None:
    bench = make_bench(max_message_bytes=32 << 20)
    bench.budget = bench.port.budget = Budget(64 << 20)
    between(bench, lambda: setattr(bench.journal, "fail", StoreUnavailable("disk full")))
    line = bench.connect().send(encode(long_batch(700)) + encode(oru(b"NEXT")))
    bench.turn()
    assert line.closed and line.acks == []
    kept = len(bench.journal.entries)
    bench.journal.append = MemoryJournal.append.__get__(bench.journal)  # type: ignore[method-assign]
    bench.journal.fail = None
    again = bench.connect().send(encode(long_batch(700)))
    bench.turn()
    assert len(re.findall(rb"\rMSA\|AA\|", again.acks[0])) == 700  # what was kept is known again
    assert 0 < kept < len(bench.journal.entries) == 700


def test_a_large_message_alone_is_no_batch(make_bench: MakeBench) -> None:
    bench = make_bench(max_message_bytes=32 << 20)
    bench.budget = bench.port.budget = Budget(64 << 20)
    large = oru(b"BIG") + b"NTE|1||" + b"x" * (5 << 20) + b"\r"
    for frame in (large, b"\r\n" + large):
        line = bench.exchange(frame)
        assert line.codes == ["AA"] and not line.closed
    assert [len(e.body) > 5 << 20 for e in bench.journal.entries] == [True] * len(bench.journal.entries)
