"""The deliveries of destinations, each read once, so that what is old need not be read at every look.

In: the deliveries of the core store. Out: those that are new since the last look, oldest first; at the first
look those of the last 30 days. Rows of several writers may become visible out of order, so the last ten
minutes are looked at again.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from engine.store.deliveries import STATUSES, Delivery

__all__ = ["BACK", "Followed"]

BACK = 30 * 86_400_000
"""How far back deliveries are looked at, ms."""
_AGAIN = 600_000  # ms
_PAGE = 500
_MOST = 100_000  # of one destination at the first look


class Deliveries(Protocol):
    """What was delivered."""

    def listed(self, destination: str, status: str, before: int | None, limit: int) -> Sequence[Delivery]: ...


class Followed:
    """What was read of each destination."""

    def __init__(self, deliveries: Deliveries) -> None:
        self._deliveries = deliveries
        self._to: dict[str, int] = {}
        self._known: dict[int, int] = {}  # delivery -> when it was asked for

    def fresh(self, destination: str, now: int) -> list[Delivery]:
        """Return those that were not read before. Raises StoreUnavailable; then none count as read."""
        since = self._to.get(destination, now - BACK) - (_AGAIN if destination in self._to else 0)
        found: dict[int, Delivery] = {}
        for status in STATUSES:
            before: int | None = None
            while len(found) < _MOST:
                page = self._deliveries.listed(destination, status, before, _PAGE)
                found |= {one.id: one for one in page if one.at >= since and one.id not in self._known}
                if len(page) < _PAGE or page[-1].at < since:
                    break
                before = page[-1].id
        self._to[destination] = now
        self._known = {n: at for n, at in self._known.items() if at >= now - 2 * _AGAIN}
        self._known |= {one.id: one.at for one in found.values() if one.at >= now - 2 * _AGAIN}
        return [found[number] for number in sorted(found)]
