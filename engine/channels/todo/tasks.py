"""What waits for a person, grouped by cause: parked messages, work flags, codes that no table knows.

In: the store's outcomes and the entries that wait for codes, the journal's replays. Out: `Task` records: one
for each channel, cause, place (without indices) and code, with counts, and the entries it is about. A
message counts by its newest run: what a replay has brought in since waits no more, what a replay parked
again waits once. What was read is kept and carried on: a look costs what is new, and what it finds is held
against the store's own counts. No patient data.
"""

from __future__ import annotations

import hashlib
import re
import threading
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

import orjson

from engine.channels.todo.runs import Runs
from engine.journal.sql import SqlJournal
from engine.store.gaps import PARKED
from engine.store.sql import SqlStore

__all__ = ["Task", "Tasks", "plain_place", "task_id"]

_KEPT = (1.0, 30.0)  # seconds between looks, at least and at most
_SHARE = 50  # a look takes at most this part of the time
_INDICES = re.compile(r"\[\d+\]|\([^)]*\)| and \d+ more$")
_OF_RESOURCE = re.compile(r"^([A-Z][A-Za-z]+)/.+$")
_CODE = "unmapped-code"


class _Spot(NamedTuple):
    channel: str
    sender: str
    cause: str
    place: str


@dataclass(frozen=True, slots=True)
class Task:
    """One cause that a person has to do something about. Entries are the newest runs of their messages."""

    id: str
    channel: str
    cause: str
    place: str  # without indices: OBX-3
    gap: int = 0  # number of the code that no table knows; 0: it is about no code
    parked: int = 0
    flagged: int = 0
    running: int = 0  # of them: run again at this moment
    senders: tuple[tuple[str, int], ...] = ()  # the most frequent first
    oldest: int = 0
    newest: int = 0
    samples: tuple[int, ...] = ()  # the newest entries, newest first

    @property
    def count(self) -> int:
        """How many messages wait."""
        return self.parked + self.flagged


@dataclass(slots=True)
class _Gathered:
    parked: list[int] = field(default_factory=list)
    flagged: list[int] = field(default_factory=list)
    senders: Counter[str] = field(default_factory=Counter)


_Key = tuple[str, str, str, str, int]  # kind, channel, cause, place, gap


def plain_place(place: str) -> str:
    """Return a place without indices: `OBX[3]-5` -> `OBX-5`, `Observation/1f3a` -> `Observation`."""
    return _OF_RESOURCE.sub(r"\1", _INDICES.sub("", place))


