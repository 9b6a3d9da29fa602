"""What a crash left undone is done, what is lost is made again; nothing acknowledged is removed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from ingest_samples import Parts, as_file, bring, encoded, image, received, uid

from engine.channels.node.ingest import Ingest
from engine.channels.node.recovery import ASIDE, catch_up, sweep
from engine.formats.dicom.header import object_of, read_header
from engine.journal.sql import UnreadableEntry
from engine.kernel.clock import now_ms
from engine.kernel.errors import HubError, StoreUnavailable
from engine.kernel.imaging import Added, NewInstance, Stored
from engine.kernel.message import Entry, NewEntry

LATER = 1 << 60


class NoIndex:
    @contextmanager
    def turn(self) -> Iterator[NoIndex]:
        yield self

    def where_are(self, sop_instances: Sequence[str]) -> dict[str, Stored]:
        return {}

    def add(self, batch: Sequence[NewInstance]) -> list[Added]:
        raise StoreUnavailable("gone")

    def where_is(self, sop_instance: str) -> None:
        return None


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


def test_an_index_that_is_lost_is_made_again_from_the_journal(parts: Parts, tmp_path: Path) -> None:
    for number in range(1, 4):
        bring(parts.ingest, image(number=number))
    bring(parts.ingest, image(number=2, pixels=4096))
    parts.journal.append(
        [NewEntry("lab", b"MSH|^~\\&|...", 1), NewEntry("lab", bytes(128) + b"DICMnot at all", 2)]
    )
    step = image(SOPClassUID="1.2.840.10008.3.1.2.3.3", SOPInstanceUID=uid(7), pixels=0)
    step.PerformedProcedureStepStatus = "IN PROGRESS"
    body = as_file(step)
    parts.journal.append(
        [
            NewEntry(
                "imaging", body, 3, sender="CT01", control_id=uid(7), message_type="dicom mpps in progress"
            )
        ]
    )
    before = [parts.index.look(uid(1, 1, n)) for n in range(1, 4)]
    parts.objects.delete(before[2].address)  # type: ignore[union-attr]
    parts.close()
    for path in tmp_path.glob("imaging.db*"):
        path.unlink()
    again = Parts(tmp_path)
    assert catch_up(again.index, again.objects, again.journal.read) == 3
    assert again.index.watermark() == again.journal.head()
    assert [again.index.look(uid(1, 1, n)) for n in range(1, 4)] == [*before[:2], None]  # its object is gone
    assert [entry for entry, *_ in again.index.others()] == [4]
    known = again.index.step(uid(7))
    assert known is not None and known.status == "IN PROGRESS" and "SOPInstanceUID" not in known.dataset
    assert catch_up(again.index, again.objects, again.journal.read) == 0
    again.close()


def test_what_no_entry_names_is_swept_and_what_one_names_is_not(parts: Parts) -> None:
    bring(parts.ingest, image())
    arriving = parts.ingest.begin(received(image(number=2)))
    arriving.write(encoded(image(number=2)))
    orphan = parts.objects.keep(arriving.arriving)  # type: ignore[attr-defined]  # the process dies here
    unindexed = Ingest(parts.objects, NoIndex(), parts.journal.append)
    assert bring(unindexed, image(number=3)) == 0xA700  # ... or here
    assert sweep(parts.index, parts.objects, parts.journal.read, 0) == 0  # too young
    assert sweep(parts.index, parts.objects, parts.journal.read, LATER) == 1
    assert list(parts.objects.addresses(LATER)).count(orphan.address) == 0
    assert read_object(parts, uid(1, 1, 3)).endswith(encoded(image(number=3)))


def test_other_bytes_never_take_the_place_of_what_is_lost(parts: Parts, tmp_path: Path) -> None:
    bring(parts.ingest, image())
    bring(parts.ingest, image(PatientID="P9"))
    parts.objects.delete(parts.index.look(uid(1, 1, 1)).address)  # type: ignore[union-attr]
    parts.close()
    for path in tmp_path.glob("imaging.db*"):
        path.unlink()
    again = Parts(tmp_path)
    catch_up(again.index, again.objects, again.journal.read)
    assert again.index.look(uid(1, 1, 1)) is None and [entry for entry, *_ in again.index.others()] == [2]
    assert catch_up(again.index, again.objects, again.journal.read) == 0
    again.close()


def test_an_object_that_says_it_is_a_step_is_none(parts: Parts) -> None:
    said = {"SOPClassUID": "1.2.840.10008.3.1.2.3.3", "PerformedProcedureStepStatus": "COMPLETED"}
    body = as_file(image(pixels=0, **said))
    parts.journal.append([NewEntry("imaging", body, 3, control_id=uid(1, 1, 1), message_type="dicom CT")])
    catch_up(parts.index, parts.objects, parts.journal.read)
    assert parts.index.step(uid(1, 1, 1)) is None


def bare(parts: Parts) -> None:
    """An object that is journaled, and the index was not told."""
    assert bring(Ingest(parts.objects, NoIndex(), parts.journal.append), image()) == 0xA700


def test_an_object_that_cannot_be_opened_stops_the_index_and_nothing_is_swept(
    parts: Parts, monkeypatch: pytest.MonkeyPatch
) -> None:
    bare(parts)

    def away(address: str) -> Any:
        raise HubError("cannot be read", why="the bucket is away")

    with monkeypatch.context() as during:
        during.setattr(parts.objects, "open", away)
        with pytest.raises(HubError):
            sweep(parts.index, parts.objects, parts.journal.read, LATER)
    assert parts.index.watermark() == 0
    assert sweep(parts.index, parts.objects, parts.journal.read, LATER) == 0
    assert read_object(parts, uid(1, 1, 1)).endswith(encoded(image()))


def test_a_damaged_object_is_not_passed_over(parts: Parts) -> None:
    bare(parts)
    (path,) = parts.files()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    with pytest.raises(HubError):
        catch_up(parts.index, parts.objects, parts.journal.read)
    assert parts.index.watermark() == 0
    path.write_bytes(whole)
    assert catch_up(parts.index, parts.objects, parts.journal.read) == 1


def test_nothing_is_swept_where_an_entry_could_not_be_read(parts: Parts) -> None:
    bare(parts)

    def read(after: int, limit: int) -> list[Entry]:
        if after < 1:
            raise UnreadableEntry(1, "cannot be opened")
        return parts.journal.read(after, limit)

    for _ in range(2):  # the second time its watermark is behind the entry
        assert sweep(parts.index, parts.objects, read, LATER) == 0
    assert parts.index.watermark() == 1 and len(list(parts.objects.addresses(LATER))) == 1


def test_nothing_is_swept_where_the_journal_is_older_than_the_index(parts: Parts) -> None:
    bring(parts.ingest, image())
    catch_up(parts.index, parts.objects, parts.journal.read)
    bare_file = parts.ingest.begin(received(image(number=2)))
    bare_file.write(encoded(image(number=2)))
    parts.objects.keep(bare_file.arriving)  # type: ignore[attr-defined]
    assert sweep(parts.index, parts.objects, lambda after, limit: [], LATER) == 0
    assert sweep(parts.index, parts.objects, parts.journal.read, LATER) == 0  # it has grown again
    assert len(list(parts.objects.addresses(LATER))) == 2


def test_a_leftover_is_kept_for_a_month_and_comes_back_where_it_is_named(parts: Parts) -> None:
    bare(parts)
    (entry,) = parts.journal.read(0, 10)
    held = object_of(read_header(BytesIO(entry.body)))
    assert held is not None and parts.objects.put_aside(held[0], LATER)
    assert list(parts.objects.addresses(LATER)) == []
    assert catch_up(parts.index, parts.objects, parts.journal.read) == 1
    assert read_object(parts, uid(1, 1, 1)).endswith(encoded(image()))
    for address in parts.index.forget(uid(1)):
        parts.objects.put_aside(address, LATER)
    now = now_ms()
    sweep(parts.index, parts.objects, parts.journal.read, now + ASIDE - 60_000)
    assert list(parts.objects.leftovers(LATER)) == [held[0]]
    sweep(parts.index, parts.objects, parts.journal.read, now + ASIDE + 60_000)
    assert list(parts.objects.leftovers(LATER)) == []
