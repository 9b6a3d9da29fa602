"""Entries as a search narrows them down: numbers only, nothing opened, newest first.

In: which sources, types and kinds, and between which ids and times. Out: `Brief`s, read off the indexes in
portions, however rare what fits is. Names of channels and senders are resolved by who asks.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy.engine import Connection, Engine

from engine.journal.database import reporting
from engine.journal.search import hours
from engine.kernel.newest import leaps, merged, newest_of, pieces

__all__ = ["Brief", "Briefs", "Ends", "Where"]

_COLUMNS = "id, source, type, kind, received, size"
_NEAR = 2000  # newest entries looked at one by one before the indexes are asked
_MANY = 3000  # (source, type) pairs beyond which entries are looked at one by one


class Brief(NamedTuple):
    """An entry in numbers: `source`, `type` and `kind` as in its row."""

    id: int
    source: int
    type: int
    kind: int
    received: int
    size: int


class Ends(NamedTuple):
    """Where a journal begins and ends."""

    name: int
    entry: int
    first: int | None  # when the oldest entry was received, ms


@dataclass(frozen=True, slots=True)
class Where:
    """What narrows entries down; None = all. Times are ms, `since` included, `until` not."""

    sources: frozenset[int] | None = None
    types: frozenset[int] | None = None
    kinds: frozenset[int] | None = None
    since: int | None = None
    until: int | None = None

    def fits(self, b: Brief) -> bool:
        """Say whether an entry is one of these."""
        return (
            (self.sources is None or b.source in self.sources)
            and (self.types is None or b.type in self.types)
            and (self.kinds is None or b.kind in self.kinds)
            and (self.since is None or b.received >= self.since)
            and (self.until is None or b.received < self.until)
        )

    @property
    def nothing(self) -> bool:
        return frozenset() in (self.sources, self.types, self.kinds)


class Briefs:
    """Reads `entry` without opening anything."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def ends(self) -> Ends:
        """Return where the journal begins and ends, and the newest of its names."""
        sql = (
            "SELECT (SELECT max(id) FROM name), (SELECT max(id) FROM entry), "
            "(SELECT received FROM entry ORDER BY id LIMIT 1)"
        )
        with reporting("journal"), self._engine.connect() as connection:
            ((name, entry, first),) = connection.exec_driver_sql(sql)
        return Ends(name or 0, entry or 0, first)

    def span(self, since: int | None, until: int | None) -> tuple[int, int]:
        """Return ids (above, below) between which all received in that time lies."""
        if since is None and until is None:
            return 0, 1 << 62
        with reporting("journal"), self._engine.connect() as connection:
            first, end = hours(connection, since, until)
        return (0, 0) if first is None else (first - 1, end or 1 << 62)

    def of(self, entries: Sequence[int]) -> list[Brief]:
        """Return these entries, newest first; those that are not there are left out."""
        found: list[Brief] = []
        with reporting("journal"), self._engine.connect() as connection:
            for start in range(0, len(entries), 500):
                wanted = ",".join(str(int(n)) for n in entries[start : start + 500])
                sql = f"SELECT {_COLUMNS} FROM entry WHERE id IN ({wanted})"
                found += [Brief(*row) for row in connection.exec_driver_sql(sql)]
        return sorted(found, reverse=True)

    def newest(self, where: Where, *, above: int, below: int, limit: int) -> list[Brief]:
        """Return the newest `limit` entries between two ids that fit."""
        if where.nothing or below - above < 2:
            return []
        with reporting("journal"), self._engine.connect() as connection:
            head = connection.exec_driver_sql("SELECT max(id) FROM entry").scalar() or 0
            below = min(below, head + 1)
            low = max(above, below - 1 - max(_NEAR, limit))
            found = self._scanned(connection, where, low, below, limit)
            if len(found) >= limit or low <= above:
                return found
            runs = self._runs(connection, where)
            rest = limit - len(found)
            if runs is None:
                return found + self._scanned(connection, where, above, low + 1, rest)
            times = _times(where)
            ids = merged(
                (
                    connection.exec_driver_sql(
                        newest_of("entry", "id", part, above=above, below=low + 1, limit=rest, more=times)
                    ).scalars()
                    for part in pieces(runs)
                ),
                rest,
            )
        return found + self.of(ids)

    def _scanned(
        self, connection: Connection, where: Where, above: int, below: int, limit: int
    ) -> list[Brief]:
        # `+source`: no index, the entries themselves from the newest on
        tests = [f"id > {above:d}", f"id < {below:d}", _times(where)]
        for column, wanted in (("source", where.sources), ("type", where.types), ("kind", where.kinds)):
            if wanted is not None:
                tests.append(f"+{column} IN ({_list(wanted)})")
        conditions = " AND ".join(test for test in tests if test)
        sql = f"SELECT {_COLUMNS} FROM entry WHERE {conditions} ORDER BY id DESC LIMIT {limit:d}"
        return [Brief(*row) for row in connection.exec_driver_sql(sql)]

    def _runs(self, connection: Connection, where: Where) -> list[str] | None:
        """Return the runs of an index in which what fits lies; None where looking one by one is better."""
        usual = 0
        if where.kinds is not None and usual not in where.kinds:
            more = ""
            for column, wanted in (("source", where.sources), ("type", where.types)):
                more += f" AND +{column} IN ({_list(wanted)})" if wanted is not None else ""
            return [f"kind > 0 AND kind = {kind:d}{more}" for kind in sorted(where.kinds)]
        if where.sources is None and where.types is None:
            return None
        pairs = [
            (source, type_)
            for source, type_ in connection.exec_driver_sql(leaps("entry", ("source", "type"), "id"))
            if (where.sources is None or source in where.sources)
            and (where.types is None or type_ in where.types)
        ]
        kinds = f" AND kind IN ({_list(where.kinds)})" if where.kinds is not None else ""
        runs = [f"source = {source:d} AND type = {type_:d}{kinds}" for source, type_ in pairs]
        return runs if len(runs) <= _MANY else None


def _times(where: Where) -> str:
    tests = [f"received >= {where.since:d}"] if where.since is not None else []
    tests += [f"received < {where.until:d}"] if where.until is not None else []
    return " AND ".join(tests)


def _list(numbers: Iterable[int]) -> str:
    return ",".join(str(int(n)) for n in sorted(numbers))
