"""Walks down from the newest entry along the narrowest index of a run, and keeps what fits.

In: a run, where to begin, how many are wanted. Out: entries, and how far down the walk got: 0 where it came
to the end. Each portion is narrowed by what costs least first: numbers of the entry, words, what became of
it, and last what it holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from engine.channels.alternatives import Keys
from engine.channels.bodywords import all_hold
from engine.channels.findhits import shows_control
from engine.channels.findruns import LEFT, Known, Run
from engine.journal.briefs import Brief
from engine.journal.sql import SqlJournal
from engine.store.sql import SqlStore

__all__ = ["Walk", "Walker"]

_FIRST, _PORTION, _BUDGET = 64, 1000, 8000
"""Entries in the first portion, in the largest one, and in all that one page may look at."""
_OPENED = 150
"""Messages that a page opens unasked, to compare the few that an index found with the very place."""
_AT_ONCE = 50


@dataclass(slots=True)
class Walk:
    """What a walk found. Every entry above `reached` that fits is among it."""

    found: list[int] = field(default_factory=list)
    reached: int = 0
    opened: int = 0
    gone: int = 0


class Walker:
    """Walks runs of one search."""

    def __init__(self, journal: SqlJournal, store: SqlStore, known: Known) -> None:
        self._journal, self._store, self._known = journal, store, known
        self._controls: dict[str, list[int]] = {}
        self._sure: frozenset[int] = frozenset()  # of the last portion: known under all words by the index

    def count(self, run: Run, below: int, most: int) -> tuple[int, bool]:
        """Count what of a run would have to be opened, and say whether there is more."""
        count, size = 0, _FIRST
        budget = _BUDGET
        while budget > 0 and count < most:
            portion = self._portion(run, below, size)
            count += len(self._narrowed(run, portion))
            if len(portion) < size:
                return min(count, most), count > most
            below = portion[-1].id
            budget -= len(portion)
            size = _PORTION
        return min(count, most), True

    def walk(self, run: Run, below: int, wanted: int, most: int | None = None) -> Walk:
        """Return what fits below an entry; `most`: messages that may be opened, None = the few of a page."""
        walk = Walk()
        budget, size = _BUDGET, _FIRST
        leave = _OPENED if most is None else most
        while True:
            portion = self._portion(run, below, size)
            fitting = self._narrowed(run, portion)
            if run.held:
                end = self._held(run, fitting, walk, leave, wanted)
                if end:
                    walk.reached = end
                    return walk
            else:
                walk.found += [b.id for b in fitting]
            if len(walk.found) >= wanted:
                walk.found = walk.found[:wanted]
                walk.reached = walk.found[-1]
                return walk
            if len(portion) < size:
                return walk
            below = portion[-1].id
            budget -= len(portion)
            if budget <= 0:
                walk.reached = below
                return walk
            size = min(_PORTION, size * 4)

    def _held(self, run: Run, fitting: Sequence[Brief], walk: Walk, leave: int, wanted: int) -> int:
        """Open messages and keep those that hold what is asked; returns where it had to stop, 0: nowhere."""
        for start in range(0, len(fitting), _AT_ONCE):
            part = fitting[start : start + min(_AT_ONCE, max(1, leave - walk.opened))]
            if walk.opened >= leave:
                return fitting[start - 1].id if start else fitting[0].id + 1
            entries = self._journal.readable([b.id for b in part])
            walk.opened += len(part)
            walk.gone += len(part) - len(entries)
            walk.found += [entry.id for entry in entries if all_hold(entry, run.held)]
            if len(walk.found) >= wanted:
                return 0
            if len(part) < min(_AT_ONCE, len(fitting) - start):
                return part[-1].id
        return 0

    def _portion(self, run: Run, below: int, limit: int) -> list[Brief]:
        """Return the next entries of the run's narrowest index."""
        above, below = run.above, min(below, run.below)
        if below - above < 2:
            return []
        store, briefs = self._store.finding, self._journal.briefs
        where = run.where
        if run.entries is not None:
            inside = sorted((n for n in run.entries if above < n < below), reverse=True)
            return briefs.of(inside[:limit])
        if run.keys:
            return self._by_keys(run.keys, above, below, limit)
        channels = run.channels
        if run.flagged:
            codes = [c.lower() for c in run.flags[0][0]] if run.flags and not run.flags[0][1] else []
            return briefs.of(store.flagged(codes, channels, above=above, below=below, limit=limit))
        if run.statuses <= LEFT:

            def wanted(status: str, channel: str, cause: str) -> bool:
                return run.stands_for(status, cause) and (channels is None or channel in channels)

            return briefs.of(store.left(wanted, above=above, below=below, limit=limit))
        if run.statuses == {"waiting"}:
            above = max(above, self._known.worked)
        return briefs.newest(where, above=above, below=below, limit=limit)

    def _by_keys(self, keys: Sequence[Keys], above: int, below: int, limit: int) -> list[Brief]:
        """Return what the index knows under all of these words, and what has one as its control id."""
        found: set[int] = set()
        words = [key.pairs for key in sorted(keys, key=_rare)]
        if all(words):
            found.update(self._store.finding.known(words, above=above, below=below, limit=limit))
        self._sure = frozenset(found)
        found.update(n for key in keys for n in self._control(key) if above < n < below)
        return self._journal.briefs.of(sorted(found, reverse=True)[:limit])

    def _control(self, key: Keys) -> list[int]:
        if not key.control:
            return []
        if key.control not in self._controls:
            self._controls[key.control] = self._journal.search.by_control(key.control)
        return self._controls[key.control]

    def _narrowed(self, run: Run, portion: Sequence[Brief]) -> list[Brief]:
        """Keep what fits as far as can be told without opening anything."""
        left = [
            b
            for b in portion
            if run.where.fits(b)
            and b.id not in run.without
            and run.covers(b.id, b.source, self._known.worked)
        ]
        sure = self._sure if run.keys and run.entries is None else frozenset()
        for keys, no in ((run.keys, False), (run.unkeys, True)):
            for key in keys:
                ids = {b.id for b in left if no or b.id not in sure}
                if ids:
                    known = self._store.finding.among(key.pairs, ids) if key.pairs else set()
                    known |= ids.intersection(self._control(key))
                    left = [b for b in left if b.id not in ids or (b.id in known) != no]
        if left and run.asks_standing:
            standing = self._store.finding.standing([b.id for b in left], flags=bool(run.flags))
            left = [b for b in left if run.stands(standing.get(b.id))]
        if left and run.tame and run.keys:
            lines = self._journal.search.lines([b.id for b in left])
            tame = {line.id for line in lines if shows_control(line)}
            left = [b for b in left if b.id in tame]
        return left


def _rare(key: Keys) -> bool:
    """Order words by how rare they are, as far as they show it: numbers before names."""
    return not any(c.isdigit() for _, value in key.pairs[:1] for c in value)
