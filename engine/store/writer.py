"""What one transaction writes, gathered and then written table by table in a few statements.

In: versions, bindings, touches, outcomes of many works. Out: rows in the database. Bodies of one entry go
into one pack, sealed once; feed positions are handed out in the order of writing, under the store's write
lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from engine.kernel.message import Outcome, Work
from engine.store.columns import codings, concept_of, identifiers, span_of
from engine.store.content import Version
from engine.store.deliveries import Asked
from engine.store.gaps import Ledger, note_gaps, note_tables
from engine.store.keys import Keys
from engine.store.meant import OF_ONE_PATIENT
from engine.store.pack import Body, seal_pack
from engine.store.state import Row, State
from engine.store.tables import ENTRY_ERA, OP_CREATE, OP_DELETE, OP_UPDATE, PACK_SLOTS, RID_ERA

__all__ = ["Writer", "outcome_columns"]

_AGAIN = {"Patient", "Encounter", "Practitioner", "PractitionerRole", "Organization", "Location", "Coverage"}
"""What the next messages will speak of again: kept in memory from the first version on; a result is not."""

_OUTCOME = (
    "entry bigint, position bigint, status text, channel text, sender text, revision text, "
    "cause text, place text, text text, written bigint, unchanged bigint, superseded bigint, flags text, "
    "reason bytea, at bigint, work bigint"
)


def outcome_columns() -> str:
    """Return the names of the outcome's columns, in order."""
    return ", ".join(column.split()[0] for column in _OUTCOME.split(", "))


