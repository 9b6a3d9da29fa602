"""The index of imaging: what is held of studies, found by keyed hashes, rebuilt from the journal where it is
lost.

In: objects that are on disk and in the journal, queries, what the core store says a study belongs to. Out:
studies, series, instances, and what waits. The rooms behind it: `adding` (batches), `holding` (records),
`searching` (queries), `waiting` (commitments, sendings), `steps`, `retention`. One file of SQLite or a
database of PostgreSQL; several processes may use it at once, threads may share one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from engine.imaging import adding, searching
from engine.imaging.adding import sealed_json
from engine.imaging.database import Database
from engine.imaging.holding import Holding
from engine.imaging.keys import Keys
from engine.imaging.retention import Retention
from engine.imaging.searching import Search
from engine.imaging.steps import Steps
from engine.imaging.tables import bring_up_to_date
from engine.imaging.turn import Turn
from engine.imaging.waiting import Backlog, Commitment, Sending, Waiting
from engine.kernel.imaging import (
    Added,
    HeldInstance,
    HeldStudy,
    Linked,
    NewInstance,
    Peer,
    Step,
    Stored,
    StudyTree,
)
from engine.security.keys import Keyring

__all__ = ["SqlIndex"]

Dataset = Any
_BY = {"accession": "accession", "patient": "patient", "procedure": "procedure", "study-id": "study id"}
_UNSETTLED = "WHERE s.bound IS NULL AND (s.link <> 'linked' OR s.mark <> '') AND s.id > ? AND s.told > 0"


class SqlIndex:
    """The index at one address. Use `SqlIndex.open`."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keys = Keys(keyring)
        self.where = database.where
        self.holding = Holding(database, self._keys)
        self.retention = Retention(database, self._keys)
        self._search = Search(database, self._keys, self.holding)
        self._waiting = Waiting(database, self._keys)
        self._steps = Steps(database, self._keys)

    @classmethod
    def open(cls, url: str, keyring: Keyring) -> SqlIndex:
        """Open the index at `url`, making it first; raises ConfigError or StoreUnavailable."""
        database = Database(url)
        try:
            bring_up_to_date(database, keyring.mac16("imaging", "whose keys are these").hex())
        except BaseException:
            database.close()
            raise
        return cls(database, keyring)

    def close(self) -> None:
        """Close every connection."""
        self._database.close()

    # -- objects ------------------------------------------------------------------------------------------

    def add(self, batch: Sequence[NewInstance]) -> list[Added]:
        """Write objects down in one transaction; the same entry twice changes nothing.

        Raises FormatError for an object without its UIDs: nothing of the batch is written.
        """
        if not batch:
            return []
        prepared = adding.prepare(self._keys, batch)
        with self._database.write() as session:
            return adding.add(session, self._keys, prepared)

    @contextmanager
    def turn(self) -> Iterator[Turn]:
        """Be the one writer for a while; what is added is there for others when it ends without an error."""
        with self._database.write() as session:
            yield Turn(session, self._keys)

    def watermark(self) -> int:
        """Return the journal entry up to which everything is indexed."""
        with self._database.read() as session:
            ((value,),) = session.all("SELECT value FROM imaging_meta WHERE item = 'watermark'")
        return int(value)

    def advance(self, entry: int) -> None:
        """Say that everything up to this journal entry is indexed."""
        with self._database.write() as session:
            session.run(
                "UPDATE imaging_meta SET value = ? WHERE item = 'watermark' AND CAST(value AS BIGINT) < ?",
                (str(entry), entry),
            )

    def keep_leftovers(self, why: str) -> None:
        """Have no object taken for a leftover any more: what the journal named is not known for certain."""
        with self._database.write(durable=True) as session:
            session.run(
                "INSERT INTO imaging_meta (item, value) VALUES ('keep leftovers', ?) "
                "ON CONFLICT (item) DO NOTHING",
                (why,),
            )

    def leftovers_kept(self) -> str:
        """Return why no object may be taken for a leftover; "" where one may."""
        with self._database.read() as session:
            row = session.one("SELECT value FROM imaging_meta WHERE item = 'keep leftovers'")
        return "" if row is None else str(row[0])

    def missing(self, entries: Sequence[tuple[int, str]]) -> set[int]:
        """Return those journal entries (id, SOP instance) that nothing is held by."""
        keys = {entry: self._keys.uid("instance", sop) for entry, sop in entries}
        with self._database.read() as session:
            held = session.among("SELECT entry FROM instance WHERE uid IN (...)", list(keys.values()))
            held += session.among("SELECT entry FROM other_bytes WHERE entry IN (...)", list(keys))
        return set(keys) - {entry for (entry,) in held}

    def others(self, limit: int = 100, after: int = 0, study: str = "") -> list[tuple[int, str, str]]:
        """Return what came under a UID that is held with other bytes: (entry, address, study it names).

        With `study`, what names it, or came under a UID of it.
        """
        where, values = "", []
        if study:
            held = "SELECT i.uid FROM instance i JOIN series x ON x.id = i.series "
            held += "JOIN study t ON t.id = x.study WHERE t.uid = ?"
            where, values = (
                f"AND (s.uid = ? OR o.instance IN ({held})) ",
                [self._keys.uid("study", study)] * 2,
            )
        with self._database.read() as session:
            rows = session.all(
                "SELECT o.entry, o.address, s.uid, s.sealed FROM other_bytes o "
                f"LEFT JOIN study s ON s.id = o.study WHERE o.entry > ? {where}ORDER BY o.entry LIMIT ?",
                (after, *values, limit),
            )
        said = []
        for entry, address, uid, sealed in rows:
            study = (
                "" if uid is None else self.holding.open("study", uid, sealed)["a"]["0020000D"]["Value"][0]
            )
            said.append((entry, bytes(address).hex(), study))
        return said

    def disputed(self, sop_instances: Sequence[str]) -> set[str]:
        """Return those of these UIDs under which other bytes came than those that are held."""
        uids = {self._keys.uid("instance", sop): sop for sop in sop_instances}
        with self._database.read() as session:
            rows = session.among("SELECT instance FROM other_bytes WHERE instance IN (...)", list(uids))
        return {uids[bytes(uid)] for (uid,) in rows}

    def where_is(self, sop_instance: str) -> Stored | None:
        """Return which object is held under a SOP Instance UID, without opening anything."""
        with self._database.read() as session:
            row = session.one(
                "SELECT address, size FROM instance WHERE uid = ?",
                (self._keys.uid("instance", sop_instance),),
            )
        return None if row is None else Stored(bytes(row[0]).hex(), row[1])

    def look(self, sop_instance: str) -> HeldInstance | None:
        """Return one instance by its UID."""
        return self.holding.look(sop_instance)

    def instances(
        self, study: str = "", series: str = "", sop: Sequence[str] = (), attributes: bool = True
    ) -> list[HeldInstance]:
        """Return the instances of a study, a series, or with these UIDs, in the order of their numbers."""
        return self.holding.instances(study, series, sop, attributes)

    def newest(self) -> int:
        """Return the number of the instance that was indexed last; -1 where nothing is held."""
        with self._database.read() as session:
            ((number,),) = session.all("SELECT MAX(id) FROM instance")
        return -1 if number is None else int(number)

    def after(self, number: int, limit: int) -> list[tuple[int, str, str, HeldInstance]]:
        """Return instances in the order they were indexed: (number, channel, sender, instance)."""
        return self.holding.after(number, limit)

    def search(
        self, level: str, query: Dataset, limit: int = 0, offset: int = 0, most: int = searching.MOST
    ) -> Iterator[Dataset]:
        """Yield what matches a query of PATIENT, STUDY, SERIES or IMAGE; TooBroad after `most` rows."""
        return self._search.search(level, query, limit, offset, most)

    # -- studies ------------------------------------------------------------------------------------------

    def study(self, uid: str) -> HeldStudy | None:
        """Return one study."""
        return self.holding.study(uid)

    def tree(self, uid: str) -> StudyTree | None:
        """Return all of one study, each dataset with the attributes of its own level alone."""
        return self.holding.tree(uid)

    def by_key(self, kind: str, value: str) -> list[str]:
        """Return the UIDs of studies by `accession`, `patient`, `procedure` or `study-id`, without issuer."""
        rest = "WHERE s.id IN (SELECT study FROM term WHERE mac = ?) ORDER BY s.id"
        return [
            study.uid for study in self.holding.studies(rest, (self._keys.term(_BY[kind], value.strip()),))
        ]

    def untold(self, changed_before: int, limit: int) -> list[HeldStudy]:
        """Return studies with a state that was not told, unchanged since a moment; longest quiet first."""
        return self.holding.studies(
            "WHERE s.told < s.version AND s.changed <= ? ORDER BY s.changed LIMIT ?", (changed_before, limit)
        )

    def tell(self, uid: str, version: int, entry: int, link: Linked) -> None:
        """Write down that a state of a study was told, in which entry, and what it was found to belong to."""
        key = self._keys.uid("study", uid)
        held = [link.state, link.reason, link.by, link.patient, link.patient_id, link.order, link.order_id]
        sealed = sealed_json(self._keys, [*held, link.encounter_id], b"imaging linked " + key)
        with self._database.write(durable=True) as session:
            session.run(
                "UPDATE study SET told = ?, entry = ?, link = ?, reason = ?, linked = ? "
                "WHERE uid = ? AND told <= ?",
                (version, entry, link.state, link.reason, sealed, key, version),
            )

    def linked(self, uid: str) -> Linked | None:
        """Return what a study was last found to belong to."""
        key = self._keys.uid("study", uid)
        with self._database.read() as session:
            row = session.one("SELECT linked FROM study WHERE uid = ?", (key,))
        if row is None or row[0] is None:
            return None
        state, reason, by, patient, patient_id, order, order_id, encounter = self.holding.open(
            "linked", key, row[0]
        )
        return Linked(state, reason, by, _pair(patient), patient_id, _pair(order), order_id, encounter)

    def touch(self, uid: str) -> None:
        """Have a study told again."""
        with self._database.write(durable=True) as session:
            session.run(
                "UPDATE study SET version = version + 1 WHERE uid = ?", (self._keys.uid("study", uid),)
            )

    def reconcile(self, limit: int = 100, after: str = "") -> list[HeldStudy]:
        """Return studies that wait for a person: told as unmatched or mismatch, or marked; oldest first."""
        number = 0
        if after:
            with self._database.read() as session:
                row = session.one("SELECT id FROM study WHERE uid = ?", (self._keys.uid("study", after),))
            number = row[0] if row is not None else 0
        return self.holding.studies(f"{_UNSETTLED} ORDER BY s.id LIMIT ?", (number, limit))

    def bind(self, uid: str, patient_id: str, order_id: str, who: str, why: str, at: int) -> None:
        """Bind a study by hand to a patient and, where one is named, an order of the core store."""
        key = self._keys.uid("study", uid)
        held = {"patient": patient_id, "order": order_id, "who": who, "why": why, "at": at}
        self._bound(key, sealed_json(self._keys, held, b"imaging bound " + key))

    def unbind(self, uid: str) -> None:
        """Take a binding back."""
        self._bound(self._keys.uid("study", uid), None)

    def _bound(self, key: bytes, sealed: bytes | None) -> None:
        with self._database.write(durable=True) as session:
            session.run("UPDATE study SET bound = ? WHERE uid = ?", (sealed, key))

    def bound(self, uid: str) -> tuple[str, str, str, str] | None:
        """Return (patient id, order id, who, why) of a study that was bound by hand."""
        key = self._keys.uid("study", uid)
        with self._database.read() as session:
            row = session.one("SELECT bound FROM study WHERE uid = ?", (key,))
        if row is None or row[0] is None:
            return None
        held = self.holding.open("bound", key, row[0])
        return held["patient"], held["order"], held["who"], held["why"]

    def counts(self) -> dict[str, int]:
        """Return how much is held and how much waits."""
        with self._database.read() as session:
            ((studies, series, instances),) = session.all(
                "SELECT COUNT(*), COALESCE(SUM(series), 0), COALESCE(SUM(instances), 0) FROM study"
            )
            rest = {
                name: int(session.all(f"SELECT COUNT(*) FROM {what}")[0][0])
                for name, what in (
                    ("untold", "study WHERE told < version"),
                    ("reconcile", "study s " + _UNSETTLED.replace("?", "0")),
                    ("other_bytes", "other_bytes"),
                    ("commitments", "commitment"),
                    ("sendings", "sending"),
                )
            }
        return {"studies": int(studies), "series": int(series), "instances": int(instances), **rest}

    def used(self, addresses: Sequence[str]) -> set[str]:
        """Return those of these addresses that something is held by."""
        return self.retention.used(addresses)

    def forget(self, study: str = "", sop: Sequence[str] = ()) -> list[str]:
        """Forget a study or instances; return the addresses of objects that nothing uses any more."""
        return self.retention.forget(study, sop)

    # -- procedure steps, commitments, sendings -----------------------------------------------------------

    def step(self, uid: str) -> Step | None:
        """Return one performed procedure step."""
        return self._steps.step(uid)

    def put_step(self, step: Step, studies: Iterable[str] = ()) -> None:
        """Write the state of a step down, with the studies it names and these."""
        self._steps.put_step(step, studies)

    def steps_of(self, study: str) -> list[Step]:
        """Return the steps of a study, oldest first."""
        return self._steps.steps_of(study)

    def add_commitment(
        self, transaction: str, peer: Peer, references: Sequence[tuple[str, str]], at: int
    ) -> None:
        """Write a request for storage commitment down."""
        self._waiting.add_commitment(transaction, peer, references, at)

    def due_commitments(self, at: int) -> list[Commitment]:
        """Return requests whose answer is to be tried now, oldest first."""
        return self._waiting.due_commitments(at)

    def commitment_done(self, transaction: str, peer: Peer) -> None:
        """Forget a request: it is answered, or given up."""
        self._waiting.commitment_done(transaction, peer)

    def commitment_failed(self, transaction: str, peer: Peer, next_at: int) -> None:
        """Try a request again later."""
        self._waiting.commitment_failed(transaction, peer, next_at)

    def cursor(self, name: str) -> int:
        """Return how far a reader of `after` has come."""
        return self._waiting.cursor(name)

    def queue(self, name: str, upto: int, sendings: Sequence[tuple[str, str]]) -> None:
        """Queue (destination, SOP instance) pairs, and move a reader of `after` on, in one transaction."""
        self._waiting.queue(name, upto, sendings)

    def enqueue(self, to: str, sop_instances: Sequence[str]) -> None:
        """Queue objects for one destination; what waits or is parked there is tried at once."""
        self._waiting.enqueue(to, sop_instances)

    def due_sendings(self, to: str, at: int, limit: int) -> list[Sending]:
        """Return what is to be sent to one destination now, oldest first."""
        return self._waiting.due_sendings(to, at, limit)

    def sent(self, numbers: Sequence[int]) -> None:
        """Forget what was taken."""
        self._waiting.sent(numbers)

    def send_failed(self, number: int, next_at: int | None, why: str) -> None:
        """Try again at `next_at`, or park it for a person where that is None."""
        self._waiting.send_failed(number, next_at, why)

    def send_again(self, to: str) -> int:
        """Try everything that waits or is parked for a destination now; return how much."""
        return self._waiting.send_again(to)

    def backlog(self) -> dict[str, Backlog]:
        """Return what waits for each destination."""
        return self._waiting.backlog()


def _pair(held: Sequence[str] | None) -> tuple[str, str] | None:
    return None if held is None else (held[0], held[1])
