"""Where deliveries go: a system that takes each key once, and sometimes does not answer.

It counts by the parcel's key, as a receiver of MSH-10 or of an idempotency key does, and remembers in which
order it took the messages of each patient.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from engine.kernel.delivery import Parcel, Receipt

from .schedule import CALM, Broken, Schedule


class Peer:
    """What is behind every connection."""

    def __init__(self, schedule: Schedule, name: str, tried: Callable[[str], None]) -> None:
        self.schedule, self.name, self.tried = schedule, name, tried
        self.taken: dict[str, bytes] = {}  # key -> what came first
        self.says: dict[tuple[str, str], str] = {}  # of one that is written over: its resources
        self.order: list[str] = []
        self.tells: list[tuple[int, str, bool]] = []  # (when, key, refused): what it will say of them
        self.away_until = 0
        self._judged: dict[str, int] = {}  # key -> until when it does not take it

    def connection(self) -> Connection:
        return Connection(self)

    def judged(self, key: str) -> str:
        """Say whether this content is not taken for a while, and how; of one content always the same."""
        s = self.schedule
        if key not in self._judged:
            bad = s.random.random() < s.faults.judges
            self._judged[key] = s.now + s.random.choice((500, 8000)) if bad else 0
        verdict = "park" if self._judged[key] % 2 else "refuse"
        return verdict if s.now < self._judged[key] and s.now < CALM else ""

    def take(self, parcel: Parcel) -> None:
        """Take a parcel: once, whatever comes under its key."""
        if parcel.key not in self.taken:
            self.order.append(parcel.key)
            self.schedule.note(f"{self.name} takes {parcel.key}")
        elif self.name != "copy" and self.taken[parcel.key] != parcel.body:
            raise Broken(f"{self.name}: {parcel.key} is other content than the first time")
        if parcel.media == "text/plain" and parcel.body.split()[0].decode() != parcel.key:
            raise Broken(f"{self.name}: under {parcel.key} comes what was made for {parcel.body[:40]!r}")
        self.taken.setdefault(parcel.key, parcel.body)
        if self.name == "copy":
            for one in json.loads(parcel.body)["entry"]:
                resource = one["resource"]
                name = resource["resourceType"], resource["id"]
                if f"{name[0]}/{name[1]}" not in parcel.mentioned:
                    self.says[name] = resource["value"]


class Connection:
    """One line of a destination (`engine/kernel/delivery.py`)."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def deliver(self, parcel: Parcel) -> Receipt:
        peer, s = self._peer, self._peer.schedule
        s.cross("peer")
        peer.tried(peer.name)
        self._slow()
        what = s.random.random() if s.faults.peer else 1.0
        if s.now < peer.away_until or what < s.faults.peer / 3:
            if s.now >= peer.away_until:
                peer.away_until = s.now + s.random.choice((0, 500, 4000))
            return Receipt("retry", "nobody answers", down=True)
        if what < s.faults.peer / 2:
            return Receipt("retry", "busy")
        if verdict := peer.judged(parcel.key):
            s.note(f"{peer.name}: {verdict} {parcel.key}")
            return Receipt("park" if verdict == "park" else "refuse", "not as it is")
        fresh = parcel.key not in peer.taken
        peer.take(parcel)
        if what < s.faults.peer:
            s.note(f"{peer.name} took {parcel.key} and says nothing")
            return Receipt("retry", "no answer")
        if fresh and s.random.random() < s.faults.tells:
            when = s.now + s.random.choice((0, 200, 3000))
            peer.tells.append((when, parcel.key, s.random.random() < 0.5))
        self._slow()
        s.cross("peer's answer")
        return Receipt("sent", reference=parcel.key)

    def _slow(self) -> None:
        s = self._peer.schedule
        if s.faults.slow and s.random.random() < s.faults.slow:
            s.sleep(s.random.choice((100, 1000, 5000)))

    def check(self) -> str:
        return "there"

    def close(self) -> None: ...


class InOrder:
    """The threads of a destination with several connections, one after the other in any order."""

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule

    def map(self, call: Callable[..., object], *given: object) -> list[object]:
        jobs = list(zip(*given, strict=False))
        made: dict[int, object] = {}
        for n in self._schedule.random.sample(range(len(jobs)), len(jobs)):
            made[n] = call(*jobs[n])
        return [made[n] for n in range(len(jobs))]

    def shutdown(self) -> None: ...
