"""Amounts that must add up (SNIP 3): claims of an 837, payments of an 835, members of an 834.

In: a tree of loops. Out: complaints of level 3. An 837's CLM02 is the sum of its lines; with another payer,
what that payer paid and adjusted makes the charge. An 835's BPR02 is the sum of CLP04 less that of PLB; a
claim's charge less its payment is the sum of its adjustments, and so it is for each line.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from decimal import Decimal, InvalidOperation

from engine.formats.x12.addresses import address
from engine.formats.x12.problem import Problem
from engine.formats.x12.segments import Segment
from engine.formats.x12.walk import Loop

__all__ = ["amount", "balance", "check_balance"]

ZERO = Decimal(0)
_LINE = {"SV1": 2, "SV2": 3, "SV3": 2}


def amount(text: str) -> Decimal:
    """Read an amount; what is none counts as zero here, its type is complained of elsewhere."""
    try:
        value = Decimal(text.strip() or "0")
    except InvalidOperation:
        return ZERO
    return value if value.is_finite() else ZERO


def check_balance(set_id: str, root: Loop, position: Callable[[Segment], int]) -> list[Problem]:
    """Check the amounts of one transaction set."""
    kinds = {"837": _claims, "835": _payment, "834": _members}
    kind = kinds.get(set_id)
    if kind is None:
        return []
    return [
        Problem(
            "E", 3, "SNIP3", f"{segment.name}{element:02d}", address(segment, element), text,
            position(segment),
            loop.id, segment.name, element, offset=segment.offset,
        )
        for loop, segment, element, text in kind(root)
    ]  # fmt: skip


_Found = tuple[Loop, Segment, int, str]


def balance(claim: Loop) -> tuple[Decimal, Decimal]:
    """Give an 837 claim's charge and the sum of its lines."""
    head = claim.segments[0]
    lines = ZERO
    for loop in claim.loops:
        for segment in loop.segments:
            if loop.id == "2400" and segment.name in _LINE:
                lines += amount(segment.get(_LINE[segment.name]))
    return amount(head.get(2)), lines


def _claims(root: Loop) -> Iterator[_Found]:
    for claim in root.find("2300"):
        if not claim.segments or claim.segments[0].name != "CLM":
            continue
        charge, lines = balance(claim)
        if charge != lines:
            yield claim, claim.segments[0], 2, "CLM02 is not the sum of the charges of its lines"
        for other in (loop for loop in claim.loops if loop.id == "2320"):
            yield from _other_payer(claim, other, charge)


def _other_payer(claim: Loop, other: Loop, charge: Decimal) -> Iterator[_Found]:
    """What an earlier payer paid (AMT D) and adjusted, at the claim and at the lines, is the charge."""
    paid = other.first("AMT", "D")
    if paid is None:
        return
    names = [loop.first("NM1") for loop in other.loops if loop.id == "2330B"]
    payer = names[0].get(9) if names and names[0] is not None else ""
    adjusted = _adjustments(other)
    for line in (loop for loop in claim.loops if loop.id == "2400"):
        for judged in (loop for loop in line.loops if loop.id == "2430"):
            verdict = judged.first("SVD")
            if verdict is not None and verdict.get(1) == payer:
                adjusted += _adjustments(judged)
    if amount(paid.get(2)) + adjusted != charge:
        yield other, paid, 2, "what the other payer paid and adjusted is not the charge of the claim"


def _adjustments(loop: Loop) -> Decimal:
    total = ZERO
    for segment in loop.segments:
        if segment.name == "CAS":
            for number in range(3, 19, 3):
                total += amount(segment.get(number))
    return total


def _payment(root: Loop) -> Iterator[_Found]:
    paid = ZERO
    for claim in root.find("2100"):
        if not claim.segments or claim.segments[0].name != "CLP":
            continue
        head = claim.segments[0]
        paid += amount(head.get(4))
        adjusted = _adjustments(claim)
        for line in (loop for loop in claim.loops if loop.id == "2110"):
            own = _adjustments(line)
            adjusted += own
            service = line.first("SVC")
            if service is not None and amount(service.get(2)) - amount(service.get(3)) != own:
                yield line, service, 3, "SVC02 less SVC03 is not the sum of the adjustments of the line"
        if amount(head.get(3)) - amount(head.get(4)) != adjusted:
            yield (
                claim,
                head,
                4,
                "CLP03 less CLP04 is not the sum of the adjustments of the claim and its lines",
            )
    for segment in root.named("PLB"):
        for number in range(4, 15, 2):
            paid -= amount(segment.get(number))
    total = root.first("BPR")
    if total is not None and amount(total.get(2)) != paid:
        yield root, total, 2, "BPR02 is not the sum of CLP04 less the provider adjustments"


def _members(root: Loop) -> Iterator[_Found]:
    members = [loop.segments[0] for loop in root.find("2000") if loop.segments]
    subscribers = sum(member.get(1) == "Y" for member in members)
    counted = {"TO": len(members), "ET": subscribers, "DT": len(members) - subscribers}
    for segment in root.named("QTY"):
        expected = counted.get(segment.get(1))
        if expected is not None and amount(segment.get(2)) != expected:
            yield root, segment, 2, "the total is not the number of members that follow"
