"""Takes what is worked out again and again in a generated function and does it once, without changing its
result.

In: the lines of a segment function as the emitter wrote them. Out: the same function where (1) questions
about one own field that are asked several times are answered at its head, and (2) whatever depends on other
segments alone (the order, the patient, MSH) stands in a function of its own, `A_name`, which runs once for
all repetitions of a group. Only steps without side effects are moved; the twin is never touched.
"""

from __future__ import annotations

import ast
import re
from collections import Counter
from functools import lru_cache
from typing import Any, cast

from engine.mapping.emitnames import variable

__all__ = ["OFTEN", "hoisted", "own_fields"]

PURE = frozenset(
    [
        "reps",
        "count",
        "first",
        "one",
        "comp",
        "nth",
        "only",
        "part",
        "valued",
        "looks",
        "number",
        "len",
        "int",
        "bool",
    ]
)
PURE_METHODS = frozenset({"text", "pick"})
OFTEN = frozenset(["OBX", "NK1", "AL1", "DG1", "PR1", "IN1", "PRT", "ROL", "SPM"])
"""Segments that stand many times in one message, below segments that they read."""


def _names(node: ast.expr) -> set[str] | None:
    """The variables that an expression reads; None where it does more than read."""
    found: set[str] = set()
    for n in ast.walk(node):
        if isinstance(n, ast.Call):
            if n.keywords:
                return None
            if isinstance(n.func, ast.Attribute):
                of_run = isinstance(n.func.value, ast.Name) and n.func.value.id == "x"
                if n.func.attr not in PURE_METHODS if of_run else n.func.attr != "split":
                    return None
            elif not (isinstance(n.func, ast.Name) and n.func.id in PURE):
                return None
        elif isinstance(n, ast.Name):
            if n.id not in PURE and n.id != "x":
                found.add(n.id)
        elif not isinstance(
            n, ast.Constant | ast.Subscript | ast.BoolOp | ast.UnaryOp | ast.Compare | ast.Tuple
            | ast.Attribute | ast.expr_context
            | ast.boolop | ast.unaryop | ast.cmpop
        ):  # fmt: skip
            return None
    return found - {"rs", "cs", "ss"}


def _piece(node: ast.AST) -> bool:
    """Say whether it is one piece of a split text."""
    return isinstance(node, ast.Subscript) and isinstance(node.value, ast.Call)


class _Outside(ast.NodeTransformer):
    """Replaces expressions that read other segments alone by a variable."""

    def __init__(self) -> None:
        self.found: dict[str, str] = {}

    def visit(self, node: ast.AST) -> ast.AST:
        if isinstance(node, ast.Call | ast.BoolOp | ast.Compare | ast.UnaryOp) or _piece(node):
            names = _names(cast("ast.expr", node))
            if names and all(n.startswith("f_") for n in names):
                text = ast.unparse(node)
                return ast.Name(self.found.setdefault(text, f"w{len(self.found) + 1}"), ast.Load())
        return self.generic_visit(node)


_ASKED = re.compile(r"(?<![\w.'\"])(?:x\.text\(one\(f\[(\d+)\], rs\)\)|count\(f\[(\d+)\], rs\))")


def _questions(body: str) -> dict[str, str]:
    """`x.text(one(f[2], rs))` and `count(f[5], rs)` where they stand twice -> the names of their answers."""
    asked = Counter(m[0] for m in _ASKED.finditer(body))
    out = {}
    for text, times in asked.items():
        m = _ASKED.match(text)
        if times > 1 and m is not None:
            out[text] = f"text{m[1]}" if m[1] else f"count{m[2]}"
    return out


# -- tests whose answer is known -----------------------------------------------------------------------------


Field = tuple[str, int]


