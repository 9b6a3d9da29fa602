"""What depends on other values of the same transaction set, as far as it is a matter of structure (SNIP 4).

In: the tree of an 837. Out: complaints of level 4: a dependant below a subscriber who is the patient, lines
that point at diagnoses that are not there, a replacement or void without the payer's claim number. Partner
rules are level 7 and have a file of their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from engine.formats.x12.addresses import address
from engine.formats.x12.problem import Problem, Trigger
from engine.formats.x12.segments import Segment
from engine.formats.x12.tables import SegmentRule
from engine.formats.x12.usage import before
from engine.formats.x12.walk import Loop

__all__ = ["check_situations"]

_POINTERS = {"SV1": 7, "SV3": 11}
_Found = tuple[Loop, Segment, str, int, int, str]


def check_situations(set_id: str, root: Loop, position: Callable[[Segment], int]) -> list[Problem]:
    """Check one transaction set."""
    if set_id != "837":
        return []
    out = [
        Problem(
            "E", 4, "IK403", code, address(segment, element, part), text, position(segment),
            loop.id, segment.name, element, part, offset=segment.offset,
        )
        for loop, segment, code, element, part, text in (*_subscribers(root), *_claims(root))
    ]  # fmt: skip
    for claim in root.find("2300"):
        head = claim.first("CLM")
        if head is not None and head.component(5, 3) in ("7", "8") and claim.first("REF", "F8") is None:
            out.append(_without_number(claim, head, position))
    return out


def _without_number(claim: Loop, head: Segment, position: Callable[[Segment], int]) -> Problem:
    rules = (item for item in claim.rule.items if isinstance(item, SegmentRule) and item.name == "REF")
    place = next((rule.place for rule in rules if "F8" in rule.codes(1)), 0)
    last = before(claim, place) or head
    trigger = Trigger("CLM", position(head), claim.id, "5:3", "C023:1325")
    text = "a replacement or void needs the payer's claim number (REF F8), as CLM05-3 says that it is one"
    return Problem(
        "E", 4, "IK304", "I6", "REF", text, position(last) + 1, claim.id, "REF",
        offset=last.offset, trigger=trigger,
    )  # fmt: skip


def _subscribers(root: Loop) -> Iterator[_Found]:
    for loop in root.find("2000B"):
        payer = loop.first("SBR")
        if payer is None:
            continue
        own = any(inner.id == "2300" for inner in loop.loops)
        if payer.get(2) != "18" and own:
            yield (
                loop,
                payer,
                "I9",
                2,
                0,
                "the claims stand at the subscriber, and SBR02 does not say that it is the patient",
            )
        if payer.get(2) == "18" and not own:
            yield (
                loop,
                payer,
                "I13",
                2,
                0,
                "SBR02 says that the subscriber is the patient, and no claim stands there",
            )


def _claims(root: Loop) -> Iterator[_Found]:
    for claim in root.find("2300"):
        head = claim.first("CLM")
        if head is None:
            continue
        known = sum(
            segment.component(number, 1) in ("ABK", "BK", "ABF", "BF", "TQ")
            for segment in claim.named("HI")
            for number in range(1, len(segment.elements))
        )
        for line in (loop for loop in claim.loops if loop.id == "2400"):
            for segment in line.segments:
                element = _POINTERS.get(segment.name)
                if element is None:
                    continue
                pointers = segment.get(element).split(segment.separators.component)
                for part, pointer in enumerate(pointers, 1):
                    if pointer.isdecimal() and int(pointer) > known:
                        yield (
                            line,
                            segment,
                            "7",
                            element,
                            part,
                            "the line points at a diagnosis that is not there",
                        )
