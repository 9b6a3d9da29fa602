"""What the compiler asks of an X12 source: the type of an element or component, its code list, whether it may
repeat.

In: names as rows write them (`CLM`, `2010BB/NM1`, composite `C003`). Out: types in the words that the emitter
knows (`ST` text, `ID` code, `NM` number, `DT`, `TM`, or a composite's own number), and for a code the number
of its data element, whose code system is X12's. From the tables of engine/formats/x12.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Any

from engine.formats.x12.tables import element_type, segment_names, shape
from engine.mapping.padded import EMPTY, fields
from engine.mapping.steps import TRACED
from engine.mapping.types import Local

__all__ = ["X12", "composite"]

_COMPOSITE = re.compile(r"[CS]\d{3}")
_KINDS = {"AN": "ST", "ID": "ID", "DT": "DT", "TM": "TM", "R": "NM", "N0": "NM", "N2": "NM"}
_REPEATING = frozenset({("EB", 3), ("EQ", 1), ("HSD", 1), ("DMG", 5), ("DMG", 10)})
"""Elements that a 005010 guide lets repeat (with the repetition separator)."""


@cache
def _composites() -> dict[str, tuple[str, ...]]:
    """Composite -> the data elements of its components, the longest form known."""
    out: dict[str, tuple[str, ...]] = {}
    for name in segment_names():
        for reference, inner in shape(name) or ():
            if len(inner) > len(out.get(reference, ())):
                out[reference] = inner
    return out


def composite(name: str) -> tuple[str, ...] | None:
    """Give the data elements of a composite's components; None for what is none."""
    return _composites().get(name)


_PERIOD = "1251"
"""A date time period: D8, DT, RD8 as the qualifier before it says."""


def _kind(reference: str) -> str:
    if reference == _PERIOD:
        return "DTP"
    found = element_type(reference)
    return _KINDS.get(found[0], "ST") if found is not None else "ST"


@cache
def _element(segment: str, number: int) -> tuple[str, tuple[str, ...]]:
    known = shape(segment.rpartition("/")[2]) or ()
    return known[number - 1] if 0 < number <= len(known) else ("", ())


@cache
def _component(datatype: str, number: int) -> str:
    parts = _composites().get(datatype, ())
    return parts[number - 1] if 0 < number <= len(parts) else ""


def _near(x: Any, g: Any, name: str) -> list[str]:
    """The padded elements of a segment of the row's own loop, or (`2010BB/NM1`) of another loop."""
    found: list[str] | None = g.padded.get(name)
    if found is None:
        if name not in x.names and "|" not in name:
            return EMPTY
        here = g.own.get(name)
        s = here[0] if here else x.near(g, name) if "/" in name else None
        found = g.padded[name] = EMPTY if s is None else fields(s, x)
    return found


def _near_traced(x: Any, g: Any, name: str) -> list[str]:
    s = x.near(g, name)
    return EMPTY if s is None else TRACED["fields"](s, x)


class _X12:
    """The 005010 tables."""

    format = "x12"
    codes = frozenset({"ID"})
    plain = frozenset({"ID", "ST"})

    def same(self, name: str) -> str:
        return name

    def is_segment(self, name: str) -> bool:
        return not _COMPOSITE.fullmatch(name)

    def field_type(self, segment: str, number: int, local: Local | None = None) -> str:
        reference, inner = _element(segment, number)
        return reference if inner else _kind(reference)

    def field_table(self, segment: str, number: int) -> str:
        reference, inner = _element(segment, number)
        return reference if not inner and _kind(reference) == "ID" else ""

    def field_repeats(self, segment: str, number: int) -> bool:
        return (segment.rpartition("/")[2], number) in _REPEATING

    def component_type(self, datatype: str, number: int) -> str:
        return _kind(_component(datatype, number))

    def component_table(self, datatype: str, number: int) -> str:
        reference = _component(datatype, number)
        return reference if _kind(reference) == "ID" else ""

    def is_composite(self, datatype: str) -> bool:
        return datatype in _composites()

    def pair_map(self, source: str, fhir: str, known: frozenset[str]) -> str:
        return f"{source}_{fhir}" if f"{source}_{fhir}" in known else ""

    def table_url(self, table: str) -> str:
        return f"https://codesystem.x12.org/005010/{table}" if table else ""

    def steps(self, trace: bool) -> Mapping[str, Any]:
        return {"near": _near_traced if trace else _near}


X12 = _X12()
