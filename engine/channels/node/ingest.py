"""The way of an object to the disk: object store, journal, index, and only then the answer.

In: bytes of C-STORE and STOW-RS. Out: a status (PS3.4 B.2.3, PS3.7 9.1.1), given once the object and its
journal entry are on disk. What all associations have ready is one journal append and one transaction of the
index: whoever finds nobody committing commits for all. The journal has the header copy; from it the index is
made again, and what no entry names is removed (`recovery.py`).
"""

from __future__ import annotations

import errno
import logging
import threading
from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from io import BytesIO
from typing import Any, Literal, Protocol

from engine.channels.node.keys import order_keys
from engine.channels.node.sameness import same_dataset
from engine.formats.dicom import uids
from engine.formats.dicom.attributes import INDEXED, levels
from engine.formats.dicom.elements import PIXELS, elements, encoding_of
from engine.formats.dicom.header import (
    LIMIT,
    OTHER_BYTES,
    beginning,
    dataset_header,
    header_copy,
    pixel_offset,
    read_header,
)
from engine.formats.dicom.values import text_of
from engine.kernel.clock import now_ms
from engine.kernel.errors import FormatError, StoreUnavailable, place_of
from engine.kernel.imaging import Added, Arriving, NewInstance, Objects, Received, Stored
from engine.kernel.message import Accepted, NewEntry

__all__ = ["Index", "Ingest", "message_type"]

log = logging.getLogger("hub.dicom")

SUCCESS, CLASS_NOT_SUPPORTED = 0x0000, 0x0122
OUT_OF_RESOURCES, DOES_NOT_MATCH, CANNOT_UNDERSTAND = 0xA700, 0xA900, 0xC000
_TOGETHER = 64  # objects of one commit at most
_LOOKS = (64 << 10, 512 << 10, 2 << 20)  # bytes after which it is asked whether the pixel data has begun


class Turn(Protocol):
    """The index while this is its one writer."""

    def where_are(self, sop_instances: Sequence[str]) -> dict[str, Stored]: ...
    def add(self, batch: Sequence[NewInstance]) -> list[Added]: ...


class Index(Protocol):
    """What the ingest needs of the index."""

    def where_is(self, sop_instance: str) -> Stored | None: ...
    def turn(self) -> AbstractContextManager[Turn]: ...


class _Incoming:
    """An object on its way in: to the object store, its beginning kept for the header copy."""

    def __init__(self, arriving: Arriving, limit: int, header: bytes) -> None:
        self.arriving = arriving
        self.size = 0
        self._limit = limit
        self._head: list[bytes] = []
        self._headed = 0
        self._looks = iter(_LOOKS)
        self._next = next(self._looks)
        self._whole = True
        if header:
            self.write(header)

    def write(self, data: bytes) -> None:
        """Take more bytes. Raises OSError: no room, or more than one object may have."""
        self.size += len(data)
        if self.size > self._limit:
            self.abandon()
            raise OSError(errno.EFBIG, "the object is longer than the limit")
        self.arriving.write(data)
        if self._whole:
            self._head.append(bytes(data))
            self._headed += len(data)
            if self._headed >= self._next:
                self._look()

    def head(self) -> bytes:
        """Return the beginning of the object: all before its pixel data, or as much as is kept of it."""
        if len(self._head) > 1:
            self._head = [b"".join(self._head)]
        return self._head[0] if self._head else b""

    def abandon(self) -> None:
        """Forget it."""
        self.arriving.abandon()
        self._head = []

    def _look(self) -> None:
        """Keep no more where the pixel data has begun."""
        self._next = next(self._looks, LIMIT)
        if self._headed >= LIMIT:
            self._whole = False
            return
        try:
            self._whole = pixel_offset(self.head(), self._headed + 1) < 0
        except FormatError:
            self._whole = False  # damaged: `store` refuses it


@dataclass(slots=True)
class _Waiting:
    entry: NewEntry
    received: Received
    stored: Stored
    header: Any
    head: bytes  # the beginning of the object
    compared: str  # the object that was held under its UID before, and is another
    other: bool = False
    added: Added | None = None
    error: Exception | None = None
    done: bool = False


