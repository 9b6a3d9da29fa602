"""The course of a visit: what its messages told, in the order in which it happened, and what follows from
that.

In: facts, one an entry: its event, status, class and place, and when, as the sender said. Out: the runs of
equal statuses, classes and places with start and end. A fact has the position of its entry, so the same entry
told again replaces it; the facts are put in order by their senders' own times, so it does not matter in which
order they arrived. A time that nobody told is left out. FHIR R4 Encounter.statusHistory, classHistory,
location; HL7 v2.5.1 ch. 3.3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict

from engine.kernel.message import Draft

__all__ = [
    "HOUR",
    "LOCAL",
    "Course",
    "Fact",
    "Run",
    "course_of",
    "ends_before",
    "fact_of",
    "in_order",
]

LOCAL = " local"
HOUR = 61 * 60_000
"""Local times of one clock tell older from newer when they are further apart than it is ever set back."""
NOWHERE = ("planned", "cancelled", "entered-in-error")
"""With such a status a place is none in which the patient was."""


class Fact(TypedDict, total=False):
    """What one entry told of a visit. Kept with the ownership of its versions, hence the short names."""

    n: int  # position of the entry
    o: str  # its sender
    by: str  # kind of time and sender
    t: list[int]  # the sender's own time of telling: first and last millisecond
    e: str  # event
    at: str
    b: str  # what begins
    x: str  # what it takes back: stay | place | status
    of: list[str]
    of_at: str
    v: str  # status taken back
    s: str  # status
    w: int  # the status is only what the class suggests
    c: dict[str, Any]  # class
    l: dict[str, Any]  # place
    lx: int  # the place is deleted
    p: dict[str, Any]  # place before
    first: str  # start of the visit, as an admission tells it
    ps: str  # start of the visit, whoever tells it; "" = deleted
    d: str  # end of the visit


@dataclass(slots=True)
class Run:
    """A value, and from when to when it held, as far as anybody said."""

    value: Any
    start: str = ""
    end: str = ""
    over: bool = False
    left: bool = False  # for good: whoever names it again, begins again
    by: str = ""  # the sender whose name for a place it is


@dataclass(slots=True)
class Course:
    """What follows from the facts of a visit."""

    statuses: list[Run] = field(default_factory=list)
    classes: list[Run] = field(default_factory=list)
    places: list[Run] = field(default_factory=list)
    start: str = ""  # of the visit, as last told
    end: str = ""  # of the visit, as the discharge that stands told it
    ends: set[str] = field(default_factory=set)  # as all discharges told it, those that do not stand too
    idle: set[int] = field(default_factory=set)  # positions that take back what is not known
    repeats: set[int] = field(default_factory=set)  # positions that take back a move and repeat its place


def fact_of(draft: Draft, body: dict[str, Any], position: int, sender: str) -> Fact:
    """Write down what a draft tells; `body` is the draft's with references resolved."""
    happened = draft.happened
    assert happened is not None
    fact: Fact = {"n": position, "o": sender}
    if draft.told is not None:
        fact["by"], fact["t"] = f"{draft.told.kind} {sender}", [draft.told.first, draft.told.last]
    if happened.event:
        fact["e"] = happened.event
    if happened.at:
        fact["at"] = happened.at
    if happened.begins:
        fact["b"] = happened.begins
    if happened.takes_back:
        fact["x"] = happened.takes_back
    if happened.of:
        fact["of"] = list(happened.of)
    if happened.of_at:
        fact["of_at"] = happened.of_at
    if happened.of_status:
        fact["v"] = happened.of_status
    status = draft.body.get("status")
    if status:
        fact["s"] = status
        if "status" in draft.weak:
            fact["w"] = 1
    kind = draft.body.get("class")
    if kind and kind.get("code"):
        fact["c"] = kind
    _places(fact, draft, body, status)
    period = draft.body.get("period") or {}
    if period.get("start") and {"s", "l"} <= set(happened.begins):
        fact["first"] = period["start"]
    if period.get("start") or {"period", "period.start"} & set(draft.cleared):
        fact["ps"] = period.get("start", "")
    if period.get("end") and status == "finished":
        fact["d"] = period["end"]
    return fact


