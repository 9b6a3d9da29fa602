"""The queue of a destination: what is sent when, in which order, and what becomes of what is not taken."""

from __future__ import annotations

from dataclasses import replace

import pytest
from sending_bench import Bench

from engine.channels import replay
from engine.channels.delivering.filling import fill
from engine.channels.delivering.parcels import Parcels
from engine.channels.delivering.sending import Tried
from engine.kernel.delivery import Receipt
from engine.kernel.errors import StoreUnavailable
from engine.kernel.message import Due, Work
from engine.store.deliveries import Delivery


def test_a_message_is_delivered_once(bench: Bench) -> None:
    entry = bench.take("C1")
    assert bench.sending.step()
    assert not bench.sending.step()
    (parcel,) = bench.book.got
    assert parcel.body.startswith(b"MSH|") and parcel.media == "application/hl7-v2"
    assert (parcel.entry, parcel.facts["control_id"], parcel.facts["type"]) == (entry, "C1", "ORU")
    (one,) = bench.outbox.of_entry(entry)
    assert (one.status, one.tries) == ("sent", 1)
    ((_, _, _, times, verdict, _, request, answer),) = bench.outbox.tries(one.id)
    assert (times, verdict, request, answer) == (1, "sent", b"asked", b"said")


def test_a_replay_sends_the_message_to_nobody_again(bench: Bench) -> None:
    entry = bench.take("C1")
    bench.sending.step()
    replay.ask_replay(bench.hub.journal, entry, "a tester", "to see it")
    bench.hub.work()
    assert not bench.sending.step()
    assert len(bench.book.got) == 1


@pytest.mark.parametrize("bench", [", body: fhir"], indirect=True)
def test_a_bundle_is_what_the_core_store_says_and_a_replay_sends_it_again(bench: Bench) -> None:
    entry = bench.take("C1")
    bench.sending.step()
    (parcel,) = bench.book.got
    assert b'"type":"collection"' in parcel.body.replace(b" ", b"")
    assert b'"Observation"' in parcel.body and b'"Patient"' in parcel.body
    replay.ask_replay(bench.hub.journal, entry, "a tester", "to see it")
    bench.hub.work()
    bench.sending.step()  # nothing has changed: there is nothing to deliver, and it is written down
    assert len(bench.book.got) == 1
    assert [status for status, _, _ in bench.states()] == ["sent", "sent"]


def test_a_person_sends_it_as_new(bench: Bench) -> None:
    entry = bench.take("C1")
    bench.sending.step()
    (one,) = bench.outbox.of_entry(entry)
    assert bench.outbox.send_again([one.id]) == [one.id]
    bench.sending.step()
    assert bench.outbox.send_again([one.id], as_new=True) == [one.id]
    bench.sending.step()
    first, second, third = (parcel.key for parcel in bench.book.got)
    assert first == second != third


def test_what_is_parked_keeps_its_patient_waiting_and_nobody_else(bench: Bench) -> None:
    bench.book.answers = [Receipt("park", "nobody knows what to do")]
    first = bench.take("C1")
    second = bench.take("C2")
    other = bench.take("C3", "100999")
    bench.sending.step()
    assert [p.entry for p in bench.book.got] == [first, other]
    bench.sending.step()
    (one,) = bench.outbox.of_entry(first)
    assert bench.outbox.skip([one.id], "told by telephone") == [one.id]
    bench.sending.step()
    assert [p.entry for p in bench.book.got] == [first, other, second]


@pytest.mark.parametrize("bench", [", body: fhir"], indirect=True)
def test_what_a_person_skipped_stays_so_whatever_runs_again(bench: Bench) -> None:
    entry = bench.take("C1")
    (one,) = bench.outbox.of_entry(entry)
    bench.outbox.skip([one.id], "the wrong patient")
    due = Due(one.destination, one.keys, True)
    again = Work(entry, entry, "lab_oru", "", (1,), revision="r", deliveries=(due,))
    bench.hub.store.rerun([again], who="a tester", why="to see it")
    assert [status for status, _, _ in bench.states()] == ["skipped"]


def test_what_is_refused_keeps_nobody_waiting(bench: Bench) -> None:
    bench.book.answers = [Receipt("refuse", "OBX-3 is not known here")]
    entries = [bench.take("C1"), bench.take("C2")]
    bench.sending.step()
    assert [p.entry for p in bench.book.got] == entries
    assert [(s, w) for s, _, w in bench.states()] == [("refused", "OBX-3 is not known here"), ("sent", "")]


