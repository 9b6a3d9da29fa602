"""The queue inside one `hub serve`: lanes are shared out by number, and workers look at the journal often.

In: this worker's index and the count of workers. Out: the lanes whose number leaves the index when divided by
the count, from the first to the last moment. Nobody rings: the journal is on the same machine, or in one
database, and looking costs less than being told.
"""

from __future__ import annotations

import time
from collections.abc import Iterable

__all__ = ["OwnLanes", "shared_out"]


def shared_out(lanes: int, index: int = 0, count: int = 1) -> frozenset[int]:
    """Return the lanes of one of `count` workers."""
    return frozenset(n for n in range(lanes) if n % count == index)


class OwnLanes:
    """Fixed lanes of one worker."""

    def __init__(self, lanes: Iterable[int], name: str = "worker-0") -> None:
        self.name = name
        self._lanes = frozenset(lanes)

    def lanes(self) -> frozenset[int]:
        return self._lanes

    def wait(self, seconds: float, idle: bool = False) -> None:
        time.sleep(seconds)

    def lost(self, lanes: Iterable[int]) -> None: ...

    def turn(self, name: str) -> bool:
        return True

    def close(self) -> None: ...
