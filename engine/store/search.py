"""Search over current resources: `_id`, `identifier`, `patient`/`subject`, `code`, `date`, `_lastUpdated`.

In: a resource type and (name, value) pairs: repeated names mean *and*, commas mean *or* (FHIR R4 search,
3.1.1). Out: pages of resources, with a cursor for the next. Hashes in columns only narrow the search; every
match is verified on the opened body before it is given out. Order is that of the driving column and is stable
while nothing is written.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import orjson

from engine.kernel.errors import HubError
from engine.store.columns import codings, concept_of, identifiers, patient_reference, span
from engine.store.document_search import (
    DOCUMENT_PARAMETERS,
    UnknownValue,
    document_check,
    master_identifiers,
)
from engine.store.read import Reader, resource
from engine.store.state import COLUMNS, Row, row_from, token_query
from engine.store.tables import RID_ERA

__all__ = ["PARAMETERS", "Page", "SearchError", "first_seq", "search"]

PARAMETERS = ("_id", "identifier", "patient", "subject", "code", "date", "_lastUpdated")
_MOST = 1000
_ABOUT = {"patient", "subject", "patient.identifier"}
_ERAS_AT_ONCE = 64
_TABLES = "resource r CROSS JOIN history h"
_DATE = re.compile(r"(eq|ge|gt|le|lt)?(\d.*)").fullmatch

Check = Callable[[dict[str, Any]], bool]


class SearchError(HubError):
    """A search that cannot be followed; the asker's to correct."""


@dataclass(frozen=True, slots=True)
class Page:
    """One page of a search. `cursor` continues it; None = this was the last."""

    resources: list[dict[str, Any]]
    cursor: str | None


@dataclass(slots=True)
class _Query:
    where: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)
    checks: list[Check] = field(default_factory=list)
    rids: set[int] | None = None
    patients: str | None = None  # numbers, for IN (...)
    concepts: str | None = None
    by_date: bool = False
    seqs: tuple[int, int] | None = None

    def only(self, rids: set[int]) -> None:
        self.rids = rids if self.rids is None else self.rids & rids

    def narrow(self, patients: Sequence[int] = (), concepts: Sequence[int] = ()) -> None:
        """Take the numbers found for a parameter; of a repeated one the first narrows, all are checked."""
        found = ",".join(map(str, sorted({*patients, *concepts})))
        if not found:
            self.only(set())
        elif patients:
            self.patients = self.patients or found
        else:
            self.concepts = self.concepts or found


def search(
    reader: Reader, kind: str, parameters: Sequence[tuple[str, str]], count: int, cursor: str | None
) -> Page:
    """Return one page of the resources of a type that match every parameter."""
    number = reader.types.number(reader.session, kind)
    count = max(1, min(count, _MOST))
    query = _Query()
    named = {name.partition(":")[0] for name, _ in parameters}
    for name, value in parameters:
        if kind != "DocumentReference" or not _of_document(query, reader, name, value, named):
            _add(query, reader, kind, name, value)
    if number is None or (query.rids is not None and not query.rids):
        return Page([], None)
    after = _cursor(cursor)
    found: list[dict[str, Any]] = []
    last: tuple[int, ...] = ()
    while True:
        rows = _rows(query, reader, number, after, count + 1 - len(found))
        bodies = reader.bodies_of([row.seq for _, row, _ in rows])
        for place, row, (at, position) in rows:
            after = place
            body = bodies[row.seq]
            if all(check(body.value) for check in query.checks):
                if len(found) == count:
                    return Page(found, _token(last))
                found.append(resource(row.type, row.id, row.version, at, position, body.value))
                last = place
        if not rows:
            return Page(found, None)


Place = tuple[int, ...]
Found = list[tuple[Place, Row, tuple[int, int]]]


def _rows(query: _Query, reader: Reader, number: int, after: Place | None, limit: int) -> Found:
    """Return some of the next rows, in order; none when there are no more."""
    # `+`: the index of types serves listings only; elsewhere it would look better to SQLite than it is
    where, values = ["+r.type = ?", "r.deleted = 0", *query.where], [number, *query.values]
    order, tables = "r.rid", _TABLES
    if query.rids is not None:
        where.append(f"r.rid IN ({','.join(map(str, sorted(query.rids)))})")
    elif query.patients is not None:
        where[0] = "r.type = ?"  # second column of the index of patients
    elif query.concepts is not None:
        return _by_era(query, reader, where, values, after, limit)
    elif query.by_date:
        order = "r.date_from"
    elif query.seqs is not None:
        order, tables = "h.seq", "history h CROSS JOIN resource r"
    else:
        where[0] = "r.type = ?"
    return _page(query, reader, where, values, order, after, limit, tables)


