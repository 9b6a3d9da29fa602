"""The worklist's side of the core store: codes that no table knew, counted, with the entries that wait for
them, and what people proposed.

In: works with gaps, in the transaction that writes their outcome; proposals of people. Out: `Sighting`
records. One row a (sender, field, table, coding system, code), found by a keyed hash; what can be read is
sealed, because codes and texts of a message may be patient data. Values are never kept here: a few entries
are named, and whoever may see them opens those. Only entries that a person's decision will run again wait:
parked for the code, or written with a work flag because of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import orjson

from engine.kernel.clock import now_ms
from engine.kernel.errors import HubError
from engine.kernel.message import Gap, Outcome, Work
from engine.store.database import Database, Session
from engine.store.keys import Keyring, Keys

__all__ = ["Gaps", "Ledger", "Proposal", "Sighting", "note_gaps", "note_tables", "tables_of_revision"]

MOST = 100_000
"""Codes on the list; beyond, only those for which messages wait: a sender may write free text as codes."""
SAMPLES = 10
"""Entries named a code, the first ones; and units, specimens, panels."""
PARKED, FLAGGED = 1, 2
_FULL = ("samples", "full")
_FIELDS = ("units", "specimens", "kinds", "panels", "texts")


@dataclass(frozen=True, slots=True)
class Proposal:
    """What somebody says a code means. Times are ms since the epoch."""

    state: str  # draft | reviewed | approved | withdrawn
    who: str
    at: int = 0
    table: str = ""
    target_system: str = ""
    target_code: str = ""
    target_display: str = ""
    equivalence: str = ""
    comment: str = ""

    def same_meaning(self, other: Proposal) -> bool:
        """Say whether another proposal says the same of the code."""
        return (self.table, self.target_system, self.target_code, self.equivalence) == (
            other.table,
            other.target_system,
            other.target_code,
            other.equivalence,
        )


@dataclass(frozen=True, slots=True)
class Sighting:
    """One code of one sender that a table did not know. Times are ms since the epoch."""

    id: int
    sender: str
    field: str  # OBX-3
    table: str  # empty: the sender's maps name none for this field
    rule: str  # keep | flag | hold | drop
    system: str  # as the sender wrote it
    uri: str
    code: str
    text: str
    units: tuple[str, ...] = ()
    specimens: tuple[str, ...] = ()
    kinds: tuple[str, ...] = ()
    panels: tuple[str, ...] = ()
    texts: tuple[str, ...] = ()
    samples: tuple[tuple[int, str], ...] = ()  # (entry, location), the first ones
    count: int = 0
    first: int = 0
    last: int = 0
    parked: int = 0  # entries that wait for it, nothing of them written
    flagged: int = 0  # entries that were written, and wait for it
    state: str = "open"  # open | draft | reviewed | approved
    proposals: tuple[Proposal, ...] = ()  # oldest first

    @property
    def proposal(self) -> Proposal | None:
        """What stands now."""
        last = self.proposals[-1] if self.proposals else None
        return None if last is None or last.state == "withdrawn" else last


class Ledger:
    """What a process knows to be in the database: a code seen again costs one UPDATE and no reading."""

    def __init__(self) -> None:
        self.ids: dict[bytes, int] = {}
        self.said: dict[bytes, set[tuple[str, str]]] = {}
        self.revisions: set[str] = set()

    def clear(self) -> None:
        """Forget all: a transaction that may have written it was rolled back."""
        self.ids.clear()
        self.said.clear()
        self.revisions.clear()


def _key(keys: Keys, sender: str, place: str, system: str, code: str) -> bytes:
    parts = (sender, place, system, code)
    return keys.keyring.mac16("gap", "".join(f"{len(p)}|{p}" for p in parts))


def _said(gap: Gap) -> list[tuple[str, str]]:
    pairs = zip(_FIELDS, (gap.unit, gap.specimen, gap.kind, gap.panel, gap.text), strict=True)
    return [(name, value) for name, value in pairs if value]


def _asked(gap: Gap) -> list[tuple[str, str]]:
    return [("table", gap.table), ("rule", gap.rule), ("uri", gap.uri)]


def note_tables(works: Iterable[Work], at: int, session: Session, ledger: Ledger) -> None:
    """Write down which versions of code tables a map revision had, once a revision."""
    new = {w.revision: w.tables for w in works if w.revision not in ledger.revisions}
    rows = [(revision, at, tables) for revision, tables in new.items() if tables]
    session.insert("revision", "name text, at bigint, tables text", rows, "ON CONFLICT DO NOTHING")
    ledger.revisions.update(new)


def tables_of_revision(session: Session, revision: str) -> list[str]:
    """Return the code tables that a map revision named for its sender: `name@version`."""
    rows = session.all("SELECT tables FROM revision WHERE name = ?", (revision,))
    return [name for (tables,) in rows for name in tables.split()]


def note_gaps(
    done: Iterable[tuple[Work, Outcome, bool]], session: Session, keys: Keys, ledger: Ledger
) -> None:
    """Write the gaps of the works of a transaction; `again` (third) says that an entry was counted before."""
    counts: dict[bytes, list[Any]] = {}
    waits: dict[tuple[int, int], int] = {}
    for work, outcome, again in done:
        if again and (
            outcome.status != "parked" or work.revision
        ):  # mapped again: what it lacks is told anew
            session.run("DELETE FROM gap_wait WHERE entry = ?", (work.position,))
        if work.instead is not None and outcome.status == "done":
            session.run("DELETE FROM gap_wait WHERE entry = ?", (work.instead,))
        for gap in work.gaps:
            mac = _key(keys, work.sender, gap.field, gap.system, gap.code)
            number = _known(mac, gap.field, gap, work, outcome.at, session, keys, ledger)
            if number is None:
                continue
            if not again:
                counted = counts.setdefault(mac, [0, number, outcome.at])
                counted[0] += 1
                counted[2] = max(counted[2], outcome.at)
            if gap.rule == "hold" and outcome.cause == "unmapped-code":
                waits[number, work.position] = PARKED
            elif gap.rule == "flag" and outcome.status == "done":
                waits[number, work.position] = FLAGGED
    session.insert(
        "gap_wait",
        "gap bigint, entry bigint, how smallint",
        [(*key, how) for key, how in sorted(waits.items())],
        "ON CONFLICT (gap, entry) DO UPDATE SET how = excluded.how",
    )
    for count, number, at in counts.values():
        newest = "CASE WHEN newest > ? THEN newest ELSE ? END"
        session.run(
            f"UPDATE gap SET count = count + ?, newest = {newest} WHERE id = ?", (count, at, at, number)
        )


def _known(
    mac: bytes, place: str, gap: Gap, work: Work, at: int, session: Session, keys: Keys, ledger: Ledger
) -> int | None:
    """Return the number of a gap, making its row or adding to what it says; None where the list is full."""
    number = ledger.ids.get(mac)
    said = _said(gap)
    if number is not None and ledger.said[mac].issuperset([*said, *_asked(gap), _FULL]):
        return number
    rows = session.all("SELECT id, sealed FROM gap WHERE mac = ?", (mac,))
    facts: dict[str, Any]
    if rows:
        number, sealed = rows[0]
        facts = orjson.loads(keys.keyring.unseal(bytes(sealed), b"core:gap:" + mac))
    else:
        ((newest,),) = session.all("SELECT COALESCE(MAX(id), 0) FROM gap")
        if newest >= MOST and gap.rule in ("keep", "drop"):
            return None
        number = newest + 1
        facts = {
            "sender": work.sender,
            "field": place,
            "system": gap.system,
            "code": gap.code,
            "samples": [],
            **{name: [] for name in _FIELDS},
        }
    before = orjson.dumps(facts)
    facts.update(_asked(gap))
    for name, value in said:
        if value not in facts[name] and len(facts[name]) < SAMPLES:
            facts[name].append(value)
    if (
        gap.where
        and len(facts["samples"]) < SAMPLES
        and work.position not in [s[0] for s in facts["samples"]]
    ):
        facts["samples"].append([work.position, gap.where])
    after = orjson.dumps(facts)
    if not rows:
        sealed = keys.keyring.seal(after, b"core:gap:" + mac)
        session.run(
            "INSERT INTO gap (id, mac, sealed, count, oldest, newest, state) VALUES (?, ?, ?, 0, ?, ?, ?)",
            (number, mac, sealed, at, at, "open"),
        )
    elif after != before:
        sealed = keys.keyring.seal(after, b"core:gap:" + mac)
        session.run("UPDATE gap SET sealed = ? WHERE id = ?", (sealed, number))
    if len(ledger.ids) > 50_000:
        ledger.ids.clear()
        ledger.said.clear()
    ledger.ids[mac] = int(number)
    ledger.said[mac] = (
        set(_asked(gap))
        | {(n, v) for n in _FIELDS for v in facts[n]}
        | {(n, v) for n, v in said if len(facts[n]) >= SAMPLES}
    )
    if len(facts["samples"]) >= SAMPLES:
        ledger.said[mac].add(_FULL)
    return int(number)


class Gaps:
    """The gaps of one store."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._database = database
        self._keys = keys
        self._keyring: Keyring = keys.keyring

    def all(self, states: Sequence[str] = (), numbers: Sequence[int] = ()) -> list[Sighting]:
        """Return the sightings (in some states, of some numbers), those that most waits for first."""
        columns = "SELECT id, mac, sealed, count, oldest, newest, state FROM gap"
        with self._database.read() as session:
            rows = session.among(f"{columns} WHERE id IN (...)", numbers) if numbers else session.all(columns)
            waits = session.all("SELECT gap, how, count(*) FROM gap_wait GROUP BY gap, how")
            said = session.all("SELECT gap, id, at, sealed FROM proposal ORDER BY id")
        waiting = {(gap, how): count for gap, how, count in waits}
        proposals: dict[int, list[Proposal]] = {}
        for gap, number, at, sealed in said:
            proposals.setdefault(gap, []).append(self._proposal(number, at, sealed))
        found = []
        for number, mac, sealed, count, oldest, newest, state in rows:
            if states and state not in states:
                continue
            facts = orjson.loads(self._keyring.unseal(bytes(sealed), b"core:gap:" + bytes(mac)))
            texts = facts["texts"]
            lists: dict[str, Any] = {name: tuple(facts[name]) for name in _FIELDS}
            found.append(
                Sighting(
                    number,
                    text=texts[0] if texts else "",
                    samples=tuple((e, w) for e, w in facts["samples"]),
                    count=count,
                    first=oldest,
                    last=newest,
                    parked=waiting.get((number, PARKED), 0),
                    flagged=waiting.get((number, FLAGGED), 0),
                    state=state,
                    proposals=tuple(proposals.get(number, ())),
                    **lists,
                    **{n: facts[n] for n in ("sender", "field", "table", "rule", "system", "uri", "code")},
                )
            )
        return sorted(found, key=lambda s: (-s.parked, -s.flagged, -s.count, s.id))

    def get(self, number: int) -> Sighting | None:
        """Return one sighting."""
        return next(iter(self.all(numbers=[number])), None)

    def waiting(self, numbers: Sequence[int]) -> dict[int, set[int]]:
        """Return the entries (their positions) that wait for any of these gaps, each with all the gaps for
        which it is parked.
        """
        with self._database.read() as session:
            entries = {
                e for (e,) in session.among("SELECT entry FROM gap_wait WHERE gap IN (...)", list(numbers))
            }
            rows = session.among("SELECT entry, gap, how FROM gap_wait WHERE entry IN (...)", sorted(entries))
        found: dict[int, set[int]] = {entry: set() for entry in sorted(entries)}
        for entry, gap, how in rows:
            if how == PARKED:
                found[entry].add(gap)
        return found

    def forget(self, entries: Sequence[int]) -> None:
        """End the waiting of entries that can never run again: their bodies are gone."""
        with self._database.write() as session:
            for entry in entries:
                session.run("DELETE FROM gap_wait WHERE entry = ?", (entry,))

    def propose(self, number: int, proposal: Proposal, expected: Proposal | None) -> bool:
        """Append a proposal and set the state; False when somebody said something else since `expected`."""
        at = proposal.at or now_ms()
        with self._database.write() as session:
            rows = session.all(
                "SELECT id, at, sealed FROM proposal WHERE gap = ? ORDER BY id DESC LIMIT 1", (number,)
            )
            before = self._proposal(*rows[0]) if rows else None
            if before is not None and before.state == "withdrawn":
                before = None
            if before != expected:
                return False
            ((last,),) = session.all("SELECT COALESCE(MAX(id), 0) FROM proposal")
            facts = {n: getattr(proposal, n) for n in Proposal.__slots__ if n != "at"}
            sealed = self._keyring.seal(orjson.dumps(facts), b"core:proposal:%d" % (last + 1))
            session.run(
                "INSERT INTO proposal (id, gap, at, sealed) VALUES (?, ?, ?, ?)",
                (last + 1, number, at, sealed),
            )
            state = "open" if proposal.state == "withdrawn" else proposal.state
            session.run("UPDATE gap SET state = ? WHERE id = ?", (state, number))
        return True

    def add(self, sender: str, gap: Gap, place: str) -> int:
        """Make a row for a code of an imported list, seen in traffic or not; returns its number."""
        with self._database.write() as session:
            mac = _key(self._keys, sender, place, gap.system, gap.code)
            work = Work(0, 0, "", sender, ())
            number = _known(mac, place, gap, work, now_ms(), session, self._keys, Ledger())
        if number is None:
            raise HubError("the list of codes is full", remedy="approve or map what is on it first")
        return number

    def _proposal(self, number: int, at: int, sealed: bytes) -> Proposal:
        facts = orjson.loads(self._keyring.unseal(bytes(sealed), b"core:proposal:%d" % number))
        return replace(Proposal(**facts), at=at)
