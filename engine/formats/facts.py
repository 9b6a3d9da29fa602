"""What a journal, a listener and a search know of a document, a claim, a prescription or an image before it
is mapped.

In: bytes of CDA, X12, SCRIPT, DICOM or FHIR (fhir/facts.py) (`content.recognise` says which). Out: `Facts`:
the number that makes it the same one when it comes again, its type (`cda 34133-9`, `x12 837P`, `ncpdp
NewRx`), who sends it, the patients and business numbers that keep its order, and the words it is found by. A
`FormatError` where it cannot be read. Follows CDA R2 (id, code, recordTarget, custodian), X12.5 (ISA, GS, ST)
with the 005010 guides, NCPDP SCRIPT (Header), DICOM PS3.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

from engine.formats.cda import document as cda
from engine.formats.cda.elements import Element, attr, child, children, own_text
from engine.formats.dicom import document as dicom
from engine.formats.ncpdp import message as ncpdp
from engine.formats.ncpdp.parties import parties
from engine.formats.ncpdp.prescription import prescriptions
from engine.formats.x12.envelope import Transaction, opened
from engine.formats.x12.segments import Segment, read_segments, text_of
from engine.formats.x12.tables import table_for
from engine.kernel.errors import FormatError

__all__ = ["MOST_KEYS", "MOST_WORDS", "Facts", "facts_of", "of_cda", "of_dicom", "of_script", "of_segments"]

MOST_KEYS = 24
"""Of a batch about more patients than this only the sender's order is kept."""
MOST_WORDS = 2000
_PERSONS = frozenset({"IL", "QC", "74", "03"})  # insured, patient, corrected insured, dependent
_LONGEST = 120


class Word(NamedTuple):
    """What something is found by; kinds as in `hub msg find`."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one body."""

    format: str
    kind: str  # 837P, 34133-9, NewRx; empty = not said
    control: str  # empty = it has no number of its own
    sender: str  # a number or name of an organization or application, as sent
    headers: Mapping[str, str] = field(default_factory=dict)  # what a site's `match` may ask
    keys: tuple[str, ...] = ()
    words: tuple[tuple[str, str], ...] = ()
    test: bool = False
    charset: str = ""

    @property
    def message_type(self) -> str:
        """Return format and kind, as lists show them."""
        return f"{self.format} {self.kind}".rstrip()


def facts_of(data: bytes, format: str) -> Facts:
    """Read a body of a format other than HL7 v2."""
    if format == "cda":
        return of_cda(cda.parse(data))
    if format == "ncpdp":
        return of_script(ncpdp.parse(data))
    if format == "x12":
        segments, _, _ = read_segments(data)
        return of_segments(segments)
    if format == "dicom":
        return of_dicom(dicom.parse(data))
    if format == "fhir":
        from engine.formats.fhir import facts as fhir  # it makes Facts, too
        from engine.formats.fhir.posted import parse

        return fhir.of_fhir(parse(data))
    raise FormatError("no document, claim or prescription", remedy="send CDA, X12, SCRIPT, DICOM or FHIR")


# -- CDA ---------------------------------------------------------------------------------------------------


def of_cda(document: cda.Document) -> Facts:
    """Read a clinical document."""
    root = document.root
    words: dict[tuple[str, str], None] = {}
    keys: dict[str, None] = {}
    for role in _path(root, "recordTarget", "patientRole"):
        for id_ in children(role, "id"):
            _put(words, "patient", attr(id_, "extension"))
            keys.update(dict.fromkeys(_numbers(id_)))
        for person in children(role, "patient"):
            for name in children(person, "name"):
                for part in name:
                    for said in (part.text or "").split():
                        _put(words, "name", said.casefold())
            day = attr(child(person, "birthTime"), "value")
            _put(words, "birth", day[:8] if len(day) >= 8 else "")
    for element in (child(root, "id"), child(root, "setId")):
        for number in _said(element):
            _put(words, "document", number)
    for kind, path in (
        ("visit", ("componentOf", "encompassingEncounter", "id")),
        ("order", ("inFulfillmentOf", "order", "id")),
    ):
        for id_ in _path(root, *path):
            _put(words, kind, attr(id_, "extension"))
    control = "^".join(p for p in (attr(child(root, "id"), a) for a in ("root", "extension")) if p)
    _put(words, "control", control)
    keeper = child(root, "custodian", "assignedCustodian", "representedCustodianOrganization")
    author = next((a for a in children(root, "author") if child(a, "assignedAuthor") is not None), None)
    written = child(author, "assignedAuthor")
    writer, device = child(written, "representedOrganization"), child(written, "assignedAuthoringDevice")
    headers = {
        "custodian-id": attr(child(keeper, "id"), "root"),
        "custodian-name": own_text(child(keeper, "name")),
        "author-organization": own_text(child(writer, "name")),
        "author-organization-id": attr(child(writer, "id"), "root"),
        "author-system": own_text(child(device, "softwareName"))
        or own_text(child(device, "manufacturerModelName")),
        "code": document.code.code,
        "guide": document.guide,
    }
    return Facts(
        "cda",
        attr(child(root, "code"), "code")[:30],
        control[:200],
        _number(child(keeper, "id")) or _number(child(writer, "id")),
        headers,
        tuple(keys)[:MOST_KEYS],
        tuple(words)[:MOST_WORDS],
        charset=document.charset,
    )


