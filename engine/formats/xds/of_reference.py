"""The metadata of a document, read from the DocumentReference that tells of it.

In: a Bundle of what a message wrote (plain JSON values), and what the site says. Out: one `DocumentEntry` for
each DocumentReference that is current and holds its document as data; its patient, authors and signer as they
stand in the same Bundle. A document that holds only an address, or several contents, is refused: which of
them is meant is not ours to say. Follows IHE MHD 4.2.4, mapping of DocumentEntry, read the other way.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from collections.abc import Collection, Mapping
from typing import Any

from engine.formats.content import recognise
from engine.formats.xdm import Coded
from engine.formats.xds.entry import Author, DocumentEntry, Number, Person, Sharing, oid_of
from engine.formats.xds.of_cda import entry_of_cda
from engine.kernel.errors import FormatError

__all__ = ["entries_of_bundle"]

_SEXES = {"female": "F", "male": "M", "other": "O"}
_URI = "urn:ietf:rfc:3986"


def entries_of_bundle(
    bundle: Mapping[str, Any], sharing: Sharing, identity_base: str, mentioned: Collection[str] = ()
) -> list[DocumentEntry]:
    """Return the documents of a Bundle; a `FormatError` where one cannot be shared as it is.

    `mentioned`: the `Type/id` of what is there only because others refer to it.
    """
    held = [e["resource"] for e in bundle.get("entry") or () if isinstance(e.get("resource"), dict)]
    by_name = {f"{r.get('resourceType')}/{r.get('id')}": r for r in held}
    written = [r for name, r in by_name.items() if _is_document(r) and name not in mentioned]
    found = [r for r in written if r.get("status") == "current"]
    if written and not found:
        raise FormatError(
            "a document was taken back or replaced",
            why="what was shared cannot be taken back by a message",
            remedy="tell whoever has got it",
        )
    return [_entry(one, by_name, sharing, identity_base) for one in found]


def _is_document(resource: Mapping[str, Any]) -> bool:
    return resource.get("resourceType") == "DocumentReference"


def _entry(
    said: Mapping[str, Any], by_name: Mapping[str, Mapping[str, Any]], sharing: Sharing, identity_base: str
) -> DocumentEntry:
    content = _content(said)
    data = _data(content["attachment"])
    if recognise(data) == "cda":
        return entry_of_cda(data, sharing)  # a signed document tells of itself
    attachment = content["attachment"]
    context = said.get("context") or {}
    period = context.get("period") or {}
    patient = by_name.get((said.get("subject") or {}).get("reference", ""), {})
    people = [by_name[r] for a in said.get("author") or () if (r := a.get("reference", "")) in by_name]
    signer = by_name.get((said.get("authenticator") or {}).get("reference", ""))
    return DocumentEntry(
        data=data,
        media_type=attachment.get("contentType") or "application/octet-stream",
        id=_unique(said, identity_base),
        title=attachment.get("title") or "",
        created=attachment.get("creation") or "",
        language=attachment.get("language") or "",
        class_=sharing.class_ or _concept((said.get("category") or [None])[0]),
        type=_concept(said.get("type")),
        format=_coded(content.get("format")) or sharing.format,
        facility=_concept(context.get("facilityType")) or sharing.facility,
        practice=_concept(context.get("practiceSetting")) or sharing.practice,
        confidentiality=tuple(c for one in said.get("securityLabel") or () if (c := _concept(one))),
        events=tuple(c for one in context.get("event") or () if (c := _concept(one))),
        authors=tuple(a for one in people if (a := _author(one, by_name)) is not None),
        signed_by=_person(_human_of(signer, by_name)) if signer else None,
        patients=tuple(n for one in patient.get("identifier") or () if (n := _number(one)) is not None),
        patient_name=_person(patient, number=False) if patient else None,
        birth=patient.get("birthDate") or "",
        sex=_SEXES.get(patient.get("gender") or "", ""),
        service_start=period.get("start") or "",
        service_stop=period.get("end") or "",
        relates=tuple(
            (str(link.get("code")), number)
            for link in said.get("relatesTo") or ()
            if link.get("code") in ("replaces", "appends", "transforms")
            and (number := _target(link.get("target") or {}, by_name)) is not None
        ),
    )


def _target(said: Mapping[str, Any], by_name: Mapping[str, Mapping[str, Any]]) -> Number | None:
    """Return the number of the document that another is about."""
    there = by_name.get(said.get("reference", ""), {})
    return _number(there.get("masterIdentifier")) or _number(said.get("identifier"))


def _content(said: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the content that is the document: the CDA document among several, else the only one."""
    contents = [c for c in said.get("content") or () if (c.get("attachment") or {}).get("data")]
    if len(contents) > 1:
        whole = [c for c in contents if c["attachment"].get("contentType") in ("text/xml", "application/xml")]
        contents = whole if len(whole) == 1 else contents
    if len(contents) != 1:
        raise FormatError(
            "the document cannot be shared",
            where="DocumentReference.content",
            why="it holds no document" if not contents else f"it holds {len(contents)} documents",
            remedy="only a reference with one document in it can be sent",
        )
    return contents[0]  # type: ignore[no-any-return]


