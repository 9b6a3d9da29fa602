"""Ids become visible in commit order: whoever has read up to N never sees a smaller one appear."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from journal_samples import oru

from engine.journal import appending
from engine.journal.sql import SqlJournal
from engine.kernel.message import Accepted

Open = Callable[..., SqlJournal]


class Gate:
    """Holds an append after its ids were given and before it commits, until `release`."""

    def __init__(self, journal: SqlJournal) -> None:
        self.reached, self.release = threading.Event(), threading.Event()
        seal = journal.keys.sealer.close

        def slow(packed: tuple[bytes, bytes], aad: bytes, key_id: int | None = None) -> bytes:
            self.reached.set()
            assert self.release.wait(20)
            return seal(packed, aad, key_id)

        journal.keys.sealer.close = slow  # type: ignore[method-assign]


def test_a_higher_id_never_commits_before_a_lower_one(opened: Open) -> None:
    """The first writer has its id and is slow to commit; the second must not overtake it."""
    slow, fast, reader = opened(), opened(), opened()
    slow.append([oru(1)])
    fast.append([oru(2)])
    gate = Gate(slow)
    order: list[tuple[str, list[Accepted]]] = []
    first = threading.Thread(target=lambda: order.append(("slow", slow.append([oru(3), oru(4)]))))
    second = threading.Thread(target=lambda: order.append(("fast", fast.append([oru(5)]))))
    first.start()
    assert gate.reached.wait(20)  # ids 3 and 4 are given, nothing is committed
    second.start()
    time.sleep(0.3)  # time enough for an unordered journal to commit the second one
    assert order == []
    assert reader.head() == 2
    gate.release.set()
    first.join(30)
    second.join(30)
    assert [(who, [a.id for a in accepted]) for who, accepted in order] in (
        [("slow", [3, 4]), ("fast", [5])],
        [("fast", [5]), ("slow", [3, 4])],  # the answers may pass each other, the ids may not
    )
    assert [(e.id, e.control_id) for e in reader.read(2, 9)] == [(3, "C3"), (4, "C4"), (5, "C5")]


def test_a_reader_that_follows_never_sees_a_gap_filled_later(opened: Open) -> None:
    writers, reader = [opened() for _ in range(3)], opened()
    total = 3 * 40
    failed: list[BaseException] = []

    def write(w: int) -> None:
        try:
            for n in range(40):
                if n % 4:
                    writers[w].append([oru(w * 1000 + n)])
                else:
                    writers[w].append([oru(w * 1000 + n), oru(w * 1000)])  # with a twin now and then
        except BaseException as e:
            failed.append(e)

    threads = [threading.Thread(target=write, args=(w,)) for w in range(3)]
    for t in threads:
        t.start()
    seen: list[int] = []
    until = time.monotonic() + 60
    while len(seen) < total and time.monotonic() < until and not failed:
        seen += [number for number, _ in reader.heads(seen[-1] if seen else 0, 7)]
        assert seen == list(range(1, len(seen) + 1))
    for t in threads:
        t.join()
    assert failed == []
    assert len(seen) == total == reader.head()


def test_a_batch_that_fails_takes_no_ids(opened: Open) -> None:
    journal, other = opened(), opened()
    journal.append([oru(1)])

    def broken(*_: object) -> bytes:
        raise RuntimeError("broken on purpose")

    seal = journal.keys.sealer.close
    journal.keys.sealer.close = broken  # type: ignore[method-assign, assignment]
    for _ in range(3):
        try:
            journal.append([oru(2), oru(3)])
        except RuntimeError as e:
            assert "on purpose" in str(e)
    journal.keys.sealer.close = seal  # type: ignore[method-assign]
    assert other.append([oru(4)]) == [Accepted(2)]
    assert journal.append([oru(5)]) == [Accepted(3)]
    assert [e.control_id for e in journal.read(0, 9)] == ["C1", "C4", "C5"]


def test_marks_follow_the_hour_of_receipt_in_every_process(opened: Open) -> None:
    a, b = opened(), opened()
    hour = appending.HOUR
    for n, journal in enumerate((a, a, b, b, a), 1):
        journal.append([oru(n, received=(n // 2) * hour), oru(n + 100, received=(n // 2) * hour)])
    with a.engine.connect() as connection:
        rows = connection.exec_driver_sql("SELECT first, hour FROM mark ORDER BY first").all()
    assert [tuple(r) for r in rows] == [(1, 0), (3, 1), (7, 2)]
