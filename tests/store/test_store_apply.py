"""One transaction a batch: exactly once, alone in parking, older never over newer."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from store_messages import MRN, ORDER, draft, id_of, patient, result, work

from engine.kernel.errors import StoreUnavailable
from engine.kernel.message import Draft, Due, Flag
from engine.store.sql import SqlStore
from engine.store.writer import Writer

P1 = id_of("Patient", MRN, "1")
OBS_A = id_of("Observation", "urn:result", "A|2823-3")


def test_a_message_becomes_resources(store: SqlStore) -> None:
    (outcome,) = store.apply([work(1, patient(), result(value=Decimal("4.10")))])
    assert (outcome.status, outcome.written, outcome.unchanged, outcome.superseded) == ("done", 2, 0, 0)
    found = store.read("Observation", OBS_A)
    assert found is not None
    assert found["id"] == OBS_A
    assert found["meta"]["versionId"] == "1"
    assert found["meta"]["source"] == "urn:hub:entry:1"
    assert found["meta"]["lastUpdated"].endswith("Z")
    assert found["subject"] == {"reference": f"Patient/{P1}"}
    assert str(found["valueQuantity"]["value"]) == "4.10"
    assert store.outcome(1) == outcome
    assert store.read("Patient", OBS_A) is None
    assert store.read("Observation", "nobody") is None


def test_an_entry_is_written_once(store: SqlStore) -> None:
    first = store.apply([work(1, patient(), result(value=1))])
    again = store.apply([work(1, patient(), result(value=2)), work(2, patient())])
    assert again[0] == first[0]
    assert again[1].unchanged == 1
    found = store.read("Observation", OBS_A)
    assert found is not None and found["valueQuantity"]["value"] == 1
    assert len(store.feed()) == 2


def test_one_entry_twice_in_a_batch_is_written_once(store: SqlStore) -> None:
    outcomes = store.apply([work(1, patient()), work(1, patient(family="Other"))])
    assert outcomes[0] == outcomes[1]
    assert len(store.feed()) == 1


def test_unchanged_writes_nothing_but_moves_the_position(store: SqlStore) -> None:
    store.apply([work(1, patient(), result(value=1))])
    (outcome,) = store.apply([work(5, patient(), result(value=1))])
    assert (outcome.written, outcome.unchanged) == (0, 2)
    (late,) = store.apply([work(9, result(value=7), position=3)])
    assert (late.written, late.superseded) == (0, 1)
    assert [flag.code for flag in late.flags] == ["late"]
    found = store.read("Observation", OBS_A)
    assert found is not None and found["valueQuantity"]["value"] == 1


def test_digits_are_a_difference(store: SqlStore) -> None:
    store.apply([work(1, patient(), result(value=Decimal("4.1")))])
    (outcome,) = store.apply([work(2, patient(), result(value=Decimal("4.10")))])
    assert outcome.written == 1


def test_works_of_one_batch_see_each_other(store: SqlStore) -> None:
    outcomes = store.apply([work(n, patient(), result(value=n)) for n in (1, 2, 3)])
    assert [o.written for o in outcomes] == [2, 1, 1]
    assert [v.version for v in store.history("Observation", OBS_A)] == [3, 2, 1]
    assert [v.entry for v in store.history("Observation", OBS_A)] == [3, 2, 1]
    second = store.vread("Observation", OBS_A, 2)
    assert second is not None and second.resource is not None
    assert second.resource["valueQuantity"]["value"] == 2
    assert store.vread("Observation", OBS_A, 4) is None


def test_create_only_links(store: SqlStore) -> None:
    store.apply([work(1, patient(body={"gender": "female"}))])
    (outcome,) = store.apply([work(2, patient(body={"gender": "male"}, write="create"), result())])
    assert outcome.written == 1
    found = store.read("Patient", P1)
    assert found is not None and found["gender"] == "female"


def test_another_birth_date_is_parked_alone(store: SqlStore) -> None:
    store.apply([work(1, patient())])
    outcomes = store.apply(
        [
            work(2, patient(born="1980-01-01"), result(order="A")),
            work(3, patient(born="1955-12-31", write="create"), result(order="B"), lanes=(7,)),
            work(4, patient(mrn="2"), result(mrn="2", order="C")),
        ]
    )
    assert [(o.status, o.cause) for o in outcomes] == [
        ("done", ""),
        ("parked", "patient-mismatch"),
        ("done", ""),
    ]
    assert "1955" not in outcomes[1].text
    assert store.read("Observation", id_of("Observation", "urn:result", "B|2823-3")) is None
    assert store.read("Observation", id_of("Observation", "urn:result", "C|2823-3")) is not None
    assert [o.entry for o in store.parked()] == [3]
    assert store.watermarks() == {1: 4, 7: 3}


@pytest.mark.parametrize(
    ("family", "given", "status"),
    [
        ("DOE", "Jo", "done"),
        ("Döe", "Someone", "done"),
        ("Smith", "JO", "done"),
        ("Smith", "Ann", "parked"),
        ("", "", "done"),
    ],
)
def test_a_clearly_different_name_is_parked(store: SqlStore, family: str, given: str, status: str) -> None:
    store.apply([work(1, patient())])
    name = {"name": [{"family": family, "given": [given]}]} if family else {}
    (outcome,) = store.apply([work(2, patient(family="", born="", body=name, write="create"))])
    assert outcome.status == status


def test_a_person_may_confirm_a_mismatch(store: SqlStore) -> None:
    store.apply([work(1, patient())])
    (outcome,) = store.apply([work(2, patient(born="1981-01-01"))])
    assert outcome.cause == "patient-mismatch"
    (outcome,) = store.rerun([work(2, patient(born="1981-01-01"))], who="ann", why="checked", confirmed={2})
    assert outcome.status == "done"
    assert store.read("Patient", P1)["birthDate"] == "1981-01-01"  # type: ignore[index]
    assert store.parked() == []


def test_keys_that_disagree_are_parked(store: SqlStore) -> None:
    store.apply([work(1, patient("1")), work(2, patient("2"))])
    both = patient("1", keys=((MRN, "1"), (MRN, "2")))
    (outcome,) = store.apply([work(3, both)])
    assert (outcome.status, outcome.cause) == ("parked", "ambiguous-patient")
    orders = [draft("ServiceRequest", ORDER, n, {"status": "active"}) for n in "xy"]
    store.apply([work(4, *orders)])
    unclear = draft("ServiceRequest", ORDER, "x", {"status": "active"}, keys=((ORDER, "x"), (ORDER, "y")))
    (outcome,) = store.apply([work(5, unclear)])
    assert outcome.cause == "ambiguous-key"


def test_an_alternate_key_finds_the_resource_and_references_follow(store: SqlStore) -> None:
    """The placer number comes first, later the filler number too: one order, and results point to it."""
    store.apply([work(1, draft("ServiceRequest", ORDER, "P", {"status": "active"}))])
    known = id_of("ServiceRequest", ORDER, "P")
    keys = ((ORDER, "F"), (ORDER, "P"))
    order = draft("ServiceRequest", ORDER, "F", {"status": "completed"}, keys=keys)
    assert order.id != known
    based = {"basedOn": [{"reference": f"ServiceRequest/{order.id}"}]}
    store.apply([work(2, patient(), order, result(body=based))])
    assert store.read("Observation", OBS_A)["basedOn"] == [{"reference": f"ServiceRequest/{known}"}]  # type: ignore[index]
    assert store.read("ServiceRequest", known)["status"] == "completed"  # type: ignore[index]
    (outcome,) = store.apply([work(3, draft("ServiceRequest", ORDER, "F", {"status": "revoked"}))])
    assert outcome.written == 1
    assert store.read("ServiceRequest", known)["status"] == "revoked"  # type: ignore[index]


def test_two_drafts_of_one_key_never_overwrite_each_other(store: SqlStore) -> None:
    (outcome,) = store.apply([work(1, patient(), result(value=1), result(value=2))])
    assert (outcome.status, outcome.cause) == ("parked", "duplicate-key")
    assert store.read("Patient", P1) is None
    (outcome,) = store.apply([work(2, patient(), patient(), result(value=1), result(value=1))])
    assert (outcome.status, outcome.written) == ("done", 2)


def test_a_draft_without_key_is_known_by_its_id(store: SqlStore) -> None:
    def note(text: str) -> Draft:
        return draft(
            "Communication", "parent", "1", {"status": "completed", "note": [{"text": text}]}, keys=()
        )

    store.apply([work(1, note("a"))])
    (outcome,) = store.apply([work(2, note("b"))])
    assert outcome.written == 1
    assert store.read("Communication", note("").id)["note"] == [{"text": "b"}]  # type: ignore[index]


def test_ids_that_are_no_uuids(store: SqlStore) -> None:
    store.apply([work(1, Draft("x", "Basic", "a.b-c", {"resourceType": "Basic", "code": {"text": "x"}}))])
    store.apply([work(2, Draft("x", "List", "a.b-c", {"resourceType": "List", "status": "current"}))])
    assert store.read("Basic", "a.b-c")["code"] == {"text": "x"}  # type: ignore[index]
    assert store.read("List", "a.b-c")["status"] == "current"  # type: ignore[index]


def test_a_parked_work_writes_nothing_and_is_found(store: SqlStore) -> None:
    cause = Flag("unmappable", "OBX[1]-5", "no", work=True)
    parked = work(1, patient(), parked=cause, search=(("identifier", "1"),), lanes=(3, 4))
    (outcome,) = store.apply([parked])
    assert (outcome.status, outcome.cause, outcome.where) == ("parked", "unmappable", "OBX[1]-5")
    assert store.read("Patient", P1) is None
    assert store.find("identifier", "1") == [1]
    assert store.find("order", "1") == []
    assert store.watermarks() == {3: 1, 4: 1}


def test_content_that_breaks_the_transaction_parks_alone(store: SqlStore) -> None:
    bad = result(order="B", body={"code": {"coding": ["not a coding"]}})
    outcomes = store.apply([work(1, patient()), work(2, patient(), bad), work(3, patient(mrn="3"))])
    assert [o.status for o in outcomes] == ["done", "parked", "done"]
    assert outcomes[1].cause == "cannot-store"
    assert store.read("Observation", bad.id) is None


@pytest.mark.parametrize("odd", ["\x00", "\ud800"])
def test_text_no_database_takes_never_blocks(store: SqlStore, odd: str) -> None:
    works = [
        work(1, patient(), sender=f"A{odd}"),
        work(2, patient(), flags=[Flag("odd", f"PID{odd}", "x")]),
        work(3, patient(mrn=f"1{odd}")),
        work(4, search=(("order", f"7{odd}"),)),
        work(5, patient(), result()),
    ]
    outcomes = store.apply(works)
    assert [o.entry for o in outcomes] == [1, 2, 3, 4, 5]
    assert {o.status for o in outcomes} <= {"done", "parked"}
    assert outcomes[4].status == "done"
    assert all(store.outcome(n) == outcomes[n - 1] for n in range(1, 6))


def test_a_skipped_entry_has_an_outcome(store: SqlStore) -> None:
    (outcome,) = store.apply([work(1, note="duplicate")])
    assert (outcome.status, outcome.cause) == ("skipped", "duplicate")
    assert store.outcomes(status="skipped") == [outcome]


def test_flags_survive(store: SqlStore) -> None:
    flag = Flag("unmapped-code", "OBX[1]-3", "no such code", work=True)
    (outcome,) = store.apply([work(1, patient(), flags=[flag])])
    assert outcome.flags == (flag,)
    assert store.outcome(1) == outcome


def test_watermarks_only_rise(store: SqlStore) -> None:
    store.apply([work(5, lanes=(1, 2))])
    store.advance([1], 9)
    store.advance([1, 2], 3)
    assert store.watermarks() == {1: 9, 2: 5}


def test_a_failing_database_leaves_nothing(
    store: SqlStore, open_store: Callable[[], SqlStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store.apply([work(1, patient())])
    real = Writer.flush

    def failing(writer: Writer) -> None:
        real(writer)
        writer.state.session.run("INSERT INTO no_such_table VALUES (1)")

    monkeypatch.setattr(Writer, "flush", failing)
    with pytest.raises(StoreUnavailable) as caught:
        store.apply([work(2, patient(), result())])
    assert "Doe" not in str(caught.value)
    monkeypatch.undo()
    other = open_store()
    assert other.outcome(2) is None
    assert other.watermarks() == {1: 1}
    assert len(other.feed()) == 1
    (outcome,) = store.apply([work(2, patient(), result())])
    assert outcome.written == 1
    assert [c.seq for c in other.feed()] == [1, 2]


def test_two_processes_share_a_store(open_store: Callable[[], SqlStore]) -> None:
    one, two = open_store(), open_store()
    for n in range(1, 9):
        (outcome,) = (one if n % 2 else two).apply(
            [work(n, patient(), result(value=n), result(order=str(n)))]
        )
        assert outcome.status == "done"
    assert [c.seq for c in one.feed()] == list(range(1, 18))
    assert [v.version for v in two.history("Observation", OBS_A)] == list(range(8, 0, -1))


def test_whoever_has_passed_a_position_sees_no_smaller_one_appear(open_store: Callable[[], SqlStore]) -> None:
    writers, reader = [open_store(), open_store()], open_store()

    def write(nth: int) -> None:
        for n in range(12):
            number = n * 2 + nth + 1
            writers[nth].apply([work(number, patient(str(number)), result(str(number), order=str(number)))])

    seen: list[int] = []
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(write, nth) for nth in (0, 1)]
        finished = False
        while True:
            new = [change.seq for change in reader.feed(since=seen[-1] if seen else 0, limit=5)]
            seen += new
            if finished and not new:
                break
            finished = all(one.done() for one in running)
        for one in running:
            one.result()
    assert seen == list(range(1, 49))


def test_find_and_outcome_filters(store: SqlStore) -> None:
    works = [
        work(n, search=(("order", "77"), ("name", f"n{n}")), channel=f"c{n % 2}") for n in (1, 2, 5000, 90000)
    ]
    store.apply(works)
    assert store.find("order", "77") == [90000, 5000, 2, 1]
    assert store.find("order", "77", limit=2) == [90000, 5000]
    assert store.find("name", "n2") == [2]
    assert [o.entry for o in store.outcomes(channel="c0", after=2)] == [5000, 90000]
    assert [o.entry for o in store.outcomes(limit=2, newest_first=True)] == [90000, 5000]
    assert [o.entry for o in store.outcomes(after=5000, newest_first=True)] == [2, 1]


def test_deliveries_wait(store: SqlStore) -> None:
    store.apply([work(1, patient(), deliveries=(Due("ehr"),))])
    rows = store._read(lambda reader: reader.session.all("SELECT entry, destination, status FROM delivery"))
    assert rows == [(1, 1, "pending")]
    assert [(p.name, p.state, p.pending) for p in store.deliveries.places()] == [("ehr", "open", 1)]


def _problem(clinical: str = "", verified: str = "", **more: Any) -> Draft:
    system = "http://terminology.hl7.org/CodeSystem/condition-"
    body: dict[str, Any] = {
        "code": {"coding": [{"system": "http://snomed.info/sct", "code": "38341003"}]},
        "subject": {"reference": f"Patient/{id_of('Patient', MRN, '1')}"},
        **more,
    }
    if clinical:
        body["clinicalStatus"] = {"coding": [{"system": f"{system}clinical", "code": clinical}]}
    if verified:
        body["verificationStatus"] = {"coding": [{"system": f"{system}ver-status", "code": verified}]}
    return draft("Condition", "urn:problem", "p1", body, map="problem_Condition")


def test_a_problem_that_is_denied_is_active_no_more_and_one_told_again_is_not_denied(store: SqlStore) -> None:
    key = id_of("Condition", "urn:problem", "p1")
    store.apply([work(1, patient(), _problem("resolved", abatementDateTime="2026-01-01"))])
    store.apply([work(2, patient(), _problem(verified="refuted"))])
    denied = store.read("Condition", key)
    assert denied is not None and denied["verificationStatus"]["coding"][0]["code"] == "refuted"
    assert not denied.keys() & {"clinicalStatus", "abatementDateTime"}
    (outcome,) = store.apply([work(3, patient(), _problem("active"))])
    told = store.read("Condition", key)
    assert told is not None and told["clinicalStatus"]["coding"][0]["code"] == "active"
    assert "verificationStatus" not in told
    assert [f.code for f in outcome.flags if f.work] == ["told-again"]
