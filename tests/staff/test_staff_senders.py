"""What is kept of senders: counts and their place in one transaction, pages by key, versions of contracts."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from engine.staff.senders import Written
from engine.staff.sendertables import SENDERS
from engine.staff.staff import Staff


def written(sender: str, channel: str = "lab", drift: int = 0, last: int = 1, **types: Any) -> Written:
    return Written(
        channel, sender, {"of": sender}, 5, 4, last, 3, {n: {"t": t} for n, t in types.items()}, drift
    )


def test_counts_and_their_place_go_together(both: Staff) -> None:
    senders = both.senders
    assert senders.reached() == 0 and senders.lines() == []
    assert senders.write(0, 10, [written("a", ORU=1, ADT=2), written("b")])
    assert senders.reached() == 10
    assert not senders.write(0, 12, [written("c")])  # somebody else was quicker
    assert senders.write(10, 12, [written("a", ORU=3)])
    a = senders.id_of("lab", "a")
    assert senders.seen(a) == {"of": "a"} and senders.seen("0" * 20) is None
    assert senders.types(a) == {"ORU": {"t": 3}, "ADT": {"t": 2}}
    assert senders.type(a, "ADT") == {"t": 2} and senders.type(a, "XYZ") is None
    assert senders.count() == 2
    senders.forget()
    assert senders.reached() == 0 and senders.count() == 0


def test_lists_go_by_key_and_only_over_channels_that_are_asked_for(both: Staff) -> None:
    senders = both.senders
    rows = [written(f"s{n}", "lab" if n % 2 else "adt", drift=n % 3, last=100 + n // 4) for n in range(20)]
    senders.write(0, 1, rows)
    every = senders.lines(limit=100)
    order = [(-line.drift, -line.last, line.id) for line in every]
    assert len(every) == 20 and order == sorted(order)
    pages, after = [], ""
    while page := senders.lines(limit=6, after=after):
        pages += page
        after = page[-1].id
    assert pages == every
    assert {line.channel for line in senders.lines(channels=frozenset({"adt"}))} == {"adt"}
    assert len(senders.lines(limit=3, channels=frozenset({"lab"}))) == 3


def test_contracts_have_versions_and_one_is_in_force(both: Staff, clock: Any) -> None:
    senders = both.senders
    senders.write(0, 1, [written("a"), written("b")])
    a, b = (senders.id_of("lab", name) for name in "ab")
    assert senders.sign(a, {"first": 1}, "mroy", "one") == 1
    clock.forward(hours=1)
    assert senders.sign(a, {"second": 2}, "jlee", "two") == 2
    assert senders.sign(b, {}, "mroy", "") == 1
    newest, first = senders.contract(a), senders.contract(a, 1)
    assert newest is not None and (newest.version, newest.who, newest.seen) == (2, "jlee", {"second": 2})
    assert first is not None and (first.who, first.note, first.seen) == ("mroy", "one", {"first": 1})
    assert senders.contract(a, 3) is None and senders.contract("0" * 20) is None
    line = senders.line(a)
    assert line is not None and (line.signed, line.signed_by, line.version) == (newest.signed, "jlee", 2)
    senders.forget()  # counts begin anew, what was signed stays in force
    senders.write(0, 1, [written("a")])
    line = senders.line(a)
    assert line is not None and line.version == 2


def test_coverage_replaces_what_was_there(both: Staff, clock: Any) -> None:
    senders = both.senders
    senders.cover("a", "standard@1", 7, {"x": 1})
    clock.forward(minutes=1)
    senders.cover("a", "standard@2", 9, {"x": 2})
    assert senders.coverage("a") == (clock.ms, "standard@2", {"x": 2})
    assert senders.coverages() == {"a": (clock.ms, "standard@2", 9)}
    assert senders.coverage("b") is None


def test_a_record_cannot_be_put_in_anothers_place(staff: Staff) -> None:
    senders = staff.senders
    senders.write(0, 1, [written("a"), written("b")])
    a, b = (senders.id_of("lab", name) for name in "ab")
    with staff.database.write() as c:
        sealed = c.execute(sa.select(SENDERS.c.seen).where(SENDERS.c.id == a)).scalar()
        c.execute(sa.update(SENDERS).where(SENDERS.c.id == b).values(seen=sealed))
    with pytest.raises(Exception, match=r"(?i)damaged|changed|opened|key"):
        senders.seen(b)
