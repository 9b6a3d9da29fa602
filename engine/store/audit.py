"""The audit table: who saw or did what, in a chain that shows when a row was changed, moved or taken out.

In: accesses, one at a time or many. Out: rows whose keyed hash covers the row and the hash before it, and
pages of them. What a person asked for may hold patient data, so the detail is sealed. `auditchain.py` proves
the chain and takes old rows out, `auditnames.py` finds the rows that name a patient.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from engine.kernel.clock import now_ms
from engine.security.crypto import SealError
from engine.store.auditchain import Begin, Verdict, begin_of, prove, row_hash, take_out
from engine.store.auditnames import Names
from engine.store.database import Database, Session
from engine.store.keys import Keyring

__all__ = ["Access", "Audit", "AuditRow", "Wanted"]

_AT_ONCE = 1000
_SLACK = 86_400_000  # ms a clock may have been set back while rows were written


@dataclass(frozen=True, slots=True)
class Access:
    """One thing somebody did. `what` is a resource (`Patient/<id>`), a type or an entry; never a name or
    number.
    """

    who: str
    action: str  # read | vread | history | search | feed | replay | ...
    what: str
    detail: str = ""  # e.g. the query; sealed


@dataclass(frozen=True, slots=True)
class AuditRow:
    """One row of the audit table, opened."""

    id: int
    at: int
    who: str
    action: str
    what: str
    detail: str


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which rows a page shows; empty means all. Times are ms since the epoch, `until` not included.

    `action`: a whole word such as `fhir:read`, or what stands before the colon.
    """

    who: str = ""
    action: str = ""
    since: int | None = None
    until: int | None = None

    def fits(self, row: AuditRow) -> bool:
        """Say whether a row is wanted."""
        return (
            (not self.who or row.who == self.who)
            and (not self.action or row.action == self.action or row.action.startswith(f"{self.action}:"))
            and (self.since is None or row.at >= self.since)
            and (self.until is None or row.at < self.until)
        )


