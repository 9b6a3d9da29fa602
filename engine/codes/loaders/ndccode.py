"""National Drug Codes in the one form in which they can be compared: 11 digits, 5-4-2, without hyphens.

In: an NDC as FDA, RxNorm or a label writes it. Out: 11 digits, or None. A ten-digit code without hyphens is
one of 4-4-2, 5-3-2 and 5-4-1, and nobody can tell which: it is never padded. 21 CFR 207.33; HIPAA 45 CFR
162.1002 names the 11 digits.
"""

from __future__ import annotations

import re

__all__ = ["eleven"]

_SHAPES = re.compile(r"(\d{4})-(\d{4})-(\d{2})|(\d{5})-(\d{3,4})-(\d{1,2})")


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
