"""The first things one asks of an element of CDA: a child by name, an attribute, its type, why it is empty.

In: elements of `engine.formats.xml`. Out: text, trimmed, and `nullFlavor` as a typed fact. Follows HL7 v3
Data Types R1 (ANY.nullFlavor) and the CDA R2 schema.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from lxml import etree

__all__ = [
    "SDTC",
    "V3",
    "XSI",
    "attr",
    "child",
    "children",
    "flag",
    "local",
    "null_flavor",
    "own_text",
    "type_of",
]

V3 = "urn:hl7-org:v3"
SDTC = "urn:hl7-org:sdtc"
XSI = "http://www.w3.org/2001/XMLSchema-instance"
_FLAVOR = re.compile(r"^[A-Z][A-Za-z]{1,9}$")

Element = etree._Element


def local(element: Element) -> str:
    """Give the name of an element without its namespace."""
    return str(element.tag).rpartition("}")[2]


def child(element: Element | None, *names: str) -> Element | None:
    """Find the first child of that name, of that child the first of the next name, and so on."""
    for name in names:
        if element is None:
            return None
        element = element.find(name if name[:1] == "{" else f"{{{V3}}}{name}")
    return element


def children(element: Element | None, *names: str) -> Iterator[Element]:
    """Give the children that have one of the names, in document order."""
    if element is not None:
        yield from element.iterchildren(*(name if name[:1] == "{" else f"{{{V3}}}{name}" for name in names))


def attr(element: Element | None, name: str) -> str:
    """Give an attribute without blanks around it; empty where there is none."""
    return (element.get(name) or "").strip() if element is not None else ""


def own_text(element: Element | None) -> str:
    """Give all text in an element, runs of blanks as one."""
    return " ".join("".join(str(t) for t in element.itertext()).split()) if element is not None else ""


def type_of(element: Element) -> str:
    """Give the local part of `xsi:type`, empty where none is said."""
    return (element.get(f"{{{XSI}}}type") or "").strip().rpartition(":")[2]


def null_flavor(element: Element | None) -> str:
    """Say why an element has no value (`UNK`, `NI` ...): `NI` for no known word, empty if none."""
    said = attr(element, "nullFlavor")
    if not said:
        return ""
    return said if _FLAVOR.match(said) else "NI"


def flag(element: Element | None, name: str) -> bool | None:
    """Read a boolean attribute; None where it is not said, an error of the sender counts as said and true.

    Only what plainly says false is false: a negation that cannot be read must not vanish.
    """
    said = attr(element, name).lower()
    if not said:
        return None
    return said not in ("false", "0", "n", "no", "f")