def task_id(kind: str, channel: str, cause: str, place: str, gap: int = 0) -> str:
    """Return the name of a task: the same for the same cause, today and next year."""
    text = "\0".join((kind, channel, cause, place, str(gap)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


class Tasks:
    """The to-do list of one hub; may be asked by several threads."""

    def __init__(self, journal: SqlJournal, store: SqlStore) -> None:
        self._journal, self._store = journal, store
        self._lock = threading.Lock()
        self._forget()
        self._due = 0.0
        self._changed = True
        self._tasks: dict[str, Task] = {}
        self._entries: dict[str, tuple[list[int], list[int]]] = {}

    def _forget(self) -> None:
        self._parked: dict[int, _Spot] = {}
        self._flagged: dict[int, tuple[_Spot, ...]] = {}
        self._spots: dict[tuple[str, ...], _Spot] = {}
        self._said: dict[tuple[str, str, str], tuple[_Spot, ...]] = {}
        self._low = 0
        self._waits: list[tuple[int, int, int]] = []
        self._mark = (-1, 0, 0)
        self._runs = Runs()
        self._changed = True
        self._late: set[int] = set()  # messages a run of which ended after the last look

    def all(self, fresh: bool = False) -> list[Task]:
        """Return what there is to do, what most messages wait for first. `fresh`: as of this moment."""
        with self._lock:
            self._refresh(fresh)
            return sorted(self._tasks.values(), key=lambda t: (-t.parked, -t.flagged, t.id))

    def get(self, id: str, fresh: bool = False) -> Task | None:
        """Return one task; None where nothing waits for it (any more)."""
        with self._lock:
            self._refresh(fresh)
            return self._tasks.get(id)

    def entries(self, id: str, fresh: bool = True) -> tuple[list[int], list[int]]:
        """Return the entries of a task, oldest first: parked, and written with a flag; not those that run."""
        with self._lock:
            self._refresh(fresh)
            running = self._runs.running()
            found = self._entries.get(id, ([], []))
            parked, flagged = (
                [e for e in some if not running or self._runs.root(e) not in running] for some in found
            )
            return parked, flagged

    def read_again(self) -> None:
        """Forget what was read: somebody has closed messages, or opened them again."""
        with self._lock:
            self._forget()
            self._due = 0.0

    def runs(self, entry: int) -> list[int]:
        """Return all runs of the message of an entry, oldest first."""
        with self._lock:
            self._refresh(False)
            return self._runs.all(self._runs.root(entry))

    # -- looking -----------------------------------------------------------------------------------------

    def _refresh(self, fresh: bool) -> None:
        now = time.monotonic()
        if not fresh and now < self._due:
            return
        try:
            if not self._look():
                self._forget()
                self._look()
        except BaseException:
            self._forget()  # half a look is worth nothing
            raise
        if self._changed:
            self._group()
            self._changed = False
        took = time.monotonic() - now
        self._due = time.monotonic() + min(max(_KEPT[0], took * _SHARE), _KEPT[1])

    def _look(self) -> bool:
        """Take in what is new; False where what is kept no longer agrees with the store."""
        ended = self._late | self._ended()
        since = min([self._low, *(root - 1 for root in ended)])  # what a run took along may have other flags
        look = self._store.waiting.look(self._journal.lanes, self._low, since, self._mark)
        if since < self._low:
            self._flagged = {e: spots for e, spots in self._flagged.items() if e <= since}
        for entry, channel, sender, cause, place in look.parked:
            self._parked[entry] = self._spot(channel, sender, cause or "", place or "")
        for entry, channel, sender, flags in look.flagged:
            self._flagged[entry] = self._spots_of(channel, sender, flags)
        heard = self._runs.newest
        news = bool(ended or look.parked or look.flagged or since < self._low or look.waits is not None)
        self._low, self._mark = look.low, look.mark
        if look.waits is not None:
            self._waits = look.waits
        self._runs.told(self._journal.search.again(heard))  # after the outcomes: none of them is unknown
        self._late = self._ended()
        new = {self._runs.root(row[0]) for row in (*look.parked, *look.flagged)}
        self._runs.settle(ended | self._late | new if heard else None, self._parked)
        self._changed = self._changed or news or bool(self._late) or self._runs.newest != heard
        return (len(self._parked), len(self._flagged)) == (look.parked_count, look.flagged_count)

    def _ended(self) -> set[int]:
        """Return the roots of the runs that got their outcome since the last look."""
        return self._runs.became(self._store.waiting.states(sorted(self._runs.open)))

    def _spot(self, *words: str) -> _Spot:
        channel, sender, cause, place = words
        found = self._spots.get(words)
        if found is None:
            found = self._spots[words] = _Spot(channel, sender, cause, plain_place(place))
        return found

    def _spots_of(self, channel: str, sender: str, flags: str) -> tuple[_Spot, ...]:
        key = channel, sender, flags
        found = self._said.get(key)
        if found is None:
            if len(self._said) > 20_000:
                self._said.clear()
            spots = [
                self._spot(channel, sender, code, where)
                for code, where, _, work in orjson.loads(flags)
                if work
            ]
            found = self._said[key] = tuple(dict.fromkeys(spots))
        return found

    # -- grouping ----------------------------------------------------------------------------------------

    def _group(self) -> None:
        found: dict[_Key, _Gathered] = {}
        covered = self._codes(found)
        past = self._runs.past
        for entry, spot in self._parked.items():
            if entry not in past and not (spot.cause == _CODE and entry in covered):
                _add(found, ("parked", spot.channel, spot.cause, spot.place, 0), entry, spot.sender, True)
        for entry, spots in self._flagged.items():
            if entry in past:
                continue
            for spot in spots:
                if spot.cause != _CODE or entry not in covered:
                    _add(found, ("flag", spot.channel, spot.cause, spot.place, 0), entry, spot.sender, False)
        running = self._runs.running()
        self._tasks, self._entries = {}, {}
        for key, some in found.items():
            id = task_id(*key)
            some.parked.sort()
            some.flagged.sort()
            self._tasks[id] = self._task(id, key, some, running)
            self._entries[id] = some.parked, some.flagged

    def _codes(self, found: dict[_Key, _Gathered]) -> set[int]:
        """Gather what waits for codes; returns the entries that do."""
        covered = set()
        for gap, entry, how in self._waits:
            root = self._runs.root(entry)
            parked = how == PARKED
            if len(self._runs.all(root)) == 1:
                run = entry
            else:
                run = (self._runs.parked if parked else self._runs.through)(root, self._parked)
            spot = self._parked.get(run) if parked else next(iter(self._flagged.get(run, ())), None)
            if spot is not None:
                covered.add(run)
                _add(found, ("code", spot.channel, _CODE, "", gap), run, spot.sender, parked)
        return covered

    def _task(self, id: str, key: _Key, some: _Gathered, running: set[int]) -> Task:
        _, channel, cause, place, gap = key
        entries = [*some.parked, *some.flagged]
        newest = sorted({*some.parked[-5:], *some.flagged[-5:]}, reverse=True)[:5]
        return Task(
            id,
            channel,
            cause,
            place,
            gap,
            len(some.parked),
            len(some.flagged),
            sum(self._runs.root(e) in running for e in entries) if running else 0,
            tuple(some.senders.most_common(20)),
            min(entries),
            max(entries),
            tuple(newest),
        )


def _add(found: dict[_Key, _Gathered], key: _Key, entry: int, sender: str, parked: bool) -> None:
    some = found.get(key)
    if some is None:
        some = found[key] = _Gathered()
    (some.parked if parked else some.flagged).append(entry)
    some.senders[sender] += 1


def numbers_of(entries: Iterable[int]) -> str:
    """Return entries as the audit writes them; the first thousand."""
    return " ".join(str(e) for e in list(entries)[:1000])
