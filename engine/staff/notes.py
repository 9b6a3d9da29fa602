"""What people say and decide about work: who takes a task, until when it sleeps, comments.

In: the name of a task (a hash of its cause, no patient data), who, what. Out: how a task stands, and its
notes, oldest first. A task itself is nowhere stored: it is what waits at a moment; its notes stay for the
next time the same cause appears. Comments are sealed: people write names into them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from engine.staff.database import Part
from engine.staff.tables import METADATA, number

__all__ = ["NOTES", "TASKS", "About", "Note", "Notes", "Standing"]

TASKS = sa.Table(
    "staff_task",
    METADATA,
    sa.Column("task", sa.Text, primary_key=True),
    sa.Column("assignee", sa.Text, nullable=False, server_default=""),  # a person's name
    sa.Column("until", sa.BigInteger, nullable=False, server_default="0"),  # it sleeps so long
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("gap", sa.BigInteger, nullable=False),
)

NOTES = sa.Table(
    "staff_note",
    METADATA,
    number(),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("what", sa.Text, nullable=False),  # assigned | snoozed | woken | comment
    sa.Column("to", sa.Text, nullable=False, server_default=""),  # assigned: to whom
    sa.Column("until", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("text", sa.LargeBinary),  # sealed
    sqlite_autoincrement=True,
)
sa.Index("staff_note_by_task", NOTES.c.task, NOTES.c.id)

_AT_ONCE = 500


About = tuple[str, str, str, int]
"""What a task is about: channel, cause, place, number of the code."""


@dataclass(frozen=True, slots=True)
class Standing:
    """How a task stands. Times are ms since the epoch."""

    assignee: str = ""
    until: int = 0
    about: About = ("", "", "", 0)

    def asleep(self, now: int) -> bool:
        """Say whether it is snoozed at a moment."""
        return self.until > now


@dataclass(frozen=True, slots=True)
class Note:
    """One thing that somebody said or decided."""

    at: int
    who: str
    what: str
    to: str = ""
    until: int = 0
    text: str = ""


class Notes(Part):
    """The notes on all tasks."""

    def standing(self, tasks: Sequence[str]) -> dict[str, Standing]:
        """Return how tasks stand; those of which nobody has said anything are left out."""
        found: dict[str, Standing] = {}
        with self.database.read() as c:
            for at in range(0, len(tasks), _AT_ONCE):
                some = sa.select(TASKS).where(TASKS.c.task.in_(tasks[at : at + _AT_ONCE]))
                found |= {
                    row.task: Standing(row.assignee, row.until, (row.channel, row.cause, row.place, row.gap))
                    for row in c.execute(some)
                }
        return found

    def assign(self, task: str, about: About, who: str, to: str) -> None:
        """Give a task to a person; nobody (""): it is free again."""
        self._put(task, about, Note(self.now(), who, "assigned", to=to), {"assignee": to})

    def snooze(self, task: str, about: About, who: str, until: int, text: str = "") -> None:
        """Let a task sleep until a time."""
        self._put(task, about, Note(self.now(), who, "snoozed", until=until, text=text), {"until": until})

    def wake(self, task: str, about: About, who: str) -> None:
        """Wake a task that sleeps."""
        self._put(task, about, Note(self.now(), who, "woken"), {"until": 0})

    def comment(self, task: str, about: About, who: str, text: str) -> None:
        """Add a comment."""
        self._put(task, about, Note(self.now(), who, "comment", text=text), {})

    def of(self, task: str, limit: int = 200) -> list[Note]:
        """Return the newest notes of a task, oldest first."""
        query = sa.select(NOTES).where(NOTES.c.task == task).order_by(NOTES.c.id.desc()).limit(limit)
        with self.database.read() as c:
            rows = c.execute(query).all()
        return [
            Note(row.at, row.who, row.what, row.to, row.until, self._open(row.task, row.text))
            for row in reversed(rows)
        ]

    def _put(self, task: str, about: About, note: Note, standing: dict[str, object]) -> None:
        text = self.keyring.seal(note.text.encode(), _place(task)) if note.text else None
        with self.database.write() as c:
            c.execute(
                sa.insert(NOTES).values(
                    task=task,
                    at=note.at,
                    who=note.who,
                    what=note.what,
                    to=note.to,
                    until=note.until,
                    text=text,
                )
            )
            channel, cause, place, gap = about
            insert = (postgresql if self.database.postgres else sqlite).insert(TASKS)
            row = insert.values(task=task, channel=channel, cause=cause, place=place, gap=gap, **standing)
            key = [TASKS.c.task]
            told = row.on_conflict_do_update(index_elements=key, set_=standing) if standing else None
            c.execute(row.on_conflict_do_nothing(index_elements=key) if told is None else told)

    def _open(self, task: str, sealed: bytes | None) -> str:
        return self.keyring.unseal(bytes(sealed), _place(task)).decode() if sealed else ""


def _place(task: str) -> bytes:
    return b"staff:note:" + task.encode()
