"""C-STORE of a node: bytes as sent, piece by piece; what is refused, and that the association goes on."""

from __future__ import annotations

import io
import sqlite3
import threading

import pydicom
import pytest
from dicom_node import (
    ABORT,
    CT,
    EXPLICIT,
    IMPLICIT,
    MR,
    Coming,
    Memory,
    Raw,
    associated,
    bundled,
    c_store,
    echoes,
    pdata,
    serving,
    until,
)
from pydicom.dataset import Dataset, FileMetaDataset

from engine.destinations.dicom import Outgoing, Target, store
from engine.kernel.errors import StoreUnavailable
from engine.wire.dicom_sending import dataset_at

FILES = (
    "CT_small.dcm",
    "MR_small_implicit.dcm",
    "JPEG2000.dcm",
    "rtplan.dcm",
    "image_dfl.dcm",
    "MR_small_bigendian.dcm",
    "SC_rgb_rle.dcm",
    "JPEG-lossy.dcm",
    "JPEGLSNearLossless_16.dcm",
    "MR_small_jp2klossless.dcm",
    "test-SR.dcm",
)


def outgoing(path: str) -> Outgoing:
    head = pydicom.dcmread(path, stop_before_pixels=True)
    return Outgoing(
        str(head.SOPClassUID),
        str(head.SOPInstanceUID),
        str(head.file_meta.TransferSyntaxUID),
        lambda: open(path, "rb"),
    )


