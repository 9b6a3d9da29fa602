"""The header of a DICOM object: read from first bytes, made where there is none, copied for the journal.

In: bytes of a Part 10 object, or its first ones. Out: a pydicom `Dataset` without pixels, or bytes. A
header copy is a Part 10 file of our own that holds all elements before the pixel data as they were sent,
and says in its private information (0002,0102) where the whole object is, and what was noted of it.
Follows PS3.10 7.1 (file meta information).
"""

from __future__ import annotations

import zlib
from collections.abc import Collection, Iterator
from io import BytesIO
from struct import Struct
from typing import Any, BinaryIO, NamedTuple

from pydicom.charset import convert_encodings
from pydicom.dataelem import RawDataElement
from pydicom.dataset import FileDataset, FileMetaDataset
from pydicom.tag import BaseTag

from engine.formats.dicom import uids
from engine.formats.dicom.elements import PIXELS, Element, Encoding, elements, encoding_of, tag_text
from engine.kernel.errors import FormatError

__all__ = [
    "LIMIT",
    "OTHER_BYTES",
    "TOO_LONG",
    "Beginning",
    "beginning",
    "dataset_header",
    "header_copy",
    "is_dicom",
    "marks_of",
    "object_of",
    "pixel_offset",
    "read_header",
]

Dataset = Any
LIMIT = 8 << 20
OTHER_BYTES = "other-bytes"
"""Mark of a header copy: other bytes were held under its SOP Instance UID when it came."""
TOO_LONG = "too-long"
"""Mark of a header copy: the dataset goes on behind it, and not with pixel data."""

_FIRST = 256 << 10  # most headers are shorter
_PREAMBLE = 132
_MAX_META = 64 << 10
_SOP_CLASS, _SOP_INSTANCE = 0x00080016, 0x00080018
_CHARSET = 0x00080005
_META_LENGTH = Struct("<HH2sHL")


class Beginning(NamedTuple):
    """What the first bytes of a Part 10 object say of it."""

    sop_class: str
    sop_instance: str
    transfer_syntax: str
    meta: dict[int, bytes]  # values of the file meta information, as written
    data: bytes  # where the dataset is: the same bytes, or inflated ones
    start: int  # the dataset begins there in `data`
    whole: bool  # `data` holds all of the object


def is_dicom(data: bytes) -> bool:
    """Say whether bytes begin as a Part 10 file does (PS3.10 7.1)."""
    return data[128:132] == b"DICM"


def beginning(prefix: bytes, size: int = -1, limit: int = LIMIT) -> Beginning:
    """Read the file meta information; inflate a deflated dataset, `limit` bytes of it at most."""
    if not is_dicom(prefix):
        raise FormatError("this is not a DICOM file", why="DICM is not at byte 128")
    whole = size < 0 or len(prefix) >= size
    meta, at = _meta(prefix)
    syntax = _uid(meta.get(0x00020010, b""))
    data, start = prefix, at
    if uids.is_deflated(syntax):
        data, inflated_whole = _inflate(prefix, at, limit)
        start, whole = 0, whole and inflated_whole
    elif not syntax:
        syntax = _guessed(prefix, at)
    return Beginning(
        _uid(meta.get(0x00020002, b"")), _uid(meta.get(0x00020003, b"")), syntax, meta, data, start, whole
    )


def _meta(prefix: bytes) -> tuple[dict[int, bytes], int]:
    found: dict[int, bytes] = {}
    after = _PREAMBLE
    end = min(len(prefix), _PREAMBLE + _MAX_META)
    at = _PREAMBLE
    while at + 8 <= end and prefix[at : at + 2] == b"\2\0":  # always explicit, little endian
        number = prefix[at + 2] | prefix[at + 3] << 8
        vr = prefix[at + 4 : at + 6]
        if vr in (b"OB", b"UN", b"OW", b"UT", b"SQ"):
            start = at + 12
            length = int.from_bytes(prefix[at + 8 : start], "little")
        elif vr.isalpha() and vr.isupper():
            start = at + 8
            length = prefix[at + 6] | prefix[at + 7] << 8
        else:  # some writers make it implicit, as the dataset
            start = at + 8
            length = int.from_bytes(prefix[at + 4 : start], "little")
        after = start + length
        if after > end:
            raise FormatError(
                "the file meta information is damaged",
                where=tag_text(0x20000 | number),
                why="it does not end",
            )
        found[0x20000 | number] = prefix[start:after]
        at = after
    return found, after


