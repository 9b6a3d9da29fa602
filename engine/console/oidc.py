"""Signing in elsewhere: the authorization code flow of OpenID Connect Core 3.1, with PKCE (RFC 7636).

In: the settings, a code that came back. Out: where to send the browser; who the proven ID token is of. State,
nonce and verifier are new for every try and are kept, sealed, in the browser that began it: an answer that
another browser asked for, or that was used before, is worth nothing.
"""

from __future__ import annotations

import base64
import hashlib
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote, urlencode

from engine.console.issuers import checked
from engine.console.providers import Keys, ProviderDown, Web, discovery
from engine.kernel.errors import HubError
from engine.kernel.web_settings import OidcSettings
from engine.security.access import Grant

__all__ = ["Begun", "Oidc", "Refusal", "SignedIn"]

_ALGORITHMS = ("RS256", "RS384", "ES256", "ES384")
_PATIENCE = 600  # seconds somebody may take to sign in
_FRESH = 3600.0  # seconds for which what the issuer published is believed
_AGAIN = 120  # seconds clocks may differ, where a new proof is wanted
_FACTORS = frozenset({"mfa", "otp", "hwk", "swk", "fido", "face", "fpt", "iris", "sc"})  # RFC 8176


class Refusal(HubError):
    """Somebody who signed in elsewhere is not let in here."""


@dataclass(frozen=True, slots=True)
class Begun:
    """What the browser that began has to bring back."""

    state: str
    nonce: str
    verifier: str
    until: int
    again: bool

    def words(self) -> dict[str, Any]:
        """Return it for a sealed cookie."""
        return {"s": self.state, "n": self.nonce, "v": self.verifier, "u": self.until, "a": self.again}

    @classmethod
    def of(cls, words: Mapping[str, Any]) -> Begun:
        """Read it again. Raises KeyError."""
        return cls(words["s"], words["n"], words["v"], words["u"], words["a"])


@dataclass(frozen=True, slots=True)
class SignedIn:
    """Somebody whom the issuer vouches for."""

    subject: str
    name: str
    display: str
    email: str
    grants: tuple[Grant, ...]
    id_token: str


