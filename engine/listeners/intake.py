"""Group commit for listeners: the frames of one turn of the event loop are one journal append, then answered.

In: whole frames from every connection of the process. Out: journal entries, and for each frame at most one
answer, written only after the journal has said that everything in the frame is on disk. There is no timer:
what arrives while a commit runs waits in the sockets and is the next turn. When the journal cannot write, or
the disk is below its reserve, nobody is answered, the connections of that turn are closed (their senders will
send again), an alarm is raised, and the next turn tries anew. Acknowledgement rules: `ack_rules.py`; batches:
HL7 v2.5.1 ch. 2.10.3.
"""

from __future__ import annotations

import itertools
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from engine.formats.hl7v2.ack import acknowledge, fast_ack, timestamp
from engine.formats.hl7v2.header import Header, peek
from engine.formats.hl7v2.query_refusal import query_refusal
from engine.formats.hl7v2.split import MessageSlice, split_messages
from engine.kernel.clock import now_ms
from engine.kernel.errors import StoreUnavailable
from engine.kernel.message import Accepted, NewEntry
from engine.listeners.ack_rules import AckRules, Decision, worst
from engine.listeners.batches import BatchAnswer
from engine.listeners.metrics import SECONDS, SIZES, Metrics
from engine.listeners.senders import Senders

__all__ = ["Appends", "Budget", "Connection", "Intake", "Source"]

log = logging.getLogger(__name__)

_NOBODY = peek(b"MSH|^~\\&|||||||||P|2.5.1\r")  # what an answer to bytes without a header is written from
_HELD_BY_ALL = 512 << 20  # bytes of unfinished frames in one process
_WRAPPER = 4000  # how much of the bytes around a batch's messages is kept as text beside the first


class Appends(Protocol):
    """What the intake needs of a journal."""

    def append(self, entries: Sequence[NewEntry], /) -> list[Accepted]:
        """Return when every entry is on disk; StoreUnavailable: none is."""
        ...


class Connection(Protocol):
    """What the intake needs of a connection."""

    peer: str

    def answer(self, acks: list[bytes], frames: int) -> None:
        """Send the answers of `frames` frames, in order; a connection that is gone loses them quietly."""
        ...

    def abandon(self) -> None:
        """Close without an answer."""
        ...

    def stop(self, reason: str) -> None:
        """Give up what is unfinished, and close once what was taken is answered."""
        ...


@dataclass(frozen=True, slots=True)
class Source:
    """The channel a frame came in on."""

    channel: str
    rules: AckRules
    senders: Senders
    sender: str = ""  # empty: MSH-3|MSH-4 of each message
    duplicate_window_ms: int | None = None
    duplicates: str = "skip"


@dataclass(slots=True)
class _Frame:
    connection: Connection
    source: Source
    header: Header  # the one that is answered
    decisions: list[Decision]
    since: float
    batch: BatchAnswer | None = None
    query: bytes = b""  # the message, where its answer must repeat a part of it


