"""Entries narrowed down by source, type, kind and time are those that looking at each one finds."""

from __future__ import annotations

import random
from collections.abc import Callable

import pytest

from engine.journal import briefs
from engine.journal.briefs import Where
from engine.journal.sql import SqlJournal
from engine.journal.tables import KINDS
from engine.kernel.message import NewEntry

HOUR = 3_600_000


@pytest.mark.parametrize("near", [3, 2000])
def test_as_looking_at_each_one(
    opened: Callable[..., SqlJournal], near: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(briefs, "_NEAR", near)
    journal, dice = opened(), random.Random(near)
    at = 1_790_000_000_000
    new = []
    for n in range(120):
        at += dice.choice((1000, HOUR // 3))
        kind = dice.choice(KINDS) if dice.random() < 0.2 else "message"
        type_ = dice.choice(("ORU^R01", "ADT^A08", "ADT^A01"))
        sender = dice.choice("XYZ")
        new.append(NewEntry(dice.choice(("lab", "adt")), b"MSH|%d" % n, at, sender, "", "", type_, kind=kind))
    journal.append(new)
    sources, types = journal.names.listed(journal.briefs.ends().name)
    every = journal.briefs.of(range(1, 121))
    assert [b.id for b in every] == list(range(120, 0, -1))
    assert all(sources[b.source] == (new[b.id - 1].channel, new[b.id - 1].sender) for b in every)
    assert all(types[b.type] == new[b.id - 1].message_type for b in every)
    assert [line.id for line in journal.search.lines([3, 77, 5, 999])] == [77, 5, 3]

    def some(of: list[int]) -> frozenset[int] | None:
        return frozenset(dice.sample(of, dice.randrange(len(of)))) if dice.random() < 0.6 else None

    for _ in range(40):
        since = dice.choice((None, new[0].received, new[50].received + 5))
        until = dice.choice((None, new[90].received, since))
        where = Where(some(list(sources)), some(list(types)), some(list(range(6))), since, until)
        above, below = journal.briefs.span(since, until)
        above, below = max(above, dice.choice((0, 20))), min(below, dice.choice((70, 1 << 62)))
        limit = dice.choice((1, 7, 500))
        found = journal.briefs.newest(where, above=above, below=below, limit=limit)
        inside = [b for b in every if above < b.id < below]
        assert found == [b for b in inside if where.fits(b)][:limit]
        above, below = journal.briefs.span(since, until)
        assert {b for b in every if where.fits(b)} <= {b for b in every if above < b.id < below}
