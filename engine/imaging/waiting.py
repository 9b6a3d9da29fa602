"""What waits to be answered or sent on: storage commitments (PS3.4 J), objects on their way to other systems.

In: requests and what became of each try. Out: what is due. Nothing here can be made again from the journal:
every change is on disk before it is told.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import orjson

from engine.imaging.adding import sealed_json
from engine.imaging.database import Database, Session
from engine.imaging.keys import Keys, first
from engine.kernel.imaging import Peer

__all__ = ["Backlog", "Commitment", "Sending", "Waiting"]

_AT_ONCE = 100


@dataclass(frozen=True, slots=True)
class Commitment:
    """A request for storage commitment that is not answered yet."""

    transaction: str
    peer: Peer
    references: tuple[tuple[str, str], ...]  # (SOP class, SOP instance)
    asked: int
    tries: int


@dataclass(frozen=True, slots=True)
class Sending:
    """One object that is to go to one destination."""

    number: int
    sop_instance: str
    tries: int


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for one destination."""

    waiting: int
    parked: int  # refused for good: a person decides


class Waiting:
    """The two queues."""

    def __init__(self, database: Database, keys: Keys) -> None:
        self._database, self._keys = database, keys

    def add_commitment(
        self, transaction: str, peer: Peer, references: Sequence[tuple[str, str]], at: int
    ) -> None:
        """Write a request down; the same transaction of the same peer takes the place of the one before."""
        key = self._commitment(transaction, peer)
        held = {"t": transaction, "p": list(peer), "r": [list(pair) for pair in references]}
        with self._database.write(durable=True) as session:
            session.run(
                "INSERT INTO commitment (uid, sealed, asked, due, tries) VALUES (?, ?, ?, ?, 0) "
                "ON CONFLICT (uid) DO UPDATE SET sealed = excluded.sealed, asked = excluded.asked, "
                "due = excluded.due, tries = 0",
                (key, sealed_json(self._keys, held, b"imaging commitment " + key), at, at),
            )

    def due_commitments(self, at: int) -> list[Commitment]:
        """Return requests whose answer is to be tried now, oldest first."""
        with self._database.read() as session:
            rows = session.all(
                "SELECT uid, sealed, asked, tries FROM commitment WHERE due <= ? ORDER BY due LIMIT ?",
                (at, _AT_ONCE),
            )
        due = []
        for uid, sealed, asked, tries in rows:
            held = orjson.loads(self._keys.unseal(bytes(sealed), b"imaging commitment " + bytes(uid)))
            pairs = tuple((sop_class, sop) for sop_class, sop in held["r"])
            due.append(Commitment(held["t"], Peer(*held["p"]), pairs, asked, tries))
        return due

    def commitment_done(self, transaction: str, peer: Peer) -> None:
        """Forget a request: it is answered, or given up."""
        with self._database.write(durable=True) as session:
            session.run("DELETE FROM commitment WHERE uid = ?", (self._commitment(transaction, peer),))

    def commitment_failed(self, transaction: str, peer: Peer, next_at: int) -> None:
        """Try a request again later."""
        with self._database.write(durable=True) as session:
            session.run(
                "UPDATE commitment SET tries = tries + 1, due = ? WHERE uid = ?",
                (next_at, self._commitment(transaction, peer)),
            )

    def _commitment(self, transaction: str, peer: Peer) -> bytes:
        return self._keys.uid("commitment", f"{peer.channel}\\{peer.aet}\\{transaction}")

    def cursor(self, name: str) -> int:
        """Return how far a reader of `Holding.after` has come."""
        with self._database.read() as session:
            row = session.one("SELECT value FROM imaging_meta WHERE item = ?", (f"cursor {name}",))
        return int(row[0]) if row is not None else 0

    def queue(self, name: str, upto: int, sendings: Sequence[tuple[str, str]]) -> None:
        """Queue (destination, SOP instance) pairs, and move a reader on, in one transaction."""
        with self._database.write(durable=True) as session:
            self._enqueue(session, sendings)
            session.run(
                "INSERT INTO imaging_meta (item, value) VALUES (?, ?) "
                "ON CONFLICT (item) DO UPDATE SET value = excluded.value",
                (f"cursor {name}", str(upto)),
            )

    def enqueue(self, to: str, sop_instances: Sequence[str]) -> None:
        """Queue objects for one destination; what waits or is parked there is tried at once."""
        with self._database.write(durable=True) as session:
            self._enqueue(session, [(to, uid) for uid in sop_instances])

    def _enqueue(self, session: Session, sendings: Sequence[tuple[str, str]]) -> None:
        session.many(
            "INSERT INTO sending (destination, instance, due, tries, why) "
            "SELECT ?, id, 0, 0, '' FROM instance WHERE uid = ? "
            "ON CONFLICT (destination, instance) DO UPDATE SET due = 0, tries = 0, why = ''",
            [(to, self._keys.uid("instance", uid)) for to, uid in sendings],
        )

    def due_sendings(self, to: str, at: int, limit: int) -> list[Sending]:
        """Return what is to be sent to one destination now, oldest first."""
        with self._database.read() as session:
            rows = session.all(
                "SELECT q.id, q.tries, i.uid, i.sealed FROM sending q JOIN instance i ON i.id = q.instance "
                "WHERE q.destination = ? AND q.due <= ? ORDER BY q.id LIMIT ?",
                (to, at, limit),
            )
        due = []
        for number, tries, uid, sealed in rows:
            held = orjson.loads(self._keys.unseal(bytes(sealed), b"imaging instance " + bytes(uid)))
            due.append(Sending(number, first(held["a"], "00080018"), tries))
        return due

    def sent(self, numbers: Sequence[int]) -> None:
        """Forget what was taken."""
        with self._database.write(durable=True) as session:
            session.many("DELETE FROM sending WHERE id = ?", [(number,) for number in numbers])

    def send_failed(self, number: int, next_at: int | None, why: str) -> None:
        """Try again at `next_at`, or park it for a person where that is None."""
        with self._database.write(durable=True) as session:
            session.run(
                "UPDATE sending SET tries = tries + 1, due = ?, why = ? WHERE id = ?",
                (next_at, why[:200], number),
            )

    def send_again(self, to: str) -> int:
        """Have everything of a destination tried now, what was refused too; return how much that is."""
        with self._database.write(durable=True) as session:
            ((number,),) = session.all("SELECT COUNT(*) FROM sending WHERE destination = ?", (to,))
            session.run("UPDATE sending SET due = 0, tries = 0, why = '' WHERE destination = ?", (to,))
            return int(number)

    def backlog(self) -> dict[str, Backlog]:
        """Return what waits for each destination."""
        with self._database.read() as session:
            rows = session.all(
                "SELECT destination, COUNT(due), COUNT(*) FROM sending "
                "GROUP BY destination ORDER BY destination"
            )
        return {to: Backlog(int(waiting), int(both) - int(waiting)) for to, waiting, both in rows}
