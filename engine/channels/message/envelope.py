"""What is known of one entry without opening its body: who sent it, when, what became of it, what it wrote.

In: an entry's number. Out: an `Envelope`. It holds no patient data, with one exception: what a listener or a
person gave as a reason may quote some, and is for those who may see bodies.
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.journal.search import Line
from engine.journal.sql import SqlJournal
from engine.kernel.errors import HubError
from engine.kernel.message import Flag, Outcome
from engine.store.sql import SqlStore

__all__ = ["Envelope", "Written", "asked_by", "envelope", "line_of", "state_of"]

_AGAIN = ("replay", "resend")


@dataclass(frozen=True, slots=True)
class Written:
    """One version of a resource that an entry wrote."""

    type: str
    id: str
    version: int
    op: str


@dataclass(frozen=True, slots=True)
class Envelope:
    """One entry as those see it who may not open it; times are ms since the epoch."""

    entry: int
    channel: str
    sender: str
    peer: str
    type: str
    control_id: str
    kind: str
    received: int
    bytes: int
    position: int
    parent: int | None
    conflicts_with: int | None
    deleted: bool
    damaged: bool
    asked_by: str  # of a replay or resend
    state: str  # waiting | done | parked | skipped
    cause: str
    where: str
    text: str
    revision: str
    worked: int
    written: int
    unchanged: int
    superseded: int
    flags: tuple[Flag, ...]
    resources: tuple[Written, ...]


def line_of(journal: SqlJournal, entry: int) -> Line:
    """Return the line of an entry. Raises HubError where there is none."""
    page = journal.search.page(before=entry + 1, limit=1)
    if not page or page[0].id != entry:
        raise HubError(f"there is no entry {entry}", remedy="hub msg find shows what there is")
    return page[0]


def state_of(outcome: Outcome | None) -> str:
    """Say in one word what became of an entry."""
    return outcome.status if outcome is not None else "waiting"


def asked_by(line: Line) -> str:
    """Name who asked for a replay or resend; the why behind it may quote patient data."""
    return line.reason.partition(": ")[0] if line.kind in _AGAIN else ""


def envelope(journal: SqlJournal, store: SqlStore, entry: int) -> Envelope:
    """Return what is known of an entry. Raises HubError where there is none."""
    line, outcome = line_of(journal, entry), store.outcome(entry)
    o = outcome or Outcome(entry, "waiting")
    return Envelope(
        entry=line.id,
        channel=line.channel,
        sender=line.sender,
        peer=line.peer,
        type=line.message_type,
        control_id=line.control_id,
        kind=line.kind,
        received=line.received,
        bytes=line.size,
        position=line.position,
        parent=line.parent,
        conflicts_with=line.conflicts_with,
        deleted=line.deleted,
        damaged=line.damaged,
        asked_by=asked_by(line),
        state=state_of(outcome),
        cause=o.cause,
        where=o.where,
        text=o.text,
        revision=o.revision,
        worked=o.at,
        written=o.written,
        unchanged=o.unchanged,
        superseded=o.superseded,
        flags=tuple(o.flags),
        resources=tuple(Written(*one) for one in store.written_by(entry)),
    )
