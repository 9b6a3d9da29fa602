"""Closing: a person has said that a parked message shall not run, or that a flag was seen.

In: entries, the flag it is about, a reason. Out: outcomes that no longer wait. A closed message keeps its
cause, its flags and, in the journal, its bytes: closing can be taken back, and a closed message can be
replayed. Of a message that was written, only the flag in question is closed (its `work` becomes 0 instead of
false); others of the same message stay work. Whatever was written stays as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import orjson

from engine.store.database import Database, Session
from engine.store.gaps import FLAGGED, PARKED
from engine.store.keys import Keys

__all__ = ["CLOSED", "Closing"]

CLOSED = "closed"
_SEEN = 0  # what `work` of a closed flag becomes

About = Callable[[str, str], bool]
"""Says of a flag's code and place whether it is the one to close."""


class Closing:
    """Closes outcomes of one store, and opens them again."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._database = database
        self._keys = keys

    def close(self, entries: Iterable[int], about: About, reason: str, gap: int = 0) -> list[int]:
        """Close what waits of these entries; `gap`: for this code. Returns those that it changed."""
        changed: list[int] = []
        with self._database.write() as session:
            for entry, position, status, flags in _standing(session, entries):
                if status == "parked":
                    sealed = self._keys.keyring.seal(reason.encode(), b"core:reason:%d" % entry)
                    session.run(
                        "UPDATE outcome SET status = ?, reason = ? WHERE entry = ?", (CLOSED, sealed, entry)
                    )
                    session.run("DELETE FROM gap_wait WHERE entry = ?", (position,))
                elif status == "done":
                    session.run("DELETE FROM gap_wait WHERE entry = ? AND gap = ?", (position, gap))
                    if not gap or not session.all("SELECT 1 FROM gap_wait WHERE entry = ?", (position,)):
                        _mark(session, entry, flags, about, True, _SEEN)
                else:
                    continue
                changed.append(entry)
        return changed

    def reopen(self, entries: Iterable[int], about: About, gap: int = 0) -> list[int]:
        """Take a closing back: what was parked is parked again, its flags are work again."""
        changed: list[int] = []
        with self._database.write() as session:
            for entry, position, status, flags in _standing(session, entries):
                if status == CLOSED:
                    session.run("UPDATE outcome SET status = 'parked' WHERE entry = ?", (entry,))
                elif status != "done" or not _mark(session, entry, flags, about, _SEEN, True):
                    continue
                if gap:
                    how = PARKED if status == CLOSED else FLAGGED
                    session.insert(
                        "gap_wait",
                        "gap bigint, entry bigint, how smallint",
                        [(gap, position, how)],
                        "ON CONFLICT DO NOTHING",
                    )
                changed.append(entry)
        return changed


def _standing(session: Session, entries: Iterable[int]) -> list[tuple[Any, ...]]:
    sql = "SELECT entry, position, status, flags FROM outcome WHERE entry IN (...)"
    return sorted(session.among(sql, sorted(set(entries))))


def _mark(session: Session, entry: int, flags: str | None, about: About, old: Any, new: Any) -> bool:
    """Give the flags in question another `work`; says whether there were any."""
    found = orjson.loads(flags) if flags else []
    mine = [
        flag for flag in found if about(flag[0], flag[1]) and type(flag[3]) is type(old) and flag[3] == old
    ]
    for flag in mine:
        flag[3] = new
    if mine:
        work = sum(flag[3] is True for flag in found) or None
        text = orjson.dumps(found).decode()
        session.run("UPDATE outcome SET flags = ?, work = ? WHERE entry = ?", (text, work, entry))
    return bool(mine)
