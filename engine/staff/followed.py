"""Who reads the change feed of the core store, and up to where: a cursor a reader, moved with what it wrote.

In: cursors as `engine.store.cursor` writes them. Out: the same. Whoever moves a cursor says where it stood:
of two processes that read the same changes one finds it moved, and keeps nothing.
"""

from __future__ import annotations

import sqlalchemy as sa

from engine.staff.criticaltables import FOLLOWED
from engine.staff.database import Part

__all__ = ["Followed", "move_in"]


def move_in(c: sa.Connection, reader: str, before: str | None, after: str, now: int) -> bool:
    """Move a reader's cursor inside a write transaction; False where it does not stand at `before`."""
    mine = FOLLOWED.c.reader == reader
    known = c.execute(sa.select(FOLLOWED.c.cursor).where(mine)).scalar()
    if known != before:
        return False
    if known is None:
        c.execute(sa.insert(FOLLOWED).values(reader=reader, cursor=after, at=now))
    else:
        c.execute(sa.update(FOLLOWED).where(mine).values(cursor=after, at=now))
    return True


class Followed(Part):
    """The cursors of all readers."""

    def cursor(self, reader: str) -> str | None:
        """Return where a reader stands; None: it has not begun."""
        with self.database.read() as c:
            found: str | None = c.execute(
                sa.select(FOLLOWED.c.cursor).where(FOLLOWED.c.reader == reader)
            ).scalar()
        return found

    def move(self, reader: str, before: str | None, after: str) -> bool:
        """Move a cursor by itself; False where another process was first."""
        with self.database.write() as c:
            return move_in(c, reader, before, after, self.now())