class Oidc:
    """One issuer at which people sign in; may be used by several threads."""

    def __init__(
        self,
        settings: OidcSettings,
        web: Web,
        now: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.settings = settings
        self._web, self._now, self._clock = web, now, clock
        self._lock = threading.Lock()
        self._about: dict[str, Any] = {}
        self._read = float("-inf")
        self._keys = Keys(web, lambda: self._endpoint("jwks_uri"), clock)

    def begin(self, back: str, again: bool = False) -> tuple[str, Begun]:
        """Return where to send a browser, and what it keeps; `again`: it has to prove itself anew.

        Raises ProviderDown.
        """
        begun = Begun(
            secrets.token_urlsafe(24),
            secrets.token_urlsafe(24),
            secrets.token_urlsafe(48),
            int(self._now()) + _PATIENCE,
            again,
        )
        digest = hashlib.sha256(begun.verifier.encode()).digest()
        asked = {
            "response_type": "code",
            "client_id": self.settings.client,
            "redirect_uri": back,
            "scope": " ".join(dict.fromkeys(["openid", *self.settings.scopes])),
            "state": begun.state,
            "nonce": begun.nonce,
            "code_challenge": base64.urlsafe_b64encode(digest).rstrip(b"=").decode(),
            "code_challenge_method": "S256",
        }
        if again:
            asked |= {"prompt": "login", "max_age": "0"}
        if self.settings.acr:
            asked["acr_values"] = " ".join(self.settings.acr)
        return _with(self._endpoint("authorization_endpoint"), asked), begun

    def finish(self, given: Mapping[str, str], begun: Begun, back: str) -> SignedIn:
        """Return who came back with a code. Raises Refusal, ProviderDown."""
        if given.get("state", "") != begun.state or begun.until <= self._now():
            raise Refusal("this sign-in was begun elsewhere, or took too long", remedy="sign in again")
        if given.get("iss", self.settings.issuer) != self.settings.issuer:  # RFC 9207
            raise Refusal("this answer is another issuer's")
        if "code" not in given:
            raise Refusal(f"{self.settings.name} did not let you in")
        form = {
            "grant_type": "authorization_code",
            "code": given["code"],
            "redirect_uri": back,
            "client_id": self.settings.client,
            "code_verifier": begun.verifier,
        }
        secret = self.settings.secret
        auth = (quote(self.settings.client, safe=""), quote(secret, safe="")) if secret else None
        token = self._web.post(self._endpoint("token_endpoint"), form, auth).get("id_token")
        claims = self._proven(token, begun) if isinstance(token, str) else None
        if claims is None:
            raise Refusal(f"what {self.settings.name} says cannot be believed", remedy="sign in again")
        self._factors(claims)
        return self._person(claims, str(token))

    def leave(self, hint: str, back: str) -> str:
        """Return where somebody signs out at the issuer, too; nothing where that cannot be done.

        Raises ProviderDown.
        """
        address = self._known().get("end_session_endpoint")
        if not isinstance(address, str):
            return ""
        asked = {"id_token_hint": hint, "client_id": self.settings.client, "post_logout_redirect_uri": back}
        return _with(address, asked)

    def _proven(self, token: str, begun: Begun) -> dict[str, Any] | None:
        claims = checked(
            token,
            self._keys,
            _ALGORITHMS,
            self._now,
            iss={"essential": True, "value": self.settings.issuer},
            aud={"essential": True, "value": self.settings.client},
            nonce={"essential": True, "value": begun.nonce},
            sub={"essential": True},
            exp={"essential": True},
            iat={"essential": True},
        )
        if claims is None or claims.get("azp", self.settings.client) != self.settings.client:
            return None
        proven = claims.get("auth_time")
        if begun.again and (not isinstance(proven, int) or proven < begun.until - _PATIENCE - _AGAIN):
            return None
        return claims

    def _factors(self, claims: Mapping[str, Any]) -> None:
        """Refuse who did not give a second factor where one is asked for."""
        if not self.settings.second_factor:
            return
        methods = claims.get("amr")
        used = set(methods) & _FACTORS if isinstance(methods, list) else set()
        if claims.get("acr") not in self.settings.acr and not used:
            raise Refusal(
                f"{self.settings.name} says nothing of a second factor",
                why="this hub asks for one",
                remedy="set one up there, then sign in again",
            )

    def _person(self, claims: Mapping[str, Any], token: str) -> SignedIn:
        settings = self.settings
        values = _at(claims, settings.roles_claim)
        held = [values] if isinstance(values, str) else values if isinstance(values, list) else []
        grants = tuple(
            dict.fromkeys(
                Grant(one.role, one.channels) for value in held for one in settings.roles.get(str(value), ())
            )
        )
        if not grants:
            raise Refusal(
                "you are known, but nothing here is for you",
                why=f"the claim {settings.roles_claim} names no group that has a role here",
                remedy="ask who manages this hub",
            )
        name = _at(claims, settings.name_claim) or claims.get("email") or claims["sub"]
        return SignedIn(
            str(claims["sub"]),
            str(name),
            str(claims.get("name") or name),
            str(claims.get("email") or ""),
            grants,
            token,
        )

    def _known(self) -> dict[str, Any]:
        with self._lock:
            if self._clock() - self._read >= _FRESH:
                self._about = discovery(self._web, self.settings.issuer)
                self._read = self._clock()
            return self._about

    def _endpoint(self, name: str) -> str:
        found = self._known().get(name)
        if not isinstance(found, str):
            raise ProviderDown("an issuer does not publish what is needed", where=name)
        return found


def _with(address: str, asked: Mapping[str, str]) -> str:
    return f"{address}{'&' if '?' in address else '?'}{urlencode(asked)}"


def _at(claims: Mapping[str, Any], path: str) -> Any:
    """Return a claim; a name with dots may be one claim, or lead into objects."""
    if path in claims:
        return claims[path]
    value: Any = claims
    for name in path.split("."):
        value = value.get(name) if isinstance(value, dict) else None
    return value
