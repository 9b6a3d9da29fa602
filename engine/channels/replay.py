"""Replay: run a past entry again under the maps of today, and what came after it on the same resources.

A replay is an entry of its own in the journal, with the origin's position, who asked and why. Older never
overwrites newer: the entries that later wrote the same resources run again behind it, in order, in one
transaction, so the end is what it would have been. Deliveries are not repeated.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import replace

from engine.channels.definition import Channel
from engine.channels.ordering import ordering_keys
from engine.channels.sides import JournalSide, MapSide, StoreSide
from engine.journal.sql import SqlJournal, UnreadableEntry
from engine.kernel.clock import now_ms
from engine.kernel.errors import HubError
from engine.kernel.message import Accepted, Entry, Flag, NewEntry, Work
from engine.store.sql import SqlStore

__all__ = [
    "TooWide",
    "ask_replay",
    "ask_replays",
    "due_replays",
    "edited",
    "held_before",
    "origin_released",
    "replayed",
    "rerun_set",
]

AT_ONCE = 100  # replays put into the journal in one transaction
MOST = 2000  # entries that one replay may take along: they run in one transaction, all in memory


class TooWide(HubError):
    """A replay would take more later entries along than one transaction holds."""


def ask_replay(
    journal: JournalSide,
    entry: int,
    who: str,
    why: str,
    body: bytes | None = None,
    channels: Iterable[Channel] = (),
) -> Accepted:
    """Put a replay of `entry` into the journal. `body`: an edited message, which counts as a new one.

    A replay stands in the lanes of its origin, an edited one also in those of what it says now, as its
    channel would order it.
    """
    origin = journal.get(entry)
    if origin is None:
        raise _unknown(entry)
    if body is not None and body != origin.body:
        return journal.append([edited(origin, body, who, why, channels)])[0]
    return journal.append([replayed(origin, who, why)])[0]


def ask_replays(journal: JournalSide, entries: Iterable[int], who: str, why: str) -> dict[int, int]:
    """Put replays of entries into the journal, in the order of the entries; returns entry -> its replay.

    An entry whose body is gone or damaged is left out.
    """
    made: dict[int, int] = {}
    numbers = sorted(entries)
    for start in range(0, len(numbers), AT_ONCE):
        origins = []
        for number in numbers[start : start + AT_ONCE]:
            with suppress(UnreadableEntry):
                if (origin := journal.get(number)) is None:
                    raise _unknown(number)
                origins.append(origin)
        accepted = journal.append([replayed(origin, who, why) for origin in origins])
        made |= {origin.id: one.id for origin, one in zip(origins, accepted, strict=True)}
    return made


def due_replays(journal: SqlJournal, store: SqlStore) -> dict[int, int]:
    """Return the entries whose replay is in the journal and not worked off: entry -> replay."""
    marks = store.watermarks()
    low = min((marks.get(n, 0) for n in range(journal.lanes)), default=0)
    return {parent: entry for entry, parent in journal.search.again(low)}


def _unknown(entry: int) -> HubError:
    return HubError(f"there is no entry {entry}", remedy="hub msg find shows what there is")


def replayed(origin: Entry, who: str, why: str) -> NewEntry:
    """Return the replay of an entry: its bytes again, at its place. Raises HubError without a reason."""
    if not why.strip():
        raise HubError("a replay needs a reason", remedy="say it with --why")
    return NewEntry(
        channel=origin.channel,
        body=origin.body,
        received=now_ms(),
        sender=origin.sender,
        peer=origin.peer,
        control_id=origin.control_id,
        message_type=origin.message_type,
        charset=origin.charset,
        kind="replay",
        lanes=origin.lanes,
        parent=origin.id,
        position=origin.position,
        reason=f"{who}: {why}",
    )


def edited(origin: Entry, body: bytes, who: str, why: str, channels: Iterable[Channel]) -> NewEntry:
    """Return an edited message, which counts as a new one and names the entry it was made from."""
    channel = next((c for c in channels if c.name == origin.channel), None)
    keys = ordering_keys(channel, origin.sender, body)
    again = replayed(origin, who, why)
    return replace(again, body=body, kind="resend", order_keys=keys, position=None)


def rerun_set(
    entry: Entry, journal: JournalSide, store: StoreSide, pipeline: MapSide
) -> tuple[list[Work], str]:
    """Return the works of a replay in the order of their positions, the replay's own first, and who asked.

    Raises TooWide; a later entry that can no longer be read is flagged.
    """
    own = pipeline.work(entry)
    touched = {(d.type, d.id) for d in own.drafts}
    for before in {entry.parent, entry.position} - {None}:
        touched |= {(kind, id_) for kind, id_, _, _ in store.written_by(int(before or 0))}
    works = [own]
    if own.parked is None and touched:
        behind = store.entries_touching(sorted(touched), entry.position)
        if len(behind) > MOST:
            raise TooWide(
                f"{len(behind)} later messages spoke of the same resources, and {MOST} at most run again",
                where=f"entry {entry.id}",
                why="a part of them would leave the resources between old and new",
                remedy="replay a later message of them, or edit and resend this one: it then counts as new",
            )
        gone = 0
        for _position, number in behind:
            try:
                later = journal.get(number)
            except UnreadableEntry:
                gone += 1  # its body is gone by policy; what it wrote stays: older never overwrites newer
                continue
            if later is not None and later.id != entry.id:
                works.append(pipeline.work(later))
        if gone:
            text = f"{gone} later messages on the same resources can no longer be read: what they wrote stays"
            own.flags.append(Flag("later-unreadable", "", text, True))
    return works, entry.reason


def origin_released(origin: int, candidates: list[int], journal: JournalSide, store: StoreSide) -> bool:
    """Say whether one of the candidates is a replay or resend of `origin` that was not parked."""
    for number in candidates:
        if number > origin:
            entry = journal.get(number)
            if entry is not None and (entry.position == origin or entry.parent == origin):
                outcome = store.outcome(number)
                if outcome is not None and outcome.status != "parked":
                    return True
    return False


def held_before(
    words: Iterable[tuple[str, str]], position: int, journal: JournalSide, store: StoreSide
) -> Flag | None:
    """Say whether an earlier entry of one of these patients is parked and nobody has run it again since."""
    for kind, value in words:
        if kind != "patient":
            continue
        found = store.find("patient", value, 1000)
        for other in found:
            if other >= position:
                continue
            outcome = store.outcome(other)
            if outcome is None or outcome.status != "parked":
                continue
            if not origin_released(other, found, journal, store):
                text = "an earlier message of this patient is parked, and the channel says park: key"
                return Flag("waits-behind", "", text, True)
    return None
