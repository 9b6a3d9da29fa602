"""A form does its work once, whoever sends it again."""

from __future__ import annotations

from threading import Thread
from typing import Any

from engine.staff.staff import Staff


def test_the_second_time_gets_the_first_answer(both: Staff) -> None:
    once = both.once
    assert once.begin("a") is None
    begun = once.begin("a")
    assert begun is not None and begun.result == ""
    once.end("a", "/message/9")
    again = once.begin("a")
    assert again is not None and again.result == "/message/9"
    assert once.begin("b") is None


def test_what_did_nothing_may_be_sent_again(both: Staff) -> None:
    assert both.once.begin("a") is None
    both.once.undo("a")
    assert both.once.begin("a") is None


def test_of_many_at_one_time_one_is_first(both: Staff) -> None:
    firsts: list[bool] = []
    threads = [Thread(target=lambda: firsts.append(both.once.begin("a") is None)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(firsts) == [False] * 7 + [True]


def test_forms_are_forgotten_after_a_week(staff: Staff, clock: Any) -> None:
    staff.once.begin("a")
    clock.forward(hours=24 * 6)
    assert staff.once.begin("a") is not None
    clock.forward(hours=25)
    assert staff.once.begin("a") is None
