"""What rows cannot say of an attribute of DICOM, as named functions: `as: NAME` calls one.

In: an element (`Node`) of the tree and the run. Out: the FHIR value, or None. A date is read with the time
beside it and the offset around it (PS3.3 C.12.1.1.8), a number with who issued it (PS3.3 C.7.1.1), a name as
a person writes it (PS3.5 6.2.1). What a study belongs to is never found out here: it was said, or it is not
known.
"""

from __future__ import annotations

import re
from typing import Any

from engine.formats.dicom.anatomy import body_part, ct_of_rt, side
from engine.formats.xml.nodes import Node
from engine.mapping.dates import read_date, read_datetime
from engine.mapping.script_values import FUNCTIONS
from engine.mapping.traced import absorb
from engine.mapping.tree_values import named, named_key, said_by_us, uri_of

__all__ = ["FUNCTIONS"]

_DCM = "http://dicom.nema.org/resources/ontology/DCM"
_FETUS_ID = frozenset({"121030", "11951-1"})  # Subject ID, Fetus ID
_SCT = "http://snomed.info/sct"
_OFFSET = re.compile(r"[+-]\d{4}", re.ASCII)
_PLAIN = re.compile(r"[0-9.:]+", re.ASCII)


# -- times -------------------------------------------------------------------------------------------------


def _offset(node: Node) -> Node | None:
    """Find the offset from UTC that holds for an attribute: its dataset's, or of one around."""
    at = node.parent
    while at is not None:
        for found in at.by("TimezoneOffsetFromUTC"):
            if _OFFSET.fullmatch(found.text):
                return found
        at = at.parent
    return None


def _moment(node: Node, x: Any) -> tuple[str, str, list[Node]] | None:
    """Read a DA with its TM beside it, or a DT: (FHIR dateTime, what was lost, the other elements read)."""
    said, others = node.text, []
    if not said:
        return None
    if len(said) <= 10 and _PLAIN.fullmatch(said):
        said = said.replace(".", "")
        beside = f"{node.name.removesuffix('Date')}Time" if node.name.endswith("Date") else ""
        clock = (
            next((c for c in node.parent.by(beside)), None) if beside and node.parent is not None else None
        )
        if clock is not None and clock.text and len(said) == 8:
            said += clock.text.replace(":", "")
            others.append(clock)
    if len(said) > 8 and not re.search(r"[+-]\d{4}$", said):
        if (zone := _offset(node)) is not None:
            said += zone.text
            others.append(zone)
    when = read_datetime(said, x.sender.zone)
    if when is None and others:  # the day is good, its time is not
        x.flag("not-a-time", f" {others[0].name}", "only the day is kept; the time is none")
        when, others = read_datetime(said[:8], ""), []
    if when is None:
        x.fail("not-a-date", node.text)
        return None
    return when.value, when.lost, others


def _told(value: str, node: Node, others: list[Node], x: Any) -> Any:
    out = x.from_(value, node, "text()")
    for other in others:
        out = absorb(out, x.from_(value, other, "text()"))
    return out


@named
def dicom_time(node: Node, x: Any) -> Any:
    """Give a date with its time as a dateTime; without an offset in the site's zone, else the day."""
    found = _moment(node, x)
    if found is None:
        return None
    value, lost, others = found
    if lost:
        x.flag(lost, f" {node.name}", "only the day is kept; the object has the time as sent")
        others = others[:1]
    return _told(value, node, others, x)


@named
def dicom_day(node: Node, x: Any) -> Any:
    """Give a date."""
    day = read_date(node.text.replace(".", ""))
    if day is None:
        if node.text:
            x.fail("not-a-date", node.text)
        return None
    return x.from_(day, node, "text()")


@named
def dicom_instant(node: Node, x: Any) -> Any:
    """Give a date with its time as an instant; nothing where it has no zone or no seconds."""
    found = _moment(node, x)
    if found is None or "T" not in found[0]:
        return None
    return _told(found[0], node, found[2], x)


# -- names, numbers ----------------------------------------------------------------------------------------


