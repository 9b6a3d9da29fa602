"""Objects on their way in: acknowledged when they are safe, refused for a reason, never half there."""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ingest_samples import CT, CT01, EXPLICIT, PACS, Parts, as_file, bring, encoded, image, received, uid
from pydicom import dcmread
from pydicom.dataset import Dataset

from engine.channels.node.ingest import Ingest, message_type
from engine.channels.node.opening import takes_of
from engine.channels.node.recovery import sweep
from engine.formats.dicom.header import OTHER_BYTES, TOO_LONG, marks_of, object_of, read_header
from engine.kernel.errors import StoreUnavailable
from engine.kernel.imaging import Added, NewInstance, Peer, Stored
from engine.kernel.message import Accepted, NewEntry
from engine.listeners.dicom_settings import DicomSettings

LATER = 1 << 60


@pytest.fixture
def parts(tmp_path: Path) -> Iterator[Parts]:
    made = Parts(tmp_path)
    yield made
    made.close()


def read_object(parts: Parts, sop: str) -> bytes:
    held = parts.index.look(sop)
    assert held is not None
    with parts.objects.open(held.address) as opened:
        whole = opened.read()
    assert len(whole) == held.size
    return whole


def test_an_object_is_kept_journaled_and_indexed(parts: Parts) -> None:
    dataset = image()
    assert bring(parts.ingest, dataset) == 0x0000
    whole = read_object(parts, uid(1, 1, 1))
    assert whole.endswith(encoded(dataset))  # exactly as sent
    opened = dcmread(BytesIO(whole))
    assert opened.file_meta.TransferSyntaxUID == EXPLICIT and opened.PixelData == dataset.PixelData
    (entry,) = parts.journal.read(0, 10)
    assert (entry.channel, entry.sender, entry.peer) == ("imaging", "CT01", "10.20.0.7")
    assert (entry.control_id, entry.message_type) == (uid(1, 1, 1), "dicom CT")
    copy = read_header(BytesIO(entry.body))
    held = parts.index.look(uid(1, 1, 1))
    assert held is not None and object_of(copy) == (held.address, held.size) and held.entry == entry.id
    assert copy.file_meta.SourceApplicationEntityTitle == "CT01"
    assert "PixelData" not in copy and copy.PatientID == "P1" and copy.Rows == 32
    assert parts.seen == ["new"]


def test_entries_of_one_study_share_a_lane_with_their_patient(parts: Parts) -> None:
    bring(parts.ingest, image(number=1))
    bring(parts.ingest, image(number=2))
    bring(parts.ingest, image(study=2))
    one, two, other = (entry.lanes for entry in parts.journal.read(0, 10))
    assert one == two and set(one) != set(other)
    assert one == tuple(sorted({parts.keyring.mac8("lane", k) % 64 for k in ("NORTH|P1", f"study|{uid(1)}")}))


def test_a_whole_file_is_kept_as_it_came(parts: Parts) -> None:
    data = as_file(image(), PrivateInformationCreatorUID="1.2.3", SourceApplicationEntityTitle="X")
    assert bring(parts.ingest, image(), Peer("imaging", "token"), data=data, is_file=True) == 0
    assert read_object(parts, uid(1, 1, 1)) == data


def test_the_same_object_again_is_quiet_whoever_brings_it(parts: Parts) -> None:
    file = as_file(image(), ImplementationVersionName="ANOTHER")
    assert bring(parts.ingest, image()) == 0
    assert bring(parts.ingest, image()) == 0
    assert bring(parts.ingest, image(), PACS) == 0
    assert bring(parts.ingest, image(), PACS, data=file, is_file=True) == 0
    assert parts.seen == ["new", "same", "same", "same"]
    assert parts.index.counts()["instances"] == 1 and parts.index.others() == []
    assert (
        len(parts.journal.read(0, 10)) == 2
    )  # the first sender's again is its first entry; PACS has its own
    assert sweep(parts.index, parts.objects, parts.journal.read, LATER) == 1  # the file of the last one
    assert read_object(parts, uid(1, 1, 1)).endswith(encoded(image()))


