"""What a crash left undone: entries that the index was not told of, objects that no entry names.

In: the journal after the index's watermark, the object store. Out: an index that has all that was
acknowledged, and the disk space of what never was: put aside first, removed a month later, and not at all
where the journal may have named more than can be read of it. Both may be run while objects come in, by any
process, as often as wanted.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from typing import BinaryIO, Protocol

from engine.formats.dicom.attributes import INDEXED
from engine.formats.dicom.header import OTHER_BYTES, beginning, is_dicom, marks_of, object_of, read_header
from engine.formats.dicom.values import text_of
from engine.journal.sql import UnreadableEntry
from engine.kernel.errors import FormatError
from engine.kernel.imaging import Added, NewInstance, Objects, Peer, Step, Stored
from engine.kernel.message import Entry
from engine.objects.folder import MissingObject

__all__ = ["ASIDE", "GRACE", "catch_up", "sweep"]

log = logging.getLogger("hub.dicom")

GRACE = 3_600_000
"""Milliseconds an object is spared after it came: its entry may be on its way."""

ASIDE = 30 * 86_400_000
"""Milliseconds a leftover is kept aside before it is removed."""

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
    def keep_leftovers(self, why: str) -> None: ...
    def leftovers_kept(self) -> str: ...


class Store(Objects, Protocol):
    """What is needed of the object store."""

    def addresses(self, before: int) -> Iterator[str]: ...
    def put_aside(self, address: str, before: int) -> bool: ...
    def leftovers(self, before: int) -> Iterator[str]: ...
    def bring_back(self, address: str) -> bool: ...
    def remove_leftover(self, address: str) -> bool: ...


def catch_up(index: Index, objects: Store, read: Callable[[int, int], list[Entry]]) -> int:
    """Index what the journal has after the watermark; return how many entries were missing.

    Raises HubError where an object is there and cannot be opened: the watermark stays before its entry.
    """
    found, after = 0, index.watermark()
    if after and _older(read, after):
        log.error("the journal ends before entry %d, which the index of imaging has seen", after)
        index.keep_leftovers("an older journal was put in place than the index of imaging has seen")
        return 0
    while True:
        try:
            entries = read(after, _TOGETHER)
        except UnreadableEntry as e:
            log.error("entry %d cannot be read; what it held of imaging is not indexed", e.entry)
            index.keep_leftovers(f"entry {e.entry} of the journal could not be read")
            after = e.entry
            index.advance(after)
            continue
        if not entries:
            return found
        found += _index(index, objects, [e for e in entries if e.kind == "message" and is_dicom(e.body)])
        after = entries[-1].id
        index.advance(after)


def _older(read: Callable[[int, int], list[Entry]], seen: int) -> bool:
    try:
        return not read(seen - 1, 1)
    except UnreadableEntry:
        return False


def _index(index: Index, objects: Store, entries: list[Entry]) -> int:
    # an object of that class is no step, whatever it says: only what N-CREATE and N-SET journaled is
    steps = [e for e in entries if e.message_type.startswith("dicom mpps") and _sop_class(e) == MPPS]
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


def _instance(objects: Store, entry: Entry) -> NewInstance | None:
    """Make of an entry what the index was to be told; None where its object is gone, or it has none."""
    try:
        header = read_header(BytesIO(entry.body), len(entry.body), only=INDEXED)
    except FormatError as e:
        log.warning("entry %d is not indexed: %s", entry.id, e.what)
        return None  # a damaged file that another channel took: the ingest journals none
    held = object_of(header)
    if held is None or not all(text_of(header, keyword) for keyword in _NEEDED):
        return None
    try:
        with _opened(objects, held[0]) as opened:
            began = beginning(opened.read(_HEAD), held[1])
    except MissingObject as e:
        # forgotten by the retention rules: what is not there is not served
        log.warning("entry %d is not indexed: %s", entry.id, e.what)
        return None
    header.file_meta.TransferSyntaxUID = began.transfer_syntax  # a copy of a deflated object is inflated
    peer = Peer(entry.channel, entry.sender, entry.peer)
    other = OTHER_BYTES in marks_of(entry.body)
    return NewInstance(entry.id, peer, Stored(*held), entry.received, header, other)


def _opened(objects: Store, address: str) -> BinaryIO:
    try:
        return objects.open(address)
    except MissingObject:
        if not objects.bring_back(address):
            raise
        return objects.open(address)


def sweep(index: Index, objects: Store, read: Callable[[int, int], list[Entry]], now: int) -> int:
    """Put objects aside that nothing names and nobody brought for an hour; return how many.

    What has been aside for a month is removed, unless something names it by now.
    """
    catch_up(index, objects, read)  # an entry that was not indexed yet counts
    if why := index.leftovers_kept():
        log.warning("no object is taken for a leftover: %s", why)
        return 0
    for address in list(objects.leftovers(now - ASIDE)):
        if index.used([address]):
            objects.bring_back(address)
        else:
            objects.remove_leftover(address)
    gone, before = 0, now - GRACE
    part: list[str] = []
    for address in objects.addresses(before):
        part.append(address)
        if len(part) == _TOGETHER:
            gone += _put_aside(index, objects, part, before)
            part = []
    return gone + _put_aside(index, objects, part, before)


def _put_aside(index: Index, objects: Store, addresses: list[str], before: int) -> int:
    used = index.used(addresses)
    return sum(objects.put_aside(address, before) for address in addresses if address not in used)
