"""The queue of a destination when something goes wrong beside it: a full disk, a stop half-way, NUL."""

from __future__ import annotations

import shutil
import threading
from pathlib import Path

import pytest
from hub_project import Hub, make_project, shipped_maps
from notebook import known
from sending_bench import PLACE, Bench

from engine.channels.delivering.places import Destined, around, destinations_of
from engine.channels.delivering.running import Delivering
from engine.kernel.delivery import Destination, Parcel, Receipt
from engine.kernel.errors import StoreUnavailable


def test_a_store_that_cannot_be_written_has_nothing_sent_twice(bench: Bench) -> None:
    bench.take("C1")
    full = [True]

    class Full:
        def __getattr__(self, name: str) -> object:
            return getattr(bench.outbox, name)

        def record(self, results: object) -> None:
            if full[0]:
                raise StoreUnavailable("disk full")
            bench.outbox.record(results)  # type: ignore[arg-type]

    sending = bench.again(Full())
    for _ in range(3):
        with pytest.raises(StoreUnavailable):
            sending.step()
    full[0] = False
    sending.step()
    assert len(bench.book.got) == 1
    assert [status for status, _, _ in bench.states()] == ["sent"]


def test_what_a_person_stops_during_a_try_stays_stopped(bench: Bench) -> None:
    bench.take("C1")
    bench.take("C2", "100999")
    deliver = bench.book.deliver

    def stopped_meanwhile(parcel: Parcel) -> Receipt:
        bench.outbox.set_state(PLACE, "stopped", "they move", 1, by_hand=True)
        return deliver(parcel)

    bench.book.deliver = stopped_meanwhile  # type: ignore[method-assign]
    bench.book.answers = [Receipt("retry", "cannot connect", down=True)]
    bench.sending.step()
    bench.now += 600_000
    assert bench.outbox.standing(PLACE).state == "stopped"
    assert not bench.sending.step()
    assert len(bench.book.got) == 1


def test_a_destination_that_another_process_found_down_is_open_again(bench: Bench) -> None:
    bench.outbox.set_state(PLACE, "down", "cannot connect", 1)
    bench.take("C1")
    bench.sending.step()
    assert bench.outbox.standing(PLACE).state == "open"


@pytest.mark.parametrize("bench", [", order: as they come"], indirect=True)
def test_as_they_come_what_is_parked_keeps_its_patient_waiting_too(bench: Bench) -> None:
    bench.book.answers = [Receipt("park", "nobody knows")]
    first = bench.take("C1")
    bench.take("C2")
    other = bench.take("C3", "100999")
    for _ in range(3):
        bench.sending.step()
    assert [p.entry for p in bench.book.got] == [first, other]


def test_an_answer_with_nul_and_half_a_pair_is_written_down(bench: Bench) -> None:
    bench.book.answers = [Receipt("refuse", "no\x00way \ud800!", reference="\x00A1")]
    entry = bench.take("C1")
    bench.sending.step()
    (one,) = bench.outbox.of_entry(entry)
    assert (one.status, one.why, one.reference) == ("refused", "no way  !", " A1")


def test_what_a_person_skipped_loses_its_evidence_in_time(bench: Bench) -> None:
    bench.book.answers = [Receipt("park", "nobody knows", request=b"asked")]
    entry = bench.take("C1")
    bench.sending.step()
    (one,) = bench.outbox.of_entry(entry)
    bench.outbox.skip([one.id], "told by telephone")
    bench.outbox.forget(1 << 60)
    assert bench.outbox.tries(one.id)[0].request == b""


def test_who_loses_the_turn_sends_no_more_of_what_he_had_read(bench: Bench) -> None:
    for n in range(5):
        bench.take(f"C{n}", f"10099{n}")
    turns, sent = [True], threading.Event()
    deliver = bench.book.deliver

    def lost_meanwhile(parcel: Parcel) -> Receipt:
        turns[0] = False
        receipt = deliver(parcel)
        sent.set()
        return receipt

    bench.book.deliver = lost_meanwhile  # type: ignore[method-assign]
    delivering = _delivering(bench, bench.outbox, turn=lambda name: turns[0])
    delivering.start()
    assert sent.wait(20)
    delivering.stop(20)
    assert len(bench.book.got) == 1


def test_a_fault_of_ours_leaves_no_queue_to_nobody(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("engine.channels.delivering.running.DOWN", (0.01, 0.02))
    bench.take("C1")
    faults = [RuntimeError("SECRET"), RuntimeError("SECRET")]

    class Faulty:
        def __getattr__(self, name: str) -> object:
            return getattr(bench.outbox, name)

        def held_keys(self, name: str) -> set[int]:
            if faults:
                raise faults.pop()
            return bench.outbox.held_keys(name)

    made = [ValueError("SECRET")]

    def hook(place: Destined, line: Destination) -> None:
        if made:
            raise made.pop()

    sent = threading.Event()
    deliver = bench.book.deliver

    def told(parcel: Parcel) -> Receipt:
        sent.set()
        return deliver(parcel)

    bench.book.deliver = told  # type: ignore[method-assign]
    delivering = _delivering(bench, Faulty(), made=hook)
    delivering.start()
    assert sent.wait(20)
    delivering.stop(20)
    assert len(bench.book.got) == 1


def test_a_number_that_a_restore_gives_out_again_makes_another_key(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = make_project(tmp_path / "p")
    path = root / "channels/lab_oru.yaml"
    path.write_text(path.read_text() + "\ndeliver:\n  book: {notebook: {page: a}}\n")
    entries = []
    with known(monkeypatch) as book:
        Hub.open(root, shipped_maps()).close()
        shutil.copytree(root, tmp_path / "backup")
        for _ in range(2):
            hub = Hub.open(root, shipped_maps())
            bench = Bench(hub, book)
            entries.append(bench.take(f"C{len(entries)}"))
            bench.sending.step()
            hub.close()
            shutil.rmtree(root)
            shutil.copytree(tmp_path / "backup", root)
    assert entries[0] == entries[1]
    assert book.got[0].key != book.got[1].key


def _delivering(bench: Bench, outbox: object, **more: object) -> Delivering:
    hub = bench.hub
    places = destinations_of(hub.config, hub.channels)
    return Delivering(
        *(places, around(hub.config), outbox, lambda: bench.sending._parcel, lambda: bench.now),  # type: ignore[arg-type]
        **more,  # type: ignore[arg-type]
    )
