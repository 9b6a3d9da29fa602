""" "No known allergies" and an allergy, both active of one patient: which of the two holds, a person says.

In: the version of an AllergyIntolerance that a work writes, what the patient has. Out: flags. Whichever comes
later, neither is taken away: the statement may be old, and the allergy may be somebody else's word. Follows
FHIR R4 AllergyIntolerance ("no known") with SNOMED CT 716186003.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from engine.kernel.message import Draft, Flag
from engine.store.state import Row, State

if TYPE_CHECKING:
    from engine.store.content import Plan

__all__ = ["beside_none_known"]

KIND = "AllergyIntolerance"
NONE_KNOWN = frozenset({"716186003", "160244002"})
"""SNOMED CT: no known allergy of any kind, now and before. Of drugs alone is no contradiction."""


def beside_none_known(draft: Draft, row: Row, patient: Row, made: Plan, state: State) -> None:
    """Flag an allergy that becomes active beside "no known allergies" of the same patient, or the reverse."""
    version = made.versions[-1]
    if version.row is not row or not _active(version.shape):
        return
    before = version.before
    none = _none_known(version.shape)
    if before is not None and _active(before.value) and _none_known(before.value) == none:
        return  # it stood so before
    if any(_active(body) and _none_known(body) != none for body in _others(row, patient, made, state)):
        text = "an allergy and no known allergies both stand active of this patient: which of the two holds?"
        made.flags.append(Flag("allergy-contradicted", draft.name, text, work=True))


def _others(row: Row, patient: Row, made: Plan, state: State) -> Iterator[dict[str, Any]]:
    """Yield the other entries of the patient: of this work first, then those that are known."""
    new = {v.row.rid: v.shape for v in made.versions if v.row.type == KIND and v.patient is patient}
    yield from (body for rid, body in new.items() if rid != row.rid)
    for known in state.of_patient(KIND, patient):
        if known is not row and known.rid not in new and known.body is not None:
            yield known.body.value


def _none_known(body: dict[str, Any]) -> bool:
    return any(one.get("code") in NONE_KNOWN for one in (body.get("code") or {}).get("coding") or ())


def _active(body: dict[str, Any]) -> bool:
    """Say whether it stands: neither over nor denied nor an error."""
    status = [one.get("code") for one in (body.get("clinicalStatus") or {}).get("coding") or ()]
    verified = [one.get("code") for one in (body.get("verificationStatus") or {}).get("coding") or ()]
    return status in ([], ["active"]) and not {"refuted", "entered-in-error"} & set(verified)
