"""FHIR Subscriptions as they were asked for, what waits to be told to each, and how the calls went.

In: Subscription resources, changes that match them, receipts of calls. Out: the same, in order. What waits is
written in the transaction that moves the reader's cursor; a resource that changes again before it was told is
told once, as it is then.
"""

from __future__ import annotations

import secrets
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from engine.fhir import jsonio
from engine.kernel.delivery import Receipt
from engine.kernel.errors import HubError
from engine.staff.database import Part
from engine.staff.followed import move_in
from engine.staff.subscriptiontables import SUBSCRIPTION_CALLS, SUBSCRIPTION_WAITING, SUBSCRIPTIONS

__all__ = ["READER", "Call", "Subscription", "Subscriptions", "Told"]

READER = "subscriptions"
_KEPT = 200  # calls of one subscription that are kept
_LONGEST = 300_000  # ms between calls of one that fails
_S = SUBSCRIPTIONS.c


@dataclass(frozen=True, slots=True)
class Subscription:
    """One subscription. `body` is the resource as it was sent, opened."""

    id: str
    owner: str
    kind: str
    status: str
    error: str
    body: dict[str, Any]
    version: int
    made: int
    updated: int
    since: int
    ends: int | None
    failing: int | None
    failures: int
    due: int
    sent: int
    last: int | None

    @property
    def criteria(self) -> str:
        """The search whose results it wants."""
        return str(self.body["criteria"])


@dataclass(frozen=True, slots=True)
class Told:
    """A resource that waits to be told."""

    subscription: str
    resource: str
    seq: int
    at: int


@dataclass(frozen=True, slots=True)
class Call:
    """One call that was made."""

    id: int
    subscription: str
    resource: str
    at: int
    verdict: str
    why: str


