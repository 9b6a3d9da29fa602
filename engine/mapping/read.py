"""YAML map files -> typed rows. Every row keeps its `file:line`; every word that is not of the language is an
error.

A row is `element: location`, `element: =constant`, `element: [a, b]`, or `element: {words and child
elements}`. What the words mean is in docs/analysts/maps.md; what a row becomes is in compile.py.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from engine.kernel.errors import MapError
from engine.kernel.yamlfile import Map, Seq, Text, line_of
from engine.mapping import conditions
from engine.mapping.model import (
    Case,
    Constant,
    First,
    Join,
    Level,
    Locate,
    MapDef,
    Place,
    Row,
    Source,
    Step,
)
from engine.mapping.readtests import known_words, read_tests

__all__ = ["HasChild", "Parse", "Reader", "read_map", "read_target"]

HasChild = Callable[[str, tuple[str, ...], str], bool]
"""(root type, path names, child name) -> does the type at that path have that child element?"""
Parse = Callable[[str, str], conditions.Condition]
"""How a condition is read: (text, where) -> the condition."""

WORDS = frozenset([
    "from", "value", "as", "code", "systems", "unmapped", "when", "default", "join", "split", "with", "each",
    "known_by", "action", "by", "make", "rows", "failed", "skip", "flag", "work", "assumed",
])  # fmt: skip
UNMAPPED = ("keep", "flag", "hold", "drop")
_STEP = re.compile(r"([A-Za-z][A-Za-z0-9]*(?:\[x\])?)(?:\(([A-Za-z0-9_ -]+)\))?")
_TARGET = re.compile(rf"{_STEP.pattern}(?:\.{_STEP.pattern})*")


def read_target(text: str, where: str) -> tuple[Step, ...]:
    """Read `referenceRange(obx).low(unit)` into steps."""
    if not _TARGET.fullmatch(text):
        hint = (
            "a comma inside a one-line { } cuts a row in two: write alternatives with |"
            if ")" in text
            else ""
        )
        raise MapError(
            f"{text!r} is not an element",
            where=where,
            remedy=hint or "write it like name.given or telecom(home).use",
        )
    return tuple(Step(m[1], m[2] or "") for m in _STEP.finditer(text))


class Reader:
    """Reads the rows of one file; `to` is the FHIR type the rows describe."""

    def __init__(
        self, to: str, file: str, layer: str, has_child: HasChild, parse: Parse = conditions.parse
    ) -> None:
        self.to, self.file, self.layer, self.has_child, self.parse = to, file, layer, has_child, parse

    def place(self, value: Any, fallback: int = 0) -> Place:
        return Place(self.file, line_of(value) or fallback, self.layer)

    def target(self, text: str, where: str) -> tuple[Step, ...]:
        """Read what stands left of a colon."""
        return read_target(text, where)

    def rows(self, block: Any, at: tuple[Step, ...] = (), line: int = 0) -> tuple[Row, ...]:
        """Read a block of `element: row` lines below the element `at`."""
        if not isinstance(block, Map):
            raise MapError(
                "rows must be `element: source` lines", where=f"{self.file}:{line_of(block, line)}"
            )
        return tuple(
            self.row(self.target(k, f"{self.file}:{block.key_lines[k]}"), v, at, *_spot(block, k))
            for k, v in block.items()
        )

    def row(
        self, target: tuple[Step, ...], value: Any, at: tuple[Step, ...], line: int, column: int = 0
    ) -> Row:
        """Read one row; `at` is the path of the element that holds it."""
        place = Place(self.file, line, self.layer, column)
        where = str(place)
        if value is None:
            raise MapError(
                f"{'.'.join(map(str, target))} says nothing",
                where=where,
                remedy="give a location, or skip with a reason",
            )
        if not isinstance(value, Map):
            if value == "skip":
                return Row(target, place, skip="by this site")
            return Row(target, place, source=self.source(value, where))
        return self.long_row(target, value, at, place)

    def long_row(self, target: tuple[Step, ...], m: Map, at: tuple[Step, ...], place: Place) -> Row:
        """Read `{words + child elements}`."""
        where = str(place)
        path = at + target
        names = tuple(s.name for s in path)
        choice = bool(target) and target[-1].name.endswith("[x]")
        words: dict[str, Any] = {}
        others: list[tuple[str, Any]] = []
        for k, v in m.items():
            if k == "value" and self.has_child(self.to, names, "value"):
                others.append((k, v))
            elif k in WORDS:
                words[k] = v
            else:
                others.append((k, v))
        for k, v in words.items():
            if v is None:
                hint = "a comma inside a one-line { } cuts a row in two; otherwise fill it or take it out"
                raise MapError(f"{k}: says nothing", where=f"{self.file}:{m.key_lines[k]}", remedy=hint)
        if "by" in words:
            return self.table(target, words, others, m, at, place, choice)
        if "from" in words and "value" in words:
            raise MapError("says both from and value", where=where, remedy="keep one of them")
        source: Source | None = None
        if "from" in words or "value" in words:
            source = self.source(words["from"] if "from" in words else words["value"], where)
        if "join" in words:
            parts = words["join"] if isinstance(words["join"], Seq) else [words["join"]]
            source = Join(tuple(self.source(p, where) for p in parts), str(words.get("with", "")))
        children = tuple(
            self.row(self.target(k, f"{self.file}:{m.key_lines[k]}"), v, path, *_spot(m, k))
            for k, v in others
        )
        make = str(words.get("make", ""))
        make_rows: tuple[Row, ...] = ()
        if "rows" in words:
            if make:
                sub = Reader(make.rsplit("_", 1)[-1], self.file, self.layer, self.has_child, self.parse)
                make_rows = sub.rows(words["rows"], (), place.line)
            else:
                children += self.rows(words["rows"], path, place.line)
        elif make and children:
            sub = Reader(make.rsplit("_", 1)[-1], self.file, self.layer, self.has_child, self.parse)
            make_rows, children = sub.rows(_only(m, [k for k, _ in others]), (), place.line), ()
        unmapped = str(words.get("unmapped", ""))
        if unmapped and unmapped not in UNMAPPED:
            raise MapError(f"unmapped: {unmapped}", where=where, remedy=f"use one of {', '.join(UNMAPPED)}")
        return Row(
            target,
            place,
            source=source,
            as_=str(words.get("as", "")),
            code=str(words.get("code", "")),
            unmapped=unmapped,
            when=self.condition(words.get("when"), where),
            default=self.inner(words.get("default"), path, self.word_at(m, "default", place)),
            split=str(words.get("split", "")),
            each=str(words.get("each", "")),
            known_by=self.source(words["known_by"], where) if "known_by" in words else None,
            action=self.source(words["action"], where) if "action" in words else None,
            failed=self.inner(words.get("failed"), at if choice else path, self.word_at(m, "failed", place)),
            make=make,
            make_rows=make_rows,
            children=children,
            skip=str(words.get("skip", "")),
            flag=str(words.get("flag", "")),
            work=str(words.get("work", "")),
            assumed=str(words.get("assumed", "")),
        )

    def table(
        self,
        target: tuple[Step, ...],
        words: dict[str, Any],
        others: list[tuple[str, Any]],
        m: Map,
        at: tuple[Step, ...],
        place: Place,
        choice: bool,
    ) -> Row:
        """Read a `by` table; for a choice (`value[x]`) each case holds rows for its sibling elements."""
        where = str(place)
        extra = set(words) - {
            "by",
            "when",
            "failed",
            "flag",
            "assumed",
            "code",
            "unmapped",
            "each",
            "known_by",
            "action",
            "work",
            "default",
        }
        if extra:
            raise MapError(f"a by table cannot also say {', '.join(sorted(extra))}", where=where)
        return Row(
            target,
            place,
            by=self.source(words["by"], where),
            cases=tuple(self.case(k, v, target, at, *_spot(m, k), choice) for k, v in others),
            when=self.condition(words.get("when"), where),
            failed=self.inner(
                words.get("failed"), at if choice else at + target, self.word_at(m, "failed", place)
            ),
            default=self.inner(words.get("default"), at + target, self.word_at(m, "default", place)),
            each=str(words.get("each", "")),
            known_by=self.source(words["known_by"], where) if "known_by" in words else None,
            action=self.source(words["action"], where) if "action" in words else None,
            code=str(words.get("code", "")),
            unmapped=str(words.get("unmapped", "")),
            flag=str(words.get("flag", "")),
            work=str(words.get("work", "")),
            assumed=str(words.get("assumed", "")),
        )

    def case(
        self,
        key: str,
        value: Any,
        target: tuple[Step, ...],
        at: tuple[Step, ...],
        line: int,
        column: int,
        choice: bool,
    ) -> Case:
        """Read one case of a `by` table."""
        values = tuple(x.strip() for x in key.split("|"))
        place = Place(self.file, line, self.layer, column)
        if isinstance(value, Map) and choice:
            if "by" in value:
                inner = self.long_row((target[-1],), value, at, place)
                return Case(values, (inner,), place)
            return Case(values, self.siblings(value, at, place), place)
        row = (
            self.long_row((), value, at + target, place)
            if isinstance(value, Map)
            else self.row((), value, at + target, line, column)
        )
        return Case(values, (row,), place)

    def siblings(self, m: Map, at: tuple[Step, ...], place: Place) -> tuple[Row, ...]:
        """Read the rows of one case of a choice: sibling elements, plus when, failed, flag and skip for the
        whole case."""
        rows: list[Row] = []
        when = self.condition(m.get("when"), str(place))
        for k, v in m.items():
            line, column = _spot(m, k)
            here = Place(self.file, line, self.layer, column)
            if k == "when":
                continue
            if k == "failed":
                rows.append(Row((), here, failed=self.inner(v, at, here), when=when))
            elif k == "flag":
                rows.append(Row((), here, flag=str(v), when=when))
            elif k == "work":
                rows.append(Row((), here, work=str(v), when=when))
            elif k == "skip":
                rows.append(Row((), here, skip=str(v), when=when))
            else:
                row = self.row(self.target(k, f"{self.file}:{line}"), v, at, line, column)
                rows.append(row if when is None else _guarded(row, when))
        return tuple(rows)

    def inner(self, value: Any, path: tuple[Step, ...], place: Place) -> tuple[Row, ...]:
        """Read `default:` or `failed:`: a source for the element itself, or rows for its children."""
        if value is None:
            return ()
        if isinstance(value, Map):
            if any(k in WORDS and k not in ("flag", "work", "skip") for k in value):
                return (self.long_row((), value, path, place),)
            return self.siblings(value, path, place)
        return (self.row((), value, path, place.line, place.column),)

    def word_at(self, m: Map, word: str, place: Place) -> Place:
        """Return where `default:` or `failed:` stands in a row; the row's own place without it."""
        if word not in m:
            return place
        line, column = _spot(m, word)
        return Place(self.file, line, self.layer, column)

    def condition(self, value: Any, where: str) -> conditions.Condition | None:
        """Read `when:`."""
        if value is None:
            return None
        if not isinstance(value, str):
            raise MapError("when must be a condition", where=where, remedy="e.g. when: PID-29 not valued")
        return self.parse(value, where)

    def source(self, value: Any, where: str) -> Source:
        """Read a location, a constant, or `[a, b]`."""
        if isinstance(value, Seq):
            return First(tuple(self.source(v, where) for v in value))
        if isinstance(value, bool):
            raise MapError(
                "true/false alone is not a source", where=where, remedy=f"write ={str(value).lower()}"
            )
        if isinstance(value, Map):
            if set(value) <= {"join", "with"} and "join" in value:
                parts = value["join"] if isinstance(value["join"], Seq) else [value["join"]]
                return Join(tuple(self.source(p, where) for p in parts), str(value.get("with", "")))
            raise MapError(
                "is not a source", where=where, remedy="write a location, =constant, [a, b] or {join: [..]}"
            )
        text = str(value)
        if text.startswith("="):
            return Constant(text[1:])
        if " + " in text:
            return Join(tuple(self.source(Text(p.strip()), where) for p in text.split(" + ")), "")
        if not text:
            raise MapError("an empty source", where=where)
        return Locate(text)


