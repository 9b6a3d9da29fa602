"""What one FHIR server has of ours, as far as this process wrote it: so that older never overwrites newer
there.

In: names with the version they have in our store. Out: which of them may go now. Parcels of different
patients share organizations, practitioners, places; they are under way at the same time and a newer one may
overtake. So a resource is under way to a server once at a time, and what is there in a newer version is not
written again. Nothing here is kept over a restart: then the store's state is simply written once more. That
something need not be written because the server has it is believed for a quarter of an hour, and no longer
than the server stays reachable: one that was away may have been restored from a backup.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

__all__ = ["There", "Written"]

_BELIEVED = 900.0  # seconds
_MOST = 200_000  # resources remembered; a forgotten one is only written once more


class There(NamedTuple):
    """What the server has: our version of it, its own address and version; `sure` where it was read there."""

    version: int
    address: str = ""
    etag: str = ""
    sure: bool = False
    at: float = 0.0  # when it was noted; of a monotonic clock


class Written:
    """Shared by all threads that deliver to one server."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._doubted = float("-inf")
        self._changed = threading.Condition()
        self._under_way: set[str] = set()
        self._there: OrderedDict[str, There] = OrderedDict()
        self.atomic = True  # until it answers 200 with entries that failed beside others that did not

    def claim(self, names: Iterable[str], seconds: float) -> bool:
        """Take names for oneself once nobody else has any of them under way; False when that takes longer."""
        wanted = set(names)
        with self._changed:
            free = self._changed.wait_for(lambda: not (wanted & self._under_way), seconds)
            if free:
                self._under_way |= wanted
            return free

    def release(self, names: Iterable[str]) -> None:
        """Give names back."""
        with self._changed:
            self._under_way.difference_update(names)
            self._changed.notify_all()

    def of(self, name: str) -> There | None:
        """Return what is known of a resource there."""
        with self._changed:
            return self._there.get(name)

    def has(self, name: str) -> There | None:
        """Return what the server surely has still, as far as anybody can say without asking."""
        found = self.of(name)
        if found is None or found.at <= self._doubted or self._clock() - found.at > _BELIEVED:
            return None
        return found

    def doubt(self) -> None:
        """Believe nothing of what was noted so far: the server was away."""
        self._doubted = self._clock()

    def note(self, found: Mapping[str, There]) -> None:
        """Keep what the server said it has now."""
        with self._changed:
            for name, there in found.items():
                self._there[name] = there._replace(at=self._clock())
                self._there.move_to_end(name)
            while len(self._there) > _MOST:
                self._there.popitem(last=False)

    def forget(self, names: Iterable[str]) -> None:
        """Believe no more of names than how new they were: an answer was lost, or the server lost them."""
        with self._changed:
            for name in names:
                if name in self._there:
                    self._there[name] = There(self._there[name].version, at=float("-inf"))
