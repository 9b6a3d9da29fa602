"""X12 bytes as a stream of segments, and segments as the same bytes again.

In: a binary file, read in pieces. Out: `Segment`s in order, each with its offset and the bytes around it, so
that `emit` gives back what came in, byte for byte, whatever it was. A byte order mark, line ends after or
instead of the terminator, several interchanges with different separators, text before the first ISA: all are
kept. Memory is one piece and the longest segment. Text is one character a byte (`text_of` decodes a value).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from io import BytesIO
from typing import BinaryIO

from engine.formats.x12.problem import Problem
from engine.formats.x12.separators import DEFAULT, HEADER, Separators, read_separators

__all__ = ["Reader", "Segment", "emit", "looks_like", "read_segments", "text_of"]

_BLANK = "\r\n\t \x00\x1a"
_BOM = "\xef\xbb\xbf"
_LINE = "\r\n"
_HEADER = re.compile(r"(?<![0-9A-Za-z])ISA[^0-9A-Za-z\s]")
_LINE_HEADER = re.compile(r"(?:\A|[\r\n])ISA[^0-9A-Za-z\s]")
_NEXT = re.compile(r"[\r\n\t \x00\x1a]*ISA[^0-9A-Za-z\s]")
_AHEAD = "I" + _BLANK
MIB = 1 << 20


class Segment:
    """One segment: `elements[0]` is its name; `lead` and `tail` (the terminator) are around it."""

    __slots__ = ("elements", "lead", "n", "name", "offset", "separators", "tail")

    def __init__(
        self, elements: list[str], offset: int, lead: str, tail: str, separators: Separators = DEFAULT
    ) -> None:
        self.elements = elements
        self.name = elements[0]
        self.offset = offset  # of the first character of its name in the input
        self.lead = lead
        self.tail = tail
        self.separators = separators
        self.n = 0  # which of that name inside its transaction set, from 1

    def get(self, number: int) -> str:
        """Give an element as written; empty where the segment is shorter."""
        return self.elements[number] if number < len(self.elements) else ""

    def component(self, number: int, part: int = 1) -> str:
        """Give a component of an element, from 1."""
        parts = self.get(number).split(self.separators.component)
        return parts[part - 1] if part <= len(parts) else ""

    def repetitions(self, number: int) -> list[str]:
        """Give the repetitions of an element; an empty element has none."""
        value = self.get(number)
        mark = self.separators.repetition
        return [] if not value else value.split(mark) if mark else [value]

    @property
    def fields(self) -> list[str]:
        """Give its elements as text: what is no ASCII is UTF-8 where its bytes are, else Latin-1."""
        elements = self.elements
        return elements if "".join(elements).isascii() else [text_of(value) for value in elements]

    @property
    def raw(self) -> str:
        """Give the segment as written, without what is around it."""
        return self.separators.element.join(self.elements)


class Reader:
    """Iterate the segments of a file; `problems` fills as it is read."""

    def __init__(self, file: BinaryIO, *, piece: int = MIB, longest: int = 16 * MIB) -> None:
        self.file = file
        self.piece = max(piece, HEADER)
        self.longest = longest
        self.problems: list[Problem] = []
        self._begun = -1  # where the interchange that is being read begins
        self.trailer = ""  # what follows the last segment

    def __iter__(self) -> Iterator[Segment]:
        buffer, base, position, last = "", 0, 0, False
        separators: Separators | None = None
        lead = ""
        while True:
            if len(buffer) - position < HEADER * 3 and not last:
                data = self.file.read(self.piece)
                last = not data
                buffer, base, position = buffer[position:] + data.decode("latin-1"), base + position, 0
                continue
            if separators is None:
                found = _HEADER.search(buffer, position)
                start = found.start() if found else len(buffer) if last else max(position, len(buffer) - 4)
                lead += buffer[position:start]
                position = start
                if found is not None and (last or start + HEADER * 3 <= len(buffer)):
                    separators = self._header(buffer, start, base)
                    if separators is None:
                        lead, position = lead + "ISA", start + 3
                        continue
                    if lead.strip(_BLANK) not in ("", _BOM):
                        yield self._stray(lead, base + start - len(lead))
                        lead = ""
                elif found is None and last:
                    if lead.strip(_BLANK):
                        yield self._stray(lead, base + position - len(lead))
                        lead = ""
                    break
                elif len(lead) > self.longest:
                    yield self._stray(lead, base + position - len(lead))
                    lead = ""
                continue
            if buffer[position : position + 1] in _AHEAD and (again := _NEXT.match(buffer, position)):
                start = again.end() - 4  # another interchange: it may have other separators
                if start + HEADER * 3 > len(buffer) and not last:
                    data = self.file.read(self.piece)
                    last = not data
                    buffer, base, position = buffer[position:] + data.decode("latin-1"), base + position, 0
                    continue
                if base + start != self._begun:
                    separators = self._header(buffer, start, base) or separators
            end = buffer.find(separators.segment, position)
            if end < 0:
                if not last and len(buffer) - position <= self.longest:
                    data = self.file.read(self.piece)
                    last = not data
                    buffer, base, position = buffer[position:] + data.decode("latin-1"), base + position, 0
                    continue
                rest = buffer[position:]
                content = rest.strip(_BLANK)
                if content:
                    self._complain("a segment has no terminator", base + position)
                    before = rest[: len(rest) - len(rest.lstrip(_BLANK))]
                    tail = rest[len(before) + len(content) :]
                    place = base + position + len(before)
                    yield Segment(content.split(separators.element), place, lead + before, tail, separators)
                    lead = ""
                else:
                    lead += rest
                position = len(buffer)
                if last:
                    break
                continue
            content = buffer[position:end]
            place = base + position
            tail = separators.segment
            if content[:1] in _BLANK or content[-1:] in _LINE:
                bare = content.lstrip(_BLANK)
                lead += content[: len(content) - len(bare)]
                place += len(content) - len(bare)
                content = bare.rstrip(_LINE)
                tail = bare[len(content) :] + tail
            if not content:
                lead += tail
                position = end + 1
                continue
            yield Segment(content.split(separators.element), place, lead, tail, separators)
            lead = ""
            position = end + 1
        self.trailer = lead

    def _header(self, buffer: str, start: int, base: int) -> Separators | None:
        separators, problems = read_separators(buffer[start : start + HEADER * 3], base + start)
        self.problems += problems
        self._begun = base + start
        return separators

    def _stray(self, text: str, offset: int) -> Segment:
        self._complain("there is text that belongs to no interchange", offset)
        stray = Segment([text], offset, "", "")
        stray.name = ""
        return stray

    def _complain(self, text: str, offset: int) -> None:
        self.problems.append(Problem("E", 1, "TA105", "022", "", text, offset=offset))


def looks_like(head: bytes) -> bool:
    """Say whether an interchange header begins the file, or a line of what is neither HL7 v2 nor XML."""
    text = head.decode("latin-1").lstrip(_BLANK + _BOM)
    if text.startswith(("MSH", "FHS", "BHS", "<", "\x0b")):
        return False
    found = _LINE_HEADER.search(text)
    return found is not None and read_separators(text[found.end() - 4 :])[0] is not None


def read_segments(data: bytes) -> tuple[list[Segment], str, list[Problem]]:
    """Read bytes whole: the segments, what follows the last, and what is wrong."""
    reader = Reader(BytesIO(data))
    segments = list(reader)
    return segments, reader.trailer, reader.problems


def emit(segments: Iterable[Segment], trailer: str = "") -> bytes:
    """Write segments as bytes; with the trailer of their reader these are the bytes that were read."""
    parts: list[str] = []
    for segment in segments:
        parts += (segment.lead, segment.separators.element.join(segment.elements), segment.tail)
    return ("".join(parts) + trailer).encode("latin-1")


def text_of(value: str) -> str:
    """Give a value as text: UTF-8 where its bytes are UTF-8, else Latin-1."""
    if value.isascii():
        return value
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeDecodeError:
        return value
