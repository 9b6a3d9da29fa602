"""Loading a release: find out what a path holds, read it, hold it against what is there, switch it in.

In: a path, what the person says about it, the file of the code store. Out: a summary, with the releases that
are readable from now on. Whatever goes wrong, the store is afterwards as it was before: an error names file,
line and remedy, and the same command can be given again.
"""

from __future__ import annotations

import sqlite3
import time
from datetime import UTC, datetime
from pathlib import Path

from engine.codes.database import unavailable, writing
from engine.codes.loaders.files import Files, Tell
from engine.codes.loaders.known import LOADERS
from engine.codes.loaders.summary import Asked, Loader, Summary
from engine.codes.writing import Load, drop_orphans, forget
from engine.kernel.errors import FormatError, HubError

__all__ = ["load_release", "make_current", "remove_release"]

_SMALLER = 0.9  # of the concepts of the current release: less needs a person's word


def load_release(
    store: Path,
    path: Path,
    asked: Asked | None = None,
    *,
    loader: str = "",
    current: bool | None = None,
    accept_smaller: bool = False,
    shipped: bool = False,
    tell: Tell | None = None,
) -> Summary:
    """Load what `path` holds into the code store. Raises HubError; then nothing has changed.

    `current`: whether the releases become those that questions without a version are answered from; None
    leaves it to their dates. `accept_smaller`: also where a tenth of the concepts would be gone.
    `shipped`: it came with the hub, and gives way to whatever the site has loaded itself.
    """
    asked = asked or Asked()
    begun = time.monotonic()
    if not path.exists():
        raise FormatError("is not there", where=str(path), remedy="name a file or folder that exists")
    files = Files(path, tell)
    try:
        chosen = _choose(files, loader)
        summary = Summary(chosen.name, path.name)
        with writing(store) as connection:
            load = Load(connection, path.name, chosen.name, shipped=shipped)
            if load.left_over:
                summary.notes.append("what an interrupted load had left behind was removed")
            try:
                chosen.load(files, load, asked, summary)
                files.stage("indexing")
                load.settle()
                _something(load, path.name)
                today = datetime.now(UTC).date().isoformat()
                if not accept_smaller:
                    _not_smaller(connection, load, today, current, path.name, summary)
                summary.releases = load.commit(files.digest, today, current)
                if not summary.releases:
                    summary.notes.append("this site has loaded these releases itself; nothing was changed")
            except sqlite3.Error as error:
                load.abandon()
                raise unavailable(store, error) from error
            except BaseException:  # Ctrl-C too: what was written is removed now, not at the next load
                load.abandon()
                raise
    finally:
        files.close()
    summary.seconds = time.monotonic() - begun
    return summary


def _choose(files: Files, name: str) -> Loader:
    if name:
        for one in LOADERS:
            if one.name == name:
                return one
        raise HubError(
            f"there is no loader {name!r}", remedy=f"use one of {', '.join(x.name for x in LOADERS)}"
        )
    for one in LOADERS:
        if one.fits(files):
            return one
    raise FormatError(
        "is no release this hub knows",
        where=str(files.path),
        why="none of its files has the name or the first line of one",
        remedy="say what it is: --as " + "|".join(one.name for one in LOADERS),
    )


def _something(load: Load, where: str) -> None:
    if not any(count for _, _, count in load.counts()) and not load.has_more():
        raise FormatError("has no codes in it", where=where, why="the file is empty or cut short")


def _not_smaller(
    connection: sqlite3.Connection,
    load: Load,
    today: str,
    current: bool | None,
    where: str,
    summary: Summary,
) -> None:
    """Refuse to lead from a release to a much smaller one: a file cut between two lines looks whole.

    Of a package that holds many code systems such a one stays beside the current release instead.
    """
    counts = load.counts()
    for number, system, count in counts:
        there = connection.execute(
            "SELECT concepts, version FROM release WHERE system = ? AND ready AND current", (system,)
        ).fetchone()
        if not there or count >= there[0] * _SMALLER or not load.leads(number, today, current):
            continue
        if len(counts) > 1:
            load.beside.add(number)
            summary.notes.append(
                f"{system} has {count:,} concepts here and {there[0]:,} in {there[1]}, which stays current"
            )
            continue
        raise FormatError(
            f"has {count:,} concepts of {system}",
            where=where,
            why=f"{there[1]}, which is current, has {there[0]:,}",
            remedy="fetch the file again; if it really is smaller, say so: --accept-smaller",
        )


def make_current(store: Path, system: str, version: str) -> None:
    """Make a loaded release the one that questions without a version are answered from. Raises HubError."""
    with writing(store) as connection:
        connection.execute("BEGIN IMMEDIATE")
        number = _number(connection, system, version)
        connection.execute("UPDATE release SET current = (id = ?) WHERE system = ?", (number, system))
        connection.execute("COMMIT")


def remove_release(store: Path, system: str, version: str, *, even_current: bool = False) -> None:
    """Remove a release. Raises HubError where there is none, or it is the current one and nobody said so."""
    with writing(store) as connection:
        connection.execute("BEGIN IMMEDIATE")
        try:
            number = _number(connection, system, version)
            row = connection.execute("SELECT current FROM release WHERE id = ?", (number,)).fetchone()
            if row[0] and not even_current:
                raise HubError(
                    f"{version} is the current release of {system}",
                    remedy="make another current first (hub terms current), or say --current",
                )
            forget(connection, number)
            drop_orphans(connection)
            connection.execute("COMMIT")
        except HubError:
            connection.execute("ROLLBACK")
            raise


def _number(connection: sqlite3.Connection, system: str, version: str) -> int:
    row = connection.execute(
        "SELECT id FROM release WHERE system = ? AND ready "
        "AND (version = ? OR version LIKE '%/version/' || ?)",
        (system, version, version),
    ).fetchone()
    if row is None:
        raise HubError(
            f"there is no release {version} of {system}", remedy="see which there are: hub terms releases"
        )
    return int(row[0])
