"""The messages in a file or frame: several MSH, batches (FHS BHS BTS FTS), MLLP bytes, byte order marks,
blank lines.

In: bytes, or a binary file read in pieces. Out: one `MessageSlice` a message, whose bytes are exactly those
of the input between its MSH and its last line end. Follows HL7 v2.5.1 ch. 2.10.3 (batch protocol). Memory
while streaming is one piece plus the longest message. A trailer comes after its messages, so `Batch` is
filled as the input is read.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from engine.formats.hl7v2.charset import utf16_codec
from engine.kernel.errors import FormatError

__all__ = ["Batch", "MessageSlice", "iter_messages", "split_messages"]

_MARK = re.compile(
    rb"(?:[\r\n\x0b\x1c]|\xef\xbb\xbf)[ \t\x00]{0,16}"
    rb"(?:([Mm][Ss][Hh])(?=[!-/:-@\[-`{-~])|((?:FHS|BHS)(?=[!-/:-@\[-`{-~])|(?:BTS|FTS)(?=[!-/:-@\[-`{-~]|[\r\n]|\Z)))"
)
_FRAME = b"\r\n\x0b\x1c\x1a\x00"
_STRAY = b" \t" + _FRAME + b"\xef\xbb\xbf"
_EDGE = 32  # no mark is longer
MIB = 1 << 20


class Batch:
    """The batch a message came in: raw header and trailer segments, empty where there are none."""

    __slots__ = ("count", "file_header", "file_trailer", "header", "trailer")

    def __init__(self, file_header: bytes = b"", header: bytes = b"") -> None:
        self.file_header = file_header
        self.header = header
        self.trailer = b""
        self.file_trailer = b""
        self.count = 0  # messages seen in this batch so far

    @property
    def declared(self) -> int | None:
        """Give the number of messages that BTS-1 promises, where it gives one."""
        fields = self.trailer.split(self.trailer[3:4] or b"|")
        return int(fields[1]) if len(fields) > 1 and fields[1].strip().isdigit() else None


class MessageSlice(NamedTuple):
    """One message of an input: its number (1-based), offset, bytes, batch, and stray bytes before it."""

    number: int
    offset: int
    data: bytes
    batch: Batch | None = None
    skipped: int = 0


def split_messages(data: bytes) -> list[MessageSlice]:
    """Find the messages in bytes; empty when there is no MSH."""
    codec = utf16_codec(data)
    if codec:
        return list(_wide(data, codec))
    cutter = _Cutter()
    return list(cutter.feed(data, last=True))


def iter_messages(file: BinaryIO, *, piece: int = MIB, limit: int = 256 * MIB) -> Iterator[MessageSlice]:
    """Find the messages in a file read piece by piece; FormatError for one longer than `limit` bytes."""
    data = file.read(piece)
    if utf16_codec(data):  # rare and never large: read whole
        rest = file.read(limit)
        yield from _wide(data + rest, utf16_codec(data))
        return
    cutter = _Cutter(limit)
    while data:
        following = file.read(piece)
        yield from cutter.feed(data, last=not following)
        data = following


class _Cutter:
    """Cuts a stream at the segments that begin or end a message."""

    def __init__(self, limit: int = 1 << 62) -> None:
        self.limit = limit
        self.buffer = b"\n"  # a line end before the input: its first line is found like any other
        self.offset = -1  # of the buffer in the input
        self.scanned = 0  # how much of the buffer holds no further mark
        self.open: tuple[str, int] | None = None  # the segment being read, and where in the buffer it begins
        self.number = 0
        self.file_header = b""
        self.batch: Batch | None = None
        self.batches: list[Batch] = []
        self.skipped = 0

    def feed(self, data: bytes, *, last: bool) -> Iterator[MessageSlice]:
        """Take the next piece; gives the messages that are now complete."""
        self.buffer += data
        position = max(0, self.scanned - _EDGE)
        begin = 0
        while (found := _MARK.search(self.buffer, position)) is not None:
            if not last and found.end() > len(self.buffer) - 2:
                break  # cut off: it is found again with the next piece
            begin = found.start(1) if found.group(1) else found.start(2)
            yield from self._close(begin)
            self.open = (self.buffer[begin : begin + 3].decode("ascii").upper(), begin)
            position = found.end()
        if last:
            yield from self._close(len(self.buffer))
            return
        self.scanned = len(self.buffer)
        if begin:
            self._forget(begin)  # the buffer now begins inside the mark, which is so never found twice
        if self.open is None and len(self.buffer) > _EDGE:
            self.skipped += len(self.buffer[:-_EDGE].strip(_STRAY))
            self._forget(len(self.buffer) - _EDGE)
        if len(self.buffer) > self.limit:
            raise FormatError(
                f"a message is longer than {self.limit} bytes",
                where=f"byte {self.offset}",
                remedy="raise the limit or split the file",
            )

    def _forget(self, size: int) -> None:
        self.buffer = self.buffer[size:]
        self.offset += size
        self.scanned = max(0, self.scanned - size)
        if self.open is not None:
            self.open = (self.open[0], self.open[1] - size)

    def _close(self, end: int) -> Iterator[MessageSlice]:
        if self.open is None:
            self.skipped += len(self.buffer[:end].strip(_STRAY))
            return
        name, begin = self.open
        self.open = None
        whole = self.buffer[begin:end]
        kept = whole.rstrip(_FRAME)
        if whole.endswith(b"\xef\xbb\xbf"):
            kept = whole[:-3].rstrip(_FRAME)
        tail = whole[len(kept) : len(kept) + 2]
        if name == "MSH":
            kept += tail if tail == b"\r\n" else tail[:1] if tail[:1] in (b"\r", b"\n") else b""
            self.number += 1
            if self.batch is not None:
                self.batch.count += 1
            yield MessageSlice(self.number, self.offset + begin, kept, self.batch, self.skipped)
            self.skipped = 0
        elif name == "FHS":
            self.file_header, self.batch, self.batches = kept, Batch(kept), []
            self.batches.append(self.batch)
        elif name == "BHS":
            self.batch = Batch(self.file_header, kept)
            self.batches.append(self.batch)
        elif name == "BTS":
            if self.batch is not None:
                self.batch.trailer = kept
            self.batch = Batch(self.file_header) if self.file_header else None
        else:
            for batch in self.batches:
                batch.file_trailer = kept
            self.file_header, self.batch, self.batches = b"", None, []


def _wide(data: bytes, codec: str) -> Iterator[MessageSlice]:
    """Find the messages in UTF-16: on a one-byte-a-character shadow of the text, offsets mapped back."""
    start = 2 if data[:2] in (b"\xff\xfe", b"\xfe\xff") else 0
    text = data[start:].decode(codec, "replace")
    shadow = text.encode("ascii", "replace")
    for found in _Cutter().feed(shadow, last=True):
        before = start + len(text[: found.offset].encode(codec))
        piece = text[found.offset : found.offset + len(found.data)].encode(codec)
        yield found._replace(offset=before, data=data[before : before + len(piece)])