def _places(fact: Fact, draft: Draft, body: dict[str, Any], status: str | None) -> None:
    if fact.get("x") == "stay" or status in NOWHERE:
        return
    if "location(assigned)" in draft.cleared:
        fact["lx"] = 1
    for entry, label in zip(body.get("location") or (), draft.labels.get("location") or (), strict=False):
        if entry.get("location") and entry.get("status") != "planned":
            if label == "assigned":
                fact["l"] = entry["location"]
            elif label == "prior":
                fact["p"] = entry["location"]
    if fact.get("p") == fact.get("l") or "x" in fact:
        fact.pop("p", None)


def in_order(facts: Iterable[Fact]) -> list[Fact]:
    """Put facts in the order in which they were told: by the times of each sender, else by position."""
    out: list[Fact] = []
    for fact in sorted(facts, key=lambda one: one["n"]):
        at = len(out)
        if "t" in fact:
            last = fact["t"][1]
            slack = HOUR if LOCAL + " " in fact["by"] else 0
            for place, other in enumerate(out):
                if other.get("by") == fact["by"] and last < other["t"][0] - slack:
                    at = place
                    break
        out.insert(at, fact)
    return out


def course_of(facts: Sequence[Fact]) -> Course:
    """Work out the course of a visit from its facts, given in order."""
    course = Course()
    statuses, places = _taken_back(facts, course)
    _statuses(facts, statuses, course)
    for fact in facts:
        kind = fact.get("c")
        if kind is not None:
            _add(course.classes, kind, fact, "c", key=lambda one: (one.get("system"), one.get("code")))
    _stays(facts, statuses, places, course)
    return course


def _taken_back(facts: Sequence[Fact], course: Course) -> tuple[set[int], set[int]]:
    """Return which facts' statuses and places do not count, by their place in the order."""
    statuses: set[int] = set()
    places: set[int] = set()
    for now, fact in enumerate(facts):
        _told_again(facts, now, statuses, places)
        what = fact.get("x")
        if what == "stay":
            gone = _of_stay(facts, now)
            statuses |= gone
            places |= gone
        elif what == "place":
            gone = _of_move(facts, now, places)
            places |= gone
            if gone and "l" in fact and fact["l"] == facts[min(gone)].get("l"):
                places.add(now)
                course.repeats.add(fact["n"])
        elif what == "status":
            gone = _of_status(facts, now, statuses)
            statuses |= gone
        else:
            continue
        if not gone:
            course.idle.add(fact["n"])
    return statuses, places


def _told_again(facts: Sequence[Fact], now: int, statuses: set[int], places: set[int]) -> None:
    """Let a second telling of one event, at the same time, replace the first."""
    fact = facts[now]
    if not fact.get("e") or "t" not in fact or "x" in fact:
        return
    for before in range(now):
        other = facts[before]
        if all(other.get(name) == fact.get(name) for name in ("e", "by", "t", "at")):
            statuses.add(before)
            if "l" in fact:
                places.add(before)


def _target(facts: Sequence[Fact], now: int, without: set[int]) -> int | None:
    """Find the event that a fact takes back: the one of the time it names, else the last."""
    fact = facts[now]
    of = fact.get("of", [])
    found = [n for n in range(now) if facts[n].get("e") in of and n not in without]
    exact = [n for n in found if fact.get("of_at") and facts[n].get("at") == fact["of_at"]]
    return exact[-1] if exact else found[-1] if found else None


def _of_stay(facts: Sequence[Fact], now: int) -> set[int]:
    first = _target(facts, now, set())
    if first is None:
        ended = [n for n in range(now) if facts[n].get("s") in NOWHERE]
        first = ended[-1] + 1 if ended else 0
    return {n for n in range(first, now) if facts[n].get("s") not in NOWHERE}


def _of_move(facts: Sequence[Fact], now: int, without: set[int]) -> set[int]:
    move = _target(facts, now, without)
    if move is None:
        return set()
    gone = {move}
    for n in range(move + 1, now):
        if "l" not in facts[n]:
            continue
        if facts[n]["l"] != facts[move].get("l"):
            break
        gone.add(n)
    return gone


def _of_status(facts: Sequence[Fact], now: int, without: set[int]) -> set[int]:
    fact = facts[now]
    said = [n for n in range(now) if "s" in facts[n] and not facts[n].get("w") and n not in without]
    if "v" not in fact:
        first = _target(facts, now, without)
        return set() if first is None else {n for n in said if n >= first}
    gone: set[int] = set()
    for n in reversed(said):
        if facts[n].get("x") in ("place", "status"):
            continue
        if facts[n]["s"] != fact["v"]:
            break
        gone.add(n)
    return gone


