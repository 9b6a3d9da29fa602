"""Alarms as they were raised, acknowledged and cleared, each once, however many processes look.

In: the conditions that are on at a moment. Out: rows of alarms, open ones and those of the past. An alarm is
over when its condition has been gone for a while, so that a value that swings about its limit is one alarm.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.kernel.errors import HubError
from engine.staff.alarmtables import ALARMS
from engine.staff.database import Part

__all__ = ["AlarmRow", "Alarms", "Condition", "Settled"]

_SEEN = 60_000  # ms between writes that a condition is still on: nothing is lost but `settle` by a restart
_OPEN = ALARMS.c.cleared.is_(None)


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that is wrong now. `channel` empty: of the hub itself. No patient data."""

    key: str
    kind: str
    what: str
    channel: str = ""
    say: str = ""
    value: int = 0  # a count, seconds or days
    urgent: bool = False


@dataclass(frozen=True, slots=True)
class AlarmRow:
    """One alarm. Times are ms since the epoch."""

    id: int
    key: str
    channel: str
    kind: str
    what: str
    say: str
    urgent: bool
    value: int
    most: int
    raised: int
    seen: int
    cleared: int | None
    acknowledged: int | None
    acknowledged_by: str | None
    told: int | None
    escalated: int | None
    over_told: int | None


@dataclass(frozen=True, slots=True)
class Settled:
    """What one look changed."""

    raised: tuple[AlarmRow, ...] = ()
    cleared: tuple[AlarmRow, ...] = ()


class Alarms(Part):
    """All alarms of the hub."""

    def settle(
        self, on: Sequence[Condition], judged: Collection[str], settle: int, at_once: Collection[str] = ()
    ) -> Settled:
        """Raise what is new and clear what has been gone for `settle` ms; return both.

        `judged`: the kinds that were looked at: what could not be judged is neither raised nor cleared.
        Those of the kinds `at_once` are cleared without waiting.
        """
        now = self.now()
        known = {row.key: row for row in self.open()}
        wanted = {one.key: one for one in on}
        new = [one for key, one in wanted.items() if key not in known]
        moved = [row for row in known.values() if self._moved(row, wanted.get(row.key), now)]
        over = [
            row
            for row in known.values()
            if row.key not in wanted
            and row.kind in judged
            and (row.kind in at_once or now - row.seen >= settle)
        ]
        if not (new or moved or over):
            return Settled()
        with self.database.write() as c:
            raised = [row for one in new if (row := self._raise(c, one, now)) is not None]
            for row in moved:
                one = wanted[row.key]
                c.execute(
                    sa.update(ALARMS)
                    .where(ALARMS.c.id == row.id)
                    .values(value=one.value, most=max(row.most, one.value), seen=now, urgent=int(one.urgent))
                )
            cleared = []
            for row in over:
                done = sa.update(ALARMS).where(ALARMS.c.id == row.id, _OPEN).values(cleared=now)
                if c.execute(done.returning(ALARMS.c.id)).scalar() is not None:
                    cleared.append(_row(c.execute(sa.select(ALARMS).where(ALARMS.c.id == row.id)).one()))
        return Settled(tuple(raised), tuple(cleared))

    def _moved(self, row: AlarmRow, one: Condition | None, now: int) -> bool:
        """Say whether what is known of an open alarm is to be written again."""
        if one is None:
            return False
        return now - row.seen >= _SEEN or row.urgent != one.urgent or one.value > 2 * row.most

    def _raise(self, c: sa.Connection, one: Condition, now: int) -> AlarmRow | None:
        """Insert an alarm; None where another process has just done it."""
        taken = c.execute(sa.select(ALARMS.c.id).where(ALARMS.c.key == one.key, _OPEN)).scalar()
        if taken is not None:
            return None
        row = c.execute(
            sa.insert(ALARMS)
            .values(
                key=one.key,
                channel=one.channel,
                kind=one.kind,
                what=one.what,
                say=one.say,
                urgent=int(one.urgent),
                value=one.value,
                most=one.value,
                raised=now,
                seen=now,
            )
            .returning(*ALARMS.c)
        ).one()
        return _row(row)

    def open(self) -> list[AlarmRow]:
        """Return the alarms that are on, the urgent and the newest first."""
        query = sa.select(ALARMS).where(_OPEN).order_by(ALARMS.c.urgent.desc(), ALARMS.c.id.desc())
        with self.database.read() as c:
            return [_row(row) for row in c.execute(query)]

    def get(self, number: int) -> AlarmRow | None:
        """Return one alarm."""
        with self.database.read() as c:
            row = c.execute(sa.select(ALARMS).where(ALARMS.c.id == number)).first()
        return _row(row) if row is not None else None

    def past(self, before: int | None = None, limit: int = 50) -> list[AlarmRow]:
        """Return alarms that are over, newest first, below a number."""
        over = ALARMS.c.cleared.is_not(None)
        query = sa.select(ALARMS).where(over).order_by(ALARMS.c.id.desc()).limit(limit)
        if before is not None:
            query = query.where(ALARMS.c.id < before)
        with self.database.read() as c:
            return [_row(row) for row in c.execute(query)]

    def last_told(self, key: str, but: int) -> int | None:
        """Return when people were last told that an alarm of this key began, another than `but`."""
        query = sa.select(sa.func.max(ALARMS.c.told)).where(ALARMS.c.key == key, ALARMS.c.id != but)
        with self.database.read() as c:
            found: int | None = c.execute(query).scalar()
        return found

    def untold_ends(self) -> list[AlarmRow]:
        """Return alarms that are over and of which people were told only that they began."""
        query = sa.select(ALARMS).where(
            ALARMS.c.cleared.is_not(None), ALARMS.c.told.is_not(None), ALARMS.c.over_told.is_(None)
        )
        with self.database.read() as c:
            return [_row(row) for row in c.execute(query.order_by(ALARMS.c.id.desc()).limit(100))]

    def acknowledge(self, number: int, by: str) -> AlarmRow:
        """Note who looks after an alarm. Raises HubError."""
        with self.database.write() as c:
            ours = sa.update(ALARMS).where(ALARMS.c.id == number, ALARMS.c.acknowledged.is_(None))
            c.execute(ours.values(acknowledged=self.now(), acknowledged_by=by))
            row = c.execute(sa.select(ALARMS).where(ALARMS.c.id == number)).first()
        if row is None:
            raise HubError(f"there is no alarm {number}")
        return _row(row)

    def note(self, numbers: Iterable[int], column: str) -> None:
        """Note that people were told: `told`, `escalated` or `over_told`."""
        with self.database.write() as c:
            wanted = sa.update(ALARMS).where(ALARMS.c.id.in_(list(numbers)))
            c.execute(wanted.values({column: self.now()}))


def _row(row: Any) -> AlarmRow:
    return AlarmRow(**{**row._asdict(), "urgent": bool(row.urgent)})