def _sent(test: ast.expr) -> frozenset[Field]:
    """The fields that hold something where a test comes out true: `f[3]`, `f_OBR[24] and ...`."""
    if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And):
        return frozenset().union(*map(_sent, test.values))
    if (
        isinstance(test, ast.Subscript)
        and isinstance(test.value, ast.Name)
        and isinstance(test.slice, ast.Constant)
        and isinstance(number := test.slice.value, int)
        and (test.value.id == "f" or test.value.id.startswith("f_"))
    ):
        return frozenset([(test.value.id, number)])
    return frozenset()


def _answered(body: list[ast.stmt], sent: frozenset[Field]) -> list[ast.stmt]:
    """Take away tests whether a field was sent inside one that has asked it."""
    out: list[ast.stmt] = []
    for node in body:
        if isinstance(node, ast.If):
            asked = _sent(node.test)
            if asked and asked <= sent and not isinstance(node.test, ast.BoolOp):
                out += _answered(node.body, sent)
                continue
            node.body, node.orelse = _answered(node.body, sent | asked), _answered(node.orelse, sent)
        elif isinstance(node, ast.For):
            node.body = _answered(node.body, sent)
        out.append(node)
    return out


def _settled(body: list[ast.stmt]) -> list[ast.stmt]:
    """Drop tests that can only come out one way: of an element just made, of a value just tested."""
    for node in body:
        if isinstance(node, ast.For):
            node.body = _settled(node.body)
        elif isinstance(node, ast.If):
            node.body, node.orelse = _settled(node.body), _settled(node.orelse)
            _twice(node)
    return _straight(body)


def _twice(node: ast.If) -> None:
    """Take away a test inside that asks what the one around it has asked."""
    inner = node.body[-1]
    if not isinstance(inner, ast.If) or inner.orelse:
        return
    if len(node.body) == 1 and not node.orelse:
        if type(inner.test) is type(node.test) and ast.unparse(inner.test) == ast.unparse(node.test):
            node.body = inner.body
    elif (
        len(node.body) == 2
        and isinstance(copy := node.body[0], ast.Assign)
        and isinstance(node.test, ast.Compare)
        and isinstance(inner.test, ast.Compare)
    ):
        copied = f"{ast.unparse(copy.value)} is not None" == ast.unparse(node.test)
        if copied and ast.unparse(inner.test) == f"{ast.unparse(copy.targets[0])} is not None":
            node.body = [copy, *inner.body]


def _straight(body: list[ast.stmt]) -> list[ast.stmt]:
    """Take `if 'a' not in e:` away where `e` was made in this very block and has no `a` yet."""
    out: list[ast.stmt] = []
    fresh: dict[str, set[str]] = {}  # variable -> the elements it may have by now
    for statement in body:
        if isinstance(statement, ast.If) and not statement.orelse and _absent(statement.test, fresh):
            steps = statement.body
        else:
            steps = [statement]
        for step in steps:
            out.append(step)
            if (
                isinstance(step, ast.Assign)
                and isinstance(step.targets[0], ast.Name)
                and isinstance(step.value, ast.Dict)
                and not step.value.keys
            ):
                fresh[step.targets[0].id] = set()
            else:
                _touched(step, fresh)
    return out


def _absent(test: ast.expr, fresh: dict[str, set[str]]) -> bool:
    if isinstance(test, ast.Compare) and isinstance(test.ops[0], ast.NotIn) and len(test.ops) == 1:
        of, name = test.comparators[0], test.left
        return (
            isinstance(of, ast.Name)
            and isinstance(name, ast.Constant)
            and of.id in fresh
            and name.value not in fresh[of.id]
        )
    if isinstance(test, ast.Call) and isinstance(test.func, ast.Attribute) and test.func.attr == "isdisjoint":
        return isinstance(of := test.args[0], ast.Name) and fresh.get(of.id) == set()
    return False


