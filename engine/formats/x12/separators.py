"""The four characters an interchange is written with, read from its own ISA segment.

In: text (one character a byte) that begins with `ISA`. Out: `Separators`, and what is wrong with the header.
Follows the X12.5 interchange control structure: ISA has sixteen elements of fixed width, so the component
separator is byte 104 and the terminator byte 105; a header with wrong widths is read by counting separators.
"""

from __future__ import annotations

from typing import NamedTuple

from engine.formats.x12.problem import Problem

__all__ = ["DEFAULT", "HEADER", "Guessed", "Separators", "read_separators"]

HEADER = 106  # bytes of a right ISA, its terminator counted
_WIDTHS = (2, 10, 2, 10, 2, 15, 2, 15, 6, 4, 1, 5, 9, 1, 1, 1)


class Separators(NamedTuple):
    """What parts elements, components, repetitions and segments; `repetition` is empty before 00402."""

    element: str
    component: str
    repetition: str
    segment: str


class Guessed(Separators):
    """Separators of a segment whose components are parted by another mark than ISA16 names."""

    __slots__ = ()


DEFAULT = Separators("*", ":", "^", "~")


def read_separators(text: str, offset: int = 0) -> tuple[Separators | None, list[Problem]]:
    """Read the separators of an interchange; None when the header does not tell them."""
    element = text[3:4]
    if len(text) < 4 or element.isalnum() or element in "\r\n":
        return None, [_complaint("026", "the element separator after ISA is a letter or digit", offset)]
    parts = text[: HEADER * 3].split(element, 16)
    if len(parts) < 17 or len(parts[16]) < 2:
        return None, [_complaint("022", "ISA has fewer than sixteen elements", offset)]
    component, terminator = parts[16][0], parts[16][1]
    if terminator.isalnum() or terminator == element:
        return None, [_complaint("004", "the segment terminator after ISA16 is a letter or digit", offset)]
    problems = []
    for number, (part, width) in enumerate(zip(parts[1:16], _WIDTHS, strict=False), 1):
        if len(part) != width:
            text_ = f"ISA{number:02d} is {len(part)} characters wide, not {width}"
            problems.append(_complaint("022", text_, offset, f"ISA-{number:02d}", "W"))
    if component.isalnum() or component == terminator:
        problems.append(_complaint("027", "the component separator is a letter or digit", offset, "ISA-16"))
    mark = parts[11]
    repetition = mark if len(mark) == 1 and not mark.isalnum() and mark not in (" ", element) else ""
    return Separators(element, component, repetition, terminator), problems


def _complaint(code: str, text: str, offset: int, where: str = "ISA", severity: str = "E") -> Problem:
    return Problem(severity, 1, "TA105", code, where, text, segment="ISA", offset=offset)