def test_what_may_pass_is_tried_later_and_in_order(bench: Bench) -> None:
    bench.book.answers = [Receipt("retry", "busy")]
    first, second = bench.take("C1"), bench.take("C2")
    bench.sending.step()
    assert [p.entry for p in bench.book.got] == [first]
    assert not bench.sending.step(), "before its time it is not tried, nor what comes after it"
    bench.now += 1_000
    bench.sending.step()
    assert [p.entry for p in bench.book.got] == [first, first, second]
    assert bench.book.got[0].key == bench.book.got[1].key


@pytest.mark.parametrize("bench", [", retry: {for: 5 minutes, then: hold}"], indirect=True)
def test_what_does_not_pass_in_time_waits_for_a_person(bench: Bench) -> None:
    bench.take("C1")
    for _ in range(12):
        bench.book.answers = [Receipt("retry", "busy")]
        bench.sending.step()
        bench.now += 60_000
    assert bench.states() == [("parked", len(bench.book.got), "busy")]
    (one,) = bench.outbox.of_entry(1)
    ((_, _, _, times, _, _, _, _),) = bench.outbox.tries(one.id)
    assert times == len(bench.book.got), "the same again is one row of evidence, counted"


def test_a_closed_door_costs_one_try_and_blames_nobody(bench: Bench) -> None:
    bench.take("C1")
    other = bench.take("C2", "100999")
    for _ in range(200):
        bench.book.answers = [Receipt("retry", "cannot connect", down=True)] * 2
        bench.sending.step()
        bench.now += 60_000
    assert other not in [p.entry for p in bench.book.got]
    assert {status for status, _, _ in bench.states()} == {"pending"}, (
        "three hours down, and nothing is given up"
    )
    assert bench.outbox.standing("lab_oru.book").state == "down"
    bench.book.answers = []
    while bench.sending.step():
        bench.now += 60_000
    assert {status for status, _, _ in bench.states()} == {"sent"}
    assert bench.outbox.standing("lab_oru.book").state == "open"


def test_a_crash_between_delivery_and_record_sends_the_same_key(bench: Bench) -> None:
    bench.take("C1")

    class Crashing:
        def __getattr__(self, name: str) -> object:
            return getattr(bench.outbox, name)

        def record(self, results: object) -> None:
            raise StoreUnavailable("gone")

    with pytest.raises(StoreUnavailable):
        bench.again(Crashing()).step()
    bench.again().step()
    assert [p.key for p in bench.book.got] == [bench.book.got[0].key] * 2
    assert [status for status, _, _ in bench.states()] == ["sent"]


def test_a_fault_of_ours_parks_one_and_says_nothing_of_what_it_held(bench: Bench) -> None:
    bench.book.answers = [ValueError("SECRET^NAME")]
    bench.take("C1")
    bench.take("C2", "100999")
    bench.sending.step()
    assert [status for status, _, _ in bench.states()] == ["parked", "sent"]
    assert "SECRET" not in bench.states()[0][2]


def test_a_person_stops_a_destination(bench: Bench) -> None:
    bench.outbox.set_state("lab_oru.book", "stopped", "moving house", 1, by_hand=True)
    bench.take("C1")
    assert not bench.sending.step()
    bench.outbox.set_state("lab_oru.book", "open", "", 2, by_hand=True)
    assert bench.sending.step()


def test_a_result_of_an_older_round_counts_for_nothing(bench: Bench) -> None:
    bench.take("C1")
    (one,) = bench.outbox.pending("lab_oru.book", 0, 10)
    assert isinstance(one, Delivery)
    bench.outbox.skip([one.id], "not wanted")
    bench.outbox.send_again([one.id])
    bench.outbox.record([bench.sending._judged(Tried(one, Receipt("sent"), 1, False, True))])
    assert [status for status, _, _ in bench.states()] == ["pending"]


@pytest.mark.parametrize(
    ("bench", "then"), [(", body: fhir", "pending"), (", body: original", "sent")], indirect=["bench"]
)
def test_a_copy_that_a_stale_process_may_have_set_back_is_sent_again(bench: Bench, then: str) -> None:
    bench.take("C1")
    (one,) = bench.outbox.pending("lab_oru.book", 0, 10)  # a process that then stood still
    assert bench.sending.step()
    bench.outbox.record([bench.sending._judged(Tried(one, Receipt("sent"), 1, False, True))])
    assert [status for status, _, _ in bench.states()] == [then]
    assert bench.sending.step() == (then == "pending")
    assert [status for status, _, _ in bench.states()] == ["sent"]


