"""One file into the journal: every message in it, in order, once, however often the taking is interrupted.

In: an open file that has come to rest, its name and tag. Out: journal entries a few hundred an append: each
message as over MLLP, by the same table; what is between them and is not a batch's header or trailer (HL7
v2.5.1 ch. 2.10.3), a batch of another number than BTS-1 promises, and a file without any message as
`garbage`, so that somebody sees it. Nobody is answered. Every entry says in its sealed reason which file it
came from and at which byte; a file begun earlier is compared with what the journal holds of it.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import BinaryIO, Protocol

from engine.formats.hl7v2.header import peek
from engine.formats.hl7v2.split import Batch, MessageSlice, iter_messages
from engine.kernel.clock import now_ms
from engine.kernel.errors import FormatError, HubError, StoreUnavailable
from engine.kernel.message import Accepted, Entry, NewEntry
from engine.listeners.entries import Source, entry_of
from engine.listeners.markers import Marker, Markers
from engine.listeners.metrics import Metrics

__all__ = ["Interrupted", "Journal", "Shelf", "Taken", "tag_of"]

_MESSAGES, _BYTES = 300, 2 << 20  # of one append
_PIECE = 1 << 20
_PAGE = 2000
_TAG = re.compile(r"file ([0-9a-f]{32})@(\d+)([a-z]*)")
_WRAPPER = re.compile(rb"(?:FHS|BHS|BTS|FTS)[^A-Za-z0-9]|(?:BTS|FTS)$")
_BLANK = b" \t\r\n\x0b\x1c\x1a\x00\xef\xbb\xbf\xff\xfe"


class Journal(Protocol):
    """What the taking of files needs of a journal."""

    def append(self, entries: Sequence[NewEntry], /) -> list[Accepted]:
        """Return when every entry is on disk; StoreUnavailable: none is."""
        ...

    def head(self) -> int:
        """Return the newest id."""
        ...

    def read(self, after: int, limit: int, /) -> list[Entry]:
        """Return entries after an id; a HubError with `entry` names one that cannot be read."""
        ...


class Interrupted(Exception):
    """The process is to stop; what is left of a file is taken when it starts again."""


@dataclass(slots=True)
class Taken:
    """What was found in one file."""

    readable: int = 0  # messages with a header
    garbage: int = 0
    duplicates: int = 0
    again: int = 0  # were in the journal already, from before an interruption
    broken: bool = False  # the rest of it cannot be cut into messages

    @property
    def sound(self) -> bool:
        """Say whether it may go where taken files go."""
        return self.readable > 0 and not self.broken


def tag_of(name: str, file: BinaryIO, *more: int) -> str:
    """Return the digest of a file's name and bytes; the file is at its beginning afterwards."""
    digest = hashlib.sha256(f"{len(name)}:{name}{more}".encode("utf-8", "surrogateescape"))
    file.seek(0)
    while piece := file.read(_PIECE):
        digest.update(piece)
    file.seek(0)
    return digest.hexdigest()[:32]


