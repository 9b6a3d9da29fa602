"""A rehearsal says what the store would write, to the letter, and leaves nothing behind."""

from __future__ import annotations

from typing import Any

import pytest
from store_messages import MRN, draft, id_of, merge, patient, result, work

from engine.kernel.message import Due, Flag, Work
from engine.store.sql import SqlStore

P1, P2 = id_of("Patient", MRN, "1"), id_of("Patient", MRN, "2")


def everything(store: SqlStore) -> list[Any]:
    """Return every row of every table that a work could touch."""
    tables = (
        "resource history pack identity token outcome touch alias pending_reference lane core_clock rtype"
    )
    with store._database.read() as session:
        return [sorted(map(repr, session.all(f"SELECT * FROM {name}"))) for name in tables.split()]


def waiting() -> Work:
    """A result whose order is not known yet: its reference waits for the order's number."""
    one = result(
        order="W",
        body={"basedOn": [{"type": "ServiceRequest", "identifier": {"system": "urn:o", "value": "7"}}]},
    )
    return work(30, patient(), one)


def order() -> Work:
    about = {"reference": f"Patient/{P1}"}
    body = {
        "status": "active",
        "intent": "order",
        "subject": about,
        "identifier": [{"system": "urn:o", "value": "7"}],
    }
    return work(31, patient(), draft("ServiceRequest", "urn:o", "7", body))


CASES: dict[str, tuple[list[Work], Work]] = {
    "new": ([], work(1, patient(), result())),
    "changed": ([work(1, patient(), result())], work(2, patient(family="Roe"), result(value=9))),
    "same again": ([work(1, patient(), result())], work(2, patient(), result())),
    "older": (
        [work(5, patient(), result(value=9))],
        work(6, patient(), result(value=1), position=2),
    ),
    "parked": ([], work(1, parked=Flag("no-map", "MSH-9", "no map serves it", True))),
    "mismatch": ([work(1, patient())], work(2, patient(family="Poe", born="1950-02-03"))),
    "merge": (
        [work(1, patient(), result()), work(2, patient("2"), result("2", "B"))],
        work(3, *merge("1", "2")),
    ),
    "a target that was waited for": ([waiting()], order()),
}


@pytest.mark.parametrize("case", CASES)
def test_what_is_rehearsed_is_what_is_written(store: SqlStore, case: str) -> None:
    before, last = CASES[case]
    store.apply(before)
    stands = everything(store)
    told = store.rehearse([last])
    assert everything(store) == stands
    (outcome,) = store.apply([last])
    (said,) = told.outcomes
    for name in ("status", "cause", "where", "written", "unchanged", "superseded", "flags"):
        assert getattr(said, name) == getattr(outcome, name), name
    now = {(one.type, one.id): one for one in told.made}
    wrote = store.wrote(last.entry)
    assert set(now) == {(one.type, one.id) for one in wrote}
    for one in wrote:
        made = now[one.type, one.id]
        assert plain(made.after) == plain(one.resource)
        assert plain(made.before) == plain(one.before)
        assert made.version + 1 == one.version


def plain(resource: dict[str, Any] | None) -> dict[str, Any] | None:
    return None if resource is None else {k: v for k, v in resource.items() if k != "meta"}


def test_a_replay_is_rehearsed_with_what_came_later(store: SqlStore) -> None:
    store.apply([work(n, patient(), result(value=n)) for n in (1, 2, 3)])
    stands = everything(store)
    again = [
        work(10, patient(), result(value=1, body={"comment": "new map"}), position=1),
        work(2, patient(), result(value=2)),
        work(3, patient(), result(value=3)),
    ]
    told = store.rehearse(again, again=True)
    assert everything(store) == stands
    (one,) = told.made
    assert (one.type, one.version, one.entry) == ("Observation", 3, 3)
    assert one.before is not None and "comment" not in one.before
    assert one.after is not None and one.after["comment"] == "new map"
    assert [o.written for o in told.outcomes] == [o.written for o in store.rerun(again)] == [0, 0, 1]


