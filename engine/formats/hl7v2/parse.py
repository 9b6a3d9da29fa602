"""Bytes of one HL7 v2 message to an index of its segments, lazily: a field is split when it is first asked
for.

In: bytes and the sender's default character set. Out: a `Message` whose segments hold raw (still escaped)
text, with byte offsets on demand and every repair reported. Follows HL7 v2.5.1 ch. 2.5-2.7 and 2.14.
Tolerated: any line end, byte order mark, MLLP bytes, text before MSH, broken continuation lines, padded or
lower-case segment names. Nothing but `FormatError` is ever raised.
"""

from __future__ import annotations

import re
from functools import lru_cache

from engine.formats.hl7v2 import charset as charsets
from engine.formats.hl7v2.delims import Delims, Repair, read_delims
from engine.formats.hl7v2.leaves import Leaf, leaves
from engine.formats.hl7v2.lines import Line, assemble, name_of
from engine.formats.hl7v2.spans import Spans
from engine.formats.hl7v2.split import MessageSlice, iter_messages, split_messages
from engine.kernel.errors import FormatError

__all__ = [
    "Delims",
    "Leaf",
    "Message",
    "MessageSlice",
    "Repair",
    "Segment",
    "iter_messages",
    "leaves",
    "parse",
    "split_messages",
]

HEADERS = frozenset(("MSH", "BHS", "FHS"))
_START = re.compile(rb"(?:\A|[\r\n\x0b]|\xef\xbb\xbf)[ \t\x00]*([Mm][Ss][Hh])[!-/:-@\[-`{-~]")
_START_TEXT = re.compile(r"(?:\A|[\r\n\x0b\ufeff])[ \t]*([Mm][Ss][Hh])[!-/:-@\[-`{-~]")
_CODE = re.compile(r"[A-Za-z0-9_]+")


class Segment:
    """One segment: its name, its number among those of that name (1-based), and its raw text by field."""

    __slots__ = ("_fields", "_separator", "_text", "n", "name")

    def __init__(self, name: str, n: int, text: str, separator: str) -> None:
        self.name = name
        self.n = n
        self._text = text
        self._separator = separator
        self._fields: list[str] | None = None

    @property
    def fields(self) -> list[str]:
        """The raw fields by number: [0] is the name; in MSH, BHS and FHS [1] is the separator."""
        fields = self._fields
        if fields is None:
            fields = self._text.split(self._separator)
            if self.name in HEADERS and len(fields) > 1:
                fields.insert(1, self._separator)
            self._fields = fields
        return fields

    @property
    def text(self) -> str:
        """The segment as one line of raw text."""
        fields = self._fields
        if fields is None:
            return self._text
        if self.name in HEADERS and len(fields) > 1:
            return fields[0] + self._separator + self._separator.join(fields[2:])
        return self._separator.join(fields)

    def field(self, number: int) -> str:
        """Give one raw field; empty when the segment ends before it."""
        fields = self.fields
        return fields[number] if 0 <= number < len(fields) else ""

    def __repr__(self) -> str:
        return f"<Segment {self.name}[{self.n}]>"  # never its content: logs hold no patient data


