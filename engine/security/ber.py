"""ASN.1 of indefinite length, as many mailers send it, written with definite lengths.

In: BER bytes. Out: the same values as DER writes them: lengths are definite, octet strings in one piece.
Bounded in depth; a `ValueError` where the bytes are no BER. What is not touched: the order of sets, which
signatures cover as it is. Follows ITU-T X.690 8.1 and 10.1 to 10.2.
"""

from __future__ import annotations

__all__ = ["definite"]

_DEEPEST = 40
_OCTETS, _PIECES = 0x04, 0x24


def definite(data: bytes, *, implicit: bool = False) -> bytes:
    """Write a value with definite lengths.

    `implicit`: a context tag of nothing but octet strings is one of them in pieces, as the encrypted content
    of an envelope is (RFC 5652 6.1); in signed-data it would be the tag around one (RFC 5652 5.2).
    """
    value, at = _value(memoryview(data), 0, 0, implicit)
    if at != len(data):
        raise ValueError("bytes behind the value")
    return value


def _value(data: memoryview, at: int, depth: int, implicit: bool) -> tuple[bytes, int]:
    """Read the value at a place; return it, and where the next begins."""
    if depth > _DEEPEST:
        raise ValueError("nested too deeply")
    tag = _byte(data, at)
    if tag & 0x1F == 0x1F:
        raise ValueError("a tag of many bytes")
    length, start = _length(data, at + 1)
    if not tag & 0x20:
        if length is None or start + length > len(data):
            raise ValueError("a length beyond the end")
        return _made(tag, bytes(data[start : start + length])), start + length
    end = None if length is None else start + length
    if end is not None and end > len(data):
        raise ValueError("a length beyond the end")
    parts: list[bytes] = []
    at = start
    while at != end:
        if end is None and _byte(data, at) == 0 and _byte(data, at + 1) == 0:
            at += 2
            break
        part, at = _value(data if end is None else data[:end], at, depth + 1, implicit)
        parts.append(part)
    if tag == _PIECES or (implicit and tag & 0xC0 == 0x80 and parts and all(p[0] == _OCTETS for p in parts)):
        return _made(tag & ~0x20, b"".join(_content(p) for p in parts)), at
    return _made(tag, b"".join(parts)), at


def _byte(data: memoryview, at: int) -> int:
    if at >= len(data):
        raise ValueError("cut off")
    return data[at]


def _length(data: memoryview, at: int) -> tuple[int | None, int]:
    first = _byte(data, at)
    if first < 0x80:
        return first, at + 1
    if first == 0x80:
        return None, at + 1
    count = first & 0x7F
    if count > 6 or at + 1 + count > len(data):
        raise ValueError("a length that cannot be")
    return int.from_bytes(data[at + 1 : at + 1 + count], "big"), at + 1 + count


def _content(value: bytes) -> bytes:
    return value[_length(memoryview(value), 1)[1] :]


def _made(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes((tag, size)) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes((tag, 0x80 | len(length))) + length + content
