"""Queries, retrieval, procedure steps and commitment of a node: statuses, counts, cancel."""

from __future__ import annotations

import io
import threading

import pydicom
import pytest
from dicom_node import (
    COMMITMENT,
    COMMITMENT_INSTANCE,
    CT,
    EXPLICIT,
    IMPLICIT,
    MPPS,
    MR,
    PATIENT_GET,
    STUDY_FIND,
    STUDY_GET,
    STUDY_MOVE,
    WORKLIST,
    Memory,
    associated,
    bundled,
    serving,
)
from pydicom.dataset import Dataset
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, build_role, evt

from engine.kernel.errors import StoreUnavailable
from engine.kernel.imaging import NotUnique

J2K = "1.2.840.10008.1.2.4.91"


def query(level: str = "STUDY", **elements: str) -> Dataset:
    ds = Dataset()
    if level:
        ds.QueryRetrieveLevel = level
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def match(name: str = "Müller^Jürgen") -> Dataset:
    ds = Dataset()
    ds.SpecificCharacterSet = "ISO_IR 192"
    ds.PatientName = name
    return ds


# -- queries


def test_a_query_is_asked_and_answered_in_every_script():
    names = ["Müller^Jürgen", "山田^太郎", "Иванов^Иван"]
    services = Memory(answers=[match(n) for n in names])
    asked = query(PatientName="Mü*")
    asked.SpecificCharacterSet = "ISO_IR 192"
    with serving(services) as (node, _), associated(node, STUDY_FIND) as assoc:
        found = list(assoc.send_c_find(asked, STUDY_FIND))
    assert [str(d.PatientName) for _, d in found[:-1]] == names
    assert [s.Status for s, _ in found] == [0xFF00] * 3 + [0x0000]
    ((what, peer, level, got),) = services.asked
    assert (what, peer.aet, level) == ("find", "CT01", "STUDY")
    assert str(got.PatientName) == "Mü*"


def test_a_worklist_query_has_no_level_and_its_sequence_is_kept():
    services = Memory(answers=[match()])
    asked = query("")
    step = Dataset()
    step.Modality, step.ScheduledStationAETitle = "CT", "CT01"
    asked.ScheduledProcedureStepSequence = [step]
    with serving(services) as (node, _), associated(node, (WORKLIST, [IMPLICIT])) as assoc:
        assert [s.Status for s, _ in assoc.send_c_find(asked, WORKLIST)] == [0xFF00, 0x0000]
    ((what, _, got),) = services.asked
    assert what == "worklist" and got.ScheduledProcedureStepSequence[0].Modality == "CT"


@pytest.mark.parametrize("level", ["", "PATIENTS", "study "])
def test_a_query_without_a_level_does_not_match_its_class(level: str):
    with serving() as (node, services), associated(node, STUDY_FIND) as assoc:
        asked = query("")
        asked.QueryRetrieveLevel = level
        statuses = [s.Status for s, _ in assoc.send_c_find(asked, STUDY_FIND)]
        assert statuses == [0xA900]
        assert services.asked == []


@pytest.mark.parametrize(
    ("fails", "status"), [(StoreUnavailable("the store is away"), 0xA700), (ValueError("DOE^JANE"), 0xC000)]
)
def test_a_query_that_fails_says_so_without_the_text(fails, status, caplog):
    with serving(Memory(fails=fails)) as (node, services), associated(node, STUDY_FIND) as assoc:
        assert [s.Status for s, _ in assoc.send_c_find(query(), STUDY_FIND)] == [status]
        services.fails = None
        assert [s.Status for s, _ in assoc.send_c_find(query(), STUDY_FIND)] == [0x0000]
    assert "DOE" not in caplog.text


