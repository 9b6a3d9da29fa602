"""What one entry wrote, each version with the one before it: for people who ask what a message did.

In: an entry; for a replay also the entries that ran again behind it, and when: what they come to is written
under the last of them. Out: `Wrote`, in the order of writing. Read by the entries' packs, so that the length
of a resource's history does not count.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.store.keys import id_text
from engine.store.read import Reader, resource
from engine.store.tables import OPS, PACK_SLOTS

__all__ = ["Wrote", "wrote"]


@dataclass(frozen=True, slots=True)
class Wrote:
    """One version that an entry wrote."""

    type: str
    id: str
    entry: int
    version: int
    op: str  # create | update | relink
    at: int
    current: int  # the version that stands today
    resource: dict[str, Any] | None
    before: dict[str, Any] | None  # the version it took the place of


def wrote(reader: Reader, entries: Sequence[int], most: int, at: int | None = None) -> list[Wrote]:
    """Return what entries wrote, in the order of writing; `most` of it; `at`: in the transaction of then."""
    rows = reader.session.among(
        "SELECT r.type, r.id, h.entry, h.version, h.op, h.seq, h.at, h.position, h.prev, r.version, "
        "b.version, b.at, b.position "
        "FROM pack p JOIN history h ON h.seq >= p.id "
        f"AND h.seq < p.id + {PACK_SLOTS} AND h.pack = p.id "
        "JOIN resource r ON r.rid = h.rid LEFT JOIN history b ON b.seq = h.prev "
        f"WHERE p.entry IN (...) {'' if at is None else f'AND h.at = {int(at)}'} ORDER BY h.seq",
        entries,
    )
    rows = sorted(rows, key=lambda row: row[5])[:most]
    bodies = reader.bodies_of([seq for row in rows for seq in (row[5], row[8]) if seq is not None])
    out = []
    for number, key, entry, version, op, seq, at, position, before, current, *was in rows:
        kind, id_ = reader.types.name(reader.session, number), id_text(bytes(key))
        body, old = bodies.get(seq), bodies.get(before) if before is not None else None
        made = resource(kind, id_, version, at, position, body.value) if body is not None else None
        left = resource(kind, id_, was[0], was[1], was[2], old.value) if old is not None else None
        out.append(Wrote(kind, id_, entry, version, OPS[op], at, current, made, left))
    return out
