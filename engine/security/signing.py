"""The keys this hub signs with, so that other systems know it is the hub that asks (SMART App Launch 2.2,
client-confidential-asymmetric; RFC 7517).

In: a file of private keys, mode 600, made by `hub key signing`. Out: the key that signs now, and the public
halves that the web side serves at `/.well-known/jwks.json`. There is a pair for RS384 and one for ES384. A
new pair is served at once and signs a day later, when whoever keeps a copy of our public keys has read them
again; the pair before it is served until the next one comes.
"""

from __future__ import annotations

import os
import secrets
import stat
import tempfile
from pathlib import Path
from typing import Any, Literal

import orjson
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, KeyParameters, RSAKey, import_key

from engine.kernel.clock import now_ms
from engine.kernel.errors import ConfigError

__all__ = ["ALGORITHMS", "FILE", "Algorithm", "SigningKeys"]

Algorithm = Literal["RS384", "ES384"]
ALGORITHMS: tuple[Algorithm, ...] = ("RS384", "ES384")
FILE = "signing.keys"
"""Its name in the data folder."""
_LATER = 86_400_000  # ms from being served to signing


class SigningKeys:
    """The pairs of one file. Every call reads the file again: it is small, and another process may rotate."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def public(self) -> dict[str, Any]:
        """Return the JWK Set of the public halves, newest first; an empty one without a file."""
        if not self._path.exists():
            return {"keys": []}
        keys = []
        for one in sorted(self._read(), key=lambda one: int(one["from"]), reverse=True):
            shown = _key(one, str(self._path)).as_dict(private=False)
            keys.append({**shown, "key_ops": ["verify"]})
        return {"keys": keys}

    def sign(self, claims: dict[str, Any], algorithm: Algorithm) -> str:
        """Return a signed JWT. Raises ConfigError where there is no such key."""
        found = self._signing(self._read(), algorithm, now_ms())
        if found is None:
            raise ConfigError(
                f"holds no key for {algorithm}", where=str(self._path), remedy="type hub key signing"
            )
        header = {"alg": algorithm, "typ": "JWT", "kid": found["jwk"]["kid"]}
        return jwt.encode(header, claims, _key(found, str(self._path)), algorithms=[algorithm])

    def rotate(self, *, at_once: bool = False) -> list[str]:
        """Make a new pair for each algorithm and return their names.

        `at_once`: it signs now and the ones before are served no more, because somebody else may have them.
        """
        held = self._read() if self._path.exists() else []
        now = now_ms()
        made = []
        for algorithm in ALGORITHMS:
            signing = self._signing(held, algorithm, now)
            first = signing is None or at_once
            made.append(_made(algorithm, now if first else now + _LATER))
        names = [str(one["jwk"]["kid"]) for one in made]
        before = [one for a in ALGORITHMS if (one := self._signing(held, a, now)) is not None and not at_once]
        _write(self._path, orjson.dumps({"keys": [*made, *before]}, option=orjson.OPT_INDENT_2))
        return names

    @staticmethod
    def _signing(held: list[dict[str, Any]], algorithm: str, now: int) -> dict[str, Any] | None:
        ready = [one for one in held if one["jwk"]["alg"] == algorithm and int(one["from"]) <= now]
        return max(ready, key=lambda one: int(one["from"]), default=None)

    def _read(self) -> list[dict[str, Any]]:
        try:
            mode = self._path.stat().st_mode
            content = self._path.read_bytes()
        except OSError as e:
            remedy = "type hub key signing" if isinstance(e, FileNotFoundError) else ""
            raise ConfigError(
                "the signing keys cannot be read", where=str(self._path), why=e.strerror or "", remedy=remedy
            ) from None
        if mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ConfigError(
                "the signing keys are open to other users",
                where=str(self._path),
                remedy=f"type: chmod 600 {self._path}; then hub key signing --at-once",
            )
        try:
            return [
                {"jwk": dict(one["jwk"]), "from": int(one["from"])} for one in orjson.loads(content)["keys"]
            ]
        except (ValueError, KeyError, TypeError):
            raise ConfigError("is no file of signing keys", where=str(self._path)) from None


def _made(algorithm: Algorithm, since: int) -> dict[str, Any]:
    about: KeyParameters = {"kid": secrets.token_urlsafe(12), "use": "sig", "alg": algorithm}
    key = (
        RSAKey.generate_key(3072, about, private=True)
        if algorithm == "RS384"
        else ECKey.generate_key("P-384", about, private=True)
    )
    return {"jwk": key.as_dict(private=True), "from": since}


def _key(one: dict[str, Any], where: str) -> RSAKey | ECKey:
    try:
        key = import_key(one["jwk"])
    except (JoseError, ValueError):
        raise ConfigError("holds a key that cannot be used", where=where) from None
    if not isinstance(key, RSAKey | ECKey):
        raise ConfigError("holds a key that is neither RSA nor EC", where=where)
    return key


def _write(path: Path, content: bytes) -> None:
    """Put the file in its place whole, mode 600."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as out:
            out.write(content)
            out.flush()
            os.fsync(out.fileno())
        os.replace(name, path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
