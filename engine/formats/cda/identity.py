"""What tells one statement from another, in its document and in the next version of it.

In: a statement. Out: a digest of patient, id and element name, or nothing where the sender gave no usable id.
Real ids are not unique: the sample UUIDs of guides are sent by products for every patient, so the patient is
part of the key; a root alone may be an OID of the product, so the main code is; and where one id stands on
several statements of a document that say different things, what each says is, so that they stay apart in any
order. Follows HL7 v3 Data Types R1 (II) and CDA R2 4.3.8 (entries).
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator

from engine.formats.cda.elements import V3, Element, attr, child, children, local, null_flavor
from engine.formats.cda.statements import CLASSES

__all__ = ["EntryIds", "entry_key"]

_TAGS = tuple(f"{{{V3}}}{name}" for name in CLASSES)
_VISITS = ("encounter", "encompassingEncounter")  # the header and the body tell of one visit
_SSN = "2.16.840.1.113883.4.1"
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_UNSAID = {"templateId", "id", "text", "originalText", "author", "informant", "performer", "typeId"}
"""What does not make two statements different: who wrote them, and how they look in the narrative."""
_CODES = (
    ("value",),
    ("participant", "participantRole", "playingEntity", "code"),
    ("consumable", "manufacturedProduct", "manufacturedMaterial", "code"),
    ("product", "manufacturedProduct", "manufacturedMaterial", "code"),
    ("participant", "participantRole", "playingDevice", "code"),
    ("playingDevice", "code"),
    ("code",),
)


class EntryIds:
    """The ids of one document's statements, and which of them stand on statements that differ."""

    def __init__(self, root: Element) -> None:
        self.patient = _patient(root)
        firsts: dict[tuple[str, ...], Element] = {}
        self._differ: set[tuple[str, ...]] = set()
        said: dict[tuple[str, ...], str] = {}
        for element in root.iter(*_TAGS):
            if not (found := _known(element)) or _refers(element):
                continue
            first = firsts.setdefault(found, element)
            if first is element or found in self._differ:
                continue
            if found not in said:
                said[found] = _said(first)
            if _said(element) != said[found]:
                self._differ.add(found)

    def repeated(self, element: Element) -> bool:
        """Say whether its id stands on statements of one class that say different things."""
        return _known(element) in self._differ


def entry_key(element: Element, ids: EntryIds) -> str:
    """Give the key of a statement: by its id, else by all that it says; empty where it has neither."""
    found = _id(element)
    if not ids.patient:
        return ""
    if found is None:  # the same words in the next document are the same statement, not one more
        told = local(element) in CLASSES and not _refers(element) and _code(element)
        said = _said(element) if told else ""
        return _digest("\n".join((*ids.patient, local(element), _digest(said)))) if said else ""
    name, root, extension = found
    parts = [*ids.patient, root, extension]
    if name not in _VISITS:
        parts.append(name)
        if not extension or name == "participantRole":  # the number of a device may be that of its model
            parts += _code(element)
    if ids.repeated(element):
        parts.append(_digest(_said(element)))
    return _digest("\n".join(" ".join(part.split()) for part in parts))  # a patient's number stays out of it


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _patient(root: Element) -> tuple[str, ...]:
    """Give the first number that is one person's: an OID without extension is a hospital's, and a social
    security number is often nobody's (999-99-9999)."""
    role = child(root, "recordTarget", "patientRole")
    numbers = (found for e in children(role, "id") if (found := _ii(e)))
    return next((n for n in numbers if n[0] != _SSN and (n[1] or _UUID.fullmatch(n[0]))), ())


def _ii(element: Element) -> tuple[str, ...]:
    root = attr(element, "root")
    return (root.lower(), attr(element, "extension")) if root and not null_flavor(element) else ()


def _id(element: Element) -> tuple[str, str, str] | None:
    for e in children(element, "id"):
        if found := _ii(e):
            return (local(element), *found)  # type: ignore[return-value]
    return None


def _known(element: Element) -> tuple[str, ...]:
    """Give class and id, and the code too where the id alone is no statement's; empty without an id."""
    found = _id(element) or ()
    coded = found and not found[2] and found[0] not in _VISITS
    return (*found, *_code(element)) if coded else found


def _code(element: Element) -> list[str]:
    for path in _CODES:
        at = child(element, *path)
        coded = [at, *children(at, "translation")]
        for e in coded:
            if e is not None and attr(e, "code") and not null_flavor(e):
                return [attr(e, "code"), attr(e, "codeSystem")]
    return []


def _refers(element: Element) -> bool:
    """Say whether it only points to a statement that stands elsewhere: nothing but ids."""
    return all(local(e) in ("id", "templateId") for e in element.iterchildren("*"))


def _said(element: Element) -> str:
    return "\n".join(_lines(element))


def _lines(element: Element) -> Iterator[str]:
    stack = [(element, "")]
    while stack:
        at, path = stack.pop()
        said = sorted((str(k).rpartition("}")[2], str(v).strip()) for k, v in at.attrib.items())
        own = " ".join(f"{name}={value}" for name, value in said)
        text = " ".join((at.text or "").split())
        if own or text:
            yield f"{path} {own} {text}"
        below = [e for e in at.iterchildren("*") if local(e) not in _UNSAID]
        stack.extend((e, f"{path}/{local(e)}") for e in reversed(below))
