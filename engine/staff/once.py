"""Forms that may do their work once: a second click, a reload or a second browser gets the first answer.

In: the token of a form. Out: whether it is the first time, else what came of it. A form whose work was begun
and whose end is not known stays begun: nobody does it again by chance.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from engine.staff.database import Part
from engine.staff.tables import METADATA

__all__ = ["Before", "Once"]

ONCE = sa.Table(
    "staff_once",
    METADATA,
    sa.Column("token", sa.Text, primary_key=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("result", sa.Text, nullable=False),
)
_KEPT = 7 * 86_400_000  # ms


@dataclass(frozen=True, slots=True)
class Before:
    """A form that was sent before; `result` empty: what came of it is not known."""

    at: int
    result: str


class Once(Part):
    """The forms that were sent."""

    def begin(self, token: str) -> Before | None:
        """Take a form; None the first time."""
        now = self.now()
        with self.database.write() as c:
            c.execute(sa.delete(ONCE).where(ONCE.c.at < now - _KEPT))
            row = c.execute(sa.select(ONCE.c.at, ONCE.c.result).where(ONCE.c.token == token)).one_or_none()
            if row is not None:
                return Before(row.at, row.result)
            c.execute(sa.insert(ONCE).values(token=token, at=now, result=""))
        return None

    def look(self, token: str) -> Before | None:
        """Return what came of a form, without taking it."""
        with self.database.read() as c:
            row = c.execute(sa.select(ONCE.c.at, ONCE.c.result).where(ONCE.c.token == token)).one_or_none()
        return Before(row.at, row.result) if row is not None else None

    def end(self, token: str, result: str) -> None:
        """Say what came of it."""
        with self.database.write() as c:
            c.execute(sa.update(ONCE).where(ONCE.c.token == token).values(result=result))

    def undo(self, token: str) -> None:
        """Take it back: nothing was done, and it may be sent again."""
        with self.database.write() as c:
            c.execute(sa.delete(ONCE).where(ONCE.c.token == token))
