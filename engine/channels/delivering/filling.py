"""Deliveries of messages that came before their destination was there: asked for later, in order.

In: a destination, the channels that deliver to it, where to begin. Out: deliveries in its queue, as the rules
of today choose them. What is there already stays as it is, so it may be run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from engine.channels.arriving import read_body, way_of
from engine.channels.definition import Channel
from engine.channels.delivering.choosing import Mac, dues_of
from engine.formats.content import recognise
from engine.formats.hl7v2.parse import parse
from engine.journal.sql import SqlJournal, UnreadableEntry
from engine.kernel.errors import FormatError
from engine.kernel.message import Due, Entry
from engine.store.sql import SqlStore

__all__ = ["fill"]

_AT_ONCE = 200


def fill(
    name: str,
    channels: Iterable[Channel],
    journal: SqlJournal,
    store: SqlStore,
    mac: Mac,
    after: int = 0,
    progress: Callable[[int], None] = lambda entry: None,
) -> int:
    """Ask for what is missing at a destination after the entry `after`; returns how many were asked for.

    Entries that cannot be opened any more are left out.
    """
    known = {c.name: c for c in channels if any(rule.to == name for rule in c.deliver)}
    head, asked = journal.head(), 0
    while after < head:
        try:
            entries = journal.read(after, _AT_ONCE)
        except UnreadableEntry as e:
            after = e.entry
            continue
        if not entries:
            break
        after = entries[-1].id
        outcomes = store.outcomes_of([e.id for e in entries])
        wanted: list[tuple[int, int, int, Due]] = []
        for entry in entries:
            outcome, channel = outcomes.get(entry.id), known.get(entry.channel)
            if channel is None or outcome is None or outcome.status != "done":
                continue
            dues = [due for due in _dues(channel, entry, mac) if due.destination == name]
            wanted += [(entry.id, entry.position, outcome.at, due) for due in dues]
        store.deliveries.ask(wanted)
        asked += len(wanted)
        progress(after)
    return asked


def _dues(channel: Channel, entry: Entry, mac: Mac) -> tuple[Due, ...]:
    format = recognise(entry.body)
    try:
        if format in ("", "hl7v2"):
            return dues_of(channel, entry, mac, parse(entry.body, charset=entry.charset))
        keys = read_body(entry.body, format, way_of(channel)).facts.keys if format != "xdm" else ()
        return dues_of(channel, entry, mac, keys=keys)
    except FormatError:
        return ()
