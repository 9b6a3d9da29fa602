"""The worker: entries of the journal, in order for every lane, through the pipeline into the core store.

A queue says which lanes are this worker's (`queue/protocol.py`), and it takes them in the core store before
it works on them: whoever had them before cannot write from then on. An entry of several lanes is run by the
owner of its lowest lane, once it stands at the head of all of them; the owners of the others wait for its
outcome. The watermark of a lane passes an entry only in the transaction that records what became of it. A
store that is down stops the lanes and is tried again; content errors were parked by the pipeline, and an
entry that cannot be opened or run again, or that killed its process, is parked here.
"""

from __future__ import annotations

import logging
import time
from bisect import bisect_left
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from engine.channels.deaths import NoSlot, Slot, killed
from engine.channels.renewal import Renewal
from engine.channels.replay import TooWide, held_before, rerun_set
from engine.channels.sides import JournalSide, MapSide, StoreSide
from engine.journal.sql import UnreadableEntry
from engine.kernel.errors import HubError, StoreUnavailable
from engine.kernel.message import Entry, Flag, Outcome, Work
from engine.queue.lanes import OwnLanes, shared_out
from engine.queue.protocol import WorkQueue
from engine.store.intervals import left_out
from engine.store.owning import LanesLost

__all__ = ["Tally", "Worker"]

log = logging.getLogger(__name__)

WINDOW = 400  # heads looked at in one go
BATCH = 50  # works a transaction
BATCH_BYTES = 4 << 20  # bytes of messages after which a transaction is full, however few they are
IDLE = (0.005, 0.05)  # seconds between looks at an idle journal
DOWN = (0.1, 1.0)  # seconds between tries of a store that is down
SAID = 30  # tries, once they are a second apart, for one line in the log


@dataclass(slots=True)
class Tally:
    """What a worker did so far, for its metrics."""

    done: int = 0
    parked: int = 0
    skipped: int = 0
    written: int = 0
    superseded: int = 0
    downsampled: int = 0
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
            self.downsampled += left_out(o.flags)


