"""What the compiler asks of both sides of a row: the HL7 v2 type of a location, the FHIR type of an element,
and the usual map for the pair (the "type-directed default" of the mapping language).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from engine.fhir import definitions
from engine.formats.hl7v2 import dictionary

__all__ = [
    "COMPOSITE_AS",
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