def _uid(value: bytes) -> str:
    return value.rstrip(b"\0 ").decode("ascii", "replace")


def _guessed(data: bytes, at: int) -> str:
    """Guess the transfer syntax of a file that does not say it, as readers do: by its first element."""
    if not data[at + 4 : at + 6].isalpha():
        return uids.IMPLICIT
    return uids.BIG_ENDIAN if data[at : at + 1] == b"\0" and data[at + 1 : at + 2] != b"\0" else uids.EXPLICIT


def _inflate(prefix: bytes, at: int, limit: int) -> tuple[bytes, bool]:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        data = inflater.decompress(prefix[at:], limit)
    except zlib.error as cause:
        raise FormatError(
            "the deflated dataset is damaged", where=f"byte {at}", why="it cannot be inflated"
        ) from cause
    return data, inflater.eof


def _top(began: Beginning) -> Iterator[Element]:
    encoding = encoding_of(began.transfer_syntax, began.data, began.start)
    return elements(began.data, began.start, encoding, whole=began.whole)


def pixel_offset(prefix: bytes, size: int = -1) -> int:
    """Return where the pixel data element of an object begins; -1 where it has none, or is deflated."""
    began = beginning(prefix, size)
    return -1 if began.data is not prefix else next((e.at for e in _top(began) if e.tag in PIXELS), -1)


def read_header(stream: BinaryIO, limit: int = LIMIT, *, only: Collection[int] | None = None) -> Dataset:
    """Read a Part 10 object up to its pixel data, as far as `limit` goes; values are decoded when asked for.

    With `only`, nothing but these tags. Raises FormatError where it is damaged.
    """
    prefix, size = _prefix(stream, limit)
    began = beginning(prefix, size, limit)
    encoding = encoding_of(began.transfer_syntax, began.data, began.start)
    held: dict[BaseTag, RawDataElement] = {}
    charset = None
    for element in elements(began.data, began.start, encoding, whole=began.whole):
        tag = element.tag
        if tag in PIXELS:
            break
        if tag == _CHARSET:
            charset = began.data[element.start : element.end]
        elif only is not None and tag not in only:
            continue
        held[BaseTag(tag)] = _raw(began.data, element, encoding)
    meta = FileMetaDataset()
    for tag, value in began.meta.items():
        raw = RawDataElement(BaseTag(tag), None, len(value), value, 0, True, True)
        if not tag & 0xFFFF:
            continue
        meta._dict[BaseTag(tag)] = raw
    return _dataset(held, meta, encoding, charset)


def _prefix(stream: BinaryIO, limit: int) -> tuple[bytes, int]:
    """Read as much as a header takes; say how long the object is, or that it is longer."""
    prefix = stream.read(min(limit, _FIRST))
    if len(prefix) == _FIRST < limit:
        if any(element.tag in PIXELS for element in _top(beginning(prefix, _FIRST + 1, limit))):
            return prefix, _FIRST + 1
        prefix += stream.read(limit - _FIRST)
    return prefix, len(prefix) + (len(prefix) == limit)


def _raw(data: bytes, element: Element, encoding: Encoding) -> RawDataElement:
    value = data[element.start : element.end]
    vr = element.vr or None
    if element.undefined:
        vr = "SQ"
    return RawDataElement(
        BaseTag(element.tag), vr, len(value), value, element.start, element.implicit, not encoding.big
    )


def _dataset(held: dict[Any, Any], meta: Any, encoding: Encoding, charset: bytes | None) -> Dataset:
    dataset = FileDataset(BytesIO(), held, None, meta, encoding.implicit, not encoding.big)
    # a zero within a name is damage; what is not the name of a character set stands for ISO-IR 6
    names = (charset or b"").replace(b"\0", b" ").decode("ascii", "replace").split("\\")
    dataset.set_original_encoding(
        encoding.implicit, not encoding.big, convert_encodings([name.strip() for name in names])
    )
    return dataset