@pytest.mark.parametrize("model", [STUDY_FIND, WORKLIST])
def test_a_query_is_cancelled(model: str):
    services = Memory(endless=match)
    with serving(services) as (node, _), associated(node, model) as assoc:
        statuses = []
        for status, _ in assoc.send_c_find(
            query("STUDY" if model == STUDY_FIND else "", PatientName=""), model, msg_id=7
        ):
            statuses.append(status.Status)
            if len(statuses) == 20:
                assoc.send_c_cancel(7, query_model=model)
        assert statuses[-1] == 0xFE00
        services.endless = None
        assert assoc.is_established
    assert node.metrics.value(
        "requests", "imaging", service="worklist" if model == WORKLIST else "find", status="cancel"
    )


# -- retrieval


class Viewer:
    """An SCU of C-GET, and the SCP of C-MOVE: keeps what it is sent."""

    def __init__(self) -> None:
        self.got: dict[str, tuple[str, bytes, object]] = {}
        self.status: dict[str, int] = {}
        self.first = threading.Event()

    def store(self, event) -> int:
        uid = str(event.request.AffectedSOPInstanceUID)
        self.got[uid] = (
            str(event.context.transfer_syntax),
            event.request.DataSet.getvalue(),
            event.request.MoveOriginatorApplicationEntityTitle,
        )
        self.first.set()
        return self.status.get(uid, 0x0000)


def held_files(services: Memory, *names: str) -> list[str]:
    return [services.hold(bundled(name)).sop_instance for name in names]


def get(node, viewer: Viewer, contexts, **more):
    roles = [build_role(uid, scp_role=True) for uid in dict.fromkeys(c[0] for c in contexts)]
    return associated(
        node, STUDY_GET, *contexts, ext_neg=roles, evt_handlers=[(evt.EVT_C_STORE, viewer.store)], **more
    )


def dataset_of(services: Memory, uid: str) -> bytes:
    from engine.wire.dicom_sending import dataset_at

    raw = next(services.files[h.address] for h in services.held if h.sop_instance == uid)
    return raw[dataset_at(io.BytesIO(raw)) :]


def test_c_get_sends_objects_as_they_are_held():
    services, viewer = Memory(), Viewer()
    ct, jpeg = held_files(services, "CT_small.dcm", "JPEG2000.dcm")
    secondary = "1.2.840.10008.5.1.4.1.1.7"
    contexts = [
        (CT, [EXPLICIT]),
        (services.held[1].sop_class, [services.held[1].transfer_syntax]),
        (secondary, [IMPLICIT]),
    ]
    with serving(services) as (node, _), get(node, viewer, contexts) as assoc:
        answers = list(assoc.send_c_get(query(StudyInstanceUID="1.2"), STUDY_GET))
    last = answers[-1][0]
    assert last.Status == 0x0000
    assert (last.NumberOfCompletedSuboperations, last.NumberOfFailedSuboperations) == (2, 0)
    assert {uid: one[1] for uid, one in viewer.got.items()} == {
        uid: dataset_of(services, uid) for uid in (ct, jpeg)
    }


@pytest.mark.parametrize(
    "asked",
    [
        query("PATIENT", PatientID="*"),
        query("PATIENT", PatientID="?1"),
        query("PATIENT", PatientID="P*"),
        query("PATIENT", PatientID="P1\\P2"),
        query("PATIENT", PatientID="\\"),
        query("PATIENT", PatientID="  "),
        query("PATIENT", PatientID=""),
        query("PATIENT", PatientID="P1", IssuerOfPatientID="*"),
        query("STUDY", PatientID="*", StudyInstanceUID="1.2"),
        query("STUDY", StudyInstanceUID="*"),
        query("SERIES", StudyInstanceUID="1.2.*", SeriesInstanceUID="1.2"),
        query("IMAGE", SOPInstanceUID="1.2\\?"),
    ],
    ids=lambda ds: " ".join(str(e.value) for e in ds),
)
def test_a_retrieval_is_by_whole_unique_keys(asked: Dataset):
    """Whoever asks for `*` would be given all there is (PS3.4 C.4.2.1.4)."""
    services = Memory()
    held_files(services, "CT_small.dcm")
    with serving(services) as (node, _), associated(node, (PATIENT_GET, [EXPLICIT])) as assoc:
        assert [s.Status for s, _ in assoc.send_c_get(asked, PATIENT_GET)] == [0xA900]
    assert services.asked == []


