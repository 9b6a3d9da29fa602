"""The versions of a resource, followed back from the newest; and the entries that spoke of it without a
version.

In: resource numbers. Out: links, newest first. The history holds one index only, its sequence: every version
names the one before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import orjson

from engine.store.database import Session
from engine.store.tables import ENTRY_ERA

__all__ = ["Link", "chain_of", "times_heard", "touches_of"]


class Link(NamedTuple):
    """One version in the history."""

    seq: int
    version: int
    entry: int
    position: int
    pack: int | None
    at: int
    op: int


def chain_of(session: Session, rids: Sequence[int]) -> dict[int, list[Link]]:
    """Return all versions of each resource, newest first."""
    sql = (
        "WITH RECURSIVE chain(rid, seq, version, entry, position, pack, at, op, prev) AS ("
        "SELECT h.rid, h.seq, h.version, h.entry, h.position, h.pack, h.at, h.op, h.prev "
        "FROM resource r JOIN history h ON h.seq = r.seq WHERE r.rid IN (...) "
        "UNION ALL SELECT h.rid, h.seq, h.version, h.entry, h.position, h.pack, h.at, h.op, h.prev "
        "FROM chain c JOIN history h ON h.seq = c.prev) "
        "SELECT rid, seq, version, entry, position, pack, at, op FROM chain"
    )
    found: dict[int, list[Link]] = {}
    for rid, *link in session.among(sql, rids):
        found.setdefault(rid, []).append(Link(*link))
    for links in found.values():
        links.sort(reverse=True)
    return found


def touches_of(session: Session, rids: Sequence[int], after: int) -> dict[int, list[tuple[int, int]]]:
    """Return (position, entry) of those that spoke of each resource after a position without making a
    version.
    """
    found: dict[int, list[tuple[int, int]]] = {}
    ((newest,),) = session.all("SELECT COALESCE(MAX(era), 0) FROM touch")
    sql = (
        f"WITH RECURSIVE e(n) AS (SELECT {max(after, 0) >> ENTRY_ERA} "
        f"UNION ALL SELECT n + 1 FROM e WHERE n < {newest}) "
        "SELECT t.rid, t.position, t.entry FROM e CROSS JOIN touch t WHERE t.era = e.n AND t.rid IN (...)"
    )
    for rid, position, entry in session.among(sql, rids):
        if position > after:
            found.setdefault(rid, []).append((position, entry))
    return found


def times_heard(session: Session, rids: Sequence[int], after: int, before: int) -> dict[int, dict[str, int]]:
    """Return the latest times that senders gave for each resource, between two positions, beside versions."""
    eras = ",".join(map(str, range(max(after, 0) >> ENTRY_ERA, (max(before, 0) >> ENTRY_ERA) + 1)))
    sql = (
        f"SELECT rid, position, times FROM touch WHERE era IN ({eras}) AND times IS NOT NULL AND rid IN (...)"
    )
    found: dict[int, dict[str, int]] = {}
    for rid, position, times in session.among(sql, rids):
        if after <= position < before:
            known = found.setdefault(rid, {})
            for key, at in orjson.loads(times).items():
                known[key] = max(at, known.get(key, at))
    return found
