"""Keys of programs: `hub_<id>_<secret>`, each with a name for the audit, scopes and an end.

In: a name, scopes, channels, days. Out: the key, shown once; of its 256 random bits a keyed hash is kept.
The channels of a key are those it may store images to: records and the feed belong to no channel.
"""

from __future__ import annotations

import hmac
import re
import secrets
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from engine.kernel.errors import HubError
from engine.security.access import Grant
from engine.security.scopes import Scopes
from engine.staff.accounts import checked
from engine.staff.database import Part
from engine.staff.tables import KEYS

__all__ = ["PREFIX", "Key", "ProgramKeys"]

PREFIX = "hub_"
_DAY = 86_400_000
_USED = 10 * 60_000  # "last used" is this coarse, so that a busy program does not write all the time
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,39}").fullmatch
_LETTERS = "abcdefghijklmnopqrstuvwxyz234567"


@dataclass(frozen=True, slots=True)
class Key:
    """One key, without its secret."""

    id: str
    name: str
    scopes: tuple[str, ...]
    channels: tuple[str, ...]
    made: int
    made_by: str
    expires: int | None
    used: int | None
    revoked: int | None
    revoked_by: str | None

    def state(self, now: int) -> str:
        """Return `ok`, `revoked` or `expired`."""
        if self.revoked is not None:
            return "revoked"
        return "expired" if self.expires is not None and self.expires <= now else "ok"


class ProgramKeys(Part):
    """The keys of programs of one hub."""

    def add(
        self,
        name: str,
        scopes: Iterable[str],
        by: str,
        *,
        channels: Iterable[str] = ("*",),
        days: float | None = 365,
    ) -> tuple[Key, str]:
        """Make a key; returns it and its text, which nobody can be shown again. Raises HubError."""
        words, on = tuple(dict.fromkeys(scopes)), tuple(channels)
        if not _NAME(name):
            raise HubError(
                "this cannot be the name of a key",
                why="it takes small letters, digits and . _ -, 40 at most: the audit shows it",
            )
        if not words or Scopes.unknown(words):
            raise HubError(
                "these are no scopes" if words else "a key needs scopes",
                why=", ".join(Scopes.unknown(words)),
                remedy="write e.g. system/Observation.rs, system/*.rs, feed, dicomweb.read, dicomweb.store",
            )
        checked([Grant("viewer", on)])
        if on != ("*",) and set(words) != {"dicomweb.store"}:
            raise HubError(
                "only a key that stores images can be kept to channels",
                why="a record is made of what many channels brought",
                remedy="leave the channels out, or make two keys",
            )
        number, secret = "".join(secrets.choice(_LETTERS) for _ in range(8)), secrets.token_urlsafe(32)
        now = self.now()
        with self.database.write() as c:
            if c.execute(sa.select(KEYS.c.id).where(KEYS.c.name == name)).first() is not None:
                raise HubError(f"there is or was a key {name} already", remedy="take another name")
            c.execute(
                sa.insert(KEYS).values(
                    id=number,
                    hash=self._hash(number, secret),
                    name=name,
                    scopes=" ".join(words),
                    channels=" ".join(on),
                    made=now,
                    made_by=by,
                    expires=None if days is None else now + int(days * _DAY),
                )
            )
            row = c.execute(sa.select(KEYS).where(KEYS.c.id == number)).one()
        return _key(row), f"{PREFIX}{number}_{secret}"

    def find(self, text: str) -> Key | None:
        """Return the key of this text, where it is one that may be used now."""
        number, _, secret = text.removeprefix(PREFIX).partition("_")
        if not text.startswith(PREFIX) or len(number) != 8 or not secret:
            return None
        now = self.now()
        with self.database.read() as c:
            row = c.execute(sa.select(KEYS).where(KEYS.c.id == number)).first()
        if row is None or not hmac.compare_digest(bytes(row.hash), self._hash(number, secret)):
            return None
        key = _key(row)
        if key.state(now) != "ok":
            return None
        if key.used is None or now - key.used >= _USED:
            with self.database.write() as c:
                c.execute(sa.update(KEYS).where(KEYS.c.id == number).values(used=now))
        return key

    def all(self) -> list[Key]:
        """Return every key, the newest first."""
        with self.database.read() as c:
            return [_key(row) for row in c.execute(sa.select(KEYS).order_by(KEYS.c.made.desc(), KEYS.c.id))]

    def revoke(self, name: str, by: str) -> Key:
        """Make a key worth nothing, at once. Raises HubError."""
        with self.database.write() as c:
            changed = c.execute(
                sa.update(KEYS)
                .where(KEYS.c.name == name, KEYS.c.revoked.is_(None))
                .values(revoked=self.now(), revoked_by=by)
            ).rowcount
            row = c.execute(sa.select(KEYS).where(KEYS.c.name == name)).first()
        if row is None or not changed:
            raise HubError(f"there is no key {name} that could be revoked", remedy="hub key list")
        return _key(row)

    def _hash(self, number: str, secret: str) -> bytes:
        return self.keyring.mac16("program key", f"{number} {secret}")


def _key(row: Any) -> Key:
    return Key(
        row.id,
        row.name,
        tuple(row.scopes.split()),
        tuple(row.channels.split()),
        row.made,
        row.made_by,
        row.expires,
        row.used,
        row.revoked,
        row.revoked_by,
    )