def test_lists_of_unique_keys_and_one_patient_are_asked_for():
    services = Memory()
    asked = [
        query("PATIENT", PatientID="P1 "),
        query("PATIENT", PatientID="P1", IssuerOfPatientID="NORTH"),
        query("STUDY", PatientID="", StudyInstanceUID="1.2\\1.3"),
    ]
    with serving(services) as (node, _), associated(node, (PATIENT_GET, [EXPLICIT])) as assoc:
        for one in asked:
            assert [s.Status for s, _ in assoc.send_c_get(one, PATIENT_GET)] == [0x0000]
    assert [a[2] for a in services.asked] == ["PATIENT", "PATIENT", "STUDY"]


def test_a_key_that_names_more_than_one_does_not_match():
    services = Memory(fails=NotUnique("this number is of several issuers"))
    with serving(services) as (node, _), associated(node, (PATIENT_GET, [EXPLICIT])) as assoc:
        answers = list(assoc.send_c_get(query("PATIENT", PatientID="P1"), PATIENT_GET))
    assert [s.Status for s, _ in answers] == [0xA900]


def test_c_get_writes_native_objects_anew_and_counts_compressed_ones_that_are_not_taken():
    services, viewer = Memory(), Viewer()
    ct, jpeg = held_files(services, "CT_small.dcm", "JPEG2000.dcm")
    contexts = [(CT, [IMPLICIT]), (services.held[1].sop_class, [EXPLICIT])]
    with serving(services) as (node, _), get(node, viewer, contexts) as assoc:
        answers = list(assoc.send_c_get(query(StudyInstanceUID="1.2"), STUDY_GET))
    last, failed = answers[-1]
    assert last.Status == 0xB000
    assert (last.NumberOfCompletedSuboperations, last.NumberOfFailedSuboperations) == (1, 1)
    uids = failed.FailedSOPInstanceUIDList
    assert [uids] if isinstance(uids, str) else list(uids) == [jpeg]
    assert list(viewer.got) == [ct] and viewer.got[ct][0] == IMPLICIT
    assert pydicom.dcmread(bundled("CT_small.dcm")).PixelData in viewer.got[ct][1]


def test_c_get_counts_warnings_failures_and_all_failed():
    services, viewer = Memory(), Viewer()
    one, two = held_files(services, "CT_small.dcm", "MR_small.dcm")
    contexts = [(CT, [EXPLICIT]), (MR, [EXPLICIT])]
    viewer.status = {one: 0xB007, two: 0xA700}
    with serving(services) as (node, _), get(node, viewer, contexts) as assoc:
        last = list(assoc.send_c_get(query(StudyInstanceUID="1.2"), STUDY_GET))[-1][0]
        assert last.Status == 0xB000
        assert (last.NumberOfWarningSuboperations, last.NumberOfFailedSuboperations) == (1, 1)
        viewer.status = {one: 0xC000, two: 0xA700}
        assert list(assoc.send_c_get(query(StudyInstanceUID="1.2"), STUDY_GET))[-1][0].Status == 0xA702
        services.held.clear()
        nothing = list(assoc.send_c_get(query(StudyInstanceUID="1.2"), STUDY_GET))[-1][0]
        assert (nothing.Status, nothing.NumberOfCompletedSuboperations) == (0x0000, 0)


