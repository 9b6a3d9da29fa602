"""What goes to another patient, becomes another visit, or is taken apart again (HL7 v2 A45, A44, A42, A37).

In: a work that says so, and the state of the transaction. Out: additions to its plan; once it is written, new
versions of what hangs on the moved things. They keep the position of the entry that last said something about
them: a move is no statement about a result. Where the message does not fit what is known, the work is parked.
HL7 v2.5.1 ch. 3.3.37, 3.3.42, 3.3.44, 3.3.45: all subordinate data move along.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import replace
from typing import Any

from engine.fhir import jsonio
from engine.kernel.message import Draft, Flag, Move, Work
from engine.store.aliases import numbers_of
from engine.store.chain import chain_of
from engine.store.checks import SHARED_BY_MANY, park
from engine.store.columns import patient_reference
from engine.store.content import Plan, Version
from engine.store.pack import Body
from engine.store.references import references, renamed, retired_by
from engine.store.state import COLUMNS, Row, State, load_bodies
from engine.store.tables import ENTRY_ERA, OP_CREATE, OP_RELINK
from engine.store.writer import Writer

__all__ = ["moved_from", "moved_since", "part", "parted", "record_moves", "record_parts", "tells_news"]

GO_ALONG = frozenset(
    {
        "DiagnosticReport",
        "ImagingStudy",
        "MedicationRequest",
        "Observation",
        "Procedure",
        "ServiceRequest",
        "Specimen",
    }
)
"""What goes along because something that moves refers to it, if nothing that stays does."""


def moved_from(draft: Draft, row: Row, patient: Row, move: Move, state: State) -> Row | None:
    """Return the patient whom a visit or account leaves; None where it is the patient's already or new.

    Parks where it is another's than the one the message names.
    """
    if not row.exists or row.patient is None:
        return None
    state.load_rids([row.patient])
    owner = state.by_rid[row.patient]
    if owner.survivor is not None:
        owner = state.by_rid[owner.survivor]
    if owner.rid == patient.rid or not move.of:
        return None
    state.load_current([owner])
    state.load_numbers([owner.rid])
    known = [*(numbers_of(owner.body.value) if owner.body is not None else ()), *state.numbers[owner.rid]]
    if any(a == b and (not x or not y or x == y) for a, x in move.of for b, y in known):
        return owner
    text = f"the {draft.type} that moves is not that of the patient whom MRG-1 names"
    raise park("move-unclear", "MRG[1]-1", text)


def moved_since(draft: Draft, row: Row, patient: Row, work: Work, state: State) -> Row | None:
    """Return the patient to whom a resource of `patient` went by a later entry than the work's position."""
    if row.version == 0 or (draft.type in SHARED_BY_MANY and work.entry == work.position):
        return None
    links = sorted(chain_of(state.session, [row.rid]).get(row.rid, ()))
    bodies = load_bodies(state.session, state.keys, state.bodies, [link.seq for link in links])
    about = [patient_reference(bodies[link.seq].value) if link.seq in bodies else None for link in links]
    for before, link in zip(range(len(links)), links[1:], strict=False):
        if link.entry > work.position and about[before] == f"Patient/{patient.id}" != about[before + 1]:
            assert row.patient is not None
            state.load_rids([row.patient])
            return state.by_rid[row.patient]
    return None


def tells_news(draft: Draft) -> bool:
    """Say whether something begins, ends or is taken back with what a draft tells of a visit."""
    happened = draft.happened
    if happened is None or draft.write == "create":
        return False
    return bool(happened.begins or happened.takes_back) or draft.body.get("status") == "finished"


def part(made: Plan, people: dict[str, Row], state: State) -> None:
    """Plan to take two patients apart: a merge is undone, a link goes."""
    for one, other in made.work.parts:
        a, b = people[one], people[other]
        if a is b:
            raise park("merge-self", "PID", "both numbers are those of one patient, and not by a merge")
        state.load_current([a, b])
        linked = False
        for gone, kept in ((a, b), (b, a)):
            body = gone.body.value if gone.body is not None else {}
            if gone.survivor is None:
                linked = linked or any(_is(link, kept) for link in body.get("link", ()))
            elif gone.survivor == kept.rid and retired_by(body) == f"Patient/{kept.id}":
                made.parted.append((gone, kept))
                linked = True
            else:
                text = "one of them was merged into a third patient: take that merge back first"
                raise park("unmerge-chain", "PID", text)
        if not linked:
            text = "two patients are taken apart that were neither linked nor merged here"
            made.flags.append(Flag("nothing-to-change", "PID", text, work=True))


