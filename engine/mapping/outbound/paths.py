"""The right side of an outbound row: a path into FHIR R4 resources, checked against the types when the map is
read and run over nodes that know their place.

In: the text of a path (the grammar of `engine.fhir.pathsyntax`) and the types it starts from. Out: a `Path`
that gives nodes, and the types they may have. The subset of FHIRPath (HL7 FHIRPath N1): steps, `where()`,
`first()`, `last()`, `tail()`, `[n]`, `resolve()`, `ofType()`, `extension('url')`, `exists()`, `empty()`,
`not()`, `count()`, `=`, `!=`, `and`, `or`, `in`, `|`, `$this`, literals and `%given`. Of our own: `type()`
gives the name of the type; `referrers(Type)`, who refers to this; of claims `linked(supportingInfo)`, what a
line names by its sequence, and `unlinked(supportingInfo)`, what no line names; `whole()`, the resource that a
part stands in; of results `uniform()` and `parents()` (`results.py`). A path that begins with a type
goes on only where the resource at hand is of that type; nothing but `%all` ever reads beside what the
references of the resource at hand lead to. A leaf used in `where()` counts as used where it held.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from difflib import get_close_matches
from typing import Any

from engine.fhir import definitions
from engine.fhir.definitions import UnknownPath
from engine.fhir.pathsyntax import Tree, parse
from engine.mapping.outbound.resources import LINKS, Node, Resources, child_nodes, kinds_of
from engine.mapping.outbound.results import parents, uniform

__all__ = ["Path", "compile_path"]

Run = Callable[[list[Node], Resources], list[Node]]
Kinds = frozenset[str]
SYSTEM = frozenset({"string"})
TRUTH = frozenset({"boolean"})
ANY = frozenset({"Resource"})
_CUTS: dict[str, Callable[[list[Node]], list[Node]]] = {
    "first": lambda nodes: nodes[:1],
    "last": lambda nodes: nodes[-1:],
    "tail": lambda nodes: nodes[1:],
    "single": lambda nodes: nodes if len(nodes) == 1 else [],
}


@dataclass(frozen=True, slots=True)
class Path:
    """A path that has been read; `kinds` are the types its nodes may have."""

    text: str
    run: Run
    kinds: Kinds


def compile_path(text: str, kinds: Kinds) -> Path:
    """Read a path from nodes of these types; raise UnknownPath where it leaves R4."""
    run, found = _compile(parse(text), kinds, text, True)
    return Path(text, run, found)


def _compile(tree: Tree, kinds: Kinds, text: str, head: bool) -> tuple[Run, Kinds]:
    kind, *parts = tree
    if kind == "literal":
        said = parts[0]
        if isinstance(said, str) and said.startswith("own:"):
            return (lambda nodes, all_: [Node(all_.named(said), "string", "")]), SYSTEM
        literal = [Node(said, "string", "")]
        return (lambda nodes, all_: literal), SYSTEM
    if kind == "given":
        name = parts[0]
        if name == "all":
            return (lambda nodes, all_: all_.nodes), ANY
        return (
            lambda nodes, all_: [Node(all_.given[name], "string", f"%{name}")] if all_.given.get(name) else []
        ), SYSTEM
    if kind == "this":
        return (lambda nodes, all_: nodes), kinds
    if kind == "name":
        return _name(parts[0], kinds, text, head)
    if kind == "step":
        first, between = _compile(parts[0], kinds, text, head)
        second, after = _compile(parts[1], between, text, False)
        return (lambda nodes, all_: second(first(nodes, all_), all_)), after
    if kind == "index":
        inner, after = _compile(parts[0], kinds, text, head)
        at = parts[1]
        return (lambda nodes, all_: inner(nodes, all_)[at : at + 1]), after
    if kind == "call":
        return _call(parts[0], parts[1], kinds, text)
    if kind in ("as", "is"):
        inner, before = _compile(parts[0], kinds, text, head)
        return _typed(inner, before, parts[1], text)
    left, kinds_left = _compile(parts[0], kinds, text, head)
    right, kinds_right = _compile(parts[1], kinds, text, head)
    if kind == "|":
        return (lambda nodes, all_: _union(left(nodes, all_), right(nodes, all_))), kinds_left | kinds_right
    return _operator(kind, left, right, text), TRUTH


def _name(name: str, kinds: Kinds, text: str, head: bool) -> tuple[Run, Kinds]:
    if head and name in definitions.resource_types():
        if not kinds & {name, "Resource"}:
            raise UnknownPath(
                f"this is never a {name} but {' or '.join(sorted(kinds))}",
                where=text,
                remedy=f'all that were given are "%all.ofType({name})"',
            )
        return (lambda nodes, all_: [n for n in nodes if n.kind == name]), frozenset({name})
    after = {k for kind in kinds for _, k in kinds_of(kind, name)}
    if "Resource" in kinds:
        after |= {k for kind in definitions.resource_types() for _, k in kinds_of(kind, name)}
    if not after:
        known = {n for kind in kinds for n in definitions.elements(kind)}
        near = get_close_matches(name, sorted(known), 2)
        raise UnknownPath(
            f"{' or '.join(sorted(kinds)) or 'a value'} has no element `{name}` in FHIR R4",
            where=text,
            remedy=f"did you mean {' or '.join(f'`{n}`' for n in near)}?" if near else "",
        )
    return (lambda nodes, all_: [c for n in nodes for c in child_nodes(n, name)]), frozenset(after)


def _call(name: str, arguments: list[Tree], kinds: Kinds, text: str) -> tuple[Run, Kinds]:
    if name in _CUTS and not arguments:
        cut = _CUTS[name]
        return (lambda nodes, all_: cut(nodes)), kinds
    if name == "where" and len(arguments) == 1:
        return _where(_compile(arguments[0], kinds, text, True)[0]), kinds
    if name in ("exists", "empty") and len(arguments) <= 1:
        test = _where(_compile(arguments[0], kinds, text, True)[0]) if arguments else None
        wanted = name == "exists"
        return (
            lambda nodes, all_: [Node(bool(test(nodes, all_) if test else nodes) is wanted, "boolean", "")]
        ), TRUTH
    if name == "not" and not arguments:
        return (lambda nodes, all_: [Node(not _truth(nodes), "boolean", "")] if nodes else []), TRUTH
    if name == "type" and not arguments:
        return (lambda nodes, all_: [Node(n.kind, "string", n.place) for n in nodes]), SYSTEM
    if name == "count" and not arguments:
        return (lambda nodes, all_: [Node(len(nodes), "integer", "")]), frozenset({"integer"})
    if name == "extension" and len(arguments) == 1 and arguments[0][0] == "literal":
        url = arguments[0][1]
        return (lambda nodes, all_: [e for n in nodes for e in _extensions(n, all_.named(url))]), frozenset(
            {"Extension"}
        )
    if name == "resolve" and not arguments:
        if not kinds & {"Reference", "canonical", "uri"}:
            raise UnknownPath("only a Reference can be resolved", where=text)
        return (lambda nodes, all_: [r for n in nodes if (r := all_.resolve(n)) is not None]), ANY
    if name in ("linked", "unlinked") and len(arguments) == 1 and arguments[0][0] == "name":
        return _linked(name, arguments[0][1], text)
    if name == "referrers" and len(arguments) == 1 and arguments[0][0] == "name":
        of = arguments[0][1]
        return (lambda nodes, all_: [r for n in nodes for r in all_.referrers(n, of)]), frozenset({of})
    if name in ("ofType", "as") and len(arguments) == 1 and arguments[0][0] == "name":
        return _typed(lambda nodes, all_: nodes, kinds, arguments[0][1], text)
    if name in _OWN and not arguments:
        own, kinds_own = _OWN[name]
        return own, kinds_own
    raise UnknownPath(
        f"there is no function `{name}()` like this in outbound paths",
        where=text,
        remedy="use where, first, last, tail, resolve, ofType, extension, exists, empty, not or count",
    )


def _whole(nodes: list[Node], all_: Resources) -> list[Node]:
    return [w for n in nodes if (w := all_.holder(n)) is not None]


_OWN: dict[str, tuple[Run, Kinds]] = {
    "whole": (_whole, ANY),
    "uniform": (lambda nodes, all_: uniform(nodes, all_), TRUTH),
    "parents": (lambda nodes, all_: [p for n in nodes for p in parents(n, all_)], frozenset({"Observation"})),
}


def _linked(name: str, entries: str, text: str) -> tuple[Run, Kinds]:
    """Give the entries of a Claim's list that a line names by their sequence, or those that no line names."""
    if entries not in LINKS:
        raise UnknownPath(f"lines link to {', '.join(LINKS)}", where=text)
    of_line = name == "linked"
    kinds = frozenset({f"Claim.{entries}"})
    return (lambda nodes, all_: [e for n in nodes for e in all_.linked(n, entries, of_line)]), kinds


