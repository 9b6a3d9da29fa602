"""The body of an entry as a page shows it: segments with field names, values with their byte offsets.

In: an entry, its body opened. Out: `Shown`: some hundred segments from a given one on, long values cut, with
a note of what is left out. Addresses are those of lineage, so that a value shown is a value traced. A body of
any size costs a page no more than its first part: what is beyond `WHOLE` is shown from its first `PART`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any

from engine.channels.arriving import read_body
from engine.channels.message.text import visible
from engine.formats.content import recognise
from engine.formats.hl7v2.dictionary import version
from engine.formats.hl7v2.groups import arrange_message
from engine.formats.hl7v2.leaves import segment_leaves
from engine.formats.hl7v2.parse import Message, parse
from engine.formats.x12.addresses import leaves as x12_leaves
from engine.formats.x12.addresses import read_address
from engine.formats.x12.segments import read_segments, text_of
from engine.formats.x12.tables import shape
from engine.kernel.errors import FormatError
from engine.kernel.message import Entry

__all__ = ["AT_ONCE", "Field", "Segment", "Shown", "Value", "show_body"]

AT_ONCE = 150  # segments on one page
WHOLE, PART = 16 << 20, 1 << 20  # bytes read whole; of what is longer this much
_LONGEST = 1000  # characters of a value that are shown
_ARRANGED = 4000  # segments of a message whose groups are worked out
_LEAVES = 400  # leaves of an XML or DICOM document on one page


@dataclass(frozen=True, slots=True)
class Value:
    """One value: its address as lineage writes it, its name, where its bytes stand."""

    address: str
    name: str
    value: str
    begin: int = -1
    end: int = -1
    line: int = 0  # of an XML document
    cut: int = 0  # characters that are not shown


@dataclass(frozen=True, slots=True)
class Field:
    """One field or element with its populated values."""

    address: str
    number: int
    name: str
    datatype: str
    begin: int
    end: int
    values: tuple[Value, ...]


@dataclass(frozen=True, slots=True)
class Segment:
    """One segment, or a group of leaves of a document."""

    address: str
    group: str
    begin: int
    end: int
    fields: tuple[Field, ...]
    raw: str = ""  # its line as it was sent


@dataclass(frozen=True, slots=True)
class Shown:
    """One page of a body."""

    format: str
    bytes: int
    first: int  # number of the first segment shown, from 1
    total: int  # segments there are; 0 = not counted
    segments: tuple[Segment, ...]
    charset: str = ""
    version: str = ""
    repairs: tuple[dict[str, str], ...] = ()
    problem: str = ""  # why it cannot be shown in parts
    note: str = ""  # what of it is not shown


def show_body(entry: Entry, first: int = 1, charset: str = "", at_once: int = AT_ONCE) -> Shown:
    """Show a body from its `first` segment on; `charset`: the sender's, where the message names none."""
    body, note = entry.body, ""
    if len(body) > WHOLE:
        body = body[:PART]
        note = f"only the first {PART:,} of {len(entry.body):,} bytes are shown; download it to see the rest"
    format = recognise(entry.body) or "hl7v2"
    first = max(1, first)
    try:
        if format == "hl7v2":
            made = _v2(parse(body, charset=entry.charset or charset), first, at_once)
        elif format == "x12":
            made = _x12(body, first, at_once)
        elif format == "fhir" and note:
            made = Shown(format, 0, 1, 0, (), problem="it is too long to be shown in parts")
        elif format == "xdm":
            made = Shown(
                format, 0, 1, 0, (), problem="a package (zip): its documents are entries of their own"
            )
        else:
            made = _tree(entry.body if format == "dicom" else body, format, first)
    except FormatError as e:
        where = f" at {e.where}" if e.where else ""
        made = Shown(format, 0, 1, 0, (), problem=f"it cannot be read{where}: {e.what}")
    return replace(made, bytes=len(entry.body), note=note)


def _v2(message: Message, first: int, at_once: int) -> Shown:
    groups: dict[int, str] = {}
    if len(message.segments) <= _ARRANGED:
        groups = {id(s): g.path for g, s in arrange_message(message).walk()}
    part = message.segments[first - 1 : first - 1 + at_once]
    return Shown(
        "hl7v2",
        0,
        first,
        len(message.segments),
        tuple(_v2_segment(message, s, groups.get(id(s), "")) for s in part),
        charset=message.charset,
        version=message.version,
        repairs=tuple(r._asdict() for r in message.repairs),
    )


