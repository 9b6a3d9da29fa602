"""How requests to a FHIR server prove who asks: access tokens, got and renewed, or a secret that never
changes.

In: settings. Out: the Authorization header. SMART Backend Services (SMART App Launch 2.2, backend-
services): an assertion of at most five minutes, signed RS384 or ES384 with a key of ours, for an access
token; or the same grant with a shared secret (RFC 6749, 4.4). What clouds want instead is in
`cloud_tokens.py`.
"""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import Any, cast

import httpx
import orjson

from engine.destinations.access_tokens import ASSERTED, ASSERTION_SECONDS, Tokens, Unproven, asked_token
from engine.destinations.cloud_tokens import SignedRequests, token_by_certificate, token_of_service_account
from engine.destinations.fhir_settings import ClientSecretSettings, FhirSettings, SmartSettings
from engine.destinations.http_auth import authorization, is_loopback
from engine.security.signing import ALGORITHMS, FILE, Algorithm, SigningKeys

__all__ = ["Tokens", "Unproven", "tokens_by_secret", "tokens_for"]


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
    if settings.client_certificate is not None:
        shown = settings.client_certificate
        return Tokens(lambda client: token_by_certificate(client, shown, root), time.monotonic)
    if settings.service_account is not None:
        account = settings.service_account
        return Tokens(lambda client: token_of_service_account(client, account, root), time.monotonic)
    if settings.aws is not None:
        return SignedRequests(settings.aws, root)
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
        "exp": now + ASSERTION_SECONDS,
        "jti": secrets.token_urlsafe(24),
    }
    form = {
        "grant_type": "client_credentials",
        "scope": smart.scope,
        "client_assertion_type": ASSERTED,
        "client_assertion": keys.sign(claims, cast(Algorithm, algorithm)),
    }
    return asked_token(client, url, form)


def _secret(client: httpx.Client, base: str, shared: ClientSecretSettings) -> tuple[str, float]:
    url = shared.token_url or _token_url(_discovered(client, base, False), base)
    what = {"resource": shared.resource} if shared.resource else {"scope": shared.scope}
    form = {"grant_type": "client_credentials", **what}
    if shared.send == "body":
        form |= {"client_id": shared.client_id, "client_secret": shared.secret}
        return asked_token(client, url, form)
    return asked_token(client, url, form, httpx.BasicAuth(shared.client_id, shared.secret))


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
