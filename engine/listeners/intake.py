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
from typing import TYPE_CHECKING, Any, Protocol

from engine.formats.hl7v2.ack import acknowledge, fast_ack, timestamp
from engine.formats.hl7v2.header import Header, peek
from engine.formats.hl7v2.query_refusal import query_refusal
from engine.formats.hl7v2.split import MessageSlice, split_messages
from engine.kernel.clock import now_ms
from engine.kernel.errors import HubError, StoreUnavailable, trace_of
from engine.kernel.message import Accepted, NewEntry
from engine.listeners.ack_rules import Decision, worst
from engine.listeners.batches import BatchAnswer
from engine.listeners.budget import Budget
from engine.listeners.entries import LongFrame, Source, entry_of, give_back, wrapper_of
from engine.listeners.metrics import SECONDS, SIZES, Metrics

if TYPE_CHECKING:
    from engine.listeners.mail import Answer, Mail

__all__ = ["Appends", "Budget", "Connection", "Intake", "Source"]

log = logging.getLogger(__name__)

_NOBODY = peek(b"MSH|^~\\&|||||||||P|2.5.1\r")  # what an answer to bytes without a header is written from
_LONG = 4 << 20  # bytes of a frame from which on its messages are taken a few a turn
_A_TURN = 500  # messages of a long frame that one turn takes, and
_BYTES_A_TURN = 2 << 20  # bytes


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

    def hold(self, on: bool) -> None:
        """Read no further until it is switched off again."""
        ...

    def stop(self, reason: str) -> None:
        """Give up what is unfinished, and close once what was taken is answered."""
        ...


class PostConnection(Connection, Protocol):
    """A connection that brings one body and waits for its answer."""

    def answer_mail(self, answer: Answer) -> None:
        """Send the answer to what is no HL7 v2."""
        ...


