"""HL7 v2 as a target: places checked against the dictionary, and a draft as a message.

In: places such as `PID-5.1`, `PATIENT/PID-3`, `ORDER/OBSERVATION_REQUEST/OBR-4` (groups named as the
structure names them), and in maps of datatypes (`to: XPN`) components: `1`, `4.2`. Out: bytes, and the
location of each value. Segments come in the order of the rows; set ids (fields of type SI) are counted.
HL7 v2.5.1 ch. 2.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from engine.formats.hl7v2 import dictionary
from engine.formats.hl7v2.charset import hl7_name
from engine.formats.hl7v2.structures import tree
from engine.formats.hl7v2.write import build
from engine.kernel.errors import MapError
from engine.mapping.outbound.conditions import text
from engine.mapping.outbound.datatypes import Writer
from engine.mapping.outbound.draft import Draft, Part, Shape
from engine.mapping.outbound.resources import Node, child_nodes
from engine.mapping.outbound.run import Running

__all__ = ["V2_WRITERS", "VERSION", "message", "shape_of"]

VERSION = "2.5.1"
_PLACE = re.compile(r"([A-Z][A-Z0-9]{2})(?:\(([^()]*)\))?(?:-(\d+)(?:\.(\d+)(?:\.(\d+))?)?)?")
_PARTS = re.compile(r"(\d+)(?:\.(\d+))?")
_USUAL = {
    "CWE": {"CodeableConcept": "cwe", "Coding": "cwe"},
    "CE": {"CodeableConcept": "ce", "Coding": "ce"},
    "CNE": {"CodeableConcept": "cwe", "Coding": "cwe"},
    "CX": {"Identifier": "Identifier_CX"},
    "EI": {"Identifier": "Identifier_EI"},
    "XPN": {"HumanName": "HumanName_XPN"},
    "XAD": {"Address": "Address_XAD"},
    "XTN": {"ContactPoint": "ContactPoint_XTN"},
    "XCN": {"Practitioner": "Practitioner_XCN"},
    "XON": {"Organization": "Organization_XON"},
    "PL": {"Location": "Location_PL"},
}
_USUAL["varies"] = _USUAL["CWE"]  # OBX-5: what OBX-2 says
_DATES = frozenset({"date", "dateTime", "instant"})


@dataclass(frozen=True, slots=True)
class _Group:
    """A structure or one of its groups."""

    name: str
    groups: frozenset[str]
    repeats: bool = True
    text: bool = False

    def usual(self, kind: str) -> str:
        return ""

    def step(self, said: str, where: str) -> tuple[tuple[Part, ...], Shape]:
        chain: list[Part] = []
        *groups, last = said.split("/")
        found = _PLACE.fullmatch(last)
        if found is None or (len(last) > 3 and last in self.groups):
            groups, found = [*groups, last], None
        for said_group in groups:
            name, _, label = said_group.removesuffix(")").partition("(")
            if name not in self.groups:
                raise MapError(f"there is no group {name} in {self.name}", where=where)
            chain.append(Part(name, label))
        if found is None:
            return tuple(chain), _Group(self.name, self.groups)
        name, label, field, *rest = found.groups()
        if dictionary.version(VERSION).segment(name) is None:
            raise MapError(f"HL7 {VERSION} has no segment {name}", where=where)
        chain.append(Part(name, label or ""))
        if field is None:
            return tuple(chain), _Segment(name)
        return _field(chain, name, field, rest, where)


@dataclass(frozen=True, slots=True)
class _Segment:
    name: str
    repeats: bool = True
    text: bool = False

    def usual(self, kind: str) -> str:
        return ""

    def step(self, said: str, where: str) -> tuple[tuple[Part, ...], Shape]:
        found = re.fullmatch(r"(\d+)(?:\.(\d+)(?:\.(\d+))?)?", said)
        if found is None:
            raise MapError(f"{said!r} is no field of {self.name}", where=where, remedy="e.g. 5 or 5.1")
        field, *rest = found.groups()
        return _field([], self.name, field, rest, where)


@dataclass(frozen=True, slots=True)
class _Value:
    """A field, component or subcomponent, and its datatype."""

    name: str
    type: str
    repeats: bool = False

    @property
    def text(self) -> bool:
        return self.type != "varies" and len(dictionary.version(VERSION).components(self.type)) < 2

    def usual(self, kind: str) -> str:
        if kind in _DATES:
            return "stamp"
        return _USUAL.get(self.type, {}).get(kind, "")

    def step(self, said: str, where: str) -> tuple[tuple[Part, ...], Shape]:
        found = _PARTS.fullmatch(said)
        if found is None:
            raise MapError(f"{said!r} is no component of {self.name}", where=where, remedy="e.g. 1 or 4.2")
        return _components([], self.name, self.type, list(found.groups()), where)


def _field(
    chain: list[Part], segment: str, field: str, rest: list[str | None], where: str
) -> tuple[tuple[Part, ...], Shape]:
    known = dictionary.version(VERSION).field(segment, int(field))
    if known is None:
        raise MapError(f"{segment} has no field {field} in HL7 {VERSION}", where=where)
    chain.append(Part(field))
    name = f"{segment}-{field}"
    if rest[0] is None:
        return tuple(chain), _Value(name, known.datatype, known.repeats)
    return _components(chain, name, known.datatype, rest, where)


def _components(
    chain: list[Part], name: str, type_: str, numbers: list[str | None], where: str
) -> tuple[tuple[Part, ...], Shape]:
    for number in numbers:
        if number is None:
            break
        parts = dictionary.version(VERSION).components(type_)
        if type_ == "varies":
            chain.append(Part(number))
            name, type_ = f"{name}.{number}", "ST"
            continue
        if int(number) > max(len(parts), 1):
            raise MapError(f"{name} ({type_}) has no component {number}", where=where)
        chain.append(Part(number))
        name, type_ = f"{name}.{number}", parts[int(number) - 1].datatype if len(parts) > 1 else type_
    return tuple(chain), _Value(name, type_)


def shape_of(to: str, where: str) -> Shape:
    """Give the shape of a structure (`OML_O21`), a segment (`PID`) or a datatype (`XPN`)."""
    if dictionary.version(VERSION).segment(to) is not None:
        return _Segment(to)
    if dictionary.version(VERSION).components(to):
        return _Value(to, to)
    found = tree(to)
    if found is None:
        raise MapError(f"HL7 v2 has no {to}", where=where, remedy="a structure, a segment or a datatype")
    return _Group(to, frozenset(_group_names(found)))


def _group_names(group: dictionary.GroupDef) -> Iterator[str]:
    for child in group.children:
        if isinstance(child, dictionary.GroupDef):
            yield child.name
            yield from _group_names(child)


def message(draft: Draft) -> tuple[bytes, list[tuple[str, Draft]]]:
    """Write a pruned draft, and give the location of every value."""
    rows: list[list[object]] = []
    values: list[tuple[str, Draft]] = []
    counts: dict[str, int] = {}
    _write(draft, rows, values, counts)
    data = build(rows)  # type: ignore[arg-type]
    if not data.isascii() and rows[0][0] == "MSH" and len(rows[0]) < _CHARSET:
        rows[0] += [""] * (_CHARSET - 1 - len(rows[0])) + [hl7_name("utf-8")]  # unsaid, it would be ASCII
        data = build(rows)  # type: ignore[arg-type]
    return data, values


_CHARSET = 17
"""Where MSH-18 stands in a row that goes on with MSH-3 after the segment's name, plus one."""


