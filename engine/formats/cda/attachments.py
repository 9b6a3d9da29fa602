"""Encapsulated data of CDA (ED, ST, SC) as plain records: text, or bytes from base64, inflated within limits.

In: an element. Out: `Attachment` with the bytes the sender meant, or the reason why there are none; the
base64 text as it was sent stays in the document. Deflated data (`compression="DF"`, `ZL`, `GZ`) never grows
beyond its limit. A SHA-1 or SHA-256 that was sent along is compared. Follows HL7 v3 Data Types R1 (ED) and
RFC 1950-1952.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import zlib
from typing import NamedTuple

from engine.formats.cda.elements import Element, attr, child, null_flavor, own_text

__all__ = ["MOST", "Attachment", "inflate", "read_attachment"]

MOST = 64 << 20
_WINDOWS = {"DF": (-15, 15, 31), "ZL": (15, -15, 31), "GZ": (31, 15, -15)}  # in the order they are tried


class Attachment(NamedTuple):
    """What was encapsulated: `data` for bytes, `text` for words, `url` for what is kept elsewhere."""

    media_type: str
    data: bytes | None = None
    text: str = ""
    url: str = ""
    language: str = ""
    charset: str = ""
    compression: str = ""
    representation: str = ""
    title: str = ""
    null: str = ""
    intact: bool | None = None  # the check value that was sent fits; None = none was sent
    problem: str = ""  # base64 | compression | too-large


def read_attachment(element: Element | None, most: int = MOST) -> Attachment | None:
    """Read an ED; `most` bounds what a compressed one may become (bytes)."""
    if element is None:
        return None
    representation = attr(element, "representation").upper()
    compression = attr(element, "compression").upper()
    data: bytes | None = None
    problem = ""
    text = ""
    if representation == "B64":
        data, problem = _decoded("".join(str(t) for t in element.xpath("text()")))  # type: ignore[union-attr]
        if data is not None and compression:
            data, problem = inflate(data, compression, most)
    else:
        text = _words(element)
    url = attr(child(element, "reference"), "value")
    null = null_flavor(element)
    if data is None and not (text or url or null or problem):
        return None
    return Attachment(
        attr(element, "mediaType"),
        data,
        text,
        url,
        attr(element, "language"),
        attr(element, "charset"),
        compression,
        representation,
        own_text(child(element, "title")),
        null,
        _intact(element, data),
        problem,
    )


def _words(element: Element) -> str:
    """Give the text with its lines; children such as `reference` and `thumbnail` are no words of it."""
    pieces = [element.text or ""]
    for part in element:
        if str(part.tag).rpartition("}")[2] not in ("reference", "thumbnail", "title"):
            pieces += [str(t) for t in part.itertext()]
        pieces.append(part.tail or "")
    return "".join(pieces).strip()


def _decoded(text: str) -> tuple[bytes | None, str]:
    plain = "".join(text.split())
    if not plain:
        return None, ""
    try:
        return base64.b64decode(plain + "=" * (-len(plain) % 4), validate=True), ""
    except (binascii.Error, ValueError):
        return None, "base64"


def inflate(data: bytes, compression: str, most: int = MOST) -> tuple[bytes | None, str]:
    """Give what was compressed, or the problem; senders label raw deflate, zlib and gzip alike."""
    for window in _WINDOWS.get(compression, ()):
        unpack = zlib.decompressobj(window)
        try:
            out = unpack.decompress(data, most + 1)
        except zlib.error:
            continue
        if len(out) > most:
            return None, "too-large"
        if unpack.eof:
            return out, ""
    return None, "compression"


def _intact(element: Element, data: bytes | None) -> bool | None:
    said = attr(element, "integrityCheck")
    if not said or data is None:
        return None
    algorithm = attr(element, "integrityCheckAlgorithm").upper().replace("-", "") or "SHA1"
    if algorithm not in ("SHA1", "SHA256"):
        return None
    digest = hashlib.new(algorithm.lower(), data, usedforsecurity=False)
    return said in (digest.hexdigest(), base64.b64encode(digest.digest()).decode())