class Worker:
    """Works off the entries of its lanes: those a queue gives it, or all where there is none."""

    def __init__(
        self,
        journal: JournalSide,
        store: StoreSide,
        pipeline: MapSide,
        queue: WorkQueue | None = None,
        slot: Slot | None = None,
        renewal: Renewal | None = None,
    ) -> None:
        self.renewal = renewal
        self.journal, self.store, self.pipeline = journal, store, pipeline
        self.slot: Slot = slot or NoSlot()
        self.queue: WorkQueue = queue or OwnLanes(shared_out(journal.lanes))
        self.mine: frozenset[int] = frozenset()  # taken in the store
        self._given: frozenset[int] = frozenset()  # what the queue said last
        self.tally = Tally()
        self.marks: dict[int, int] = {}
        self.down = False  # the core store, or the journal, at the last try
        self.idle = True  # nothing was left in these lanes at the last look

    def run(
        self,
        stop: Callable[[], bool],
        tick: Callable[[], None] = lambda: None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Work until `stop` says so; `tick` is called between batches."""
        pause, wait, tries = IDLE[0], DOWN[0], 0
        while not stop():
            try:
                if self.step():
                    pause = IDLE[0]
                else:
                    self.queue.wait(pause, self.idle)
                    pause = min(pause * 1.5, IDLE[1])
                self.down, wait, tries = False, DOWN[0], 0
            except StoreUnavailable as e:
                self.down = True
                self.tally.store_down += 1
                if wait < DOWN[1] or tries % SAID == 0:
                    log.error("the store is not available, trying again in %.1f s: %s", wait, e)
                tries += wait >= DOWN[1]
                sleep(wait)
                wait = min(wait * 2, DOWN[1])
            tick()

    def step(self) -> bool:
        """Work off what is ready now; returns whether anything was."""
        try:
            if self.queue.lanes() is not self._given:
                self._take()
            return bool(self.mine) and self._step()
        except LanesLost as e:
            log.warning("%s: %s", self.queue.name, e)
            self.mine -= e.lanes
            self._given = frozenset()  # ask for all again
            self.queue.lost(e.lanes)
            return False

    def _take(self) -> None:
        """Follow the queue: leave lanes that are another's now, and take those that are new in the store."""
        given = self.queue.lanes()
        gone, new = self.mine - given, given - self.mine
        if gone:
            self.store.disown(gone)
            self.mine &= given
        if new:
            self.store.own(new, self.queue.name)
            self.mine |= new
        self._given = given

    def _step(self) -> bool:
        self.marks = self.store.watermarks()
        after = min((self.marks.get(n, 0) for n in self.mine), default=0)
        heads = self.journal.heads(after, WINDOW)
        if self.renewal is not None:  # after the heads are known: what came after a change is mapped with it
            self.renewal.look()
        self.idle = not heads
        if not heads:
            return False
        ready, first_blocked = self._ready(heads, after)
        for batch in self._batches(ready, dict(heads)):
            self._apply(batch)
        # Marks of lanes in which nothing happened only save looking again: not worth a transaction a message.
        if not ready or len(heads) >= WINDOW // 2:
            self._catch_up(first_blocked, heads[-1][0])
        self.idle = not ready and not first_blocked and len(heads) < WINDOW
        return bool(ready)

    def _catch_up(self, first_blocked: dict[int, int], last: int) -> None:
        """Move the lanes on that had nothing, or nothing more, in the window: up to what they wait for."""
        behind: dict[int, list[int]] = {}
        for n in self.mine:
            upto = first_blocked.get(n, last + 1) - 1
            if self.marks.get(n, 0) < upto:
                behind.setdefault(upto, []).append(n)
        for upto, lanes in behind.items():
            self.store.advance(lanes, upto)

    def _ready(
        self, heads: list[tuple[int, tuple[int, ...]]], after: int
    ) -> tuple[list[int], dict[int, int]]:
        """Return the ids this worker may run now, in order, and the first entry each blocked lane waits for.

        `heads` are all entries after `after`. Of a lane of another worker nothing is known before its
        watermark has come that far: an entry that shares it waits until then.
        """
        blocked: dict[int, int] = {}
        ready: list[int] = []
        seen: dict[int, int] = {}  # lane of another worker -> last entry in it that is not worked off
        running: set[int] = set()
        for number, lanes in heads:
            if not any(self.marks.get(n, 0) < number for n in lanes):
                continue
            mine = min(lanes) in self.mine
            if mine and not any(n in blocked or self._unknown(n, after, seen, running) for n in lanes):
                ready.append(number)
                running.add(number)
            elif mine or any(n in self.mine for n in lanes):
                for n in lanes:
                    blocked.setdefault(n, number)
            for n in lanes:
                if n not in self.mine:
                    seen[n] = number
        return ready, blocked

    def _unknown(self, lane: int, after: int, seen: dict[int, int], running: set[int]) -> bool:
        """Say whether something may stand before this worker's next entry in a lane of another worker."""
        if lane in self.mine:
            return False
        return self.marks.get(lane, 0) < after or (lane in seen and seen[lane] not in running)

    def _batches(self, ready: list[int], lanes: dict[int, tuple[int, ...]]) -> Iterator[list[Entry | Work]]:
        """Give the ready entries opened, a batch at a time; a replay stands alone."""
        batch: list[Entry | Work] = []
        size = 0
        for entry in self._opened(ready, lanes):
            alone = isinstance(entry, Entry) and (
                entry.kind == "replay" or entry.id <= self.slot.alone_until or self._parks_key(entry)
            )
            if batch and (alone or len(batch) >= BATCH or size >= BATCH_BYTES):
                yield batch
                batch, size = [], 0
            batch.append(entry)
            size += len(entry.body) if isinstance(entry, Entry) else 0
            if alone:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _opened(self, ready: list[int], lanes: dict[int, tuple[int, ...]]) -> Iterator[Entry | Work]:
        """Open entries in order; one that cannot be opened is a parked work and stops nobody."""
        wanted = set(ready)
        whole = len(self.mine) == self.journal.lanes  # then nothing in between is another's
        at = 0
        for number in ready:
            if number <= at:
                continue
            at = number - 1
            try:
                if whole:
                    found = self.journal.read(at, min(BATCH, ready[-1] - at))
                else:
                    place = bisect_left(ready, number)
                    found = self.journal.pick(ready[place : place + BATCH])
            except UnreadableEntry as e:
                at = e.entry
                if e.entry in wanted:
                    cause = Flag("unreadable", "", str(e), True)
                    yield Work(e.entry, e.entry, "", "", lanes[e.entry], parked=cause)
                continue
            if not found:
                raise StoreUnavailable(
                    "the journal does not give an entry it has", where=f"journal entry {number}"
                )
            yield from (entry for entry in found if entry.id in wanted)
            at = found[-1].id

    def _apply(self, batch: list[Entry | Work]) -> None:
        try:
            self.tally.add(self._outcomes(batch))
        finally:
            self.slot.end()

    def _outcomes(self, batch: list[Entry | Work]) -> list[Outcome]:
        first = batch[0]
        last = batch[-1].id if isinstance(batch[-1], Entry) else batch[-1].entry
        if isinstance(first, Entry) and first.kind == "replay" and not self.slot.deadly(first.id):
            self.slot.begin(first.id, first.id)
            return self._rerun(first)
        works = []
        for entry in batch:
            if isinstance(entry, Work):
                works.append(entry)
            elif self.slot.deadly(entry.id):
                works.append(Work(entry.id, entry.position, entry.channel, entry.sender, entry.lanes))
                works[-1].parked = killed()
                works[-1].search = (("control", entry.control_id),) if entry.control_id else ()
            else:
                self.pipeline.prepare(entry)
                self.slot.begin(entry.id, last)
                works.append(self._work(entry))
        self.slot.begin(last if len(batch) == 1 else 0, last)
        return self.store.apply(works)

    def _rerun(self, entry: Entry) -> list[Outcome]:
        """Run a replay and what came after it; what stops it parks it, so that its lanes go on."""
        if self.store.outcome(entry.id) is not None:  # it ran, and only its lanes' marks are behind
            return self.store.apply(
                [Work(entry.id, entry.position, entry.channel, entry.sender, entry.lanes)]
            )
        outcomes: list[Outcome] = []
        try:
            works, who = rerun_set(entry, self.journal, self.store, self.pipeline)
            outcomes = self.store.rerun(works, who=who)
            if any(o.entry == entry.id for o in outcomes):
                return outcomes
            stopped = outcomes[0]
            why = Flag(
                "replay-stopped",
                stopped.where,
                f"entry {stopped.entry}, which came later, would be parked: {stopped.cause}",
                True,
            )
        except StoreUnavailable:
            raise
        except TooWide as e:
            why = Flag("replay-too-wide", e.where, str(e), True)
        except Exception as e:
            log.error("replay %d stopped: %s", entry.id, e if isinstance(e, HubError) else type(e).__name__)
            why = Flag("replay-stopped", "", f"it cannot be run again ({type(e).__name__})", True)
        return self.store.apply(
            [Work(entry.id, entry.position, entry.channel, entry.sender, entry.lanes, parked=why)]
        )

    def _parks_key(self, entry: Entry) -> bool:
        channel = self.pipeline.channels.get(entry.channel)
        return channel is not None and channel.park_key

    def _work(self, entry: Entry) -> Work:
        work = self.pipeline.work(entry)
        if self._parks_key(entry) and work.parked is None:
            before = min(entry.position, entry.parent or entry.id)
            held = held_before(work.search, before, self.journal, self.store)
            if held is not None:
                work.parked, work.drafts = held, []
        return work