_AFRESH = {"ORC": ("TQ1", "DG1", "OBX", "SPM"), "OBR": ("DG1", "OBX", "SPM")}
"""Whose set ids begin again where such a segment begins; OBR itself is counted through the message."""


def _write(
    draft: Draft, rows: list[list[object]], values: list[tuple[str, Draft]], counts: dict[str, int]
) -> None:
    for part in draft.parts:
        name = part.name
        if len(name) > 3 or "_" in name:
            _write(part, rows, values, counts)
            continue
        n = counts[name] = counts.get(name, 0) + 1
        for other in _AFRESH.get(name, ()):
            counts[f"{other} set"] = 0
        if name == "NTE" and rows and rows[-1][0] != "NTE":
            counts["NTE set"] = 0
        number = counts[f"{name} set"] = counts.get(f"{name} set", 0) + 1
        rows.append(_row(part, f"{name}[{n}]", number, values))


def _row(part: Draft, place: str, number: int, values: list[tuple[str, Draft]]) -> list[object]:
    fields: dict[int, list[object]] = {}
    for field in part.parts:
        at = int(field.name)
        rep = len(fields.setdefault(at, [])) + 1
        fields[at].append(_value(field, f"{place}-{at}" + (f"({rep})" if rep > 1 else ""), values))
    first = dictionary.version(VERSION).field(part.name, 1)
    if first is not None and first.datatype == "SI" and 1 not in fields:
        fields[1] = [str(number)]
    offset = 2 if part.name == "MSH" else 0  # MSH-1 and MSH-2 are the separators
    row: list[object] = [part.name]
    for at in range(1 + offset, max(fields, default=0) + 1):
        found = fields.get(at, [""])
        plain = len(found) == 1 and not any(isinstance(v, list) for v in found)
        row.append(found[0] if plain else [v if isinstance(v, list) else [v] for v in found])
    return row


