"""Paths as map rows write them, from one element to others: `participant(@typeCode=CSM)/playingEntity/code`.

In: text, and a `Node`. Out: the elements, or the attribute values, that the path names. Steps are local names
(`sdtc:raceCode` for that namespace, `*` for any), `..` goes up, a leading `/` starts at the root. Tests stand
in parentheses: a number, `@a=x|y`, `code/@code!=z`, `templateId` (there is one that says something), `not
code`, `is=problem` (the kind), joined by ` and `. An abbreviation of XPath 1.0 that fits a YAML row: brackets
and quotes have a meaning there, parentheses have none.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

from engine.formats.xml.nodes import Node
from engine.kernel.errors import MapError

__all__ = ["PATH", "Path", "read_path", "said"]

_INNER = r"\((?:[^()]|\((?:[^()]|\([^()]*\))*\))*\)"
_NAME = r"(?:\.\.|\.|\*|@?[A-Za-z_][\w.-]*(?::[A-Za-z_][\w.-]*)?)"
PATH = rf"/?(?:text\(\)|{_NAME}(?:{_INNER})?)(?:/(?:text\(\)|{_NAME}(?:{_INNER})?))*"
"""The pattern of a path, for those who must find one inside other text."""

_STEP = re.compile(rf"(text\(\)|{_NAME})({_INNER})?(/|$)")


@dataclass(frozen=True, slots=True)
class _Test:
    """`path op values`; `op` is `=`, `!=`, `valued`, `empty`, `nth` or `is`."""

    op: str
    path: Path | None = None
    values: frozenset[str] = frozenset()
    n: int = 0

    def passes(self, node: Node) -> bool:
        if self.op == "is":
            return node.kind in self.values
        assert self.path is not None
        if self.op in ("=", "!="):
            return any(v in self.values for v in self.path.texts(node)) is (self.op == "=")
        return self.path.valued(node) is (self.op == "valued")


@dataclass(frozen=True, slots=True)
class _Step:
    name: str
    tests: tuple[_Test, ...] = ()


@dataclass(frozen=True, slots=True)
class Path:
    """A path, read. `attribute` is the name behind `@`, `text()` for the text, empty for elements."""

    text: str
    absolute: bool
    steps: tuple[_Step, ...]
    attribute: str = ""

    def nodes(self, node: Node) -> list[Node]:
        """The elements that the path names, without its attribute."""
        at = [node.top] if self.absolute else [node]
        for i, step in enumerate(self.steps):
            name = step.name
            if self.absolute and i == 0:  # the first step of an absolute path names the root itself
                found = [n for n in at if name in ("*", n.name)]
            elif name == "..":
                found = [n.parent for n in at if n.parent is not None]
            elif name == "*":
                found = [c for n in at for c in n.children]
            elif len(at) == 1:
                found = at[0].by(name)
            else:
                found = [c for n in at for c in n.by(name)]
            for test in step.tests:
                if not found:
                    break
                if test.op == "nth":
                    found = found[test.n - 1 : test.n]
                else:
                    found = [n for n in found if test.passes(n)]
            if not found:
                return []
            at = found
        return at

    def texts(self, node: Node) -> list[str]:
        """What the attributes, or the elements read as primitives, say; nothing for what says nothing."""
        found = self.nodes(node)
        if self.attribute == "text()":
            return [t for n in found if (t := n.text)]
        if self.attribute:
            return [t for n in found if (t := n.get(self.attribute))]
        return [t for n in found if (t := said(n))]

    def valued(self, node: Node) -> bool:
        """Whether any of what the path names says something."""
        if self.attribute:
            return bool(self.texts(node))
        return any(n.valued for n in self.nodes(node))


def said(node: Node) -> str:
    """Read an element as a primitive: its value, else its code, else its text."""
    return node.get("value") or node.get("code") or node.text


@lru_cache(maxsize=65536)
def read_path(text: str) -> Path:
    """Read a path. Raises MapError for what is none."""
    rest, absolute = (text[1:], True) if text.startswith("/") else (text, False)
    steps: list[_Step] = []
    attribute = ""
    at = 0
    while at < len(rest):
        m = _STEP.match(rest, at)
        if m is None or attribute:
            raise MapError(
                f"{text!r} is not a path",
                remedy="write it like effectiveTime/low, @negationInd, participant(@typeCode=CSM)/code",
            )
        name, tests = m[1], m[2]
        if name == "text()" or name.startswith("@"):
            attribute = name.removeprefix("@")
            if tests:
                raise MapError(f"{text!r}: an attribute has no parentheses")
        elif name != ".":
            steps.append(_Step(name, tuple(_tests(tests[1:-1], text)) if tests else ()))
        at = m.end()
    if not rest or rest.endswith("/"):
        raise MapError(f"{text!r} is not a path", remedy="a path ends with a name or an attribute")
    return Path(text, absolute, tuple(steps), attribute)


def _tests(text: str, whole: str) -> Iterable[_Test]:
    for part in _split(text):
        if part.isdigit() and int(part):
            yield _Test("nth", n=int(part))
            continue
        m = re.fullmatch(rf"({PATH})\s*(!?=)\s*(.+)", part)
        if m:
            values = frozenset(v.strip().strip("\"'") for v in m[3].split("|"))
            if m[1] == "is":
                yield _Test("is", values=values)
            else:
                yield _Test(m[2], read_path(m[1]), values)
            continue
        negated, _, path = part.rpartition("not ")
        if negated or not re.fullmatch(PATH, path):
            raise MapError(
                f"{whole!r}: the test ({part}) is not understood",
                remedy="write (2), (@typeCode=CSM), (code/@code=a|b), (value), (not value) or (is=problem)",
            )
        yield _Test("empty" if part.startswith("not ") else "valued", read_path(path))


def _split(text: str) -> list[str]:
    """Split at ` and ` outside parentheses."""
    out, depth, begin = [], 0, 0
    for m in re.finditer(r"[()]|\sand\s", text):
        if m[0] == "(":
            depth += 1
        elif m[0] == ")":
            depth -= 1
        elif not depth:
            out.append(text[begin : m.start()].strip())
            begin = m.end()
    return [*out, text[begin:].strip()]
