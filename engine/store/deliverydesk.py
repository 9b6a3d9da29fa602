"""Deliveries as people see them: what waits where, one with its evidence; sent again, skipped, asked for.

In: the queues of the core store. Out: lists without patient data, the evidence opened, and acts. What was
sent long ago loses its evidence by policy; that it was sent, to whom and when, stays.
"""

from __future__ import annotations

from collections.abc import Sequence

from engine.kernel.clock import now_ms
from engine.kernel.message import Due
from engine.store.deliveries import Asked, Delivery, Place, Queues, Try

__all__ = ["MOST_ANEW", "Deliveries"]

MOST_ANEW = 15


class Deliveries(Queues):
    """The deliveries of one store."""

    def get(self, number: int) -> Delivery | None:
        """Return one delivery."""
        return next(iter(self.some("WHERE d.id = ?", (number,))), None)

    def of_entry(self, *entries: int) -> list[Delivery]:
        """Return what was, or is to be, delivered of entries."""
        found: dict[int, Delivery] = {}
        for entry in entries:
            marks = (entry << 12, (entry + 1) << 12, entry)
            for one in self.some("WHERE (d.id >= ? AND d.id < ?) OR d.entry = ? ORDER BY d.id", marks):
                found[one.id] = one
        return [found[number] for number in sorted(found)]

    def listed(self, destination: str, status: str, before: int | None, limit: int) -> list[Delivery]:
        """Return deliveries of a destination in a status, newest first; `before`: the last of a page."""
        where = "WHERE p.name = ? AND d.status = ? AND d.id < ? ORDER BY d.id DESC LIMIT ?"
        return self.some(where, (destination, status, before or 1 << 62, limit))

    def held(self, destination: str, after: int, limit: int, pending: bool = False) -> list[Delivery]:
        """Return what was refused or parked at a destination, oldest first, after an id; `pending`: with what
        waits."""
        statuses = "'parked', 'refused', 'pending'" if pending else "'parked', 'refused'"
        where = f"WHERE p.name = ? AND d.status IN ({statuses}) AND d.id > ? ORDER BY d.id LIMIT ?"
        return self.some(where, (destination, after, limit))

    def tries(self, number: int) -> list[Try]:
        """Return the tries of a delivery, oldest first, with what was sent and answered."""
        with self._database.read() as session:
            rows = session.all(
                "SELECT n, at, ms, times, verdict, why, sealed FROM delivery_try "
                "WHERE delivery = ? ORDER BY n",
                (number,),
            )
        out = []
        for n, at, ms, times, verdict, why, sealed in rows:
            opened = self._keyring.unseal(bytes(sealed), b"core:try:%d" % number) if sealed else b"0\n"
            size, _, rest = opened.partition(b"\n")
            out.append(Try(n, at, ms, times, verdict, why, rest[: int(size)], rest[int(size) :]))
        return out

    def places(self) -> list[Place]:
        """Return every destination that anything was delivered to, and what waits for it."""
        with self._database.read() as session:
            places = session.all("SELECT id, name, state, since, why FROM destination ORDER BY name")
            pending = {
                n: (count, oldest)
                for n, count, oldest in session.all(
                    "SELECT destination, count(*), min(at) FROM delivery WHERE status = 'pending' "
                    "GROUP BY destination"
                )
            }
            held = {
                (n, status): count
                for n, status, count in session.all(
                    "SELECT destination, status, count(*) FROM delivery "
                    "WHERE status IN ('parked', 'refused') GROUP BY destination, status"
                )
            }
        return [
            Place(
                *(name, state, since, why, *pending.get(n, (0, None))),
                refused=held.get((n, "refused"), 0),
                parked=held.get((n, "parked"), 0),
            )
            for n, name, state, since, why in places
        ]

    def send_again(self, numbers: Sequence[int], as_new: bool = False) -> list[int]:
        """Put deliveries back; `as_new`: with another key, so that the other side takes it for another one.

        Returns those that it changed: what is pending already is tried at once, and stays what it is; what
        was sent as new `MOST_ANEW` times goes as new no more (the number of an X12 interchange holds four
        bits of it).
        """
        changed = []
        with self._database.write() as session:
            for number in numbers:
                rows = session.all("SELECT status, anew FROM delivery WHERE id = ?", (number,))
                if not rows or (as_new and rows[0][1] >= MOST_ANEW):
                    continue
                if rows[0][0] == "pending" and not as_new:
                    session.run("UPDATE delivery SET due = 0 WHERE id = ?", (number,))
                    continue
                session.run(
                    "UPDATE delivery SET status = 'pending', due = 0, tries = 0, first = NULL, done = NULL, "
                    f"round = round + 1, anew = anew + ? {', body = NULL' if as_new else ''} WHERE id = ?",
                    (int(as_new), number),
                )
                changed.append(number)
        return changed

    def skip(self, numbers: Sequence[int], why: str) -> list[int]:
        """Take deliveries out that shall not go; returns those that it changed."""
        changed = []
        with self._database.write() as session:
            for number in numbers:
                sql = "SELECT 1 FROM delivery WHERE id = ? AND status IN ('pending', 'parked', 'refused')"
                if session.all(sql, (number,)):
                    session.run(
                        "UPDATE delivery SET status = 'skipped', done = ?, round = round + 1, why = ? "
                        "WHERE id = ?",
                        (now_ms(), why[:500], number),
                    )
                    changed.append(number)
        return changed

    def waiting_of(self, entries: Sequence[int]) -> set[int]:
        """Return which of these entries something is still to be delivered of."""
        found: set[int] = set()
        open_ = "status IN ('pending', 'parked', 'refused')"
        with self._database.read() as session:
            sql = f"SELECT entry, id FROM delivery WHERE {open_} AND entry IN (...)"
            for entry, number in session.among(sql, list(entries)):
                found |= {entry, number >> 12}
        return found

    def ask(self, dues: Sequence[tuple[int, int, int, Due]]) -> None:
        """Ask for deliveries of entries that are done: (entry, position, time) and what. Those that are there
        already stay as they are.
        """
        asked = Asked(again=False)
        for entry, position, at, due in dues:
            asked.add(entry, position, at, due)
        with self._database.write() as session:
            asked.flush(session)

    def forget(self, before: int, after: int = 0, most: int = 5000) -> int | None:
        """Drop what was sent and answered of deliveries that ended before a time, of so many after an id.

        Returns the id to go on after; None at the end.
        """
        ended = "status IN ('sent', 'skipped') AND done IS NOT NULL AND done < ?"
        with self._database.beside() as session:
            sql = "SELECT id, at FROM delivery WHERE id > ? ORDER BY id LIMIT ?"
            rows = session.all(sql, (after, most))
            if rows:
                span = (after, rows[-1][0])
                bare = "UPDATE delivery SET body = NULL WHERE id > ? AND id <= ? AND body IS NOT NULL"
                session.run(f"{bare} AND {ended}", (*span, before))
                bare = "UPDATE delivery_try SET sealed = NULL WHERE delivery > ? AND delivery <= ? "
                mine = f"delivery IN (SELECT id FROM delivery WHERE id > ? AND id <= ? AND {ended})"
                session.run(f"{bare} AND sealed IS NOT NULL AND {mine}", (*span, *span, before))
        return rows[-1][0] if len(rows) == most and rows[-1][1] < before else None
