"""How many messages each channel received in each hour, kept for good: what an hour is compared with.

In: counts of journal entries that were not counted before. Out: counts by channel and hour (hours since 1970,
UTC). Several processes may count; the entry up to which everything is counted moves in the same transaction,
so nothing is counted twice. Names of channels and numbers, nothing of a message.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from engine.staff.database import Part
from engine.staff.tables import METADATA

__all__ = ["COUNTED", "HOURS", "Hours"]

HOURS = sa.Table(
    "staff_hour",
    METADATA,
    sa.Column("hour", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("channel", sa.Text, primary_key=True),
    sa.Column("entries", sa.BigInteger, nullable=False),
)

COUNTED = sa.Table(  # one row
    "staff_counted",
    METADATA,
    sa.Column("one", sa.SmallInteger, primary_key=True, autoincrement=False),
    sa.Column("entry", sa.BigInteger, nullable=False),
)


class Hours(Part):
    """The counts of all channels."""

    def counted(self) -> int:
        """Return the journal entry up to which everything is counted."""
        with self.database.read() as c:
            return int(c.execute(sa.select(COUNTED.c.entry)).scalar() or 0)

    def add(self, before: int, upto: int, counts: Mapping[tuple[str, int], int]) -> bool:
        """Add what came after entry `before` up to `upto`; False where another process has counted since."""
        with self.database.write() as c:
            known = c.execute(sa.select(COUNTED.c.entry)).scalar()
            if (known or 0) != before:
                return False
            if known is None:
                c.execute(sa.insert(COUNTED).values(one=1, entry=upto))
            else:
                c.execute(sa.update(COUNTED).values(entry=upto))
            if counts:
                insert = (postgresql if self.database.postgres else sqlite).insert(HOURS)
                more = insert.on_conflict_do_update(
                    index_elements=[HOURS.c.hour, HOURS.c.channel],
                    set_={"entries": HOURS.c.entries + insert.excluded.entries},
                )
                rows = [
                    {"channel": channel, "hour": hour, "entries": n} for (channel, hour), n in counts.items()
                ]
                c.execute(more, rows)
        return True

    def of(self, hours: Iterable[int]) -> dict[str, dict[int, int]]:
        """Return what every channel received in some hours; an hour without messages is left out."""
        query = sa.select(HOURS).where(HOURS.c.hour.in_(list(hours)))
        return self._found(query)

    def between(self, first: int, last: int) -> dict[str, dict[int, int]]:
        """Return what every channel received in the hours from `first` to `last`, both included."""
        query = sa.select(HOURS).where(HOURS.c.hour >= first, HOURS.c.hour <= last)
        return self._found(query)

    def first(self) -> dict[str, int]:
        """Return the hour in which each channel received its first message."""
        query = sa.select(HOURS.c.channel, sa.func.min(HOURS.c.hour)).group_by(HOURS.c.channel)
        with self.database.read() as c:
            return {row.channel: row[1] for row in c.execute(query)}

    def _found(self, query: sa.Select[Any]) -> dict[str, dict[int, int]]:
        found: dict[str, dict[int, int]] = {}
        with self.database.read() as c:
            for row in c.execute(query):
                found.setdefault(row.channel, {})[row.hour] = row.entries
        return found