class Audit:
    """The audit table of one store."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring
        self.names = Names(database, keyring)

    def record(self, *accesses: Access) -> None:
        """Append accesses, in order, in one transaction; on disk when this returns."""
        if accesses:
            with self._database.write() as session:
                self._append(session, accesses, now_ms())

    def _append(self, session: Session, accesses: Sequence[Access], at: int) -> None:
        last, before = self._head(session)
        rows = []
        for access in accesses:
            last += 1
            sealed = self._keyring.seal(access.detail.encode(), b"audit:%d" % last) if access.detail else None
            row = (last, at, access.who, access.action, access.what, sealed)
            before = row_hash(self._keyring, before, row)
            rows.append((*row, before))
        columns = "id bigint, at bigint, who text, action text, what text, detail bytea, hash bytea"
        session.insert("audit", columns, rows)
        session.run("UPDATE audit_head SET id = ?, hash = ? WHERE one = 1", (last, before))

    def head(self) -> tuple[int, bytes]:
        """Return the newest row's number and hash."""
        with self._database.read() as session:
            return self._head(session)

    def begin(self) -> Begin:
        """Return where the chain begins: row 0, or the last row that retention took out."""
        with self._database.read() as session:
            return begin_of(session)

    def verify(self) -> int | None:
        """Return the number of the first row that was changed, is missing or does not belong; None = all is
        well.
        """
        return self.prove().row

    def prove(
        self,
        copies: Sequence[tuple[int, bytes]] = (),
        progress: Callable[[int], None] = lambda rows: None,
    ) -> Verdict:
        """Recompute the chain and compare it with copies of its head that were kept elsewhere."""
        with self._database.read() as session:
            return prove(session, self._keyring, copies, progress)

    def remove_before(self, cutoff: int, who: str) -> int:
        """Take out rows older than `cutoff` (ms) from the old end; returns how many.

        The chain stays provable, and a row says who took out what.
        """
        upto = self.first_since(cutoff) - 1
        with self._database.write() as session:
            number, _ = self._head(session)
            upto = min(upto, number - 1)  # one stays, so that the chain goes on from it
            begin = begin_of(session)
            if upto <= begin.row:
                return 0
            self.names.forget(session, begin.row, upto)
            kept = take_out(session, self._keyring, upto, now_ms())
            said = f"rows {begin.row + 1} to {upto}; the chain begins at {kept.hash.hex()}"
            self._append(session, [Access(who, "audit:remove", "audit", said)], now_ms())
        return upto - begin.row

    def rows(self, after: int = 0, limit: int = 100) -> Sequence[AuditRow]:
        """Return audit rows, opened, oldest first."""
        return self._rows("id > ? ORDER BY id LIMIT ?", (after, limit))

    def page(self, wanted: Wanted = Wanted(), before: int | None = None, limit: int = 100) -> list[AuditRow]:
        """Return the rows that are wanted, opened, newest first, below number `before`."""
        where, values = ["id < ?"], [before if before is not None else 1 << 62]
        if wanted.since is not None:
            where.append("id >= ?")
            values.append(self.first_since(wanted.since - _SLACK))
            where.append("at >= ?")
            values.append(wanted.since)
        if wanted.until is not None:
            where.append("id < ?")
            values.append(self.first_since(wanted.until + _SLACK))
            where.append("at < ?")
            values.append(wanted.until)
        given: list[Any] = list(values)
        if wanted.who:
            where.append("who = ?")
            given.append(wanted.who)
        if wanted.action:
            where.append("(action = ? OR (action >= ? AND action < ?))")
            given += [wanted.action, f"{wanted.action}:", f"{wanted.action};"]  # `;` comes after `:`
        return self._rows(f"{' AND '.join(where)} ORDER BY id DESC LIMIT ?", (*given, limit))

    def since(self, wanted: Wanted = Wanted()) -> Iterator[AuditRow]:
        """Give all rows that are wanted, opened, oldest first, up to the newest of this moment."""
        upto = self.head()[0]
        after = self.first_since(wanted.since - _SLACK) - 1 if wanted.since is not None else 0
        while page := self.rows(after, _AT_ONCE):
            for row in page:
                if row.id > upto:
                    return
                if wanted.fits(row):
                    yield row
            after = page[-1].id

    def numbered(self, numbers: Sequence[int]) -> list[AuditRow]:
        """Return the rows of these numbers, opened, newest first; those that are gone are left out."""
        sql = "SELECT id, at, who, action, what, detail FROM audit WHERE id IN (...)"
        with self._database.read() as session:
            found = session.among(sql, numbers)
        return sorted((self._opened(row) for row in found), key=lambda row: -row.id)

    def first_since(self, at: int) -> int:
        """Return the number of the first row written at or after a time, found by halving: times hardly ever
        run back.
        """
        with self._database.read() as session:
            low, high = begin_of(session).row + 1, self._head(session)[0] + 1
            while low < high:
                middle = (low + high) // 2
                found = session.all("SELECT at FROM audit WHERE id >= ? ORDER BY id LIMIT 1", (middle,))
                if found and found[0][0] < at:
                    low = middle + 1
                else:
                    high = middle
        return low

    def _rows(self, rest: str, values: Sequence[Any]) -> list[AuditRow]:
        with self._database.read() as session:
            found = session.all(f"SELECT id, at, who, action, what, detail FROM audit WHERE {rest}", values)
        return [self._opened(row) for row in found]

    def _opened(self, row: tuple[Any, ...]) -> AuditRow:
        number, at, who, action, what, detail = row
        return AuditRow(number, at, who, action, what, opened(self._keyring, number, detail))

    def _head(self, session: Session) -> tuple[int, bytes]:
        ((number, kept),) = session.all("SELECT id, hash FROM audit_head WHERE one = 1")
        return number, bytes(kept)


def opened(keyring: Keyring, number: int, detail: bytes | None) -> str:
    """Return the detail of a row, unsealed; one that was altered says so, and others can still be read."""
    if not detail:
        return ""
    try:
        return keyring.unseal(bytes(detail), b"audit:%d" % number).decode()
    except SealError as e:
        return f"({e.what}: {e.why})"