def test_an_object_that_is_named_again_is_not_discarded_meanwhile(parts: Parts) -> None:
    file = as_file(image(), ImplementationVersionName="ANOTHER")
    assert bring(parts.ingest, image()) == 0
    held = parts.index.look(uid(1, 1, 1))
    assert held is not None
    os.utime(parts.objects.root / held.address[:2] / held.address, (1, 1))
    append = parts.journal.append
    addresses: list[str] = []

    def forgotten(entries: Sequence[NewEntry]) -> list[Accepted]:
        for address in addresses:  # what retention decided on before discards it only now
            assert not parts.objects.discard(address, 3_600_000)
        return append(entries)

    class Forgetting:
        """An index that the retention rules are at work on, just after it was asked."""

        turn = parts.index.turn

        def where_is(self, sop_instance: str) -> Stored | None:
            found = parts.index.where_is(sop_instance)
            addresses.extend(parts.index.forget(uid(1)))
            return found

    ingest = Ingest(parts.objects, Forgetting(), forgotten)
    assert bring(ingest, image(), PACS, data=file, is_file=True) == 0
    assert addresses == [held.address]
    assert read_object(parts, uid(1, 1, 1)).endswith(encoded(image()))


def test_an_object_that_is_gone_is_not_named_again(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    file = as_file(image(), ImplementationVersionName="ANOTHER")
    assert bring(parts.ingest, image()) == 0
    real = parts.objects.touch

    def gone(address: str) -> bool:
        for one in parts.index.forget(uid(1)):
            parts.objects.delete(one)
        return real(address)

    monkeypatch.setattr(parts.objects, "touch", gone)
    assert bring(parts.ingest, image(), PACS, data=file, is_file=True) == 0
    assert read_object(parts, uid(1, 1, 1)) == file


def test_other_bytes_under_a_known_uid_are_kept_and_not_served(parts: Parts) -> None:
    assert bring(parts.ingest, image()) == 0
    assert bring(parts.ingest, image(pixels=4096)) == 0
    assert parts.seen == ["new", "other"]
    assert read_object(parts, uid(1, 1, 1)).endswith(encoded(image()))
    ((entry, address, study),) = parts.index.others()
    assert study == uid(1) and parts.journal.get(entry).conflicts_with == 1  # type: ignore[union-attr]
    assert sweep(parts.index, parts.objects, parts.journal.read, LATER) == 0
    assert parts.objects.open(address).read().endswith(encoded(image(pixels=4096)))


@pytest.mark.parametrize("sender", [CT01, PACS])
def test_the_entry_of_other_bytes_says_so_whoever_sent_them(parts: Parts, sender: Peer) -> None:
    bring(parts.ingest, image())
    bring(parts.ingest, image(PatientID="P9"), sender)
    bring(parts.ingest, image(PatientID="P9"), sender)  # again: the entry that is there
    bring(parts.ingest, image())
    first, second = parts.journal.read(0, 10)
    assert (marks_of(first.body), marks_of(second.body)) == (frozenset(), {OTHER_BYTES})
    copy = read_header(BytesIO(second.body))
    ((entry, address, _),) = parts.index.others()
    assert (entry, copy.PatientID) == (second.id, "P9") and object_of(copy)[0] == address  # type: ignore[index]


def gathered(parts: Parts, *brought: Any) -> list[int]:
    """Bring objects by threads of their own so that one commit has all of them; return their statuses."""
    gate, begun = threading.Event(), threading.Event()

    def append(entries: Sequence[NewEntry]) -> list[Accepted]:
        begun.set()
        gate.wait(20)
        return parts.journal.append(entries)

    ingest, said = Ingest(parts.objects, parts.index, append), dict[int, int]()
    threads = [
        threading.Thread(target=lambda n=n, one=one: said.update({n: bring(ingest, *one[:2], **one[2])}))
        for n, one in enumerate([(image(number=99), CT01, {}), *brought])
    ]
    threads[0].start()
    assert begun.wait(20)
    for n, thread in enumerate(threads[1:], 1):
        thread.start()
        while len(ingest._queue) < n:
            thread.join(0.001)
    gate.set()
    for thread in threads:
        thread.join()
    return [said[n] for n in range(1, len(threads))]


def test_of_two_that_race_under_one_uid_the_second_is_marked(parts: Parts) -> None:
    assert gathered(parts, (image(), CT01, {}), (image(PatientID="P9"), PACS, {})) == [0, 0]
    assert [marks_of(e.body) for e in parts.journal.read(1, 10)] == [frozenset(), {OTHER_BYTES}]
    assert read_object(parts, uid(1, 1, 1)).endswith(encoded(image()))


def test_one_image_under_two_headers_may_race_too(parts: Parts) -> None:
    file = as_file(image(), ImplementationVersionName="ANOTHER")
    assert gathered(parts, (image(), CT01, {}), (image(), PACS, {"data": file, "is_file": True})) == [0, 0]
    one, two = (read_header(BytesIO(e.body)) for e in parts.journal.read(1, 10))
    assert object_of(one) == object_of(two) and parts.index.others() == []


@pytest.mark.parametrize(
    ("dataset", "announced", "status"),
    [
        (image(), {"sop": uid(9)}, 0xA900),
        (image(), {"sop_class": "1.2.840.10008.5.1.4.1.1.4"}, 0xA900),
        (image(SOPInstanceUID=None), {"sop": uid(1, 1, 1), "sop_class": CT}, 0xA900),
        (image(StudyInstanceUID=None), {}, 0xC000),
        (image(SeriesInstanceUID=""), {}, 0xC000),
    ],
)
def test_what_cannot_be_filed_is_refused_and_leaves_nothing(
    parts: Parts, dataset: Dataset, announced: dict[str, str], status: int
) -> None:
    told = {"sop": str(dataset.get("SOPInstanceUID", "")), "sop_class": CT} | announced
    dataset.SOPInstanceUID = dataset.get("SOPInstanceUID", None) or "1.2"
    data = encoded(dataset) if dataset.SOPInstanceUID != "1.2" else encoded(image(SOPInstanceUID=None))
    assert bring(parts.ingest, dataset, data=data, **told) == status
    assert parts.files() == [] and parts.journal.head() == 0 and parts.index.counts()["instances"] == 0


STEP, PRIVATE = "1.2.840.10008.3.1.2.3.3", "1.3.6.1.4.1.9590.100.1.0.1"


@pytest.mark.parametrize(
    ("settings", "sop_class", "status"),
    [
        ({}, STEP, 0x0122),
        ({}, PRIVATE, 0x0122),
        ({}, CT, 0),
        ({"unknown_classes": "accept"}, PRIVATE, 0),
        ({"unknown_classes": "accept"}, STEP, 0x0122),
        ({"unknown_classes": "accept"}, "1.2.840.10008.5.1.4.31", 0x0122),
    ],
)
@pytest.mark.parametrize("channel", ["imaging", "elsewhere"])
def test_objects_of_classes_that_the_node_does_not_take_are_refused_on_every_way(
    tmp_path: Path, settings: dict[str, Any], sop_class: str, status: int, channel: str
) -> None:
    node = DicomSettings(port=0, ae_title="HUB", **settings)
    parts = Parts(tmp_path, takes=takes_of({"imaging": node}))
    if channel == "elsewhere" and sop_class == PRIVATE:
        status = 0x0122
    file = as_file(image(SOPClassUID=sop_class))
    peer = Peer(channel, "token")
    assert bring(parts.ingest, image(SOPClassUID=sop_class), peer, data=file, is_file=True) == status
    assert parts.journal.head() == len(parts.files()) == (0 if status else 1)
    parts.close()


@pytest.mark.parametrize("data", [b"", b"\x00" * 50, b"GET / HTTP/1.1\r\n\r\n" * 30, encoded(image())[:300]])
def test_bytes_that_are_no_dataset_are_refused(parts: Parts, data: bytes) -> None:
    assert bring(parts.ingest, image(), data=data) in (0xA900, 0xC000)
    assert parts.files() == [] and parts.journal.head() == 0


@pytest.mark.parametrize("pixels", [2048, 3_000_000])
def test_an_object_that_ends_within_its_pixels_is_refused(parts: Parts, pixels: int) -> None:
    data = encoded(image(pixels=pixels))
    assert bring(parts.ingest, image(), data=data[:-1], piece=100_000) == 0xC000
    assert parts.files() == []
    padded = data + b"\xfc\xff\xfc\xffOB\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00"  # PS3.5 7.2
    assert bring(parts.ingest, image(), data=padded, piece=100_000) == 0
    assert read_object(parts, uid(1, 1, 1)).endswith(padded)


def test_an_object_longer_than_the_limit_is_refused(tmp_path: Path) -> None:
    parts = Parts(tmp_path, max_object_bytes=10_000)
    with pytest.raises(OSError) as told:
        bring(parts.ingest, image(pixels=20_000))
    assert told.value.errno == errno.EFBIG
    assert parts.files() == []
    assert bring(parts.ingest, image(pixels=4000)) == 0
    parts.close()


def test_a_full_disk_is_0xa700_and_recovers(parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(handle: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    real = os.fsync
    assert (
        bring(parts.ingest, image(), before_store=lambda _: monkeypatch.setattr(os, "fsync", full)) == 0xA700
    )
    monkeypatch.setattr(os, "fsync", real)
    assert parts.files() == [] and parts.journal.head() == 0 and parts.index.look(uid(1, 1, 1)) is None
    assert bring(parts.ingest, image()) == 0
    assert parts.seen == ["no-room", "new"]


def test_a_journal_or_index_that_is_away_is_0xa700_and_recovers(parts: Parts) -> None:
    away = {"append": True, "add": False}

    class Flaky:
        def append(self, entries: Sequence[NewEntry]) -> list[Accepted]:
            if away["append"]:
                raise StoreUnavailable("the journal cannot be used")
            return parts.journal.append(entries)

        @contextmanager
        def turn(self) -> Iterator[Any]:
            with parts.index.turn() as turn:
                yield SimpleNamespace(where_are=turn.where_are, add=lambda batch: self.add(turn, batch))

        def add(self, turn: Any, batch: Sequence[NewInstance]) -> list[Added]:
            if away["add"]:
                raise StoreUnavailable("the index cannot be used")
            added: list[Added] = turn.add(batch)
            return added

        where_is = parts.index.where_is

    flaky = Flaky()
    ingest = Ingest(parts.objects, flaky, flaky.append)
    assert bring(ingest, image()) == 0xA700
    assert parts.journal.head() == 0 and parts.index.look(uid(1, 1, 1)) is None
    away["append"], away["add"] = False, True
    assert bring(ingest, image()) == 0xA700
    assert parts.index.look(uid(1, 1, 1)) is None
    away["add"] = False
    assert bring(ingest, image()) == 0
    assert parts.journal.head() == 1  # the sender's retry is the entry that is there
    assert read_object(parts, uid(1, 1, 1)).endswith(encoded(image()))


def test_one_object_that_is_choked_on_does_not_cost_its_neighbours(parts: Parts) -> None:
    gate, calls = threading.Event(), []

    def append(entries: Sequence[NewEntry]) -> list[Accepted]:
        calls.append(len(entries))
        if len(calls) == 1:
            gate.wait(20)  # the others gather meanwhile
        if any(e.control_id == uid(1, 1, 3) for e in entries):
            raise ValueError("choked")
        return parts.journal.append(entries)

    ingest = Ingest(parts.objects, parts.index, append)
    said: dict[int, Any] = {}

    def one(number: int) -> None:
        try:
            said[number] = bring(ingest, image(number=number))
        except ValueError as e:
            said[number] = str(e)

    threads = [threading.Thread(target=one, args=(n,)) for n in range(1, 6)]
    threads[0].start()
    while not calls:
        threads[0].join(0.001)
    for thread in threads[1:]:
        thread.start()
    while len(ingest._queue) < 4:
        threads[1].join(0.001)
    gate.set()
    for thread in threads:
        thread.join()
    assert said == {1: 0, 2: 0, 3: "choked", 4: 0, 5: 0}
    assert calls == [1, 4, 1, 1, 1, 1]  # one commit took all that had gathered


def test_many_threads_lose_nothing(parts: Parts) -> None:
    def many(series: int) -> None:
        for number in range(1, 16):
            assert bring(parts.ingest, image(series=series, number=number)) == 0

    threads = [threading.Thread(target=many, args=(s,)) for s in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert parts.index.counts()["instances"] == 60 == parts.journal.head()
    study = parts.index.study(uid(1))
    assert study is not None and (study.series, study.instances) == (4, 60)


def test_an_object_without_pixels_is_whole_in_the_journal(parts: Parts) -> None:
    report = image(Modality="SR", pixels=0, TextValue="x" * 3_000_000)
    assert bring(parts.ingest, report, piece=100_000) == 0
    (entry,) = parts.journal.read(0, 10)
    assert entry.body.endswith(encoded(report))


@pytest.mark.parametrize("pixels", [0, 2048])
@pytest.mark.parametrize("element", ["TextValue", "two"])
def test_an_entry_says_where_it_has_not_all_of_a_report(parts: Parts, pixels: int, element: str) -> None:
    long = {"TextValue": "x" * (9 << 20)}
    if element == "two":
        long = {"TextValue": "x" * (5 << 20), "ImageComments": "x" * (5 << 20)}
    assert bring(parts.ingest, image(Modality="SR", pixels=pixels, **long), piece=1 << 20) == 0
    assert bring(parts.ingest, image(number=2, Modality="SR", pixels=pixels), piece=1 << 20) == 0
    cut, whole = (marks_of(e.body) for e in parts.journal.read(0, 10))
    assert (cut, whole) == ({TOO_LONG}, frozenset())


def test_lists_call_objects_by_their_modality() -> None:
    assert message_type("CT", CT) == "dicom CT"
    assert message_type("", CT) == "dicom CTImageStorage"
    assert message_type("SMITH^JOHN", "1.2.3") == "dicom object"


def test_a_sender_that_ends_early_leaves_nothing(parts: Parts) -> None:
    arriving = parts.ingest.begin(received(image(), CT01))
    arriving.write(encoded(image())[:500])
    arriving.abandon()
    arriving.abandon()
    assert parts.files() == []
