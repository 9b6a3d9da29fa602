"""Byte offsets: where in the input a segment, field, repetition, component or subcomponent stands.

In: a parsed message and a place. Out: a half-open byte range in `message.raw`, exact for single- and
multi-byte character sets and for damaged messages alike. Computed on demand; nothing is kept while parsing.
"""

from __future__ import annotations

import codecs
import re
from typing import TYPE_CHECKING

from engine.formats.hl7v2.charset import SINGLE_BYTE_OR_UTF8
from engine.kernel.errors import FormatError

if TYPE_CHECKING:
    from engine.formats.hl7v2.parse import Message, Segment

__all__ = ["Spans"]


_LINE_END = re.compile(r"[\r\n]+")


class Spans:
    """The offsets of one message."""

    def __init__(self, message: Message) -> None:
        self._text = message.body_text()
        self._delims = message.delims
        self._base = message.body_range[0]
        self._places = message.places()
        self._ascii = self._text.isascii() and message.charset in SINGLE_BYTE_OR_UTF8
        self._charset = message.charset
        self._table: list[int] | None = None
        self._segment_bytes: dict[int, int] = {}
        self._furthest = (
            0,
            0,
        )  # (character, byte) of the furthest segment asked for: the next counts from it
        if message.charset not in SINGLE_BYTE_OR_UTF8:
            self._table = _offsets(message.raw[slice(*message.body_range)], message.charset)

    def find(self, segment: Segment, field: int, rep: int, comp: int, sub: int) -> tuple[int, int]:
        """Give the byte range; raises FormatError where the segment has no such place."""
        place = self._places.get((segment.name, segment.n))
        if place is None:
            raise FormatError("the segment is not part of this message", where=f"{segment.name}[{segment.n}]")
        start, end = place
        origin = start
        if field:
            start, end = self._field(segment.name, start, end, field)
            fixed = field <= 2 and segment.name in ("MSH", "BHS", "FHS")
            for delimiter, number in (
                (self._delims.repetition, rep),
                (self._delims.component, comp),
                (self._delims.subcomponent, sub),
            ):
                if number > 0 and not fixed:
                    start, end = self._part(start, end, delimiter, number)
        return self._byte(start, origin), self._byte(end, origin)

    def _field(self, name: str, start: int, end: int, field: int) -> tuple[int, int]:
        if name in ("MSH", "BHS", "FHS"):
            mark = self._text.find(self._delims.field, start, end)
            if field == 1 and mark >= 0:
                return mark, mark + 1
            field -= 1
        line_end = _LINE_END.search(self._text, start, end)
        if line_end and self._delims.field not in self._text[start : line_end.start()]:
            return self._part(
                line_end.end(), end, self._delims.field, field
            )  # a bare name, gone on with below
        return self._part(start, end, self._delims.field, field + 1)

    def _part(self, start: int, end: int, delimiter: str, number: int) -> tuple[int, int]:
        for _ in range(number - 1):
            mark = self._text.find(delimiter, start, end)
            if mark < 0:
                raise FormatError("the message has no such place")
            start = mark + 1
        mark = self._text.find(delimiter, start, end)
        return start, (mark if mark >= 0 else end)

    def _byte(self, position: int, origin: int) -> int:
        if self._ascii:
            return self._base + position
        if self._table is not None:
            return self._base + self._table[position]
        before = self._segment_bytes.get(origin)
        if before is None:
            known, bytes_ = self._furthest if self._furthest[0] <= origin else (0, 0)
            before = bytes_ + len(self._text[known:origin].encode(self._charset))
            self._segment_bytes[origin] = before
            self._furthest = max(self._furthest, (origin, before))
        return self._base + before + len(self._text[origin:position].encode(self._charset))


def _offsets(body: bytes, charset: str) -> list[int]:
    """Give the byte offset of every character by decoding byte by byte: exact for shifting sets too."""
    decoder = codecs.getincrementaldecoder(charset)()
    table: list[int] = []
    begun = 0
    for index in range(len(body)):
        text = decoder.decode(body[index : index + 1])
        for _ in text:
            table.append(begun)
            begun = index + 1
    table.append(len(body))
    return table
