"""The embedded code store: concepts, subsumption, crosswalks and search over the releases that were loaded.

In: the path of `codes.db`. Out: answers of `CodeService` (FHIR R4 terminology-service.html), from this
process, without a network. The file is read memory-mapped, so that what many processes read lies in memory
once; in front of it stand small caches of answers. A release that another process switches in is noticed
within a second. Safe across threads: each reads through a connection of its own.
"""

from __future__ import annotations

import os
import sqlite3
import threading
import time
import weakref
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

import orjson
import zstandard

from engine.codes.database import open_reader, unavailable
from engine.codes.registry import Registry, read_registry
from engine.codes.said import Said
from engine.codes.searching import statement
from engine.codes.systems import NDC, SNOMED
from engine.terminology.concepts import Concept, Match, Release, Subsumption
from engine.terminology.spelling import spelled

__all__ = ["CodeStore"]

_TRIES = 20
_LOOK_AGAIN = 1.0  # seconds until a release that another process switched in is noticed
_NONE: Mapping[str, str] = {}
T = TypeVar("T")
_DEEP = 100_000  # ancestors of one concept, at most: a release with a circle in it ends too


_REPLACED = ("no such table", "vtable constructor failed")
"""What SQLite says of a table, and of a full-text one, of a release that was replaced while we asked."""


class _Gone(Exception):
    """The tables of a release were dropped while it was asked: the question is put again."""


