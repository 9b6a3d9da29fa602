"""FHIR servers of clouds: what proves who we are there, judged by a token server that verifies it, and by the
test vectors that AWS publishes."""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from fhir_side import PATIENT, Asked, P, Reply, Server, destination, done, outcome, parcel, serving
from joserfc.jwk import RSAKey
from pydantic import ValidationError
from token_server import Client, TokenServer

from engine.destinations.fhir_settings import FhirSettings
from engine.security.sigv4 import signed

ACCOUNT = "hub@mercy.iam.gserviceaccount.example"
APPLICATION = "5c2f9c4e-0000-4000-8000-000000000001"
SCOPE = "https://mercy.fhir.example/.default"


@pytest.fixture(scope="module")
def key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def certificate(key: rsa.RSAPrivateKey) -> x509.Certificate:
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hub")])
    now = datetime.now(UTC)
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(7).not_valid_before(now).not_valid_after(now + timedelta(days=1))
    return made.sign(key, SHA256())


class Cloud:
    """A FHIR server that takes what its token server gave."""

    def __init__(self, server: Server, key: rsa.RSAPrivateKey) -> None:
        public = RSAKey.import_key(key.public_key())
        self.server = server
        clients = Client(ACCOUNT, public), Client(APPLICATION, public), Client("shared", secret="s3cret")
        self.tokens = TokenServer(f"{server.url}/token", *clients, scopes=[SCOPE])
        self.forms: list[dict[str, str]] = []

    def say(self, asked: Asked) -> Reply:
        if asked.path.endswith("/token"):
            self.forms.append(dict(parse_qsl(asked.body.decode())))
            return self.tokens.answer(asked)
        believed = asked.headers.get("authorization") in {f"Bearer {t}" for t in self.tokens.given[-1:]}
        return done(asked) if believed else (401, {}, outcome("login"))


@pytest.fixture
def cloud(key: rsa.RSAPrivateKey, monkeypatch: pytest.MonkeyPatch) -> Iterator[Cloud]:
    monkeypatch.setenv("AUTHLIB_INSECURE_TRANSPORT", "1")  # it stands on this machine
    with serving(lambda _: None) as server:
        made = Cloud(server, key)
        server.say = made.say
        yield made


def account_file(folder: Path, key: rsa.RSAPrivateKey, url: str, **more: Any) -> Path:
    path = folder / "account.json"
    held = {"type": "service_account", "client_email": ACCOUNT, "private_key_id": "k1", "token_uri": url}
    path.write_text(json.dumps({**held, "private_key": pem(key).decode(), **more}))
    return path


def test_a_service_account(cloud: Cloud, key: rsa.RSAPrivateKey, tmp_path: Path) -> None:
    account_file(tmp_path, key, cloud.tokens.url)
    to = destination(tmp_path, cloud.server.url, service_account={"key": "account.json"})
    for one in ("a", "b"):
        receipt = to.deliver(parcel(PATIENT, key=one))
        assert receipt.verdict == "sent", receipt.why
    cloud.tokens.given.append("another")  # it believes nothing it gave before
    assert to.deliver(parcel(PATIENT, key="c")).verdict == "sent"
    assert [form["grant_type"] for form in cloud.forms] == ["urn:ietf:params:oauth:grant-type:jwt-bearer"] * 2
    (header, _), (claims, _) = cloud.tokens.headers, cloud.tokens.claims
    assert (header["alg"], header["kid"]) == ("RS256", "k1")
    assert claims["scope"] == "https://www.googleapis.com/auth/cloud-healthcare"
    assert claims["exp"] - claims["iat"] <= 3600 and "sub" not in claims
    assert b"token-" not in receipt.request + receipt.answer


