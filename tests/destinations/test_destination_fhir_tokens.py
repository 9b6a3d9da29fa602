"""Access tokens: what is sent for one, when it is renewed, what happens where it is refused or not given."""

from __future__ import annotations

import json
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import httpx
import pytest
from fhir_side import PATIENT, Asked, Reply, Server, destination, done, outcome, parcel, serving
from joserfc import jwt
from joserfc.jwk import KeySet

from engine.destinations.fhir_tokens import Tokens, Unproven
from engine.security.signing import SigningKeys


class Issuing:
    """A server that gives tokens and takes only the newest."""

    def __init__(self, life: int = 3600, takes: tuple[str, ...] = ("RS384", "ES384")) -> None:
        self.life, self.takes = life, takes
        self.forms: list[dict[str, str]] = []
        self.given = ""
        self.server: Server

    def __call__(self, asked: Asked) -> Reply:
        if asked.path.endswith("smart-configuration"):
            found = {
                "token_endpoint": f"{self.server.url}/token",
                "token_endpoint_auth_signing_alg_values_supported": self.takes,
            }
            return 200, {}, json.dumps(found).encode()
        if asked.path.endswith("/token"):
            self.forms.append({k: v[0] for k, v in parse_qs(asked.body.decode()).items()})
            self.given = f"token-{len(self.forms)}"
            return 200, {}, json.dumps({"access_token": self.given, "expires_in": self.life}).encode()
        if asked.headers.get("authorization") != f"Bearer {self.given}":
            return 401, {}, outcome("login")
        return done(asked)


@pytest.mark.parametrize(
    "takes, algorithm", [(("ES384",), "ES384"), (("RS384", "ES384"), "RS384"), ((), "RS384")]
)
def test_an_assertion_is_short_ours_and_for_this_server_alone(
    tmp_path: Path, takes: tuple[str, ...], algorithm: str
) -> None:
    keys = SigningKeys(tmp_path / "var/signing.keys")
    keys.rotate()
    issuing = Issuing(takes=takes)
    with serving(issuing) as server:
        issuing.server = server
        to = destination(tmp_path, server.url, smart={"client_id": "mercy-hub"})
        for key in ("a", "b"):
            assert to.deliver(parcel(PATIENT, key=key)).verdict == "sent"
        assert server.asked[0].path == "/fhir/.well-known/smart-configuration"
    (form,) = issuing.forms
    read = jwt.decode(
        form["client_assertion"],
        KeySet.import_key_set(keys.public()),
        algorithms=[algorithm],  # type: ignore[arg-type]
    )
    assert read.header["typ"] == "JWT"
    assert read.claims["iss"] == read.claims["sub"] == "mercy-hub"
    assert read.claims["aud"] == f"{server.url}/token"
    assert 0 < read.claims["exp"] - time.time() <= 300 and len(read.claims["jti"]) > 20
    assert form["grant_type"] == "client_credentials" and form["scope"] == "system/*.cruds"
    assert form["client_assertion_type"] == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"


def test_a_token_that_is_refused_is_renewed_once(tmp_path: Path) -> None:
    issuing = Issuing()
    with serving(issuing) as server:
        issuing.server = server
        to = destination(
            tmp_path, server.url, client_secret={"client_id": "hub", "secret": "s", "send": "body"}
        )
        assert to.deliver(parcel(PATIENT)).verdict == "sent"
        issuing.given = "another"  # it has restarted, and believes none it gave before
        assert to.deliver(parcel(PATIENT)).verdict == "sent"
        server.say = lambda a: (401, {}, b"") if a.path == "/fhir" else issuing(a)
        receipt = to.deliver(parcel(PATIENT))
    assert (receipt.verdict, receipt.down) == ("retry", True)
    assert len(issuing.forms) == 3  # one more, and then no more
    assert issuing.forms[0]["client_secret"] == "s"
    assert b"token-" not in receipt.request + receipt.answer


