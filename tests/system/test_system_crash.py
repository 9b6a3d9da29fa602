"""kill -9 of the listeners, a worker or the whole tree at random moments under load: nothing acknowledged is
lost, nothing is applied twice, and every patient's results are in the order they were sent.
"""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from functools import partial

import pytest
from hub_process import Hub, Sender, wait_for
from system_messages import result

from engine.store.sql import SqlStore

SENDERS = 4
PATIENTS = 5  # of each sender; every one has a single result that changes with every message


def evolving(sender: int, done: Counter[str]) -> Iterator[tuple[str, bytes]]:
    """Give messages whose value is the count of messages of that patient so far."""
    number = 0
    while True:
        mrn = f"{sender}{number % PATIENTS:03d}"
        done[mrn] += 1
        control = f"K{sender}-{mrn}-{done[mrn]}"
        yield control, result(control, mrn, done[mrn], order=f"ORD{mrn}")
        number += 1


def check(hub: Hub, sent: Counter[str], acked: list[str]) -> None:
    """Look for every acknowledged message and at every version of every result."""
    with hub.inside() as (journal, store):
        marks = store.watermarks()
        assert min(marks.values()) >= journal.head()
        for control in acked:
            assert store.find("control", control), f"{control} was acknowledged and is not in the store"
        seen: Counter[str] = Counter()
        after = 0
        while outcomes := store.outcomes(after=after, limit=1000):
            for outcome in outcomes:
                assert outcome.status == "done", outcome
                entry = journal.get(outcome.entry)
                assert entry is not None
                seen[entry.control_id] += 1
            after = outcomes[-1].entry
        assert after == journal.head()
        assert set(acked) <= set(seen)
        assert max(seen.values()) == 1, "a repeated message was taken for a new one"
        for mrn, count in sent.items():
            in_order(store, mrn, count, {int(c.rpartition("-")[2]) for c in acked if f"-{mrn}-" in c})


def in_order(store: SqlStore, mrn: str, sent: int, acked: set[int]) -> None:
    """The patient has one result; its versions are 1, 2, 3 ... up to the last message that arrived."""
    (patient,) = store.search("Patient", [("identifier", mrn)]).resources
    (observation,) = store.search("Observation", [("patient", patient["id"])]).resources
    versions = store.history("Observation", observation["id"])[::-1]
    values = [v.resource["valueQuantity"]["value"] for v in versions if v.resource]
    assert values == list(range(1, len(values) + 1)), values
    assert [v.version for v in versions] == values
    assert [v.position for v in versions] == sorted({v.position for v in versions})
    assert max(acked, default=0) <= len(values) <= sent
    assert observation["valueQuantity"]["value"] == len(values)


def answered(senders: list[Sender], more_than: int) -> bool:
    """Say whether so many messages were acknowledged."""
    return sum(len(sender.acked) for sender in senders) > more_than


def torture(hub: Hub, rounds: int, seed: int) -> None:
    """Kill something at a random moment of each round, while four senders send."""
    rng = random.Random(seed)
    done: Counter[str] = Counter()
    victims: Counter[str] = Counter()
    hub.start()
    senders = [Sender(hub.ports["lab_oru"], evolving(n, done)) for n in range(SENDERS)]
    for sender in senders:
        sender.start()
    for _ in range(rounds):
        before = sum(len(sender.acked) for sender in senders)
        time.sleep(rng.uniform(0.05, 0.9))
        victim = rng.choice(["listeners", "worker", "tree", "supervisor"])
        victims[victim] += 1
        if victim == "tree":
            hub.kill()
            hub.start()
        elif victim == "supervisor":
            assert hub.process is not None
            hub.process.kill()
            hub.process.wait()
            hub.start()
        else:
            name = victim if victim == "listeners" else f"worker-{rng.randrange(hub.config.workers)}"
            wait_for(lambda name=name: name in hub.children(), f"{name} does not run")
            os.kill(hub.children()[name], signal.SIGKILL)
        enough = before + SENDERS
        wait_for(partial(answered, senders, enough), f"no answers after {victim} was killed")
    acked = [control for sender in senders for control in sender.finish()]
    hub.drained()
    assert hub.stop() == 0
    check(hub, done, acked)
    print(
        f"{rounds} kills ({dict(victims)}), {hub.config.workers} workers: {len(acked)} messages acknowledged"
    )


def test_nothing_acknowledged_is_lost_doubled_or_out_of_order(make_hub: Callable[..., Hub]) -> None:
    torture(make_hub(workers=2), rounds=3, seed=int(os.environ.get("HUB_SEED", "2026")))


@pytest.mark.soak
@pytest.mark.parametrize("workers", [1, 2, 4])
def test_fifty_times(make_hub: Callable[..., Hub], workers: int) -> None:
    torture(make_hub(workers=workers), rounds=50, seed=workers)


@pytest.mark.soak
def test_fifty_times_on_postgresql(make_hub: Callable[..., Hub], postgres_database: str) -> None:
    torture(make_hub(workers=2, journal=postgres_database, core=postgres_database), rounds=50, seed=7)
