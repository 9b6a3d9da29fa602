"""References by identifier whose target came later than they did.

In: the identifiers that resources were given in this transaction, and the resources known to wait for one.
Out: new versions of those, their references set. They keep their position: a link found is no statement about
a result. Nor is it one about the order: one that comes after a step of it was completed stays as it was sent,
since nobody knows whether other steps are to come, and a flag says which entry completed it.
"""

from __future__ import annotations

from engine.fhir import jsonio
from engine.kernel.message import Flag
from engine.store.columns import identifiers
from engine.store.content import Plan, Version
from engine.store.meant import OF_ONE_PATIENT, meant, patients_first, wanted
from engine.store.pack import Body
from engine.store.references import logical
from engine.store.state import Row, State
from engine.store.study_uids import ENDED, is_imaging
from engine.store.tables import OP_RELINK
from engine.store.writer import Writer

__all__ = ["performed_before", "settle_pending"]


def performed_before(made: Plan, writer: Writer) -> list[Flag]:
    """Flag imaging orders that come after a step of theirs was completed: their status does not say so."""
    flags = []
    for version in made.versions:
        if version.row.type != "ServiceRequest" or version.patient is None or not is_imaging(version.shape):
            continue
        before = set(identifiers(version.before.value)) if version.before is not None else set()
        new = [pair for pair in identifiers(version.shape) if pair[0] and pair not in before]
        if not new or version.shape.get("status") in ENDED:
            continue
        if writer.waits:
            writer.flush()
        for task in _waiting(new, writer.state):
            said = task.body.value.get("status") if task.body is not None else None
            if task.type == "Task" and task.patient == version.patient.rid and said == "completed":
                text = f"entry {task.position} completed a step of it before it came: is the order done too?"
                flags.append(Flag("performed-before", "ServiceRequest", text, work=True))
    return flags


def _waiting(numbers: list[tuple[str, str]], state: State) -> list[Row]:
    """Return what waits for an order of one of these numbers, with bodies."""
    macs = [state.keys.token("ServiceRequest", *pair) for pair in numbers]
    sql = "SELECT rid FROM pending_reference WHERE mac IN (...)"
    found = sorted({rid for (rid,) in state.session.among(sql, macs)})
    state.load_rids(found)
    rows = [state.by_rid[rid] for rid in found]
    state.load_current(rows)
    return rows


def settle_pending(writer: Writer) -> None:
    """Set the references that waited for what this transaction wrote."""
    state = writer.state
    if not writer.named or not (writer.waits or state.session.all("SELECT 1 FROM pending_reference LIMIT 1")):
        return
    writer.flush()
    waiting: dict[int, int] = {}  # resource -> entry that brought what it waits for
    named = {state.keys.token(*identifier): entry for identifier, entry in writer.named.items()}
    sql = "SELECT mac, rid FROM pending_reference WHERE mac IN (...)"
    for mac, rid in state.session.among(sql, list(named)):
        waiting[rid] = max(waiting.get(rid, 0), named[mac])
    if not waiting:
        return
    state.load_rids(waiting)
    rows = [state.by_rid[rid] for rid in sorted(waiting)]
    state.load_current(rows)
    by_entry: dict[int, list[Version]] = {}
    for row in rows:
        version = _set(row, writer)
        if version is not None:
            by_entry.setdefault(waiting[row.rid], []).append(version)
    writer.named.clear()
    for entry, versions in by_entry.items():
        writer.write(entry, versions, None, OP_RELINK)
        for version in versions:
            kind = version.row.type
            if kind in OF_ONE_PATIENT:  # an order or a study that is somebody's now: others waited for that
                writer.named |= {(kind, *pair): entry for pair in identifiers(version.shape)}
    settle_pending(writer)


def _set(row: Row, writer: Writer) -> Version | None:
    """Set what can be set in one resource, and stop waiting for it."""
    if row.body is None:
        return None
    value = jsonio.loads(row.body.raw)
    found = False
    about = row.patient
    for reference in patients_first(logical(value)):
        name = wanted(reference)
        if name is None:
            continue
        targets = meant(writer.state, reference, row, about, value)
        if len(targets) == 1:
            reference["reference"] = f"{name[0]}/{targets[0].id}"
            found = True
            if about is None and name[0] == "Patient" and (whose := writer.state.patient_of(value)):
                about = whose.rid
            mac = writer.state.keys.token(*name)
            writer.state.session.run(
                "DELETE FROM pending_reference WHERE mac = ? AND rid = ?", (mac, row.rid)
            )
    if not found:
        return None
    patient = writer.state.patient_of(value)
    if patient is not None:
        row.patient = patient.rid
    return Version(row, Body(jsonio.dumps(value), value, row.body.own), value, row.body, patient)
