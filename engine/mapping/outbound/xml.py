"""XML as a target: CDA documents and NCPDP SCRIPT messages out of a draft.

In: places as paths of elements and attributes (`participant(@typeCode=CSM)/participantRole/@classCode`,
`td(Substance)`, `text()`), checked for CDA against `cda_elements.txt`; then a draft. Out: bytes, and the
absolute XPath of each value. Elements come in the order of the CDA schema, for SCRIPT in that of the rows.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache
from pathlib import Path
from typing import Any

from lxml import etree

from engine.kernel.errors import FormatError, MapError
from engine.mapping.outbound.draft import Draft, Part, Shape

__all__ = ["NAMESPACES", "cda_shape", "document", "script_shape"]

NAMESPACES = {
    "": "urn:hl7-org:v3",
    "xsi": "http://www.w3.org/2001/XMLSchema-instance",
    "sdtc": "urn:hl7-org:sdtc",
}
_STEP = re.compile(r"(@?(?:sdtc:|xsi:)?[A-Za-z][A-Za-z0-9]*)(?:\(([^()]*)\))?")
_FILTER = re.compile(r"(@?[A-Za-z:/@]+)=(\S+)")
_USUAL = {
    "CodeableConcept": "coded", "Coding": "coded", "Identifier": "identified", "Quantity": "quantity",
    "Age": "quantity", "Duration": "quantity", "Range": "quantities", "Ratio": "ratio", "dateTime": "point",
    "date": "point", "instant": "point", "Period": "Period_IVL", "Address": "Address_AD",
    "HumanName": "HumanName_PN", "ContactPoint": "ContactPoint_TEL", "integer": "number", "decimal": "number",
    "positiveInt": "number", "unsignedInt": "number", "boolean": "truth",
}  # fmt: skip
_WORDS = frozenset({"td", "th", "paragraph", "title"})  # for people: values as FHIR writes them
_MANY = frozenset({
    "addr", "approachSiteCode", "author", "component", "effectiveTime", "entry", "entryRelationship",
    "family", "given", "guardian", "id", "informant", "interpretationCode", "languageCommunication",
    "methodCode", "name", "paragraph", "participant", "performer", "precondition", "prefix", "reference",
    "referenceRange", "suffix", "sdtc:ethnicGroupCode", "sdtc:raceCode", "specimen", "streetAddressLine",
    "targetSiteCode", "td", "telecom", "templateId", "th", "tr", "translation",
})  # fmt: skip


@cache
def _order() -> Mapping[str, tuple[str, ...]]:
    text = (Path(__file__).parent / "cda_elements.txt").read_text("ascii")
    lines = [line.split(": ") for line in text.splitlines() if line and not line.startswith("#")]
    return {name: tuple(children.split()) for name, children in lines}


@dataclass(frozen=True, slots=True)
class _Node:
    """An element or attribute; `checked` for CDA."""

    name: str
    checked: bool = True

    @property
    def repeats(self) -> bool:
        return self.name in _MANY if self.checked else not self._bare

    @property
    def text(self) -> bool:
        return self._bare or not self.checked

    @property
    def _bare(self) -> bool:
        return self.name.startswith("@") or self.name == "text()"

    def usual(self, kind: str) -> str:
        if self.text or not self.checked:
            return "stamp" if kind in ("dateTime", "date", "instant") and self.checked else ""
        if self.name in _WORDS:
            return ""
        return _USUAL.get(kind, "")

    def step(self, said: str, where: str) -> tuple[tuple[Part, ...], Shape]:
        chain: list[Part] = []
        here = self.name
        for step in re.split(r"/(?![^(]*\))", said.removeprefix("./")):
            if step == "text()":
                chain.append(Part(step))
                here = step
                continue
            found = _STEP.fullmatch(step)
            if found is None:
                raise MapError(
                    f"{step!r} is no element", where=where, remedy="e.g. code/@code or id(@root=1.2)"
                )
            name, label = found.groups()
            if self.checked:
                _check(here, name, where)
            chain.append(Part(name, label or "", _constants(label or "")))
            here = name
        return tuple(chain), _Node(here, self.checked)


def _constants(label: str) -> tuple[tuple[tuple[str, ...], str], ...]:
    out = []
    for part in label.split(" and "):
        found = _FILTER.fullmatch(part.strip())
        if found is not None:
            out.append((tuple(found[1].split("/")), found[2]))
    return tuple(out)


def _check(parent: str, name: str, where: str) -> None:
    known = _order().get(parent)
    if known is None or name.startswith("@") or name in known:
        return
    near = get_close_matches(name, known, 1)
    raise MapError(
        f"CDA has no <{name}> in <{parent}>", where=where, remedy=f"did you mean {near[0]}?" if near else ""
    )


def cda_shape(to: str, where: str) -> Shape:
    """Give the shape of an element of CDA: `ClinicalDocument`, `act`, or a datatype such as `CD`."""
    return _Node(to)


def script_shape(to: str, where: str) -> Shape:
    """Give the shape of an element of NCPDP SCRIPT, whose schema is its members'."""
    return _Node(to, checked=False)


def document(
    draft: Draft, name: str, namespaces: Mapping[str, str], *, ordered: bool = True
) -> tuple[bytes, list[tuple[str, Draft]]]:
    """Write a pruned draft as a document of UTF-8, and give the place of every value."""
    plain = namespaces.get("", "")
    nsmap: dict[Any, str] = {k or None: v for k, v in namespaces.items() if v}
    root = etree.Element(f"{{{plain}}}{name}" if plain else name, nsmap=nsmap)
    values: list[tuple[str, Draft]] = []
    _fill(root, draft, f"/{name}", namespaces, ordered, values)
    etree.indent(root)
    data: bytes = etree.tostring(root, xml_declaration=True, encoding="UTF-8")
    return data + b"\n", values


def _fill(
    element: etree._Element,
    draft: Draft,
    place: str,
    namespaces: Mapping[str, str],
    ordered: bool,
    values: list[tuple[str, Draft]],
) -> None:
    if draft.value:
        element.text = _legal(draft.value, place)
        values.append((place, draft))
    order = _order().get(draft.name, ()) if ordered else ()
    rank = {name: n for n, name in enumerate(order)}
    counts: dict[str, int] = {}
    for part in sorted(
        draft.parts, key=lambda p: rank.get(p.name, -1 if p.name.startswith("@") else len(rank))
    ):
        if part.name == "text()":
            element.text = _legal(part.value, place)
            values.append((f"{place}/text()", part))
        elif part.name.startswith("@"):
            element.set(_qualified(part.name[1:], namespaces, attribute=True), _legal(part.value, place))
            values.append((f"{place}/{part.name}", part))
        else:
            n = counts[part.name] = counts.get(part.name, 0) + 1
            inner = etree.SubElement(element, _qualified(part.name, namespaces))
            _fill(inner, part, f"{place}/{part.name}[{n}]", namespaces, ordered, values)


def _qualified(name: str, namespaces: Mapping[str, str], *, attribute: bool = False) -> str:
    prefix, _, local = name.rpartition(":")
    if attribute and not prefix:
        return local
    uri = namespaces.get(prefix, "")
    return f"{{{uri}}}{local}" if uri else local


def _legal(value: str, place: str) -> str:
    if re.search(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]", value):
        raise FormatError("a value holds a character that XML forbids", where=place)
    return value
