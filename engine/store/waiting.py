"""What waits for a person in the core store: parked outcomes, work flags, and entries that wait for a code.

In: how far somebody has looked already; entries to close. Out: narrow rows without patient data, in one
snapshot; closed outcomes. A message is closed when a person has said that it shall not run: the outcome keeps
its cause, and the journal keeps the message, so closing can be taken back and a closed message can be
replayed. Only small indexes are read: of what is parked, of what has work flags, of what waits for a code.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import orjson

from engine.store.database import Database, Session
from engine.store.keys import Keys

__all__ = ["CLOSED", "Look", "Waiting"]

CLOSED = "closed"
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

    def __init__(self, database: Database, keys: Keys) -> None:
        self._database = database
        self._keys = keys

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

    def close(self, entries: Sequence[int], reason: str) -> list[int]:
        """Say that entries shall not run, and that their flags were seen; returns those it changed.

        Their waiting for codes ends. Whatever was written stays as it is.
        """
        changed: list[int] = []
        with self._database.write() as session:
            for entry, position, status, work in self._standing(session, entries):
                if status == "parked":
                    sealed = self._keys.keyring.seal(reason.encode(), b"core:reason:%d" % entry)
                    session.run(
                        "UPDATE outcome SET status = ?, reason = ? WHERE entry = ?", (CLOSED, sealed, entry)
                    )
                elif status == "done" and work is not None:
                    session.run("UPDATE outcome SET work = NULL WHERE entry = ?", (entry,))
                else:
                    continue
                for waiting in {entry, position}:
                    session.run("DELETE FROM gap_wait WHERE entry = ?", (waiting,))
                changed.append(entry)
        return changed

    def reopen(self, entries: Sequence[int]) -> list[int]:
        """Take a closing back: what was parked is parked again, its flags are work again."""
        changed: list[int] = []
        with self._database.write() as session:
            for entry, _, status, work in self._standing(session, entries):
                if status == CLOSED:
                    session.run("UPDATE outcome SET status = 'parked' WHERE entry = ?", (entry,))
                elif status == "done" and work is None:
                    ((flags,),) = session.all("SELECT flags FROM outcome WHERE entry = ?", (entry,))
                    count = sum(bool(flag[3]) for flag in orjson.loads(flags)) if flags else 0
                    if not count:
                        continue
                    session.run("UPDATE outcome SET work = ? WHERE entry = ?", (count, entry))
                else:
                    continue
                changed.append(entry)
        return changed

    def _standing(self, session: Session, entries: Sequence[int]) -> list[tuple[Any, ...]]:
        sql = "SELECT entry, position, status, work FROM outcome WHERE entry IN (...)"
        return sorted(session.among(sql, sorted(set(entries))))
