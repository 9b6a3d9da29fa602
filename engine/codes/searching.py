"""A text that somebody typed -> the full-text query over the names of one release (sqlite.org/fts5.html).

Words count by their beginnings, without regard to case and accents; everything else in the text (quotes,
brackets, operators) separates words and is never an instruction to the database.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

__all__ = ["statement", "words"]

_WORD = re.compile(r"\w+")
_LINES = "char(10) || json_extract(c.properties, ?) || char(10)"  # several values stand a line each
_COLUMNS = "c.code, c.display, c.active, c.properties, c.parents"


def words(text: str) -> list[str]:
    """Return the words of a text as the index knows them; `_` separates words there, in \\w it does not."""
    return [word for part in _WORD.findall(text) for word in part.split("_") if word]


def statement(
    load: int, release: int, text: str, properties: Mapping[str, str], any_word: bool, *, count: bool = False
) -> tuple[str, tuple[Any, ...]] | None:
    """Write the query for one search, or for how many it finds; None where there is nothing to search by."""
    where = "".join(f" AND instr({_LINES}, char(10) || ? || char(10))" for _ in properties)
    if properties:
        where = f" AND c.properties <> ''{where}"
    values = tuple(x for name, value in properties.items() for x in (_path(name), value))
    if not text.strip():
        found = f"FROM concept_{load} c WHERE c.release = ?{where}"
        sql = f"SELECT count(*) {found}" if count else f"SELECT {_COLUMNS} {found} ORDER BY c.code"
        return sql, (release, *values)
    wanted = words(text)
    if not wanted:
        return None
    match = (" OR " if any_word else " ").join(f'"{word}"*' for word in wanted)
    found = (
        f"FROM words_{load} w JOIN concept_{load} c ON c.id = w.rowid "
        f"WHERE words_{load} MATCH ? AND c.release = ?{where}"
    )
    order = f"ORDER BY c.active DESC, bm25(words_{load}, 5.0, 1.0), length(c.display), c.code"
    sql = f"SELECT count(*) {found}" if count else f"SELECT {_COLUMNS} {found} {order}"
    return sql, (match, release, *values)


def _path(name: str) -> str:
    """Write a property's name as a JSON path; a quote in it cannot be written, and no property has one."""
    return '$."' + name.replace('"', "") + '"'
