"""The FHIR R4 resources that are written out, as nodes that know where they stand, and which of their leaves
were used.

In: a Bundle, a resource or a list of resources, and what the caller gives beside them (`%control`). Out:
`Node`s with their type and place (`Claim/c1.item[0].net.value`), references followed inside what was given,
and at the end every leaf that no row read. R4 json.html, references.html.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from engine.fhir import definitions

__all__ = ["LINKS", "Node", "Resources", "child_nodes", "kinds_of"]


LINKS = {"supportingInfo": "informationSequence", "careTeam": "careTeamSequence"}


@dataclass(frozen=True, slots=True)
class Node:
    """A value of a resource; `extra` stands under `_name`; value None means only that stands there."""

    value: Any
    kind: str
    place: str
    extra: Any = None


@cache
def kinds_of(kind: str, name: str) -> tuple[tuple[str, str], ...]:
    """Give (JSON name, type) of everything an element may be; empty where the type has no such element."""
    if definitions.is_primitive(kind):
        if name not in ("id", "extension"):
            return ()
        found = definitions.element("Element", name)
    else:
        found = definitions.element(kind, name)
    if found is None:
        return (
            (("resourceType", "code"),)
            if name == "resourceType" and kind in definitions.resource_types()
            else ()
        )
    if definitions.element(kind, name.removesuffix("[x]") + "[x]") is not None:
        plain = name.removesuffix("[x]")
        return tuple((definitions.concrete_name(plain, t), _simple(t)) for t in found.types)
    if found.name.endswith("[x]"):
        return ((name, _simple(found.types[0])),)
    return ((name, _simple(found.types[0])),)


def _simple(kind: str) -> str:
    return "Quantity" if kind in ("SimpleQuantity", "MoneyQuantity") else kind


def child_nodes(node: Node, name: str) -> list[Node]:
    """Give what stands under an element name."""
    holder = node.extra if definitions.is_primitive(node.kind) else node.value
    if not isinstance(holder, dict):
        return []
    out: list[Node] = []
    for json_name, kind in kinds_of(node.kind, name):
        value, extra = holder.get(json_name), holder.get("_" + json_name)
        if value is None and extra is None:
            continue
        place = f"{node.place}.{json_name}" if node.place else ""  # a constant stands nowhere
        if not isinstance(value, list) and not isinstance(extra, list):
            out.append(Node(value, _own(kind, value), place, extra))
            continue
        values, extras = value or [], extra or []
        for i in range(max(len(values), len(extras))):
            v = values[i] if i < len(values) else None
            x = extras[i] if i < len(extras) else None
            if v is not None or x is not None:
                out.append(Node(v, _own(kind, v), f"{place}[{i}]", x))
    return out


def _own(kind: str, value: Any) -> str:
    if kind == "Resource" and isinstance(value, dict):
        return str(value.get("resourceType", kind))
    return kind


@dataclass(slots=True)
class Resources:
    """Everything that was given, found by type and by reference."""

    nodes: list[Node]
    given: Mapping[str, str] = field(default_factory=dict)
    oids: Mapping[str, str] = field(default_factory=dict)  # code system or namespace -> its OID
    coding_ids: Mapping[str, str] = field(default_factory=dict)  # code system -> its id in HL7 table 0396
    own: str = ""  # what stands for `own:` in names of this project: `urn:hub:own/id/`
    read: set[str] = field(default_factory=set)  # places of leaves that rows used
    seen: list[str] | None = None  # places that a condition is looking at
    _by_reference: dict[str, Node] = field(default_factory=dict)
    _by_place: dict[str, Node] = field(default_factory=dict)
    _referrers: dict[str, list[Node]] | None = None

    @classmethod
    def of(cls, source: Any, given: Mapping[str, str] | None = None) -> Resources:
        """Take a Bundle, a resource, or a list of them."""
        out = cls([], dict(given or {}))
        for each in source if isinstance(source, list) else [source]:
            if each.get("resourceType") == "Bundle":
                for entry in each.get("entry", ()):
                    if "resource" in entry:
                        out._add(entry["resource"], entry.get("fullUrl", ""))
            else:
                out._add(each, "")
        return out

    def _add(self, resource: dict[str, Any], full_url: str) -> None:
        kind = str(resource.get("resourceType", ""))
        own = str(resource.get("id", "")) or re.split("[/:]", full_url)[-1] or str(len(self.nodes) + 1)
        name = f"{kind}/{own}"
        node = Node(resource, kind, name)
        self.nodes.append(node)
        if full_url:
            self._by_reference[full_url] = node
        if "id" in resource:
            self._by_reference.setdefault(f"{kind}/{resource['id']}", node)

    def resolve(self, node: Node) -> Node | None:
        """Give what a Reference leads to among what was given; None where it is somewhere else."""
        literal = node.value.get("reference") if isinstance(node.value, dict) else node.value
        if not isinstance(literal, str):
            return None
        if literal.startswith("#"):
            return self._contained(node, literal[1:])
        found = self._by_reference.get(literal.partition("/_history/")[0])
        if found is not None:
            self.note(f"{node.place}.reference" if isinstance(node.value, dict) else node.place)
        return found

    def _contained(self, node: Node, id: str) -> Node | None:
        holder = self.holder(node)
        for inside in child_nodes(holder, "contained") if holder is not None else ():
            if inside.value.get("id") == id:
                self.note(f"{node.place}.reference")
                return inside
        return None

    def holder(self, node: Node) -> Node | None:
        """Give the resource that a node stands in, or is."""
        if not self._by_place:
            self._by_place = {n.place: n for n in self.nodes}
        found = self._by_place.get(node.place) or self._by_place.get(node.place.partition(".")[0])
        if found is None:  # an id may hold a point
            found = next((n for n in self.nodes if node.place.startswith(f"{n.place}.")), None)
        return found

    def touched(self) -> set[str]:
        """Give the places of all resources of which a leaf was used."""
        used = {place.partition(".")[0] for place in self.read}
        return {
            n.place
            for n in self.nodes
            if n.place in used
            or ("." in n.place and any(place.startswith(f"{n.place}.") for place in self.read))
        }

    def named(self, name: str) -> str:
        """Give a name in full: `own:x12-charge` is of this project."""
        return self.own + name.removeprefix("own:") if name.startswith("own:") else name

    def referrers(self, node: Node, kind: str) -> list[Node]:
        """Give the resources of a type that refer to this one."""
        if self._referrers is None:
            self._referrers = {}
            for holder in self.nodes:
                said = [literal.partition("/_history/")[0] for literal in _references(holder.value)]
                found = [t for name in said if (t := self._by_reference.get(name)) is not None]
                for place in dict.fromkeys(t.place for t in found):  # who refers to it twice is one
                    self._referrers.setdefault(place, []).append(holder)
        return [n for n in self._referrers.get(node.place, ()) if n.kind == kind]

    def linked(self, node: Node, name: str, of_line: bool) -> list[Node]:
        """Give the entries of a Claim's list that a line names; or for the Claim those that no line names.

        Who takes care on all lines takes care on the claim.
        """
        claim = self.holder(node)
        if claim is None:
            return []
        items = child_nodes(claim, "item")
        named = [{n.value: n for n in child_nodes(item, LINKS[name])} for item in items]
        everywhere = set.intersection(*map(set, named)) if named and name == "careTeam" else set()
        own = next((n for i, n in zip(items, named, strict=True) if i.place == node.place), {})
        out = []
        for entry in child_nodes(claim, name):
            number = entry.value.get("sequence")
            if of_line:
                fits = number in own and number not in everywhere
            else:
                fits = number in everywhere or not any(number in one for one in named)
            if fits:
                out.append(entry)
                for place in [f"{entry.place}.sequence", *(n.place for n in [own.get(number)] if n)]:
                    self.note(place)
        return out

    def note(self, place: str) -> None:
        """Remember that a leaf was used: at once, or when the condition that looks at it holds."""
        if self.seen is not None:
            self.seen.append(place)
        else:
            self.read.add(place)

    def unread(self) -> Iterator[tuple[str, str]]:
        """Give (resource, place) of every leaf that no row read, in order."""
        for node in self.nodes:
            for place in _leaves(node.value, node.place, top=True):
                if place not in self.read:
                    yield node.place, place


def _references(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("reference"), str):
            yield value["reference"]
        for inner in value.values():
            yield from _references(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from _references(inner)


def _leaves(value: Any, place: str, *, top: bool = False) -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            if name == "resourceType":
                continue
            yield from _leaves(inner, f"{place}.{name.removeprefix('_')}")
    elif isinstance(value, list):
        for i, inner in enumerate(value):
            if inner is not None:
                yield from _leaves(inner, f"{place}[{i}]")
    elif value is not None:
        yield place
