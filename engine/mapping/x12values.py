"""Values of X12 that rows cannot say: a date time period (DTP-03, whose form DTP-02 names), and the numbers
that FHIR wants in lists of claims.

In: the raw text of an element (X12 data element 1251), or finished claims. Out: a FHIR Period; `sequence` for
the entries of careTeam, supportingInfo, diagnosis ... in their order, and the references of a line's entries
to it by these numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from engine.kernel.message import Draft
from engine.mapping.demanded import mark_gaps

if TYPE_CHECKING:
    from engine.mapping.links import Node
    from engine.mapping.run import Run

__all__ = ["X12_VALUES", "dtp_period", "numbered"]

_RANGE = re.compile(r"(\d{6,14})-(\d{6,14})", re.ASCII)
_NUMBERED = {
    "Claim": ("careTeam", "supportingInfo", "diagnosis", "procedure", "insurance", "item"),
    "ExplanationOfBenefit": ("careTeam", "supportingInfo", "diagnosis", "procedure", "item"),
}
_OF_LINES = {"careTeam": "careTeamSequence", "supportingInfo": "informationSequence"}


def dtp_period(c: list[str], x: Run) -> dict[str, Any] | None:
    """D8, DT (a beginning) or RD8 (from-to) -> Period."""
    raw = c[0]
    text = x.text(raw)
    if not text:
        return None
    parts = [raw]
    if _RANGE.fullmatch(text):
        parts = [x.keep(part, raw) for part in str(text).split("-")]
    out: dict[str, Any] = {}
    for name, part in zip(("start", "end"), parts, strict=False):
        value = x.date_time(part)
        if value is not None:
            out[name] = value
            if x.lost:
                x.keep_original(out, name, part, "-03")
    return out or None


_NONE = [""] * 9
_CPT = re.compile(r"\d{4}[0-9A-Z]", re.ASCII)
_HCPCS = re.compile(r"[A-Z]\d{4}", re.ASCII)
_PRODUCTS = {
    "AD": "http://www.ada.org/cdt",
    "HP": "https://www.cms.gov/Medicare/Medicare-Fee-for-Service-Payment/ProspMedicareFeeSvcPmtGen/HIPPSCodes",
    "N4": "http://hl7.org/fhir/sid/ndc",
    "NU": "https://www.nubc.org/CodeSystem/RevenueCodes",
    "RB": "https://www.nubc.org/CodeSystem/RevenueCodes",
}
_ICD9, _ICD10 = "http://hl7.org/fhir/sid/icd-9-cm", "http://hl7.org/fhir/sid/icd-10-cm"
_PCS = "http://www.cms.gov/Medicare/Coding/ICD10"
_NUBC = "https://www.nubc.org/CodeSystem/"
_LISTS = {
    **dict.fromkeys(("ABK", "ABF", "ABJ", "ABN", "APR"), _ICD10),
    **dict.fromkeys(("BK", "BF", "BJ", "BN", "PR"), _ICD9),
    **dict.fromkeys(("BBR", "BBQ"), _PCS),
    **dict.fromkeys(("BR", "BQ"), _ICD9),
    "BG": _NUBC + "ConditionCodes",
    "BH": _NUBC + "OccurrenceCodes",
    "BI": _NUBC + "OccurrenceSpanCodes",
    "BE": _NUBC + "ValueCodes",
}
"""X12 data element 1270 -> the code system that the industry code is of."""


def _hcpcs(code: str) -> str:
    """CPT is level I of HCPCS, a system of its own in FHIR."""
    if _CPT.fullmatch(code):
        return "http://www.ama-assn.org/go/cpt"
    return "https://www.cms.gov/Medicare/Coding/HCPCSReleaseCodeSets" if _HCPCS.fullmatch(code) else ""


def product(c: list[str], x: Run) -> dict[str, Any] | None:
    """C003, a medical procedure identifier -> CodeableConcept; its modifiers are the item's."""
    c = [*c, *_NONE]
    code = x.text(c[1])
    if not code:
        return None
    kind = x.text(c[0])
    system = _hcpcs(code) if kind == "HC" else _PRODUCTS.get(kind, "")
    coding = {"system": x.keep(system, c[0])} if system else {}
    out: dict[str, Any] = {"coding": [{**coding, "code": x.keep(code, c[1])}]}
    described = x.text(c[6])
    if described:
        out["text"] = x.keep(described, c[6])
    return out


def health_code(c: list[str], x: Run) -> dict[str, Any] | None:
    """C022, health care code information -> CodeableConcept; X12 leaves out the point of an ICD code."""
    c = [*c, *_NONE]
    code = x.text(c[1])
    if not code:
        return None
    kind = x.text(c[0])
    system = _LISTS.get(kind, "") or (_hcpcs(code) if kind in ("BP", "BO", "CAH") else "")
    coding = {"system": x.keep(system, c[0])} if system else {}
    return {"coding": [{**coding, "code": x.keep(_pointed(code, kind, system), c[1])}]}


def _pointed(code: str, kind: str, system: str) -> str:
    """`J0190` -> `J01.90`; ICD-9: after three digits, after four of an E code, after two of a procedure."""
    if "." in code or system not in (_ICD9, _ICD10):
        return code
    at = 2 if kind in ("BR", "BQ") else 4 if system == _ICD9 and code[:1] == "E" else 3
    return f"{code[:at]}.{code[at:]}" if len(code) > at else code


X12_VALUES = {
    "DTP_Period": dtp_period,
    "C003_CodeableConcept": product,
    "C022_CodeableConcept": health_code,
}


def numbered(nodes: Iterable[Node], x: Run) -> None:
    """Give the entries of claims the numbers that FHIR demands, in their order; what stands in a service line
    is named by the line's item; what FHIR demands besides and nobody said is marked."""
    for node in nodes:
        if node.draft.type == "ClaimResponse":
            for n, item in enumerate(node.draft.body.get("item", ()), 1):
                item.setdefault("itemSequence", n)
        for name in _NUMBERED.get(node.draft.type, ()):
            entries = node.draft.body.get(name, ())
            taken = {e["sequence"] for e in entries if "sequence" in e}
            n = 0
            for e in entries:
                if "sequence" not in e:
                    n += 1
                    while n in taken:
                        n += 1
                    taken.add(n)
                    e["sequence"] = n
        for item in node.draft.body.get("item", ()):
            for n, detail in enumerate(item.get("detail", ()), 1):
                detail.setdefault("sequence", n)
        _of_lines(node, node.draft)
        mark_gaps(node.draft.type, node.draft.body, x)


def _of_lines(node: Node, draft: Draft) -> None:
    """Name in each item the careTeam and supportingInfo entries that stand in its service line."""
    lines = [(s.offset, e) for (name, _), found in node.spots.items() if name == "item" for s, e in found]
    lines = [(at, e) for at, e in lines if e is not None]
    if not lines:
        return
    for (name, _), found in node.spots.items():
        slot = _OF_LINES.get(name)
        for s, e in found if slot else ():
            if e is None or s is None:
                continue
            before = [item for at, item in lines if at < s.offset]
            if before and slot is not None and e["sequence"] not in before[-1].get(slot, ()):
                before[-1].setdefault(slot, []).append(e["sequence"])
