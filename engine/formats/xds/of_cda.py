"""The metadata of a CDA document, read from its own header.

In: the bytes of a document, and what the site says of its documents. Out: `DocumentEntry`. Nothing is
guessed: a code beside a nullFlavor, a time that is none and a number without its authority are left out, and
what the header does not hold (classCode, practiceSettingCode) is what the site says, or unknown. Follows IHE
PCC TF-2 4.1.1 (XDSDocumentEntry metadata from CDA) and HL7 CDA R2 4.2.
"""

from __future__ import annotations

from engine.formats.cda.codes import Coded as CdaCode
from engine.formats.cda.codes import read_code
from engine.formats.cda.document import Document, parse
from engine.formats.cda.elements import Element, attr, child, children, own_text
from engine.formats.cda.parties import read_identifier, read_name
from engine.formats.cda.times import Moment, read_interval, read_moment
from engine.formats.xdm import Coded
from engine.formats.xds.entry import Author, DocumentEntry, Number, Person, Sharing
from engine.kernel.errors import FormatError

__all__ = ["FORMAT_CODES", "entry_of_cda"]

FORMAT_CODES = "1.3.6.1.4.1.19376.1.2.3"
_US_HEADER = "2.16.840.1.113883.10.20.22.1.1"
_SCANNED = "1.3.6.1.4.1.19376.1.2.20"
_RELATED = {"RPLC": "replaces", "APND": "appends", "XFRM": "transforms"}
_SEXES = {"F": "F", "M": "M", "UN": "O"}


def entry_of_cda(data: bytes, sharing: Sharing = Sharing()) -> DocumentEntry:
    """Read the metadata of a document; a `FormatError` where it is no CDA or has no number of its own."""
    document = parse(data)
    root = document.root
    number = _number(child(root, "id"))
    if number is None:
        raise FormatError(
            "the document cannot be shared",
            where="ClinicalDocument/id",
            why="it has no id, and a document without one can be neither found nor replaced",
            remedy="have its author number it",
        )
    role = child(root, "recordTarget", "patientRole")
    patient = child(role, "patient")
    event = child(root, "documentationOf", "serviceEvent")
    span = read_interval(child(event, "effectiveTime"))
    visit = child(root, "componentOf", "encompassingEncounter")
    place = child(visit, "location", "healthCareFacility", "code")
    confidential = _coded(document.confidentiality)
    born = read_moment(child(patient, "birthTime"))
    return DocumentEntry(
        data=data,
        media_type="text/xml",
        id=number,
        title=document.title,
        created=_when(document.time),
        language=document.language,
        class_=sharing.class_,
        type=_coded(document.code),
        format=_format(document) or sharing.format,
        facility=_code(place) or sharing.facility,
        practice=sharing.practice,
        confidentiality=(confidential,) if confidential else (),
        events=tuple(c for c in (_code(child(event, "code")),) if c),
        authors=tuple(a for e in children(root, "author") if (a := _author(e)) is not None),
        signed_by=_person(child(root, "legalAuthenticator", "assignedEntity"), "assignedPerson"),
        patients=tuple(n for e in children(role, "id") if (n := _number(e)) is not None and n.extension),
        patient_name=_named(child(patient, "name")),
        birth=born.day if born is not None else "",
        sex=_SEXES.get(attr(child(patient, "administrativeGenderCode"), "code"), ""),
        service_start=_when(span.low or span.point) if span is not None else "",
        service_stop=_when(span.high) if span is not None else "",
        relates=tuple(
            (_RELATED[link.type], Number(one.root, one.extension))
            for link in document.related
            if link.type in _RELATED
            for one in link.ids[:1]
            if one.root and not one.null
        ),
    )


def _format(document: Document) -> Coded | None:
    """Tell the format code of what the document says it follows; None for a guide that has none here."""
    templates = {t.partition(":")[0]: t.partition(":")[2] for t in document.templates}
    if _SCANNED in templates and (scan := document.unstructured) is not None:
        kind = "pdf" if scan.media_type == "application/pdf" else "text"
        return Coded(f"urn:ihe:iti:xds-sd:{kind}:2008", FORMAT_CODES)
    if _US_HEADER in templates:
        version = "2.1" if any(t.startswith(_US_HEADER + ":2015") for t in document.templates) else "1.1"
        body = "structuredBody" if document.body is not None else "nonXMLBody"
        return Coded(f"urn:hl7-org:sdwg:ccda-{body}:{version}", FORMAT_CODES)
    return None


def _coded(found: CdaCode | None) -> Coded | None:
    """Return a code with its scheme: the first of it and its translations that has both."""
    said = next((c for c in found.all() if c.system), None) if found is not None else None
    return Coded(said.code, said.system, said.display) if said is not None else None


def _code(element: Element | None) -> Coded | None:
    return _coded(read_code(element))


def _number(element: Element | None) -> Number | None:
    found = read_identifier(element)
    return Number(found.root, found.extension) if found and found.root and not found.null else None


def _when(said: Moment | None) -> str:
    return said.fhir if said is not None and not said.null else ""


def _named(element: Element | None) -> Person | None:
    name = read_name(element)
    if name is None or name.null:
        return None
    family = " ".join(name.of("family")) or (name.full if not name.parts else "")
    return Person(family, name.of("given"), " ".join(name.of("prefix")), " ".join(name.of("suffix")))


def _person(assigned: Element | None, what: str) -> Person | None:
    """Read a person with the first number that has one."""
    number = next(
        (n for e in children(assigned, "id") if (n := _number(e)) is not None and n.extension), None
    )
    name = _named(child(assigned, what, "name"))
    if name is None:
        return None
    return name._replace(number=number)


def _author(element: Element) -> Author | None:
    assigned = child(element, "assignedAuthor")
    organization = child(assigned, "representedOrganization")
    device = child(assigned, "assignedAuthoringDevice")
    found = Author(
        _person(assigned, "assignedPerson"),
        own_text(child(device, "softwareName")) or own_text(child(device, "manufacturerModelName")),
        own_text(child(organization, "name")),
        _number(child(organization, "id")),
        _code(child(assigned, "code")),
    )
    return found if found.person or found.device or found.institution else None