def _statuses(facts: Sequence[Fact], without: set[int], course: Course) -> None:
    runs = course.statuses
    for place, fact in enumerate(facts):
        status = fact.get("s")
        if "d" in fact:
            course.ends.add(fact["d"])
        if place in without:
            continue
        course.start = fact.get("ps", course.start)
        if not status:
            continue
        what = fact.get("x")
        if runs and (fact.get("w") or what == "place" or (what == "status" and fact["n"] not in course.idle)):
            continue
        _add(runs, status, fact, "s", at=fact.get("d", "") if status == "finished" else "")
        course.end = fact.get("d", course.end) if status == "finished" else ""


def _add(
    runs: list[Run], value: Any, fact: Fact, what: str, at: str = "", key: Any = lambda one: one
) -> None:
    """Add a value to the runs: a new one ends the one before."""
    begins = what in fact.get("b", "")
    since = "" if fact.get("x") in ("place", "status") else at or fact.get("at", "")
    if runs and key(runs[-1].value) == key(value):
        runs[-1].value = value
        if begins and not runs[-1].start:
            runs[-1].start = (fact.get("first") or since) if len(runs) == 1 else since
            if len(runs) > 1 and not runs[-2].end:
                runs[-2].end = since
        return
    if not runs:
        since = (fact.get("first") or since) if begins else ""
    else:
        runs[-1].end = since
    runs.append(Run(value, since))


def _stays(facts: Sequence[Fact], statuses: set[int], places: set[int], course: Course) -> None:
    runs = course.places
    for n, fact in enumerate(facts):
        told = fact.get("s") if n not in statuses and not fact.get("w") else None
        ends = told == "finished"
        if "l" in fact and n not in places:
            _stay(runs, fact, told, ends)
        elif "lx" in fact and runs and runs[-1].by in ("", fact.get("o")) and n not in places:
            if not runs[-1].over:
                runs[-1].end = fact.get("at", "")
            runs[-1].over = runs[-1].left = True
        if ends and runs and not runs[-1].over:
            dated = "d" in fact or "s" in fact.get("b", "")
            runs[-1].over, runs[-1].end = True, (fact.get("d") or fact.get("at", "")) if dated else ""


def _stay(runs: list[Run], fact: Fact, told: str | None, ends: bool) -> None:
    """Add the place of a fact, and the one before it, to the places of the visit.

    Senders name places in their own ways: only an event tells that another one's place was left, and a
    message that is no event tells a place of its own sender's only.
    """
    if not fact.get("b") and (runs[-1].by if runs else "") not in ("", fact.get("o")) and "o" in fact:
        return
    if not runs and "e" not in fact and "o" in fact:
        return
    here, before = fact["l"], fact.get("p")
    begins = "l" in fact.get("b", "")
    since = "" if ends or "x" in fact else fact.get("at", "")
    if not runs:
        since = (fact.get("first") or since) if begins else ""
    unheard = before is not None and all(run.value != before for run in runs)
    stays = bool(runs) and runs[-1].value == here and not runs[-1].left
    if stays and not (runs[-1].over and told is not None and not ends and "x" not in fact):
        if unheard:
            runs.insert(len(runs) - 1, Run(before, by=fact.get("o", "")))
        if begins and not runs[-1].start:
            runs[-1].start = since
            if len(runs) > 1 and not runs[-2].over and not runs[-2].end:
                runs[-2].end = since
        return
    if before is not None and (not runs or runs[-1].value != before):
        runs.append(Run(before, by=fact.get("o", "")))
    if runs and not runs[-1].over:
        runs[-1].end = since
    runs.append(Run(here, since, by=fact.get("o", "")))


_DAY = re.compile(r"(\d{4})(-\d\d)?(-\d\d)?$").match


def ends_before(start: str, end: str) -> bool:
    """Say whether a period would end before it starts."""
    if not start or not end:
        return False
    if _DAY(start) or _DAY(end):
        size = min(len(start), len(end), 10)
        return end[:size] < start[:size]
    return datetime.fromisoformat(end) < datetime.fromisoformat(start)
