"""What issuers publish: their configuration and the keys they sign with (OpenID Connect Discovery, RFC 7517).

In: addresses. Out: JSON documents; the key a token names. Keys are kept for an hour; a key that is not known
is looked for again, once a minute at most and by one thread, so that issuers may change their keys and nobody
can make the hub ask them all the time. Where an issuer does not answer, keys of the last day still count.
Plain HTTP is for this machine only where the hub is strict.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import orjson
from joserfc.errors import JoseError
from joserfc.jwk import ECKey, RSAKey, import_key

from engine.channels.production import is_loopback
from engine.kernel.errors import HubError

__all__ = ["Keys", "ProviderDown", "Web", "discovery"]

_TIMEOUT = 5.0
_MOST = 1 << 20  # bytes of an answer
_FRESH, _STALE, _AGAIN = 3600.0, 86_400.0, 60.0  # seconds
_CURVES = {"ES256": "P-256", "ES384": "P-384"}
_SHORTEST_RSA = 2048

VerifyKey = RSAKey | ECKey


class ProviderDown(HubError):
    """An issuer that does not answer, or answers what cannot be used."""


class Web:
    """Asks issuers. `strict`: never without TLS, except on this machine."""

    def __init__(self, strict: bool, client: httpx.Client | None = None) -> None:
        self._strict = strict
        self._client = client or httpx.Client(timeout=_TIMEOUT, follow_redirects=False)

    def get(self, address: str) -> dict[str, Any]:
        """Return the JSON object at an address. Raises ProviderDown."""
        return self._json(address, "GET", None, None)

    def post(
        self, address: str, form: Mapping[str, str], auth: tuple[str, str] | None = None
    ) -> dict[str, Any]:
        """Send a form and return the JSON object of the answer. Raises ProviderDown."""
        return self._json(address, "POST", form, auth)

    def _json(
        self, address: str, method: str, form: Mapping[str, str] | None, auth: tuple[str, str] | None
    ) -> dict[str, Any]:
        parts = urlsplit(address)
        if parts.scheme != "https" and (self._strict and not is_loopback(parts.hostname or "")):
            raise ProviderDown("an issuer is asked by https only", where=address)
        try:
            with self._client.stream(
                method,
                address,
                data=form,
                auth=auth or httpx.USE_CLIENT_DEFAULT,
                headers={"Accept": "application/json"},
            ) as answer:
                body = b""
                for piece in answer.iter_bytes():
                    body += piece
                    if len(body) > _MOST:
                        raise ProviderDown("an issuer's answer is too long", where=address)
            found = orjson.loads(body) if answer.status_code == 200 else None
        except (httpx.HTTPError, httpx.InvalidURL) as e:
            raise ProviderDown(
                "an issuer does not answer",
                where=address,
                why=type(e).__name__,
                remedy="try again in a moment",
            ) from None
        except orjson.JSONDecodeError:
            found = None
        if not isinstance(found, dict):
            raise ProviderDown(
                "an issuer's answer cannot be used", where=address, why=f"status {answer.status_code}"
            )
        return found


def discovery(web: Web, issuer: str) -> dict[str, Any]:
    """Return what an issuer says of itself. Raises ProviderDown where it is another's."""
    found = web.get(issuer.rstrip("/") + "/.well-known/openid-configuration")
    if found.get("issuer") != issuer:
        raise ProviderDown("an issuer says that it is another one", where=issuer)
    return found


class Keys:
    """The keys of one issuer; `address` is asked for when it is first needed, or a file."""

    def __init__(
        self,
        web: Web,
        address: Callable[[], str | Path],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._web, self._address, self._clock = web, address, clock
        self._lock = threading.Lock()
        self._keys: list[VerifyKey] = []
        self._got = self._asked = float("-inf")

    def of(self, key_id: str, algorithm: str) -> list[VerifyKey]:
        """Return the keys a token with this header may be signed with. Raises ProviderDown."""
        with self._lock:  # one asks, the others wait for what it gets
            if self._clock() - self._got >= _FRESH:
                self._renew()
            found = self._fitting(key_id, algorithm)
            if not found and self._clock() - self._asked >= _AGAIN:
                self._renew()
                found = self._fitting(key_id, algorithm)
            return found

    def _fitting(self, key_id: str, algorithm: str) -> list[VerifyKey]:
        return [
            key for key in self._keys if _signs(key, algorithm) and (key.kid == key_id if key_id else True)
        ]

    def _renew(self) -> None:
        """Ask for the keys; what was known stays for a day where nobody answers."""
        self._asked = self._clock()
        try:
            address = self._address()
            if isinstance(address, Path):
                published = _of_file(address)
            else:
                published = self._web.get(address)
        except ProviderDown:
            if self._clock() - self._got >= _STALE:
                raise
            return
        keys = published.get("keys")
        self._keys = [key for one in keys if (key := _public(one))] if isinstance(keys, list) else []
        self._got = self._clock()


def _of_file(path: Path) -> dict[str, Any]:
    try:
        found = orjson.loads(path.read_bytes())
    except (OSError, orjson.JSONDecodeError) as e:
        raise ProviderDown("a file of keys cannot be read", where=str(path), why=type(e).__name__) from None
    return found if isinstance(found, dict) else {}


def _public(one: Any) -> VerifyKey | None:
    """Return a published key that signatures may be checked with; shared secrets never are."""
    if not isinstance(one, dict) or one.get("kty") not in ("RSA", "EC") or one.get("use", "sig") != "sig":
        return None
    try:
        key = import_key({k: v for k, v in one.items() if k not in ("d", "p", "q", "dp", "dq", "qi")})
    except (JoseError, ValueError, TypeError, KeyError):
        return None
    return key if isinstance(key, RSAKey | ECKey) else None


def _signs(key: VerifyKey, algorithm: str) -> bool:
    if key.alg and key.alg != algorithm:
        return False
    if isinstance(key, RSAKey):
        return algorithm.startswith("RS") and key.raw_value.key_size >= _SHORTEST_RSA
    return _CURVES.get(algorithm) == key.curve_name