def object_of(dataset: Dataset) -> tuple[str, int] | None:
    """Return address and size of the whole object where a dataset was read from a header copy."""
    meta = getattr(dataset, "file_meta", None)
    if meta is None or str(meta.get("PrivateInformationCreatorUID", "")) != uids.PRIVATE_CREATOR:
        return None
    address, size, *_ = [
        *bytes(meta.get("PrivateInformation", b"") or b"").rstrip(b"\0 ").split(b" "),
        b"",
        b"",
    ]
    return (address.decode("ascii"), int(size)) if size.isdigit() and address.isalnum() else None


def marks_of(body: bytes) -> frozenset[str]:
    """Return what was noted of an object in its header copy when it came, e.g. `other-bytes`."""
    meta = beginning(body).meta
    if _uid(meta.get(0x00020100, b"")) != uids.PRIVATE_CREATOR:
        return frozenset()
    words = meta.get(0x00020102, b"").rstrip(b"\0 ").split(b" ")[2:]
    return frozenset(word.decode("ascii", "replace") for word in words)


def dataset_header(sop_class: str, sop_instance: str, transfer_syntax: str, aet: str) -> bytes:
    """Make what a Part 10 file has before the dataset: preamble, prefix and file meta information."""
    return _file_header(sop_class, sop_instance, transfer_syntax, aet, b"")


def _file_header(sop_class: str, sop_instance: str, transfer_syntax: str, aet: str, private: bytes) -> bytes:
    parts = [
        b"\2\0\1\0OB\0\0\2\0\0\0\0\1",
        _element(0x0002, b"UI", sop_class, b"\0"),
        _element(0x0003, b"UI", sop_instance, b"\0"),
        _element(0x0010, b"UI", transfer_syntax, b"\0"),
        _element(0x0012, b"UI", uids.IMPLEMENTATION_UID, b"\0"),
        _element(0x0013, b"SH", uids.IMPLEMENTATION_VERSION, b" "),
    ]
    if aet:
        parts.append(_element(0x0016, b"AE", aet, b" "))
    if private:
        private += b"\0" * (len(private) % 2)
        parts.append(_element(0x0100, b"UI", uids.PRIVATE_CREATOR, b"\0"))
        parts.append(b"\2\0\2\1OB\0\0" + len(private).to_bytes(4, "little") + private)
    meta = b"".join(parts)
    return b"".join((b"\0" * 128, b"DICM", _META_LENGTH.pack(2, 0, b"UL", 4, len(meta)), meta))


def _element(number: int, vr: bytes, value: str, pad: bytes) -> bytes:
    try:
        coded = value.encode("ascii")
    except UnicodeEncodeError as cause:
        raise FormatError(
            "a UID or AE title has letters that it cannot have", where=tag_text(0x20000 | number)
        ) from cause
    if len(coded) % 2:
        coded += pad
    if len(coded) > 128:
        raise FormatError("a UID or AE title is too long", where=tag_text(0x20000 | number))
    return b"\2\0" + number.to_bytes(2, "little") + vr + len(coded).to_bytes(2, "little") + coded


def header_copy(
    prefix: bytes, *, address: str, size: int, aet: str, limit: int = LIMIT, marks: Collection[str] = ()
) -> bytes:
    """Make the header copy of an object of `size` bytes from its first ones: what is before its pixel data.

    Where there are no pixels it is all of the dataset, or as many whole elements as `limit` has room for.
    `marks` are noted beside the address, and `too-long` where room was short; a replay has them still.
    """
    began = beginning(prefix, size, limit)
    data, cut = began.data, began.start
    sop_class, sop_instance = began.sop_class, began.sop_instance
    for element in _top(began):
        if element.tag in PIXELS:
            break
        if element.end - began.start > limit:
            marks = {*marks, TOO_LONG}
            break
        cut = element.end + 8 if element.undefined else element.end
        if element.tag == _SOP_CLASS:
            sop_class = sop_class or _uid(data[element.start : element.end])
        elif element.tag == _SOP_INSTANCE:
            sop_instance = sop_instance or _uid(data[element.start : element.end])
    else:
        marks = marks if began.whole else {*marks, TOO_LONG}
    syntax = uids.EXPLICIT if uids.is_deflated(began.transfer_syntax) else began.transfer_syntax
    private = " ".join((address, str(size), *sorted(marks))).encode("ascii")
    return _file_header(sop_class, sop_instance, syntax, aet, private) + data[began.start : cut]
