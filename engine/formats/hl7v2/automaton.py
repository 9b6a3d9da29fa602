"""A message structure compiled to a table: from where the last segment stood and a name, to where that
segment goes.

In: a group tree. Out: steps, made when first needed and then looked up. The rules are those of HL7 v2.5.1 ch.
2.12 read as a deterministic automaton; where the abstract syntax is ambiguous (an ORC after OML_O21's SPM may
open a new ORDER or a PRIOR_RESULT) the place wins that skips the fewest group heads, then the innermost, then
the later one.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.formats.hl7v2.dictionary import GroupDef, SegmentRef

__all__ = ["MISPLACED", "MOVES", "STAYS", "Automaton", "Step"]

MOVES, STAYS, MISPLACED = 0, 1, 2
COMPANIONS = frozenset(("NTE", "PRT", "ROL"))
"""Segments that say more about the one before them: they stay with it."""

OPTIONAL_HEADS = frozenset(("ORC",))
"""Heads that many senders leave out: a group may begin again without them."""


@dataclass(slots=True, eq=False)
class Node:
    """A group or a segment of the tree, with its way from the root."""

    name: str
    repeats: bool
    required: bool
    is_group: bool
    parent: Node | None
    index: int
    depth: int
    path: str
    children: list[Node] = field(default_factory=list)


@dataclass(slots=True, eq=False)
class Step:
    """What to do with a segment: keep this many open groups, open these, and go on with that table."""

    kind: int
    keep: int = 0
    opens: tuple[tuple[str, str], ...] = ()
    inside: tuple[tuple[str, str, bool], ...] = ()
    table: dict[str, Step] = field(default_factory=dict)
    repair: str = ""


class Automaton:
    """One compiled structure."""

    def __init__(self, structure: GroupDef) -> None:
        self._root = _node(structure, None, 0, "")
        self._names = {node.name for node in _segments(self._root)}
        self._tables: dict[Node | None, dict[str, Step]] = {None: {}}
        self._places: dict[int, Node | None] = {id(self._tables[None]): None}
        self.start = self._tables[None]

    def step(self, table: dict[str, Step], name: str) -> Step:
        """Work out the step for a name and keep it in the table."""
        if name[:1] == "Z" and name not in self._names:
            return _Z_STAYS
        if name not in self._names and name not in COMPANIONS:
            return _UNKNOWN  # not kept: a table never grows with what senders invent
        step = self._work_out(self._places[id(table)], name)
        table[name] = step
        return step

    def _table(self, place: Node) -> dict[str, Step]:
        table = self._tables.get(place)
        if table is None:
            table = self._tables[place] = {}
            self._places[id(table)] = place
        return table

    def _work_out(self, place: Node | None, name: str) -> Step:
        if name in COMPANIONS:
            known = place is None or self._near(place, name)
            return Step(STAYS, repair="" if known or name != "NTE" else "misplaced-note")
        best: tuple[int, int, list[Node], int] | None = None
        order = 0
        for target, keep, restarted in self._candidates(place, name):
            opened = _opened(target, keep)
            cost = sum(not _is_head(group, target) for group in opened)
            order += 1
            if restarted is not None and not _may_begin(restarted, target):
                continue
            if best is None or cost < best[0]:
                best = (cost, order, [*opened, target], keep)
        if best is None:
            return self._misplaced(place, name)
        cost, _, way, keep = best
        target = way[-1]
        missing = [group for group in way[:-1] if not _may_begin(group, target, frozenset())]
        return Step(
            MOVES,
            keep,
            tuple((group.name, group.path) for group in way[:-1]),
            (),
            self._table(target),
            "group-without-head" if missing else "",
        )

    def _candidates(self, place: Node | None, name: str) -> list[tuple[Node, int, Node | None]]:
        """List the places a segment may go, nearest first: (place, groups kept open, group begun anew)."""
        found: list[tuple[Node, int, Node | None]] = []
        if place is None:
            return [(node, 1, None) for node in _segments(self._root) if node.name == name]
        if place.repeats and place.name == name:
            found.append((place, place.depth, None))
        node: Node = place
        while node.parent is not None:
            group = node.parent
            for later in group.children[node.index + 1 :]:
                found += [(n, group.depth + 1, None) for n in _segments(later) if n.name == name]
            if group.parent is not None and group.repeats:
                found += [(n, group.depth, group) for n in _segments(group) if n.name == name]
            node = group
        return found

    def _misplaced(self, place: Node | None, name: str) -> Step:
        """Place a segment that comes too late in the innermost open group that knows it."""
        node = place
        while node is not None and node.parent is not None:
            group = node.parent
            known = [n for n in _segments(group) if n.name == name]
            if known:
                target = known[0]
                inside = tuple((g.name, g.path, g.repeats) for g in _opened(target, group.depth + 1))
                return Step(MISPLACED, group.depth + 1, (), inside, {}, "misplaced-segment")
            node = group
        return _UNKNOWN

    def _near(self, place: Node, name: str) -> bool:
        """Tell whether the group of a place, or the one around it, has such a segment directly."""
        group = place.parent
        if place.name == "SPM":
            return True  # the syntax before 2.9 has no NTE here; senders do
        return group is not None and any(not n.is_group and n.name == name for n in group.children)


_Z_STAYS = Step(STAYS)
_UNKNOWN = Step(STAYS, repair="unexpected-segment")


def _node(definition: GroupDef | SegmentRef, parent: Node | None, index: int, path: str) -> Node:
    group = isinstance(definition, GroupDef)
    depth = 0 if parent is None else parent.depth + 1
    name = definition.name
    own = "" if parent is None else f"{path}/{name}" if path else name
    node = Node(name, definition.max != 1, definition.min > 0, group, parent, index, depth, own)
    if isinstance(definition, GroupDef):
        for number, child in enumerate(definition.children):
            node.children.append(_node(child, node, number, own))
    return node


def _segments(node: Node) -> list[Node]:
    """List the segments of a subtree in the order of the structure."""
    if not node.is_group:
        return [node]
    return [segment for child in node.children for segment in _segments(child)]


def _opened(target: Node, keep: int) -> list[Node]:
    """List the groups to open for a segment when `keep` groups, the root included, stay open."""
    way: list[Node] = []
    group = target.parent
    while group is not None and group.depth >= keep:
        way.append(group)
        group = group.parent
    return way[::-1]


def _is_head(group: Node, target: Node) -> bool:
    """Tell whether a segment is the first of a group."""
    return bool(group.children) and _segments(group)[0] is target


def _may_begin(group: Node, target: Node, spared: frozenset[str] = OPTIONAL_HEADS) -> bool:
    """Tell whether a group may begin with a segment: everything before it is optional, or spared."""
    for child in group.children:
        if child is target:
            return True
        if child.is_group and target in _segments(child):
            return _may_begin(child, target, spared)
        if child.required and child.name not in spared:
            return False
    return False
