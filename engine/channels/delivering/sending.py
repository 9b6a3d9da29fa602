"""The queue of one destination worked off: in order for every key, tried until taken, refused or parked.

In: what is pending, what makes its parcel, the destination. Out: receipts, written down one step after the
other; a crash between a try and its record has the same parcel sent again under the same key. A destination
that is down costs nobody else anything: its queue waits, with a growing pause, and one parcel tries the door.
Nothing is tried where another process has the turn (`turn.py`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from engine.channels.delivering.places import Destined
from engine.channels.delivering.turn import OurTurn, Turns, is_dead
from engine.kernel.delivery import Destination, Parcel, Receipt
from engine.kernel.errors import HubError, StoreUnavailable, place_of
from engine.store.deliveries import Delivery, Result

__all__ = ["Outbox", "Sending"]

log = logging.getLogger("hub.deliveries")

PAGE = 200  # deliveries read in one go
STEP = 200  # tries after which the caller gets a word in
FIRST, LONGEST = 1_000, 300_000  # ms between tries of one delivery
LOOK = 2_000  # ms after which a step looks anew at what people and other processes did meanwhile
GLANCE = 1_000  # ms that a look at the turn and the state holds
MAY_SEND = ("open", "down")
REST = (10, 10_000)  # a look that found nothing to try: so many times its own ms of rest, at most so many
BACK = 5_000  # ms that a clock may be put right without a word
DOOR = (100, 60_000)  # ms between tries of a destination that is down, doubled from one to the next


class Outbox(Turns, Protocol):
    """Where deliveries are kept (`engine.store.deliveries`)."""

    def pending(self, destination: str, after: int, limit: int) -> Sequence[Delivery]: ...
    def held_keys(self, destination: str) -> set[int]: ...
    def record(self, results: Sequence[Result]) -> None: ...
    def hasten(self, destination: str, after: int) -> None: ...
    def set_state(self, destination: str, state: str, why: str, at: int) -> None: ...


@dataclass(slots=True)
class Tally:
    """What one destination's queue came to since the start, for its metrics."""

    sent: int = 0
    retried: int = 0
    refused: int = 0
    parked: int = 0
    ms: int = 0


