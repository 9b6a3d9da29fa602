"""What a draft would have changed in the messages of the last days: before anybody is hurt.

In: the maps and channels in force and those of a draft, and the journal. Out: `Impact`: how many messages
come out otherwise, grouped by the row that causes it, with counts and a few entries to open. Messages that
the draft cannot reach are skipped, and counted. Maps are pure: nothing is written to the store, and the
journal is only read.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from engine.channels.definition import Channel
from engine.channels.impactcompare import Effect, effects
from engine.channels.impactgroups import Group, Groups
from engine.channels.impactreach import Reach
from engine.channels.impactrows import Cause
from engine.channels.pipeline import Pipeline
from engine.channels.tracing import trace_body
from engine.journal.sql import SqlJournal, UnreadableEntry
from engine.kernel.errors import HubError
from engine.kernel.message import Entry
from engine.mapping.lineage import Mapped
from engine.mapping.project import Maps
from engine.store.keys import public_id

__all__ = ["Impact", "Side", "impact_of"]

LEARNED = 25  # traced messages after which the cause of one kind of effect is known, where it was always one
WINDOW = 200  # entries read at once
LOOKED_AT = 50  # entries looked at for each one that was asked for, before giving up
_KINDS = frozenset({"message", "resend"})
_Mac = Callable[[str, str], bytes]


@dataclass(frozen=True, slots=True)
class Side:
    """Maps and channels as they are, or as they would be."""

    maps: Maps
    channels: list[Channel]


@dataclass(slots=True)
class Impact:
    """What was found."""

    replayed: int = 0  # messages that the draft can reach, run through both
    changed: int = 0
    skipped: int = 0  # messages that it cannot reach
    unreadable: int = 0
    first: int = 0  # oldest entry looked at
    last: int = 0
    since: int = 0  # when the oldest one came, ms
    stopped: str = ""  # why it ended before all was looked at
    seconds: float = 0.0
    traced: int = 0
    reaches: list[str] = field(default_factory=list)
    not_reached: list[str] = field(default_factory=list)
    groups: list[Group] = field(default_factory=list)

    def as_json(self, values: bool) -> dict[str, Any]:
        """Return it for programs; `values`: with what elements held, which is patient data."""
        words = {name: getattr(self, name) for name in self.__slots__ if name != "groups"}
        return {**words, "groups": [g.as_json(values) for g in self.groups]}


def impact_of(
    journal: SqlJournal,
    live: Side,
    draft: Side,
    mac: _Mac,
    last: int = 1000,
    since: int | None = None,
    progress: Callable[[int, int], None] = lambda done, changed: None,
    stop: Callable[[], bool] = lambda: False,
) -> Impact:
    """Run the newest `last` messages that the draft can reach, received since `since` (ms), through both."""
    began = time.monotonic()
    out = Impact()
    both = _Both(live, draft, mac)
    groups = Groups()
    for entry in _newest(journal, out, since, last):
        if stop():
            out.stopped = "stopped by hand"
            break
        if not both.reach.touches(entry):
            out.skipped += 1
            continue
        out.replayed += 1
        if found := both.look(entry):
            out.changed += 1
            groups.add(entry, found)
        if out.replayed % 20 == 0:
            progress(out.replayed, out.changed)
        if out.replayed >= last:
            break
    out.reaches, out.not_reached = both.reach.told()
    out.traced = both.traced
    out.groups = groups.all()
    out.seconds = round(time.monotonic() - began, 2)
    progress(out.replayed, out.changed)
    return out


def _newest(journal: SqlJournal, out: Impact, since: int | None, last: int) -> Iterator[Entry]:
    """Give messages, newest first, and write down what was looked at."""
    end = out.last = journal.head()
    looked = 0
    while end > 0:
        start = max(0, end - WINDOW)
        for entry in reversed(_window(journal, start, end, out)):
            if since is not None and entry.received < since:
                return
            out.first, out.since = entry.id, entry.received
            if entry.kind in _KINDS:
                yield entry
        looked += end - start
        if looked >= max(last, 100) * LOOKED_AT:
            out.stopped = f"the newest {looked} entries were looked at"
            return
        end = start


def _window(journal: SqlJournal, start: int, end: int, out: Impact) -> list[Entry]:
    """Return the entries (start, end] that can be opened."""
    found: list[Entry] = []
    at = start
    while at < end:
        try:
            some = journal.read(at, end - at)
        except UnreadableEntry as e:
            out.unreadable += 1
            at = e.entry
            continue
        if not some:
            break
        found += some
        at = some[-1].id
    return found


class _Both:
    """One message through both sides, and the rows that make the difference."""

    def __init__(self, live: Side, draft: Side, mac: _Mac) -> None:
        self.sides = live, draft
        self.pipelines = tuple(Pipeline(s.maps, s.channels, mac) for s in (live, draft))
        self.reach = Reach(live.maps, live.channels, draft.maps, draft.channels)
        self.traced = 0
        self._mac = mac
        self._learned: dict[tuple[str, ...], tuple[Cause | None, int]] = {}

    def look(self, entry: Entry) -> list[tuple[Effect, Cause]]:
        """Return what comes out otherwise, each with its cause."""
        live, draft = (p.work(entry) for p in self.pipelines)
        found = effects(live, draft)
        if not found:
            return []
        where = self.reach.where(entry)
        keys = [(*where.key, e.kind, e.what, e.line, e.where) for e in found]
        known = [self._known(key) for key in keys]
        if all(c is not None for c in known):
            return [(e, c) for e, c in zip(found, known, strict=True) if c is not None]
        self.traced += 1
        mapped = [self._trace(n, entry) for n in (0, 1)]
        rows = self.reach.rows(entry)
        out = []
        for e, key in zip(found, keys, strict=True):
            cause = rows.cause(e, mapped[0], mapped[1], where.message)
            before, times = self._learned.get(key, (cause, 0))
            self._learned[key] = (cause if before == cause else None), times + 1
            out.append((e, cause))
        return out

    def _known(self, key: tuple[str, ...]) -> Cause | None:
        """Return the cause of such an effect where many messages had the same one."""
        cause, times = self._learned.get(key, (None, 0))
        return cause if times >= LEARNED else None

    def _trace(self, side: int, entry: Entry) -> list[Mapped]:
        """Return where values came from; nothing where the message cannot be mapped on this side."""
        channel = self.pipelines[side].channels.get(entry.channel)
        if channel is None:
            return []

        def identify(kind: str, system: str, value: str) -> str:
            return public_id(self._mac, kind, system, value)

        origin = f"urn:hub:entry|{entry.position}"
        maps = self.sides[side].maps
        try:
            done, _ = trace_body(entry.body, maps, channel, origin, identify, entry.charset)
        except HubError:
            return []  # it parks: the flag says where
        return done.report.mapped
