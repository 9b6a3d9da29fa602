"""Which rows of a segment map say the same in message after message, so that what they made can be
remembered.

In: the rows of a map, and what the emitter writes for some of them. Out: the rows that read fields of their
own segment alone, none of which changes with every message (a control id, a time, a result), and the rest. An
element stays whole: all its rows are on one side, and so are the choices of one `value[x]`.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from engine.fhir import definitions
from engine.mapping.model import MapDef, Row

__all__ = ["CHANGING", "steady_rows"]

CHANGING: dict[str, frozenset[int]] = {
    "MSH": frozenset({7, 10, 13}),
    "SFT": frozenset(),
    "PID": frozenset(),
    "OBX": frozenset({1, 4, 5, 14, 19, 21}),
}
"""Segments that are worth it, and their fields that are new in every message."""
_FEWEST = 3
"""Fewer elements are not worth the look-up."""
_READ = re.compile(r"\bf\[(\d+)\]")
_OTHERS = re.compile(
    r"\bg\b|\bs\b|\bf_[A-Z]|\bx\.(?:find|make|chain|enter|leave|inside|weak|each|names|message)\b|is_set\(o,"
)
_TESTED = re.compile(r"'(\w+)' (?:not )?in o\b")


def steady_rows(
    m: MapDef, written: Callable[[tuple[Row, ...]], list[str]]
) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Return the rows to remember and the rest; `written` gives the lines of the rows of one element."""
    changing = CHANGING.get(m.source)
    if changing is None:
        return (), m.rows
    elements: dict[str, list[Row]] = {}
    for r in m.rows:
        elements.setdefault(_stem(m.to, r.target[0].name), []).append(r)
    kept = set()
    for name, rows in elements.items():
        text = "\n".join(written(tuple(rows)))
        names = {r.target[0].name for r in rows}
        reads = {int(n) for n in _READ.findall(text)}
        tests = {t.lstrip("_") for t in _TESTED.findall(text)}
        if reads and reads.isdisjoint(changing) and not _OTHERS.search(text) and tests <= names:
            kept.add(name)
    if len(kept) < _FEWEST:
        return (), m.rows
    steady = tuple(r for r in m.rows if _stem(m.to, r.target[0].name) in kept)
    return steady, tuple(r for r in m.rows if _stem(m.to, r.target[0].name) not in kept)


def _stem(kind: str, name: str) -> str:
    """The name that the choices of one element share: `value[x]` for valueQuantity."""
    found = definitions.element(kind, name)
    return found.name if found is not None else name
