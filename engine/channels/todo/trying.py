"""Try again before all run again: a sample of a task's messages under today's maps, nothing kept.

In: entries, the maps and tables as the project's files are now. Out: what would become of each, worked out by
the very code that would do it, with what came later on the same resources. No patient data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.channels.pipeline import Pipeline
from engine.channels.replay import TooWide, rerun_set
from engine.journal.sql import SqlJournal, UnreadableEntry
from engine.kernel.errors import HubError, StoreUnavailable
from engine.store.sql import SqlStore

__all__ = ["SAMPLE", "Tried", "sample_of", "try_again"]

SAMPLE = 20


@dataclass(frozen=True, slots=True)
class Tried:
    """What would become of one message. `flags`: work that would be left."""

    entry: int
    status: str  # done | parked | skipped | gone
    cause: str = ""
    where: str = ""
    text: str = ""
    written: int = 0
    later: int = 0  # later messages that would run behind it
    revision: str = ""
    flags: tuple[str, ...] = ()


def sample_of(entries: Sequence[int], most: int = SAMPLE) -> list[int]:
    """Return some of the entries, the first, the last and evenly between."""
    if len(entries) <= most:
        return list(entries)
    return sorted({entries[round(n * (len(entries) - 1) / (most - 1))] for n in range(most)})


def try_again(
    journal: SqlJournal, store: SqlStore, pipeline: Pipeline, entries: Sequence[int]
) -> list[Tried]:
    """Say what would become of entries if they ran again now."""
    return [_tried(journal, store, pipeline, entry) for entry in entries]


def _tried(journal: SqlJournal, store: SqlStore, pipeline: Pipeline, entry: int) -> Tried:
    try:
        origin = journal.get(entry)
    except UnreadableEntry:
        return Tried(entry, "gone")
    if origin is None:
        return Tried(entry, "gone")
    run = replace(origin, id=journal.head() + 1, kind="replay", parent=entry)
    pipeline.prepare(run)
    try:
        works, _ = rerun_set(run, journal, store, pipeline)
        outcomes = store.rehearse(works, again=True).outcomes
    except StoreUnavailable:
        raise
    except TooWide as e:
        return Tried(entry, "parked", "replay-too-wide", e.where, str(e))
    except HubError as e:
        return Tried(
            entry, "parked", "replay-stopped", e.where, f"it cannot be run again ({type(e).__name__})"
        )
    revision = works[0].revision
    own = next((o for o in outcomes if o.entry == run.id), None)
    if own is None:
        other = outcomes[0]
        text = f"entry {other.entry}, which came later, would be parked: {other.cause}"
        return Tried(entry, "parked", "replay-stopped", other.where, text, 0, len(works) - 1, revision)
    flags = tuple(dict.fromkeys(f.code for f in own.flags if f.work))
    return Tried(
        entry, own.status, own.cause, own.where, own.text, own.written, len(works) - 1, revision, flags
    )
