"""What went live and what was taken back, as rows: by whom, approved by whom, every file before and after.

In: one change, in a transaction of the caller. Out: frozen rows, opened. Rows are only added.
"""

from __future__ import annotations

from dataclasses import dataclass

import orjson
import sqlalchemy as sa

from engine.staff.database import Part
from engine.staff.drafttables import CHANGES

__all__ = ["Change", "ChangeRows"]

Texts = dict[str, tuple[str | None, str | None]]
"""Path -> what the file said before and after; None: there was, or is, none."""


@dataclass(frozen=True, slots=True)
class Change:
    """One change of the live files. `kind`: live, or back where it took one back."""

    number: int
    draft: int
    at: int
    who: str
    approved_by: str
    kind: str
    digest: str
    commit: str
    title: str
    files: Texts
    said: tuple[str, ...]  # what did not go as it should, and whatever people must know


class ChangeRows(Part):
    """The rows of changes; every method works in the transaction `c`."""

    def add(
        self,
        c: sa.Connection,
        draft: int,
        who: str,
        approved_by: str,
        kind: str,
        digest: str,
        title: str,
        files: Texts,
    ) -> int:
        """Add a change; returns its number."""
        row = {"draft": draft, "at": self.now(), "who": who, "approved_by": approved_by, "kind": kind}
        body: dict[str, object] = {"title": title, "files": files, "said": []}
        values = {**row, "digest": digest, "commit": "", "body": b""}
        number = int(c.execute(sa.insert(CHANGES).values(values).returning(CHANGES.c.number)).scalar_one())
        self._write(c, number, body)
        return number

    def say(self, c: sa.Connection, number: int, commit: str, said: list[str]) -> None:
        """Write down the commit, and what people must know of the change."""
        found = self.one(c, number)
        if found is not None:
            c.execute(sa.update(CHANGES).where(CHANGES.c.number == number).values(commit=commit))
            self._write(c, number, {"title": found.title, "files": found.files, "said": [*found.said, *said]})

    def one(self, c: sa.Connection, number: int) -> Change | None:
        """Return one change."""
        row = c.execute(sa.select(CHANGES).where(CHANGES.c.number == number)).one_or_none()
        return self._open(row) if row else None

    def of(self, c: sa.Connection, draft: int) -> list[Change]:
        """Return the changes of one draft, oldest first."""
        query = sa.select(CHANGES).where(CHANGES.c.draft == draft).order_by(CHANGES.c.number)
        return [self._open(row) for row in c.execute(query)]

    def page(self, c: sa.Connection, before: int | None = None, limit: int = 50) -> list[Change]:
        """Return changes, newest first, those below a number."""
        query = sa.select(CHANGES).order_by(CHANGES.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(CHANGES.c.number < before)
        return [self._open(row) for row in c.execute(query)]

    def after(self, c: sa.Connection, number: int) -> list[Change]:
        """Return the changes after one, oldest first, at most 500."""
        query = sa.select(CHANGES).where(CHANGES.c.number > number).order_by(CHANGES.c.number).limit(500)
        return [self._open(row) for row in c.execute(query)]

    def _write(self, c: sa.Connection, number: int, body: dict[str, object]) -> None:
        sealed = self.keyring.seal(orjson.dumps(body), b"change:%d" % number)
        c.execute(sa.update(CHANGES).where(CHANGES.c.number == number).values(body=sealed))

    def _open(self, row: sa.Row[tuple[object, ...]]) -> Change:
        body = orjson.loads(self.keyring.unseal(bytes(row.body), b"change:%d" % row.number))
        files = {path: (before, after) for path, (before, after) in body["files"].items()}
        words = (row.number, row.draft, row.at, row.who, row.approved_by, row.kind, row.digest, row.commit)
        return Change(*words, body["title"], files, tuple(body["said"]))
