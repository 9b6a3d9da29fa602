"""One message into what is known of its sender: counts, lengths, kinds, codes and quirks.

In: a parsed message, when it came and in which entry. Out: `SenderSeen` and `TypeSeen`, added to. Values are
kept of coded places only (`layout.py`), and a code is never longer than 64 characters. About 1 ms a message.
"""

from __future__ import annotations

import re

from engine.channels.profiling.kinds import DATES, bucket, kind_of, offset_of
from engine.channels.profiling.layout import Layout, layout
from engine.channels.profiling.quirks import quirks_of
from engine.channels.profiling.seen import (
    FADING,
    KEPT_ENTRIES,
    MOST_CODES,
    MOST_QUIRKS,
    MOST_SEGMENTS,
    CodeSeen,
    PlaceSeen,
    QuirkSeen,
    SegmentSeen,
    SenderSeen,
    TypeSeen,
    count_up,
)
from engine.formats.hl7v2.delims import Delims
from engine.formats.hl7v2.escapes import unescape
from engine.formats.hl7v2.parse import HEADERS, Message, Segment

__all__ = ["observe", "type_name", "type_of"]

_TYPE = re.compile(r"[A-Z0-9]{3}(\^[A-Z0-9]{1,3})?").fullmatch
_OTHER = re.compile(r"(x12|cda|ncpdp|dicom|xdm|fhir)( [A-Za-z0-9_ -]{1,30})?").fullmatch
_VERSION = re.compile(r"\d(\.\d{1,2}){1,2}").fullmatch
_LONGEST_CODE, _LONGEST_TEXT = 64, 80
_USUAL = "2.5.1"


def type_name(code: str, event: str) -> str:
    """Return the name of a message type, `odd` for one whose words are none: a shifted field is no type."""
    name = f"{code}^{event}" if event else code
    return name if _TYPE(name) else "odd"


def type_of(text: str) -> str:
    """Return the name of a message type as the journal has it, of any format."""
    if _OTHER(text):
        return text
    code, _, event = text.partition("^")
    return type_name(code, event.partition("^")[0])


def observe(message: Message, sender: SenderSeen, seen: TypeSeen, entry: int, received: int) -> None:
    """Add one message to what was seen."""
    sender.looked += 1
    seen.looked += 1
    seen.newest = [*seen.newest[-(KEPT_ENTRIES - 1) :], entry]
    version = message.version if _VERSION(message.version) else _USUAL
    said = message.version if _VERSION(message.version) else "none" if not message.version else "odd"
    count_up(seen.versions, said)
    count_up(sender.versions, said)
    count_up(sender.charsets, message.segments[0].field(18).strip()[:40] or "none")
    count_up(sender.codecs, message.charset)
    count_up(sender.delimiters, (message.delims.field + message.segments[0].field(2))[:10])
    count_up(sender.line_ends, {"\r": "CR", "\n": "LF", "\r\n": "CRLF"}.get(message.terminator, "mixed"))
    odd = set(quirks_of(message, version))
    times: dict[str, int] = {}
    for segment in message.segments:
        times[segment.name] = times.get(segment.name, 0) + 1
        _segment(message, segment, version, sender, seen, (entry, received), odd)
    for name, count in times.items():
        if name not in seen.segments and len(seen.segments) >= MOST_SEGMENTS:
            continue
        found = seen.segments.setdefault(name, SegmentSeen(first=received, first_entry=entry))
        found.messages += 1
        found.times += count
        found.most = max(found.most, count)
        found.last, found.last_entry, found.at = received, entry, seen.looked
    for word, where in odd:
        note(sender, f"{word} {where}", entry, received)


def note(sender: SenderSeen, quirk: str, entry: int, received: int) -> None:
    """Count a quirk."""
    found = sender.quirks.get(quirk)
    if found is None:
        if len(sender.quirks) >= MOST_QUIRKS:
            return
        found = sender.quirks[quirk] = QuirkSeen(first=received, first_entry=entry)
    found.count += 1
    found.last, found.last_entry = received, entry


