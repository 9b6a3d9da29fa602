"""Rows as entries: words and what hangs below them, the form that sheets show and map files write.

In: typed rows. Out: `Entry` trees, and from entries the YAML of a row. Reading that YAML gives the typed row
again, places apart: a sheet that was exported and not edited says exactly what the map says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from engine.mapping.conditions import And, Condition
from engine.mapping.model import Case, First, Join, Locate, MapDef, Place, Row, Source
from engine.mapping.read import WORDS as ROW_WORDS
from engine.mapping.sheettext import condition_text, source_text

__all__ = ["BLOCKS", "CELLS", "Entry", "cell_text", "entries", "scalar", "yaml_lines"]

CELLS = (
    "from", "as", "code", "unmapped", "by", "each", "known_by", "action", "split", "make", "when", "skip",
    "flag", "work", "assumed",
)  # fmt: skip
"""The words of an entry, each a column of a sheet."""

BLOCKS = ("default", "failed", "rows")
"""Keys of entries that are no element and no case."""

_PLAIN = re.compile(r"(?:[A-Za-z0-9_/(=<^.+]|-(?=[A-Za-z0-9]))[A-Za-z0-9_/()=<>|*^~.+ '!%;:#&-]*")
_WIDE = 108


@dataclass(slots=True)
class Entry:
    """One line of a sheet and what hangs below it. `kind`: element, case, default, failed, rows or level."""

    kind: str
    key: str
    words: dict[str, str] = field(default_factory=dict)
    inside: list[Entry] = field(default_factory=list)
    place: Place = field(default_factory=Place)
    comment: str = ""

    @property
    def said(self) -> tuple[object, ...]:
        """What the entry says, whatever its place and comment."""
        return (self.kind, self.key, tuple(sorted(self.words.items())), tuple(e.said for e in self.inside))


def scalar(text: str) -> str:
    """Return a text as YAML writes it inside `{ }`: bare where it can be."""
    plain = _PLAIN.fullmatch(text) and ": " not in text and " #" not in text and not text.endswith((" ", ":"))
    return text if plain and text not in ("true", "false", "null") else json.dumps(text, ensure_ascii=False)


def cell_text(s: Source | None) -> str:
    """Return a source as one cell says it: `PID-5.1`, `=final`, `[a, b]`, `{join: [a, b], with: key}`."""
    summed = isinstance(s, Join) and not s.with_ and len(s.parts) > 1
    if isinstance(s, First) or (isinstance(s, Join) and not (summed and _located(s.parts))):
        return _flow(s)
    return source_text(s)


def _located(parts: tuple[Source, ...]) -> bool:
    return all(isinstance(p, Locate) for p in parts)


def _flow(s: Source) -> str:
    if isinstance(s, First):
        return "[" + ", ".join(_flow(o) for o in s.options) + "]"
    if isinstance(s, Join):
        parts = "[" + ", ".join(_flow(p) for p in s.parts) + "]"
        return f"{{join: {parts}, with: {scalar(s.with_)}}}" if s.with_ else f"{{join: {parts}}}"
    return scalar(cell_text(s))


def entries(m: MapDef) -> Iterator[Entry]:
    """Give the entries of a map: its levels, then its rows."""
    for level in m.levels:
        words = {"when": condition_text(level.when)} if level.when is not None else {}
        yield Entry("level", level.name, words, [_row(r) for r in level.rows], level.place)
    for r in m.rows:
        yield _row(r)


def _row(r: Row, kind: str = "element", key: str = "") -> Entry:
    out = Entry(kind, key or r.name, place=r.place)
    _fill(out, r)
    return out


def _fill(e: Entry, r: Row) -> None:
    """Put a row's words and what hangs below it into an entry."""
    texts = (cell_text(r.source), r.as_, r.code, r.unmapped, cell_text(r.by), r.each)
    told = (cell_text(r.known_by), cell_text(r.action), r.split, r.make)
    more = (condition_text(r.when), r.skip, r.flag, r.work, r.assumed)
    e.words.update({word: text for word, text in zip(CELLS, texts + told + more, strict=True) if text})
    children = [_row(c) for c in (*r.children, *r.make_rows)]
    if r.make_rows or any(c.name in ROW_WORDS and c.name != "value" for c in r.children):
        children = [
            Entry("rows", "rows", {}, children, r.place)
        ]  # else an element `code` is read as the word
    e.inside += children
    choice = bool(r.target) and r.target[-1].name.endswith("[x]")
    e.inside += [_case(c, r, choice) for c in r.cases]
    for word, rows in (("default", r.default), ("failed", r.failed)):
        if rows:
            block = Entry(word, word, place=rows[0].place)
            _block(block, rows)
            e.inside.append(block)


def _case(c: Case, r: Row, choice: bool) -> Entry:
    out = Entry("case", "|".join(c.values), place=c.place)
    only = c.rows[0] if len(c.rows) == 1 else None
    if only is not None and choice and only.target == r.target[-1:] and only.by is not None:
        _fill(out, only)  # a table within the table
    else:
        _block(out, c.rows)
    return out