def test_c_get_is_cancelled():
    services, viewer = Memory(), Viewer()
    held_files(services, *["CT_small.dcm"] * 500)
    with serving(services) as (node, _), get(node, viewer, [(CT, [EXPLICIT])]) as assoc:
        statuses = []
        for status, _ in assoc.send_c_get(query(StudyInstanceUID="1.2"), STUDY_GET, msg_id=9):
            if not statuses:
                assoc.send_c_cancel(9, query_model=STUDY_GET)
            statuses.append(status)
    assert statuses[-1].Status == 0xFE00
    assert statuses[-1].NumberOfRemainingSuboperations > 0


@pytest.fixture
def workstation():
    viewer = Viewer()
    ae = AE("VIEWER")
    ae.require_called_aet = True
    for context in AllStoragePresentationContexts:
        ae.add_supported_context(context.abstract_syntax, list(AllTransferSyntaxes))
    server = ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=[(evt.EVT_C_STORE, viewer.store)])
    yield viewer, {"ae_title": "VIEWER", "host": "127.0.0.1", "port": server.server_address[1]}
    server.shutdown()


def test_c_move_sends_to_a_peer_by_name(workstation):
    viewer, peer = workstation
    services = Memory()
    uids = held_files(services, "CT_small.dcm", "MR_small_implicit.dcm", "JPEG2000.dcm")
    with serving(services, peers=[peer]) as (node, _), associated(node, STUDY_MOVE) as assoc:
        answers = list(assoc.send_c_move(query(StudyInstanceUID="1.2"), "VIEWER", STUDY_MOVE))
    assert answers[-1][0].Status == 0x0000
    assert answers[-1][0].NumberOfCompletedSuboperations == 3
    assert {uid: one[1] for uid, one in viewer.got.items()} == {
        uid: dataset_of(services, uid) for uid in uids
    }
    assert {one[2] for one in viewer.got.values()} == {"CT01"}


def test_c_move_to_nobody_and_to_one_who_is_away(workstation):
    _, peer = workstation
    services = Memory()
    held_files(services, "CT_small.dcm")
    away = {**peer, "ae_title": "AWAY", "port": 1}
    no_host = {"ae_title": "NOHOST"}
    with serving(services, peers=[peer, away, no_host]) as (node, _), associated(node, STUDY_MOVE) as assoc:
        for title in ("UNKNOWN", "NOHOST"):
            answers = list(assoc.send_c_move(query(StudyInstanceUID="1.2"), title, STUDY_MOVE))
            assert [a[0].Status for a in answers] == [0xA801]
        answers = list(assoc.send_c_move(query(StudyInstanceUID="1.2"), "AWAY", STUDY_MOVE))
        assert answers[-1][0].Status in (0xA702, 0xA801)
        assert list(assoc.send_c_move(query(StudyInstanceUID="1.2"), "VIEWER", STUDY_MOVE))[-1][0].Status == 0


def test_c_move_is_cancelled(workstation):
    _, peer = workstation
    services = Memory()
    held_files(services, *["CT_small.dcm"] * 500)
    with serving(services, peers=[peer]) as (node, _), associated(node, STUDY_MOVE) as assoc:
        statuses = []
        for status, _ in assoc.send_c_move(query(StudyInstanceUID="1.2"), "VIEWER", STUDY_MOVE, msg_id=5):
            if not statuses:
                assoc.send_c_cancel(5, query_model=STUDY_MOVE)
            statuses.append(status)
    assert statuses[-1].Status == 0xFE00
    assert statuses[-1].NumberOfRemainingSuboperations > 0


def test_a_retrieval_that_fails(workstation):
    _, peer = workstation
    services = Memory(fails=StoreUnavailable("the index is away"))
    with serving(services, peers=[peer]) as (node, _):
        with associated(node, STUDY_MOVE) as assoc:
            status = list(assoc.send_c_move(query(StudyInstanceUID="1.2"), "VIEWER", STUDY_MOVE))[-1][0]
            assert status.Status >> 8 in (0xA7, 0xC0)
        with get(node, Viewer(), [(CT, [EXPLICIT])]) as assoc:
            status = list(assoc.send_c_get(query(StudyInstanceUID="1.2"), STUDY_GET))[-1][0]
            assert status.Status >> 8 in (0xA7, 0xC0)


