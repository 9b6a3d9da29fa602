"""The Study Instance UID of an imaging order: given once, kept, and left to a message that brings one."""

from __future__ import annotations

from typing import Any

from store_messages import MRN, ORDER, draft, id_of, merge, patient, work

from engine.kernel.message import Draft
from engine.store.sql import SqlStore
from engine.store.study_uids import study_uids

IMAGING = [{"coding": [{"system": "http://snomed.info/sct", "code": "363679005"}]}]
UIDS = "urn:dicom:uid"


def number(value: str, kind: str, system: str = ORDER) -> dict[str, Any]:
    coding = [{"system": "http://terminology.hl7.org/CodeSystem/v2-0203", "code": kind}]
    return {"system": system, "value": value, "type": {"coding": coding}}


def procedure(value: str) -> dict[str, Any]:
    return {"system": "urn:rp", "value": value, "type": {"text": "Requested Procedure ID"}}


def order(placer: str = "P1", mrn: str = "1", uid: str = "", **more: Any) -> Draft:
    found: list[tuple[str, dict[str, Any]]] = [("placer", number(placer, "PLAC"))] if placer else []
    found += [(kind.lower(), number(value, kind)) for kind, value in more.pop("numbers", {}).items()]
    if rp := more.pop("rp", ""):
        found.append(("procedure", procedure(rp)))
    if uid:
        found.append(("study", {"system": UIDS, "value": f"urn:oid:{uid}"}))
    body = {
        "status": "active",
        "intent": "order",
        "category": IMAGING,
        "code": {"coding": [{"system": "urn:c", "code": "CT"}]},
        "subject": {"reference": f"Patient/{id_of('Patient', MRN, mrn)}"},
        "identifier": [entry for _, entry in found],
        **more.pop("body", {}),
    }
    more.setdefault("labels", {"identifier": tuple(label for label, _ in found)})
    more.setdefault("map", "ORC_ServiceRequest")
    key = placer or found[0][1]["value"]
    return draft("ServiceRequest", ORDER, key, body, **more)


def uids(store: SqlStore, placer: str = "P1") -> list[str]:
    found = store.read("ServiceRequest", id_of("ServiceRequest", ORDER, placer))
    assert found is not None
    return study_uids(found)


def codes(outcome: Any) -> set[str]:
    return {flag.code for flag in outcome.flags}


def test_given_once_and_kept(store: SqlStore) -> None:
    store.apply([work(1, patient(), order())])
    (first,) = uids(store)
    assert first.startswith("2.25.") and 1 <= int(first[5:]) < 1 << 128 and len(first) <= 64
    changed = order(body={"code": {"coding": [{"system": "urn:c", "code": "CTX"}]}})
    store.apply([work(2, patient(), changed)])
    store.apply([work(3, patient(), order(map="OMI_ServiceRequest"), sender="RIS")])
    store.apply([work(4, patient(), order(body={"status": "completed"}))])
    assert uids(store) == [first]


def test_the_same_again_writes_nothing(store: SqlStore) -> None:
    store.apply([work(1, patient(), order())])
    (said,) = store.apply([work(2, patient(), order())])
    assert (said.written, said.unchanged) == (0, 2)  # the patient is the other


def test_two_orders_have_two_and_two_stores_the_same(store: SqlStore, tmp_path: Any, keyring: Any) -> None:
    works = [work(1, patient(), order(), order("P2"))]
    store.apply(works)
    assert uids(store) != uids(store, "P2")
    other = SqlStore.open(f"sqlite:///{tmp_path}/other.db", keyring)
    try:
        other.apply(works)
        assert (uids(other), uids(other, "P2")) == (uids(store), uids(store, "P2"))
    finally:
        other.close()


def test_kept_where_the_filler_speaks_by_its_own_number(store: SqlStore) -> None:
    store.apply([work(1, patient(), order(numbers={"FILL": "F1"}))])
    (first,) = uids(store)
    store.apply([work(2, patient(), order("", numbers={"FILL": "F1"}), sender="RIS")])
    assert uids(store) == [first]
    assert sum(c.type == "ServiceRequest" and c.op == "create" for c in store.feed(limit=100)) == 1


def test_orders_of_one_procedure_share_it_and_nobody_elses(store: SqlStore) -> None:
    store.apply([work(1, patient(), order(rp="RP1"), order("P2", rp="RP1"))])
    store.apply([work(2, patient(), order("P3", rp="RP1"))])
    store.apply([work(3, patient("2", "Roe"), order("P4", "2", rp="RP1"))])
    store.apply([work(4, patient(), order("P5", rp="RP1", numbers={"ACSN": "A9"}))])
    assert uids(store) == uids(store, "P2") == uids(store, "P3")
    assert len({uids(store, name)[0] for name in ("P1", "P4", "P5")}) == 3


def test_the_message_wins_before_there_are_images(store: SqlStore) -> None:
    store.apply([work(1, patient(), order())])
    (said,) = store.apply([work(2, patient(), order(uid="1.2.3"))])
    assert uids(store) == ["1.2.3"]
    assert "study-uid-replaced" in codes(said)
    (later,) = store.apply([work(3, patient(), order())])
    assert uids(store) == ["1.2.3"] and not codes(later)


def test_the_message_says_what_was_given(store: SqlStore) -> None:
    store.apply([work(1, patient(), order())])
    (first,) = uids(store)
    (said,) = store.apply([work(2, patient(), order(uid=first))])
    assert uids(store) == [first] and not codes(said)


