"""What else documents are searched by: the parameters of IHE MHD for DocumentReference.

In: a name and a value of a search. Out: a check of one body. They are kept in no column; a search by them
names a patient, an identifier or an id besides, and looks at what that finds. Chained names (`author.family`)
follow references to what the core store holds. Follows IHE MHD 4.2.4, 2:3.67.4.1.2.1 (ITI-67), and FHIR R4
search.html.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from engine.store.columns import codings, span

__all__ = ["DOCUMENT_PARAMETERS", "UnknownValue", "document_check", "master_identifiers"]

Body = dict[str, Any]
Check = Callable[[Body], bool]
Read = Callable[[str, str], Body | None]
_DATE = re.compile(r"(eq|ge|gt|le|lt)?(\d.*)").fullmatch


class UnknownValue(Exception):
    """A value that the parameter does not take; its text says why."""


def _context(body: Body) -> Mapping[str, Any]:
    return body.get("context") or {}


def _contents(body: Body) -> Iterator[Mapping[str, Any]]:
    yield from body.get("content") or ()


_CONCEPTS: Mapping[str, Callable[[Body], Iterator[Any] | list[Any]]] = {
    "category": lambda body: body.get("category") or [],
    "event": lambda body: _context(body).get("event") or [],
    "facility": lambda body: [_context(body).get("facilityType") or {}],
    "format": lambda body: [{"coding": [one["format"]]} for one in _contents(body) if one.get("format")],
    "security-label": lambda body: body.get("securityLabel") or [],
    "setting": lambda body: [_context(body).get("practiceSetting") or {}],
    "status": lambda body: [{"coding": [{"code": body.get("status")}]}],
    "type": lambda body: [body.get("type") or {}],
}
_TIMES: Mapping[str, Callable[[Body], Iterator[tuple[str, str]]]] = {
    "creation": lambda body: _points(one.get("attachment", {}).get("creation") for one in _contents(body)),
    "period": lambda body: _periods(_context(body).get("period")),
}

DOCUMENT_PARAMETERS: Mapping[str, str] = {
    **dict.fromkeys(_CONCEPTS, "token"),
    **dict.fromkeys(_TIMES, "date"),
    "related": "reference",
    "author.family": "string",
    "author.given": "string",
}
"""Name and type of each; `patient.identifier` and `identifier` are the search's own."""


def document_check(name: str, value: str, read: Read) -> Check:
    """Return the check of a parameter; commas mean *or*. Raises UnknownValue."""
    alternatives = [one for one in value.split(",") if one]
    if not alternatives:
        raise UnknownValue("has no value")
    if name in _CONCEPTS:
        return _token(_CONCEPTS[name], alternatives)
    if name in _TIMES:
        if len(alternatives) > 1:
            raise UnknownValue("takes one value; repeat it for a range")
        return _time(_TIMES[name], alternatives[0])
    if name == "related":
        return lambda body: any(
            one.get("reference") in alternatives for one in _context(body).get("related") or ()
        )
    part = name.rpartition(".")[2]
    words = [one.casefold() for one in alternatives]
    return lambda body: any(
        said.casefold().startswith(word) for said in _names(body, part, read) for word in words
    )


def master_identifiers(body: Body) -> Iterator[tuple[str, str]]:
    """Give the number of the document itself, as R4's `identifier` of DocumentReference includes it."""
    said = body.get("masterIdentifier") or {}
    if said.get("value"):
        yield said.get("system") or "", said["value"]


def _token(held: Callable[[Body], Any], alternatives: list[str]) -> Check:
    wanted: list[tuple[str | None, str]] = []
    for one in alternatives:
        system, bar, code = one.rpartition("|")
        if not code:
            raise UnknownValue("needs a code; a system alone is not supported")
        wanted.append((system if bar else None, code))

    def check(body: Body) -> bool:
        found = [pair for concept in held(body) for pair in codings(concept)]
        return any(c == code and system in (None, s) for s, c in found for system, code in wanted)

    return check


def _time(held: Callable[[Body], Iterator[tuple[str, str]]], value: str) -> Check:
    match = _DATE(value)
    days = span(match[2]) if match else None
    if match is None or days is None:
        raise UnknownValue("is not a date with one of the prefixes eq, ge, gt, le, lt")
    prefix, (low, high) = match[1] or "eq", days

    def fits(start: str, end: str) -> bool:
        """R4 3.1.1.4.7: in it (eq), reaches beyond or to it (gt, ge), before or to it (lt, le)."""
        begins, ends = span(start) if start else None, span(end) if end else None
        first = begins[0] if begins else None
        last = ends[1] if ends else None
        if prefix == "eq":
            return first is not None and last is not None and first >= low and last <= high
        if prefix in ("ge", "gt"):
            return last is None or (last >= low if prefix == "ge" else last > high)
        return first is None or (first <= high if prefix == "le" else first < low)

    return lambda body: any(fits(start, end) for start, end in held(body))


def _points(times: Iterator[Any]) -> Iterator[tuple[str, str]]:
    yield from ((one, one) for one in times if one)


def _periods(period: Any) -> Iterator[tuple[str, str]]:
    if isinstance(period, dict) and (period.get("start") or period.get("end")):
        yield period.get("start") or "", period.get("end") or ""


def _names(body: Body, part: str, read: Read) -> Iterator[str]:
    """Give the family or given names of who wrote a document."""
    for author in body.get("author") or ():
        who = _read(author, read)
        if who.get("resourceType") == "PractitionerRole":
            who = _read(who.get("practitioner") or {}, read)
        names = who.get("name")
        for name in names if isinstance(names, list) else ():
            said = name.get(part)
            yield from said if isinstance(said, list) else [said] if said else []


def _read(reference: Mapping[str, Any], read: Read) -> Body:
    kind, _, id_ = str(reference.get("reference") or "").partition("/")
    return read(kind, id_) or {} if id_ else {}
