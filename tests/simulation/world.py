"""Everything that takes part in a run, and its course: first with faults, then without, then judged.

In: a seed, and which databases. Out: a run judged. The intake, the worker, replays, the making of parcels and
the delivery loop are the hub's own code (nodes.py). Journal and core store are made up (journal.py, core.py)
or the real ones on a database (databases.py); broker, other systems, people and time are always made up.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

from engine.channels import replay
from engine.channels.delivering.parcels import Parcels
from engine.channels.delivering.places import Destined, Retry
from engine.channels.delivering.rules import Rule
from engine.journal import daykeys
from engine.kernel.delivery import DestinationKind
from engine.listeners import intake
from engine.listeners.ack_rules import AckSettings
from engine.store import apply, deliverydesk
from engine.store.deliveries import Delivery

from .broker import Broker
from .core import Core
from .databases import KEYRING, Files, RealCore, RealJournal
from .journal import Journal
from .judge import Judge
from .maps import Maps
from .nodes import Nodes
from .peer import Peer
from .people import People
from .schedule import CALM, END, Broken, Faults, Schedule

BEGAN = 1_767_225_605_000  # 2026-01-01T00:00:05Z
_KEY = Parcels.key  # as it is, whatever a mutation makes of it
_TELLS_TIME: tuple[ModuleType, ...] = (replay, daykeys, intake, apply, deliverydesk)
_BODIES = {"archive": "original", "copy": "fhir", "letters": "made"}


class World:
    """One run."""

    def __init__(self, seed: int, trace: bool = False, files: Files | None = None) -> None:
        s = self.schedule = Schedule(seed, trace)
        r = self.random = random.Random(seed ^ 0x5EED)
        self.judge = Judge(self)
        self.journal: Any
        self.core: Any
        if files is None:
            self.journal, self.core = Journal(), Core(self.judge)
        else:
            files.empty()
            self.journal = RealJournal(files)
            self.core = RealCore(files, self.judge, self.journal, s.note)
        self.maps = Maps(s)
        self.broker = Broker(s, overlaps=r.random() < 0.3)
        self.peers = {name: Peer(s, name, self.judge.tried) for name in _BODIES}
        self.places = {name: self._place(name, body) for name, body in _BODIES.items()}
        self.reruns: set[int] = set()
        self.people = People(self, r)
        self.nodes = Nodes(self)
        self._parcels = Parcels(Path("."), "urn:hub:own", KEYRING, self.journal, self.core)
        self.skew: dict[str, int] = {}
        s.faults = _faults(r)
        self.nodes.start(r)
        s.start("broker", self.broker.heart)
        s.start("disks", self._disks)
        self.people.start()

    def _place(self, name: str, body: str) -> Destined:
        r = self.random
        kind = DestinationKind(
            "sim", AckSettings, lambda _s, name, _a: self.peers[name].connection(), ("original",)
        )
        retry = Retry(1 << 60, "wait") if name != "letters" else Retry(r.choice((1500, 1 << 60)), "hold")
        at_once = r.choice((1, 1, 3))
        rules = {"lab": Rule(name, "sim", body)}
        return Destined(name, kind, AckSettings(), retry, "by patient", at_once, "", rules)

    def run(self) -> None:
        """Let it run, first with faults and then without, and judge the end. Raises Broken."""
        s = self.schedule
        logging.disable(logging.CRITICAL)  # what fails here fails on purpose, thousands of times
        try:
            with _virtual_time(self):
                if not s.run(lambda: False, CALM):
                    s.faults = Faults()
                    s.note("nothing goes wrong any more")
                if not s.run(self._ended, END):
                    raise Broken("it does not end: " + self._left())
                self.judge.finish()
        finally:
            s.close()
            self.core.close()
            self.journal.close()
            logging.disable(logging.NOTSET)

    def time(self) -> int:
        """Return what the clock of the machine says on which the process of this moment runs."""
        s = self.schedule
        return BEGAN + s.now + (self.skew.get(s.me.name[-1], 0) if s.running else 0)

    def key_of(self, delivery: Delivery) -> str:
        """Return the key a delivery must have."""
        return _KEY(self._parcels, delivery, self.journal.entries[delivery.entry - 1])

    def _disks(self) -> None:
        """Disks that are full for a while, and clocks that are set."""
        s = self.schedule
        while s.now < CALM:
            s.sleep(s.random.randint(500, 3000))
            if s.random.random() < s.faults.full:
                s.full_until = s.now + s.random.choice((300, 2000))
                s.note("the disks are full")
            if s.random.random() < s.faults.clocks:
                self._set_a_clock()

    def _set_a_clock(self) -> None:
        """Set the clock of one machine, sometimes back by an hour."""
        s = self.schedule
        self.skew[s.random.choice("01")] = s.random.choice((-3_600_000, -60_000, -4000, 0, 4000, 60_000))
        s.note(f"clocks are set: {self.skew}")

    # -- the end ------------------------------------------------------------

    def _ended(self) -> bool:
        return (
            not self.people.busy
            and len(self.core.outcomes) == len(self.journal.entries)
            and all(d.status in ("sent", "skipped") for d in self.core.rows.values())
            and not any(peer.tells for peer in self.peers.values())
        )

    def _left(self) -> str:
        waiting = [e.id for e in self.journal.entries if e.id not in self.core.outcomes]
        rows = self.core.rows.values()
        pending = [
            (d.destination, d.id >> 12, d.status, d.due) for d in rows if d.status not in ("sent", "skipped")
        ]
        what = f"{self.people.busy} people are busy, entries {waiting}, deliveries {pending}"
        return f"{what}, after {self.schedule.now} ms"


@contextmanager
def _virtual_time(world: World) -> Iterator[None]:
    """Have every room ask the world what time it is."""
    before = [(module, vars(module)["now_ms"]) for module in _TELLS_TIME]
    for module, _ in before:
        vars(module)["now_ms"] = world.time
    try:
        yield
    finally:
        for module, now in before:
            vars(module)["now_ms"] = now


def _faults(r: random.Random) -> Faults:
    """Choose what goes wrong: not everything everywhere, so that each shows what it does alone."""

    def some(most: float) -> float:
        return r.choice((0.0, most / 4, most)) if r.random() < 0.7 else 0.0

    return Faults(
        crash=some(0.01),
        stall=some(0.01),
        before=some(0.05),
        after=some(0.05),
        within=some(0.05),
        peer=some(0.4),
        slow=some(0.3),
        judges=some(0.2),
        tells=some(0.3),
        lost=some(1.0),
        moves=some(0.5),
        full=some(0.2),
        acts=some(1.0),
        clocks=some(0.3),
    )
