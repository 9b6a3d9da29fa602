"""All destinations of a hub at work: a thread each, and one more for what follows the change feed.

In: the destinations, the journal and the core store, a way to be told to stop. Out: deliveries, and figures.
A destination whose turn it is elsewhere (another machine works its queue) is left alone until it comes here.
A store that is down stops all of them, and is tried again.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

from engine.channels.delivering.places import Destined
from engine.channels.delivering.sending import Outbox, Sending
from engine.kernel.delivery import Around, Destination, Parcel
from engine.kernel.errors import HubError, StoreUnavailable, place_of
from engine.store.deliveries import Delivery

__all__ = ["Delivering"]

log = logging.getLogger("hub.deliveries")

IDLE = (0.05, 0.5)  # seconds between looks at an idle queue
DOWN = (0.5, 10.0)  # seconds between tries of a store that is down, or a destination that cannot be made
Make = Callable[[Delivery, Destined], Parcel | None]


class Delivering:
    """The threads of all destinations."""

    def __init__(
        self,
        places: Mapping[str, Destined],
        around: Around,
        outbox: Outbox,
        make: Callable[[], Make],
        clock: Callable[[], int],
        *,
        turn: Callable[[str], bool] = lambda name: True,
        stale: Callable[[Parcel], bool] = lambda parcel: False,
        beside: Mapping[str, Callable[[], bool]] | None = None,
        made: Callable[[Destined, Destination], None] = lambda place, line: None,
        settled: Callable[[], int] = lambda: 1 << 62,
        holder: str = "this process",
    ) -> None:
        self._places, self._around, self._outbox = places, around, outbox
        self._make, self._clock, self._turn, self._stale = make, clock, turn, stale
        self._beside, self._hook = dict(beside or {}), made
        self._settled, self._holder = settled, holder
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self.sendings: dict[str, Sending] = {}

    def start(self) -> None:
        """Start every thread."""
        for place in self._places.values():
            self._run(f"to {place.name}", self._serve, place)
        for name, step in self._beside.items():
            self._run(name, self._follow, name, step)

    def _run(self, name: str, what: Callable[..., None], *given: object) -> None:
        thread = threading.Thread(target=what, args=given, name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def stop(self, seconds: float) -> None:
        """Let what is under way end, at most so long; what is cut off is sent again under its key."""
        self._stopping.set()
        until = time.monotonic() + seconds
        for thread in self._threads:
            thread.join(max(0.0, until - time.monotonic()))

    def _serve(self, place: Destined) -> None:
        sending = self._made(place)
        if sending is None:
            return
        self.sendings[place.name] = sending
        try:
            self._follow(place.name, sending.step, sending.leave)
            with suppress(StoreUnavailable):  # whoever comes next waits a little longer
                sending.leave()
        finally:
            sending.close()

    def _made(self, place: Destined) -> Sending | None:
        """Make a destination; what cannot be made is told, and tried again: a file may come back."""
        wait, told = DOWN[0], ""
        while not self._stopping.is_set():
            try:
                lines: Sequence[Destination] = [place.make(self._around) for _ in range(place.at_once)]
                for line in lines:
                    self._hook(place, line)
                if told:
                    self._outbox.set_state(place.name, "open", "", self._clock())
                return Sending(
                    place,
                    lines,
                    self._outbox,
                    self._make(),
                    self._clock,
                    random.random,
                    lambda: self._stopping.is_set() or not self._turn(place.name),
                    self._stale,
                    self._settled,
                    self._holder,
                )
            except StoreUnavailable as e:
                log.error("%s: the store is not available: %s", place.name, e)
            except HubError as e:
                if str(e) != told:
                    told = str(e)
                    log.error("%s: this destination cannot be used: %s", place.name, e)
                    self._told(place.name, f"{e.where}: {e.what}")
            except Exception as e:  # a fault of ours: nobody else would serve its queue
                fault = f"internal error at {place_of(e)}"
                if fault != told:
                    told = fault
                    log.error("%s: this destination cannot be used: %s", place.name, fault)
                    self._told(place.name, fault)
            self._stopping.wait(wait)
            wait = min(wait * 2, DOWN[1])
        return None

    def _told(self, name: str, why: str) -> None:
        """Write down that a destination cannot be made, where the store can be written."""
        with suppress(StoreUnavailable):
            self._outbox.set_state(name, "down", why, self._clock())

    def _follow(self, name: str, step: Callable[[], bool], leave: Callable[[], None] = lambda: None) -> None:
        """Call a step again and again, at once while it finds something to do; `leave` where the turn is
        another's."""
        pause, wait = IDLE[0], DOWN[0]
        while not self._stopping.is_set():
            try:
                ours = self._turn(name)
                if not ours:
                    leave()
                if ours and step():
                    pause = IDLE[0]
                else:
                    self._stopping.wait(pause)
                    pause = min(pause * 1.5, IDLE[1])
                wait = DOWN[0]
                continue
            except StoreUnavailable as e:
                log.error("%s: the store is not available, trying again in %.1f s: %s", name, wait, e)
            except Exception as e:  # a fault of ours: a thread that ended would leave its queue to nobody
                log.error("%s: trying again in %.1f s: internal error at %s", name, wait, place_of(e))
            self._stopping.wait(wait)
            wait = min(wait * 2, DOWN[1])
