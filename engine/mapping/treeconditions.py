"""Conditions over documents, `@negationInd = true and effectiveTime/low valued`: the words of conditions.py
with paths where those have fields.

In: the text of a `when:`. Out: the same small tree. `=` holds when any of what a path names says one of the
values, `!=` when none does.
"""

from __future__ import annotations

import re

from engine.formats.xml.paths import PATH
from engine.kernel.errors import MapError
from engine.mapping.conditions import ELEMENT, VALUE, Condition, read_tokens

__all__ = ["parse_tree"]

_TOKEN = re.compile(
    rf"\s*(?:(?P<func>length|count)\(\s*(?P<farg>{PATH})\s*\)"
    rf"|(?P<op>!=|<=|>=|=|<|>)\s*(?P<vals>(?:{VALUE})(?:\s*\|\s*(?:{VALUE}))*)"
    r"|(?P<word>(?:not\s+valued|valued|not\s+set|set|looks\s+like\s+[a-z]+|and|or|not)(?![\w/:.-]))"
    rf"|(?P<elem>{ELEMENT})(?=\s+(?:not\s+)?set\b)"
    rf"|(?P<loc>{PATH})"
    r"|(?P<open>\()|(?P<close>\)))"
)


def parse_tree(text: str, where: str = "") -> Condition:
    """Read one condition. Raises MapError with the place and what to write instead."""
    tokens: list[tuple[str, str]] = []
    at = 0
    text = text.strip()
    while at < len(text):
        m = _TOKEN.match(text, at)
        if not m or m.end() == at:
            raise MapError(
                f"condition {text!r} is not understood at {text[at : at + 20]!r}",
                where=where,
                remedy="use: path valued, not valued, =, !=, <, >, looks like number, element set, and, or, "
                "not, ( ); alternatives with |",
            )
        kind = m.lastgroup or ""
        if m["func"]:
            tokens.append(("func", f"{m['func']} {m['farg']}"))
        elif m["op"]:
            tokens.append(("cmp", f"{m['op']} {m['vals']}"))
        else:
            tokens.append((kind, " ".join(m[kind].split())))
        at = m.end()
    return read_tokens(tokens, text, where)
