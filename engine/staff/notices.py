"""Notices on their way to people: made once, tried until they arrive, every try kept.

In: an alarm, what happened to it, and the ways people are told. Out: what is due now, and how the tries went.
A notice that cannot be delivered is given up after a day, and the page of alarms says so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import ClassVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from engine.staff.alarmtables import NOTICES
from engine.staff.database import Part

__all__ = ["Notice", "Notices"]

_PAUSES = (30, 60, 120, 300, 900, 1800, 3600)  # seconds after each try; the last one stays
_GIVEN_UP = 86_400_000  # ms after which a notice helps nobody any more
_TAKEN = 300_000  # ms for which a process that sends keeps others away
_ANSWER = 300  # characters of an answer that are kept


@dataclass(frozen=True, slots=True)
class Notice:
    """One notice to one place."""

    id: int
    alarm: int | None
    event: str
    way: str
    once: str
    made: int
    due: int | None
    tries: int
    sent: int | None
    answer: str

    @property
    def state(self) -> str:
        """Say how it is: sent, waiting, failing (tried in vain, tried again) or given up."""
        if self.sent is not None:
            return "sent"
        if self.due is None:
            return "given up"
        return "failing" if self.tries else "waiting"


class Notices(Part):
    """The notices of one hub. What else people are told of by notices has a table and pauses of its own."""

    table: ClassVar[sa.Table] = NOTICES
    pauses: ClassVar[tuple[int, ...]] = _PAUSES
    taken: ClassVar[int] = _TAKEN

    def make(self, alarm: int | None, event: str, ways: Iterable[str]) -> None:
        """Put a notice to each way; what was made before is not made again."""
        now = self.now()
        rows = [
            {
                "alarm": alarm,
                "event": event,
                "way": way,
                "once": f"{alarm}:{event}:{way}" if alarm is not None else f"test:{now}:{way}",
                "made": now,
                "due": now,
                "tries": 0,
                "answer": "",
            }
            for way in ways
        ]
        if rows:
            insert = (postgresql if self.database.postgres else sqlite).insert(self.table)
            with self.database.write() as c:
                c.execute(insert.on_conflict_do_nothing(), rows)

    def take(self, most: int = 20) -> list[Notice]:
        """Return what is due, and keep it from others while it is sent."""
        now = self.now()
        with self.database.read() as c:  # nothing is written while nothing is due
            if c.execute(sa.select(self.table.c.id).where(self.table.c.due <= now).limit(1)).first() is None:
                return []
        query = sa.select(self.table).where(self.table.c.due <= now).order_by(self.table.c.due).limit(most)
        with self.database.write() as c:
            found = [Notice(**row._asdict()) for row in c.execute(query)]
            numbers = [one.id for one in found]
            c.execute(sa.update(self.table).where(self.table.c.id.in_(numbers)).values(due=now + self.taken))
        return found

    def done(self, notice: Notice, sent: bool, answer: str) -> None:
        """Note how a try went; one that failed is tried again after a growing pause."""
        now = self.now()
        pause = self.pauses[min(notice.tries, len(self.pauses) - 1)] * 1000
        again = None if sent or now - notice.made > _GIVEN_UP else now + pause
        with self.database.write() as c:
            c.execute(
                sa.update(self.table)
                .where(self.table.c.id == notice.id)
                .values(
                    tries=notice.tries + 1,
                    sent=now if sent else None,
                    due=again,
                    answer=" ".join(answer.split())[:_ANSWER],
                )
            )

    def again(self, number: int) -> None:
        """Try a notice now that failed or was given up."""
        with self.database.write() as c:
            mine = sa.update(self.table).where(self.table.c.id == number, self.table.c.sent.is_(None))
            c.execute(mine.values(due=self.now(), made=self.now()))

    def drop(self, number: int) -> None:
        """Try a notice no more: a test that failed says so once."""
        with self.database.write() as c:
            c.execute(sa.update(self.table).where(self.table.c.id == number).values(due=None))

    def of(self, alarm: int) -> list[Notice]:
        """Return the notices of an alarm, oldest first."""
        query = sa.select(self.table).where(self.table.c.alarm == alarm).order_by(self.table.c.id)
        with self.database.read() as c:
            return [Notice(**row._asdict()) for row in c.execute(query)]

    def recent(self, before: int | None = None, limit: int = 50) -> list[Notice]:
        """Return notices, newest first."""
        query = sa.select(self.table).order_by(self.table.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(self.table.c.id < before)
        with self.database.read() as c:
            return [Notice(**row._asdict()) for row in c.execute(query)]

    def troubled(self) -> list[Notice]:
        """Return what does not arrive, newest first: tried in vain, or given up in the last week."""
        week = self.now() - 7 * _GIVEN_UP
        query = (
            sa.select(self.table)
            .where(self.table.c.sent.is_(None), self.table.c.tries > 0, self.table.c.made > week)
            .order_by(self.table.c.id.desc())
            .limit(50)
        )
        with self.database.read() as c:
            return [Notice(**row._asdict()) for row in c.execute(query)]
