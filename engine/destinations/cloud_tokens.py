"""Who we are, as Google, Microsoft and Amazon want to be told.

In: settings, files of keys. Out: access tokens, or the signature of a request. Google: a JWT signed RS256 by
the service account's key is the grant (RFC 7523, 2.1; "Using OAuth 2.0 for server to server applications").
Microsoft: a JWT signed PS256 by our certificate's key proves the client (RFC 7523, 2.2; "Microsoft identity
platform application authentication certificate credentials"). Amazon: Signature Version 4 over every request
(`security/sigv4.py`), no token. Files are read for every token, so that a new key needs no restart.
"""

from __future__ import annotations

import base64
import configparser
import hashlib
import secrets
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

import httpx
import orjson
from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

from engine.destinations.access_tokens import ASSERTED, ASSERTION_SECONDS, Tokens, asked_token
from engine.destinations.cloud_settings import AwsSettings, CertificateSettings, ServiceAccountSettings
from engine.destinations.http_auth import is_loopback
from engine.kernel.clock import now_ms
from engine.kernel.errors import ConfigError
from engine.security.sigv4 import signed

__all__ = ["SignedRequests", "token_by_certificate", "token_of_service_account"]

_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def token_of_service_account(
    client: httpx.Client, account: ServiceAccountSettings, root: Path
) -> tuple[str, float]:
    """Ask Google for a token. Raises Unproven, and ConfigError for a file that is no key of an account."""
    path = root / account.key
    try:
        held = orjson.loads(_read(path))
        email, url, pem = (str(held[name]) for name in ("client_email", "token_uri", "private_key"))
        key_id = str(held.get("private_key_id") or "")
    except (orjson.JSONDecodeError, KeyError, TypeError, AttributeError):
        raise ConfigError("is no key file of a service account", where=str(path)) from None
    if not (url.startswith("https://") or (url.startswith("http://") and is_loopback(url))):
        raise ConfigError("its token_uri is no https address", where=str(path))
    claims = {"iss": email, "scope": account.scope, "aud": url, **_times()}
    header = {"alg": "RS256", "typ": "JWT", **({"kid": key_id} if key_id else {})}
    assertion = _signed(header, claims, pem.encode(), path)
    return asked_token(client, url, {"grant_type": _BEARER, "assertion": assertion})


def token_by_certificate(client: httpx.Client, shown: CertificateSettings, root: Path) -> tuple[str, float]:
    """Ask for a token with our certificate. Raises Unproven, and ConfigError for unusable files."""
    path = root / shown.certificate
    content = _read(path)
    try:
        certificate = x509.load_pem_x509_certificate(content)
    except ValueError:
        raise ConfigError("holds no certificate", where=str(path)) from None
    thumbprint = hashlib.sha256(certificate.public_bytes(Encoding.DER)).digest()
    header = {
        "alg": "PS256",
        "typ": "JWT",
        "x5t#S256": base64.urlsafe_b64encode(thumbprint).rstrip(b"=").decode("ascii"),
    }
    claims = {
        "iss": shown.client_id,
        "sub": shown.client_id,
        "aud": shown.token_url,
        "jti": secrets.token_urlsafe(24),
        **_times(),
    }
    key_path = root / shown.key if shown.key is not None else path
    form = {
        "grant_type": "client_credentials",
        "client_id": shown.client_id,
        "client_assertion_type": ASSERTED,
        "client_assertion": _signed(header, claims, _read(key_path), key_path),
        **({"scope": shown.scope} if shown.scope else {"resource": shown.resource}),
    }
    return asked_token(client, shown.token_url, form)


class _AccessKey(NamedTuple):
    id: str
    secret: str
    session: str = ""


class SignedRequests(Tokens):
    """No token: every request carries a signature of itself."""

    def __init__(self, settings: AwsSettings, root: Path) -> None:
        super().__init__(lambda _: ("", 0.0), time.monotonic)
        self._settings = settings
        self._path = root / settings.credentials if settings.credentials is not None else None

    def header(self, client: httpx.Client) -> str:
        return ""

    def refused(self, header: str) -> bool:
        return False

    def sign(self, request: httpx.Request) -> None:
        """Sign what will be sent. Raises ConfigError where the file of keys cannot be used."""
        key = self._key()
        path, _, query = request.url.raw_path.decode("ascii").partition("?")
        covered = {"content-type": said} if (said := request.headers.get("content-type")) else {}
        if key.session:
            covered["x-amz-security-token"] = key.session
        made = signed(
            request.method,
            request.headers["host"],
            path,
            parse_qsl(query, keep_blank_values=True),
            covered,
            payload=hashlib.sha256(request.content).hexdigest(),
            access_key=key.id,
            secret_key=key.secret,
            region=self._settings.region,
            moment=f"{datetime.fromtimestamp(now_ms() / 1000, UTC):%Y%m%dT%H%M%SZ}",
            service=self._settings.service,
        )
        for name in ("authorization", "x-amz-date", "x-amz-security-token"):
            if name in made:
                request.headers[name] = made[name]

    def _key(self) -> _AccessKey:
        if self._path is None:
            return _AccessKey(self._settings.access_key, self._settings.secret_key)
        held = configparser.RawConfigParser()
        try:
            held.read_string(_read(self._path).decode("utf-8"))
            part = held[self._settings.profile]
            return _AccessKey(
                part["aws_access_key_id"], part["aws_secret_access_key"], part.get("aws_session_token", "")
            )
        except (configparser.Error, KeyError, UnicodeDecodeError):
            raise ConfigError(
                f"holds no access key of the profile {self._settings.profile}",
                where=str(self._path),
                remedy="it has [profile], aws_access_key_id and aws_secret_access_key, as ~/.aws/credentials",
            ) from None


def _times() -> dict[str, int]:
    now = now_ms() // 1000
    return {"iat": now, "nbf": now, "exp": now + ASSERTION_SECONDS}


def _signed(header: dict[str, str], claims: dict[str, Any], pem: bytes, path: Path) -> str:
    try:
        key = RSAKey.import_key(pem)
        if not key.is_private:
            raise ValueError
        return jwt.encode(header, claims, key, algorithms=[header["alg"]])
    except (JoseError, ValueError, TypeError):
        raise ConfigError("holds no private RSA key without a passphrase", where=str(path)) from None


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as e:
        raise ConfigError("cannot be read", where=str(path), why=e.strerror or "") from None
