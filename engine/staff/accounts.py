"""The people of a hub: names, roles on channels, what they sign in with.

In: names, grants (role and channels), passwords. Out: `Account`s. An account is never deleted, only disabled:
its name stands in the audit. Whatever takes a right away ends the person's sessions in the same transaction,
and nobody can take away the last way to administer the hub.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.kernel.errors import HubError
from engine.security.access import ROLES, Grant, Person
from engine.staff import passwords, second
from engine.staff.database import Part
from engine.staff.tables import ACCOUNTS, GRANTS, LINKS, RECOVERY, SESSIONS

__all__ = ["Account", "Accounts", "checked", "insert", "load", "written"]

_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}").fullmatch
_GLOB = re.compile(r"[A-Za-z0-9_.*?\[\]-]{1,64}").fullmatch


@dataclass(frozen=True, slots=True)
class Account:
    """One person. `local`: signs in here with a password; else at the issuer."""

    id: int
    name: str
    display: str
    email: str
    grants: tuple[Grant, ...]
    local: bool
    issuer: str
    subject: str
    second: bool
    must_change: bool
    disabled: bool
    failures: int
    locked_until: int
    made: int
    made_by: str
    signed_in: int | None

    def person(self, glass: tuple[str, ...] = ()) -> Person:
        """Return who this is to the rest of the hub; whoever is disabled may nothing."""
        return Person(self.name, self.display, () if self.disabled else self.grants, glass)


class Accounts(Part):
    """The accounts of one hub."""

    def all(self) -> list[Account]:
        """Return every account, by name."""
        with self.database.read() as c:
            return load(c)

    def named(self, name: str) -> Account | None:
        """Return the account of a name, however it is typed."""
        with self.database.read() as c:
            return next(iter(load(c, ACCOUNTS.c.name == written(name))), None)

    def numbered(self, number: int) -> Account | None:
        """Return an account by its number."""
        with self.database.read() as c:
            return next(iter(load(c, ACCOUNTS.c.id == number)), None)

    def of_subject(self, issuer: str, subject: str) -> Account | None:
        """Return the account of somebody who signs in at an issuer."""
        with self.database.read() as c:
            found = load(c, ACCOUNTS.c.issuer == issuer, ACCOUNTS.c.subject == subject)
        return found[0] if found and issuer and subject else None

    def any(self) -> bool:
        """Say whether there is an account at all."""
        with self.database.read() as c:
            return c.execute(sa.select(ACCOUNTS.c.id).limit(1)).first() is not None

    def add(
        self,
        name: str,
        grants: Iterable[Grant],
        by: str,
        *,
        display: str = "",
        email: str = "",
        password: str | None = None,
        issuer: str = "",
        subject: str = "",
    ) -> Account:
        """Make an account; without a password it needs a link or an issuer to sign in. Raises HubError."""
        kept = None
        if password is not None:
            passwords.judge(password, (name, display, email))
            kept = passwords.hashed(password)
        with self.database.write() as c:
            return insert(
                c,
                name,
                grants,
                self.now(),
                by,
                display=display,
                email=email.strip(),
                password=kept,
                issuer=issuer,
                subject=subject,
            )

    def describe(self, number: int, display: str, email: str) -> None:
        """Change how a person is called and reached."""
        self._set(number, display=display.strip(), email=email.strip())

    def grant(self, number: int, grants: Iterable[Grant]) -> None:
        """Give a person these roles instead of those they had; their sessions end."""
        grants = checked(grants)
        with self.database.write() as c:
            managed = _is_managed(c)
            c.execute(sa.delete(GRANTS).where(GRANTS.c.account == number))
            _put_grants(c, number, grants)
            _end_sessions(c, number)
            _keep_managed(c, managed)

    def disable(self, number: int, disabled: bool = True) -> None:
        """Shut a person out at once, or let them in again."""
        with self.database.write() as c:
            managed = _is_managed(c)
            c.execute(
                sa.update(ACCOUNTS)
                .where(ACCOUNTS.c.id == number)
                .values(disabled=int(disabled), failures=0, locked_until=0)
            )
            _end_sessions(c, number)
            c.execute(sa.delete(LINKS).where(LINKS.c.account == number))
            _keep_managed(c, managed)

    def unlock(self, number: int) -> None:
        """Let a person try again who has typed a wrong password too often."""
        self._set(number, failures=0, locked_until=0)

    def set_password(self, number: int, password: str, *, must_change: bool = False) -> None:
        """Set a password; every session and link of the person ends. Raises PasswordRefused."""
        account = self.numbered(number)
        if account is None:
            raise HubError("there is no such account")
        passwords.judge(password, (account.name, account.display, account.email))
        kept = passwords.hashed(password)
        with self.database.write() as c:
            c.execute(
                sa.update(ACCOUNTS)
                .where(ACCOUNTS.c.id == number)
                .values(password=kept, must_change=int(must_change), failures=0, locked_until=0)
            )
            _end_sessions(c, number)
            c.execute(sa.delete(LINKS).where(LINKS.c.account == number))

    def bind(self, number: int, issuer: str, subject: str) -> None:
        """Say at which issuer the person signs in from now on."""
        self._set(number, issuer=issuer, subject=subject)

    def noted(self, number: int) -> None:
        """Note that the person has signed in."""
        self._set(number, signed_in=self.now())

    # -- the second factor

    def set_second(self, number: int, secret: str, code: str) -> Sequence[str]:
        """Take an authenticator into use, proven by a code of it; returns the recovery codes, shown once.

        Raises HubError where the code is wrong.
        """
        step = second.step_of(secret, code, self.now(), 0)
        if step is None:
            raise HubError(
                "this code is not right",
                why="it is of another secret, or the clock of the device is off",
                remedy="set the clock of the device to be set by itself, and type the next code",
            )
        codes = second.new_recovery_codes()
        with self.database.write() as c:
            sealed = self.keyring.seal(secret.encode(), b"totp:%d" % number)
            c.execute(sa.update(ACCOUNTS).where(ACCOUNTS.c.id == number).values(totp=sealed, totp_step=step))
            c.execute(sa.delete(RECOVERY).where(RECOVERY.c.account == number))
            kept = [{"account": number, "hash": self.recovery_hash(number, one)} for one in codes]
            c.execute(sa.insert(RECOVERY), kept)
        return codes

    def clear_second(self, number: int) -> None:
        """Forget a lost authenticator; the person's sessions end."""
        with self.database.write() as c:
            c.execute(sa.update(ACCOUNTS).where(ACCOUNTS.c.id == number).values(totp=None, totp_step=0))
            c.execute(sa.delete(RECOVERY).where(RECOVERY.c.account == number))
            _end_sessions(c, number)

    def recovery_hash(self, number: int, code: str) -> bytes:
        """Return what is kept of a recovery code."""
        return self.keyring.mac16("recovery code", f"{number} {second.plain_code(code)}")

    def recovery_left(self, number: int) -> int:
        """Return how many recovery codes were not used yet."""
        with self.database.read() as c:
            counted = sa.select(sa.func.count()).select_from(RECOVERY).where(RECOVERY.c.account == number)
            return int(c.execute(counted).scalar_one())

    def _set(self, number: int, **values: Any) -> None:
        with self.database.write() as c:
            c.execute(sa.update(ACCOUNTS).where(ACCOUNTS.c.id == number).values(**values))


