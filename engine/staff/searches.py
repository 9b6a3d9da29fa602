"""Searches that people keep under a name, for themselves or for everybody.

In: a name, a search as it is typed, whose it is. Out: those of one person and the shared ones, by name. Both
texts are sealed: a search may name a patient, and so may what somebody calls it.
"""

from __future__ import annotations

from dataclasses import dataclass

import sqlalchemy as sa

from engine.kernel.errors import HubError
from engine.staff.database import Part
from engine.staff.tables import METADATA, number

__all__ = ["MOST", "SEARCHES", "Saved", "Searches"]

SEARCHES = sa.Table(
    "staff_search",
    METADATA,
    number(),
    sa.Column("owner", sa.Text, nullable=False),
    sa.Column("shared", sa.Integer, nullable=False),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("name", sa.LargeBinary, nullable=False),  # sealed, as is the next
    sa.Column("query", sa.LargeBinary, nullable=False),
    sqlite_autoincrement=True,
)
sa.Index("staff_search_by_owner", SEARCHES.c.owner)

MOST = 100
"""Searches of one person."""
_LONGEST = 80


@dataclass(frozen=True, slots=True)
class Saved:
    """One search that is kept."""

    id: int
    owner: str
    shared: bool
    at: int
    name: str
    query: str


class Searches(Part):
    """The searches that are kept."""

    def of(self, owner: str) -> list[Saved]:
        """Return a person's own and all shared ones, by name."""
        query = sa.select(SEARCHES).where((SEARCHES.c.owner == owner) | (SEARCHES.c.shared == 1))
        with self.database.read() as c:
            rows = [self._saved(row) for row in c.execute(query.order_by(SEARCHES.c.id))]
        return sorted(rows, key=lambda one: (one.owner != owner, one.name.casefold(), one.id))

    def get(self, id: int, owner: str) -> Saved:
        """Return one that the person has or shares. Raises HubError."""
        with self.database.read() as c:
            row = c.execute(sa.select(SEARCHES).where(SEARCHES.c.id == id)).one_or_none()
        if row is None or not (row.owner == owner or row.shared):
            raise HubError("there is no such saved search", remedy="it may have been deleted")
        return self._saved(row)

    def save(self, owner: str, name: str, query: str, shared: bool) -> int:
        """Keep a search; returns its number. Raises HubError."""
        name = _named(name)
        with self.database.write() as c:
            mine = sa.select(sa.func.count()).select_from(SEARCHES).where(SEARCHES.c.owner == owner)
            if (c.execute(mine).scalar() or 0) >= MOST:
                raise HubError(f"you keep {MOST} searches already", remedy="delete one that you need no more")
            values = {
                "owner": owner,
                "shared": int(shared),
                "at": self.now(),
                "name": self._sealed(owner, "name", name),
                "query": self._sealed(owner, "query", query),
            }
            return int(c.execute(sa.insert(SEARCHES).values(values).returning(SEARCHES.c.id)).scalar_one())

    def change(self, id: int, owner: str, name: str, shared: bool) -> None:
        """Rename one's own search, share it or keep it to oneself. Raises HubError."""
        values = {"name": self._sealed(owner, "name", _named(name)), "shared": int(shared)}
        mine = (SEARCHES.c.id == id) & (SEARCHES.c.owner == owner)
        with self.database.write() as c:
            changed = c.execute(sa.update(SEARCHES).where(mine).values(values)).rowcount
        self._one(changed)

    def delete(self, id: int, owner: str) -> None:
        """Delete one's own search. Raises HubError."""
        mine = (SEARCHES.c.id == id) & (SEARCHES.c.owner == owner)
        with self.database.write() as c:
            changed = c.execute(sa.delete(SEARCHES).where(mine)).rowcount
        self._one(changed)

    def _one(self, changed: int) -> None:
        if changed != 1:
            raise HubError("this is not one of your saved searches", remedy="its owner can change it")

    def _sealed(self, owner: str, what: str, text: str) -> bytes:
        return self.keyring.seal(text.encode(), f"search:{owner}:{what}".encode())

    def _saved(self, row: sa.Row[tuple[object, ...]]) -> Saved:
        name, query = (
            self.keyring.unseal(bytes(sealed), f"search:{row.owner}:{what}".encode()).decode()
            for what, sealed in (("name", row.name), ("query", row.query))
        )
        return Saved(row.id, row.owner, bool(row.shared), row.at, name, query)


def _named(name: str) -> str:
    name = " ".join(name.split())
    if not name or len(name) > _LONGEST or not name.isprintable():
        raise HubError(f"a saved search has a name of at most {_LONGEST} characters")
    return name
