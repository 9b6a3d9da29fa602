"""Where in the text of a map file somebody is typing, however broken the text still is.

In: a text, a line (from 1) and a column (from 0). Out: a `Cursor`: the keys around it, whether a key or a
value is being typed, and the word that has been begun. YAML that cannot be read yet is read by its
indentation; a `{ }` on the cursor's own line by its brackets.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

__all__ = ["Cursor", "cursor_at"]

_KEY = re.compile(r"(?P<dash>(?:-\s+)*)(?P<quote>[\"']?)(?P<key>[^\s\"'#][^\"'#]*?)(?P=quote):(?:\s|$)")
_STOPS = " \t,:{}[]|()"


@dataclass(frozen=True, slots=True)
class Cursor:
    """`path`: the keys around, outermost first; `key`: the one whose value is typed, "" where a key is."""

    path: tuple[str, ...]
    key: str
    word: str
    start: int  # column where the word begins
    comment: bool = False
    value: str = ""  # all of the value before the cursor
    said: frozenset[str] = frozenset()  # keys that stand beside already, on this line


def cursor_at(text: str, line: int, column: int) -> Cursor:
    """Return where the cursor stands."""
    lines = text.splitlines() or [""]
    line = min(max(1, line), len(lines) + 1)
    shown = lines[line - 1] if line <= len(lines) else ""
    before = shown[:column]
    bare = before.lstrip()
    dashes = re.match(r"(?:-\s+)*", bare)
    indent = len(before) - len(bare) + (dashes.end() if dashes else 0)
    return _on_line(tuple(_above(lines[: line - 1], indent)), before, indent)


def _above(lines: list[str], indent: int) -> list[str]:
    """Return the keys that a line with this indent hangs below."""
    path: list[str] = []
    for text in reversed(lines):
        bare = text.lstrip()
        if not bare or bare.startswith("#"):
            continue
        m = _KEY.match(bare)
        at = len(text) - len(bare)
        if m is None:
            continue
        if at + len(m["dash"]) < indent:
            path.insert(0, m["key"].strip())
            indent = at
        elif m["dash"] and at < indent:
            indent = at + 1
        if indent == 0:
            break
    return path


def _on_line(path: tuple[str, ...], text: str, start: int) -> Cursor:
    """Read the cursor's own line from its first character on."""
    open_: list[tuple[tuple[str, ...], bool]] = [(path, False)]  # keys around, inside [ ]
    key, value_at, item = "", -1, start
    said: list[set[str]] = [set()]
    quote, at = "", start
    while at < len(text):
        c = text[at]
        if quote:
            quote = "" if c == quote else quote
        elif c in "\"'" and (at == start or text[at - 1] in " [{,:"):
            quote = c
        elif c == "#" and (at == 0 or text[at - 1].isspace()):
            return Cursor(open_[-1][0], key, "", len(text), comment=True)
        elif c == ":" and not key and (at + 1 == len(text) or text[at + 1] in " \t"):
            key, value_at = text[item:at].strip().strip("\"'"), at + 1
            said[-1].add(key)
        elif c == "{" and not text[max(item, value_at) : at].strip():
            open_.append(((*open_[-1][0], key) if key else open_[-1][0], False))
            said.append(set())
            key, value_at, item = "", -1, at + 1
        elif c == "[" and key and not text[value_at:at].strip():
            open_.append(((*open_[-1][0], key), True))
            said.append(set())
            value_at = item = at + 1
        elif c in "}]" and len(open_) > 1:
            around = open_.pop()[0]
            said.pop()
            key, value_at, item = (around[-1] if around else ""), at + 1, at + 1
        elif c == "," and len(open_) > 1:
            item = at + 1
            if open_[-1][1]:
                value_at = at + 1
            else:
                key, value_at = "", -1
        at += 1
    around, listed = open_[-1]
    typed = text[(value_at if key else item) :]
    word_at = len(text)
    first = value_at if key else item
    while word_at > first and (text[word_at - 1] not in _STOPS or (not key and text[word_at - 1] in "()[]")):
        word_at -= 1
    if listed:
        around, key = around[:-1], around[-1]
    return Cursor(around, key, text[word_at:], word_at, value=typed.strip(), said=frozenset(said[-1] - {key}))
