"""What the metadata of document sharing says of one document, as plain records.

In: nothing. Out: `DocumentEntry` and its parts, read from a CDA header (`of_cda`) or from a DocumentReference
(`of_reference`) and written as ebRIM (`ebrim`) or as an MHD bundle (`provide`). What nobody said is empty,
and `missing` names it: nothing is made up to fill a required attribute. Follows IHE ITI TF-3 4.2.3.2
(DocumentEntry) and 4.3.1 (limited metadata).
"""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import NamedTuple

from engine.formats.xdm import Coded
from engine.kernel.errors import FormatError

__all__ = [
    "AUTHORITIES",
    "Author",
    "DocumentEntry",
    "Number",
    "Person",
    "Sharing",
    "dtm",
    "name_from",
    "oid_of",
    "one_patient",
    "uri_of",
]

_SYSTEMS = {
    "2.16.840.1.113883.6.1": "http://loinc.org",
    "2.16.840.1.113883.6.96": "http://snomed.info/sct",
    "2.16.840.1.113883.6.90": "http://hl7.org/fhir/sid/icd-10-cm",
    "2.16.840.1.113883.6.12": "http://www.ama-assn.org/go/cpt",
    "2.16.840.1.113883.6.101": "http://nucc.org/provider-taxonomy",
    "2.16.840.1.113883.5.25": "http://terminology.hl7.org/CodeSystem/v3-Confidentiality",
    "2.16.840.1.113883.5.111": "http://terminology.hl7.org/CodeSystem/v3-RoleCode",
    "2.16.840.1.113883.5.4": "http://terminology.hl7.org/CodeSystem/v3-ActCode",
    "2.16.840.1.113883.6.259": "https://www.cdc.gov/nhsn/cdaportal/terminology/codesystem/hsloc.html",
    "1.3.6.1.4.1.19376.1.2.3": "http://ihe.net/fhir/ihe.formatcode.fhir/CodeSystem/formatcode",
}
"""Coding schemes of document metadata: the OID that ebRIM names, the address that FHIR names."""

AUTHORITIES = {
    "2.16.840.1.113883.4.1": "http://hl7.org/fhir/sid/us-ssn",
    "2.16.840.1.113883.4.6": "http://hl7.org/fhir/sid/us-npi",
}
_OIDS = {uri: oid for oid, uri in (*_SYSTEMS.items(), *AUTHORITIES.items())}
_REQUIRED = (
    ("class_", "classCode"),
    ("confidentiality", "confidentialityCode"),
    ("created", "creationTime"),
    ("format", "formatCode"),
    ("facility", "healthcareFacilityTypeCode"),
    ("language", "languageCode"),
    ("practice", "practiceSettingCode"),
    ("patients", "sourcePatientId"),
    ("type", "typeCode"),
)


class Number(NamedTuple):
    """A number and who gave it: `root` is an OID or a UUID, or an address where neither is known."""

    root: str
    extension: str = ""

    @property
    def is_uuid(self) -> bool:
        """Say whether the root is a UUID."""
        try:
            uuid.UUID(self.root)
        except ValueError:
            return False
        return True

    @property
    def is_oid(self) -> bool:
        """Say whether the root is an OID."""
        return self.root[:2] in ("0.", "1.", "2.") and self.root.replace(".", "").isdecimal()


class Person(NamedTuple):
    """A person as a name and, where it is known, a number."""

    family: str = ""
    given: tuple[str, ...] = ()
    prefix: str = ""
    suffix: str = ""
    number: Number | None = None


class Author(NamedTuple):
    """Who wrote a document, for whom, and in what role."""

    person: Person | None = None
    device: str = ""
    institution: str = ""
    institution_number: Number | None = None
    specialty: Coded | None = None


class Sharing(NamedTuple):
    """What the site that shares says of its documents; the documents themselves say nothing of it."""

    class_: Coded | None = None
    facility: Coded | None = None
    practice: Coded | None = None
    format: Coded | None = None  # where the document does not tell


@dataclass(frozen=True, slots=True)
class DocumentEntry:
    """One document and what is known of it; times are FHIR dateTimes, never more exact than was said."""

    data: bytes
    media_type: str
    id: Number
    title: str = ""
    created: str = ""
    language: str = ""
    class_: Coded | None = None
    type: Coded | None = None
    format: Coded | None = None
    facility: Coded | None = None
    practice: Coded | None = None
    confidentiality: tuple[Coded, ...] = ()
    events: tuple[Coded, ...] = ()
    authors: tuple[Author, ...] = ()
    signed_by: Person | None = None
    patients: tuple[Number, ...] = ()  # of one person
    patient_name: Person | None = None
    birth: str = ""
    sex: str = ""  # HL7 table 0001
    service_start: str = ""
    service_stop: str = ""
    relates: tuple[tuple[str, Number], ...] = ()  # replaces | appends | transforms, and the other document

    @property
    def missing(self) -> tuple[str, ...]:
        """Name what XDS asks for and nobody has said; with any of it the metadata are limited."""
        return tuple(word for name, word in _REQUIRED if not getattr(self, name))

    def patient_of(self, authority: str) -> Number | None:
        """Return the number that one authority gave to the patient."""
        return next((n for n in self.patients if authority and n.root == authority), None)

    @property
    def extension(self) -> str:
        """Return what its file's name ends with."""
        return _ENDINGS.get(self.media_type.partition(";")[0].strip().lower(), "BIN")


_ENDINGS = {
    "text/xml": "XML", "application/xml": "XML", "application/pdf": "PDF", "text/plain": "TXT",
    "text/html": "HTM", "application/rtf": "RTF", "text/rtf": "RTF", "image/jpeg": "JPG", "image/png": "PNG",
    "image/tiff": "TIF", "application/dicom": "DCM", "application/fhir+json": "JSN",
}  # fmt: skip


def dtm(text: str) -> str:
    """Write a FHIR dateTime as DTM in UTC (TF-3 table 4.2.3.1.7-2); a date without time stays one."""
    if "T" not in text:
        return text.replace("-", "")
    at = datetime.fromisoformat(text)
    return (at if at.tzinfo is None else at.astimezone(UTC)).strftime("%Y%m%d%H%M%S")


def uri_of(scheme: str) -> str:
    """Return the address of a coding scheme for FHIR."""
    oid = scheme.removeprefix("urn:oid:")
    return _SYSTEMS.get(oid) or AUTHORITIES.get(oid) or (f"urn:oid:{oid}" if Number(oid).is_oid else scheme)


def oid_of(system: str) -> str:
    """Return the OID of an address; the address itself where none is known."""
    return _OIDS.get(system, system.removeprefix("urn:oid:").removeprefix("urn:uuid:"))


def name_from(key: str, what: str) -> uuid.UUID:
    """Make a UUID that is the same for the same key, so that a second try says the same."""
    return uuid.uuid5(uuid.NAMESPACE_OID, f"hl7-hub\n{key}\n{what}")


def one_patient(entries: Sequence[DocumentEntry]) -> None:
    """Refuse documents whose patients cannot be one: two numbers of one authority that differ."""
    numbers: dict[str, str] = {}
    for entry in entries:
        for number in entry.patients:
            if numbers.setdefault(number.root, number.extension) != number.extension:
                raise FormatError(
                    "the documents cannot be shared together",
                    why="they are of more than one patient",
                    remedy="send them one by one",
                )
