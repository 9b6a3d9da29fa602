"""Who may ask a node for what: titles, networks, services, how many at one time."""

from __future__ import annotations

import pydicom
from dicom_node import (
    COMMITMENT,
    CT,
    EXPLICIT,
    MPPS,
    PATIENT_FIND,
    STUDY_FIND,
    STUDY_GET,
    STUDY_MOVE,
    VERIFICATION,
    WORKLIST,
    associated,
    bundled,
    serving,
    until,
)
from pydicom.dataset import Dataset


def query(level: str) -> Dataset:
    ds = Dataset()
    ds.QueryRetrieveLevel = level
    return ds


def contexts_of(node, calling: str, **more) -> set[str]:
    asked = (VERIFICATION, CT, STUDY_FIND, STUDY_MOVE, STUDY_GET, WORKLIST, MPPS, COMMITMENT)
    with associated(node, *asked, calling=calling, **more) as assoc:
        assert assoc.is_established or assoc.is_rejected or assoc.is_aborted
        return {str(c.abstract_syntax) for c in assoc.accepted_contexts}


def test_each_peer_may_ask_for_what_is_said_of_it():
    peers = [
        {"ae_title": "CT01", "may": ["store", "worklist", "mpps", "commitment"]},
        {"ae_title": "VIEWER", "may": ["find", "retrieve"]},
        {"ae_title": "ELSEWHERE", "allow": ["192.0.2.0/24"]},
    ]
    with serving(peers=peers, others=()) as (node, _):
        assert contexts_of(node, "CT01") == {VERIFICATION, CT, WORKLIST, MPPS, COMMITMENT}
        assert contexts_of(node, "VIEWER") - {CT} == {VERIFICATION, STUDY_FIND, STUDY_MOVE, STUDY_GET}
        for title in ("ELSEWHERE", "UNKNOWN"):
            with associated(node, VERIFICATION, calling=title) as assoc:
                assert assoc.is_rejected
                assert assoc.acceptor.primitive.diagnostic == 3
    assert node.metrics.value("rejected", "imaging", reason="calling-title") == 2


def test_who_may_only_retrieve_may_not_store():
    ds = pydicom.dcmread(bundled("CT_small.dcm"))
    with serving(peers=[{"ae_title": "VIEWER", "may": ["find", "retrieve"]}]) as (node, services):
        with associated(node, STUDY_FIND, (CT, [EXPLICIT]), calling="VIEWER") as assoc:
            try:
                assert assoc.send_c_store(ds).Status == 0x0124
            except ValueError:
                pass  # its context was not even accepted
        assert services.begun == []


def test_the_title_that_is_called():
    with serving() as (node, _), associated(node, VERIFICATION, called="OTHER") as assoc:
        assert assoc.is_rejected and assoc.acceptor.primitive.diagnostic == 7
    with serving(any_called=True) as (node, _), associated(node, VERIFICATION, called="OTHER") as assoc:
        assert assoc.is_established


def test_networks():
    with serving(allow=["192.0.2.0/24"]) as (node, _), associated(node, VERIFICATION) as assoc:
        assert not assoc.is_established and not assoc.is_rejected  # closed before a word was said


def test_no_more_associations_than_allowed():
    def again(node) -> bool:
        with associated(node, VERIFICATION) as assoc:
            return bool(assoc.is_established)

    with (
        serving(max_associations=2) as (node, _),
        associated(node, VERIFICATION) as one,
        associated(node, VERIFICATION) as two,
    ):
        assert one.is_established and two.is_established
        with associated(node, VERIFICATION) as three:
            said = three.acceptor.primitive
            assert three.is_rejected
            assert (said.result, said.result_source, said.diagnostic) == (2, 3, 2)
        one.release()
        assert until(lambda: again(node))
        assert node.metrics.value("rejected", "imaging", reason="limit") >= 1


def test_patient_root_too_and_nothing_that_is_not_offered():
    with serving() as (node, services), associated(node, PATIENT_FIND, "1.2.840.10008.5.1.4.34.6.1") as assoc:
        assert [str(c.abstract_syntax) for c in assoc.accepted_contexts] == [PATIENT_FIND]
        assert [s.Status for s, _ in assoc.send_c_find(query("PATIENT"), PATIENT_FIND)] == [0x0000]
        assert services.asked[0][2] == "PATIENT"
