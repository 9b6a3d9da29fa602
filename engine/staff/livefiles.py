"""Files of the project that were changed while the hub runs, for the machines that did not write them.

In: paths with what they say now and the digest of what they said before. Out: the same, in the order they
were written. Rows are only added; a machine remembers up to which number it has followed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import sqlalchemy as sa

from engine.staff.database import Part
from engine.staff.tables import METADATA, number

__all__ = ["LIVE_FILES", "LiveFile", "LiveFiles", "digest_of"]

LIVE_FILES = sa.Table(
    "staff_live_file",
    METADATA,
    number(),
    sa.Column("path", sa.Text, nullable=False),  # below the project's folder
    sa.Column("before", sa.Text, nullable=False),  # digest; empty: there was none
    sa.Column("after", sa.Text, nullable=False),  # digest; empty: it was removed
    sa.Column("body", sa.LargeBinary),  # sealed; none: it was removed
    sa.Column("node", sa.Text, nullable=False),  # who wrote it
    sa.Column("at", sa.BigInteger, nullable=False),
)


def digest_of(data: bytes | None) -> str:
    """Return the digest of a file; empty where there is none."""
    return "" if data is None else hashlib.sha256(data).hexdigest()


@dataclass(frozen=True, slots=True)
class LiveFile:
    """One file as somebody wrote it. `data` None: it was removed."""

    number: int
    path: str
    before: str
    after: str
    data: bytes | None
    node: str


class LiveFiles(Part):
    """The rows of files that changed."""

    def add(self, node: str, files: Mapping[str, tuple[bytes | None, bytes | None]]) -> None:
        """Add what files said before and say now."""
        with self.database.write() as c:
            for path, (before, after) in files.items():
                values = {
                    "path": path,
                    "before": digest_of(before),
                    "after": digest_of(after),
                    "body": None if after is None else self.keyring.seal(after, b"live:" + path.encode()),
                    "node": node,
                    "at": self.now(),
                }
                c.execute(sa.insert(LIVE_FILES).values(values))

    def after(self, number: int, limit: int = 1000) -> list[LiveFile]:
        """Return the files written after a number, oldest first."""
        t = LIVE_FILES.c
        query = sa.select(LIVE_FILES).where(t.id > number).order_by(t.id).limit(limit)
        with self.database.read() as c:
            rows = c.execute(query).all()
        return [
            LiveFile(
                row.id,
                row.path,
                row.before,
                row.after,
                None
                if row.body is None
                else self.keyring.unseal(bytes(row.body), b"live:" + row.path.encode()),
                row.node,
            )
            for row in rows
        ]
