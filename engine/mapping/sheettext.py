"""The parts of a row as texts: sources and conditions as a map file writes them.

In: typed sources and conditions. Out: text; a condition's text reads back as the same condition.
"""

from __future__ import annotations

import re

from engine.mapping.conditions import (
    VALUE,
    And,
    Cleared,
    Compare,
    Condition,
    GroupThere,
    Looks,
    Not,
    Or,
    TargetSet,
    Valued,
)
from engine.mapping.model import Constant, First, Join, Locate, Source

__all__ = ["condition_text", "source_text"]


def source_text(s: Source | None) -> str:
    """Return a source as a map file says it."""
    if s is None:
        return ""
    if isinstance(s, Locate):
        return s.text
    if isinstance(s, Constant):
        return f"={s.text}"
    if isinstance(s, First):
        return "[" + ", ".join(source_text(o) for o in s.options) + "]"
    assert isinstance(s, Join)
    if not s.with_:
        return " + ".join(source_text(p) for p in s.parts)
    return "join [" + ", ".join(source_text(p) for p in s.parts) + f"] with {s.with_}"


def condition_text(c: Condition | None) -> str:
    """Return a condition as a map file says it."""
    if c is None:
        return ""
    if isinstance(c, And | Or):
        word = " and " if isinstance(c, And) else " or "
        return word.join(
            f"({condition_text(p)})" if isinstance(p, And | Or) else condition_text(p) for p in c.parts
        )
    if isinstance(c, Not):
        if isinstance(c.inner, Valued):
            return f"{c.inner.location} not valued"
        if isinstance(c.inner, TargetSet):
            return f"{c.inner.element} not set"
        if isinstance(c.inner, GroupThere):
            return f"{c.inner.group} not valued"
        return f"not ({condition_text(c.inner)})"
    if isinstance(c, Valued):
        return f"{c.location} valued"
    if isinstance(c, Cleared):
        return f"{c.location} cleared"
    if isinstance(c, Looks):
        return f"{c.location} looks like {c.like}"
    if isinstance(c, TargetSet):
        return f"{c.element} set"
    if isinstance(c, GroupThere):
        return f"{c.group} valued"
    assert isinstance(c, Compare)
    left = f"{c.function}({c.location})" if c.function else c.location
    return f"{left} {c.op} {'|'.join(map(_quoted, c.values))}"


def _quoted(value: str) -> str:
    return value if re.fullmatch(VALUE, value) and value[0] not in "\"'" else f'"{value}"'
