"""The random keys bodies are sealed with: one a UTC day, kept in the journal, sealed under the keyring.

Why not the keyring's own keys: they are never thrown away, so deleting a body would rest on every copy of its
bytes being overwritten, and an SSD, a snapshot or a replica may keep one. Here a day's key is destroyed as
soon as the last body of that day was deleted (crypto-shredding), and whatever copy is left stays closed; what
remains open is only a backup of the journal itself from before, together with the keyring. Rotating the
keyring means sealing these few rows anew, not a body. And a key of one day never seals more than random
nonces allow (see `engine.security.crypto`).
"""

from __future__ import annotations

import os

import sqlalchemy as sa
from sqlalchemy.engine import Engine

from engine.journal import tables
from engine.kernel.clock import now_ms
from engine.security.crypto import Sealer, SealError
from engine.security.keys import Keyring

__all__ = ["DAY", "DayKeys", "KeyGone"]

DAY = 86_400_000


class KeyGone(Exception):
    """The key a batch was prepared for was destroyed before it was appended: take another and try again."""

    def __init__(self, key_id: int) -> None:
        super().__init__(key_id)
        self.key_id = key_id


class DayKeys:
    """The `sealing_key` table; `sealer` seals with the key that `today` names, or the one it is told."""

    def __init__(self, engine: Engine, keyring: Keyring) -> None:
        self._engine = engine
        self._keyring = keyring
        self._today = -1, 0  # day, key id: one object, so that threads never mix them
        self.sealer = Sealer(self.today, self._find)

    def today(self) -> int:
        """Return the id of today's key, making it first where there is none."""
        day = now_ms() // DAY
        known = self._today
        if known[0] != day:
            known = day, self._choose(day)
            self.sealer.know(known[1])
            self._today = known
        return known[1]

    def forget(self, key_id: int) -> None:
        """Take another key from now on: `key_id` was destroyed."""
        self.sealer.forget(key_id)
        self._today = -1, 0

    def seal_anew(self) -> int:
        """Seal every key under the keyring's newest data key; return how many. Run it after a rotation."""
        table = tables.sealing_key
        with self._engine.execution_options(immediate=True).begin() as connection:
            rows = connection.execute(sa.select(table).where(table.c.sealed.is_not(None))).all()
            for row in rows:
                key = self._keyring.unseal(row.sealed, _place(row.day))
                connection.execute(
                    table.update()
                    .where(table.c.id == row.id, table.c.sealed.is_not(None))
                    .values(sealed=self._keyring.seal(key, _place(row.day)))
                )
        return len(rows)

    def _choose(self, day: int) -> int:
        table = tables.sealing_key
        query = (
            sa.select(table.c.id)
            .where(table.c.day == day, table.c.sealed.is_not(None))
            .order_by(table.c.id)
            .limit(1)
        )
        with self._engine.execution_options(immediate=True).begin() as connection:
            found = connection.execute(query).scalar()
            if found is None:
                sealed = self._keyring.seal(os.urandom(32), _place(day))
                connection.execute(table.insert().values(day=day, sealed=sealed))
                found = connection.execute(query).scalar_one()
        return int(found)

    def _find(self, key_id: int) -> bytes:
        table = tables.sealing_key
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(table).where(table.c.id == key_id)).one_or_none()
        if row is None:
            raise SealError(
                f"has no sealing key {key_id}", where="journal", remedy="restore the journal from a backup"
            )
        if row.sealed is None:
            raise SealError("cannot be opened", where="journal", why="retention destroyed its key")
        return self._keyring.unseal(row.sealed, _place(row.day))


def _place(day: int) -> bytes:
    return b"sealing_key:%d" % day
