"""Backups that were made or told of: how old the newest is, for people and for the alarm.

In: a backup that has just been made, by the hub or by whoever takes care of the databases. Out: the newest.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from engine.staff.alarmtables import BACKUPS
from engine.staff.database import Part

__all__ = ["Backup", "Backups"]


@dataclass(frozen=True, slots=True)
class Backup:
    """One backup. `entry`: the newest journal entry in it, 0 where nobody knows."""

    id: int
    at: int
    who: str
    place: str
    bytes: int
    entry: int
    verified: bool


class Backups(Part):
    """The backups of one hub."""

    def told(self, who: str, place: str, bytes_: int = 0, entry: int = 0, verified: bool = False) -> None:
        """Note a backup that has just been made."""
        values = {"who": who, "place": place, "bytes": bytes_, "entry": entry, "verified": int(verified)}
        with self.database.write() as c:
            c.execute(sa.insert(BACKUPS).values(at=self.now(), **values))

    def newest(self, limit: int = 1) -> list[Backup]:
        """Return the newest backups."""
        query = sa.select(BACKUPS).order_by(BACKUPS.c.id.desc()).limit(limit)
        with self.database.read() as c:
            return [Backup(**{**row._asdict(), "verified": bool(row.verified)}) for row in c.execute(query)]
