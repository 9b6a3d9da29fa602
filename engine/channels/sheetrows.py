"""One map's sheet as somebody edited it, beside the map as it is.

In: entries of both, and the cells that the edited ones stand in. Out: the rows that differ, and each cell
that does.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from engine.channels.sheetcells import Cell
from engine.mapping.entries import Entry

__all__ = ["Edit", "Sheet", "same"]


@dataclass(frozen=True, slots=True)
class Edit:
    """One cell that says something else than the map, or a row that came or went."""

    map: str
    element: str
    cell: str
    word: str
    was: str
    now: str

    def __str__(self) -> str:
        if self.word in ("added", "removed"):
            return f"{self.cell}: {self.map} {self.element}: {self.word}"
        said = f"{self.word}: was {self.was or '(empty)'}, is {self.now or '(empty)'}"
        return f"{self.cell}: {self.map} {self.element}: {said}"


@dataclass(slots=True)
class Sheet:
    """One map's sheet against the map as it is."""

    name: str
    now: list[Entry]
    was: list[Entry]
    cells: dict[int, dict[str, Cell]]

    def changed(self) -> dict[str, Entry | None]:
        """Return the rows that differ, by element; None = gone."""
        before = {e.key: e for e in self.was}
        after = {e.key: e for e in self.now}
        out: dict[str, Entry | None] = {
            key: e for key, e in after.items() if key not in before or not same(before[key], e)
        }
        return {**out, **dict.fromkeys(before.keys() - after.keys())}

    def address(self, key: str) -> str:
        for e in self.now:
            if e.key == key:
                return self.cells[id(e)]["element"].address
        return self.name

    def edits(self) -> Iterator[Edit]:
        """Give every cell that differs."""

        def pairs(was: list[Entry], now: list[Entry], path: str) -> Iterator[Edit]:
            left = list(was)
            for e in now:
                here = f"{path} / {e.key}" if path else e.key
                cells = self.cells[id(e)]
                old = next((x for x in left if (x.kind, x.key) == (e.kind, e.key)), None)
                if old is None:
                    yield Edit(self.name, here, cells["element"].address, "added", "", "")
                    continue
                left.remove(old)
                for word in dict.fromkeys([*old.words, *e.words]):
                    a, b = old.words.get(word, ""), e.words.get(word, "")
                    if a != b:
                        yield Edit(self.name, here, cells[word].address, word, a, b)
                if old.comment != e.comment:
                    yield Edit(self.name, here, cells["comment"].address, "comment", old.comment, e.comment)
                yield from pairs(old.inside, e.inside, here)
            for gone in left:
                yield Edit(
                    self.name, f"{path} / {gone.key}" if path else gone.key, self.name, "removed", "", ""
                )

        yield from pairs(self.was, self.now, "")


def same(a: Entry, b: Entry) -> bool:
    return a.said == b.said and _comments(a) == _comments(b)


def _comments(e: Entry) -> list[str]:
    return [e.comment, *(c for i in e.inside for c in _comments(i))]
