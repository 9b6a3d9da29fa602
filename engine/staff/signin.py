"""Signing in with a password and, where there is one, a code of an authenticator.

In: a name, a password, a code, the address it came from. Out: the account, or one and the same refusal
whatever was wrong, after the same work: nobody learns which names exist. Tries are counted before they are
judged, so that many at once are no more than many one after the other; an account, and an address, that
failed too often waits, each time twice as long.
"""

from __future__ import annotations

from typing import Any

import orjson
import sqlalchemy as sa

from engine.kernel.errors import HubError
from engine.kernel.web_settings import SignInSettings
from engine.security.crypto import SealError
from engine.security.keys import Keyring
from engine.staff import passwords, second
from engine.staff.accounts import Account, load, written
from engine.staff.database import Database, Part
from engine.staff.tables import ACCOUNTS, ADDRESSES, RECOVERY

__all__ = ["NotLetIn", "SignIn"]

_FIRST_WAIT, _LONGEST_WAIT = 30_000, 15 * 60_000
_ADDRESS_TRIES = 10  # times as many: a whole ward may come from one address
_FORGOTTEN = 24 * 3_600_000  # an address that has been quiet for so long
_PATIENCE = 5 * 60_000  # between the password and the code
_PLACE = b"sign-in step"


class NotLetIn(HubError):
    """The one answer to every failed try; `account` is for the audit: whose it was, where there is one."""

    def __init__(self, account: int = 0) -> None:
        self.account = account
        super().__init__(
            "the name, the password or the code is not right, or there were too many tries",
            remedy="wait a few minutes before the next one; who manages the hub can help: hub user link NAME",
        )

    def __reduce__(self) -> tuple[object, ...]:
        return (NotLetIn, (self.account,))


