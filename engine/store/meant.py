"""Which resource a reference by identifier means.

In: a Reference with type and identifier, the patient of the resource that holds it. Out: the resources that
have the identifier. A number with a system is looked up as it is. An order is never another patient's than
what refers to it; whoever is not known yet to be about the order's patient waits. An order's number whose
authority has a name only (HL7 EI.2 without a known URI) means an order of the same patient, with the same
number of the same kind from the same authority. A study of images is meant only where it is known to be the
same patient's: numbers of studies come from modalities, where people type.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from engine.fhir import jsonio
from engine.store.aliases import numbers_of
from engine.store.references import logical
from engine.store.state import Row, State

__all__ = ["OF_ONE_PATIENT", "ORDERS", "STUDY", "having", "linked", "meant", "patients_first", "wanted"]

STUDY = "ImagingStudy"
ORDERS = frozenset({"MedicationRequest", "ServiceRequest"})
OF_ONE_PATIENT = ORDERS | {STUDY}
"""What is meant only by what is about the same patient."""
_WHOSE = ("subject", "patient", "beneficiary", "for", "individual")
Doubt = tuple[str, str, bool]
"""What is said of a reference that is not set: code, text, whether a person should look."""
_BY_NAME = "urn:hub:authority:"
"""Begins the system of a number whose authority has a name only, in keys and in references to patients."""


def linked(sent: bytes, row: Row, patient: Row | None, state: State) -> tuple[bytes, list[int], list[Doubt]]:
    """Set the references of a body that name their target by identifier only, where exactly one resource has
    it; also give the hashes of the targets that are not there, and what is to be said of those not linked.
    """
    value = jsonio.loads(sent)
    changed, waits, doubts = False, list[int](), list[Doubt]()
    for reference in patients_first(logical(value)):
        name = wanted(reference)
        if name is None:
            continue
        kind = name[0]
        about = row.patient if patient is None else patient.rid
        found = meant(state, reference, row, about, value)
        if len(found) == 1:
            reference["reference"] = f"{kind}/{found[0].id}"
            changed = True
            patient = patient or (state.patient_of(value) if kind == "Patient" else None)
        elif found:
            doubts.append(
                ("several-match", f"more than one {kind} has the identifier; none was linked", False)
            )
        else:
            waits.append(state.keys.token(*name))
            if name[1] and kind in ORDERS and about is not None:
                if any(r.patient not in (None, about) for r in having(state, *name)):
                    text = f"the {kind} that it names is another patient's: it was not linked"
                    doubts.append(("order-of-another-patient", text, True))
    return jsonio.dumps(value) if changed else sent, waits, list(dict.fromkeys(doubts))


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


def meant(
    state: State, reference: dict[str, Any], row: Row, patient: int | None, value: dict[str, Any]
) -> list[Row]:
    """Return the resources that a reference in `value`, the body of `row`, about `patient`, can mean."""
    name = wanted(reference)
    if name is None:
        return []
    found = having(state, *name)
    if name[0] == STUDY:
        return [r for r in found if patient is not None and r.patient == patient]
    if name[1] and name[0] in ORDERS:
        if patient is None and not _about(value):
            return found  # it is about nobody
        state.load_current(found)
        return [r for r in found if _is_order_of(r, patient)]
    if name[1]:
        return found
    if patient is None:
        return []
    identifier = reference["identifier"]
    state.load_current(found)
    return [r for r in found if r is not row and r.patient == patient and _carries(r, identifier)]


def _is_order_of(order: Row, patient: int | None) -> bool:
    """Say whether an order is a patient's, or says of nobody that it is theirs."""
    if order.patient is None:
        return order.body is None or not _about(order.body.value)
    return order.patient == patient


def _about(value: dict[str, Any]) -> bool:
    """Say whether a body says whose it is, known here or not."""
    return any(value.get(name) for name in _WHOSE)


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