@pytest.mark.parametrize("bench", [", types: [ORM]", ", when: OBX-3.1 = NOBODY"], indirect=True)
def test_what_no_rule_wants_goes_nowhere(bench: Bench) -> None:
    bench.take("C1")
    assert not bench.sending.step()
    assert bench.states() == []


@pytest.mark.parametrize(
    "bench",
    [", body: event", ", body: event, with: content", ", body: oru, set: {sender: HUB, receiver: STATE}"],
    indirect=True,
)
def test_what_was_written_once_is_sent_again_byte_for_byte(bench: Bench) -> None:
    bench.book.answers = [Receipt("retry", "busy")]
    bench.take("C1")
    bench.sending.step()
    bench.now += 5_000
    bench.again().step()
    assert len(bench.book.got) == 2, bench.states()
    assert bench.book.got[0].body == bench.book.got[1].body


def test_what_is_told_later_is_evidence_and_a_failure_waits_for_a_person(bench: Bench) -> None:
    entry = bench.take("C1")
    bench.sending.step()
    (one,) = bench.outbox.of_entry(entry)
    for told in (
        Receipt("sent", "told: processed", answer=b"mail 1"),
        Receipt("sent", "told: processed", answer=b"mail 1"),  # the same again, after a crash
        Receipt("refuse", "told: failed", answer=b"mail 2"),
    ):
        bench.outbox.told(one.id, told, 9)
    assert bench.states() == [("refused", 1, "told: failed")]
    assert [(t.n, t.verdict, t.why, t.answer) for t in bench.outbox.tries(one.id)] == [
        (1, "sent", "", b"said"),
        (2, "told", "told: processed", b"mail 1"),
        (3, "told", "told: failed", b"mail 2"),
    ]
    assert not bench.sending.step()  # it is not sent again by itself
    bench.outbox.send_again([one.id])
    bench.sending.step()
    assert bench.states()[0][0] == "sent"


def test_a_new_destination_is_filled_with_what_came_before(bench: Bench) -> None:
    hub = bench.hub
    bench.take("C1")
    bench.sending.step()
    before = [replace(c, deliver=()) for c in hub.channels]
    hub.worker.pipeline.take(hub.worker.pipeline.maps, before)
    late = bench.take("C2")
    bench.take("C3", "100999")
    assert not bench.sending.step()
    assert fill("lab_oru.book", hub.channels, hub.journal, hub.store, hub.keyring.mac16) == 3
    bench.sending.step()
    assert [p.entry for p in bench.book.got] == [1, late, late + 1], "the first was delivered already"


def test_evidence_goes_by_policy_and_the_fact_stays(bench: Bench) -> None:
    entry = bench.take("C1")
    bench.sending.step()
    (one,) = bench.outbox.of_entry(entry)
    assert bench.outbox.forget(bench.now) is None
    assert bench.outbox.tries(one.id)[0].request == b"asked", "not before its time"
    assert bench.outbox.forget(bench.now + 1) is None
    ((_, _, _, _, verdict, _, request, answer),) = bench.outbox.tries(one.id)
    assert (verdict, request, answer) == ("sent", b"", b"")


@pytest.mark.parametrize("bench", [", body: event"], indirect=True)
def test_an_event_says_what_happened_and_nothing_of_the_patient(bench: Bench) -> None:
    bench.take("C1", "100299")
    bench.sending.step()
    (parcel,) = bench.book.got
    assert parcel.facts["happened"] == "result.final" and parcel.media == "application/cloudevents+json"
    assert b"DiagnosticReport" in parcel.body and b"100299" not in parcel.body


@pytest.mark.parametrize("bench", [", body: fhir"], indirect=True)
def test_a_bundle_is_stale_once_the_core_store_says_something_newer(bench: Bench) -> None:
    parcels = Parcels(bench.hub.root, "urn:hub:own", bench.hub.keyring, bench.hub.journal, bench.hub.store)
    bench.take("C1")
    bench.sending.step()
    (parcel,) = bench.book.got
    assert not parcels.stale(parcel)
    mine = {"ORD1^": "ORD100234^", "LAB1^": "LAB100234^", "V7001^": "V100234^"}
    bench.hub.take("lab_oru", "lab/oru_potassium", {"LAB0001": "C2", "||4.1|": "||4.4|", **mine})
    assert parcels.stale(parcel)
