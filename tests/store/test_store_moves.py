"""Moves, joined visits and merges that are taken back, in the core store on each database."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from store_messages import MRN, draft, id_of, merge, patient, result, work

from engine.kernel.message import Draft, Move, Outcome, Work
from engine.store.sql import SqlStore

VISIT = "urn:oid:2.999.3"


def visit(mrn: str, number: str = "V1", **more: Any) -> Draft:
    """Make an Encounter of a patient of the same work."""
    body = {
        "identifier": [{"system": VISIT, "value": number}],
        "status": "in-progress",
        "class": {"code": "IMP"},
        "subject": {"reference": f"Patient/{id_of('Patient', MRN, mrn)}"},
    }
    return draft(
        "Encounter", VISIT, number, body | more.pop("body", {}), name=f"visit {number}", map="PV1", **more
    )


def in_visit(mrn: str, number: str = "V1", order: str = "A") -> Draft:
    reference = {"reference": f"Encounter/{id_of('Encounter', VISIT, number)}"}
    return result(mrn, order=order, body={"encounter": reference})


def move(entry: int, of: str, to: str, number: str = "V1") -> Work:
    what = visit(to, number)
    return work(entry, patient(to), what, moves=(Move(what.id, of=((of, ""),)),))


def join(entry: int, mrn: str, gone: str, kept: str) -> Work:
    one = visit(mrn, gone, body={"status": "entered-in-error"})
    other = visit(mrn, kept)
    return work(entry, patient(mrn), other, one, moves=(Move(one.id, other.id),))


def part(entry: int, one: str, other: str) -> Work:
    a, b = patient(one, name="patient"), patient(other, name="other")
    return work(entry, a, b, parts=((a.id, b.id),))


def whose(store: SqlStore, order: str = "A") -> tuple[str, str]:
    """(record number of the patient, visit number) of a result."""
    found = store.read("Observation", id_of("Observation", "urn:result", f"{order}|2823-3"))
    assert found is not None
    person = store.read("Patient", found["subject"]["reference"][8:])
    stay = store.read("Encounter", found["encounter"]["reference"][10:]) if "encounter" in found else None
    assert person is not None
    return person["identifier"][0]["value"], stay["identifier"][0]["value"] if stay else ""


def done(outcomes: list[Outcome]) -> list[str]:
    return [o.cause or o.status for o in outcomes]


def test_a_visit_moves_with_its_results(store: SqlStore, open_store: Callable[[], SqlStore]) -> None:
    store.apply([work(1, patient("8"), visit("8"), in_visit("8"))])
    store.apply([work(2, patient("8"), result("8", order="B"))])
    assert done(store.apply([move(3, "8", "7")])) == ["done"]
    other = open_store()
    assert whose(other) == ("7", "V1")
    assert whose(other, "B") == ("8", "")
    found = other.search("Observation", [("subject", f"Patient/{id_of('Patient', MRN, '7')}")]).resources
    assert len(found) == 1


def test_a_visit_moves_within_one_transaction(store: SqlStore) -> None:
    store.apply([work(1, patient("8"), visit("8"), in_visit("8")), move(2, "8", "7")])
    assert whose(store) == ("7", "V1")


def test_a_wrong_move_leaves_everything(store: SqlStore) -> None:
    store.apply([work(1, patient("8"), visit("8"), in_visit("8"))])
    head = store.head()
    assert done(store.apply([move(2, "9", "7")])) == ["move-unclear"]
    assert store.head() == head


def test_a_replay_from_before_the_move(store: SqlStore) -> None:
    before = work(1, patient("8"), visit("8"), in_visit("8"))
    store.apply([before])
    store.apply([move(2, "8", "7")])
    for entry in (10, 20):
        again = replace_entry(before, entry)
        store.rerun([again, replace_entry(move(2, "8", "7"), entry + 1)], who="ann", why="test")
        assert whose(store) == ("7", "V1")
        store.rerun([replace_entry(before, entry + 2)], who="ann", why="test")
        assert whose(store) == ("7", "V1")


def replace_entry(one: Work, entry: int) -> Work:
    return replace(one, entry=entry)


def test_visits_become_one(store: SqlStore) -> None:
    store.apply([work(1, patient("7"), visit("7", "V1")), work(2, patient("7"), visit("7", "V2"))])
    store.apply([work(3, patient("7"), visit("7", "V1", write="create"), in_visit("7", "V1"))])
    assert done(store.apply([join(4, "7", "V1", "V2")])) == ["done"]
    assert whose(store) == ("7", "V2")
    store.apply([work(5, patient("7"), visit("7", "V1", write="create"), in_visit("7", "V1", "B"))])
    assert whose(store, "B") == ("7", "V2")
    assert done(store.apply([join(6, "7", "V1", "V2")])) == ["done"]
    assert done(store.apply([join(7, "7", "V1", "V3")])) == ["merge-conflict"]


def test_a_merge_is_taken_back(store: SqlStore, open_store: Callable[[], SqlStore]) -> None:
    store.apply([work(1, patient("8"), result("8")), work(2, patient("7"), result("7", order="B"))])
    store.apply([work(3, *merge("8", "7"))])
    assert whose(store) == ("7", "")
    assert done(store.apply([part(4, "7", "8")])) == ["done"]
    other = open_store()
    assert (whose(other), whose(other, "B")) == (("8", ""), ("7", ""))
    other.apply([work(5, patient("8", write="create"), result("8", value=5))])
    assert whose(other) == ("8", "")
    for number in ("7", "8"):
        person = other.read("Patient", id_of("Patient", MRN, number))
        assert person is not None and "link" not in person and "active" not in person


def test_what_came_since_the_merge(store: SqlStore) -> None:
    store.apply([work(1, patient("8")), work(2, patient("7"))])
    store.apply([work(3, *merge("8", "7"))])
    store.apply([work(4, patient("8", write="create"), result("8"), search=(("patient", "8"),))])
    store.apply([work(5, patient("7", write="create"), result("7", order="B"), search=(("patient", "7"),))])
    (outcome,) = store.apply([part(6, "7", "8")])
    assert [f.code for f in outcome.flags if f.work] == ["unmerge-check"]
    assert (whose(store), whose(store, "B")) == (("8", ""), ("7", ""))


def test_the_middle_of_a_chain_keeps_what_it_had(store: SqlStore) -> None:
    for entry, number in enumerate("876", 1):
        store.apply([work(entry, patient(number), result(number, order=number))])
    store.apply([work(4, *merge("8", "7")), work(5, *merge("7", "6"))])
    assert done(store.apply([part(6, "6", "8")])) == ["unmerge-chain"]
    store.apply([part(7, "6", "7")])
    assert [whose(store, order)[0] for order in "876"] == ["7", "7", "6"]
    store.apply([part(8, "7", "8")])
    assert [whose(store, order)[0] for order in "876"] == ["8", "7", "6"]


def test_running_the_merge_again_keeps_it_taken_back(store: SqlStore) -> None:
    store.apply([work(1, patient("8"), result("8"))])
    store.apply([work(2, *merge("8", "7"))])
    store.apply([part(3, "7", "8")])
    works = [replace_entry(work(2, *merge("8", "7")), 10), replace_entry(part(3, "7", "8"), 11)]
    store.rerun(works, who="ann", why="test")
    assert whose(store) == ("8", "")
    assert done(store.apply([work(20, *merge("8", "7"))])) == ["done"]
    assert whose(store) == ("7", "")
