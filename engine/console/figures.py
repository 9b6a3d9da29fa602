"""The hub's figures of this moment: what each channel received, what waits, what is parked and why.

In: the journal, the core store's outcomes and watermarks. Out: one `Figures` record, kept for a second so
that many pollers cost one look. No patient data: channel names, causes, numbers, times. Counts of the past
are taken once and carried on, so a look costs what is waiting, not what is stored.
"""

from __future__ import annotations

import threading
import time
from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import orjson
import sqlalchemy as sa

from engine.channels.alerts import Alarm, State, judge
from engine.channels.definition import Channel
from engine.journal import tables
from engine.journal.database import reporting
from engine.journal.sql import SqlJournal
from engine.kernel.clock import now_ms
from engine.store.database import Database, Session

__all__ = ["ChannelFigures", "Figures", "Gauge", "WorkLine"]

_KEPT = 1.0  # seconds
_DAY = 86_400_000  # ms
_e = tables.entry.c
_WINDOWS, _WINDOW = 25, 2000
_FEW = 500  # ids in one IN (...)
_LOOKED_AT = 2000  # messages with work flags that are counted by code
_NEWEST = 5  # entries named a code


@dataclass(slots=True)
class ChannelFigures:
    """One channel. Times are ms since the epoch."""

    name: str
    purpose: str = ""
    address: str = ""
    known: bool = True  # False: entries of a channel whose file is gone
    received: int = 0
    last: int | None = None
    waiting: int = 0
    parked: int = 0
    unmapped: int = 0  # messages with a code that no table has, in the last 24 hours
    oldest: int | None = None  # when the oldest that waits was received


@dataclass(slots=True)
class WorkLine:
    """Messages that were written with a flag of one code that somebody should look at."""

    code: str
    count: int = 0
    channels: set[str] = field(default_factory=set)
    newest: list[tuple[int, str]] = field(default_factory=list)  # (entry, where), newest first


@dataclass(slots=True)
class Figures:
    """All of one moment."""

    at: int
    head: int  # newest journal entry
    position: int  # newest feed position
    waiting: int
    oldest: int | None  # when the oldest waiting entry was received
    channels: list[ChannelFigures]
    parked: dict[tuple[str, str], int] = field(default_factory=dict)  # (channel, cause) -> entries
    alarms: list[Alarm] = field(default_factory=list)
    work: list[WorkLine] = field(default_factory=list)  # the most frequent first
    work_messages: int = 0  # messages with such flags, those older than what `work` looked at too

    @property
    def oldest_seconds(self) -> float:
        """How long the oldest waiting entry has been waiting."""
        return max(0, self.at - self.oldest) / 1000 if self.oldest is not None else 0.0


