"""What the compiler asks of both sides of a row: the type of a location, the FHIR type of an element, and the
usual map for the pair (the "type-directed default" of the mapping language).

`SourceTypes` is what it asks of the side that is read; a `Library` of maps holds one (`HL7`, or X12's of
x12types.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from engine.fhir import definitions
from engine.formats.hl7v2 import dictionary

__all__ = [
    "COMPOSITE_AS",
    "HL7",
    "Local",
    "SourceTypes",
    "Target",
    "child_of",
    "component_type",
    "definitions",
    "field_repeats",
    "field_table",
    "field_type",
    "has_child",
    "is_composite",
    "pair_map",
]

VERSIONS = ("2.8.2", "2.7", "2.5.1", "2.3.1")
SAME = {
    "CE": "CWE",
    "CNE": "CWE",
    "CF": "CWE",
    "TS": "DTM",
    "XCN": "XCN",
    "PPN": "PPN",
    "IS": "ID",
    "XPN": "XPN",
    "PN": "XPN",
    "AD": "XAD",
    "TN": "XTN",
    "CK": "CX",
    "CN": "XCN",
    "CM_MSG": "MSG",
}
"""Types whose positions agree as far as maps read them; the map of the right one serves the left one."""

COMPOSITE_AS = {"GTS": "ST", "varies": "ST", "Varies": "ST", "ST": "ST"}


@dataclass(frozen=True, slots=True)
class Target:
    """A FHIR element: its type, whether it repeats, its required codes, what it may refer to."""

    type: str
    repeats: bool
    required_codes: frozenset[str] = frozenset()
    targets: tuple[str, ...] = ()
    primitive: bool = False
    min: int = 0


@cache
def child_of(type_: str, name: str) -> Target | None:
    """Return the element `name` of a FHIR type or backbone path; None if R4 has no such element."""
    if definitions.is_primitive(type_):
        if name in ("extension", "id"):
            return Target(
                "Extension" if name == "extension" else "string", name == "extension", primitive=name == "id"
            )
        return None
    found = definitions.element(type_, name)
    if found is None:
        return None
    codes: frozenset[str] = frozenset()
    if found.binding is not None and found.binding.strength == "required":
        codes = definitions.codes(found.binding.value_set)
    kind = found.types[0] if len(found.types) == 1 else ""
    if kind in ("SimpleQuantity", "MoneyQuantity", "Age", "Duration", "Count", "Distance"):
        kind = "Quantity"
    return Target(
        kind, found.repeats, codes, found.targets, bool(kind) and definitions.is_primitive(kind), found.min
    )


def has_child(root: str, path: tuple[str, ...], name: str) -> bool:
    """Say whether the type at `path` below `root` has a child element `name`."""
    kind = root
    for step in path:
        target = child_of(kind, step)
        if target is None or not target.type:
            return False
        kind = target.type
    return child_of(kind, name) is not None


@cache
def _field(segment: str, number: int) -> dictionary.FieldDef | None:
    best = None
    for v in VERSIONS:
        found = dictionary.version(v).field(segment, number)
        if found is not None and not found.withdrawn and found.datatype not in ("", "WD"):
            return found
        best = best or found
    return best


def field_type(segment: str, number: int, local: dict[str, tuple[tuple[str, str], ...]] | None = None) -> str:
    """Return the newest known datatype of a field, `ST` where nobody knows; `local` is the sender's Z-segment
    dictionary."""
    if local and segment in local and number <= len(local[segment]):
        return local[segment][number - 1][1] or "ST"
    found = _field(segment, number)
    return _name(found.datatype) if found else "ST"


def _name(datatype: str) -> str:
    return "ST" if datatype in ("varies", "Varies", "") else datatype


def field_repeats(segment: str, number: int) -> bool:
    """Say whether any version lets the field repeat."""
    for v in VERSIONS:
        found = dictionary.version(v).field(segment, number)
        if found is not None and found.repeats:
            return True
    return False


def field_table(segment: str, number: int) -> str:
    """Return the HL7 table number of a field as four digits, or ""."""
    for v in VERSIONS:
        found = dictionary.version(v).field(segment, number)
        if found is not None and found.table:
            return found.table
    return ""


@cache
def component_type(datatype: str, number: int) -> str:
    """Return the type of a component, `ST` where nobody knows."""
    for v in VERSIONS:
        parts = dictionary.version(v).components(datatype)
        if number <= len(parts) and parts[number - 1].datatype != "WD":
            return _name(parts[number - 1].datatype)
    return "ST"


@cache
def component_table(datatype: str, number: int) -> str:
    """Return the HL7 table number of a component as four digits, or ""."""
    for v in VERSIONS:
        parts = dictionary.version(v).components(datatype)
        if number <= len(parts) and parts[number - 1].table:
            return parts[number - 1].table
    return ""


@cache
def is_composite(datatype: str) -> bool:
    """Say whether a v2 type has components of its own."""
    for v in VERSIONS:
        parts = dictionary.version(v).components(datatype)
        if parts:
            return len(parts) > 1
    return False


def pair_map(v2: str, fhir: str, known: frozenset[str]) -> str:
    """Return the name of the usual map for a pair of types, or "" where `as` must be said."""
    for source in (v2, SAME.get(v2, v2)):
        if f"{source}_{fhir}" in known:
            return f"{source}_{fhir}"
    return ""


Local = dict[str, tuple[tuple[str, str], ...]]
"""Segments of a sender's own: (name, type) for each field."""


