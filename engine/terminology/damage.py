"""Finds codes that a spreadsheet has changed on the way, before they become wrong results.

Spreadsheets read codes as numbers and dates: LOINC `2093-3` is saved as `Mar-93`, `0012` as `12`, `1E5` as
`1.00E+05`, and an 18-digit SNOMED CT id loses its last digits. In come the cells of a code table, out comes
ConfigError with the line and what to do. LOINC and SNOMED CT ids are also held against their check digits
(LOINC Users' Guide, Mod 10; SNOMED CT Technical Implementation Guide, Verhoeff).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Protocol

from engine.kernel.errors import ConfigError

__all__ = ["check_cell", "check_columns", "loinc_valid", "sctid_valid", "text_cells"]

LOINC = "http://loinc.org"
SNOMED = "http://snomed.info/sct"
_MONTH = (  # in the languages spreadsheets are set to where codes come from
    "jan|feb|mar|apr|may|jun|jul|aug|sep|oct|nov|dec|mrz|mär|mai|okt|dez"
    "|janv|févr|avr|juin|juil|août|déc|ene|abr|ago|dic"
)
_DATE = re.compile(
    rf"(?:{_MONTH})\.?[- ]\d{{2,4}}|\d{{1,2}}[- .](?:{_MONTH})\.?(?:[- ]\d{{2,4}})?"
    r"|\d{1,2}/\d{1,2}/\d{2,4}|\d{4}-\d\d-\d\d(?:[ T][\d:]+)?|\d{1,2}\.\d{1,2}\.\d{4}",
    re.I,
)
_EXPONENT = re.compile(r"\d+(?:[.,]\d+)?E[+]?\d+", re.I)
_ROUNDED = re.compile(r"\d{15}0{2,}")
_SUSPECT = re.compile(r"\d")  # no digit, no damage of these kinds
_AS_TEXT = re.compile(r'="([^"]*)"')
_FIXED = {  # code systems whose codes never get shorter than this: shorter = zeros lost
    "http://hl7.org/fhir/sid/cvx": (2, "CVX codes have at least two digits"),
    "http://www.ama-assn.org/go/cpt": (5, "CPT codes have five characters"),
    "https://www.nubc.org/CodeSystem/PatDischargeStatus": (2, "discharge status codes have two digits"),
    "http://hl7.org/fhir/sid/us-npi": (10, "NPIs have ten digits"),
}
_TO_TEXT = (
    'format the column as text before pasting codes; a code that really looks like this is written ="{code}"'
)


class _Row(Protocol):
    @property
    def source_system(self) -> str: ...
    @property
    def source_code(self) -> str: ...
    @property
    def target_system(self) -> str: ...
    @property
    def target_code(self) -> str: ...
    @property
    def line(self) -> int: ...


def text_cells(cells: Sequence[str]) -> list[str]:
    """Read a spreadsheet's own way of protecting a text, `="1E5"`, as the text."""
    return [m[1] if c[:2] == '="' and (m := _AS_TEXT.fullmatch(c)) else c for c in cells]


def check_cell(code: str, raw: str, system: str, where: str, column: str) -> None:
    """Refuse a code that has the shape of a spreadsheet's damage; `raw` is the cell as it stands."""
    if not _SUSPECT.search(code):
        return
    if raw == code:  # not protected as text
        if _DATE.fullmatch(code):
            _refuse(code, where, column, "a spreadsheet has turned it into a date")
        if _EXPONENT.fullmatch(code):
            _refuse(code, where, column, "it is, or will become, a number in exponent notation")
        if _ROUNDED.fullmatch(code):
            _refuse(code, where, column, "a spreadsheet keeps 15 digits only and has made the rest zeros")
    if system == LOINC and not code.startswith(("LA", "LP", "LL", "LG")) and not loinc_valid(code):
        _refuse(code, where, column, "its check digit is wrong for LOINC", "take the code from LOINC again")
    elif system == SNOMED and not sctid_valid(code):
        _refuse(
            code,
            where,
            column,
            "its check digit is wrong for SNOMED CT",
            "take the code from SNOMED CT again",
        )
    elif (fixed := _FIXED.get(system)) and code.isdigit() and len(code) < fixed[0]:
        _refuse(code, where, column, f"zeros in front are lost: {fixed[1]}")


def check_columns(rows: Iterable[_Row], name: str) -> None:
    """Refuse numbers shorter than their neighbours of the same system where those begin with zeros."""
    widths: dict[tuple[str, str], set[int]] = {}
    numbers: dict[tuple[str, str], list[tuple[str, int]]] = {}
    for row in rows:
        for column, system, code in (
            ("source_code", row.source_system, row.source_code),
            ("target_code", row.target_system, row.target_code),
        ):
            if code.isdigit():
                numbers.setdefault((column, system), []).append((code, row.line))
                if code[0] == "0" and len(code) > 1:
                    widths.setdefault((column, system), set()).add(len(code))
    for key, lengths in widths.items():
        if len(lengths) != 1:
            continue
        width = lengths.pop()
        for code, line in numbers[key]:
            if len(code) < width:
                _refuse(
                    code,
                    f"{name}:{line}",
                    key[0],
                    f"zeros in front are lost: the other codes here have {width} digits",
                )


def loinc_valid(code: str) -> bool:
    """Tell whether a LOINC number has the right Mod 10 check digit."""
    number, dash, check = code.partition("-")
    if not dash or not number.isdigit() or not check.isdigit() or len(number) > 7 or len(check) != 1:
        return False
    total = 0
    for i, digit in enumerate(reversed(number)):
        doubled = int(digit) * 2 if i % 2 == 0 else int(digit)
        total += doubled // 10 + doubled % 10
    return (10 - total % 10) % 10 == int(check)


_D = tuple(
    tuple(int(c) for c in row)
    for row in (
        "0123456789", "1234067895", "2340178956", "3401289567", "4012395678",
        "5987604321", "6598710432", "7659821043", "8765932104", "9876543210",
    )
)  # fmt: skip
_P = [tuple(range(10)), (1, 5, 7, 6, 2, 8, 3, 0, 9, 4)]
while len(_P) < 8:
    _P.append(tuple(_P[1][x] for x in _P[-1]))


def sctid_valid(code: str) -> bool:
    """Tell whether a SNOMED CT id has 6 to 18 digits and the right Verhoeff check digit."""
    if not code.isdigit() or not 6 <= len(code) <= 18 or code[0] == "0":
        return False
    check = 0
    for i, digit in enumerate(reversed(code)):
        check = _D[check][_P[i % 8][int(digit)]]
    return check == 0


def _refuse(code: str, where: str, column: str, why: str, remedy: str = "") -> None:
    raise ConfigError(
        f"has the {column} {code!r}", where=where, why=why, remedy=remedy or _TO_TEXT.format(code=code)
    )
