"""Segments and loops against the table: where each landed, what is missing, what is there too often (SNIP 2).

In: a tree of loops. Out: complaints with the code of a 999's IK304.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

from engine.formats.x12.addresses import address
from engine.formats.x12.problem import Problem
from engine.formats.x12.segments import Segment
from engine.formats.x12.tables import LoopRule, SegmentRule
from engine.formats.x12.walk import NO_PLACE, NO_SEGMENT, OUT_OF_ORDER, UNKNOWN_CODE, Loop

__all__ = ["before", "check_usage"]

_TEXT = {
    NO_SEGMENT: "the segment is not one of the standard",
    NO_PLACE: "the segment has no place here in the guide",
    OUT_OF_ORDER: "the segment or its loop is out of order",
    UNKNOWN_CODE: "no segment of this name has that qualifier here",
}
_CODE = {NO_SEGMENT: "1", NO_PLACE: "2", OUT_OF_ORDER: "7", UNKNOWN_CODE: "2"}


def check_usage(root: Loop, position: Callable[[Segment], int]) -> Iterator[Problem]:
    """Check where segments landed, and how often."""
    for loop in root.walk():
        for index, fault in sorted(loop.faults.items()):
            segment, rule = loop.segments[index], loop.rules[index]
            if fault == UNKNOWN_CODE and rule is not None and not loop.id.startswith("?"):
                continue  # the qualifier is complained of as an element
            yield Problem(
                "E", 1 if fault == NO_SEGMENT else 2, "IK304", _CODE[fault], address(segment), _TEXT[fault],
                position(segment), loop.id, segment.name, offset=segment.offset,
            )  # fmt: skip
        used: Counter[SegmentRule | LoopRule] = Counter()
        for segment, rule in zip(loop.segments, loop.rules, strict=True):
            if rule is None:
                continue
            used[rule] += 1
            if rule.maximum and used[rule] == rule.maximum + 1:
                yield _over(
                    "5", loop, segment, position, f"{segment.name} occurs more than {rule.maximum} times"
                )
        for inner in loop.loops:
            used[inner.rule] += 1
            head = _head(inner)
            if inner.rule.maximum and used[inner.rule] == inner.rule.maximum + 1 and head is not None:
                text = f"loop {inner.id} occurs more than {inner.rule.maximum} times"
                yield _over("4", inner, head, position, text)
        if loop.rule.id.startswith("?"):
            continue
        missing = [item for item in loop.rule.items if item.usage == "R" and not used[item]]
        for item in missing:
            last = before(loop, item.place)
            if last is None:
                continue
            head_rule = item.first if isinstance(item, LoopRule) else item
            if _stands_in(head_rule, loop):
                continue
            where = f"loop {item.id}" if isinstance(item, LoopRule) else _described(item)
            yield Problem(
                "E", 2, "IK304", "3", head_rule.name, f"{where} is required and missing",
                position(last) + 1, head_rule.loop.id, head_rule.name, offset=last.offset,
            )  # fmt: skip


def _over(code: str, loop: Loop, segment: Segment, position: Callable[[Segment], int], text: str) -> Problem:
    return Problem(
        "E", 2, "IK304", code, address(segment), text, position(segment),
        loop.id, segment.name, offset=segment.offset,
    )  # fmt: skip


def _described(rule: SegmentRule) -> str:
    codes = rule.codes(1)
    return f"{rule.name} {' or '.join(sorted(codes))}" if codes and len(codes) < 4 else rule.name


def _stands_in(rule: SegmentRule, loop: Loop) -> bool:
    """Say whether a segment of that name is there with a qualifier nobody knows: one complaint is enough."""
    strange = (loop.segments[i].name for i, fault in loop.faults.items() if fault == UNKNOWN_CODE)
    return rule.name in strange or any(inner.id == f"?{rule.name}" for inner in loop.loops)


def _head(loop: Loop) -> Segment | None:
    return next((s for each in loop.walk() for s in each.segments), None)


def before(loop: Loop, place: int) -> Segment | None:
    """Give the last segment of a loop that stands where its place comes before, or the first of the loop."""
    inside = [s for s, rule in zip(loop.segments, loop.rules, strict=True) if rule and rule.place <= place]
    for inner in loop.loops:
        if inner.rule.place <= place:
            inside += [s for each in inner.walk() for s in each.segments]
    return max(inside, key=lambda s: s.offset, default=_head(loop))
