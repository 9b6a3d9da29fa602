"""The encoded bytes of one frame of an object, found without reading the others.

In: a seekable stream of a Part 10 object and its header. Out: the bytes of a frame as they are in the file.
Follows PS3.5 8.1 and 8.2 (native pixel data), A.4 (fragments, Basic Offset Table), PS3.3 C.7.6.3.1.8
(Extended Offset Table).
"""

from __future__ import annotations

import struct
from io import BytesIO
from itertools import pairwise
from typing import Any, BinaryIO, NamedTuple

from engine.formats.dicom.elements import PIXELS, elements, encoding_of
from engine.formats.dicom.header import beginning
from engine.formats.dicom.uids import BIG_ENDIAN
from engine.formats.dicom.values import element_of, texts_of
from engine.kernel.errors import FormatError

__all__ = ["Pixels", "bits_of", "end_of", "find_pixels", "frame_of", "number", "pixels_of"]

Dataset = Any
_UNDEFINED = 0xFFFFFFFF
_HEADER = 32 << 20
_INFLATED = 512 << 20
_KEYWORDS = {0x7FE00008: "FloatPixelData", 0x7FE00009: "DoubleFloatPixelData", 0x7FE00010: "PixelData"}


class Pixels(NamedTuple):
    """Where the pixel data of an object is."""

    stream: BinaryIO  # the object, or its inflated dataset
    keyword: str
    vr: str
    at: int  # its value begins there
    tag_at: int  # its tag
    length: int  # -1: in fragments
    transfer_syntax: str


def number(dataset: Dataset, keyword: str, default: int) -> int:
    """Return a whole number of a header, the default where it has none; FormatError where it is no number."""
    text = next(iter(texts_of(dataset, keyword)), "")
    if not text:
        return default
    try:
        return int(float(text))
    except (OverflowError, ValueError) as cause:
        raise FormatError("the image cannot be read", where=keyword, why="it is no number") from cause


def pixels_of(stream: BinaryIO) -> Pixels:
    """Find the pixel data of an object; FormatError where it has none."""
    found = find_pixels(stream)
    if found is None:
        raise FormatError("the object has no pixel data")
    return found


def find_pixels(stream: BinaryIO, limit: int = _HEADER) -> Pixels | None:
    """Find the pixel data of an object, in the first `limit` bytes of it."""
    stream.seek(0)
    prefix = stream.read(limit)
    began = beginning(prefix, len(prefix) if len(prefix) < limit else limit + 1, _INFLATED)
    encoding = encoding_of(began.transfer_syntax, began.data, began.start)
    for element in elements(began.data, began.start, encoding, whole=False):
        if element.tag in PIXELS:
            break
    else:
        return None
    order = "big" if encoding.big else "little"
    length = int.from_bytes(began.data[element.start - 4 : element.start], order)  # type: ignore[arg-type]
    source = stream if began.data is prefix else BytesIO(began.data)
    vr = element.vr or "OW"
    return Pixels(
        source,
        _KEYWORDS[element.tag],
        vr,
        element.start,
        element.at,
        -1 if length == _UNDEFINED else length,
        began.transfer_syntax,
    )


def frame_of(pixels: Pixels, header: Dataset, index: int, limit: int = 256 << 20) -> bytes:
    """Return the bytes of a frame, the first being 0; where a sample is 1 bit, those that have one of it."""
    frames = max(1, number(header, "NumberOfFrames", 1))
    if not 0 <= index < frames:
        raise FormatError(
            "there is no such frame", where=f"frame {index + 1}", why=f"the object has {frames}"
        )
    if pixels.length >= 0:
        return _native(pixels, header, index, limit)
    data = b"".join(
        _read(pixels.stream, at, length, limit)
        for at, length in _fragments(pixels, header, index, frames, limit)
    )
    if not data:
        raise FormatError("the frame is empty", where=f"frame {index + 1}")
    return data


def bits_of(header: Dataset) -> int:
    """Return how many bits a native frame has."""
    rows, columns = number(header, "Rows", 0), number(header, "Columns", 0)
    bits = rows * columns * number(header, "SamplesPerPixel", 1) * number(header, "BitsAllocated", 16)
    if rows <= 0 or columns <= 0 or bits <= 0:
        raise FormatError("the image cannot be read", why="it has no rows or columns")
    halved = next(iter(texts_of(header, "PhotometricInterpretation")), "") == "YBR_FULL_422"
    return bits * 2 // 3 if halved else bits


