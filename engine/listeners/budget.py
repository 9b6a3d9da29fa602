"""The bytes of unfinished frames and bodies that one listener process holds.

In: what each connection holds more or fewer. Out: beyond the limit the largest is stopped, so that many slow
senders together cannot fill the memory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from engine.listeners.intake import Connection

__all__ = ["Budget"]

_HELD_BY_ALL = 512 << 20  # bytes of unfinished frames in one process


class Budget:
    """The bytes of unfinished frames in one process: beyond the limit the largest is given up."""

    def __init__(self, limit: int = _HELD_BY_ALL) -> None:
        self._limit = limit
        self._held: dict[Connection, int] = {}
        self.total = 0

    def changed(self, connection: Connection, by: int) -> None:
        """Note that a connection holds `by` bytes more (or fewer)."""
        self.total += by
        self._held[connection] = self._held.get(connection, 0) + by
        if not self._held[connection]:
            del self._held[connection]
        if self.total > self._limit:
            max(self._held, key=self._held.__getitem__).stop("memory")