def test_a_secret_in_the_header(tmp_path: Path) -> None:
    issuing = Issuing()
    with serving(issuing) as server:
        issuing.server = server
        shared = {"client_id": "hub", "secret": "s", "token_url": f"{server.url}/token"}
        assert (
            destination(tmp_path, server.url, client_secret=shared).deliver(parcel(PATIENT)).verdict == "sent"
        )
        assert server.asked[0].headers["authorization"] == "Basic aHViOnM="
    assert "client_secret" not in issuing.forms[0]


@pytest.mark.parametrize(
    "answer, said",
    [
        (
            (400, {}, b'{"error":"invalid_client","error_description":"SECRETNAME"}'),
            "answered 400 invalid_client",
        ),
        ((400, {}, b'{"error":"SECRETNAME"}'), "answered 400"),
        ((200, {}, b"<html>"), "answered 200"),
        ((200, {}, b'{"access_token":"a\\nb"}'), "answered 200"),
    ],
)
def test_no_token_is_down_and_quotes_nothing(tmp_path: Path, answer: Reply, said: str) -> None:
    with serving(lambda _: answer) as server:
        shared = {"client_id": "hub", "secret": "s", "token_url": f"{server.url}/token"}
        receipt = destination(tmp_path, server.url, client_secret=shared).deliver(parcel(PATIENT))
    assert (receipt.verdict, receipt.down) == ("retry", True)
    assert receipt.why.endswith(said) and "SECRETNAME" not in receipt.why


def test_without_signing_keys_it_says_what_to_type(tmp_path: Path) -> None:
    with serving(lambda _: (404, {}, b"")) as server:
        smart = {"client_id": "hub", "token_url": f"{server.url}/token"}
        receipt = destination(tmp_path, server.url, smart=smart).deliver(parcel(PATIENT))
    assert (receipt.verdict, receipt.down) == ("retry", True) and "hub key signing" in receipt.why


@pytest.mark.parametrize("endpoint", ["http://tokens.example/", "", 7])
def test_a_token_endpoint_that_is_not_safe_gets_no_assertion(tmp_path: Path, endpoint: Any) -> None:
    SigningKeys(tmp_path / "var/signing.keys").rotate()
    with serving(lambda _: (200, {}, json.dumps({"token_endpoint": endpoint}).encode())) as server:
        receipt = destination(tmp_path, server.url, smart={"client_id": "hub"}).deliver(parcel(PATIENT))
        assert [a.method for a in server.asked] == ["GET"]
    assert receipt.verdict == "retry"


def test_it_is_renewed_after_80_percent_of_its_life_and_used_on_where_none_comes() -> None:
    now, given = [0.0], ["a", "b"]

    def get(_: httpx.Client) -> tuple[str, float]:
        if not given:
            raise Unproven("none")
        return given.pop(0), 100.0

    tokens = Tokens(get, lambda: now[0])
    seen = []
    for now[0] in (0, 79, 80, 100, 159, 160, 179):
        seen.append(tokens.header(httpx.Client()))
    assert seen == ["Bearer a"] * 2 + ["Bearer b"] * 5
    now[0] = 180
    with pytest.raises(Unproven):
        tokens.header(httpx.Client())


def test_many_threads_ask_for_one_token() -> None:
    asked: list[float] = []
    start = threading.Barrier(8)

    def get(_: httpx.Client) -> tuple[str, float]:
        asked.append(time.monotonic())
        time.sleep(0.05)
        return f"t{len(asked)}", 100.0

    tokens = Tokens(get, time.monotonic)
    seen: list[str] = []

    def ask() -> None:
        start.wait()
        seen.append(tokens.header(httpx.Client()))
        start.wait()
        tokens.refused("Bearer t1")  # all were refused with the same one: one is asked for
        seen.append(tokens.header(httpx.Client()))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert sorted(seen) == ["Bearer t1"] * 8 + ["Bearer t2"] * 8 and len(asked) == 2
