"""Rounds of trouble on a cluster under load, and what must hold after them: every acknowledged message
is in the core store, once, every patient's results in the order they were sent; it went out to the one who
is told of all of them, and never older after newer; and how long anybody waited.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import psycopg
from cluster_parts import Brokers, Network, NodeHub, PostgresPair, RovingSender
from hub_process import ROOT, wait_for
from test_system_crash import check, evolving

sys.path.append(str(ROOT / "tests/destinations"))
from mllp_peer import Peer

__all__ = ["FAULTS", "Round", "Site"]

FAULTS = (
    "hub",
    "worker",
    "listeners",
    "deliveries",
    "pause",
    "stall",
    "upgrade",
    "broker",
    "cut",
    "postgres",
)
"""What goes wrong: a hub is killed with all its processes; one worker; the listeners; what delivers; a
worker, or what delivers, stands still for six seconds and goes on; a hub is stopped as for an upgrade and
started; a NATS server is killed; a node's cable is pulled (needs namespaces); the primary of PostgreSQL is
killed and the standby takes over."""


PARTS = "listeners,workers,deliveries"


@dataclass
class Round:
    """One fault and how long anybody waited for it."""

    fault: str
    victim: int
    ack_gap: float  # the longest that a sender waited for an answer
    stall: float  # the longest that an entry of the journal waited for its outcome
    acked: int


@dataclass
class Site:
    """Brokers, databases, hubs and senders."""

    folder: Path
    nodes: int = 3
    hubs: int = 2
    senders: int = 8
    pause: float = 0.05
    real: bool = False
    standby: bool = True
    brokers: int = 3
    rest: float = 6.0  # seconds at most until what was killed is started again
    rounds: list[Round] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        self.net = Network(self.nodes, self.real)
        self.sent: Counter[str] = Counter()
        self.load: list[RovingSender] = []
        self.running: list[NodeHub] = []
        self._parts: list[Brokers | PostgresPair] = []
        self._ended = threading.Event()
        self.stall = 0.0
        self.told = Peer(host=self.net.address(None))
        try:
            self._build()
        except BaseException:
            self.close()
            raise

    def _build(self) -> None:
        (self.folder / "nats").mkdir()
        self.nats = Brokers(self.folder / "nats", self.net, self.brokers)
        self._parts.append(self.nats)
        self.pg = PostgresPair(self.net, self.standby)
        self._parts.append(self.pg)
        for n in range(self.hubs):
            folder = self.folder / f"hub{n}"
            folder.mkdir()
            hub = NodeHub(folder, self.net, n, self.pg.url, self.nats.url, workers=1, parts=PARTS)
            path = folder / "channels/lab_oru.yaml"
            place = f"{{mllp: {{url: '{self.told.url}'}}}}"
            path.write_text(path.read_text() + f"\ndeliver:\n  told: {place}\n")
            self.running.append(hub)
        starts = [threading.Thread(target=hub.start) for hub in self.running]
        for start in starts:
            start.start()
        for start in starts:
            start.join()
        assert all(hub.process is not None for hub in self.running)

    def begin(self) -> None:
        """Let the senders send, and watch how long entries wait."""
        doors = [hub.door for hub in self.running]
        for n in range(self.senders):
            mine = doors[n % len(doors) :] + doors[: n % len(doors)]
            self.load.append(RovingSender(mine, evolving(n, self.sent), self.pause))
            self.load[-1].start()
        wait_for(lambda: all(s.acked for s in self.load), "no answers at the start")
        wait_for(lambda: self._worked(1), "nothing is worked off at the start")
        time.sleep(3)  # lanes find their workers
        threading.Thread(target=self._watch, daemon=True).start()

    def _watch(self) -> None:
        """Keep the longest time that an entry waited: the age of the oldest that has no outcome."""
        oldest = (
            "SELECT (extract(epoch FROM clock_timestamp()) * 1000 - min(e.received)) / 1000 FROM entry e "
            "LEFT JOIN outcome o ON o.entry = e.id WHERE o.entry IS NULL AND e.id > %s"
        )
        while not self._ended.wait(0.2):
            with contextlib.suppress(psycopg.Error, OSError):
                marks = self.pg.ask("SELECT COALESCE(min(watermark), 0) FROM lane", "hub")[0][0]
                age = self.pg.ask(oldest % max(0, marks - 1000), "hub")[0][0]
                self.stall = max(self.stall, float(age or 0))

    def acked(self) -> int:
        """Return how many messages were acknowledged so far."""
        return sum(len(s.acked) for s in self.load)

    def round(self, fault: str, rng: random.Random, quiet: float = 2.0, last: bool = False) -> Round:
        """Do one thing, put it right, and wait until all senders and all lanes go on."""
        victim = rng.randrange(self.brokers if fault == "broker" else self.hubs)
        time.sleep(rng.uniform(0.2, quiet))
        for s in self.load:
            s.waited()
        self.stall, before = 0.0, self.acked()
        after = self._do(fault, victim, rng)
        marks = [len(s.acked) for s in self.load]
        wait_for(lambda: all(len(s.acked) > n + 2 for s, n in zip(self.load, marks, strict=True)), fault)
        head = self.pg.ask("SELECT max(id) FROM entry", "hub")[0][0]
        wait_for(lambda: self._worked(head), f"entries wait after {fault}")
        gap = max(s.waited() for s in self.load)
        self.rounds.append(Round(fault, victim, gap, self.stall, self.acked() - before))
        if after is not None and not last:
            after()
        return self.rounds[-1]

    def _worked(self, head: int) -> bool:
        waiting = f"SELECT {head} - count(*) FROM outcome WHERE entry <= {head}"
        return int(self.pg.ask(waiting, "hub")[0][0]) == 0

    def _do(self, fault: str, victim: int, rng: random.Random) -> Callable[[], None] | None:
        hub = self.running[victim % self.hubs]
        if fault in ("hub", "upgrade"):
            if fault == "hub":
                hub.kill()
            else:
                assert hub.stop() == 0
            time.sleep(rng.uniform(0, self.rest))
            hub.start()
        elif fault in ("worker", "listeners", "deliveries"):
            name = "worker-0" if fault == "worker" else fault
            wait_for(lambda: name in hub.children(), f"{name} does not run")
            os.kill(hub.children()[name], signal.SIGKILL)
        elif fault in ("pause", "stall"):
            name = "worker-0" if fault == "pause" else "deliveries"
            wait_for(lambda: name in hub.children(), f"{name} does not run")
            process = hub.children()[name]
            os.kill(process, signal.SIGSTOP)
            time.sleep(6)
            os.kill(process, signal.SIGCONT)
        elif fault == "broker":
            self.nats.kill(victim)
            time.sleep(rng.uniform(0, self.rest))
            self.nats.start(victim)
        elif fault == "cut":
            self.net.cut(victim)
            time.sleep(rng.uniform(3, 9))
            self.net.heal(victim)
        elif fault == "postgres":
            self.pg.fail_over()
            return self.pg.follow
        return None

    def finish(self) -> int:
        """Stop the senders, wait until all is worked off, and look at everything; returns the messages."""
        acked = [control for sender in self.load for control in sender.finish()]
        self.running[0].drained(120)
        self._ended.set()
        check(self.running[0], self.sent, acked)
        self._check_told(acked)
        return len(acked)

    def _check_told(self, acked: list[str]) -> None:
        """Look at what went out: all of it, and of no patient an older message after a newer one."""
        waiting = "SELECT count(*) FROM delivery WHERE status <> 'sent'"
        wait_for(lambda: self.pg.ask(waiting, "hub")[0][0] == 0, "deliveries wait")
        got = [message.split(b"|")[9].decode() for message in self.told.messages]
        got = [control for control in got if control.startswith("K")]  # those of the senders
        assert set(acked) <= set(got), f"{len(set(acked) - set(got))} messages never went out"
        newest: Counter[str] = Counter()
        for control in got:
            name, _, number = control.rpartition("-")
            assert int(number) >= newest[name], f"{control} came after {name}-{newest[name]}"
            newest[name] = int(number)
        self.repeated = len(got) - len(set(got))

    def close(self) -> None:
        """Take everything down."""
        self._ended.set()
        self.told.away()
        for sender in self.load:
            sender.enough.set()
        for hub in self.running:
            hub.kill()
        for part in self._parts:
            part.close()
        self.net.close()
