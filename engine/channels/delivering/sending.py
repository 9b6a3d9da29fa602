"""The queue of one destination worked off: in order for every key, tried until taken, refused or parked.

In: what is pending, what makes its parcel, the destination. Out: receipts, written down one step after the
other; a crash between a try and its record has the same parcel sent again under the same key. A destination
that is down costs nobody else anything: its queue waits, with a growing pause, and one parcel tries the door.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol

from engine.channels.delivering.places import Destined
from engine.kernel.delivery import Destination, Parcel, Receipt
from engine.kernel.errors import HubError, StoreUnavailable, place_of
from engine.store.deliveries import Delivery, Result

__all__ = ["Outbox", "Sending"]

log = logging.getLogger("hub.deliveries")

PAGE, PAGES = 200, 25  # deliveries looked at in one go
STEP = 200  # tries after which the caller gets a word in
FIRST, LONGEST = 1_000, 300_000  # ms between tries of one delivery
LOOK = 2_000  # ms after which a step looks anew at what people and other processes did meanwhile
DOOR = (100, 60_000)  # ms between tries of a destination that is down, doubled from one to the next


class Outbox(Protocol):
    """Where deliveries are kept (`engine.store.deliveries`)."""

    def pending(self, destination: str, after: int, limit: int) -> Sequence[Delivery]: ...
    def held_keys(self, destination: str) -> set[int]: ...
    def record(self, results: Sequence[Result]) -> None: ...
    def state(self, destination: str) -> str: ...
    def set_state(self, destination: str, state: str, why: str, at: int) -> None: ...


@dataclass(slots=True)
class Tally:
    """What one destination's queue came to since the start, for its metrics."""

    sent: int = 0
    retried: int = 0
    refused: int = 0
    parked: int = 0
    ms: int = 0


