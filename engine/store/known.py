"""Drafts that only change what is there (`write: known`): found by their identifiers, or left out.

In: a prepared work. Out: the same without the drafts that find nothing, and flags that say so. A Patient
among them is written in no case: it says who the sender means, so that a number that is another person's now
is seen before anything is filed under it. Where that Patient is not known yet, what names it waits for no
later one, which nobody would compare: the number stands there, and a replay compares and links. What has
ended stays ended: a modality that goes on with a revoked order does not put it in force again (FHIR R4
request-status).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from engine.kernel.message import Draft, Flag
from engine.store.meant import ORDERS, having
from engine.store.people import disagreement
from engine.store.plan import Prepared
from engine.store.state import Park, Row, State

__all__ = ["only_known"]

_RESULTS = frozenset({"DiagnosticReport", "DocumentReference", "Observation"})
_ENDED = frozenset({"cancelled", "completed", "entered-in-error", "revoked"})


def only_known(prepared: Prepared, state: State, *, confirmed: bool = False) -> tuple[Prepared, list[Flag]]:
    """Find what the drafts of a work that may make nothing speak of; leave out those that find nothing.

    Raises Park where a patient is known under the number, and is clearly another person, or where an order
    is another patient's.
    """
    drafts = prepared.work.drafts
    if all(draft.write != "known" for draft in drafts):
        return prepared, []
    flags: list[Flag] = []
    kept: list[int] = []
    made: list[Draft] = []
    keys: list[list[bytes]] = []
    unknown: set[tuple[str, str]] = set()
    people: list[tuple[Draft, Row | None]] = []
    orders: list[tuple[Draft, Row]] = []
    for place, draft in enumerate(drafts):
        if draft.write != "known":
            found = None
        else:
            found = _meant(draft, state, flags)
            if draft.type == "Patient":
                people.append((draft, found))
            elif found is not None and draft.type in ORDERS:
                orders.append((draft, found))
            if found is None:
                if draft.type == "Patient":
                    unknown |= set(draft.keys)
                continue
            if draft.type == "Patient":
                _check(draft, found, confirmed)
                continue
            changing = _changing(draft, found, flags)
            if changing is None:
                continue
            draft = changing
        kept.append(place)
        made.append(draft)
        keys.append(prepared.keys[place] if found is None else [found.key])
    for order in orders:
        for person in people:
            _check_order(*order, *person, state)
    if unknown:
        made = [replace(draft, body=_unlinked(draft.body, unknown)) for draft in made]
        filed = any(draft.type in _RESULTS for draft in made)
        text = "nobody is known by the number of its patient: replay it when the patient is registered"
        flags.append(Flag("patient-not-known", "patient", text, work=filed))
    work = replace(prepared.work, drafts=made)
    return (
        replace(
            prepared,
            work=work,
            keys=keys,
            patients=[prepared.patients[place] for place in kept],
            alone=[
                kept.index(place)
                for place in prepared.alone
                if place in kept and drafts[place].write != "known"
            ],
        ),
        flags,
    )


def _unlinked(value: Any, numbers: set[tuple[str, str]]) -> Any:
    """Give a copy in which references to patients of these numbers are no longer looked up: without type."""
    if isinstance(value, list):
        return [_unlinked(one, numbers) for one in value]
    if not isinstance(value, dict):
        return value
    out = {name: _unlinked(one, numbers) for name, one in value.items()}
    identifier = value.get("identifier")
    if value.get("type") == "Patient" and isinstance(identifier, dict):
        if (identifier.get("system"), identifier.get("value")) in numbers:
            del out["type"]
    return out


def _meant(draft: Draft, state: State, flags: list[Flag]) -> Row | None:
    """Find the one resource that has the identifiers of a draft."""
    rows: dict[int, Row] = {}
    for system, value in draft.keys:
        for row in having(state, draft.type, system, value):
            rows[row.rid] = row
    state.load_current(rows.values())
    found = [row for row in rows.values() if row.exists]
    if len(found) == 1:
        return found[0]
    if found:
        text = f"more than one {draft.type} has one of its numbers: none was changed"
        flags.append(Flag("several-match", draft.name, text, work=True))
    elif draft.type != "Patient":
        text = f"no {draft.type} that is known has one of its numbers: nothing was changed, and none was made"
        flags.append(Flag("not-known", draft.name, text))
    return None


def _check(draft: Draft, row: Row, confirmed: bool) -> None:
    different = "" if confirmed or row.body is None else disagreement(draft.body, row.body.value)
    if different:
        text = f"same identifier, other {different} than the patient on file"
        raise Park(Flag("patient-mismatch", draft.name, text, work=True))


def _check_order(order: Draft, found: Row, person: Draft, known: Row | None, state: State) -> None:
    """Park what goes on with an order that is not of the patient who is spoken of; of one who is not known,
    the order's patient has neither the number nor anything else that differs.
    """
    if found.patient is None:
        return
    if known is None:
        state.load_rids([found.patient])
        owner = state.by_rid[found.patient]
        state.load_current([owner])
        body = owner.body.value if owner.body is not None else {}
        same = _has_number(body, person.body) and not disagreement(person.body, body)
    else:
        same = known.rid == found.patient
    if not same:
        text = "the order is another patient's: the number of the patient, or of the order, is wrong"
        raise Park(Flag("order-of-another-patient", order.name, text, work=True))


def _has_number(patient: dict[str, Any], said: dict[str, Any]) -> bool:
    """Say whether a patient has a number that is said, of its issuer where both sides name one by a URI."""
    return any(
        one.get("value") == number.get("value")
        and (not number.get("system") or one.get("system") in (None, number["system"]))
        for number in said.get("identifier") or ()
        for one in patient.get("identifier") or ()
    )


def _changing(draft: Draft, row: Row, flags: list[Flag]) -> Draft | None:
    """Give the draft as it changes what is there: its identifiers are there already."""
    status = row.body.value.get("status") if row.body is not None else None
    said = draft.body.get("status")
    if status in _ENDED and said not in (None, status):
        text = f"the {draft.type} is {status}: what goes on with it does not change that"
        flags.append(Flag("has-ended", draft.name, text, work=status != "completed"))
        return None
    body = {name: value for name, value in draft.body.items() if name != "identifier"}
    return replace(draft, id=row.id, keys=(), body=body, write="merge")
