"""Values of X12 that rows cannot say: a date time period (DTP-03, whose form DTP-02 names), and the numbers
that FHIR wants in lists of claims.

In: the raw text of an element (X12 data element 1251), or finished claims. Out: a FHIR Period; `sequence` for
the entries of careTeam, supportingInfo, diagnosis ... in their order, and the references of a line's entries
to it by these numbers.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from engine.kernel.message import Draft

if TYPE_CHECKING:
    from engine.mapping.links import Node
    from engine.mapping.run import Run

__all__ = ["X12_VALUES", "dtp_period", "numbered"]

_RANGE = re.compile(r"(\d{6,14})-(\d{6,14})", re.ASCII)
_NUMBERED = {
    "Claim": ("careTeam", "supportingInfo", "diagnosis", "procedure", "insurance", "item"),
    "ExplanationOfBenefit": ("careTeam", "supportingInfo", "diagnosis", "procedure", "item"),
}
_OF_LINES = {"careTeam": "careTeamSequence", "supportingInfo": "informationSequence"}


def dtp_period(c: list[str], x: Run) -> dict[str, Any] | None:
    """D8, DT (a beginning) or RD8 (from-to) -> Period."""
    raw = c[0]
    text = x.text(raw)
    if not text:
        return None
    if not _RANGE.fullmatch(text):
        start = x.date_time(raw)
        return {"start": start} if start is not None else None
    parts = raw.split("-")
    out = {name: x.date_time(part) for name, part in zip(("start", "end"), parts, strict=True)}
    return {k: v for k, v in out.items() if v is not None} or None


X12_VALUES = {"DTP_Period": dtp_period}


def numbered(nodes: Iterable[Node]) -> None:
    """Give the entries of claims the numbers that FHIR demands, in their order; what stands in a service line
    is named by the line's item."""
    for node in nodes:
        lists = _NUMBERED.get(node.draft.type)
        if lists is None:
            continue
        for name in lists:
            entries = node.draft.body.get(name, ())
            taken = {e["sequence"] for e in entries if "sequence" in e}
            n = 0
            for e in entries:
                if "sequence" not in e:
                    n += 1
                    while n in taken:
                        n += 1
                    taken.add(n)
                    e["sequence"] = n
        _of_lines(node, node.draft)


def _of_lines(node: Node, draft: Draft) -> None:
    """Name in each item the careTeam and supportingInfo entries that stand in its service line."""
    lines = [(s.offset, e) for (name, _), found in node.spots.items() if name == "item" for s, e in found]
    lines = [(at, e) for at, e in lines if e is not None]
    if not lines:
        return
    for (name, _), found in node.spots.items():
        slot = _OF_LINES.get(name)
        for s, e in found if slot else ():
            if e is None or s is None:
                continue
            before = [item for at, item in lines if at < s.offset]
            if before and slot is not None and e["sequence"] not in before[-1].get(slot, ()):
                before[-1].setdefault(slot, []).append(e["sequence"])
