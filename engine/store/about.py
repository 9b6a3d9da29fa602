"""Everything the core store holds about a patient: other numbers of them, records, the entries behind these.

In: ids of Patients. Out: ids of all that a merge joined with them, (type, id, entries) of their records.
Bounded: whoever asks says how many at most.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from engine.store.keys import id_text
from engine.store.read import Reader

__all__ = ["Held", "held_about"]


@dataclass(frozen=True, slots=True)
class Held:
    """What is held about some Patients. `all`: False where there is more than was asked for."""

    patients: tuple[str, ...]
    records: tuple[tuple[str, str], ...]  # (type, id)
    entries: frozenset[int]  # that wrote the records as they stand, or spoke of them last
    all: bool = True


def held_about(reader: Reader, ids: Iterable[str], most: int) -> Held:
    """Return what is held about these Patients and all that a merge joined with them."""
    session = reader.session
    rids = {row.rid for id_ in ids if (row := reader.row("Patient", id_)) is not None}
    rids |= {
        rid for (rid,) in session.among("SELECT survivor FROM alias WHERE retired IN (...)", sorted(rids))
    }
    rids |= {
        rid for (rid,) in session.among("SELECT retired FROM alias WHERE survivor IN (...)", sorted(rids))
    }
    people = session.among("SELECT id FROM resource WHERE rid IN (...)", sorted(rids))
    records: list[tuple[str, str]] = []
    entries: set[int] = set()
    whole = True
    for rid in sorted(rids):
        rows = session.all(
            "SELECT t.name, r.id, h.entry, r.position FROM resource r JOIN rtype t ON t.id = r.type "
            "JOIN history h ON h.seq = r.seq WHERE r.patient = ? LIMIT ?",
            (rid, most + 1),
        )
        whole = whole and len(rows) <= most
        for kind, id_, entry, position in rows[:most]:
            records.append((kind, id_text(bytes(id_))))
            entries |= {entry, position}
    patients = tuple(id_text(bytes(id_)) for (id_,) in people)
    return Held(patients, tuple(records), frozenset(entries - {0}), whole)
