"""References by identifier whose target came later than they did.

In: the identifiers that resources were given in this transaction, and the resources known to wait for one.
Out: new versions of those, their references set. They keep their position: a link found is no statement about
a result.
"""

from __future__ import annotations

from engine.fhir import jsonio
from engine.store.columns import identifiers
from engine.store.content import Version
from engine.store.meant import OF_ONE_PATIENT, meant, patients_first, wanted
from engine.store.pack import Body
from engine.store.references import logical
from engine.store.state import Row
from engine.store.tables import OP_RELINK
from engine.store.writer import Writer

__all__ = ["settle_pending"]


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
