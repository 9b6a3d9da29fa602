"""Who a SCRIPT message speaks of: patient, prescriber, supervisor, pharmacy, as plain records.

In: a `Script`. Out: `Party` records with names, numbers by their kind (NPI, DEANumber, NCPDPID ...), address
and ways to reach them, wherever the version puts them (HumanPatient, NonVeterinarian, or plainly). Follows
NCPDP SCRIPT 2017071 and 2023011.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from engine.formats.ncpdp.elements import Element, child, children, first_text, local, read_date, text
from engine.formats.ncpdp.message import Script

__all__ = ["Party", "parties"]

_ROLES = ("Patient", "Prescriber", "Pharmacy", "Facility", "Supervisor", "FollowUpPrescriber")
_KINDS = ("HumanPatient", "NonVeterinarian", "NonHumanPatient", "Veterinarian")


class Party(NamedTuple):
    """One party; `telecoms` are (kind, number) such as (PrimaryTelephone, 2075550117)."""

    element: Element
    place: str
    role: str  # Patient, Prescriber, Pharmacy ...
    numbers: tuple[tuple[str, str], ...]
    family: str
    given: tuple[str, ...]
    prefix: str
    suffix: str
    organization: str
    gender: str
    born: str
    lines: tuple[str, ...]
    city: str
    state: str
    postal: str
    country: str
    telecoms: tuple[tuple[str, str], ...]


def parties(script: Script) -> Iterator[Party]:
    """Give the parties of a message in document order."""
    for outer in children(script.body, *_ROLES):
        inner = next(children(outer, *_KINDS), outer)
        name = next(children(inner, "Name"), None)
        address = next(children(inner, "Address"), None)
        yield Party(
            element=inner,
            place=script.places.of(inner),
            role=local(outer),
            numbers=tuple(
                (kind, said)
                for part in children(inner, "Identification")
                for kind, e in ([(local(e), e) for e in part] or [(part.get("Qualifier") or "", part)])
                if kind and (said := text(e))
            ),
            family=first_text(name, "LastName"),
            given=tuple(t for t in (first_text(name, "FirstName"), first_text(name, "MiddleName")) if t),
            prefix=first_text(name, "Prefix"),
            suffix=first_text(name, "Suffix"),
            organization=first_text(
                inner, "BusinessName", "StoreName", "ClinicName", "PracticeLocation/BusinessName"
            ),
            gender=first_text(inner, "Gender", "GenderAndSex/AdministrativeGender"),
            born=read_date(child(inner, "DateOfBirth")),
            lines=tuple(t for n in ("AddressLine1", "AddressLine2") if (t := first_text(address, n))),
            city=first_text(address, "City"),
            state=first_text(address, "StateProvince", "State"),
            postal=first_text(address, "PostalCode", "ZipCode"),
            country=first_text(address, "CountryCode", "Country"),
            telecoms=tuple(_telecoms(inner)),
        )


def _telecoms(element: Element) -> Iterator[tuple[str, str]]:
    for group in children(element, "CommunicationNumbers"):
        for one in group:
            if local(one) == "Communication":  # 10.6: <Communication><Number/><Qualifier>TE</Qualifier>
                if number := first_text(one, "Number"):
                    yield first_text(one, "Qualifier"), number
            elif number := first_text(one, "Number") or (text(one) if not len(one) else ""):
                extension = first_text(one, "Extension")
                yield local(one), f"{number} x{extension}" if extension else number