@dataclass(slots=True)
class Shelf:
    """What the channels of the files process share: the journal and the metrics, one at a time."""

    journal: Journal
    metrics: Metrics
    room_on_disk: Callable[[], bool] = lambda: True
    stopping: Callable[[], bool] = lambda: False
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        m = self.metrics
        m.counter("hub_files_total", "Files taken, by channel and where they went.")
        m.counter("hub_files_messages_total", "Messages of files, by channel and row of the table.")
        m.counter("hub_files_duplicates_total", "Messages of files that were here before.")
        m.counter("hub_files_skipped_total", "Things in a folder that are never taken, by reason.")
        m.gauge("hub_files_waiting", "Files seen and not yet taken.")
        m.gauge("hub_files_trouble", "1 while a channel's folder or server, or the journal, cannot be used.")
        m.gauge("hub_files_last_look_seconds", "When a folder was last looked into, seconds since 1970.")

    def count(self, name: str, channel: str, *labels: tuple[str, str], amount: float = 1) -> None:
        """Count a row of the table."""
        """Count."""
        with self.lock:
            self.metrics.add(name, (("channel", channel), *labels), amount)

    def gauge(self, name: str, channel: str, value: float) -> None:
        """Set a gauge."""
        with self.lock:
            self.metrics.set(name, value, (("channel", channel),))

    def append(self, entries: Sequence[NewEntry]) -> list[Accepted]:
        """Append; raises StoreUnavailable, and Interrupted where the process is to stop."""
        if self.stopping():
            raise Interrupted
        if not self.room_on_disk():
            raise StoreUnavailable("the disk is below its reserve", remedy="free space on its disk")
        accepted = self.journal.append(entries)
        if len(accepted) != len(entries):
            raise StoreUnavailable("the journal answered for another number of entries than it was given")
        return accepted

    def take(
        self, file: BinaryIO, name: str, tag: str, peer: str, source: Source, markers: Markers, limit: int
    ) -> Taken:
        """Journal everything in a file that the journal does not have; afterwards its marker says so.

        Raises StoreUnavailable and Interrupted: call it again later. `limit`: bytes of one message.
        """
        marker = markers.get(tag)
        already: dict[str, int] = {}
        if marker is None:
            marker = Marker(self.journal.head())
            markers.put(tag, marker)
        else:
            already = self._already(tag, marker.after)
        taking = Taking(self, file, name, tag, peer, source, limit, already)
        taken = taking.run()
        markers.put(tag, replace(marker, finished=True, sound=taken.sound))
        return taken

    def _already(self, tag: str, after: int) -> dict[str, int]:
        """Return the places of this file that stand in the journal, each with its entry."""
        found: dict[str, int] = {}
        while True:
            try:
                entries = self.journal.read(after, _PAGE)
            except StoreUnavailable:
                raise
            except HubError as e:  # an entry without a body; it is passed
                number = getattr(e, "entry", None)
                if not isinstance(number, int):
                    raise
                after = number
                continue
            if not entries:
                return found
            after = entries[-1].id
            for entry in entries:
                if (m := _TAG.search(entry.reason)) and m[1] == tag:
                    found[m[2] + m[3]] = entry.id


