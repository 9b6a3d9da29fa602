"""The functions of FHIRPath that paths may call (HL7 FHIRPath N1, section 5), and what equality means.

In: the nodes before the dot, the arguments not yet evaluated, and the whole. Out: nodes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from engine.fhir.pathnodes import Context, Node, Nodes

__all__ = ["FUNCTIONS", "Function", "equal", "truth"]

Steps = Sequence[Callable[[Nodes, Context], Nodes]]


@dataclass(frozen=True, slots=True)
class Function:
    """A function and how many arguments it takes."""

    run: Callable[[Nodes, Steps, Context], Nodes]
    least: int = 0
    most: int = 0


def truth(nodes: Nodes) -> bool:
    """Say whether a condition holds: empty does not, a single value that is no boolean does (singleton
    rule)."""
    return len(nodes) == 1 and nodes[0].value is not False


def equal(a: Any, b: Any) -> bool:
    """Compare two values: numbers by value, booleans only with booleans."""
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, float):
        a = Decimal(str(a))
    if isinstance(b, float):
        b = Decimal(str(b))
    return bool(a == b)


def _yes(value: bool) -> Nodes:
    return [Node(value, "boolean")]


def _where(nodes: Nodes, steps: Steps, context: Context) -> Nodes:
    return [n for n in nodes if truth(steps[0]([n], context))]


def _exists(nodes: Nodes, steps: Steps, context: Context) -> Nodes:
    return _yes(bool(_where(nodes, steps, context) if steps else nodes))


def _all(nodes: Nodes, steps: Steps, context: Context) -> Nodes:
    return _yes(all(truth(steps[0]([n], context)) for n in nodes))


def _select(nodes: Nodes, steps: Steps, context: Context) -> Nodes:
    return [found for n in nodes for found in steps[0]([n], context)]


def _distinct(nodes: Nodes, steps: Steps, context: Context) -> Nodes:
    found: Nodes = []
    for node in nodes:
        if not any(equal(node.value, f.value) for f in found):
            found.append(node)
    return found


def _extension(nodes: Nodes, steps: Steps, context: Context) -> Nodes:
    wanted = {n.value for n in steps[0](nodes, context)}
    found: Nodes = []
    for node in nodes:
        holder = node.extra if node.extra is not None else node.value
        if isinstance(holder, dict):
            found += [Node(e, "Extension") for e in holder.get("extension", ()) if e.get("url") in wanted]
    return found


def _resolve(nodes: Nodes, steps: Steps, context: Context) -> Nodes:
    return [found for n in nodes if (found := context.resolve(n)) is not None]


def _text(test: Callable[[str, str], bool]) -> Callable[[Nodes, Steps, Context], Nodes]:
    def run(nodes: Nodes, steps: Steps, context: Context) -> Nodes:
        words = steps[0](nodes, context)
        if len(nodes) != 1 or len(words) != 1 or not isinstance(nodes[0].value, str):
            return []
        return _yes(test(nodes[0].value, str(words[0].value)))

    return run


def _part(cut: Callable[[Nodes, int], Nodes]) -> Callable[[Nodes, Steps, Context], Nodes]:
    def run(nodes: Nodes, steps: Steps, context: Context) -> Nodes:
        return cut(nodes, int(steps[0](nodes, context)[0].value))

    return run


def _join(nodes: Nodes, steps: Steps, context: Context) -> Nodes:
    glue = str(steps[0](nodes, context)[0].value) if steps else ""
    return [Node(glue.join(str(n.value) for n in nodes if n.value is not None), "string")]


FUNCTIONS: Mapping[str, Function] = {
    "where": Function(_where, 1, 1),
    "exists": Function(_exists, 0, 1),
    "all": Function(_all, 1, 1),
    "select": Function(_select, 1, 1),
    "empty": Function(lambda nodes, steps, context: _yes(not nodes)),
    "not": Function(lambda nodes, steps, context: _yes(nodes[0].value is False) if len(nodes) == 1 else []),
    "count": Function(lambda nodes, steps, context: [Node(len(nodes), "integer")]),
    "first": Function(lambda nodes, steps, context: nodes[:1]),
    "last": Function(lambda nodes, steps, context: nodes[-1:]),
    "tail": Function(lambda nodes, steps, context: nodes[1:]),
    "skip": Function(_part(lambda nodes, n: nodes[max(n, 0) :]), 1, 1),
    "take": Function(_part(lambda nodes, n: nodes[: max(n, 0)]), 1, 1),
    "distinct": Function(_distinct),
    "hasValue": Function(lambda nodes, steps, context: _yes(len(nodes) == 1 and nodes[0].value is not None)),
    "extension": Function(_extension, 1, 1),
    "resolve": Function(_resolve),
    "startsWith": Function(_text(str.startswith), 1, 1),
    "endsWith": Function(_text(str.endswith), 1, 1),
    "contains": Function(_text(str.__contains__), 1, 1),
    "matches": Function(_text(lambda a, b: re.search(b, a) is not None), 1, 1),
    "join": Function(_join, 0, 1),
    "toString": Function(lambda nodes, steps, context: [Node(str(n.value), "string") for n in nodes[:1]]),
    "length": Function(lambda nodes, steps, context: [Node(len(str(n.value)), "integer") for n in nodes[:1]]),
}
