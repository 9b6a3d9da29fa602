"""Conditions over documents, `@negationInd = true and effectiveTime/low valued`: the words of conditions.py
with paths where those have fields.

In: the text of a `when:`. Out: the same small tree. `=` holds when any of what a path names says one of the
values, `!=` when none does.
"""

from __future__ import annotations

import re

from engine.formats.xml.paths import PATH
from engine.mapping.conditions import ELEMENT, VALUE, Condition, parse_with

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
    words = "path valued, not valued, =, !=, <, >, looks like number, element set, and, or, not, ( )"
    return parse_with(_TOKEN, text, where, words)
