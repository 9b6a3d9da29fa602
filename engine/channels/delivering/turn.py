"""Whose turn a destination is, as one process sees it: taken in the core store, looked at before every try.

In: the destination's standing in the core store. Out: whether this process may send now. Where another has
taken the turn, nothing more is sent here: two that both believe a queue to be theirs (a machine that was cut
off, two hubs on one database) would send older after newer. What such a machine has under way nobody can
call back, so whoever takes a turn that was not given back waits `LEFT` first; one that died on this very
machine has nothing under way. A machine that is cut off from the core store cannot look, and so cannot send.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from engine.store.destinations import Standing, Turn

__all__ = ["OurTurn", "Turns", "is_dead", "process_name"]

log = logging.getLogger("hub.deliveries")

LEFT = 10_000  # ms for what another may have under way
AGAIN = 30_000  # ms after which a lost turn is taken once more, where it is still said to be ours


class Turns(Protocol):
    """Where turns are kept (`engine.store.destinations`)."""

    def take(self, destination: str, holder: str) -> Turn: ...
    def waited(self, destination: str, number: int) -> None: ...
    def give_back(self, destination: str, number: int) -> None: ...
    def standing(self, destination: str) -> Standing: ...


class OurTurn:
    """This process's turn at one destination."""

    def __init__(
        self,
        turns: Turns,
        destination: str,
        holder: str,
        clock: Callable[[], int],
        dead: Callable[[str], bool],
    ) -> None:
        self._turns, self._destination, self._holder = turns, destination, holder
        self._clock, self._dead = clock, dead
        self._number: int | None = None
        self._looked = self._free = 0
        self._lost: int | None = None
        self._waits = False
        self._state = "open"

    def state(self, now: int, holds: int = 0) -> str:
        """Return `open`, `down` or `stopped`; `elsewhere` where it is another's turn, `soon` where it was
        just now. A look holds so many ms. Raises StoreUnavailable.
        """
        if self._number is None:
            if not self._take(now):
                return "elsewhere"
        elif 0 <= now - self._looked < holds:
            return self._said(now)
        found = self._turns.standing(self._destination)
        self._looked, self._state = now, found.state
        if found.handed != self._number:
            self._number, self._lost = None, now
            log.error("%s: %s has taken over its deliveries", self._destination, found.holder or "somebody")
            return "elsewhere"
        return self._said(now)

    def is_lost(self, now: int, holds: int) -> bool:
        """Say whether another has the turn by now; none is taken. A look holds so many ms. Raises
        StoreUnavailable.
        """
        number = self._number
        if number is None or 0 <= now - self._looked < holds:
            return number is None
        return self._turns.standing(self._destination).handed != number

    def forget_time(self) -> None:
        """Hear that the clock was set back."""
        self._looked = 0
        self._free = self._clock() + LEFT if self._waits else 0
        self._lost = None if self._lost is None else 0

    def give_back(self) -> None:
        """Give the turn back, where it is ours: nothing is under way. Raises StoreUnavailable."""
        number, self._number, self._lost = self._number, None, None
        if number is not None:
            self._turns.give_back(self._destination, number)

    def _said(self, now: int) -> str:
        if now < self._free:
            return "soon"
        if self._waits and self._number is not None:
            self._turns.waited(self._destination, self._number)
            self._waits = False
        return self._state

    def _take(self, now: int) -> bool:
        if self._lost is not None and now - self._lost < AGAIN:
            holder = self._turns.standing(self._destination).holder
            if holder not in ("", self._holder) and not self._dead(holder):
                return False
        taken = self._turns.take(self._destination, self._holder)
        self._number, self._lost = taken.number, None
        self._waits, self._free = bool(taken.before), 0
        if alive := [name for name in taken.before if not self._dead(name)]:
            log.warning(
                "%s: its turn is taken from %s, which has not given it back; going on in %d s",
                self._destination,
                ", ".join(alive),
                LEFT // 1000,
            )
            self._free = self._clock() + LEFT  # from now: taking it may have been long
        return True


def process_name(node: str) -> str:
    """Return the name by which this process holds turns: `node1@host-1f2e3d4c-4026531836/4711`."""
    return f"{node}@{_machine()}/{os.getpid()}"


def _machine() -> str:
    """Return what tells this machine, since it was started, from others of its name, and containers apart."""
    try:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text("ascii")[:8]
        return f"{socket.gethostname()}-{boot}-{Path('/proc/self/ns/pid').stat().st_ino}"
    except OSError:  # no Linux: its name must do
        return socket.gethostname()


def is_dead(holder: str) -> bool:
    """Say whether a holder is known to be gone: a process of this machine that runs no more."""
    place, _, number = holder.rpartition("/")
    if place.rpartition("@")[2] != _machine() or not number.isdigit():
        return False
    try:
        os.kill(int(number), 0)
    except ProcessLookupError:
        return True
    except PermissionError:
        pass
    return False