class SignIn(Part):
    """Lets people in."""

    def __init__(self, database: Database, keyring: Keyring, now: Any, settings: SignInSettings) -> None:
        super().__init__(database, keyring, now)
        self.settings = settings

    def password(self, name: str, password: str, address: str) -> tuple[Account, str]:
        """Judge a name and password; returns the account and, where a code is needed, the step it goes with.

        Raises NotLetIn.
        """
        account, kept, free = self._try(ACCOUNTS.c.name == written(name), address)
        whose = account.id if account is not None else 0
        if not free:  # an address that tries and tries costs nothing
            raise NotLetIn(whose)
        if account is None or kept is None:
            passwords.waste(password)
            raise NotLetIn(whose)
        if not passwords.right(kept, password):
            raise NotLetIn(whose)
        if passwords.outdated(kept):
            kept = passwords.hashed(password)
        if account.second:
            with self.database.write() as c:
                self._forgive(c, account, address, password=kept)
            return account, self._step(account)
        self._in(account, address, password=kept)
        return account, ""

    def code(self, step: str, code: str, address: str) -> tuple[Account, str]:
        """Judge the code that belongs to a step; returns the account and how: `totp` or `recovery`.

        Raises NotLetIn.
        """
        number = self._opened(step)
        account, kept, free = self._try(ACCOUNTS.c.id == number, address)
        if account is None or kept is None or not free or not account.second:
            raise NotLetIn(number)
        if self.second(account.id, code):
            how = "totp"
        elif self._recovery(account.id, code):
            how = "recovery"
        else:
            raise NotLetIn(number)
        self._in(account, address)
        return account, how

    def known(self, account: Account, password: str, address: str, code: str | None = None) -> None:
        """Judge the password of somebody who is signed in, and their code where one is given and they have
        an authenticator. Raises NotLetIn; tries count as at the sign-in, those with a wrong code too.
        """
        found, kept, free = self._try(ACCOUNTS.c.id == account.id, address)
        if found is None or kept is None or not free or not passwords.right(kept, password):
            raise NotLetIn(account.id)
        if code is not None and found.second and not self.second(found.id, code):
            raise NotLetIn(account.id)
        with self.database.write() as c:
            self._forgive(c, found, address)

    def second(self, number: int, code: str) -> bool:
        """Say whether a code of a person's authenticator is right, and let it be right only once."""
        with self.database.write() as c:
            row = c.execute(
                sa.select(ACCOUNTS.c.totp, ACCOUNTS.c.totp_step).where(ACCOUNTS.c.id == number)
            ).first()
            if row is None or row.totp is None:
                return False
            secret = self.keyring.unseal(bytes(row.totp), b"totp:%d" % number).decode()
            step = second.step_of(secret, code, self.now(), row.totp_step)
            if step is None:
                return False
            c.execute(sa.update(ACCOUNTS).where(ACCOUNTS.c.id == number).values(totp_step=step))
            return True

    def _recovery(self, number: int, code: str) -> bool:
        kept = self.keyring.mac16("recovery code", f"{number} {second.plain_code(code)}")
        with self.database.write() as c:
            gone = c.execute(sa.delete(RECOVERY).where(RECOVERY.c.account == number, RECOVERY.c.hash == kept))
            return gone.rowcount == 1

    # -- counting

    def _try(self, who: sa.ColumnElement[bool], address: str) -> tuple[Account | None, str | None, bool]:
        """Count a try. Return the account, its password's hash where that may be judged, and whether the
        address need not wait."""
        now = self.now()
        with self.database.write() as c:
            free = self._from(c, address, now)
            found = load(c, who)
            if not found or found[0].locked_until > now:
                return (found[0] if found else None), None, free
            account = found[0]
            until = self._until(account.failures + 1, self.settings.tries)
            c.execute(
                sa.update(ACCOUNTS)
                .where(ACCOUNTS.c.id == account.id)
                .values(failures=account.failures + 1, locked_until=until)
            )
            kept = c.execute(sa.select(ACCOUNTS.c.password).where(ACCOUNTS.c.id == account.id)).scalar()
        return account, None if account.disabled else kept, free

    def _from(self, c: sa.Connection, address: str, now: int) -> bool:
        """Count a try of an address, where one is known; return whether it need not wait."""
        c.execute(sa.delete(ADDRESSES).where(ADDRESSES.c.last < now - _FORGOTTEN))
        if not address:
            return True
        place = self.keyring.mac16("address", address)
        row = c.execute(sa.select(ADDRESSES).where(ADDRESSES.c.address == place)).first()
        if row is not None and row.locked_until > now:
            return False
        failures = (row.failures if row else 0) + 1
        until = self._until(failures, self.settings.tries * _ADDRESS_TRIES)
        values = {"failures": failures, "last": now, "locked_until": until}
        if row is None:
            c.execute(sa.insert(ADDRESSES).values(address=place, **values))
        else:
            c.execute(sa.update(ADDRESSES).where(ADDRESSES.c.address == place).values(**values))
        return True

    def _until(self, failures: int, allowed: int) -> int:
        if not allowed or failures < allowed:
            return 0
        return self.now() + min(_FIRST_WAIT << min(failures - allowed, 16), _LONGEST_WAIT)

    def _forgive(self, c: sa.Connection, account: Account, address: str, **values: Any) -> None:
        """Take back the try that was counted: it was none. What was tried meanwhile stays counted."""
        alone = ACCOUNTS.c.failures <= account.failures + 1
        c.execute(
            sa.update(ACCOUNTS)
            .where(ACCOUNTS.c.id == account.id)
            .values(
                failures=sa.case((ACCOUNTS.c.failures > 0, ACCOUNTS.c.failures - 1), else_=0),
                locked_until=sa.case((alone, 0), else_=ACCOUNTS.c.locked_until),
                **values,
            )
        )
        place = self.keyring.mac16("address", address)
        below = ADDRESSES.c.failures <= self.settings.tries * _ADDRESS_TRIES
        c.execute(
            sa.update(ADDRESSES)
            .where(ADDRESSES.c.address == place, ADDRESSES.c.failures > 0)
            .values(
                failures=ADDRESSES.c.failures - 1,
                locked_until=sa.case((below, 0), else_=ADDRESSES.c.locked_until),
            )
        )

    def _in(self, account: Account, address: str, **values: Any) -> None:
        with self.database.write() as c:
            self._forgive(c, account, address, **values)
            c.execute(
                sa.update(ACCOUNTS)
                .where(ACCOUNTS.c.id == account.id)
                .values(failures=0, locked_until=0, signed_in=self.now())
            )

    # -- between the password and the code

    def _step(self, account: Account) -> str:
        body = orjson.dumps([account.id, self.now() + _PATIENCE])
        return self.keyring.seal(body, _PLACE).hex()

    def _opened(self, step: str) -> int:
        try:
            number, until = orjson.loads(self.keyring.unseal(bytes.fromhex(step), _PLACE))
        except (SealError, ValueError):
            raise NotLetIn from None
        if until <= self.now():
            raise NotLetIn
        return int(number)