def _native(pixels: Pixels, header: Dataset, index: int, limit: int) -> bytes:
    bits = bits_of(header)
    first, last = index * bits // 8, ((index + 1) * bits + 7) // 8
    if last > pixels.length:
        raise FormatError("the pixel data is too short", where=f"frame {index + 1}")
    if (
        pixels.transfer_syntax == BIG_ENDIAN
        and pixels.vr == "OW"
        and number(header, "BitsAllocated", 16) == 8
    ):
        # samples of 8 bits in words of 16, which are swapped: given back in their own order
        even = first & ~1
        words = bytearray(_read(pixels.stream, pixels.at + even, (last + 1 & ~1) - even, limit))
        words[::2], words[1::2] = words[1::2], words[::2]
        return bytes(words[first - even : last - even])
    return _read(pixels.stream, pixels.at + first, last - first, limit)


def _read(stream: BinaryIO, at: int, length: int, limit: int) -> bytes:
    if length > limit:
        raise FormatError("the frame is too long", why=f"{length} bytes; {limit} are taken")
    stream.seek(at)
    data = stream.read(length)
    if len(data) < length:
        raise FormatError("the pixel data is cut off", where=f"byte {at + len(data)}")
    return data


def _fragments(pixels: Pixels, header: Dataset, index: int, frames: int, limit: int) -> list[tuple[int, int]]:
    items = _items(pixels)
    (table_at, table_length), fragments = items[0], items[1:]
    if frames == 1:
        return fragments
    table = _read(pixels.stream, table_at, table_length, limit)
    offsets = list(struct.unpack(f"<{len(table) // 4}L", table[: len(table) // 4 * 4]))
    if not offsets:
        offsets = _extended(header)
    if len(offsets) == frames:
        begin = items[0][0] + items[0][1]
        bounds = [begin + offset for offset in offsets] + [1 << 63]
        low, high = bounds[index], bounds[index + 1]
        return [(at, length) for at, length in fragments if low <= at - 8 < high]
    if len(fragments) == frames:
        return [fragments[index]]
    return _by_end(pixels, fragments, index, frames)


def _extended(header: Dataset) -> list[int]:
    element = element_of(header, "ExtendedOffsetTable")
    value = element.value if element is not None else b""
    if not isinstance(value, bytes) or len(value) % 8:
        return []
    return list(struct.unpack(f"<{len(value) // 8}Q", value))


def _items(pixels: Pixels) -> list[tuple[int, int]]:
    """Return where the items of the pixel data are, the offset table first: (start of value, length)."""
    found: list[tuple[int, int]] = []
    at = pixels.at
    while True:
        pixels.stream.seek(at)
        head = pixels.stream.read(8)
        if head[:4] == b"\xfe\xff\xdd\xe0":
            break
        if len(head) < 8 or head[:4] != b"\xfe\xff\x00\xe0":
            raise FormatError("the pixel data is damaged", where=f"byte {at}", why="a fragment should begin")
        length = int.from_bytes(head[4:], "little")
        if length == _UNDEFINED:
            raise FormatError("the pixel data is damaged", where=f"byte {at}", why="a fragment has no length")
        found.append((at + 8, length))
        at += 8 + length
    if not found:
        raise FormatError("the pixel data is damaged", where=f"byte {at}", why="it has no offset table")
    return found


def end_of(pixels: Pixels) -> int:
    """Return where the pixel data element ends, its delimiter included."""
    if pixels.length >= 0:
        return pixels.at + pixels.length
    at, length = _items(pixels)[-1]
    return at + length + 8


def _by_end(
    pixels: Pixels, fragments: list[tuple[int, int]], index: int, frames: int
) -> list[tuple[int, int]]:
    """Split fragments into frames where no table does: a frame ends with its code stream."""
    ends = [0]
    for n, (at, length) in enumerate(fragments, 1):
        tail = _read(pixels.stream, max(at, at + length - 10), min(length, 10), 10)
        if b"\xff\xd9" in tail:
            ends.append(n)
    if len(ends) - 1 != frames:
        raise FormatError(
            "the frames cannot be told apart",
            why=f"{len(fragments)} fragments, {frames} frames, no offset table",
        )
    low, high = list(pairwise(ends))[index]
    return fragments[low:high]
