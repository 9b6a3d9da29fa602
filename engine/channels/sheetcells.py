"""Maps as cells: a sheet's lines from entries, entries from a sheet's lines, and what a spreadsheet does to
text.

In: entries of a map; cells with their addresses. Out: rows of cells; entries that know the cell they stand
in. A cell that is not the text somebody typed (a date, a number, a formula, curly quotes) is refused with
its address.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any

from engine.kernel.errors import MapError
from engine.mapping.entries import BLOCKS, CELLS, Entry

__all__ = ["COLUMNS", "Cell", "Grid", "comments", "entries_of", "flat", "said_hash"]

COLUMNS = ("depth", "element", *CELLS, "comment", "set by")
HEADINGS = {"from": "comes from"}
_EATEN = re.compile(
    r"\d{1,2}-[A-Z][a-z]{2}|[A-Z][a-z]{2}-\d{2}|\d(?:\.\d+)?E\+\d+|#(?:NAME|REF|VALUE|N/A)[?!]?"
)
_TYPESET = re.compile("[\u2018\u2019\u201c\u201d\u2013\u2014\u2026\u00a0]")


@dataclass(frozen=True, slots=True)
class Cell:
    """One cell as a workbook holds it; `formula` where the spreadsheet calculates it."""

    address: str
    value: Any
    formula: bool = False

    def text(self, free: bool = False) -> str:
        """Return the text that was typed; `free` text may hold anything. Raises MapError with the address."""
        v = self.value
        if v is None:
            return ""
        if self.formula:
            raise self.refused("is a formula", "format the cell as text, then type it again, with its =")
        if isinstance(v, datetime | date | time | timedelta):
            raise self.refused("became a date", "format the cell as text, then type it again")
        if isinstance(v, bool | int | float):
            raise self.refused(
                "became a number or a truth value", "format the cell as text, then type it again"
            )
        text = str(v).strip()
        if free:
            return " ".join(text.split())
        if _EATEN.fullmatch(text):
            raise self.refused(
                f"reads {text}: a spreadsheet has changed it", "format the cell as text, type it again"
            )
        if _TYPESET.search(text):
            raise self.refused("holds typeset quotes, dashes or spaces", "write plain \" ' - and spaces")
        if "\n" in text:
            raise self.refused("holds several lines", "write it on one line")
        return text

    def refused(self, what: str, remedy: str) -> MapError:
        return MapError(what, where=self.address, remedy=remedy)


@dataclass(slots=True)
class Grid:
    """One sheet: the words of its head, and its lines as name of the column -> cell."""

    title: str
    head: dict[str, Cell] = field(default_factory=dict)
    lines: list[dict[str, Cell]] = field(default_factory=list)


def flat(rows: Iterable[Entry], depth: int = 0) -> Iterator[tuple[str, ...]]:
    """Give the lines of a sheet: depth, element, words, comment, who set it."""
    for e in rows:
        name = e.key if e.kind in ("element", *BLOCKS) else f"{e.kind} {e.key or chr(34) * 2}"
        place = f"{e.place.layer} {e.place}"
        yield (str(depth), name, *(e.words.get(w, "") for w in CELLS), e.comment, place)
        yield from flat(e.inside, depth + 1)


def entries_of(grid: Grid) -> tuple[list[Entry], dict[int, dict[str, Cell]]]:
    """Return the entries of a sheet and, by an entry's id, its cells. Raises MapError with an address."""
    top: list[Entry] = []
    above: list[tuple[int, Entry]] = []
    cells: dict[int, dict[str, Cell]] = {}
    for line in grid.lines:
        texts = {
            w: line[w].text(free=w in ("comment", "set by")) for w in COLUMNS if w in line and w != "depth"
        }
        if not any(text for word, text in texts.items() if word not in ("set by", "comment")):
            continue
        depth = _depth(line["depth"], above[-1][0] if above else -1)
        e = _entry(texts, line)
        above = [(d, x) for d, x in above if d < depth]
        (above[-1][1].inside if above else top).append(e)
        above.append((depth, e))
        cells[id(e)] = line
    return top, cells


def _depth(cell: Cell, before: int) -> int:
    value = cell.value
    if value is None:
        raise cell.refused("has no depth", "write 0 for a row, 1 for what hangs below it, and so on")
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    if not text.isdigit() or int(text) > before + 1:
        raise cell.refused(
            f"depth {text} does not follow depth {before}", "a line hangs one level below the one above"
        )
    return int(text)


def _entry(texts: Mapping[str, str], line: Mapping[str, Cell]) -> Entry:
    name = texts.get("element", "")
    if not name:
        raise line["element"].refused("names no element", "write the element, e.g. name(legal).use")
    kind, _, key = name.partition(" ")
    if kind in ("case", "level"):
        key = "" if key == '""' else key
    else:
        kind, key = (name if name in BLOCKS else "element"), name
    words = {w: texts[w] for w in CELLS if texts.get(w)}
    return Entry(kind, key, words, comment=texts.get("comment", "").lstrip("# "))


def said_hash(rows: Iterable[Entry]) -> str:
    """Return twelve hex digits of what entries say, so that a sheet knows which map it was made from."""
    import hashlib

    return hashlib.sha256(repr([e.said for e in rows]).encode()).hexdigest()[:12]


# -- comments --------------------------------------------------------------------------------------


def comments(root: Path, rows: Iterable[Entry]) -> None:
    """Give every entry the comment at its line; nested ones also those on lines of their own above."""
    files: dict[str, list[str]] = {}

    def walk(e: Entry, nested: bool, taken: set[int]) -> None:
        if e.place.file not in files:
            path = root / e.place.file
            files[e.place.file] = path.read_text("utf-8").splitlines() if path.is_file() else []
        lines = files[e.place.file]
        if 0 < e.place.line <= len(lines) and e.place.line not in taken:
            taken.add(e.place.line)
            found = [_trailing(lines[e.place.line - 1])]
            at = e.place.line - 2
            while nested and at >= 0 and lines[at].lstrip().startswith("#"):
                found.insert(0, lines[at].lstrip().lstrip("# "))
                at -= 1
            e.comment = " / ".join(filter(None, found))
        for inner in e.inside:
            walk(inner, True, taken)

    for e in rows:
        walk(e, False, set())


def _trailing(line: str) -> str:
    """Return the comment behind the text of a line; a # inside quotes or a word is none."""
    quote = ""
    for n, char in enumerate(line):
        if quote:
            quote = "" if char == quote else quote
        elif char in "\"'" and (n == 0 or line[n - 1] in " [{,:"):
            quote = char
        elif char == "#" and n and line[n - 1].isspace():
            return line[n + 1 :].strip()
    return ""