def _by_era(
    query: _Query, reader: Reader, where: list[str], values: list[Any], after: Place | None, limit: int
) -> Found:
    """Walk the index of codes era by era: it is kept by era so that writing it stays in one place."""
    ((newest,),) = reader.session.all("SELECT rid FROM core_clock WHERE id = 1")
    for era in range((after[0] if after else 0) >> RID_ERA, (newest >> RID_ERA) + 1, _ERAS_AT_ONCE):
        eras = ",".join(map(str, range(era, era + _ERAS_AT_ONCE)))
        found = _page(
            query, reader, [*where, f"(r.rid >> {RID_ERA}) IN ({eras})"], values, "r.rid", after, limit
        )
        if found:
            return found
    return []


def _page(
    query: _Query,
    reader: Reader,
    where: list[str],
    values: list[Any],
    order: str,
    after: Place | None,
    limit: int,
    tables: str = _TABLES,
) -> Found:
    where, values = ["h.seq = r.seq", "h.rid = r.rid", *where], list(values)
    if query.concepts is not None:
        where.append(f"r.code IN ({query.concepts})")
    if query.patients is not None:
        where.append(f"r.patient IN ({query.patients})")
    if query.seqs is not None:
        where.append("h.seq BETWEEN ? AND ?")
        values += query.seqs
    orders = (order, "r.rid") if order == "r.date_from" else (order,)
    if after is not None:
        where.append(f"({', '.join(orders)}) > ({', '.join('?' * len(orders))})")
        values += after
    sql = (
        f"SELECT h.at, h.position, {COLUMNS} FROM {tables} "
        f"WHERE {' AND '.join(where)} ORDER BY {', '.join(orders)} LIMIT ?"
    )
    found: Found = []
    for at, position, *columns in reader.session.all(sql, [*values, limit]):
        row = row_from(tuple(columns), reader.types, reader.session)
        place = {"r.rid": row.rid, "h.seq": row.seq, "r.date_from": row.date_from or 0}
        found.append((tuple(place[name] for name in orders), row, (at, position)))
    return found


def _add(query: _Query, reader: Reader, kind: str, name: str, value: str) -> None:
    name, _, modifier = name.partition(":")
    if modifier and (name, modifier) not in (("patient", "Patient"), ("subject", "Patient")):
        raise SearchError(f"the modifier :{modifier} is not supported", where=name)
    alternatives = [one for one in value.split(",") if one]
    if not alternatives:
        raise SearchError("has no value", where=name)
    if name == "_id":
        rows = [reader.row(kind, one) for one in alternatives]
        query.only({row.rid for row in rows if row is not None})
    elif name == "identifier":
        _identifier(query, reader, kind, alternatives)
    elif name in ("patient", "subject"):
        _patient(query, reader, alternatives)
    elif name == "code":
        _code(query, reader, alternatives)
    elif name in ("date", "_lastUpdated"):
        if len(alternatives) > 1:
            raise SearchError("takes one value; repeat it for a range", where=name)
        (_date if name == "date" else _updated)(query, reader, alternatives[0])
    else:
        raise SearchError(
            f"the parameter {name} is not supported for {kind}",
            where=name,
            remedy="supported are " + ", ".join(PARAMETERS) + " and _count",
        )


def _of_document(query: _Query, reader: Reader, name: str, value: str, named: set[str]) -> bool:
    """Take a parameter that only documents have, or have otherwise; False where it is none of them."""
    if name == "patient.identifier":
        pairs = (("identifier", value),)
        found = search(reader, "Patient", pairs, _MOST, None).resources
        _patient(query, reader, [one["id"] for one in found])
    elif name == "identifier" and named & _ABOUT:  # few are looked at: the document's own number, too
        wanted = _tokens([one for one in value.split(",") if one])
        query.checks.append(
            lambda body: any(
                v == value and system in (None, s)
                for s, v in (*identifiers(body), *master_identifiers(body))
                for system, value in wanted
            )
        )
    elif name in DOCUMENT_PARAMETERS:
        if not named & (_ABOUT | {"_id", "identifier"}):
            raise SearchError(
                "is searched together with another parameter",
                where=name,
                remedy="add patient, patient.identifier, identifier or _id",
            )

        def read(kind: str, id_: str) -> dict[str, Any] | None:
            row = reader.row(kind, id_)
            return reader.current(row) if row is not None else None

        try:
            query.checks.append(document_check(name, value, read))
        except UnknownValue as e:
            raise SearchError(str(e), where=name) from None
    else:
        return False
    return True


def _tokens(alternatives: list[str]) -> list[tuple[str | None, str]]:
    wanted: list[tuple[str | None, str]] = []
    for one in alternatives:
        parts = one.split("|")
        if not parts[-1]:
            raise SearchError("needs a value; a system alone is not supported", where="identifier")
        # where the system ends is not always clear: names of senders hold a bar, and so do keys of results
        wanted += [("|".join(parts[:n]), "|".join(parts[n:])) for n in range(1, len(parts))] or [(None, one)]
    return wanted