def _segment(
    message: Message,
    segment: Segment,
    version: str,
    sender: SenderSeen,
    seen: TypeSeen,
    when: tuple[int, int],
    odd: set[tuple[str, str]],
) -> None:
    name, delims = segment.name, message.delims
    own_type = segment.field(2).strip() if name == "OBX" else ""
    for number, raw in enumerate(segment.fields):
        if number < (3 if name in HEADERS else 1) or not raw:
            continue
        where = f"{name}-{number}"
        if raw.isspace():
            odd.add(("blank", where))
            continue
        shape = layout(version, name, number, own_type)
        reps = [rep for rep in raw.split(delims.repetition) if rep and not rep.isspace()]
        if shape.known and not shape.repeats and len(reps) > 1:
            odd.add(("repeats", where))
        place = seen.place(where)
        if place is None:
            continue
        _present(place, seen.looked, when)
        place.segments += 1
        place.times += len(reps)
        place.most = max(place.most, len(reps))
        for rep in reps:
            _repetition(message, rep, where, shape, place, seen, sender, when, odd)


def _repetition(
    message: Message,
    rep: str,
    where: str,
    shape: Layout,
    place: PlaceSeen,
    seen: TypeSeen,
    sender: SenderSeen,
    when: tuple[int, int],
    odd: set[tuple[str, str]],
) -> None:
    delims, charset = message.delims, message.charset
    parts = rep.split(delims.component)
    _length(place, rep, delims, charset, when[0])
    whole = shape.codings[0].code == 0 if shape.codings else False
    composite = len(parts) > 1 or (bool(shape.components) and shape.datatype not in DATES and not whole)
    if not composite or whole:
        value = unescape(rep, delims, charset).strip()
        _value(place, value, shape.datatype, whole, where, sender, odd)
        if whole and value != '""':
            _code(place, value, "", "", when)
        return
    coded = {c.code: c for c in shape.codings if c.code}
    for n, text in enumerate(parts, 1):
        if not text or text.isspace():
            continue
        below = seen.place(f"{where}.{n}")
        if below is None:
            continue
        _present(below, seen.looked, when)
        below.times += 1
        _length(below, text, delims, charset, when[0])
        datatype = shape.components[n - 1] if n <= len(shape.components) else ""
        value = unescape(text, delims, charset).strip()
        _value(below, value, datatype, n in coded, f"{where}.{n}", sender, odd)
        if n in coded and value != '""':
            coding = coded[n]
            _code(
                below, value, _part(parts, coding.system, message), _part(parts, coding.text, message), when
            )


def _part(parts: list[str], number: int, message: Message) -> str:
    text = parts[number - 1] if 0 < number <= len(parts) else ""
    return unescape(text, message.delims, message.charset).strip()


def _present(place: PlaceSeen, looked: int, when: tuple[int, int]) -> None:
    """Say that a message has this place; once a message."""
    if place.at == looked:
        return
    entry, received = when
    if not place.messages:
        place.first, place.first_entry = received, entry
    place.messages += 1
    place.recent = place.recent * (1 - FADING) ** (looked - place.at) + FADING
    place.last, place.last_entry, place.at = received, entry, looked


def _length(place: PlaceSeen, text: str, delims: Delims, charset: str, entry: int) -> None:
    length = len(unescape(text, delims, charset) if delims.escape in text else text)
    if length > place.longest:
        place.longest, place.longest_entry = length, entry
    if not place.shortest or length < place.shortest:
        place.shortest = length
    key = bucket(length)
    place.lengths[key] = place.lengths.get(key, 0) + 1


def _value(
    place: PlaceSeen,
    value: str,
    datatype: str,
    coded: bool,
    where: str,
    sender: SenderSeen,
    odd: set[tuple[str, str]],
) -> None:
    kind = kind_of(value, datatype, coded)
    place.kinds[kind] = place.kinds.get(kind, 0) + 1
    if kind.startswith("not a "):
        odd.add(("not-a-date", where))
    elif kind.startswith("time to"):
        count_up(sender.zones, offset_of(value))


def _code(place: PlaceSeen, code: str, system: str, text: str, when: tuple[int, int]) -> None:
    if not code:
        return
    key = (code, system[:_LONGEST_CODE])
    found = place.codes.get(key)
    if found is None:
        if len(code) > _LONGEST_CODE or len(place.codes) >= MOST_CODES:
            place.uncounted += 1
            return
        found = place.codes[key] = CodeSeen(first=when[1], entry=when[0], text=text[:_LONGEST_TEXT])
    found.count += 1
    found.last = when[1]
