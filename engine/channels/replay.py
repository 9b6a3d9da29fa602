"""Replay: run a past entry again under the maps of today, and what came after it on the same resources, in order.

A replay is an entry of its own in the journal, with the origin's position, who asked and why. Older never overwrites
newer: the entries that later wrote the same resources run again behind it, in one transaction, so the end is what it
would have been. Deliveries are not repeated.
"""

from __future__ import annotations

from engine.channels.pipeline import Pipeline
from engine.journal.sql import SqlJournal
from engine.kernel.clock import now_ms
from engine.kernel.errors import HubError
from engine.kernel.message import Accepted, Entry, NewEntry, Work
from engine.store.sql import SqlStore

__all__ = ["ask_replay", "rerun_set"]

MOST = 500  # entries that one replay may take along


def ask_replay(journal: SqlJournal, entry: int, who: str, why: str, body: bytes | None = None) -> Accepted:
    """Put a replay of `entry` into the journal; `body` is an edited message, which counts as a new one. Raises HubError."""
    origin = journal.get(entry)
    if origin is None:
        raise HubError(f"there is no entry {entry}", remedy="hub msg find shows what there is")
    if not why.strip():
        raise HubError("a replay needs a reason", remedy="say it with --why")
    edited = body is not None and body != origin.body
    new = NewEntry(
        channel=origin.channel,
        body=body if body is not None else origin.body,
        received=now_ms(),
        sender=origin.sender,
        peer=origin.peer,
        control_id=origin.control_id,
        message_type=origin.message_type,
        charset=origin.charset,
        kind="resend" if edited else "replay",
        order_keys=(),
        parent=origin.id,
        position=None if edited else origin.position,
        reason=f"{who}: {why}",
    )
    return journal.append([new])[0]


def rerun_set(entry: Entry, journal: SqlJournal, store: SqlStore, pipeline: Pipeline) -> tuple[list[Work], str]:
    """Return the works of a replay in the order of their positions, the replay's own first, and who asked."""
    own = pipeline.work(entry)
    touched = {(d.type, d.id) for d in own.drafts}
    if entry.parent is not None:
        touched |= {(kind, id_) for kind, id_, _, _ in store.written_by(entry.parent)}
    works = [own]
    if own.parked is None and touched:
        for _position, number in store.entries_touching(sorted(touched), entry.position)[:MOST]:
            later = journal.get(number)
            if later is not None and later.id != entry.id:
                works.append(pipeline.work(later))
    return works, entry.reason