def _identifier(query: _Query, reader: Reader, kind: str, alternatives: list[str]) -> None:
    wanted = _tokens(alternatives)
    macs = {reader.keys.token(kind, system, value) for system, value in wanted}
    rids = {rid for (rid,) in reader.session.all(token_query(reader.session, macs))}
    keys = [reader.keys.identity(kind, system, value) for system, value in wanted if system]
    sql = "SELECT rid FROM identity WHERE key IN (...)"
    query.only(rids | {rid for (rid,) in reader.session.among(sql, keys, "bytea")})

    def check(body: dict[str, Any]) -> bool:
        return any(
            v == value and system in (None, s) for s, v in identifiers(body) for system, value in wanted
        )

    query.checks.append(check)


def _patient(query: _Query, reader: Reader, alternatives: list[str]) -> None:
    ids = [one.removeprefix("Patient/") for one in alternatives]
    rows = [row for row in (reader.row("Patient", id_) for id_ in ids) if row is not None]
    query.narrow(patients=[row.rid for row in rows])
    wanted = {f"Patient/{row.id}" for row in rows}
    query.checks.append(lambda body: patient_reference(body) in wanted)


def _code(query: _Query, reader: Reader, alternatives: list[str]) -> None:
    wanted: list[tuple[str | None, str]] = []
    for one in alternatives:
        system, bar, code = one.rpartition("|")
        if not code:
            raise SearchError("needs a code; a system alone is not supported", where="code")
        wanted.append((system if bar else None, code))
    macs = ",".join(str(reader.keys.coding(system, code)) for system, code in wanted)
    concepts = [c for (c,) in reader.session.all(f"SELECT concept FROM concept WHERE mac IN ({macs})")]
    query.narrow(concepts=concepts)

    def check(body: dict[str, Any]) -> bool:
        held = codings(concept_of(body) or {})
        return any(c == code and system in (None, s) for s, c in held for system, code in wanted)

    query.checks.append(check)


def _span(name: str, value: str) -> tuple[str, int, int]:
    match = _DATE(value)
    days = span(match.group(2)) if match else None
    if match is None or days is None:
        raise SearchError("is not a date with one of the prefixes eq, ge, gt, le, lt", where=name)
    return match.group(1) or "eq", *days


def _date(query: _Query, _reader: Reader, value: str) -> None:
    """FHIR R4 3.1.1.4.7: a resource matches when its span lies in (eq), reaches beyond or to (gt, ge) the one
    given.
    """
    prefix, low, high = _span("date", value)
    conditions = {
        "eq": ("r.date_from >= ? AND r.date_to <= ?", [low, high]),
        "ge": ("r.date_to >= ?", [low]),
        "gt": ("r.date_to > ?", [high]),
        "le": ("r.date_from <= ?", [high]),
        "lt": ("r.date_from < ?", [low]),
    }
    condition, values = conditions[prefix]
    query.where += ["r.date_from IS NOT NULL", condition]
    query.values += values
    query.by_date = True


def _updated(query: _Query, reader: Reader, value: str) -> None:
    prefix, low, high = _span("_lastUpdated", value)
    first, last = 1, 1 << 62
    if prefix in ("eq", "ge"):
        first = first_seq(reader, low)
    if prefix == "gt":
        first = first_seq(reader, high + 1)
    if prefix in ("eq", "le"):
        last = first_seq(reader, high + 1) - 1
    if prefix == "lt":
        last = first_seq(reader, low) - 1
    old = query.seqs or (first, last)
    query.seqs = (max(first, old[0]), min(last, old[1]))


def first_seq(reader: Reader, at: int) -> int:
    """Return the first feed position at or after a time; times never run backwards along the feed."""
    ((low, high),) = reader.session.all(
        "SELECT COALESCE(MIN(seq), 1), COALESCE(MAX(seq), 0) + 1 FROM history"
    )
    while low < high:
        middle = (low + high) // 2
        found = reader.session.all(
            "SELECT seq, at FROM history WHERE seq >= ? ORDER BY seq LIMIT 1", (middle,)
        )
        if found and found[0][1] < at:
            low = int(found[0][0]) + 1
        else:
            high = middle
    return int(low)


def _cursor(text: str | None) -> tuple[int, ...] | None:
    if not text:
        return None
    try:
        places = orjson.loads(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)))
        return tuple(int(place) for place in places)
    except (ValueError, TypeError):
        raise SearchError(
            "this page cannot be found", where="cursor", remedy="start the search again"
        ) from None


def _token(place: tuple[int, ...]) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(place)).rstrip(b"=").decode()
