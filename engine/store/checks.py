"""What speaks against a draft that is about to be written, or should be seen by somebody: by what is known.

In: a draft, the row it writes, its patient, the state of the transaction. Out: nothing, `Park` with its
cause, or flags of the plan. Follows the mapping language, "key" and "Write": a key that names two resources,
or a number of another patient's, waits for a person.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from engine.kernel.message import Draft, Flag, Work
from engine.store.aliases import numbers_of, prior_numbers
from engine.store.content import ONE_PLACER, Plan, check_placer
from engine.store.people import disagreement
from engine.store.references import retired_by
from engine.store.state import Park, Row, State

if TYPE_CHECKING:
    from engine.store.plan import Prepared

__all__ = [
    "SHARED_BY_MANY",
    "Twins",
    "another_of_key",
    "check_active",
    "check_alike",
    "check_count",
    "check_order",
    "check_owner",
    "check_person",
    "check_retired",
    "count_twins",
    "park",
    "told_of_known",
]

Twins = Counter[tuple[str, str, str]]

SHARED_BY_MANY = frozenset({"Account"})
"""Types that several patients may share: a family has one account."""
SHARED = frozenset({"Account", "Encounter", "Location", "Organization", "Patient", "Practitioner"})
"""Types of which a message may speak several times: a second one of a key is the same."""
NTH = "urn:hub:nth:"
"""How a message's second, third, ... resource of one key is keyed (engine.mapping.naming)."""


def park(cause: str, where: str, text: str) -> Park:
    """Make the exception that parks a work."""
    return Park(Flag(cause, where, text, work=True))


def check_owner(draft: Draft, row: Row, patient: Row, retired: set[int], state: State) -> None:
    """Park a work whose visit, order or result is another patient's: a number used twice, or a wrong patient.

    Writing would take it from the first patient; linking would put a result under the other's order.
    """
    if row.patient is None or not row.exists or draft.type in SHARED_BY_MANY:
        return
    if row.patient == patient.rid or row.patient in retired:
        return
    state.load_rids([row.patient])
    owner = state.by_rid.get(row.patient)
    if owner is None or patient.rid not in (owner.rid, owner.survivor):
        raise park("other-patient", draft.name, f"its number belongs to a {draft.type} of another patient")


def check_order(draft: Draft, row: Row, made: Plan, state: State) -> None:
    """Flag an order that still stands though a result says that it was cancelled.

    A result does not change the order that its orderer sent (`write: create`): a person revokes it.
    """
    ended = draft.body.get("status") == "revoked"
    for report in () if ended else made.work.drafts:
        if report.type == "DiagnosticReport" and report.body.get("status") == "cancelled":
            about = [one.get("reference") or "" for one in report.body.get("basedOn") or ()]
            ended = ended or any(name.endswith(draft.id) for name in about)
    if not ended or row.position > made.work.position:
        return
    state.load_current([row])
    standing = row.body.value.get("status") if row.body is not None else None
    if standing in ("active", "draft", "on-hold"):
        text = f"the result says that its order was cancelled; the order on file is still {standing}"
        made.flags.append(Flag("order-cancelled", draft.name, text, work=True))


def told_of_known(draft: Draft, row: Row, state: State) -> Draft | None:
    """Return what a resource that is there takes of a draft that would only make it; None: nothing.

    `write: status`: whoever fills an order says how it stands. One that was revoked stays revoked.
    """
    if draft.type in ONE_PLACER or draft.tells:
        state.load_current([row])
    known = row.body.value if row.body is not None else {}
    if draft.type in ONE_PLACER:
        check_placer(draft, draft.body, known)
    said = {name: draft.body[name] for name in draft.tells if name in draft.body and name not in draft.weak}
    if not said or known.get("status") not in _GOES_ON:
        return None
    return replace(
        draft, body=said, write="merge", labels={}, cleared=(), owns=frozenset(said), weak=(), known={}
    )


_GOES_ON = ("active", "draft", "on-hold", "unknown", "completed")


def check_active(draft: Draft, patient: Row, person: Draft | None, made: Plan, state: State) -> None:
    """Flag, once a work, what is written about a patient whose record was deleted (HL7 v2 A29)."""
    if person is not None and person.body.get("active") is False:
        return
    if patient.body is None:
        state.load_current([patient])
    if patient.body is None or patient.body.value.get("active") is not False or patient.survivor is not None:
        return
    if all(flag.code != "inactive-patient" for flag in made.flags):
        text = "the record of this patient is not in use any more: is it the right patient?"
        made.flags.append(Flag("inactive-patient", draft.name, text, work=True))


