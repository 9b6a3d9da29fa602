"""Drafts: changes to channels, maps and code tables that are written, tried and approved before they are in
force.

In: the project and `staff.db`; texts of files below `channels/`, `mappings/`, `terminology/`. Out: numbered
drafts whose content has a digest, a folder of the project as it would be with one, and what has changed in
the live files since. Nothing here touches a live file: that is `golive.py`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from engine.channels.draftpaths import LARGEST, built, forget, live_text, safe_path, text_digest
from engine.channels.threeway import Clash, merge
from engine.kernel.config import Config
from engine.kernel.errors import HubError
from engine.staff.drafts import DraftEvent, DraftFile, DraftHead
from engine.staff.staff import Staff

__all__ = ["OPEN", "STATES", "Draft", "Drafts", "Standing", "content_digest"]

STATES = ("draft", "checked", "asked", "approved", "live", "rolled back", "thrown away")
"""What a draft can be, in the order it goes through them."""
OPEN = STATES[:4]
"""States in which a draft can still change; a change takes it back to the first."""


@dataclass(frozen=True, slots=True)
class Draft:
    """One draft as it is now."""

    number: int
    title: str
    author: str
    state: str
    begun: int
    changed: int
    digest: str  # of what it changes, and from what: checks, impact and approvals are about one digest
    files: Mapping[str, DraftFile]
    events: tuple[DraftEvent, ...]

    @property
    def authors(self) -> frozenset[str]:
        """Everybody who ever wrote on it: none of them can approve it."""
        return frozenset([self.author, *(e.who for e in self.events if e.what in ("put", "drop", "rebase"))])

    @property
    def comments(self) -> list[DraftEvent]:
        """What people said about it, oldest first."""
        return [e for e in self.events if e.what == "comment"]

    @property
    def texts(self) -> dict[str, str | None]:
        """Path of each file it changes -> its text; None = it goes away."""
        return {path: file.text for path, file in self.files.items()}


@dataclass(frozen=True, slots=True)
class Standing:
    """How a file of a draft stands to the live one.

    `same`: the live file is what the draft began from; `moved`: it has changed, elsewhere than the draft
    changes it; `clash`: both changed the same lines; `there`: the live file says already what the draft does.
    """

    path: str
    state: str
    base: str | None
    live: str | None
    mine: str | None
    clashes: tuple[Clash, ...] = ()
    merged: str | None = None


class Drafts:
    """The drafts of a project."""

    def __init__(self, config: Config, staff: Staff) -> None:
        self.config, self.staff = config, staff
        self.rows = staff.drafts

    def begin(self, title: str, who: str) -> Draft:
        """Begin an empty draft."""
        title = " ".join(title.split())
        if not 3 <= len(title) <= 200:
            raise HubError("a draft needs a title", remedy="say in 3 to 200 characters what it is for")
        digest = content_digest({})
        with self.staff.database.write() as c:
            number = self.rows.begin(c, title, who, "draft", digest)
            self.rows.note(c, number, who, "begin", digest)
        return self.get(number)

    def get(self, number: int) -> Draft:
        """Return a draft. Raises HubError where there is none."""
        with self.staff.database.read() as c:
            return self._get(c, number)

    def all(self, before: int | None = None, limit: int = 50, states: Iterable[str] = ()) -> list[DraftHead]:
        """Return drafts without their files, newest first, those below a number."""
        with self.staff.database.read() as c:
            return self.rows.heads(c, before, limit, states)

    def text(self, number: int, path: str) -> str | None:
        """Return a file as this draft has it: its own text, else the live one; None where there is none."""
        path = safe_path(self.config, path)
        file = self.get(number).files.get(path)
        return file.text if file is not None else live_text(self.config, path)

    def put(self, number: int, path: str, text: str | None, who: str, seen: str | None = None) -> Draft:
        """Write a file of a draft (None: it shall go away). A text like the live one is no change.

        `seen` is the digest (`text_digest`) of the text that was edited: where the draft says something else
        by now, nothing is written. Raises HubError.
        """
        path = safe_path(self.config, path)
        live = live_text(self.config, path)
        if text is not None and len(text.encode()) > LARGEST:
            raise HubError(f"the file is larger than {LARGEST >> 20} MiB", where=path)
        with self.staff.database.write() as c:
            draft = self._writable(c, number)
            before = draft.files.get(path)
            base = before.base if before else live
            now = before.text if before else live
            if seen is not None and seen != text_digest(now):
                raise HubError(
                    f"somebody else has changed {path} in draft {number} meanwhile",
                    remedy="look at it as it is now, and make your change again",
                )
            text = _as_before(text, base if base is not None else live)
            if text == now:
                return draft
            if text == base:
                self.rows.drop(c, number, path)
            else:
                self.rows.put(c, number, path, (base, text), who)
            self._written(c, number, who, "put", path)
            return self._get(c, number)

    def drop(self, number: int, path: str, who: str) -> Draft:
        """Take a file out of a draft: it stays as it is live."""
        with self.staff.database.write() as c:
            draft = self._writable(c, number)
            if path not in draft.files:
                raise HubError(f"draft {number} does not change {path}")
            self.rows.drop(c, number, path)
            self._written(c, number, who, "drop", path)
            return self._get(c, number)

    def comment(self, number: int, text: str, who: str) -> Draft:
        """Say something about a draft, in any state."""
        text = text.strip()
        if not text or len(text) > 10_000:
            raise HubError("a comment needs words", remedy="write up to 10,000 characters")
        with self.staff.database.write() as c:
            draft = self._get(c, number)
            self.rows.note(c, number, who, "comment", draft.digest, text)
            return self._get(c, number)

    def throw_away(self, number: int, who: str) -> Draft:
        """End a draft that shall never be in force."""
        with self.staff.database.write() as c:
            draft = self._writable(c, number)
            self.rows.change(c, number, state="thrown away")
            self.rows.note(c, number, who, "thrown away", draft.digest)
        forget(self.config, str(number))
        return self.get(number)

    def root(self, number: int) -> Path:
        """Return a folder of the whole project as it would be with this draft: maps, channels and tables can
        be opened there. It belongs to the content as it is now and to the live files as they are now; ask
        again after a change. Nobody writes into it.
        """
        draft = self.get(number)
        return built(self.config, str(number), draft.texts)

    def standing(self, number: int) -> list[Standing]:
        """Say of each file whether the live one has changed since, and if that can be brought together."""
        return [_standing(self.config, file) for file in self.get(number).files.values()]

    def rebase(self, number: int, who: str) -> Draft:
        """Bring in what has changed in the live files meanwhile. Raises HubError where lines clash."""
        with self.staff.database.write() as c:
            draft = self._writable(c, number)
            moved = [
                s for s in (_standing(self.config, f) for f in draft.files.values()) if s.state != "same"
            ]
            if clashing := [s.path for s in moved if s.state == "clash"]:
                raise HubError(
                    f"{', '.join(clashing)}: the live file has changed in the same lines",
                    remedy="look at both, and write in the draft what shall be",
                )
            for s in moved:
                if s.merged == s.live:
                    self.rows.drop(c, number, s.path)
                else:
                    self.rows.put(c, number, s.path, (s.live, s.merged), who)
            if moved:
                self._written(c, number, who, "rebase", ", ".join(s.path for s in moved))
            return self._get(c, number)

    def resolve(self, number: int, path: str, text: str | None, who: str) -> Draft:
        """Write what a file shall be after a look at the live one, which the draft then begins from."""
        path = safe_path(self.config, path)
        live = live_text(self.config, path)
        with self.staff.database.write() as c:
            draft = self._writable(c, number)
            if path not in draft.files:
                raise HubError(f"draft {number} does not change {path}")
            text = _as_before(text, live)
            if text == live:
                self.rows.drop(c, number, path)
            else:
                self.rows.put(c, number, path, (live, text), who)
            self._written(c, number, who, "rebase", path)
            return self._get(c, number)

    def move(self, c: sa.Connection, draft: Draft, state: str, who: str, text: str = "") -> None:
        """Put a draft into another state, in the transaction of whoever decided that it may."""
        self.rows.change(c, draft.number, state=state)
        self.rows.note(c, draft.number, who, state, draft.digest, text)

    def locked(self, c: sa.Connection, number: int) -> Draft:
        """Return a draft inside a write transaction."""
        return self._get(c, number)

    def _get(self, c: sa.Connection, number: int) -> Draft:
        head = self.rows.head(c, number)
        if head is None:
            raise HubError(f"there is no draft {number}", remedy="`hub draft list` shows those there are")
        words: dict[str, Any] = {name: getattr(head, name) for name in DraftHead.__slots__}
        return Draft(**words, files=self.rows.files(c, number), events=tuple(self.rows.events(c, number)))

    def _writable(self, c: sa.Connection, number: int) -> Draft:
        draft = self._get(c, number)
        if draft.state not in OPEN:
            raise HubError(
                f"draft {number} is {draft.state} and cannot change any more", remedy="begin a new draft"
            )
        return draft

    def _written(self, c: sa.Connection, number: int, who: str, what: str, text: str) -> None:
        """Give the content its new digest; whatever was found or decided about the one before is void."""
        digest = content_digest(self.rows.files(c, number))
        head = self.rows.head(c, number)
        if head is not None and head.state in ("asked", "approved") and digest != head.digest:
            self.rows.note(c, number, who, "void", head.digest, f"it was {head.state}, and has changed")
        self.rows.change(c, number, digest=digest, state="draft")
        self.rows.note(c, number, who, what, digest, text)


def content_digest(files: Mapping[str, DraftFile]) -> str:
    """Return the digest of what a draft changes and from what: 64 hex digits."""
    h = hashlib.sha256()
    for path, file in sorted(files.items()):
        h.update(f"{path}|{text_digest(file.base)}|{text_digest(file.text)}\n".encode())
    return h.hexdigest()


def _standing(config: Config, file: DraftFile) -> Standing:
    live = live_text(config, file.path)
    base, mine = file.base, file.text
    if live == base:
        return Standing(file.path, "same", base, live, mine, merged=mine)
    if live == mine:
        return Standing(file.path, "there", base, live, mine, merged=mine)
    if live is None or base is None or mine is None:  # a file that came, or went, on one side only
        lines = Clash(base or "", mine or "", live or "", 1, 1, 1)
        return Standing(file.path, "clash", base, live, mine, (lines,))
    done = merge(base, mine, live)
    state = "clash" if done.text is None else "moved"
    return Standing(file.path, state, base, live, mine, done.clashes, done.text)


def _as_before(text: str | None, before: str | None) -> str | None:
    """Return a text with the line ends the file had: a form of a browser sends its own."""
    if text is None:
        return None
    text = text.replace("\r\n", "\n")
    return text.replace("\n", "\r\n") if before is not None and "\r\n" in before else text
