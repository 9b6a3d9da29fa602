"""The reader: any bytes come back as they were, whatever pieces they are read in."""

from __future__ import annotations

from io import BytesIO

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.formats.x12.segments import Reader, emit, looks_like, read_segments, text_of

ISA = (
    b"ISA*00*          *00*          *ZZ*SENDER         *ZZ*RECEIVER       "
    b"*260101*1200*^*00501*000000001*0*P*:~"
)
SCRAPS = st.sampled_from(
    [b"~", b"*", b":", b"\r\n", b"\n", b" ", b"ISA", b"GS*HC~", b"ST*837*1~", ISA, ISA.replace(b"*", b"|"),
     ISA.replace(b"~", b"\n"), b"IEA*1*000000001~", b"\xef\xbb\xbf", b"\x00", b"\xff", b"CLM*a*1~\r\n"]
)  # fmt: skip


def _back(data: bytes, piece: int = 1 << 20) -> bytes:
    reader = Reader(BytesIO(data), piece=piece)
    segments = list(reader)
    return emit(segments, reader.trailer)


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=300))
def test_bytes_that_begin_with_isa_come_back(rest: bytes) -> None:
    assert _back(b"ISA" + rest) == b"ISA" + rest


@settings(max_examples=400, deadline=None)
@given(st.lists(st.one_of(SCRAPS, st.binary(max_size=12)), max_size=25), st.integers(106, 400))
def test_any_mixture_comes_back_in_any_pieces(parts: list[bytes], piece: int) -> None:
    data = b"".join(parts)
    assert _back(data) == data
    assert _back(data, piece) == data


@settings(max_examples=200, deadline=None)
@given(st.lists(st.one_of(SCRAPS, st.binary(max_size=12)), max_size=25), st.integers(106, 400))
def test_offsets_are_where_segments_are(parts: list[bytes], piece: int) -> None:
    data = ISA + b"".join(parts)
    for segment in Reader(BytesIO(data), piece=piece):
        raw = segment.raw.encode("latin-1")
        assert data[segment.offset : segment.offset + len(raw)] == raw


def test_separators_come_from_each_isa() -> None:
    second = ISA.replace(b"*", b"|").replace(b"~", b"!").replace(b":", b">")
    segments, trailer, problems = read_segments(
        ISA + b"GS*HC~\r\nIEA*1*1~\r\n" + second + b"GS|HP!IEA|1|1!\n"
    )
    assert [s.name for s in segments] == ["ISA", "GS", "IEA", "ISA", "GS", "IEA"]
    assert segments[4].separators == ("|", ">", "^", "!")
    assert (trailer, problems) == ("\n", [])


def test_line_ends_may_end_segments_and_a_byte_order_mark_may_come_first() -> None:
    data = b"\xef\xbb\xbf" + ISA.replace(b"~", b"\r") + b"\nGS*HC\r\nIEA*1*1\r\n"
    segments, trailer, problems = read_segments(data)
    assert [s.raw for s in segments[1:]] == ["GS*HC", "IEA*1*1"]
    assert emit(segments, trailer) == data
    assert problems == []


def test_a_header_of_other_widths_is_read_and_reported() -> None:
    data = ISA.replace(b"SENDER         ", b"SENDER") + b"GS*HC~"
    segments, _, problems = read_segments(data)
    assert [s.name for s in segments] == ["ISA", "GS"]
    assert [(p.code, p.where, p.severity) for p in problems] == [("022", "ISA-06", "W")]


def test_stray_text_before_the_interchange_is_kept_and_reported() -> None:
    data = b"From: clearinghouse\r\n\r\n" + ISA + b"GS*HC"
    segments, trailer, problems = read_segments(data)
    assert [s.name for s in segments] == ["", "ISA", "GS"]
    assert len(problems) == 2
    assert emit(segments, trailer) == data


def test_repetition_separator_only_where_isa11_gives_one() -> None:
    old = read_segments(ISA.replace(b"*^*00501", b"*U*00401"))[0][0]
    assert old.separators.repetition == ""
    assert read_segments(ISA + b"EB*1**A^B~")[0][1].repetitions(3) == ["A", "B"]


def test_values_are_utf8_where_they_can_be() -> None:
    segments, _, _ = read_segments(ISA + "NM1*IL*1*Muñoz~".encode() + "NM1*IL*1*Muñoz~".encode("latin-1"))
    assert [text_of(s.get(3)) for s in segments[1:]] == ["Muñoz", "Muñoz"]


def test_what_is_x12_is_told_by_its_first_bytes() -> None:
    assert looks_like(ISA)
    assert looks_like(b"\xef\xbb\xbf\r\n" + ISA)
    assert looks_like(b"Subject: claims\r\n\r\n" + ISA)
    name = b"MSH|^~\\&|A|B|C|D|20260101||ADT^A01|1|P|2.5\rPID|1||1^^^A||ISA^" + b"x^" * 20
    assert not looks_like(name)
    assert not looks_like(b"\x0b" + name)
    assert not looks_like(b"<a>\n" + ISA)
    assert not looks_like(b"ISA")
    assert not looks_like(b"")
