"""Loops that say the same again: a provider, a payer, a plan stands in claim after claim.

In: a line of a message map and a loop whose segments were mapped by it before in this transaction set. Out:
the resource made then. Only for maps that read their own loop alone, for loops without loops inside, and for
what left no note; never in the traced twin, which has to know where every value stands.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from engine.mapping.compile import Program
from engine.mapping.links import Node
from engine.mapping.model import MapDef

__all__ = ["LoopMemory", "keep", "recall"]

_ELSEWHERE = re.compile(r"'(?:\d{4}[A-Z]{0,2}[|/])|x\.standing\(g, '\d|\bg\.(?:holds|near)")
_CALLED = re.compile(r"\bM_(\w+), ")
_MOST = 20_000


class LoopMemory:
    """What the lines of one message map made of loops, by the loops' text; one for each run."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.alone: dict[str, bool] = {}  # map -> whether it reads its own loop alone

    def reads_alone(self, maps: Iterable[MapDef]) -> bool:
        """Say whether maps read nothing but the segments of their own loop and of the transaction set."""
        return all(self._alone(m.name) for m in maps)

    def _alone(self, name: str) -> bool:
        known = self.alone.get(name)
        if known is None:
            self.alone[name] = False  # a map that calls itself
            source = self.program.sources.get(name, "'0000/")
            known = not _ELSEWHERE.search(source) and all(map(self._alone, _CALLED.findall(source)))
            self.alone[name] = known
        return known


def recall(line: str, scope: Any, x: Any) -> Node | None:
    """Return the resource that this line made of a loop of this text before."""
    if scope.groups:
        return None
    found = x.loops_said.get((line, scope.text))
    if found is None:
        return None
    node, source = found
    return Node(line, scope, scope.near(source), node.draft, node.labels, {})


def keep(line: str, scope: Any, x: Any, node: Node, source: str, notes: int) -> None:
    """Remember a resource that a key names and that left no note."""
    sound = node.draft.keys and x.notes == notes and not node.spots and not scope.groups
    if sound and len(x.loops_said) < _MOST:
        x.loops_said[line, scope.text] = (node, source)
