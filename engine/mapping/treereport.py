"""The report of a document: every attribute and text with the elements it reached, or why it reached none.

In: the scopes of a document, the drafts of a traced run. Out: `Report` as for a message; addresses are
absolute XPaths. A value that a function made of an element as a whole accounts for all that stands in it.
What `ignore:` of a map names is ignored below that map's elements, of a message map everywhere.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence, Set
from typing import Any

from lxml import etree

from engine.formats.xml.nodes import Node
from engine.formats.xml.paths import read_path
from engine.formats.xml.places import step_name
from engine.mapping.build import Built
from engine.mapping.lineage import Mapped, Report, Unmapped, names_of, place_of_row, row_name, walk_values
from engine.mapping.model import MapDef, MessageDef, Place, Row
from engine.mapping.traced import TKey
from engine.mapping.treerun import At, TracedTreeRun

__all__ = ["tree_report"]

_STATEMENTS = frozenset(("entry", "entryRelationship", "observation", "act"))
Targets = list[tuple[str, int]]  # (element of a resource, row)
Hits = dict[Node, dict[str, Targets]]  # element -> attribute or text -> where it went
_NOWHERE: dict[str, Targets] = {}

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
    hits: Hits = defaultdict(dict)
    whole: dict[Node, Targets] = {}
    keys: dict[At, int] = {}
    for name, d in zip(names or names_of(built.drafts), built.drafts, strict=True):
        for path, value in walk_values(d.body, name):
            target = (path, value.row)
            key = type(value) is TKey
            for a in value.src:
                node, part = a
                if key:
                    keys[a] = value.row
                elif not part:
                    whole.setdefault(node, []).append(target)
                elif part in (here := hits[node]):
                    here[part].append(target)
                else:
                    here[part] = [target]
    out = Report()
    mapped = _Mapped(out, rows)
    why = _Why(hits, whole, x, keys, _ignored(built, maps), message, rows)
    root = str(tops[0].top.element.tag)
    steps = _Steps(root[1:].partition("}")[0] if root[:1] == "{" else "")
    names_of_attributes = steps.attributes
    stack: list[tuple[Node, str]] = [(top, top.place) for top in reversed(tops)]
    while stack:
        node, path = stack.pop()
        if node in skip:
            continue
        if found := whole.get(node):
            for place in _inside(node.element, path, steps):
                mapped.add(place, found)
            continue
        element, here = node.element, hits.get(node, _NOWHERE)
        for tag, value in element.items():
            name = names_of_attributes[tag]  # type: ignore[index]
            if found := here.get(name):
                mapped.add(f"{path}/{name}", found)
            elif value.strip():
                why.told(out, mapped, At(node, name), f"{path}/{name}", str(value))
        children = node.children
        if not (children or element.text):
            continue
        n = 0
        count: dict[str, int] = {}
        inner = []
        for text in (element.text, *(c.element.tail for c in children)):
            n += bool(text)
            if text and not text.isspace():
                if children and not any(map(str.isalnum, text)):
                    continue  # dots and dashes between elements are nobody's value
                place = f"{path}/text()[{n}]" if children else path
                if found := here.get("text()"):
                    mapped.add(place, found)
                else:
                    why.told(out, mapped, At(node, "text()"), place, text)
        for c in children:
            tag = c.element.tag
            k = count[tag] = count.get(tag, 0) + 1
            inner.append((c, f"{path}/{steps[tag]}[{k}]"))
        stack.extend(reversed(inner))
    return out


class _Mapped:
    """Writes what went somewhere; a row is named once."""

    def __init__(self, out: Report, rows: list[Row]) -> None:
        self.out, self.rows = out.mapped, rows
        self.shown: dict[int, tuple[str, Place]] = {}

    def add(self, place: str, found: Targets) -> None:
        """Say that what stands at a place went to these elements."""
        for target, row in found if len(found) == 1 else dict.fromkeys(found):
            named = self.shown.get(row)
            if named is None:
                named = self.shown[row] = (row_name(self.rows, row), place_of_row(self.rows, row))
            self.out.append(Mapped(place, target, named[0], named[1]))


class _Steps(dict[str, str]):
    """The steps of element names, and the names of attributes, written once."""

    def __init__(self, home: str) -> None:
        super().__init__()
        self.home = home
        self.attributes = _Attributes()

    def __missing__(self, tag: str) -> str:
        step = self[tag] = step_name(tag, self.home)
        return step


class _Attributes(dict[str, str]):
    """`@code`, `@xsi:type` by the names of attributes."""

    def __missing__(self, tag: str) -> str:
        name = self[tag] = "@" + (step_name(tag, "") if tag[:1] == "{" else tag)
        return name


def _inside(top: etree._Element, path: str, steps: _Steps) -> Iterator[str]:
    """Give the XPath of every populated attribute and text of an element, in document order."""
    stack = [(top, path)]
    while stack:
        element, path = stack.pop()
        for tag, value in element.items():
            if value.strip():
                yield f"{path}/{steps.attributes[tag]}"  # type: ignore[index]
        text = element.text
        n = 1 if text else 0
        if text and not text.isspace():
            yield f"{path}/text()[{n}]" if len(element) else path
        count: dict[str, int] = {}
        inner = []
        for c in element:
            tag = str(c.tag)
            k = count[tag] = count.get(tag, 0) + 1
            inner.append((c, f"{path}/{steps[tag]}[{k}]"))
            text = c.tail
            if text:
                n += 1
                if not text.isspace():
                    yield f"{path}/text()[{n}]"
        stack.extend(reversed(inner))


class _Why:
    """Says where an attribute or text went that no value came from, or why it went nowhere."""

    def __init__(
        self,
        hits: Hits,
        whole: Mapping[Node, Targets],
        x: TracedTreeRun,
        keys: Mapping[At, int],
        ignored: Mapping[Any, str],
        message: MessageDef,
        rows: list[Row],
    ) -> None:
        self.hits, self.reached = hits, _reached(hits, whole)
        self.chose, self.failed = dict(x.choices), dict(x.failures)
        self.keys, self.ignored, self.rows = keys, ignored, rows
        self.everywhere = dict.fromkeys(message.ignore, "ignored on purpose by the message map")

    def told(self, out: Report, mapped: _Mapped, at: At, place: str, value: str) -> None:
        """Write one attribute or text into the report."""
        found = () if at in self.failed else self._decided(at)
        if found:
            mapped.add(place, found)
        else:
            out.unmapped.append(self._why(at, place, value))

    def _decided(self, at: At) -> Targets:
        """Say where an attribute went that is no value itself: with the one it describes, or into the
        resource that was made of its element; nothing of one that is a value, or whose element became
        nothing."""
        node, part = at
        beside = DESCRIBES.get(part)
        if beside and (found := self.hits.get(node, _NOWHERE).get(beside)):
            return found
        parent = node.parent
        fixed = node.name == "code" and parent is not None and parent.kind and node.get("code") in FIXED
        if node.name in STRUCTURE or fixed:
            return self.reached.get(parent) or []
        decides = part[:1] == "@" and (at in self.chose or at in self.ignored)
        if part in STRUCTURE or decides:
            return self.reached.get(node) or (self.reached.get(parent) if decides else None) or []
        return []

    def _why(self, at: At, place: str, value: str) -> Unmapped:
        rows = self.rows
        if at in self.failed:
            return Unmapped(place, value, self.failed[at], "unreadable")
        for decides, word, said in (
            (self.chose, "chose the case of row", "decides"),
            (self.keys, "only part of an identity key, row", "key"),
        ):
            if at in decides:
                row = decides[at]
                name = row_name(rows, row)
                return Unmapped(place, value, f"{word} {name}", said, name, place_of_row(rows, row))
        if at in self.ignored:
            return Unmapped(place, value, self.ignored[at], "ignored")
        for name in (at.part, at.node.name):
            if name in self.everywhere:
                return Unmapped(place, value, self.everywhere[name], "ignored")
            if name in STRUCTURE:
                return Unmapped(place, value, STRUCTURE[name], "decides")
        for node in _up(at.node):
            if node in self.ignored:
                return Unmapped(place, value, self.ignored[node], "ignored")
            if node.name in _STATEMENTS and node.get("nullFlavor"):
                return Unmapped(place, value, "stands in a statement that says there is nothing", "excluded")
        return Unmapped(place, value, "no row reads it")


def _reached(hits: Hits, whole: Mapping[Node, Targets]) -> dict[Node | None, Targets]:
    """Give for every element of which, or of something in it, something was made, the first resource."""
    out: dict[Node | None, Targets] = {}
    first = [(node, next(iter(parts.values()))) for node, parts in hits.items()]
    for node, found in [*first, *whole.items()]:
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


def _up(node: Node) -> Iterator[Node]:
    at: Node | None = node
    while at is not None:
        yield at
        at = at.parent
