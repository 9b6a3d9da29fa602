"""The chain of the audit table: recomputed, compared with copies of its head, shortened at its old end.

In: the rows, the head that is kept beside them, copies of the head that were kept elsewhere. Out: a verdict
that says what was done to which row first. A row's hash covers the row and the hash before it and needs the
data key, so nobody without it makes a row that fits. What a chain cannot show alone is that its newest rows
were cut off together with its head: the copies show that.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from engine.store.database import Session
from engine.store.keys import Keyring

__all__ = ["KINDS", "Begin", "Verdict", "begin_of", "prove", "row_hash", "take_out"]

START = b"\0" * 16
_AT_ONCE = 1000
_COLUMNS = "id, at, who, action, what, detail"

KINDS = {
    "altered": "its content, or its hash, was changed",
    "removed": "it was taken out",
    "reordered": "another row stands in its place",
    "appended": "it stands behind the end of the chain and was not written by this hub",
    "cut off": "it and what came after it were cut off from the end",
    "foreign": "from here on the rows do not belong to the chain",
    "head": "the record of where the chain ends was changed",
    "begin": "the record of where the chain begins was changed, or not written by this hub",
}
"""What can have been done to a chain."""


@dataclass(frozen=True, slots=True)
class Begin:
    """Where a chain begins: behind row `row`, whose hash is kept."""

    row: int = 0
    hash: bytes = START
    at: int = 0
    seal: bytes = b""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What proving found. `row`: the first that something was done to; None: the chain is whole."""

    rows: int  # that were looked at
    head: int
    hash: bytes
    begin: int = 0  # rows up to this one were taken out by retention
    row: int | None = None
    kind: str = ""

    @property
    def whole(self) -> bool:
        """Say whether nothing was done to the chain."""
        return self.row is None

    def __str__(self) -> str:
        since = f", rows up to {self.begin} taken out by keep: audit:" if self.begin else ""
        if self.row is None:
            return f"OK: {self.rows} rows, head {self.hash.hex()}{since}"
        return (
            f"BROKEN at row {self.row}: {KINDS[self.kind]}. "
            "Keep the database as it is, and compare with a backup"
        )


def row_hash(keyring: Keyring, before: bytes, row: Sequence[Any]) -> bytes:
    """Return the hash of a row (id, at, who, action, what, sealed detail) that stands behind a hash."""
    number, at, who, action, what, sealed = row
    parts = (before.hex(), str(number), str(at), who, action, what, bytes(sealed or b"").hex())
    return keyring.mac16("audit", "".join(f"{len(part)}|{part}" for part in parts))


def begin_of(session: Session) -> Begin:
    """Return where the chain begins, as the record says."""
    rows = session.all("SELECT row, hash, at, seal FROM audit_begin WHERE one = 1")
    return Begin(rows[0][0], bytes(rows[0][1]), rows[0][2], bytes(rows[0][3])) if rows else Begin()


def take_out(session: Session, keyring: Keyring, upto: int, at: int) -> Begin:
    """Take out the rows up to one and write down, sealed, where the chain begins now."""
    ((kept,),) = session.all("SELECT hash FROM audit WHERE id = ?", (upto,))
    begin = Begin(upto, bytes(kept), at, _seal(keyring, upto, bytes(kept), at))
    session.run("DELETE FROM audit WHERE id <= ?", (upto,))
    session.run("DELETE FROM audit_begin")
    session.run(
        "INSERT INTO audit_begin (one, row, at, hash, seal) VALUES (1, ?, ?, ?, ?)",
        (begin.row, begin.at, begin.hash, begin.seal),
    )
    return begin


def prove(
    session: Session,
    keyring: Keyring,
    copies: Sequence[tuple[int, bytes]],
    progress: Callable[[int], None],
) -> Verdict:
    """Recompute every hash, in order, and stop at the first row that something was done to."""
    ((head, head_hash),) = session.all("SELECT id, hash FROM audit_head WHERE one = 1")
    begin = begin_of(session)
    known = dict(copies)
    counted = 0

    def broken(row: int, kind: str) -> Verdict:
        return Verdict(counted, head, bytes(head_hash), begin.row, row, kind)

    if begin.row and begin.seal != _seal(keyring, begin.row, begin.hash, begin.at):
        return broken(begin.row, "begin")
    before, last = begin.hash, begin.row
    after = 0  # not begin.row: what stands before the beginning does not belong
    while rows := session.all(
        f"SELECT {_COLUMNS}, hash FROM audit WHERE id > ? ORDER BY id LIMIT ?", (after, _AT_ONCE)
    ):
        for at, (*row, kept) in enumerate(rows):
            number = row[0]
            if number <= begin.row:
                return broken(number, "foreign")
            if number > head and last == head:
                return broken(number, "appended" if row_hash(keyring, before, row) != bytes(kept) else "head")
            if number != last + 1:
                return broken(last + 1, _gap(session, keyring, before, last + 1))
            if row_hash(keyring, before, row) != bytes(kept):
                return broken(number, _damage(keyring, before, rows[at:]))
            if known.get(number, bytes(kept)) != bytes(kept):
                return broken(number, "foreign")
            before, last = bytes(kept), number
            counted += 1
        after = last
        progress(counted)
    if last < head:
        return broken(last + 1, "cut off")
    if before != bytes(head_hash):
        return broken(last + 1, "head")
    newest = max(known, default=0)
    if newest > last:
        return broken(last + 1, "cut off")
    return Verdict(counted, head, bytes(head_hash), begin.row)


def _gap(session: Session, keyring: Keyring, before: bytes, missing: int) -> str:
    """Say why a number is missing: its row is gone, or stands elsewhere under another number."""
    sql = f"SELECT {_COLUMNS}, hash FROM audit WHERE id > ? ORDER BY id LIMIT ?"
    for *row, kept in session.all(sql, (missing, _AT_ONCE)):
        if row_hash(keyring, before, [missing, *row[1:]]) == bytes(kept):
            return "reordered"
    return "removed"


def _damage(keyring: Keyring, before: bytes, rows: Sequence[tuple[Any, ...]]) -> str:
    """Say what happened to the first of these rows, by what comes behind it."""
    *row, kept = rows[0]
    if len(rows) == 1:
        return "altered"
    *following, kept_next = rows[1]
    for hash_ in (bytes(kept), row_hash(keyring, before, row)):
        if row_hash(keyring, hash_, following) == bytes(kept_next):
            return "altered"
    for *other, other_kept in rows[1:]:
        if row_hash(keyring, before, [row[0], *other[1:]]) == bytes(other_kept):
            return "reordered"
    return "foreign"


def _seal(keyring: Keyring, row: int, hash_: bytes, at: int) -> bytes:
    return keyring.mac16("audit begin", f"{row}|{hash_.hex()}|{at}")