def _spot(m: Map, key: str) -> tuple[int, int]:
    """Return line and column of a key."""
    return m.key_lines[key], m.key_columns[key]


def _only(m: Map, keys: Iterable[str]) -> Map:
    out = Map((k, m[k]) for k in keys)
    out.file, out.line, out.key_lines = m.file, m.line, {k: m.key_lines[k] for k in keys}
    out.key_columns = m.key_columns
    return out


def _guarded(row: Row, when: conditions.Condition) -> Row:
    from dataclasses import replace

    return replace(row, when=when if row.when is None else conditions.And((when, row.when)))


def read_map(m: Any, file: str, layer: str, has_child: HasChild, parse: Parse = conditions.parse) -> MapDef:
    """Read a segment or datatype map; `parse` reads its conditions."""
    m = known_words(m, {"map", "from", "to", "key", "rows", "ignore", "note", "tests", "levels"}, file)
    for needed in ("map", "from", "to"):
        if not m.get(needed):
            raise MapError(f"has no {needed}:", where=file)
    name, to = str(m["map"]), str(m["to"])
    reader = Reader(to, file, layer, has_child, parse)
    levels = tuple(
        Level(
            str(v["name"]),
            reader.condition(v.get("when"), f"{file}:{v.line}"),
            reader.rows(v["rows"]),
            Place(file, v.line, layer),
        )
        for v in m.get("levels") or ()
    )
    key = m.get("key")
    return MapDef(
        name=name,
        source=str(m["from"]),
        to=to,
        rows=reader.rows(m["rows"]) if m.get("rows") else (),
        place=Place(file, m.line, layer),
        key=_key(key, reader, f"{file}:{m.key_lines.get('key', 0)}") if key else (),
        key_text="" if key is None else str(key),
        ignore=tuple(str(x) for x in m.get("ignore") or ()),
        levels=levels,
        note=str(m.get("note") or ""),
        tests=read_tests(m.get("tests"), file, layer, name),
    )


def _key(value: Any, reader: Reader, where: str) -> tuple[Source, ...]:
    if isinstance(value, str) and "|" in value and "(" not in value.split("|")[0].rsplit(")", 1)[-1]:
        return tuple(reader.source(Text(part.strip()), where) for part in re.split(r"\s\|\s", value))
    return (reader.source(value, where),)
