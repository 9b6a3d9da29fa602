"""Merging patients: A40 in every order, and what refers to the retired number."""

from __future__ import annotations

from collections.abc import Callable

from store_messages import MRN, draft, id_of, merge, patient, result, work

from engine.store.sql import SqlStore

OLD, NEW, THIRD = (id_of("Patient", MRN, n) for n in ("1", "2", "3"))
OBS = id_of("Observation", "urn:result", "A|2823-3")


def subject(store: SqlStore, id_: str = OBS) -> str:
    found = store.read("Observation", id_)
    assert found is not None
    return str(found["subject"]["reference"])


def test_references_follow_the_merge(store: SqlStore) -> None:
    store.apply([work(1, patient("1"), result("1")), work(2, patient("2"))])
    (outcome,) = store.apply([work(3, *merge("1", "2"))])
    assert outcome.status == "done"
    assert subject(store) == f"Patient/{NEW}"
    retired = store.read("Patient", OLD)
    assert retired is not None
    assert retired["active"] is False
    assert retired["link"] == [{"other": {"reference": f"Patient/{NEW}"}, "type": "replaced-by"}]
    survivor = store.read("Patient", NEW)
    assert survivor is not None
    assert survivor["link"] == [{"other": {"reference": f"Patient/{OLD}"}, "type": "replaces"}]
    newest = store.history("Observation", OBS)[0]
    assert (newest.op, newest.entry, newest.position, newest.version) == ("relink", 3, 1, 2)
    assert [r["id"] for r in store.search("Observation", [("patient", NEW)]).resources] == [OBS]
    assert store.search("Observation", [("patient", OLD)]).resources == []


def test_a_merge_whose_drafts_name_each_other_by_urn(store: SqlStore) -> None:
    store.apply([work(1, patient("1"), result("1")), work(2, patient("2"))])
    drafts = merge("1", "2")
    for one in drafts:
        other = one.body["link"][0]["other"]
        other["reference"] = "urn:uuid:" + other["reference"].partition("/")[2]
    (outcome,) = store.apply([work(3, *drafts)])
    assert outcome.status == "done"
    assert subject(store) == f"Patient/{NEW}"
    assert store.read("Patient", OLD)["link"][0]["other"] == {"reference": f"Patient/{NEW}"}  # type: ignore[index]


def test_a_correction_after_the_merge_still_counts(store: SqlStore) -> None:
    """The merge has a later position than the result, but says nothing about it."""
    store.apply([work(1, patient("1"), result("1", value=1)), work(5, *merge("1", "2"))])
    (outcome,) = store.apply([work(6, patient("1"), result("1", value=2), position=3)])
    assert outcome.written == 1
    assert store.read("Observation", OBS)["valueQuantity"]["value"] == 2  # type: ignore[index]
    assert subject(store) == f"Patient/{NEW}"


def test_later_messages_for_the_retired_number_go_to_the_survivor(store: SqlStore) -> None:
    store.apply([work(1, patient("1")), work(2, patient("2")), work(3, *merge("1", "2"))])
    (outcome,) = store.apply([work(4, patient("1", write="create"), result("1"))])
    assert [flag.code for flag in outcome.flags] == ["retired-patient"]
    assert subject(store) == f"Patient/{NEW}"


def test_the_merge_comes_first(store: SqlStore) -> None:
    (outcome,) = store.apply([work(1, *merge("1", "2"))])
    assert (outcome.status, outcome.written) == ("done", 2)
    store.apply([work(2, patient("1", write="create"), result("1"))])
    assert subject(store) == f"Patient/{NEW}"
    assert store.read("Patient", OLD)["active"] is False  # type: ignore[index]


def test_everything_in_one_batch(store: SqlStore) -> None:
    store.apply(
        [
            work(1, patient("1"), result("1")),
            work(2, *merge("1", "2")),
            work(3, patient("1"), result("1", order="B")),
        ]
    )
    assert subject(store) == f"Patient/{NEW}"
    assert subject(store, id_of("Observation", "urn:result", "B|2823-3")) == f"Patient/{NEW}"


