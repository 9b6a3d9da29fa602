"""How fast messages come, against what is usual for this hour of this weekday.

In: the journal's entries, counted once each by channel and minute; the hours that `staff.hours` keeps. Out:
counts for a line on a page, the usual count of an hour (median, low, high of the same hour in the weeks
before), and how many messages a silence has left out. A look costs what came since the last look.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, tzinfo

import sqlalchemy as sa

from engine.journal import tables
from engine.journal.database import reporting
from engine.journal.names import source_of
from engine.journal.search import hours as entries_between
from engine.journal.sql import SqlJournal
from engine.kernel.clock import now_ms
from engine.staff.hours import Hours

__all__ = ["Pace", "Rates", "Usual"]

MINUTE, HOUR = 60_000, 3_600_000
_e = tables.entry.c
_FROM_OUTSIDE = [tables.KINDS.index(kind) for kind in ("message", "garbage", "refused")]
_WINDOW = 20_000  # entries counted by one query
_WINDOWS = 25  # of one look: a hub that counts for the first time catches up over several
_WRITTEN = 60.0  # seconds between writes of what was counted
_REMEMBERED = 180  # minutes kept one by one
_WEEKS, _DAYS = 8, 21  # how far back the same weekday counts, and where that says too little, the same hour
_ENOUGH = 4  # hours to compare with
_SPAN = 7 * 24 * HOUR  # the longest silence that is weighed


@dataclass(frozen=True, slots=True)
class Usual:
    """Messages of one hour: the middle of the weeks before, and what they rarely fall below or exceed."""

    median: float
    low: int
    high: int


@dataclass(frozen=True, slots=True)
class Pace:
    """The last 60 minutes of a channel, and what they usually bring; None: too little is known."""

    count: int
    usual: Usual | None


class Rates:
    """Counts what arrives; may be asked by several threads. `zone`: whose hours and weekdays count; None:
    this machine's.
    """

    def __init__(
        self, journal: SqlJournal, hours: Hours, zone: tzinfo | None = None, now: Callable[[], int] = now_ms
    ) -> None:
        self._journal = journal
        self._hours = hours
        self._zone = zone
        self._now = now
        self._lock = threading.RLock()
        self._started = False
        self._upto = 0  # entries up to this one are counted here
        self._written = 0  # and up to this one in `hours`
        self._written_at = 0.0
        self._fresh: Counter[tuple[str, int]] = Counter()  # (channel, hour), not yet written
        self._minutes: dict[str, Counter[int]] = {}
        self._known: tuple[int, dict[int, dict[str, Usual]]] = (0, {})  # in which hour it was taken
        self._past: tuple[int, dict[str, dict[int, int]]] | None = None

    def look(self) -> None:
        """Count what has arrived. Raises StoreUnavailable."""
        with self._lock:
            if not self._started:
                self._start()
            head = self._journal.head()
            if head < self._upto:  # an older journal was put in its place
                self._fresh.clear()
                self._hours.add(self._written, head, {})
                self._upto = self._written = head
            for _ in range(_WINDOWS):
                if self._upto >= head:
                    break
                upto = min(head, self._upto + _WINDOW)
                for channel, minute, count in self._counts(self._upto, upto):
                    self._fresh[channel, minute // 60] += count
                    self._minutes.setdefault(channel, Counter())[minute] += count
                self._upto = upto
            if self._upto > self._written and time.monotonic() - self._written_at >= _WRITTEN:
                self.write()
            oldest = self._now() // MINUTE - _REMEMBERED
            for minutes in self._minutes.values():
                for minute in [m for m in minutes if m < oldest]:
                    del minutes[minute]

    def write(self) -> None:
        """Write down what was counted since the last time."""
        with self._lock:
            if self._upto == self._written:
                return
            if not self._hours.add(self._written, self._upto, self._fresh):
                self._upto = self._hours.counted()  # another process counts, too: go on from where it is
            self._fresh.clear()
            self._written, self._written_at, self._past = self._upto, time.monotonic(), None

    def recent(self, channel: str, minutes: int = 60) -> list[int]:
        """Return how many came in each of the last minutes, oldest first; the last is not over yet."""
        now = self._now() // MINUTE
        with self._lock:
            counted = self._minutes.get(channel, Counter())
            return [counted[minute] for minute in range(now - minutes + 1, now + 1)]

    def day(self, channel: str, hours: int = 24) -> list[int]:
        """Return how many came in each of the last hours, oldest first; the last is not over yet."""
        now = self._now() // HOUR
        first = now - hours + 1
        with self._lock:
            if self._past is None or self._past[0] > first:
                self._past = first, self._hours.between(first, now)
            past = self._past[1].get(channel, {})
            return [past.get(hour, 0) + self._fresh[channel, hour] for hour in range(first, now + 1)]

    def usual(self, channel: str, at: int) -> Usual | None:
        """Return what the hour of a moment usually brings; None where too little is known."""
        hour = at // HOUR
        with self._lock:
            taken, known = self._known
            if taken != self._now() // HOUR:
                known = {}
                self._known = self._now() // HOUR, known
            if hour not in known:
                known[hour] = self._learn(hour)
            return known[hour].get(channel)

    def pace(self, channel: str) -> Pace:
        """Return the last 60 minutes and what they usually bring: parts of two hours."""
        now = self._now()
        count = sum(self.recent(channel))
        here, before = self.usual(channel, now), self.usual(channel, now - HOUR)
        if here is None or before is None:
            return Pace(count, here or before)
        part = now % HOUR / HOUR

        def mixed(one: float, other: float) -> float:
            return one * part + other * (1 - part)

        return Pace(
            count,
            Usual(
                round(mixed(here.median, before.median), 1),
                int(mixed(here.low, before.low)),
                round(mixed(here.high, before.high)),
            ),
        )

    def missed(self, channel: str, since: int, now: int) -> float:
        """Return how many messages a silence has left out, by what the hours bring at the least."""
        total = 0.0
        at = max(since, now - _SPAN)
        while at < now:
            end = min(now, (at // HOUR + 1) * HOUR)
            usual = self.usual(channel, at)
            total += (usual.low if usual else 0) * (end - at) / HOUR
            at = end
        return total

    def _start(self) -> None:
        self._upto = self._written = self._hours.counted()
        since = self._now() - _REMEMBERED * MINUTE
        with reporting("journal"), self._journal.engine.connect() as connection:
            first, _ = entries_between(connection, since, None)
        if first is not None and first <= self._upto:
            for channel, minute, count in self._counts(first - 1, self._upto):
                self._minutes.setdefault(channel, Counter())[minute] += count
        self._started = True

    def _counts(self, after: int, upto: int) -> list[tuple[str, int, int]]:
        """Return (channel, minute, messages) of some entries; what the hub itself added is left out."""
        minute = (_e.received // MINUTE).label("minute")
        query = (
            sa.select(_e.source, minute, sa.func.count())
            .where(_e.id > after, _e.id <= upto, _e.kind.in_(_FROM_OUTSIDE))
            .group_by(_e.source, minute)
        )
        with reporting("journal"), self._journal.engine.connect() as connection:
            rows = connection.execute(query).all()
        words = self._journal.names.texts({source for source, _, _ in rows})
        return [(source_of(words[source][1])[0], minute, count) for source, minute, count in rows]

    def _learn(self, hour: int) -> dict[str, Usual]:
        """Return what an hour usually brings to every channel: one query for all of them."""
        weekly = [self._back(hour, timedelta(weeks=n)) for n in range(1, _WEEKS + 1)]
        daily = [self._back(hour, timedelta(days=n)) for n in range(1, _DAYS + 1)]
        alike = [h for h in daily if self._weekend(h) == self._weekend(hour)]
        found = self._hours.of({*weekly, *alike})
        usual = {}
        for channel, first in self._hours.first().items():
            for wanted in (weekly, alike):
                counts = sorted(_known(found.get(channel, {}), [h for h in wanted if h > first]))
                if len(counts) >= _ENOUGH:
                    usual[channel] = _usual(counts)
                    break
        return usual

    def _back(self, hour: int, by: timedelta) -> int:
        """Return the hour with the same time of day on the clock on the wall, some days before."""
        at = datetime.fromtimestamp(hour * 3600, self._zone) - by
        return int(at.timestamp()) // 3600

    def _weekend(self, hour: int) -> bool:
        return datetime.fromtimestamp(hour * 3600, self._zone).weekday() >= 5


def _known(counts: Mapping[int, int], hours: Sequence[int]) -> list[int]:
    return [counts.get(hour, 0) for hour in hours]


def _usual(counts: Sequence[int]) -> Usual:
    """Make the summary of sorted counts; one odd week of six is left out on either side."""
    n = len(counts)
    middle = (counts[(n - 1) // 2] + counts[n // 2]) / 2
    odd = n // 6
    return Usual(middle, counts[odd], counts[n - 1 - odd])
