"""An answer of DICOMweb: JSON, one body, or many parts one after the other without being held in memory.

In: what a service found. Out: a `Reply` whose body may be a stream, for which the length is known wherever
its parts' are (PS3.18 8.6.1.2, RFC 2046 5.1, RFC 2387).
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO

from engine.console.exchange import Reply
from engine.console.refusals import Refusal
from engine.fhir import jsonio
from engine.formats.dicom.multipart import closing, content_type, opening

__all__ = ["JSON", "Answer", "Part", "copied", "json_answer", "json_stream", "multipart", "single", "uid"]

JSON = "application/dicom+json"
_CHUNK = 1 << 18
_UID = re.compile(r"[0-9]+(\.[0-9]+)*").fullmatch


@dataclass(slots=True)
class Answer(Reply):
    """A reply. `stream` is its body where it is not in memory; `length` of it, where it is known."""

    stream: Iterator[bytes] | None = None
    length: int | None = None


@dataclass(frozen=True, slots=True)
class Part:
    """One part: its media type, its length where known, and what makes its bytes when their turn has come."""

    media: str
    length: int | None
    content: Callable[[], Iterator[bytes]]
    location: str = ""


def uid(text: str) -> str:
    """Return a UID of an address, or refuse what is none (PS3.5 9.1)."""
    if len(text) > 64 or not _UID(text):
        raise Refusal(400, "the address holds something that is no UID")
    return text


def copied(stream: BinaryIO, start: int = 0, length: int | None = None) -> Iterator[bytes]:
    """Yield a stretch of a file that is open; raise where the file is shorter."""
    stream.seek(start)
    left = length
    while left is None or left > 0:
        data = stream.read(_CHUNK if left is None else min(_CHUNK, left))
        if not data:
            if left:
                raise Refusal(500, "an object is shorter than it was")
            return
        if left is not None:
            left -= len(data)
        yield data


def json_answer(status: int, value: Any, action: str, what: str, detail: str = "") -> Answer:
    """Answer with the DICOM JSON model."""
    return Answer(status, jsonio.dumps(value), JSON, {}, action, what, detail)


def json_stream(rows: Iterator[bytes], action: str, what: str, detail: str) -> Answer:
    """Answer with a JSON array whose rows are made one at a time."""

    def stream() -> Iterator[bytes]:
        before = b"["
        for row in rows:
            yield before + row
            before = b","
        yield b"[]" if before == b"[" else b"]"

    return Answer(200, b"", JSON, {}, action, what, detail, stream())


def single(part: Part, action: str, what: str, detail: str) -> Answer:
    """Answer with one part, alone."""
    headers = {"Content-Location": part.location} if part.location else {}
    return Answer(200, b"", part.media, headers, action, what, detail, part.content(), part.length)


def multipart(parts: Sequence[Part], kind: str, action: str, what: str, detail: str) -> Answer:
    """Answer with parts; `kind` is the media type of the first."""
    boundary = secrets.token_hex(16)
    heads = [opening(boundary, _headers(part)) for part in parts]
    end = closing(boundary)
    lengths = [part.length for part in parts if part.length is not None]
    length = sum(lengths) + sum(map(len, heads)) + len(end) if len(lengths) == len(parts) else None

    def stream() -> Iterator[bytes]:
        for head, part in zip(heads, parts, strict=True):
            yield head
            yield from part.content()
        yield end

    media = content_type(boundary, kind)
    return Answer(200, b"", media, {}, action, what, detail, stream(), length)


def _headers(part: Part) -> dict[str, str]:
    length = {} if part.length is None else {"Content-Length": str(part.length)}
    location = {"Content-Location": part.location} if part.location else {}
    return {"Content-Type": part.media, **length, **location}