class Message:
    """One parsed message. `raw` is what came in; `repairs` says what was damaged."""

    __slots__ = (
        "_body",
        "_lines",
        "_spans",
        "_terminator",
        "charset",
        "code",
        "control_id",
        "delims",
        "event",
        "raw",
        "repairs",
        "segments",
        "structure",
        "version",
    )

    def __init__(
        self,
        segments: list[Segment],
        delims: Delims,
        charset: str,
        raw: bytes,
        repairs: list[Repair],
        body: tuple[int, int],
        terminator: str,
        lines: list[Line] | None,
    ) -> None:
        self.segments = segments
        self.delims = delims
        self.charset = charset
        self.raw = raw
        self.repairs = repairs
        self._body = body  # byte range of `raw` that was decoded
        self._terminator = terminator
        self._lines = lines  # where each segment lies in the text, when that is not the plain sum of lengths
        self._spans: Spans | None = None
        header = segments[0].fields
        count = len(header)
        kind = header[9].split(delims.component) if count > 9 else [""]
        self.code = kind[0].strip()
        self.event = kind[1].strip() if len(kind) > 1 else ""
        self.structure = kind[2].strip() if len(kind) > 2 else ""
        self.control_id = header[10].strip() if count > 10 else ""
        self.version = header[12].split(delims.component, 1)[0].strip() if count > 12 else ""

    @property
    def terminator(self) -> str:
        """The line end between segments: CR, LF or CRLF."""
        return self._terminator

    def segment(self, name: str, n: int = 1) -> Segment | None:
        """Find the n-th segment of that name."""
        for segment in self.segments:
            if segment.n == n and segment.name == name:
                return segment
        return None

    def span(
        self, segment: Segment, field: int = 0, rep: int = 0, comp: int = 0, sub: int = 0
    ) -> tuple[int, int]:
        """Give the byte range of a place in `raw`; 0 stands for the whole of the level above."""
        if self._spans is None:
            self._spans = Spans(self)
        return self._spans.find(segment, field, rep, comp, sub)

    @property
    def body_range(self) -> tuple[int, int]:
        """The byte range of `raw` that holds the message, without frame and byte order mark."""
        return self._body

    def places(self) -> dict[tuple[str, int], tuple[int, int]]:
        """Give the character range of every segment in `body_text()`."""
        if self._lines is not None:
            return {(line.name, line.n): (line.start, line.end) for line in self._lines}
        found: dict[tuple[str, int], tuple[int, int]] = {}
        position = 0
        text = self.body_text()
        for segment in self.segments:
            end = text.find(self._terminator, position)
            end = len(text) if end < 0 else end
            found[segment.name, segment.n] = (position, end)
            position = end + len(self._terminator)
        return found

    def body_text(self) -> str:
        """Decode the message again, line ends included."""
        start, end = self._body
        return self.raw[start:end].decode(self.charset)

    def __repr__(self) -> str:
        return f"<Message {self.code}^{self.event} {len(self.segments)} segments>"


def parse(data: bytes, *, charset: str = "") -> Message:
    """Index one message; `charset` is the sender's default, used where MSH-18 is empty."""
    repairs: list[Repair] = []
    if data[:3] == b"MSH" and b"\x1c" not in data[-3:]:
        start, body = 0, data
    else:
        start, body = _unwrap(data, repairs)
    if body.isascii() and b"\x1b" not in body:
        text = body.decode("ascii")
        codec = ""
    elif charsets.utf16_codec(body):
        codec = charsets.utf16_codec(body)
        text = _decode_utf16(body, codec)
    else:
        text, codec = charsets.decode(body, *_header_facts(body), charset, repairs)

    separator = text[3:4]
    if _unfit(separator):
        raise FormatError("MSH-1 holds no field separator", where="MSH-1", remedy="send MSH|^~\\&|...")
    if "\n" not in text:
        terminator = "\r"
    elif "\r" not in text:
        terminator = "\n"
    else:
        pairs = text.count("\r\n")
        terminator = "\r\n" if pairs == text.count("\n") == text.count("\r") else ""
    lines: list[Line] | None = None
    segments: list[Segment] = []
    counts: dict[str, int] = {}
    if terminator:
        parts = text.split(terminator)
        if not parts[-1]:
            parts.pop()
        add = segments.append
        for part in parts:
            name = part[:3]
            if (part[3:4] != separator or name not in _known_names) and not _plain(part, name, separator):
                segments = []
                break
            n = counts.get(name, 0) + 1
            counts[name] = n
            add(Segment(name, n, part, separator))
    if segments:
        header = segments[0].fields
        delims, found = read_delims(separator, header[2] if len(header) > 2 else "")
    else:
        first = re.split(r"[\r\n]", text, maxsplit=1)[0]
        enc = [*first.split(separator, 2), ""][1]
        delims, found = read_delims(separator, enc)
        terminator, lines = assemble(text, delims, repairs)
        for line in lines:
            segments.append(Segment(line.name, line.n, line.text, separator))
    if found:
        repairs.extend(found)
    if not codec:
        header = segments[0].fields
        declared = header[18] if len(header) > 18 else ""
        codec = (
            _ascii_codec(declared, delims.repetition, charset, repairs) if declared or charset else "utf-8"
        )
    if counts.get("MSH", 1) > 1 or (lines and sum(line.name == "MSH" for line in lines) > 1):
        repairs.append(Repair("second-msh", "MSH[2]", "the bytes hold more than one message"))
    return Message(segments, delims, codec, data, repairs, (start, start + len(body)), terminator, lines)


