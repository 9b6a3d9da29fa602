"""The worker: entries of the journal, in order for every lane, through the pipeline into the core store.

One worker owns the lanes whose number leaves its index when divided by the count of workers. An entry of several lanes
is run by the owner of its lowest lane, once it stands at the head of all of them; the owners of the others wait for
its outcome. The watermark of a lane passes an entry only in the transaction that records what became of it. A store
that is down stops the lanes and is tried again; content errors were parked by the pipeline.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from engine.channels.pipeline import Pipeline
from engine.channels.replay import rerun_set
from engine.journal.sql import SqlJournal
from engine.kernel.errors import StoreUnavailable
from engine.kernel.message import Entry, Flag, Outcome, Work
from engine.store.sql import SqlStore

__all__ = ["Tally", "Worker"]

log = logging.getLogger(__name__)

WINDOW = 400  # heads looked at in one go
BATCH = 50  # works a transaction
IDLE = (0.005, 0.05)  # seconds between looks at an idle journal
DOWN = (0.1, 5.0)  # seconds between tries of a store that is down


@dataclass(slots=True)
class Tally:
    """What a worker did so far, for its metrics."""

    done: int = 0
    parked: int = 0
    skipped: int = 0
    written: int = 0
    superseded: int = 0
    batches: int = 0
    store_down: int = 0

    def add(self, outcomes: list[Outcome]) -> None:
        self.batches += 1
        for o in outcomes:
            self.done += o.status == "done"
            self.parked += o.status == "parked"
            self.skipped += o.status == "skipped"
            self.written += o.written
            self.superseded += o.superseded


class Worker:
    """Works off the entries of its lanes."""

    def __init__(self, journal: SqlJournal, store: SqlStore, pipeline: Pipeline, index: int = 0, count: int = 1) -> None:
        self.journal, self.store, self.pipeline = journal, store, pipeline
        self.count = count
        self.index = index
        self.mine = frozenset(n for n in range(journal.lanes) if n % count == index)
        self.tally = Tally()
        self.marks: dict[int, int] = {}

    def run(self, stop: Callable[[], bool], tick: Callable[[], None] = lambda: None) -> None:
        """Work until `stop` says so; `tick` is called between batches."""
        pause, wait = IDLE[0], DOWN[0]
        while not stop():
            try:
                if self.step():
                    pause = IDLE[0]
                else:
                    time.sleep(pause)
                    pause = min(pause * 1.5, IDLE[1])
                wait = DOWN[0]
            except StoreUnavailable as e:
                self.tally.store_down += 1
                log.error("the store is not available, trying again in %.1f s: %s", wait, e)
                time.sleep(wait)
                wait = min(wait * 2, DOWN[1])
            tick()

    def step(self) -> bool:
        """Work off what is ready now; returns whether anything was."""
        self.marks = self.store.watermarks()
        after = min((self.marks.get(n, 0) for n in self.mine), default=0)
        heads = self.journal.heads(after, WINDOW)
        if not heads:
            return False
        ready, waiting = self._ready(heads)
        worked = False
        for batch in self._batches(ready):
            self._apply(batch)
            worked = True
        if not waiting and ready and len(ready) == len(heads) and self.count == 1:
            free = [n for n in self.mine if self.marks.get(n, 0) < heads[-1][0]]
            self._catch_up(free, heads[-1][0])
        else:
            free = [n for n in self.mine if n not in waiting]
            self._catch_up(free, heads[-1][0])
        return worked

    def _catch_up(self, lanes: list[int], upto: int) -> None:
        """Move the lanes on that had nothing, or nothing more, in the window."""
        behind = [n for n in lanes if self.marks.get(n, 0) < upto]
        if behind:
            self.store.advance(behind, upto)

    def _ready(self, heads: list[tuple[int, tuple[int, ...]]]) -> tuple[list[int], set[int]]:
        """Return the ids this worker may run now, in order, and its lanes that must wait for another worker."""
        blocked: set[int] = set()
        waiting: set[int] = set()
        ready: list[int] = []
        seen: dict[int, int] = {}  # lane -> last id not yet worked off before this entry, by whoever
        mine_now: set[int] = set()
        for number, lanes in heads:
            open_lanes = [n for n in lanes if self.marks.get(n, 0) < number]
            if not open_lanes:
                continue
            owner = min(lanes) % self.count == self.index
            stuck = any(n in blocked for n in lanes)
            if owner and not stuck:
                stuck = any(n not in self.mine and n in seen and seen[n] not in mine_now for n in lanes)
            if owner and not stuck:
                ready.append(number)
                mine_now.add(number)
            elif owner or any(n in self.mine for n in lanes):
                blocked.update(lanes)
                waiting.update(n for n in lanes if n in self.mine)
            for n in lanes:
                seen[n] = number
        return ready, waiting

    def _batches(self, ready: list[int]) -> Iterator[list[Entry]]:
        """Give the ready entries opened, a batch at a time; a replay stands alone."""
        batch: list[Entry] = []
        for entry in self._opened(ready):
            if entry.kind == "replay":
                if batch:
                    yield batch
                yield [entry]
                batch = []
                continue
            batch.append(entry)
            if len(batch) >= BATCH:
                yield batch
                batch = []
        if batch:
            yield batch

    def _opened(self, ready: list[int]) -> Iterator[Entry]:
        if not ready:
            return
        if ready[-1] - ready[0] + 1 == len(ready):
            at = ready[0] - 1
            while at < ready[-1]:
                found = self.journal.read(at, min(BATCH, ready[-1] - at))
                if not found:
                    return
                yield from found
                at = found[-1].id
            return
        for number in ready:
            entry = self.journal.get(number)
            if entry is not None:
                yield entry

    def _apply(self, entries: list[Entry]) -> None:
        if entries[0].kind == "replay":
            works, who = rerun_set(entries[0], self.journal, self.store, self.pipeline)
            outcomes = self.store.rerun(works, who=who)
        else:
            outcomes = self.store.apply([self._work(e) for e in entries])
        self.tally.add(outcomes)

    def _work(self, entry: Entry) -> Work:
        work = self.pipeline.work(entry)
        channel = self.pipeline.channels.get(entry.channel)
        if channel is not None and channel.park_key and work.parked is None:
            for kind, value in work.search:
                if kind == "patient" and self._held_before(value, entry.id):
                    work.parked = Flag("waits-behind", "", "an earlier message of this patient is parked, and the channel says park: key", True)
                    work.drafts = []
                    break
        return work

    def _held_before(self, patient: str, entry: int) -> bool:
        for other in self.store.find("patient", patient, 50):
            if other < entry:
                outcome = self.store.outcome(other)
                if outcome is not None and outcome.status == "parked":
                    return True
        return False