def test_images_hold_the_first(store: SqlStore) -> None:
    store.apply([work(1, patient(), order())])
    (first,) = uids(store)
    body = {
        "status": "available",
        "identifier": [{"system": UIDS, "value": f"urn:oid:{first}"}],
        "subject": {"reference": f"Patient/{id_of('Patient', MRN, '1')}"},
    }
    store.apply([work(2, patient(), draft("ImagingStudy", UIDS, f"urn:oid:{first}", body), sender="hub")])
    (said,) = store.apply([work(3, patient(), order(uid="1.2.3"))])
    assert uids(store)[0] == first and set(uids(store)) == {first, "1.2.3"}
    assert "study-uid-differs" in codes(said)
    (again,) = store.apply([work(4, patient(), order(uid="1.2.3"))])
    assert uids(store)[0] == first and not codes(again)


def test_replays_keep_it(store: SqlStore) -> None:
    first = work(1, patient(), order())
    second = work(2, patient(), order(body={"status": "on-hold"}))
    store.apply([first, second])
    (given,) = uids(store)
    store.rerun([first, second], who="ann", why="map changed")
    assert uids(store) == [given]
    store.rerun([second])
    assert uids(store) == [given]


def test_a_replay_after_a_merge_keeps_what_its_procedure_had(store: SqlStore) -> None:
    store.apply([work(1, patient(), order(rp="RP1"))])
    second = work(2, patient(), order("P2", rp="RP1"))
    store.apply([second])
    (given,) = uids(store)
    store.apply([work(3, patient("2"))])
    store.apply([work(4, *merge("1", "2"))])
    store.rerun([second])
    assert uids(store, "P2") == [given] == uids(store)


def test_neither_results_nor_laboratories_nor_ended_orders_get_one(store: SqlStore) -> None:
    store.apply([work(1, patient(), order(write="create"))])
    store.apply([work(2, patient(), order("P2", body={"category": []}))])
    store.apply([work(3, patient(), order("P3", body={"status": "revoked"}))])
    assert uids(store) == uids(store, "P2") == uids(store, "P3") == []


def report(*numbers: dict[str, Any], mrn: str = "1") -> Draft:
    body = {
        "status": "final",
        "code": {"text": "CT"},
        "subject": {"reference": f"Patient/{id_of('Patient', MRN, mrn)}"},
        "imagingStudy": [{"type": "ImagingStudy", "identifier": one} for one in numbers],
    }
    return draft("DiagnosticReport", "urn:report", f"R{mrn}", body)


def study(mrn: str = "1", uid: str = "1.2.3", whose: dict[str, Any] | None = None) -> Draft:
    body = {
        "status": "available",
        "identifier": [{"system": UIDS, "value": f"urn:oid:{uid}"}, number("A1", "ACSN", "urn:acc")],
        "subject": whose or {"reference": f"Patient/{id_of('Patient', MRN, mrn)}"},
    }
    return draft("ImagingStudy", UIDS, f"urn:oid:{uid}", body)


BY_UID = {"system": UIDS, "value": "urn:oid:1.2.3"}
BY_ACCESSION = {"system": "urn:acc", "value": "A1"}


def linked(store: SqlStore, mrn: str = "1") -> list[str]:
    found = store.read("DiagnosticReport", id_of("DiagnosticReport", "urn:report", f"R{mrn}"))
    assert found is not None
    return [one.get("reference", "") for one in found["imagingStudy"]]


THERE = f"ImagingStudy/{id_of('ImagingStudy', UIDS, 'urn:oid:1.2.3')}"


def test_a_report_finds_its_study_whichever_comes_first(store: SqlStore) -> None:
    first = work(1, patient(), report(BY_UID))
    store.apply([first])
    assert linked(store) == [""]
    second = work(2, patient(), study())
    store.apply([second])
    assert linked(store) == [THERE]
    store.rerun([first])
    store.rerun([second])
    assert linked(store) == [THERE]
    store.apply([work(3, patient(), report(BY_ACCESSION))])
    assert linked(store) == [THERE]


def test_a_report_never_finds_the_study_of_another_patient(store: SqlStore) -> None:
    store.apply([work(1, patient("2", "Roe"), study("2"))])
    store.apply([work(2, patient(), report(BY_UID, BY_ACCESSION))])
    assert linked(store) == ["", ""]


def test_a_report_waits_until_its_study_is_its_patients(store: SqlStore) -> None:
    nobody = {"display": "not known yet"}
    store.apply([work(1, patient(), study(whose=nobody))])
    store.apply([work(2, patient(), report(BY_UID))])
    assert linked(store) == [""]
    store.apply([work(3, patient(), study())])
    assert linked(store) == [THERE]


def test_a_study_whose_patient_comes_last_reaches_its_report(store: SqlStore) -> None:
    """The study waits for its patient, and the report for the study; one message ends both."""
    whose = {"type": "Patient", "identifier": {"system": "urn:other", "value": "77"}}
    store.apply([work(1, patient(), report(BY_UID)), work(2, study(whose=whose))])
    assert linked(store) == [""]
    numbers = [{"system": MRN, "value": "1"}, {"system": "urn:other", "value": "77"}]
    store.apply([work(3, patient(body={"identifier": numbers}))])
    found = store.read("ImagingStudy", THERE.partition("/")[2])
    assert found is not None and found["subject"]["reference"] == f"Patient/{id_of('Patient', MRN, '1')}"
    assert linked(store) == [THERE]
