"""Elements of one landed segment against its rule: presence, use, length, characters, dates, codes (SNIP 1
and 2), and the relational conditions of the standard (P, R, E, C, L; SNIP 4).

In: a segment, its `SegmentRule`. Out: complaints with the code of a 999's IK403. Follows X12.6 (data element
types) and the condition designators of X12.22.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import date

from engine.formats.x12.addresses import address
from engine.formats.x12.problem import Problem
from engine.formats.x12.segments import Segment
from engine.formats.x12.tables import ElementRule, SegmentRule, element_type, shape

__all__ = ["check_elements", "is_date", "is_time"]

_NUMBER = re.compile(r"-?\d+")
_DECIMAL = re.compile(r"-?(\d+\.?\d*|\.\d+)")
_TIME = re.compile(r"([01]\d|2[0-3])[0-5]\d([0-5]\d(\d{1,2})?)?")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_FORMAT, _PERIOD = "1250", "1251"
_WORDS = {
    "1": "a required value is missing",
    "2": "a value that goes with another is missing",
    "3": "there are more elements than the segment has",
    "4": "the value is too short",
    "5": "the value is too long",
    "6": "the value has characters its type does not allow",
    "7": "the code is not one the guide allows here",
    "8": "the date is not valid",
    "9": "the time is not valid",
    "10": "two values exclude each other",
    "12": "the element repeats too often",
    "13": "there are more components than the element has",
    "I10": "the guide does not use this element here",
}


def check_elements(segment: Segment, rule: SegmentRule, position: int) -> list[Problem]:
    """Check one segment; `position` is its place in the transaction set, ST = 1."""
    known = shape(segment.name)
    if known is None:
        return []
    out: list[Problem] = []
    separators = segment.separators

    def complain(
        code: str,
        number: int,
        part: int = 0,
        repetition: int = 0,
        reference: str = "",
        value: str = "",
        level: int = 2,
    ) -> None:
        out.append(
            Problem(
                "E", level, "IK403", code, address(segment, number, part), _WORDS[code], position,
                rule.loop.id, segment.name, number, part, repetition, reference, value, segment.offset,
            )
        )  # fmt: skip

    values = segment.elements
    if len(values) - 1 > len(known):
        complain("3", len(known) + 1, value=values[len(known) + 1], level=1)
    for number, (reference, inner) in enumerate(known, 1):
        value = values[number] if number < len(values) else ""
        allowed = rule.elements.get(number)
        if not value.strip():
            if allowed is not None and allowed.usage == "R":
                complain("1", number, reference=reference)
            continue
        if allowed is None:
            complain("I10", number, reference=reference, value=value)
            continue
        mark = separators.repetition
        many = value.split(mark) if mark and segment.name != "ISA" else [value]
        if allowed.repeat and len(many) > allowed.repeat:
            complain("12", number, 0, allowed.repeat + 1, reference, many[allowed.repeat])
        for repetition, one in enumerate(many, 1):
            again = repetition if len(many) > 1 else 0
            if inner:
                parts = one.split(separators.component)
                for k, fault in _composite(parts, inner, allowed):
                    text = parts[k - 1] if k <= len(parts) else ""
                    complain(fault, number, k, again, inner[k - 1] if k <= len(inner) else "", text)
            else:
                before = known[number - 2][0] if number > 1 else ""
                form = values[number - 1] if reference == _PERIOD and before == _FORMAT else ""
                for fault in _simple(one, reference, allowed, form):
                    complain(fault, number, 0, again, reference, one)
    told = {problem.element for problem in out}
    for note in known.notes:
        if told.isdisjoint(_numbers(note)):  # one complaint about an element is enough
            for number, fault in _condition(note, values):
                complain(fault, number, reference=known[number - 1][0], level=4)
    return out


def _composite(parts: list[str], inner: tuple[str, ...], allowed: ElementRule) -> Iterator[tuple[int, str]]:
    if len(parts) > len(inner):
        yield len(inner) + 1, "13"
    for k, reference in enumerate(inner, 1):
        value = parts[k - 1] if k <= len(parts) else ""
        rule = allowed.parts.get(k)
        if not value.strip():
            if rule is not None and rule.usage == "R":
                yield k, "1"
        elif rule is None:
            if allowed.parts:
                yield k, "I10"
        else:
            form = parts[k - 2] if reference == _PERIOD and k > 1 and inner[k - 2] == _FORMAT else ""
            for fault in _simple(value, reference, rule, form):
                yield k, fault


def _simple(value: str, reference: str, rule: ElementRule, form: str) -> Iterator[str]:
    kind = element_type(reference)
    if kind is not None:
        yield from _typed(value, *kind)
    if rule.codes and value not in rule.codes:
        yield "7"
    if form and (fault := _period(value, form)):
        yield fault


def _typed(value: str, kind: str, least: int, most: int) -> Iterator[str]:
    size = len(value)
    if kind in ("R", "N0", "N2"):
        if not (_DECIMAL if kind == "R" else _NUMBER).fullmatch(value):
            yield "6"
        size = len(value.lstrip("-").replace(".", ""))
    elif kind == "DT":
        if not is_date(value):
            yield "8"
        return
    elif kind == "TM":
        if not _TIME.fullmatch(value):
            yield "9"
        return
    elif _CONTROL.search(value):
        yield "6"
    if size < least:
        yield "4"
    elif size > most:
        yield "5"


def is_date(value: str) -> bool:
    """Say whether a value is a day of the calendar, YYYYMMDD or YYMMDD."""
    if len(value) not in (6, 8) or not (value.isascii() and value.isdecimal()):
        return False
    text = value if len(value) == 8 else "20" + value
    try:
        date(int(text[:4]), int(text[4:6]), int(text[6:]))
    except ValueError:
        return False
    return True


def is_time(value: str) -> bool:
    """Say whether a value is a time, HHMM with seconds and hundredths or without."""
    return _TIME.fullmatch(value) is not None


def _period(value: str, form: str) -> str:
    """Check a date time period against its format qualifier; empty = good, or not a format known here."""
    days = value.split("-")
    if form == "D8":
        return "" if len(value) == 8 and is_date(value) else "8"
    if form == "RD8":
        good = len(days) == 2 and all(len(d) == 8 and is_date(d) for d in days) and days[0] <= days[1]
        return "" if good else "8"
    if form == "DT":
        return "" if is_date(value[:8]) and is_time(value[8:]) else "8"
    if form == "TM":
        return "" if is_time(value) else "9"
    return ""


def _numbers(note: str) -> list[int]:
    return [int(note[i : i + 2]) for i in range(1, len(note), 2)]


def _condition(note: str, values: list[str]) -> Iterator[tuple[int, str]]:
    numbers = _numbers(note)

    def there(n: int) -> bool:
        return n < len(values) and bool(values[n].strip())

    present = [n for n in numbers if there(n)]
    kind = note[0]
    if kind == "P" and present and len(present) < len(numbers):
        yield from ((n, "2") for n in numbers if n not in present)
    elif kind == "R" and not present:
        yield numbers[0], "2"
    elif kind == "E" and len(present) > 1:
        yield from ((n, "10") for n in present[1:])
    elif kind == "C" and there(numbers[0]) and len(present) < len(numbers):
        yield from ((n, "2") for n in numbers if n not in present)
    elif kind == "L" and there(numbers[0]) and len(present) == 1:
        yield numbers[1], "2"