@named
def person_text(node: Node, x: Any) -> Any:
    """Give a person's name as one text: prefix, given, middle, family, suffix; the first writing there is."""
    for writing in node.text.split("="):
        family, given, middle, prefix, suffix = (
            part.strip() for part in (*writing.split("^"), *[""] * 5)[:5]
        )
        words = " ".join(p for p in (prefix, given, middle, family, suffix) if p)
        if words:
            return x.from_(words, node, "text()")
    return None


def _part(node: Node, number: int, x: Any) -> Any:
    """Give a component of the first writing of a name that says something."""
    for writing in node.text.split("="):
        if writing.replace("^", "").strip():
            parts = writing.split("^")
            word = parts[number].strip() if len(parts) > number else ""
            return x.from_(word, node, "text()") if word else None
    return None


@named
def family_name(node: Node, x: Any) -> Any:
    """Give the family name."""
    return _part(node, 0, x)


@named
def given_name(node: Node, x: Any) -> Any:
    """Give the given name."""
    return _part(node, 1, x)


def _authority(said: str, x: Any) -> str:
    """Give the URI of an authority said by name, OID or URI; empty for a name nobody has explained."""
    return (x.sender.authority_uri(said.removeprefix("urn:oid:")) or uri_of(said)) if said else ""


def _qualified(node: Node, x: Any, sequence: str) -> tuple[str, Node, str] | None:
    """Read a universal entity ID (PS3.3 10.14): (URI, the element that says it, what kind it is)."""
    for item in node.by(sequence):
        kind = next((c.text for c in item.by("UniversalEntityIDType")), "")
        for said in item.by("UniversalEntityID"):
            text = said.text
            if kind in ("ISO", "UUID", "URI", "") and (uri := _authority(text, x)):
                return uri, said, kind
        for said in item.by("LocalNamespaceEntityID"):
            if uri := _authority(said.text, x):
                return uri, said, ""
    return None


def _configured(node: Node, name: str) -> list[Node]:
    """Find what the node is configured with: whose numbers come without an issuer."""
    at: Node | None = node
    while at is not None:
        if found := at.by("Issuers"):
            return found[0].by(name)
        at = at.parent
    return []


@named
def patient_issuer(node: Node, x: Any) -> Any:
    """Give who issued the Patient ID beside, as HL7's keys name them: as it is said, else as configured."""
    found = _qualified(node, x, "IssuerOfPatientIDQualifiersSequence")
    if found is not None:
        return _with_kind(found, x)
    local, entities = [*node.by("IssuerOfPatientID")], []
    for item in node.by("IssuerOfPatientIDQualifiersSequence"):
        local += item.by("LocalNamespaceEntityID")
        entities += item.by("UniversalEntityID")
    for said in local:
        if uri := _authority(said.text, x) or _name_space(said.text):
            return x.from_(uri, said, "text()")
    for said in (*local, *entities):
        if said.text:
            text = "nobody has said what this authority is: it links to nobody"
            x.flag("unknown-issuer", f" {said.name}", text)
            return None
    for said in _configured(node, "Patient"):
        if uri := _authority(said.text, x) or _name_space(said.text):
            return x.from_(uri, said, "text()")
    x.flag("no-issuer", " PatientID", "nobody says whose number it is: it links to nobody")
    return None


def _name_space(name: str) -> str:
    """Name an authority that has a name and no URI as the keys of HL7's patients do (CX.4.1)."""
    return f"urn:hub:authority:{name}" if name and not any(c.isspace() for c in name) else ""


@named
def accession_issuer(node: Node, x: Any) -> Any:
    """Give the URI of who issued the accession number beside: as said, as configured, else the hub's own."""
    found = _qualified(node, x, "IssuerOfAccessionNumberSequence")
    if found is not None:
        return _with_kind(found, x)
    if any(item.valued for item in node.by("IssuerOfAccessionNumberSequence")):
        return None  # a name that nobody has explained is no system, and not ours either
    for said in _configured(node, "Accession"):
        return x.from_(uri, said, "text()") if (uri := _authority(said.text, x)) else None
    return said_by_us(f"{x.sender.own}accession", node, x)