class Writer:
    """The rows one transaction is going to write."""

    def __init__(self, state: State, keys: Keys, concepts: set[int], ledger: Ledger | None = None) -> None:
        self.state = state
        self.keys = keys
        self._concepts = concepts  # hashes whose codings are known to be in the database
        self._bindings: list[tuple[bytes, int]] = []
        self._packs: list[tuple[int, int, bytes]] = []
        self._history: list[tuple[Any, ...]] = []
        self._new: dict[int, Row] = {}
        self._changed: dict[int, Row] = {}
        self._moved: dict[int, Row] = {}
        self._tokens: set[tuple[int, int, int]] = set()
        self._codings: set[tuple[int, int]] = set()
        self._touches: dict[tuple[int, int, int, int], tuple[int | None, str | None]] = {}
        self._outcomes: list[tuple[Any, ...]] = []
        self._search: set[tuple[int, int, int]] = set()
        self._deliveries = Asked()
        self._lanes: dict[int, int] = {}
        self._pending: set[tuple[int, int]] = set()
        self._ledger = ledger or Ledger()
        self._sighted: list[tuple[Work, Outcome, bool]] = []  # what the worklist of codes must know
        self.named: dict[tuple[str, str, str], int] = {}
        """(type, system, value) of identifiers that resources were given -> the entry that gave them."""
        self.new_types: dict[str, int] = {}
        self.new_concepts: set[int] = set()
        self.new_bodies: list[tuple[int, Body]] = []

    def bind(self, key: bytes, row: Row) -> None:
        """Bind an identity to a resource, for ever."""
        self._bindings.append((key, row.rid))
        self.state.by_key[key] = row

    def write(
        self,
        entry: int,
        versions: Sequence[Version],
        position: int | None,
        op: int | None = None,
    ) -> None:
        """Append versions of one entry as one pack. `position` None: each row keeps its own."""
        for start in range(0, len(versions), PACK_SLOTS):
            part = versions[start : start + PACK_SLOTS]
            pack = self.state.next_seq + 1
            slots = []
            for version in part:
                row = version.row
                slots.append((version.body.raw, orjson.dumps(version.body.own)))
                if op is None:
                    self._columns(version, entry)
                self._append(row, entry, row.position if position is None else position, pack, op)
                row.body = version.body
                if row.version > 1 or row.type in _AGAIN:
                    self.new_bodies.append((row.seq, version.body))
            self._packs.append((pack, entry, seal_pack(self.keys.keyring, pack, slots)))

    def delete(self, row: Row, entry: int) -> None:
        """Append a tombstone."""
        row.deleted = 1
        self._append(row, entry, row.position, None, OP_DELETE)
        row.body = None

    def _append(self, row: Row, entry: int, position: int, pack: int | None, op: int | None) -> None:
        state = self.state
        state.next_seq += 1
        before = row.seq or None
        row.seq = state.next_seq
        row.version += 1
        row.position = position
        if pack is not None:
            row.deleted = 0
        if before is None:
            self._new[row.rid] = row
            state.by_rid[row.rid] = row
        elif row.rid not in self._new:
            self._changed[row.rid] = row
        self._history.append(
            (
                row.seq,
                row.rid,
                row.version,
                entry,
                position,
                pack,
                state.at,
                op or (OP_CREATE if before is None else OP_UPDATE),
                before,
            )
        )

    def _columns(self, version: Version, entry: int) -> None:
        row, value, before = version.row, version.shape, version.before
        kind = row.type
        concept = concept_of(value)
        row.code = None
        if concept is not None:
            found = codings(concept)
            if found:
                row.code = number = self.keys.concept(found)
                if number not in self._concepts and number not in self.new_concepts:
                    self.new_concepts.add(number)
                    self._codings.update((mac, number) for mac in self.keys.coding_hashes(found))
        row.date_from, row.date_to = span_of(kind, value)
        if "identifier" in value:
            known = set(identifiers(before.value)) if before is not None else ()
            whose = kind in OF_ONE_PATIENT and before is not None and _whose(before.value) != _whose(value)
            for pair in identifiers(value):
                if pair not in known:
                    self._identified(row, *pair, entry)
                elif whose:  # another waited for it to be its patient's
                    self.named[kind, *pair] = entry

    def _identified(self, row: Row, system: str, value: str, entry: int) -> None:
        """Note an identifier of a resource to search by.

        The one that its id was made of is found through the id; if it is put together of several parts,
        nobody looks for it by its value alone.
        """
        self.named[row.type, system, value] = entry
        if not system or self.keys.identity(row.type, system, value) != row.key:
            macs: tuple[int, ...] = self.keys.tokens(row.type, system, value)
        elif "|" in value:
            return
        else:
            macs = (self.keys.token(row.type, None, value),)
        for mac in macs:
            self._tokens.add((row.rid >> RID_ERA, mac, row.rid))
            self.state.tokens.setdefault(mac, set()).add(row.rid)

    @property
    def waits(self) -> bool:
        """Whether this transaction adds a resource that waits for the target of a reference."""
        return bool(self._pending)

    def pend(self, mac: int, row: Row) -> None:
        """Note that a resource waits for the target of a reference to arrive."""
        self._pending.add((mac, row.rid))

    def move(self, row: Row, position: int) -> None:
        """Note that a newer entry said the same again."""
        if position > row.position:
            row.position = position
            self._moved[row.rid] = row

    def touch(self, row: Row, work: Work, late: bool = False) -> None:
        """Note that an entry spoke of a patient's resource without making a version."""
        if row.patient is not None:
            key = (work.position >> ENTRY_ERA, row.rid, work.position, work.entry)
            self._touches[key] = (1 if late else None, _text(row.times))

    def outcome(self, outcome: Outcome, work: Work, reason: str = "") -> None:
        """Record what became of an entry, its search keys, its deliveries and its lanes."""
        flags = (
            orjson.dumps([[f.code, f.where, f.text, f.work] for f in outcome.flags]).decode()
            if outcome.flags
            else None
        )
        sealed = self.keys.keyring.seal(reason.encode(), b"core:reason:%d" % work.entry) if reason else None
        self._outcomes.append(
            (
                *(work.entry, work.position, outcome.status, work.channel, work.sender, outcome.revision),
                *(outcome.cause or None, outcome.where or None, outcome.text or None),
                *(outcome.written, outcome.unchanged, outcome.superseded, flags, sealed, outcome.at),
                sum(f.work for f in outcome.flags) or None if flags and outcome.status == "done" else None,
            )
        )
        again = bool(reason) or work.entry != work.position
        new = work.revision and work.revision not in self._ledger.revisions
        if work.gaps or again or work.instead or new:
            self._sighted.append((work, outcome, again))
        era = work.entry >> ENTRY_ERA
        for kind, value in work.search:
            self._search.add((era, self.keys.search(kind, value), work.entry))
        if work.deliveries and outcome.status == "done":
            self._deliveries.note(work, self.state)
        self.advance(work.lanes, work.entry)

    def advance(self, lanes: Sequence[int], upto: int) -> None:
        """Raise the watermark of lanes."""
        for lane in lanes:
            if upto > self._lanes.get(lane, -1):
                self._lanes[lane] = upto

    def type_number(self, name: str) -> int:
        """Return the number of a resource type, making it when it is the first."""
        number = self.state.types.numbers.get(name) or self.new_types.get(name)
        if number is None:
            self.state.types.load(self.state.session)
            number = self.state.types.numbers.get(name)
            if number is None:
                number = max([0, *self.state.types.names, *self.new_types.values()]) + 1
                self.new_types[name] = number
        return number

    def flush(self) -> None:
        """Write everything gathered so far."""
        session = self.state.session
        nothing = "ON CONFLICT DO NOTHING"
        new = [_resource(row, self.type_number(row.type)) for row in self._new.values()]
        session.insert(
            "rtype", "id bigint, name text", [(n, name) for name, n in self.new_types.items()], nothing
        )
        session.insert("pack", "id bigint, entry bigint, sealed bytea", self._packs)
        session.insert(
            "history",
            "seq bigint, rid bigint, version bigint, entry bigint, position bigint, pack bigint, at bigint, "
            "op smallint, prev bigint",
            self._history,
        )
        session.insert(
            "resource",
            "rid bigint, type bigint, id bytea, seq bigint, version bigint, position bigint, patient bigint, "
            "code bigint, date_from bigint, date_to bigint, deleted smallint, times text",
            new,
        )
        session.update(
            "resource",
            "rid",
            "seq bigint, version bigint, position bigint, patient bigint, code bigint, "
            "date_from bigint, date_to bigint, deleted smallint, times text",
            [(*_resource(r, 0)[3:], r.rid) for r in self._changed.values()],
        )
        moved = [
            (r.position, _text(r.times), r.rid)
            for r in self._moved.values()
            if r.rid not in self._new and r.rid not in self._changed
        ]
        session.update("resource", "rid", "position bigint, times text", moved)
        session.insert("identity", "key bytea, rid bigint", self._bindings)
        session.insert("token", "era bigint, mac bigint, rid bigint", sorted(self._tokens), nothing)
        session.insert("concept", "mac bigint, concept bigint", list(self._codings), nothing)
        session.insert(
            "touch",
            "era bigint, rid bigint, position bigint, entry bigint, late smallint, times text",
            [(*key, *self._touches[key]) for key in sorted(self._touches)],
            nothing,
        )
        session.insert("pending_reference", "mac bigint, rid bigint", sorted(self._pending), nothing)
        self._flush_outcomes()
        for rows in (self._bindings, self._packs, self._history, self._outcomes):
            rows.clear()
        for gathered in (self._tokens, self._codings, self._search, self._pending):
            gathered.clear()
        for mapping in (self._new, self._changed, self._moved, self._lanes):
            mapping.clear()
        self._touches.clear()

    def _flush_outcomes(self) -> None:
        session = self.state.session
        if self._sighted:
            note_gaps(self._sighted, session, self.keys, self._ledger)
            note_tables((work for work, _, _ in self._sighted), self.state.at, session, self._ledger)
            self._sighted.clear()
        names = [column.split()[0] for column in _OUTCOME.split(", ")]
        replace = "ON CONFLICT (entry) DO UPDATE SET " + ", ".join(f"{n} = excluded.{n}" for n in names[1:])
        session.insert("outcome", _OUTCOME, self._outcomes, replace)
        session.insert(
            "search_key",
            "era bigint, mac bigint, entry bigint",
            sorted(self._search),
            "ON CONFLICT DO NOTHING",
        )
        self._deliveries.flush(session)
        higher = (
            "ON CONFLICT (lane) DO UPDATE SET watermark = excluded.watermark "
            "WHERE excluded.watermark > lane.watermark"
        )
        session.insert("lane", "lane bigint, watermark bigint", sorted(self._lanes.items()), higher)
        session.run(
            "UPDATE core_clock SET seq = ?, rid = ?, at = ? WHERE id = 1",
            (self.state.next_seq, self.state.next_rid, self.state.at),
        )


def _whose(value: dict[str, Any]) -> Any:
    return (value.get("subject") or {}).get("reference")


def _resource(r: Row, kind: int) -> tuple[Any, ...]:
    return (
        r.rid,
        kind,
        r.key,
        r.seq,
        r.version,
        r.position,
        r.patient,
        r.code,
        r.date_from,
        r.date_to,
        r.deleted,
        _text(r.times),
    )


def _text(times: dict[str, int] | None) -> str | None:
    return orjson.dumps(times).decode() if times else None