class Sending:
    """Works one destination's queue off."""

    def __init__(
        self,
        place: Destined,
        lines: Sequence[Destination],
        outbox: Outbox,
        parcel: Callable[[Delivery, Destined], Parcel | None],
        clock: Callable[[], int],
        chance: Callable[[], float],
        stop: Callable[[], bool] = lambda: False,
        stale: Callable[[Parcel], bool] = lambda parcel: False,
    ) -> None:
        self.place, self.tally = place, Tally()
        self._lines, self._outbox, self._parcel = lines, outbox, parcel
        self._clock, self._chance, self._stop, self._stale = clock, chance, stop, stale
        self._unwritten: list[Result] = []  # what tries came to while the store could not be written
        self._failed = 0  # tries in a row that found it down
        self._not_before = 0
        self._down = False
        self._pool = ThreadPoolExecutor(len(lines), f"to-{place.name}") if len(lines) > 1 else None

    def step(self) -> bool:
        """Try what is due; return whether anything was tried. Raises StoreUnavailable."""
        self._write_down()
        now = self._clock()
        state = self._outbox.state(self.place.name)
        if now < self._not_before or state == "stopped":
            return False
        self._down = state == "down"  # perhaps as another process left it
        blocked = self._outbox.held_keys(self.place.name) if self.place.order != "none" else set()
        tried = 0
        group: list[Delivery] = []
        width = len(self._lines) if not self._failed else 1
        for delivery in self._window():
            if self._stop():
                return tried > 0
            if tried + len(group) >= STEP or self._clock() - now >= LOOK:
                break
            keys = set(delivery.keys) if self.place.order != "none" else set()
            if keys & {key for one in group for key in one.keys} and self.place.order == "by patient":
                tried += len(group)
                if not self._send(group, blocked):
                    return True
                group = []
            if delivery.due > now or keys & blocked:
                if self.place.order == "as they come" and delivery.due > now:
                    break
                blocked |= keys
                continue
            group.append(delivery)
            if len(group) >= width:
                tried += len(group)
                if not self._send(group, blocked):
                    return True
                group = []
        if group:
            tried += len(group)
            self._send(group, blocked)
        return tried > 0

    def close(self) -> None:
        """Give back connections."""
        if self._pool is not None:
            self._pool.shutdown()
        for line in self._lines:
            line.close()

    def _window(self) -> Iterator[Delivery]:
        after = 0
        for _ in range(PAGES):
            page = self._outbox.pending(self.place.name, after, PAGE)
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].id

    def _send(self, group: Sequence[Delivery], blocked: set[int]) -> bool:
        """Try a group whose keys are apart, write down what came of it; return whether to go on."""
        if self._pool is None:
            made = [self._try(self._lines[0], one) for one in group]
        else:
            made = list(self._pool.map(self._try, self._lines, group))
        results = self._unwritten = [self._judged(*one) for one in made]
        self._write_down()
        for one in results:
            if one.status in ("pending", "parked"):
                blocked.update(one.delivery.keys)
        self._door([one.receipt for one in results])
        strict = self.place.order == "as they come" and any(
            one.status in ("pending", "parked") for one in results
        )
        return not strict and not self._failed

    def _write_down(self) -> None:
        """Record what tries came to: a store that is full or gone must not have the same sent again."""
        if self._unwritten:
            self._outbox.record(self._unwritten)
            self._unwritten = []

    def _try(self, line: Destination, delivery: Delivery) -> tuple[Delivery, Receipt, int, bool]:
        """Make the parcel and deliver it; whatever is raised is a receipt, but for a store that is down."""
        began = self._clock()
        again = False
        try:
            parcel = self._parcel(delivery, self.place)
            if parcel is None:
                receipt = Receipt("sent", why="nothing to deliver: the entry wrote nothing")
            else:
                receipt = line.deliver(parcel)
                again = receipt.verdict == "sent" and self._pool is not None and self._stale(parcel)
        except StoreUnavailable:
            raise
        except HubError as e:
            receipt = Receipt("park", why=f"{e.where}: {e.what}" if e.where else e.what)
        except Exception as e:  # a fault of ours: this one waits for a person, its neighbours go on
            log.error("%s: delivery %d: internal error at %s", self.place.name, delivery.id, place_of(e))
            receipt = Receipt("park", why=f"internal error {place_of(e)}")
        return delivery, receipt, max(0, self._clock() - began), again

    def _judged(self, delivery: Delivery, receipt: Receipt, ms: int, again: bool) -> Result:
        now = self._clock()
        status = {"sent": "sent", "refuse": "refused", "park": "parked", "retry": "pending"}[receipt.verdict]
        due = 0
        if status == "pending":
            due = now + self._pause(delivery.tries, receipt)
            since = delivery.first if delivery.first is not None else now
            retry = self.place.retry
            if not receipt.down and now - since >= retry.for_ms and retry.then != "wait":
                status = "parked" if retry.then == "hold" else "skipped"
        t = self.tally
        t.sent += status == "sent"
        t.retried += status == "pending"
        t.refused += status == "refused"
        t.parked += status in ("parked", "skipped")
        t.ms += ms
        rule = self.place.rules.get(delivery.channel or "")
        return Result(delivery, receipt, status, due, now, ms, again, rule is not None and rule.state)

    def _pause(self, tries: int, receipt: Receipt) -> int:
        """Return the ms until a delivery may be tried again; one that met a closed door waits for that."""
        if receipt.wait is not None:
            return int(min(max(receipt.wait, 0.0), 86_400.0) * 1000)
        if receipt.down:
            return 0
        longest = min(LONGEST, FIRST * 2 ** min(tries, 20))
        return int(longest * (1 - self._chance() / 3))

    def _door(self, receipts: Sequence[Receipt]) -> None:
        """Close the door after a try that found the destination down, open it after one that did not."""
        downs = [one for one in receipts if one.down]
        now = self._clock()
        if not downs:
            if self._down:
                log.info("%s takes deliveries again", self.place.name)
                self._outbox.set_state(self.place.name, "open", "", now)
            self._failed, self._not_before, self._down = 0, 0, False
            return
        self._failed += 1
        longest = min(DOOR[1], DOOR[0] * 2 ** min(self._failed - 1, 20))
        asked = max((one.wait or 0.0 for one in downs), default=0.0)
        self._not_before = now + max(int(longest * (1 - self._chance() / 3)), int(min(asked, 3600.0) * 1000))
        if not self._down and self._failed > 1:  # the first may be a hiccup: nobody is told of it
            self._down = True
            log.warning("%s takes no deliveries now: %s", self.place.name, downs[0].why)
            self._outbox.set_state(self.place.name, "down", downs[0].why, now)
