"""Where deliveries go: a system that takes each key once, and sometimes does not answer.

It counts by the parcel's key, as a receiver of MSH-10 or of an idempotency key does, and remembers in which
order it took the messages of each patient.
"""

from __future__ import annotations

import json
from collections.abc import Callable

from engine.kernel.delivery import Parcel, Receipt

from .schedule import Schedule


class Peer:
    """What is behind every connection."""

    def __init__(self, schedule: Schedule, upsert: bool = False) -> None:
        self.schedule, self.upsert = schedule, upsert
        self.taken: dict[str, bytes] = {}  # key -> what came first
        self.says: dict[tuple[str, str], str] = {}  # of one that is written over: its resources
        self.order: list[str] = []
        self.tries = 0
        self.away_until = 0

    def connection(self) -> Connection:
        return Connection(self)


class Connection:
    """One line of a destination (`engine/kernel/delivery.py`)."""

    def __init__(self, peer: Peer) -> None:
        self._peer = peer

    def deliver(self, parcel: Parcel) -> Receipt:
        peer, s = self._peer, self._peer.schedule
        s.cross("peer")
        peer.tries += 1
        what = s.random.random() if s.faults.peer else 1.0
        if s.now < peer.away_until or what < s.faults.peer / 3:
            if s.now >= peer.away_until:
                peer.away_until = s.now + s.random.choice((0, 500, 4000))
            return Receipt("retry", "nobody answers", down=True)
        if what < s.faults.peer / 2:
            return Receipt("retry", "busy")
        if parcel.key not in peer.taken:
            peer.order.append(parcel.key)
            s.note(f"peer takes {parcel.key}")
        peer.taken.setdefault(parcel.key, parcel.body)
        if peer.upsert:
            for one in json.loads(parcel.body)["entry"]:
                resource = one["resource"]
                peer.says[resource["resourceType"], resource["id"]] = resource["value"]
        if what < s.faults.peer:
            s.note(f"peer took {parcel.key} and says nothing")
            return Receipt("retry", "no answer")
        s.cross("peer's answer")
        return Receipt("sent")

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
