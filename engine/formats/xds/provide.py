"""The bundle that provides documents to a FHIR exchange: submission set, document references, documents.

In: a submission, its entries, and how the patient is named there. Out: a Bundle `transaction` as plain JSON
values, the same for the same submission. Everything is created unless it is there already (`ifNoneExist` by
identifiers that a second try gives again); a Binary cannot be searched, so who sends again asks first. Who
wrote a document and whom its source calls the patient stand contained. Follows IHE MHD 4.2.4, 2:3.65
(Provide Document Bundle) and its profiles of minimal and comprehensive metadata; the mapping of DocumentEntry
is 2:3.65, table of DocumentReference.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal
from urllib.parse import quote

from engine.formats.xdm import Coded
from engine.formats.xds.ebrim import Submission
from engine.formats.xds.entry import Author, DocumentEntry, Number, Person, name_from, uri_of
from engine.kernel.errors import FormatError

__all__ = [
    "Metadata",
    "check_metadata",
    "patient_resource",
    "provide_bundle",
    "reference_identifier",
    "set_identifier",
]

Metadata = Literal["minimal", "comprehensive"]
_PROFILES = "https://profiles.ihe.net/ITI/MHD/StructureDefinition/"
_LIST_TYPES = "https://profiles.ihe.net/ITI/MHD/CodeSystem/MHDlistTypes"
_URI = "urn:ietf:rfc:3986"
_SEXES = {"F": "female", "M": "male", "O": "other"}


def check_metadata(submission: Submission, entries: Sequence[DocumentEntry], metadata: Metadata) -> None:
    """Raise FormatError where comprehensive metadata are asked for, and name what nobody has said."""
    found = dict.fromkeys(word for entry in entries for word in entry.missing)
    if submission.content is None:
        found["contentTypeCode"] = None
    if metadata == "comprehensive" and found:
        raise FormatError(
            "the documents cannot be provided with comprehensive metadata",
            why="nobody has said " + ", ".join(found),
            remedy="say it in `sharing:`, or `metadata: minimal`",
        )


def set_identifier(submission: Submission) -> dict[str, str]:
    """Return what the submission set is found by at who takes it."""
    return {"system": _URI, "value": f"urn:oid:{submission.unique}"}


def reference_identifier(submission: Submission, n: int) -> dict[str, str]:
    """Return what the nth DocumentReference of this submission, and of no other, is found by."""
    return {"system": _URI, "value": f"urn:uuid:{name_from(submission.key, f'document {n}')}"}


def provide_bundle(
    submission: Submission,
    entries: Sequence[DocumentEntry],
    metadata: Metadata,
    subject: Mapping[str, Any] | None,
    patient: Mapping[str, Any] | None = None,
    searched: Collection[str] = ("List", "DocumentReference"),
    there: Mapping[Number, str] = MappingProxyType({}),
) -> dict[str, Any]:
    """Make the bundle.

    `subject`: the reference to the patient; `patient`: an entry that goes along; `searched`: the types that
    can be searched by identifier where it goes, and so are created only where they are not there; `there`:
    the address of documents that others replace or add to.
    """
    profile = f"{_PROFILES}IHE.MHD.{metadata.capitalize()}."
    references, documents = [], []
    for n, entry in enumerate(entries):
        address = f"urn:uuid:{name_from(submission.key, f'binary {n}')}"
        documents.append(
            _entry(address, "Binary", {"contentType": entry.media_type, "data": _base64(entry.data)})
        )
        full = (
            f"urn:uuid:{name_from(submission.key, f'reference {n}')}"  # not its number: this one is replaced
        )
        body = _reference(submission, entry, n, address, subject)
        body["meta"] = {"profile": [profile + "DocumentReference"]}
        links = [{"code": code, "target": _document(number, there)} for code, number in entry.relates]
        body.update({"relatesTo": links} if links else {})
        found_by = _query(body["masterIdentifier"]) if "DocumentReference" in searched else ""
        references.append(_entry(full, "DocumentReference", body, found_by))
    full = f"urn:uuid:{name_from(submission.key, 'set')}"
    listed = _set(submission, [one["fullUrl"] for one in references], subject)
    listed["meta"] = {"profile": [profile + "SubmissionSet"]}
    found_by = _query(set_identifier(submission)) if "List" in searched else ""
    return {
        "resourceType": "Bundle",
        "meta": {"profile": [profile + "ProvideBundle"]},
        "type": "transaction",
        "timestamp": submission.submitted,
        "entry": [
            _entry(full, "List", listed, found_by),
            *references,
            *documents,
            *([dict(patient)] if patient is not None else []),
        ],
    }


def patient_resource(submission: Submission, entry: DocumentEntry) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the reference to a Patient that goes along, and its entry; a `FormatError` without a number."""
    number = entry.patient_of(submission.domain) or next(iter(entry.patients), None)
    if number is None:
        raise FormatError("the documents cannot be provided", why="their patient has no number")
    full = f"urn:uuid:{name_from(submission.key, 'patient')}"
    found_by = _query({"system": _authority(number.root), "value": number.extension})
    return {"reference": full}, _entry(full, "Patient", _patient(entry), found_by)


