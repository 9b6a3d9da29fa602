"""The course of a visit in the core store: any order, late entries and replays give one history."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_messages import MRN, draft, id_of, patient, work

from engine.kernel.message import Draft, Happened, Told, Work
from engine.security.keys import Keyring
from engine.store.course import fact_of
from engine.store.facts import shortened
from engine.store.sql import SqlStore

VISIT = "urn:oid:2.999.3"
ID = id_of("Encounter", VISIT, "V1")
BEGINS = {"A01": "scl", "A02": "l", "A03": "s", "A05": "sc", "A06": "cl", "A21": "s", "A22": "s", "A11": "s"}
TAKES = {
    "A11": ("stay", ("A01",), ""),
    "A12": ("place", ("A02",), ""),
    "A13": ("status", (), "finished"),
}
STATUS = {
    "A03": "finished",
    "A05": "planned",
    "A11": "cancelled",
    "A21": "onleave",
}


def clock(minute: int) -> str:
    return f"2026-05-02T{8 + minute // 60:02}:{minute % 60:02}:00Z"


def told(event: str, minute: int, bed: str = "", kind: str = "IMP", sender: str = "ADT") -> tuple[Draft, str]:
    """An event of the visit at a minute of the day."""
    body: dict[str, Any] = {
        "identifier": [{"system": VISIT, "value": "V1"}],
        "status": STATUS.get(event, "in-progress"),
        "class": {"code": kind},
        "subject": {"reference": f"Patient/{id_of('Patient', MRN, '1')}"},
    }
    labels = {"identifier": ("visit",)}
    if bed:
        entry = {"location": {"display": bed}, "status": "completed" if event == "A03" else "active"}
        if event == "A11":
            del entry["status"]
        body["location"] = [entry]
        labels["location"] = ("assigned",)
    if event == "A03":
        body["period"] = {"end": clock(minute)}
    what, of, status = TAKES.get(event, ("", (), ""))
    first = int(datetime.fromisoformat(clock(minute)).timestamp()) * 1000
    at = Told("EVN-2", first, first + 999)
    happened = Happened(event, clock(minute), BEGINS.get(event, ""), what, of, "", status)
    more: dict[str, Any] = {"weak": ("status",)} if event == "A08" else {}
    made = draft(
        "Encounter", VISIT, "V1", body, labels=labels, told=at, happened=happened, map="PV1_Encounter", **more
    )
    return made, sender


def entry(number: int, one: tuple[Draft, str], position: int | None = None) -> Work:
    made, sender = one
    return work(number, patient(write="create"), made, position=position or number, sender=sender)


def course(store: SqlStore) -> Any:
    visit = store.read("Encounter", ID)
    assert visit is not None
    return [visit[name] for name in ("status", "class")] + [
        visit.get(name) for name in ("statusHistory", "classHistory", "location", "period")
    ]


STAY = [
    told("A05", 0),
    told("A01", 60, "ER", "EMER"),
    told("A06", 120, "3W"),
    told("A02", 180, "ICU"),
    told("A12", 200, "3W"),
    told("A21", 240, "3W"),
    told("A22", 300, "3W"),
    told("A02", 330, "OR"),
    told("A03", 360, "OR"),
    told("A13", 420, "OR"),
]


def expected() -> Any:
    return [
        "in-progress",
        {"code": "IMP"},
        [
            {"status": "planned", "period": {"start": clock(0), "end": clock(60)}},
            {"status": "in-progress", "period": {"start": clock(60), "end": clock(240)}},
            {"status": "onleave", "period": {"start": clock(240), "end": clock(300)}},
        ],
        [
            {"class": {"code": "IMP"}, "period": {"start": clock(0), "end": clock(60)}},
            {"class": {"code": "EMER"}, "period": {"start": clock(60), "end": clock(120)}},
        ],
        [
            {"location": {"display": "OR"}, "status": "active", "period": {"start": clock(330)}},
            {
                "location": {"display": "3W"},
                "status": "completed",
                "period": {"start": clock(120), "end": clock(330)},
            },
            {
                "location": {"display": "ER"},
                "status": "completed",
                "period": {"start": clock(60), "end": clock(120)},
            },
        ],
        None,
    ]


def test_a_stay_in_order(store: SqlStore) -> None:
    for number, one in enumerate(STAY, 1):
        store.apply([entry(number, one)])
    assert course(store) == expected()


def test_a_stay_in_one_transaction(store: SqlStore) -> None:
    store.apply([entry(number, one) for number, one in enumerate(STAY, 1)])
    assert course(store) == expected()


def test_a_repeated_event_makes_no_version(store: SqlStore) -> None:
    store.apply([entry(1, told("A01", 60, "3W")), entry(2, told("A08", 90, "3W"))])
    store.apply([entry(3, told("A01", 60, "3W")), entry(4, told("A08", 120, "3W"))])
    assert len(store.history("Encounter", ID)) == 1


def test_a_late_transfer_before_an_update_that_only_repeated(store: SqlStore) -> None:
    store.apply([entry(1, told("A01", 60, "3W")), entry(2, told("A08", 180, "3W"))])
    store.apply([entry(3, told("A02", 120, "ICU"))])
    places = [(p["location"]["display"], p["status"], p["period"]) for p in course(store)[4]]
    assert places == [
        ("3W", "active", {"start": clock(180)}),
        ("ICU", "completed", {"start": clock(120), "end": clock(180)}),
        ("3W", "completed", {"start": clock(60), "end": clock(120)}),
    ]


def test_a_visit_from_before_courses_were_kept(store: SqlStore) -> None:
    old, _ = told("A01", 60, "3W")
    old.happened = None
    store.apply([entry(1, (old, "ADT"))])
    store.apply([entry(2, told("A02", 120, "ICU"))])
    store.apply([entry(3, told("A03", 180, "ICU"))])
    status, _, past, _, places, _ = course(store)
    assert status == "finished"
    assert past == [{"status": "in-progress", "period": {"end": clock(180)}}]
    assert [(p["location"]["display"], p["status"], p["period"]) for p in places] == [
        ("ICU", "completed", {"start": clock(120), "end": clock(180)}),
        ("3W", "completed", {"end": clock(120)}),
    ]


def test_of_many_repeats_the_first_and_the_last_are_kept() -> None:
    facts = [fact_of(told("A08", n, "3W")[0], told("A08", n, "3W")[0].body, n, "ADT") for n in range(1, 30)]
    moved = fact_of(told("A02", 40, "ICU")[0], told("A02", 40, "ICU")[0].body, 40, "ADT")
    assert [fact["n"] for fact in shortened([*facts, moved])] == [1, 29, 40]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], SqlStore]:
    folder: Path = tmp_path_factory.mktemp("stores")
    numbers = itertools.count()
    keyring = Keyring.supplied(b"a secret of this test suite, and of nothing else")
    return lambda: SqlStore.open(f"sqlite:///{folder}/{next(numbers)}.db", keyring)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(order=st.permutations(range(len(STAY))), together=st.integers(0, len(STAY)))
def test_the_order_of_arrival_does_not_matter(
    fresh: Callable[[], SqlStore], order: list[int], together: int
) -> None:
    store = fresh()
    try:
        works = [entry(number, STAY[n]) for number, n in enumerate(order, 1)]
        store.apply(works[:together])
        for one in works[together:]:
            store.apply([one])
        assert course(store) == expected()
    finally:
        store.close()


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    order=st.permutations(range(len(STAY))),
    again=st.lists(st.tuples(st.integers(1, len(STAY)), st.booleans()), max_size=4),
)
def test_replays_change_nothing(
    fresh: Callable[[], SqlStore], order: list[int], again: list[tuple[int, bool]]
) -> None:
    """Positions are those of the true order; entries come late, and run again alone or with what followed."""
    store = fresh()
    try:
        for n in order:
            store.apply([entry(n + 1, STAY[n])])
        assert course(store) == expected()
        number = 100
        for position, whole in again:
            number += 10
            works = [entry(number, STAY[position - 1], position)]
            if whole:
                later = store.entries_touching([("Encounter", ID)], position)
                works += [entry(e, STAY[p - 1], p) for p, e in later]
            store.rerun(works, who="ann", why="test")
            assert course(store) == expected()
    finally:
        store.close()
