"""Reads the new part of the journal into what is known of senders, a batch at a time.

In: the journal, what was counted so far (`staff.db`). Out: the same, further on. A batch and the entry
that it reaches are one transaction, so a reader may be killed at any moment, and two may run: one of them
starts anew.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

from engine.channels.profiling.contract import drift_count
from engine.channels.profiling.observing import observe, type_name, type_of
from engine.channels.profiling.sampling import AT_ONCE, MOST, Head, choose, heads_after
from engine.channels.profiling.seen import MOST_TYPES, SenderSeen, TypeCount, TypeSeen, count_up
from engine.formats.content import recognise
from engine.formats.hl7v2.parse import parse
from engine.journal.sql import SqlJournal, UnreadableEntry
from engine.kernel.errors import FormatError
from engine.kernel.message import Entry
from engine.staff.senders import Senders, Written

__all__ = ["MOST_SENDERS", "Reading"]

log = logging.getLogger(__name__)

MOST_SENDERS = 2000
"""Senders that are kept apart; a flood of others is counted as one sender a channel."""
OTHERS = "others"
LARGEST = 8 << 20
"""Bytes of a message that is still looked at."""
_HOUR, _DAYS = 3_600_000, 35
_KEPT = 64  # senders whose counts stay in memory between batches

Key = tuple[str, str]


class Reading:
    """The reader of one process. `pause` is called between messages, so that others get their turn."""

    def __init__(
        self, journal: SqlJournal, senders: Senders, pause: Callable[[], None] = lambda: None
    ) -> None:
        self._journal, self._senders, self._pause = journal, senders, pause
        self._known: dict[Key, SenderSeen] = {}
        self._types: dict[tuple[Key, str], TypeSeen] = {}
        self._reached: int | None = None

    def step(self, limit: int = 0) -> int:
        """Count the next batch; return how many entries it had. Raises StoreUnavailable."""
        before = self._reached if self._reached is not None else self._senders.reached()
        limit = limit or min(MOST, max(AT_ONCE, self._journal.count_after(before) // 20))
        heads = heads_after(self._journal, before, limit)
        if not heads:
            self._reached = before
            return 0
        try:
            return self._count(before, heads)
        except BaseException:
            self._forget()  # what is in memory may be ahead of what is kept
            raise

    def _count(self, before: int, heads: list[Head]) -> int:
        if len(self._known) > _KEPT or len(self._types) > 2 * _KEPT:
            self._forget()
        room = MOST_SENDERS - self._senders.count()
        touched: dict[Key, SenderSeen] = {}
        for head in heads:
            key = self._key(head, room)
            if key not in touched:
                touched[key] = self._sender(key)
                room -= touched[key].messages == 0
            _count(touched[key], head)
        types = self._look(heads, touched)
        if not self._senders.write(before, heads[-1].id, self._written(touched, types)):
            log.info("another process counted these messages; starting where it ended")
            self._forget()
            return len(heads)
        self._reached = heads[-1].id
        return len(heads)

    # -- what is known ---------------------------------------------------------------------------------------

    def _key(self, head: Head, room: int) -> Key:
        key = (head.channel, head.sender)
        if room > 0 or key in self._known or self._senders.line(self._senders.id_of(*key)) is not None:
            return key
        return head.channel, OTHERS

    def _sender(self, key: Key) -> SenderSeen:
        if key not in self._known:
            said = self._senders.seen(self._senders.id_of(*key))
            self._known[key] = SenderSeen.of_json(said) if said is not None else SenderSeen(*key)
        return self._known[key]

    def _type(self, key: Key, name: str) -> TypeSeen:
        if (key, name) not in self._types:
            said = self._senders.type(self._senders.id_of(*key), name)
            self._types[key, name] = TypeSeen.of_json(said) if said is not None else TypeSeen()
        return self._types[key, name]

    def _forget(self) -> None:
        """Forget what is in memory: it is all on disk."""
        self._known.clear()
        self._types.clear()
        self._reached = None

    # -- looking ---------------------------------------------------------------------------------------------

    def _look(self, heads: list[Head], touched: dict[Key, SenderSeen]) -> dict[tuple[Key, str], TypeSeen]:
        def looked(head: Head) -> int:
            key = self._held(head, touched)
            return self._type(key, type_of(head.type)).looked

        by_id = {head.id: head for head in heads}
        changed: dict[tuple[Key, str], TypeSeen] = {}
        for number in choose(heads, looked):
            self._pause()
            head = by_id[number]
            key = self._held(head, touched)
            sender = touched[key]
            if head.size > LARGEST:
                sender.too_large += 1
                continue
            try:
                entry = self._journal.get(number)
            except UnreadableEntry:
                entry = None
            if entry is None:
                sender.gone += 1
                continue
            name = self._observe(entry, key, sender)
            if name:
                changed[key, name] = self._types[key, name]
        return changed

    def _held(self, head: Head, touched: dict[Key, SenderSeen]) -> Key:
        key = (head.channel, head.sender)
        return key if key in touched else (head.channel, OTHERS)

    def _observe(self, entry: Entry, key: Key, sender: SenderSeen) -> str:
        """Look at one message; return its type's name, "" for what is no HL7 v2 and only counted."""
        format_ = recognise(entry.body) or "unknown"
        count_up(sender.formats, format_)
        if format_ != "hl7v2":
            return ""
        try:
            message = parse(entry.body, charset=entry.charset)
        except FormatError:
            count_up(sender.formats, "unreadable")
            return ""
        name = type_name(message.code, message.event)
        if name not in sender.types and len(sender.types) >= MOST_TYPES:
            name = "odd"
        observe(message, sender, self._type(key, name), entry.id, entry.received)
        return name

    # -- writing ---------------------------------------------------------------------------------------------

    def _written(
        self, touched: dict[Key, SenderSeen], types: dict[tuple[Key, str], TypeSeen]
    ) -> list[Written]:
        out = []
        for key, sender in touched.items():
            mine = {name: seen for (of, name), seen in types.items() if of == key}
            day = sum(n for hour, n in sender.hours.items() if hour > sender.last // _HOUR - 24)
            said: dict[str, Any] = {name: seen.as_json() for name, seen in mine.items()}
            id_ = self._senders.id_of(*key)
            drift = drift_count(self._senders, id_, sender, mine)
            out.append(
                Written(*key, sender.as_json(), sender.messages, sender.looked, sender.last, day, said, drift)
            )
        return out


def _count(sender: SenderSeen, head: Head) -> None:
    """Count one entry, exactly: this looks at no body."""
    if head.kind not in ("message", "garbage", "refused"):
        return  # replays, resends and answers are not what the sender sends
    sender.first = sender.first or head.received
    sender.last, sender.last_entry = max(sender.last, head.received), head.id
    if head.kind == "garbage":
        sender.garbage += 1
        return
    sender.refused += head.kind == "refused"
    sender.messages += 1
    sender.reused += head.reused
    hour = head.received // _HOUR
    sender.hours[hour] = sender.hours.get(hour, 0) + 1
    if len(sender.hours) > 24 * _DAYS:
        del sender.hours[min(sender.hours)]
    name = type_of(head.type)
    if name not in sender.types and len(sender.types) >= MOST_TYPES:
        name = "odd"
    found = sender.types.setdefault(name, TypeCount(first=head.received))
    found.count += 1
    found.last, found.at = head.received, sender.messages
