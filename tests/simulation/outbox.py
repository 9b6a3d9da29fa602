"""The deliveries of the core store in memory, as `engine/store/deliveries.py` keeps them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from engine.kernel.message import Work
from engine.store.deliveries import Delivery, Result
from engine.store.destinations import Standing, Turn

from .schedule import Schedule


class Outbox:
    """What all processes share."""

    def __init__(self) -> None:
        self.rows: dict[int, Delivery] = {}
        self.numbers: dict[str, int] = {}
        self.states: dict[str, str] = {}
        self.turns: dict[str, tuple[int, str]] = {}
        self.before: dict[str, set[str]] = {}
        self.bodies: dict[int, bytes] = {}

    def ask(self, work: Work, at: int) -> None:
        """Note what a work that is done asks for, in its transaction."""
        for due in work.deliveries:
            n = self.numbers.setdefault(due.destination, len(self.numbers) + 1)
            number = (work.entry if due.state else work.position) << 12 | n
            known = self.rows.get(number)
            if known is None:
                self.rows[number] = Delivery(
                    *(number, work.entry, due.destination, "pending", due.keys, 0, 0, 0, 0, at),
                    *(None, None, "", "", work.channel),
                )
            elif due.state:
                self.rows[number] = replace(
                    known, status="pending", due=0, tries=0, first=None, done=None, round=known.round + 1
                )


class OutboxSide:
    """The deliveries as one process reaches them."""

    def __init__(self, schedule: Schedule, outbox: Outbox) -> None:
        self._schedule, self._outbox = schedule, outbox

    def pending(self, destination: str, after: int, limit: int) -> list[Delivery]:
        self._cross("pending")
        rows = self._outbox.rows
        waiting = (rows[n] for n in sorted(rows) if n > after)
        return [d for d in waiting if d.status == "pending" and d.destination == destination][:limit]

    def held_keys(self, destination: str) -> set[int]:
        self._cross("held_keys")
        rows = self._outbox.rows.values()
        return {k for d in rows if d.status == "parked" and d.destination == destination for k in d.keys}

    def record(self, results: Sequence[Result]) -> None:
        self._cross("record")
        for one in results:
            self._one(one)
        s = self._schedule
        s.fails(s.faults.after, "outbox.record, after,")
        s.cross("outbox.record done")

    def _one(self, result: Result) -> None:
        now = self._outbox.rows[result.delivery.id]
        if now.round == result.delivery.round and now.status == "sent" and result.state:
            if result.receipt.verdict == "sent":
                self._schedule.note(f"{now.destination} {now.id >> 12}: again, it was sent meanwhile")
                self._outbox.rows[now.id] = replace(
                    now, status="pending", due=0, done=None, round=now.round + 1
                )
            return
        if now.round != result.delivery.round or now.status != "pending":
            return
        status = "pending" if result.again else result.status
        self._schedule.note(f"{now.destination} {now.id >> 12}: {result.receipt.verdict}")
        self._outbox.rows[now.id] = replace(
            now,
            status=status,
            due=0 if result.again else result.due,
            tries=result.delivery.tries + 1,
            first=now.first if now.first is not None or result.receipt.down else result.at,
            done=result.at if status != "pending" else None,
            why=result.receipt.why,
        )

    def take(self, destination: str, holder: str) -> Turn:
        self._cross("take")
        number, last = self._outbox.turns.get(destination, (0, ""))
        before = {*self._outbox.before.get(destination, ()), last} - {"", holder}
        self._outbox.turns[destination] = (number + 1, holder)
        self._outbox.before[destination] = before
        return Turn(number + 1, tuple(sorted(before)))

    def waited(self, destination: str, number: int) -> None:
        self._cross("waited")
        if self._outbox.turns[destination][0] == number:
            self._outbox.before[destination] = set()

    def give_back(self, destination: str, number: int) -> None:
        self._cross("give_back")
        if self._outbox.turns[destination][0] == number:
            self._outbox.turns[destination] = (number, "")

    def standing(self, destination: str) -> Standing:
        self._cross("standing")
        state = self._outbox.states.get(destination, "open")
        return Standing(state, *self._outbox.turns.get(destination, (0, "")))

    def hasten(self, destination: str, after: int) -> None:
        self._cross("hasten")
        for number, row in self._outbox.rows.items():
            if row.destination == destination and row.status == "pending" and row.due > after:
                self._outbox.rows[number] = replace(row, due=0)

    def set_state(self, destination: str, state: str, why: str, at: int) -> None:
        self._cross("set_state")
        self._outbox.states[destination] = state

    def body(self, number: int) -> bytes | None:
        self._cross("body")
        return self._outbox.bodies.get(number)

    def keep_body(self, delivery: Delivery, body: bytes) -> bytes | None:
        self._cross("keep_body")
        if self._outbox.rows[delivery.id].round != delivery.round:
            return None
        return self._outbox.bodies.setdefault(delivery.id, body)

    def _cross(self, what: str) -> None:
        s = self._schedule
        s.cross(f"outbox.{what}")
        s.fails(s.faults.before, f"outbox.{what}")