class Tried(NamedTuple):
    """What came of one try. `knocked`: the destination was asked, so its door is known to be open or not."""

    delivery: Delivery
    receipt: Receipt
    ms: int
    again: bool
    knocked: bool


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
        settled: Callable[[], int] = lambda: 1 << 62,
        holder: str = "this process",
    ) -> None:
        self.place, self.tally = place, Tally()
        self._lines, self._outbox, self._parcel = lines, outbox, parcel
        self._clock, self._chance, self._stop, self._stale = clock, chance, stop, stale
        self._settled = settled
        self._turn = OurTurn(outbox, place.name, holder, clock, is_dead)
        self._from: tuple[int, set[int]] = (0, set())  # where a look goes on that took too long
        self._rest = 0  # until when nothing is looked at
        self._last: int | None = None  # when the last step was
        self._unwritten: list[Result] = []  # what tries came to while the store could not be written
        self._failed = 0  # tries in a row that found it down
        self._not_before = 0
        self._down = False
        self._pool = ThreadPoolExecutor(len(lines), f"to-{place.name}") if len(lines) > 1 else None

    def step(self) -> bool:
        """Try what is due; return whether to go on at once. Raises StoreUnavailable."""
        self._write_down()
        now = self._clock()
        self._mind_the_clock(now)
        if now < max(self._not_before, self._rest):
            return False
        state = self._turn.state(now)
        if state not in MAY_SEND:
            return False
        self._down = state == "down"  # perhaps as another process left it
        order = self.place.order
        upto = self._settled() if order == "as they come" else 1 << 62  # before what waits is read
        after, blocked = self._from
        self._from = (0, set())
        blocked |= self._outbox.held_keys(self.place.name) if order != "none" else set()
        tried = 0
        group: list[Delivery] = []
        width = len(self._lines) if not self._failed else 1
        for delivery in self._window(after):
            if self._stop():
                return tried > 0
            if tried + len(group) >= STEP or self._clock() - now >= LOOK:
                if not tried and not group:
                    self._from = (after, blocked)
                    return True
                break
            after = delivery.id
            keys = set(delivery.keys) if order != "none" else set()
            if keys & {key for one in group for key in one.keys} and order == "by patient":
                tried += len(group)
                if not self._send(group, blocked):
                    return True
                group = []
            if order == "as they come" and (delivery.due > now or delivery.position > upto):
                break  # what comes after it waits for it
            if delivery.due > now or keys & blocked:
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
        if not tried:
            self._rest = now + min(REST[1], REST[0] * (self._clock() - now))
        return tried > 0

    def leave(self) -> None:
        """Give the turn at the destination back, where it is ours. Raises StoreUnavailable."""
        self._last, self._not_before, self._rest = None, 0, 0
        self._write_down()
        self._turn.give_back()

    def close(self) -> None:
        """Give back connections."""
        if self._pool is not None:
            self._pool.shutdown()
        for line in self._lines:
            line.close()

    def _mind_the_clock(self, now: int) -> None:
        """Wait for no time that a clock which was set back will reach in hours."""
        if self._last is None:  # whoever put it off may have had another clock, or this one before it was set
            self._outbox.hasten(self.place.name, now + LONGEST)
        elif now < self._last - BACK:
            self._not_before = self._rest = 0
            self._turn.forget_time()
            self._outbox.hasten(self.place.name, now + LONGEST)
        self._last = now

    def _window(self, after: int) -> Iterator[Delivery]:
        while page := self._outbox.pending(self.place.name, after, PAGE):
            yield from page
            if len(page) < PAGE:
                return
            after = page[-1].id

    def _send(self, group: Sequence[Delivery], blocked: set[int]) -> bool:
        """Try a group whose keys are apart, write down what came of it; return whether to go on."""
        if self._turn.state(self._clock(), GLANCE) not in MAY_SEND:
            return False
        if self._pool is None:
            made = [self._try(self._lines[0], one) for one in group]
        else:
            made = list(self._pool.map(self._try, self._lines, group))
        tries = [one for one in made if isinstance(one, Tried)]
        results = self._unwritten = [self._judged(one) for one in tries]
        self._write_down()
        for one in results:
            if one.status in ("pending", "parked"):
                blocked.update(one.delivery.keys)
        self._door([one.receipt for one in tries if one.knocked])
        for failed in made:
            if isinstance(failed, StoreUnavailable):  # after its neighbours are written down
                raise failed
        if None in made:
            return False
        strict = self.place.order == "as they come" and any(
            one.status in ("pending", "parked") for one in results
        )
        return not strict and not self._failed

    def _write_down(self) -> None:
        """Record what tries came to: a store that is full or gone must not have the same sent again."""
        if self._unwritten:
            self._outbox.record(self._unwritten)
            self._unwritten = []

    def _try(self, line: Destination, delivery: Delivery) -> Tried | StoreUnavailable | None:
        """Make the parcel and deliver it; whatever is raised is a receipt, but for a store that is down.

        None: making it took so long that the turn is another's by now.
        """
        began = self._clock()
        again = knocked = False
        try:
            parcel = self._parcel(delivery, self.place)
            if parcel is None:
                receipt = Receipt("sent", why="nothing to deliver: the entry wrote nothing")
            elif self._turn.is_lost(self._clock(), GLANCE):
                return None
            else:
                knocked = True
                receipt = line.deliver(parcel)
                again = (
                    receipt.verdict == "sent" and self._pool is not None and self._changed(delivery, parcel)
                )
        except StoreUnavailable as e:
            return e
        except HubError as e:
            receipt = Receipt("park", why=f"{e.where}: {e.what}" if e.where else e.what)
        except Exception as e:  # a fault of ours: this one waits for a person, its neighbours go on
            log.error("%s: delivery %d: internal error at %s", self.place.name, delivery.id, place_of(e))
            receipt = Receipt("park", why=f"internal error {place_of(e)}")
        return Tried(delivery, receipt, max(0, self._clock() - began), again, knocked)

    def _changed(self, delivery: Delivery, parcel: Parcel) -> bool:
        """Say whether what was just taken is older than what the core store says; unsure means yes."""
        try:
            return self._is_state(delivery) and self._stale(parcel)
        except StoreUnavailable:
            return True

    def _judged(self, tried: Tried) -> Result:
        delivery, receipt, ms, again, _ = tried
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
        return Result(delivery, receipt, status, due, now, ms, again, self._is_state(delivery))

    def _is_state(self, delivery: Delivery) -> bool:
        """Say whether it carries what the core store says, not what came."""
        rule = self.place.rules.get(delivery.channel or "")
        return rule is not None and rule.state

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
        if not receipts:
            return
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