class Ingest:
    """Takes objects of all nodes of one process. Threads share it."""

    def __init__(
        self,
        objects: Objects,
        index: Index,
        append: Callable[[Sequence[NewEntry]], list[Accepted]],
        *,
        max_object_bytes: int = 4 << 30,
        issuer: Callable[[str], str] = lambda channel: "",
        takes: Callable[[str, str], bool] = lambda channel, sop_class: uids.is_storage(sop_class),
        clock: Callable[[], int] = now_ms,
        seen: Callable[[str, str, int], None] = lambda channel, outcome, size: None,
    ) -> None:
        """`issuer` says whose patient numbers come without one, `takes` which SOP classes a channel takes.

        `seen` is told each outcome and size.
        """
        self._takes = takes
        self._objects, self._index, self._append = objects, index, append
        self._limit, self._issuer, self._clock, self._seen = max_object_bytes, issuer, clock, seen
        self._turn = threading.Condition()
        self._queue: list[_Waiting] = []
        self._committing = False
        self._down = False

    def begin(self, received: Received) -> Arriving:
        """Begin an object. Raises OSError (ENOSPC) where there is no room for one."""
        header = b""
        if not received.is_file:
            # without the sender's title: one image that comes on two ways is one object
            syntax = received.transfer_syntax
            header = dataset_header(received.sop_class, received.sop_instance, syntax, "")
        arriving = self._objects.begin()
        try:
            return _Incoming(arriving, self._limit, header)
        except BaseException:
            arriving.abandon()
            raise

    def store(self, received: Received, arriving: Arriving) -> int:
        """Keep an object, journal it, index it; return its status. All of it is on disk at 0x0000."""
        assert isinstance(arriving, _Incoming)
        channel, size = received.peer.channel, arriving.size
        try:
            outcome, status = self._store(received, arriving)
        except (OSError, StoreUnavailable) as e:
            outcome, status = "no-room", OUT_OF_RESOURCES
            self._fell(e)
        except FormatError as e:
            outcome, status = "not-understood", CANNOT_UNDERSTAND
            log.warning("channel %s: an object is refused: %s", channel, e.what)
        finally:
            arriving.abandon()  # what was kept is not touched by it
        self._seen(channel, outcome, size)
        return status

    def _store(self, received: Received, arriving: _Incoming) -> tuple[str, int]:
        if not self._takes(received.peer.channel, received.sop_class):
            # over an association it is not negotiated (PS3.7 9.1.1.1.9); STOW-RS has no such step
            log.warning("channel %s: an object is refused: its SOP class is not taken", received.peer.channel)
            return "class-not-taken", CLASS_NOT_SUPPORTED
        head = arriving.head()
        complete = len(head) == arriving.size  # else its end is not a damage
        header = read_header(BytesIO(head), len(head) + complete, only=INDEXED)
        study, series, instance = levels(header)
        if (text_of(instance, "SOPClassUID"), text_of(instance, "SOPInstanceUID")) != (
            received.sop_class,
            received.sop_instance,
        ):
            log.warning(
                "channel %s: an object is refused: it is not what it was announced as", received.peer.channel
            )
            return "does-not-match", DOES_NOT_MATCH
        if not text_of(study, "StudyInstanceUID") or not text_of(series, "SeriesInstanceUID"):
            raise FormatError("it names no study or no series")
        if _cut_off(head, arriving.size):
            raise FormatError("it ends within its pixel data")
        stored, compared = self._twin(received, self._objects.keep(arriving.arriving))
        entry = NewEntry(
            channel=received.peer.channel,
            body=header_copy(head, address=stored.address, size=stored.size, aet=received.peer.aet),
            received=self._clock(),
            sender=received.peer.aet,
            peer=received.peer.address,
            control_id=received.sop_instance,
            message_type=message_type(text_of(series, "Modality"), received.sop_class),
            order_keys=order_keys(study, self._issuer(received.peer.channel)),
        )
        added = self._commit(_Waiting(entry, received, stored, header, head, compared))
        if added.what == "other":
            log.warning(
                "channel %s: other bytes came under a SOP Instance UID that is held: kept, not served",
                received.peer.channel,
            )
        return added.what, SUCCESS

    def _twin(self, received: Received, stored: Stored) -> tuple[Stored, str]:
        """Return the object that is held already where it has the same dataset under another header.

        Otherwise the new one, and what it was compared with.
        """
        held = self._index.where_is(received.sop_instance)
        if held is None or held.address == stored.address:
            return stored, ""
        if not same_dataset(self._objects, held, stored):
            return stored, held.address
        if not self._objects.touch(held.address):
            return stored, held.address  # discarded by the retention rules in between
        return held, ""  # what was just kept is named by nothing: `sweep` puts it aside

    def _commit(self, mine: _Waiting) -> Added:
        """Have it committed with whatever else is ready, by this thread or by one that is at it."""
        with self._turn:
            self._queue.append(mine)
            while not mine.done:
                if self._committing:
                    self._turn.wait()
                    continue
                self._committing = True
                batch, self._queue = self._queue[:_TOGETHER], self._queue[_TOGETHER:]
                self._turn.release()
                try:
                    self._commit_all(batch)
                finally:
                    self._turn.acquire()
                    self._committing = False
                    for one in batch:
                        one.done = True
                    self._turn.notify_all()
        if mine.error is not None:
            raise mine.error
        assert mine.added is not None
        return mine.added

    def _commit_all(self, batch: list[_Waiting]) -> None:
        try:
            self._write(batch)
            if self._down:
                self._down = False
                log.warning("objects are taken again")
        except StoreUnavailable as e:
            _fail(batch, e)
        except Exception as e:
            if len(batch) == 1:
                _fail(batch, e)
                return
            # one object that is choked on must not cost its neighbours their answers
            log.error(
                "%d objects could not be written down together (%s); trying them one by one",
                len(batch),
                place_of(e),
            )
            for one in batch:
                self._commit_all([one])

    def _write(self, batch: list[_Waiting]) -> None:
        # nobody else brings anything between the look at what is held, the journal and the index: what an
        # entry says of other bytes is so whoever sent the first ones, on whatever way
        with self._index.turn() as turn:
            held = turn.where_are([one.received.sop_instance for one in batch])
            for one in batch:
                self._judge(one, held.setdefault(one.received.sop_instance, one.stored))
            accepted = self._append([one.entry for one in batch])
            if len(accepted) != len(batch):
                raise StoreUnavailable("the journal answered for another number of entries than it was given")
            added = turn.add(
                [
                    NewInstance(
                        a.id, one.received.peer, one.stored, one.entry.received, one.header, one.other
                    )
                    for a, one in zip(accepted, batch, strict=True)
                ]
            )
        for one, what in zip(batch, added, strict=True):
            one.added = what

    def _judge(self, one: _Waiting, first: Stored) -> None:
        """Mark an entry where other bytes came first: a worker parks it, whoever sent it."""
        if one.other or first.address == one.stored.address:
            return
        if first.address != one.compared and same_dataset(self._objects, first, one.stored):
            one.stored = first  # they came at one time, under two headers
        else:
            one.other = True
        marks = (OTHER_BYTES,) if one.other else ()
        body = header_copy(
            one.head, address=one.stored.address, size=one.stored.size, aet=one.received.peer.aet, marks=marks
        )
        one.entry = replace(one.entry, body=body)

    def _fell(self, error: Exception) -> None:
        if not self._down:
            self._down = True
            why = error.strerror if isinstance(error, OSError) else str(error)
            log.critical("no object can be taken: %s", why)


def _cut_off(head: bytes, size: int) -> bool:
    """Say whether an object of `size` bytes ends before its pixel data does, as their length says it."""
    began = beginning(head, size)
    if began.data is not head:
        return False  # deflated: it says itself where it ends
    encoding = encoding_of(began.transfer_syntax, head, began.start)
    for element in elements(head, began.start, encoding, whole=False):
        if element.tag in PIXELS and not element.undefined:
            order: Literal["big", "little"] = "big" if encoding.big else "little"
            return element.start + int.from_bytes(head[element.start - 4 : element.start], order) > size
    return False


def _fail(batch: Iterable[_Waiting], error: Exception) -> None:
    for one in batch:
        one.error = error


def message_type(modality: str, sop_class: str) -> str:
    """Return what lists call an object: `dicom CT`, or by its class where it names no modality."""
    word = modality if modality.isascii() and modality.isalnum() else uids.keyword_of(sop_class)
    return f"dicom {word or 'object'}"[:40]
