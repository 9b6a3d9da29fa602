"""Which parts of a field are codes, and what the standard calls it: the dictionary as an observer needs it.

In: a version, a segment, a field number, OBX-2 where the value's type is its own. Out: `Layout`: datatypes of
field and components, and where code, text and system stand. Only these are ever kept by value: HL7 v2.8.2 ch.
2A, datatypes ID, IS, the coded composites, and HD, which says who issued a number.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import NamedTuple

from engine.formats.hl7v2.dictionary import version

__all__ = ["Coding", "Layout", "field_name", "is_own", "layout", "nth_name"]

_SIMPLE_CODES = frozenset({"ID", "IS", "HD"})
_COMPOSITE = frozenset({"CE", "CWE", "CNE", "CF", "CNN"})
_NAME = re.compile(r"[A-Z][A-Z0-9]{2}").fullmatch


class Coding(NamedTuple):
    """Where a code stands: its component, and those of its text and system (0: none)."""

    code: int
    text: int = 0
    system: int = 0


class Layout(NamedTuple):
    """One field: datatypes and codings; `known` is False beyond the segment's definition."""

    datatype: str
    components: tuple[str, ...]
    codings: tuple[Coding, ...]
    known: bool
    repeats: bool
    name: str


_UNKNOWN = Layout("", (), (), False, True, "")


def is_own(segment: str) -> bool:
    """Say whether a segment is one of the sender's own: its name begins with Z."""
    return segment.startswith("Z")


@lru_cache(maxsize=8192)
def layout(number: str, segment: str, field: int, own_type: str = "") -> Layout:
    """Return the layout of a field in this version; `own_type` stands in for a datatype that varies."""
    known = version(number)
    found = known.field(segment, field)
    if found is None:
        return _UNKNOWN
    datatype = own_type if found.datatype.lower() == "varies" and own_type else found.datatype
    parts = tuple(c.datatype for c in known.components(datatype))
    return Layout(datatype, parts, _codings(datatype, parts), True, found.repeats, found.name)


def _codings(datatype: str, parts: tuple[str, ...]) -> tuple[Coding, ...]:
    if datatype in _SIMPLE_CODES:
        return (Coding(0),)
    if datatype in ("CNN",):
        return ()
    if datatype in _COMPOSITE:
        return (Coding(1, 2, 3), Coding(4, 5, 6))
    return tuple(Coding(n) for n, part in enumerate(parts, 1) if part in _SIMPLE_CODES)


@lru_cache(maxsize=64)
def segment_length(number: str, segment: str) -> int:
    """Return how many fields this version gives a segment; 0 where it does not know it."""
    found = version(number).segment(segment)
    return len(found.fields) if found is not None else 0


def field_name(number: str, place: str) -> str:
    """Return what the standard calls a place such as `PID-5` or `PID-5.1`; "" where it has no name."""
    segment, _, rest = place.partition("-")
    field, _, component = rest.partition(".")
    if not _NAME(segment) or not field.isdigit():
        return ""
    known = version(number)
    found = known.field(segment, int(field))
    if found is None:
        return ""
    if not component:
        return found.name
    return nth_name(number, found.datatype, int(component))


def nth_name(number: str, datatype: str, component: int) -> str:
    """Return the name of a component of a datatype."""
    parts = version(number).components(datatype)
    return parts[component - 1].name if 0 < component <= len(parts) else ""
