"""The medications of a SCRIPT message as plain records, and the words that count.

In: a `Script`. Out: `Prescription` records, one for each medication element (prescribed, dispensed,
requested, replaced). `sig` is the prescriber's text and the truth; a structured Sig is only beside it.
Quantities keep their digits, codes their qualifiers. Follows NCPDP SCRIPT 2017071 and 2023011
(MedicationPrescribed and its kin).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from engine.formats.ncpdp.elements import (
    Code,
    Element,
    child,
    children,
    first_text,
    local,
    read_code,
    read_date,
    text,
)
from engine.formats.ncpdp.message import Script

__all__ = ["Amount", "Prescription", "fill_status", "prescriptions"]

_ROLES = {
    "MedicationPrescribed": "prescribed",
    "MedicationDispensed": "dispensed",
    "MedicationRequested": "requested",
    "MedicationReplaced": "replaced",
    "MedicationResponse": "answered",
}


class Amount(NamedTuple):
    """A quantity as written: digits, unit (an NCI code in newer versions), and what kind of count it is."""

    value: str
    unit: str = ""
    qualifier: str = ""


class Prescription(NamedTuple):
    """One medication of a message; empty where nothing was said."""

    element: Element
    place: str
    role: str
    description: str
    codes: tuple[Code, ...]  # NDC (ND), RxNorm (SCD SBD GPK BPK) and others, each with its qualifier
    strength: Amount | None
    form: str
    schedule: str
    quantity: Amount | None
    days_supply: str
    refills: str
    refills_qualifier: str
    substitutions: str  # 0 = allowed, 1 = not allowed by the prescriber ...
    written: str
    dates: tuple[tuple[str, str], ...]  # (what, when): EffectiveDate, LastFillDate, ExpirationDate ...
    sig: str
    notes: tuple[str, ...]
    diagnoses: tuple[Code, ...]
    prior_authorization: str
    order_number: str
    reference_number: str


def prescriptions(script: Script) -> Iterator[Prescription]:
    """Give the medications of a message in document order."""
    if script.body is not None:
        for element in children(script.body, *_ROLES):
            yield _read(script, element)
        for choice in script.choices:  # some senders put the medication into the answer
            for element in children(choice, *_ROLES):
                yield _read(script, element)._replace(role="answered")


def fill_status(script: Script) -> tuple[str, str]:
    """Say what an RxFill reports (Dispensed, PartiallyDispensed, NotDispensed ...), and its note."""
    status = child(script.body, "FillStatus")
    for choice in status if status is not None else ():
        return local(choice), first_text(choice, "Note", "ReasonCode", "Reason")
    return "", ""


def _read(script: Script, element: Element) -> Prescription:
    coded = child(element, "DrugCoded")
    if coded is None:
        coded = child(element, "Product", "DrugCoded")
    sigs = [
        first_text(s, "SigText") or (text(s) if not len(s) else "")
        for s in children(element, "Sig", "Directions")
    ]
    found = (read_code(e) for e in children(coded, "ProductCode", "DrugDBCode"))
    strength = child(coded, "Strength")
    if strength is None:
        strength = child(element, "Strength")
    refills = child(element, "NumberOfRefills")
    if refills is None:
        refills = child(element, "Refills")
    return Prescription(
        element=element,
        place=script.places.of(element),
        role=_ROLES[local(element)],
        description=first_text(element, "DrugDescription", "Product/DrugDescription"),
        codes=tuple(c for c in found if c is not None and c.code),
        strength=_amount(strength, ("StrengthValue", "Value"), "StrengthUnitOfMeasure")
        if strength is not None
        else None,
        form=_code(child(strength, "StrengthForm")),
        schedule=_code(child(coded, "DEASchedule")),
        quantity=_amount(child(element, "Quantity"), ("Value",), "QuantityUnitOfMeasure"),
        days_supply=first_text(element, "DaysSupply"),
        refills=first_text(refills, "Value", "Quantity")
        or (text(refills) if refills is not None and not len(refills) else ""),
        refills_qualifier=first_text(refills, "Qualifier"),
        substitutions=first_text(element, "Substitutions"),
        written=read_date(child(element, "WrittenDate")),
        dates=tuple(_dates(element)),
        sig=" ".join(s for s in sigs if s),
        notes=tuple(t for e in children(element, "Note", "ReasonForSubstitutionCodeUsed") if (t := text(e))),
        diagnoses=tuple(_diagnoses(element)),
        prior_authorization=first_text(element, "PriorAuthorization/Value", "PriorAuthorization"),
        order_number=first_text(element, "PrescriberOrderNumber") or script.order_number,
        reference_number=first_text(element, "RxReferenceNumber") or script.reference_number,
    )


def _code(element: Element | None) -> str:
    code = read_code(element)
    return code.code if code else ""


def _amount(element: Element | None, values: tuple[str, ...], unit: str) -> Amount | None:
    if element is None:
        return None
    value = first_text(element, *values) or (text(element) if not len(element) else "")
    said = (
        _code(child(element, unit))
        or _code(child(element, "PotencyUnitCode"))
        or _code(child(element, "UnitOfMeasure"))
    )
    qualifier = first_text(element, "CodeListQualifier", "UnitSourceCode", "Qualifier")
    return Amount(value, said, qualifier) if value or said else None


def _dates(element: Element) -> Iterator[tuple[str, str]]:
    for name in (
        "EffectiveDate",
        "LastFillDate",
        "ExpirationDate",
        "PeriodEnd",
        "DateIssued",
        "DeliveredOnDate",
    ):
        for one in children(element, name):
            if said := read_date(one):
                yield name, said
    for other in children(element, "OtherMedicationDate"):
        inner = child(other, "OtherMedicationDate")
        said = read_date(inner if inner is not None else other)
        if said:
            yield first_text(other, "OtherMedicationDateQualifier") or "OtherMedicationDate", said


def _diagnoses(element: Element) -> Iterator[Code]:
    for diagnosis in children(element, "Diagnosis"):
        for one in children(diagnosis, "Primary", "Secondary"):
            code = read_code(one)
            value = first_text(one, "Value")  # written so in older versions
            if value and (code is None or not code.code):
                code = Code(value, first_text(one, "Qualifier"), first_text(one, "Description"))
            if code is not None:
                yield code