def test_an_update_of_the_retired_number_that_is_replayed_is_superseded(store: SqlStore) -> None:
    """A08, A40, then the A08 again: the merge stands."""
    first = work(1, patient("1", body={"gender": "male"}))
    store.apply([first, work(2, patient("2", body={"gender": "female"})), work(3, *merge("1", "2"))])
    (outcome,) = store.rerun(
        [work(9, patient("1", body={"gender": "male"}), position=1)], who="ann", why="test"
    )
    assert outcome.superseded == 1
    assert store.read("Patient", NEW)["gender"] == "female"  # type: ignore[index]
    assert store.read("Patient", OLD)["active"] is False  # type: ignore[index]


def test_chains_are_shortened(store: SqlStore) -> None:
    store.apply([work(1, patient("1"), result("1")), work(2, *merge("1", "2")), work(3, *merge("2", "3"))])
    assert subject(store) == f"Patient/{THIRD}"
    store.apply([work(4, patient("1", write="create"), result("1", order="B"))])
    assert subject(store, id_of("Observation", "urn:result", "B|2823-3")) == f"Patient/{THIRD}"


def test_merges_that_make_no_sense_are_parked(store: SqlStore) -> None:
    (outcome,) = store.apply([work(1, *merge("1", "1"))])
    assert (outcome.status, outcome.cause) == ("parked", "merge-self")
    store.apply([work(2, *merge("1", "2"))])
    (circle,) = store.apply([work(3, *merge("2", "1"))])
    assert (circle.status, circle.cause) == ("parked", "merge-chain")
    (conflict,) = store.apply([work(4, *merge("1", "3"))])
    assert (conflict.status, conflict.cause) == ("parked", "merge-conflict")
    (again,) = store.apply([work(5, *merge("1", "2"))])
    assert (again.status, again.written) == ("done", 0)


def test_a_merge_that_comes_late_is_recorded_all_the_same(store: SqlStore) -> None:
    store.apply([work(8, patient("1", body={"gender": "male"}), result("1")), work(9, patient("2"))])
    (outcome,) = store.apply([work(10, *merge("1", "2"), position=5)])
    assert outcome.status == "done"
    retired = store.read("Patient", OLD)
    assert retired is not None and retired["active"] is False and retired["gender"] == "male"
    assert store.history("Patient", OLD)[0].position == 8
    assert store.read("Patient", NEW)["link"][0]["type"] == "replaces"  # type: ignore[index]
    assert subject(store) == f"Patient/{NEW}"


def test_the_old_name_is_known_under_the_old_number(store: SqlStore) -> None:
    store.apply(
        [work(1, patient("1", family="Maiden", body={"name": [{"family": "Maiden", "given": ["A"]}]}))]
    )
    store.apply([work(2, patient("2", body={"name": [{"family": "Wed", "given": ["B"]}]}))])
    store.apply([work(3, *merge("1", "2"))])
    old = patient("1", body={"name": [{"family": "Maiden", "given": ["A"]}]}, write="create")
    (fine,) = store.apply([work(4, old, result("1"))])
    assert fine.status == "done"
    other = patient("1", body={"name": [{"family": "Nobody", "given": ["C"]}]}, write="create")
    (unclear,) = store.apply([work(5, other, result("1", order="B"))])
    assert unclear.cause == "patient-mismatch"


def test_many_references_are_moved(store: SqlStore) -> None:
    results = [result("1", order=str(n)) for n in range(1200)]
    store.apply([work(1, patient("1"), *results)])
    store.apply([work(2, *merge("1", "2"))])
    assert all(subject(store, r.id) == f"Patient/{NEW}" for r in results[::150])
    assert len(store.written_by(2)) == 1202
    assert len(store.written_by(1)) == 1201


def test_a_patient_named_by_id_only(store: SqlStore, open_store: Callable[[], SqlStore]) -> None:
    store.apply([work(1, patient("1")), work(2, *merge("1", "2"))])
    store.apply([work(3, result("1"))])
    assert subject(store) == f"Patient/{NEW}"
    note = draft(
        "Communication", "c", "1", {"status": "completed", "subject": {"reference": f"Patient/{OLD}"}}
    )
    open_store().apply([work(4, note)])
    assert store.search("Communication", [("patient", NEW)]).resources != []