def _value(draft: Draft, place: str, values: list[tuple[str, Draft]]) -> object:
    if not draft.parts:
        values.append((place, draft))
        return draft.value
    out: list[object] = []
    for part in sorted(draft.parts, key=lambda p: int(p.name)):
        out += [""] * (int(part.name) - len(out))
        out[int(part.name) - 1] = _value(part, f"{place}.{part.name}", values)
    return out


def cwe(node: Node, draft: Draft, running: Running, row: str) -> bool:
    """Write a CodeableConcept or Coding as CWE: two codings, their systems as table 0396 names them, the
    words in component 9."""
    return _codings(node, draft, running, row, "9")


def ce(node: Node, draft: Draft, running: Running, row: str) -> bool:
    """Write a CodeableConcept or Coding as CE, which has no place for words but beside a code."""
    many = len(child_nodes(node, "coding")) if node.kind == "CodeableConcept" else 1
    return _codings(node, draft, running, row, ("2", "5", "")[min(many, 2)])


def _codings(node: Node, draft: Draft, running: Running, row: str, place: str) -> bool:
    codings = child_nodes(node, "coding") if node.kind == "CodeableConcept" else [node]
    wrote = False
    for at, coding in zip((1, 4), codings, strict=False):
        for offset, name in enumerate(("code", "display", "system")):
            if name == "system" and not child_nodes(coding, "system"):
                wrote = _named_system(coding, draft.at((Part(str(at + offset)),)), running, row) or wrote
            for found in child_nodes(coding, name)[:1]:
                said = text(found)
                if name == "system":
                    table = re.fullmatch(r"http://terminology\.hl7\.org/CodeSystem/v2-(\d{4})", said)
                    said = f"HL7{table[1]}" if table else running.resources.coding_ids.get(said, said)
                part = draft.at((Part(str(at + offset)),))
                wrote = running.put(part, said, found, row) or wrote
    shown = [text(d) for c in codings for d in child_nodes(c, "display")]
    for words in child_nodes(node, "text")[:1] if node.kind == "CodeableConcept" else ():
        if text(words) in shown:
            running.resources.note(words.place)
            continue
        if not place:
            continue
        wrote = running.put(draft.at((Part(place),)), text(words), words, row) or wrote
    return wrote


def _named_system(coding: Node, draft: Draft, running: Running, row: str) -> bool:
    """Write the name of a system that has no URI as it was sent: `L`, `99ACME`."""
    url = running.resources.named("own:coding-system-name")
    for extension in child_nodes(coding, "extension"):
        if extension.value.get("url") == url:
            for name in child_nodes(extension, "value"):
                return running.put(draft, text(name), name, row)
    return False


V2_WRITERS: dict[str, Writer] = {"cwe": cwe, "ce": ce}