class Subscriptions(Part):
    """All subscriptions of the hub."""

    def make(
        self, owner: str, kind: str, body: dict[str, Any], since: int, ends: int | None, most: int
    ) -> Subscription:
        """Keep a new subscription. Raises HubError where there are too many."""
        now, id_ = self.now(), str(uuid.uuid4())
        with self.database.write() as c:
            count = c.execute(sa.select(sa.func.count()).select_from(SUBSCRIPTIONS)).scalar_one()
            if count >= most:
                raise HubError(
                    f"there are {count} subscriptions already",
                    remedy="delete one, or have subscriptions: most: raised",
                )
            c.execute(
                sa.insert(SUBSCRIPTIONS).values(
                    id=id_,
                    owner=owner,
                    kind=kind,
                    status="requested",
                    error="",
                    sealed=self._sealed(id_, body),
                    version=1,
                    made=now,
                    updated=now,
                    since=since,
                    ends=ends,
                    failures=0,
                    due=0,
                    sent=0,
                )
            )
            return self._row(c.execute(sa.select(SUBSCRIPTIONS).where(_S.id == id_)).one())

    def change(
        self, id_: str, kind: str, body: dict[str, Any], status: str, since: int, ends: int | None
    ) -> Subscription | None:
        """Replace a subscription; it begins anew, and what waited for it is dropped."""
        with self.database.write() as c:
            c.execute(
                sa.update(SUBSCRIPTIONS)
                .where(_S.id == id_)
                .values(
                    kind=kind,
                    status=status,
                    error="",
                    sealed=self._sealed(id_, body),
                    version=_S.version + 1,
                    updated=self.now(),
                    since=since,
                    ends=ends,
                    failing=None,
                    failures=0,
                    due=0,
                )
            )
            self._drop(c, id_)
            row = c.execute(sa.select(SUBSCRIPTIONS).where(_S.id == id_)).first()
        return self._row(row) if row is not None else None

    def set_status(self, id_: str, status: str, error: str = "", *, when: str = "") -> None:
        """Change what a subscription does; `when`: only from this status.

        What is not active waits for nothing.
        """
        with self.database.write() as c:
            mine = sa.update(SUBSCRIPTIONS).where(_S.id == id_)
            if when:
                mine = mine.where(_S.status == when)
            done = c.execute(
                mine.values(status=status, error=error, version=_S.version + 1, updated=self.now())
            ).rowcount
            if done and status != "active":
                self._drop(c, id_)

    def delete(self, id_: str) -> bool:
        """Remove a subscription and what waits for it; returns whether there was one."""
        with self.database.write() as c:
            self._drop(c, id_)
            c.execute(sa.delete(SUBSCRIPTION_CALLS).where(SUBSCRIPTION_CALLS.c.subscription == id_))
            return bool(c.execute(sa.delete(SUBSCRIPTIONS).where(_S.id == id_)).rowcount)

    def _drop(self, c: sa.Connection, id_: str) -> None:
        c.execute(sa.delete(SUBSCRIPTION_WAITING).where(SUBSCRIPTION_WAITING.c.subscription == id_))

    def get(self, id_: str) -> Subscription | None:
        """Return one subscription."""
        with self.database.read() as c:
            row = c.execute(sa.select(SUBSCRIPTIONS).where(_S.id == id_)).first()
        return self._row(row) if row is not None else None

    def all(self, owner: str = "", status: str = "") -> list[Subscription]:
        """Return subscriptions, oldest first: of one owner, in one status."""
        query = sa.select(SUBSCRIPTIONS).order_by(_S.made, _S.id)
        if owner:
            query = query.where(_S.owner == owner)
        if status:
            query = query.where(_S.status == status)
        with self.database.read() as c:
            return [self._row(row) for row in c.execute(query)]

    def note(self, before: str | None, after: str, told: Sequence[Told]) -> bool:
        """Write what waits to be told, and move the cursor; False where another process was first."""
        insert = (postgresql if self.database.postgres else sqlite).insert(SUBSCRIPTION_WAITING)
        newer = insert.on_conflict_do_update(
            index_elements=["subscription", "resource"], set_={"seq": insert.excluded.seq}
        )
        with self.database.write() as c:
            if not move_in(c, READER, before, after, self.now()):
                return False
            for one in told:
                c.execute(
                    newer.values(subscription=one.subscription, resource=one.resource, seq=one.seq, at=one.at)
                )
        return True

    def waiting(self, id_: str, most: int) -> list[Told]:
        """Return what waits to be told to one, in the order of the changes."""
        w = SUBSCRIPTION_WAITING
        query = sa.select(w).where(w.c.subscription == id_).order_by(w.c.seq).limit(most)
        with self.database.read() as c:
            return [Told(**row._asdict()) for row in c.execute(query)]

    def backlog(self) -> dict[str, int]:
        """Return how many resources wait for each subscription."""
        w = SUBSCRIPTION_WAITING
        query = sa.select(w.c.subscription, sa.func.count()).group_by(w.c.subscription)
        with self.database.read() as c:
            return {row[0]: int(row[1]) for row in c.execute(query)}

    def called(self, told: Told, receipt: Receipt) -> None:
        """Write down what came of a call. What has changed again meanwhile goes on waiting."""
        now = self.now()
        with self.database.write() as c:
            row = c.execute(sa.select(_S.failures, _S.failing).where(_S.id == told.subscription)).first()
            if row is None:
                return
            values: dict[str, Any]
            if receipt.verdict == "retry":
                pause = min(_LONGEST, 1000 * 2 ** min(row.failures, 12))
                pause = max(int((receipt.wait or 0) * 1000), pause + secrets.randbelow(pause // 4 + 1))
                values = {
                    "failures": row.failures + 1,
                    "failing": row.failing or now,
                    "due": now + pause,
                    "error": receipt.why[:500],
                }
            else:
                values = {"failures": 0, "failing": None, "due": 0, "error": ""}
                if receipt.verdict == "sent":
                    values |= {"sent": _S.sent + 1, "last": now}
                w = SUBSCRIPTION_WAITING.c
                c.execute(
                    sa.delete(SUBSCRIPTION_WAITING).where(
                        w.subscription == told.subscription, w.resource == told.resource, w.seq == told.seq
                    )
                )
            c.execute(sa.update(SUBSCRIPTIONS).where(_S.id == told.subscription).values(values))
            calls = SUBSCRIPTION_CALLS
            made = c.execute(
                sa.insert(calls)
                .values(
                    subscription=told.subscription,
                    resource=told.resource,
                    at=now,
                    verdict=receipt.verdict,
                    why=receipt.why[:500],
                )
                .returning(calls.c.id)
            ).scalar_one()
            if made % 50 == 0:
                newest = (
                    sa.select(calls.c.id)
                    .where(calls.c.subscription == told.subscription)
                    .order_by(calls.c.id.desc())
                    .offset(_KEPT)
                    .limit(1)
                    .scalar_subquery()
                )
                c.execute(
                    sa.delete(calls).where(calls.c.subscription == told.subscription, calls.c.id <= newest)
                )

    def gone(self, told: Told) -> None:
        """Tell nobody of a resource that was deleted since."""
        w = SUBSCRIPTION_WAITING.c
        with self.database.write() as c:
            c.execute(
                sa.delete(SUBSCRIPTION_WAITING).where(
                    w.subscription == told.subscription, w.resource == told.resource, w.seq == told.seq
                )
            )

    def calls(self, id_: str, most: int = 50) -> list[Call]:
        """Return the newest calls of a subscription, newest first."""
        calls = SUBSCRIPTION_CALLS
        query = sa.select(calls).where(calls.c.subscription == id_).order_by(calls.c.id.desc()).limit(most)
        with self.database.read() as c:
            return [Call(**row._asdict()) for row in c.execute(query)]

    def _sealed(self, id_: str, body: dict[str, Any]) -> bytes:
        return self.keyring.seal(jsonio.dumps(body), f"subscription {id_}".encode())

    def _row(self, row: Any) -> Subscription:
        found = row._asdict()
        body = jsonio.loads(self.keyring.unseal(found.pop("sealed"), f"subscription {row.id}".encode()))
        return Subscription(**found, body=body)
