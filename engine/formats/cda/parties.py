"""Who and where in CDA as plain records: II, EN/PN/ON, AD, TEL.

In: an element. Out: `Identifier`, `Name`, `Address`, `Telecom`: the parts in the order they were written,
with their use and validity; a part that is null is not there, and what was only text stays text. Follows
HL7 v3 Data Types R1.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from engine.formats.cda.elements import Element, attr, child, flag, local, null_flavor, own_text
from engine.formats.cda.times import Interval, read_interval

__all__ = [
    "Address",
    "Identifier",
    "Name",
    "Telecom",
    "read_address",
    "read_identifier",
    "read_name",
    "read_telecom",
]

_OID = re.compile(r"^[0-2](\.(0|[1-9]\d*))+$", re.ASCII)
_UUID = re.compile(r"^[0-9A-Fa-f]{8}(-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}$")
_SCHEME = re.compile(r"^([A-Za-z][A-Za-z0-9+.\-]*):(.*)$", re.S)
_LINES = {
    "streetAddressLine",
    "additionalLocator",
    "unitID",
    "unitType",
    "postBox",
    "deliveryAddressLine",
    "careOf",
}
_STREET = {
    "houseNumber",
    "houseNumberNumeric",
    "buildingNumberSuffix",
    "direction",
    "streetName",
    "streetNameBase",
    "streetNameType",
}


class Identifier(NamedTuple):
    """A root and what it numbers; `kind` is what the root is: oid, uuid, or empty for neither."""

    root: str
    extension: str = ""
    authority: str = ""
    displayable: bool | None = None
    null: str = ""
    kind: str = ""


class Name(NamedTuple):
    """A person's or organization's name; `parts` are (what, text, qualifier) as written."""

    use: tuple[str, ...]
    parts: tuple[tuple[str, str, str], ...]
    text: str = ""  # what was not in parts
    valid: Interval | None = None
    null: str = ""

    def of(self, what: str) -> tuple[str, ...]:
        """Give the parts of one kind: family, given, prefix, suffix."""
        return tuple(text for kind, text, _ in self.parts if kind == what)

    @property
    def full(self) -> str:
        """The name for a person to read, in the order written."""
        return " ".join(text for kind, text, _ in self.parts if kind != "delimiter") or self.text


class Address(NamedTuple):
    """An address; `lines` are street lines, put together from house number and street where need be."""

    use: tuple[str, ...]
    lines: tuple[str, ...] = ()
    city: str = ""
    state: str = ""
    postal: str = ""
    county: str = ""
    country: str = ""
    text: str = ""
    valid: Interval | None = None
    null: str = ""
    other: tuple[tuple[str, str], ...] = ()  # parts that have no place above


class Telecom(NamedTuple):
    """How to reach somebody: the scheme (`tel`, `mailto` ...) in lower case, and the rest."""

    scheme: str
    value: str
    use: tuple[str, ...] = ()
    valid: Interval | None = None
    null: str = ""


def read_identifier(element: Element | None) -> Identifier | None:
    """Read an II; None where it is missing or says nothing."""
    if element is None:
        return None
    root, extension, null = attr(element, "root"), attr(element, "extension"), null_flavor(element)
    if not (root or extension or null):
        return None
    plain = root.lower().removeprefix("urn:oid:").removeprefix("urn:uuid:")
    kind = "oid" if _OID.match(plain) else "uuid" if _UUID.match(plain) else ""
    return Identifier(
        plain if kind == "oid" else root,
        extension,
        attr(element, "assigningAuthorityName"),
        flag(element, "displayable"),
        null,
        kind,
    )


def read_name(element: Element | None) -> Name | None:
    """Read an EN, PN, ON or TN; None where it is missing or says nothing."""
    if element is None:
        return None
    parts = tuple(
        (local(part), text, attr(part, "qualifier"))
        for part in element
        if local(part) != "validTime" and not null_flavor(part) and (text := own_text(part))
    )
    loose = " ".join(t for t in [element.text or "", *(part.tail or "" for part in element)] if t.strip())
    null = null_flavor(element)
    if not (parts or loose.strip() or null):
        return None
    span = read_interval(child(element, "validTime"))
    return Name(tuple(attr(element, "use").split()), parts, " ".join(loose.split()), span, null)


def read_address(element: Element | None) -> Address | None:
    """Read an AD; None where it is missing or says nothing."""
    if element is None:
        return None
    lines: list[str] = []
    street: list[str] = []
    single: dict[str, str] = {}
    other: list[tuple[str, str]] = []
    for part in element:
        name, text = local(part), own_text(part)
        if null_flavor(part) or not text or name in ("useablePeriod", "delimiter"):
            continue
        if name in _STREET:
            street.append(text)
        elif name in _LINES:
            lines.append(text)
        elif name in ("city", "state", "postalCode", "county", "country") and name not in single:
            single[name] = text
        else:
            other.append((name, text))
    if street:
        lines.insert(0, " ".join(street))
    loose = [element.text or "", *(part.tail or "" for part in element)]
    loose += [own_text(part) for part in element if local(part) == "delimiter"]
    found = Address(
        tuple(attr(element, "use").split()),
        tuple(lines),
        single.get("city", ""),
        single.get("state", ""),
        single.get("postalCode", ""),
        single.get("county", ""),
        single.get("country", ""),
        " ".join(" ".join(loose).split()),
        read_interval(child(element, "useablePeriod")),
        null_flavor(element),
        tuple(other),
    )
    return found if lines or single or other or found.text or found.null else None


def read_telecom(element: Element | None) -> Telecom | None:
    """Read a TEL; None where it is missing or says nothing."""
    if element is None:
        return None
    value, null = attr(element, "value"), null_flavor(element)
    if not value and not null:
        return None
    scheme = _SCHEME.match(value)
    use = tuple(attr(element, "use").split())
    span = read_interval(child(element, "useablePeriod"))
    if scheme:
        return Telecom(scheme.group(1).lower(), scheme.group(2).strip(), use, span, null)
    return Telecom("", value, use, span, null)
