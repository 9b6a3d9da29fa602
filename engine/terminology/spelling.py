"""How a code is written in its system, where senders write it in more than one way.

In: a system (URI) and a code as it was sent. Out: the one spelling under which releases and crosswalks have
it. Only what can have one meaning is spelled anew: an NDC with hyphens (21 CFR 207.33) has 11 digits, 5-4-2
(HIPAA, 45 CFR 162.1002); ICD-10-CM has a dot after three characters; CVX codes have two digits at least. A
ten-digit NDC without hyphens is one of 4-4-2, 5-3-2 and 5-4-1, and nobody can tell which: it stays as it is.
"""

from __future__ import annotations

import re

__all__ = ["eleven", "spelled"]

_SHAPES = re.compile(r"(\d{4})-(\d{4})-(\d{2})|(\d{5})-(\d{3,4})-(\d{1,2})", re.ASCII)
_UNDOTTED = re.compile(r"[A-Z][0-9][0-9A-Z][0-9A-Z]{1,4}")


def spelled(system: str, code: str) -> str:
    """Return a code as its system writes it; unchanged where it is that, or nothing certain can be said."""
    if system == "http://hl7.org/fhir/sid/ndc":
        return eleven(code) or code
    if system == "http://hl7.org/fhir/sid/icd-10-cm" and _UNDOTTED.fullmatch(code):
        return f"{code[:3]}.{code[3:]}"
    if system == "http://hl7.org/fhir/sid/cvx" and len(code) == 1 and code in "0123456789":
        return f"0{code}"
    return code


def eleven(text: str) -> str | None:
    """Return the 11 digits of an NDC; None where it has no form that says which zero is missing."""
    text = text.strip()
    if text.isascii() and text.isdigit():
        return text if len(text) == 11 else None
    found = _SHAPES.fullmatch(text)
    if found is None:
        return None
    labeler, product, package = (part for part in found.groups() if part is not None)
    if len(labeler) + len(product) + len(package) not in (10, 11):
        return None
    return labeler.zfill(5) + product.zfill(4) + package.zfill(2)
