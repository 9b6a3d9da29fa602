"""DICOM as the side that asks, against pynetdicom's own SCP and dcmtk's: bytes, contexts, statuses, roles."""

from __future__ import annotations

import io
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pydicom
import pytest
from pydicom.data import get_testdata_file as _bundled
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.uid import AllTransferSyntaxes
from pynetdicom import AE, AllStoragePresentationContexts, evt

from engine.destinations.dicom import Outgoing, Target, echo, find, report_commitment, store, worklist
from engine.kernel.errors import FormatError, HubError
from engine.wire.dicom_sending import EXPLICIT, IMPLICIT, dataset_at, transcoded, verdict_of

CT = "1.2.840.10008.5.1.4.1.1.2"
VERIFICATION, WORKLIST, STUDY_FIND = (
    "1.2.840.10008.1.1",
    "1.2.840.10008.5.1.4.31",
    "1.2.840.10008.5.1.4.1.2.2.1",
)
COMMITMENT = "1.2.840.10008.1.20.1"
FILES = (
    "CT_small.dcm",
    "MR_small.dcm",
    "JPEG2000.dcm",
    "rtplan.dcm",
    "image_dfl.dcm",
    "MR_small_bigendian.dcm",
    "SC_rgb_rle.dcm",
    "JPEG-lossy.dcm",
    "JPEGLSNearLossless_16.dcm",
)


def get_testdata_file(name: str) -> str:
    path = _bundled(name, download=False)
    assert path is not None, name
    return str(path)


class Archive:
    """An SCP of pynetdicom that keeps what it is sent, and answers as it is told."""

    def __init__(self, syntaxes: list[str] | None = None, title: str = "PACS") -> None:
        self.stored: list[tuple[str, str, bytes]] = []
        self.originators: list[tuple[object, object]] = []
        self.statuses: dict[str, int] = {}
        self.answers: list[Dataset] = []
        self.asked: list[Dataset] = []
        self.reports: list[tuple[int, Dataset]] = []
        self.abort_at = -1
        self.final = 0x0000
        self.released = threading.Event()
        self.ae = AE(ae_title=title)
        self.ae.require_called_aet = True
        for context in AllStoragePresentationContexts:
            self.ae.add_supported_context(context.abstract_syntax, syntaxes or list(AllTransferSyntaxes))
        for uid in (VERIFICATION, WORKLIST, STUDY_FIND):
            self.ae.add_supported_context(uid)
        self.ae.add_supported_context(COMMITMENT, scu_role=False, scp_role=True)

    @contextmanager
    def serving(self) -> Iterator[Target]:
        handlers = [
            (evt.EVT_C_STORE, self._store),
            (evt.EVT_C_FIND, self._find),
            (evt.EVT_N_EVENT_REPORT, self._report),
            (evt.EVT_RELEASED, lambda event: self.released.set()),
        ]
        server = self.ae.start_server(("127.0.0.1", 0), block=False, evt_handlers=handlers)
        try:
            yield Target("127.0.0.1", server.server_address[1], self.ae.ae_title, "HUB", seconds=10)
        finally:
            server.shutdown()

    def _store(self, event) -> int:
        if len(self.stored) == self.abort_at:
            event.assoc.abort()
            return 0
        request = event.request
        uid = str(request.AffectedSOPInstanceUID)
        self.stored.append((uid, str(event.context.transfer_syntax), request.DataSet.getvalue()))
        self.originators.append(
            (request.MoveOriginatorApplicationEntityTitle, request.MoveOriginatorMessageID)
        )
        return self.statuses.get(uid, 0x0000)

    def _find(self, event):
        self.asked.append(event.identifier)
        for one in self.answers:
            yield 0xFF00, one
        yield self.final, None

    def _report(self, event):
        self.reports.append((event.event_type, event.event_information))
        return 0x0000, None


