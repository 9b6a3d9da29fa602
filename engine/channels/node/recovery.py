"""What a crash left undone: entries that the index was not told of, objects that no entry names.

In: the journal after the index's watermark, the object store. Out: an index that has all that was
acknowledged, and the disk space of what never was. Both may be run while objects come in, by any process, as
often as wanted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from typing import Protocol

from engine.formats.dicom.attributes import INDEXED
from engine.formats.dicom.header import OTHER_BYTES, beginning, is_dicom, marks_of, object_of, read_header
from engine.formats.dicom.values import text_of
from engine.journal.sql import UnreadableEntry
from engine.kernel.errors import FormatError, HubError
from engine.kernel.imaging import Added, NewInstance, Objects, Peer, Step, Stored
from engine.kernel.message import Entry

__all__ = ["GRACE", "catch_up", "sweep"]

log = logging.getLogger("hub.dicom")

GRACE = 3_600_000
"""Milliseconds an object is spared after it came: its entry may be on its way."""

MPPS = "1.2.840.10008.3.1.2.3.3"
_TOGETHER = 200
_HEAD = 128 << 10
_NEEDED = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")


class Index(Protocol):
    """What is needed of the index."""

    def watermark(self) -> int: ...
    def advance(self, entry: int) -> None: ...
    def missing(self, entries: Sequence[tuple[int, str]]) -> set[int]: ...
    def add(self, batch: Sequence[NewInstance]) -> list[Added]: ...
    def put_step(self, step: Step) -> None: ...
    def used(self, addresses: Sequence[str]) -> set[str]: ...


class Store(Objects, Protocol):
    """What is needed of the object store."""

    def addresses(self, before: int) -> Iterator[str]: ...
    def discard(self, address: str, before: int) -> bool: ...


def catch_up(index: Index, objects: Objects, read: Callable[[int, int], list[Entry]]) -> int:
    """Index what the journal has after the watermark; return how many entries were missing."""
    found, after = 0, index.watermark()
    while True:
        try:
            entries = read(after, _TOGETHER)
        except UnreadableEntry as e:
            log.error("entry %d cannot be read; what it held of imaging is not indexed", e.entry)
            after = e.entry
            index.advance(after)
            continue
        if not entries:
            return found
        found += _index(index, objects, [e for e in entries if e.kind == "message" and is_dicom(e.body)])
        after = entries[-1].id
        index.advance(after)


def _index(index: Index, objects: Objects, entries: list[Entry]) -> int:
    steps = [e for e in entries if _sop_class(e) == MPPS]
    for entry in steps:
        index.put_step(_step(entry))
    known = {e.id for e in steps}
    missing = index.missing([(e.id, e.control_id) for e in entries if e.id not in known])
    batch = [new for e in entries if e.id in missing and (new := _instance(objects, e)) is not None]
    index.add(batch)
    return len(batch)


def _sop_class(entry: Entry) -> str:
    try:
        return beginning(entry.body).sop_class
    except FormatError:
        return ""  # a damaged file that another channel took


def _step(entry: Entry) -> Step:
    dataset = read_header(BytesIO(entry.body))
    uid = str(beginning(entry.body).sop_instance)
    status = text_of(dataset, "PerformedProcedureStepStatus")
    for keyword in ("SOPClassUID", "SOPInstanceUID"):
        if keyword in dataset:
            del dataset[keyword]
    return Step(uid, status, dataset, entry.id)


def _instance(objects: Objects, entry: Entry) -> NewInstance | None:
    """Make of an entry what the index was to be told; None where its object is gone, or it has none."""
    try:
        header = read_header(BytesIO(entry.body), len(entry.body), only=INDEXED)
        held = object_of(header)
        if held is None:
            return None
        if not all(text_of(header, keyword) for keyword in _NEEDED):
            return None
        with objects.open(held[0]) as opened:
            began = beginning(opened.read(_HEAD), held[1])
    except HubError as e:
        # forgotten by the retention rules, or damaged: what is not there is not served
        log.warning("entry %d is not indexed: %s", entry.id, e.what)
        return None
    header.file_meta.TransferSyntaxUID = began.transfer_syntax  # a copy of a deflated object is inflated
    peer = Peer(entry.channel, entry.sender, entry.peer)
    other = OTHER_BYTES in marks_of(entry.body)
    return NewInstance(entry.id, peer, Stored(*held), entry.received, header, other)


def sweep(index: Index, objects: Store, read: Callable[[int, int], list[Entry]], now: int) -> int:
    """Remove objects that nothing names and nobody brought for an hour; return how many went."""
    catch_up(index, objects, read)  # an entry that was not indexed yet counts
    gone, before = 0, now - GRACE
    part: list[str] = []
    for address in objects.addresses(before):
        part.append(address)
        if len(part) == _TOGETHER:
            gone += _discard(index, objects, part, before)
            part = []
    return gone + _discard(index, objects, part, before)


def _discard(index: Index, objects: Store, addresses: list[str], before: int) -> int:
    used = index.used(addresses)
    return sum(objects.discard(address, before) for address in addresses if address not in used)
