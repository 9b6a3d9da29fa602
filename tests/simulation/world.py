"""Everything that takes part in a run: senders, the listener, workers, deliveries, people, and what fails.

In: a seed. Out: a run judged. The intake, the worker, replays, the making of parcels and the delivery loop
are the hub's own code; journal, core store, broker and the other systems are made up (journal.py, core.py,
...).
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from engine.channels.delivering import running, sending
from engine.channels.delivering.parcels import Parcels
from engine.channels.delivering.places import Destined, Retry
from engine.channels.delivering.rules import Rule
from engine.channels.delivering.running import Delivering
from engine.channels.replay import ask_replay, ask_replays
from engine.channels.worker import Worker
from engine.kernel.delivery import Around, DestinationKind
from engine.kernel.errors import HubError, StoreUnavailable
from engine.listeners.ack_rules import AckRules, AckSettings
from engine.listeners.intake import Intake, Source
from engine.listeners.metrics import Metrics
from engine.listeners.senders import Senders
from engine.security.keys import Keyring
from engine.store.deliveries import Delivery

from .broker import Broker, Queue
from .core import Core, CoreSide
from .journal import Journal, JournalSide
from .judge import Judge
from .maps import Maps
from .peer import InOrder, Peer
from .schedule import Broken, Faults, Process, Schedule

KEYRING = Keyring.supplied(b"a secret of the simulation, and of nothing else")
AROUND = Around(Path("."), Path("."), "hub", "urn:hub:own")
_KEY = Parcels.key  # as it is, whatever a mutation makes of it
CALM = 15_000  # ms of virtual time after which nothing goes wrong any more
END = CALM + 900_000


class World:
    """One run."""

    def __init__(self, seed: int, trace: bool = False) -> None:
        s = self.schedule = Schedule(seed, trace)
        r = self.random = random.Random(seed ^ 0x5EED)
        self.journal = Journal()
        self.judge = Judge(self)
        self.core = Core(self.judge)
        self.maps = Maps(s)
        self.broker = Broker(s, overlaps=r.random() < 0.3)
        self.peers = {"archive": Peer(s), "copy": Peer(s, upsert=True)}
        self.places = {
            name: Destined(
                name,
                DestinationKind(
                    "sim", AckSettings, lambda _s, name, _a: self.peers[name].connection(), ("original",)
                ),
                AckSettings(),
                Retry(1 << 60, "wait"),
                "by patient",
                r.choice((1, 1, 3)),
                "",
                {"lab": Rule(name, "sim", body)},
            )
            for name, body in (("archive", "original"), ("copy", "fhir"))
        }
        self._parcels = self._parcels_of()
        self.sent: dict[str, bytes] = {}
        self.reruns: set[int] = set()
        self.listening: list[list[tuple[Line, bytes]]] = []
        self._busy = 0
        s.faults = _faults(r)
        self._people()

    def run(self) -> None:
        """Let it run, first with faults and then without, and judge the end. Raises Broken."""
        s = self.schedule
        logging.disable(logging.CRITICAL)  # what fails here fails on purpose, thousands of times
        try:
            if not s.run(lambda: False, CALM):
                s.faults = Faults()
                s.note("nothing goes wrong any more")
            if not s.run(self._ended, END):
                raise Broken("it does not end: " + self._left())
            self.judge.finish()
        finally:
            s.close()
            logging.disable(logging.NOTSET)

    def key_of(self, delivery: Delivery) -> str:
        """Return the key a delivery must have."""
        return _KEY(self._parcels, delivery, self.journal.entries[delivery.entry - 1])

    # -- who takes part -----------------------------------------------------

    def _people(self) -> None:
        s, r = self.schedule, self.random
        patients = [f"{n}^^^NORTH^MR" for n in range(1, r.randint(2, 6))]
        merges = r.choice((0.1, 0.3, 0.7))
        senders = r.randint(1, 3)
        self._busy = senders + 1
        for n in range(r.randint(1, 2)):
            inbox: list[tuple[Line, bytes]] = []
            self.listening.append(inbox)
            s.start(f"listener-{n}", lambda inbox=inbox: self._listen(inbox))
        for n in range(senders):
            messages = [self._message(f"S{n}", f"S{n}-{k}", patients, merges) for k in range(r.randint(2, 6))]
            s.start(f"sender-{n}", lambda n=n, m=messages: self._send(f"S{n}", m))
        for n in range(r.randint(1, 4)):
            s.start(f"worker-{n}", lambda n=n: self._work(n))
        for n in range(r.randint(1, 2)):
            s.start(f"deliver-{n}", lambda n=n: self._deliver(f"deliver-{n}"))
        s.start("broker", self.broker.heart)
        s.start("ann", self._replay)

    def _message(self, sender: str, control_id: str, patients: list[str], merges: float) -> bytes:
        r = self.random
        merge = len(patients) > 1 and r.random() < merges
        one, other = r.sample(patients, 2) if len(patients) > 1 else (patients[0], "")
        kind = "ADT^A40" if merge else "ORU^R01"
        rest = f"MRG|{other}" if merge else f"OBX|1|ST|{r.randint(1, 3)}||{control_id}||||||F"
        text = (
            f"MSH|^~\\&|{sender}|NORTH|HUB|CDR|20260101||{kind}|{control_id}|P|2.5.1\rPID|1||{one}\r{rest}\r"
        )
        self.sent[control_id] = text.encode()
        return text.encode()

    def _send(self, name: str, messages: list[bytes]) -> None:
        """A sender: one message after the other, each until it is acknowledged."""
        s = self.schedule
        s.sleep(s.random.randint(0, 3000))
        for frame in messages:
            control_id = frame.split(b"|")[9].decode()
            line = Line(s, s.me)
            while True:
                line.acks.clear()
                line.open = True
                s.random.choice(self.listening).append((line, frame))
                s.sleep(s.random.choice((400, 3000)))
                line.open = False
                if any(ack.split(b"\rMSA|")[1].startswith(b"AA|" + control_id.encode()) for ack in line.acks):
                    break
                line = Line(s, s.me)
                s.note(f"sends {control_id} again")
            s.note(f"has the answer to {control_id}")
            self.judge.answered(control_id, frame)
            s.sleep(s.random.randint(0, 1500))
        self._busy -= 1

    def _listen(self, inbox: list[tuple[Line, bytes]]) -> None:
        """A listener: what came in one turn is one append, and is then answered."""
        s = self.schedule
        inbox.clear()  # its connections died with it
        turns: list[Callable[[], None]] = []
        journal = Ringing(JournalSide(s, self.journal), self.broker)
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
        s = self.schedule
        core = CoreSide(s, self.core)
        queue = Queue(self.broker, f"worker-{n}/{s.me.deaths}", s.me)
        worker = Worker(JournalSide(s, self.journal), core, self.maps, queue)
        worker.run(lambda: False, lambda: s.cross("tick"), lambda seconds: s.sleep(seconds * 1000))

    def _deliver(self, name: str) -> None:
        """A process of deliveries: the real loop, its destinations taking turns."""
        s = self.schedule
        made = Delivering(
            self.places,
            AROUND,
            CoreSide(s, self.core).deliveries,
            lambda: self._parcels_of().make,
            lambda: s.now,
            turn=lambda place: self.broker.turn(place, name, [p.name for p in self._delivering()]),
            holder=f"{name}/{s.me.deaths}",
        )
        rounds = made._stopping = Rounds()  # type: ignore[assignment]
        with _of_this_run(s):
            loops = {place.name: made._made(place) for place in self.places.values()}
        while True:
            idle = True
            for place, sending_to in loops.items():
                made._follow(place, rounds.one(sending_to.step), sending_to.leave)
                idle = idle and rounds.idle
            s.sleep(400 if idle else 20)

    def _delivering(self) -> list[Process]:
        return [p for p in self.schedule.processes if p.name.startswith("deliver") and p.greenlet is not None]

    def _parcels_of(self) -> Parcels:
        s = self.schedule
        return Parcels(
            Path("."), "urn:hub:own", KEYRING, JournalSide(s, self.journal), CoreSide(s, self.core)
        )

    def _replay(self) -> None:
        """Somebody who asks for replays while all goes on."""
        s = self.schedule
        journal = JournalSide(s, self.journal)
        for _ in range(s.random.randint(0, 3)):
            s.sleep(s.random.randint(500, 6000))
            there = len(self.journal.entries)
            if not there:
                continue
            try:
                if s.random.random() < 0.5:
                    ask_replay(journal, s.random.randint(1, there), "ann", "to see")
                else:
                    many = s.random.sample(range(1, there + 1), min(there, 3))
                    ask_replays(journal, many, "ann", "the map was mended")
            except StoreUnavailable:
                s.note("could not ask")
            except HubError as e:
                raise Broken(f"a replay was refused: {e}") from None
        self._busy -= 1

    # -- the end ------------------------------------------------------------

    def _ended(self) -> bool:
        return (
            not self._busy
            and len(self.core.outcomes) == len(self.journal.entries)
            and all(d.status != "pending" for d in self.core.outbox.rows.values())
        )

    def _left(self) -> str:
        waiting = [e.id for e in self.journal.entries if e.id not in self.core.outcomes]
        pending = [d.id >> 12 for d in self.core.outbox.rows.values() if d.status == "pending"]
        return f"{self._busy} people are busy, entries {waiting}, deliveries of {pending}"


class Line:
    """A sender's connection, as the intake knows it."""

    peer = "10.0.0.1"

    def __init__(self, schedule: Schedule, sender: Process) -> None:
        self._schedule, self._sender = schedule, sender
        self.acks: list[bytes] = []
        self.open = True

    def answer(self, acks: list[bytes], frames: int) -> None:
        if self.open:
            self.acks += acks
            self._schedule.wake(self._sender)

    def abandon(self) -> None:
        if self.open:
            self._schedule.wake(self._sender)

    def hold(self, on: bool) -> None: ...

    def stop(self, reason: str) -> None:
        raise Broken(reason)


