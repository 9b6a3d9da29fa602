"""`hub feed`: the changes of the core store after a position, without bodies.

In: a position and a limit. Out: one record a change, and the position to go on from.
"""

from __future__ import annotations

from typing import Any

from engine.cli.opened import Opened
from engine.kernel.clock import iso

__all__ = ["changes"]


def changes(hub: Opened, since: int, limit: int) -> tuple[list[dict[str, Any]], int]:
    """Return the changes after a feed position, and the next position."""
    found = hub.store.feed(since, limit)
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
    return rows, found[-1].seq if found else since
