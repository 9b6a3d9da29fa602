"""A token server for tests: Authlib's, which verifies signatures, audiences, lifetimes and single use itself.

It knows a service account and an application by their public keys, and gives each a token. How clouds answer
beyond the RFCs is not imitated.
"""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import parse_qsl

from authlib.oauth2.rfc6749 import AuthorizationServer, ClientMixin, OAuth2Request
from authlib.oauth2.rfc6749.grants import ClientCredentialsGrant
from authlib.oauth2.rfc6749.requests import BasicOAuth2Payload
from authlib.oauth2.rfc7523 import JWTBearerClientAssertion, JWTBearerGrant
from fhir_side import Asked, Reply
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import RSAKey

__all__ = ["TokenServer"]


class Client(ClientMixin):
    """Who may ask: a name, a public key, a secret."""

    def __init__(self, name: str, key: RSAKey | None = None, secret: str = "") -> None:
        self.name, self.key, self.secret = name, key, secret

    def get_client_id(self) -> str:
        return self.name

    def check_client_secret(self, client_secret: str) -> bool:
        return bool(self.secret) and client_secret == self.secret

    def check_endpoint_auth_method(self, method: str, endpoint: str) -> bool:
        return method == ("client_secret_post" if self.secret else "client_assertion_jwt")

    def check_grant_type(self, grant_type: str) -> bool:
        return True

    def get_allowed_scope(self, scope: str) -> str:
        return scope or ""


class Request(OAuth2Request):
    """A request as Authlib reads it."""

    def __init__(self, asked: Asked, url: str) -> None:
        super().__init__("POST", url, headers={k.title(): v for k, v in asked.headers.items()})
        self._form = dict(parse_qsl(asked.body.decode()))
        self.payload = BasicOAuth2Payload(self._form)

    @property
    def args(self) -> dict[str, str]:
        return {}

    @property
    def form(self) -> dict[str, str]:
        return self._form


class TokenServer(AuthorizationServer):
    """Gives tokens at one address."""

    def __init__(self, url: str, *clients: Client, scopes: list[str]) -> None:
        super().__init__(scopes_supported=scopes)
        self.url, self.clients = url, {one.name: one for one in clients}
        self.given: list[str] = []
        self.used: set[str] = set()
        self.headers: list[dict[str, Any]] = []  # of assertions that were believed
        self.claims: list[dict[str, Any]] = []
        side = self

        class Account(JWTBearerGrant):
            def resolve_issuer_client(self, issuer: str) -> Client | None:
                return side.clients.get(issuer)

            def resolve_client_public_key(self, client: Client) -> RSAKey | None:
                return client.key

            def get_audiences(self) -> list[str]:
                return [side.url]

            def process_assertion_claims(self, assertion: str) -> dict[str, Any]:
                claims = super().process_assertion_claims(assertion)
                side.headers.append(self.extract_assertion(assertion)[0])
                side.claims.append(claims)
                return dict(claims)

        class Application(ClientCredentialsGrant):
            TOKEN_ENDPOINT_AUTH_METHODS = ["client_assertion_jwt", "client_secret_post"]

        class Assertion(JWTBearerClientAssertion):
            def resolve_client_public_key(self, client: Client) -> RSAKey | None:
                return client.key

            def get_audiences(self) -> list[str]:
                return [side.url]

            def validate_jti(self, claims: dict[str, Any], jti: str) -> bool:
                new = jti not in side.used
                side.used.add(jti)
                return new

            def process_assertion_claims(self, assertion: str, resolve_key: RSAKey) -> dict[str, Any]:
                try:  # what Authlib takes by itself has no PS256
                    read = jwt.decode(assertion, resolve_key, algorithms=["PS256"])
                except JoseError as e:
                    raise PermissionError(str(e)) from None
                self.verify_claims(read.claims)
                side.headers.append(read.header)
                side.claims.append(read.claims)
                return read.claims

        self.register_client_auth_method("client_assertion_jwt", Assertion())
        self.register_grant(Account)
        self.register_grant(Application)
        self.register_token_generator("default", self._make)

    def answer(self, asked: Asked) -> Reply:
        """Answer a request for a token."""
        try:
            status, body, _ = self.create_token_response(Request(asked, self.url))
        except PermissionError:
            status, body = 401, {"error": "invalid_client"}
        return status, {}, json.dumps(body).encode()

    def _make(self, **_: Any) -> dict[str, Any]:
        self.given.append(f"token-{len(self.given)}")
        return {"access_token": self.given[-1], "token_type": "Bearer", "expires_in": 3600}

    def query_client(self, client_id: str) -> Client | None:
        return self.clients.get(client_id)

    def save_token(self, token: dict[str, Any], request: OAuth2Request) -> None:
        pass

    def send_signal(self, name: str, *args: Any, **kwargs: Any) -> None:
        pass

    def create_oauth2_request(self, request: Request) -> Request:
        return request

    def handle_response(self, status: int, body: dict[str, Any], headers: Any) -> Any:
        return status, body, headers
