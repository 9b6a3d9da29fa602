"""Where a value stands: `CLM[2]-05.1`, the second CLM of its transaction set, element 05, component 1.

In: a segment whose `n` is known. Out: its leaves with address, value, repetition and byte range. A `loop/`
may stand before the address for a reader's sake (`2300/CLM[2]-05.1`); it adds nothing to the place.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from engine.formats.x12.segments import Segment
from engine.formats.x12.separators import Guessed

__all__ = ["Leaf", "Place", "address", "leaves", "read_address"]

_ADDRESS = re.compile(r"(?:.*/)?([A-Z][A-Z0-9]{1,2})\[(\d+)\](?:-(\d\d)(?:\.(\d+))?)?")


class Leaf(NamedTuple):
    """One value, where it stands and its byte range in the input."""

    address: str
    value: str
    repetition: int
    begin: int
    end: int


class Place(NamedTuple):
    """An address taken apart; 0 = not given."""

    segment: str
    n: int
    element: int = 0
    component: int = 0


def address(segment: Segment, element: int = 0, component: int = 0) -> str:
    """Write the address of a segment, an element or a component; none of what ISA16 does not part."""
    text = f"{segment.name}[{segment.n}]"
    if element:
        text += f"-{element:02d}"
    return f"{text}.{component}" if component and not isinstance(segment.separators, Guessed) else text


def read_address(text: str) -> Place | None:
    """Take an address apart; None for what is none."""
    found = _ADDRESS.fullmatch(text)
    if found is None:
        return None
    return Place(found[1], int(found[2]), int(found[3] or 0), int(found[4] or 0))


def leaves(segment: Segment) -> Iterator[Leaf]:
    """Give the values of a segment that are not blank, in order.

    An element without component separator is one value under the address of the element.
    """
    component = segment.separators.component
    mark = segment.separators.repetition
    at = segment.offset + len(segment.name)
    for number, element in enumerate(segment.elements[1:], 1):
        at += 1
        inner = at
        for repetition, value in enumerate(element.split(mark) if mark else [element], 1):
            if component in value:
                place = inner
                for k, part in enumerate(value.split(component), 1):
                    if part.strip():
                        yield Leaf(address(segment, number, k), part, repetition, place, place + len(part))
                    place += len(part) + 1
            elif value.strip():
                yield Leaf(address(segment, number), value, repetition, inner, inner + len(value))
            inner += len(value) + 1
        at += len(element)
