"""Breaking the glass: in an emergency a person sees patient data that their roles do not show, for a while.

In: who, which channels, why. Out: what is open now, for the session; every one that was opened, for whoever
is told of it. Nobody has to agree first; everybody who looks after the hub learns of it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.kernel.errors import HubError
from engine.security.access import Grant
from engine.staff.accounts import Account, checked
from engine.staff.database import Part
from engine.staff.tables import GLASS

__all__ = ["Broken", "Glass", "opened_for"]

_SHORTEST = 10  # characters of a reason
_MINUTE = 60_000
_PAGE = 100


@dataclass(frozen=True, slots=True)
class Broken:
    """One time the glass was broken."""

    id: int
    person: str
    channels: tuple[str, ...]
    reason: str
    since: int
    until: int
    acknowledged: int | None
    acknowledged_by: str | None


class Glass(Part):
    """The glass of one hub."""

    def break_(self, account: Account, channels: Iterable[str], reason: str, minutes: int) -> Broken:
        """Open patient data of some channels to a person. Raises HubError without a reason."""
        reason = " ".join(reason.split())
        (grant,) = checked([Grant("viewer", tuple(channels))])
        if len(reason) < _SHORTEST:
            raise HubError(
                "breaking the glass needs a reason",
                why=f"somebody will read it; {_SHORTEST} characters are the least",
            )
        now = self.now()
        with self.database.write() as c:
            number = c.execute(
                sa.insert(GLASS)
                .values(
                    account=account.id,
                    person=account.name,
                    channels=" ".join(grant.channels),
                    reason=b"",
                    since=now,
                    until=now + minutes * _MINUTE,
                )
                .returning(GLASS.c.id)
            ).scalar_one()
            sealed = self.keyring.seal(reason.encode(), b"glass:%d" % number)
            c.execute(sa.update(GLASS).where(GLASS.c.id == number).values(reason=sealed))
            return self._broken(c.execute(sa.select(GLASS).where(GLASS.c.id == number)).one())

    def close(self, account: int) -> int:
        """Close what a person has open; returns how many that were."""
        now = self.now()
        with self.database.write() as c:
            open_ = (GLASS.c.account == account) & (GLASS.c.until > now)
            return c.execute(sa.update(GLASS).where(open_).values(until=now)).rowcount

    def open(self) -> list[Broken]:
        """Return what nobody has acknowledged yet, or is still open: what an alarm is about, newest first."""
        now = self.now()
        with self.database.read() as c:
            told = GLASS.c.acknowledged.is_(None) | (GLASS.c.until > now)
            rows = c.execute(sa.select(GLASS).where(told).order_by(GLASS.c.id.desc()).limit(_PAGE)).all()
        return [self._broken(row) for row in rows]

    def all(self, before: int | None = None) -> list[Broken]:
        """Return every time it was broken, newest first, a page at a time."""
        wanted = sa.select(GLASS).order_by(GLASS.c.id.desc()).limit(_PAGE)
        if before is not None:
            wanted = wanted.where(GLASS.c.id < before)
        with self.database.read() as c:
            return [self._broken(row) for row in c.execute(wanted).all()]

    def acknowledge(self, number: int, by: str) -> None:
        """Note who has looked into it; nobody does that for themselves. Raises HubError."""
        with self.database.write() as c:
            row = c.execute(sa.select(GLASS.c.person).where(GLASS.c.id == number)).first()
            if row is None:
                raise HubError("there is no such breaking of the glass")
            if row.person == by:
                raise HubError("who broke the glass cannot acknowledge it", remedy="another person has to")
            c.execute(
                sa.update(GLASS)
                .where(GLASS.c.id == number, GLASS.c.acknowledged.is_(None))
                .values(acknowledged=self.now(), acknowledged_by=by)
            )

    def _broken(self, row: Any) -> Broken:
        reason = self.keyring.unseal(bytes(row.reason), b"glass:%d" % row.id).decode()
        return Broken(
            row.id,
            row.person,
            tuple(row.channels.split()),
            reason,
            row.since,
            row.until,
            row.acknowledged,
            row.acknowledged_by,
        )


def opened_for(c: sa.Connection, account: int, now: int) -> tuple[str, ...]:
    """Return the channels whose glass a person has broken now; inside the caller's transaction."""
    rows = c.execute(sa.select(GLASS.c.channels).where(GLASS.c.account == account, GLASS.c.until > now)).all()
    return tuple(sorted({channel for row in rows for channel in row.channels.split()}))
