"""`hub feed`: the changes of the core store after a position, without bodies.

In: a cursor and a limit. Out: one record a change, and the cursor to go on from.
"""

from __future__ import annotations

from typing import Any

from engine.cli.opened import Opened
from engine.kernel.clock import iso
from engine.kernel.errors import ConfigError
from engine.store.cursor import cursor_at, position_of

__all__ = ["changes"]


def changes(hub: Opened, since: str, limit: int) -> tuple[list[dict[str, Any]], str]:
    """Return the changes after a cursor, and the next cursor. Raises ConfigError, FeedRestored."""
    try:
        position = position_of(hub.store, since)
    except ValueError as e:
        raise ConfigError(f"--since {since}", why=str(e)) from None
    found = hub.store.feed(position, limit)
    rows = [
        {
            "position": c.seq,
            "op": c.op,
            "type": c.type,
            "id": c.id,
            "version": c.version,
            "entry": c.entry,
            "at": iso(c.at),
        }
        for c in found
    ]
    return rows, cursor_at(hub.store, found[-1].seq if found else position)
