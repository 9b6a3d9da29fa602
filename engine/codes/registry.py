"""Which releases the code store holds, and where: read once, and again when the file has changed.

In: a connection. Out: `Registry`, which finds the release that a question is about without asking the
database.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass

from engine.terminology.concepts import Release

__all__ = ["Crosswalk", "Registry", "Shelf", "read_registry"]


@dataclass(frozen=True, slots=True)
class Shelf:
    """Where a release stands: its number, and the load whose tables hold it."""

    id: int
    load: int
    release: Release
    current: bool
    by_code: str


@dataclass(frozen=True, slots=True)
class Crosswalk:
    """Where the links from one system to another stand."""

    id: int
    load: int
    name: str
    shelf: Shelf


class Registry:
    """The releases and crosswalks of one moment; `generation` counts the moments."""

    def __init__(
        self,
        shelves: dict[tuple[str, str], Shelf],
        all_: list[Shelf],
        crosswalks: dict[tuple[str, str], list[Crosswalk]],
        generation: int,
    ) -> None:
        self._shelves = shelves
        self.all = all_
        self.crosswalks = crosswalks
        self.generation = generation

    def find(self, system: str, version: str = "") -> Shelf | None:
        """Return where a release stands; of SNOMED CT the date alone is a version too."""
        return self._shelves.get((system, version))

    def walks(self, source: str, target: str, version: str = "") -> list[Crosswalk]:
        """Return the crosswalks to ask: those of current releases, or of one version of `source`."""
        there = self.crosswalks.get((source, target), [])
        if not version:
            return [walk for walk in there if walk.shelf.current]
        shelf = self.find(source, version)
        return [walk for walk in there if shelf is not None and walk.shelf.id == shelf.id]


def read_registry(connection: sqlite3.Connection, generation: int) -> Registry:
    """Read what is loaded, in one snapshot."""
    connection.execute("BEGIN")
    try:
        rows = connection.execute(
            "SELECT id, load, system, version, effective, source, concepts, digest, current FROM release "
            "WHERE ready ORDER BY system, current DESC, effective DESC, version DESC"
        ).fetchall()
        walks = connection.execute(
            "SELECT id, load, release, name, source, target FROM crosswalk ORDER BY id DESC"
        ).fetchall()
    finally:
        connection.execute("COMMIT")
    shelves: dict[tuple[str, str], Shelf] = {}
    ordered: list[Shelf] = []
    numbers: dict[int, Shelf] = {}
    for id_, load, system, version, effective, source, concepts, digest, current in rows:
        sql = (
            f"SELECT code, display, active, properties, parents FROM concept_{load} "
            "WHERE release = ? AND code = ?"
        )
        release = Release(system, version, effective, source, concepts, digest)
        shelf = Shelf(id_, load, release, bool(current), sql)
        ordered.append(shelf)
        numbers[id_] = shelf
        shelves[(system, version)] = shelf
        shelves.setdefault((system, version.rpartition("/version/")[2]), shelf)
        if current:
            shelves[(system, "")] = shelf
    crosswalks: dict[tuple[str, str], list[Crosswalk]] = {}
    for id_, load, release_id, name, source, target in walks:
        if (there := numbers.get(release_id)) is not None:
            crosswalks.setdefault((source, target), []).append(Crosswalk(id_, load, name, there))
    return Registry(shelves, ordered, crosswalks, generation)