def outgoing(path: str, sop_instance: str = "") -> Outgoing:
    head = pydicom.dcmread(path, stop_before_pixels=True)
    return Outgoing(
        str(head.SOPClassUID),
        sop_instance or str(head.SOPInstanceUID),
        str(head.file_meta.TransferSyntaxUID),
        lambda: open(path, "rb"),
    )


def dataset_of(path: str) -> bytes:
    raw = Path(path).read_bytes()
    return raw[dataset_at(io.BytesIO(raw)) :]


def test_objects_go_out_as_they_are_held():
    paths = [get_testdata_file(name) for name in FILES]
    archive = Archive()
    with archive.serving() as target:
        outcomes = list(store(target, [outgoing(path) for path in paths]))
    assert [o.kind for o in outcomes] == ["sent"] * len(paths)
    assert [o.status for o in outcomes] == [0] * len(paths)
    for path, (uid, syntax, dataset) in zip(paths, archive.stored, strict=True):
        sent = outgoing(path)
        assert (uid, syntax) == (sent.sop_instance, sent.transfer_syntax)
        was = dataset_of(path)
        assert dataset == was + b"\0" * (len(was) % 2)


def test_the_originator_of_a_move_is_named():
    archive = Archive()
    with archive.serving() as target:
        list(store(target, [outgoing(get_testdata_file("CT_small.dcm"))], originator=("VIEWER", 7)))
    assert archive.originators == [("VIEWER", 7)]


@pytest.mark.parametrize("name", ["CT_small.dcm", "MR_small_implicit.dcm", "rtplan.dcm", "test-SR.dcm"])
def test_native_objects_are_written_in_the_syntax_that_is_accepted(name: str):
    path = get_testdata_file(name)
    held = outgoing(path)
    wanted = IMPLICIT if held.transfer_syntax == EXPLICIT else EXPLICIT
    archive = Archive([wanted])
    with archive.serving() as target:
        (outcome,) = store(target, [held])
    assert outcome.kind == "sent"
    ((_, syntax, dataset),) = archive.stored
    assert syntax == wanted
    got = read_dataset(io.BytesIO(dataset), wanted == IMPLICIT, True)
    was = pydicom.dcmread(path)
    assert [e.tag for e in got if e.tag.element] == [e.tag for e in was if e.tag.element]
    assert all(got[e.tag].value == e.value for e in was if e.VR != "UN" and e.tag.element)


def test_what_was_written_anew_and_back_is_the_same():
    was = dataset_of(get_testdata_file("CT_small.dcm"))

    def both_ways(raw: bytes, from_: str, to: str) -> bytes:
        out = transcoded(io.BytesIO(raw), from_, to)
        return b"".join(iter(lambda: out.read(1000), b""))

    there = both_ways(was, EXPLICIT, IMPLICIT)
    assert there != was
    pixels = pydicom.dcmread(get_testdata_file("CT_small.dcm")).PixelData
    assert pixels in there and pixels in both_ways(there, IMPLICIT, EXPLICIT)


def test_an_object_that_ends_within_its_pixels_is_not_sent():
    raw = Path(get_testdata_file("CT_small.dcm")).read_bytes()[:-2000]
    whole = outgoing(get_testdata_file("MR_small.dcm"))
    cut = Outgoing(CT, "1.2.3", EXPLICIT, lambda: io.BytesIO(raw))
    archive = Archive([IMPLICIT])
    with archive.serving() as target:
        outcomes = list(store(target, [cut, whole]))
    assert [o.kind for o in outcomes] == ["park", "retry"]
    assert archive.stored == []


def test_a_compressed_object_that_is_not_accepted_is_refused_and_the_others_go():
    jpeg, ct = (outgoing(get_testdata_file(n)) for n in ("JPEG2000.dcm", "CT_small.dcm"))
    archive = Archive([EXPLICIT, IMPLICIT])
    with archive.serving() as target:
        outcomes = list(store(target, [jpeg, ct]))
    assert [(o.kind, o.why) for o in outcomes] == [("refuse", "its SOP class is not accepted"), ("sent", "")]