def _touched(step: ast.stmt, fresh: dict[str, set[str]]) -> None:
    """Note what a statement may have done to the elements being watched."""
    if not fresh:
        return
    nodes = list(ast.walk(step))
    if not any(isinstance(n, ast.Name) and n.id in fresh for n in nodes):
        return
    named: set[int] = set()
    for n in nodes:
        if (
            isinstance(n, ast.Subscript)
            and isinstance(n.value, ast.Name)
            and isinstance(n.slice, ast.Constant)
        ):
            named.add(id(n.value))
            if isinstance(n.ctx, ast.Store) and n.value.id in fresh:
                fresh[n.value.id].add(str(n.slice.value))
        elif isinstance(n, ast.Compare | ast.If | ast.IfExp):
            for part in (n.test,) if not isinstance(n, ast.Compare) else n.comparators:
                if isinstance(part, ast.Name):
                    named.add(id(part))
        elif isinstance(n, ast.Call) and isinstance(n.func, ast.Attribute) and n.func.attr == "isdisjoint":
            named.update(id(a) for a in n.args)
    for n in nodes:
        if isinstance(n, ast.Name) and n.id in fresh and id(n) not in named:
            del fresh[n.id]  # handed on: anything may happen to it


def hoisted(name: str, head: str, body: list[str], segments: list[str], outside: bool) -> list[str]:
    """Return the lines of the function `head` and, before it, of what it needs from outside.

    `segments` are those it reads besides its own; `outside` says whether what they say is worked out apart.
    """
    return list(_hoisted(name, head, "\n".join(body or ["    pass"]), tuple(segments), outside))


@lru_cache(maxsize=4096)
def _hoisted(name: str, head: str, text: str, segments: tuple[str, ...], outside: bool) -> tuple[str, ...]:
    """Do it, once for every text: sites and drafts share most of their maps with the standard."""
    chosen = _questions(text)
    if chosen:
        text = _ASKED.sub(lambda m: chosen.get(m[0], m[0]), text)
    tree: Any = ast.parse("def _():\n" + text)
    apart = _Outside()
    if outside:
        tree = apart.visit(tree)
    function = tree.body[0]
    assert isinstance(function, ast.FunctionDef)
    done = [
        "    " + line
        for n in _settled(_answered(function.body, frozenset()))
        for line in ast.unparse(n).splitlines()
    ]
    used = set(re.findall(r"[A-Za-z_]\w*", "\n".join(done)))
    lines = [head]
    if used & {"cs", "rs", "ss"} or chosen:
        lines.append("    cs, rs, ss = x.cs, x.rs, x.ss")
    if "f" in used or chosen:
        lines.append("    f = fields(s, x)")
    before: list[str] = []
    near = [f"    {variable(s)} = near(x, g, {s!r})" for s in segments]
    if apart.found:
        given = [variable(s) for s in segments if variable(s) in used] + list(apart.found.values())
        before = [f"def A_{name}(x, g):", "    cs, rs, ss = x.cs, x.rs, x.ss", *near]
        before += [f"    {v} = {text}" for text, v in apart.found.items()]
        before += [f"    return ({', '.join(given)},)", ""]
        lines.append(f"    ({', '.join(given)},) = around(x, g, {name!r}, OUTSIDE_{name}, A_{name})")
    else:
        lines += [n for n, s in zip(near, segments, strict=True) if variable(s) in used]
    for asked, v in chosen.items():
        number = v.removeprefix("text").removeprefix("count")
        lines.append(f"    {v} = {asked} if f[{number}] else {'0' if v.startswith('count') else repr('')}")
    return (*before, *lines, *done)


def own_fields(lines: list[str]) -> tuple[int, ...]:
    """Return the numbers of the own fields that a function reads; none if it reads anything besides them."""
    found: set[int] = set()
    for n in ast.walk(ast.parse("\n".join(lines))):
        if isinstance(n, ast.Name) and (n.id in ("g", "around", "near") or n.id.startswith("f_")):
            return ()
        if isinstance(n, ast.Attribute) and n.attr in ("find", "each", "names", "message"):
            return ()
        if isinstance(n, ast.Subscript) and isinstance(n.value, ast.Name) and n.value.id == "f":
            if not isinstance(n.slice, ast.Constant) or not isinstance(n.slice.value, int):
                return ()
            found.add(n.slice.value)
    return tuple(sorted(found))
