"""Which facts of the course of a visit are kept with it, and what stands in for those that nobody wrote.

In: the facts kept, the body and the times of a visit. Out: facts, in order. What only repeats is left out;
what an entry told before facts were kept, or only repeated, is read from the body.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

from engine.store.course import LOCAL, NOWHERE, Fact, course_of, in_order

__all__ = ["settled", "shortened"]


def shortened(facts: Sequence[Fact]) -> list[Fact]:
    """Leave out what only repeats: of facts that say the same, the first and the last stay."""
    out: list[Fact] = []
    for place, fact in enumerate(facts):
        if out and place + 1 < len(facts) and "x" not in fact and "b" not in fact:
            if _said(out[-1]) == _said(fact) == _said(facts[place + 1]):
                continue
        out.append(fact)
    return out


def _said(fact: Fact) -> tuple[Any, ...]:
    return tuple(fact.get(name) for name in ("s", "w", "c", "l", "lx", "p", "d", "x", "first"))


def settled(
    facts: Sequence[Fact], position: int, row_position: int, times: dict[str, int], body: dict[str, Any]
) -> list[Fact]:
    """Return the facts to which the entry of a position adds its own, with what the body says beside them:
    told by an entry that only repeated it, or before courses were kept.
    """
    kept = [fact for fact in facts if fact["n"] != position]
    if row_position == position or max((fact["n"] for fact in kept), default=-1) >= row_position:
        return kept
    fact: Fact = {"n": row_position}
    known: dict[str, int] = {}
    for one in kept:
        if "t" in one:
            known[one["by"]] = max(one["t"][0], known.get(one["by"], one["t"][0]))
    later = {by: at for by, at in times.items() if at > known.get(by, -1)}
    if len(later) == 1:
        ((by, at),) = later.items()
        fact["by"], fact["t"] = by, [at, at]
        if LOCAL + " " not in by:
            fact["at"] = _instant(at)
    status, kind = body.get("status"), body.get("class") or {}
    if status:
        fact["s"], fact["w"] = status, 1
    if kind.get("code"):
        fact["c"] = kind
    here = [one["location"] for one in body.get("location") or () if one.get("status") == "active"]
    if kept:
        places = course_of(in_order(kept)).places
        here = [run.value for run in places[-1:] if not run.over]
    if here and status not in NOWHERE:
        fact["l"] = here[0]
    return [*kept, fact]


def _instant(at: int) -> str:
    when = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at)
    return when.strftime("%Y-%m-%dT%H:%M:%SZ")
