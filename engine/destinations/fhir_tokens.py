"""How requests to a FHIR server prove who asks: access tokens, got and renewed, or a secret that never
changes.

In: settings. Out: the Authorization header. SMART Backend Services (SMART App Launch 2.2, backend-
services): an assertion of at most five minutes, signed RS384 or ES384 with a key of ours, for an access
token; or the same grant with a shared secret (RFC 6749, 4.4). A token is renewed after 80 % of its life, by
one thread while the others go on with the old one; a token that the server refuses is renewed once.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import httpx
import orjson

from engine.destinations.fhir_settings import ClientSecretSettings, FhirSettings, SmartSettings, is_loopback
from engine.destinations.http_auth import authorization
from engine.kernel.errors import HubError
from engine.security.signing import ALGORITHMS, FILE, Algorithm, SigningKeys

__all__ = ["Tokens", "Unproven", "tokens_by_secret", "tokens_for"]

_RENEW = 0.8  # of a token's life
_LIFE = 300.0  # seconds of a token whose answer does not say
_ASSERTION = 240  # seconds; five minutes are the most, and clocks differ
_ERRORS = {
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "invalid_scope",
    "unauthorized_client",
    "unsupported_grant_type",
}  # RFC 6749, 5.2
_ASSERTED = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


class Unproven(HubError):
    """No access token is to be had now."""


class Tokens:
    """The Authorization header of one server, shared by the threads that deliver to it."""

    def __init__(self, get: Callable[[httpx.Client], tuple[str, float]], clock: Callable[[], float]) -> None:
        self._get, self._clock = get, clock
        self._lock = threading.Lock()
        self._header, self._renew_at, self._ends = "", 0.0, 0.0

    def header(self, client: httpx.Client) -> str:
        """Return the header's value. Raises Unproven."""
        now = self._clock()
        if self._header and now < self._renew_at:
            return self._header
        if self._header and now < self._ends and self._lock.locked():
            return self._header  # somebody renews it; this one still counts
        with self._lock:
            if self._header and self._clock() < self._renew_at:
                return self._header
            try:
                token, life = self._get(client)
            except Unproven:
                if self._header and self._clock() < self._ends:
                    return self._header
                raise
            now = self._clock()
            self._header, self._renew_at, self._ends = f"Bearer {token}", now + life * _RENEW, now + life
            return self._header

    def refused(self, header: str) -> bool:
        """Forget a token that the server does not take; say whether another one may help."""
        with self._lock:
            if self._header == header:
                self._header = ""
        return True


class _Fixed(Tokens):
    """A header that never changes."""

    def __init__(self, header: str) -> None:
        super().__init__(lambda _: ("", 0.0), time.monotonic)
        self._fixed = header

    def header(self, client: httpx.Client) -> str:
        return self._fixed

    def refused(self, header: str) -> bool:
        return False


def tokens_for(settings: FhirSettings, root: Path, data: Path) -> Tokens:
    """Return what proves who we are, as the settings say."""
    if settings.auth is not None:
        return _Fixed(authorization(settings.auth))
    if settings.smart is not None:
        smart = settings.smart
        keys = SigningKeys(root / smart.keys if smart.keys else data / FILE)
        return Tokens(lambda client: _asserted(client, settings.url, smart, keys), time.monotonic)
    if settings.client_secret is not None:
        return tokens_by_secret(settings.client_secret, settings.url)
    return _Fixed("")


def tokens_by_secret(shared: ClientSecretSettings, base: str) -> Tokens:
    """Return what proves who we are to a server, by access tokens for a shared secret."""
    return Tokens(lambda client: _secret(client, base, shared), time.monotonic)


def _asserted(client: httpx.Client, base: str, smart: SmartSettings, keys: SigningKeys) -> tuple[str, float]:
    found = {} if smart.token_url and smart.algorithm else _discovered(client, base, bool(smart.token_url))
    url = smart.token_url or _token_url(found, base)
    takes = found.get("token_endpoint_auth_signing_alg_values_supported") or ALGORITHMS
    algorithm = smart.algorithm or next((a for a in ALGORITHMS if a in takes), ALGORITHMS[0])
    now = int(time.time())
    claims = {
        "iss": smart.client_id,
        "sub": smart.client_id,
        "aud": url,
        "iat": now,
        "exp": now + _ASSERTION,
        "jti": secrets.token_urlsafe(24),
    }
    form = {
        "grant_type": "client_credentials",
        "scope": smart.scope,
        "client_assertion_type": _ASSERTED,
        "client_assertion": keys.sign(claims, cast(Algorithm, algorithm)),
    }
    return _token(client, url, form, None)


def _secret(client: httpx.Client, base: str, shared: ClientSecretSettings) -> tuple[str, float]:
    url = shared.token_url or _token_url(_discovered(client, base, False), base)
    form = {"grant_type": "client_credentials", "scope": shared.scope}
    if shared.send == "body":
        form |= {"client_id": shared.client_id, "client_secret": shared.secret}
        return _token(client, url, form, None)
    return _token(client, url, form, httpx.BasicAuth(shared.client_id, shared.secret))


def _discovered(client: httpx.Client, base: str, optional: bool) -> dict[str, Any]:
    """Read the server's SMART configuration (SMART App Launch 2.2, conformance)."""
    address = f"{base}/.well-known/smart-configuration"
    try:
        answer = client.get(address, headers={"Accept": "application/json"})
        found = orjson.loads(answer.content) if answer.status_code == 200 else None
    except (httpx.HTTPError, httpx.InvalidURL, orjson.JSONDecodeError):
        found = None
    if isinstance(found, dict):
        return found
    if optional:
        return {}
    raise Unproven("it does not say where tokens are given", where=address, remedy="set token_url:")


def _token_url(found: dict[str, Any], base: str) -> str:
    url = str(found.get("token_endpoint") or "")
    if url.startswith("https://") or (url.startswith("http://") and is_loopback(url) and is_loopback(base)):
        return url
    raise Unproven(
        "its token endpoint cannot be used", where=f"{base}/.well-known/smart-configuration",
        why="it is named in no way that is safe", remedy="set token_url:",
    )  # fmt: skip


def _token(
    client: httpx.Client, url: str, form: dict[str, str], auth: httpx.BasicAuth | None
) -> tuple[str, float]:
    try:
        answer = client.post(
            url, data=form, headers={"Accept": "application/json"}, auth=auth or httpx.USE_CLIENT_DEFAULT
        )
    except (httpx.HTTPError, httpx.InvalidURL) as e:
        raise Unproven("the token server does not answer", where=url, why=type(e).__name__) from None
    try:
        said = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        said = None
    said = said if isinstance(said, dict) else {}
    token, life = said.get("access_token"), said.get("expires_in")
    if (
        answer.status_code != 200
        or not isinstance(token, str)
        or not token.isascii()
        or not token.isprintable()
    ):
        error = said.get("error")
        word = f" {error}" if error in _ERRORS else ""
        raise Unproven(
            "the token server gives none", where=url, why=f"it answered {answer.status_code}{word}"
        )
    seconds = float(life) if isinstance(life, int | float) and not isinstance(life, bool) else _LIFE
    return token, max(seconds, 1.0)
