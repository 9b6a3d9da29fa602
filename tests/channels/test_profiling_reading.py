"""The journal is read once, in batches; counts of messages are exact, what is said of fields is a sample."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sender_samples import BEGIN, MINUTE, Lab

from engine.channels.profiling.reading import Reading
from engine.channels.profiling.sampling import BODIES, KNOWN, NEW, Head, choose
from engine.channels.profiling.seen import SenderSeen
from engine.channels.profiling.watch import Watch
from engine.journal.sql import SqlJournal
from engine.kernel.config import SendersSettings
from engine.kernel.errors import StoreUnavailable
from engine.staff.senders import Senders
from engine.staff.staff import Staff


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    made = Lab.open(tmp_path)
    yield made
    made.close()


def heads(count: int, type_: str = "ORU^R01", sender: str = "a", first: int = 1) -> list[Head]:
    return [Head(first + n, "lab", sender, type_, "message", 0, 10, False) for n in range(count)]


def test_all_of_a_quiet_sender_is_looked_at_and_a_sample_of_a_busy_one() -> None:
    assert choose(heads(30), lambda h: 0) == list(range(1, 31))
    assert len(choose(heads(4000), lambda h: 0)) == NEW
    assert len(choose(heads(4000), lambda h: 1000)) == KNOWN
    rare = heads(1, "ADT^A08", first=5000)
    assert 5000 in choose([*heads(4000), *rare], lambda h: 1000)


def test_many_senders_share_what_a_batch_may_look_at() -> None:
    crowd = [h for n in range(40) for h in heads(100, sender=str(n), first=1 + 100 * n)]
    chosen = choose(crowd, lambda h: 0)
    assert len(chosen) <= BODIES
    assert {(n - 1) // 100 for n in chosen} == set(range(40))


def test_a_sender_that_sends_by_turns_does_not_fool_the_sample() -> None:
    chosen = choose(heads(4000), lambda h: 0)
    assert {n % 20 for n in chosen} == set(range(20))


def test_replays_and_answers_are_not_what_a_sender_sends() -> None:
    others = [
        h._replace(kind=kind) for h, kind in zip(heads(3), ("replay", "answer", "garbage"), strict=True)
    ]
    assert choose(others, lambda h: 0) == []


def test_what_came_is_counted_once(lab: Lab) -> None:
    lab.send(5)
    lab.read()
    lab.send(3, lambda m: m.replace("ORU^R01^ORU_R01", "ORU^R32^ORU_R30"))
    lab.send(2, kind="refused")
    lab.read()
    lab.read()
    senders = lab.staff.senders
    said = SenderSeen.of_json(senders.seen(lab.id) or {})
    assert (said.messages, said.looked, said.refused) == (10, 8, 2)
    assert {name: t.count for name, t in said.types.items()} == {"ORU^R01": 7, "ORU^R32": 3}
    assert (said.first, said.last) == (BEGIN + MINUTE, BEGIN + 10 * MINUTE)
    assert sum(said.hours.values()) == 10
    assert senders.reached() == 10
    (line,) = senders.lines()
    assert (line.channel, line.sender, line.messages, line.day) == ("lab_oru", "glasslab", 10, 10)


def test_who_is_killed_in_between_has_counted_nothing(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.send(4)
    reading = Reading(lab.journal, lab.staff.senders)
    write = Senders.write

    def fails(*_: object) -> bool:
        raise StoreUnavailable("the disk is full")

    monkeypatch.setattr(Senders, "write", fails)
    with pytest.raises(StoreUnavailable):
        reading.step()
    monkeypatch.setattr(Senders, "write", write)
    assert lab.staff.senders.lines() == []
    while reading.step():
        pass
    assert lab.staff.senders.lines()[0].looked == 4


def test_of_two_readers_one_starts_anew(lab: Lab) -> None:
    lab.send(4)
    first, second = (Reading(lab.journal, lab.staff.senders) for _ in range(2))
    first.step()
    lab.send(3)
    second.step()
    first.step()  # its place is no longer the one that is kept
    while first.step() or second.step():
        pass
    (line,) = lab.staff.senders.lines()
    assert (line.messages, line.looked) == (7, 7)


def test_small_batches_give_what_a_large_one_gives(lab: Lab, tmp_path: Path) -> None:
    lab.send(9)
    reading = Reading(lab.journal, lab.staff.senders)
    while reading.step(2):
        pass
    in_pieces = lab.staff.senders.seen(lab.id), lab.staff.senders.types(lab.id)
    lab.staff.senders.forget()
    lab.read()
    assert (lab.staff.senders.seen(lab.id), lab.staff.senders.types(lab.id)) == in_pieces


def test_nothing_of_a_sender_can_be_read_without_the_key(lab: Lab, tmp_path: Path) -> None:
    lab.sender = "Quillfeather"
    lab.send(3)
    lab.read()
    lab.staff.senders.sign(lab.id, {"x": 1}, "mroy", "Quillfeather agreed")
    lab.staff.close()
    data = b"".join(p.read_bytes() for p in tmp_path.glob("staff.db*"))
    for word in (b"Quillfeather", b"lab_oru", b"mroy", b"Potassium"):
        assert word not in data


def test_the_watch_counts_and_can_be_switched_off(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_maps() -> object:
        raise AssertionError("nothing was to be mapped")

    watch = Watch(lab.journal, lab.staff.senders, no_maps, list, SendersSettings(watch=False))  # type: ignore[arg-type]
    watch.start()
    assert watch._thread is None
    watch.close()


def test_the_watch_works_for_its_share_of_the_time(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    lab.send(3)
    watch = Watch(lab.journal, lab.staff.senders, dict, list, SendersSettings(share=10))  # type: ignore[arg-type]
    rests: list[float] = []
    monkeypatch.setattr(watch._stopping, "wait", lambda seconds: rests.append(seconds) or False)
    clock = iter([0.0, 0.01, 0.05, 0.5, 0.5])
    monkeypatch.setattr("engine.channels.profiling.watch.time.monotonic", lambda: next(clock))
    watch._began = next(clock)
    watch._pause()  # 10 ms: too short to stop for
    assert rests == []
    watch._pause()  # 50 ms of work are a tenth
    assert rests == [pytest.approx(0.45)]


def test_the_watch_ends_while_it_rests(lab: Lab) -> None:
    watch = Watch(lab.journal, lab.staff.senders, dict, list, SendersSettings(share=1))  # type: ignore[arg-type]
    watch._began -= 10  # it has worked for long: it would rest for minutes
    watch.close()
    with pytest.raises(Exception) as ended:
        watch._pause()
    assert type(ended.value).__name__ == "_Stopped"


def test_it_is_the_same_on_postgresql(lab: Lab, postgres_database: str) -> None:
    keyring = lab.journal.keyring
    there = Lab(SqlJournal.open(postgres_database, keyring), Staff.open(postgres_database, keyring))
    for one in (lab, there):
        one.send(6)
        one.send(1, kind="refused")
        one.read()
    seen = [(one.staff.senders.seen(lab.id), one.staff.senders.types(lab.id)) for one in (lab, there)]
    assert seen[0] == seen[1] and seen[0][0] is not None
    there.close()
