"""A map as a sheet that a person reads: element, source, how, when, and who set it.

In: resolved maps. Out: `Line` records. `hub map show` prints them, `hub map diff` compares them, `hub map
export` puts them into cells.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from engine.mapping.entries import Entry, entries
from engine.mapping.model import MapDef
from engine.mapping.sheettext import condition_text, source_text

__all__ = ["Line", "condition_text", "lines", "sheet", "source_text"]

HOW = (
    "as",
    "code",
    "unmapped",
    "make",
    "each",
    "known_by",
    "action",
    "split",
    "by",
    "flag",
    "work",
    "skip",
    "assumed",
)


@dataclass(frozen=True, slots=True)
class Line:
    """One line of the sheet; `depth` tells how far it belongs under the line above, `path` which element it
    is."""

    element: str
    source: str
    how: str
    when: str
    set_by: str
    place: str
    depth: int = 0
    path: tuple[str, ...] = ()


def how_text(e: Entry) -> str:
    """Return everything an entry says beside its source and condition."""
    parts: list[str] = []
    for word in HOW:
        text = e.words.get(word, "")
        if word == "unmapped" and parts and text:
            parts[-1] += f" (unmapped: {text})"
        elif text:
            parts.append(
                f"{word}: {text}" if word in ("flag", "work", "skip", "assumed") else f"{word} {text}"
            )
    return "; ".join(parts)


def sheet(m: MapDef) -> Iterator[Line]:
    """Give the lines of a map, in the order of its rows."""
    return lines(entries(m), 0, ())


def lines(rows: Iterable[Entry], depth: int, path: tuple[str, ...]) -> Iterator[Line]:
    """Give the lines of some entries and of what hangs below them."""
    for e in rows:
        at = path
        if e.kind == "element":
            at = (*path, *e.key.split("."))
        elif e.kind == "case" and path and path[-1].endswith("[x]"):
            at = path[:-1]
        key = e.key or '""'
        name = {"element": key, "level": f"[{key}]", "case": f"= {key}"}.get(e.kind, f"{key}:")
        when = e.words.get("when", "")
        yield Line(name, e.words.get("from", ""), how_text(e), when, e.place.layer, str(e.place), depth, at)
        yield from lines(e.inside, depth + 1, at)