def _bare(r: Row) -> bool:
    """Say whether a row without an element only flags, skips or fails: a word of the block around it."""
    return replace(r, when=None, flag="", work="", skip="", failed=()) == Row((), r.place)


def _block(e: Entry, rows: tuple[Row, ...]) -> None:
    """Put rows that stand side by side into an entry: of a case, `default:` or `failed:`."""
    if len(rows) == 1 and not rows[0].target and not _bare(rows[0]):
        _fill(e, rows[0])
        if (
            rows[0].children and e.inside and e.inside[0].kind != "rows"
        ):  # else it fills an entry that is there
            elements = [i for i in e.inside if i.kind == "element"]
            others = [i for i in e.inside if i.kind != "element"]
            e.inside = [Entry("rows", "rows", {}, elements, rows[0].place), *others]
        return
    guards = {r.when for r in rows if _bare(r)}
    guard = guards.pop() if len(guards) == 1 and any(_bare(r) for r in rows) else None
    if guard is not None:
        e.words["when"] = condition_text(guard)
    for r in rows:
        r = replace(r, when=_without(r.when, guard))
        if not _bare(r):
            e.inside.append(_row(r))
        elif r.failed:
            block = Entry("failed", "failed", place=r.place)
            _block(block, r.failed)
            e.inside.append(block)
        else:
            e.words.update({k: v for k, v in (("flag", r.flag), ("work", r.work), ("skip", r.skip)) if v})


def _without(when: Condition | None, guard: Condition | None) -> Condition | None:
    """Take the guard of a whole block off the condition of one row in it."""
    if guard is None or when == guard:
        return None if when == guard else when
    if isinstance(when, And) and when.parts[0] == guard and len(when.parts) == 2:
        return when.parts[1]
    return when


# -- YAML ----------------------------------------------------------------------------------------------------
# ----------


def yaml_lines(e: Entry, indent: int = 2, column: int = 0) -> list[str]:
    """Write an entry as the lines of a map file; `column` is where the value of its first line should
    stand."""
    head = " " * indent + f"{_key(e.key)}:"
    note = f"   # {e.comment}" if e.comment else ""
    if not _comments(e.inside):
        line = head.ljust(max(column, len(head) + 1)) + _value(e)
        if len(line) <= _WIDE or not (e.words.keys() - {"from"} or e.inside):
            return [line + note]
    lines = [head + note]
    lines += [" " * (indent + 2) + f"{word}: {text}" for word, text in _words(e)]
    for inner in e.inside:
        lines += yaml_lines(inner, indent + 2)
    lines += [" " * (indent + 2) + f"{word}: {text}" for word, text in _last(e)]
    return lines


def _comments(inside: Iterable[Entry]) -> bool:
    return any(e.comment or _comments(e.inside) for e in inside)


def _key(key: str) -> str:
    plain = _PLAIN.fullmatch(key.replace("[x]", "")) and key not in ("true", "false", "null")
    return key if plain else json.dumps(key, ensure_ascii=False)


def _words(e: Entry) -> Iterator[tuple[str, str]]:
    """Give an entry's words in the order people write them; a constant is a `value`."""
    for word in (
        "when",
        "by",
        "from",
        "as",
        "code",
        "unmapped",
        "each",
        "known_by",
        "action",
        "split",
        "make",
        "assumed",
    ):
        text = e.words.get(word, "")
        if word == "from" and (join := _JOIN.fullmatch(text)):
            yield "join", join[2] or join[1]
            if join[3]:
                yield "with", join[3]
        elif word == "from" and text.startswith("=") and not _has_value(e):
            yield "value", scalar(text)
        elif text:
            yield (
                word,
                text if word in ("from", "by", "known_by", "action") and text[0] in "[{" else scalar(text),
            )


_JOIN = re.compile(
    r"\{join: (\[([A-Z][A-Za-z0-9.()-]*)\]|\[[^\[\]]*(?:\[[^\[\]]*\][^\[\]]*)*\])(?:, with: ([^{}]+))?\}"
)


def _has_value(e: Entry) -> bool:
    return any(i.kind == "element" and i.key.split("(")[0] == "value" for i in e.inside)


def _last(e: Entry) -> Iterator[tuple[str, str]]:
    """Give the words that stand behind the elements of a block."""
    for word in ("flag", "work", "skip"):
        if word in e.words:
            yield word, scalar(e.words[word])


def _value(e: Entry) -> str:
    """Write everything behind the key on one line."""
    if not e.inside and set(e.words) == {"from"} and not e.words["from"].startswith("{"):
        text = e.words["from"]
        return text if text.startswith("[") else scalar(text)
    parts = [f"{word}: {text}" for word, text in _words(e)]
    parts += [f"{scalar(i.key)}: {_value(i)}" for i in e.inside]
    parts += [f"{word}: {text}" for word, text in _last(e)]
    return "{" + ", ".join(parts) + "}"
