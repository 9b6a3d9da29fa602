"""What waits for a person in the core store: parked outcomes, work flags, and entries that wait for a code.

In: how far somebody has looked already. Out: narrow rows without patient data, in one snapshot. Only small
indexes are read: of what is parked, of what has work flags, of what waits for a code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from engine.kernel.message import Outcome
from engine.store.database import Database
from engine.store.outcomes import outcomes_of

__all__ = ["Look", "Waiting"]

_PARKED = "SELECT entry, channel, sender, cause, place FROM outcome WHERE status = 'parked'"
_FLAGGED = "SELECT entry, channel, sender, flags FROM outcome WHERE work IS NOT NULL"


@dataclass(frozen=True, slots=True)
class Look:
    """One snapshot. `parked` and `flagged` hold what is newer than was asked for, the counts hold all."""

    low: int  # every entry up to this one has its outcome
    parked_count: int
    flagged_count: int
    parked: list[tuple[Any, ...]]  # entry, channel, sender, cause, place
    flagged: list[tuple[Any, ...]]  # entry, channel, sender, flags as JSON
    waits: list[tuple[int, int, int]] | None  # gap, entry, how; None: as they were
    mark: tuple[int, int, int]  # changes when `waits` do


class Waiting:
    """The outcomes of one store that a person has to do with."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def look(
        self,
        lanes: int,
        parked_after: int = 0,
        flagged_after: int = 0,
        mark: tuple[int, int, int] = (-1, 0, 0),
    ) -> Look:
        """Return what waits; `mark` is that of the last look."""
        with self._database.read() as session:
            marks = dict(session.all("SELECT lane, watermark FROM lane"))
            ((parked,),) = session.all("SELECT count(*) FROM outcome WHERE status = 'parked'")
            ((flagged,),) = session.all("SELECT count(*) FROM outcome WHERE work IS NOT NULL")
            ((waits, gaps, entries),) = session.all(
                "SELECT count(*), COALESCE(SUM(gap), 0), COALESCE(SUM(entry * how), 0) FROM gap_wait"
            )
            new = (int(waits), int(gaps), int(entries))
            rows = session.all("SELECT gap, entry, how FROM gap_wait") if new != mark else None
            return Look(
                min((marks.get(lane, 0) for lane in range(lanes)), default=0),
                parked,
                flagged,
                session.all(f"{_PARKED} AND entry > ?", (parked_after,)),
                session.all(f"{_FLAGGED} AND entry > ?", (flagged_after,)),
                None if rows is None else [(g, e, h) for g, e, h in rows],
                new,
            )

    def states(self, entries: Sequence[int]) -> dict[int, str]:
        """Return the status of those entries that have an outcome."""
        with self._database.read() as session:
            return dict(session.among("SELECT entry, status FROM outcome WHERE entry IN (...)", entries))

    def outcomes(self, entries: Sequence[int]) -> dict[int, Outcome]:
        """Return the outcomes of those entries that have one."""
        with self._database.read() as session:
            return outcomes_of(session, entries)

    def channels(self, entries: Sequence[int]) -> dict[int, str]:
        """Return on which channel entries came that have an outcome."""
        with self._database.read() as session:
            return dict(session.among("SELECT entry, channel FROM outcome WHERE entry IN (...)", entries))

    def superseded(self, entries: Sequence[int]) -> int:
        """Return how many of the entries met something newer that they did not overwrite."""
        sql = "SELECT entry FROM outcome WHERE superseded > 0 AND status = 'done' AND entry IN (...)"
        with self._database.read() as session:
            return len(session.among(sql, entries))
