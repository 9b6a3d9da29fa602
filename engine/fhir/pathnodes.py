"""What a path walks over: values of a FHIR R4 resource, each with its type.

In: JSON values. Out: nodes that know their FHIR type, so that `value` finds `valueQuantity`, a primitive
knows the extensions written beside it under `_name` (R4 json.html), and a reference finds its target in the
same Bundle.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cache
from typing import Any

from engine.fhir import definitions

__all__ = ["Context", "Node", "Nodes", "children", "of_type", "roots"]


@dataclass(frozen=True, slots=True)
class Node:
    """A value with its type; `extra` stands under `_name`; value None means only that stands there.

    `loose` marks what may be of several types (a choice, a resolved reference): there a name that the type at
    hand does not have finds nothing, where elsewhere it is a mistake in the path.
    """

    value: Any
    kind: str
    extra: Any = None
    loose: bool = False


Nodes = list[Node]


def _resource(value: Any, loose: bool = False) -> Node:
    kind = str(value.get("resourceType", "")) if isinstance(value, dict) else ""
    return Node(value, kind, None, loose)


def roots(source: Any) -> Nodes:
    """Return the resources a path starts from."""
    return [_resource(s) for s in source] if isinstance(source, (list, tuple)) else [_resource(source)]


class Context:
    """The whole that a path is read in: the entries of its Bundles, and what references in it mean."""

    def __init__(self, source: Any) -> None:
        self.whole = roots(source)
        self._entries: Nodes | None = None
        self._places: dict[str, Node] = {}

    @property
    def entries(self) -> Nodes:
        """The resources inside the Bundles of the whole."""
        if self._entries is None:
            self._entries = []
            for node in self.whole:
                if node.kind != "Bundle":
                    self._note(node, "")
                    continue
                for entry in node.value.get("entry", ()):
                    if "resource" in entry:
                        made = _resource(entry["resource"])
                        self._entries.append(made)
                        self._note(made, entry.get("fullUrl", ""))
        return self._entries

    def _note(self, node: Node, full_url: str) -> None:
        if full_url:
            self._places[full_url] = node
        if node.kind and "id" in node.value:
            self._places.setdefault(f"{node.kind}/{node.value['id']}", node)

    def resolve(self, node: Node) -> Node | None:
        """Return the target of a Reference or of a literal one; only its type where it is somewhere else."""
        value = node.value
        literal = value.get("reference") if isinstance(value, dict) else value
        known = value.get("type", "") if isinstance(value, dict) else ""
        if isinstance(literal, str):
            _ = self.entries
            if literal.startswith("#"):
                return self._contained(literal[1:])
            found = self._places.get(literal.partition("/_history/")[0])
            if found is not None:
                return replace(found, loose=True)
            words = literal.partition("?")[0].split("/")
            known = known or next(
                (w for w in reversed(words[:-1] or words) if w in definitions.resource_types()), ""
            )
        kind = known.rsplit("/", 1)[-1]
        return Node(None, kind, None, True) if kind in definitions.resource_types() else None

    def _contained(self, id: str) -> Node | None:
        for node in (*self.whole, *self.entries):
            for inside in node.value.get("contained", ()) if isinstance(node.value, dict) else ():
                if inside.get("id") == id:
                    return _resource(inside, True)
        return None


@cache
def _plan(kind: str, name: str) -> tuple[tuple[str, str], ...] | None:
    """Return the JSON names and types that an element may have, or None where the type has no such
    element."""
    if definitions.is_primitive(kind) and name not in ("id", "extension"):
        return None
    found = definitions.element("Element" if definitions.is_primitive(kind) else kind, name)
    if found is None:
        return None
    plain = name.removesuffix("[x]")
    if definitions.element(kind, plain + "[x]") is not None:
        return tuple((definitions.concrete_name(found.name, t), t) for t in found.types)
    return ((name, found.types[0]),)


def children(node: Node, name: str) -> Nodes | None:
    """Return what stands under an element name, or None where the type of the node has no such element."""
    plan = _plan(node.kind, name)
    if plan is None:
        if name == "resourceType" and node.kind in definitions.resource_types():
            return [Node(node.kind, "code")]
        if not node.kind:
            return _untyped(node, name)
        return [] if node.loose else None
    holder = node.extra if definitions.is_primitive(node.kind) else node.value
    if not isinstance(holder, dict):
        return []
    found: Nodes = []
    loose = len(plan) > 1
    for json_name, kind in plan:
        value, extra = holder.get(json_name), holder.get("_" + json_name)
        if value is None and extra is None:
            continue
        values = value if isinstance(value, list) else [value] if value is not None else []
        extras = extra if isinstance(extra, list) else [extra] if extra is not None else []
        for i in range(max(len(values), len(extras))):
            v = values[i] if i < len(values) else None
            x = extras[i] if i < len(extras) else None
            if kind == "Resource" and isinstance(v, dict):
                found.append(_resource(v, True))
            elif v is not None or x is not None:
                found.append(Node(v, kind, x, loose))
    return found


def _untyped(node: Node, name: str) -> Nodes:
    value = node.value.get(name) if isinstance(node.value, dict) else None
    values = value if isinstance(value, list) else [] if value is None else [value]
    return [Node(v, "") for v in values]


def of_type(node: Node, kind: str) -> bool:
    """Say whether a node is of a type or of one derived from it."""
    own = "BackboneElement" if "." in node.kind else node.kind
    while own:
        if own == kind:
            return True
        own = definitions.base_type(own)
    return False