def _is(link: dict[str, Any], row: Row) -> bool:
    return bool((link.get("other") or {}).get("reference") == f"Patient/{row.id}")


def parted(draft: Draft, row: Row, made: Plan, people: dict[str, Row]) -> Draft:
    """Return a patient's draft without its link to the other one, and back in use."""
    for one, other in made.work.parts:
        if draft.id in (one, other):
            away = people[other if draft.id == one else one]
            cleared = [*draft.cleared, f"link@Patient/{away.id}"]
            body = row.body.value if row.body is not None else {}
            if retired_by(body) == f"Patient/{away.id}" and "active" not in draft.body:
                cleared.append("active")
            return replace(draft, cleared=tuple(cleared))
    return draft


def _about(owner: Row, state: State) -> list[Row]:
    """Load every resource about a patient, bodies too."""
    sql = f"SELECT {COLUMNS} FROM resource r WHERE r.patient = ? AND r.deleted = 0 ORDER BY r.rid"
    rids = [columns[0] for columns in state.session.all(sql, (owner.rid,))]
    state.load_rids(rids)
    rows = [state.by_rid[rid] for rid in rids if rid != owner.rid]
    state.load_current(rows)
    return [row for row in rows if row.body is not None]


def _hanging(anchor: Row, rows: Iterable[Row]) -> tuple[list[Row], list[Row]]:
    """Return what moves with a visit or an account, and what hangs on it and on something that stays."""
    named = {f"{row.type}/{row.id}": row for row in rows if row.type != "Patient"}
    refers = {name: set(references(row.body.value)) for name, row in named.items() if row.body is not None}
    moving = {f"{anchor.type}/{anchor.id}"}
    left: set[str] = set()
    grown = True
    while grown:
        grown = False
        for name in named.keys() - moving - left:
            mine = refers[name]
            along = bool(mine & moving)
            if not along and named[name].type in GO_ALONG:
                users = {other for other in refers if name in refers[other]}
                along = bool(users) and users <= moving
            if not along:
                continue
            stays = {
                one for one in mine - moving if one.startswith(("Encounter/", "Account/")) and one in named
            }
            if anchor.type == "Account" and named[name].type == "Encounter":
                stays = set()
            (left if stays else moving).add(name)
            grown = True
    return [named[name] for name in sorted(moving & named.keys())], [named[name] for name in sorted(left)]


def record_moves(made: Plan, writer: Writer) -> None:
    """Let everything that hangs on what moved go along."""
    state, work = writer.state, made.work
    for anchor, owner, patient in made.moved:
        writer.flush()  # what this transaction wrote about it must be found below
        moving, left = _hanging(anchor, _about(owner, state))
        state.load_current([anchor])
        moving += [anchor] if anchor not in moving and anchor.body is not None else []
        _write(moving, {f"Patient/{owner.id}": f"Patient/{patient.id}"}, patient, work.entry, writer)
        if left:
            text = f"{len(left)} resources hang on what moved and on what stays: they were not moved"
            made.flags.append(Flag("move-partly", f"{anchor.type}/{anchor.id}", text, work=True))
    for gone, kept in made.joined:
        writer.flush()
        gone.survivor = kept.rid
        for row in state.by_rid.values():
            if row.survivor == gone.rid:
                row.survivor = kept.rid
        state.session.run("UPDATE alias SET survivor = ? WHERE survivor = ?", (kept.rid, gone.rid))
        state.session.run(
            "INSERT INTO alias (retired, survivor, entry, at) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
            (gone.rid, kept.rid, work.entry, state.at),
        )
        if kept.patient is not None:
            state.load_rids([kept.patient])
            rows = [row for row in _about(state.by_rid[kept.patient], state) if row is not kept]
            names = {f"Encounter/{gone.id}": f"Encounter/{kept.id}"}
            _write(rows, names, None, work.entry, writer)


