"""multipart/related as DICOMweb sends it: read part by part while it comes in, and written.

In: chunks of a body, cut anywhere. Out: `Begin`, `Data`, `End` of each part; no part is held in memory.
Headers, parts and what is before the first part are bounded. Follows RFC 2046 5.1, RFC 2387 and PS3.18
8.6.1.2.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping
from typing import NamedTuple

from engine.kernel.errors import FormatError

__all__ = [
    "Begin",
    "Data",
    "End",
    "Event",
    "MediaType",
    "PartReader",
    "boundary_for",
    "boundary_of",
    "closing",
    "content_type",
    "media_type",
    "opening",
]


class Begin(NamedTuple):
    """A part begins; names of its headers are in lower case."""

    headers: Mapping[str, str]


class Data(NamedTuple):
    """Some of its bytes."""

    data: bytes


class End(NamedTuple):
    """The part is whole."""


Event = Begin | Data | End


class MediaType(NamedTuple):
    """A Content-Type, or one range of Accept: the type in lower case, its parameters."""

    type: str
    parameters: Mapping[str, str]


_PARAMETER = re.compile(r"""\s*;\s*([!#$%&'*+.^_`|~\w-]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^;"\s]*)""")
# RFC 2046 has 70 characters at most; Orthanc, of all clients, sends 73
_BOUNDARY = re.compile(r"[0-9A-Za-z'()+_,./:=? -]{0,199}[0-9A-Za-z'()+_,./:=?-]")
_PADDING = 64  # white space that may follow a boundary
_PREAMBLE = 64 << 10


def media_type(text: str) -> MediaType:
    """Read a Content-Type, quoted parameters too (RFC 9110 8.3.1). What is no parameter is passed over."""
    kind, _, _ = text.partition(";")
    found: dict[str, str] = {}
    for name, value in _PARAMETER.findall(text[len(kind) :]):
        if value.startswith('"'):
            value = re.sub(r"\\(.)", r"\1", value[1:-1])
        found.setdefault(name.lower(), value)
    return MediaType(kind.strip().lower(), found)


def boundary_of(text: str) -> str:
    """Return the boundary of a multipart Content-Type; FormatError where it has none that can be one."""
    kind = media_type(text)
    boundary = kind.parameters.get("boundary", "")
    if not kind.type.startswith("multipart/"):
        raise FormatError(
            "the body is not multipart", where="Content-Type", why="multipart/related is expected"
        )
    if not _BOUNDARY.fullmatch(boundary):
        raise FormatError(
            "the body has no boundary", where="Content-Type", why="1 to 200 characters are needed"
        )
    return boundary


def content_type(boundary: str, kind: str, transfer_syntax: str = "") -> str:
    """Write the Content-Type of a body whose parts are all of one type."""
    syntax = f"; transfer-syntax={transfer_syntax}" if transfer_syntax else ""
    return f'multipart/related; type="{kind}"{syntax}; boundary={boundary}'


def opening(boundary: str, headers: Mapping[str, str]) -> bytes:
    """Write what is before the bytes of a part."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"\r\n--{boundary}\r\n{lines}\r\n".encode("latin-1")


def closing(boundary: str) -> bytes:
    """Write what is after the last part."""
    return f"\r\n--{boundary}--\r\n".encode("ascii")


def boundary_for(seed: bytes) -> str:
    """Make a boundary: one that no content has by chance."""
    return hashlib.sha256(seed).hexdigest()[:40]


class PartReader:
    """Reads a multipart body. After an error it must not be fed again."""

    def __init__(self, boundary: str, *, max_header: int = 16 << 10, max_parts: int = 100_000) -> None:
        self._mark = b"\r\n--" + boundary.encode("latin-1")
        self._kept = bytearray(b"\r\n")  # so that a boundary at the very start is like any other
        self._max_header = max_header
        self._max_parts = max_parts
        self._parts = 0
        self._place = "preamble"  # headers | body | end
        self._skip = 0  # 2: the line end after the headers is still kept, as a boundary may begin with it

    @property
    def done(self) -> bool:
        """Say whether the last boundary has come."""
        return self._place == "end"

    def feed(self, data: bytes) -> list[Event]:
        """Take a chunk; return what became known of the parts."""
        self._kept += data
        events: list[Event] = []
        while not self.done:
            steps = {"preamble": self._preamble, "headers": self._headers, "body": self._body}
            if not steps[self._place](events):
                return events
        self._kept.clear()  # an epilogue says nothing
        return events

    def close(self) -> None:
        """Say that no more comes. FormatError where the last boundary is missing: something was lost."""
        if not self.done:
            raise FormatError("the multipart body is cut off", why="its last boundary is missing")

    def _preamble(self, events: list[Event]) -> bool:
        _, end = self._boundary()
        if end < 0:
            if len(self._kept) > _PREAMBLE:
                raise FormatError("the multipart body has no parts", why="its boundary is not found")
            return False
        self._pass(end)
        return True

    def _headers(self, events: list[Event]) -> bool:
        end = 0 if self._kept.startswith(b"\r\n") else self._kept.find(b"\r\n\r\n")
        if end > self._max_header or (end < 0 and len(self._kept) > self._max_header + 4):
            raise FormatError("the headers of a part are too long", where=f"part {self._parts}")
        if end < 0 or len(self._kept) < 2:
            return False
        events.append(Begin(_headers_of(bytes(self._kept[:end]), self._parts)))
        del self._kept[: end + 2 if end else 0]
        self._skip = 2
        self._place = "body"
        return True

    def _body(self, events: list[Event]) -> bool:
        start, end = self._boundary()
        if start > self._skip:
            events.append(Data(bytes(self._kept[self._skip : start])))
            del self._kept[:start]
            end -= start if end >= 0 else 0
            self._skip = 0
        if end < 0:
            return False
        events.append(End())
        self._skip = 0
        self._pass(end)
        return True

    def _pass(self, end: int) -> None:
        """Move behind a boundary: to the headers of the next part, or to the end."""
        last = self._kept[:end].endswith(b"--")
        del self._kept[:end]
        if last:
            self._place = "end"
            return
        self._parts += 1
        if self._parts > self._max_parts:
            raise FormatError("the multipart body has too many parts", why=f"{self._max_parts} are taken")
        self._place = "headers"

    def _boundary(self) -> tuple[int, int]:
        """Find where the next boundary begins and ends.

        Where there is none: up to where nothing can be the start of one, and -1.
        """
        at = -1
        while (at := self._kept.find(self._mark, at + 1)) >= 0:
            after = at + len(self._mark)
            rest = bytes(self._kept[after : after + _PADDING])
            if rest.startswith(b"--"):
                return at, after + 2
            line = rest.lstrip(b" \t")
            if line.startswith(b"\r\n"):
                return at, after + len(rest) - len(line) + 2
            if len(rest) < _PADDING and line in (b"", b"\r", b"-"):
                return at, -1
        return max(0, len(self._kept) - len(self._mark) + 1), -1


def _headers_of(lines: bytes, part: int) -> dict[str, str]:
    headers: dict[str, str] = {}
    text = re.sub(r"\r\n[ \t]+", " ", lines.decode("latin-1"))
    for line in text.split("\r\n") if text else ():
        name, colon, value = line.partition(":")
        if not colon or not name.strip():
            raise FormatError(
                "a header of a part is none", where=f"part {part}", why="`Name: value` is expected"
            )
        headers[name.strip().lower()] = value.strip()
    return headers