def _v2_segment(message: Message, segment: Any, group: str) -> Segment:
    known = version(message.version)
    here = f"{segment.name}[{segment.n}]"
    fields: list[Field] = []
    values: list[Value] = []
    number = 0

    def close() -> None:
        if number:
            rule = known.field(segment.name, number)
            begin, end = message.span(segment, number)
            kind = _datatype(segment, number, rule.datatype if rule else "")
            name = rule.name if rule else ""
            fields.append(Field(f"{here}-{number}", number, name, kind, begin, end, tuple(values)))

    for leaf in segment_leaves(message, segment):
        if leaf.field != number:
            close()
            number, values = leaf.field, []
        rule = known.field(segment.name, number)
        kind = _datatype(segment, number, rule.datatype if rule else "")
        name = _part(known, kind, leaf.comp, leaf.sub, leaf.address.count(".") > 1)
        begin, end = message.span(segment, leaf.field, leaf.rep, leaf.comp, leaf.sub)
        values.append(_value(leaf.address, name, leaf.value, begin, end))
    close()
    begin, end = message.span(segment)
    return Segment(here, group, begin, end, tuple(fields), visible(segment.text[:_LONGEST]))


def _datatype(segment: Any, number: int, otherwise: str) -> str:
    said = segment.field(2).strip() if segment.name == "OBX" and number == 5 else ""
    return said if said.isalnum() and len(said) <= 3 else otherwise


def _part(known: Any, datatype: str, comp: int, sub: int, has_subs: bool) -> str:
    components = known.components(datatype)
    if not 0 < comp <= len(components):
        return ""
    part = components[comp - 1]
    subs = known.components(part.datatype) if has_subs else []
    return f"{part.name}: {subs[sub - 1].name}" if 0 < sub <= len(subs) else str(part.name)


def _value(address: str, name: str, text: str, begin: int = -1, end: int = -1, line: int = 0) -> Value:
    cut = max(0, len(text) - _LONGEST)
    return Value(address, name, visible(text[:_LONGEST]), begin, end, line, cut)


def _x12(body: bytes, first: int, at_once: int) -> Shown:
    segments, _, problems = read_segments(body)
    counts: dict[str, int] = {}
    part = []
    for number, segment in enumerate(segments, 1):
        if segment.name == "ST":
            counts = {}  # addresses count within their transaction set
        if not segment.n:
            counts[segment.name] = segment.n = counts.get(segment.name, 0) + 1
        if first <= number < first + at_once:
            part.append(_x12_segment(segment))
    repairs = tuple({"code": p.kind, "where": p.where, "text": p.text} for p in problems)
    return Shown("x12", 0, first, len(segments), tuple(part), repairs=repairs)


def _x12_segment(segment: Any) -> Segment:
    here = f"{segment.name}[{segment.n}]"
    by_number: dict[int, list[Value]] = {}
    known = shape(segment.name) or ()
    for leaf in x12_leaves(segment):
        place = read_address(leaf.address)
        number = place.element if place is not None else 0
        value = _value(leaf.address, "", text_of(leaf.value), leaf.begin, leaf.end)
        by_number.setdefault(number, []).append(value)
    fields = tuple(
        Field(f"{here}-{number:02d}", number, _reference(known, number), "", *_span(values), tuple(values))
        for number, values in by_number.items()
    )
    end = segment.offset + len(segment.raw)
    return Segment(here, "", segment.offset, end, fields, visible(text_of(segment.raw[:_LONGEST])))


def _reference(known: Sequence[Any], number: int) -> str:
    """Name an element by its number in the standard's dictionary: its words are not free to print."""
    return f"data element {known[number - 1][0]}" if 0 < number <= len(known) else ""


def _span(values: list[Value]) -> tuple[int, int]:
    return values[0].begin, values[-1].end


def _tree(body: bytes, format: str, first: int) -> Shown:
    """Show the leaves of a document: `first` counts leaves here."""
    document = read_body(body, format).document
    every = list(document.leaves())
    page = every[first - 1 : first - 1 + _LEAVES]
    segments = tuple(_branch(name, list(leaves)) for name, leaves in _branches(page))
    repairs = tuple(r._asdict() for r in document.repairs)
    charset = getattr(document, "charset", "")
    return Shown(format, 0, first, len(every), segments, charset=charset, repairs=repairs)


def _branches(leaves: list[Any]) -> Iterator[tuple[str, Iterator[Any]]]:
    """Part leaves by what they stand under, as they come."""
    at = 0
    while at < len(leaves):
        above = _above(leaves[at].place)
        upto = at
        while upto < len(leaves) and _above(leaves[upto].place) == above:
            upto += 1
        yield above, islice(leaves, at, upto)
        at = upto


def _above(place: str) -> str:
    """Name what a leaf is shown under: the root for what stands right below it, else its branch."""
    if "/" not in place:  # FHIR: under its entry, else under the resource
        inside = re.match(r"Bundle\.entry\[\d+\](\.resource)?", place)
        return inside[0] if inside else place.partition(".")[0]
    steps = place.split("/")
    return "/".join(steps[:2] if len(steps) <= 4 else steps[: min(5, len(steps) - 1)])


def _branch(name: str, leaves: list[Any]) -> Segment:
    fields = []
    for number, leaf in enumerate(leaves, 1):
        inside = leaf.place.removeprefix(name).lstrip("/.")
        value = _value(leaf.place, inside, leaf.value, line=leaf.line)
        fields.append(Field(leaf.place, number, inside, "", -1, -1, (value,)))
    return Segment(name, "", -1, -1, tuple(fields))
