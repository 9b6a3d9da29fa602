"""What one work would change, worked out before anything is changed: so that a work is done whole or parked
whole.

In: a work with its keys hashed, and the state of the transaction. Out: a `Plan` (versions, rows to bind,
touches, flags), or `Park` with its cause. Follows the mapping language, "key", "Write" and "Separate,
contained, by identifier": a key finds one resource or the work waits for a person; older never overwrites
newer.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from engine.kernel.message import Draft, Flag, Work
from engine.store.aliases import Otherwise, numbers_of, other_keys, prior_patient
from engine.store.allergies import another_entry
from engine.store.checks import (
    SHARED_BY_MANY,
    Twins,
    check_active,
    check_alike,
    check_count,
    check_order,
    check_owner,
    check_person,
    check_retired,
    count_twins,
    park,
    told_of_known,
)
from engine.store.columns import patient_reference
from engine.store.content import Plan, add_late_course, add_version, check_placer, is_older
from engine.store.keys import Keys, id_bytes
from engine.store.moves import moved_from, moved_since, part, parted, tells_news
from engine.store.none_known import beside_none_known
from engine.store.people import disagreement
from engine.store.prescribed import check_prescription
from engine.store.references import renamed, retired_by
from engine.store.state import Park, Row, State

__all__ = ["SHARED_BY_MANY", "Park", "Prepared", "plan", "prepare"]

NUMBERED = frozenset({"DiagnosticReport", "ServiceRequest"})
"""Types that have a number of the placer and one of the filler, and may be known by either."""


@dataclass(slots=True)
class Prepared:
    """A work, the hashed keys of each draft (its public id first), and the patient each is about."""

    work: Work
    keys: list[list[bytes]]
    patients: list[str | None]
    outside: dict[str, bytes]  # patients named by id who are no draft of the work
    others: list[bytes]  # what its reports and orders may be known by instead
    alone: list[int]  # places of reports and orders that came with one number
    twins: Twins


def prepare(work: Work, keys: Keys) -> Prepared:
    """Hash the keys of a work's drafts."""
    identity = keys.identity
    found: list[list[bytes]] = []
    patients: list[str | None] = []
    for draft in work.drafts:
        public = id_bytes(draft.type, draft.id)
        hashed = [public]
        for system, value in draft.keys:
            key = identity(draft.type, system, value)
            if key != public:
                hashed.append(key)
        found.append(hashed)
        patients.append(None if draft.type == "Patient" else patient_reference(draft.body))
    own = {f"Patient/{draft.id}" for draft in work.drafts if draft.type == "Patient"}
    outside = {
        name: id_bytes("Patient", name[8:]) for name in set(patients) - own if name and name[:8] == "Patient/"
    }
    others: list[bytes] = []
    alone: list[int] = []
    for place, draft in enumerate(work.drafts):
        if draft.type in NUMBERED and draft.keys:
            more = other_keys(draft, keys)
            others += more
            if not more:
                alone.append(place)
    return Prepared(work, found, patients, outside, others, alone, count_twins(work))


