"""The store's one transaction: works in, outcomes out, everything or nothing.

In: about fifty works. Out: one outcome each. A work whose content cannot be written is parked alone with its
cause and leaves nothing behind; an entry that has an outcome is not written again; a database that fails
leaves as `StoreUnavailable` with nothing done.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from engine.kernel.clock import now_ms
from engine.kernel.message import Flag, Outcome, Work
from engine.store.checks import another_of_key
from engine.store.columns import patient_reference
from engine.store.content import Plan
from engine.store.database import Session
from engine.store.intervals import interval_keys, one_an_interval
from engine.store.keys import Keys
from engine.store.known import only_known
from engine.store.links import performed_before
from engine.store.meant import STUDY
from engine.store.moves import record_moves, record_parts
from engine.store.owning import Owning
from engine.store.pack import Bodies, CommittedBodies
from engine.store.patients import record_merges
from engine.store.plan import Park, Prepared, plan
from engine.store.state import Row, State, Types
from engine.store.writer import Writer

__all__ = ["apply_one", "begin", "commit_plan", "done", "load_for", "outcome_of", "parked"]


def begin(session: Session, keys: Keys, types: Types, bodies: Bodies, owning: Owning | None = None) -> State:
    """Read where the numbers stand; the write lock is held. Raises LanesLost."""
    ((seq, rid, at, handed),) = session.all("SELECT seq, rid, at, handed FROM core_clock WHERE id = 1")
    if owning is not None:
        owning.check(session, handed)
    return State(session, keys, types.copy(), CommittedBodies(bodies, seq), seq, rid, max(now_ms(), at))


def load_for(works: Sequence[Prepared], state: State) -> None:
    """Load the rows these works speak of, and the bodies they will be compared and merged with."""
    intervals = interval_keys(works, state)
    state.load(
        {key for work in works for keys in work.keys for key in keys}
        | {key for work in works for key in (*work.outside.values(), *work.others)}
        | intervals
    )
    people = {row.rid if row.survivor is None else row.survivor for row in _people(works, state)}
    state.load_numbers(people)
    state.load(another_of_key(works, state))
    standing = (state.by_key.get(key) for key in intervals)
    wanted: dict[int, Row] = {row.rid: row for row in standing if row is not None}
    for work in works:
        for draft, keys in zip(work.work.drafts, work.keys, strict=True):
            for key in keys:
                row = state.by_key.get(key)
                if row is None:
                    continue
                if draft.type == "Patient" and row.survivor is not None:
                    survivor = state.by_rid[row.survivor]
                    wanted[survivor.rid] = survivor
                if draft.type == "Patient" or draft.write != "create":
                    wanted[row.rid] = row
    state.load_current(wanted.values())


def _people(works: Sequence[Prepared], state: State) -> Iterator[Row]:
    """Yield the patients, known to the store, whom these works are about."""
    get = state.by_key.get
    for work in works:
        for key in work.outside.values():
            if (row := get(key)) is not None:
                yield row
        for draft, keys in zip(work.work.drafts, work.keys, strict=True):
            if draft.type == "Patient":
                for key in keys:
                    if (row := get(key)) is not None:
                        yield row


def apply_one(prepared: Prepared, state: State, writer: Writer, confirmed: Collection[int]) -> Outcome:
    """Plan one work and take its plan over into the transaction, or park it."""
    work = prepared.work
    if work.parked is not None:
        return parked(work, work.parked, state.at)
    before = state.next_rid
    sure = work.entry in confirmed
    try:
        prepared, flags = only_known(prepared, state, confirmed=sure)
        prepared, more = one_an_interval(prepared, state)
        made = plan(prepared, state, confirmed=sure)
        made.flags += flags + more
        made.flags += performed_before(made, writer)
    except Park as problem:
        state.next_rid = before
        return parked(work, problem.flag, state.at)
    commit_plan(made, writer)
    return outcome_of(made, state.at)


def commit_plan(made: Plan, writer: Writer) -> None:
    """Take a plan over: hand out versions, bind keys, note touches."""
    work = made.work
    for version in made.versions:
        version.row.times = None
        if version.patient is not None:
            version.row.patient = version.patient.rid
        elif version.row.type == STUDY and patient_reference(version.shape) is None:
            version.row.patient = None  # whose it was said to be has been taken back
    if made.versions:
        late = {row.rid for row in made.superseded}
        if late:
            writer.write(work.entry, [v for v in made.versions if v.row.rid not in late], work.position)
            links = [v for v in made.versions if v.row.rid in late]
            writer.write(
                work.entry, links, None
            )  # of a late merge: the rest stays as the newer entry wrote it
        else:
            writer.write(work.entry, made.versions, work.position)
    for key, row in made.bound.items():
        writer.bind(key, row)
    for row, times in made.heard:
        row.times = times
    for row in made.unchanged:
        writer.move(row, work.position)
    for row in made.unchanged:
        writer.touch(row, work)
    for row in made.superseded:
        writer.touch(row, work, late=True)
    for mac, row in made.pending:
        writer.pend(mac, row)
    if made.merges:
        record_merges(made.merges, made.numbers, work, writer)
    if made.moved or made.joined:
        record_moves(made, writer)
    if made.parted:
        record_parts(made, writer)


def outcome_of(made: Plan, at: int) -> Outcome:
    """Say what became of a work that was written."""
    work = made.work
    return Outcome(
        work.entry,
        "skipped" if work.note and not work.drafts else "done",
        cause=work.note,
        revision=work.revision,
        written=len(made.versions),
        unchanged=len(made.unchanged),
        superseded=len(made.superseded),
        flags=(*work.flags, *made.flags),
        at=at,
    )


def parked(work: Work, cause: Flag, at: int) -> Outcome:
    """Say that a work waits for a person."""
    return Outcome(
        work.entry,
        "parked",
        cause=cause.code,
        where=cause.where,
        text=cause.text,
        revision=work.revision,
        flags=tuple(work.flags),
        at=at,
    )


def done(session: Session, entries: Sequence[int]) -> set[int]:
    """Return which of these entries have an outcome."""
    return {
        entry for (entry,) in session.among("SELECT entry FROM outcome WHERE entry IN (...)", list(entries))
    }
