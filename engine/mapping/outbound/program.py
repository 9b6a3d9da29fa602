"""Outbound rows as closures: compiled once for each place where their map is used, run over nodes into a
draft.

In: an `OutMap`, the shape of the place it writes, and the library that knows other maps, functions and
tables. Out: `Program.run(nodes, draft, running)`. Unknown places, unknown FHIR elements, types without a map
and unknown names are MapErrors with file:line, told when the map is compiled and not when a patient is
written.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

from engine.fhir import definitions
from engine.fhir.definitions import UnknownPath
from engine.kernel.errors import MapError
from engine.mapping.model import Constant, First, Join, Locate, Row, Source
from engine.mapping.outbound.conditions import Test, compile_condition, text
from engine.mapping.outbound.datatypes import Writer
from engine.mapping.outbound.draft import Draft, Part, Shape
from engine.mapping.outbound.language import OutMap
from engine.mapping.outbound.paths import Kinds, compile_path
from engine.mapping.outbound.resources import Node, Resources
from engine.mapping.outbound.run import Running, value_of
from engine.terminology.translate import Table

__all__ = ["Function", "Library", "Program", "RowRun"]

Function = Callable[[Node, Resources], str | None]
"""A value as the target writes it; empty where it cannot be written, None where nothing is to be. Notes what
it reads."""

RowRun = Callable[[list[Node], Draft, Running], bool]
Reading = Callable[[list[Node], Resources], list[Node]]
WITH = {"space": " ", "comma": ", ", "newline": "\n", "": ""}


class Library(Protocol):
    """What rows may name."""

    def function(self, name: str) -> Function | None:
        """Find a function."""

    def writer(self, name: str) -> Writer | None:
        """Find what writes a datatype."""

    def program(self, name: str, shape: Shape, where: str) -> Program | None:
        """Find a map, compiled for this place."""

    def table(self, name: str, where: str) -> Table:
        """Find a code table; MapError where there is none."""

    def coding(self, system: str, code: str) -> dict[str, str] | None:
        """Find a code of a code system."""


@dataclass(slots=True)
class Program:
    """A compiled map."""

    map: OutMap
    rows: list[RowRun]

    def run(self, nodes: list[Node], draft: Draft, running: Running) -> bool:
        """Run the rows over what a map is for; say whether anything was written."""
        kinds = self.map.kinds
        fit = [n for n in nodes if n.kind in kinds or n.kind == "Resource"]
        if not fit:
            return False
        running.used.add(self.map.name)
        return _all(self.rows, fit, draft, running)


class Compiler:
    """Compiles the rows of one map."""

    def __init__(self, library: Library, map_: OutMap) -> None:
        self.library, self.map = library, map_

    def rows(self, rows: Iterable[Row], kinds: Kinds, shape: Shape) -> list[RowRun]:
        """Compile rows that stand together."""
        return [self.row(r, kinds, shape) for r in rows]

    def row(self, row: Row, kinds: Kinds, shape: Shape) -> RowRun:
        """Compile one row."""
        where = str(row.place)
        try:
            return self._row(row, kinds, shape, where)
        except UnknownPath as e:
            raise MapError(e.what, where=where, why=e.where, remedy=e.remedy) from None

    def _row(self, row: Row, kinds: Kinds, shape: Shape, where: str) -> RowRun:
        chain: tuple[Part, ...] = ()
        for step in row.target:
            if not re.fullmatch(r"\.(\([^()]*\))?", step.name):  # `.` is the place itself
                parts, shape = shape.step(step.name, where)
                chain += parts
        if row.skip:
            return lambda nodes, draft, running: False
        test = compile_condition(row.when, kinds, where) if row.when is not None else None
        default = self.rows(row.default, kinds, shape)
        inner = self._inner(row, kinds, chain, shape, where)
        expects = _expects(row) and not default
        return _guarded(chain, expects, test, inner, default)

    def _inner(
        self, row: Row, kinds: Kinds, chain: tuple[Part, ...], shape: Shape, where: str
    ) -> RowRun | None:
        if row.each:
            return self._each(row, kinds, chain, shape, where)
        if row.by is not None:
            return self._by(row, kinds, chain, shape, where)
        if row.source is None:
            if not row.children:
                return None
            children = self.rows(row.children, kinds, shape)
            return lambda nodes, draft, running: _all(children, nodes, draft.at(chain), running)
        read, found = self.source(row.source, kinds, shape, where)
        if row.children:
            children = self.rows(row.children, found, shape)
            return _once_each(read, chain, children, shape.repeats)
        write = self._write(row, found, shape, where)
        return _leaf(read, chain, write, shape.repeats or bool(chain and chain[-1].upto), where)

    def _each(self, row: Row, kinds: Kinds, chain: tuple[Part, ...], shape: Shape, where: str) -> RowRun:
        path = compile_path(row.each, kinds)
        run: list[RowRun]
        if row.as_:
            program = self.library.program(row.as_, shape, where)
            if program is None:
                raise MapError(f"there is no outbound map {row.as_}", where=where)
            run = [program.run]
        else:
            run = self.rows(row.children, path.kinds, shape)
        key = self.source(row.known_by, path.kinds, shape, where)[0] if row.known_by is not None else None

        def each(nodes: list[Node], draft: Draft, running: Running) -> bool:
            groups: dict[str, list[Node]] = {}
            for n, node in enumerate(path.run(nodes, running.resources)):
                name = str(n)
                if key is not None:
                    name = "\n".join(text(k) for k in key([node], running.resources)) or name
                groups.setdefault(name, []).append(node)
            wrote = False
            for group in groups.values():
                place = draft.new(chain, True) if chain else draft
                if place is None:
                    running.flag("no-room", group[0].place, where, "the target holds no more of these")
                    break
                wrote = _all(run, group, place, running) or wrote
            return wrote

        return each

    def _by(self, row: Row, kinds: Kinds, chain: tuple[Part, ...], shape: Shape, where: str) -> RowRun:
        assert row.by is not None
        read, _ = self.source(row.by, kinds, shape, where)
        said = row.by.text if isinstance(row.by, Locate) else where
        cases: dict[str, list[RowRun]] = {}
        for case in row.cases:
            rows = self.rows(case.rows, kinds, shape)
            for value in case.values:
                cases["" if value in ('""', "''") else value] = rows

        def by(nodes: list[Node], draft: Draft, running: Running) -> bool:
            found = [n for n in read(nodes, running.resources) if value_of(n)]
            value = value_of(found[0]) if found else ""
            rows = cases.get(value, cases.get("else"))
            if rows is None:
                if value and found[0].place:
                    running.flag("no-case", found[0].place, where, "the table has no case for this value")
                return False
            if found and found[0].place:
                running.resources.note(found[0].place)
            place = draft.at(chain)
            before = running.deciding
            running.deciding = (found[0].place or said) if found else before
            wrote = _all(rows, nodes, place, running)
            running.deciding = before
            return wrote

        return by

    def source(self, source: Source, kinds: Kinds, shape: Shape, where: str) -> tuple[Reading, Kinds]:
        """Compile what stands right of the colon."""
        if isinstance(source, Locate):
            path = compile_path(source.text, kinds)
            return path.run, path.kinds
        if isinstance(source, Constant):
            node = self._constant(source.text, shape, where)
            return (lambda nodes, all_: [node]), frozenset({node.kind})
        if isinstance(source, First):
            options = [self.source(o, kinds, shape, where) for o in source.options]
            readings = [o[0] for o in options]

            def first(nodes: list[Node], all_: Resources) -> list[Node]:
                for reading in readings:
                    found = [n for n in reading(nodes, all_) if n.value not in (None, "") or n.extra]
                    if found:
                        return found
                return []

            return first, frozenset[str]().union(*(o[1] for o in options))
        assert isinstance(source, Join)
        parts = [self.source(p, kinds, shape, where)[0] for p in source.parts]
        glue = WITH.get(source.with_, source.with_)

        def join(nodes: list[Node], all_: Resources) -> list[Node]:
            found = [n for p in parts for n in p(nodes, all_) if value_of(n)]
            places = [n.place for n in found if n.place]
            if not places:
                return []
            for place in places:
                all_.note(place)
            return [Node(glue.join(value_of(n) for n in found), "string", places[0])]

        return join, frozenset({"string"})

    def _constant(self, said: str, shape: Shape, where: str) -> Node:
        if "#" in said and not shape.text:
            system, _, code = said.partition("#")
            coding = self.library.coding(system, code)
            if coding is None:
                raise MapError(f"there is no code {code} in {system}", where=where)
            return Node(coding, "Coding", "")
        return Node(said, "string", "")

    def _write(
        self, row: Row, kinds: Kinds, shape: Shape, where: str
    ) -> Callable[[Node, Draft, Running], bool]:
        """Compile how one value is written at its place."""
        table = self.library.table(row.code, where) if row.code else None
        if table is not None and shape.text:
            plain = _plain(where)
            unmapped = row.unmapped

            def coded(node: Node, draft: Draft, running: Running) -> bool:
                found = running.translate(node, table, unmapped, where)
                if found is None:
                    return False
                return plain(Node(found.value.get("code", ""), "code", found.place), draft, running)

            return coded
        if table is not None:
            after = self._by_kind(row.as_, frozenset({"Coding"}), shape, where)

            def recoded(node: Node, draft: Draft, running: Running) -> bool:
                found = running.translate(node, table, row.unmapped, where)
                return found is not None and after(found, draft, running)

            return recoded
        return self._by_kind(row.as_, kinds, shape, where)

    def _by_kind(
        self, as_: str, kinds: Kinds, shape: Shape, where: str
    ) -> Callable[[Node, Draft, Running], bool]:
        writers: dict[str, Callable[[Node, Draft, Running], bool]] = {}
        for kind in kinds:
            name = as_ or shape.usual(kind)
            if not name:
                if not definitions.is_primitive(kind):
                    raise MapError(
                        f"a {kind} does not fit into one value",
                        where=where,
                        remedy="go on with a step (.coding.code), or say as:",
                    )
                writers[kind] = _plain(where)
            elif (function := self.library.function(name)) is not None:
                writers[kind] = _called(function, where)
            elif (writer := self.library.writer(name)) is not None:
                writers[kind] = _written(writer, where)
            elif (program := self.library.program(name, shape, where)) is not None:
                writers[kind] = _mapped(program)
            else:
                raise MapError(f"there is no outbound map or function {name}", where=where)
        if len(writers) == 1:
            return next(iter(writers.values()))
        other = writers.get("Resource", _nothing)  # a reference that may lead anywhere
        return lambda node, draft, running: writers.get(node.kind, other)(node, draft, running)


def _all(rows: list[RowRun], nodes: list[Node], draft: Draft, running: Running) -> bool:
    """Run every row; say whether any wrote."""
    wrote = False
    for row in rows:
        wrote = row(nodes, draft, running) or wrote
    return wrote


def _unlike(nodes: list[Node]) -> list[Node]:
    """Take what stands at one place once: several claims have one and the same provider."""
    return list({n.place or str(i): n for i, n in enumerate(nodes)}.values()) if len(nodes) > 1 else nodes


def _nothing(node: Node, draft: Draft, running: Running) -> bool:
    return False


def _plain(where: str) -> Callable[[Node, Draft, Running], bool]:
    return lambda node, draft, running: running.put(draft, value_of(node), node, where)


def _called(function: Function, where: str) -> Callable[[Node, Draft, Running], bool]:
    def write(node: Node, draft: Draft, running: Running) -> bool:
        value = function(node, running.resources)
        if value is None:
            return False
        if not value and value_of(node):
            running.flag("not-writable", node.place, where, "the target cannot hold this value as it is")
            return False
        return running.put(draft, value, node, where)

    return write


def _written(writer: Writer, where: str) -> Callable[[Node, Draft, Running], bool]:
    return lambda node, draft, running: writer(node, draft, running, where)


def _mapped(program: Program) -> Callable[[Node, Draft, Running], bool]:
    return lambda node, draft, running: program.run([node], draft, running)


def _expects(row: Row) -> bool:
    """Say whether a row can put something from FHIR."""
    if row.by is not None:  # a case for no value, or for all others, says what stands there then
        return not any(v in ("", '""', "''", "else") for c in row.cases for v in c.values)
    return bool(row.each or _locates(row.source))


def _locates(source: Source | None) -> bool:
    if isinstance(source, First):
        return all(_locates(o) for o in source.options)
    if isinstance(source, Join):
        return any(_locates(p) for p in source.parts)
    return isinstance(source, Locate)


def _guarded(
    chain: tuple[Part, ...], expects: bool, test: Test | None, inner: RowRun | None, default: list[RowRun]
) -> RowRun:
    def run(nodes: list[Node], draft: Draft, running: Running) -> bool:
        if expects:
            draft.at(chain, True)
        if test is not None and not test(nodes, running.resources):
            return False
        if inner is not None and inner(nodes, draft, running):
            return True
        return _all(default, nodes, draft.at(chain), running)

    return run


def _once_each(read: Reading, chain: tuple[Part, ...], children: list[RowRun], repeats: bool) -> RowRun:
    def run(nodes: list[Node], draft: Draft, running: Running) -> bool:
        wrote = False
        found = _unlike(read(nodes, running.resources))
        for n, node in enumerate(found if repeats else found[:1]):
            place = draft.new(chain, True) if n and chain else draft.at(chain, True)
            if place is not None:
                wrote = _all(children, [node], place, running) or wrote
        return wrote

    return run


def _leaf(
    read: Reading,
    chain: tuple[Part, ...],
    write: Callable[[Node, Draft, Running], bool],
    repeats: bool,
    where: str,
) -> RowRun:
    def run(nodes: list[Node], draft: Draft, running: Running) -> bool:
        wrote = False
        for node in _unlike(read(nodes, running.resources)):
            if wrote and not repeats:
                break
            upto = bool(chain and chain[-1].upto)
            place = draft.new(chain) if chain and (wrote or upto) else draft.at(chain)
            if place is None:
                running.flag("no-room", node.place, where, "the target holds no more values here")
                break
            wrote = write(node, place, running) or wrote
        return wrote

    return run