def test_an_account_whose_key_is_another(cloud: Cloud, tmp_path: Path) -> None:
    account_file(tmp_path, rsa.generate_private_key(65537, 2048), cloud.tokens.url)
    to = destination(tmp_path, cloud.server.url, service_account={"key": "account.json"})
    receipt = to.deliver(parcel(PATIENT))
    assert (receipt.verdict, receipt.down) == ("retry", True) and "invalid_grant" in receipt.why
    assert not cloud.tokens.given


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            {"private_key": "-----BEGIN PRIVATE KEY-----\nSESAME\n-----END PRIVATE KEY-----"},
            "private RSA key",
        ),
        ({"token_uri": "http://tokens.example/token"}, "no https address"),
        ({"client_email": None, "token_uri": None, "private_key": None}, "private RSA key"),
    ],
)
def test_a_key_file_that_cannot_be_used(
    cloud: Cloud, key: rsa.RSAPrivateKey, tmp_path: Path, change: dict[str, Any], says: str
) -> None:
    url = cloud.tokens.url
    account_file(tmp_path, key, url, **{k: v if v else url for k, v in change.items()})
    receipt = destination(tmp_path, cloud.server.url, service_account={"key": "account.json"}).deliver(
        parcel(PATIENT)
    )
    assert (receipt.verdict, receipt.down) == ("retry", True)
    assert says in receipt.why and "SESAME" not in receipt.why and not cloud.forms


@pytest.mark.parametrize("text", ["", "[]", "{}", "null", '{"client_email": "a"}'])
def test_a_file_that_is_no_key_file(cloud: Cloud, tmp_path: Path, text: str) -> None:
    (tmp_path / "account.json").write_text(text)
    to = destination(tmp_path, cloud.server.url, service_account={"key": "account.json"})
    assert "no key file of a service account" in to.deliver(parcel(PATIENT)).why
    (tmp_path / "account.json").unlink()
    assert "cannot be read" in to.deliver(parcel(PATIENT)).why


@pytest.mark.parametrize("apart", [True, False])
def test_a_certificate(cloud: Cloud, key: rsa.RSAPrivateKey, tmp_path: Path, apart: bool) -> None:
    shown = certificate(key)
    files = shown.public_bytes(Encoding.PEM), pem(key)
    (tmp_path / "hub.pem").write_bytes(files[0] if apart else b"".join(files))
    (tmp_path / "hub.key").write_bytes(files[1])
    words = {"client_id": APPLICATION, "certificate": "hub.pem", "token_url": cloud.tokens.url}
    words |= {"key": "hub.key"} if apart else {}
    for seconds in (20, 30):  # two destinations, two tokens: no assertion is used twice
        to = destination(
            tmp_path,
            cloud.server.url,
            client_certificate={**words, "scope": SCOPE},
            timeout_seconds=seconds,
        )
        receipt = to.deliver(parcel(PATIENT))
        assert receipt.verdict == "sent", receipt.why
    header, claims = cloud.tokens.headers[0], cloud.tokens.claims[0]
    digest = base64.urlsafe_b64decode(header["x5t#S256"] + "=")
    assert digest == shown.fingerprint(SHA256()) and header["alg"] == "PS256"
    assert claims["exp"] - claims["nbf"] <= 300 and len(cloud.tokens.used) == 2
    assert (cloud.forms[0]["scope"], cloud.forms[0]["client_id"]) == (SCOPE, APPLICATION)


def test_a_certificate_that_is_not_known_there(cloud: Cloud, tmp_path: Path) -> None:
    stranger = rsa.generate_private_key(65537, 2048)
    (tmp_path / "hub.pem").write_bytes(certificate(stranger).public_bytes(Encoding.PEM) + pem(stranger))
    words = {"client_id": APPLICATION, "certificate": "hub.pem", "token_url": cloud.tokens.url}
    to = destination(tmp_path, cloud.server.url, client_certificate={**words, "scope": SCOPE})
    receipt = to.deliver(parcel(PATIENT))
    assert (receipt.verdict, receipt.down) == ("retry", True) and "invalid_client" in receipt.why
    (tmp_path / "hub.pem").write_bytes(certificate(stranger).public_bytes(Encoding.PEM))
    assert "no private RSA key" in to.deliver(parcel(PATIENT)).why
    (tmp_path / "hub.pem").write_bytes(b"-----BEGIN")
    assert "holds no certificate" in to.deliver(parcel(PATIENT)).why


