"""An issuer of tokens in this process: keys of its own, what it publishes, tokens right and wrong."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

import httpx
from joserfc import jwt
from joserfc.jwk import ECKey, RSAKey

ISSUER = "https://sso.mercy.example/apps"
AUDIENCE = "https://hub.mercy.example/fhir"
NOW = 1_780_000_000


@dataclass
class Issuer:
    """`asked` counts how often its keys were fetched; `down` lets it not answer."""

    keys: dict[str, Any] = field(default_factory=dict)
    asked: int = 0
    down: bool = False
    name: str = ISSUER

    def __post_init__(self) -> None:
        self.make("rsa", RSAKey.generate_key(2048, {"kid": "rsa", "use": "sig"}))
        self.make("ec", ECKey.generate_key("P-384", {"kid": "ec"}))

    def make(self, kid: str, key: Any) -> None:
        self.keys[kid] = key

    def jwks(self) -> dict[str, Any]:
        return {"keys": [key.as_dict(private=False, kid=kid) for kid, key in self.keys.items()]}

    def token(
        self,
        scope: str = "system/*.rs",
        *,
        kid: str = "rsa",
        alg: str = "RS384",
        typ: str = "at+jwt",
        **more: Any,
    ) -> str:
        claims = {"iss": self.name, "aud": AUDIENCE, "sub": "app-1", "client_id": "app-1", "scope": scope}
        claims |= {"iat": NOW - 10, "nbf": NOW - 10, "exp": NOW + 290, **more}
        claims = {name: value for name, value in claims.items() if value is not None}
        header = {"alg": alg, "typ": typ, **({"kid": kid} if kid else {})}
        return jwt.encode(header, claims, self.keys[kid or "rsa"], algorithms=[alg])

    def client(self) -> httpx.Client:
        def answer(request: httpx.Request) -> httpx.Response:
            if self.down:
                raise httpx.ConnectError("down")
            if request.url.path.endswith("/openid-configuration"):
                about = {"issuer": self.name, "jwks_uri": f"{self.name}/keys"}
                about |= {
                    "token_endpoint": f"{self.name}/token",
                    "authorization_endpoint": f"{self.name}/auth",
                }
                return httpx.Response(200, json=about)
            self.asked += 1
            return httpx.Response(200, json=self.jwks())

        return httpx.Client(transport=httpx.MockTransport(answer))


def encoded(part: dict[str, Any]) -> str:
    import base64

    return base64.urlsafe_b64encode(json.dumps(part).encode()).rstrip(b"=").decode()
