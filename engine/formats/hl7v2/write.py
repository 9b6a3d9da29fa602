"""Messages back to bytes, and new messages from values.

In: a parsed (perhaps edited) message, or values set by location. Out: bytes. `emit(parse(x))` is `x`, byte
for byte, for every undamaged message; a damaged one is written mended: one line end, no frame, line ends
inside a field as `\\.br\\`. Follows HL7 v2.5.1 ch. 2.6 (construction rules).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime

from engine.formats.hl7v2.charset import codec_of, hl7_name
from engine.formats.hl7v2.delims import STANDARD, Delims
from engine.formats.hl7v2.escapes import escape, line_break
from engine.formats.hl7v2.locations import Location, parse_location
from engine.formats.hl7v2.parse import Message, Segment
from engine.kernel.errors import FormatError

__all__ = ["Draft", "build", "emit"]

Value = str | Sequence["Value"]


def emit(message: Message) -> bytes:
    """Write a message; what was not changed and not damaged comes out as it came in."""
    end = message.terminator
    text = end.join(_line(segment.text, message.delims) for segment in message.segments)
    start, stop = message.body_range
    original = message.body_text()
    if original in (text, text + end):
        return message.raw[start:stop]  # the same text: the same bytes, also in shifting character sets
    return (text + end).encode(message.charset, "strict")


def _line(text: str, delims: Delims) -> str:
    if "\n" not in text and "\r" not in text:
        return text
    mark = line_break(delims)
    return text.replace("\r\n", mark).replace("\n", mark).replace("\r", mark)


def build(segments: Iterable[Sequence[Value]], *, delims: Delims = STANDARD, charset: str = "utf-8") -> bytes:
    """Write a message from rows such as `["PID", "1", "", [["123", "", "", "HOSP", "MR"]]]`.

    A field is a text, a list of components, or a list of repetitions; a component is a text or a list of
    subcomponents. Texts are plain: they are escaped here. In MSH the row goes on with MSH-3.
    """
    lines = []
    for row in segments:
        name = str(row[0])
        fields = [_field(value, delims) for value in row[1:]]
        head = f"{name}{delims.field}{delims.encoding}" if name in ("MSH", "BHS", "FHS") else name
        lines.append(delims.field.join([head, *fields]))
    return ("\r".join(lines) + "\r").encode(codec_of(charset) or "utf-8")


def _field(value: Value, delims: Delims) -> str:
    if isinstance(value, str):
        return _leaf(value, delims)
    if any(not isinstance(part, str) for part in value) and all(not isinstance(part, str) for part in value):
        return delims.repetition.join(_components(part, delims) for part in value)
    return _components(value, delims)


def _components(value: Value, delims: Delims) -> str:
    if isinstance(value, str):
        return _leaf(value, delims)
    parts = [
        part and _leaf(part, delims)
        if isinstance(part, str)
        else delims.subcomponent.join(_leaf(str(sub), delims) for sub in part)
        for part in value
    ]
    return delims.component.join(parts)


def _leaf(text: str, delims: Delims) -> str:
    return text if text == '""' else escape(text, delims)


class Draft:
    """An outgoing message: segments are appended, values set by location, and the whole written once."""

    def __init__(self, *, delims: Delims = STANDARD, charset: str = "utf-8") -> None:
        self.delims = delims
        self.charset = codec_of(charset) or "utf-8"
        self.segments: list[Segment] = []

    def header(
        self,
        code: str,
        event: str,
        structure: str,
        *,
        control_id: str,
        at_ms: int,
        version: str = "2.5.1",
        sender: tuple[str, str] = ("", ""),
        receiver: tuple[str, str] = ("", ""),
        processing: str = "P",
    ) -> Segment:
        """Write MSH; `sender` and `receiver` are (application, facility)."""
        s, c = self.delims.field, self.delims.component
        when = datetime.fromtimestamp(at_ms / 1000, UTC).strftime("%Y%m%d%H%M%S+0000")
        names = [escape(part, self.delims) for part in (*sender, *receiver)]
        kind = c.join(part for part in (code, event, structure) if part)
        fields = ["MSH" + s + self.delims.encoding, *names, when, "", kind, control_id, processing, version]
        if self.charset != "ascii":
            fields += ["", "", "", "", "", hl7_name(self.charset)]
        return self.add("MSH", s.join(fields))

    def add(self, name: str, text: str = "") -> Segment:
        """Append a segment; `text` is its raw line."""
        n = 1 + sum(segment.name == name for segment in self.segments)
        segment = Segment(name, n, text or name, self.delims.field)
        self.segments.append(segment)
        return segment

    def set(self, location: Location | str, value: str, *, segment: Segment | None = None) -> None:
        """Set one value, plain text, at a location such as `PID-3(2).4.1`; adds a missing segment."""
        place = parse_location(location) if isinstance(location, str) else location
        if not place.segment or not place.field or place.filter or place.segment_filter or place.only:
            raise FormatError(
                "a value is set at one exact place", where=str(place), remedy="write PID-3(2).1"
            )
        target = segment or self._segment(place.segment, place.segment_n or 1)
        raw = escape(value, self.delims) if value != '""' else value
        fields = target.fields
        fields += [""] * (place.field + 1 - len(fields))
        d = self.delims
        reps = fields[place.field].split(d.repetition)
        rep = _grow(reps, place.n or 1)
        if not place.component:
            reps[rep] = raw
        else:
            comps = reps[rep].split(d.component)
            comp = _grow(comps, place.component)
            if place.subcomponent:
                subs = comps[comp].split(d.subcomponent)
                subs[_grow(subs, place.subcomponent)] = raw
                comps[comp] = d.subcomponent.join(subs)
            else:
                comps[comp] = raw
            reps[rep] = d.component.join(comps)
        fields[place.field] = d.repetition.join(reps)

    def _segment(self, name: str, n: int) -> Segment:
        for segment in self.segments:
            if segment.name == name and segment.n == n:
                return segment
        while True:
            segment = self.add(name)
            if segment.n >= n:
                return segment

    def write(self) -> bytes:
        """Write the message."""
        lines = [segment.text for segment in self.segments]
        return ("\r".join(lines) + "\r").encode(self.charset)


def _grow(parts: list[str], number: int) -> int:
    parts += [""] * (number - len(parts))
    return number - 1
