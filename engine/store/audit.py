"""The audit table: who saw or did what, in a chain that shows when a row was changed, moved or taken out.

In: accesses, one at a time or many. Out: rows whose keyed hash covers the row and the hash before it. What a
person asked for may hold patient data, so the detail is sealed. A chain alone cannot show that its newest
rows were cut off together with its head: whoever must prove that keeps `head()` somewhere else from time to
time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from engine.kernel.clock import now_ms
from engine.store.database import Database, Session
from engine.store.keys import Keyring

__all__ = ["Access", "Audit", "AuditRow"]

_AT_ONCE = 1000
_START = b"\0" * 16


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


class Audit:
    """The audit table of one store."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring

    def record(self, *accesses: Access) -> None:
        """Append accesses, in order, in one transaction; on disk when this returns."""
        if not accesses:
            return
        with self._database.write() as session:
            last, before = self._head(session)
            at = now_ms()
            rows = []
            for access in accesses:
                last += 1
                sealed = (
                    self._keyring.seal(access.detail.encode(), b"audit:%d" % last) if access.detail else None
                )
                before = self._hash(before, last, at, access.who, access.action, access.what, sealed)
                rows.append((last, at, access.who, access.action, access.what, sealed, before))
            columns = "id bigint, at bigint, who text, action text, what text, detail bytea, hash bytea"
            session.insert("audit", columns, rows)
            session.run("UPDATE audit_head SET id = ?, hash = ? WHERE one = 1", (last, before))

    def head(self) -> tuple[int, bytes]:
        """Return the newest row's number and hash."""
        with self._database.read() as session:
            return self._head(session)

    def verify(self) -> int | None:
        """Return the number of the first row that was changed, is missing or does not belong; None = all is
        well.
        """
        with self._database.read() as session:
            newest, expected = self._head(session)
            before, last = _START, 0
            while True:
                rows = session.all(
                    "SELECT id, at, who, action, what, detail, hash FROM audit "
                    "WHERE id > ? ORDER BY id LIMIT ?",
                    (last, _AT_ONCE),
                )
                if not rows:
                    break
                for number, at, who, action, what, detail, kept in rows:
                    before = self._hash(
                        before, number, at, who, action, what, bytes(detail) if detail else None
                    )
                    if number != last + 1 or before != bytes(kept):
                        return last + 1
                    last = number
            return None if (last, before) == (newest, expected) else min(last, newest) + 1

    def rows(self, after: int = 0, limit: int = 100) -> Sequence[AuditRow]:
        """Return audit rows, opened, oldest first."""
        with self._database.read() as session:
            sql = "SELECT id, at, who, action, what, detail FROM audit WHERE id > ? ORDER BY id LIMIT ?"
            return [
                AuditRow(n, at, who, action, what, self._open(n, detail))
                for n, at, who, action, what, detail in session.all(sql, (after, limit))
            ]

    def _open(self, number: int, detail: bytes | None) -> str:
        return self._keyring.unseal(bytes(detail), b"audit:%d" % number).decode() if detail else ""

    def _head(self, session: Session) -> tuple[int, bytes]:
        ((number, kept),) = session.all("SELECT id, hash FROM audit_head WHERE one = 1")
        return number, bytes(kept)

    def _hash(
        self, before: bytes, number: int, at: int, who: str, action: str, what: str, sealed: bytes | None
    ) -> bytes:
        parts = (before.hex(), str(number), str(at), who, action, what, (sealed or b"").hex())
        return self._keyring.mac16("audit", "".join(f"{len(part)}|{part}" for part in parts))
