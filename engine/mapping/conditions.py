"""Conditions as analysts write them: `PID-29 not valued and count(PID-11) = 1`, read into a small tree.

Words: valued, not valued, cleared, =, !=, <, >, <=, >=, looks like number, set, not set, length(), count(),
and, or, not, parentheses; alternatives with `|`. Nothing here touches a message; `compile.py` writes the test
as Python.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.kernel.errors import MapError

__all__ = [
    "ELEMENT",
    "VALUE",
    "And",
    "Cleared",
    "Compare",
    "Condition",
    "GroupThere",
    "Looks",
    "Not",
    "Or",
    "TargetSet",
    "Valued",
    "groups_of",
    "locations_of",
    "parse",
    "parse_with",
    "targets_of",
]


@dataclass(frozen=True, slots=True)
class Valued:
    """`PID-5 valued`, or a segment alone: `ORC valued`."""

    location: str


@dataclass(frozen=True, slots=True)
class Cleared:
    """`PID-13 cleared`: the sender wrote `""`."""

    location: str


@dataclass(frozen=True, slots=True)
class Compare:
    """`OBX-2 = NM|SN`, `length(PID-7) > 8`, `count(PID-3) = 1`; `function` is "", "length" or "count"."""

    function: str
    location: str
    op: str
    values: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Looks:
    """`OBX-5 looks like number`."""

    location: str
    like: str


@dataclass(frozen=True, slots=True)
class TargetSet:
    """`system not set`: tests what this resource or datatype has become so far."""

    element: str


@dataclass(frozen=True, slots=True)
class GroupThere:
    """`TIMING_ENCODED valued`: the group, or the nearest around it, holds such a group."""

    group: str


@dataclass(frozen=True, slots=True)
class Not:
    """The opposite."""

    inner: Condition


@dataclass(frozen=True, slots=True)
class And:
    """All of them."""

    parts: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Or:
    """Any of them."""

    parts: tuple[Condition, ...]


Condition = Valued | Cleared | Compare | Looks | TargetSet | GroupThere | Not | And | Or

NAME = r"(?:[CS]\d{3}(?=[-.])|(?:(?:ST|\d{4}[A-Z]{0,2}(?:\|\d{4}[A-Z]{0,2})*)/)?[A-Z][A-Z0-9]{1,2})"
LOCATION = NAME + r"(?:\([^()]*\))?(?:[-.]\d+(?:\([^()]*\))?(?:\.\d+){0,2})?"
ELEMENT = (
    r"[a-z][A-Za-z]*(?:\[x\])?(?:\([a-zA-Z0-9_-]+\))?(?:\.[a-z][A-Za-z]*(?:\[x\])?(?:\([a-zA-Z0-9_-]+\))?)*"
)
VALUE = r"\"[^\"]*\"|'[^']*'|[^\s()|\"']+"
_TOKEN = re.compile(
    rf"\s*(?:(?P<func>length|count)\(\s*(?P<farg>{LOCATION})\s*\)"
    rf"|(?P<op>!=|<=|>=|=|<|>)\s*(?P<vals>(?:{VALUE})(?:\s*\|\s*(?:{VALUE}))*)"
    rf"|(?P<word>(?:not\s+valued|valued|cleared|not\s+set|set|looks\s+like\s+[a-z]+|and|or|not)\b)"
    r"|(?P<group>[A-Z][A-Z0-9_]{3,}|\d{4}[A-Z]{0,2}\b)(?![-.(/|])"
    rf"|(?P<loc>{LOCATION})(?![A-Za-z])"
    rf"|(?P<elem>{ELEMENT})"
    r"|(?P<open>\()|(?P<close>\)))"
)


WORDS = "valued, not valued, cleared, =, !=, <, >, looks like number, set, and, or, not, ( )"


def parse(text: str, where: str = "") -> Condition:
    """Read one condition. Raises MapError with the place and what to write instead."""
    return parse_with(_TOKEN, text, where, WORDS)


def parse_with(token: re.Pattern[str], text: str, where: str, words: str) -> Condition:
    """Read a condition of another kind of locations: `token` matches one token and names its kind: func with
    farg, op with vals, word, loc, group, elem, open or close. `words` is what an error offers."""
    tokens: list[tuple[str, str]] = []
    at = 0
    text = text.strip()
    while at < len(text):
        m = token.match(text, at)
        if not m or m.end() == at:
            raise MapError(
                f"condition {text!r} is not understood at {text[at : at + 20]!r}",
                where=where,
                remedy=f"use: {words}; alternatives with |",
            )
        kind = m.lastgroup or ""
        if m["func"]:
            tokens.append(("func", f"{m['func']} {m['farg']}"))
        elif m["op"]:
            tokens.append(("cmp", f"{m['op']} {m['vals']}"))
        else:
            tokens.append((kind, " ".join(m[kind].split())))
        at = m.end()
    reader = _Reader(tokens, text, where)
    tree = reader.disjunction()
    if reader.peek()[0]:
        raise reader.error(f"does not go on with {reader.peek()[1]!r}")
    return tree


class _Reader:
    def __init__(self, tokens: list[tuple[str, str]], text: str, where: str) -> None:
        self.tokens, self.at, self.text, self.where = tokens, 0, text, where

    def peek(self) -> tuple[str, str]:
        return self.tokens[self.at] if self.at < len(self.tokens) else ("", "")

    def take(self) -> tuple[str, str]:
        token = self.peek()
        self.at += 1
        return token

    def error(self, why: str) -> MapError:
        return MapError(
            f"condition {self.text!r} {why}", where=self.where, remedy="see docs/analysts/maps.md, Conditions"
        )

    def disjunction(self) -> Condition:
        parts = [self.conjunction()]
        while self.peek() == ("word", "or"):
            self.take()
            parts.append(self.conjunction())
        return parts[0] if len(parts) == 1 else Or(tuple(parts))

    def conjunction(self) -> Condition:
        parts = [self.negation()]
        while self.peek() == ("word", "and"):
            self.take()
            parts.append(self.negation())
        return parts[0] if len(parts) == 1 else And(tuple(parts))

    def negation(self) -> Condition:
        kind, text = self.peek()
        if (kind, text) == ("word", "not"):
            self.take()
            return Not(self.negation())
        if kind == "open":
            self.take()
            inner = self.disjunction()
            if self.take()[0] != "close":
                raise self.error("has a ( without its )")
            return inner
        return self.test()

    def test(self) -> Condition:
        kind, text = self.take()
        if kind == "func":
            function, location = text.split(" ", 1)
            return self.comparison(function, location)
        if kind == "loc":
            after = self.peek()
            if after[0] == "cmp":
                return self.comparison("", text)
            if after[0] == "word":
                word = after[1]
                if word in ("valued", "not valued", "cleared") or word.startswith("looks like "):
                    self.take()
                    if word == "valued":
                        return Valued(text)
                    if word == "not valued":
                        return Not(Valued(text))
                    if word == "cleared":
                        return Cleared(text)
                    return Looks(text, word.removeprefix("looks like "))
            raise self.error(f"says nothing about {text}")
        if kind == "group":
            said = self.take()
            if said in (("word", "valued"), ("word", "not valued")):
                return GroupThere(text) if said[1] == "valued" else Not(GroupThere(text))
            raise self.error(f"says nothing about {text}; a group can be `valued` or `not valued`")
        if kind == "elem":
            said = self.take()
            if said == ("word", "set"):
                return TargetSet(text)
            if said == ("word", "not set"):
                return Not(TargetSet(text))
            raise self.error(f"says nothing about {text}; an element can be `set` or `not set`")
        raise self.error("is cut short" if not kind else f"cannot start with {text!r}")

    def comparison(self, function: str, location: str) -> Condition:
        kind, text = self.take()
        if kind != "cmp":
            raise self.error(f"needs = or != or < or > after {location}")
        op, values = text.split(" ", 1)
        parts = tuple(v.strip().strip("\"'") for v in re.findall(VALUE, values))
        if (op not in ("=", "!=") or function) and not (
            len(parts) == 1 and re.fullmatch(r"-?\d+(\.\d+)?", parts[0])
        ):
            raise self.error(f"needs one number after {op}")
        return Compare(function, location, op, parts)


def _walk(c: Condition) -> list[Condition]:
    if isinstance(c, And | Or):
        return [x for p in c.parts for x in _walk(p)]
    if isinstance(c, Not):
        return _walk(c.inner)
    return [c]


def locations_of(c: Condition | None) -> list[str]:
    """Return every location the condition reads."""
    return (
        []
        if c is None
        else [x.location for x in _walk(c) if not isinstance(x, TargetSet | GroupThere | And | Or | Not)]
    )


def groups_of(c: Condition | None) -> list[str]:
    """Return every group the condition asks about."""
    return [] if c is None else [x.group for x in _walk(c) if isinstance(x, GroupThere)]


def targets_of(c: Condition | None) -> list[str]:
    """Return every target element the condition tests; such rows run after all others."""
    return [] if c is None else [x.element for x in _walk(c) if isinstance(x, TargetSet)]
