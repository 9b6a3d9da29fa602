"""Ways to break the hub that the simulation must notice: each takes one precaution out of the real code.

A simulation that finds nothing proves nothing. `python -m tests.simulation 1-300 --mutation NAME` shows what
each of these leads to; test_simulation.py expects every one to be found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from engine.channels.delivering.parcels import Parcels
from engine.channels.delivering.sending import Sending
from engine.channels.worker import Worker
from engine.kernel.errors import StoreUnavailable
from engine.kernel.message import Accepted
from engine.listeners.intake import Intake
from engine.store.deliveries import Result

from .core import CoreSide

Change = Callable[[], tuple[type, str, Any]]
MUTATIONS: dict[str, Callable[[], AbstractContextManager[None]]] = {}


def _mutation(make: Change) -> Change:
    """Register a change: a class, the name of a method, what stands there instead."""

    @contextmanager
    def swapped() -> Iterator[None]:
        where, name, new = make()
        before = getattr(where, name)
        setattr(where, name, new)
        try:
            yield
        finally:
            setattr(where, name, before)

    MUTATIONS[make.__name__.replace("_", "-")] = swapped
    return make


@_mutation
def ack_before_append() -> tuple[type, str, Any]:
    """Senders are answered before their messages are on disk."""

    def flush(self: Any) -> None:
        frames, entries = self._frames, self._entries
        self._frames, self._entries = [], []
        if frames:
            self._reply(frames, [Accepted(0)] * len(entries))
            try:
                self._append(entries)
            except StoreUnavailable:
                pass

    return Intake, "flush", flush


@_mutation
def no_wait_for_other_lanes() -> tuple[type, str, Any]:
    """An entry of several lanes runs though an earlier one may wait in another worker's lane."""
    return Worker, "_unknown", lambda *_: False


@_mutation
def no_hand_over_in_the_store() -> tuple[type, str, Any]:
    """A worker believes the queue and takes nothing in the store."""

    def take(self: Any) -> None:
        self.mine = self._given = self.queue.lanes()

    return Worker, "_take", take


@_mutation
def the_fence_is_open() -> tuple[type, str, Any]:
    """The store does not look whether lanes have been taken over."""
    return CoreSide, "_check", lambda self: None


@_mutation
def marks_pass_what_is_blocked() -> tuple[type, str, Any]:
    """Lanes are moved on to the end of the window, whatever waits in them."""
    right = Worker._catch_up
    return Worker, "_catch_up", lambda self, first_blocked, last: right(self, {}, last)


@_mutation
def the_newest_first() -> tuple[type, str, Any]:
    """What is ready is worked off in the wrong order."""
    right = Worker._batches
    return Worker, "_batches", lambda self, ready, lanes: list(right(self, ready, lanes))[::-1]


@_mutation
def lanes_are_left_behind() -> tuple[type, str, Any]:
    """A worker that has lost lanes never asks for them again."""

    def take(self: Any) -> None:
        given = self.queue.lanes()
        new = given - self.mine
        if new and not self.mine:
            self.store.own(new, self.queue.name)
            self.mine = given
        self._given = given

    return Worker, "_take", take


@_mutation
def a_new_key_for_every_try() -> tuple[type, str, Any]:
    """A destination cannot know again what it took already."""
    right = Parcels.key
    return Parcels, "key", lambda self, delivery, entry: f"{right(self, delivery, entry)}-{delivery.tries}"


@_mutation
def later_ones_overtake() -> tuple[type, str, Any]:
    """What comes after a delivery that failed does not wait for it."""
    right = Sending._send
    return Sending, "_send", lambda self, group, blocked: right(self, group, set())


@_mutation
def what_was_not_answered_is_sent() -> tuple[type, str, Any]:
    """A try that nobody answered counts as delivered."""
    right = Sending._judged

    def judged(self: Any, delivery: Any, receipt: Any, ms: int, again: bool) -> Result:
        made = right(self, delivery, receipt, ms, again)
        return made._replace(status="sent") if receipt.down else made

    return Sending, "_judged", judged
