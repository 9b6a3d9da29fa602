"""Access tokens of issuers that config.yaml names: JSON Web Tokens (RFC 7519, RFC 9068; SMART backend
services).

In: a token. Out: what it claims, once signature, algorithm, issuer, audience and times are right; nothing
otherwise. Which algorithm is believed is said by the settings, never by the token alone; a key is used with
the algorithm of its own kind only.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import orjson
from joserfc import jws, jwt
from joserfc.errors import JoseError

from engine.console.providers import Keys, Web, discovery
from engine.kernel.web_settings import IssuerSettings

__all__ = ["Claims", "Issuers", "checked"]

_LEEWAY = 30  # seconds clocks may differ
_LONGEST = 16_384  # characters of a token
_TYPES = ("", "jwt", "at+jwt", "application/at+jwt")


@dataclass(frozen=True, slots=True)
class Claims:
    """What a token of an issuer says."""

    settings: IssuerSettings
    subject: str
    client: str
    scopes: tuple[str, ...]
    patient: str


class Issuers:
    """The issuers of one hub; may be used by several threads."""

    def __init__(
        self,
        settings: Sequence[IssuerSettings],
        root: Path,
        web: Web,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._now = now
        self.web = web
        self._known = [(one, Keys(web, _address(one, root, web), clock)) for one in settings]

    def first(self) -> IssuerSettings | None:
        """Return the first issuer: the one clients are sent to."""
        return self._known[0][0] if self._known else None

    def claims(self, token: str) -> Claims | None:
        """Return what a token says; None where it is not to be believed. Raises ProviderDown."""
        if len(token) > _LONGEST or token.count(".") != 2:
            return None
        issuer = _unproven(token).get("iss")
        for settings, keys in self._known:
            # several lines may name one issuer, with other audiences
            if settings.issuer == issuer and (said := self._proven(token, settings, keys)) is not None:
                return said
        return None

    def _proven(self, token: str, settings: IssuerSettings, keys: Keys) -> Claims | None:
        said = checked(
            token,
            keys,
            settings.algorithms,
            self._now,
            iss={"essential": True, "value": settings.issuer},
            aud={"essential": True, "value": settings.audience},
            exp={"essential": True},
        )
        if said is None or "nonce" in said:  # an ID token is for signing in, not for asking
            return None
        words = said.get("scope", said.get("scp", ""))
        scopes = words if isinstance(words, list) else str(words).split()
        patient = said.get(settings.patient_claim)
        client = said.get("client_id") or said.get("azp") or said.get("cid") or ""
        return Claims(
            settings,
            str(said.get("sub", "")),
            str(client),
            tuple(str(scope) for scope in scopes),
            patient.removeprefix("Patient/") if isinstance(patient, str) else "",
        )


def checked(
    token: str,
    keys: Keys,
    algorithms: Sequence[str],
    now: Callable[[], float],
    **wanted: Any,
) -> dict[str, Any] | None:
    """Return the claims of a token whose signature, times and wanted claims are right, else None.

    Raises ProviderDown.
    """
    try:
        header = jws.extract_compact(token.encode()).headers()
    except (JoseError, ValueError, UnicodeError):
        return None
    algorithm, kind, key_id = (str(header.get(name) or "") for name in ("alg", "typ", "kid"))
    if algorithm not in algorithms or kind.lower() not in _TYPES:
        return None
    for key in keys.of(key_id, algorithm):
        try:
            found = jwt.decode(token, key, algorithms=[algorithm])
            registry = jwt.JWTClaimsRegistry(now=lambda: int(now()), leeway=_LEEWAY, **wanted)
            registry.validate(found.claims)
        except (JoseError, ValueError, TypeError):
            continue
        return dict(found.claims)
    return None


def _unproven(token: str) -> dict[str, Any]:
    """Return what a token says, before it is proven: to know whom to ask."""
    try:
        said = orjson.loads(jws.extract_compact(token.encode()).payload)
    except (JoseError, ValueError, UnicodeError):
        return {}
    return said if isinstance(said, dict) else {}


def _address(settings: IssuerSettings, root: Path, web: Web) -> Callable[[], str | Path]:
    def address() -> str | Path:
        if not settings.keys:
            return str(discovery(web, settings.issuer).get("jwks_uri", ""))
        if settings.keys.startswith(("http://", "https://")):
            return settings.keys
        return root / settings.keys

    return address
