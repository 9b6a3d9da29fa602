"""METADATA.XML: a submission set and its documents as ebRIM, the registry's own XML.

In: `Submission` and its entries, each with the file it lies in. Out: the bytes of a SubmitObjectsRequest, the
same for the same submission. An attribute that nobody said is not written; an object that lacks a required
one says of itself that its metadata are limited. Follows IHE ITI TF-3 4.2.3 (attributes), 4.2.3.1.7 (data
types) and 4.3.1 (limited metadata), and OASIS ebRIM 3.0.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from lxml import etree

from engine.formats.xdm import Coded
from engine.formats.xds.entry import Author, DocumentEntry, Number, Person, dtm, name_from, oid_of

__all__ = ["Submission", "metadata", "number_text"]

_RIM = "urn:oasis:names:tc:ebxml-regrep:xsd:rim:3.0"
_LCM = "urn:oasis:names:tc:ebxml-regrep:xsd:lcm:3.0"
_OBJECT = "urn:oasis:names:tc:ebxml-regrep:ObjectType:RegistryObject:"
_APPROVED = "urn:oasis:names:tc:ebxml-regrep:StatusType:Approved"
_MEMBER = "urn:oasis:names:tc:ebxml-regrep:AssociationType:HasMember"
_STABLE = "urn:uuid:7edca82f-054d-47f2-a032-9b2a5b5186c1"
_DOCUMENT = {
    "author": "urn:uuid:93606bcf-9494-43ec-9b4e-a7748d1a838d",
    "class": "urn:uuid:41a5887f-8865-4c09-adf7-e362475b143a",
    "confidentiality": "urn:uuid:f4f85eac-e6cb-4883-b524-f2705394840f",
    "event": "urn:uuid:2c6b8cb7-8b2a-4051-b291-b1ae6a575ef4",
    "format": "urn:uuid:a09d5840-386c-46f2-b5ad-9c3699a4309d",
    "facility": "urn:uuid:f33fb8ac-18af-42cc-ae0e-ed0b0bdb91e1",
    "practice": "urn:uuid:cccf5598-8b07-4b77-a05e-ae952c785ead",
    "type": "urn:uuid:f0306f51-975f-434e-a61c-c59651d33983",
    "limited": "urn:uuid:ab9b591b-83ab-4d03-8f5d-f93b1fb92e85",
    "patient": "urn:uuid:58a6f841-87b3-4a3e-92fd-a8ffeff98427",
    "unique": "urn:uuid:2e82c1f6-a085-4c72-9da3-8640a32e42ab",
}
_SET = {
    "node": "urn:uuid:a54d6aa5-d40d-43f9-88c5-b4633d873bdd",
    "author": "urn:uuid:a7058bb9-b4e4-4307-ba5b-e3f0ab85e12d",
    "content": "urn:uuid:aa543740-bdda-424e-8c96-df4873be8500",
    "limited": "urn:uuid:5003a9db-8d8d-49e6-bf0c-990e34ac7707",
    "patient": "urn:uuid:6b5aea1a-874d-4603-a4bc-96a0a7b38446",
    "source": "urn:uuid:554ac39e-e3fe-47fe-b233-965d2a147832",
    "unique": "urn:uuid:96fdda7c-d067-4183-912e-bf5ee74998a8",
}


@dataclass(frozen=True, slots=True)
class Submission:
    """Who submits documents, when, and to whom. `key` is the same on a second try."""

    key: str
    source: str  # OID of who submits
    submitted: str  # FHIR dateTime
    organization: str = ""
    sender: str = ""  # address, e.g. of Direct
    recipients: tuple[str, ...] = ()  # addresses
    content: Coded | None = None  # contentTypeCode
    domain: str = ""  # OID of the affinity domain's patient numbers

    @property
    def unique(self) -> str:
        """The number of the submission set: an OID made of a UUID (ITU-T X.667)."""
        return f"2.25.{name_from(self.key, 'submission set').int}"


def metadata(submission: Submission, files: Sequence[tuple[str, DocumentEntry]]) -> bytes:
    """Write METADATA.XML of (file name, entry) pairs."""
    request = etree.Element(f"{{{_LCM}}}SubmitObjectsRequest", nsmap={"lcm": _LCM, "rim": _RIM})
    objects = _add(request, "RegistryObjectList")
    set_id = f"urn:uuid:{name_from(submission.key, 'set entry')}"
    ids = [f"urn:uuid:{name_from(submission.key, f'document {n}')}" for n in range(len(files))]
    for id_, (name, entry) in zip(ids, files, strict=True):
        _Described(submission, id_).document(objects, name, entry)
    _Described(submission, set_id).submission_set(objects, [entry for _, entry in files])
    node = {"classifiedObject": set_id, "classificationNode": _SET["node"]}
    _add(objects, "Classification", id=f"{set_id}-node", objectType=_OBJECT + "Classification", **node)
    for n, id_ in enumerate(ids):
        link = _add(
            objects,
            "Association",
            id=f"urn:uuid:{name_from(submission.key, f'member {n}')}",
            objectType=_OBJECT + "Association",
            associationType=_MEMBER,
            sourceObject=set_id,
            targetObject=id_,
        )
        _slot(link, "SubmissionSetStatus", ["Original"])
    return etree.tostring(request, xml_declaration=True, encoding="UTF-8", pretty_print=True)


class _Described:
    """One object of the registry; its parts are numbered in the order they are written."""

    def __init__(self, submission: Submission, id_: str) -> None:
        self._submission, self._id, self._parts = submission, id_, 0

    def document(self, objects: etree._Element, name: str, entry: DocumentEntry) -> None:
        made = _add(
            objects,
            "ExtrinsicObject",
            id=self._id,
            objectType=_STABLE,
            mimeType=entry.media_type,
            status=_APPROVED,
        )
        digest = hashlib.sha1(entry.data, usedforsecurity=False).hexdigest()
        _slot(made, "creationTime", [dtm(entry.created)] if entry.created else [])
        _slot(made, "hash", [digest])
        _slot(made, "languageCode", [entry.language])
        _slot(made, "legalAuthenticator", [_xcn(entry.signed_by)] if entry.signed_by else [])
        _slot(made, "serviceStartTime", [dtm(entry.service_start)] if entry.service_start else [])
        _slot(made, "serviceStopTime", [dtm(entry.service_stop)] if entry.service_stop else [])
        _slot(made, "size", [str(len(entry.data))])
        _slot(made, "sourcePatientId", [_cx(n) for n in _numbers(entry)[:1]])
        _slot(made, "sourcePatientInfo", list(_pid(entry)))
        _slot(made, "URI", [name])
        _name(made, entry.title)
        for author in entry.authors:
            self._author(made, _DOCUMENT["author"], author)
        for word, codes in (
            ("class", (entry.class_,)),
            ("confidentiality", entry.confidentiality),
            ("event", entry.events),
            ("format", (entry.format,)),
            ("facility", (entry.facility,)),
            ("practice", (entry.practice,)),
            ("type", (entry.type,)),
        ):
            for code in codes:
                if code is not None:
                    self._coded(made, _DOCUMENT[word], code)
        known = entry.patient_of(self._submission.domain)
        if entry.missing or known is None or not _numbers(entry):
            self._node(made, _DOCUMENT["limited"])
        if known is not None:
            self._number(made, _DOCUMENT["patient"], _cx(known), "XDSDocumentEntry.patientId")
        self._number(made, _DOCUMENT["unique"], number_text(entry.id), "XDSDocumentEntry.uniqueId")

    def submission_set(self, objects: etree._Element, entries: Sequence[DocumentEntry]) -> None:
        said = self._submission
        made = _add(objects, "RegistryPackage", id=self._id, objectType=_OBJECT + "RegistryPackage")
        _slot(made, "submissionTime", [dtm(said.submitted)])
        _slot(made, "intendedRecipient", [f"||^^Internet^{address}" for address in said.recipients])
        if said.sender or said.organization:
            author = self._part(made, "Classification", classificationScheme=_SET["author"])
            author.set("nodeRepresentation", "")
            _slot(author, "authorInstitution", [_plain(said.organization)])
            _slot(author, "authorTelecommunication", [f"^^Internet^{said.sender}"] if said.sender else [])
        if said.content is not None:
            self._coded(made, _SET["content"], said.content)
        numbers = {entry.patient_of(said.domain) for entry in entries}
        known = numbers.pop() if len(numbers) == 1 else None
        if said.content is None or known is None:
            self._node(made, _SET["limited"])
        if known is not None:
            self._number(made, _SET["patient"], _cx(known), "XDSSubmissionSet.patientId")
        self._number(made, _SET["source"], said.source, "XDSSubmissionSet.sourceId")
        self._number(made, _SET["unique"], said.unique, "XDSSubmissionSet.uniqueId")

    def _part(self, of: etree._Element, tag: str, **attributes: str) -> etree._Element:
        self._parts += 1
        whose = "registryObject" if tag == "ExternalIdentifier" else "classifiedObject"
        attributes = {whose: self._id, **attributes}
        return _add(of, tag, id=f"{self._id}-{self._parts}", objectType=_OBJECT + tag, **attributes)

    def _node(self, of: etree._Element, node: str) -> None:
        self._part(of, "Classification", classificationNode=node)

    def _coded(self, of: etree._Element, scheme: str, code: Coded) -> None:
        made = self._part(of, "Classification", classificationScheme=scheme, nodeRepresentation=code.code)
        _slot(made, "codingScheme", [oid_of(code.scheme)])
        _name(made, code.display or code.code)

    def _number(self, of: etree._Element, scheme: str, value: str, name: str) -> None:
        made = self._part(of, "ExternalIdentifier", identificationScheme=scheme, value=value)
        _name(made, name)

    def _author(self, of: etree._Element, scheme: str, author: Author) -> None:
        made = self._part(of, "Classification", classificationScheme=scheme, nodeRepresentation="")
        person = (
            _xcn(author.person) if author.person else f"^{_plain(author.device)}" if author.device else ""
        )
        _slot(made, "authorPerson", [person])
        _slot(made, "authorInstitution", [_xon(author)])
        if author.specialty is not None:
            said = author.specialty
            _slot(made, "authorSpecialty", [f"{said.code}^{_plain(said.display)}^{oid_of(said.scheme)}"])


def number_text(number: Number) -> str:
    """Write a unique id: OID or OID^extension; a UUID as the OID that is made of it (ITU-T X.667)."""
    root = f"2.25.{uuid.UUID(number.root).int}" if number.is_uuid else number.root
    return f"{root}^{number.extension}" if number.extension else root


def _numbers(entry: DocumentEntry) -> list[Number]:
    """Return the patient's numbers that ebRIM can hold: those whose authority has an OID."""
    return [n for n in entry.patients if _registered(n)]


