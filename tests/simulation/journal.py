"""A journal in memory, and a process's side of it.

Numbers without gaps, lanes by what keeps the order, twins recognised by sender, control id and bytes, as
`engine/journal` promises. An append is whole or not at all; it may be whole and its answer lost.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Sequence
from typing import TypeVar

from engine.kernel.message import Accepted, Entry, NewEntry

from .schedule import Schedule

T = TypeVar("T")
LANES = 8


def lanes_of(keys: Sequence[str]) -> tuple[int, ...]:
    """Return the lanes of a message."""
    return tuple(sorted({zlib.crc32(key.encode()) % LANES for key in keys or ("",)}))


class Journal:
    """What all processes share."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self._twins: dict[tuple[str, str, str], Entry] = {}
        self.lanes_in: dict[int, list[int]] = {lane: [] for lane in range(LANES)}

    def side(self, schedule: Schedule) -> JournalSide:
        """Return the journal as one process reaches it."""
        return JournalSide(schedule, self)

    def close(self) -> None: ...

    def append(self, entries: Sequence[NewEntry]) -> list[Accepted]:
        return [self._one(new) for new in entries]

    def _one(self, new: NewEntry) -> Accepted:
        known = (new.channel, new.sender, new.control_id)
        first = self._twins.get(known) if new.kind == "message" else None
        if first is not None and first.body == new.body:
            return Accepted(first.id, duplicate_of=first.id)
        number = len(self.entries) + 1
        entry = Entry(
            number,
            new.channel,
            new.body,
            new.received,
            new.sender,
            new.peer,
            new.control_id,
            new.message_type,
            new.charset,
            new.kind,
            tuple(
                sorted({*new.lanes, *(lanes_of(new.order_keys) if new.order_keys or not new.lanes else ())})
            ),
            new.parent,
            new.position or number,
            new.reason,
            first.id if first is not None else None,
        )
        self.entries.append(entry)
        if new.kind == "message":
            self._twins.setdefault(known, entry)
        for lane in entry.lanes:
            self.lanes_in[lane].append(number)
        return Accepted(number, conflicts_with=entry.conflicts_with)

    def by_control_id(self, control_id: str) -> list[Entry]:
        """Return the messages of a control id."""
        return [e for e in self.entries if e.control_id == control_id and e.kind == "message"]


class JournalSide:
    """The journal as one process reaches it."""

    lanes = LANES

    def __init__(self, schedule: Schedule, journal: Journal) -> None:
        self._schedule, self._journal = schedule, journal

    def append(self, entries: Sequence[NewEntry]) -> list[Accepted]:
        return self._call("append", lambda: self._journal.append(entries))

    def heads(self, after: int, limit: int) -> list[tuple[int, tuple[int, ...]]]:
        return self._call(
            "heads", lambda: [(e.id, e.lanes) for e in self._journal.entries[after : after + limit]]
        )

    def read(self, after: int, limit: int) -> list[Entry]:
        return self._call("read", lambda: self._journal.entries[after : after + limit])

    def pick(self, entries: Sequence[int]) -> list[Entry]:
        return self._call("pick", lambda: [self._journal.entries[n - 1] for n in sorted(entries)])

    def get(self, entry: int) -> Entry | None:
        found = self._journal.entries
        return self._call("get", lambda: found[entry - 1] if 0 < entry <= len(found) else None)

    def _call(self, what: str, do: Callable[[], T]) -> T:
        s = self._schedule
        s.cross(f"journal.{what}")
        s.fails(1.0 if s.full and what == "append" else s.faults.before, f"journal.{what}, before,")
        done = do()
        if what == "append":
            s.note(f"journal has {len(self._journal.entries)}")
            s.fails(s.faults.after, "journal.append, after,")
        s.cross(f"journal.{what} done")
        return done
