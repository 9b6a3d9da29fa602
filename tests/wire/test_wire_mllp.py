"""Framing: whole messages whatever the cuts, limits, and a name for everything that is not MLLP."""

from __future__ import annotations

import itertools
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.errors import FormatError
from engine.wire.mllp import END, START, Framer, encode

ADT = b"MSH|^~\\&|REG|NORTH|HUB|NORTH|20260201||ADT^A01|77|P|2.5\rPID|1||A1^^^NORTH^MR\r"


def run(stream: bytes, cuts: list[int], limit: int = 1 << 20) -> tuple[list[bytes], object]:
    """Feed a stream in pieces; return the messages and how it ended."""
    framer = Framer(limit)
    messages: list[bytes] = []
    edges = sorted({0, len(stream), *(cut % (len(stream) + 1) for cut in cuts)})
    for low, high in itertools.pairwise(edges):
        messages += framer.receive(stream[low:high])
    return messages, framer.close()


def kind(stream: bytes, limit: int = 1 << 20) -> str | None:
    """Return the kind of violation, the same whether the stream comes whole or byte by byte."""
    _, whole = run(stream, [], limit)
    _, drops = run(stream, list(range(len(stream))), limit)
    assert whole == drops
    return whole.kind if whole else None  # type: ignore[attr-defined]


def test_one_frame_one_message() -> None:
    framer = Framer(1 << 20)
    assert framer.receive(encode(ADT)) == [ADT]
    assert not framer.inside and framer.held == 0 and framer.close() is None


def test_several_frames_in_one_read_keep_their_order() -> None:
    assert run(encode(b"one") + encode(b"two") + encode(b""), []) == ([b"one", b"two", b""], None)


def test_byte_by_byte() -> None:
    stream = encode(ADT) + b"\r\n" + encode(ADT)
    assert run(stream, list(range(len(stream)))) == ([ADT, ADT], None)


@pytest.mark.parametrize("stray", [b"\r", b"\n", b"\r\n\r\n"])
def test_line_ends_between_frames_are_let_through(stray: bytes) -> None:
    assert run(stray + encode(b"a") + stray + encode(b"b") + stray, []) == ([b"a", b"b"], None)


@pytest.mark.parametrize("text", [b"a\x0bb", b"a\x1cb", b"a\x1c\x1c", b"\x1c", b"\x0b", b"x\x0b"])
def test_lone_block_characters_inside_a_text_are_text(text: bytes) -> None:
    assert run(encode(text), list(range(99))) == ([text], None)


def test_end_block_cut_in_two() -> None:
    framer = Framer(99)
    assert framer.receive(b"\x0babc\x1c") == []
    assert framer.inside and framer.held == 4
    assert framer.receive(b"\r\x0bd") == [b"abc"]
    assert framer.receive(b"ef\x1c\r") == [b"def"]


@pytest.mark.parametrize(
    ("stream", "expected"),
    [
        (b"MSH|^~\\&|no start block\r", "garbage"),
        (b"G", "garbage"),
        (b"GE", "garbage"),
        (b"GETTING", "garbage"),
        (b"\x00\xff\x00", "garbage"),
        (b"GET / HTTP/1.1\r\n", "http"),
        (b"OPTIONS * HTTP/1.1\r\n", "http"),
        (b"PRI * HTTP/2.0\r\n", "http"),
        (b"\r\nPOST /x HTTP/1.1\r\n", "http"),
        (b"\x16\x03\x01\x02\x00\x01", "tls"),
        (b"\x16", "garbage"),
        (START + ADT, "half-frame"),
        (START, "half-frame"),
        (START + ADT + b"\x1c", "half-frame"),
        (START + ADT + encode(ADT), "missing-end-block"),
        (encode(ADT) + b"x", "garbage"),
        (encode(b"x" * 99), None),
        (encode(b"x" * 101), "too-long"),
        (START + b"x" * 102, "too-long"),
    ],
)
def test_every_violation_has_its_kind(stream: bytes, expected: str | None) -> None:
    assert kind(stream, 200 if expected != "too-long" else 100) == expected


def test_a_frame_of_exactly_the_limit_is_good() -> None:
    for cuts in ([], list(range(200))):
        assert run(encode(b"x" * 100), cuts, 100) == ([b"x" * 100], None)


def test_a_missing_end_block_hands_back_what_was_complete() -> None:
    messages, violation = run(encode(b"good") + START + ADT + encode(ADT), [3, 50, 120])
    assert messages == [b"good"]
    assert violation is not None and violation.body == ADT + START + ADT  # type: ignore[attr-defined]


def test_nothing_is_read_after_a_violation() -> None:
    framer = Framer(100)
    assert framer.receive(encode(b"a") + b"junk" + encode(b"b")) == [b"a"]
    assert framer.receive(encode(b"c")) == []
    first = framer.violation
    assert framer.close() is first and framer.held == 0


def test_a_violation_never_shows_content() -> None:
    framer = Framer(100)
    framer.receive(b"PID|1||SECRET")
    assert framer.violation is not None and framer.violation.body == b""


BODIES = st.lists(
    st.binary(max_size=60).filter(lambda b: END not in b and START not in b and not b.endswith(b"\x1c")),
    max_size=6,
)


@given(BODIES, st.lists(st.integers(0, 10_000), max_size=20))
def test_the_cuts_never_matter(bodies: list[bytes], cuts: list[int]) -> None:
    stream = b"".join(encode(body) for body in bodies)
    assert run(stream, cuts) == (bodies, None)


PIECES = st.lists(
    st.one_of(
        st.sampled_from(
            [START, END, b"\x1c", b"\r", b"\n", b"GET ", b"PO", b"\x16\x03", encode(b"MSH|"), b"MSH|a"]
        ),
        st.binary(max_size=8),
    ),
    max_size=12,
)


@given(PIECES, st.lists(st.integers(0, 500), max_size=20))
def test_any_bytes_give_the_same_messages_and_violation_however_cut(
    pieces: list[bytes], cuts: list[int]
) -> None:
    stream = b"".join(pieces)
    assert run(stream, cuts, 40) == run(stream, [], 40)


def test_a_big_frame_is_held_once_while_it_grows() -> None:
    piece = b"x" * 65_536
    framer = Framer(64 << 20)
    framer.receive(START)
    tracemalloc.start()
    try:
        for _ in range(128):
            framer.receive(piece)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert framer.held == 8 << 20
    assert peak < 20 << 20  # the buffer, and its copy while it moves
    assert [len(message) for message in framer.receive(END)] == [8 << 20]


def test_two_byte_pieces_cost_no_more_memory_than_their_bytes() -> None:
    framer = Framer(64 << 20)
    framer.receive(START)
    tracemalloc.start()
    try:
        for n in range(50_000):
            framer.receive(b"%02d" % (n % 100))
        current, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert framer.held == 100_000 and current < 200_000


def test_a_message_with_an_end_block_cannot_be_framed() -> None:
    with pytest.raises(FormatError, match="1C 0D"):
        encode(b"pdf \x1c\r bytes")
