"""Who looked at this patient: the audit rows that name them, their records, their messages, their numbers.

In: what a person knows of a patient (id, number, name). Out: pages of audit rows, newest first, each with how
it names the patient. A merge is followed both ways. As far as can be told: a reading of the whole feed shows
everybody and names nobody, and a search by a name may have meant a namesake; both are said.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.store.audit import AuditRow, Wanted
from engine.store.auditnames import named
from engine.store.search import SearchError
from engine.store.sql import SqlStore

__all__ = ["HOW", "Looked", "Subject", "looked_at", "subject_of"]

_ENTRIES = 10_000  # messages of one number
_PEOPLE = 20  # that one number may name
_ORDERS = 500  # orders, studies and visits whose numbers are looked for, of each patient and kind
_ROWS = 50_000  # audit rows of one patient that are paged through
_NUMBERED = ("ServiceRequest", "ImagingStudy", "Encounter")

HOW = {
    "record": "saw or changed a record or message of the patient",
    "number": "asked by a number of the patient",
    "name": "asked by the name: it may have meant a namesake",
}
"""How a row names a patient, the strongest first."""


@dataclass(frozen=True, slots=True)
class Subject:
    """What counts as naming a patient."""

    patients: tuple[str, ...]  # ids
    things: frozenset[str] = frozenset()  # Type/id and entry/number
    numbers: frozenset[str] = frozenset()  # words
    names: frozenset[str] = frozenset()  # words
    all: bool = True  # False: there is more than was looked at

    def how(self, row: AuditRow) -> str:
        """Say how a row names the patient; empty where it does not."""
        said = named(row.what, row.detail)
        for word, wanted in (("record", self.things), ("number", self.numbers), ("name", self.names)):
            if said & wanted:
                return word
        return ""


@dataclass(slots=True)
class Looked:
    """One page. `before` continues it; None: this was the last."""

    rows: list[tuple[AuditRow, str]] = field(default_factory=list)
    before: int | None = None
    behind: int = 0  # audit rows that were not read yet
    all: bool = True


def subject_of(store: SqlStore, word: str) -> Subject:
    """Find the patient of an id, a number or a name, and all that names them. A word that finds nobody still
    finds who asked for it.
    """
    word = word.strip()
    ids = {word.removeprefix("Patient/")}
    try:
        found = store.search("Patient", [("identifier", word)], _PEOPLE).resources
        ids |= {str(one["id"]) for one in found}
    except SearchError:
        pass  # a word that cannot be an identifier: it may be an id or a name
    held = store.held_about(ids)
    numbers, names = set(word.split()), set()
    for id_ in held.patients:
        body = store.read("Patient", id_) or {}
        numbers |= {one["value"] for one in body.get("identifier", ()) if one.get("value")}
        names |= {
            part.casefold() for name in body.get("name", ()) for part in (name.get("family") or "").split()
        }
        for kind in _NUMBERED:
            for one in store.search(kind, [("patient", id_)], _ORDERS).resources:
                given = (i.get("value", "") for i in one.get("identifier", ()))
                numbers |= {value.removeprefix("urn:oid:") for value in given if value}
    entries = set(held.entries)
    for number in numbers if held.patients else {word}:
        entries.update(store.find("patient", number, _ENTRIES))
    if not held.patients:
        entries.update(store.find("name", word.casefold(), _ENTRIES))
    return Subject(
        held.patients,
        frozenset(
            [
                *(f"Patient/{one}" for one in held.patients),
                *("/".join(one) for one in held.records),
                *(f"entry/{n}" for n in entries),
            ]
        ),
        frozenset(f"word {part}" for number in numbers if (part := number.casefold())),
        frozenset(f"word {name}" for name in names if len(name) > 1),
        held.all,
    )


def looked_at(
    store: SqlStore,
    subject: Subject,
    *,
    wanted: Wanted = Wanted(),
    before: int | None = None,
    limit: int = 100,
    catch_up: int = 1 << 62,
) -> Looked:
    """Return one page of the audit rows that name the patient, newest first."""
    audit = store.audit
    behind = audit.names.catch_up(catch_up)
    things = [*subject.things, *subject.numbers, *subject.names]
    numbers = audit.names.rows_naming(things, _ROWS)
    page = Looked(behind=behind, all=subject.all and len(numbers) < _ROWS)
    rest = [n for n in numbers if before is None or n < before]
    for start in range(0, len(rest), limit):
        for row in audit.numbered(rest[start : start + limit]):
            how = subject.how(row) if wanted.fits(row) else ""
            if how and len(page.rows) == limit:
                page.before = page.rows[-1][0].id
                return page
            if how:
                page.rows.append((row, how))
    return page
