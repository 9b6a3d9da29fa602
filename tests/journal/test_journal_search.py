"""What a person finds: by control id, and page by page, without opening a body."""

from __future__ import annotations

import random

from journal_samples import DAY, NOW, oru

from engine.journal.search import Filters
from engine.journal.sql import SqlJournal


def fill(journal: SqlJournal) -> None:
    for n in range(1, 31):
        journal.append(
            [
                oru(
                    n,
                    channel="lab" if n % 3 else "adt",
                    sender=f"S{n % 2}",
                    message_type="ORU^R01" if n % 5 else "ADT^A08",
                    received=NOW + n * DAY,
                )
            ]
        )


def test_by_control_id(journal: SqlJournal) -> None:
    journal.append(
        [oru(1), oru(2), oru(1, sender="B"), oru(1, channel="c2"), oru(1, kind="replay", parent=1)]
    )
    find = journal.search.by_control
    assert find("C1") == [1, 3, 4, 5]
    assert find("C1", sender="LAB|NORTH") == [1, 4, 5]
    assert find("C1", sender="LAB|NORTH", channel="lab") == [1, 5]
    assert find("C1", sender="nobody") == find("C9") == find("") == []


def test_pages_newest_first_and_onwards(journal: SqlJournal) -> None:
    fill(journal)
    page = journal.search.page
    assert [line.id for line in page(limit=4)] == [30, 29, 28, 27]
    assert [line.id for line in page(before=27, limit=4)] == [26, 25, 24, 23]
    assert [line.id for line in page(after=27, limit=2)] == [28, 29]
    assert page(before=1) == []


def test_a_line_says_what_a_list_shows(journal: SqlJournal) -> None:
    journal.append([oru(1), oru(1, value="9"), oru(1, kind="replay", parent=1, position=1, reason="why")])
    newest, conflict, first = journal.search.page()
    assert (first.channel, first.sender, first.peer) == ("lab", "LAB|NORTH", "10.1.2.3:40000")
    assert (first.control_id, first.message_type, first.kind) == ("C1", "ORU^R01^ORU_R01", "message")
    assert (first.received, first.size, first.deleted, first.damaged) == (
        NOW + 1,
        len(oru(1).body),
        False,
        False,
    )
    assert (conflict.conflicts_with, first.conflicts_with) == (1, None)
    assert (newest.kind, newest.parent, newest.position, newest.reason) == ("replay", 1, 1, "why")
    assert [line.id for line in journal.search.page(Filters(conflicts=True))] == [2]
    assert [line.id for line in journal.search.page(Filters(kind="replay"))] == [3]


def test_filters_agree_with_looking_at_everything(journal: SqlJournal) -> None:
    fill(journal)
    everything = journal.search.page(limit=100)
    rng = random.Random(7)
    for _ in range(60):
        f = Filters(
            channel=rng.choice([None, "lab", "adt", "none"]),
            sender=rng.choice([None, "S0", "S1"]),
            message_type=rng.choice([None, "ORU^R01", "ADT^A08", "XXX"]),
            since=rng.choice([None, NOW + rng.randrange(40) * DAY]),
            until=rng.choice([None, NOW + rng.randrange(40) * DAY + 1]),
        )
        wanted = [
            line
            for line in everything
            if f.channel in (None, line.channel)
            and f.sender in (None, line.sender)
            and f.message_type in (None, line.message_type)
            and (f.since is None or line.received >= f.since)
            and (f.until is None or line.received < f.until)
        ]
        assert journal.search.page(f, limit=100) == wanted


def test_time_ranges_hold_when_clocks_jump(journal: SqlJournal) -> None:
    times = [NOW, NOW + DAY, NOW - 400 * DAY, NOW + 2 * DAY, 0, NOW + DAY]
    journal.append([oru(n, received=t) for n, t in enumerate(times, 1)])
    found = journal.search.page(Filters(since=NOW, until=NOW + DAY + 1))
    assert [line.id for line in found] == [6, 2, 1]
    assert [line.id for line in journal.search.page(Filters(until=1))] == [5]


def test_a_damaged_head_is_shown_as_damaged(journal: SqlJournal) -> None:
    journal.append([oru(1), oru(2)])
    with journal.engine.begin() as connection:
        connection.exec_driver_sql(
            "UPDATE entry SET head = (SELECT head FROM entry WHERE id = 2) WHERE id = 1"
        )
    second, first = journal.search.page()
    assert (first.damaged, second.damaged) == (True, False)
    assert first.control_id == "" and first.channel == "lab"