def test_where_nothing_is_accepted_every_object_is_refused():
    jpeg = outgoing(get_testdata_file("JPEG2000.dcm"))
    with Archive([EXPLICIT]).serving() as target:
        outcomes = list(store(target, [jpeg, jpeg]))
    assert [o.kind for o in outcomes] == ["refuse", "refuse"]


def test_each_status_of_each_object():
    path = get_testdata_file("CT_small.dcm")
    wanted = {
        "1.2.1": 0x0000,
        "1.2.2": 0xB007,
        "1.2.3": 0xA700,
        "1.2.4": 0xA900,
        "1.2.5": 0xC000,
        "1.2.6": 0x0111,
    }
    archive = Archive()
    archive.statuses = wanted
    with archive.serving() as target:
        outcomes = list(store(target, [outgoing(path, uid) for uid in wanted]))
    assert {o.sop_instance: o.status for o in outcomes} == wanted
    assert [o.kind for o in outcomes] == ["sent", "sent", "retry", "park", "park", "sent"]
    assert outcomes[2].why == "status A700"


def test_an_association_that_is_lost_leaves_the_rest_to_be_sent_again():
    path = get_testdata_file("CT_small.dcm")
    archive = Archive()
    archive.abort_at = 2
    with archive.serving() as target:
        outcomes = list(store(target, [outgoing(path, f"1.2.{n}") for n in range(5)]))
    assert [o.kind for o in outcomes] == ["sent", "sent", "retry", "retry", "retry"]
    assert all(o.why for o in outcomes[2:])


def test_an_object_that_cannot_be_opened_is_parked_and_the_others_go():
    def gone() -> io.BytesIO:
        raise HubError("this object is gone")

    path = get_testdata_file("CT_small.dcm")
    with Archive().serving() as target:
        outcomes = list(
            store(
                target,
                [
                    Outgoing(CT, "1.2.3", EXPLICIT, gone),
                    Outgoing(CT, "1.2.4", EXPLICIT, lambda: io.BytesIO(b"no file")),
                    outgoing(path),
                ],
            )
        )
    assert [o.kind for o in outcomes] == ["park", "park", "sent"]
    assert outcomes[0].why == "this object is gone"


def test_more_contexts_than_one_association_can_have():
    path = get_testdata_file("CT_small.dcm")
    classes = [str(cx.abstract_syntax) for cx in AllStoragePresentationContexts][:100]
    archive = Archive()
    with archive.serving() as target:
        objects = [
            Outgoing(sop_class, f"1.2.{n}", EXPLICIT, outgoing(path).open)
            for n, sop_class in enumerate(classes)
        ]
        outcomes = list(store(target, objects))
    assert [o.sop_instance for o in outcomes] == [f"1.2.{n}" for n in range(100)]
    assert {o.kind for o in outcomes} == {"sent"}


def test_who_stops_listening_to_outcomes_releases_the_association():
    path = get_testdata_file("CT_small.dcm")
    archive = Archive()
    with archive.serving() as target:
        outcomes = store(target, [outgoing(path, f"1.2.{n}") for n in range(5)])
        assert next(outcomes).kind == "sent"
        outcomes.close()
        assert archive.released.wait(10)
    assert len(archive.stored) == 1


def test_echo_and_why_there_is_no_association():
    with Archive().serving() as target:
        echo(target)
        with pytest.raises(HubError, match="rejected: it is not called by this AE title"):
            echo(Target(target.host, target.port, "OTHER", "HUB", seconds=5))
    with pytest.raises(HubError, match="cannot be reached"):
        echo(target)
    with pytest.raises(HubError, match="cannot be called"):
        echo(Target("no-such-host.invalid", 104, "PACS", "HUB", seconds=5))


def test_a_server_that_says_nothing_is_given_up():
    with (
        socket.create_server(("127.0.0.1", 0)) as silent,
        pytest.raises(HubError, match="aborted, or not answered in time"),
    ):
        echo(Target("127.0.0.1", silent.getsockname()[1], "PACS", "HUB", seconds=0.5))