def _set(submission: Submission, items: Sequence[str], subject: Mapping[str, Any] | None) -> dict[str, Any]:
    entry_uuid = name_from(submission.key, "set entry")
    source = {"url": _PROFILES + "ihe-sourceId", "valueIdentifier": {"value": f"urn:oid:{submission.source}"}}
    extensions = [source]
    if submission.content is not None:
        coded = {"coding": [_coding(submission.content)]}
        extensions.insert(0, {"url": _PROFILES + "ihe-designationType", "valueCodeableConcept": coded})
    return _filled(
        {
            "extension": extensions,
            "identifier": [
                {"use": "usual", **set_identifier(submission)},
                {"use": "official", "system": _URI, "value": f"urn:uuid:{entry_uuid}"},
            ],
            "status": "current",
            "mode": "working",
            "title": submission.organization,
            "code": {"coding": [{"system": _LIST_TYPES, "code": "submissionset"}]},
            "subject": dict(subject) if subject else None,
            "date": submission.submitted,
            "entry": [{"item": {"reference": item}} for item in items],
        }
    )


def _reference(
    submission: Submission, entry: DocumentEntry, n: int, address: str, subject: Mapping[str, Any] | None
) -> dict[str, Any]:
    contained: list[dict[str, Any]] = []
    authors = [_contained(contained, _by(author, n)) for n, author in enumerate(entry.authors)]
    signed = _contained(contained, _practitioner(entry.signed_by, "signed")) if entry.signed_by else None
    source = _contained(contained, {"id": "source", **_patient(entry)}) if entry.patients else None
    digest = hashlib.sha1(entry.data, usedforsecurity=False).digest()
    start, end = entry.service_start, entry.service_stop
    return _filled(
        {
            "contained": contained,
            "masterIdentifier": _unique(entry.id),
            "identifier": [{"use": "official", **reference_identifier(submission, n)}],
            "status": "current",
            "type": _concept(entry.type),
            "category": [_concept(entry.class_)] if entry.class_ else [],
            "subject": dict(subject) if subject else None,
            "date": submission.submitted,
            "author": authors,
            "authenticator": signed,
            "securityLabel": [_concept(code) for code in entry.confidentiality],
            "content": [
                _filled(
                    {
                        "attachment": _filled(
                            {
                                "contentType": entry.media_type,
                                "language": entry.language,
                                "url": address,
                                "size": len(entry.data),
                                "hash": _base64(digest),
                                "title": entry.title,
                                "creation": entry.created,
                            }
                        ),
                        "format": _coding(entry.format) if entry.format else None,
                    }
                )
            ],
            "context": _filled(
                {
                    "event": [_concept(code) for code in entry.events],
                    "period": _filled({"start": start, "end": end}),
                    "facilityType": _concept(entry.facility),
                    "practiceSetting": _concept(entry.practice),
                    "sourcePatientInfo": source,
                }
            ),
        }
    )


def _entry(full: str, kind: str, body: Mapping[str, Any], found_by: str = "") -> dict[str, Any]:
    request = {"method": "POST", "url": kind}
    if found_by:
        request["ifNoneExist"] = found_by
    return {"fullUrl": full, "resource": {"resourceType": kind, **body}, "request": request}


