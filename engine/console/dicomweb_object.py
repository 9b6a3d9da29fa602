"""One stored object, opened: its header in memory, its pixels where they lie (PS3.10 7, PS3.5 7.1, A.4).

In: a Part 10 file that can be sought in. Out: the header up to the pixels, where their value begins, how long
it is, and the frames in it. Only a deflated object is held in memory as a whole, and only up to a limit: its
plain text must not be written anywhere.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any, BinaryIO

from engine.console.dicomweb_answer import copied
from engine.console.refusals import Refusal
from engine.formats.dicom.elements import PIXELS, Element, elements, encoding_of
from engine.formats.dicom.header import Beginning, beginning, read_header
from engine.formats.dicom.uids import BIG_ENDIAN, is_deflated, is_encapsulated
from engine.kernel.errors import FormatError

__all__ = ["WORDS", "Opened", "PixelData", "swapped"]

_FIRST, _MOST = 1 << 18, 1 << 26  # bytes of a header: looked at first, at most
_MOST_INFLATED = 1 << 28
_UNDEFINED = 0xFFFFFFFF
WORDS = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8, "US": 2, "SS": 2, "UL": 4, "SL": 4, "FL": 4, "FD": 8}

Dataset = Any


@dataclass(frozen=True, slots=True)
class PixelData:
    """Where the pixels are: tag, VR, where the value begins, its length; None: encapsulated."""

    tag: int
    vr: str
    start: int
    length: int | None


class Opened:
    """A stored object. Closing it closes what it was made of."""

    def __init__(self, stream: BinaryIO) -> None:
        self.stream = stream
        try:
            began, prefix, found = self._begin()
            self.syntax = began.transfer_syntax
            self.big_endian = self.syntax == BIG_ENDIAN
            self.compressed = is_encapsulated(self.syntax)
            self.dataset: Dataset = read_header(BytesIO(prefix), max(len(prefix) + 1, _MOST_INFLATED))
        except (FormatError, struct.error):
            stream.close()
            raise Refusal(500, "an object cannot be read as DICOM; it can be retrieved as it is") from None
        except BaseException:
            stream.close()
            raise
        if is_deflated(self.syntax):
            stream.close()
            self.stream = BytesIO(began.data)
        self.pixels = self._located(began.data, found) if found else None
        self._table: list[list[tuple[int, int]]] | None = None

    def close(self) -> None:
        """Close the file."""
        self.stream.close()

    def _begin(self) -> tuple[Beginning, bytes, Element | None]:
        """Read as much as holds the header."""
        limit = _FIRST
        while True:
            self.stream.seek(0)
            prefix = self.stream.read(limit)
            whole = len(prefix) < limit
            began = beginning(prefix, len(prefix) if whole else limit + 1, _MOST_INFLATED)
            if is_deflated(began.transfer_syntax):
                if not whole and limit < _MOST:
                    limit *= 8
                    continue
                if not began.whole:
                    raise Refusal(406, "this deflated object is too long to be opened; retrieve it as it is")
            encoding = encoding_of(began.transfer_syntax, began.data, began.start)
            walk = elements(began.data, began.start, encoding, whole=began.whole)
            found = next((element for element in walk if element.tag in PIXELS), None)
            if found or whole or limit >= _MOST:
                return began, prefix, found
            limit *= 8

    def _located(self, data: bytes, found: Element) -> PixelData:
        order = ">" if self.big_endian else "<"
        (length,) = struct.unpack(f"{order}L", data[found.start - 4 : found.start])
        vr = found.vr or {0x7FE00008: "OF", 0x7FE00009: "OD"}.get(found.tag, "OW")
        return PixelData(found.tag, vr, found.start, None if length == _UNDEFINED else length)

    # -- frames

    @property
    def frames(self) -> int:
        """Return how many frames there are."""
        return max(1, self._number("NumberOfFrames", 1)) if self.pixels else 0

    def _number(self, keyword: str, default: int = 0) -> int:
        try:
            return int(self.dataset.get(keyword) or default)
        except (ValueError, TypeError, OverflowError):
            raise Refusal(404, "the object does not say how its frames lie") from None

    def frame(self, number: int) -> tuple[int, Iterator[bytes]]:
        """Return length and bytes of a frame, counted from 1, as it is stored (native: little endian)."""
        if self.pixels is None or not 1 <= number <= self.frames:
            raise Refusal(404, "the object has no such frame")
        if self.pixels.length is None:
            fragments = self._fragments()
            if number > len(fragments):
                raise Refusal(404, "the object has no such frame")
            one = fragments[number - 1]
            return sum(size for _, size in one), self._pieces(one)
        start, length = self._native(number)
        if start + length > min(self.pixels.length, self.stream.seek(0, 2) - self.pixels.start):
            raise Refusal(404, "the object is shorter than its frames should be")
        content = copied(self.stream, self.pixels.start + start, length)
        return length, swapped(content, self.word) if self.big_endian else content

    @property
    def word(self) -> int:
        """Return how many bytes a number of the pixels has; of OW at least 2 (PS3.5 8.1.1)."""
        vr = self.pixels.vr if self.pixels else ""
        return max(2, self._number("BitsAllocated") // 8) if vr == "OW" else WORDS.get(vr, 1)

    def _native(self, number: int) -> tuple[int, int]:
        """Return where a frame without compression begins, and its length (PS3.3 C.7.6.3.1)."""
        number_of = self._number
        samples = number_of("Rows") * number_of("Columns") * number_of("SamplesPerPixel", 1)
        if self.dataset.get("PhotometricInterpretation") == "YBR_FULL_422":
            samples = samples // 3 * 2
        bits = samples * number_of("BitsAllocated")
        if bits <= 0:
            raise Refusal(404, "the object has no frames")
        if bits % 8 and self.frames > 1:
            raise Refusal(406, "frames that do not end with a byte are not cut out")
        return (number - 1) * bits // 8, (bits + 7) // 8

    def _pieces(self, fragments: list[tuple[int, int]]) -> Iterator[bytes]:
        for start, size in fragments:
            yield from copied(self.stream, start, size)

    def _fragments(self) -> list[list[tuple[int, int]]]:
        """Return (where, length) of the fragments of each frame (PS3.5 A.4)."""
        if self._table is None:
            assert self.pixels is not None
            self.stream.seek(self.pixels.start)
            items = list(self._items())
            if not items:
                raise Refusal(404, "the object has no frames")
            offsets = self._offsets(*items[0])
            self._table = self._grouped(items[1:], offsets)
        return self._table

    def _items(self) -> Iterator[tuple[int, int]]:
        while len(head := self.stream.read(8)) == 8:
            group, element, length = struct.unpack("<HHL", head)
            if (group, element) != (0xFFFE, 0xE000) or length == _UNDEFINED:
                return
            start = self.stream.tell()
            yield start, length
            self.stream.seek(start + length)

    def _offsets(self, start: int, length: int) -> list[int]:
        extended = self.dataset.get("ExtendedOffsetTable")
        if extended:
            return list(struct.unpack(f"<{len(extended) // 8}Q", extended[: len(extended) // 8 * 8]))
        self.stream.seek(start)
        table = self.stream.read(length // 4 * 4)
        return list(struct.unpack(f"<{len(table) // 4}L", table))

    def _grouped(self, items: list[tuple[int, int]], offsets: list[int]) -> list[list[tuple[int, int]]]:
        if self.frames == 1:
            return [items]
        if len(items) == self.frames:
            return [[one] for one in items]
        if len(offsets) == self.frames and items:
            first = items[0][0] - 8
            frames: list[list[tuple[int, int]]] = []
            starts = set(offsets)
            for start, size in items:
                if start - 8 - first in starts or not frames:
                    frames.append([])
                frames[-1].append((start, size))
            return frames
        return self._marked(items)

    def _marked(self, items: list[tuple[int, int]]) -> list[list[tuple[int, int]]]:
        """Part fragments where a JPEG stream ends: nothing else says where a frame does."""
        frames: list[list[tuple[int, int]]] = [[]]
        for start, size in items:
            frames[-1].append((start, size))
            self.stream.seek(start + max(0, size - 10))
            if b"\xff\xd9" in self.stream.read(min(size, 10)):
                frames.append([])
        return [frame for frame in frames if frame]


def swapped(content: Iterator[bytes], width: int) -> Iterator[bytes]:
    """Turn big endian numbers of `width` bytes round; bytes that make no whole number stay as they are."""
    rest = b""
    for data in content:
        data = rest + data
        whole = len(data) // width * width
        rest = data[whole:]
        out = bytearray(whole)
        for at in range(width):
            out[at::width] = data[width - 1 - at : whole : width]
        yield bytes(out)
    yield rest
