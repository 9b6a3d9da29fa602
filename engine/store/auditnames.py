"""Which audit rows name a patient, a record, a message: keyed hashes of what each row names.

In: audit rows, read behind the newest that was read before; things to look for. Out: numbers of rows. Writing
an audit row costs nothing for it: what is new is read when somebody asks, or from time to time. Hashes only,
so the index says nothing without the data key.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

from engine.security.crypto import SealError
from engine.store.database import Database, Session
from engine.store.keys import Keyring

__all__ = ["Names", "named"]

_AT_ONCE = 1000  # rows of one transaction
_WORDS = re.compile(r"[^\s=,;:|()\[\]\"']+").findall
_MOST_WORDS = 2000  # of one row
_ID = re.compile(r"[A-Za-z0-9.-]{1,64}").fullmatch


def named(what: str, detail: str) -> set[str]:
    """Return what a row names: its resource or entry, what it found, and every word asked for.

    What a search found stands in its detail behind the last colon: ids of resources, numbers of entries.
    """
    kind, _, rest = what.partition("/")
    id_ = rest.partition("/")[0]
    found = {f"{kind}/{id_}"} if id_ else set()
    for word in _WORDS(detail)[:_MOST_WORDS]:
        found.add(f"word {word.casefold()}")
        if "/" in word:
            found.add("/".join(word.split("/")[:2]))
    _, colon, listed = detail.rpartition(": ")
    if colon and not id_:
        for word in _WORDS(listed)[:_MOST_WORDS]:
            if word.isdigit():
                found.add(f"entry/{word}")
            if kind and _ID(word):
                found.add(f"{kind}/{word}")
    return found


class Names:
    """The index over one audit table."""

    def __init__(self, database: Database, keyring: Keyring) -> None:
        self._database = database
        self._keyring = keyring

    def behind(self) -> int:
        """Return how many rows were not read yet."""
        with self._database.read() as session:
            ((head,),) = session.all("SELECT id FROM audit_head WHERE one = 1")
            return max(0, int(head) - self._upto(session))

    def catch_up(self, most: int = 1 << 62) -> int:
        """Read what is new, at most so many rows; returns how many are left."""
        while most > 0:
            # hashed outside the write transaction, which nobody's work shall wait for
            with self._database.read() as session:
                upto = self._upto(session)
                rows = self._read(session, upto, min(most, _AT_ONCE))
            if not rows:
                return 0
            pairs = sorted({(mac, row[0]) for row in rows for mac in self._macs(row)})
            with self._database.write() as session:
                if self._upto(session) == upto:  # else another process has read them
                    columns = "mac bigint, row bigint"
                    session.insert("audit_named", columns, pairs, "ON CONFLICT DO NOTHING")
                    session.run("UPDATE audit_named_upto SET row = ? WHERE one = 1", (rows[-1][0],))
            most -= len(rows)
        return self.behind()

    def rows_naming(self, things: Iterable[str], most: int) -> list[int]:
        """Return the numbers of the rows that name any of these, newest first, at most so many."""
        macs = sorted({self._mac(thing) for thing in things})
        with self._database.read() as session:
            found = session.among("SELECT row FROM audit_named WHERE mac IN (...)", macs)
        return sorted({row for (row,) in found}, reverse=True)[:most]

    def forget(self, session: Session, after: int, upto: int) -> None:
        """Drop what was known of the rows behind one up to another, which are about to be taken out."""
        at = after
        while rows := [row for row in self._read(session, at, _AT_ONCE) if row[0] <= upto]:
            macs = [[mac, row[0]] for row in rows for mac in self._macs(row)]
            for mac, row in macs:
                session.run("DELETE FROM audit_named WHERE mac = ? AND row = ?", (mac, row))
            at = rows[-1][0]
        session.run("UPDATE audit_named_upto SET row = ? WHERE one = 1 AND row < ?", (upto, upto))

    def _upto(self, session: Session) -> int:
        ((upto,),) = session.all("SELECT row FROM audit_named_upto WHERE one = 1")
        return int(upto)

    def _read(self, session: Session, after: int, limit: int) -> Sequence[tuple[Any, ...]]:
        return session.all(
            "SELECT id, what, detail FROM audit WHERE id > ? ORDER BY id LIMIT ?", (after, limit)
        )

    def _macs(self, row: tuple[Any, ...]) -> set[int]:
        number, what, sealed = row
        try:
            detail = self._keyring.unseal(bytes(sealed), b"audit:%d" % number).decode() if sealed else ""
        except SealError:
            detail = ""  # it was altered: proving the chain says so, and the others can still be found
        return {self._mac(thing) for thing in named(what, detail)}

    def _mac(self, thing: str) -> int:
        return self._keyring.mac8("audit named", thing)
