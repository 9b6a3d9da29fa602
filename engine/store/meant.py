"""Which resource a reference by identifier means.

In: a Reference with type and identifier, the patient of the resource that holds it. Out: the resources that
have the identifier. A number with a system is looked up as it is. An order's number whose authority has a
name only (HL7 EI.2 without a known URI) means an order of the same patient, with the same number of the same
kind from the same authority: two orders of two patients are never taken for one. A study of images is meant
only where it is known to be the same patient's: numbers of studies come from modalities, where people type.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.fhir import jsonio
from engine.store.aliases import numbers_of
from engine.store.references import logical
from engine.store.state import Row, State

__all__ = ["STUDY", "having", "linked", "meant", "patients_first", "wanted"]

STUDY = "ImagingStudy"
ORDERS = frozenset({"MedicationRequest", "ServiceRequest"})
_BY_NAME = "urn:hub:authority:"
"""Begins the system of a number whose authority has a name only, in keys and in references to patients."""


def linked(sent: bytes, row: Row, patient: Row | None, state: State) -> tuple[bytes, list[int], list[str]]:
    """Set the references of a body that name their target by identifier only, where exactly one resource has
    it; also give the hashes of the targets that are not there, and the types of those that are several.
    """
    value = jsonio.loads(sent)
    changed, waits, several = False, list[int](), list[str]()
    for reference in patients_first(logical(value)):
        name = wanted(reference)
        if name is None:
            continue
        kind = name[0]
        found = meant(state, reference, row, row.patient if patient is None else patient.rid)
        if len(found) == 1:
            reference["reference"] = f"{kind}/{found[0].id}"
            changed = True
            patient = patient or (state.patient_of(value) if kind == "Patient" else None)
        elif found:
            several.append(kind)
        else:
            waits.append(state.keys.token(*name))
    return jsonio.dumps(value) if changed else sent, waits, several


def patients_first(found: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Put references to patients first: what others may mean hangs on whose resource it is."""
    return sorted(found, key=lambda reference: reference["type"] != "Patient")


def wanted(reference: dict[str, Any]) -> tuple[str, str, str] | None:
    """Return (type, system, number) of what a reference names; None where nothing can be looked for."""
    identifier = reference["identifier"]
    kind, system, number = reference["type"], identifier.get("system"), identifier.get("value")
    if not number or not (system or (kind in (*ORDERS, STUDY) and _authority(identifier))):
        return None
    return kind, system or "", number


def meant(state: State, reference: dict[str, Any], row: Row, patient: int | None) -> list[Row]:
    """Return the resources that a reference of `row`, which is about `patient`, can mean."""
    name = wanted(reference)
    if name is None:
        return []
    found = having(state, *name)
    if name[1]:
        return (
            found if name[0] != STUDY else [r for r in found if patient is not None and r.patient == patient]
        )
    if patient is None:
        return []
    identifier = reference["identifier"]
    state.load_current(found)
    return [r for r in found if r is not row and r.patient == patient and _carries(r, identifier)]


def having(state: State, kind: str, system: str, number: str) -> list[Row]:
    """Return the resources that have a number; a patient's of an authority with a name alone may be none of
    the numbers that keys are made of.
    """
    found = state.having(kind, system, number)
    if found or kind != "Patient" or not system.startswith(_BY_NAME):
        return found
    named = (number, system.removeprefix(_BY_NAME))
    found = state.having(kind, "", number)
    state.load_current(found)
    return [r for r in found if r.body is not None and named in _unexplained(r.body.value)]


def _unexplained(body: dict[str, Any]) -> list[tuple[str, str]]:
    """Return (number, authority) of the numbers of a patient that have no system."""
    return numbers_of({"identifier": [i for i in body.get("identifier") or () if not i.get("system")]})


def _carries(row: Row, wanted: dict[str, Any]) -> bool:
    return row.body is not None and any(
        one.get("value") == wanted["value"]
        and _authority(one) == _authority(wanted)
        and _kind(one) == _kind(wanted)
        for one in row.body.value.get("identifier") or ()
    )


def _authority(identifier: dict[str, Any]) -> str:
    return str((identifier.get("assigner") or {}).get("display") or "")


def _kind(identifier: dict[str, Any]) -> str:
    codes: list[dict[str, Any]] = (identifier.get("type") or {}).get("coding") or []
    return str(codes[0].get("code") or "") if codes else ""
