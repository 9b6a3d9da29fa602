"""Running again: in order of position, one final version, nothing older over something newer."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_messages import MRN, draft, id_of, merge, patient, result, work

from engine.kernel.message import Draft, Flag, Work
from engine.security.keys import Keyring
from engine.store.sql import SqlStore

OBS = id_of("Observation", "urn:result", "A|2823-3")
P1 = id_of("Patient", MRN, "1")


def value(store: SqlStore) -> Any:
    found = store.read("Observation", OBS)
    return found and found["valueQuantity"]["value"]


def test_a_replayed_preliminary_does_not_overwrite_the_final(store: SqlStore) -> None:
    preliminary = {"body": {"status": "preliminary"}, "value": 1}
    store.apply([work(1, patient(), result(**preliminary)), work(2, patient(), result(value=2))])
    (alone,) = store.apply([work(3, patient(), result(**preliminary), position=1)])
    assert (alone.written, alone.superseded) == (0, 2)
    assert value(store) == 2
    (again,) = store.rerun([work(4, patient(), result(**preliminary), position=1)], who="ann", why="new map")
    assert again.written == 0
    found = store.read("Observation", OBS)
    assert found is not None and found["status"] == "final"


def test_replay_with_what_came_later_gives_one_version(store: SqlStore) -> None:
    store.apply([work(n, patient(), result(value=n)) for n in (1, 2, 3)])
    before = store.head()
    again = [
        work(10, patient(), result(value=1, body={"comment": "new map"}), position=1),
        work(2, patient(), result(value=2)),
        work(3, patient(), result(value=3)),
    ]
    outcomes = store.rerun(again, who="ann", why="the map lost a comment")
    assert [o.written for o in outcomes] == [0, 0, 1]
    assert store.head() == before + 1
    newest = store.history("Observation", OBS)[0]
    assert (newest.version, newest.entry, newest.position) == (4, 3, 3)
    assert newest.resource is not None
    assert newest.resource["valueQuantity"]["value"] == 3
    assert newest.resource["comment"] == "new map"


def test_what_a_corrected_map_no_longer_says_goes_away(store: SqlStore) -> None:
    store.apply(
        [
            work(1, patient(), result(body={"bodySite": {"text": "wrong"}})),
            work(2, patient(), result(value=5)),
        ]
    )
    assert "bodySite" in store.read("Observation", OBS)  # type: ignore[operator]
    store.rerun([work(1, patient(), result()), work(2, patient(), result(value=5))])
    found = store.read("Observation", OBS)
    assert found is not None and "bodySite" not in found and found["valueQuantity"]["value"] == 5


def test_without_all_that_came_later_it_is_written_over_the_current(store: SqlStore) -> None:
    store.apply(
        [work(1, patient(), result(body={"bodySite": {"text": "x"}})), work(2, patient(), result(value=5))]
    )
    (outcome,) = store.rerun([work(1, patient(), result())])
    assert (outcome.written, outcome.superseded) == (0, 2)
    assert "bodySite" in store.read("Observation", OBS)  # type: ignore[operator]


def test_a_rerun_that_changes_nothing_writes_nothing(store: SqlStore) -> None:
    works = [work(n, patient(), result(value=n % 2)) for n in (1, 2, 3)]
    store.apply(works)
    before = store.feed(limit=100)
    outcomes = store.rerun(works, who="ann", why="to see")
    assert [o.written for o in outcomes] == [0, 0, 0]
    assert store.feed(limit=100) == before
    assert store.history("Observation", OBS)[0].position == 3


def test_entries_touching_names_those_that_changed_nothing(store: SqlStore) -> None:
    store.apply([work(1, patient(), result(value=1)), work(2, patient(), result(value=1))])
    store.apply([work(3, patient("2"), result("2", order="B")), work(4, patient(write="create"))])
    store.apply([work(5, patient(), result(value=3)), work(6, patient(), result(value=9), position=2)])
    touched = [("Patient", P1), ("Observation", OBS)]
    assert store.entries_touching(touched, 0) == [(1, 1), (2, 6), (5, 5)]
    assert store.entries_touching(touched, 1) == [(2, 6), (5, 5)]
    assert store.entries_touching([("Observation", OBS)], 5) == []


def test_an_unchanged_word_counts_when_an_older_one_is_replayed(store: SqlStore) -> None:
    """2 said the same as 1 and made no version; replaying 1 with another value must not silence it."""
    store.apply([work(1, patient(), result(value=1)), work(2, patient(), result(value=1))])
    store.rerun([work(3, patient(), result(value=7), position=1)])
    assert value(store) == 1
    store.rerun([work(3, patient(), result(value=7), position=1), work(2, patient(), result(value=1))])
    assert value(store) == 1


def test_what_many_messages_share_is_not_set_back(store: SqlStore) -> None:
    """2 said the same of the ward as 1; a new map for 1 must not speak over it."""

    def ward(name: str) -> Draft:
        return draft("Location", "urn:wards", "W", {"name": name})

    store.apply([work(1, ward("West")), work(2, ward("West"))])
    (outcome,) = store.rerun([work(1, ward("Wrong"))])
    assert (outcome.written, outcome.superseded) == (0, 1)
    found = store.read("Location", id_of("Location", "urn:wards", "W"))
    assert found is not None and found["name"] == "West"
    (outcome,) = store.rerun([work(2, ward("East"))])
    assert outcome.written == 1


def test_a_stopped_rerun_keeps_nothing(store: SqlStore) -> None:
    store.apply([work(1, patient(), result(value=1)), work(2, patient(), result(value=2))])
    cause = Flag("invalid", "OBX[1]", "no", work=True)
    outcomes = store.rerun([work(1, patient(), result(value=8)), work(2, patient(), result(), parked=cause)])
    assert [(o.entry, o.status) for o in outcomes] == [(2, "parked")]
    assert value(store) == 2
    assert store.outcome(2).status == "done"  # type: ignore[union-attr]
    (outcome,) = store.rerun([work(7, patient(born="1900-01-01"), position=1)])
    assert outcome.cause == "patient-mismatch"
    assert store.outcome(7).status == "parked"  # type: ignore[union-attr]


def test_a_parked_entry_is_run_again(store: SqlStore) -> None:
    cause = Flag("invalid", "OBX[1]", "no", work=True)
    store.apply([work(1, patient()), work(2, patient(), result(value=2), parked=cause)])
    store.apply([work(3, patient(), result(value=3))])
    (outcome,) = store.rerun([work(2, patient(), result(value=2))], who="ann", why="fixed")
    assert (outcome.status, outcome.superseded) == ("done", 2)
    assert value(store) == 3
    store.rerun([work(2, patient(), result(value=2, order="Z"))])
    assert store.read("Observation", id_of("Observation", "urn:result", "Z|2823-3")) is not None


def test_a_rerun_over_a_merge_names_the_survivor(store: SqlStore) -> None:
    works = [work(1, patient("1"), result("1", value=1)), work(2, patient("1"), result("1", value=2))]
    store.apply(works)
    store.apply([work(3, patient("2")), work(4, *merge("1", "2"))])
    again = [work(1, patient("1"), result("1", value=1, body={"comment": "x"})), works[1]]
    outcomes = store.rerun(again)
    assert [o.status for o in outcomes] == ["done", "done"]
    found = store.read("Observation", OBS)
    assert found is not None
    assert found["comment"] == "x"
    assert found["subject"]["reference"] == f"Patient/{id_of('Patient', MRN, '2')}"


def test_a_rerun_of_the_merge_itself(store: SqlStore) -> None:
    store.apply([work(1, patient("1"), result("1")), work(2, patient("2")), work(3, *merge("1", "2"))])
    (outcome,) = store.rerun([work(3, *merge("1", "2"))])
    assert (outcome.status, outcome.written) == ("done", 0)
    store.apply([work(4, patient("3"), result("3", order="B"))])
    (outcome,) = store.rerun([work(5, *merge("3", "2"), position=5)])
    assert outcome.written == 2
    assert store.read("Observation", id_of("Observation", "urn:result", "B|2823-3"))["subject"] == {  # type: ignore[index]
        "reference": f"Patient/{id_of('Patient', MRN, '2')}"
    }


def test_what_is_no_longer_made_is_pointed_out(store: SqlStore) -> None:
    store.apply([work(1, patient(), result(), result(order="B"))])
    (outcome,) = store.rerun([work(5, patient(), result(), position=1)])
    other = id_of("Observation", "urn:result", "B|2823-3")
    assert [(f.code, f.where) for f in outcome.flags] == [("left-behind", f"Observation/{other}")]
    assert store.read("Observation", other) is not None
    store.delete("Observation", other)
    (outcome,) = store.rerun([work(5, patient(), result(), position=1)])
    assert outcome.flags == ()


def test_provenance_names_who_and_why(store: SqlStore) -> None:
    store.apply([work(1, patient(), result(value=1))])
    store.rerun(
        [work(9, patient(), result(value=1, body={"comment": "x"}), position=1)], who="ann", why="new map"
    )
    (page, first) = store.search("Provenance", [("target", f"Observation/{OBS}")]).resources
    assert page["id"] == "entry-9"
    assert page["target"] == [{"reference": f"Observation/{OBS}/_history/2"}]
    assert page["reason"] == [{"text": "new map"}]
    assert "ann" in [agent["who"]["display"] for agent in page["agent"]]
    assert [entity["what"]["identifier"]["value"] for entity in page["entity"]] == ["9", "1"]
    assert first["id"] == "entry-1" and "reason" not in first
    assert first["policy"] == ["urn:hub:revision:rev1"]
    assert store.read("Provenance", "entry-9") == page
    assert store.read("Provenance", "entry-77") is None


def _spoken(position: int, entry: int) -> Work:
    """Every message says something of its own about one result, and one thing all of them say."""
    drafts: list[Draft] = [
        patient(write="create"),
        result(value=position, body={"note": [{"text": f"n{position}"}]}),
        result(order=f"own{position}", value=position),
    ]
    return work(entry, *drafts, position=position)


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Callable[[], SqlStore]:
    folder: Path = tmp_path_factory.mktemp("stores")
    numbers = itertools.count()
    keyring = Keyring.supplied(b"a secret of this test suite, and of nothing else")
    return lambda: SqlStore.open(f"sqlite:///{folder}/{next(numbers)}.db", keyring)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    replayed=st.lists(st.integers(1, 4), max_size=5),
    order=st.permutations([1, 2, 3, 4]),
    cut=st.integers(0, 4),
    whole=st.booleans(),
)
def test_older_never_overwrites_newer_whatever_the_order(
    fresh: Callable[[], SqlStore], replayed: list[int], order: list[int], cut: int, whole: bool
) -> None:
    """Late entries, replays alone and replays with all that followed, in any order: the newest position has
    the word.
    """
    store = fresh()
    try:
        seen = 0
        entry = 100
        for position in order[:cut]:
            store.apply([_spoken(position, position)])
            seen = max(seen, position)
            assert value(store) == seen
        store.apply([_spoken(position, position) for position in order[cut:]])
        assert value(store) == 4
        for position in replayed:
            entry += 10
            works = [_spoken(position, entry)]
            if whole:
                later = store.entries_touching([("Observation", OBS)], position)
                works += [_spoken(p, e) for p, e in later]
            store.rerun(works, who="ann", why="test")
            assert value(store) == 4
            positions = [v.position for v in store.history("Observation", OBS)]
            assert positions == sorted(positions, reverse=True)
        assert store.read("Observation", OBS)["note"] == [{"text": "n4"}]  # type: ignore[index]
        for position in range(1, 5):
            own = store.read("Observation", id_of("Observation", "urn:result", f"own{position}|2823-3"))
            assert own is not None and own["valueQuantity"]["value"] == position
    finally:
        store.close()