def small(uid: str = "1.2.3.4", sop_class: str = CT, size: int = 0) -> Dataset:
    ds = Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID = sop_class, uid
    ds.PatientID = "P1"
    if size:
        ds.BitsAllocated, ds.PixelRepresentation = 16, 0
        ds.PixelData = b"\1\2" * (size // 2)
    ds.file_meta = FileMetaDataset()
    ds.file_meta.TransferSyntaxUID = EXPLICIT
    return ds


def test_every_transfer_syntax_is_kept_byte_by_byte():
    with serving() as (node, services):
        target = Target("127.0.0.1", node.port, "HUB", "CT01", seconds=20)
        outcomes = list(store(target, [outgoing(bundled(name)) for name in FILES]))
    assert [o.status for o in outcomes] == [0] * len(FILES)
    for name, kept in zip(FILES, services.stored, strict=True):
        sent = outgoing(bundled(name))
        with open(bundled(name), "rb") as f:
            raw = f.read()
        dataset = raw[dataset_at(io.BytesIO(raw)) :]
        assert bytes(kept.data) == dataset + b"\0" * (len(dataset) % 2)
        received = kept.received
        assert (received.sop_class, received.sop_instance) == (sent.sop_class, sent.sop_instance)
        assert received.transfer_syntax == sent.transfer_syntax and not received.is_file
        assert received.peer[:4] == ("imaging", "CT01", "127.0.0.1", "HUB")


def test_an_object_comes_in_pieces_however_long_it_is():
    services = Memory(keeps=False)
    with serving(services) as (node, _), associated(node, (CT, [EXPLICIT])) as assoc:
        assert assoc.send_c_store(small(size=48 << 20)).Status == 0
    (kept,) = services.stored
    assert kept.size > 48 << 20
    assert kept.longest <= 131_072


def test_explicit_comes_before_compressed_before_implicit():
    jpeg = "1.2.840.10008.1.2.4.70"
    with serving() as (node, _):
        for offered, chosen in (
            ([IMPLICIT, jpeg, EXPLICIT], EXPLICIT),
            ([IMPLICIT, jpeg], jpeg),
            (["1.2.840.10008.1.2.2", IMPLICIT], IMPLICIT),
            (["1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99"], "1.2.840.10008.1.2.1.99"),
        ):
            with associated(node, (CT, offered)) as assoc:
                assert [c.transfer_syntax[0] for c in assoc.accepted_contexts] == [chosen]


@pytest.mark.parametrize("status", [0x0000, 0xA700, 0xA900, 0xB007, 0x0111])
def test_the_status_is_what_the_services_say(status: int):
    with serving(Memory(status=status)) as (node, _), associated(node, CT) as assoc:
        assert assoc.send_c_store(small()).Status == status


@pytest.mark.parametrize(
    "services",
    [
        Memory(room=0),
        Memory(room=100_000),
        Memory(fails=OSError(28, "No space left on device")),
        Memory(fails=StoreUnavailable("the journal cannot be written")),
    ],
    ids=["begin", "write", "store", "journal"],
)
def test_without_room_an_object_is_refused_and_the_association_goes_on(services: Memory):
    with serving(services) as (node, _), associated(node, (CT, [EXPLICIT])) as assoc:
        refused = assoc.send_c_store(small(size=1 << 20))
        assert refused.Status == 0xA700
        assert refused.ErrorComment
        assert services.stored == []
        assert [c.abandoned > 0 for c in services.begun] == [True] * len(services.begun)
        services.room = services.fails = None
        assert assoc.send_c_store(small(size=1 << 20)).Status == 0
    assert len(services.stored) == 1


def test_an_object_over_the_limit_is_refused_and_the_association_goes_on():
    services = Memory(keeps=False)
    with serving(services, max_object_mb=1) as (node, _), associated(node, (CT, [EXPLICIT])) as assoc:
        assert assoc.send_c_store(small(size=3 << 20)).Status == 0xA700
        assert assoc.send_c_store(small(size=1000)).Status == 0
    assert services.begun[0].abandoned and services.begun[0].size <= 1 << 20
    assert len(services.stored) == 1


def test_a_fault_of_ours_is_a_failure_without_the_text_of_the_error(caplog: pytest.LogCaptureFixture):
    services = Memory(fails=sqlite3.IntegrityError("DOE^JANE"))
    with serving(services) as (node, _), associated(node, CT) as assoc:
        answered = assoc.send_c_store(small())
        assert answered.Status == 0xC000
        services.fails = None
        assert assoc.send_c_store(small()).Status == 0
    assert services.begun[0].abandoned
    assert "DOE" not in caplog.text + str(answered) + node.metrics.text()


@pytest.mark.parametrize("uid", ["1.2.x", "1..2", "1.02", "A"])
def test_an_object_whose_uid_is_none_is_refused(uid: str):
    with serving() as (node, services), Raw(node) as raw:
        raw.associate()
        raw.send(pdata((1, 3, c_store(uid))), pdata((1, 2, b"\0" * 8)))
        assert raw.status() == 0x0117
        assert services.begun == []
        raw.send(pdata((1, 3, c_store())), pdata((1, 2, b"\0" * 8)))
        assert raw.status() == 0x0000


@pytest.mark.parametrize("uid", ["", "1" * 65])
def test_a_command_that_breaks_the_rules_ends_the_association_and_leaves_nothing(uid: str):
    with serving() as (node, services):
        with Raw(node) as raw:
            raw.associate()
            raw.send(pdata((1, 3, c_store(uid))), pdata((1, 2, b"\0" * 8)))
            assert raw.ends()
        assert services.stored == [] and all(c.abandoned for c in services.begun)
        assert echoes(node)


def test_command_and_data_in_one_pdu_and_in_many_small_ones():
    """PS3.8 annex E lets a message be cut anywhere."""
    said = c_store("1.2.3.4")
    data = bytes(range(250)) * 4
    with serving() as (node, services), Raw(node) as raw:
        raw.associate()
        raw.send(pdata((1, 3, said), (1, 0, data[:300]), (1, 2, data[300:])))
        assert raw.status() == 0
        raw.send(*(pdata((1, 1, said[n : n + 10])) for n in range(0, len(said), 10)), pdata((1, 3, b"")))
        raw.send(*(pdata((1, 0, data[n : n + 100])) for n in range(0, len(data), 100)), pdata((1, 2, b"")))
        assert raw.status() == 0
    assert [bytes(s.data) for s in services.stored] == [data, data]


@pytest.mark.parametrize("how", ["abort", "close", "reset", "rubbish", "stop"])
def test_an_association_that_ends_in_the_middle_leaves_nothing(how: str):
    with serving() as (node, services):
        with Raw(node) as raw:
            raw.associate()
            raw.send(pdata((1, 3, c_store())), pdata((1, 0, b"\0" * 10_000)))
            assert services.written.wait(20)
            if how == "abort":
                raw.send(ABORT)
            elif how == "rubbish":
                raw.send(b"\xff" * 100)
            elif how == "reset":
                raw.socket.setsockopt(1, 13, b"\1\0\0\0\0\0\0\0")  # SO_LINGER 0: RST
            elif how == "stop":
                node.stop(0)
            if how in ("abort", "rubbish", "stop"):
                assert raw.ends()
        assert services.given_up.wait(20)
        assert services.stored == []
        if how != "stop":
            assert echoes(node)


def unfinished(services: Memory) -> list[Coming]:
    """Return the objects that were begun, and neither kept nor given up."""
    return [c for c in services.begun if not c.abandoned and c not in services.stored]


def pipelined(first: int, last: int, size: int = 8) -> bytes:
    """Write requests that do not wait for one another, a PDU for each command and dataset."""
    return b"".join(
        pdata((1, 3, c_store(f"1.2.{n}", message_id=n))) + pdata((1, 2, b"\0" * size))
        for n in range(first, last)
    )


@pytest.mark.parametrize("how", ["abort", "close"])
def test_objects_sent_without_waiting_for_answers_leave_nothing_when_the_association_ends(how: str):
    services = Memory(may_store=threading.Event())
    with serving(services) as (node, _):
        with Raw(node) as raw:
            raw.associate()
            raw.send(pipelined(1, 21))
            if how == "abort":
                raw.send(ABORT)
            assert services.written.wait(20)
            if how == "close":
                raw.socket.close()
            services.may_store.set()
            assert how == "close" or raw.ends()
        assert until(lambda: node.associations == 0)
        assert services.begun
        assert unfinished(services) == []
        assert echoes(node)


def test_objects_sent_without_waiting_for_answers_are_read_one_by_one():
    """Asynchronous operations are not negotiated (PS3.7 D.3.3.3): the rest waits in the connection."""
    services = Memory(may_store=threading.Event())
    with serving(services) as (node, _), Raw(node) as raw, associated(node, CT) as neighbour:
        raw.associate()
        raw.send(pipelined(1, 6, 1000))
        assert services.written.wait(20)
        echoed = threading.Thread(target=echoes, args=(node,))
        echoed.start()
        echoed.join(20)
        assert len(services.begun) == 1 and neighbour.is_established
        services.may_store.set()
        assert [raw.status() for _ in range(5)] == [0] * 5
    assert [s.received.sop_instance for s in services.stored] == [f"1.2.{n}" for n in range(1, 6)]


def test_more_objects_in_one_pdu_than_may_wait_end_the_association():
    services = Memory(may_store=threading.Event())
    with serving(services) as (node, _), Raw(node) as raw:
        raw.associate()
        values = [((1, 3, c_store(f"1.2.{n}", message_id=n)), (1, 2, b"\0" * 8)) for n in range(1, 40)]
        raw.send(pdata(*(value for pair in values for value in pair)))
        assert services.written.wait(20)
        services.may_store.set()
        raw.ends()
        assert until(lambda: node.associations == 0)
        assert unfinished(services) == []
        assert len(services.begun) == 1
        assert echoes(node)


def test_a_node_stops_while_an_object_waits_to_be_kept_and_others_wait_to_be_read():
    services = Memory(may_store=threading.Event())
    with serving(services) as (node, _), Raw(node) as raw:
        raw.associate()
        raw.send(pipelined(1, 6))
        assert services.written.wait(20)
        stopping = threading.Thread(target=node.stop, args=(0,))
        stopping.start()
        assert raw.ends()
        services.may_store.set()
        stopping.join(20)
        assert not stopping.is_alive()
        assert until(
            lambda: [c for c in services.begun if not c.abandoned and c not in services.stored] == []
        )


def test_a_class_the_standard_does_not_list():
    private = "1.3.12.2.1107.5.9.1"
    with serving() as (node, _), associated(node, (private, [EXPLICIT]), CT) as assoc:
        assert [str(c.abstract_syntax) for c in assoc.accepted_contexts] == [CT]
    with serving(unknown_classes="accept") as (node, services):
        with associated(node, (private, [EXPLICIT])) as assoc:
            assert assoc.is_established
            assert assoc.send_c_store(small(sop_class=private)).Status == 0
        assert [s.received.sop_class for s in services.stored] == [private]


def test_an_object_of_another_class_than_its_context_is_judged_by_its_own():
    with serving() as (node, services), Raw(node) as raw:
        raw.associate()
        raw.send(pdata((1, 3, c_store(sop_class="1.3.12.2.1107.5.9.1"))), pdata((1, 2, b"\0" * 8)))
        assert raw.status() == 0x0122
        raw.send(pdata((1, 3, c_store("1.2.3.5"))), pdata((1, 2, b"\0" * 8)))
        assert raw.status() == 0
    assert [s.received.sop_instance for s in services.stored] == ["1.2.3.5"]


def test_several_associations_at_once_do_not_mix():
    with (
        serving() as (node, services),
        associated(node, (CT, [EXPLICIT])) as one,
        associated(node, (MR, [IMPLICIT]), calling="MR01") as two,
        Raw(node) as raw,
    ):
        raw.associate(calling="SLOW")
        raw.send(pdata((1, 3, c_store("1.2.9"))), pdata((1, 0, b"\0" * 100)))
        assert until(lambda: len(services.begun) == 1)
        for n in range(5):
            assert one.send_c_store(small(f"1.2.1.{n}", size=200_000)).Status == 0
            mr = small(f"1.2.2.{n}", MR)
            mr.file_meta.TransferSyntaxUID = IMPLICIT
            assert two.send_c_store(mr).Status == 0
        raw.send(pdata((1, 2, b"\0" * 100)))
        assert raw.status() == 0
    by_title = [(s.received.peer.aet, s.received.sop_instance) for s in services.stored]
    assert sorted(by_title) == sorted(
        [("CT01", f"1.2.1.{n}") for n in range(5)]
        + [("MR01", f"1.2.2.{n}") for n in range(5)]
        + [("SLOW", "1.2.9")]
    )
    assert by_title[-1] == ("SLOW", "1.2.9")
    assert [len(s.data) for s in services.stored if s.received.peer.aet == "SLOW"] == [200]


def test_what_is_stored_is_counted():
    with serving() as (node, services), associated(node, CT) as assoc:
        assoc.send_c_store(small())
        services.status = 0xA700
        assoc.send_c_store(small())
    labels = {"service": "store"}
    assert node.metrics.value("requests", "imaging", **labels, status="success") == 1
    assert node.metrics.value("requests", "imaging", **labels, status="failure") == 1
    assert node.metrics.value("object_bytes", "imaging") == sum(s.size for s in services.begun)