def plan(prepared: Prepared, state: State, *, confirmed: bool = False) -> Plan:
    """Work out what a work changes.

    `confirmed`: a person said that its demographics belong to the patient found.
    """
    work = prepared.work
    made = Plan(work)
    rows: list[Row] = []
    local: dict[str, Row] = {}  # reference as the drafts write it -> row
    drafted: dict[int, Draft] = {}
    followed: set[Row] = set()  # survivors found under a retired number
    for name, key in prepared.outside.items():
        known = state.by_key.get(key)
        if known is None or known.type != "Patient":
            raise park("reference-not-found", "Patient", "it is about a patient by an id that no patient has")
        if known.survivor is not None:
            known = state.by_rid[known.survivor]
            made.names[name.encode()] = f"Patient/{known.id}".encode()
        local[name] = known
    known_as = _otherwise(prepared, state, made)
    moves = {move.what: move for move in work.moves}
    apart = {name for pair in work.parts for name in pair}
    places: dict[str, Row] = {}  # id of a draft -> row, where the work moves or parts anything
    for place, (draft, keys) in enumerate(zip(work.drafts, prepared.keys, strict=True)):
        retiring = retired_by(draft.body) if draft.type == "Patient" else None
        flagged = len(made.flags)
        kept = local.get(retiring) if retiring else None
        follow = retiring is None
        if follow and (moves or apart):
            follow = draft.id not in apart and not (draft.id in moves and moves[draft.id].into)
        row = _resolved(draft, keys, state, made, known_as.get(place), kept, follow)
        if moves or apart:
            places[draft.id] = row
        if len(made.flags) > flagged:
            followed.add(row)
        rows.append(row)
        written = f"{draft.type}/{row.id}"
        made.urns[draft.id.encode()] = written.encode()
        if row.id != draft.id:
            made.names[f"{draft.type}/{draft.id}".encode()] = written.encode()
        if draft.type == "Patient":
            local[f"urn:uuid:{draft.id}"] = local[f"Patient/{draft.id}"] = row
        other = drafted.get(row.rid)
        if other is None:
            drafted[row.rid] = draft
        elif retiring is not None or (draft.type == "Patient" and retired_by(other.body) is not None):
            cause = "merge-self" if other.id == draft.id else "merge-chain"
            raise park(cause, "Patient.link", "the survivor and the retired number are one patient already")
        elif other.body != draft.body or other.write != draft.write:
            _two_drafts(other, draft, made)
    retired = {
        row.rid for draft, row in zip(work.drafts, rows, strict=True) if retired_by(draft.body) is not None
    }
    if apart:
        part(made, places, state)
    for draft, row, about in zip(work.drafts, rows, prepared.patients, strict=True):
        if drafted[row.rid] is not draft:
            continue
        patient = local.get(about) if about else None
        move = moves.get(draft.id) if moves else None
        if draft.type == "Patient":
            patient = row
            check_person(draft, row, state, confirmed)
            survivor = retired_by(draft.body)
            if survivor is not None:
                kept = local.get(survivor)
                numbers = numbers_of(draft.body)
                numbers += [
                    pair
                    for d, r in zip(work.drafts, rows, strict=True)
                    if r is kept
                    for pair in numbers_of(d.body)
                ]
                _retire(row, kept, kept in followed, numbers, made)
                check_retired(draft, row, kept, work, made, confirmed)
                _write_retired(draft, row, made, state)
                continue
            if row in followed:
                draft = _by_old_number(draft)
            if draft.id in apart:
                draft = parted(draft, row, made, places)
        elif patient is not None:
            owner = moved_from(draft, row, patient, move, state) if move is not None else None
            if owner is not None:
                made.moved.append((row, owner, patient))
            elif not confirmed and row.patient not in (None, patient.rid):
                owner = moved_since(draft, row, patient, work, state)
                if owner is None:
                    check_owner(draft, row, patient, retired, state)
                else:
                    here = f"Patient/{owner.id}"
                    made.names[f"{here}#".encode()] = here.encode()  # not to be renamed by a merge
                    draft = replace(draft, body=renamed(draft.body, {about or "": f"{here}#"}))
                    patient = owner
            check_active(draft, patient, drafted.get(patient.rid), made, state)
        if move is not None and move.into:
            _join(row, places[move.into], made)
        elif draft.type == "Encounter" and row in followed:
            if tells_news(draft):
                text = (
                    "the visit became another one: what the message tells of its course is not written there"
                )
                made.flags.append(Flag("retired-visit", draft.name, text, work=True))
            draft = replace(draft, write="create")
        if draft.changes and not row.exists:
            text = "it takes back, calls off or updates what is not known here: see other numbers"
            made.flags.append(Flag("nothing-to-change", draft.name, text, work=True))
        if row.exists and draft.write != "create":
            check_count(draft, row, prepared, state)
        if draft.type == "ServiceRequest" and draft.write == "create" and row.exists:
            check_order(draft, row, made, state)
        if draft.keeps and row.exists:
            made.flags += check_prescription(draft, row, work)
        if draft.alike:
            check_alike(draft, row, made, state)
        before = len(made.versions)
        _write(draft, row, patient, made, state)
        if draft.type == "AllergyIntolerance" and patient is not None and len(made.versions) > before:
            beside_none_known(draft, row, patient, made, state)
    return made


def _join(gone: Row, kept: Row, made: Plan) -> None:
    """Plan that a visit given up becomes another one."""
    if gone is kept:
        raise park("merge-self", "MRG[1]-5", "the visit that is given up is the surviving one already")
    if kept.survivor is not None or gone.survivor not in (None, kept.rid):
        raise park("merge-conflict", "MRG[1]-5", "one of the two visits was given up for another one before")
    made.joined.append((gone, kept))


def _otherwise(prepared: Prepared, state: State, made: Plan) -> dict[int, Row]:
    """Find by their other numbers what the keys of drafts do not find; by the draft's place in the work."""
    drafts, by_key = prepared.work.drafts, state.by_key
    people: dict[str, Row] = {}
    for name, key in prepared.outside.items():
        if (row := by_key.get(key)) is not None:
            people[name] = row
    for draft, keys in zip(drafts, prepared.keys, strict=True):
        if draft.type == "Patient":
            for key in keys:
                if (row := by_key.get(key)) is not None:
                    people[f"Patient/{draft.id}"] = people[f"urn:uuid:{draft.id}"] = row
    if not people:
        return {}
    people = {
        name: row if row.survivor is None else state.by_rid[row.survivor] for name, row in people.items()
    }
    merged = any(state.numbers.get(row.rid) for row in people.values())
    alone = any(all(key not in by_key for key in prepared.keys[place]) for place in prepared.alone)
    if not merged and not alone and all(key not in by_key for key in prepared.others):
        return {}
    known = Otherwise(state)
    every = []
    for place, (draft, keys, about) in enumerate(zip(drafts, prepared.keys, prepared.patients, strict=True)):
        if draft.type != "Patient" and draft.keys:
            own = next((row for key in keys if (row := by_key.get(key)) is not None), None)
            every.append((place, draft, own, people.get(about) if about else None))
    for place, draft, own, patient in every:
        if draft.type in NUMBERED:
            known.order(place, draft, own, patient)
    known.rest([one for one in every if one[0] not in known.rows])
    made.flags += known.flags
    return known.rows