@pytest.mark.parametrize(("word", "value"), [("scope", SCOPE), ("resource", "https://mercy.fhir.example")])
def test_a_shared_secret_asks_for_a_scope_or_a_resource(
    cloud: Cloud, tmp_path: Path, word: str, value: str
) -> None:
    shared = {"client_id": "shared", "secret": "s3cret", "send": "body", "token_url": cloud.tokens.url}
    to = destination(tmp_path, cloud.server.url, client_secret={**shared, word: value})
    receipt = to.deliver(parcel(PATIENT))
    assert receipt.verdict == "sent", receipt.why
    assert {"scope", "resource"} & cloud.forms[0].keys() == {word} and cloud.forms[0][word] == value


# -- AWS

SUITE = {  # of "aws-sig-v4-test-suite", which AWS publishes; a signature covers all of a request
    "access_key": "AKIDEXAMPLE",
    "secret_key": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "region": "us-east-1",
    "moment": "20150830T123600Z",
    "service": "service",
}
FORM = {"Content-Type": "application/x-www-form-urlencoded"}


@pytest.mark.parametrize(
    ("method", "path", "query", "headers", "body", "signature"),
    [
        ("GET", "/", "", {}, b"", "5fa00fa31553b73ebf1942676e86291e8372ff2a2260956d9b8aae1d763fbf31"),
        (
            "GET",
            "/",
            "Param2=value2&Param1=value1",
            {},
            b"",
            "b97d918cfa904a5beff61c982a1b6f458b799221646efd99d3219ec94cdf2500",
        ),
        ("GET", "/", "ሴ=bar", {}, b"", "2cdec8eed098649ff3a119c94853b13c643bcf08f8b0a1d91e12c9027818dd04"),
        ("GET", "/ሴ", "", {}, b"", "8318018e0b0f223aa2bbf98705b62bb787dc9c0e678f255a891fd03141be5d85"),
        (
            "GET",
            "/example space/",
            "",
            {},
            b"",
            "652487583200325589f1fba4c7e578f72c47cb61beeca81406b39ddec1366741",
        ),
        ("POST", "/", "", {}, b"", "5da7c1a2acd57cee7505fc6676e4e544621c30862966e37dddb68e92efbe5d6b"),
        (
            "POST",
            "/",
            "Param1=value1",
            {},
            b"",
            "28038455d6de14eafc1f9222cf5aa6f1a96197d7deb8263271d420d138af7f11",
        ),
        (
            "POST",
            "/",
            "",
            {"My-Header1": "VALUE1"},
            b"",
            "cdbc9802e29d2942e5e10b5bccfdd67c5f22c7c4e8ae67b53629efa58b974b7d",
        ),
        (
            "POST",
            "/",
            "",
            FORM,
            b"Param1=value1",
            "ff11897932ad3f4e8b18135d722051e5ac45fc38421b1da7b9d196a0fe09473a",
        ),
    ],
)
def test_the_vectors_that_aws_publishes(
    method: str, path: str, query: str, headers: dict[str, str], body: bytes, signature: str
) -> None:
    payload = hashlib.sha256(body).hexdigest()
    made = signed(method, "example.amazonaws.com", path, parse_qsl(query), headers, payload=payload, **SUITE)
    assert made["authorization"].endswith(f"Signature={signature}")
    assert "x-amz-content-sha256" not in made


KEY = {"access_key": "AKIDEXAMPLE", "secret_key": SUITE["secret_key"]}