class Intake:
    """The end of every turn of one listener process."""

    def __init__(
        self,
        journal: Appends,
        schedule: Callable[[Callable[[], None]], object],
        metrics: Metrics,
        monotonic: Callable[[], float],
        *,
        room_on_disk: Callable[[], bool] = lambda: True,
    ) -> None:
        self._journal = journal
        self._schedule = schedule
        self._metrics = metrics
        self._monotonic = monotonic
        self._room_on_disk = room_on_disk
        self._frames: list[_Frame] = []
        self._entries: list[NewEntry] = []
        self._numbers = itertools.count(1)
        self._boot = f"{now_ms() // 1000:X}"
        self._stamp = (0, "")
        self._down = False
        metrics.counter(
            "hub_mllp_messages_total", "Messages answered, by channel and row of the acknowledgement table."
        )
        metrics.counter(
            "hub_mllp_duplicates_total", "Messages that were here before and were answered again."
        )
        metrics.counter("hub_mllp_conflicts_total", "Messages that reuse a control id for other bytes.")
        metrics.counter(
            "hub_mllp_unanswered_total", "Frames closed without an answer because nothing could be written."
        )
        metrics.gauge("hub_mllp_store_down", "1 while the journal cannot be written.")
        self._commit = metrics.histogram("hub_mllp_commit_seconds", "Time of one journal append.", SECONDS)
        self._size = metrics.histogram("hub_mllp_commit_entries", "Entries of one journal append.", SIZES)
        self._answer = metrics.histogram(
            "hub_mllp_answer_seconds", "From the end of a frame to its answer.", SECONDS
        )

    def accept(self, connection: Connection, source: Source, frame: bytes) -> None:
        """Take one complete frame; it is journaled and answered at the end of this turn."""
        if not self._frames:
            self._schedule(self.flush)
        received = now_ms()
        since = self._monotonic()
        if frame.startswith(b"MSH") and frame.find(b"\rMSH", 3) < 0 and frame.find(b"\nMSH", 3) < 0:
            slices = []
        else:
            slices = split_messages(frame)
        if len(slices) < 2 and not (slices and slices[0].batch):
            header = peek(frame)
            decision = source.rules.decide(header, frame)
            self._entries.append(_entry(source, connection.peer, received, frame, header, decision))
            self._frames.append(
                _Frame(
                    connection,
                    source,
                    header if header.ok else _NOBODY,
                    [decision],
                    since,
                    query=frame if decision.row == "query" else b"",
                )
            )
            return
        decisions = []
        batch = None
        if any(s.batch for s in slices):
            batch = BatchAnswer(source.rules, self._number, self._moment(received), received)
        for s in slices:
            header = peek(s.data)
            decision = source.rules.decide(header, s.data)
            decisions.append(decision)
            if batch is not None:
                batch.take(s.batch, header if header.ok else _NOBODY, decision)
            reason = f"{decision.row}; " if decision.row != "good" else ""
            reason += f"message {s.number} of {len(slices)} in one frame"
            if s.number == 1:
                reason += _wrapper(frame, slices)
            self._entries.append(_entry(source, connection.peer, received, s.data, header, decision, reason))
        self._frames.append(_Frame(connection, source, peek(slices[0].data), decisions, since, batch))

    def keep(self, connection: Connection, source: Source, frame: bytes, reason: str) -> None:
        """Journal bytes that nobody is to be answered for."""
        if not self._frames:
            self._schedule(self.flush)
        entry = NewEntry(
            source.channel, frame, now_ms(), source.sender, connection.peer, kind="garbage", reason=reason
        )
        self._entries.append(entry)
        silent = Decision(reason, "reject", "garbage", answered=False)
        self._frames.append(_Frame(connection, source, _NOBODY, [silent], self._monotonic()))

    def flush(self) -> None:
        """Commit everything this turn brought and answer it."""
        frames, entries = self._frames, self._entries
        self._frames, self._entries = [], []
        if not frames:
            return
        try:
            accepted: list[Accepted | None] = [*self._append(entries)]
        except StoreUnavailable as e:
            self._refuse(frames, e)
            return
        except Exception as e:
            # One entry that the journal chokes on must not cost its neighbours their answers.
            log.exception("the journal failed on %d entries; trying them one by one", len(entries))
            accepted = [self._append_alone(entry) for entry in entries]
            if not any(accepted):
                self._refuse(frames, e)
                return
        if self._down:
            self._down = False
            self._metrics.set("hub_mllp_store_down", 0)
            log.warning("the journal can be written again")
        self._reply(frames, accepted)

    def _append(self, entries: list[NewEntry]) -> list[Accepted]:
        if not self._room_on_disk():
            raise StoreUnavailable(
                "the disk is below its reserve", remedy="free space on the disk of the journal"
            )
        begun = self._monotonic()
        accepted = self._journal.append(entries)
        self._commit.observe(self._monotonic() - begun)
        self._size.observe(len(entries))
        if len(accepted) != len(entries):
            raise StoreUnavailable("the journal answered for another number of entries than it was given")
        return accepted

    def _append_alone(self, entry: NewEntry) -> Accepted | None:
        try:
            return self._append([entry])[0]
        except Exception:
            log.exception(
                "the journal refused an entry of channel %s; its sender gets no answer", entry.channel
            )
            return None

    def _refuse(self, frames: list[_Frame], why: Exception) -> None:
        if not self._down:
            self._down = True
            self._metrics.set("hub_mllp_store_down", 1)
            log.critical("nothing is answered: %s", why)
        for frame in frames:
            self._metrics.add("hub_mllp_unanswered_total", (("channel", frame.source.channel),))
            self._drop(frame.connection)

    def _drop(self, connection: Connection) -> None:
        try:
            connection.abandon()
        except Exception:
            log.exception("a connection could not be closed")

    def _reply(self, frames: list[_Frame], accepted: list[Accepted | None]) -> None:
        acks: dict[Connection, list[bytes]] = {}
        counts: dict[Connection, int] = {}
        now = now_ms()
        at = 0
        for frame in frames:
            mine = accepted[at : at + len(frame.decisions)]
            at += len(frame.decisions)
            connection = frame.connection
            if None in mine:
                self._metrics.add("hub_mllp_unanswered_total", (("channel", frame.source.channel),))
                self._drop(connection)
                continue
            self._count(frame, mine)
            try:
                ack = self._ack(frame, now)
            except Exception:
                log.exception("an answer could not be formed")
                self._drop(connection)
                continue
            counts[connection] = counts.get(connection, 0) + 1
            answers = acks.setdefault(connection, [])
            if ack:
                answers.append(ack)
        for connection, answers in acks.items():
            try:
                connection.answer(answers, counts[connection])
            except Exception:
                log.exception("an answer could not be written")
                self._drop(connection)
        done = self._monotonic()
        for frame in frames:
            self._answer.observe(done - frame.since)

    def _ack(self, frame: _Frame, now: int) -> bytes:
        header = frame.header
        if frame.batch is not None:
            return frame.batch.finish()
        if len(frame.decisions) == 1:
            decision = frame.decisions[0]
            if not decision.answered or not (code := frame.source.rules.answer(header, decision.outcome)):
                return b""
            if not decision.errors:
                return fast_ack(header, code, self._number(), self._moment(now))
            ack = acknowledge(header, code, errors=decision.errors, control_id=self._number(), at_ms=now)
            return query_refusal(ack, frame.query) if frame.query else ack
        answered = [(n, d) for n, d in enumerate(frame.decisions, 1) if d.answered]
        errors = [
            e._replace(text=f"message {n} of {len(frame.decisions)}: {e.text}")
            for n, d in answered
            for e in d.errors
        ]
        if not answered or not (
            code := frame.source.rules.answer(header, worst([d.outcome for _, d in answered]))
        ):
            return b""
        return acknowledge(header, code, errors=errors[:20], control_id=self._number(), at_ms=now)

    def _number(self) -> str:
        """Return the control id of the next answer."""
        return f"{self._boot}{next(self._numbers)}"

    def _moment(self, now: int) -> str:
        """Return a time in ms as MSH-7 has it, to the second."""
        if self._stamp[0] != now // 1000:
            self._stamp = (now // 1000, timestamp(now // 1000 * 1000))
        return self._stamp[1]

    def _count(self, frame: _Frame, accepted: list[Accepted | None]) -> None:
        channel = ("channel", frame.source.channel)
        for decision, entry in zip(frame.decisions, accepted, strict=True):
            self._metrics.add("hub_mllp_messages_total", (channel, ("row", decision.row)))
            if entry is not None and entry.duplicate_of is not None:
                self._metrics.add("hub_mllp_duplicates_total", (channel,))
            elif entry is not None and entry.conflicts_with is not None:
                self._metrics.add("hub_mllp_conflicts_total", (channel,))


class Budget:
    """The bytes of unfinished frames in one process: beyond the limit the largest is given up."""

    def __init__(self, limit: int = _HELD_BY_ALL) -> None:
        self._limit = limit
        self._held: dict[Connection, int] = {}
        self.total = 0

    def changed(self, connection: Connection, by: int) -> None:
        """Note that a connection holds `by` bytes more (or fewer)."""
        self.total += by
        self._held[connection] = self._held.get(connection, 0) + by
        if not self._held[connection]:
            del self._held[connection]
        if self.total > self._limit:
            max(self._held, key=self._held.__getitem__).stop("memory")


def _entry(
    source: Source,
    peer: str,
    received: int,
    body: bytes,
    header: Header,
    decision: Decision,
    reason: str = "",
) -> NewEntry:
    """Write down what is known of one message."""
    if decision.kind == "garbage":
        return NewEntry(
            source.channel, body, received, source.sender, peer, kind="garbage", reason=reason or decision.row
        )
    sender, keys = source.senders.facts(header, body)
    return NewEntry(
        channel=source.channel,
        body=body,
        received=received,
        sender=sender,
        peer=peer,
        control_id=header.control_id[:200],
        message_type=header.message_type[:40],
        charset=header.fields[18][:80],
        kind=decision.kind,
        order_keys=keys,
        reason=reason or ("" if decision.row == "good" else decision.row),
        duplicate_window_ms=source.duplicate_window_ms,
        duplicates=source.duplicates,
    )


def _wrapper(frame: bytes, slices: Sequence[MessageSlice]) -> str:
    """Return the bytes of a frame that no message holds (FHS, BHS, BTS, FTS), so that nothing is lost."""
    at = 0
    around = []
    for s in slices:
        around.append(frame[at : s.offset])
        at = s.offset + len(s.data)
    around.append(frame[at:])
    text = b"".join(around)[:_WRAPPER].decode("latin-1")
    return f"; around the messages: {text}" if text.strip() else ""
