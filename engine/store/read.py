"""Reading resources: current, one version, history, the change feed.

In: types, ids, positions. Out: FHIR resources with `id`, `meta.versionId`, `meta.lastUpdated` and
`meta.source` (the journal entry, FHIR R4 `Resource.meta`), and feed rows in commit order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from engine.kernel.clock import iso
from engine.store.chain import Link, chain_of
from engine.store.database import Session
from engine.store.keys import Keys, id_bytes, id_text
from engine.store.pack import Bodies, Body
from engine.store.state import COLUMNS, Row, Types, load_bodies, row_from
from engine.store.tables import ENTRY_ERA, OP_DELETE, OPS, PACK_SLOTS

__all__ = ["Change", "Reader", "StoredVersion"]


@dataclass(frozen=True, slots=True)
class StoredVersion:
    """One version of a resource; `resource` is None for a tombstone."""

    type: str
    id: str
    version: int
    seq: int
    op: str  # create | update | delete | relink
    entry: int
    position: int
    at: int
    resource: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Change:
    """One row of the change feed. `body` is there when asked for and when there is one."""

    seq: int
    type: str
    id: str
    version: int
    op: str
    entry: int
    position: int
    at: int
    body: dict[str, Any] | None = None


class Reader:
    """Reads inside one snapshot."""

    def __init__(self, session: Session, keys: Keys, types: Types, bodies: Bodies) -> None:
        self.session = session
        self.keys = keys
        self.types = types
        self.bodies = bodies

    def row(self, kind: str, id_: str) -> Row | None:
        """Return the row of a resource by its public id, deleted or not."""
        sql = f"SELECT {COLUMNS} FROM identity i JOIN resource r ON r.rid = i.rid WHERE i.key = ?"
        for columns in self.session.all(sql, (id_bytes(kind, id_),)):
            row = row_from(columns, self.types, self.session)
            if row.type == kind and row.id == id_:
                return row
        return None

    def bodies_of(self, seqs: Iterable[int]) -> dict[int, Body]:
        """Return the bodies of versions."""
        return load_bodies(self.session, self.keys, self.bodies, seqs)

    def current(self, row: Row, body: Body | None = None) -> dict[str, Any] | None:
        """Return a current resource, or None if it is deleted."""
        if row.deleted:
            return None
        ((at, position),) = self.session.all("SELECT at, position FROM history WHERE seq = ?", (row.seq,))
        body = body or self.bodies_of([row.seq])[row.seq]
        return resource(row.type, row.id, row.version, at, position, body.value)

    def versions(self, kind: str, id_: str) -> list[StoredVersion]:
        """Return all versions of a resource, newest first; none if it never was."""
        row = self.row(kind, id_)
        if row is None:
            return []
        links = chain_of(self.session, [row.rid]).get(row.rid, [])
        bodies = self.bodies_of([link.seq for link in links])
        return [self._stored(row, link, bodies.get(link.seq)) for link in links]

    def version(self, kind: str, id_: str, version: int) -> StoredVersion | None:
        """Return one version of a resource."""
        row = self.row(kind, id_)
        if row is None or not 1 <= version <= row.version:
            return None
        link = next(
            (x for x in chain_of(self.session, [row.rid]).get(row.rid, []) if x.version == version), None
        )
        return None if link is None else self._stored(row, link, self.bodies_of([link.seq]).get(link.seq))

    def _stored(self, row: Row, link: Link, body: Body | None) -> StoredVersion:
        made = resource(row.type, row.id, link.version, link.at, link.position, body.value) if body else None
        return StoredVersion(
            *(
                row.type,
                row.id,
                link.version,
                link.seq,
                OPS[link.op],
                link.entry,
                link.position,
                link.at,
                made,
            )
        )

    def feed(
        self, since: int, limit: int, with_bodies: bool, of: Collection[str] | None = None
    ) -> list[Change]:
        """Return the changes after a feed position, in commit order; bodies of these types alone."""
        rows = self.session.all(
            "SELECT h.seq, r.type, r.id, h.version, h.op, h.entry, h.position, h.at FROM history h "
            "JOIN resource r ON r.rid = h.rid WHERE h.seq > ? ORDER BY h.seq LIMIT ?",
            (since, limit),
        )
        wanted = [
            r[0]
            for r in (rows if with_bodies else ())
            if r[4] != OP_DELETE and (of is None or self.types.name(self.session, r[1]) in of)
        ]
        bodies = self.bodies_of(wanted) if wanted else {}
        changes = []
        for seq, number, key, version, op, entry, position, at in rows:
            kind, id_, body = self.types.name(self.session, number), id_text(bytes(key)), bodies.get(seq)
            made = resource(kind, id_, version, at, position, body.value) if body else None
            changes.append(Change(seq, kind, id_, version, OPS[op], entry, position, at, made))
        return changes

    def written_by(self, entry: int) -> list[tuple[str, str, int, str]]:
        """Return (type, id, version, op) of everything an entry wrote, in the order of writing."""
        rows = self.session.all(
            "SELECT r.type, r.id, h.version, h.op FROM pack p JOIN history h ON h.seq >= p.id "
            f"AND h.seq < p.id + {PACK_SLOTS} AND h.pack = p.id "
            "JOIN resource r ON r.rid = h.rid WHERE p.entry = ? ORDER BY h.seq",
            (entry,),
        )
        return [(self.types.name(self.session, n), id_text(bytes(k)), v, OPS[op]) for n, k, v, op in rows]

    def left_by(self, entry: int, position: int) -> list[tuple[str, str]]:
        """Return (type, id) of what an entry spoke of too late: newer was there, and it was not written."""
        rows = self.session.all(
            "SELECT r.type, r.id FROM touch t JOIN resource r ON r.rid = t.rid "
            "WHERE t.era = ? AND t.entry = ? AND t.late = 1 ORDER BY r.rid",
            (position >> ENTRY_ERA, entry),
        )
        return [(self.types.name(self.session, n), id_text(bytes(k))) for n, k in rows]

    def late_about(self, row: Row) -> list[int]:
        """Return the entries that spoke of a resource too late, newest first."""
        ((newest,),) = self.session.all("SELECT COALESCE(MAX(era), 0) FROM touch")
        sql = (
            f"WITH RECURSIVE e(n) AS (SELECT 0 UNION ALL SELECT n + 1 FROM e WHERE n < {newest}) "
            "SELECT t.entry FROM e CROSS JOIN touch t WHERE t.era = e.n AND t.rid = ? AND t.late = 1"
        )
        return sorted((entry for (entry,) in self.session.all(sql, (row.rid,))), reverse=True)


def resource(
    kind: str, id_: str, version: int, at: int, position: int, body: dict[str, Any]
) -> dict[str, Any]:
    """Put a stored body back together as a FHIR resource."""
    meta = {"versionId": str(version), "lastUpdated": iso(at), "source": f"urn:hub:entry:{position}"}
    rest = {name: value for name, value in body.items() if name not in ("resourceType", "id", "meta")}
    return {"resourceType": kind, "id": id_, "meta": {**body.get("meta", {}), **meta}, **rest}
