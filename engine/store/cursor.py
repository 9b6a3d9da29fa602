"""Where a reader of the change feed stands, as text that tells whether this store is still the one it read.

In: a position, or the text a reader brings back. Out: `124-9f3c1a2b`: the position, and a mark made of what
the store wrote there. After an older backup was restored, the positions behind it are given out again, to
other changes: a reader from before would skip those without a word. Its mark does not fit any more, and it is
told so, however far the store has grown meanwhile. A bare number is taken too, and only compared with the
newest position.
"""

from __future__ import annotations

import hashlib
import re
from typing import TYPE_CHECKING

from engine.kernel.errors import HubError

if TYPE_CHECKING:
    from engine.store.read import Change
    from engine.store.sql import SqlStore

__all__ = ["FeedRestored", "cursor_at", "position_of"]

_CURSOR = re.compile(r"([0-9]{1,18})(?:-([0-9a-f]{8}))?")


class FeedRestored(HubError):
    """The reader has seen changes that this store never made, or made differently: it was restored."""


def cursor_at(store: SqlStore, position: int) -> str:
    """Return the cursor of a feed position; "0" is the beginning."""
    mark = _mark_at(store, position) if position else None
    return f"{position}-{mark}" if mark else str(position)


def position_of(store: SqlStore, text: str) -> int:
    """Return the position a cursor stands for. Raises ValueError for what is none, FeedRestored for one of
    another past.
    """
    match = _CURSOR.fullmatch(text)
    if match is None:
        raise ValueError("a cursor is a whole number, or what `next` said")
    position, head = int(match[1]), store.head()
    if position > head:
        raise _restored(f"{position} is after the newest change ({head})")
    if match[2] and match[2] != _mark_at(store, position):
        raise _restored(f"{position} is now another change than the one you read")
    return position


def _restored(why: str) -> FeedRestored:
    return FeedRestored(
        "this store is older than your copy: a backup was restored",
        where="since",
        why=why,
        remedy="read again from since=0 into an empty copy; the hub's operators know which backup it was",
    )


def _mark_at(store: SqlStore, position: int) -> str | None:
    """Return the mark of the change at a position; None where there is none."""
    for change in store.feed(position - 1, 1):
        if change.seq == position:
            return _mark(change)
    return None


def _mark(change: Change) -> str:
    parts = (change.seq, change.type, change.id, change.version, change.op, change.entry, change.at)
    return hashlib.sha256("|".join(map(str, parts)).encode()).hexdigest()[:8]
