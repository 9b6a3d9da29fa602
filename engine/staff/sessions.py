"""The sessions of people who are signed in.

In: the cookie of a browser. Out: whose it is, with what they may at this moment. A cookie is 256 random bits,
of which a keyed hash is kept; it is a new one after every sign-in and every proof, so that one that was
planted before is worth nothing. A session ends when nobody uses it, when it is too old, and with whatever
takes a right away. Being used is written down once a minute at most.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.kernel.web_settings import SignInSettings
from engine.security.access import PHI, ROLES, Person
from engine.security.keys import Keyring
from engine.staff.accounts import Account, load
from engine.staff.database import Database, Part
from engine.staff.glass import opened_for
from engine.staff.tables import ACCOUNTS, SESSIONS

__all__ = ["Session", "Sessions"]

_MINUTE = 60_000
_BODIES = (PHI & {"see.bodies", "see.studies"}) | {"break.glass"}


@dataclass(frozen=True, slots=True)
class Session:
    """One session. `must`: what the person has to do before anything else (`password`, `second factor`)."""

    id: int
    account: Account
    csrf: str
    made: int
    seen: int
    proven: int
    how: str
    address: str
    agent: str
    glass: tuple[str, ...] = ()
    must: str = ""

    @property
    def person(self) -> Person:
        """Who it is; whoever has to do something first may nothing yet."""
        person = self.account.person(self.glass)
        return Person(person.name, person.display) if self.must else person


class Sessions(Part):
    """The sessions of one hub."""

    def __init__(
        self, database: Database, keyring: Keyring, now: Callable[[], int], settings: SignInSettings
    ) -> None:
        super().__init__(database, keyring, now)
        self.settings = settings
        self._idle = settings.idle_minutes * _MINUTE
        self._longest = int(settings.longest_hours * 60) * _MINUTE

    def start(
        self, account: Account, how: str, *, address: str = "", agent: str = "", hint: str = "", old: str = ""
    ) -> str:
        """Begin a session and return its cookie; `old`: the cookie the browser had, which ends."""
        cookie, now = secrets.token_urlsafe(32), self.now()
        with self.database.write() as c:
            c.execute(
                sa.delete(SESSIONS).where(
                    (SESSIONS.c.seen <= now - self._idle)
                    | (SESSIONS.c.made <= now - self._longest)
                    | (SESSIONS.c.hash == self._hash(old))
                )
            )
            number = c.execute(
                sa.insert(SESSIONS)
                .values(
                    hash=self._hash(cookie),
                    account=account.id,
                    csrf=secrets.token_urlsafe(32),
                    made=now,
                    seen=now,
                    proven=now,
                    how=how,
                    address=address[:64],
                    agent=_printable(agent),
                )
                .returning(SESSIONS.c.id)
            ).scalar_one()
            if hint:
                sealed = self.keyring.seal(hint.encode(), b"id token:%d" % number)
                c.execute(sa.update(SESSIONS).where(SESSIONS.c.id == number).values(hint=sealed))
        return cookie

    def find(self, cookie: str, *, active: bool = True) -> Session | None:
        """Return whose session this is now; `active`: the person did something, so it goes on."""
        if not 20 <= len(cookie) <= 100:
            return None
        now = self.now()
        with self.database.read() as c:
            row = c.execute(sa.select(SESSIONS).where(SESSIONS.c.hash == self._hash(cookie))).first()
            if row is None or row.seen <= now - self._idle or row.made <= now - self._longest:
                return None
            accounts = load(c, ACCOUNTS.c.id == row.account)
            if not accounts or accounts[0].disabled:
                return None
            found = _session(row, accounts[0], opened_for(c, row.account, now), self._must(accounts[0], row))
        if active and now - row.seen >= _MINUTE:
            self._update(row.id, seen=now)
        return found

    def prove(self, session: Session, how: str = "") -> str:
        """Note that the person has proven again who they are; returns the session's new cookie."""
        return self.renew(session, proven=self.now(), **({"how": how} if how else {}))

    def renew(self, session: Session, **values: Any) -> str:
        """Give a session another cookie, because it may more than before; the old one is worth nothing."""
        cookie = secrets.token_urlsafe(32)
        self._update(session.id, hash=self._hash(cookie), csrf=secrets.token_urlsafe(32), **values)
        return cookie

    def of(self, account: int) -> list[Session]:
        """Return the sessions a person has, newest first."""
        now = self.now()
        alive = (SESSIONS.c.seen > now - self._idle) & (SESSIONS.c.made > now - self._longest)
        with self.database.read() as c:
            (who,) = load(c, ACCOUNTS.c.id == account)
            rows = c.execute(
                sa.select(SESSIONS).where(SESSIONS.c.account == account, alive).order_by(SESSIONS.c.id.desc())
            ).all()
        return [_session(row, who) for row in rows]

    def end(self, session: int, account: int) -> str:
        """End a session of a person; returns the ID token it began with, where it began elsewhere."""
        mine = (SESSIONS.c.id == session) & (SESSIONS.c.account == account)
        with self.database.write() as c:
            hint = c.execute(sa.select(SESSIONS.c.hint).where(mine)).scalar()
            c.execute(sa.delete(SESSIONS).where(mine))
        return self.keyring.unseal(bytes(hint), b"id token:%d" % session).decode() if hint else ""

    def end_all(self, account: int, *, but: int = 0) -> int:
        """End the sessions of a person, all but one; returns how many."""
        with self.database.write() as c:
            gone = c.execute(sa.delete(SESSIONS).where(SESSIONS.c.account == account, SESSIONS.c.id != but))
            return gone.rowcount

    def _must(self, account: Account, row: Any) -> str:
        if not account.local or row.how == "oidc":
            return ""
        if account.must_change:
            return "password"
        wanted = self.settings.second_factor
        if account.second or wanted == "nobody":
            return ""
        sees = any(ROLES[grant.role] & _BODIES for grant in account.grants if grant.role in ROLES)
        return "second factor" if wanted == "everybody" or sees else ""

    def _update(self, number: int, **values: Any) -> None:
        with self.database.write() as c:
            c.execute(sa.update(SESSIONS).where(SESSIONS.c.id == number).values(**values))

    def _hash(self, cookie: str) -> bytes:
        return self.keyring.mac16("session", cookie)


def _session(row: Any, account: Account, glass: tuple[str, ...] = (), must: str = "") -> Session:
    return Session(
        row.id,
        account,
        row.csrf,
        row.made,
        row.seen,
        row.proven,
        row.how,
        row.address,
        row.agent,
        glass,
        must,
    )


def _printable(agent: str) -> str:
    return "".join(c for c in agent if c.isprintable())[:200]