def _query(identifier: Mapping[str, Any]) -> str:
    return "identifier=" + quote(f"{identifier['system']}|{identifier['value']}", safe="")


def _document(number: Number, there: Mapping[Number, str]) -> dict[str, Any]:
    """Refer to a document: by its address there, else by its number."""
    if address := there.get(number):
        return {"reference": address}
    return {"type": "DocumentReference", "identifier": unique_identifier(number)}


def unique_identifier(number: Number) -> dict[str, str]:
    """Return what a document is found by at who has it."""
    return {name: value for name, value in _unique(number).items() if name != "use"}


def _unique(number: Number) -> dict[str, str]:
    """Write a document's number: a UUID or an OID as its own address, else the number below its OID."""
    if number.extension:
        return {"use": "usual", "system": _authority(number.root), "value": number.extension}
    prefix = "urn:uuid:" if number.is_uuid else "urn:oid:" if number.is_oid else ""
    value = number.root.lower() if number.is_uuid else number.root
    return {"use": "usual", "system": _URI, "value": prefix + value}


def _authority(root: str) -> str:
    return f"urn:uuid:{root.lower()}" if Number(root).is_uuid else uri_of(root)


def _identifier(number: Number) -> dict[str, Any]:
    return (
        {"system": _authority(number.root), "value": number.extension}
        if number.extension
        else _unique(number)
    )


def _patient(entry: DocumentEntry) -> dict[str, Any]:
    """Write the patient as the document calls him or her, and no more."""
    return _filled(
        {
            "resourceType": "Patient",
            "identifier": [_identifier(number) for number in entry.patients],
            "name": [_human(entry.patient_name)] if entry.patient_name else [],
            "gender": _SEXES.get(entry.sex, ""),
            "birthDate": entry.birth,
        }
    )


def _by(author: Author, n: int) -> dict[str, Any]:
    """Write an author: a person in a role, a device, or an organization alone."""
    organization = _filled(
        {
            "identifier": [_unique(author.institution_number)] if author.institution_number else [],
            "name": author.institution,
        }
    )
    if author.person is not None:
        role = {
            "resourceType": "PractitionerRole",
            "id": f"author{n}",
            "practitioner": _practitioner(author.person, f"author{n}-person"),
            "organization": {"resourceType": "Organization", "id": f"author{n}-org", **organization}
            if organization
            else None,
            "specialty": [_concept(author.specialty)] if author.specialty else [],
        }
        return _filled(role)
    if author.device:
        named = [{"name": author.device, "type": "other"}]
        return {"resourceType": "Device", "id": f"author{n}", "deviceName": named}
    return {"resourceType": "Organization", "id": f"author{n}", **organization}


def _practitioner(person: Person, id_: str) -> dict[str, Any]:
    return _filled(
        {
            "resourceType": "Practitioner",
            "id": id_,
            "identifier": [_identifier(person.number)] if person.number else [],
            "name": [_human(person)],
        }
    )


def _contained(into: list[dict[str, Any]], body: dict[str, Any]) -> dict[str, str]:
    """Contain a resource, and first what it refers to; return the reference to it."""
    for name in ("practitioner", "organization"):
        inner = body.get(name)
        if isinstance(inner, dict) and "resourceType" in inner:
            body[name] = _contained(into, inner)
    into.append(body)
    return {"reference": f"#{body['id']}"}


def _human(person: Person) -> dict[str, Any]:
    return _filled(
        {
            "family": person.family,
            "given": list(person.given),
            "prefix": [person.prefix] if person.prefix else [],
            "suffix": [person.suffix] if person.suffix else [],
        }
    )


def _concept(code: Coded | None) -> dict[str, Any] | None:
    return {"coding": [_coding(code)]} if code is not None else None


def _coding(code: Coded) -> dict[str, Any]:
    return _filled({"system": uri_of(code.scheme), "code": code.code, "display": code.display})


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def _filled(body: dict[str, Any]) -> dict[str, Any]:
    """Leave out what says nothing."""
    return {name: value for name, value in body.items() if value not in (None, "", [], {})}
