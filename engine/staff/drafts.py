"""Drafts as rows: number, title, state, the files they change, who did what and when, and what was found.

In: texts and words, in a transaction of the caller. Out: frozen rows, opened. What a draft means for the
project is in `engine/channels/drafts.py`.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import sqlalchemy as sa

from engine.staff.database import Part
from engine.staff.drafttables import DRAFTS, EVENTS, FILES, REPORTS

__all__ = ["DraftEvent", "DraftFile", "DraftHead", "DraftRows"]


@dataclass(frozen=True, slots=True)
class DraftHead:
    """A draft without its files."""

    number: int
    title: str
    author: str
    state: str
    begun: int
    changed: int
    digest: str


@dataclass(frozen=True, slots=True)
class DraftFile:
    """One file of a draft. `base`: the live text it began from; `text`: what it shall be; None = no file."""

    path: str
    base: str | None
    text: str | None
    who: str
    at: int


@dataclass(frozen=True, slots=True)
class DraftEvent:
    """One thing somebody did to a draft; `digest` is the content after it."""

    id: int
    at: int
    who: str
    what: str
    digest: str
    text: str


class DraftRows(Part):
    """The rows of drafts; every method works in the transaction `c`."""

    def begin(self, c: sa.Connection, title: str, who: str, state: str, digest: str) -> int:
        """Add a draft; returns its number."""
        at = self.now()
        row = {"title": title, "author": who, "state": state, "begun": at, "changed": at, "digest": digest}
        return int(c.execute(sa.insert(DRAFTS).values(row).returning(DRAFTS.c.number)).scalar_one())

    def head(self, c: sa.Connection, number: int) -> DraftHead | None:
        """Return one draft without its files."""
        row = c.execute(sa.select(DRAFTS).where(DRAFTS.c.number == number)).one_or_none()
        return DraftHead(*row) if row else None

    def heads(
        self, c: sa.Connection, before: int | None = None, limit: int = 50, states: Iterable[str] = ()
    ) -> list[DraftHead]:
        """Return drafts, newest first, those below a number."""
        query = sa.select(DRAFTS).order_by(DRAFTS.c.number.desc()).limit(limit)
        if before is not None:
            query = query.where(DRAFTS.c.number < before)
        if wanted := list(states):
            query = query.where(DRAFTS.c.state.in_(wanted))
        return [DraftHead(*row) for row in c.execute(query)]

    def change(self, c: sa.Connection, number: int, **words: str) -> None:
        """Write over words of a draft's head: title, state, digest."""
        values = {**words, "changed": self.now()}
        c.execute(sa.update(DRAFTS).where(DRAFTS.c.number == number).values(values))

    def files(self, c: sa.Connection, number: int) -> dict[str, DraftFile]:
        """Return the files of a draft by path."""
        query = sa.select(FILES).where(FILES.c.draft == number).order_by(FILES.c.path)
        return {
            r.path: DraftFile(
                r.path, self._open(number, r.path, r.base), self._open(number, r.path, r.text), r.who, r.at
            )
            for r in c.execute(query)
        }

    def put(
        self, c: sa.Connection, number: int, path: str, texts: tuple[str | None, str | None], who: str
    ) -> None:
        """Write one file of a draft: the text it began from, and what it shall be."""
        self.drop(c, number, path)
        base, text = (self._seal(number, path, one) for one in texts)
        row = {"draft": number, "path": path, "base": base, "text": text, "who": who, "at": self.now()}
        c.execute(sa.insert(FILES).values(row))

    def drop(self, c: sa.Connection, number: int, path: str) -> None:
        """Take a file out of a draft."""
        c.execute(sa.delete(FILES).where(FILES.c.draft == number, FILES.c.path == path))

    def note(self, c: sa.Connection, number: int, who: str, what: str, digest: str, text: str = "") -> None:
        """Write down what somebody did to a draft; the same again in a row is one event."""
        query = sa.select(EVENTS).where(EVENTS.c.draft == number).order_by(EVENTS.c.id.desc()).limit(1)
        last = c.execute(query).one_or_none()
        again = what in ("put", "drop") and last is not None and (last.who, last.what) == (who, what)
        if again and last is not None and self._open(number, "event", last.text) == (text or None):
            values = {"at": self.now(), "digest": digest}
            c.execute(sa.update(EVENTS).where(EVENTS.c.id == last.id).values(values))
            return
        sealed = self._seal(number, "event", text or None)
        row = {"draft": number, "at": self.now(), "who": who, "what": what, "digest": digest, "text": sealed}
        c.execute(sa.insert(EVENTS).values(row))

    def events(self, c: sa.Connection, number: int) -> list[DraftEvent]:
        """Return what was done to a draft, oldest first."""
        query = sa.select(EVENTS).where(EVENTS.c.draft == number).order_by(EVENTS.c.id)
        return [
            DraftEvent(r.id, r.at, r.who, r.what, r.digest, self._open(number, "event", r.text) or "")
            for r in c.execute(query)
        ]

    def keep_report(self, c: sa.Connection, kind: str, digest: str, body: bytes) -> None:
        """Keep what was found about a content, in place of what was found before."""
        c.execute(sa.delete(REPORTS).where(REPORTS.c.kind == kind, REPORTS.c.digest == digest))
        sealed = self.keyring.seal(body, _aad(kind, digest))
        row = {"kind": kind, "digest": digest, "at": self.now(), "body": sealed}
        c.execute(sa.insert(REPORTS).values(row))

    def report(self, c: sa.Connection, kind: str, digest: str) -> tuple[int, bytes] | None:
        """Return when a report was made and what it says."""
        wanted = REPORTS.c.kind == kind, REPORTS.c.digest == digest
        row = c.execute(sa.select(REPORTS.c.at, REPORTS.c.body).where(*wanted)).one_or_none()
        return (row.at, self.keyring.unseal(bytes(row.body), _aad(kind, digest))) if row else None

    def _seal(self, number: int, name: str, text: str | None) -> bytes | None:
        return None if text is None else self.keyring.seal(text.encode(), _aad(str(number), name))

    def _open(self, number: int, name: str, sealed: bytes | None) -> str | None:
        if sealed is None:
            return None
        return self.keyring.unseal(bytes(sealed), _aad(str(number), name)).decode()


def _aad(one: str, other: str) -> bytes:
    return f"draft:{one}:{other}".encode()