def test_queries_and_their_failure():
    archive = Archive()
    for name in ("Müller^Jürgen", "山田^太郎"):
        found = Dataset()
        found.SpecificCharacterSet = "ISO_IR 192"
        found.PatientName = name
        archive.answers.append(found)
    query = Dataset()
    query.PatientName = ""
    with archive.serving() as target:
        assert [str(d.PatientName) for d in find(target, "STUDY", query)] == ["Müller^Jürgen", "山田^太郎"]
        assert len(list(worklist(target, query))) == 2
        assert archive.asked[0].QueryRetrieveLevel == "STUDY"
        assert "QueryRetrieveLevel" not in archive.asked[1] and "QueryRetrieveLevel" not in query
        with pytest.raises(HubError, match="not offered"):
            list(find(target, "PATIENT", query))
        archive.final = 0xA700
        with pytest.raises(HubError, match="C-FIND failed: status A700"):
            list(find(target, "STUDY", query))


@pytest.mark.parametrize("failed", [(), (("1.2", "1.2.5", 0x0112),)])
def test_commitment_is_reported_in_the_role_of_the_scp(failed):
    archive = Archive()
    with archive.serving() as target:
        report_commitment(target, "2.25.1", [("1.2", "1.2.4")], failed)
    ((event, said),) = archive.reports
    assert event == (2 if failed else 1)
    assert said.TransactionUID == "2.25.1"
    assert [i.ReferencedSOPInstanceUID for i in said.ReferencedSOPSequence] == ["1.2.4"]
    assert [(i.ReferencedSOPInstanceUID, i.FailureReason) for i in said.get("FailedSOPSequence", ())] == [
        (uid, reason) for _, uid, reason in failed
    ]


def test_nothing_is_left_running():
    with Archive().serving() as target:
        echo(target)
        before = set(threading.enumerate())
        for _ in range(10):
            echo(target)
            with pytest.raises(HubError):
                echo(Target(target.host, target.port, "OTHER", "HUB", seconds=5))
        left = [t for t in threading.enumerate() if t not in before and "Requestor" in t.name]
    assert left == []


def test_statuses_are_told_apart():
    assert [verdict_of(s) for s in (0xA700, 0xA701, 0x0110, 0xA900, 0x0122, 0xC123)] == [
        "retry",
        "retry",
        "retry",
        "park",
        "park",
        "park",
    ]
    with pytest.raises(FormatError):
        dataset_at(io.BytesIO(b"x" * 200))


@pytest.mark.peers
def test_dcmtk_takes_every_transfer_syntax_and_writes_the_same_pixels(tmp_path: Path):
    if shutil.which("storescp") is None:
        pytest.skip("PEERS NOT INSTALLED: apt-get install dcmtk")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    peer = subprocess.Popen(
        ["storescp", "-aet", "PACS", "+xa", "-B", "-od", str(tmp_path), str(port)],
        env={"PATH": "/usr/bin:/bin", "TCP_NODELAY": "1"},
    )
    target = Target("127.0.0.1", port, "PACS", "HUB", seconds=10)
    paths = [get_testdata_file(name) for name in FILES if "bigendian" not in name]
    try:
        for _ in range(100):
            try:
                echo(target)
                break
            except HubError:
                assert peer.poll() is None
                threading.Event().wait(0.1)  # until it listens
        outcomes = list(store(target, [outgoing(path) for path in paths]))
    finally:
        peer.terminate()
        peer.wait(10)
    assert {o.kind for o in outcomes} == {"sent"}
    kept = {str(d.SOPInstanceUID): d for d in map(pydicom.dcmread, tmp_path.iterdir())}
    for path in paths:
        was = pydicom.dcmread(path)
        assert kept[was.SOPInstanceUID].get("PixelData") == was.get("PixelData")
        assert kept[was.SOPInstanceUID].file_meta.TransferSyntaxUID == was.file_meta.TransferSyntaxUID
