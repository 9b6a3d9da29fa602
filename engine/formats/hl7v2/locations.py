"""Locations as analysts write them (`PID-5.1`, `PID-3(5=MR).1`, `OBX(3.1=8302-2)-5`) and what a message holds
there.

In: a location's text; for `read`, a parsed message. Out: a `Location`; the values found, with their
addresses. A filter on a component looks at its first subcomponent. Numbers are 1-based; 0 stands for "not
named".
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from engine.formats.hl7v2.dictionary import datatype_names, segment_names
from engine.formats.hl7v2.escapes import unescape
from engine.formats.hl7v2.parse import Message, Segment
from engine.kernel.errors import FormatError

__all__ = ["Condition", "Found", "Location", "parse_location", "read"]


class Condition(NamedTuple):
    """One test of a filter: `4.1 = MRN` in a field filter, `3.1 = 8302-2` in a segment filter."""

    path: tuple[int, ...]
    negated: bool
    values: tuple[str, ...]

    def __str__(self) -> str:
        return f"{'.'.join(map(str, self.path))}{'!=' if self.negated else '='}{'|'.join(self.values)}"


class Found(NamedTuple):
    """One value and where it stands."""

    address: str
    value: str


@dataclass(frozen=True, slots=True)
class Location:
    """A place in a segment or in a datatype."""

    segment: str = ""
    datatype: str = ""
    segment_filter: tuple[Condition, ...] = ()
    segment_n: int = 0
    field: int = 0
    filter: tuple[Condition, ...] = ()
    n: int = 0
    only: bool = False
    component: int = 0
    subcomponent: int = 0

    def __str__(self) -> str:
        numbers = [str(number) for number in (self.component, self.subcomponent) if number]
        if self.datatype:
            return ".".join([self.datatype, *numbers])
        text = self.segment + _brackets(self.segment_filter, self.segment_n, False)
        if self.field:
            text += f"-{self.field}" + _brackets(self.filter, self.n, self.only)
        return ".".join([text, *numbers])


def _brackets(conditions: tuple[Condition, ...], number: int, only: bool) -> str:
    inside = "only" if only else str(number) if number else " and ".join(map(str, conditions))
    return f"({inside})" if inside else ""


_SHAPE = re.compile(
    r"(?P<name>[A-Z][A-Z0-9]{1,2}|[A-Z]{2,3}_[A-Z0-9_]+)(?:\((?P<which>[^()]*)\))?"
    r"(?:(?P<mark>[-.])(?P<field>\d+)(?:\((?P<filter>[^()]*)\))?(?:\.(?P<comp>\d+))?(?:\.(?P<sub>\d+))?)?"
)
_TEST = re.compile(r"(\d+(?:\.\d+)*)\s*(!=|=)\s*(.*)")


@lru_cache(maxsize=4096)
def parse_location(text: str) -> Location:
    """Read a location; a FormatError says what to write instead."""
    match = _SHAPE.fullmatch(text.strip())
    if match is None:
        raise FormatError(f"{text!r} is not a location", where=text.strip(), remedy=_remedy(text))
    name, which, mark = match["name"], match["which"], match["mark"]
    numbers = [int(match[key]) if match[key] else 0 for key in ("field", "comp", "sub")]
    if any(match[key] and not number for key, number in zip(("field", "comp", "sub"), numbers, strict=True)):
        raise FormatError("a location counts from 1", where=text, remedy="the first field is PID-1")
    if _is_datatype(name, mark):
        if which is not None or match["filter"] is not None or numbers[2]:
            raise FormatError("a datatype has components only", where=text, remedy="write XPN.1 or XPN.1.1")
        return Location(datatype=name, component=numbers[0], subcomponent=numbers[1])
    if len(name) != 3:
        raise FormatError(
            f"{name} is no segment and no datatype", where=text, remedy="write a segment such as PID-5.1"
        )
    segment_n, segment_filter, segment_only = _filter(which, text)
    n, conditions, only = _filter(match["filter"], text)
    if segment_only:
        raise FormatError("`only` belongs to a field", where=text, remedy="write PID-3(only)")
    return Location(
        name, "", segment_filter, segment_n, numbers[0], conditions, n, only, numbers[1], numbers[2]
    )


def _is_datatype(name: str, mark: str | None) -> bool:
    if name in datatype_names():
        return name not in segment_names() or mark == "."
    return "_" in name


def _filter(inside: str | None, text: str) -> tuple[int, tuple[Condition, ...], bool]:
    if inside is None:
        return 0, (), False
    inside = inside.strip()
    if inside.isdecimal() and int(inside) > 0:
        return int(inside), (), False
    if inside == "only":
        return 0, (), True
    conditions = []
    for part in re.split(r"\s+and\s+", inside):
        match = _TEST.fullmatch(part.strip())
        if match is None:
            raise FormatError(
                f"({inside}) is not a filter",
                where=text,
                remedy="write (2), (only), (5=MR) or (4.1=MRN and 5=MR)",
            )
        path = tuple(int(number) for number in match[1].split("."))
        values = tuple(value.strip() for value in match[3].split("|"))
        if not 1 <= len(path) <= 3 or 0 in path:
            raise FormatError(f"{match[1]} is not a place in a filter", where=text, remedy="write 5 or 4.1")
        conditions.append(Condition(path, match[2] == "!=", values))
    return 0, tuple(conditions), False


def _remedy(text: str) -> str:
    plain = text.strip()
    if "[" in plain:
        return "repetitions are written in round brackets: " + re.sub(r"\[(\d+)\]", r"(\1)", plain)
    if plain != plain.upper() and _SHAPE.fullmatch(plain.upper()):
        return f"segment names are written in capitals: {plain.upper()}"
    return "write PID-5.1, PID-3(2), PID-3(5=MR).1, OBX(3.1=8302-2)-5 or, in a datatype map, XPN.1.1"


def read(message: Message, location: Location | str) -> list[Found]:
    """Give every value a message holds at a location, with its address; empty places are left out."""
    place = parse_location(location) if isinstance(location, str) else location
    if not place.segment:
        raise FormatError(
            "a datatype has no place in a message", where=str(place), remedy="write a segment: PID-5.1"
        )
    found: list[Found] = []
    for segment in message.segments:
        if segment.name != place.segment or (place.segment_n and segment.n != place.segment_n):
            continue
        if all(_passes_segment(message, segment, condition) for condition in place.segment_filter):
            found += _in_segment(message, segment, place)
    return found


def _in_segment(message: Message, segment: Segment, place: Location) -> list[Found]:
    address = f"{segment.name}[{segment.n}]"
    if not place.field:
        return [Found(address, segment.text)]
    raw = segment.field(place.field)
    fixed = segment.name in ("MSH", "BHS", "FHS") and place.field <= 2
    reps = [raw] if fixed else raw.split(message.delims.repetition)
    valued = [(number, rep) for number, rep in enumerate(reps, 1) if rep.strip()]
    if place.n:
        valued = [(number, rep) for number, rep in valued if number == place.n]
    if place.only and len(valued) != 1:
        return []
    found = []
    for number, rep in valued:
        if all(_passes(message, rep, condition.path, condition) for condition in place.filter):
            value = _within(message, rep, place.component, place.subcomponent, fixed)
            if value.strip():
                tail = "".join(f".{n}" for n in (place.component, place.subcomponent) if n)
                found.append(Found(f"{address}-{place.field}[{number}]{tail}", value))
    return found


def _within(message: Message, rep: str, component: int, subcomponent: int, fixed: bool = False) -> str:
    """Give a repetition's text or a part of it: decoded where it is one leaf, raw where it has parts."""
    delims = message.delims
    if component and not fixed:
        rep = (rep.split(delims.component)[component - 1 : component] or [""])[0]
        if subcomponent:
            rep = (rep.split(delims.subcomponent)[subcomponent - 1 : subcomponent] or [""])[0]
    has_parts = delims.component in rep or delims.subcomponent in rep
    return rep if fixed or has_parts else unescape(rep, delims, message.charset)


def _passes(message: Message, rep: str, path: tuple[int, ...], condition: Condition) -> bool:
    value = _within(message, rep, path[0], path[1] if len(path) > 1 else 1).strip()
    return (value in condition.values) != condition.negated


def _passes_segment(message: Message, segment: Segment, condition: Condition) -> bool:
    field, *rest = condition.path
    reps = segment.field(field).split(message.delims.repetition)
    path = tuple(rest) or (1,)
    if condition.negated:
        return all(_passes(message, rep, path, condition) for rep in reps)
    return any(_passes(message, rep, path, condition) for rep in reps)
