"""Which claims of an 837 the complaints about it reject, and with which claim status code.

In: the tree of an 837 and the complaints about it. Out: for each claim (loop 2300) the complaints that reject
it, and for a complaint its STC codes: category (code list 507), status (508), entity. A complaint about a
provider or a subscriber rejects all claims below it. `data/claim_status.txt` says which element has which
status code; what it does not name is a syntax error (684).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

from engine.formats.x12.context import Places
from engine.formats.x12.problem import Problem
from engine.formats.x12.walk import Loop

__all__ = ["Status", "claims_of", "rejections", "status_of", "whole_set"]

_DATA = Path(__file__).parent / "data" / "claim_status.txt"
_MISSING = frozenset((("IK403", "1"), ("IK403", "2"), ("IK403", "I9"), ("IK304", "3"), ("IK304", "I6")))
_KINDS = ("IK304", "IK403", "SNIP3", "PARTNER")
_RULE = re.compile(r"(A[0-8]):(\d{1,3})(?::(\w{2,3}))?")
OUT_OF_BALANCE, SYNTAX = "400", "684"


class Status(NamedTuple):
    """STC01: A7, 562, 85."""

    category: str
    code: str
    entity: str = ""


class _Line(NamedTuple):
    loop: str  # * = any
    segment: str
    qualifier: str
    element: str  # 05.1; empty = any
    status: str
    entity: str


@cache
def _lines() -> tuple[_Line, ...]:
    out = []
    for text in _DATA.read_text("ascii").splitlines():
        loop, segment, element, status, *entity = text.split(" ")
        name, _, qualifier = segment.rstrip(")").partition("(")
        out.append(_Line(loop, name, qualifier, element.strip("-"), status, "".join(entity)))
    return tuple(out)


def claims_of(loop: Loop) -> list[Loop]:
    """Give the claims in a loop that begin with a CLM."""
    return [claim for claim in loop.find("2300") if claim.first("CLM") is not None]


def whole_set(problems: Iterable[Problem]) -> bool:
    """Say whether a transaction set is rejected as a whole: its 999 says so, there is no 277CA for it."""
    return any(p.severity == "E" and p.kind == "IK502" for p in problems)


def rejections(root: Loop, problems: Iterable[Problem]) -> dict[int, list[tuple[Problem, Loop]]]:
    """Give for the id() of each claim what rejects it, with the loop that holds it."""
    places = Places(root)
    out: dict[int, list[tuple[Problem, Loop]]] = {}
    for problem in problems:
        if problem.severity != "E" or problem.kind not in _KINDS:
            continue
        at = places.at(problem.offset) or root
        for claim in _concerned(at):
            out.setdefault(id(claim), []).append((problem, at))
    return out


def _concerned(at: Loop) -> list[Loop]:
    loop: Loop | None = at
    while loop is not None:
        if loop.id == "2300":
            return [loop]
        below = claims_of(loop)
        if below or loop.parent is None:
            return below
        loop = loop.parent
    return []


def status_of(problem: Problem, at: Loop) -> Status:
    """Give the status that a complaint means for the claim; a partner's rule may say its own."""
    if problem.kind == "PARTNER" and (own := _RULE.fullmatch(problem.reference)):
        return Status(own[1], own[2], own[3] or "")
    if problem.kind == "SNIP3":
        return Status("A8", OUT_OF_BALANCE)
    for line in _found(problem, at):
        missing = (problem.kind, problem.code) in _MISSING
        return Status("A6" if missing else "A7", line.status, line.entity)
    return Status("A3", SYNTAX)


def _found(problem: Problem, at: Loop) -> Iterator[_Line]:
    element = f"{problem.element:02d}" if problem.element else ""
    part = f"{element}.{problem.component}" if problem.component else element
    segment = next((s for s in at.segments if s.offset == problem.offset), None)
    held = segment.component(1) if segment is not None and segment.name == problem.segment else ""
    for line in _lines():
        if line.segment != problem.segment or line.loop not in ("*", problem.loop):
            continue
        if line.qualifier and line.qualifier != held and line.qualifier not in problem.text:
            continue
        if not line.element or line.element in (element, part):
            yield line