def check_alike(draft: Draft, row: Row, made: Plan, state: State) -> None:
    """Flag what another message told already under another number, as far as its content says so.

    Both are kept: two real things may look the same, and none of them is to be lost.
    """
    for system, value in draft.alike:
        key = state.keys.identity(draft.type, system, value)
        if key not in state.by_key:
            state.load([key])
        found = made.bound.get(key) or state.by_key.get(key)
        if found is None:
            made.bound[key] = row
        elif found is not row and found.exists:
            text = f"a {draft.type} of the same content was told under another number: is it a second one?"
            made.flags.append(Flag("possible-duplicate", draft.name, text, work=True))
            return


def check_person(draft: Draft, row: Row, state: State, confirmed: bool) -> None:
    """Park a work that speaks of another person than the patient whom its numbers find."""
    if row.body is None or confirmed:
        return
    different = disagreement(draft.body, row.body.value)
    if different and not _known_by_old_name(draft, row, state):
        raise park(
            "patient-mismatch", draft.name, f"same identifier, other {different} than the patient on file"
        )
    if draft.decides and _has_another_number(draft, row, state):
        text = "same id at its sender, another number than the patient on file"
        raise park("patient-mismatch", draft.name, text)


def _has_another_number(draft: Draft, row: Row, state: State) -> bool:
    """Say whether a patient who was found by another key has another number than the one that decides: it
    must not become a second number of theirs."""
    system, value = draft.keys[0]
    if row.body is None or state.keys.identity("Patient", system, value) in state.by_key:
        return False
    said = {one.get("value") for one in row.body.value.get("identifier", ()) if one.get("system") == system}
    return bool(said) and value not in said


def _known_by_old_name(draft: Draft, row: Row, state: State) -> bool:
    """Say whether the message speaks of a retired number under the demographics that number had."""
    for system, value in draft.keys:
        found = state.by_key.get(state.keys.identity("Patient", system, value))
        if found is not None and found is not row and found.survivor == row.rid and found.body is not None:
            known = found.body.value
            if (known.get("name") or known.get("birthDate")) and not disagreement(draft.body, known):
                return True
    return False


def check_retired(
    draft: Draft, row: Row, survivor: Row | None, work: Work, made: Plan, confirmed: bool
) -> None:
    """Look at the number that a merge retires: who has it, and whose numbers it is one of."""
    if survivor is None:
        return
    if row.exists and row.survivor is None and survivor.exists and work.renumbers and not confirmed:
        text = "a number is changed into one that another known patient has: that would be a merge"
        raise park("number-taken", "MRG[1]-1", text)
    if not row.exists and not prior_numbers(draft):
        people = [one for one in work.drafts if one.type == "Patient" and retired_by(one.body) is None]
        if any(authority for one in people for _, authority in _numbers(one)):
            text = "the retired number has no assigning authority, and nobody known has it: nobody was merged"
            made.flags.append(Flag("merge-unknown-number", "MRG[1]-1", text, work=True))


def _numbers(draft: Draft) -> list[tuple[str, str]]:
    """Return (number, its name space or "") of a patient."""
    found = numbers_of(draft.body)
    systems = [one.get("system", "") for one in draft.body.get("identifier") or () if one.get("value")]
    return [(number, display or system) for (number, display), system in zip(found, systems, strict=True)]


def count_twins(work: Work) -> Twins:
    """Count, by type and key, the resources that a work brings of a key beyond the first."""
    found: Twins = Counter()
    for draft in work.drafts:
        if draft.keys and draft.keys[0][0].startswith(NTH):
            found[draft.type, draft.keys[0][0].partition("|")[2], draft.keys[0][1]] += 1
    return found


def another_of_key(works: Sequence[Prepared], state: State) -> Iterator[bytes]:
    """Yield, for resources that are known, the key of one more than their message brings of theirs."""
    for prepared in works:
        for draft, keys in zip(prepared.work.drafts, prepared.keys, strict=True):
            if draft.write != "create" and keys[0] in state.by_key:
                key = _next_of_key(draft, prepared.twins, state)
                if key is not None:
                    yield key


def check_count(draft: Draft, row: Row, prepared: Prepared, state: State) -> None:
    """Park a work that brings fewer resources of one key than are known: which one it means is not said."""
    key = _next_of_key(draft, prepared.twins, state)
    more = state.by_key.get(key) if key is not None and row.position <= prepared.work.position else None
    if more is not None and more.exists and more is not row:
        text = f"more than one {draft.type} is known under its key, and nothing says which one is meant"
        raise park("duplicate-key", draft.name, text)


def _next_of_key(draft: Draft, twins: Twins, state: State) -> bytes | None:
    if not draft.keys or draft.type in SHARED:
        return None
    system, value = draft.keys[0]
    if system.startswith(NTH):
        system = system.partition("|")[2]
    number = twins[draft.type, system, value] + 2
    return state.keys.identity(draft.type, f"{NTH}{number}|{system}", value)
