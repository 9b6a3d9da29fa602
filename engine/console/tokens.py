"""Who may read: bearer tokens (RFC 6750), each with the name that the audit table shows.

In: the token file, one token a line, `name token` or a token alone (then its name is `token`); an
Authorization header. Out: the name, or nothing. Only digests are kept, and all of them are compared in
constant time.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from engine.kernel.errors import ConfigError

__all__ = ["Tokens"]

_SHORTEST = 20


class Tokens:
    """The tokens of one hub."""

    def __init__(self, named: dict[str, str]) -> None:
        self._digests = [(name, _digest(token)) for name, token in named.items()]

    @classmethod
    def read(cls, text: str) -> Tokens:
        """Read the text of a token file. Raises ConfigError without repeating a token."""
        named: dict[str, str] = {}
        for number, line in enumerate(text.splitlines(), 1):
            words = line.split()
            if not words or words[0].startswith("#"):
                continue
            name, token = ("token", words[0]) if len(words) == 1 else (words[0], words[1])
            where = f"token file, line {number}"
            if len(words) > 2 or name in named:
                raise ConfigError("is not a token", where=where, remedy="write `name token`, each name once")
            if len(token) < _SHORTEST:
                raise ConfigError(
                    f"this token has fewer than {_SHORTEST} characters",
                    where=where,
                    remedy="use a random one",
                )
            named[name] = token
        if not named:
            raise ConfigError("there is no token", where="token file", remedy="delete it: a start makes one")
        return cls(named)

    def who(self, authorization: str, *, basic: bool = False) -> str | None:
        """Return whose token an Authorization header holds; `basic`: also as the password of a browser."""
        scheme, _, rest = authorization.strip().partition(" ")
        token = rest.strip()
        if basic and scheme.lower() == "basic":
            try:
                token = base64.b64decode(token, validate=True).decode().partition(":")[2]
            except (binascii.Error, UnicodeDecodeError):
                return None
        elif scheme.lower() != "bearer":
            return None
        given = _digest(token)
        found = None
        for name, digest in self._digests:
            if hmac.compare_digest(given, digest):
                found = name
        return found


def _digest(token: str) -> bytes:
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).digest()
