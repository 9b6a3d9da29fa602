"""Which claim, payment, inquiry or member a complaint is about, as the CTX segment of a 999 names it.

In: the tree of a transaction set and the complaints about it. Out: the same complaints, each with the
business unit it stands in. Follows CTX01 of the 999 (005010X231A1): CLM01 of a claim, TRN02 of an inquiry or
a payment, the subscriber number of a member, ENT01 of a remittance.
"""

from __future__ import annotations

from collections.abc import Iterable

from engine.formats.x12.problem import Problem
from engine.formats.x12.walk import Loop

__all__ = ["Places", "with_units"]

_KINDS = ("IK304", "IK403", "PARTNER", "SNIP3")
_UNITS = {
    "837": ("CLM", "", 1, "CLM01"),
    "834": ("REF", "0F", 2, "SUBSCRIBER NUMBER REF02"),
    "820": ("ENT", "", 1, "ENT01"),
    **dict.fromkeys(("270", "271", "276", "277", "278", "835"), ("TRN", "", 2, "TRN02")),
}


class Places:
    """The loop that holds the segment of an offset."""

    def __init__(self, root: Loop) -> None:
        self._loops = {s.offset: loop for loop in root.walk() for s in loop.segments}

    def at(self, offset: int) -> Loop | None:
        """Give the innermost loop of the segment that begins there."""
        return self._loops.get(offset)


def with_units(set_id: str, root: Loop, problems: Iterable[Problem]) -> list[Problem]:
    """Say of each complaint which business unit it stands in, where one does."""
    unit = _UNITS.get(set_id)
    out = list(problems)
    if unit is None or not any(problem.kind in _KINDS for problem in out):
        return out
    segment, code, element, name = unit
    places = Places(root)
    for index, problem in enumerate(out):
        loop = places.at(problem.offset) if problem.kind in _KINDS else None
        while loop is not None:
            found = loop.first(segment, code)
            if found is not None and found.get(element).strip():
                out[index] = problem._replace(unit=(name, found.get(element)))
                break
            loop = loop.parent
    return out