def _registered(number: Number) -> bool:
    authority = Number(oid_of(number.root))
    return authority.is_oid or authority.is_uuid


def _cx(number: Number) -> str:
    """Write a patient's number (CX)."""
    authority = number_text(Number(oid_of(number.root)))
    return f"{_plain(number.extension)}^^^&{authority}&ISO"


def _xcn(person: Person) -> str:
    """Write a person (XCN): number, names, and in its ninth component the authority of the number."""
    number = person.number if person.number is not None and _registered(person.number) else None
    parts = [_plain(number.extension) if number else "", *_names(person), "", "", ""]
    if number is not None:
        parts[8] = f"&{number_text(Number(oid_of(number.root)))}&ISO"
    return "^".join(parts).rstrip("^")


def _names(person: Person) -> tuple[str, str, str, str, str]:
    given = [_plain(g) for g in person.given]
    return (
        _plain(person.family),
        given[0] if given else "",
        " ".join(given[1:]),
        _plain(person.suffix),
        _plain(person.prefix),
    )


def _xon(author: Author) -> str:
    """Write an institution (XON): its name, and its number where it has one."""
    name, number = _plain(author.institution), author.institution_number
    if number is None or not name:
        return name
    if not number.extension:
        return f"{name}^^^^^^^^^{number_text(number)}"
    return f"{name}^^^^^&{number_text(Number(number.root))}&ISO^^^^{_plain(number.extension)}"


