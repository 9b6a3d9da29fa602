"""Values whose shape or check digit can be told without a code list (SNIP 5).

In: a tree of loops. Out: complaints of level 5: national provider identifiers (Luhn), diagnoses and
procedures by their shape, revenue codes, tax numbers, states and ZIP codes of US addresses. Whether a code
exists is for terminology, not for this room.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.formats.x12.addresses import address
from engine.formats.x12.problem import Problem
from engine.formats.x12.segments import Segment
from engine.formats.x12.walk import Loop

__all__ = ["check_codes", "is_npi"]

_STATES = frozenset((Path(__file__).parent / "data" / "states.txt").read_text("ascii").split())
_ZIP = re.compile(r"\d{5}(\d{4})?")
_SHAPES = {
    **dict.fromkeys(("ABK", "ABF", "ABJ", "APR", "ABN"), re.compile(r"[A-Z]\d[0-9A-Z]{1,5}")),  # ICD-10-CM
    **dict.fromkeys(("BK", "BF", "BJ", "PR", "BN"), re.compile(r"[V]?\d{2,5}|E\d{3,4}")),  # ICD-9-CM
    **dict.fromkeys(("BBR", "BBQ"), re.compile(r"[0-9A-HJ-NP-Z]{7}")),  # ICD-10-PCS
}
_PROCEDURE = re.compile(r"[0-9A-Z]\d{3}[0-9A-Z]")
_REVENUE = re.compile(r"\d{3,4}")
_PROCEDURES = {"SV1": 1, "SV2": 2, "SV3": 1, "SVC": 1, "SVD": 3}


def is_npi(value: str) -> bool:
    """Say whether a value is ten digits whose last is the Luhn check digit of 80840 and the other nine."""
    if len(value) != 10 or not (value.isascii() and value.isdecimal()):
        return False
    total = 24  # what 80840 adds
    for place, digit in enumerate(reversed(value)):
        n = int(digit) * (2 if place % 2 else 1)
        total += n - 9 if n > 9 else n
    return total % 10 == 0


def check_codes(root: Loop, position: Callable[[Segment], int]) -> list[Problem]:
    """Check the codes of one transaction set."""
    out = []
    for loop in root.walk():
        for segment in loop.segments:
            for element, part, text in _faults(segment):
                out.append(
                    Problem(
                        "W", 5, "IK403", "7", address(segment, element, part), text, position(segment),
                        loop.id, segment.name, element, part, offset=segment.offset,
                    )
                )  # fmt: skip
    return out


def _faults(segment: Segment) -> Iterator[tuple[int, int, str]]:
    name = segment.name
    if name == "NM1" and segment.get(8) == "XX" and not is_npi(segment.get(9)):
        yield 9, 0, "the national provider identifier has a wrong check digit"
    elif name == "N1" and segment.get(3) == "XX" and not is_npi(segment.get(4)):
        yield 4, 0, "the national provider identifier has a wrong check digit"
    elif name == "REF" and segment.get(1) == "EI" and not re.fullmatch(r"\d{2}-?\d{7}", segment.get(2)):
        yield 2, 0, "the employer's tax number is not nine digits"
    elif name == "N4" and segment.get(4) in ("", "US"):
        if segment.get(2) and segment.get(2) not in _STATES:
            yield 2, 0, "there is no such state"
        if segment.get(3) and not _ZIP.fullmatch(segment.get(3)):
            yield 3, 0, "the ZIP code is not five or nine digits"
    elif name == "HI":
        for number in range(1, len(segment.elements)):
            known = _SHAPES.get(segment.component(number, 1))
            if known is not None and not known.fullmatch(segment.component(number, 2)):
                yield number, 2, "the code is not one of its code system by its shape"
    elif name in _PROCEDURES:
        number = _PROCEDURES[name]
        if segment.component(number, 1) == "HC" and not _PROCEDURE.fullmatch(segment.component(number, 2)):
            yield number, 2, "the procedure code is not five characters of CPT or HCPCS"
        if name == "SV2" and segment.get(1) and not _REVENUE.fullmatch(segment.get(1)):
            yield 1, 0, "the revenue code is not four digits"
