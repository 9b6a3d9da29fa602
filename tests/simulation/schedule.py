"""The clock and the processes of one simulated run: who goes on when, who is stopped, who dies.

In: a seed. Out: the same order of events every time. A process is a function in a greenlet; it gives way at
every call over a boundary (`cross`) and where it sleeps. At a boundary it may die (`Crash`, which nothing in
the engine catches) or stand still so long that others take its work over. Time is a number that jumps.
"""

from __future__ import annotations

import heapq
import random
from collections.abc import Callable
from dataclasses import dataclass

from greenlet import getcurrent, greenlet

from engine.kernel.errors import StoreUnavailable

MOST_EVENTS = 45_000
CALM = 15_000  # ms of virtual time after which nothing goes wrong any more
END = CALM + 450_000  # by then all has ended


class Crash(BaseException):
    """This process is killed here."""


class Broken(BaseException):
    """A promise of the hub was broken in this run. Nothing in the engine catches it."""


@dataclass(slots=True)
class Faults:
    """What may go wrong in this run, as chances a boundary. Runs differ in which of them are there at all."""

    crash: float = 0.0
    stall: float = 0.0
    before: float = 0.0  # a database that fails before it did anything
    after: float = 0.0  # one that did it, and whose answer is lost
    within: float = 0.0  # one that fails in the middle, or a process that dies there
    full: float = 0.0  # disks that are full for a while
    peer: float = 0.0  # a destination that does not do what it should
    slow: float = 0.0  # one that takes its time over a parcel
    judges: float = 0.0  # one that does not take some content for a while
    tells: float = 0.0  # one that says later what became of it
    acts: float = 0.0  # a person who does something about what goes out
    clocks: float = 0.0  # a clock that is set
    lost: float = 0.0  # a ring that nobody hears
    moves: float = 0.0  # lanes that go to another worker, a second


class Process:
    """One process of a node, which is started again when it has died."""

    __slots__ = ("began", "body", "deaths", "ended", "greenlet", "looked", "name", "since", "waiting")

    def __init__(self, name: str, body: Callable[[], None]) -> None:
        self.name, self.body = name, body
        self.greenlet: greenlet | None = None
        self.waiting = 0  # the number of the event that wakes it
        self.deaths, self.since, self.ended = 0, 0, False
        self.looked: dict[str, int] = {}  # destination -> when it last looked whose turn it is
        self.began = 0  # when the round of deliveries began that it is in


class Schedule:
    """One run."""

    def __init__(self, seed: int, trace: bool = False) -> None:
        self.random = random.Random(seed)
        self.now = 0
        self.faults = Faults()
        self.full_until = 0  # when there is room on the disks again
        self.lines: list[str] = []
        self.tracing = trace
        self._events: list[tuple[int, float, int, Process]] = []
        self._number = 0
        self._hub = getcurrent()
        self._at: Process | None = None
        self.processes: list[Process] = []

    # -- processes ----------------------------------------------------------

    def start(self, name: str, body: Callable[[], None]) -> Process:
        """Start a process; it is started again whenever it crashes, and ends when its function returns."""
        process = Process(name, body)
        self.processes.append(process)
        self._wake(process, self.now)
        return process

    def run(self, done: Callable[[], bool], until: int) -> bool:
        """Let the processes go on until all is done, or until a moment; return whether it is."""
        left = MOST_EVENTS
        while self._events and self._events[0][0] <= until:
            at, _, number, process = heapq.heappop(self._events)
            if process.waiting != number or process.ended:
                continue
            self.now = max(self.now, at)
            self._resume(process)
            left -= 1
            if done() or left == 0:
                return done()
        self.now = max(self.now, until)
        return done()

    def close(self) -> None:
        """Take down what still runs."""
        for process in self.processes:
            process.ended = True
            if process.greenlet is not None and not process.greenlet.dead:
                process.greenlet.throw(Crash)
        self.processes.clear()
        self._events.clear()

    def _resume(self, process: Process) -> None:
        if process.greenlet is None:
            process.greenlet = greenlet(self._life, self._hub)
        self._at = process
        process.greenlet.switch(process)
        self._at = None

    def _life(self, process: Process) -> None:
        try:
            process.body()
            process.ended = True
        except Crash:
            process.deaths += 1
            process.since = self.now
            process.greenlet = None
            if not process.ended:
                self.note("dies")
                self._wake(process, self.now + self.random.randint(20, 1500))
        except Exception as e:
            raise Broken(f"{process.name} stops: {type(e).__name__}: {e}") from e

    def _wake(self, process: Process, at: int) -> None:
        self._number += 1
        process.waiting = self._number
        heapq.heappush(self._events, (at, self.random.random(), self._number, process))

    def is_dead(self, holder: str) -> bool:
        """Say whether a process of this name has died, as one knows it on the same machine: `NAME/LIFE`."""
        name, _, life = holder.partition("/")
        return name == self.me.name and int(life) != self.me.deaths

    def wake(self, process: Process) -> None:
        """Let a process that sleeps go on now."""
        if not process.ended:
            self._wake(process, self.now)

    # -- what a process does ------------------------------------------------

    @property
    def me(self) -> Process:
        assert self._at is not None
        return self._at

    @property
    def running(self) -> bool:
        """Whether a process goes on at this moment."""
        return self._at is not None

    @property
    def full(self) -> bool:
        """Whether the disks are full."""
        return self.now < self.full_until

    def sleep(self, ms: float) -> None:
        """Let others go on for a time."""
        process = self.me
        self._wake(process, self.now + int(ms))
        self._hub.switch()

    def cross(self, what: str) -> None:
        """Pass a boundary: others may go on first, and this process may die here or stand still."""
        chance = self.random.random()
        f = self.faults
        if chance < f.crash:
            self.note(f"is killed at {what}")
            raise Crash
        if chance < f.crash + f.stall:
            ms = self.random.choice((300, 1500, 4000))
            self.note(f"stands still for {ms} ms at {what}")
            self.sleep(ms)
        elif chance > 0.4:
            self.sleep(self.random.random() * 4)

    def fails(self, chance: float, what: str) -> None:
        """Fail as a database does that is away."""
        if chance and self.random.random() < chance:
            self.note(f"{what} fails")
            raise StoreUnavailable("it is away", where=what)

    def note(self, what: str) -> None:
        """Write a line for whoever looks at this run."""
        if self.tracing:
            self.lines.append(f"{self.now:>7} {self._at.name if self._at else '-':<12} {what}")