class Ringing:
    """A journal whose appends ring, as `SqlJournal` does."""

    def __init__(self, side: JournalSide, broker: Broker) -> None:
        self._side, self._broker = side, broker

    def append(self, entries: Any) -> Any:
        made = self._side.append(entries)
        self._broker.ring(range(self._side.lanes), made[-1].id)
        return made


class Rounds:
    """The event that `Delivering` looks at: it ends the loop after each round, so that others come in."""

    over = idle = False

    def one(self, step: Callable[[], bool]) -> Callable[[], bool]:
        """Return a step after which the loop ends."""
        self.over = self.idle = False

        def stepped() -> bool:
            try:
                return step()
            finally:
                self.over = True

        return stepped

    def is_set(self) -> bool:
        return self.over

    def wait(self, seconds: float) -> None:
        self.over = self.idle = True


@contextmanager
def _of_this_run(schedule: Schedule) -> Iterator[None]:
    """Let destinations of several connections use no threads, and pauses the chance of this run."""
    before = sending.ThreadPoolExecutor, running.random
    sending.ThreadPoolExecutor = lambda *_: InOrder(schedule)  # type: ignore[assignment,misc]
    running.random = schedule.random  # type: ignore[assignment]
    try:
        yield
    finally:
        sending.ThreadPoolExecutor, running.random = before  # type: ignore[misc]


def _faults(r: random.Random) -> Faults:
    """Choose what goes wrong: not everything everywhere, so that each shows what it does alone."""

    def some(most: float) -> float:
        return r.choice((0.0, most / 4, most)) if r.random() < 0.7 else 0.0

    return Faults(
        crash=some(0.01),
        stall=some(0.01),
        before=some(0.05),
        after=some(0.05),
        peer=some(0.4),
        lost=some(1.0),
        moves=some(0.5),
    )