class Taking:
    """One file while it is taken."""

    def __init__(
        self,
        shelf: Shelf,
        file: BinaryIO,
        name: str,
        tag: str,
        peer: str,
        source: Source,
        limit: int,
        already: dict[str, int],
    ) -> None:
        self.shelf, self.file, self.source, self.peer, self.limit = shelf, file, source, peer, limit
        self.name, self.tag, self.already = name[:200], tag, already
        self.watched: set[str] = set()  # places whose entries somebody wants to know
        self.ids: dict[str, int] = {}  # of these
        self.taken = Taken()
        self.entries: list[tuple[str, NewEntry]] = []
        self.held = 0

    def run(self) -> Taken:
        """Take all of it."""
        settings = self.source.rules.settings
        if settings.others:
            from engine.listeners.otherfiles import format_of, take_other

            format = format_of(self.file)
            if not settings.v2 or format not in ("", "hl7v2"):
                take_other(self, format)
                self.flush()
                return self.taken
        end, number = 0, 0
        batches: list[tuple[Batch, int]] = []
        size = self.file.seek(0, 2)
        self.file.seek(0)
        try:
            for one in iter_messages(self.file, piece=_PIECE, limit=self.limit):
                if len(one.data) > self.limit:
                    raise FormatError("a message is longer than the limit")
                around = self._between(end, one.offset)
                self._message(one, around)
                end, number = one.offset + len(one.data), one.number
                if one.batch is not None and (not batches or batches[-1][0] is not one.batch):
                    batches.append((one.batch, one.offset))
        except FormatError:
            self.taken.broken = True
            self.garbage(end, self._read(end, min(size, end + _PIECE)), "too-long")
        else:
            if number:
                self._behind(self._between(end, size))
            elif size:
                cut = size > self.limit
                self.garbage(0, self._read(0, min(size, self.limit)), "not-hl7; cut" if cut else "not-hl7")
        for batch, offset in batches:
            if batch.declared not in (None, batch.count):
                why = f"batch-count: BTS-1 promises {batch.declared}, {batch.count} came"
                self.garbage(offset, batch.trailer, why, "b")
        self.flush()
        return self.taken

    def _message(self, one: MessageSlice, around: str) -> None:
        header = peek(one.data)
        decision = self.source.rules.decide(header, one.data)
        place = str(one.offset)
        said = f"file {self.tag}@{place}, message {one.number} of {self.name}{around}"
        reason = said if decision.row == "good" else f"{decision.row}; {said}"
        self.count(decision.row)
        if decision.kind == "garbage":
            self.taken.garbage += 1
        else:
            self.taken.readable += 1
        entry = entry_of(self.source, self.peer, now_ms(), one.data, header, decision, reason)
        if entry.kind == "garbage":
            entry = replace(entry, control_id=f"{self.tag}@{place}")  # recognised when it comes again
        self.put(place, entry)

    def _between(self, begin: int, end: int) -> str:
        """Journal what is no message; return a batch's headers and trailers as text for the next message."""
        if end <= begin:
            return ""
        gap = self._read(begin, min(end, begin + self.limit))
        if not gap.strip(_BLANK):
            return ""
        lines = [x.strip(_BLANK) for x in re.split(rb"[\r\n\x0b\x1c]+", gap.replace(b"\0", b""))]
        if any(x and not _WRAPPER.match(x) for x in lines):
            self.garbage(begin, gap, "between messages")
            return ""
        return "; around the messages: " + b" ".join(filter(None, lines)).decode("latin-1")[:1000]

    def _behind(self, around: str) -> None:
        """Write a trailer beside the last message: the journal then holds every byte of the file."""
        if around and self.entries:
            place, entry = self.entries[-1]
            self.entries[-1] = place, replace(entry, reason=entry.reason + around)

    def garbage(self, offset: int, body: bytes, why: str, mark: str = "g") -> None:
        """Put what is no message."""
        place = f"{offset}{mark}"
        self.taken.garbage += 1
        self.count("garbage")
        self.put(
            place,
            NewEntry(
                self.source.channel,
                body,
                now_ms(),
                self.source.sender,
                self.peer,
                control_id=f"{self.tag}@{place}",
                kind="garbage",
                reason=f"{why}; file {self.tag}@{place}: {self.name}",
            ),
        )

    def count(self, row: str) -> None:
        """Count a row of the table."""
        self.shelf.count("hub_files_messages_total", self.source.channel, ("row", row))

    def put(self, place: str, entry: NewEntry) -> None:
        """Put one entry, if it is not in the journal; `place`: where in the file it stands."""
        if place in self.already:
            self.taken.again += 1
            if place in self.watched:
                self.ids[place] = self.already[place]
            return
        if len(self.entries) >= _MESSAGES or self.held >= _BYTES:
            self.flush()  # before, not after: the last message of a file waits for the trailer behind it
        self.entries.append((place, entry))
        self.held += len(entry.body)

    def flush(self) -> None:
        """Append what was put."""
        if self.entries:
            accepted = self.shelf.append([entry for _, entry in self.entries])
            pairs = zip(self.entries, accepted, strict=True)
            self.ids.update((place, a.id) for (place, _), a in pairs if place in self.watched)
            twins = sum(a.duplicate_of is not None for a in accepted)
            self.taken.duplicates += twins
            if twins:
                self.shelf.count("hub_files_duplicates_total", self.source.channel, amount=twins)
        self.entries, self.held = [], 0

    def _read(self, begin: int, end: int) -> bytes:
        here = self.file.tell()
        self.file.seek(begin)
        data = self.file.read(end - begin)
        self.file.seek(here)
        return data
