"""The levels of HL: their numbers, their parents, and which of them stand below another one than they name.

In: a tree of loops, in which a level stands where its place in the input put it. Out: complaints (SNIP 1), or
the levels that `HL02` hangs elsewhere and those the guide does not know: whose they are cannot be said by
their place. Follows the HL segment of X12.6 and the guides' notes on HL01, HL02 and HL04.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from engine.formats.x12.addresses import address
from engine.formats.x12.problem import Problem
from engine.formats.x12.segments import Segment
from engine.formats.x12.walk import Loop

__all__ = ["check_levels", "misplaced"]

_ELSEWHERE = "HL02 names another level than the one that it stands in"


def misplaced(root: Loop) -> list[tuple[Loop, Segment, str]]:
    """Give the levels that must not be read as part of the one around them, each with its HL and why.

    The one around a level is the nearest with an HL of its own. An empty HL02 says nothing against it.
    """
    return list(_misplaced(root, "", True))


def _misplaced(outer: Loop, number: str, top: bool) -> Iterator[tuple[Loop, Segment, str]]:
    for loop in outer.loops:
        if loop.id == "?HL":
            yield loop, loop.segments[0], "the guide has no such level here"
        elif loop.rule.items and loop.rule.first.name == "HL":
            own = number
            head = loop.first("HL")
            if head is not None:
                named, own = _number(head.get(2)), _number(head.get(1))
                if named and named != number and not top:
                    yield loop, head, _ELSEWHERE
            yield from _misplaced(loop, own, False)


def _number(text: str) -> str:
    text = text.strip()
    return text.lstrip("0") or text


def check_levels(root: Loop, position: Callable[[Segment], int]) -> Iterator[Problem]:
    """Check the numbers of HL: 1, 2, 3 ...; a parent that came before and in which the level stands; children
    where they are announced.
    """
    levels = [s for loop in root.walk() for s in loop.segments if s.name == "HL"]
    levels.sort(key=lambda s: s.offset)
    parents = Counter(s.get(2) for s in levels)
    apart = {s.offset for loop, s, _ in misplaced(root) if loop.id != "?HL"}
    seen: set[str] = set()

    def fault(segment: Segment, element: int, code: str, text: str) -> Problem:
        return Problem(
            "E", 1, "IK403", code, address(segment, element), text, position(segment),
            "", "HL", element, value=segment.get(element), offset=segment.offset,
        )  # fmt: skip

    for number, segment in enumerate(levels, 1):
        if segment.get(1) in seen:
            yield fault(segment, 1, "7", f"HL01 is not {number}, and another level has it already")
        elif segment.get(1) != str(number):
            yield fault(segment, 1, "7", f"HL01 is not {number}")
        if segment.get(2) and segment.get(2) not in seen:
            yield fault(segment, 2, "7", "HL02 names no level that came before")
        elif segment.offset in apart:
            yield fault(segment, 2, "7", _ELSEWHERE)
        if segment.get(4) == "1" and not parents[segment.get(1)]:
            yield fault(segment, 4, "7", "HL04 announces a level below, and there is none")
        if segment.get(4) == "0" and parents[segment.get(1)]:
            yield fault(segment, 4, "7", "HL04 says that there is no level below, and there is one")
        seen.add(segment.get(1))