def _resolved(
    draft: Draft,
    keys: list[bytes],
    state: State,
    made: Plan,
    other: Row | None,
    kept: Row | None,
    follow: bool,
) -> Row:
    """Find the one resource the draft's keys name, or make its row.

    `other`: what it is known by else. `follow`: a retired patient's survivor is meant; otherwise the draft
    retires one, in favour of `kept`.
    """
    row: Row | None = None
    by_key, bound = state.by_key, made.bound
    for key in keys:
        found = bound.get(key) or by_key.get(key)
        if found is None:
            continue
        if found.type != draft.type:
            raise park("id-conflict", draft.name, f"its id belongs to a {found.type}")
        if key is not keys[0] and draft.type == "AllergyIntolerance" and another_entry(draft, found, key):
            continue
        if follow and found.survivor is not None:
            found = state.by_rid[found.survivor]
            made.flags.append(
                Flag("retired-patient", draft.name, "the number was retired by a merge; the survivor is used")
            )
        if row is None:
            row = found
        elif row is not found:
            cause = "ambiguous-patient" if draft.type == "Patient" else "ambiguous-key"
            raise park(cause, draft.name, f"its keys name more than one {draft.type}")
    if not follow:
        row = prior_patient(draft, row, kept, state, made)
    if row is None:
        row = other
    if row is None:
        state.next_rid += 1
        row = Row(state.next_rid, draft.type, keys[0])
        row.id = draft.id
    for key in keys:
        if key not in by_key and key not in bound:
            bound[key] = row
    return row


def _two_drafts(one: Draft, other: Draft, made: Plan) -> None:
    check_placer(other, other.body, one.body)
    if one.write == "create" and other.write == "create":
        if one.body.get("status") != other.body.get("status"):
            one.tells = ()
        if one.type == "Patient" and disagreement(one.body, other.body):
            raise park(
                "patient-mismatch",
                other.name,
                "two groups of the message give one patient different demographics",
            )
        made.flags.append(
            Flag("duplicate-key", other.name, f"a second {other.type} with the same key adds nothing")
        )
        return
    raise park(
        "duplicate-key", other.name, f"two different {other.type} drafts of one message have the same key"
    )


def _by_old_number(draft: Draft) -> Draft:
    """Let a message about a retired number neither take the survivor's numbers away nor delete by silence."""
    body = {name: value for name, value in draft.body.items() if name != "identifier"}
    return replace(draft, body=body, write="create" if draft.write == "create" else "merge")


def _retire(row: Row, survivor: Row | None, gone: bool, numbers: list[tuple[str, str]], made: Plan) -> None:
    if survivor is None:
        raise park("merge-unclear", "Patient.link", "the survivor of the merge is not in the message")
    if survivor is row:
        raise park("merge-self", "Patient.link", "the retired number is the survivor's own")
    if gone and row.survivor != survivor.rid:
        raise park("merge-chain", "Patient.link", "the survivor was itself retired before")
    if row.survivor is not None and row.survivor != survivor.rid:
        raise park(
            "merge-conflict", "Patient.link", "the number was retired in favour of another patient before"
        )
    if row.body is not None and survivor.body is not None:
        different = disagreement(row.body.value, survivor.body.value)
        if different:
            text = (
                f"the two patients that were merged have another {different}: check that they are one person"
            )
            made.flags.append(Flag("merge-differs", "Patient.link", text, work=True))
    made.merges.append((row, survivor))
    made.numbers[row.rid] = numbers


def _write_retired(draft: Draft, row: Row, made: Plan, state: State) -> None:
    """Write the retired half of a merge: the link and `active` hold even where newer ones wrote the rest."""
    body = draft.body
    if row.position > made.work.position or is_older(draft, row, made.work.sender):
        body = {name: body[name] for name in ("link", "active") if name in body}
        made.superseded.append(row)
    add_version(draft, body, row, row, made, state)


def _write(draft: Draft, row: Row, patient: Row | None, made: Plan, state: State) -> None:
    if draft.write == "create" and row.exists:
        if (told := told_of_known(draft, row, state)) is None:
            return
        draft = told
    body, position = draft.body, made.work.position
    if row.position > position or (row.deleted and row.position == position):
        made.superseded.append(row)
        link = body.get("link") if draft.type == "Patient" else None
        if not link or row.body is None:
            if not row.deleted:
                add_late_course(draft, row, made)
            made.flags.append(Flag("late", draft.name, "a newer message has written it"))
            return
        body = {"link": link}  # a merge is recorded, however late it comes
        add_version(draft, body, row, patient, made, state)
        return
    older = is_older(draft, row, made.work.sender)
    if older and draft.type == "Patient" and "link" in body:
        made.superseded.append(row)
        body, older = {"link": body["link"]}, False
    add_version(draft, body, row, patient, made, state, older)