def test_a_replay_that_would_stop_says_where(store: SqlStore) -> None:
    store.apply([work(1, patient(), result(value=1))])
    stop = Flag("no-map", "MSH-9", "no map serves it", True)
    told = store.rehearse([work(9, patient(), position=1), work(4, parked=stop, position=4)], again=True)
    assert [(o.entry, o.status, o.cause) for o in told.outcomes] == [(4, "parked", "no-map")]
    assert told.made == []


def test_what_a_merge_was_tried_with_is_not_remembered(store: SqlStore) -> None:
    """The numbers that a rehearsed merge used are given to others later; no memory may mix them up."""
    store.apply([work(1, patient(), result()), work(2, patient("2"), result("2", "B"))])
    store.rehearse([work(3, *merge("1", "2"))])
    store.apply([work(4, patient("3", family="Other"), result("3", "C", value=77))])
    wrote = {one.type: one.resource for one in store.wrote(4)}
    assert wrote["Patient"] is not None and wrote["Patient"]["name"][0]["family"] == "Other"
    assert wrote["Observation"] is not None and wrote["Observation"]["valueQuantity"]["value"] == 77
    fresh = SqlStore(store._database, store._keys.keyring, 1 << 20)
    for one in store.wrote(4):
        assert fresh.read(one.type, one.id) == store.read(one.type, one.id) == one.resource
    assert store.read("Patient", P1) is not None and store.read("Patient", P2) is not None


def test_what_an_entry_wrote_knows_what_was_there_before(store: SqlStore) -> None:
    store.apply([work(1, patient(), result(value=1)), work(2, patient(), result(value=2))])
    store.apply([work(3, patient(), result(value=3))])
    (one,) = store.wrote(2)
    assert (one.type, one.version, one.op, one.current) == ("Observation", 2, "update", 3)
    assert one.before is not None and one.before["valueQuantity"]["value"] == 1
    assert one.resource is not None and one.resource["valueQuantity"]["value"] == 2
    assert one.before["meta"]["versionId"] == "1"
    assert len(store.wrote(1, most=1)) == 1 and store.wrote(99) == []


def test_what_a_replay_changed_is_found_under_the_entries_that_ran_behind_it(store: SqlStore) -> None:
    store.apply([work(n, patient(), result(value=n)) for n in (1, 2)])
    again = [
        work(10, patient(), result(value=1, body={"comment": "x"}), position=1),
        work(2, patient(), result(value=2)),
    ]
    outcome = next(o for o in store.rerun(again) if o.entry == 10)
    assert store.wrote(10) == []
    (one,) = store.wrote(10, 2, at=outcome.at)
    assert (one.entry, one.version) == (2, 3)
    assert one.before is not None and "comment" not in one.before
    assert one.resource is not None and one.resource["comment"] == "x"


def test_which_entries_are_known_under_a_word(store: SqlStore) -> None:
    words = (("patient", "1"), ("order", "A"))
    store.apply([work(n, patient(), search=words) for n in (1, 2, 5000)])
    store.apply([work(6000, patient("2"), search=(("patient", "2"), ("order", "A")))])
    assert store.known([1, 5000, 6000, 7], "patient", "1") == {1, 5000}
    assert store.known([1, 6000], "order", "A") == {1, 6000}
    assert store.known([], "order", "A") == set()
    assert set(store.outcomes_of([1, 6000, 7])) == {1, 6000}


def test_what_is_to_be_sent_of_an_entry(store: SqlStore) -> None:
    store.apply([work(1, patient(), deliveries=(Due("ward"), Due("archive", (7, 8))))])
    store.apply([work(2, patient(), deliveries=(Due("other"),))])
    assert [(d.destination, d.status, d.keys) for d in store.deliveries.of_entry(1)] == [
        ("archive", "pending", (7, 8)),
        ("ward", "pending", ()),
    ]
    assert store.deliveries.of_entry(3) == []
