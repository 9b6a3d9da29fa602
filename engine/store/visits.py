"""What an Encounter says of the course of its visit, whoever wrote last and in whatever order.

In: the merged body, the one before it, and the course that follows from all that was told. Out: the body put
right: status, class and place of the last word on each, those before in statusHistory, classHistory and
location, no place in use and no lost time of discharge once the visit has ended. What nobody dated stands
without a time; a period of which nothing is known says so (data-absent-reason), because FHIR demands one.
FHIR R4 Encounter.status, statusHistory, classHistory, location; HL7 v2.5.1 ch. 3.3.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from engine.store.course import NOWHERE, Course, Fact, Run, ends_before

__all__ = ["Claims", "Visit", "keep_course", "settle_visit"]

Claims = list[list[tuple[str, str, str]]]

ABSENT = {
    "extension": [
        {"url": "http://hl7.org/fhir/StructureDefinition/data-absent-reason", "valueCode": "unknown"}
    ]
}
KEPT = frozenset({"assigned", "prior", "history"})
"""Labels of the places that the course speaks of; temporary and pending ones are the map's alone."""


@dataclass(slots=True)
class Visit:
    """The course of a visit once an entry has been added to it."""

    facts: list[Fact]
    course: Course
    fact: Fact  # the entry's own
    news: bool  # to be kept even where it changes nothing: what comes later may hang on it


def keep_course(
    new: dict[str, Any], claims: Claims, owner: tuple[str, str], sent: dict[str, Any], visit: Visit
) -> dict[str, Claims]:
    """Write the course into a merged body; return the claims on its places if they were written anew."""
    course, fact = visit.course, visit.fact
    if course.statuses:
        new["status"] = course.statuses[-1].value
        new.pop("_status", None)
    _past(new, "statusHistory", "status", course.statuses)
    if course.classes:
        kind = course.classes[-1].value
        if (new.get("class") or {}).get("code") != kind.get("code"):
            new["class"] = kind
    _past(new, "classHistory", "class", course.classes)
    _ends(new, sent, course, fact)
    if not course.places and not any(one[2] == "history" for mine in claims for one in mine):
        return {}
    return {"location": _places(new, claims, owner, course)}


def _ends(new: dict[str, Any], sent: dict[str, Any], course: Course, fact: Fact) -> None:
    """Let the time of admission stay, and the time of discharge go with a discharge that is taken back or
    followed by another admission, and stay with one that stands.
    """
    period, told = new.get("period", {}), sent.get("period") or {}
    status, end = new.get("status"), period.get("end")
    if course.start and "start" not in period and status not in NOWHERE:
        if not ends_before(course.start, end or ""):
            new["period"] = period = {"start": course.start, **period}
    if status == "finished":
        if course.end and end is None:
            new["period"] = {**period, "end": course.end}
    elif end is not None and "end" not in told:
        begun_again = end in course.ends and (
            status not in NOWHERE or ends_before(period.get("start", ""), end)
        )
        if fact.get("v") == "finished" or begun_again:
            rest = {name: value for name, value in period.items() if name not in ("end", "_end")}
            new["period"] = rest
            if not rest:
                del new["period"]


def _past(new: dict[str, Any], element: str, name: str, runs: list[Run]) -> None:
    if len(runs) < 2:
        new.pop(element, None)
        return
    new[element] = [{name: run.value, "period": _period(run) or ABSENT} for run in runs[:-1]]


def _period(run: Run) -> dict[str, Any]:
    period = {"start": run.start} if run.start else {}
    if run.end and not ends_before(run.start, run.end):
        period["end"] = run.end
    return period


def _places(new: dict[str, Any], claims: Claims, owner: tuple[str, str], course: Course) -> Claims:
    """Write the places of the course, newest first, and behind them those that it does not speak of."""
    known: dict[str, tuple[dict[str, Any], list[tuple[str, str, str]]]] = {}
    others: list[tuple[dict[str, Any], list[tuple[str, str, str]]]] = []
    bare = []
    tellers = {run.by for run in course.places}
    for entry, mine in zip(new.get("location") or (), claims, strict=True):
        labels = {one[2] for one in mine}
        told = "history" in labels or bool(tellers & {one[0] for one in mine}) or not tellers
        if not labels <= KEPT or not told:
            others.append((entry, mine))
            continue
        name = _name(entry.get("location"))
        if name not in known or "assigned" in labels:
            known[name] = (entry, mine)
        if "assigned" in labels:
            bare.append((entry, mine))
    entries: list[tuple[dict[str, Any], list[tuple[str, str, str]]]] = []
    for run in reversed(course.places):
        now = not entries
        entry, mine = known.get(_name(run.value), ({}, []))
        entry = {**entry, "location": run.value}
        period = _period(run)
        entry.pop("period", None)
        status = new.get("status")
        if not now or run.over or status == "finished":
            entry["status"] = "completed"
        elif status in NOWHERE:
            entry.pop("status", None)
            period = {}
        else:
            entry["status"] = "active"
        if period:
            entry["period"] = period
        if not now or not any(one[2] == "assigned" for one in mine):
            mine = [(*owner, "history")]
        if all(entry != other for other, _ in entries):
            entries.append((entry, mine))
    if not course.places:
        entries = bare
    entries += others
    if entries:
        new["location"] = [entry for entry, _ in entries]
    else:
        new.pop("location", None)
    return [mine for _, mine in entries]


def _name(place: Any) -> str:
    if isinstance(place, dict):
        return str(place.get("reference") or sorted(place.items(), key=str))
    return ""


def settle_visit(new: dict[str, Any], old: dict[str, Any]) -> None:
    """Put a visit right that has ended."""
    status = new.get("status")
    if status not in ("finished", "cancelled"):
        return
    left = {"status": "completed"} if status == "finished" else {}
    places = new.get("location", ())
    if any(place.get("status") == "active" for place in places):
        new["location"] = [_emptied(place, left) for place in places]
    end = old.get("period", {}).get("end")
    if end and old.get("status") == status == "finished" and "end" not in new.get("period", {}):
        new["period"] = {**new.get("period", {}), "end": end}


def _emptied(place: dict[str, Any], left: dict[str, str]) -> dict[str, Any]:
    if place.get("status") != "active":
        return place
    return {name: value for name, value in place.items() if name != "status"} | left
