"""`when:` of an outbound row: the conditions of the mapping language over FHIR paths instead of locations.

In: `status = active|completed and onset valued`. Out: the tree of `engine.mapping.conditions`, and a test
that runs it over nodes. Locations are the paths of `paths.py`; all other words are those of every map.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from decimal import Decimal

from engine.kernel.errors import MapError
from engine.mapping.conditions import VALUE, And, Compare, Condition, Looks, Not, Or, Valued, parse_with
from engine.mapping.outbound.paths import Kinds, compile_path
from engine.mapping.outbound.resources import Node, Resources

__all__ = ["Test", "compile_condition", "parse"]

Test = Callable[[list[Node], Resources], bool]

_ARGUMENT = r"\((?:'[^']*'|[^()']|\((?:'[^']*'|[^()'])*\))*\)"
_NAME = rf"[%$]?[A-Za-z_][A-Za-z0-9_]*(?:{_ARGUMENT})?(?:\[\d+\])?"
_PATH = rf"{_NAME}(?:\.{_NAME})*"
_TOKEN = re.compile(
    rf"\s*(?:(?P<func>length|count)\(\s*(?P<farg>{_PATH})\s*\)"
    rf"|(?P<op>!=|<=|>=|=|<|>)\s*(?P<vals>(?:{VALUE})(?:\s*\|\s*(?:{VALUE}))*)"
    r"|(?P<word>(?:not\s+valued|valued|looks\s+like\s+[a-z]+|and|or|not)\b(?!\())"
    rf"|(?P<loc>{_PATH})|(?P<open>\()|(?P<close>\)))"
)


def parse(text: str, where: str = "") -> Condition:
    """Read one condition. Raises MapError with the place."""
    return parse_with(_TOKEN, text, where, "valued, not valued, =, !=, <, >, and, or, not, count()")


def compile_condition(condition: Condition, kinds: Kinds, where: str) -> Test:
    """Turn a condition into a test. Raises UnknownPath or MapError."""
    if isinstance(condition, And | Or):
        parts = [compile_condition(p, kinds, where) for p in condition.parts]
        if isinstance(condition, And):
            return lambda nodes, all_: all(p(nodes, all_) for p in parts)
        return lambda nodes, all_: any(p(nodes, all_) for p in parts)
    if isinstance(condition, Not):
        inner = compile_condition(condition.inner, kinds, where)
        return lambda nodes, all_: not inner(nodes, all_)
    if isinstance(condition, Valued):
        path = compile_path(condition.location, kinds).run
        return lambda nodes, all_: any(n.value is not None for n in path(nodes, all_))
    if isinstance(condition, Compare):
        return _compare(condition, kinds)
    word = "looks like" if isinstance(condition, Looks) else "set"
    raise MapError(f"`{word}` is not used in outbound conditions", where=where)


def _compare(c: Compare, kinds: Kinds) -> Test:
    path = compile_path(c.location, kinds).run
    if c.function or c.op not in ("=", "!="):
        limit = float(c.values[0])
        tests: dict[str, Callable[[float], bool]] = {
            "=": lambda x: x == limit,
            "!=": lambda x: x != limit,
            "<": lambda x: x < limit,
            ">": lambda x: x > limit,
            "<=": lambda x: x <= limit,
            ">=": lambda x: x >= limit,
        }
        test = tests[c.op]
        if c.function == "count":
            return lambda nodes, all_: test(len(path(nodes, all_)))
        if c.function == "length":
            return lambda nodes, all_: any(test(len(text(n))) for n in path(nodes, all_))
        return lambda nodes, all_: any(test(float(n.value)) for n in path(nodes, all_))
    wanted = frozenset(c.values)
    if c.op == "!=":
        return lambda nodes, all_: not any(text(n) in wanted for n in path(nodes, all_))

    def equal(nodes: list[Node], all_: Resources) -> bool:
        hits = [n for n in path(nodes, all_) if text(n) in wanted]
        for node in hits:
            all_.note(node.place)
        return bool(hits)

    return equal


def text(node: Node) -> str:
    """Give a primitive as text: booleans as FHIR writes them."""
    if isinstance(node.value, bool):
        return "true" if node.value else "false"
    if isinstance(node.value, Decimal):
        return format(node.value, "f")
    return "" if node.value is None else str(node.value)
