"""Merging two Patients (HL7 v2 ADT^A40): the alias, and every reference to the retired one.

In: pairs (retired, survivor) of one work. Out: alias rows, and new versions of the resources about the
retired Patient that now name the survivor. They keep the position of the entry that last said something about
them: a merge is no statement about a result.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import orjson

from engine.fhir import jsonio
from engine.kernel.message import Work
from engine.store.content import Version
from engine.store.pack import Body
from engine.store.references import renamed
from engine.store.state import COLUMNS, Row
from engine.store.tables import OP_RELINK
from engine.store.writer import Writer

__all__ = ["record_merges"]

_AT_ONCE = 500


def record_merges(
    pairs: Sequence[tuple[Row, Row]],
    numbers: Mapping[int, Sequence[tuple[str, str]]],
    work: Work,
    writer: Writer,
) -> None:
    """Make retired numbers aliases of their survivors, and re-point what referred to them.

    `numbers`: (number, authority) of both, by the retired patient: keys that hold one are looked for by all.
    """
    state = writer.state
    state.load_numbers({row.rid for pair in pairs for row in pair})
    for retired, survivor in pairs:
        state.merged_numbers(survivor.rid, [*numbers[retired.rid], *state.numbers.pop(retired.rid, ())])
        writer.flush()  # the retired row may be new; what this transaction wrote about it must be found below
        retired.survivor = survivor.rid
        for row in state.by_rid.values():
            if row.survivor == retired.rid:
                row.survivor = survivor.rid
        sealed = state.keys.keyring.seal(orjson.dumps(numbers[retired.rid]), b"core:alias:%d" % retired.rid)
        state.session.run("UPDATE alias SET survivor = ? WHERE survivor = ?", (survivor.rid, retired.rid))
        state.session.run(
            "INSERT INTO alias (retired, survivor, entry, at, numbers) VALUES (?, ?, ?, ?, ?) "
            "ON CONFLICT DO NOTHING",
            (retired.rid, survivor.rid, work.entry, state.at, sealed),
        )
        _repoint(retired, survivor, work, writer)


def _repoint(retired: Row, survivor: Row, work: Work, writer: Writer) -> None:
    state = writer.state
    names = {f"Patient/{retired.id}": f"Patient/{survivor.id}"}
    after = 0
    while True:
        found = state.session.all(
            f"SELECT {COLUMNS} FROM resource r WHERE r.patient = ? AND r.rid > ? "
            f"ORDER BY r.rid LIMIT {_AT_ONCE}",
            (retired.rid, after),
        )
        if not found:
            return
        after = found[-1][0]
        state.load_rids([columns[0] for columns in found])
        rows = [state.by_rid[columns[0]] for columns in found if columns[0] != retired.rid]
        state.load_current(rows)
        versions = []
        for row in rows:
            if row.body is None:
                continue
            value = renamed(row.body.value, names)
            if value is not row.body.value:
                row.patient = survivor.rid
                body = Body(jsonio.dumps(value), value, row.body.own)
                versions.append(Version(row, body, value, row.body, survivor))
        writer.write(work.entry, versions, None, OP_RELINK)
        writer.flush()
