"""The console's grid: a map as rows of cells, and one cell written into the file that should say it.

In: the maps as a site (or the standard) sees them, which row, which word, what it shall say. Out: the new
text of the site's file, or of the map's own, proved to say just that; every other line stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from copy import deepcopy
from dataclasses import dataclass
from pathlib import Path

from engine.channels.sheetbook import the_map
from engine.channels.sheetcells import COLUMNS, Cell, comments, said_hash
from engine.channels.sheetedits import texts_of
from engine.channels.sheetrows import Edit, Sheet
from engine.kernel.errors import MapError
from engine.mapping.entries import CELLS, Entry, entries
from engine.mapping.project import Maps

__all__ = ["CellRow", "Written", "add_row", "drop_row", "edit_cell", "edit_row", "grid"]


@dataclass(frozen=True, slots=True)
class CellRow:
    """One row of the grid. `spot` finds it again: its place among its neighbours, level by level."""

    spot: str
    depth: int
    kind: str
    element: str
    words: dict[str, str]
    comment: str
    layer: str
    file: str
    line: int


@dataclass(frozen=True, slots=True)
class Written:
    """What an edit comes to: the cells that differ, and the texts of files."""

    edits: list[Edit]
    texts: dict[str, str]


def grid(root: Path, maps: Maps, site: str, name: str) -> tuple[list[CellRow], str]:
    """Return the rows of a map with their comments, and the hash that an edit of them must name."""
    found = list(entries(the_map(maps.program(site), name)))
    seen = said_hash(found)
    comments(root, found)
    return list(_rows(found, "", 0)), seen


def _rows(found: Iterable[Entry], above: str, depth: int) -> Iterator[CellRow]:
    for n, e in enumerate(found):
        spot = f"{above}.{n}" if above else str(n)
        key = e.key or '""'
        shown = {"case": f"= {key}", "level": f"[{key}]"}.get(e.kind, key)
        place = e.place
        yield CellRow(
            spot, depth, e.kind, shown, dict(e.words), e.comment, place.layer, place.file, place.line
        )
        yield from _rows(e.inside, spot, depth + 1)


def edit_cell(
    root: Path, maps: Maps, site: str, name: str, spot: str, word: str, value: str, seen: str
) -> Written:
    """Write one word of one row; an empty value takes the word out. Raises MapError."""
    if word not in (*CELLS, "comment"):
        raise MapError(f"{word} is no column of the sheet", remedy=f"one of {', '.join((*CELLS, 'comment'))}")
    return edit_row(root, maps, site, name, spot, {word: value}, seen)


def edit_row(
    root: Path, maps: Maps, site: str, name: str, spot: str, words: Mapping[str, str], seen: str
) -> Written:
    """Write several words of one row at once. Raises MapError."""
    texts = {w: Cell(f"{name}: {w}", v).text(free=w == "comment") for w, v in words.items()}

    def change(rows: list[Entry]) -> None:
        e = _at(rows, spot)
        for word, text in texts.items():
            if word == "comment":
                e.comment = text.lstrip("# ")
            elif text:
                e.words[word] = text
            else:
                e.words.pop(word, None)

    return _written(root, maps, site, name, change, seen)


def add_row(root: Path, maps: Maps, site: str, name: str, element: str, source: str, seen: str) -> Written:
    """Add a row to a map. Raises MapError."""
    key = Cell(f"{name}: element", element).text()
    words = {"from": Cell(f"{name}: comes from", source).text()}
    if not key or not words["from"]:
        raise MapError("a row needs an element and where it comes from", remedy="e.g. gender and PID-8")

    def change(rows: list[Entry]) -> None:
        if any(e.key == key for e in rows):
            raise MapError(f"{name} has a row {key}", remedy=f"edit it, or give a label: {key}(other)")
        rows.append(Entry("element", key, words))

    return _written(root, maps, site, name, change, seen)


def drop_row(root: Path, maps: Maps, site: str, name: str, spot: str, seen: str) -> Written:
    """Take a row out: of a site's view it is skipped. Raises MapError."""

    def change(rows: list[Entry]) -> None:
        above, _, last = spot.rpartition(".")
        _at(rows, spot)
        del (_at(rows, above).inside if above else rows)[int(last)]

    return _written(root, maps, site, name, change, seen)


def _at(rows: list[Entry], spot: str) -> Entry:
    found: Entry | None = None
    try:
        for n in spot.split("."):
            found = (rows if found is None else found.inside)[int(n)]
    except (ValueError, IndexError):
        found = None
    if found is None:
        raise MapError("there is no such row", where=spot, remedy="load the sheet again")
    return found


def _written(
    root: Path, maps: Maps, site: str, name: str, change: Callable[[list[Entry]], None], seen: str
) -> Written:
    was = list(entries(the_map(maps.program(site), name)))
    if said_hash(was) != seen:
        raise MapError(f"{name} has changed since this sheet was shown", remedy="load it again, edit that")
    comments(root, was)
    now = deepcopy(was)
    change(now)
    cells = {id(e): _cells(e, name) for e in _all(now)}
    sheet = Sheet(name, now, was, cells)
    if any("level" in (e.kind if e else "", k.kind if k else "") for e, k in _pairs(sheet)):
        raise MapError("levels cannot be edited here", remedy=f"edit {maps.maps[name].place.file}")
    edits = list(sheet.edits())
    own = "" if site in ("", "standard") else site
    over = maps.sites[own].over if own else "standard"
    return Written(edits, texts_of(root, maps, [sheet], own, over) if edits else {})


def _pairs(s: Sheet) -> Iterator[tuple[Entry | None, Entry | None]]:
    """Give the rows that differ, with what they were."""
    before = {e.key: e for e in s.was}
    for key, e in s.changed().items():
        yield e, before.get(key)


def _cells(e: Entry, name: str) -> dict[str, Cell]:
    texts = {"element": e.key, "comment": e.comment, **e.words}
    return {w: Cell(f"{name}: {e.key}: {w}", texts.get(w, "")) for w in COLUMNS}


def _all(rows: Iterable[Entry]) -> Iterator[Entry]:
    for e in rows:
        yield e
        yield from _all(e.inside)
