"""The processes of a hub in a run: listeners, workers, deliveries, and what tells later of a delivery.

In: the world. Out: functions that run in the processes of the schedule, from the start of a process to its
death. What they call is the hub's own code; only threads, pauses and turns are the schedule's.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.channels.delivering import running, sending
from engine.channels.delivering.parcels import Parcels
from engine.channels.delivering.rules import Rule
from engine.channels.delivering.running import Delivering
from engine.channels.delivering.settled import settled
from engine.channels.worker import Worker
from engine.kernel.delivery import Around, Receipt
from engine.kernel.errors import StoreUnavailable
from engine.kernel.message import Entry
from engine.listeners.ack_rules import AckRules, AckSettings
from engine.listeners.intake import Intake, Source
from engine.listeners.metrics import Metrics
from engine.listeners.senders import Senders
from engine.store.deliveries import Delivery

from .broker import Broker, Queue
from .databases import KEYRING
from .peer import InOrder
from .people import Line
from .schedule import Process, Schedule

if TYPE_CHECKING:
    from .world import World

AROUND = Around(Path("."), Path("."), "hub", "urn:hub:own")


class Nodes:
    """What runs on the machines of the hub."""

    def __init__(self, world: World) -> None:
        self._world, self._schedule = world, world.schedule
        self.listening: list[list[tuple[Line, bytes]]] = []

    def start(self, r: random.Random) -> None:
        """Start every process."""
        s = self._schedule
        for n in range(r.randint(1, 2)):
            inbox: list[tuple[Line, bytes]] = []
            self.listening.append(inbox)
            s.start(f"listener-{n}", lambda inbox=inbox: self._listen(inbox))
        for n in range(r.randint(1, 4)):
            s.start(f"worker-{n}", lambda n=n: self._work(n))
        for n in range(r.randint(1, 2)):
            s.start(f"deliver-{n}", lambda n=n: self._deliver(f"deliver-{n}"))
        s.start("notices", self._hear)

    def _listen(self, inbox: list[tuple[Line, bytes]]) -> None:
        """A listener: what came in one turn is one append, and is then answered."""
        s, world = self._schedule, self._world
        inbox.clear()  # its connections died with it
        turns: list[Callable[[], None]] = []
        journal = Ringing(world.journal.side(s), world.broker)
        intake = Intake(journal, turns.append, Metrics(), lambda: s.now / 1000)
        source = Source("lab", AckRules(AckSettings()), Senders("lab"))
        while True:
            for line, frame in inbox:
                intake.accept(line, source, frame)
            inbox.clear()
            while turns:
                turns.pop(0)()
            s.sleep(s.random.choice((10, 40, 80)))

    def _work(self, n: int) -> None:
        """A worker process, from its start to its death."""
        s, world = self._schedule, self._world
        core = world.core.side(s)
        queue = Queue(world.broker, f"worker-{n}/{s.me.deaths}", s.me)
        worker = Worker(world.journal.side(s), core, world.maps, queue)
        worker.run(lambda: False, lambda: s.cross("tick"), lambda seconds: s.sleep(seconds * 1000))

    def _deliver(self, name: str) -> None:
        """A process of deliveries: the real loop, its destinations taking turns."""
        s, world = self._schedule, self._world
        journal, store = world.journal.side(s), world.core.side(s)
        s.me.looked.clear()
        made = Delivering(
            world.places,
            AROUND,
            Looked(world.core.side(s).deliveries, s),
            lambda: self.parcels().make,
            world.time,
            turn=lambda place: world.broker.turn(place, name, [p.name for p in self._delivering()]),
            stale=self.parcels().stale,
            settled=lambda: settled(journal, store),
            holder=f"{name}/{s.me.deaths}",
        )
        rounds = made._stopping = Rounds()  # type: ignore[assignment]
        with _of_this_run(s):
            loops = {place.name: made._made(place) for place in world.places.values()}
        while True:
            idle = True
            for place, sending_to in loops.items():
                made._follow(place, rounds.one(s, sending_to.step), sending_to.leave)
                idle = idle and rounds.idle
            s.sleep(400 if idle else 20)

    def _delivering(self) -> list[Process]:
        return [p for p in self._schedule.processes if p.name.startswith("deliver") and p.greenlet]

    def _hear(self) -> None:
        """What other systems tell of deliveries later is written down, until it is."""
        s, world = self._schedule, self._world
        desk = world.core.side(s).deliveries
        while True:
            s.sleep(300)
            for peer in world.peers.values():
                for told in [one for one in peer.tells if one[0] <= s.now]:
                    try:
                        if self._told(desk, told) or s.now - told[0] > 10_000:
                            peer.tells.remove(told)
                    except StoreUnavailable:
                        s.note("could not write down what was told")

    def _told(self, desk: Any, told: tuple[int, str, bool]) -> bool:
        """Write down one; it waits for the delivery that it is about, as notices of mail do."""
        _, key, refused = told
        row = desk.get(number_of(key))
        if row is None or row.reference != key:
            return False
        self._schedule.note(f"hears that {key} was {'refused' if refused else 'read'}")
        receipt = Receipt("refuse", "cannot use it") if refused else Receipt("sent", "read")
        desk.told(row.id, receipt, self._world.time())
        self._world.judge.told(row, receipt)
        return True

    def parcels(self) -> Parcels:
        """Return what makes parcels in this process."""
        s, world = self._schedule, self._world
        return Made(Path("."), "urn:hub:own", KEYRING, world.journal.side(s), world.core.side(s))


class Looked:
    """The deliveries of the core store; when this process last looked whose turn it is stays known."""

    def __init__(self, desk: Any, schedule: Schedule) -> None:
        self._desk, self._schedule = desk, schedule

    def standing(self, destination: str) -> Any:
        began = self._schedule.now
        found = self._desk.standing(destination)
        self._schedule.me.looked[destination] = began
        return found

    def __getattr__(self, name: str) -> Any:
        return getattr(self._desk, name)


class Made(Parcels):
    """Parcels, and a body that is written once and kept: its own key and what the store said then."""

    def _written(
        self, delivery: Delivery, entry: Entry, rule: Rule, written: Any, key: str, *rest: Any
    ) -> bytes | None:
        values = [(self._store.read(*name) or {}).get("value", "") for name in written]
        return f"text/plain\n{key} {values}".encode() if values else None


class Ringing:
    """A journal whose appends ring, as `SqlJournal` does."""

    def __init__(self, side: Any, broker: Broker) -> None:
        self._side, self._broker = side, broker

    def append(self, entries: Any) -> Any:
        made = self._side.append(entries)
        self._broker.ring(range(self._side.lanes), made[-1].id)
        return made


class Rounds:
    """The event that `Delivering` looks at: it ends the loop after each round, so that others come in."""

    over = idle = False

    def one(self, schedule: Schedule, step: Callable[[], bool]) -> Callable[[], bool]:
        """Return a step after which the loop ends."""
        self.over = self.idle = False

        def stepped() -> bool:
            schedule.me.began = schedule.now
            try:
                return step()
            finally:
                self.over = True

        return stepped

    def is_set(self) -> bool:
        return self.over

    def wait(self, seconds: float) -> None:
        self.over = self.idle = True


def number_of(key: str) -> int:
    """Return the number of the delivery that a parcel's key names."""
    _, position, place, *_ = key.split("-")
    return int(position) << 12 | int(place)


@contextmanager
def _of_this_run(schedule: Schedule) -> Iterator[None]:
    """Let destinations of several connections use no threads, and pauses the chance of this run."""
    before = sending.ThreadPoolExecutor, running.random, sending.is_dead
    sending.is_dead = schedule.is_dead
    sending.ThreadPoolExecutor = lambda *_: InOrder(schedule)  # type: ignore[assignment,misc]
    running.random = schedule.random  # type: ignore[assignment]
    try:
        yield
    finally:
        sending.ThreadPoolExecutor, running.random, sending.is_dead = before  # type: ignore[misc]
