"""An object in another native transfer syntax than it is held in: the header is written anew, the pixels pass
by (PS3.5 A.1, A.2).

In: an `Opened` object without compression. Out: the length and the bytes of a Part 10 file in Implicit or
Explicit VR Little Endian. No pixel value is changed, and pixels are never held in memory.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from io import BytesIO
from typing import Any

from pydicom import dcmwrite
from pydicom.filebase import DicomBytesIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset

from engine.console.dicomweb_answer import copied
from engine.console.dicomweb_object import Opened, swapped
from engine.console.refusals import Refusal
from engine.formats.dicom.uids import EXPLICIT, IMPLICIT

__all__ = ["reachable", "transcoded"]

_NATIVE = (EXPLICIT, IMPLICIT)
_MOST_AFTER = 1 << 20  # bytes after the pixels


def reachable(held: str, asked: str, compressed: bool) -> str:
    """Return the transfer syntax an object can be given in where this one is asked for; empty: it cannot.

    `*` is whatever is held. Where none is asked for, Explicit VR Little Endian is the default (PS3.18
    8.7.3.5.2); what is compressed is given as it is held then: pixels are not decoded behind anybody's back.
    """
    if asked in ("*", held):
        return held
    if not asked:
        return held if compressed else EXPLICIT
    return asked if asked in _NATIVE and not compressed else ""


def transcoded(opened: Opened, syntax: str) -> tuple[int, Iterator[bytes]]:
    """Return length and bytes of the object in a native little endian transfer syntax."""
    implicit = syntax == IMPLICIT
    try:
        head = _head(opened, syntax, implicit)
        before, start, length, after = _pixels(opened, implicit)
    except Refusal:
        raise
    except Exception:  # pydicom raises whatever a damaged value makes it raise
        raise Refusal(
            406, "an object cannot be written in this transfer syntax; transfer-syntax=* gives it as it is"
        ) from None
    pad = b"\0" * (length % 2)

    def content() -> Iterator[bytes]:
        yield head + before
        if length:
            pixels = copied(opened.stream, start, length)
            yield from swapped(pixels, opened.word) if opened.big_endian else pixels
        yield pad + after

    return len(head) + len(before) + length + len(pad) + len(after), content()


def _head(opened: Opened, syntax: str, implicit: bool) -> bytes:
    dataset: Any = opened.dataset
    dataset.file_meta.TransferSyntaxUID = syntax
    out = BytesIO()
    dcmwrite(out, dataset, implicit_vr=implicit, little_endian=True, enforce_file_format=True)
    return out.getvalue()


def _pixels(opened: Opened, implicit: bool) -> tuple[bytes, int, int, bytes]:
    """Return what stands before the pixels, where they are, how long, and what stands after them."""
    pixels = opened.pixels
    if pixels is None:
        return b"", 0, 0, b""
    if pixels.length is None:
        raise Refusal(406, "an object whose pixels do not say how long they are is given as it is held alone")
    end = opened.stream.seek(0, 2)
    if pixels.start + pixels.length > end or end - pixels.start - pixels.length > _MOST_AFTER:
        raise Refusal(406, "an object is not as long as it says; transfer-syntax=* gives it as it is")
    group, element = divmod(pixels.tag, 1 << 16)
    length = pixels.length + pixels.length % 2
    if implicit:
        before = struct.pack("<HHL", group, element, length)
    else:
        before = struct.pack("<HH2sHL", group, element, pixels.vr.encode(), 0, length)
    opened.stream.seek(pixels.start + pixels.length)
    rest = opened.stream.read()
    return before, pixels.start, pixels.length, _after(opened, rest, implicit) if rest else b""


def _after(opened: Opened, rest: bytes, implicit: bool) -> bytes:
    was_implicit = opened.syntax == IMPLICIT
    dataset = read_dataset(BytesIO(rest), was_implicit, not opened.big_endian)
    out = DicomBytesIO()
    out.is_little_endian, out.is_implicit_VR = True, implicit
    write_dataset(out, dataset)
    return bytes(out.getvalue())