class SourceTypes(Protocol):
    """What the compiler asks of the side that is read."""

    format: str
    codes: frozenset[str]  # types whose values are codes of a numbered list
    plain: frozenset[str]  # these, and text

    def same(self, name: str) -> str:
        """Return the type or segment whose positions serve this one too; itself where there is none."""
        ...

    def is_segment(self, name: str) -> bool:
        """Say whether a map `from:` this name reads fields of segments; a datatype map reads parts of one."""
        ...

    def field_type(self, segment: str, number: int, local: Local | None = None) -> str:
        """Return the type of a field, text where nobody knows."""
        ...

    def field_table(self, segment: str, number: int) -> str:
        """Return the number of the code list of a field, or ""."""
        ...

    def field_repeats(self, segment: str, number: int) -> bool:
        """Say whether a field may repeat."""
        ...

    def component_type(self, datatype: str, number: int) -> str:
        """Return the type of a part of a composite, text where nobody knows."""
        ...

    def component_table(self, datatype: str, number: int) -> str:
        """Return the number of the code list of a part of a composite, or ""."""
        ...

    def is_composite(self, datatype: str) -> bool:
        """Say whether a type has parts of its own."""
        ...

    def pair_map(self, source: str, fhir: str, known: frozenset[str]) -> str:
        """Return the name of the usual map for a pair of types, or "" where `as` must be said."""
        ...

    def table_url(self, table: str) -> str:
        """Return the code system of a code list; "" where it has none."""
        ...

    def steps(self, trace: bool) -> Mapping[str, Any]:
        """Return the steps of generated code (steps.py) that are this format's own."""
        ...


class _HL7:
    """HL7 v2: the dictionary, newest version first."""

    format = "hl7v2"
    codes = frozenset({"ID", "IS"})
    plain = frozenset({"ID", "IS", "ST"})
    field_type = staticmethod(field_type)
    field_table = staticmethod(field_table)
    field_repeats = staticmethod(field_repeats)
    component_type = staticmethod(component_type)
    component_table = staticmethod(component_table)
    is_composite = staticmethod(is_composite)
    pair_map = staticmethod(pair_map)

    def same(self, name: str) -> str:
        return SAME.get(name, name)

    def is_segment(self, name: str) -> bool:
        return name in dictionary.segment_names() or name.startswith("Z")

    def table_url(self, table: str) -> str:
        return f"http://terminology.hl7.org/CodeSystem/v2-{table}" if table else ""

    def steps(self, trace: bool) -> Mapping[str, Any]:
        return {}


HL7: SourceTypes = _HL7()
