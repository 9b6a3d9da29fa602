"""Two processes that both believe a destination's queue to be theirs: one sends, the other finds it out."""

from __future__ import annotations

import os

import pytest
from sending_bench import PLACE, Bench

from engine.channels.delivering import turn
from engine.channels.delivering.places import Destined, destinations_of
from engine.channels.delivering.sending import Sending
from engine.kernel.delivery import Parcel, Receipt
from engine.kernel.errors import StoreUnavailable
from engine.store.deliveries import Delivery


def node(bench: Bench, name: str, outbox: object = None) -> Sending:
    place = destinations_of(bench.hub.config, bench.hub.channels)[PLACE]
    return Sending(
        *(place, [bench.book], outbox or bench.outbox, bench.sending._parcel),  # type: ignore[arg-type]
        *(lambda: bench.now, lambda: 0.0),
        holder=name,
    )


def test_the_one_that_took_the_turn_last_sends_after_a_wait_and_the_other_no_more(bench: Bench) -> None:
    one, two = node(bench, "n1@a/1"), node(bench, "n2@b/1")
    bench.take("C1")
    assert one.step()
    bench.take("C2")
    assert not two.step(), "what the first has under way cannot be called back"
    assert not one.step(), "the turn is the other's"
    assert len(bench.book.got) == 1
    bench.now += turn.LEFT
    assert not one.step() and two.step()
    assert len(bench.book.got) == 2


def test_in_the_middle_of_a_step_a_lost_turn_is_seen_before_the_next_try(bench: Bench) -> None:
    one, two = node(bench, "n1@a/1"), node(bench, "n2@b/1")
    for n in range(3):
        bench.take(f"C{n}", f"10099{n}")
    deliver = bench.book.deliver

    def taken_meanwhile(parcel: Parcel) -> Receipt:
        two.step()
        bench.now += 1_500  # a try of some length: the look before it holds no more
        return deliver(parcel)

    bench.book.deliver = taken_meanwhile  # type: ignore[method-assign]
    one.step()
    assert len(bench.book.got) == 1
    assert [status for status, _, _ in bench.states()] == ["sent", "pending", "pending"]


def test_a_turn_that_was_given_back_costs_nobody_a_wait(bench: Bench) -> None:
    one, two = node(bench, "n1@a/1"), node(bench, "n2@b/1")
    one.step()
    one.leave()
    bench.take("C1")
    assert two.step()
    two.leave()
    bench.take("C2")
    assert one.step()


def test_one_that_died_on_this_machine_has_nothing_under_way(bench: Bench) -> None:
    gone = os.fork()
    if gone == 0:
        os._exit(0)
    os.waitpid(gone, 0)
    here = turn.process_name("n1").rpartition("/")[0]
    node(bench, f"{here}/{gone}").step()
    bench.take("C1")
    assert node(bench, turn.process_name("n1")).step()
    bench.take("C2")
    assert not node(bench, "n2@elsewhere/7").step(), "this process lives"


def test_a_lost_turn_is_taken_again_where_nobody_else_comes(bench: Bench) -> None:
    one, two = node(bench, "n1@a/1"), node(bench, "n2@b/1")
    one.step()
    two.step()
    assert not one.step()
    bench.take("C1")
    bench.now += turn.AGAIN
    assert not one.step(), "it is taken, and the wait begins"
    bench.now += turn.LEFT
    assert one.step()


def test_who_cannot_ask_whose_turn_it_is_sends_nothing(bench: Bench) -> None:
    cut_off = [False]

    class Far:
        def __getattr__(self, name: str) -> object:
            return getattr(bench.outbox, name)

        def standing(self, name: str) -> object:
            if cut_off[0]:
                raise StoreUnavailable("no route")
            return bench.outbox.standing(name)

    one = node(bench, "n1@a/1", Far())
    one.step()
    bench.take("C1")
    cut_off[0] = True
    with pytest.raises(StoreUnavailable):
        one.step()
    assert bench.book.got == []


def test_a_clock_that_is_set_back_keeps_nothing_waiting(bench: Bench) -> None:
    bench.now += 100_000_000
    bench.book.answers = [
        Receipt("retry", "busy", wait=7_200.0),
        Receipt("retry", "gone", down=True, wait=3_000.0),
    ]
    bench.take("C1")
    bench.sending.step()
    bench.take("C2", "100999")
    bench.sending.step()  # the door is closed now
    bench.now -= 86_400_000 // 2
    assert bench.sending.step()
    assert [status for status, _, _ in bench.states()] == ["sent", "sent"]


def test_a_clock_that_is_set_back_ends_no_wait_for_what_another_has_under_way(bench: Bench) -> None:
    one, two = node(bench, "n1@a/1"), node(bench, "n2@b/1")
    bench.now += 100_000_000
    one.step()
    bench.take("C1")
    assert not two.step()
    bench.now -= 3_600_000
    assert not two.step()
    bench.now += turn.LEFT
    assert two.step()


def test_what_another_clock_put_off_for_hours_is_tried_by_who_comes_next(bench: Bench) -> None:
    one, two = node(bench, "n1@a/1"), node(bench, "n2@b/1")
    bench.now += 100_000_000
    bench.book.answers = [Receipt("retry", "busy")]
    bench.take("C1")
    one.step()
    one.leave()
    bench.now -= 3_600_000
    assert two.step()


def test_who_may_have_something_under_way_is_waited_for_whoever_takes_the_turn_next(bench: Bench) -> None:
    one, two = node(bench, "n1@a/1"), node(bench, "n2@b/1")
    one.step()
    bench.take("C1")
    two.step()  # takes it, waits, and dies; or the answer of its taking is lost and it takes it again
    assert not node(bench, "n2@b/1").step()
    two.leave()
    third = node(bench, "n3@c/1")
    assert not third.step()
    bench.now += turn.LEFT
    assert third.step()
    third.leave()
    bench.take("C2")
    assert node(bench, "n4@d/1").step(), "it has been waited for"


def test_who_loses_the_turn_while_the_parcel_is_made_does_not_deliver_it(bench: Bench) -> None:
    one, two = node(bench, "n1@a/1"), node(bench, "n2@b/1")
    bench.take("C1")
    bench.take("C2")
    make = bench.sending._parcel

    def long(delivery: Delivery, place: Destined) -> Parcel | None:
        made = make(delivery, place)
        if not bench.book.got:  # the core store keeps this process waiting; another goes on meanwhile
            two.step()
            bench.now += turn.LEFT
            two.step()
        return made

    one._parcel = long
    one.step()
    assert [parcel.facts["control_id"] for parcel in bench.book.got] == ["C1", "C2"], "older after newer"
    assert [(status, tries) for status, tries, _ in bench.states()] == [("sent", 1), ("sent", 1)]
