"""Tokens of issuers: which are believed, which are not, and how often an issuer is asked for its keys."""

from __future__ import annotations

import hashlib
import hmac
import json
import threading
from pathlib import Path
from typing import Any

import httpx
import pytest
from issuer_side import AUDIENCE, ISSUER, NOW, Issuer, encoded
from joserfc.jwk import RSAKey

from engine.console.issuers import Issuers
from engine.console.providers import ProviderDown, Web
from engine.kernel.web_settings import IssuerSettings


@pytest.fixture(scope="module")
def signing() -> dict[str, Any]:
    """Keys are made once: RSA takes its time."""
    return Issuer().keys


@pytest.fixture
def issuer(signing: dict[str, Any]) -> Issuer:
    made = Issuer.__new__(Issuer)
    made.keys, made.asked, made.down, made.name = dict(signing), 0, False, ISSUER
    return made


class Time:
    def __init__(self) -> None:
        self.passed = 0.0

    def now(self) -> float:
        return NOW + self.passed

    def clock(self) -> float:
        return self.passed


def believed(issuer: Issuer, time: Time | None = None, **settings: Any) -> Issuers:
    time = time or Time()
    settings = {"issuer": ISSUER, "audience": AUDIENCE, **settings}
    return Issuers([IssuerSettings(**settings)], Path(), Web(True, issuer.client()), time.now, time.clock)


def test_a_good_token_says_who_and_what(issuer: Issuer) -> None:
    issuers = believed(issuer)
    said = issuers.claims(issuer.token("system/Observation.rs feed", patient="Patient/p1"))
    assert said is not None
    assert (said.subject, said.client, said.scopes, said.patient) == (
        "app-1",
        "app-1",
        ("system/Observation.rs", "feed"),
        "p1",
    )
    assert issuers.claims(issuer.token(kid="ec", alg="ES384")) is not None
    assert issuers.claims(issuer.token(scope=None, scp=["system/*.rs"])).scopes == ("system/*.rs",)  # type: ignore[union-attr,arg-type]
    assert issuers.claims(issuer.token(aud=["other", AUDIENCE])) is not None


@pytest.mark.parametrize(
    "wrong",
    [
        {"iss": "https://evil.example"},
        {"iss": ISSUER + "/"},
        {"iss": None},
        {"aud": "https://other.example/fhir"},
        {"aud": None},
        {"aud": AUDIENCE + "/Patient"},
        {"exp": NOW - 31},
        {"exp": None},
        {"exp": "tomorrow"},
        {"nbf": NOW + 31},
        {"iat": NOW + 31},
        {"nonce": "n"},  # an ID token
        {"typ": "logout+jwt"},
        {"alg": "RS512"},
    ],
)
def test_wrong_tokens(issuer: Issuer, wrong: dict[str, Any]) -> None:
    assert believed(issuer).claims(issuer.token(**wrong)) is None


@pytest.mark.parametrize("near", [{"exp": NOW - 29}, {"nbf": NOW + 29}, {"iat": NOW + 29}])
def test_clocks_may_differ_a_little(issuer: Issuer, near: dict[str, Any]) -> None:
    assert believed(issuer).claims(issuer.token(**near)) is not None


def test_an_expired_token_is_worth_nothing_however_often_it_was_good(issuer: Issuer) -> None:
    time = Time()
    issuers, token = believed(issuer, time), issuer.token()
    for passed, good in ((0, True), (290, True), (319, True), (321, False), (10_000, False)):
        time.passed = passed
        assert (issuers.claims(token) is not None) is good, passed


def test_no_algorithm_and_the_public_key_as_a_secret(issuer: Issuer) -> None:
    issuers = believed(issuer)
    _, claims, signature = issuer.token().split(".")
    for alg in ("none", "None", "NONE", ""):
        for end in ("", signature):
            assert issuers.claims(f"{encoded({'alg': alg, 'typ': 'JWT'})}.{claims}.{end}") is None
    for secret in (
        issuer.keys["rsa"].as_pem(private=False),
        json.dumps(issuer.keys["rsa"].as_dict(private=False)).encode(),
    ):
        made = f"{encoded({'alg': 'HS256', 'typ': 'JWT', 'kid': 'rsa'})}.{claims}"
        digest = hmac.new(secret, made.encode(), hashlib.sha256).digest()
        import base64

        assert issuers.claims(f"{made}.{base64.urlsafe_b64encode(digest).rstrip(b'=').decode()}") is None


def test_a_changed_token_and_one_of_another_key(issuer: Issuer) -> None:
    issuers = believed(issuer)
    header, claims, signature = issuer.token("system/Patient.r").split(".")
    more = encoded({"iss": ISSUER, "aud": AUDIENCE, "scope": "system/*.rs", "exp": NOW + 290})
    assert issuers.claims(f"{header}.{more}.{signature}") is None
    other = Issuer.__new__(Issuer)
    other.keys, other.name = {"rsa": RSAKey.generate_key(2048, {"kid": "rsa"})}, ISSUER
    assert issuers.claims(other.token()) is None
    for junk in ("", "a.b.c", "..", "a" * 20_000, f"{header}.{claims}", "\u00e9.\u00e9.\u00e9"):
        assert issuers.claims(junk) is None


