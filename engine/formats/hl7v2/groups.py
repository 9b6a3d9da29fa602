"""Segments to HL7 groups: the flat list becomes the tree of its message structure, tolerant of what senders
get wrong.

In: a parsed message and the structure to arrange by (see `structures`). Out: a `Group`; no segment is ever
lost, and what stood in an unexpected place is reported in `message.repairs`. Follows the abstract message
syntax of HL7 v2.5.1 ch. 2.12. How a segment finds its place, from the position of the one before it, nearest
first: later in the same group; at the start of a new repetition of a group around it; later in a group
further out. Where the structure has no such place: NTE, PRT, ROL and Z-segments stay with the segment before
them; a segment that comes too late joins the nearest open group that knows it; a segment the structure does
not know stays with the one before.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.formats.hl7v2.automaton import MISPLACED, STAYS, Automaton, Step
from engine.formats.hl7v2.delims import Repair
from engine.formats.hl7v2.dictionary import GroupDef
from engine.formats.hl7v2.structures import structure_for

if TYPE_CHECKING:
    from engine.formats.hl7v2.parse import Message, Segment

__all__ = ["Group", "arrange", "arrange_message"]


@dataclass(slots=True, eq=False)
class Group:
    """One group: its name, its path (`PATIENT_RESULT/PATIENT`), its groups and segments in order."""

    name: str
    path: str
    children: list[Group | Segment] = field(default_factory=list)

    def groups(self, path: str) -> Iterator[Group]:
        """Give the groups below this one whose path, seen from here, is `path`."""
        head, _, rest = path.partition("/")
        for child in self.children:
            if isinstance(child, Group) and child.name == head:
                if rest:
                    yield from child.groups(rest)
                else:
                    yield child

    def own(self, name: str) -> list[Segment]:
        """Give the segments of that name that stand directly in this group."""
        return [child for child in self.children if not isinstance(child, Group) and child.name == name]

    def walk(self) -> Iterator[tuple[Group, Segment]]:
        """Give every segment below this group with the group it stands in, in message order of the tree."""
        for child in self.children:
            if isinstance(child, Group):
                yield from child.walk()
            else:
                yield self, child


_automata: dict[GroupDef, Automaton] = {}


def arrange_message(message: Message) -> Group:
    """Arrange a message by the structure its MSH-9 and MSH-12 name."""
    return arrange(message, structure_for(message))


def arrange(message: Message, structure: GroupDef | None) -> Group:
    """Put the segments of a message into the groups of a structure; without one, into a single flat group."""
    if structure is None:
        return Group("", "", list(message.segments))
    automaton = _automata.get(structure)
    if automaton is None:
        automaton = _automata[structure] = Automaton(structure)
    root = Group("", "")
    stack = [root]  # the open groups, outermost first
    last = root  # the group of the segment before
    table = automaton.start
    for segment in message.segments:
        name = segment.name
        step = table.get(name) or automaton.step(table, name)
        kind = step.kind
        if kind == STAYS:
            last.children.append(segment)
        elif kind == MISPLACED:
            last = _late(stack, step, last)
            last.children.append(segment)
        else:
            del stack[step.keep :]
            last = stack[-1]
            for opened, path in step.opens:
                group = Group(opened, path)
                last.children.append(group)
                stack.append(group)
                last = group
            last.children.append(segment)
            table = step.table
        if step.repair:
            _report(message, step, segment)
    return root


def _late(stack: list[Group], step: Step, last: Group) -> Group:
    """Find or open the group of a segment that comes too late, inside the groups that are still open."""
    if step.keep > len(stack):
        return last
    group = stack[step.keep - 1]
    for name, path, repeats in step.inside:
        existing = [child for child in group.children if isinstance(child, Group) and child.name == name]
        if existing and not repeats:
            group = existing[-1]
            continue
        opened = Group(name, path)
        group.children.append(opened)
        group = opened
    return group


def _report(message: Message, step: Step, segment: Segment) -> None:
    repair = Repair(step.repair, f"{segment.name}[{segment.n}]", _TEXTS[step.repair])
    if repair not in message.repairs:
        message.repairs.append(repair)


_TEXTS = {
    "unexpected-segment": "the message structure has no such segment; it stays with the one before it",
    "misplaced-segment": "the structure has no place for the segment here; it joined the group it belongs to",
    "misplaced-note": "the structure has no NTE here; it stays with the segment before it",
    "group-without-head": "the segment that begins this group is missing",
}
