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
from engine.store.meant import having
from engine.store.people import disagreement
from engine.store.plan import Prepared
from engine.store.state import Park, Row, State

__all__ = ["only_known"]

_RESULTS = frozenset({"DiagnosticReport", "DocumentReference", "Observation"})
_ENDED = frozenset({"cancelled", "completed", "entered-in-error", "revoked"})


def only_known(prepared: Prepared, state: State, *, confirmed: bool = False) -> tuple[Prepared, list[Flag]]:
    """Find what the drafts of a work that may make nothing speak of; leave out those that find nothing.

    Raises Park where a patient is known under the number, and is clearly another person.
    """
    drafts = prepared.work.drafts
    if all(draft.write != "known" for draft in drafts):
        return prepared, []
    flags: list[Flag] = []
    kept: list[int] = []
    made: list[Draft] = []
    keys: list[list[bytes]] = []
    unknown: set[tuple[str, str]] = set()
    for place, draft in enumerate(drafts):
        if draft.write != "known":
            found = None
        else:
            found = _meant(draft, state, flags)
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
