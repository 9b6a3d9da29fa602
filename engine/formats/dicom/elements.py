"""The data elements of a dataset, walked over as bytes: tag, VR and where the value lies, nothing decoded.

In: bytes of a dataset, or the first of them. Out: `Element`s of its top level. A length is believed only as
far as there are bytes; sequences of undefined length are followed to their end, to a bounded depth. Follows
PS3.5 7.1 (data elements), 7.5 (nesting) and A (transfer syntaxes).
"""

from __future__ import annotations

from collections.abc import Iterator
from struct import Struct
from typing import NamedTuple

from engine.formats.dicom.uids import BIG_ENDIAN, IMPLICIT
from engine.kernel.errors import FormatError

__all__ = ["PIXELS", "Element", "Encoding", "elements", "encoding_of", "tag_text"]

PIXELS = frozenset((0x7FE00008, 0x7FE00009, 0x7FE00010))  # Float, Double Float, and Pixel Data
_UNDEFINED = 0xFFFFFFFF
_ITEM, _ITEM_END, _SEQUENCE_END = 0xFFFEE000, 0xFFFEE00D, 0xFFFEE0DD
_DEEPEST = 48

_SHORT = frozenset(
    b"AE AS AT CS DA DS DT FL FD IS LO LT PN SH SL SS ST TM UI UL US".split()
)  # a length of 2 bytes (PS3.5 table 7.1-2)
_LONG = frozenset(b"OB OD OF OL OV OW SQ SV UC UN UR UT UV".split())  # one of 4 bytes, after 2 reserved
_KNOWN = _SHORT | _LONG

_EXPLICIT_LE, _EXPLICIT_BE = Struct("<HH2sH").unpack_from, Struct(">HH2sH").unpack_from
_IMPLICIT_LE, _IMPLICIT_BE = Struct("<HHL").unpack_from, Struct(">HHL").unpack_from
_LENGTH_LE, _LENGTH_BE = Struct("<L").unpack_from, Struct(">L").unpack_from


class Encoding(NamedTuple):
    """How the elements of a dataset are written."""

    implicit: bool
    big: bool


class Element(NamedTuple):
    """One data element of the top level: `at` its tag, `start` to `end` its value (delimiter left out)."""

    tag: int
    vr: str  # "" where it is implicit
    at: int
    start: int
    end: int
    undefined: bool
    implicit: bool  # how what is in it is written


def tag_text(tag: int) -> str:
    """Return a tag as the standard writes it: `(0010,0020)`."""
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})"


def encoding_of(transfer_syntax: str, data: bytes, at: int) -> Encoding:
    """Say how a dataset is written; where its first element denies what was said, that is believed."""
    if transfer_syntax == BIG_ENDIAN:
        return Encoding(False, True)
    vr = data[at + 4 : at + 6]
    if transfer_syntax == IMPLICIT:
        return Encoding(vr not in _KNOWN, False)
    return Encoding(len(vr) == 2 and not (vr.isalpha() and vr.isupper()), False)


def elements(data: bytes, at: int, encoding: Encoding, *, whole: bool, end: int = -1) -> Iterator[Element]:
    """Walk over elements from `at`. Where bytes end within one: FormatError if `whole`, else stop."""
    end = len(data) if end < 0 else end
    explicit = _EXPLICIT_BE if encoding.big else _EXPLICIT_LE
    implicit = _IMPLICIT_BE if encoding.big else _IMPLICIT_LE
    long = _LENGTH_BE if encoding.big else _LENGTH_LE
    always_implicit = encoding.implicit
    while at + 8 <= end:
        if always_implicit:
            group, number, length = implicit(data, at)
            vr, start, inner = "", at + 8, True
        else:
            group, number, code, length = explicit(data, at)
            inner = False
            start = at + 8
            if code in _SHORT:
                vr = code.decode()
            elif code in _LONG or (length == 0 and code.isalpha() and code.isupper()):
                if start + 4 > end:
                    break
                vr = code.decode()
                length = long(data, start)[0]
                start += 4
                inner = code == b"UN"
            elif group == 0xFFFE or not (code.isalpha() and code.isupper()):
                _, _, length = implicit(data, at)  # some writers change to implicit within a dataset
                vr, inner = "", True
            else:
                vr = "UN"  # letters that are no VR: 2 bytes of length, as old ones have
        tag = group << 16 | number
        if length == _UNDEFINED:
            if tag in PIXELS:
                yield Element(tag, vr, at, start, end, True, inner)
                return
            after = _past_sequence(data, start, end, Encoding(inner, encoding.big), 1)
            if after < 0:
                break
            yield Element(tag, vr, at, start, after - 8, True, inner)
            at = after
            continue
        after = start + length
        if after > end:
            if tag in PIXELS:
                yield Element(tag, vr, at, start, end, False, inner)
                return
            break
        if group == 0xFFFE:
            raise FormatError(
                "the dataset is damaged", where=f"byte {at}", why=f"{tag_text(tag)} outside a sequence"
            )
        if not group and not number and not any(data[at:end]):
            return  # zeros after the last element
        yield Element(tag, vr, at, start, after, False, inner)
        at = after
    if whole and at < end and any(data[at:end]):
        raise FormatError("the dataset is damaged", where=f"byte {at}", why="it ends within a data element")


def _past_sequence(data: bytes, at: int, end: int, encoding: Encoding, depth: int) -> int:
    """Return where a sequence of undefined length ends, -1 where the bytes end before (PS3.5 7.5.2)."""
    if depth > _DEEPEST:
        raise FormatError("the dataset is refused", where=f"byte {at}", why="sequences are nested too deep")
    header = _IMPLICIT_BE if encoding.big else _IMPLICIT_LE
    while at + 8 <= end:
        group, number, length = header(data, at)
        tag = group << 16 | number
        at += 8
        if tag == _SEQUENCE_END:
            return at
        if tag != _ITEM:
            raise FormatError(
                "the dataset is damaged",
                where=f"byte {at - 8}",
                why=f"{tag_text(tag)} where an item should begin",
            )
        if length == _UNDEFINED:
            at = _past_item(data, at, end, encoding, depth)
            if at < 0:
                return -1
        else:
            at += length
    return -1


def _past_item(data: bytes, at: int, end: int, encoding: Encoding, depth: int) -> int:
    """Return where an item of undefined length ends (PS3.5 7.5.1)."""
    header = _IMPLICIT_BE if encoding.big else _IMPLICIT_LE
    long = _LENGTH_BE if encoding.big else _LENGTH_LE
    implicit = encoding.implicit and data[at + 4 : at + 6] not in _KNOWN
    while at + 8 <= end:
        group, number, length = header(data, at)
        if group == 0xFFFE:
            if number == 0xE00D:
                return at + 8
            raise FormatError("the dataset is damaged", where=f"byte {at}", why="an item does not end")
        inner = implicit
        code = data[at + 4 : at + 6]
        at += 8
        if not implicit:
            if code in _SHORT:
                length = int.from_bytes(data[at - 2 : at], "big" if encoding.big else "little")
            elif code in _LONG:
                if at + 4 > end:
                    return -1
                length = long(data, at)[0]
                at += 4
                inner = code == b"UN"
            elif code.isalpha() and code.isupper():
                length = int.from_bytes(data[at - 2 : at], "big" if encoding.big else "little")
            else:
                inner = True
        if length == _UNDEFINED:
            at = _past_sequence(data, at, end, Encoding(inner, encoding.big), depth + 1)
            if at < 0:
                return -1
        else:
            at += length
    return -1
