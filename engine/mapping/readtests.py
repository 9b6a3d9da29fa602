"""What all map files share: words that are not of the language are refused, and `tests:` are read.

In: loaded YAML. Out: the same mapping, checked; `TestDef`s with their `file:line`.
"""

from __future__ import annotations

from typing import Any

from engine.kernel.errors import MapError
from engine.kernel.yamlfile import Map
from engine.mapping.model import Place, TestDef

__all__ = ["known_words", "read_tests"]


def known_words(m: Any, allowed: set[str], file: str) -> Map:
    """Refuse words that are not of the language."""
    if not isinstance(m, Map):
        raise MapError("is not a map file", where=file, remedy="start with map:, from:, to:, rows:")
    for k in m:
        if k not in allowed:
            raise MapError(
                f"does not know the word {k!r}",
                where=f"{file}:{m.key_lines[k]}",
                remedy=f"known here: {', '.join(sorted(allowed))}",
            )
    return m


def read_tests(block: Any, file: str, layer: str, map_name: str = "") -> tuple[TestDef, ...]:
    """Read `tests:`."""
    out = []
    for n, t in enumerate(block or (), 1):
        known_words(t, {"name", "in", "out", "map", "note", "message", "site"}, file)
        expect = t.get("out")
        pairs = tuple(expect.items()) if isinstance(expect, Map) else ((".", expect),)
        out.append(
            TestDef(
                str(t.get("name") or f"test {n}"),
                str(t.get("in") or ""),
                pairs,
                Place(file, t.line, layer),
                str(t.get("map") or map_name),
            )
        )
    return tuple(out)