def _where(test: Run) -> Run:
    def run(nodes: list[Node], all_: Resources) -> list[Node]:
        kept = []
        outer = all_.seen
        for node in nodes:
            all_.seen = []
            if _truth(test([node], all_)):
                kept.append(node)
                noted, all_.seen = all_.seen, outer
                for place in noted:
                    all_.note(place)
        all_.seen = outer
        return kept

    return run


def _typed(inner: Run, kinds: Kinds, name: str, text: str) -> tuple[Run, Kinds]:
    if name not in definitions.types():
        raise UnknownPath(f"FHIR R4 has no type `{name}`", where=text)
    if not kinds & {name, "Resource"}:
        raise UnknownPath(f"this is never a {name} but {' or '.join(sorted(kinds))}", where=text)
    return (lambda nodes, all_: [n for n in inner(nodes, all_) if n.kind == name]), frozenset({name})


def _extensions(node: Node, url: str) -> list[Node]:
    return [e for e in child_nodes(node, "extension") if e.value.get("url") == url]


def _operator(word: str, left: Run, right: Run, text: str) -> Run:
    if word in ("and", "or"):
        both = word == "and"

        def logic(nodes: list[Node], all_: Resources) -> list[Node]:
            a = _truth(left(nodes, all_))
            held = (a and _truth(right(nodes, all_))) if both else (a or _truth(right(nodes, all_)))
            return [Node(held, "boolean", "")]

        return logic
    if word not in ("=", "!=", "in"):
        raise UnknownPath(f"`{word}` is not used in outbound paths", where=text)

    def compare(nodes: list[Node], all_: Resources) -> list[Node]:
        x, y = left(nodes, all_), right(nodes, all_)
        if not x or not y:
            return []
        same = any(_same(a.value, b.value) for a in x for b in y)
        held = same is (word != "!=")
        if held:
            for node in (*x, *y):
                if node.place:
                    all_.note(node.place)
        return [Node(held, "boolean", "")]

    return compare


def _truth(nodes: list[Node]) -> bool:
    return bool(nodes) and nodes[0].value is not False


def _same(a: Any, b: Any) -> bool:
    if isinstance(a, bool) or isinstance(b, bool):
        return a is b
    if isinstance(a, (int, float, Decimal)) and isinstance(b, (int, float, Decimal)):
        return Decimal(str(a)) == Decimal(str(b))
    return bool(a == b)


def _union(a: list[Node], b: list[Node]) -> list[Node]:
    known = {n.place for n in a if n.place}
    return a + [n for n in b if n.place not in known]
