"""What the journal is told of the messages of a frame.

In: a frame or one message of it, the channel it came in on, what the table says of it. Out: journal entries.
`LongFrame` gives the messages of a frame that is too large for one turn of the event loop a few at a time,
cut from the frame as they are asked for.
"""

from __future__ import annotations

import ctypes
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from engine.formats.hl7v2.header import Header
from engine.formats.hl7v2.split import MessageSlice, iter_messages
from engine.kernel.message import NewEntry
from engine.listeners.ack_rules import AckRules, Decision
from engine.listeners.senders import Senders

__all__ = ["LongFrame", "Source", "entry_of", "give_back", "wrapper_of"]

_WRAPPER = 4000  # how much of the bytes around a batch's messages is kept as text beside the first
_PIECE = 256 << 10
_MARKS = re.compile(rb"[\r\n](?:FHS|BHS|BTS|FTS)[^\r\n]*")


@dataclass(frozen=True, slots=True)
class Source:
    """The channel a frame came in on."""

    channel: str
    rules: AckRules
    senders: Senders
    sender: str = ""  # empty: MSH-3|MSH-4 of each message
    duplicate_window_ms: int | None = None
    duplicates: str = "skip"


class LongFrame:
    """The messages of a large frame, one after the other."""

    def __init__(self, frame: bytes) -> None:
        self._slices = iter_messages(io.BytesIO(frame), piece=_PIECE)
        self._next = next(self._slices, None)
        before = frame[: self._next.offset] if self._next is not None else b""
        after = (m[0] for m in _MARKS.finditer(frame, max(len(before), len(frame) - _WRAPPER)))
        self.around = _told([before, *after])
        self.batch = self._next.batch if self._next is not None else None

    def take(self, messages: int, size: int) -> list[MessageSlice]:
        """Return the next messages, up to a number and about so many bytes; none at the end of the frame."""
        out: list[MessageSlice] = []
        while self._next is not None and len(out) < messages and size > 0:
            out.append(self._next)
            size -= len(self._next.data)
            self._next = next(self._slices, None)
        return out

    @property
    def done(self) -> bool:
        """Say whether every message was taken."""
        return self._next is None


def give_back() -> None:
    """Return freed memory to the system: after one large frame it is not needed again soon."""
    trim = _trim()
    if trim is not None:
        trim(0)


@cache
def _trim() -> Any:
    return getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only


def entry_of(
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


def wrapper_of(frame: bytes, slices: Sequence[MessageSlice]) -> str:
    """Return the bytes of a frame that no message holds (FHS, BHS, BTS, FTS), so that nothing is lost."""
    at = 0
    around = []
    for s in slices:
        around.append(frame[at : s.offset])
        at = s.offset + len(s.data)
    around.append(frame[at:])
    return _told(around)


def _told(around: Sequence[bytes]) -> str:
    text = b"".join(around)[:_WRAPPER].decode("latin-1")
    return f"; around the messages: {text}" if text.strip() else ""