def _data(attachment: Mapping[str, Any]) -> bytes:
    try:
        return base64.b64decode(attachment["data"], validate=True)
    except (binascii.Error, ValueError):
        raise FormatError(
            "the document cannot be shared", where="DocumentReference.content", why="its data is no base64"
        ) from None


def _unique(said: Mapping[str, Any], identity_base: str) -> Number:
    """Return the document's number; where it has none that the world knows, one made of what it is here."""
    found = _number(said.get("masterIdentifier"))
    if found is not None and (found.is_oid or found.is_uuid):
        return found
    return Number(str(uuid.uuid5(uuid.NAMESPACE_URL, f"{identity_base}/DocumentReference/{said.get('id')}")))


def _number(said: Any) -> Number | None:
    """Read an identifier that has an authority."""
    if not isinstance(said, dict) or not said.get("value") or not said.get("system"):
        return None
    if said.get("use") == "old":
        return None
    system, value = str(said["system"]), str(said["value"])
    if system == _URI:
        return Number(value.removeprefix("urn:oid:").removeprefix("urn:uuid:"))
    return Number(oid_of(system), value)


def _author(said: Mapping[str, Any], by_name: Mapping[str, Mapping[str, Any]]) -> Author | None:
    kind = said.get("resourceType")
    if kind == "Device":
        names = said.get("deviceName") or [{}]
        name = names[0].get("name") or ""
        return Author(device=name) if name else None
    if kind == "Organization":
        return Author(institution=said.get("name") or "") if said.get("name") else None
    organization = by_name.get((said.get("organization") or {}).get("reference", ""), {})
    specialty = _concept((said.get("specialty") or [None])[0])
    person = _person(_human_of(said, by_name))
    found = Author(person, "", organization.get("name") or "", None, specialty)
    return found if found.person or found.institution else None


def _human_of(said: Mapping[str, Any], by_name: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """Return who has a role."""
    if said.get("resourceType") == "PractitionerRole":
        return by_name.get((said.get("practitioner") or {}).get("reference", ""), {})
    return said


def _person(said: Mapping[str, Any], number: bool = True) -> Person | None:
    name = (said.get("name") or [None])[0] if isinstance(said.get("name"), list) else None
    if not isinstance(name, dict):
        return None
    own = next((n for one in said.get("identifier") or () if (n := _number(one)) is not None), None)
    family = name.get("family") or ("" if name.get("given") else name.get("text") or "")
    prefix, suffix = " ".join(name.get("prefix") or ()), " ".join(name.get("suffix") or ())
    return Person(family, tuple(name.get("given") or ()), prefix, suffix, own if number else None)


def _concept(said: Any) -> Coded | None:
    codings = said.get("coding") or () if isinstance(said, dict) else ()
    return next((c for one in codings if (c := _coded(one)) is not None), None)


def _coded(said: Any) -> Coded | None:
    if not isinstance(said, dict) or not said.get("code") or not said.get("system"):
        return None
    return Coded(str(said["code"]), str(said["system"]), str(said.get("display") or ""))