class CodeStore:
    """What was loaded into one file; a file that is not there is an empty store."""

    def __init__(self, path: Path, cached: int = 8_192) -> None:
        self._path = path
        self._local = threading.local()
        self._parents: tuple[object, ...] = ()
        self._opening = threading.Lock()
        self._looking = threading.Lock()
        self._connections: list[sqlite3.Connection] = []
        self._due = 0.0
        self._seen: tuple[Any, ...] = ()
        self._file: tuple[int, int] | None = None
        self._era = 0  # counts the files that stood at this path
        self._registry = Registry({}, [], {}, 0)
        self._concept = lru_cache(cached)(self._read_concept)
        self._links = lru_cache(cached)(self._read_links)
        self._above = lru_cache(256)(self._read_above)
        forked = weakref.WeakMethod(self._forked)

        def let_go() -> None:
            if (there := forked()) is not None:
                there()

        os.register_at_fork(after_in_child=let_go)

    # -- the questions of CodeService

    def releases(self) -> list[Release]:
        """List what is loaded, the current version of a system first."""
        return [one.release for one in self._now().all]

    def in_force(self, system: str) -> Release | None:
        """Return the current release of a system."""
        found = self._now().find(system)
        return found.release if found else None

    def lookup(self, system: str, code: str, version: str = "") -> Concept | None:
        """Return a concept; None when the release has no such code."""
        if time.monotonic() > self._due:
            self._look()
        try:
            return self._concept(system, code, version, self._registry.generation)
        except _Gone:
            return self._asked(lambda now: self._concept(system, code, version, now.generation))

    def validate(self, system: str, code: str, display: str = "", version: str = "") -> tuple[bool, str]:
        """Tell whether a code is known and active, and what there is to say about it."""
        found = self.lookup(system, code, version)
        if found is None:
            shelf = self._now().find(system, version)
            if shelf is None:
                return False, f"no release of {system}{f' {version}' if version else ''} is loaded"
            written = spelled(system, code)
            known = written != code and self.lookup(system, written, version) is not None
            how = f", where it is written {written!r}" if known else ""
            return False, f"{code!r} is not in {system} {shelf.release.version}{how}"
        if not found.active:
            return False, f"{code!r} is no longer active in {system} {found.version}"
        if display and not self._is_name(found, display):
            return True, f"the name of {code!r} in {system} {found.version} is {found.display!r}"
        return True, ""

    def subsumes(self, system: str, a: str, b: str, version: str = "") -> Subsumption | None:
        """Tell how `a` stands to `b` ("subsumes": a is the wider); None when either is not known."""
        if self.lookup(system, a, version) is None or self.lookup(system, b, version) is None:
            return None
        if a == b:
            return "equivalent"
        if a in self.ancestors(system, b, version):
            return "subsumes"
        return "subsumed-by" if b in self.ancestors(system, a, version) else "not-subsumed"

    def translate(self, system: str, code: str, target: str, version: str = "") -> list[Match]:
        """Return what the loaded crosswalks say a code is in `target`, the best first.

        With a version only the crosswalks that came with that release of `system` are asked. A code that is
        not known as it was sent is looked for as its system writes it (an NDC with hyphens).
        """
        return list(self._asked(lambda now: self._links(system, code, target, version, now.generation)))

    def search(
        self,
        system: str,
        text: str,
        limit: int = 50,
        offset: int = 0,
        properties: Mapping[str, str] = _NONE,
        *,
        any_word: bool = False,
        version: str = "",
    ) -> list[Concept]:
        """Find concepts by the beginnings of words of their names; `properties` must all be as given.

        All words have to be there, or with `any_word` one of them. Active concepts come first, the closest
        before others. A text that is a code finds that code; an empty text finds all, in order of code.
        """
        if text and (exact := self.lookup(system, text.strip(), version)) is not None:
            fits = all(exact.properties.get(k) == v for k, v in properties.items())
            return [exact] if fits and offset == 0 and limit > 0 else []

        def ask(now: Registry) -> list[Concept]:
            shelf = now.find(system, version)
            asked = statement(shelf.load, shelf.id, text, properties, any_word) if shelf else None
            if shelf is None or asked is None:
                return []
            sql, values = asked
            rows = self._rows(f"{sql} LIMIT ? OFFSET ?", (*values, limit, offset))
            return [_concept(system, shelf.release.version, row) for row in rows]

        return self._asked(ask)

    # -- what the operations of a terminology server need besides

    def count(
        self, system: str, text: str = "", properties: Mapping[str, str] = _NONE, version: str = ""
    ) -> int:
        """Count what `search` would find."""
        if text and self.lookup(system, text.strip(), version) is not None:
            return len(self.search(system, text, 1, 0, properties, version=version))

        def ask(now: Registry) -> int:
            shelf = now.find(system, version)
            asked = statement(shelf.load, shelf.id, text, properties, False, count=True) if shelf else None
            return int(self._rows(*asked)[0][0]) if asked else 0

        return self._asked(ask)

    def targets(self, system: str) -> list[str]:
        """List the systems that current crosswalks lead to from a system."""
        now = self._now()
        return sorted({to for (source, to) in now.crosswalks if source == system and now.walks(source, to)})

    def members(self, refset: str, version: str = "") -> list[str]:
        """List the components of a reference set of SNOMED CT."""
        if not (refset.isascii() and refset.isdigit() and len(refset) <= 18):
            return []

        def ask(now: Registry) -> list[str]:
            shelf = now.find(SNOMED, version)
            sql = "SELECT CAST(component AS TEXT) FROM member_{n} WHERE refset = ? ORDER BY component"
            rows = self._rows(sql.format(n=shelf.load), (int(refset),)) if shelf else []
            return [code for (code,) in rows]

        return self._asked(ask)

    def names(self, system: str, code: str, version: str = "") -> list[tuple[str, str, str]]:
        """Return the other names of a concept: (name, language, use)."""
        sql = "SELECT value, language, use FROM name_{n} WHERE release = ? AND code = ?"
        return [(value, language, use) for value, language, use in self._of(system, version, sql, code)]

    def ancestors(self, system: str, code: str, version: str = "") -> frozenset[str]:
        """Return all codes that subsume a code, itself not among them."""
        return self._asked(lambda now: self._above(system, code, version, now.generation))

    def descendants(self, system: str, code: str, version: str = "") -> Iterator[str]:
        """Give all codes that a code subsumes, itself not among them."""
        sql = (
            "WITH RECURSIVE below (code) AS (SELECT child FROM edge_{n} WHERE release = ?1 AND parent = ?2 "
            "UNION SELECT child FROM edge_{n} JOIN below ON release = ?1 AND parent = below.code) "
            "SELECT code FROM below WHERE code <> ?2"
        )
        for (below,) in self._of(system, version, sql, code):
            yield below

    def document(self, kind: str, url: str, version: str = "") -> dict[str, Any] | None:
        """Return a FHIR resource that came with a release (kind `ValueSet`), of the current release first."""
        sql = (
            "SELECT body FROM document d JOIN release r ON r.id = d.release WHERE d.kind = ? AND d.url = ? "
            "AND r.ready AND (? = '' OR d.version = ?) ORDER BY r.current DESC, d.version DESC LIMIT 1"
        )
        rows = self._rows(sql, (kind, url, version, version)) if self._now().all else []
        return orjson.loads(zstandard.decompress(rows[0][0])) if rows else None

    def documents(self, kind: str) -> list[tuple[str, str]]:
        """List the FHIR resources of a kind: (url, version)."""
        if not self._now().all:
            return []
        sql = (
            "SELECT DISTINCT d.url, d.version FROM document d JOIN release r ON r.id = d.release "
            "WHERE d.kind = ? AND r.ready ORDER BY 1, 2"
        )
        return [(url, version) for url, version in self._rows(sql, (kind,))]

    def _forked(self) -> None:
        """Let go, in a child process, of connections that are the parent's (sqlite.org/howtocorrupt.html)."""
        self._opening, self._looking = threading.Lock(), threading.Lock()
        self._parents = (self._connections, self._local)  # kept, so that nothing closes them here
        self._connections, self._local = [], threading.local()
        self._due, self._seen = 0.0, ()

    def close(self) -> None:
        """Close the file."""
        with self._opening:
            for connection in self._connections:
                connection.close()
            self._connections.clear()
            self._local = threading.local()
            self._due, self._seen = 0.0, ()

    # -- reading

    def _now(self) -> Registry:
        if time.monotonic() > self._due:
            self._look()
        return self._registry

    def _asked(self, ask: Callable[[Registry], T]) -> T:
        """Put a question; once more where the release it went to was replaced in between."""
        last: sqlite3.Error | None = None
        for _ in range(_TRIES):
            try:
                return ask(self._now())
            except _Gone as gone:
                self._due, last = 0.0, gone.args[0]
        assert last is not None
        raise unavailable(self._path, last)  # not replaced, then, but damaged

    def _of(self, system: str, version: str, sql: str, code: str) -> list[Any]:
        """Return the rows of a release that belong to a code; `{n}` in the statement is its load."""

        def ask(now: Registry) -> list[Any]:
            shelf = now.find(system, version)
            return self._rows(sql.format(n=shelf.load), (shelf.id, code)) if shelf else []

        return self._asked(ask)

    def _look(self) -> None:
        """See whether the file has changed, and read again what there is."""
        with self._looking:
            self._read_again()

    def _read_again(self) -> None:
        self._due = time.monotonic() + _LOOK_AGAIN
        if (file := _identity(self._path)) != self._file:  # deleted, or another in its place
            self._file, self._era = file, self._era + 1
        connection = self._connection()
        if connection is None:
            if self._registry.all:
                self._registry = Registry({}, [], {}, self._registry.generation + 1)
            return
        try:
            seen = (self._era, id(connection), connection.execute("PRAGMA data_version").fetchone())
            if seen != self._seen:
                read = read_registry(connection, self._registry.generation + 1)
                if read.all != self._registry.all or read.crosswalks != self._registry.crosswalks:
                    self._registry = read
                self._seen = seen
        except sqlite3.Error as error:
            raise unavailable(self._path, error) from None

    def _connection(self) -> sqlite3.Connection | None:
        mine: sqlite3.Connection | None = getattr(self._local, "connection", None)
        if mine is not None and self._local.era == self._era:
            return mine
        if mine is not None:
            with self._opening:
                self._connections.remove(mine)
            mine.close()
        self._local.era = self._era
        self._local.connection = mine = open_reader(self._path)
        if mine is not None:
            with self._opening:
                self._connections.append(mine)
        return mine

    def _rows(self, sql: str, values: tuple[Any, ...]) -> list[Any]:
        connection = self._connection()
        if connection is None:
            return []
        try:
            return connection.execute(sql, values).fetchall()
        except sqlite3.Error as error:
            if any(words in str(error) for words in _REPLACED):
                raise _Gone(error) from None
            raise unavailable(self._path, error) from None

    def _read_concept(self, system: str, code: str, version: str, generation: int) -> Concept | None:
        shelf = self._registry.find(system, version)
        rows = self._rows(shelf.by_code, (shelf.id, code)) if shelf else ()
        if not rows and system == NDC and (written := spelled(system, code)) != code:
            return self._read_concept(system, written, version, generation)  # both are NDCs
        return _concept(system, shelf.release.version, rows[0]) if shelf and rows else None

    def _read_above(self, system: str, code: str, version: str, generation: int) -> frozenset[str]:
        above: set[str] = set()
        waiting = [code]
        while waiting and len(above) < _DEEP:
            concept = self._concept(system, waiting.pop(), version, generation)
            for parent in concept.parents if concept else ():
                if parent not in above:
                    above.add(parent)
                    waiting.append(parent)
        return frozenset(above - {code})

    def _read_links(
        self, system: str, code: str, target: str, version: str, generation: int
    ) -> tuple[Match, ...]:
        found: list[Match] = []
        for walk in self._registry.walks(system, target, version):
            sql = (
                f"SELECT target, display, equivalence, note FROM link_{walk.load} WHERE crosswalk = ? "
                "AND code = ? ORDER BY part, priority, rowid"
            )
            rows = self._rows(sql, (walk.id, code))
            if not rows and (written := spelled(system, code)) != code:
                rows = self._rows(sql, (walk.id, written))
            for to, display, equivalence, note in rows:
                known = self._concept(target, to, "", generation)
                name = known.display if known else display
                source = f"{walk.name}: {note}" if note else walk.name
                found.append(Match(target, to, name, equivalence, source))
        return tuple(found)

    def _is_name(self, concept: Concept, display: str) -> bool:
        wanted = display.casefold().strip()
        if concept.display.casefold() == wanted:
            return True
        names = self.names(concept.system, concept.code, concept.version)
        return any(name.casefold() == wanted for name, _, _ in names)


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _concept(system: str, version: str, row: Any) -> Concept:
    code, display, active, properties, parents = row
    return Concept(
        system,
        code,
        display,
        bool(active),
        version,
        Said(properties) if properties else _NONE,
        tuple(parents.split("\n")) if parents else (),
    )
