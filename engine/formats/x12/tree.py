"""A transaction set as plain data, for `hub parse` and the console: loops, addresses, values, complaints.

In: a `Transaction`. Out: a dict that JSON can hold. Offsets are byte ranges in the input.
"""

from __future__ import annotations

from typing import Any

from engine.formats.x12.addresses import address, leaves
from engine.formats.x12.envelope import Transaction
from engine.formats.x12.problem import Problem
from engine.formats.x12.segments import Segment, text_of
from engine.formats.x12.walk import NO_PLACE, NO_SEGMENT, OUT_OF_ORDER, UNKNOWN_CODE, Loop

__all__ = ["complaint", "to_json"]

_FAULTS = {
    OUT_OF_ORDER: "out of order",
    UNKNOWN_CODE: "a qualifier the guide does not know here",
    NO_PLACE: "not in this guide",
    NO_SEGMENT: "not a segment of the standard",
}


def to_json(transaction: Transaction, tree: Loop | None, problems: list[Problem]) -> dict[str, Any]:
    """Give the tree of a transaction set, and what is wrong with it."""
    table, exact = transaction.table()
    isa = transaction.interchange.header if transaction.interchange is not None else None
    gs = transaction.group.header if transaction.group is not None else None
    if tree is not None:
        rows = [_row(loop, index) for loop in tree.walk() for index in range(len(loop.segments))]
        rows.sort(key=lambda row: int(row["offset"][0]))
    else:
        rows = [_segment(segment) for segment in transaction.segments]
    return {
        "format": "x12",
        "transaction": transaction.number,
        "offset": transaction.offset,
        "set": transaction.set_id,
        "guide": transaction.guide,
        "table": (table.name if exact else f"{table.name} (nearest)") if table is not None else "",
        "control": transaction.control,
        "interchange": {
            "control": isa.get(13).strip() if isa else "",
            "sender": text_of(isa.get(6).strip()) if isa else "",
            "receiver": text_of(isa.get(8).strip()) if isa else "",
        },
        "group": {"control": gs.get(6) if gs else "", "functional": gs.get(1) if gs else ""},
        "separators": transaction.segments[0].separators._asdict(),
        "problems": [complaint(each) for each in problems],
        "segments": rows,
    }


def complaint(problem: Problem) -> dict[str, Any]:
    """Give a complaint as plain data; the value that was complained of stays out."""
    return {
        "severity": problem.severity,
        "snip": problem.level,
        "code": f"{problem.kind}={problem.code}",
        "where": f"{problem.loop}/{problem.where}" if problem.loop else problem.where,
        "text": problem.text,
        "offset": problem.offset,
    }


def _row(loop: Loop, index: int) -> dict[str, Any]:
    row = _segment(loop.segments[index])
    row["loop"] = loop.rule.path
    if index in loop.faults:
        row["fault"] = _FAULTS[loop.faults[index]]
    return row


def _segment(segment: Segment) -> dict[str, Any]:
    values = []
    for leaf in leaves(segment):
        value: dict[str, Any] = {
            "address": leaf.address,
            "value": text_of(leaf.value),
            "offset": [leaf.begin, leaf.end],
        }
        if leaf.repetition > 1:
            value["repetition"] = leaf.repetition
        values.append(value)
    return {
        "segment": address(segment),
        "loop": "",
        "offset": [segment.offset, segment.offset + len(segment.raw)],
        "values": values,
    }
