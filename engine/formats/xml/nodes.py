"""XML elements as maps walk them: children by name, attributes, text, kind, and where they stand.

In: elements read by `read_xml`. Out: `Node`s, made when asked for, each the same object every time, so that
it can be a key. A name is local; `prefix` is `sdtc` for that namespace and empty for all others. `kind` is
what a format says the element is (a problem, an author), empty where nobody said. Follows XPath 1.0 for
places.
"""

from __future__ import annotations

from collections.abc import Iterator

from lxml import etree

from engine.formats.xml.places import step_name

__all__ = ["SDTC", "Node"]

SDTC = "urn:hl7-org:sdtc"
_NAMESPACES = {
    "xsi": "http://www.w3.org/2001/XMLSchema-instance",
    "sdtc": SDTC,
    "xml": "http://www.w3.org/XML/1998/namespace",
}
_TYPE = f"{{{_NAMESPACES['xsi']}}}type"
_SAID = ("kind", "section", "denied", "none", "backwards")
QUIET = frozenset(
    {
        *("nullFlavor", _TYPE, "use", "unit", "classCode", "moodCode", "typeCode", "determinerCode"),
        *("operator", "inclusive", "institutionSpecified", "contextConductionInd", "contextControlCode"),
        *("inversionInd", "mediaType", "representation", "partType", "qualifier"),
    }
)
"""Attributes that say how a value is to be read; alone they are no value."""


class Node:
    """One element. Two nodes are equal only when they are the same element."""

    __slots__ = (
        *("_by", "_children", "_place", "element", "name", "parent", "prefix"),
        *("denied", "kind", "none", "section"),
    )

    def __init__(self, element: etree._Element, parent: Node | None = None) -> None:
        self.element = element
        self.parent = parent
        tag = str(element.tag)
        namespace, _, local = tag[1:].rpartition("}") if tag[:1] == "{" else ("", "", tag)
        self.name = local
        self.prefix = "sdtc" if namespace == SDTC else ""
        self.kind = ""
        self.denied = ""
        self.none = ""
        self.section = ""
        self._children: tuple[Node, ...] | None = None
        self._by: dict[str, list[Node]] | None = None
        self._place = ""

    @property
    def children(self) -> tuple[Node, ...]:
        """The elements directly inside, in document order."""
        found = self._children
        if found is None:
            found = self._children = tuple(Node(e, self) for e in self.element.iterchildren(etree.Element))
        return found

    def by(self, name: str) -> list[Node]:
        """The children of a name: `code`, or `sdtc:raceCode` for that namespace."""
        index = self._by
        if index is None:
            index = self._by = {}
            for c in self.children:
                name_ = f"sdtc:{c.name}" if c.prefix else c.name
                found = index.get(name_)
                if found is None:
                    index[name_] = [c]
                else:
                    found.append(c)
        return index.get(name) or []

    def get(self, name: str) -> str:
        """An attribute, trimmed; `xsi:type` without its prefix; empty where there is none.

        `hub:kind`, `hub:section`, `hub:denied` and `hub:none` are what its format says of it, `hub:backwards`
        that it is a span whose end comes before its beginning.
        """
        if ":" not in name:
            said = self.element.get(name)
            return said.strip() if said else ""
        prefix, _, local = name.partition(":")
        if prefix == "hub":
            return getattr(self, local, "") if local in _SAID else ""
        value = (self.element.get(f"{{{_NAMESPACES.get(prefix, '')}}}{local}") or "").strip()
        return value.rpartition(":")[2] if name == "xsi:type" else value

    @property
    def backwards(self) -> str:
        """`true` for a span (IVL_TS) whose `high` is an earlier day than its `low`."""
        low, high = (next((n.get("value")[:8] for n in self.by(name)), "") for name in ("low", "high"))
        length = min(len(low), len(high))
        return "true" if (low + high).isdigit() and high[:length] < low[:length] else ""

    @property
    def text(self) -> str:
        """The text of an element that holds no others, runs of blanks as one; empty for one that does."""
        if len(self.element):
            return "" if self.children else " ".join("".join(map(str, self.element.itertext())).split())
        text = self.element.text
        return " ".join(text.split()) if text else ""

    @property
    def words(self) -> str:
        """All text in the element, its own and that of what is inside."""
        return " ".join("".join(map(str, self.element.itertext())).split())

    @property
    def valued(self) -> bool:
        """Whether it, or anything in it, says something: text, or an attribute that is a value."""
        for name, value in self.element.attrib.items():
            if name not in QUIET and value.strip():
                return True
        if (self.element.text or "").strip():
            return True
        children = self.children
        if not children and len(self.element):
            return True  # closed: it says something when it is opened
        return any(c.valued or (c.element.tail or "").strip() for c in children)

    @property
    def fields(self) -> tuple[()]:
        """No fields: they are what segments have."""
        return ()

    @property
    def top(self) -> Node:
        """The document's root."""
        at = self
        while at.parent is not None:
            at = at.parent
        return at

    @property
    def n(self) -> int:
        """Which of its siblings of the same name it is, from 1."""
        if self.parent is None:
            return 1
        return self.parent.by(f"sdtc:{self.name}" if self.prefix else self.name).index(self) + 1

    @property
    def place(self) -> str:
        """The absolute XPath, as `engine.formats.xml.places` writes it."""
        if not self._place:
            if self.parent is None:
                self._place = "/" + step_name(
                    str(self.element.tag), etree.QName(self.element).namespace or ""
                )
            else:
                self.parent.number()
        return self._place

    def number(self) -> None:
        """Write down the places of all elements directly inside, counted once."""
        home = etree.QName(self.top.element).namespace or ""
        place = self.place
        count: dict[str, int] = {}
        for c in self.children:
            tag = str(c.element.tag)
            n = count[tag] = count.get(tag, 0) + 1
            c._place = f"{place}/{step_name(tag, home)}[{n}]"

    def walk(self) -> Iterator[Node]:
        """This element and all inside it, in document order."""
        yield self
        for c in self.children:
            yield from c.walk()

    def walk_seen(self) -> Iterator[Node]:
        """This element and those inside it that somebody asked for."""
        yield self
        for c in self._children or ():
            yield from c.walk_seen()

    def close(self) -> None:
        """Hide what is inside until `release_inside`: paths from elsewhere find nothing there."""
        self._children, self._by = (), {}

    def release_inside(self) -> None:
        """Let go of the nodes of what is inside; asked again, they are made anew."""
        for c in self._children or ():
            for inner in list(c.walk_seen()):
                inner.parent, inner._by, inner._children = None, None, ()
                del inner.element
        self._children, self._by = None, None

    def forget(self) -> None:
        """Let go of all that is inside, in the tree of the parser too; what it is called stays."""
        self.release_inside()
        tail = self.element.tail
        self.element.clear()
        self.element.tail = tail

    def release(self) -> None:
        """Let go of the ways up of all that is inside, so that its memory is free at once."""
        stack = [self]
        while stack:
            at = stack.pop()
            at.parent, at._by = None, None
            if at._children:
                stack.extend(at._children)
            at._children = ()

    def inside(self, other: Node) -> bool:
        """Say whether it is `other` or stands in it."""
        at: Node | None = self
        while at is not None:
            if at is other:
                return True
            at = at.parent
        return False

    def __repr__(self) -> str:
        return f"<Node {self.name}>"  # never its content
