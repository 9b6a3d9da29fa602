"""The order of a queue: workers that commit in none, many that wait for a person, keys that have a sender."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from sending_bench import PLACE, Bench

from engine.channels.delivering import sending as module
from engine.channels.delivering.places import destinations_of
from engine.channels.delivering.sending import Sending
from engine.channels.delivering.settled import settled
from engine.channels.ordering import message_keys, ordering_keys
from engine.kernel.delivery import Parcel, Receipt
from engine.kernel.errors import HubError, StoreUnavailable
from engine.store.deliveries import Delivery


def test_as_they_come_nothing_goes_before_what_is_not_worked_off(bench: Bench) -> None:
    entries = [bench.take(f"C{n}", f"10099{n}") for n in range(3)]
    place = replace(destinations_of(bench.hub.config, bench.hub.channels)[PLACE], order="as they come")
    upto = [entries[0]]
    strict = Sending(
        *(place, [bench.book], bench.outbox, bench.sending._parcel, lambda: bench.now, lambda: 0.0),
        settled=lambda: upto[0],
    )
    strict.step()
    strict.step()
    assert [p.entry for p in bench.book.got] == entries[:1]
    upto[0] = entries[2]
    strict.step()
    assert [p.entry for p in bench.book.got] == entries


def test_settled_is_the_last_entry_before_one_that_is_open() -> None:
    class Side:
        lanes = 3

        def __init__(self, marks: dict[int, int]) -> None:
            self.marks = marks

        def watermarks(self) -> dict[int, int]:
            return self.marks

        def heads(self, after: int, limit: int) -> list[tuple[int, tuple[int, ...]]]:
            lanes = [(1, (0,)), (2, (1,)), (3, (0, 2)), (4, (1,))]
            return [one for one in lanes if one[0] > after][:limit]

    def of(*marks: int) -> int:
        side = Side(dict(enumerate(marks)))
        return settled(side, side)  # type: ignore[arg-type]

    assert of(0, 0, 0) == 0
    assert of(1, 4, 0) == 2, "4 is worked off, and 3 is not"
    assert of(3, 2, 3) == 3
    assert of(3, 4, 3) == 4
    assert of(4, 4, 4) == 4


def test_many_that_wait_for_a_person_starve_nobody(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PAGE", 2)
    monkeypatch.setattr(module, "LOOK", 5)
    bench.book.answers = [Receipt("park", "nobody knows")]
    for n in range(8):
        bench.take(f"C{n}")
    bench.sending.step()
    other = bench.take("C9", "100999")

    class Slow:
        def __getattr__(self, name: str) -> object:
            return getattr(bench.outbox, name)

        def pending(self, destination: str, after: int, limit: int) -> list[Delivery]:
            bench.now += 3  # so that a step looks at four of them
            return bench.outbox.pending(destination, after, limit)

    sending, steps = bench.again(Slow()), 0
    while other not in [p.entry for p in bench.book.got]:
        assert sending.step()
        steps += 1
    assert steps > 1
    assert len(bench.book.got) == 2
    for _ in range(5):
        sending.step()
    assert sending._rest > bench.now, "a look at many that wait is not begun again at once"


def test_a_store_that_fails_for_one_of_a_group_loses_nobody_elses_receipt(bench: Bench) -> None:
    for n in range(3):
        bench.take(f"C{n}", f"10099{n}")
    place = replace(destinations_of(bench.hub.config, bench.hub.channels)[PLACE], at_once=3)
    made, down = bench.sending._parcel, [True]

    def parcel(delivery: Delivery, to: object) -> Parcel | None:
        if down[0] and delivery.entry == 2:
            raise StoreUnavailable("gone")
        return made(delivery, to)  # type: ignore[arg-type]

    sending = Sending(place, [bench.book] * 3, bench.outbox, parcel, lambda: bench.now, lambda: 0.0)
    with pytest.raises(StoreUnavailable):
        sending.step()
    assert [status for status, _, _ in bench.states()] == ["sent", "pending", "sent"]
    down[0] = False
    sending.step()
    assert len(bench.book.got) == 3
    sending.close()


def test_what_knocks_at_no_door_says_nothing_of_it(bench: Bench) -> None:
    bench.outbox.set_state(PLACE, "down", "cannot connect", 1)
    bench.take("C1")

    def broken(delivery: Delivery, to: object) -> Parcel | None:
        raise HubError("no such map", where="channels/lab_oru.yaml:3")

    bench.sending._parcel = broken
    bench.sending.step()
    assert [status for status, _, _ in bench.states()] == ["parked"]
    assert bench.outbox.standing(PLACE).state == "down"


@pytest.mark.parametrize("bench", [", body: event"], indirect=True)
def test_what_is_sent_as_new_during_a_try_is_not_what_was_written_before(bench: Bench) -> None:
    bench.take("C1")
    (one,) = bench.outbox.pending(PLACE, 0, 10)
    assert bench.outbox.keep_body(one, b"m\nfirst") == b"m\nfirst"
    assert bench.outbox.keep_body(one, b"m\nby another") == b"m\nfirst", "one key, one content"
    bench.outbox.send_again([one.id], as_new=True)
    assert bench.outbox.keep_body(one, b"m\nby a try that was under way") is None
    assert bench.outbox.body(one.id) is None
    (now,) = bench.outbox.pending(PLACE, 0, 10)
    assert bench.outbox.keep_body(now, b"m\nnew") == b"m\nnew" == bench.outbox.body(one.id)


def test_keys_are_those_of_the_channel_with_the_authority_of_its_sender(bench: Bench) -> None:
    (channel,) = (c for c in bench.hub.channels if c.name == "lab_oru")
    assert channel.receives is not None
    sender = channel.receives.senders[0].model_copy(update={"match": (), "authority": "MERCY"})
    theirs: Any = SimpleNamespace(receives=channel.receives.model_copy(update={"senders": (sender,)}))
    body = b"MSH|^~\\&|LIS|EAST|HUB|H|20260101||ORU^R01|1|P|2.5.1\rPID|1||4711\r"
    assert message_keys(theirs, "LIS|EAST", body) == ("MERCY|4711",)
    assert ordering_keys(theirs, "LIS|EAST", body) == ("MERCY|4711",)
    assert message_keys(None, "", body) != ("MERCY|4711",)
