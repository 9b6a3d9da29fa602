"""Reads values out of FHIR R4 resources by paths people write in tests, search parameters and the console.

In: a resource, a Bundle or a list of resources, and a path in the readable part of FHIRPath (R4
fhirpath.html, HL7 FHIRPath N1). Out: the list of values found, in order. Some paths:

    Patient.name.family
    Patient.identifier.where(type.coding.code='MR').value
    Observation.count()
    Observation.code.coding(0).code         the first coding of each; [0] is the first of all
    Observation.value.unit                  any value[x]
    Patient.birthDate.extension.value       what stands beside a primitive
    Observation.subject.resolve().gender    inside the same Bundle

A path that starts with a resource type looks at the resources of that type, in a Bundle at its entries. An
element that R4 does not have raises UnknownPath.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from engine.fhir import definitions
from engine.fhir.definitions import UnknownPath
from engine.fhir.pathfunctions import FUNCTIONS, equal, truth
from engine.fhir.pathnodes import Context, Node, Nodes, children, of_type, roots
from engine.fhir.pathsyntax import Tree, parse

__all__ = ["Path", "compile_path", "read"]

Step = Callable[[Nodes, Context], Nodes]


@dataclass(frozen=True, slots=True)
class Path:
    """A path that has been read once and can be used many times."""

    text: str
    _run: Step

    def read(self, source: Any) -> list[Any]:
        """Return the values in a resource, a Bundle or a list of resources."""
        context = Context(source)
        return [n.value for n in self._run(roots(source), context) if n.value is not None]


@lru_cache(maxsize=4096)
def compile_path(text: str) -> Path:
    """Read a path; raise UnknownPath where it is not one."""
    tree = parse(text)
    return Path(text, _compile(tree, text, head=True))


def read(source: Any, path: str) -> list[Any]:
    """Return the values at a path in a resource, a Bundle or a list of resources."""
    return compile_path(path).read(source)


def _compile(tree: Tree, text: str, *, head: bool = False) -> Step:
    """Turn a parsed path into a function of (where we stand, the whole) to what is found."""
    kind, *parts = tree
    if kind == "literal":
        made: Nodes = [Node(parts[0], "")]
        return lambda nodes, context: made
    if kind == "this":
        return lambda nodes, context: nodes
    if kind == "root":
        return lambda nodes, context: context.whole
    if kind == "given":
        raise UnknownPath(f"nobody gives a value for `%{parts[0]}` here", where=text)
    if kind == "name":
        return _name(parts[0], text, head)
    if kind == "step":
        return _chain(_compile(parts[0], text, head=head), _compile(parts[1], text))
    if kind == "index":
        return _index(_compile(parts[0], text, head=head), parts[1])
    if kind == "call":
        return _call(parts[0], parts[1], text)
    if kind in ("is", "as"):
        return _typed(kind, _compile(parts[0], text, head=head), parts[1], text)
    left, right = (_compile(p, text, head=head) for p in parts)
    return _operator(kind, left, right)


def _chain(first: Step, second: Step) -> Step:
    return lambda nodes, context: second(first(nodes, context), context)


def _name(name: str, text: str, head: bool) -> Step:
    if head and (name in definitions.resource_types() or name in ("Resource", "DomainResource")):

        def typed(nodes: Nodes, context: Context) -> Nodes:
            found = [
                n for n in nodes if n.kind == name or (name not in definitions.resource_types() and n.kind)
            ]
            return found if found or name == "Bundle" else [n for n in context.entries if n.kind == name]

        return typed

    def step(nodes: Nodes, context: Context) -> Nodes:
        found: Nodes = []
        known = not nodes
        for node in nodes:
            more = children(node, name)
            if more is not None:
                known = True
                found.extend(more)
        if not known:
            kinds = sorted({n.kind for n in nodes})
            raise UnknownPath(f"{', '.join(kinds)} has no element `{name}` in FHIR R4", where=text)
        return found

    return step


def _index(inner: Step, place: int) -> Step:
    return lambda nodes, context: inner(nodes, context)[place : place + 1]


def _each(inner: Step, place: int) -> Step:
    """Take one entry of each list: `coding(0)` is the first coding of every code."""
    return lambda nodes, context: [f for n in nodes for f in inner([n], context)[place : place + 1]]


def _call(name: str, arguments: list[Tree], text: str) -> Step:
    if (
        len(arguments) == 1
        and arguments[0][0] == "literal"
        and type(arguments[0][1]) is int
        and name not in FUNCTIONS
    ):
        return _each(_name(name, text, False), arguments[0][1])
    if name in ("is", "as", "ofType"):
        return _typed(
            "is" if name == "is" else "as", lambda nodes, context: nodes, _type_word(arguments, text), text
        )
    function = FUNCTIONS.get(name)
    if function is None:
        raise UnknownPath(f"there is no function `{name}()` in paths", where=text)
    steps = [_compile(a, text) for a in arguments]
    if not function.least <= len(steps) <= function.most:
        raise UnknownPath(f"`{name}()` takes {function.least} to {function.most} arguments", where=text)
    run = function.run

    def call(nodes: Nodes, context: Context) -> Nodes:
        return run(nodes, steps, context)

    return call


def _type_word(arguments: list[Tree], text: str) -> str:
    if len(arguments) == 1:
        tree = arguments[0]
        if tree[0] == "step" and tree[1] in (("name", "FHIR"), ("name", "System")):
            tree = tree[2]
        if tree[0] == "name":
            return str(tree[1])
    raise UnknownPath("a type name is expected here", where=text)


def _typed(word: str, inner: Step, kind: str, text: str) -> Step:
    names = definitions.types() | {"Resource", "DomainResource", "BackboneElement", "Element"}
    wanted = kind if kind in names else kind[:1].lower() + kind[1:]  # System.String is string
    if wanted not in names:
        raise UnknownPath(f"FHIR R4 has no type `{kind}`", where=text)

    def step(nodes: Nodes, context: Context) -> Nodes:
        found = inner(nodes, context)
        if word == "as":
            return [n for n in found if of_type(n, wanted)]
        return [Node(of_type(found[0], wanted), "boolean")] if len(found) == 1 else []

    return step


def _operator(word: str, left: Step, right: Step) -> Step:
    if word == "|":
        return lambda nodes, context: _union(left(nodes, context), right(nodes, context))

    def step(nodes: Nodes, context: Context) -> Nodes:
        if word in ("and", "or", "xor", "implies"):
            a, b = truth(left(nodes, context)), truth(right(nodes, context))
            made = {"and": a and b, "or": a or b, "xor": a is not b, "implies": b or not a}[word]
            return [Node(made, "boolean")]
        x, y = left(nodes, context), right(nodes, context)
        if word in ("in", "contains"):
            one, many = (x, y) if word == "in" else (y, x)
            return [Node(any(equal(one[0].value, m.value) for m in many), "boolean")] if one else []
        if not x or not y:
            return []
        if word in ("=", "!="):
            same = len(x) == len(y) and all(equal(a.value, b.value) for a, b in zip(x, y, strict=True))
            return [Node(same is (word == "="), "boolean")]
        return _ordered(word, x[0].value, y[0].value)

    return step


def _ordered(word: str, a: Any, b: Any) -> Nodes:
    if (
        isinstance(a, str) is not isinstance(b, str)
        or isinstance(a, (dict, bool))
        or isinstance(b, (dict, bool))
    ):
        return []
    made = {"<": a < b, ">": a > b, "<=": a <= b, ">=": a >= b}[word]
    return [Node(made, "boolean")]


def _union(a: Iterable[Node], b: Iterable[Node]) -> Nodes:
    found: Nodes = []
    for node in (*a, *b):
        if not any(equal(node.value, f.value) and node.extra == f.extra for f in found):
            found.append(node)
    return found
