"""Several worker processes on one store: every entry once, every lane in order, also for entries of several
lanes; and what a worker does when its store is gone for a while, or an entry cannot be opened.
"""

from __future__ import annotations

import random
import resource
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable

import pytest
from hub_process import Hub, send, wait_for
from system_messages import AUTHORITY, group, header, result
from test_system_crash import in_order

from engine.channels.pipeline import Pipeline
from engine.channels.worker import Worker
from engine.formats.hl7v2.order_keys import order_keys
from engine.kernel.message import Entry, NewEntry, Work
from engine.mapping.project import Maps
from engine.queue.lanes import OwnLanes, shared_out
from engine.store.sql import SqlStore


def entry(control: str, body: bytes) -> NewEntry:
    """Make what the listener would append."""
    return NewEntry("lab_oru", body, 0, "SYSLAB|EAST", "", control, "ORU^R01", order_keys=order_keys(body))


def fill(hub: Hub, count: int, patients: int, rng: random.Random) -> Counter[str]:
    """Append messages of one, two or three patients each; a patient's result counts his messages."""
    said: Counter[str] = Counter()
    with hub.inside() as (journal, _):
        for start in range(0, count, 100):
            batch = []
            for number in range(start, min(start + 100, count)):
                body = header(f"W{number}")
                for who in rng.sample(range(patients), rng.choice([1, 1, 1, 2, 3])):
                    said[f"W{who:03d}"] += 1
                    body += group(f"W{who:03d}", said[f"W{who:03d}"], f"ORD{who}")
                batch.append(entry(f"W{number}", body))
            journal.append(batch)
    return said


def check(hub: Hub, said: Counter[str], count: int) -> None:
    """Every entry has its outcome and every result all its versions in order."""
    with hub.inside() as (journal, store):
        assert journal.head() == count
        outcomes = store.outcomes(limit=count + 1)
        assert [o.entry for o in outcomes] == list(range(1, count + 1))
        assert {o.status for o in outcomes} == {"done"}, [o for o in outcomes if o.status != "done"][:3]
        for mrn, times in said.items():
            in_order(store, mrn, times, {times})


@pytest.mark.parametrize("workers", [2, 4])
def test_lanes_of_several_workers(make_hub: Callable[..., Hub], workers: int) -> None:
    hub = make_hub(workers=workers, parts="workers")
    said = fill(hub, 120, 20, random.Random(workers))
    hub.start()
    hub.drained()
    assert hub.stop() == 0
    check(hub, said, 120)


def test_lanes_of_several_workers_on_postgresql(make_hub: Callable[..., Hub], postgres_database: str) -> None:
    hub = make_hub(workers=4, parts="workers", journal=postgres_database, core=postgres_database)
    said = fill(hub, 120, 20, random.Random(5))
    hub.start()
    hub.drained()
    assert hub.stop() == 0
    check(hub, said, 120)


@pytest.mark.soak
@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("workers", [2, 3, 4])
def test_lanes_of_several_workers_for_long(make_hub: Callable[..., Hub], workers: int, seed: int) -> None:
    hub = make_hub(workers=workers, parts="workers")
    said = fill(hub, 3000, 60, random.Random(seed))
    hub.start()
    hub.drained(300)
    assert hub.stop() == 0
    check(hub, said, 3000)


def one_worker(hub: Hub, journal: object, store: SqlStore, index: int = 0, count: int = 1) -> Worker:
    """Make a worker in this process."""
    from engine.channels.definition import load_channels
    from engine.channels.opening import open_keyring

    pipeline = Pipeline(Maps.open(hub.root), load_channels(hub.root), open_keyring(hub.config).mac16)
    lanes = OwnLanes(shared_out(64, index, count), f"worker-{index}")
    return Worker(journal, store, pipeline, lanes)  # type: ignore[arg-type]


