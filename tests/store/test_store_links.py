"""References: between drafts, to resources of other messages, and to those that come later."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

from store_messages import MRN, ORDER, draft, id_of, patient, result, work

from engine.kernel.message import Draft
from engine.store.sql import SqlStore

OBS = id_of("Observation", "urn:result", "A|2823-3")
P1 = id_of("Patient", MRN, "1")


def order(number: str, *more: str, status: str = "active") -> Draft:
    identifiers = [{"system": ORDER, "value": one} for one in (number, *more)]
    return draft("ServiceRequest", ORDER, number, {"identifier": identifiers, "status": status})


def based_on(number: str) -> dict[str, Any]:
    return {"basedOn": [{"type": "ServiceRequest", "identifier": {"system": ORDER, "value": number}}]}


def reference(store: SqlStore) -> Any:
    return store.read("Observation", OBS)["basedOn"][0].get("reference")  # type: ignore[index]


def test_drafts_name_each_other_by_urn(store: SqlStore) -> None:
    about = {"subject": {"reference": f"urn:uuid:{P1}"}, "note": [{"text": f'"reference":"urn:uuid:{P1}"'}]}
    store.apply([work(1, patient(), result(value=Decimal("1.0"), body=about))])
    found = store.read("Observation", OBS)
    assert found is not None
    assert found["subject"] == {"reference": f"Patient/{P1}"}
    assert found["note"] == [{"text": f'"reference":"urn:uuid:{P1}"'}], "text is not a reference"
    assert str(found["valueQuantity"]["value"]) == "1.0"
    assert [r["id"] for r in store.search("Observation", [("patient", P1)]).resources] == [OBS]
    (again,) = store.apply([work(2, patient(), result(value=Decimal("1.0"), body=about))])
    assert again.unchanged == 2


def test_a_link_to_an_earlier_message(store: SqlStore) -> None:
    store.apply([work(1, order("P"))])
    store.apply([work(2, patient(), result(body=based_on("P")))])
    assert reference(store) == "ServiceRequest/" + id_of("ServiceRequest", ORDER, "P")
    (again,) = store.apply([work(3, patient(), result(body=based_on("P")))])
    assert again.unchanged == 2


def test_by_an_identifier_that_is_no_key(store: SqlStore) -> None:
    store.apply([work(1, order("P", "F")), work(2, patient(), result(body=based_on("F")))])
    assert reference(store) == "ServiceRequest/" + id_of("ServiceRequest", ORDER, "P")


def test_the_target_comes_later(store: SqlStore) -> None:
    (outcome,) = store.apply([work(1, patient(), result(body=based_on("P")))])
    assert (outcome.status, reference(store)) == ("done", None)
    store.apply([work(2, order("X"))])
    assert reference(store) is None
    store.apply([work(3, order("P"))])
    assert reference(store) == "ServiceRequest/" + id_of("ServiceRequest", ORDER, "P")
    newest = store.history("Observation", OBS)[0]
    assert (newest.op, newest.entry, newest.position, newest.version) == ("relink", 3, 1, 2)
    (late,) = store.apply([work(4, patient(), result(value=9, body=based_on("P")))])
    assert late.written == 1
    store.apply([work(5, order("P", status="revoked"))])
    assert len(store.history("Observation", OBS)) == 3


def test_in_one_batch(store: SqlStore) -> None:
    store.apply([work(1, patient(), result(body=based_on("P"))), work(2, order("P"))])
    assert reference(store) == "ServiceRequest/" + id_of("ServiceRequest", ORDER, "P")


def test_several_are_not_linked(store: SqlStore) -> None:
    store.apply([work(1, order("P", "shared"), order("Q", "shared"))])
    (outcome,) = store.apply([work(2, patient(), result(body=based_on("shared")))])
    assert [flag.code for flag in outcome.flags] == ["several-match"]
    assert reference(store) is None


def test_a_patient_by_identifier_is_found_by_search(store: SqlStore) -> None:
    subject = {"type": "Patient", "identifier": {"system": MRN, "value": "1"}}
    store.apply([work(1, patient())])
    store.apply([work(2, result(body={"subject": subject}))])
    assert [r["id"] for r in store.search("Observation", [("patient", P1)]).resources] == [OBS]
    later = {"type": "Patient", "identifier": {"system": MRN, "value": "2"}}
    store.apply([work(3, result(order="B", body={"subject": later})), work(4, patient("2"))])
    found = store.search("Observation", [("patient", id_of("Patient", MRN, "2"))]).resources
    assert [r["id"] for r in found] == [id_of("Observation", "urn:result", "B|2823-3")]


def test_weak_elements_are_for_new_resources_only(store: SqlStore) -> None:
    def visit(status: str, **more: Any) -> Draft:
        return draft("Encounter", MRN, "v", {"status": status}, **more)

    store.apply([work(1, visit("unknown", weak=("status",)))])
    id_ = id_of("Encounter", MRN, "v")
    assert store.read("Encounter", id_)["status"] == "unknown"  # type: ignore[index]
    store.apply([work(2, visit("finished"))])
    (outcome,) = store.apply([work(3, visit("unknown", weak=("status",)))])
    assert outcome.unchanged == 1
    assert store.read("Encounter", id_)["status"] == "finished"  # type: ignore[index]


def test_ids_made_by_the_store_are_those_of_drafts(store: SqlStore) -> None:
    assert store.identify("Patient", MRN, "1") == P1
