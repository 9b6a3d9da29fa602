"""A small OpenID provider on this machine: it signs in whoever the test says, by the code flow with PKCE."""

from __future__ import annotations

import base64
import hashlib
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, parse_qsl, unquote, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey

CLIENT, SECRET = "hub", "a secret/with+signs"


class Provider:
    """`person` are the claims of who signs in; `lie` replaces claims of the ID token."""

    def __init__(self) -> None:
        self.key = RSAKey.generate_key(2048, {"kid": "one"})
        self.person: dict[str, Any] = {}
        self.lie: dict[str, Any] = {}
        self.codes: dict[str, dict[str, str]] = {}
        self.down = False
        provider = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.reply(provider.get(urlsplit(self.path).path))

            def do_POST(self) -> None:
                form = dict(parse_qsl(self.rfile.read(int(self.headers["Content-Length"])).decode()))
                self.reply(provider.token(form, self.headers.get("Authorization", "")))

            def reply(self, found: dict[str, Any] | None) -> None:
                body = json.dumps(found or {}).encode()
                self.send_response(200 if found is not None and not provider.down else 500)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                return

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.issuer = f"http://127.0.0.1:{self.server.server_port}/realm"
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def get(self, path: str) -> dict[str, Any] | None:
        if path.endswith("/.well-known/openid-configuration"):
            ways = {"authorization_endpoint": "auth", "token_endpoint": "token", "jwks_uri": "keys"}
            ways["end_session_endpoint"] = "logout"
            return {"issuer": self.issuer} | {name: f"{self.issuer}/{way}" for name, way in ways.items()}
        return {"keys": [self.key.as_dict(private=False)]} if path.endswith("/keys") else None

    def sign_in(self, url: str) -> str:
        """Do what a person does there; return the address the browser is sent back to."""
        asked = {k: v[0] for k, v in parse_qs(urlsplit(url).query).items()}
        assert asked["client_id"] == CLIENT and asked["code_challenge_method"] == "S256"
        assert "openid" in asked["scope"].split()
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        return f"{asked['redirect_uri']}?code={code}&state={asked['state']}"

    def token(self, form: dict[str, str], authorization: str) -> dict[str, Any] | None:
        asked = self.codes.pop(form.get("code", ""), None)
        basic = base64.b64decode(authorization.removeprefix("Basic ")).decode().split(":")
        digest = base64.urlsafe_b64encode(hashlib.sha256(form["code_verifier"].encode()).digest())
        if (
            asked is None
            or [unquote(one) for one in basic] != [CLIENT, SECRET]
            or digest.rstrip(b"=").decode() != asked["code_challenge"]
            or form["redirect_uri"] != asked["redirect_uri"]
        ):
            return None
        now = int(time.time())
        claims = {"iss": self.issuer, "aud": CLIENT, "nonce": asked["nonce"], "iat": now, "exp": now + 300}
        claims |= {"auth_time": now, **self.person, **self.lie}
        claims = {name: value for name, value in claims.items() if value is not None}
        return {"id_token": jwt.encode({"alg": "RS256", "kid": "one"}, claims, self.key), "access_token": "x"}
