"""The named groups of a document as maps see them: kinds of statements in a CDA, parties in a prescription.

Each group stands on one element and holds the groups inside it. A row reads only from its own element; a map
of another group's element is the nearest one around. A line's `per: problem` means every such group,
wherever it stands; `per: author|informant` any of these. Fits what `scope.Scope` offers to plans and links.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from engine.formats.xml.nodes import Node

__all__ = ["TreeScope"]


class TreeScope:
    """One group: its name, its element, the groups inside it, the one around it."""

    __slots__ = ("_all", "groups", "name", "node", "own", "parent", "piece", "top")

    strict = True
    """References look for their targets inside and around, and beside only among what the top holds."""

    def __init__(self, name: str, node: Node, parent: TreeScope | None = None) -> None:
        self.name, self.node, self.parent = name, node, parent
        self.piece: int = 0 if parent is None else parent.piece  # of a long document
        self.top: TreeScope = self if parent is None else parent.top
        self.own: dict[str, list[Node]] = {name: [node]}
        self.groups: dict[str, list[TreeScope]] = {}
        self._all: dict[str, list[TreeScope]] = {} if parent is None else parent.top._all
        self._all.setdefault(name, []).append(self)
        if parent is not None:
            parent.groups.setdefault(name, []).append(self)

    @property
    def names(self) -> set[str]:
        """The names of all groups of the document, and of the elements they stand on."""
        elements = {s.node.name for found in self._all.values() for s in found}
        return set(self._all) | elements | {"statement"}

    def at(self, path: tuple[str, ...]) -> list[tuple[TreeScope, Node]]:
        """Every group that a line's `per` names, in document order of each name; the top for an empty one."""
        if not path:
            return [(self, self.node)]
        return [(g, g.node) for name in path[-1].split("|") for g in self._all.get(name, ())]

    def near(self, name: str) -> Node | None:
        """The element of this group where the name is its kind or its element's, or `statement` (whatever
        element it is), else the element of the nearest group of that kind around it."""
        if name in (self.node.name, "statement"):
            return self.node
        at: TreeScope | None = self
        while at is not None:
            if at.name == name:
                return at.node
            at = at.parent
        return None

    def within(self, other: Any) -> bool:
        """Say whether this group is `other` or inside it."""
        at: TreeScope | None = self
        while at is not None:
            if at is other:
                return True
            at = at.parent
        return False

    def holds(self, group: str) -> bool:
        """Say whether this group, or one around it, holds a group of that name."""
        at: TreeScope | None = self
        while at is not None:
            if group in at.groups:
                return True
            at = at.parent
        return False

    def walk(self) -> Iterator[TreeScope]:
        """This group and all inside it."""
        yield self
        for scopes in self.groups.values():
            for s in scopes:
                yield from s.walk()

    def groups_so_far(self) -> dict[str, int]:
        """How many groups of each name there are: what `cut_back` goes back to."""
        return {name: len(found) for name, found in self._all.items()}

    def cut_back(self, counts: dict[str, int], sections: Iterable[TreeScope]) -> None:
        """Forget the groups that came since: those of a piece of the document that is done with."""
        for name in list(self._all):
            gone = self._all[name][counts.get(name, 0) :]
            for s in gone:
                s.parent = None
                s.groups.clear()
            del self._all[name][counts.get(name, 0) :]
        for s in sections:
            s.groups = {n: kept for n, all_ in s.groups.items() if (kept := [g for g in all_ if not g.piece])}

    def release(self) -> None:
        """Let go of the ways up, so that the document's memory is free at once."""
        scopes = [s for found in self._all.values() for s in found]
        self._all.clear()
        for s in scopes:
            s.parent = None
            del s.top
        self.node.release()
