"""A load: rows of releases go in, and either all of them become readable at once or none does.

In: concepts, names, edges, crosswalk links and FHIR documents from a loader, in any order. Out: the releases,
switched in by one transaction. Rows are written in batches, each committed, so that a load of a million rows
keeps no long transaction; readers do not see them before the end. An error, Ctrl-C or a crash leaves what
was there before; the rest is removed at once or at the next load.
"""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import orjson
import zstandard

from engine.codes.database import clean_up, drop_load, make_tables
from engine.kernel.errors import FormatError
from engine.terminology.concepts import Release

__all__ = ["Load", "drop_orphans", "forget"]

_BATCH = 8_000
_SHIPPED = "shipped:"  # before the source of a load that came with the hub
_OWN = f"(SELECT source NOT LIKE '{_SHIPPED}%' FROM load WHERE load.id = release.load)"
_PLACES = {"concept": 7, "name": 6, "edge": 3, "link": 9, "member": 2}


class Load:
    """Rows of one load, on the connection that `database.writing` gave."""

    def __init__(
        self, connection: sqlite3.Connection, source: str, loader: str, *, shipped: bool = False
    ) -> None:
        self.connection = connection
        self.shipped = shipped
        self.left_over = clean_up(connection)
        connection.execute("BEGIN IMMEDIATE")
        self.number = int(
            connection.execute(
                "INSERT INTO load VALUES (NULL, ?, ?, 0)", (f"{_SHIPPED if shipped else ''}{source}", loader)
            ).lastrowid
            or 0
        )
        make_tables(connection, self.number)
        connection.execute("COMMIT")
        self._waiting: dict[str, list[tuple[Any, ...]]] = {kind: [] for kind in _PLACES}
        self._sql = {
            kind: f"INSERT INTO {kind}_{self.number} VALUES ({','.join('?' * places)})"
            for kind, places in _PLACES.items()
        }
        self._sql["member"] += " ON CONFLICT DO NOTHING"  # who is a member twice is a member
        self._source = source
        self._releases: dict[int, tuple[str, str]] = {}
        self.beside: set[int] = set()  # releases that must not become current

    def release(self, system: str, version: str, effective: str = "") -> int:
        """Begin a release; returns its number, which its rows name. `effective`: YYYY-MM-DD or empty."""
        row = (self.number, system, version, effective, self._source, 0, "", 0, 0)
        cursor = self.connection.execute("INSERT INTO release VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?)", row)
        number = int(cursor.lastrowid or 0)
        self._releases[number] = (system, version)
        return number

    def concept(
        self,
        release: int,
        code: str,
        display: str,
        active: bool = True,
        properties: Mapping[str, str] | None = None,
        parents: Sequence[str] = (),
    ) -> None:
        """Add a concept; `parents` are codes of the same release."""
        self._add(
            "concept",
            (
                None,
                release,
                code,
                display,
                int(active),
                orjson.dumps(properties).decode() if properties else "",
                "\n".join(parents),
            ),
        )
        for parent in parents:
            self._add("edge", (release, code, parent))

    def name(
        self,
        release: int,
        code: str,
        value: str,
        language: str = "",
        use: str = "",
        key: str = "",
    ) -> None:
        """Add another name of a concept, which search finds too; `use` says what kind of name it is."""
        self._add("name", (release, code, value, language, use, key))

    def edge(self, release: int, child: str, parent: str) -> None:
        """Say that `child` is a `parent`."""
        self._add("edge", (release, child, parent))

    def member(self, component: int, refset: int) -> None:
        """Say that a component of SNOMED CT is a member of a reference set."""
        self._add("member", (component, refset))

    def rename(self, release: int, version: str, effective: str = "") -> None:
        """Say the version of a release that was not known when it was begun."""
        self._releases[release] = (self._releases[release][0], version)
        self.connection.execute(
            "UPDATE release SET version = ?, effective = coalesce(nullif(?, ''), effective) WHERE id = ?",
            (version, effective, release),
        )

    def crosswalk(self, release: int, name: str, source: str, target: str) -> int:
        """Begin a crosswalk between two systems; returns its number, which its links name."""
        row = (self.number, release, name, source, target)
        cursor = self.connection.execute("INSERT INTO crosswalk VALUES (NULL, ?, ?, ?, ?, ?)", row)
        return int(cursor.lastrowid or 0)

    def link(
        self,
        crosswalk: int,
        code: str,
        target: str,
        equivalence: str,
        display: str = "",
        *,
        part: int = 0,
        priority: int = 0,
        note: str = "",
        key: str = "",
    ) -> None:
        """Say that `code` is `target`; links of different `part` hold together, the lowest priority first."""
        self._add("link", (crosswalk, code, target, display, equivalence, part, priority, note, key))

    def document(self, release: int, kind: str, url: str, version: str, body: Mapping[str, Any]) -> None:
        """Keep a FHIR resource (a ValueSet) as it is."""
        packed = zstandard.compress(orjson.dumps(body))
        self.connection.execute(
            "INSERT INTO document VALUES (?, ?, ?, ?, ?, ?)",
            (self.number, release, kind, url, version, packed),
        )

    def _add(self, kind: str, row: tuple[Any, ...]) -> None:
        waiting = self._waiting[kind]
        waiting.append(row)
        if len(waiting) >= _BATCH:
            self._write(kind)

    def _write(self, kind: str) -> None:
        self.connection.execute("BEGIN IMMEDIATE")
        self.connection.executemany(self._sql[kind], self._waiting[kind])
        self.connection.execute("COMMIT")
        self._waiting[kind].clear()

    def flush(self) -> None:
        """Write what waits, so that SQL over the tables of this load sees it."""
        for kind, rows in self._waiting.items():
            if rows:
                self._write(kind)

    def settle(self) -> None:
        """Index what was added. Raises FormatError where a release has a code twice."""
        self.flush()
        n, run = self.number, self.connection.execute
        try:
            run(f"CREATE UNIQUE INDEX concept_{n}_code ON concept_{n} (release, code)")
        except sqlite3.IntegrityError:
            ((release, code),) = run(
                f"SELECT release, code FROM concept_{n} GROUP BY release, code HAVING count(*) > 1 LIMIT 1"
            ).fetchall()
            raise FormatError(
                f"the code {code!r} of {self._releases[release][0]} stands there twice",
                where=self._source,
                remedy="take the file from its publisher again",
            ) from None
        run(f"CREATE INDEX name_{n}_code ON name_{n} (release, code)")
        run(f"CREATE INDEX edge_{n}_parent ON edge_{n} (release, parent)")
        run(f"CREATE INDEX link_{n}_code ON link_{n} (crosswalk, code)")
        run(
            f"INSERT INTO words_{n} (rowid, display, names) SELECT id, display, (SELECT "
            f"group_concat(value, ' ') FROM name_{n} WHERE name_{n}.release = concept_{n}.release "
            f"AND name_{n}.code = concept_{n}.code) FROM concept_{n} ORDER BY id"
        )
        run(f"INSERT INTO words_{n} (words_{n}) VALUES ('optimize')")

    def counts(self) -> list[tuple[int, str, int]]:
        """Return each release of this load with its system and how many concepts it has; after `settle`."""
        return self.connection.execute(
            f"SELECT id, system, (SELECT count(*) FROM concept_{self.number} WHERE release = release.id) "
            "FROM release WHERE load = ? ORDER BY id",
            (self.number,),
        ).fetchall()

    def leads(self, release: int, today: str, wanted: bool | None) -> bool:
        """Tell whether a release will be the current one of its system.

        `wanted` None: it will, unless it is not in effect yet (`today`, YYYY-MM-DD) or a later one is.
        """
        if release in self.beside:
            return False
        run = self.connection.execute
        ((system, version, effective),) = run(
            "SELECT system, version, effective FROM release WHERE id = ?", (release,)
        )
        there = run(
            f"SELECT effective, version, {_OWN} FROM release WHERE system = ? AND current AND id <> ?",
            (system, release),
        ).fetchone()
        if self.shipped and there is not None and there[2]:
            return False
        if wanted is not None:
            return wanted or (there is not None and there[1] == version)
        if there is None or there[1] == version:  # the first, or it takes the place of the current one
            return True
        if effective > today:
            return False
        return bool(effective >= there[0] if effective and there[0] else _key(version) >= _key(there[1]))

    def has_more(self) -> bool:
        """Tell whether this load has links or documents."""
        there: tuple[int] = self.connection.execute(
            f"SELECT EXISTS (SELECT 1 FROM link_{self.number}) OR "
            "EXISTS (SELECT 1 FROM document WHERE load = ?)",
            (self.number,),
        ).fetchone()
        return bool(there[0])

    def commit(self, digest: str, today: str, wanted: bool | None = None) -> list[tuple[Release, bool]]:
        """Switch the releases in; returns each with whether it is now the current one of its system.

        A release of the same system and version is replaced. For `today` and `wanted` see `leads`.
        """
        run, made = self.connection.execute, []
        run("BEGIN IMMEDIATE")
        for number, _, count in self.counts():
            system, version = self._releases[number]
            leads = self.leads(number, today, wanted)
            same = run(
                f"SELECT id, {_OWN} FROM release WHERE system = ? AND version = ? AND ready",
                (system, version),
            ).fetchall()
            if self.shipped and any(own for _, own in same):
                forget(self.connection, number)  # the site has this very release from its publisher
                continue
            for old, _ in same:
                forget(self.connection, old)
            run(
                "UPDATE release SET ready = 1, concepts = ?, digest = ? WHERE id = ?", (count, digest, number)
            )
            if leads:
                run("UPDATE release SET current = (id = ?) WHERE system = ?", (number, system))
            ((effective,),) = run("SELECT effective FROM release WHERE id = ?", (number,))
            made.append((Release(system, version, effective, self._source, count, digest), leads))
        run("UPDATE load SET ready = 1 WHERE id = ?", (self.number,))
        drop_orphans(self.connection)
        run("COMMIT")
        return made

    def abandon(self) -> None:
        """Remove everything this load has written."""
        if self.connection.in_transaction:
            self.connection.execute("ROLLBACK")
        clean_up(self.connection)


def _key(version: str) -> list[tuple[int, str]]:
    """Make versions comparable part by part, numbers as numbers: 2.9 stands before 2.81."""
    return [(int(part) if part.isdigit() else 0, part) for part in re.findall(r"\d+|[^\W\d]+", version)]


def forget(connection: sqlite3.Connection, release: int) -> None:
    """Take a release out of the registry; inside the caller's transaction, `drop_orphans` follows."""
    connection.execute("DELETE FROM release WHERE id = ?", (release,))
    connection.execute("DELETE FROM crosswalk WHERE release = ?", (release,))
    connection.execute("DELETE FROM document WHERE release = ?", (release,))


def drop_orphans(connection: sqlite3.Connection) -> None:
    """Drop the tables of loads none of whose releases is left; inside the caller's transaction."""
    gone: Iterable[tuple[int]] = connection.execute(
        "SELECT id FROM load WHERE ready AND id NOT IN (SELECT load FROM release)"
    ).fetchall()
    for (load,) in gone:
        drop_load(connection, load)