def _with_kind(found: tuple[str, Node, str], x: Any) -> Any:
    uri, said, kind = found
    out = x.from_(uri, said, "text()")
    if kind and said.parent is not None:
        for beside in said.parent.by("UniversalEntityIDType"):
            out = absorb(out, x.from_(uri, beside, "text()"))
    return out


_NOT_LINKED = {
    "mismatch": (
        "imaging-mismatch",
        "the study and what it seems to belong to do not agree: it is linked to nobody",
    ),
    "unmatched": (
        "imaging-unmatched",
        "nothing in the core store is what this study belongs to: it is linked to nobody",
    ),
}


@named
def not_linked(node: Node, x: Any) -> Any:
    """Give the number of a patient whom nobody has recognised, and tell people; `node` is a study's Link."""
    state = next((c.text for c in node.by("State")), "")
    reason = next((c.text for c in node.by("Reason")), "")
    code, text = _NOT_LINKED.get(state, _NOT_LINKED["unmatched"])
    word = f" ({reason})" if re.fullmatch(r"[a-z0-9-]{1,60}", reason) else ""
    x.flag(code, " Link", text + word, True)
    study = node.parent
    for name in ("PatientID", "StudyInstanceUID"):
        for said in study.by(name) if study is not None else ():
            if said.text:
                return x.from_(said.text, said, "text()")
    return None


# -- codes -------------------------------------------------------------------------------------------------


def _coding(found: tuple[str, str] | None, node: Node, x: Any) -> Any:
    if found is None:
        return None
    code, words = found
    return {
        "system": said_by_us(_SCT, node, x),
        "code": x.from_(code, node, "text()"),
        "display": x.from_(words, node, "text()"),
    }


@named
def body_part_Coding(node: Node, x: Any) -> Any:
    """Give a defined term of Body Part Examined in SNOMED CT; any other as the words it is."""
    found = _coding(body_part(node.text), node, x)
    return found if found is not None or not node.text else {"display": x.from_(node.text, node, "text()")}


@named
def side_Coding(node: Node, x: Any) -> Any:
    """Give a laterality in SNOMED CT; nothing for U, unpaired."""
    return _coding(side(node.text), node, x)


@named
def snomed_ct(node: Node, x: Any) -> Any:
    """Give the SNOMED CT code of a code of SNOMED RT; `node` is the item of the code sequence."""
    for said in node.by("CodeValue"):
        scheme = next((c.text for c in node.by("CodingSchemeDesignator")), "")
        if code := ct_of_rt(said.text, scheme):
            return x.from_(code, said, "text()")
    return None


@named_key
def content_item(node: Node, x: Any) -> Any:
    """Give the report of a content item and its position there, as references by identifier do: 1.4.2."""
    numbers: list[str] = []
    at: Node | None = node
    while at is not None and at.parent is not None:
        numbers.append(str(at.n))
        at = at.parent
    uid = next((c.text for c in node.top.by("SOPInstanceUID")), "")
    return "|".join((uid, ".".join(["1", *reversed(numbers)])))


@named
def fetus_CodeableConcept(node: Node, x: Any) -> Any:
    """Say that it is said of a fetus, and of which (PS3.16 TID 1008), by what stands around the item."""
    at: Node | None = node
    while at is not None:
        for item in at.by("ContentSequence"):
            if _concept(item) == "121024":  # Subject Class
                words = [
                    t for i in at.by("ContentSequence") if _concept(i) in _FETUS_ID for t in _texts_in(i)
                ]
                coding = {
                    k: said_by_us(v, node, x)
                    for k, v in (("system", _DCM), ("code", "121026"), ("display", "Fetus"))
                }
                said = [x.from_(" ".join(("Fetus", t.text)), t, "text()") for t in words]
                return {"coding": [coding], **({"text": said[0]} if said else {})}
        at = at.parent
    return None


def _concept(item: Node) -> str:
    return next((v.text for c in item.by("ConceptNameCodeSequence") for v in c.by("CodeValue")), "")


def _texts_in(item: Node) -> list[Node]:
    return [t for t in item.by("TextValue") if t.text]
