"""What is embedded in a message: PDF, images, RTF, text, documents; and how each may safely be shown.

In: the body of an entry. Out: `Content`s with their place and size, and one opened: bytes, and the media type
under which it is handed out. That type is what the bytes are, not what the sender says: markup of a sender is
only ever text, and what a browser would run is only ever a file to save. Follows HL7 v2.5.1 ch. 2A.24 (ED),
CDA R2 nonXMLBody and observationMedia.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator
from dataclasses import dataclass

from engine.formats.cda import document as cda
from engine.formats.cda.attachments import Attachment, read_attachment
from engine.formats.cda.elements import V3
from engine.formats.cda.page import render
from engine.formats.content import recognise
from engine.formats.fhir.posted import parse as parse_fhir
from engine.formats.hl7v2.escapes import unescape
from engine.formats.hl7v2.parse import Message, Segment, parse
from engine.formats.xdm import read_package
from engine.kernel.errors import FormatError, HubError
from engine.kernel.message import Entry

__all__ = ["Content", "Opened", "contents", "kind_of", "open_content"]

MOST = 64 << 20  # bytes of one
_LISTED = 100
_PLAIN = 200  # bytes that a kind is told by
_BEGIN = (
    (b"%PDF-", "pdf", "application/pdf"),
    (b"\x89PNG\r\n\x1a\n", "png", "image/png"),
    (b"\xff\xd8\xff", "jpeg", "image/jpeg"),
    (b"GIF87a", "gif", "image/gif"),
    (b"GIF89a", "gif", "image/gif"),
    (b"{\\rtf", "rtf", "application/rtf"),
    (b"II*\x00", "tiff", "image/tiff"),
    (b"MM\x00*", "tiff", "image/tiff"),
)
_SHOWN = frozenset({"png", "jpeg", "gif", "text", "cda"})
"""What a browser is let show; everything else is saved."""


@dataclass(frozen=True, slots=True)
class Content:
    """One thing that is embedded."""

    number: int  # from 1
    place: str  # OBX[3]-5[1], or an XPath
    said: str  # what the sender says it is
    kind: str  # what it is: pdf, png, jpeg, gif, rtf, tiff, cda, text, other; empty where it cannot be read
    bytes: int
    shown: bool  # a browser may show it
    problem: str = ""


@dataclass(frozen=True, slots=True)
class Opened:
    """One of them opened, as it may be handed out."""

    body: bytes
    media: str
    filename: str
    inline: bool


@dataclass(frozen=True, slots=True)
class _Raw:
    place: str
    said: str
    data: bytes | None
    problem: str = ""


def contents(entry: Entry) -> list[Content]:
    """List what is embedded in an entry; nothing where it cannot be read."""
    try:
        return [_listed(number, one) for number, one in enumerate(_raw(entry), 1) if number <= _LISTED]
    except HubError:
        return []


def open_content(entry: Entry, number: int) -> Opened:
    """Open one of them. Raises HubError."""
    one = next((one for n, one in enumerate(_raw(entry), 1) if n == number), None)
    if one is None or one.data is None:
        raise HubError(f"entry {entry.id} holds no content {number} that can be opened")
    kind, media = kind_of(one.data)
    name = f"entry-{entry.id}-{number}"
    if kind == "cda":
        return Opened(render(cda.parse(one.data)), "text/html; charset=utf-8", f"{name}.html", True)
    if kind == "text":
        text = _decoded(one.data).encode()
        return Opened(text, "text/plain; charset=utf-8", f"{name}.txt", True)
    suffix = kind if kind != "other" else "bin"
    return Opened(one.data, media, f"{name}.{suffix}", kind in _SHOWN)


def kind_of(data: bytes) -> tuple[str, str]:
    """Say what bytes are, by how they begin: (kind, media type)."""
    for begin, kind, media in _BEGIN:
        if data.startswith(begin):
            return kind, media
    if recognise(data) == "cda":
        try:
            cda.parse(data)
        except FormatError:
            return "text", "text/plain"
        return "cda", "text/html"
    return ("text", "text/plain") if _is_text(data[:_PLAIN]) else ("other", "application/octet-stream")


def _is_text(begin: bytes) -> bool:
    text = begin.decode("utf-8", "ignore") or begin.decode("latin-1")
    return bool(text.strip()) and all(c.isprintable() or c in "\r\n\t\f" for c in text)


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def _listed(number: int, one: _Raw) -> Content:
    if one.data is None:
        return Content(number, one.place, one.said, "", 0, False, one.problem)
    kind, _ = kind_of(one.data)
    return Content(number, one.place, one.said, kind, len(one.data), kind in _SHOWN, one.problem)


def _raw(entry: Entry) -> Iterator[_Raw]:
    format = recognise(entry.body)
    if format in ("", "hl7v2"):
        message = parse(entry.body, charset=entry.charset)
        for segment in message.segments:
            if segment.name == "OBX" and segment.field(2).strip() == "ED":
                yield from _of_obx(message, segment)
    elif format == "cda":
        yield _Raw("/ClinicalDocument", "", entry.body)
        document = cda.parse(entry.body)
        for element in document.root.iter(f"{{{V3}}}nonXMLBody", f"{{{V3}}}observationMedia"):
            tag = "text" if element.tag == f"{{{V3}}}nonXMLBody" else "value"
            inner = element.find(f"{{{V3}}}{tag}")
            found = read_attachment(inner, MOST)
            if found is not None and inner is not None:
                yield _of_cda(document.places.of(inner), found)
    elif format == "fhir":
        for leaf in parse_fhir(entry.body).leaves():
            if leaf.place.endswith((".attachment.data", "Attachment.data", ".resource.data")):
                yield _of_fhir(leaf.place, leaf.value)
    elif format == "xdm":
        for n, one in enumerate(read_package(entry.body).documents, 1):
            data = None if one.problem else one.data
            yield _Raw(f"document {n} of the package", "", data, one.problem)


def _of_obx(message: Message, segment: Segment) -> Iterator[_Raw]:
    delims = message.delims
    for n, repetition in enumerate(segment.field(5).split(delims.repetition), 1):
        parts = repetition.split(delims.component)
        if len(parts) < 5 or not parts[4]:
            continue
        said = " ".join(part for part in (unescape(p, delims, message.charset) for p in parts[1:3]) if part)
        place = f"OBX[{segment.n}]-5[{n}]"
        if len(parts[4]) > 2 * MOST:
            yield _Raw(place, said, None, "it is too long to be opened here")
            continue
        data = _unpacked(parts[3].strip().casefold(), unescape(parts[4], delims, message.charset))
        yield _Raw(place, said, data, "" if data is not None else "it is not in the encoding it says")


def _unpacked(encoding: str, text: str) -> bytes | None:
    try:
        if encoding == "base64":
            return base64.b64decode("".join(text.split()), validate=True)
        if encoding == "hex":
            return bytes.fromhex(text)
    except (binascii.Error, ValueError):
        return None
    return text.encode("utf-8", "replace")


def _of_fhir(place: str, text: str) -> _Raw:
    """Open the bytes of an attachment or a Binary."""
    if len(text) > 2 * MOST:
        return _Raw(place, "", None, "it is too long to be opened here")
    data = _unpacked("base64", text)
    return _Raw(place, "", data, "" if data is not None else "it is not in the encoding it says")


def _of_cda(place: str, found: Attachment) -> _Raw:
    if found.data is not None:
        return _Raw(place, found.media_type, found.data)
    if found.text:
        return _Raw(place, found.media_type, found.text.encode())
    return _Raw(place, found.media_type, None, found.problem or "it is kept elsewhere")