def _path(element: Element | None, *names: str) -> Iterator[Element]:
    """Give all elements at the end of a path."""
    if element is None:
        return
    for found in children(element, names[0]):
        if len(names) > 1:
            yield from _path(found, *names[1:])
        else:
            yield found


def _numbers(id_: Element) -> Iterator[str]:
    """Give `authority|value` as order keys have it, by the OID and by the name of the authority."""
    root, value = attr(id_, "root"), attr(id_, "extension")
    if not root or not value or len(value) > 250 or attr(id_, "nullFlavor"):
        if root and not value and not attr(id_, "nullFlavor"):
            yield root
        return
    yield f"{root}|{value}"
    if name := attr(id_, "assigningAuthorityName"):
        yield f"{name}|{value}"


def _number(id_: Element | None) -> str:
    return "|".join(p for p in (attr(id_, "root"), attr(id_, "extension")) if p)[:_LONGEST]


def _said(id_: Element | None) -> Iterator[str]:
    root, value = attr(id_, "root"), attr(id_, "extension")
    if root or value:
        yield value or root
        if root and value:
            yield f"{root}^{value}"


def _put(words: dict[tuple[str, str], None], kind: str, value: str) -> None:
    value = value.strip()
    if value and len(value) <= 250:
        words[kind, value] = None


# -- SCRIPT ------------------------------------------------------------------------------------------------


def of_script(script: ncpdp.Script) -> Facts:
    """Read a prescription message."""
    words: dict[tuple[str, str], None] = {}
    keys: dict[str, None] = {}
    for number in (script.id, script.relates_to):
        _put(words, "control", number)
    orders = [(p.order_number, p.reference_number) for p in prescriptions(script)]
    for order, reference in [(script.order_number, script.reference_number), *orders]:
        for kind, number in (("order", order), ("reference", reference)):
            if number:
                _put(words, "order", number)
                keys[f"ncpdp {kind}|{number}"] = None
    for party in parties(script):
        if party.role != "Patient":
            continue
        for kind, number in party.numbers:
            _put(words, "patient", number)
            keys[f"ncpdp {kind}|{number}"] = None
        names = [w.casefold() for text in (party.family, *party.given) for w in text.split()]
        for word in names:
            _put(words, "name", word)
        _put(words, "birth", party.born.replace("-", "")[:8])
        if names and party.born:
            keys[f"person|{' '.join(names)}|{party.born}"] = None
    return Facts(
        "ncpdp",
        script.transaction[:30],
        script.id[:200],
        script.sender.code,
        script.headers,
        tuple(keys)[:MOST_KEYS],
        tuple(words)[:MOST_WORDS],
        script.test,
        script.charset,
    )


# -- DICOM -------------------------------------------------------------------------------------------------

_WORDS = {
    "PatientID": "patient",
    "AccessionNumber": "order",
    "RequestedProcedureID": "order",
    "PlacerOrderNumberImagingServiceRequest": "order",
    "StudyInstanceUID": "study",
}
"""Attributes that something is found by, wherever they stand, and the kind of word they are."""


