"""A dry run: what a replay of an entry would write, change or park now, with nothing stored and nothing sent.

In: an entry, a pipeline (the maps in force, or a draft's), for an edited message its bytes. Out: a `DryRun`:
the state it would have, its flags, and how every resource would differ from what stands today. The replay
itself is worked out by the same code that runs it: the entries that came later on the same resources run
along, and older never overwrites newer. One thing is not foreseen: what comes in between the dry run and
the replay.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from engine.channels.deaths import killed
from engine.channels.definition import Channel
from engine.channels.pipeline import Pipeline
from engine.channels.posting import entry_at
from engine.channels.replay import TooWide, edited, held_before, replayed, rerun_set
from engine.fhir.diff import Difference, diff
from engine.journal.sql import SqlJournal
from engine.kernel.errors import HubError
from engine.kernel.message import Entry, Flag, Outcome, Work
from engine.store.rehearsal import Made, Rehearsal
from engine.store.sql import SqlStore

__all__ = ["Changed", "DryRun", "changed", "dry_run"]

_REPLAY = 1 << 50
"""The number a replay is tried under: no entry has it, and none of what it writes is named after it."""


@dataclass(frozen=True, slots=True)
class Changed:
    """One resource that would come out different."""

    type: str
    id: str
    version: int  # it has now; 0 = none
    kind: str  # new | changed | deleted
    by: int  # the entry that has the last word on it; 0 = the replay itself
    differences: tuple[Difference, ...]
    before: dict[str, Any] | None
    after: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class DryRun:
    """What would become of an entry."""

    entry: int
    state: str  # done | parked | skipped
    cause: str
    where: str
    text: str
    revision: str
    flags: tuple[Flag, ...]
    unchanged: int
    superseded: int
    later: int  # entries that would run again behind it
    changes: tuple[Changed, ...]
    was: str = "waiting"  # its state today

    @property
    def quiet(self) -> bool:
        """Whether it would be written and nothing would come out different."""
        return self.state != "parked" and not self.changes and self.was != "parked"

    @property
    def digest(self) -> str:
        """What tells this result from another one: who approved it approved no other."""
        said = [(c.type, c.id, c.version, c.kind, str(c.before), str(c.after)) for c in self.changes]
        told = repr((self.entry, self.state, self.cause, self.where, self.revision, said))
        return hashlib.sha256(told.encode()).hexdigest()[:32]


def dry_run(
    entry: int,
    journal: SqlJournal,
    store: SqlStore,
    pipeline: Pipeline,
    body: bytes | None = None,
    channels: Iterable[Channel] = (),
) -> DryRun:
    """Try a replay of an entry; `body`: try the edited message instead.

    Raises HubError where there is no such entry, UnreadableEntry where its body is gone.
    """
    origin = journal.get(entry)
    if origin is None:
        raise HubError(f"there is no entry {entry}", remedy="hub msg find shows what there is")
    outcome = store.outcome(entry)
    was = outcome.status if outcome is not None else "waiting"
    if outcome is not None and outcome.cause == killed().code:
        text = "it killed its worker: it is tried nowhere, so that nobody else's process dies of it"
        return replace(_parked(entry, replace(killed(), text=text)), was=was)
    if body is not None and body != origin.body:
        return replace(_edited(origin, body, journal, store, pipeline, channels), was=was)
    return replace(_again(origin, journal, store, pipeline), was=was)


def _again(origin: Entry, journal: SqlJournal, store: SqlStore, pipeline: Pipeline) -> DryRun:
    """Try a replay."""
    entry = origin.id
    new = replayed(origin, "", "dry run")
    tried = replace(
        entry_at(_REPLAY, new),
        received=new.received,
        lanes=origin.lanes,
        parent=origin.id,
        position=origin.position,
    )
    try:
        works, _ = rerun_set(tried, journal, store, pipeline)
    except TooWide as e:
        return _parked(entry, Flag("replay-too-wide", e.where, str(e), True))
    made = store.rehearse(works, again=True)
    return _told(entry, works[0], made, len(works) - 1)


def _edited(
    origin: Entry,
    body: bytes,
    journal: SqlJournal,
    store: SqlStore,
    pipeline: Pipeline,
    channels: Iterable[Channel],
) -> DryRun:
    """Try an edited message: it counts as a new one, behind all that came."""
    new = edited(origin, body, "", "dry run", channels)
    number = journal.head() + 1
    tried = replace(
        origin,
        id=number,
        position=number,
        body=body,
        kind="resend",
        parent=origin.id,
        reason="",
        conflicts_with=None,
        received=new.received,
        control_id=new.control_id,
        message_type=new.message_type,
    )
    work = pipeline.work(tried)
    channel = pipeline.channels.get(origin.channel)
    if channel is not None and channel.park_key and work.parked is None:
        held = held_before(work.search, min(tried.position, origin.id), journal, store)
        if held is not None:
            work.parked, work.drafts = held, []
    return _told(origin.id, work, store.rehearse([work]), 0)


def _told(entry: int, own: Work, made: Rehearsal, later: int) -> DryRun:
    outcome = next((o for o in made.outcomes if o.entry == own.entry), None)
    if outcome is None:  # one that came later stops it
        stopped = made.outcomes[0] if made.outcomes else Outcome(own.entry, "parked")
        text = f"entry {stopped.entry}, which came later, would be parked: {stopped.cause}"
        return _parked(entry, Flag("replay-stopped", stopped.where, text, True), own.revision, later)
    changes = [] if outcome.status == "parked" else [c for m in made.made if (c := changed(m, own.entry))]
    return DryRun(
        entry,
        outcome.status,
        outcome.cause,
        outcome.where,
        outcome.text,
        outcome.revision or own.revision,
        tuple(outcome.flags),
        outcome.unchanged,
        outcome.superseded,
        later,
        tuple(changes),
    )


def _parked(entry: int, cause: Flag, revision: str = "", later: int = 0) -> DryRun:
    return DryRun(entry, "parked", cause.code, cause.where, cause.text, revision, (), 0, 0, later, ())


def changed(made: Made, own: int = 0) -> Changed | None:
    """Say how a resource would come out; None where it would mean the same."""
    by = 0 if made.entry == own else made.entry
    if made.before is None or made.after is None:
        kind = "new" if made.before is None else "deleted"
        return Changed(made.type, made.id, made.version, kind, by, (), made.before, made.after)
    found = tuple(diff(made.before, made.after))
    if not found:
        return None
    return Changed(made.type, made.id, made.version, "changed", by, found, made.before, made.after)