def test_a_key_signs_with_the_algorithm_of_its_kind_only(issuer: Issuer) -> None:
    assert believed(issuer, algorithms=("ES384",)).claims(issuer.token()) is None
    assert believed(issuer, algorithms=("RS384",)).claims(issuer.token(kid="ec", alg="ES384")) is None
    issuer.keys = {"rsa": issuer.keys["rsa"], "weak": RSAKey.generate_key(1024, {"kid": "weak"})}
    assert believed(issuer).claims(issuer.token(kid="weak")) is None


def test_a_shared_secret_that_is_published_is_no_key(issuer: Issuer) -> None:
    from joserfc.jwk import OctKey

    issuer.keys["oct"] = OctKey.import_key("c" * 48, {"kid": "oct"})
    issuers = believed(issuer)
    assert issuers.claims(issuer.token()) is not None
    assert issuers.claims(issuer.token(kid="oct", alg="HS384")) is None


def test_without_a_key_id_every_fitting_key_is_tried(issuer: Issuer) -> None:
    issuer.make("older", RSAKey.generate_key(2048, {"kid": "older"}))
    issuer.keys = dict(reversed(issuer.keys.items()))
    assert believed(issuer).claims(issuer.token(kid="")) is not None


# -- how often an issuer is asked


def test_keys_are_asked_for_once_and_again_when_they_change(issuer: Issuer) -> None:
    time = Time()
    issuers = believed(issuer, time)
    for _ in range(5):
        assert issuers.claims(issuer.token()) is not None
    assert issuer.asked == 1
    issuer.make("new", RSAKey.generate_key(2048, {"kid": "new"}))
    assert issuers.claims(issuer.token(kid="new")) is None  # within the minute nobody asks again
    time.passed = 61
    assert issuers.claims(issuer.token(kid="new")) is not None and issuer.asked == 2
    unknown = Issuer.__new__(Issuer)
    unknown.keys, unknown.name = {"made-up": issuer.keys["new"]}, ISSUER
    for _ in range(20):
        assert issuers.claims(unknown.token(kid="made-up")) is None
    assert issuer.asked == 2


def test_an_issuer_that_is_down(issuer: Issuer) -> None:
    time = Time()
    issuers = believed(issuer, time)
    issuer.down = True
    with pytest.raises(ProviderDown):
        issuers.claims(issuer.token())
    issuer.down = False
    assert issuers.claims(issuer.token()) is not None
    issuer.down, time.passed = True, 4000
    assert issuers.claims(issuer.token(exp=NOW + 5000)) is not None  # yesterday's keys still count
    time.passed = 90_000
    with pytest.raises(ProviderDown):
        issuers.claims(issuer.token(exp=NOW + 100_000))


def test_many_at_once_ask_once(issuer: Issuer) -> None:
    issuers, token = believed(issuer), issuer.token()
    said: list[object] = []
    threads = [threading.Thread(target=lambda: said.append(issuers.claims(token))) for _ in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(said) == 12 and None not in said and issuer.asked == 1


def test_keys_in_a_file(issuer: Issuer, tmp_path: Path) -> None:
    (tmp_path / "apps.jwks").write_text(json.dumps(issuer.jwks()))
    settings = IssuerSettings(issuer=ISSUER, audience=AUDIENCE, keys="apps.jwks")
    issuers = Issuers([settings], tmp_path, Web(True, issuer.client()), lambda: NOW)
    assert issuers.claims(issuer.token()) is not None and issuer.asked == 0


@pytest.mark.parametrize(
    "address,asked", [("http://sso.example/keys", False), ("http://127.0.0.1:9/keys", True)]
)
def test_a_strict_hub_asks_by_tls_only(address: str, asked: bool) -> None:
    def answer(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"keys": []})

    web = Web(True, httpx.Client(transport=httpx.MockTransport(answer)))
    if asked:
        assert web.get(address) == {"keys": []}
    else:
        with pytest.raises(ProviderDown, match="https only"):
            web.get(address)


@pytest.mark.parametrize(
    "answer",
    [
        httpx.Response(302, headers={"Location": "https://evil.example"}),
        httpx.Response(500, json={}),
        httpx.Response(200, text="<html>"),
        httpx.Response(200, json=[]),
        httpx.Response(200, content=b"x" * (2 << 20)),
    ],
)
def test_answers_that_cannot_be_used(answer: httpx.Response) -> None:
    web = Web(True, httpx.Client(transport=httpx.MockTransport(lambda _: answer)))
    with pytest.raises(ProviderDown):
        web.get("https://sso.example/keys")


def test_an_issuer_that_says_it_is_another(issuer: Issuer) -> None:
    issuer.name = "https://evil.example"
    with pytest.raises(ProviderDown, match="another"):
        believed(issuer).claims(issuer.token(iss=ISSUER))
