"""Running entries again: in the order of their positions, in one transaction, only the final state becomes a
version.

In: works (a replay and everything that came later on the same resources). Out: outcomes; per resource at most
one new version, with the position of the newest work that wrote it. Where the works cover everything said
about a resource since the first of them, it is rebuilt from the version before, so that what a corrected map
no longer says goes away; where they do not, they are written over the current version, and older never
overwrites newer.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from engine.fhir import jsonio
from engine.kernel.message import Flag, Outcome, Work
from engine.store.apply import load_for, outcome_of, parked
from engine.store.chain import Link, chain_of, times_heard, touches_of
from engine.store.columns import patient_reference
from engine.store.content import Plan, Version, times_now
from engine.store.course import Fact
from engine.store.intervals import one_an_interval
from engine.store.known import only_known
from engine.store.merge import dated, facts_of, times_of
from engine.store.moves import record_moves, record_parts
from engine.store.pack import Body
from engine.store.patients import record_merges
from engine.store.plan import Park, Prepared, plan
from engine.store.references import renamed
from engine.store.state import COLUMNS, Row, State, load_bodies, row_from
from engine.store.study_uids import assigned_of
from engine.store.tables import OP_CREATE, OP_DELETE, OP_RELINK, PACK_SLOTS
from engine.store.writer import Writer

__all__ = ["Stopped", "rerun"]


class Stopped(Exception):
    """One of the works cannot be written: nothing of the rerun is kept."""

    def __init__(self, work: Work, outcome: Outcome) -> None:
        self.work = work
        self.outcome = outcome
        super().__init__(outcome.cause)


@dataclass(slots=True)
class _Original:
    body: Body | None
    position: int
    times: dict[str, int] | None


@dataclass(slots=True)
class _Run:
    state: State
    writer: Writer
    originals: dict[int, _Original] = field(default_factory=dict)
    last: dict[int, tuple[Row, Work]] = field(default_factory=dict)
    merges: list[Plan] = field(default_factory=list)


def rerun(
    works: Sequence[Prepared], state: State, writer: Writer, confirmed: Collection[int], reason: str
) -> list[Outcome]:
    """Write works again, oldest position first; `reason` says who asked and why."""
    works = sorted(works, key=lambda prepared: prepared.work.position)
    load_for(works, state)
    works, told = _known(works, state, confirmed)
    run = _Run(state, writer)
    rows = {
        r.rid: r for w in works for keys in w.keys for k in keys if (r := state.by_key.get(k)) is not None
    }
    state.load_current(rows.values())
    _rebase(list(rows.values()), {w.work.position for w in works}, run)
    plans: list[Plan] = []
    for prepared in works:
        work = prepared.work
        if work.parked is not None:
            raise Stopped(work, parked(work, work.parked, state.at))
        prepared, more = one_an_interval(prepared, state)
        try:
            made = plan(prepared, state, confirmed=work.entry in confirmed)
        except Park as problem:
            raise Stopped(work, parked(work, problem.flag, state.at)) from None
        made.flags += told[work.entry] + more
        _take(made, run)
        plans.append(made)
    written, unchanged = _settle(run)
    left = _left_behind(works, {row.rid for row in rows.values()}, state)
    outcomes = []
    for made in plans:
        outcome = outcome_of(made, state.at)
        kept, same = written.get(made.work.entry, 0), unchanged.get(made.work.entry, 0)
        overtaken = len(made.versions) - kept - same
        outcome = replace(
            outcome,
            written=kept,
            unchanged=outcome.unchanged + same,
            superseded=outcome.superseded + overtaken,
            flags=(*outcome.flags, *left.get(made.work.position, ())),
        )
        writer.outcome(outcome, made.work, reason)
        outcomes.append(outcome)
    return outcomes


def _known(
    works: Sequence[Prepared], state: State, confirmed: Collection[int]
) -> tuple[list[Prepared], dict[int, list[Flag]]]:
    """Find what the drafts of works that may make nothing speak of, before anything is rebuilt."""
    out, told = [], {}
    for prepared in works:
        work = prepared.work
        try:
            one, told[work.entry] = only_known(prepared, state, confirmed=work.entry in confirmed)
        except Park as problem:
            raise Stopped(work, parked(work, problem.flag, state.at)) from None
        out.append(one)
    return out, told


def _left_behind(works: Sequence[Prepared], spoken: set[int], state: State) -> dict[int, list[Flag]]:
    """Flag, by position, resources that these messages made before and a changed map no longer makes: they
    stay.
    """
    entries = {n for w in works for n in (w.work.entry, w.work.position)}
    found: dict[int, list[Flag]] = {}
    sql = (
        f"SELECT DISTINCT h.position, {COLUMNS} FROM pack p JOIN history h ON h.seq >= p.id "
        f"AND h.seq < p.id + {PACK_SLOTS} AND h.pack = p.id JOIN resource r ON r.rid = h.rid "
        f"WHERE h.op = {OP_CREATE} AND r.deleted = 0 AND p.entry IN (...)"
    )
    for position, *columns in state.session.among(sql, sorted(entries)):
        row = row_from(tuple(columns), state.types, state.session)
        if row.rid not in spoken:
            text = "made by this message before, and no longer; it stays until somebody deletes it"
            found.setdefault(position, []).append(
                Flag("left-behind", f"{row.type}/{row.id}", text, work=True)
            )
    return found


def _rebase(rows: list[Row], positions: set[int], run: _Run) -> None:
    """Set every row that the works cover back to the version before the first of them.

    Of resources about no patient (wards, staff) it is not known who else spoke: they are never set back.
    """
    first = min(positions)
    state = run.state
    chains = chain_of(state.session, [row.rid for row in rows])
    touches = touches_of(state.session, [row.rid for row in rows], first)
    bases: dict[int, tuple[Row, Link]] = {}
    facts: dict[int, list[Fact]] = {}
    for row in rows:
        chain = chains.get(row.rid, [])
        since = [link for link in chain if link.position >= first and link.op != OP_RELINK]
        said = {link.position for link in since} | {position for position, _ in touches.get(row.rid, ())}
        if (
            row.deleted
            or row.patient is None
            or row.position not in positions
            or not since
            or not said <= positions
            or any(link.op == OP_DELETE for link in since)
        ):
            continue
        base = next((link for link in chain if link.position < first), None)
        told = [fact for fact in facts_of(row.body.own) if fact["n"] < first] if row.body is not None else []
        if told and (base is None or base.op == OP_DELETE):
            continue  # of a visit, what came late told of its course only
        facts[row.rid] = told
        run.originals[row.rid] = _Original(row.body, row.position, row.times)
        if row.type == "ServiceRequest" and row.body is not None:
            row.assigned = assigned_of(row.body.value, row.body.own)
        row.body, row.times = None, None
        if base is None or base.op == OP_DELETE:
            row.position, row.blank = -1, True
        else:
            row.position = base.position
            bases[base.seq] = (row, base)
    names = _survivors([row for row, _ in bases.values()], state)
    for seq, body in load_bodies(state.session, state.keys, state.bodies, bases).items():
        row = bases[seq][0]
        value = body.value
        if row.type != "Patient":
            value = renamed(value, names | _moved(row, value, state))
        own = dated(body.own, times_of(body.own), facts[row.rid])
        raw = body.raw if value is body.value else jsonio.dumps(value)
        row.body = body if value is body.value and own is body.own else Body(raw, value, own)
    _hear(bases, first, state)


def _hear(bases: dict[int, tuple[Row, Link]], before: int, state: State) -> None:
    """Give rows set back the times by which senders had said the same again before the first of the works."""
    if not bases:
        return
    since = min(link.position for _, link in bases.values())
    rows = {row.rid: row for row, _ in bases.values()}
    for rid, heard in times_heard(state.session, list(rows), since, before).items():
        row = rows[rid]
        times = dict(times_now(row))
        for key, at in heard.items():
            times[key] = max(at, times.get(key, at))
        row.times = times


def _survivors(rows: list[Row], state: State) -> dict[str, str]:
    """Return what to write instead of references to Patients and visits retired since."""
    patients = list({row.patient for row in rows if row.patient is not None})
    pairs = state.session.among("SELECT retired, survivor FROM alias WHERE survivor IN (...)", patients)
    visits = "SELECT a.retired, a.survivor FROM alias a JOIN resource r ON r.rid = a.survivor WHERE "
    pairs += state.session.among(visits + "r.patient IN (...)", patients)
    state.load_rids({rid for pair in pairs for rid in pair} | set(patients))
    names = {}
    for pair in pairs:
        old, new = (state.by_rid[rid] for rid in pair)
        names[f"{old.type}/{old.id}"] = f"{new.type}/{new.id}"
    return names


def _moved(row: Row, value: dict[str, Any], state: State) -> dict[str, str]:
    """Return what to write instead of the Patient from whom a resource was moved since."""
    before = patient_reference(value)
    now = state.by_rid.get(row.patient) if row.patient is not None else None
    return {before: f"Patient/{now.id}"} if before and now is not None else {}


def _take(made: Plan, run: _Run) -> None:
    """Take a plan over in memory only: later works of the run see it."""
    work = made.work
    late = {row.rid for row in made.superseded}
    for version in made.versions:
        row = version.row
        run.originals.setdefault(row.rid, _Original(version.before, row.position, row.times))
        row.body, row.blank, row.times = version.body, False, None
        if row.rid not in late:
            row.position = work.position
        if version.patient is not None:
            row.patient = version.patient.rid
        run.last[row.rid] = (row, work)
    for key, row in made.bound.items():
        run.writer.bind(key, row)
    for row in made.unchanged:
        run.originals.setdefault(row.rid, _Original(row.body, row.position, row.times))
        row.position = max(row.position, work.position)
    for row, times in made.heard:
        row.times = times
    for row in made.unchanged:
        run.writer.touch(row, work)
    for row in made.superseded:
        run.writer.touch(row, work, late=True)
    for mac, row in made.pending:
        run.writer.pend(mac, row)
    for retired, survivor in (*made.merges, *made.joined):
        retired.survivor = survivor.rid
    for retired, _ in made.parted:
        retired.survivor = None
    if made.merges or made.joined or made.parted or made.moved:
        run.merges.append(made)


def _record(run: _Run) -> None:
    """Record merges, moves and what was taken apart, as they stand at the end of the run."""
    retired = [row.rid for made in run.merges for row, _ in (*made.merges, *made.joined, *made.parted)]
    sql = "SELECT retired, survivor FROM alias WHERE retired IN (...)"
    before: dict[int, int] = dict(run.state.session.among(sql, retired))
    after = {rid: run.state.by_rid[rid].survivor for rid in retired}
    for made in run.merges:
        merges = [pair for pair in made.merges if after[pair[0].rid] is not None]
        if merges:
            record_merges(merges, made.numbers, made.work, run.writer)
        made.joined = [pair for pair in made.joined if pair[0].rid not in before]
        record_moves(made, run.writer)
        made.parted = [pair for pair in made.parted if pair[0].rid in before and after[pair[0].rid] is None]
        if made.parted:
            record_parts(made, run.writer)


def _settle(run: _Run) -> tuple[dict[int, int], dict[int, int]]:
    """Write the final state of every resource that came out different.

    Returns, by the entry that had the last word: versions written, and resources that came out as they were.
    """
    unchanged: dict[int, int] = {}
    by_entry: dict[int, list[Version]] = {}
    for rid, original in run.originals.items():
        last = run.last.get(rid)
        row = last[0] if last else run.state.by_rid[rid]
        if (
            last is None
            or row.body is None
            or (original.body is not None and row.body.raw == original.body.raw)
        ):
            if last is not None:
                unchanged[last[1].entry] = unchanged.get(last[1].entry, 0) + 1
            reached, times = row.position, times_now(row)
            row.body, row.position, row.blank = original.body, original.position, False
            row.times = original.times
            known = times_now(row)
            if any(at > known.get(key, -1) for key, at in times.items()):
                row.times = {**times, **{key: max(at, times.get(key, at)) for key, at in known.items()}}
            run.writer.move(row, reached)
            continue
        by_entry.setdefault(last[1].entry, []).append(
            Version(row, row.body, row.body.value, original.body, None)
        )
    for entry, versions in by_entry.items():
        run.writer.write(entry, versions, None)
    _record(run)
    for _, (row, work) in run.last.items():
        run.writer.touch(row, work)
    return {entry: len(versions) for entry, versions in by_entry.items()}, unchanged
