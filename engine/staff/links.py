"""Links that let somebody in once: an invitation, a new password, the first account of a hub.

In: an account. Out: a code of 256 random bits, of which a keyed hash is kept. It works once, for a while, and
is worth nothing to who reads the database.
"""

from __future__ import annotations

import secrets
from collections.abc import Sequence

import sqlalchemy as sa

from engine.kernel.errors import HubError
from engine.security.access import Grant
from engine.staff import passwords
from engine.staff.accounts import Account, insert, load
from engine.staff.database import Part
from engine.staff.tables import ACCOUNTS, LINKS, SESSIONS

__all__ = ["FIRST_ROLES", "LinkRefused", "Links"]

FIRST_ROLES = ("admin", "analyst", "approver", "auditor")
"""What the first account may: whoever starts a hub on a machine of their own sees all of it. A hub with
patients (the production profile) begins with `hub user add` and the roles that are written there."""

_DAY = 86_400_000


class LinkRefused(HubError):
    """A link that is not known, was used or is too old."""


class Links(Part):
    """The links of one hub."""

    def for_first(self) -> str:
        """Make the link for the first account; an older one is worth nothing then. Raises HubError."""
        with self.database.write() as c:
            if c.execute(sa.select(ACCOUNTS.c.id).limit(1)).first() is not None:
                raise HubError("there are accounts already", remedy="hub user add NAME --role ROLE")
            c.execute(sa.delete(LINKS).where(LINKS.c.account.is_(None)))
            return self._make(c, None, None)

    def for_account(self, number: int, days: float = 3) -> str:
        """Make a link with which a person sets a password; older ones of theirs are worth nothing then."""
        with self.database.write() as c:
            found = load(c, ACCOUNTS.c.id == number)
            if not found or found[0].disabled:
                raise HubError("there is no such account, or it is disabled")
            if found[0].issuer:
                raise HubError(
                    f"{found[0].name} signs in elsewhere",
                    why=f"at {found[0].issuer}",
                    remedy="no link is needed",
                )
            c.execute(sa.delete(LINKS).where(LINKS.c.account == number))
            return self._make(c, number, self.now() + int(days * _DAY))

    def whose(self, code: str) -> Account | None:
        """Return whose link this is; None: it makes the first account. Raises LinkRefused."""
        with self.database.read() as c:
            return self._found(c, code)

    def use(
        self,
        code: str,
        password: str,
        *,
        name: str = "",
        display: str = "",
        roles: Sequence[str] = FIRST_ROLES,
    ) -> Account:
        """Set the password of whose link it is, or make the first account (`name`), and forget the link.

        Raises LinkRefused, PasswordRefused.
        """
        account = self.whose(code)
        about = (account.name, account.display, account.email) if account else (name, display)
        passwords.judge(password, about)
        kept = passwords.hashed(password)
        with self.database.write() as c:
            account = self._found(c, code)  # again: another may have used it while this one was hashed
            c.execute(sa.delete(LINKS).where(LINKS.c.hash == self._hash(code)))
            if account is None:
                account = self._first(c, name, display, roles)
            c.execute(
                sa.update(ACCOUNTS)
                .where(ACCOUNTS.c.id == account.id)
                .values(password=kept, must_change=0, failures=0, locked_until=0)
            )
            c.execute(sa.delete(SESSIONS).where(SESSIONS.c.account == account.id))
            return load(c, ACCOUNTS.c.id == account.id)[0]

    def _first(self, c: sa.Connection, name: str, display: str, roles: Sequence[str]) -> Account:
        if c.execute(sa.select(ACCOUNTS.c.id).limit(1)).first() is not None:
            raise LinkRefused("there is an account already")
        grants = tuple(Grant(role) for role in roles)
        return insert(c, name, grants, self.now(), "the first link", display=display)

    def _found(self, c: sa.Connection, code: str) -> Account | None:
        row = c.execute(sa.select(LINKS).where(LINKS.c.hash == self._hash(code))).first()
        gone = row is None or (row.expires is not None and row.expires <= self.now())
        accounts = [] if row is None or row.account is None else load(c, ACCOUNTS.c.id == row.account)
        if row is None or gone or (row.account is not None and (not accounts or accounts[0].disabled)):
            raise LinkRefused(
                "this link is not known, or too old, or was used",
                remedy="ask who manages the hub for another: hub user link NAME",
            )
        return accounts[0] if accounts else None

    def _make(self, c: sa.Connection, account: int | None, expires: int | None) -> str:
        code = secrets.token_urlsafe(32)
        c.execute(
            sa.insert(LINKS).values(hash=self._hash(code), account=account, made=self.now(), expires=expires)
        )
        return code

    def _hash(self, code: str) -> bytes:
        return self.keyring.mac16("link", code.strip())