def written(name: str) -> str:
    """Return a name as accounts are kept by."""
    return name.strip().lower()


def checked(grants: Iterable[Grant]) -> tuple[Grant, ...]:
    """Return grants in which every role exists and every channel can be one. Raises HubError."""
    found = tuple(grants)
    for grant in found:
        if grant.role not in ROLES:
            raise HubError(f"there is no role {grant.role!r}", remedy="roles are " + ", ".join(ROLES))
        if not grant.channels or not all(_GLOB(one) for one in grant.channels):
            raise HubError(
                f"the role {grant.role} is on no channel that could be",
                remedy="write names of channels, with * and ? for anything, e.g. lab_*",
            )
    return found


def insert(
    c: sa.Connection, name: str, grants: Iterable[Grant], at: int, by: str, *, display: str = "", **rest: Any
) -> Account:
    """Make an account, inside the caller's transaction. Raises HubError."""
    name, grants = written(name), checked(grants)
    if not _NAME(name):
        raise HubError(
            "this cannot be the name of an account",
            why="it takes letters, digits and . _ - + @, 64 at most, and begins with a letter or digit",
        )
    if load(c, ACCOUNTS.c.name == name):
        raise HubError(f"there is an account {name} already", remedy="take another name")
    values = {"email": "", "made": at, "made_by": by, **rest}
    c.execute(sa.insert(ACCOUNTS).values(name=name, display=display.strip() or name, **values))
    (account,) = load(c, ACCOUNTS.c.name == name)
    _put_grants(c, account.id, grants)
    return load(c, ACCOUNTS.c.id == account.id)[0]


def load(c: sa.Connection, *where: sa.ColumnElement[bool]) -> list[Account]:
    """Return accounts with their grants, by name; inside the caller's transaction."""
    rows = c.execute(sa.select(ACCOUNTS).where(*where).order_by(ACCOUNTS.c.name)).all()
    wanted = sa.select(GRANTS).order_by(GRANTS.c.role, GRANTS.c.channels)
    if where:
        wanted = wanted.where(GRANTS.c.account.in_([row.id for row in rows]))
    grants: dict[int, list[Grant]] = {}
    for account, role, channels in c.execute(wanted):
        grants.setdefault(account, []).append(Grant(role, tuple(channels.split())))
    return [_account(row, tuple(grants.get(row.id, ()))) for row in rows]


def _account(row: Any, grants: tuple[Grant, ...]) -> Account:
    return Account(
        row.id,
        row.name,
        row.display,
        row.email,
        grants,
        row.password is not None,
        row.issuer,
        row.subject,
        row.totp is not None,
        bool(row.must_change),
        bool(row.disabled),
        row.failures,
        row.locked_until,
        row.made,
        row.made_by,
        row.signed_in,
    )


def _put_grants(c: sa.Connection, number: int, grants: Iterable[Grant]) -> None:
    rows = {(g.role, " ".join(sorted(g.channels))) for g in grants}
    if rows:
        c.execute(sa.insert(GRANTS), [{"account": number, "role": r, "channels": on} for r, on in rows])


def _end_sessions(c: sa.Connection, number: int) -> None:
    c.execute(sa.delete(SESSIONS).where(SESSIONS.c.account == number))


def _is_managed(c: sa.Connection) -> bool:
    """Say whether somebody can manage people."""
    manages = [role for role, may in ROLES.items() if "admin.users" in may]
    able = (
        sa.select(ACCOUNTS.c.id)
        .join(GRANTS, GRANTS.c.account == ACCOUNTS.c.id)
        .where(ACCOUNTS.c.disabled == 0, GRANTS.c.role.in_(manages))
        .limit(1)
    )
    return c.execute(able).first() is not None


def _keep_managed(c: sa.Connection, before: bool) -> None:
    """Refuse what would leave nobody who can manage people."""
    if before and not _is_managed(c):
        raise HubError(
            "this would leave nobody with the role admin",
            remedy="give the role to somebody else first",
        )
