"""What is held no longer than the rules say: studies by age or by name, and the objects nobody needs after
it.

In: a moment, or a study. Out: rows gone in one transaction, and the addresses of objects that neither an
instance nor other bytes under its UID use any more. Objects go afterwards (`expire`): a crash between leaves
an object without a row, never a row without an object.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from engine.imaging.database import Database, Session
from engine.imaging.keys import Keys

__all__ = ["GRACE", "Retention", "expire"]

GRACE = 3_600_000
"""Milliseconds an object is spared after it was brought: its row may not be written yet."""

_AT_ONCE = 50
_OF_STUDY = "(SELECT id FROM series WHERE study = ?)"


class Discards(Protocol):
    """What retention needs of the object store."""

    def discard(self, address: str, before: int) -> bool: ...


class Retention:
    """Forgets."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._database, self._keys = database, keys

    def used(self, addresses: Sequence[str]) -> set[str]:
        """Return those of these addresses that something is held by."""
        with self._database.read() as session:
            return _used(session, addresses)

    def aged(self, before: int, limit: int = _AT_ONCE) -> list[bytes]:
        """Return the keys of studies that got nothing since `before`, are told, and have nothing to send."""
        with self._database.read() as session:
            rows = session.all(
                "SELECT s.uid FROM study s WHERE s.received < ? AND s.changed < ? AND s.told >= s.version "
                "AND NOT EXISTS (SELECT 1 FROM sending q JOIN instance i ON i.id = q.instance "
                "JOIN series x ON x.id = i.series WHERE x.study = s.id AND q.due IS NOT NULL) "
                "ORDER BY s.received LIMIT ?",
                (before, before, limit),
            )
        return [bytes(uid) for (uid,) in rows]

    def forget(self, study: str | bytes = "", sop: Sequence[str] = ()) -> list[str]:
        """Forget a study, or instances by their UIDs; return the addresses that nothing uses any more."""
        with self._database.write(durable=True) as session:
            if sop:
                addresses = self._instances(session, [self._keys.uid("instance", uid) for uid in sop])
            else:
                key = study if isinstance(study, bytes) else self._keys.uid("study", study)
                addresses = self._study(session, key)
            used = _used(session, addresses)
        return [address for address in addresses if address not in used]

    def _study(self, session: Session, key: bytes) -> list[str]:
        row = session.one("SELECT id FROM study WHERE uid = ?", (key,))
        if row is None:
            return []
        found = session.all(f"SELECT address FROM instance WHERE series IN {_OF_STUDY}", row)
        others = "study = ? OR instance IN (SELECT uid FROM instance WHERE series IN " + _OF_STUDY + ")"
        found += session.all(f"SELECT address FROM other_bytes WHERE {others}", (*row, *row))
        session.run(f"DELETE FROM other_bytes WHERE {others}", (*row, *row))
        session.run(
            f"DELETE FROM sending WHERE instance IN (SELECT id FROM instance WHERE series IN {_OF_STUDY})",
            row,
        )
        session.run(f"DELETE FROM instance WHERE series IN {_OF_STUDY}", row)
        for table, column in (("series", "study"), ("term", "study"), ("study", "id")):
            session.run(f"DELETE FROM {table} WHERE {column} = ?", row)
        session.run("DELETE FROM step_study WHERE study = ?", (key,))
        return _hex(found)

    def _instances(self, session: Session, keys: Sequence[bytes]) -> list[str]:
        rows = session.among(
            "SELECT i.id, i.uid, i.address, x.id, x.study FROM instance i JOIN series x ON x.id = i.series "
            "WHERE i.uid IN (...)",
            keys,
        )
        found = [(row[2],) for row in rows]
        for number, uid, _, series, study in rows:
            found += session.all("SELECT address FROM other_bytes WHERE instance = ?", (uid,))
            session.run("DELETE FROM other_bytes WHERE instance = ?", (uid,))
            session.run("DELETE FROM sending WHERE instance = ?", (number,))
            session.run("DELETE FROM instance WHERE id = ?", (number,))
            session.run("UPDATE series SET instances = instances - 1 WHERE id = ?", (series,))
            emptied = session.run("DELETE FROM series WHERE id = ? AND instances = 0", (series,))
            session.run(
                "UPDATE study SET instances = instances - 1, series = series - ?, version = version + 1 "
                "WHERE id = ?",
                (emptied, study),
            )
            if session.run("DELETE FROM study WHERE id = ? AND instances = 0", (study,)):
                session.run("DELETE FROM term WHERE study = ?", (study,))
        return _hex(found)


def _hex(rows: Iterable[tuple[bytes]]) -> list[str]:
    return list(dict.fromkeys(bytes(address).hex() for (address,) in rows))


def _used(session: Session, addresses: Sequence[str]) -> set[str]:
    raw = [bytes.fromhex(address) for address in addresses]
    return {
        bytes(address).hex()
        for table in ("instance", "other_bytes")
        for (address,) in session.among(f"SELECT address FROM {table} WHERE address IN (...)", raw)
    }


def expire(retention: Retention, objects: Discards, before: int, now: int) -> int:
    """Forget every study that got nothing since `before`, and remove its objects; return how many went."""
    gone = 0
    while keys := retention.aged(before):
        for key in keys:
            for address in retention.forget(key):
                objects.discard(address, now - GRACE)
            gone += 1
    return gone
