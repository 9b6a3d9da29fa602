"""The deliveries of the core store in memory, as `engine/store/deliveries.py` keeps them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol, TypeVar

from engine.kernel.delivery import Receipt
from engine.kernel.message import Due, Work
from engine.store.deliveries import Delivery, Result
from engine.store.destinations import Standing, Turn

from .schedule import Schedule

T = TypeVar("T")
_OPEN = {"status": "pending", "due": 0, "tries": 0, "first": None, "done": None}


class Judge(Protocol):
    """Who hears of every change."""

    def turned(self, before: Delivery | None, now: Delivery | None) -> None: ...
    def state(self, name: str, before: str, now: str) -> None: ...
    def handed(self, name: str, before: str, holder: str) -> None: ...


class Outbox:
    """What all processes share."""

    def __init__(self, judge: Judge) -> None:
        self.judge = judge
        self.rows: dict[int, Delivery] = {}
        self.numbers: dict[str, int] = {}
        self.states: dict[str, str] = {}
        self.turns: dict[str, tuple[int, str]] = {}
        self.before: dict[str, set[str]] = {}
        self.bodies: dict[int, bytes] = {}

    def ask(self, work: Work, at: int) -> None:
        """Note what a work that is done asks for, in its transaction."""
        for due in work.deliveries:
            self.add(work.entry, work.position, at, due, work.channel)

    def add(self, entry: int, position: int, at: int, due: Due, channel: str, again: bool = True) -> None:
        n = self.numbers.setdefault(due.destination, len(self.numbers) + 1)
        number = (entry if due.state else position) << 12 | n
        known = self.rows.get(number)
        if known is None:
            self.put(
                Delivery(
                    *(number, entry, due.destination, "pending", due.keys, 0, 0, 0, 0, at),
                    *(None, None, "", "", channel),
                )
            )
        elif due.state and again and known.status != "skipped":
            self.put(replace(known, **_OPEN, round=known.round + 1))

    def put(self, row: Delivery) -> None:
        before = self.rows.get(row.id)
        self.rows[row.id] = row
        self.judge.turned(before, row)


class OutboxSide:
    """The deliveries as one process reaches them."""

    def __init__(self, schedule: Schedule, outbox: Outbox) -> None:
        self._schedule, self._outbox = schedule, outbox

    # -- the loop -----------------------------------------------------------

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
        self._write("record", lambda: [self._one(one) for one in results])

    def _one(self, result: Result) -> None:
        now = self._outbox.rows[result.delivery.id]
        if now.round == result.delivery.round and now.status == "sent" and result.state:
            if result.receipt.verdict == "sent":
                self._schedule.note(f"{now.destination} {now.id >> 12}: again, it was sent meanwhile")
                self._outbox.put(replace(now, status="pending", due=0, done=None, round=now.round + 1))
            return
        if now.round != result.delivery.round or now.status != "pending":
            return
        status = "pending" if result.again else result.status
        self._schedule.note(f"{now.destination} {now.id >> 12}: {result.receipt.verdict}")
        self._outbox.put(
            replace(
                now,
                status=status,
                due=0 if result.again else result.due,
                tries=result.delivery.tries + 1,
                first=now.first if now.first is not None or result.receipt.down else result.at,
                done=result.at if status != "pending" else None,
                why=result.receipt.why,
                reference=result.receipt.reference,
            )
        )

    def take(self, destination: str, holder: str) -> Turn:
        def take() -> Turn:
            number, last = self._outbox.turns.get(destination, (0, ""))
            before = {*self._outbox.before.get(destination, ()), last} - {"", holder}
            self._outbox.turns[destination] = number + 1, holder
            self._outbox.before[destination] = before
            self._outbox.judge.handed(destination, last, holder)
            return Turn(number + 1, tuple(sorted(before)))

        return self._write("take", take)

    def waited(self, destination: str, number: int) -> None:
        def clear() -> None:
            if self._outbox.turns[destination][0] == number:
                self._outbox.before[destination] = set()

        self._write("waited", clear)

    def give_back(self, destination: str, number: int) -> None:
        def give() -> None:
            if self._outbox.turns[destination][0] == number:
                before = self._outbox.turns[destination][1]
                self._outbox.turns[destination] = number, ""
                self._outbox.judge.handed(destination, before, "")

        self._write("give_back", give)

    def standing(self, destination: str) -> Standing:
        self._cross("standing")
        state = self._outbox.states.get(destination, "open")
        return Standing(state, *self._outbox.turns.get(destination, (0, "")))

    def hasten(self, destination: str, after: int) -> None:
        def now() -> None:
            for row in list(self._outbox.rows.values()):
                if row.destination == destination and row.status == "pending" and row.due > after:
                    self._outbox.put(replace(row, due=0))

        self._write("hasten", now)

    def set_state(self, destination: str, state: str, why: str, at: int, by_hand: bool = False) -> None:
        def put() -> None:
            before = self._outbox.states.get(destination, "open")
            if by_hand or before != "stopped":
                self._outbox.states[destination] = state
                self._outbox.judge.state(destination, before, state)

        self._write("set_state", put)

    def body(self, number: int) -> bytes | None:
        self._cross("body")
        return self._outbox.bodies.get(number)

    def keep_body(self, delivery: Delivery, body: bytes) -> bytes | None:
        def keep() -> bytes | None:
            if self._outbox.rows[delivery.id].round != delivery.round:
                return None
            return self._outbox.bodies.setdefault(delivery.id, body)

        return self._write("keep_body", keep)

    # -- people, and what is told later -------------------------------------

    def told(self, number: int, receipt: Receipt, at: int) -> None:
        def tell() -> None:
            row = self._outbox.rows.get(number)
            if receipt.verdict == "refuse" and row is not None and row.status == "sent":
                self._outbox.put(replace(row, status="refused", why=receipt.why))

        self._write("told", tell)

    def get(self, number: int) -> Delivery | None:
        self._cross("get")
        return self._outbox.rows.get(number)

    def listed(self, destination: str, status: str, before: int | None, limit: int) -> list[Delivery]:
        self._cross("listed")
        rows = [self._outbox.rows[n] for n in sorted(self._outbox.rows, reverse=True)]
        return [d for d in rows if d.destination == destination and d.status == status][:limit]

    def send_again(self, numbers: Sequence[int], as_new: bool = False) -> None:
        def put_back() -> None:
            for number in numbers:
                row = self._outbox.rows[number]
                if row.status == "pending" and not as_new:
                    self._outbox.put(replace(row, due=0))
                    continue
                self._outbox.put(replace(row, **_OPEN, round=row.round + 1, anew=row.anew + as_new))
                if as_new:
                    self._outbox.bodies.pop(number, None)

        self._write("send_again", put_back)

    def skip(self, numbers: Sequence[int], why: str) -> None:
        def take_out() -> None:
            for number in numbers:
                row = self._outbox.rows[number]
                if row.status in ("pending", "parked", "refused"):
                    self._outbox.put(replace(row, status="skipped", round=row.round + 1, why=why))

        self._write("skip", take_out)

    def ask(self, dues: Sequence[tuple[int, int, int, Due]]) -> None:
        self._write("ask", lambda: [self._outbox.add(*due, "lab", again=False) for due in dues])

    def _cross(self, what: str) -> None:
        s = self._schedule
        s.cross(f"outbox.{what}")
        s.fails(s.faults.before, f"outbox.{what}")

    def _write(self, what: str, do: Callable[[], T]) -> T:
        s = self._schedule
        s.cross(f"outbox.{what}")
        s.fails(1.0 if s.full else s.faults.before, f"outbox.{what}, before,")
        done = do()
        s.fails(s.faults.after, f"outbox.{what}, after,")
        s.cross(f"outbox.{what} done")
        return done
