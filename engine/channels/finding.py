"""Finds messages for people: a search in, a page of hits out, newest first; nothing is opened unasked.

In: what was asked, who may see and open what, where the last page ended. Out: `Hits`: a page, where the next
one begins, and how many messages would have to be opened for the conditions that no index answers. A page is
kept by the entry it ended at, so messages that arrive meanwhile shift nothing. The work of one page is
bounded: where little fits, it says how far it looked, and goes on from there when asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from engine.channels.alternatives import alternatives, is_private
from engine.channels.asked import Asked, Word, conditions
from engine.channels.findhits import Hit, hits_of
from engine.channels.findruns import Known, runs_of
from engine.channels.findwalk import Walk, Walker
from engine.journal.briefs import Ends
from engine.journal.sql import SqlJournal
from engine.store.sql import SqlStore

__all__ = ["Finder", "Hits", "Look"]

_COUNTED = 5000  # messages that a look would open are counted up to here


def _anything(_: str) -> bool:
    return True


@dataclass(frozen=True, slots=True)
class Look:
    """Leave to open messages, so many at most."""

    most: int


@dataclass(slots=True)
class Hits:
    """A page of what was found."""

    hits: list[Hit] = field(default_factory=list)
    next: int | None = None  # the next page is below this entry; None: this was the last
    to_look: int = 0  # messages that would have to be opened
    more_to_look: bool = False  # at least so many
    opened: int = 0  # messages opened for this page
    looked_to: int | None = None  # with a look: everything above this entry was looked into; None: all
    gone: int = 0  # messages that fit so far and cannot be opened any more
    waiting: int = 0  # messages no worker has come to, whose words are not known yet
    codes_since: int = 0  # codes are kept from this entry on
    jump: int | None = None  # an entry of the number that was typed


class Finder:
    """Finds in one journal and core store what a person may see."""

    def __init__(
        self,
        journal: SqlJournal,
        store: SqlStore,
        sees: Callable[[str], bool] = _anything,
        opens: Callable[[str], bool] = _anything,
    ) -> None:
        self.journal, self.store = journal, store
        self._sees, self._opens = sees, opens

    def find(
        self,
        asked: Asked,
        *,
        below: int | None = None,
        limit: int = 50,
        look: Look | None = None,
        patients: bool = False,
        names: bool = True,
    ) -> Hits:
        """Return a page. `patients`: with whose they are, where the person may open them. Raises BadQuery."""
        ends = self.journal.briefs.ends()
        known = self._known(ends)
        began = None if ends.first is None else datetime.fromtimestamp(ends.first / 1000)
        runs = [run for one in alternatives(asked, began) for run in runs_of(one, known)]
        cursor = 1 << 62 if below is None else below
        made = Hits()
        walker = Walker(self.journal, self.store, known)
        walks: list[Walk] = []
        each = max(1, look.most // max(1, sum(run.look for run in runs))) if look is not None else 0
        for run in runs:
            if run.look and look is None:
                count, more = walker.count(run, cursor, _COUNTED - made.to_look)
                made.to_look += count
                made.more_to_look = made.more_to_look or more
                continue
            walk = walker.walk(run, cursor, limit + 1, each if run.look else None)
            made.opened += walk.opened
            made.gone += walk.gone
            walks.append(walk)
        self._page(made, walks, limit)
        if look is not None:
            made.looked_to = max((walk.reached for walk in walks), default=0) or None
        if names:
            made.hits = hits_of(
                self.journal, self.store, [hit.entry for hit in made.hits], self._opens, patients
            )
        self._notes(made, asked, known, ends.entry)
        return made

    def _page(self, made: Hits, walks: Sequence[Walk], limit: int) -> None:
        """Put what the walks found together, as far down as all of them got."""
        floor = max((walk.reached for walk in walks), default=0)
        found = sorted({n for walk in walks for n in walk.found if n >= floor}, reverse=True)
        if len(found) > limit:
            found = found[:limit]
            made.next = found[-1]
        elif floor > 0:
            made.next = floor
        made.hits = [Hit(entry=n) for n in found]

    def _notes(self, made: Hits, asked: Asked, known: Known, newest: int) -> None:
        """Note what a person should know of the answer."""
        single = list(conditions(asked))
        if any(is_private(one) for one in single):
            made.waiting = max(0, newest - known.worked)
            first = known.searched.get(("", "code"), 1)
            made.codes_since = first if first > 1 else 0
        if len(single) == 1 and isinstance(single[0], Word) and single[0].text.isdecimal():
            number = int(single[0].text[:15])
            if any(known.sees(known.sources[b.source][0]) for b in self.journal.briefs.of([number])):
                made.jump = number

    def _known(self, ends: Ends) -> Known:
        searched, worked = self.store.finding.ready(self.journal.lanes)
        sources, types = self.journal.names.listed(ends.name)
        return Known(sources, types, self._sees, self._opens, searched, worked, self.journal.briefs.span)
