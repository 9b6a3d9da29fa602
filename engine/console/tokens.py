"""The token file: programs with a bearer token each (RFC 6750), by names that the audit table shows.

In: the file, one token a line: `name token`, with scopes behind it where it is not to have the usual ones, or
a token alone (then its name is `token`, and it may store images, too). Out: callers. Only digests are kept,
and all of them are compared in constant time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from engine.console.sight import Caller
from engine.kernel.errors import ConfigError
from engine.security.scopes import READING, Scopes

__all__ = ["Tokens", "bearer"]

_SHORTEST = 20


class Tokens:
    """The tokens of one hub."""

    def __init__(self, callers: list[tuple[str, Caller]]) -> None:
        self._digests = [(caller, _digest(token)) for token, caller in callers]

    @classmethod
    def read(cls, text: str) -> Tokens:
        """Read the text of a token file. Raises ConfigError without repeating a token."""
        found: list[tuple[str, Caller]] = []
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            if len(words) == 1:
                words = ["token", *words, *READING, "dicomweb.store"]
            name, token, *scopes = words
            where = f"token file, line {number}"
            if name in (caller.who for _, caller in found):
                raise ConfigError("is not a token", where=where, remedy="write `name token`, each name once")
            if Scopes.unknown(scopes):
                raise ConfigError(
                    "has a word that is no scope",
                    where=where,
                    remedy="write `name token scope scope`, e.g. ehr ... system/*.rs feed dicomweb.store",
                )
            if len(token) < _SHORTEST:
                raise ConfigError(
                    f"this token has fewer than {_SHORTEST} characters",
                    where=where,
                    remedy="use a random one",
                )
            found.append((token, Caller(name, Scopes.read(scopes or READING))))
        if not found:
            raise ConfigError("there is no token", where="token file", remedy="delete it: a start makes one")
        return cls(found)

    def find(self, token: str) -> Caller | None:
        """Return whose token this is."""
        given, found = _digest(token), None
        for caller, digest in self._digests:
            if hmac.compare_digest(given, digest):
                found = caller
        return found

    def who(self, authorization: str, *, basic: bool = False) -> str | None:
        """Return whose token an Authorization header holds; `basic`: also as the password of a browser."""
        found = self.find(bearer(authorization, basic=basic))
        return found.who if found is not None else None


def bearer(authorization: str, *, basic: bool = False) -> str:
    """Return the token of an Authorization header, nothing where there is none."""
    scheme, _, rest = authorization.strip().partition(" ")
    token = rest.strip()
    if basic and scheme.lower() == "basic":
        try:
            return base64.b64decode(token, validate=True).decode().partition(":")[2]
        except (binascii.Error, UnicodeDecodeError):
            return ""
    return token if scheme.lower() == "bearer" else ""


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
