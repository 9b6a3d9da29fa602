"""What one transaction knows of the resources its works speak of, before anything is written.

In: the keys of a whole batch. Out: rows and bodies, loaded in a few queries, that carry what the works before
have already done to them (the database itself is written once, at the end). A row that is not yet in the
database has version 0.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import orjson

from engine.kernel.message import Flag
from engine.store.columns import identifiers, patient_reference
from engine.store.database import Session
from engine.store.keys import Keys, id_bytes, id_text
from engine.store.pack import Bodies, Body, open_pack

__all__ = ["COLUMNS", "Park", "Row", "State", "Types", "load_bodies", "row_from", "token_query"]

COLUMNS = (
    "r.rid, r.type, r.id, r.seq, r.version, r.position, r.patient, r.code, r.date_from, r.date_to, "
    "r.deleted, r.times"
)


class Row:
    """A current resource: the columns of its row, its survivor if it is a retired Patient, and its body once
    loaded.
    """

    __slots__ = (
        "assigned",
        "blank",
        "body",
        "code",
        "date_from",
        "date_to",
        "deleted",
        "id",
        "key",
        "patient",
        "position",
        "rid",
        "seq",
        "survivor",
        "times",
        "type",
        "version",
    )

    def __init__(self, rid: int, kind: str, key: bytes) -> None:
        self.rid = rid
        self.type = kind
        self.key = key  # stored form of the public id
        self.id = ""  # the public id
        self.seq = 0
        self.version = 0
        self.position = -1
        self.patient: int | None = None
        self.code: int | None = None
        self.date_from: int | None = None
        self.date_to: int | None = None
        self.deleted = 0
        self.survivor: int | None = None
        self.times: dict[str, int] | None = None  # None: those that stand with the body's ownership
        self.body: Body | None = None
        self.assigned: dict[str, Any] | None = None  # the identifier the hub gave it, while being rebuilt
        self.blank = False  # being rebuilt from nothing: its versions so far do not count

    @property
    def exists(self) -> bool:
        """Whether there is something here to link to or to merge with."""
        return not (self.blank or self.deleted) and (self.version > 0 or self.body is not None)


class Park(Exception):
    """This work cannot be written as it is; a person must look."""

    def __init__(self, flag: Flag) -> None:
        self.flag = flag
        super().__init__(flag.code)


class Types:
    """The numbers of the resource types."""

    def __init__(self) -> None:
        self.numbers: dict[str, int] = {}
        self.names: dict[int, str] = {}

    def copy(self) -> Types:
        """Return a copy for a transaction, which may meet types of its own that are rolled back."""
        made = Types()
        made.numbers, made.names = dict(self.numbers), dict(self.names)
        return made

    def take(self, other: Types) -> None:
        """Take over what a transaction learned, once it is committed."""
        self.numbers.update(other.numbers)
        self.names.update(other.names)

    def load(self, session: Session) -> None:
        """Read the types that other processes may have added."""
        for number, name in session.all("SELECT id, name FROM rtype"):
            self.numbers[name] = number
            self.names[number] = name

    def name(self, session: Session, number: int) -> str:
        """Return the name of a type."""
        if number not in self.names:
            self.load(session)
        return self.names[number]

    def number(self, session: Session, name: str) -> int | None:
        """Return the number of a type, if any resource of it was ever written."""
        if name not in self.numbers:
            self.load(session)
        return self.numbers.get(name)


def row_from(columns: tuple[Any, ...], types: Types, session: Session) -> Row:
    """Make a row of what `COLUMNS` selects."""
    row = Row(columns[0], types.name(session, columns[1]), bytes(columns[2]))
    row.id = id_text(row.key)
    (
        row.seq,
        row.version,
        row.position,
        row.patient,
        row.code,
        row.date_from,
        row.date_to,
        row.deleted,
    ) = columns[3:11]
    row.times = orjson.loads(columns[11]) if columns[11] else None
    return row


def load_bodies(session: Session, keys: Keys, bodies: Bodies, seqs: Iterable[int]) -> dict[int, Body]:
    """Return the bodies of these versions, from memory or out of their packs; tombstones have none."""
    found: dict[int, Body] = {}
    missing = []
    for seq in seqs:
        body = bodies.get(seq)
        if body is not None:
            found[seq] = body
        else:
            missing.append(seq)
    slots: dict[int, list[tuple[bytes, bytes]]] = {}
    sql = "SELECT h.seq, h.pack FROM history h WHERE h.pack IS NOT NULL AND h.seq IN (...)"
    places = session.among(sql, missing)
    for number, sealed in session.among(
        "SELECT id, sealed FROM pack WHERE id IN (...)", list({pack for _, pack in places})
    ):
        slots[number] = open_pack(keys.keyring, number, bytes(sealed))
    for seq, pack in places:
        raw, own = slots[pack][seq - pack]
        body = found[seq] = Body(raw, None, orjson.loads(own))
        bodies.put(seq, body)
    return found


@dataclass(slots=True)
class State:
    """The rows of one transaction: by identity key, and by number."""

    session: Session
    keys: Keys
    types: Types
    bodies: Bodies
    next_seq: int = 0
    next_rid: int = 0
    at: int = 0
    by_key: dict[bytes, Row] = field(default_factory=dict)
    by_rid: dict[int, Row] = field(default_factory=dict)
    numbers: dict[int, list[tuple[str, str]]] = field(default_factory=dict)
    """(number, authority) of every patient merged into one, by the survivor."""
    tokens: dict[int, set[int]] = field(
        default_factory=dict
    )  # identifiers this transaction adds -> resources

    def load(self, keys: Iterable[bytes]) -> None:
        """Load every row bound to one of these keys, and the survivors of those that are retired."""
        sql = (
            f"SELECT i.key, a.survivor, {COLUMNS} FROM identity i JOIN resource r ON r.rid = i.rid "
            "LEFT JOIN alias a ON a.retired = r.rid WHERE i.key IN (...)"
        )
        survivors = []
        for key, survivor, *columns in self.session.among(sql, list(keys), "bytea"):
            row = self.by_rid.get(columns[0])
            if row is None:
                row = self._keep(tuple(columns), survivor)
                if survivor is not None:
                    survivors.append(survivor)
            self.by_key[bytes(key)] = row
        self.load_rids(survivors)

    def load_rids(self, rids: Iterable[int]) -> None:
        """Load rows by number."""
        wanted = [rid for rid in rids if rid not in self.by_rid]
        sql = (
            f"SELECT a.survivor, {COLUMNS} FROM resource r LEFT JOIN alias a ON a.retired = r.rid "
            "WHERE r.rid IN (...)"
        )
        for survivor, *columns in self.session.among(sql, wanted):
            self._keep(tuple(columns), survivor)

    def load_numbers(self, rids: Iterable[int]) -> None:
        """Load by what numbers the patients that were merged into these were known."""
        wanted = [rid for rid in rids if rid not in self.numbers]
        self.numbers |= {rid: [] for rid in wanted}
        sql = "SELECT retired, survivor, numbers FROM alias WHERE numbers IS NOT NULL AND survivor IN (...)"
        for retired, survivor, sealed in self.session.among(sql, wanted):
            plain = self.keys.keyring.unseal(bytes(sealed), b"core:alias:%d" % retired)
            self.merged_numbers(survivor, [(number, authority) for number, authority in orjson.loads(plain)])

    def merged_numbers(self, survivor: int, numbers: Iterable[tuple[str, str]]) -> None:
        """Add numbers by which a survivor is known."""
        known = self.numbers.setdefault(survivor, [])
        known += [pair for pair in dict.fromkeys(numbers) if pair not in known]

    def _keep(self, columns: tuple[Any, ...], survivor: int | None) -> Row:
        row = row_from(columns, self.types, self.session)
        row.survivor = survivor
        self.by_rid[row.rid] = row
        self.by_key.setdefault(row.key, row)
        return row

    def load_current(self, rows: Iterable[Row]) -> None:
        """Load the bodies of rows that have one and have not got it yet."""
        wanted = {row.seq: row for row in rows if row.body is None and row.version and not row.deleted}
        for seq, body in load_bodies(self.session, self.keys, self.bodies, wanted).items():
            wanted[seq].body = body

    def patient_of(self, body: dict[str, Any]) -> Row | None:
        """Return the Patient a body refers to, if this transaction has met it."""
        reference = patient_reference(body)
        return self.by_key.get(id_bytes("Patient", reference[8:])) if reference else None

    def of_patient(self, kind: str, patient: Row) -> list[Row]:
        """Return what there is of a type of a patient, with its body."""
        number = self.types.number(self.session, kind)
        if patient.version and number is not None:
            sql = "SELECT rid FROM resource WHERE patient = ? AND type = ? AND deleted = 0 ORDER BY rid"
            self.load_rids(rid for (rid,) in self.session.all(sql, (patient.rid, number)))
        rows = [r for r in self.by_rid.values() if r.type == kind and r.patient == patient.rid and r.exists]
        self.load_current(rows)
        return rows

    def having(self, kind: str, system: str, value: str) -> list[Row]:
        """Return the resources of a type that are known by an identifier; a retired Patient's survivor for
        it.
        """
        key = self.keys.identity(kind, system, value)
        if key not in self.by_key:
            self.load([key])
        row = self.by_key.get(key)
        if row is not None:
            rows = [row]
        else:
            mac = self.keys.token(kind, system, value)
            rids = {rid for (rid,) in self.session.all(token_query(self.session, [mac]))}
            rids |= self.tokens.get(mac, set())
            self.load_rids(rids)
            rows = [self.by_rid[rid] for rid in sorted(rids) if self.by_rid[rid].type == kind]
            self.load_current(rows)
            rows = [r for r in rows if r.body is not None and (system, value) in identifiers(r.body.value)]
        survivors = {r.rid if r.survivor is None else r.survivor for r in rows if not r.deleted}
        self.load_rids(survivors)
        return [self.by_rid[rid] for rid in sorted(survivors)]


def token_query(session: Session, macs: Iterable[int]) -> str:
    """Write the query for the resources that have, or had, one of these identifiers."""
    ((newest,),) = session.all("SELECT COALESCE(MAX(era), 0) FROM token")
    eras = ",".join(map(str, range(newest + 1)))
    return f"SELECT rid FROM token WHERE era IN ({eras}) AND mac IN ({','.join(map(str, macs))})"
