"""What a package (XDM) holds besides CDA documents, as DocumentReferences: pictures, PDFs, texts.

In: a `Package`. Out: a draft for each document that is whole and no CDA (those are entries of their own), and
flags for what must not be worked on: a name that leads out, a hash or size that does not fit, a document of
another patient than the metadata names. The patient is
named by the number in the metadata and by nothing else, so that no package makes or changes a patient.
Follows IHE ITI TF-3 4.2.3.2 (DocumentEntry) and MHD 4.5.1 (its mapping to DocumentReference).
"""

from __future__ import annotations

import base64
import hashlib
import re
from contextlib import suppress
from typing import Any

from engine.formats.cda import document as cda
from engine.formats.facts import of_cda
from engine.formats.xdm import Coded, Package, Packed
from engine.kernel.errors import FormatError
from engine.kernel.message import Draft, Flag
from engine.mapping.dates import read_datetime
from engine.mapping.run import Identify

__all__ = ["package_drafts"]

_OID = re.compile(r"[0-2](\.(0|[1-9]\d*))+")
_MIME = re.compile(r"[A-Za-z0-9!#$&^_.+-]{1,100}/[A-Za-z0-9!#$&^_.+-]{1,100}")
_LANGUAGE = re.compile(r"[A-Za-z]{2,8}(-[A-Za-z0-9]{1,8})*")
_WHY = {
    "unsafe-name": "its name leads out of the package",
    "missing": "the metadata names it and it is not there",
    "too-large": "it is too large",
    "damaged": "it cannot be unpacked",
    "encrypted": "it is encrypted",
    "size": "it has another size than the metadata says",
    "hash": "it has another hash than the metadata says: it was changed on its way",
}
_WHOSE = {
    "other": "the metadata names another patient than the document does; the document waits",
    "partly": "one number of the metadata is the patient's, another one contradicts the document",
    "apart": "the metadata and the document number the patient by different authorities",
}


def package_drafts(package: Package, identify: Identify, origin: str) -> tuple[list[Draft], list[Flag]]:
    """Return the drafts of a package, and what a person must look at."""
    flags = [Flag("package", "METADATA.XML", text, True) for text in package.problems]
    drafts: dict[str, Draft] = {}
    for n, document in enumerate(package.documents, 1):
        if document.problem:
            text = f"document {n} of the package is not worked on: {_WHY[document.problem]}"
            flags.append(Flag(f"package-{document.problem}", f"document[{n}]", text, True))
        elif document.is_cda:
            found = _whose(document)
            if found:
                text = f"document {n} of the package: {_WHOSE[found]}"
                flags.append(Flag("package-patient", f"document[{n}]", text, found != "apart"))
        else:
            made = _draft(document, n, package, identify, origin)
            drafts.setdefault(made.id, made)
    return list(drafts.values()), flags


def _whose(document: Packed) -> str:
    """Say how the metadata and the document disagree about the patient, a key of `_WHOSE`; "" they do not."""
    if document.numbers:
        with suppress(FormatError):  # the document's own entry says that it cannot be read
            return document.other_patient(of_cda(cda.parse(document.data)).keys)
    return ""


def _draft(document: Packed, n: int, package: Package, identify: Identify, origin: str) -> Draft:
    body: dict[str, Any] = {"resourceType": "DocumentReference", "status": "current"}
    keys: tuple[tuple[str, str], ...] = ()
    if document.id:
        oid = document.id.split("^")[0]
        number = {
            "system": "urn:ietf:rfc:3986",
            "value": f"urn:oid:{oid}" if _OID.fullmatch(oid) else document.id,
        }
        body["masterIdentifier"] = number
        keys = ((number["system"], number["value"]),)
    for name, element in (("type", "type"), ("class", "category")):
        if (code := document.codes.get(name)) is not None:
            body[element] = _concept(code) if element == "type" else [_concept(code)]
    subject = _patient(document.patient or package.patient)
    if subject:
        body["subject"] = {"type": "Patient", "identifier": subject}
    body["content"] = [{"attachment": _attachment(document)}]
    key = keys[0] if keys else (origin, f"{n}")
    return Draft(
        "package-document",
        "DocumentReference",
        identify("DocumentReference", *key),
        body,
        keys,
        "merge" if keys else "snapshot",
        labels={"content": ("document",)},
        map="package",
        weak=("status",),
    )


def _attachment(document: Packed) -> dict[str, Any]:
    out: dict[str, Any] = {}
    if _MIME.fullmatch(document.media_type):
        out["contentType"] = document.media_type
    if _LANGUAGE.fullmatch(document.language):
        out["language"] = document.language
    out["data"] = base64.b64encode(document.data).decode()
    out["size"] = len(document.data)
    out["hash"] = base64.b64encode(hashlib.sha1(document.data, usedforsecurity=False).digest()).decode()
    if document.title:
        out["title"] = document.title
    when = read_datetime(document.created, "Z") if document.created else None  # XDS: times are UTC
    if when is not None and not when.lost:
        out["creation"] = when.value
    return out


def _concept(code: Coded) -> dict[str, Any]:
    coding = {"code": code.code}
    if _OID.fullmatch(code.scheme):
        coding = {"system": f"urn:oid:{code.scheme}", **coding}
    if code.display:
        coding["display"] = code.display
    return {"coding": [coding]}


def _patient(cx: str) -> dict[str, str]:
    parts = cx.split("^")
    value = parts[0].strip()
    place = (parts[3] if len(parts) > 3 else "").split("&")
    oid = place[1].strip() if len(place) > 1 else ""
    if not value or not _OID.fullmatch(oid):
        return {}
    return {"system": f"urn:oid:{oid}", "value": value}
