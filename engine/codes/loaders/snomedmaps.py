"""Rows of SNOMED CT's map and association reference sets -> links, and how far each can be trusted.

A map rule of `TRUE` says what a concept is in the classification. `IFA ...` asks for the patient's age, sex
or another finding, and `OTHERWISE TRUE` for all of these being absent: neither can be decided from a code
alone, so they are kept as `inexact`, which never translates by itself, with the map's own advice for people.
SNOMED CT Release File Specification 5.2.3.3 (complex and extended maps); FHIR R4 snomedct.html
(associations).
"""

from __future__ import annotations

from dataclasses import dataclass

from engine.codes.systems import ICD9CM, ICD10, ICD10CM, SNOMED

__all__ = ["Made", "association", "map_row"]

_MAPS = {  # reference set -> (name, target)
    "447562003": ("SNOMED CT to ICD-10 extended map", ICD10),
    "6011000124106": ("SNOMED CT to ICD-10-CM extended map", ICD10CM),
    "447563008": ("SNOMED CT to ICD-9-CM map", ICD9CM),
    "446608001": ("SNOMED CT to ICD-O simple map", "http://terminology.hl7.org/CodeSystem/icd-o-3"),
}
_ASSOCIATIONS = {
    "900000000000523009": ("possibly equivalent to", "inexact"),
    "900000000000526001": ("replaced by", "equivalent"),
    "900000000000527005": ("same as", "equal"),
    "900000000000528000": ("was a", "wider"),
    "900000000000530003": ("alternative", "inexact"),
}
_CORRELATION = {
    "447557004": "equivalent",  # exact match
    "447558009": "narrower",  # broad to narrow: the target says more
    "447559001": "wider",  # narrow to broad
    "447560006": "inexact",  # partial overlap
}
_UNSPECIFIED = "447561005"
_CLASSIFIED = "447637006"  # properly classified: a classification's class contains the concept


@dataclass(frozen=True, slots=True)
class Made:
    """One link; `code` is empty where the map says that there is none."""

    name: str
    system: str
    code: str
    equivalence: str
    part: int = 0
    priority: int = 0
    note: str = ""


def association(row: list[str]) -> Made | None:
    """Read a historical association; None for reference sets that are no replacement."""
    known = _ASSOCIATIONS.get(row[4])
    return Made(f"SNOMED CT {known[0]}", SNOMED, row[6], known[1]) if known else None


def map_row(kind: str, row: list[str]) -> Made | None:
    """Read a row of a simple, complex or extended map; None where the target system is not known."""
    known = _MAPS.get(row[4])
    if known is None:
        return None
    name, system = known
    if kind == "simple":
        return Made(name, system, row[6].strip(), "inexact", note="the map does not say how close it is")
    group, priority, rule, advice, target, correlation = row[6:12]
    rule, target = rule.strip(), target.strip()
    equivalence = _CORRELATION.get(correlation, "inexact")
    note = ""
    if correlation == _UNSPECIFIED and (kind == "complex" or row[12] == _CLASSIFIED):
        equivalence = "wider"
    if rule not in ("", "TRUE"):
        equivalence, note = "inexact", advice
    elif "?" in target:  # ICD-10-CM: a character is for the encounter to say
        equivalence, note = "inexact", "a character of the code depends on the encounter"
    return Made(name, system, target, equivalence, _number(group), _number(priority), note)


def _number(text: str) -> int:
    return int(text) if text.isdigit() else 0