_known_names: set[str] = {
    "MSH",
    "EVN",
    "PID",
    "PD1",
    "NK1",
    "PV1",
    "PV2",
    "ORC",
    "OBR",
    "OBX",
    "NTE",
    "SPM",
    "TQ1",
}
_MOST_NAMES = 2000


def _plain(part: str, name: str, separator: str) -> bool:
    """Tell whether a line is a segment that needs no repair."""
    if not name or part[3:4] not in (separator, "") or name_of(part, separator) != name:
        return False
    if len(_known_names) < _MOST_NAMES:
        _known_names.add(name)
    return True


@lru_cache(maxsize=64)
def _unfit(separator: str) -> bool:
    return not separator or separator.isalnum() or not separator.isprintable() or separator.isspace()


def _ascii_codec(declared: str, repetition: str, default: str, repairs: list[Repair]) -> str:
    codec = charsets.declared_codec(declared, repetition) if declared.strip() else ""
    if declared.strip() and not codec:
        note = "MSH-18 names a character set that table 0211 does not have"
        repairs.append(Repair("unknown-charset", "MSH-18", note))
    codec = codec or charsets.codec_of(default)
    return "utf-8" if codec in ("", "utf-16", "utf-32") else codec


def _header_facts(body: bytes) -> tuple[str, str]:
    """Give MSH-18 and the repetition separator, read from the bytes before anything is decoded."""
    line = re.split(rb"[\r\n]", body, maxsplit=1)[0]
    fields = line.split(line[3:4] or b"|")
    declared = fields[17].decode("ascii", "replace") if len(fields) > 17 else ""
    repetition = fields[1][1:2].decode("ascii", "replace") if len(fields) > 1 and len(fields[1]) > 1 else "~"
    return declared.strip(), repetition


def _unwrap(data: bytes, repairs: list[Repair]) -> tuple[int, bytes]:
    """Find the message inside MLLP bytes, a byte order mark or stray text; gives its offset and its bytes."""
    wide = charsets.utf16_codec(data)
    if wide:
        start, end = _wide_start(data, wide), len(data)
    else:
        found = _START.search(data)
        if found is None:
            raise FormatError(
                "no MSH segment",
                why="the bytes are empty" if not data.strip() else "no line begins with MSH and a separator",
                remedy="check that the sender writes HL7 v2 with MSH first",
            )
        start = found.start(1)
        end = len(data.rstrip(b"\r\n"))
        end = end - 1 if data[end - 1 : end] == b"\x1c" else len(data)  # else it frames nothing
    before = data[:start]
    if before.startswith((b"\xef\xbb\xbf", b"\xff\xfe", b"\xfe\xff")):
        repairs.append(Repair("byte-order-mark", "MSH", "a byte order mark stands before MSH"))
        before = before.lstrip(b"\xef\xbb\xbf\xff\xfe")
    if b"\x0b" in before or end < len(data):
        repairs.append(Repair("mllp-bytes", "MSH", "the bytes still carry their MLLP frame"))
        before = before.replace(b"\x0b", b"")
    if before.strip(b" \t\r\n\x00\x1c"):
        repairs.append(
            Repair("text-before-msh", "MSH", f"{start} bytes before MSH are not part of the message")
        )
    elif before:
        repairs.append(Repair("blank-before-msh", "MSH", "blanks stand before MSH"))
    return start, data[start:end]


def _wide_start(data: bytes, codec: str) -> int:
    found = _START_TEXT.search(_decode_utf16(data, codec))
    if found is None:
        raise FormatError("no MSH segment", why="no line begins with MSH and a separator")
    return len(_decode_utf16(data, codec)[: found.start(1)].encode(codec))


def _decode_utf16(body: bytes, codec: str) -> str:
    try:
        return body.decode(codec)
    except UnicodeError as error:
        raise FormatError(
            "the bytes begin as UTF-16 and are not",
            why=error.reason if isinstance(error, UnicodeDecodeError) else "",
        ) from error
