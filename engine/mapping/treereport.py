"""The report of a document: every attribute and text with the elements it reached, or why it reached none.

In: the scopes of a document, the drafts of a traced run. Out: `Report` as for a message; addresses are
absolute XPaths. A value that a function made of an element as a whole accounts for all that stands in it.
What `ignore:` of a map names is ignored below that map's elements, of a message map everywhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

from engine.formats.xml.nodes import Node
from engine.formats.xml.paths import read_path
from engine.formats.xml.places import step_name
from engine.mapping.build import Built
from engine.mapping.lineage import Mapped, Report, Unmapped, names_of, place_of_row, row_name, walk_values
from engine.mapping.model import MapDef, MessageDef, Place, Row
from engine.mapping.traced import TKey
from engine.mapping.treerun import At, TracedTreeRun

__all__ = ["tree_report"]

Targets = list[tuple[str, int]]  # (element of a resource, row)

STRUCTURE = {
    "typeId": "the schema of all documents",
    "templateId": "decides what the statement is",
    "realmCode": "where the rules are from",
    "@classCode": "decides what the element is",
    "@moodCode": "decides whether it happened, is planned or asked for",
    "@typeCode": "decides how it belongs to what is around it",
    "@determinerCode": "the same in all documents",
    "@xsi:type": "decides how the value is read",
    "@xsi:schemaLocation": "where the schema is",
    "@contextConductionInd": "the same in all documents",
    "@contextControlCode": "the same in all documents",
    "@inversionInd": "decides which way a relation is read",
    "@nullFlavor": "says that there is no value",
    "@institutionSpecified": "decides who chooses the time of day",
    "@operator": "decides how two times are combined",
    "@negationInd": "decides whether it is so",
}
"""Attributes and elements that decide what is read, and are no values themselves: where something was made of
the element (or of what is in it), they went into what it became."""
FIXED = frozenset(["33999-4", "SEV", "ASSERTION", "CONC", "48765-2", "29308-4", "75326-9"])
"""Codes that say no more than what kind of statement they stand in: its template fixes them."""
DESCRIBES = {
    **dict.fromkeys(("@codeSystem", "@codeSystemName", "@codeSystemVersion", "@displayName"), "@code"),
    **dict.fromkeys(("@sdtc:valueSet", "@sdtc:valueSetVersion"), "@code"),
    "@assigningAuthorityName": "@root",
}
"""Attributes that say in other words what the one beside them says: they go where it went."""


def tree_report(
    tops: Sequence[Node],
    built: Built,
    x: TracedTreeRun,
    rows: list[Row],
    maps: Mapping[str, MapDef],
    message: MessageDef,
    names: Sequence[str] = (),
    skip: Set[Node] = frozenset(),
) -> Report:
    """Make the report of one document, or of what stands in `tops` but not in `skip`; `names` are what the
    drafts are called there."""
    hits: dict[At, Targets] = defaultdict(list)
    whole: dict[Node, Targets] = defaultdict(list)
    keys: dict[At, int] = {}
    for name, d in zip(names or names_of(built.drafts), built.drafts, strict=True):
        for path, value in walk_values({k: v for k, v in d.body.items() if k != "resourceType"}, name):
            for a in value.src:
                if isinstance(value, TKey):
                    keys[a] = value.row
                elif a.part:
                    hits[a].append((path, value.row))
                else:
                    whole[a.node].append((path, value.row))
    reached = _reached(hits, whole)
    chose = dict(x.choices)
    failed: dict[At, str] = dict(x.failures)
    ignored = _ignored(built, maps)
    everywhere = dict.fromkeys(message.ignore, "ignored on purpose by the message map")
    out = Report()
    shown: dict[int, tuple[str, Place]] = {}
    for at, place, value, around in _leaves(tops, whole, skip):
        found = hits.get(at) or around
        if not found and at not in failed:
            found = _decided(at, hits, reached, at in chose or at in ignored)
        if found:
            for target, row in dict.fromkeys(found):
                named = shown.get(row)
                if named is None:
                    named = shown[row] = (row_name(rows, row), place_of_row(rows, row))
                out.mapped.append(Mapped(place, target, *named))
            continue
        out.unmapped.append(_why(at, place, value, chose, failed, keys, ignored, everywhere, rows))
    return out


def _leaves(
    tops: Sequence[Node], whole: Mapping[Node, Targets], skip: Set[Node]
) -> Iterator[tuple[At, str, str, Targets]]:
    """Give every populated attribute and text: where, its XPath, its value, and what its element as a whole
    became."""
    root = str(tops[0].top.element.tag)
    home = root[1:].partition("}")[0] if root[:1] == "{" else ""
    stack: list[tuple[Node, str, Targets]] = [(top, top.place, []) for top in reversed(tops)]
    while stack:
        node, path, around = stack.pop()
        if node in skip:
            continue
        around = whole.get(node) or around
        for tag, value in node.element.attrib.items():
            if not value.strip():
                continue
            name = "@" + (step_name(str(tag), "") if str(tag)[:1] == "{" else str(tag))
            yield At(node, name), f"{path}/{name}", str(value), around
        children = node.children
        pieces = [node.element.text, *(c.element.tail for c in children)]
        n = 0
        for text in pieces:
            n += bool(text)
            if text and text.strip():
                shown = path if not children else f"{path}/text()[{n}]"
                yield At(node, "text()"), shown, text, around
        count: dict[str, int] = {}
        inner = []
        for c in children:
            tag = str(c.element.tag)
            count[tag] = count.get(tag, 0) + 1
            inner.append((c, f"{path}/{step_name(tag, home)}[{count[tag]}]", around))
        stack.extend(reversed(inner))


def _decided(
    at: At, hits: Mapping[At, Targets], reached: Mapping[Node | None, Targets], decides: bool
) -> Targets:
    """Say where an attribute went that is no value itself: with the one it describes, or into the resource
    that was made of its element; nothing of one that is a value, or whose element became nothing."""
    if (beside := DESCRIBES.get(at.part)) and (found := hits.get(At(at.node, beside))):
        return found
    parent = at.node.parent
    fixed = at.node.name == "code" and at.node.get("code") in FIXED and parent is not None and parent.kind
    if at.node.name in STRUCTURE or fixed:
        return reached.get(parent) or []
    if at.part in STRUCTURE or (decides and at.part[:1] == "@"):
        return reached.get(at.node) or (reached.get(at.node.parent) if decides else None) or []
    return []


def _reached(hits: Mapping[At, Targets], whole: Mapping[Node, Targets]) -> dict[Node | None, Targets]:
    """Give for every element of which, or of something in it, something was made, the first resource."""
    out: dict[Node | None, Targets] = {}
    for node, found in [*((at.node, f) for at, f in hits.items()), *whole.items()]:
        resource = [(found[0][0].partition(".")[0], found[0][1])]
        for n in _up(node):
            if n in out:
                break
            out[n] = resource
    return out


def _ignored(built: Built, maps: Mapping[str, MapDef]) -> dict[Any, str]:
    """Collect the elements (and the owners of attributes) that the maps in use ignore on purpose."""
    out: dict[Any, str] = {}
    for n in built.nodes:
        for name in (n.draft.map,):
            for text in maps[name].ignore if name in maps else ():
                path = read_path(text)
                for node in path.nodes(n.segment):
                    spot: Any = At(node, "@" + path.attribute) if path.attribute else node
                    out[spot] = f"ignored on purpose by {name}"
    return out


def _why(
    at: At,
    place: str,
    value: str,
    chose: Mapping[At, int],
    failed: Mapping[At, str],
    keys: Mapping[At, int],
    ignored: Mapping[Any, str],
    everywhere: Mapping[str, str],
    rows: list[Row],
) -> Unmapped:
    if at in failed:
        return Unmapped(place, value, failed[at], "unreadable")
    if at in chose:
        row = row_name(rows, chose[at])
        return Unmapped(
            place, value, f"chose the case of row {row}", "decides", row, place_of_row(rows, chose[at])
        )
    if at in keys:
        row = row_name(rows, keys[at])
        return Unmapped(
            place, value, f"only part of an identity key, row {row}", "key", row, place_of_row(rows, keys[at])
        )
    if at in ignored:
        return Unmapped(place, value, ignored[at], "ignored")
    for name in (at.part, at.node.name):
        if name in everywhere:
            return Unmapped(place, value, everywhere[name], "ignored")
        if name in STRUCTURE:
            return Unmapped(place, value, STRUCTURE[name], "decides")
    for node in _up(at.node):
        if node in ignored:
            return Unmapped(place, value, ignored[node], "ignored")
        if node.get("nullFlavor") and node.name in ("entry", "entryRelationship", "observation", "act"):
            return Unmapped(place, value, "stands in a statement that says there is nothing", "excluded")
    return Unmapped(place, value, "no row reads it")


def _up(node: Node) -> Iterator[Node]:
    at: Node | None = node
    while at is not None:
        yield at
        at = at.parent
