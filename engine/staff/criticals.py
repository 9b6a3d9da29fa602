"""Critical results as they were told, taken over, escalated, corrected and taken back.

In: what the rules said of new versions of Observations, up to a place in the change feed. Out: rows, each a
thing that a person has to take over. The rows of a step and the place up to which the feed was read are one
transaction: after a crash nothing is missing and nothing is there twice, however many processes read. A later
row of the same result follows the earlier one, which is open no more: what counts is what was said last.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from engine.kernel.errors import HubError
from engine.staff.criticaltables import CRITICAL_NOTICES, CRITICAL_UNJUDGED, CRITICALS
from engine.staff.database import Part
from engine.staff.followed import move_in
from engine.staff.notices import Notices

__all__ = ["GONE", "CriticalNotices", "CriticalRow", "Criticals", "NewCritical", "UnjudgedRow"]

READER = "critical"
GONE = ("withdrawn", "retracted")
"""Kinds that end the chain of a result."""
_NOTE = 2000  # characters
_OPEN = (CRITICALS.c.acknowledged.is_(None), CRITICALS.c.followed_by.is_(None), CRITICALS.c.late == 0)


@dataclass(frozen=True, slots=True)
class NewCritical:
    """What is to be told of one version of a result."""

    subject: str
    kind: str
    rules: tuple[str, ...]
    why: tuple[str, ...]
    say: str
    channel: str
    entry: int
    version: int
    seq: int
    patient: str
    digest: bytes
    received: int
    late: bool = False
    escalate_ms: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CriticalRow(NewCritical):
    """One row. Times are ms since the epoch. `note` is not opened here."""

    id: int
    raised: int
    told: int | None
    escalations: int
    escalated: int | None
    acknowledged: int | None
    acknowledged_by: str | None
    noted: bool
    followed_by: int | None

    @property
    def open(self) -> bool:
        """Say whether somebody still has to take it over."""
        return self.acknowledged is None and self.followed_by is None and not self.late


@dataclass(frozen=True, slots=True)
class UnjudgedRow:
    """A rule that named results and could not compare them."""

    rule: str
    channel: str
    why: str
    count: int
    entry: int
    at: int
    settled: int | None
    settled_by: str | None


class CriticalNotices(Notices):
    """Notices of critical results: tried again sooner than others."""

    table = CRITICAL_NOTICES
    pauses = (5, 10, 20, 30, 60, 60, 120, 300)
    taken = 30_000  # one at a time is taken: whoever is killed while sending delays that one alone


class Criticals(Part):
    """All critical results of the hub."""

    def keep(
        self,
        before: str | None,
        after: str,
        rows: Sequence[NewCritical],
        unjudged: Iterable[tuple[str, str, str, int]] = (),
    ) -> list[CriticalRow] | None:
        """Write the rows of what lies between two cursors; None where another process was there first.

        `unjudged`: (rule, channel, why, entry).
        """
        now = self.now()
        with self.database.write() as c:
            if not move_in(c, READER, before, after, now):
                return None
            made = []
            for one in rows:
                values = {
                    **{name: getattr(one, name) for name in one.__slots__},
                    "rules": "\n".join(one.rules),
                    "why": "\n".join(one.why),
                    "late": int(one.late),
                    "raised": now,
                    "escalations": 0,
                }
                row = _row(c.execute(sa.insert(CRITICALS).values(values).returning(*CRITICALS.c)).one())
                earlier = (CRITICALS.c.subject == one.subject, CRITICALS.c.id < row.id)
                c.execute(
                    sa.update(CRITICALS)
                    .where(*earlier, CRITICALS.c.followed_by.is_(None))
                    .values(followed_by=row.id)
                )
                made.append(row)
            for rule, channel, why, entry in unjudged:
                self._count(c, (rule, channel, why), entry, now)
        return made

    def _count(self, c: sa.Connection, key: tuple[str, str, str], entry: int, now: int) -> None:
        insert = (postgresql if self.database.postgres else sqlite).insert(CRITICAL_UNJUDGED)
        insert = insert.values(rule=key[0], channel=key[1], why=key[2], count=1, entry=entry, at=now)
        more = {"count": CRITICAL_UNJUDGED.c.count + 1, "entry": entry, "at": now}
        c.execute(insert.on_conflict_do_update(index_elements=["rule", "channel", "why"], set_=more))

    def newest(self, subjects: Collection[str]) -> dict[str, CriticalRow]:
        """Return the newest row of each result that has one."""
        if not subjects:
            return {}
        query = sa.select(CRITICALS).where(
            CRITICALS.c.subject.in_(sorted(subjects)), CRITICALS.c.followed_by.is_(None)
        )
        with self.database.read() as c:
            return {row.subject: _row(row) for row in c.execute(query)}

    def open(self) -> list[CriticalRow]:
        """Return what nobody has taken over yet, oldest first."""
        query = sa.select(CRITICALS).where(*_OPEN).order_by(CRITICALS.c.id)
        with self.database.read() as c:
            return [_row(row) for row in c.execute(query)]

    def count_open(self) -> int:
        """Count what nobody has taken over yet."""
        with self.database.read() as c:
            return int(
                c.execute(sa.select(sa.func.count()).select_from(CRITICALS).where(*_OPEN)).scalar_one()
            )

    def untold(self, most: int) -> list[CriticalRow]:
        """Return open rows of which nobody was told yet, oldest first."""
        return self._some(CRITICALS.c.told.is_(None), most=most)

    def to_escalate(self, now: int, within: int, most: int) -> list[CriticalRow]:
        """Return open rows that are to be told to the second list (again), raised at most `within` ms ago."""
        c = CRITICALS.c
        return self._some(
            c.raised + c.escalate_ms * (c.escalations + 1) <= now, c.raised > now - within, most=most
        )

    def overdue(self, raised_before: int) -> list[CriticalRow]:
        """Return open rows raised before a time."""
        return self._some(CRITICALS.c.raised < raised_before, most=100)

    def _some(self, *conditions: sa.ColumnElement[bool], most: int) -> list[CriticalRow]:
        query = sa.select(CRITICALS).where(*_OPEN, *conditions).order_by(CRITICALS.c.id).limit(most)
        with self.database.read() as c:
            return [_row(row) for row in c.execute(query)]

    def past(self, before: int | None = None, limit: int = 50) -> list[CriticalRow]:
        """Return what was taken over, followed or too old to be told, newest first, below a number."""
        query = sa.select(CRITICALS).where(sa.not_(sa.and_(*_OPEN)))
        if before is not None:
            query = query.where(CRITICALS.c.id < before)
        with self.database.read() as c:
            return [_row(row) for row in c.execute(query.order_by(CRITICALS.c.id.desc()).limit(limit))]

    def get(self, number: int) -> CriticalRow | None:
        """Return one row."""
        with self.database.read() as c:
            row = c.execute(sa.select(CRITICALS).where(CRITICALS.c.id == number)).first()
        return _row(row) if row is not None else None

    def of(self, subject: str) -> list[CriticalRow]:
        """Return every row of one result, oldest first."""
        query = sa.select(CRITICALS).where(CRITICALS.c.subject == subject).order_by(CRITICALS.c.id)
        with self.database.read() as c:
            return [_row(row) for row in c.execute(query)]

    def acknowledge(self, number: int, by: str, note: str = "") -> CriticalRow:
        """Note who takes it over, and whom it was read to. Who was first stays. Raises HubError."""
        sealed = self.keyring.seal(note[:_NOTE].encode(), b"critical note") if note.strip() else None
        with self.database.write() as c:
            mine = sa.update(CRITICALS).where(CRITICALS.c.id == number, CRITICALS.c.acknowledged.is_(None))
            c.execute(mine.values(acknowledged=self.now(), acknowledged_by=by, note=sealed))
            row = c.execute(sa.select(CRITICALS).where(CRITICALS.c.id == number)).first()
        if row is None:
            raise HubError(f"there is no critical result {number}", remedy="hub critical list shows them")
        return _row(row)

    def note_of(self, number: int) -> str:
        """Return what a person wrote down when taking it over; it may hold patient data."""
        with self.database.read() as c:
            sealed = c.execute(sa.select(CRITICALS.c.note).where(CRITICALS.c.id == number)).scalar()
        return self.keyring.unseal(sealed, b"critical note").decode() if sealed else ""

    def was_told(self, number: int) -> None:
        """Note that its notices are made."""
        with self.database.write() as c:
            mine = sa.update(CRITICALS).where(CRITICALS.c.id == number, CRITICALS.c.told.is_(None))
            c.execute(mine.values(told=self.now()))

    def was_escalated(self, number: int, times: int) -> None:
        """Note that the notices of an escalation are made; `times` counts them."""
        with self.database.write() as c:
            mine = sa.update(CRITICALS).where(CRITICALS.c.id == number, CRITICALS.c.escalations < times)
            c.execute(mine.values(escalations=times, escalated=self.now()))

    def unjudged(self, settled: bool = False) -> list[UnjudgedRow]:
        """Return what rules named and could not compare, the newest first; `settled`: also what was dealt
        with."""
        query = sa.select(CRITICAL_UNJUDGED).order_by(CRITICAL_UNJUDGED.c.at.desc())
        if not settled:
            done = CRITICAL_UNJUDGED.c.settled
            query = query.where(sa.or_(done.is_(None), done < CRITICAL_UNJUDGED.c.at))
        with self.database.read() as c:
            return [UnjudgedRow(**row._asdict()) for row in c.execute(query)]

    def settle(self, rule: str, channel: str, why: str, by: str) -> None:
        """Note that somebody has dealt with it; it comes back with the next such result."""
        with self.database.write() as c:
            c.execute(
                sa.update(CRITICAL_UNJUDGED)
                .where(
                    CRITICAL_UNJUDGED.c.rule == rule,
                    CRITICAL_UNJUDGED.c.channel == channel,
                    CRITICAL_UNJUDGED.c.why == why,
                )
                .values(settled=self.now(), settled_by=by)
            )


_COLUMNS = frozenset(field.name for field in fields(CriticalRow))


def _row(row: Any) -> CriticalRow:
    found = row._asdict()
    return CriticalRow(
        **{
            **{name: found[name] for name in _COLUMNS if name in found},
            "rules": tuple(filter(None, row.rules.split("\n"))),
            "why": tuple(filter(None, row.why.split("\n"))),
            "digest": bytes(row.digest),
            "late": bool(row.late),
            "noted": row.note is not None,
        }
    )
