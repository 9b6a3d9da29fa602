"""Silences: alarms of which nobody is told for a while, because somebody knows why.

In: a channel (or `*`), a kind (or all), until when, and why. Out: what is silenced now. The alarms themselves
are raised and shown as ever.
"""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase

import sqlalchemy as sa

from engine.kernel.errors import HubError
from engine.staff.alarmtables import SILENCES
from engine.staff.database import Part

__all__ = ["Silence", "Silences"]

_LONGEST = 31 * 86_400_000


@dataclass(frozen=True, slots=True)
class Silence:
    """One silence. `ended`: taken back before its time."""

    id: int
    channel: str
    kind: str
    why: str
    made: int
    made_by: str
    until: int
    ended: int | None
    ended_by: str | None

    def covers(self, channel: str, kind: str) -> bool:
        """Say whether an alarm is silenced; the hub's own only by `*`."""
        return fnmatchcase(channel or "*", self.channel) and self.kind in ("", kind)


class Silences(Part):
    """The silences of one hub."""

    def make(self, channel: str, kind: str, minutes: int, why: str, by: str) -> int:
        """Silence something for a while. Raises HubError."""
        why = " ".join(why.split())
        if not why:
            raise HubError("a silence needs a reason", remedy="say why, e.g. the laboratory moves tonight")
        if not 1 <= minutes * 60_000 <= _LONGEST:
            raise HubError("a silence lasts a minute to 31 days", remedy="make another one when it is over")
        now = self.now()
        values = {"channel": channel, "kind": kind, "why": why, "made": now, "made_by": by}
        with self.database.write() as c:
            made = sa.insert(SILENCES).values(**values, until=now + minutes * 60_000)
            return int(c.execute(made.returning(SILENCES.c.id)).scalar_one())

    def end(self, number: int, by: str) -> None:
        """Take a silence back. Raises HubError where it is over already."""
        now = self.now()
        with self.database.write() as c:
            open_ = (SILENCES.c.id == number) & (SILENCES.c.until > now) & SILENCES.c.ended.is_(None)
            done = sa.update(SILENCES).where(open_).values(ended=now, ended_by=by).returning(SILENCES.c.id)
            if c.execute(done).scalar() is None:
                raise HubError("this silence is over")

    def now_silent(self) -> list[Silence]:
        """Return the silences that hold now, those that end first first."""
        open_ = (SILENCES.c.until > self.now()) & SILENCES.c.ended.is_(None)
        query = sa.select(SILENCES).where(open_).order_by(SILENCES.c.until)
        with self.database.read() as c:
            return [Silence(**row._asdict()) for row in c.execute(query)]