def _pid(entry: DocumentEntry) -> Iterable[str]:
    """Write what is known of the patient as lines of PID (TF-3 4.2.3.2.23)."""
    numbers = "~".join(_cx(n) for n in _numbers(entry))
    if numbers:
        yield f"PID-3|{numbers}"
    if entry.patient_name is not None:
        yield "PID-5|" + "^".join(_names(entry.patient_name)).rstrip("^")
    if entry.birth:
        yield f"PID-7|{entry.birth.replace('-', '')}"
    if entry.sex:
        yield f"PID-8|{entry.sex}"


_ESCAPES = str.maketrans({"\\": "\\E\\", "^": "\\S\\", "&": "\\T\\", "~": "\\R\\", "|": "\\F\\"})


def _plain(text: str) -> str:
    """Escape what separates in HL7 v2 (2.7)."""
    return " ".join(text.split()).translate(_ESCAPES)


def _add(of: etree._Element, tag: str, **attributes: str) -> etree._Element:
    return etree.SubElement(of, f"{{{_RIM}}}{tag}", attributes)


def _slot(of: etree._Element, name: str, values: Sequence[str]) -> None:
    said = [value for value in values if value]
    if said:
        held = _add(_add(of, "Slot", name=name), "ValueList")
        for value in said:
            _add(held, "Value").text = value


def _name(of: etree._Element, text: str) -> None:
    if text:
        _add(_add(of, "Name"), "LocalizedString", value=text)
