"""The groups of one message with their parents: what "the nearest PID" means for a row (mapping language,
Scope).

A location is read from the nearest enclosing group that holds the segment: the own group, its parents, the
message. A sibling group may be read only if it has exactly one; never another repetition of a group around
the row.
"""

from __future__ import annotations

from collections.abc import Iterable, Set
from typing import Any

from engine.formats.hl7v2.groups import Group

__all__ = ["Scope", "scope_of"]

HOLDERS = frozenset({"PID", "PV1", "PR1", "IN1", "ORC", "OBR", "OBX", "SPM"})
PASSED = frozenset({"CTD", "NK1", "NTE", "PD1", "PRT", "ROL", "TCD", "TQ1", "TQ2"})
"""Segments between a segment and its notes. Z-segments and those the structure does not know too."""

_NONE: frozenset[str] = frozenset()


class Scope:
    """One group: its own segments, its child groups, its parent."""

    __slots__ = (
        "_beside",
        "_near",
        "all_groups",
        "alone",
        "children",
        "deep",
        "groups",
        "name",
        "own",
        "padded",
        "parent",
        "strangers",
        "top",
    )

    strict = False
    """Whether references look beside only among what the top holds."""

    def __init__(self, group: Group, parent: Scope | None, path: tuple[str, ...] = ()) -> None:
        self.name = group.name
        self.parent = parent
        self.strangers: frozenset[str]  # of the message: addresses of what its structure does not know
        self.top: Scope = self if parent is None else parent.top
        self.all_groups: dict[tuple[str, ...], list[Scope]] = {} if parent is None else parent.all_groups
        self.all_groups.setdefault(path, []).append(self)
        self.own: dict[str, list[Any]] = {}
        self.groups: dict[str, list[Scope]] = {}
        self.children: list[Any] = []  # segments and scopes in order
        self._near: dict[str, Any] = {}
        self._beside: dict[tuple[str, str], Any] = {}
        self.padded: dict[str, list[str]] = {}  # fields of segments read from here, kept by the compiled maps
        below: set[str] = set()
        for child in group.children:
            name = child.name
            if isinstance(child, Group):
                inner = Scope(child, self, (*path, name))
                self.groups.setdefault(name, []).append(inner)
                self.children.append(inner)
                below.update(inner.deep)
            else:
                self.own.setdefault(name, []).append(child)
                self.children.append(child)
        self.deep: Set[str]  # names of all segments here and below
        self.deep = self.own.keys() | below if below else self.own.keys()
        if parent is None:
            self.strangers = _NONE
            # what stands in no group and never again in one: MSH
            self.alone = {n for n in self.own if not any(n in s.deep for s in self._inner())}

    def release(self) -> None:
        """Let go of the ways up, so that the message's memory is free at once and not when garbage is
        collected.
        """
        scopes = [s for found in self.all_groups.values() for s in found]
        self.all_groups.clear()
        for s in scopes:
            del s.parent, s.top

    def strange(self, s: Any) -> bool:
        """Say whether the structure of the message does not know this segment."""
        return bool(self.strangers) and f"{s.name}[{s.n}]" in self.strangers

    def _inner(self) -> list[Scope]:
        return [s for scopes in self.groups.values() for s in scopes]

    def near(self, name: str) -> Any:
        """The segment for a row standing here; None = not sent, False = several and none is nearer."""
        try:
            return self._near[name]
        except KeyError:
            pass
        here = self.own.get(name)
        found: Any
        if here:
            found = here[0]
        elif name in self.top.alone:
            found = self.top.own[name][0]
        else:
            below = self.below(name) if self.groups else None
            found = below[0] if below and len(below) == 1 else False if below else None
            if found is None and self.parent is not None:
                found = self.parent.beside(name, self.name)
        self._near[name] = found
        return found

    def beside(self, name: str, without: str) -> Any:
        """The segment for a row in a child group `without`, whose other repetitions are never read."""
        key = (name, without)
        try:
            return self._beside[key]
        except KeyError:
            pass
        here = self.own.get(name)
        below = None if here else self.below(name, without)
        found: Any
        if here:
            found = here[0]
        elif below:
            found = below[0] if len(below) == 1 else False
        else:
            found = self.parent.beside(name, self.name) if self.parent is not None else None
        self._beside[key] = found
        return found

    def below(self, name: str, without: str = "") -> list[Any]:
        """All segments of that name in child groups, those called `without` apart."""
        out: list[Any] = []
        for group_name, scopes in self.groups.items():
            if group_name != without:
                for s in scopes:
                    if name in s.deep:
                        out += s.own.get(name, ())
                        if s.groups:
                            out += s.below(name)
        return out

    def all(self, name: str, without: str = "") -> list[Any]:
        """Segments of that name in this group, else in the nearest group around it that has some; never those
        of another repetition of a group around this one (the groups called `without`)."""
        here = self.own.get(name)
        if here:
            return here
        found = self.below(name, without)
        if found or self.parent is None:
            return found
        return self.parent.all(name, self.name)

    def around(self, name: str) -> Scope:
        """The group whose segments of that name stand beside each other: this one, or the one around it where
        it holds a single one."""
        if len(self.own.get(name, ())) == 1 and self.parent is not None:
            return self.parent
        return self

    def together(self, name: str) -> list[Any]:
        """Segments of that name of this group; where it holds a single one, those of the group around it
        too."""
        at = self.around(name)
        return [*at.own.get(name, ()), *at.below(name)]

    def holds(self, group: str) -> bool:
        """Say whether this group, or one around it, holds a group of that name."""
        at: Scope | None = self
        while at is not None:
            if group in at.groups:
                return True
            at = at.parent
        return False

    def following(self, s: Any) -> list[Any]:
        """The NTE that belong to segment `s`: those behind it, up to the next segment that notes can belong
        to."""
        if not any(
            s is c for c in self.own.get(s.name, ())
        ):  # read from outside: the notes stand where the segment stands
            for groups in self.groups.values():
                for g in groups:
                    if any(s is c for c in g.own.get(s.name, ())) or (
                        g.groups and any(s is c for c in g.below(s.name))
                    ):
                        return g.following(s)
            at = self.parent
            while at is not None:
                if any(s is c for c in at.own.get(s.name, ())):
                    return at.following(s)
                at = at.parent
            return []
        out: list[Any] = []
        behind = False
        for child in self.children:
            if child is s:
                behind = True
            elif behind:
                if isinstance(child, Scope):
                    break
                if child.name == "NTE":
                    out.append(child)
                elif not (child.name in PASSED or child.name[0] == "Z" or self.top.strange(child)):
                    break
        return out

    def positioned(self, s: Any, name: str) -> list[Any]:
        """The segments of that name behind `s`, up to the next segment that such a one can stand behind (ROL,
        PRT)."""
        if s.name not in HOLDERS:
            return self.all(name)
        out: list[Any] = []
        behind = False
        for child in self.children:
            if child is s:
                behind = True
            elif behind and not isinstance(child, Scope):
                if child.name == name:
                    out.append(child)
                elif child.name in HOLDERS:
                    break
        return out

    def at(self, path: tuple[str, ...]) -> list[tuple[Scope, Any]]:
        """(group, segment or None) for every repetition of a group path, seen from the message; its last step
        may name a segment."""
        groups = self.all_groups.get(path)
        if groups is not None:
            return [(g, None) for g in groups]
        return [(g, s) for g in self.all_groups.get(path[:-1], ()) for s in g.own.get(path[-1], ())]

    def within(self, other: Scope) -> bool:
        """Say whether this group is `other` or inside it."""
        at: Scope | None = self
        while at is not None:
            if at is other:
                return True
            at = at.parent
        return False


def scope_of(group: Group, strangers: Iterable[str] = ()) -> Scope:
    """Build the scopes of an arranged message; `strangers` are the addresses of what its structure does not
    know."""
    root = Scope(group, None)
    root.strangers = frozenset(strangers)
    return root