def _write(
    rows: Collection[Row], names: dict[str, str], patient: Row | None, entry: int, writer: Writer
) -> None:
    """Write new versions with other references; they keep their positions."""
    versions = []
    for row in rows:
        assert row.body is not None
        value = renamed(row.body.value, names)
        if value is not row.body.value:
            if patient is not None:
                row.patient = patient.rid
            body = Body(jsonio.dumps(value), value, row.body.own)
            versions.append(Version(row, body, value, row.body, patient))
    writer.write(entry, versions, None, OP_RELINK)
    writer.flush()


def record_parts(made: Plan, writer: Writer) -> None:
    """Undo merges: the number stands for its own patient again, and what was this patient's comes back.

    That is what the merge had moved, and what came under this patient's number alone since then.
    """
    state, work = writer.state, made.work
    for gone, kept in made.parted:
        writer.flush()
        ((merge,),) = state.session.all("SELECT entry FROM alias WHERE retired = ?", (gone.rid,)) or [(None,)]
        state.session.run("DELETE FROM alias WHERE retired = ?", (gone.rid,))
        gone.survivor = None
        _give_back(gone, kept, state)
        rows = _about(kept, state)
        chains = chain_of(state.session, [row.rid for row in rows])
        since = {
            row.rid: [link for link in chains[row.rid] if merge is None or link.entry >= merge]
            for row in rows
        }
        own = [r for r in rows if any(k.op == OP_RELINK and k.entry == merge for k in since[r.rid])]
        fresh = [r for r in rows if r not in own and any(k.op == OP_CREATE for k in since[r.rid])]
        mine = _told_under(gone, kept, {k.entry for r in fresh for k in since[r.rid]}, state)
        back = [r for r in fresh if all(k.entry in mine for k in since[r.rid] if k.op != OP_RELINK)]
        _write([*own, *back], {f"Patient/{kept.id}": f"Patient/{gone.id}"}, gone, work.entry, writer)
        unsure = len(fresh) - len(back)
        if unsure:
            text = f"{unsure} resources came since the merge under the other number, and stay there"
            made.flags.append(Flag("unmerge-check", f"Patient/{kept.id}", text, work=True))


def _give_back(gone: Row, kept: Row, state: State) -> None:
    """Let those who were merged into the one that comes apart follow it; forget its numbers at the other."""
    pairs = state.session.all("SELECT retired FROM alias WHERE survivor = ?", (kept.rid,))
    state.load_rids([rid for (rid,) in pairs])
    rows = {rid: state.by_rid[rid] for (rid,) in pairs}
    state.load_current(rows.values())
    heads = {f"Patient/{gone.id}"}
    grown = True
    while grown:
        grown = False
        for rid, row in list(rows.items()):
            if row.body is not None and retired_by(row.body.value) in heads:
                state.session.run("UPDATE alias SET survivor = ? WHERE retired = ?", (gone.rid, rid))
                row.survivor = gone.rid
                heads.add(f"Patient/{row.id}")
                del rows[rid]
                grown = True
    for row in (gone, kept):
        state.numbers.pop(row.rid, None)
    state.load_numbers([gone.rid, kept.rid])


def _told_under(gone: Row, kept: Row, entries: set[int], state: State) -> set[int]:
    """Return the entries that named the one patient by number, and not the other."""
    if not entries or gone.body is None:
        return set()
    mine = {number for number, _ in numbers_of(gone.body.value)}
    theirs = {number for number, _ in numbers_of(kept.body.value)} if kept.body is not None else set()
    found: list[set[int]] = []
    for numbers in (mine - theirs, theirs - mine):
        macs = {state.keys.search("patient", number) for number in numbers}
        eras = ",".join(map(str, {entry >> ENTRY_ERA for entry in entries}))
        rows = state.session.among(
            f"SELECT entry FROM search_key WHERE era IN ({eras}) AND mac IN (...)", sorted(macs)
        )
        found.append({entry for (entry,) in rows if entry in entries})
    return found[0] - found[1]
