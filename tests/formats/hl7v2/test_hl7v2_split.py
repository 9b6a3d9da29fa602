"""Messages in files and frames: batches, frames, stray bytes, and the same found piece by piece."""

from __future__ import annotations

import io

import pytest
from hl7v2_samples import ADT, ORM, ORU

from engine.formats.hl7v2.parse import iter_messages, parse, split_messages
from engine.kernel.errors import FormatError

A, B, C = ADT.encode(), ORU.encode(), ORM.encode()
BATCH = b"FHS|^~\\&|LAB\rBHS|^~\\&|LAB|N\r" + A + B + b"BTS|2\rBHS|^~\\&|LAB|S\r" + C + b"BTS|1\rFTS|2\r"

FILES = {
    "one": (A, [A]),
    "several": (A + B + C, [A, B, C]),
    "lf": (
        A.replace(b"\r", b"\n") + B.replace(b"\r", b"\n"),
        [A.replace(b"\r", b"\n"), B.replace(b"\r", b"\n")],
    ),
    "crlf and blank lines": (
        b"\r\n" + A.replace(b"\r", b"\r\n") + b"\r\n\r\n" + C.replace(b"\r", b"\r\n") + b"\r\n",
        [A.replace(b"\r", b"\r\n"), C.replace(b"\r", b"\r\n")],
    ),
    "byte order mark": (b"\xef\xbb\xbf" + A + b"\xef\xbb\xbf" + B, [A, B]),
    "mllp frames": (b"\x0b" + A + b"\x1c\r\x0b" + B + b"\x1c\r", [A, B]),
    "frames run together": (b"\x0b" + A[:-1] + b"\x1c\x0b" + B[:-1] + b"\x1c", [A[:-1], B[:-1]]),
    "batch": (BATCH, [A, B, C]),
    "text before": (b"--- sent by x ---\n" + A, [A]),
    "nothing": (b"no message here\rPID|1\r", []),
    "empty": (b"", []),
    "padded": (b"  " + A + b" \t" + B, [A + b" \t", B]),
}


@pytest.mark.parametrize(("data", "expected"), FILES.values(), ids=FILES)
def test_messages_keep_their_bytes_and_know_their_place(data, expected):
    found = split_messages(data)
    assert [piece.data.rstrip(b" \t") for piece in found] == [piece.rstrip(b" \t") for piece in expected]
    assert [piece.number for piece in found] == list(range(1, len(expected) + 1))
    for piece in found:
        assert data[piece.offset : piece.offset + len(piece.data)] == piece.data
        assert parse(piece.data).segments[0].name == "MSH"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 19, 64, 257, 4096])
@pytest.mark.parametrize("data", [case[0] for case in FILES.values()], ids=list(FILES))
def test_reading_piece_by_piece_finds_the_same(data, size):
    whole = split_messages(data)
    pieces = list(iter_messages(io.BytesIO(data), piece=size))
    assert [piece[:3] for piece in pieces] == [piece[:3] for piece in whole]


def test_a_batch_knows_its_headers_and_trailers():
    first, second, third = split_messages(BATCH)
    assert first.batch is second.batch and first.batch is not third.batch
    assert first.batch.file_header == b"FHS|^~\\&|LAB"
    assert (first.batch.header, first.batch.trailer) == (b"BHS|^~\\&|LAB|N", b"BTS|2")
    assert (first.batch.declared, first.batch.count) == (2, 2)
    assert (third.batch.declared, third.batch.count) == (1, 1)
    assert third.batch.file_trailer == first.batch.file_trailer == b"FTS|2"


def test_stray_bytes_are_counted():
    assert split_messages(b"hello\r" + A)[0].skipped == 5
    assert split_messages(A)[0].skipped == 0


@pytest.mark.parametrize("codec", ["utf-16-le", "utf-16-be"])
def test_utf_16_files(codec):
    data = ("\ufeff" + ADT + ORU).encode(codec)
    found = split_messages(data)
    assert [piece.data for piece in found] == [ADT.encode(codec), ORU.encode(codec)]
    assert [data[p.offset : p.offset + len(p.data)] for p in found] == [p.data for p in found]
    assert [p[:3] for p in iter_messages(io.BytesIO(data), piece=64)] == [p[:3] for p in found]


def test_a_message_longer_than_the_limit_is_refused():
    endless = io.BytesIO(A + b"OBX|1|TX|||" + b"x" * 5000)
    with pytest.raises(FormatError, match="longer than 2000 bytes"):
        list(iter_messages(endless, piece=500, limit=2000))


def test_memory_is_one_piece_and_one_message():
    class Endless(io.RawIOBase):
        given = 0

        def readable(self):
            return True

        def read(self, size=-1):
            self.given += size
            return (A * (size // len(A) + 1))[:size] if self.given < 3_000_000 else b""

    import tracemalloc

    tracemalloc.start()
    count = sum(1 for _ in iter_messages(Endless(), piece=20_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert count > 4000
    assert peak < 400_000
