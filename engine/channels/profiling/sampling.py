"""Which messages are looked at: all of a quiet sender, an even sample of a busy one.

In: the heads of new journal entries. Out: `Head`s, and the ids whose bodies are opened. Every head is
counted, so numbers of messages are exact; what is said of fields rests on the sample, and pages say how
large it is. A type that few messages are known of has more of them looked at.
"""

from __future__ import annotations

import random
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

import sqlalchemy as sa

from engine.journal import tables
from engine.journal.database import reporting
from engine.journal.names import source_of
from engine.journal.sql import SqlJournal

__all__ = ["AT_ONCE", "MOST", "Head", "choose", "heads_after"]

AT_ONCE, MOST = 4000, 50_000
"""Heads read in one batch, and where much waits: every batch rewrites what is known of all who are in it."""
NEW, KNOWN, BODIES = 100, 20, 400
"""Messages of one type looked at in a batch, while it is new and later; and of all types, at least."""
SETTLED = 300
"""Messages looked at, from which on a type is known."""

_e = tables.entry.c


class Head(NamedTuple):
    """A new entry without its body."""

    id: int
    channel: str
    sender: str
    type: str
    kind: str
    received: int
    size: int
    reused: bool  # another message had its control id


def heads_after(journal: SqlJournal, after: int, limit: int = AT_ONCE) -> list[Head]:
    """Return the heads of the entries after one, oldest first."""
    columns = (_e.id, _e.source, _e.type, _e.kind, _e.received, _e.size, _e.conflicts)
    query = sa.select(*columns).where(_e.id > after).order_by(_e.id).limit(limit)
    with reporting("journal"):
        with journal.engine.connect() as connection:
            rows = connection.execute(query).all()
        words = journal.names.texts({n for row in rows for n in (row.source, row.type)})
    out = []
    for row in rows:
        channel, sender = source_of(words[row.source][1])
        type_, kind = _sound(words[row.type][1]), tables.KINDS[row.kind]
        sender = _sound(sender)
        out.append(
            Head(row.id, channel, sender, type_, kind, row.received, row.size, row.conflicts is not None)
        )
    return out


def _sound(text: str) -> str:
    """Return text without the halves of characters that damaged bytes can leave."""
    return text.encode("utf-8", "replace").decode()


def choose(heads: Sequence[Head], looked: Callable[[Head], int]) -> list[int]:
    """Return the ids to look at, oldest first; `looked` says how many of a head's type were looked at."""
    by_type: dict[tuple[str, str, str], list[Head]] = defaultdict(list)
    for head in heads:
        if head.kind == "message":
            by_type[head.channel, head.sender, head.type].append(head)
    quotas = {key: NEW if looked(some[0]) < SETTLED else KNOWN for key, some in by_type.items()}
    wanted = sum(min(quotas[key], len(some)) for key, some in by_type.items())
    most = max(BODIES, len(heads) // 25)
    share = min(1.0, most / wanted) if wanted else 1.0
    chosen: list[int] = []
    for key, some in by_type.items():
        count = min(len(some), max(1, int(quotas[key] * share)))
        # by lot, always the same one: a sender that sends by turns would fool an even step
        chosen += [head.id for head in random.Random(some[0].id).sample(some, count)]
    return sorted(chosen)