def test_an_entry_waits_for_a_lane_of_another_worker_that_is_behind(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub()
    with hub.inside() as (journal, store):
        lanes: dict[str, int] = {}
        for number in range(40):
            body = result(f"L{number}", f"L{number}", 1)
            (accepted,) = journal.append([entry(f"L{number}", body)])
            found = journal.get(accepted.id)
            assert found is not None
            lanes[f"L{number}"] = found.lanes[0]
        even = next(mrn for mrn, lane in lanes.items() if lane % 2 == 0)
        odd = next(mrn for mrn, lane in lanes.items() if lane % 2 == 1)
        for other in (even, odd):  # entry 41 is worker 0's, 42 worker 1's: results of each alone
            journal.append([entry(f"A{other}", result(f"A{other}", other, 2, order="X"))])
        both = header("B") + group(even, 3, "X") + group(odd, 3, "Y")
        journal.append([entry("B", both)])
        zero, one = one_worker(hub, journal, store, 0, 2), one_worker(hub, journal, store, 1, 2)
        owner, other = (zero, one) if min(lanes[even], lanes[odd]) % 2 == 0 else (one, zero)
        for _ in range(5):
            owner.step()
        assert store.outcome(43) is None, "it ran before what stands before it in the other worker's lane"
        for _ in range(5):
            other.step()
            owner.step()
        assert store.outcome(43) is not None
        assert [o.entry for o in store.outcomes(limit=100)] == list(range(1, 44))


def test_a_worker_that_stood_still_is_refused(make_hub: Callable[..., Hub]) -> None:
    """Another takes its lanes while it maps, and is two messages further when it wants to write."""
    hub = make_hub()
    with hub.inside() as (journal, store), hub.inside() as (_, other):
        journal.append([entry(f"S{n}", result(f"S{n}", "7", n, order="X")) for n in range(1, 4)])
        slow, quick = one_worker(hub, journal, store), one_worker(hub, journal, other)
        mapped = slow.pipeline.work

        def stand_still(found: Entry) -> Work:
            work = mapped(found)
            if found.id == 2:
                while quick.step():
                    pass
                journal.append([entry("S4", result("S4", "7", 4, order="X"))])
                while quick.step():
                    pass
            return work

        slow.pipeline.work = stand_still  # type: ignore[method-assign]
        assert not slow.step() and slow.mine == frozenset(), "it wrote for lanes that are another's"
        assert [(o.entry, o.status) for o in other.outcomes()] == [(n, "done") for n in range(1, 5)]
        in_order(other, "7", 4, {4})


def test_an_entry_that_cannot_be_opened_is_parked_and_stops_nobody(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub()
    with hub.inside() as (journal, store):
        journal.append([entry(f"U{n}", result(f"U{n}", f"U{n}", n)) for n in range(3)])
        with sqlite3.connect(hub.config.data_dir / "journal.db") as db:
            db.execute("UPDATE body SET sealed = zeroblob(200) WHERE entry = 2")
        db.close()
        worker = one_worker(hub, journal, store)
        while worker.step():
            pass
        assert [(o.status, o.cause) for o in store.outcomes()] == [
            ("done", ""),
            ("parked", "unreadable"),
            ("done", ""),
        ]


def test_a_key_waits_behind_its_parked_message_until_that_is_run_again(make_hub: Callable[..., Hub]) -> None:
    from engine.channels.replay import ask_replay

    hub = make_hub()
    path = hub.root / "channels/lab_oru.yaml"
    path.write_text(path.read_text() + "\npark: key\n")
    with hub.inside() as (journal, store):
        bad = result("P1", "1", 1).replace(b"ORU^R01^ORU_R01", b"ZZZ^Z99^ZZZ_Z99")
        journal.append(
            [entry("P1", bad), entry("P2", result("P2", "1", 2)), entry("P3", result("P3", "7", 3))]
        )
        worker = one_worker(hub, journal, store)
        while worker.step():
            pass
        assert [(o.status, o.cause) for o in store.outcomes()] == [
            ("parked", "no-map"),
            ("parked", "waits-behind"),
            ("done", ""),
        ]
        ask_replay(journal, 1, "ada", "corrected type", bad.replace(b"ZZZ^Z99^ZZZ_Z99", b"ORU^R01^ORU_R01"))
        while worker.step():
            pass
        ask_replay(journal, 2, "ada", "the one before is done")
        while worker.step():
            pass
        assert [o.status for o in store.outcomes(after=3)] == ["done", "done"]


def test_a_full_disk_stops_the_lanes_and_loses_nothing(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub()
    hub.start()
    port = hub.ports["lab_oru"]
    assert send(port, *(result(f"D{n}", f"{n}", n) for n in range(5))) == ["AA"] * 5
    hub.drained()
    worker = hub.children()["worker-0"]
    resource.prlimit(
        worker, resource.RLIMIT_FSIZE, (4096, resource.RLIM_INFINITY)
    )  # its writes fail from now
    assert send(port, *(result(f"D{n}", f"{n}", n) for n in range(5, 25))) == ["AA"] * 20
    wait_for(lambda: b"the store is not available" in hub.log.read_bytes(), "the store is not missed")
    with hub.inside() as (_, store):
        assert len(store.outcomes(limit=100)) == 5
    resource.prlimit(worker, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    hub.drained()
    with hub.inside() as (_, store):
        assert [o.status for o in store.outcomes(limit=100)] == ["done"] * 25
        assert all(store.find("control", f"D{n}") for n in range(25))


def test_a_locked_store_is_waited_for(make_hub: Callable[..., Hub]) -> None:
    hub = make_hub()
    hub.start()
    with sqlite3.connect(hub.config.data_dir / "core.db", isolation_level=None) as other:
        other.execute("BEGIN IMMEDIATE")
        assert send(hub.ports["lab_oru"], *(result(f"S{n}", f"{n}", n) for n in range(10))) == ["AA"] * 10
        time.sleep(1)
        assert other.execute("SELECT count(*) FROM outcome").fetchone() == (0,)
        other.execute("ROLLBACK")
    other.close()
    hub.drained()
    with hub.inside() as (_, store):
        assert [o.status for o in store.outcomes()] == ["done"] * 10


def test_two_processes_write_one_store_while_a_third_reads(make_hub: Callable[..., Hub]) -> None:
    """With a log of a few pages between checkpoints: checkpoints, resets and writers meet all the time."""
    hub = make_hub(workers=2, parts="workers")
    said = fill(hub, 150, 10, random.Random(9))
    hub.start()
    stop = threading.Event()
    seen: list[int] = []

    def read() -> None:
        with hub.inside() as (_, store):
            while not stop.is_set():
                changes = store.feed(seen[-1] if seen else 0, 50)
                seen.extend(change.seq for change in changes)

    reader = threading.Thread(target=read, daemon=True)
    reader.start()
    try:
        hub.drained()
        time.sleep(0.2)
    finally:
        stop.set()
        reader.join()
    assert hub.stop() == 0
    check(hub, said, 150)
    with sqlite3.connect(hub.config.data_dir / "core.db") as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        newest = db.execute("SELECT max(seq) FROM history").fetchone()[0]
    db.close()
    assert seen == sorted(seen) and len(seen) == len(set(seen)) and seen[-1] == newest, AUTHORITY
