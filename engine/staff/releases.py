"""Releases: the messages of a task that somebody let run again, or closed, with reason and replays.

In: a task, its entries, who, why, a word of the form it came from. Out: a numbered release that goes on where
it stopped, and whose entries are known one by one. The same form sent twice is the same release. Reasons are
sealed; the rest holds numbers, channels and causes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.staff.database import Part
from engine.staff.tables import METADATA, number

__all__ = ["RELEASED", "RELEASES", "Release", "Releases"]

RELEASES = sa.Table(
    "staff_release",
    METADATA,
    number(),
    sa.Column("task", sa.Text, nullable=False),
    sa.Column("kind", sa.Text, nullable=False),  # release | close
    sa.Column("form", sa.Text, nullable=False, unique=True),
    sa.Column("at", sa.BigInteger, nullable=False),
    sa.Column("who", sa.Text, nullable=False),
    sa.Column("channel", sa.Text, nullable=False),
    sa.Column("cause", sa.Text, nullable=False),
    sa.Column("place", sa.Text, nullable=False),
    sa.Column("gap", sa.BigInteger, nullable=False),
    sa.Column("reason", sa.LargeBinary, nullable=False),  # sealed
    sa.Column("head", sa.BigInteger, nullable=False),  # newest journal entry when it began
    sa.Column("entries", sa.BigInteger, nullable=False),
    sa.Column("held_back", sa.BigInteger, nullable=False, server_default="0"),
    sa.Column("reopened", sa.BigInteger),  # of a closing: when it was taken back
    sa.Column("ended", sa.BigInteger),  # everything is asked for; what it leads to is the workers'
    sqlite_autoincrement=True,
)
sa.Index("staff_release_by_task", RELEASES.c.task, RELEASES.c.id)

RELEASED = sa.Table(
    "staff_released",
    METADATA,
    sa.Column("release", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("entry", sa.BigInteger, primary_key=True, autoincrement=False),
    sa.Column("replay", sa.BigInteger),  # 0: it cannot run, its body is gone; none: not yet asked for
)


@dataclass(frozen=True, slots=True)
class Release:
    """One release. Times are ms since the epoch."""

    number: int
    task: str
    kind: str
    at: int
    who: str
    channel: str
    cause: str
    place: str
    gap: int
    reason: str
    head: int
    entries: int
    held_back: int
    ended: int | None
    reopened: int | None = None


class Releases(Part):
    """All releases."""

    def begin(
        self,
        task: str,
        form: str,
        who: str,
        why: str,
        about: tuple[str, str, str, int],
        entries: Sequence[int],
        *,
        head: int = 0,
        kind: str = "release",
    ) -> Release:
        """Write down what is going to be released. `about`: channel, cause, place, code."""
        channel, cause, place, gap = about
        sealed = self.keyring.seal(why.encode(), _place(form))
        with self.database.write() as c:
            made = sa.insert(RELEASES).values(
                task=task, form=form, at=self.now(), who=who, reason=sealed, head=head, entries=len(entries),
                channel=channel, cause=cause, place=place, gap=gap, kind=kind,
            )  # fmt: skip
            key = c.execute(made).inserted_primary_key
            assert key is not None
            if entries:
                c.execute(sa.insert(RELEASED), [{"release": key[0], "entry": e} for e in entries])
        found = self.get(int(key[0]))
        assert found is not None
        return found

    def get(self, number: int) -> Release | None:
        """Return a release."""
        return next(iter(self._where(RELEASES.c.id == number)), None)

    def of_form(self, form: str) -> Release | None:
        """Return the release that a form has led to."""
        return next(iter(self._where(RELEASES.c.form == form)), None)

    def of_task(self, task: str, limit: int = 20) -> list[Release]:
        """Return the releases of a task, newest first."""
        return self._where(RELEASES.c.task == task, limit)

    def newest(self, limit: int = 50) -> list[Release]:
        """Return the newest releases."""
        return self._where(sa.true(), limit)

    def _where(self, condition: sa.ColumnElement[bool], limit: int = 1) -> list[Release]:
        query = sa.select(RELEASES).where(condition).order_by(RELEASES.c.id.desc()).limit(limit)
        with self.database.read() as c:
            rows = c.execute(query).all()
        return [self._made(row) for row in rows]

    def _made(self, row: sa.Row[Any]) -> Release:
        reason = self.keyring.unseal(bytes(row.reason), _place(row.form)).decode()
        about = (row.channel, row.cause, row.place, row.gap)
        told = (row.head, row.entries, row.held_back, row.ended, row.reopened)
        return Release(row.id, row.task, row.kind, row.at, row.who, *about, reason, *told)

    def left(self, number: int, limit: int) -> list[int]:
        """Return entries that are not yet asked for, in order."""
        mine = (RELEASED.c.release == number) & RELEASED.c.replay.is_(None)
        query = sa.select(RELEASED.c.entry).where(mine).order_by(RELEASED.c.entry).limit(limit)
        with self.database.read() as c:
            return list(c.execute(query).scalars())

    def asked(self, number: int, replays: Mapping[int, int]) -> None:
        """Note the replays of entries (0: it cannot run); entries that were not planned are added."""
        with self.database.write() as c:
            mine = RELEASED.c.release == number
            known = set(c.execute(sa.select(RELEASED.c.entry).where(mine)).scalars())
            new = [{"release": number, "entry": e, "replay": r} for e, r in replays.items() if e not in known]
            old = [{"e": e, "r": r} for e, r in replays.items() if e in known]
            if new:
                c.execute(sa.insert(RELEASED), new)
                more = RELEASES.c.entries + len(new)
                c.execute(sa.update(RELEASES).where(RELEASES.c.id == number).values(entries=more))
            if old:
                one = sa.update(RELEASED).where(mine, RELEASED.c.entry == sa.bindparam("e"))
                c.execute(one.values(replay=sa.bindparam("r")), old)

    def end(self, number: int, held_back: int = 0) -> None:
        """Note that everything is asked for."""
        ended = {"ended": self.now(), "held_back": held_back}
        with self.database.write() as c:
            c.execute(sa.update(RELEASES).where(RELEASES.c.id == number).values(ended))

    def reopen(self, number: int) -> None:
        """Note that a closing was taken back."""
        with self.database.write() as c:
            c.execute(sa.update(RELEASES).where(RELEASES.c.id == number).values(reopened=self.now()))

    def lines(self, number: int, after: int = 0, limit: int = 100) -> list[tuple[int, int | None]]:
        """Return (entry, replay) of a release, a page after an entry."""
        query = sa.select(RELEASED.c.entry, RELEASED.c.replay).where(
            RELEASED.c.release == number, RELEASED.c.entry > after
        )
        with self.database.read() as c:
            return [
                (row.entry, row.replay) for row in c.execute(query.order_by(RELEASED.c.entry).limit(limit))
            ]

    def busy(self) -> set[int]:
        """Return the entries that some release is still going to ask for."""
        open_ = RELEASES.c.ended.is_(None) & (RELEASES.c.kind == "release")
        query = sa.select(RELEASED.c.entry).join(RELEASES, RELEASES.c.id == RELEASED.c.release)
        with self.database.read() as c:
            return set(c.execute(query.where(open_, RELEASED.c.replay.is_(None))).scalars())


def _place(form: str) -> bytes:
    return b"staff:release:" + form.encode()