def believes(session: str = "", service: str = "healthlake") -> Any:
    """Answer as who signs the request once more from what arrived, and compares."""

    def say(asked: Asked) -> Reply:
        said = asked.headers.get("authorization", "")
        names = said.partition("SignedHeaders=")[2].partition(",")[0].split(";")
        path, _, query = asked.path.partition("?")
        expected = signed(
            asked.method,
            asked.headers["host"],
            path,
            parse_qsl(query, keep_blank_values=True),
            {n: asked.headers[n] for n in names if n not in ("host", "x-amz-date")},
            payload=hashlib.sha256(asked.body).hexdigest(),
            region="us-east-1",
            moment=asked.headers["x-amz-date"],
            service=service,
            **KEY,
        )
        session_fits = asked.headers.get("x-amz-security-token", "") == session
        if said != expected["authorization"] or not session_fits:
            return 403, {}, b'{"message":"The request signature we calculated does not match"}'
        if asked.method in ("DELETE", "PUT"):
            return 200, {}, b""
        return done(asked) if asked.method == "POST" else (200, {}, b'{"resourceType":"Bundle"}')

    return say


def test_every_request_is_signed(tmp_path: Path) -> None:
    with serving(believes()) as server:
        to = destination(tmp_path, server.url, ids="theirs", aws={"region": "us-east-1", **KEY})
        receipt = to.deliver(parcel(PATIENT, gone=(P,)))
        assert receipt.verdict == "sent", receipt.why
        assert [a.method for a in server.asked] == ["POST", "DELETE"]
        evidence = receipt.request + receipt.answer
        assert b"Signature=" not in evidence and b"AKID" not in evidence
        wrong = {"region": "us-east-1", "access_key": "AKIDEXAMPLE", "secret_key": "another"}
        refused = destination(tmp_path, server.url, aws=wrong).deliver(parcel(PATIENT))
    assert (refused.verdict, refused.down) == ("retry", True)


def test_short_lived_keys_are_read_from_their_file(tmp_path: Path) -> None:
    def write(session: str) -> None:
        lines = f"aws_access_key_id = AKIDEXAMPLE\naws_secret_access_key = {KEY['secret_key']}\n"
        lines += f"aws_session_token = {session}\n" if session else ""
        (tmp_path / "keys").write_text(f"[default]\nregion = x\n[hub]\n{lines}")

    with serving(believes("first")) as server:
        words = {"region": "us-east-1", "credentials": "keys", "profile": "hub"}
        to = destination(tmp_path, server.url, aws=words)
        for session in ("first", "", "second"):
            write(session)
            server.say = believes(session)
            receipt = to.deliver(parcel(PATIENT))
            assert receipt.verdict == "sent", receipt.why
            assert b"second" not in receipt.request
        for text in ("[hub]\n", "", "\xff", "[hub"):
            (tmp_path / "keys").write_bytes(text.encode("latin-1"))
            receipt = to.deliver(parcel(PATIENT))
            assert (receipt.verdict, receipt.down) == ("retry", True) and "profile hub" in receipt.why
        (tmp_path / "keys").unlink()
        assert "cannot be read" in to.deliver(parcel(PATIENT)).why


@pytest.mark.parametrize(
    "words",
    [
        {"aws": {"region": "us-east-1"}},
        {"aws": {"region": "us-east-1", "access_key": "a"}},
        {"aws": {"region": "us-east-1", **KEY, "credentials": "keys"}},
        {"aws": {"region": "us east", **KEY}},
        {"aws": {"region": "us-east-1", **KEY}, "auth": {"bearer": "x"}},
        {"service_account": {"key": "a"}, "auth": {"bearer": "x"}},
        {"client_certificate": {"client_id": "a", "certificate": "b", "token_url": "https://t.example"}},
        {
            "client_certificate": {
                "client_id": "a",
                "certificate": "b",
                "token_url": "http://t.example",
                "scope": "s",
            }
        },
    ],
)
def test_settings_that_cannot_be_followed(words: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        FhirSettings(url="https://fhir.example", **words)


def test_production_wants_a_long_secret() -> None:
    weak = FhirSettings(url="https://fhir.example", aws={"region": "r", "access_key": "a", "secret_key": "b"})
    assert [what for what, _ in weak.weaknesses()] == ["aws: secret_key is shorter than 16 characters"]
