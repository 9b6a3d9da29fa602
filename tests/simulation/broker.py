"""The broker: which worker has which lanes, whose turn it is, and rings, all of which may come late or never.

It is what `queue/protocol.py` allows at its worst: a worker that stood still goes on believing that lanes are
its own while another has them, lanes move under load, rings are lost, a turn is held by two for a while.
"""

from __future__ import annotations

from collections.abc import Iterable

from .journal import LANES
from .schedule import Process, Schedule


class Broker:
    """What all processes share."""

    def __init__(self, schedule: Schedule, overlaps: bool) -> None:
        self.schedule, self.overlaps = schedule, overlaps
        self.members: dict[str, Queue] = {}
        self.owner: dict[int, str] = {}
        self.turns: dict[str, str] = {}

    def join(self, queue: Queue) -> None:
        """Hear of a process that works; it may have died since under another name."""
        self.members = {
            name: other for name, other in self.members.items() if other.process is not queue.process
        }
        self.members[queue.name] = queue
        self._share()

    def heart(self) -> None:
        """The broker's own life: lanes of who is not heard of go to others, and some move for no reason."""
        s = self.schedule
        while True:
            s.sleep(200)
            if s.random.random() < s.faults.moves and len(self.members) > 1:
                lane = s.random.randrange(LANES)
                self.owner[lane] = s.random.choice(sorted(self.members))
                s.note(f"moves lane {lane} to {self.owner[lane]}")
            self._share()

    def _share(self) -> None:
        now, s = self.schedule.now, self.schedule
        alive = [
            name
            for name, queue in sorted(self.members.items())
            if now - queue.heard < 900 and queue.process.greenlet is not None
        ]
        if not alive:
            return
        for lane in range(LANES):
            if self.owner.get(lane) not in alive:
                self.owner[lane] = alive[lane % len(alive)]
        for name, queue in self.members.items():
            given = frozenset(lane for lane, owner in self.owner.items() if owner == name)
            # who stands still hears of nothing: it finds out when it writes
            if given != queue.given and name in alive:
                queue.given = given
                s.wake(queue.process) if queue.waits else None

    def ring(self, lanes: Iterable[int], newest: int) -> None:
        """Wake who has one of these lanes, if it hears."""
        s = self.schedule
        wanted = set(lanes)
        for queue in self.members.values():
            if queue.waits and wanted & queue.given and s.random.random() >= s.faults.lost:
                s.wake(queue.process)

    def turn(self, name: str, who: str, alive: Iterable[str]) -> bool:
        """Say whether it is somebody's turn; sometimes two are told so."""
        s = self.schedule
        there = sorted(alive)
        if self.turns.get(name) not in there or s.random.random() < s.faults.moves / 4:
            self.turns[name] = s.random.choice(there)
        return self.turns[name] == who or (self.overlaps and s.random.random() < s.faults.moves)


class Queue:
    """One worker's side."""

    def __init__(self, broker: Broker, name: str, process: Process) -> None:
        self.name, self.process = name, process
        self.given: frozenset[int] = frozenset()
        self.heard = broker.schedule.now
        self.waits = False
        self._broker = broker
        broker.join(self)

    def lanes(self) -> frozenset[int]:
        self.heard = self._broker.schedule.now
        return self.given

    def wait(self, seconds: float, idle: bool = False) -> None:
        self.heard = self._broker.schedule.now
        self.waits = True
        try:
            self._broker.schedule.sleep(500 if idle else max(20, seconds * 1000))
        finally:
            self.waits = False

    def lost(self, lanes: Iterable[int]) -> None:
        self.given -= frozenset(lanes)
        for lane in lanes:
            if self._broker.owner.get(lane) == self.name:
                del self._broker.owner[lane]

    def turn(self, name: str) -> bool:
        return True

    def close(self) -> None: ...