def of_dicom(document: dicom.Dicom) -> Facts:
    """Read a study, a performed procedure step or an object."""
    words: dict[tuple[str, str], None] = {}
    keys: dict[str, None] = {}
    root = document.root
    for element in root.iter(*_WORDS):
        kind, said = _WORDS[str(element.tag)], (element.text or "").strip()
        _put(words, kind, said)
        if said and kind != "patient":
            keys[f"dicom {kind}|{said}"] = None
    for element in root.iter("PatientName"):
        for word in re.split(r"[\^=\s]+", element.text or ""):
            _put(words, "name", word.casefold())
    for element in root.iter("PatientBirthDate"):
        _put(words, "birth", (element.text or "").replace(".", "")[:8])
    control = document.own("StudyInstanceUID" if document.kind == "study" else "SOPInstanceUID")
    _put(words, "control", control)
    return Facts(
        "dicom",
        document.type[:30],
        f"{control}/{document.told}" if document.told else control,
        document.sender,
        document.headers,
        tuple(keys)[:MOST_KEYS],
        tuple(words)[:MOST_WORDS],
    )


# -- X12 ---------------------------------------------------------------------------------------------------


def of_segments(segments: Iterable[Segment], set: str = "", n: int = 0) -> Facts:
    """Read an interchange, or a part of one: `set` and `n` are then as its `Part` says."""
    all_ = list(segments)
    isa = next((s for s in all_ if s.name == "ISA"), None)
    gs = next((s for s in all_ if s.name == "GS"), None)
    st = next((s for s in all_ if s.name == "ST"), None)
    if isa is None:
        raise FormatError("no X12 interchange", where="ISA", remedy="send an interchange with its ISA")
    words: dict[tuple[str, str], None] = {}
    keys: dict[str, None] = {}
    _put(words, "control", isa.get(13))
    for segment in all_:
        _segment(segment, words, keys)
    sender = f"{isa.get(5).strip()}|{text_of(isa.get(6).strip())}"
    control = "/".join(
        [isa.get(13).strip(), gs.get(6).strip() if gs else "", st.get(2).strip() if st else ""]
    )
    headers = {
        "ISA-05": isa.get(5).strip(),
        "ISA-06": text_of(isa.get(6).strip()),
        "ISA-07": isa.get(7).strip(),
        "ISA-08": text_of(isa.get(8).strip()),
        "GS-02": text_of(gs.get(2).strip()) if gs else "",
        "GS-03": text_of(gs.get(3).strip()) if gs else "",
        "GS-08": gs.get(8).strip() if gs else "",
    }
    return Facts(
        "x12",
        set or _set_of(all_),
        (control.rstrip("/") + (f"/{n}" if n else ""))[:200],
        sender,
        headers,
        tuple(keys) if len(keys) <= MOST_KEYS else (),
        tuple(words)[:MOST_WORDS],
        isa.get(15).strip() == "T",
    )


def _segment(s: Segment, words: dict[tuple[str, str], None], keys: dict[str, None]) -> None:
    name = s.name
    if name == "NM1" and s.get(1) in _PERSONS:
        number = text_of(s.get(9).strip())
        if number:
            _put(words, "patient", number)
            keys[f"x12 {s.get(8).strip()}|{number}"] = None
        for element in (3, 4):
            for word in text_of(s.get(element)).split():
                _put(words, "name", word.casefold())
    elif name == "CLM" or name == "CLP":
        number = text_of(s.get(1).strip())
        _put(words, "claim", number)
        if number:
            keys[f"x12 claim|{number}"] = None
        if name == "CLP":
            _put(words, "claim", text_of(s.get(7)))
    elif name == "REF" and s.get(1) in ("F8", "1K", "D9", "BLT", "0F", "1L", "SY"):
        _put(words, "patient" if s.get(1) in ("0F", "SY") else "claim", text_of(s.get(2)))
    elif name == "TRN":
        _put(words, "order", text_of(s.get(2)))
    elif name == "DMG" and s.get(1) == "D8":
        _put(words, "birth", s.get(2)[:8])


def _set_of(segments: list[Segment]) -> str:
    """Name the first transaction set: 837P, 835, 277CA ..., TA1 where there is none."""
    for item in opened(segments):
        if isinstance(item, Transaction):
            service = next((s.name for s in segments if s.name in ("SV1", "SV2", "SV3")), "")
            table, _ = table_for(item.set_id, item.guide, service)
            return table.name if table is not None else re.sub(r"[^0-9A-Z]", "", item.set_id)[:8]
    return "TA1" if any(s.name == "TA1" for s in segments) else ""