# -- procedure steps, commitment


def step(status: str = "IN PROGRESS") -> Dataset:
    ds = Dataset()
    ds.PerformedProcedureStepStatus = status
    ds.PatientName = "DOE^JANE"
    return ds


@pytest.mark.parametrize("status", [0x0000, 0x0111, 0x0120])
def test_a_step_is_begun(status: int):
    services = Memory(status=status)
    with serving(services) as (node, _), associated(node, MPPS) as assoc:
        answer, _ = assoc.send_n_create(step(), MPPS, "1.2.3")
        assert answer.Status == status
    ((what, peer, uid, said),) = services.asked
    assert (what, peer.aet, uid) == ("create", "CT01", "1.2.3")
    assert said.PerformedProcedureStepStatus == "IN PROGRESS"


@pytest.mark.parametrize("status", [0x0000, 0x0110, 0x0112])
def test_a_step_is_changed(status: int):
    services = Memory(status=status)
    with serving(services) as (node, _), associated(node, MPPS) as assoc:
        assert assoc.send_n_set(step("COMPLETED"), MPPS, "1.2.3")[0].Status == status
    ((what, _, uid, said),) = services.asked
    assert (what, uid, said.PerformedProcedureStepStatus) == ("set", "1.2.3", "COMPLETED")


def test_a_step_that_cannot_be_kept_fails_without_the_text(caplog):
    with serving(Memory(fails=RuntimeError("DOE^JANE"))) as (node, services), associated(node, MPPS) as assoc:
        assert assoc.send_n_create(step(), MPPS, "1.2.3")[0].Status == 0x0110
        services.fails = None
        assert assoc.send_n_create(step(), MPPS, "1.2.3")[0].Status == 0x0000
        assert assoc.send_n_create(step(), MPPS, "1.2.x")[0].Status == 0x0117
    assert "DOE" not in caplog.text


def commitment(references=(("1.2", "1.2.3"),), transaction: str = "2.25.7") -> Dataset:
    ds = Dataset()
    if transaction:
        ds.TransactionUID = transaction
    items = []
    for sop_class, sop_instance in references:
        item = Dataset()
        item.ReferencedSOPClassUID, item.ReferencedSOPInstanceUID = sop_class, sop_instance
        items.append(item)
    ds.ReferencedSOPSequence = items
    return ds


def test_commitment_is_asked_for():
    """Of 10,000 objects, with UIDs as long as they may be: 1.5 MB."""
    references = [("1.2." + "3" * 60, f"1.2.{n}".ljust(64, "5")) for n in range(10_000, 20_000)]
    with serving() as (node, services), associated(node, COMMITMENT) as assoc:
        answer, _ = assoc.send_n_action(commitment(references), 1, COMMITMENT, COMMITMENT_INSTANCE)
        assert answer.Status == 0x0000
    ((what, peer, transaction, got),) = services.asked
    assert (what, peer.aet, transaction, got) == ("commit", "CT01", "2.25.7", references)


@pytest.mark.parametrize(
    ("said", "action", "instance", "status"),
    [
        (commitment(), 2, COMMITMENT_INSTANCE, 0x0123),
        (commitment(), 1, "1.2.3", 0x0112),
        (commitment(()), 1, COMMITMENT_INSTANCE, 0x0120),
        (commitment(transaction=""), 1, COMMITMENT_INSTANCE, 0x0120),
        (commitment([("1.2", "")]), 1, COMMITMENT_INSTANCE, 0x0120),
    ],
)
def test_commitment_that_is_not_asked_for_as_it_should_be(said, action, instance, status):
    with serving() as (node, services), associated(node, COMMITMENT) as assoc:
        assert assoc.send_n_action(said, action, COMMITMENT, instance)[0].Status == status
        assert services.asked == []
