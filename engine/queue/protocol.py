"""Who works on what, and who rings: the boundary between a worker and whatever shares the work out.

In: nothing. Out: two protocols. The truth is elsewhere: what came in is in the journal, how far it was
worked is in the watermarks, and who may write is in the core store (`store/owning.py`). So a queue may
forget, double or delay everything it is told and harm nobody: a ring is a doorbell, and ownership says whose
turn it is, on which the store has the last word. No patient data passes here: lanes and entry numbers only.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

__all__ = ["Bell", "WorkQueue"]


class Bell(Protocol):
    """The side of whoever appends to the journal."""

    def ring(self, lanes: Iterable[int], newest: int) -> None:
        """Say that entries up to `newest` are in the journal in these lanes. Never waits, never raises."""

    def close(self) -> None:
        """Ring what is left, and give back connections."""


class WorkQueue(Protocol):
    """The side of one process that works. Used by one thread."""

    name: str
    """Who this is among all nodes, e.g. `node1/worker-0`; written down where lanes are taken."""

    def lanes(self) -> frozenset[int]:
        """Return the lanes that are this process's now. Costs nothing; the same object while none changed."""

    def wait(self, seconds: float, idle: bool = False) -> None:
        """Return when it rings for one of these lanes, or lanes change, but after `seconds` at the latest.

        `idle`: nothing is left in these lanes, so that who will ring may take longer.
        """

    def lost(self, lanes: Iterable[int]) -> None:
        """Hear that somebody else has taken these lanes in the store: ask for them anew before using them."""

    def turn(self, name: str) -> bool:
        """Say whether it is this process's turn to do what one process of all nodes does, e.g. `keeper`.

        Ask before each round of such work, not once: the answer changes when a process dies or is cut off.
        When a server of the queue dies two may be told yes for some seconds: what must never be done twice
        needs a claim in a database besides.
        """

    def close(self) -> None:
        """Give everything back, so that others take it over at once."""
