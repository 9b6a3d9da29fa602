"""The turn of one writer: what is held is looked up, and what is new is written, with nobody between.

In: SOP Instance UIDs, then the objects that came under them. Out: which object is held under each, and what
became of the new ones, all in one transaction of the index. Whoever has the turn may write to the journal in
the meantime: what it says there of other bytes under a UID is still so when the transaction ends.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.imaging import adding
from engine.imaging.database import Session
from engine.imaging.keys import Keys
from engine.kernel.imaging import Added, NewInstance, Stored

__all__ = ["Turn"]


class Turn:
    """What may be done while no other writer does."""

    def __init__(self, session: Session, keys: Keys) -> None:
        self._session, self._keys = session, keys

    def where_are(self, sop_instances: Sequence[str]) -> dict[str, Stored]:
        """Return which object is held under each of these UIDs; those of nothing are left out."""
        uids = {self._keys.uid("instance", sop): sop for sop in sop_instances}
        rows = self._session.among("SELECT uid, address, size FROM instance WHERE uid IN (...)", list(uids))
        return {uids[bytes(uid)]: Stored(bytes(address).hex(), size) for uid, address, size in rows}

    def add(self, batch: Sequence[NewInstance]) -> list[Added]:
        """Write objects down; the same entry twice changes nothing. Raises FormatError: nothing written."""
        return adding.add(self._session, self._keys, adding.prepare(self._keys, batch))