class Gauge:
    """Takes the figures; may be asked by several threads.

    `alarms` gives those that are on, as the watch knows them; without it this moment alone judges.
    """

    def __init__(
        self,
        channels: Sequence[Channel],
        journal: SqlJournal,
        core_url: str,
        alarms: Callable[[], list[Alarm]] | None = None,
    ) -> None:
        self._channels = channels
        self._journal = journal
        self._core = Database(core_url)
        self._lock = threading.Lock()
        self._counted = 0  # entries up to this one are in the two below
        self._received: Counter[int] = Counter()  # by source
        self._newest: dict[int, int] = {}  # by source
        self._sources: dict[int, str] = {}  # source -> channel
        self._again: dict[int, list[int]] = {}  # entry -> its replays
        self._last: tuple[float, Figures] | None = None
        self.alarms = alarms
        self._began = now_ms()
        self._flagged: int | None = None  # outcomes up to this entry were looked at for codes
        self.closed = False
        self._codes: deque[tuple[int, str, int]] = deque()  # when, channel, messages

    def close(self) -> None:
        """Close its connections."""
        self.closed = True
        with self._lock:
            self._core.close()

    def now(self) -> Figures:
        """Return the figures, at most a second old. Raises StoreUnavailable."""
        with self._lock:
            if self._last is None or time.monotonic() - self._last[0] > _KEPT:
                figures = self._take()
                self._last = time.monotonic(), figures
            return self._last[1]

    def _take(self) -> Figures:
        head = self._count()
        with self._core.read() as session:
            ((position,),) = session.all("SELECT seq FROM core_clock WHERE id = 1")
            marks = dict(session.all("SELECT lane, watermark FROM lane"))
            low = min((marks.get(lane, 0) for lane in range(self._journal.lanes)), default=0)
            worked = dict(
                session.all("SELECT channel, count(*) FROM outcome WHERE entry > ? GROUP BY channel", (low,))
            )
            parked = self._parked(session)
            codes = self._unmapped(session, low)
            work, work_messages = self._work(session)
        arrived = self._arrived(low, head)
        lines = {c.name: _line(c) for c in self._channels}
        for source, count in self._received.items():
            line = lines.setdefault(self._sources[source], ChannelFigures(self._sources[source], known=False))
            line.received += count
        for name, count in arrived.items():
            lines[name].waiting = max(0, count - worked.get(name, 0))
        for (name, _), count in parked.items():
            lines.setdefault(name, ChannelFigures(name, known=False)).parked += count
        for name, count in codes.items():
            lines.setdefault(name, ChannelFigures(name, known=False)).unmapped = count
        self._times(lines)
        waiting = sum(line.waiting for line in lines.values())
        oldest = self._oldest(low, marks, lines) if waiting else None
        at = now_ms()
        alarms = self.alarms() if self.alarms is not None else self._judged(lines, at)
        return Figures(
            at, head, position, waiting, oldest, list(lines.values()), parked, alarms, work, work_messages
        )

    def states(self) -> dict[str, State]:
        """Return what the alarms of every channel are judged by. Raises StoreUnavailable."""
        return {c.name: _state(c) for c in self.now().channels}

    def _judged(self, lines: dict[str, ChannelFigures], at: int) -> list[Alarm]:
        on = []
        for channel in self._channels:
            for rule in channel.alerts:
                value = judge(rule, _state(lines[channel.name]), self._began, at)
                if value is not None:
                    on.append(Alarm(channel.name, rule.when, rule.say, value, at))
        return on

    def _count(self) -> int:
        """Count what arrived since the last look, by source, and note replays; returns the newest entry."""
        head = self._journal.head()
        if head > self._counted:
            new = sa.and_(_e.id > self._counted, _e.id <= head)
            counts = sa.select(_e.source, sa.func.count(), sa.func.max(_e.id)).where(new).group_by(_e.source)
            again = sa.select(_e.parent, _e.id).where(new, _e.parent.is_not(None))
            with reporting("journal"), self._journal.engine.connect() as connection:
                rows = connection.execute(counts).all()
                replays = connection.execute(again).all()
            if any(source not in self._sources for source, _, _ in rows):
                self._sources = {n: channel for n, (channel, _) in self._journal.names.sources().items()}
            for source, count, newest in rows:
                self._received[source] += count
                self._newest[source] = newest
            for parent, entry in replays:
                self._again.setdefault(parent, []).append(entry)
            self._counted = head
        return head

    def _arrived(self, low: int, head: int) -> Counter[str]:
        query = sa.select(_e.source, sa.func.count()).where(_e.id > low, _e.id <= head).group_by(_e.source)
        found: Counter[str] = Counter()
        with reporting("journal"), self._journal.engine.connect() as connection:
            for source, count in connection.execute(query):
                found[self._sources[source]] += count
        return found

    def _times(self, lines: dict[str, ChannelFigures]) -> None:
        """Fill in when each channel's newest entry came."""
        newest: dict[str, int] = {}
        for source, entry in self._newest.items():
            name = self._sources[source]
            newest[name] = max(entry, newest.get(name, 0))
        query = sa.select(_e.id, _e.received).where(_e.id.in_(list(newest.values())))
        with reporting("journal"), self._journal.engine.connect() as connection:
            times = {row.id: row.received for row in connection.execute(query)}
        for name, entry in newest.items():
            lines[name].last = times.get(entry)

    def _parked(self, session: Session) -> dict[tuple[str, str], int]:
        """Count the parked by channel and cause, without those that a replay has brought in since."""
        sql = "SELECT channel, cause, count(*) FROM outcome WHERE status = 'parked' GROUP BY channel, cause"
        found = Counter({(channel, cause or ""): count for channel, cause, count in session.all(sql)})
        if found and self._again:
            replays = [entry for entries in self._again.values() for entry in entries]
            sql = "SELECT entry FROM outcome WHERE status = 'done' AND entry IN (...)"
            done = {entry for (entry,) in session.among(sql, replays)}
            solved = [parent for parent, entries in self._again.items() if done.intersection(entries)]
            sql = "SELECT channel, cause FROM outcome WHERE status = 'parked' AND entry IN (...)"
            for channel, cause in session.among(sql, solved):
                found[channel, cause or ""] -= 1
        return {key: count for key, count in sorted(found.items()) if count > 0}

    def _work(self, session: Session) -> tuple[list[WorkLine], int]:
        """Gather the work flags of the newest messages that have any, without those run again since."""
        ((messages,),) = session.all("SELECT count(*) FROM outcome WHERE work IS NOT NULL")
        sql = "SELECT entry, channel, flags FROM outcome WHERE work IS NOT NULL ORDER BY entry DESC LIMIT ?"
        rows = session.all(sql, (_LOOKED_AT,)) if messages else []
        replays = [n for entry, _, _ in rows for n in self._again.get(entry, ())]
        sql = "SELECT entry FROM outcome WHERE status = 'done' AND entry IN (...)"
        done = {entry for (entry,) in session.among(sql, replays)}
        found: dict[str, WorkLine] = {}
        for entry, channel, flags in rows:
            if done.intersection(self._again.get(entry, ())):
                messages -= 1
                continue
            seen = set()
            for code, where, _, is_work in orjson.loads(flags):
                if is_work and code not in seen:
                    seen.add(code)
                    line = found.setdefault(code, WorkLine(code))
                    line.count += 1
                    line.channels.add(channel)
                    if len(line.newest) < _NEWEST:
                        line.newest.append((entry, where))
        return sorted(found.values(), key=lambda line: (-line.count, line.code)), messages

    def _unmapped(self, session: Session, low: int) -> Counter[str]:
        """Count messages with a code that no table has: those worked off since the last look, for a day."""
        now = now_ms()
        if self._flagged is None:
            self._flagged = low
        if low > self._flagged:
            sql = (
                "SELECT channel, count(*) FROM outcome WHERE entry > ? AND entry <= ? "
                "AND (flags LIKE ? OR cause = ?) GROUP BY channel"
            )
            given = (self._flagged, low, '%"unmapped-code"%', "unmapped-code")
            self._codes.extend((now, channel, count) for channel, count in session.all(sql, given))
            self._flagged = low
        while self._codes and self._codes[0][0] < now - _DAY:
            self._codes.popleft()
        found: Counter[str] = Counter()
        for _, channel, count in self._codes:
            found[channel] += count
        return found

    def _oldest(self, low: int, marks: dict[int, int], lines: dict[str, ChannelFigures]) -> int | None:
        """Return when the oldest entry that no watermark has passed was received, and fill it in by channel:
        of those that wait behind a very long queue of others, nothing is said."""
        after, oldest = low, None
        wanted = {name for name, line in lines.items() if line.waiting}
        for _ in range(_WINDOWS):
            heads = self._journal.heads(after, _WINDOW)
            behind = [entry for entry, lanes in heads if any(marks.get(lane, 0) < entry for lane in lanes)]
            for source, received in self._first_of(behind):
                name = self._sources[source]
                oldest = received if oldest is None else min(oldest, received)
                lines[name].oldest = min(received, lines[name].oldest or received)
                wanted.discard(name)
            if len(heads) < _WINDOW or not wanted:
                return oldest
            after = heads[-1][0]
        return oldest if oldest is not None else self._journal.oldest_after(after)

    def _first_of(self, entries: Sequence[int]) -> list[tuple[int, int]]:
        """Return (source, received) of the first of each source among these entries."""
        if not entries:
            return []
        of = sa.and_(_e.id >= entries[0], _e.id <= entries[-1])
        if len(entries) <= _FEW:
            of = _e.id.in_(entries)
        firsts = sa.select(sa.func.min(_e.id)).where(of).group_by(_e.source)
        query = sa.select(_e.source, _e.received).where(_e.id.in_(firsts))
        with reporting("journal"), self._journal.engine.connect() as connection:
            return [(source, received) for source, received in connection.execute(query)]


def _state(c: ChannelFigures) -> State:
    return State(c.parked, c.waiting, c.unmapped, c.last, c.oldest)


def _line(channel: Channel) -> ChannelFigures:
    address = ""
    if channel.mllp is not None:
        mllp = channel.mllp.mllp
        host = f"[{mllp.host}]" if ":" in mllp.host else mllp.host
        address = f"{'mllps' if mllp.tls else 'mllp'}://{host}:{mllp.port}"
    elif channel.http is not None:
        http = channel.http.http
        host = f"[{http.host}]" if ":" in http.host else http.host
        address = f"{'https' if http.tls else 'http'}://{host}:{http.port}{http.path}"
    elif channel.dicom is not None:
        node = channel.dicom.dicom
        host = f"[{node.host}]" if ":" in node.host else node.host
        address = f"dicom://{node.ae_title}@{host}:{node.port}"
    elif channel.folder is not None:
        address = channel.folder.folder.path.as_uri()
    elif channel.sftp is not None:
        address = f"sftp://{channel.sftp.sftp.host}:{channel.sftp.sftp.port}"
    return ChannelFigures(channel.name, channel.purpose, address)
