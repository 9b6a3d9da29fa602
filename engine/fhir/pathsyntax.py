"""Reads the text of a path into a tree: the readable part of FHIRPath (HL7 FHIRPath N1, grammar).

In: text. Out: nested tuples such as `("step", ("name", "Patient"), ("name", "birthDate"))`. Precedence
follows the grammar of FHIRPath: step and index, `is`/`as`, `|`, inequality, equality, `in`/`contains`,
`and`, `or`/`xor`, `implies`. There is no arithmetic.
"""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from engine.fhir.definitions import UnknownPath

__all__ = ["Tree", "parse"]

Tree = tuple[Any, ...]

_TOKEN = re.compile(
    r"""\s*(?:
      (?P<date>@T?[0-9][0-9T:.Z+\-]*)
    | (?P<number>-?[0-9]+(?:\.[0-9]+)?)
    | (?P<text>'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")
    | (?P<name>[A-Za-z_][A-Za-z0-9_]*|`[^`]+`)
    | (?P<special>\$this|%resource|%rootResource|%context|%[a-z][A-Za-z]*)
    | (?P<sign><=|>=|!=|[.()\[\],|=<>])
    )""",
    re.VERBOSE,
)
_LEVELS: tuple[tuple[str, ...], ...] = (
    ("implies",),
    ("or", "xor"),
    ("and",),
    ("in", "contains"),
    ("=", "!="),
    ("<", ">", "<=", ">="),
    ("|",),
    ("is", "as"),
)
_ESCAPE = re.compile(r"\\(.)")
_MEANING = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}


def parse(text: str) -> Tree:
    """Return the tree of a path; raise UnknownPath where the text is not one."""
    reader = _Reader(text)
    tree = reader.level(0)
    if reader.at < len(reader.tokens):
        raise reader.error()
    return tree


class _Reader:
    def __init__(self, text: str) -> None:
        self.text = text
        self.tokens: list[tuple[str, str, int]] = []
        self.at = 0
        place, end = 0, len(text.rstrip())
        while place < end:
            found = _TOKEN.match(text, place)
            if found is None or found.lastgroup is None:
                raise UnknownPath(f"cannot be read at character {place + 1}", where=text)
            self.tokens.append((found.lastgroup, found[found.lastgroup], place))
            place = found.end()

    def error(self) -> UnknownPath:
        """Say where reading stopped."""
        place = self.tokens[self.at][2] + 1 if self.at < len(self.tokens) else len(self.text) + 1
        return UnknownPath(f"cannot be read at character {place}", where=self.text)

    def peek(self) -> str:
        """Return the next sign or word without taking it."""
        if self.at < len(self.tokens) and self.tokens[self.at][0] in ("sign", "name"):
            return self.tokens[self.at][1]
        return ""

    def take(self, wanted: str = "") -> tuple[str, str]:
        """Take the next token, which must be `wanted` if that is given."""
        if self.at >= len(self.tokens) or (wanted and self.tokens[self.at][1] != wanted):
            raise self.error()
        kind, word, _ = self.tokens[self.at]
        self.at += 1
        return kind, word

    def level(self, n: int) -> Tree:
        """Read operators of a precedence level and all that bind tighter."""
        if n == len(_LEVELS):
            return self.steps()
        tree = self.level(n + 1)
        while (word := self.peek()) in _LEVELS[n]:
            self.take()
            tree = (word, tree, self.type_name()) if word in ("is", "as") else (word, tree, self.level(n + 1))
        return tree

    def type_name(self) -> str:
        """Read `Quantity` or `FHIR.Quantity`."""
        kind, word = self.take()
        while kind == "name" and self.peek() == ".":
            self.take()
            kind, word = self.take()
        if kind != "name":
            self.at -= 1
            raise self.error()
        return word

    def steps(self) -> Tree:
        """Read a term and the steps and indexes that follow it."""
        tree = self.term()
        while (sign := self.peek()) in (".", "["):
            self.take()
            if sign == ".":
                tree = ("step", tree, self.named())
                continue
            kind, word = self.take()
            if kind != "number" or not word.isdigit():
                self.at -= 1
                raise self.error()
            self.take("]")
            tree = ("index", tree, int(word))
        return tree

    def term(self) -> Tree:
        """Read a literal, something in parentheses, or a name."""
        if self.peek() == "(":
            self.take()
            tree = self.level(0)
            self.take(")")
            return tree
        if self.at >= len(self.tokens):
            raise self.error()
        kind, word, _ = self.tokens[self.at]
        if kind == "name" and word not in ("true", "false"):
            return self.named()
        self.take()
        if kind == "text":
            return ("literal", _ESCAPE.sub(lambda m: _MEANING.get(m[1], m[1]), word[1:-1]))
        if kind == "number":
            return ("literal", Decimal(word) if "." in word else int(word))
        if kind == "date":
            return ("literal", word.lstrip("@T") if word.startswith("@T") else word[1:])
        if kind == "name":
            return ("literal", word == "true")
        if kind == "special":
            if word in ("$this", "%resource", "%rootResource", "%context"):
                return ("this",) if word == "$this" else ("root",)
            return ("given", word[1:])
        self.at -= 1
        raise self.error()

    def named(self) -> Tree:
        """Read a name, or a function with its arguments."""
        kind, word = self.take()
        if kind == "special" and word == "$this":
            return ("this",)
        if kind != "name":
            self.at -= 1
            raise self.error()
        if self.peek() != "(":
            return ("name", word.strip("`"))
        self.take()
        arguments: list[Tree] = []
        while self.peek() != ")":
            if arguments:
                self.take(",")
            arguments.append(self.level(0))
        self.take(")")
        return ("call", word, arguments)