@dataclass(slots=True)
class _Frame:
    connection: Connection
    source: Source
    header: Header  # the one that is answered
    decisions: list[Decision]
    since: float
    batch: BatchAnswer | None = None
    query: bytes = b""  # the message, where its answer must repeat a part of it
    mail: Mail | None = None  # set: no HL7 v2
    rest: LongFrame | None = None  # set: there are more messages than this turn takes
    now: int = 0  # how many of the decisions are this turn's


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
        self._behind: dict[Connection, list[tuple[Source, bytes]]] = {}  # frames after one not yet worked off
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
        if connection in self._behind:
            self._behind[connection].append((source, frame))
            return
        self._wake()
        received = now_ms()
        since = self._monotonic()
        if frame.startswith(b"MSH") and frame.find(b"\rMSH", 3) < 0 and frame.find(b"\nMSH", 3) < 0:
            slices = []
        elif len(frame) > _LONG and self._take_long(connection, source, frame, since):
            return
        else:
            slices = split_messages(frame)
        if len(slices) < 2 and not (slices and slices[0].batch):
            header = peek(frame)
            decision = source.rules.decide(header, frame)
            self._entries.append(entry_of(source, connection.peer, received, frame, header, decision))
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
        made = _Frame(connection, source, peek(slices[0].data), [], since)
        if any(s.batch for s in slices):
            made.batch = BatchAnswer(source.rules, self._number, self._moment(received), received)
        self._take(made, slices, f" of {len(slices)} in one frame", wrapper_of(frame, slices))

    def post(self, connection: PostConnection, source: Source, mail: Mail) -> None:
        """Take what a body other than HL7 v2 became; it is journaled and answered at the end of this turn."""
        self._wake()
        self._entries += mail.entries
        self._frames.append(_Frame(connection, source, _NOBODY, mail.decisions, self._monotonic(), mail=mail))

    def _take(self, made: _Frame, slices: Sequence[MessageSlice], of: str, around: str) -> None:
        """Put messages of one frame into this turn."""
        received = now_ms()
        for s in slices:
            header = peek(s.data)
            decision = made.source.rules.decide(header, s.data)
            made.decisions.append(decision)
            if made.batch is not None:
                made.batch.take(s.batch, header if header.ok else _NOBODY, decision)
            reason = f"{decision.row}; " if decision.row != "good" else ""
            reason += f"message {s.number}{of}" + (around if s.number == 1 else "")
            if made.rest is not None and s.batch is not None and s.batch is not made.rest.batch:
                made.rest.batch = s.batch  # a further batch of a long frame: its header is kept here
                reason += f"; {s.batch.header[:1000].decode('latin-1')}"
            peer = made.connection.peer
            self._entries.append(entry_of(made.source, peer, received, s.data, header, decision, reason))
        made.now = len(slices)
        self._frames.append(made)

    def _take_long(self, connection: Connection, source: Source, frame: bytes, since: float) -> bool:
        """Begin a frame whose messages are taken a few a turn, so that others are answered meanwhile."""
        rest = LongFrame(frame)
        first = rest.take(_A_TURN, _BYTES_A_TURN)
        if not first or (rest.done and len(first) < 2):
            return False  # one large message
        made = _Frame(connection, source, peek(first[0].data), [], since, rest=rest)
        if rest.batch is not None:
            now = now_ms()
            made.batch = BatchAnswer(source.rules, self._number, self._moment(now), now)
        self._behind[connection] = []
        connection.hold(True)
        self._take(made, first, " of one long frame", rest.around)
        return True

    def _go_on(self, frames: list[_Frame]) -> None:
        """After a turn: take the next messages of long frames, and what waited behind those that are done."""
        for frame in frames:
            if frame.rest is None or frame.connection not in self._behind:
                continue
            if not frame.rest.done:
                self._wake()
                self._take(frame, frame.rest.take(_A_TURN, _BYTES_A_TURN), " of one long frame", "")
                continue
            frame.rest = None
            give_back()
            for source, waiting in self._behind.pop(frame.connection):
                self.accept(frame.connection, source, waiting)
            frame.connection.hold(False)

    def _wake(self) -> None:
        """See to it that this turn ends with a flush."""
        if not self._frames:
            self._schedule(self.flush)

    def keep(self, connection: Connection, source: Source, frame: bytes, reason: str) -> None:
        """Journal bytes that nobody is to be answered for."""
        self._wake()
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
            log.error("the journal failed on %d entries; trying each alone: %s", len(entries), trace_of(e))
            accepted = [self._append_alone(entry) for entry in entries]
            if not any(accepted):
                self._refuse(frames, e)
                return
        if self._down:
            self._down = False
            self._metrics.set("hub_mllp_store_down", 0)
            log.warning("the journal can be written again")
        self._reply(frames, accepted)
        self._go_on(frames)

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
        except Exception as e:
            log.error(
                "the journal refused an entry of channel %s; its sender gets no answer: %s",
                entry.channel,
                trace_of(e),
            )
            return None

    def _refuse(self, frames: list[_Frame], why: Exception) -> None:
        if not self._down:
            self._down = True
            self._metrics.set("hub_mllp_store_down", 1)
            log.critical("nothing is answered: %s", why if isinstance(why, HubError) else trace_of(why))
        for frame in frames:
            self._metrics.add("hub_mllp_unanswered_total", (("channel", frame.source.channel),))
            self._drop(frame.connection)

    def _drop(self, connection: Connection) -> None:
        self._behind.pop(connection, None)  # what is left of a long frame is sent again
        try:
            connection.abandon()
        except Exception as e:
            log.error("a connection could not be closed: %s", trace_of(e))

    def _reply(self, frames: list[_Frame], accepted: list[Accepted | None]) -> None:
        acks: dict[Connection, list[bytes]] = {}
        counts: dict[Connection, int] = {}
        now = now_ms()
        at = 0
        for frame in frames:
            count = frame.now or len(frame.decisions)
            mine = accepted[at : at + count]
            at += count
            connection = frame.connection
            if None in mine:
                self._metrics.add("hub_mllp_unanswered_total", (("channel", frame.source.channel),))
                self._drop(connection)
                continue
            self._count(frame, mine)
            if frame.mail is not None:
                self._mail(frame.mail, connection, mine, now)
                continue
            if frame.rest is not None and not frame.rest.done:
                continue
            try:
                ack = self._ack(frame, now)
            except Exception as e:
                log.error("an answer could not be formed: %s", trace_of(e))
                self._drop(connection)
                continue
            counts[connection] = counts.get(connection, 0) + 1
            answers = acks.setdefault(connection, [])
            if ack:
                answers.append(ack)
        for connection, answers in acks.items():
            try:
                connection.answer(answers, counts[connection])
            except Exception as e:
                log.error("an answer could not be written: %s", trace_of(e))
                self._drop(connection)
        done = self._monotonic()
        for frame in frames:
            if frame.rest is not None and not frame.rest.done:
                continue
            self._answer.observe(done - frame.since)

    def _mail(self, mail: Mail, connection: Any, mine: list[Accepted | None], now: int) -> None:
        try:
            connection.answer_mail(mail.answer(mine, now))
        except Exception as e:
            log.error("an answer could not be formed or written: %s", trace_of(e))
            self._drop(connection)

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
        for decision, entry in zip(frame.decisions[-len(accepted) :], accepted, strict=True):
            self._metrics.add("hub_mllp_messages_total", (channel, ("row", decision.row)))
            if entry is not None and entry.duplicate_of is not None:
                self._metrics.add("hub_mllp_duplicates_total", (channel,))
            elif entry is not None and entry.conflicts_with is not None:
                self._metrics.add("hub_mllp_conflicts_total", (channel,))
