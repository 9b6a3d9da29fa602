"""What is to go out, what went out, and what came of it: the queue of every destination, in the core store.

In: what works ask to be delivered, in their own transaction; receipts of tries. Out: what is due, in order,
with what must wait for something before it. A delivery of a message is one for ever, however often the
message runs again; one that carries what the core store says is put back when its entry writes again. A
receipt counts only for the round it was sent in. Nothing here is patient data: keys are hashes, the evidence
is sealed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import orjson

from engine.kernel.delivery import Receipt
from engine.kernel.message import Due, Work
from engine.store.database import Session
from engine.store.destinations import Destinations, numbered, plain
from engine.store.state import State

__all__ = ["STATUSES", "Asked", "Delivery", "Place", "Queues", "Result", "Try"]

STATUSES = ("pending", "sent", "refused", "parked", "skipped")
_EVIDENCE = 64 << 10  # bytes kept of a request and of an answer, each
_COLUMNS = (
    "d.id, d.entry, p.name, d.status, d.keys, d.due, d.tries, d.round, d.anew, d.at, d.first, d.done, d.why, "
    "d.reference, o.channel"
)
_TRY = "delivery bigint, n bigint, at bigint, ms bigint, times bigint, verdict text, why text, sealed bytea"
_FROM = "FROM delivery d JOIN destination p ON p.id = d.destination LEFT JOIN outcome o ON o.entry = d.entry"


@dataclass(frozen=True, slots=True)
class Delivery:
    """One delivery as it stands. Times in ms."""

    id: int
    entry: int
    destination: str
    status: str
    keys: tuple[int, ...]
    due: int
    tries: int
    round: int
    anew: int
    at: int
    first: int | None
    done: int | None
    why: str
    reference: str
    channel: str | None = None  # None: the outcome of its entry is gone

    @property
    def position(self) -> int:
        """The entry that the delivery is known by."""
        return self.id >> 12


class Try(NamedTuple):
    """One try, or several that ended alike. `at` is of the last of them."""

    n: int
    at: int
    ms: int
    times: int
    verdict: str
    why: str
    request: bytes
    answer: bytes


class Result(NamedTuple):
    """What one try came to. `due`: when it is tried again, where it is."""

    delivery: Delivery
    receipt: Receipt
    status: str  # pending | sent | refused | parked | skipped
    due: int
    at: int
    ms: int
    again: bool = False  # what it carried has changed meanwhile: it is put back at once
    state: bool = False  # it carried what the core store said then


class Place(NamedTuple):
    """How a destination is doing."""

    name: str
    state: str  # open | down | stopped
    since: int
    why: str
    pending: int = 0
    oldest: int | None = None  # when the oldest that is pending was made
    refused: int = 0
    parked: int = 0


class Asked:
    """The deliveries that the works of one transaction ask for."""

    def __init__(self, again: bool = True) -> None:
        self._again = again  # whether one of state that is there already is put back
        self._rows: list[tuple[Any, ...]] = []
        self._names: list[tuple[str, bool]] = []

    def note(self, work: Work, state: State) -> None:
        """Note what a work that is done asks for."""
        for due in work.deliveries:
            self.add(work.entry, work.position, state.at, due)

    def add(self, entry: int, position: int, at: int, due: Due) -> None:
        """Note one."""
        mark = entry if due.state else position
        self._rows.append((mark << 12, entry, orjson.dumps(due.keys).decode(), at))
        self._names.append((due.destination, due.state))

    def flush(self, session: Session) -> None:
        """Write them."""
        if not self._rows:
            return
        numbers = numbered(session, {name for name, _ in self._names})
        rows: dict[bool, list[tuple[Any, ...]]] = {True: [], False: []}
        for (mark, entry, keys, at), (name, state) in zip(self._rows, self._names, strict=True):
            n = numbers[name]
            rows[state].append((mark | n, entry, n, "pending", keys, 0, 0, 0, 0, at, "", ""))
        columns = (
            "id bigint, entry bigint, destination bigint, status text, keys text, due bigint, tries bigint, "
            "round bigint, anew bigint, at bigint, why text, reference text"
        )
        put_back = (
            "ON CONFLICT (id) DO UPDATE SET status = 'pending', due = 0, tries = 0, first = NULL, "
            "done = NULL, round = delivery.round + 1, keys = excluded.keys "
            "WHERE delivery.status <> 'skipped'"  # a person has said that it shall not go
        )
        session.insert("delivery", columns, rows[False], "ON CONFLICT DO NOTHING")
        states = list({row[0]: row for row in rows[True]}.values())
        session.insert("delivery", columns, states, put_back if self._again else "ON CONFLICT DO NOTHING")
        self._rows.clear()
        self._names.clear()


class Queues(Destinations):
    """The queues of one store, as the loop that empties them sees them."""

    def pending(self, destination: str, after: int, limit: int) -> list[Delivery]:
        """Return what waits for a destination, in order, after the id that the last page ended with."""
        where = "WHERE d.status = 'pending' AND p.name = ? AND d.id > ? ORDER BY d.id LIMIT ?"
        return self.some(where, (destination, after, limit))

    def held_keys(self, destination: str) -> set[int]:
        """Return the keys of which something is parked: what comes after it waits for a person, too."""
        sql = f"SELECT d.keys {_FROM} WHERE d.status = 'parked' AND p.name = ?"
        with self._database.read() as session:
            return {key for (keys,) in session.all(sql, (destination,)) for key in orjson.loads(keys)}

    def hasten(self, destination: str, after: int) -> None:
        """Have what is to wait until after a time tried at once: the clock was set back."""
        with self._database.write() as session:
            session.run(
                "UPDATE delivery SET due = 0 WHERE status = 'pending' AND due > ? "
                "AND destination = (SELECT id FROM destination WHERE name = ?)",
                (after, destination),
            )

    def record(self, results: Sequence[Result]) -> None:
        """Write down what tries came to, with their evidence, in one transaction."""
        with self._database.beside() as session:
            for one in results:
                self._one(session, one)

    def _one(self, session: Session, result: Result) -> None:
        delivery, receipt = result.delivery, result.receipt
        status, finished = result.status, result.status != "pending"
        if result.state and receipt.verdict == "sent":
            # somebody else has delivered it meanwhile, perhaps with later ones: what came now may be older
            session.run(
                "UPDATE delivery SET status = 'pending', due = 0, done = NULL, round = round + 1 "
                "WHERE id = ? AND round = ? AND status = 'sent'",
                (delivery.id, delivery.round),
            )
        if result.again:
            status, finished = "pending", False
        why = plain(receipt.why, 500)
        first = "COALESCE(first, ?)" if not receipt.down else "first"
        session.run(
            f"UPDATE delivery SET status = ?, due = ?, tries = ?, first = {first}, done = ?, why = ?, "
            "reference = ? WHERE id = ? AND round = ? AND status = 'pending'",
            (
                *(status, 0 if result.again else result.due, delivery.tries + 1),
                *(() if receipt.down else (result.at,)),
                *(result.at if finished else None, why, plain(receipt.reference, 200)),
                *(delivery.id, delivery.round),
            ),
        )
        last = session.all(
            "SELECT n, verdict, why FROM delivery_try WHERE delivery = ? ORDER BY n DESC LIMIT 1",
            (delivery.id,),
        )
        sealed = self._sealed(delivery.id, receipt)
        if last and last[0][1:] == (receipt.verdict, why) and receipt.verdict == "retry":
            session.run(
                "UPDATE delivery_try SET at = ?, ms = ?, times = times + 1, sealed = ? "
                "WHERE delivery = ? AND n = ?",
                (result.at, result.ms, sealed, delivery.id, last[0][0]),
            )
            return
        n = last[0][0] + 1 if last else 1
        row = (delivery.id, n, result.at, result.ms, 1, receipt.verdict, why, sealed)
        session.insert("delivery_try", _TRY, [row])

    def told(self, number: int, receipt: Receipt, at: int) -> None:
        """Write down what the other side tells of a delivery later; of one it cannot use, a person must see.

        The same told again is one row.
        """
        why = plain(receipt.why, 500)
        with self._database.write() as session:
            if receipt.verdict == "refuse":
                sql = "UPDATE delivery SET status = 'refused', why = ? WHERE id = ? AND status = 'sent'"
                session.run(sql, (why, number))
            rows = session.all("SELECT n, verdict, why FROM delivery_try WHERE delivery = ?", (number,))
            if ("told", why) not in [tuple(row[1:]) for row in rows]:
                n = max((row[0] for row in rows), default=0) + 1
                sealed = self._sealed(number, receipt)
                row = (number, n, at, 0, 1, "told", why, sealed)
                session.insert("delivery_try", _TRY, [row])

    def _sealed(self, number: int, receipt: Receipt) -> bytes | None:
        if not receipt.request and not receipt.answer:
            return None
        request, answer = receipt.request[:_EVIDENCE], receipt.answer[:_EVIDENCE]
        return self._keyring.seal(b"%d\n" % len(request) + request + answer, b"core:try:%d" % number)

    def body(self, number: int) -> bytes | None:
        """Return what was written for a delivery before; None where nothing was."""
        with self._database.read() as session:
            rows = session.all("SELECT body FROM delivery WHERE id = ?", (number,))
        return (
            self._keyring.unseal(bytes(rows[0][0]), b"core:sent:%d" % number) if rows and rows[0][0] else None
        )

    def keep_body(self, delivery: Delivery, body: bytes) -> bytes | None:
        """Keep what was written for a delivery, unless something is kept; return what is to be sent.

        None where somebody put it back meanwhile: what is sent as new is written anew, under its own key.
        """
        with self._database.beside() as session:
            sealed = self._keyring.seal(body, b"core:sent:%d" % delivery.id)
            sql = "UPDATE delivery SET body = ? WHERE id = ? AND round = ? AND body IS NULL"
            session.run(sql, (sealed, delivery.id, delivery.round))
            sql = "SELECT body FROM delivery WHERE id = ? AND round = ?"
            rows = session.all(sql, (delivery.id, delivery.round))
        return self._keyring.unseal(bytes(rows[0][0]), b"core:sent:%d" % delivery.id) if rows else None

    def some(self, where: str, parameters: Sequence[Any]) -> list[Delivery]:
        """Return the deliveries that a condition names."""
        with self._database.read() as session:
            return list(_made(session.all(f"SELECT {_COLUMNS} {_FROM} {where}", parameters)))


def _made(rows: Iterable[Sequence[Any]]) -> Iterator[Delivery]:
    for row in rows:
        values: list[Any] = list(row)
        values[4] = tuple(orjson.loads(values[4]))
        yield Delivery(*values)
