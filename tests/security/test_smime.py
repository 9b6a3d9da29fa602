"""What is signed and encrypted here is opened by openssl, and what openssl made is opened here."""

from __future__ import annotations

import datetime
import email
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from direct_certificates import ANCHOR, BETWEEN, HUB, LAKESHORE, NOW, NURSE, STRANGER, THEM, US, Pair, made
from hypothesis import given
from hypothesis import strategies as st

from engine.kernel.errors import ConfigError, FormatError, HubError
from engine.security.ber import definite
from engine.security.mailcerts import bound_to, chain_of, check_use, read_certificates, read_identity
from engine.security.smime import Identity, decrypt, encrypt, sign, verify

ENTITY = (
    b"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 7bit\r\n\r\nPotassium 5.6\r\n"
)
OURS = Identity(HUB.certificate, HUB.key, (BETWEEN.certificate,))
THEIRS = Identity(NURSE.certificate, NURSE.key)


def openssl(folder: Path, *words: str, data: bytes = b"") -> bytes:
    done = subprocess.run(["openssl", *words], input=data, capture_output=True, cwd=folder, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout


@pytest.mark.parametrize("cipher", ["aes-128-cbc", "aes-256-cbc"])
def test_openssl_opens_and_verifies_what_we_send(tmp_path: Path, cipher: str) -> None:
    NURSE.written(tmp_path, "nurse")
    (tmp_path / "anchor.pem").write_bytes(ANCHOR.pem)
    sealed = encrypt(sign(ENTITY, OURS), [NURSE.certificate], cipher)  # type: ignore[arg-type]
    assert b"Potassium" not in sealed
    opened = openssl(
        tmp_path,
        "cms",
        "-decrypt",
        "-recip",
        "nurse.pem",
        "-inkey",
        "nurse.key",
        data=b"MIME-Version: 1.0\r\n" + sealed,
    )
    shown = openssl(tmp_path, "cms", "-cmsout", "-print", data=b"MIME-Version: 1.0\r\n" + sealed)
    assert cipher.encode() in shown.lower()
    said = openssl(
        tmp_path,
        "cms",
        "-verify",
        "-CAfile",
        "anchor.pem",
        "-purpose",
        "any",
        "-certsout",
        "who.pem",
        data=opened,
    )
    assert said == ENTITY
    assert len(x509.load_pem_x509_certificates((tmp_path / "who.pem").read_bytes())) == 2


@pytest.mark.parametrize("stream", [(), ("-stream",)], ids=["DER", "indefinite length"])
@pytest.mark.parametrize("opaque", [(), ("-nodetach",)], ids=["multipart", "signed-data"])
def test_we_open_and_verify_what_openssl_made(
    tmp_path: Path, stream: tuple[str, ...], opaque: tuple[str, ...]
) -> None:
    HUB.written(tmp_path, "hub")
    NURSE.written(tmp_path, "nurse")
    signed = openssl(
        tmp_path, "cms", "-sign", "-signer", "nurse.pem", "-inkey", "nurse.key", *opaque, *stream, data=ENTITY
    )
    words = ("cms", "-encrypt", "-aes-256-cbc", *stream, "hub.pem")
    sealed = openssl(tmp_path, *words, data=signed.replace(b"\n", b"\r\n"))
    entity = decrypt(email.message_from_bytes(sealed), OURS)
    found = verify(entity)
    assert found.content.replace(b"\r\n", b"\n") == ENTITY.replace(b"\r\n", b"\n")
    assert found.signer == NURSE.certificate


def test_what_was_changed_is_told() -> None:
    signed = sign(ENTITY, OURS)
    assert verify(signed).content == ENTITY
    with pytest.raises(FormatError, match="not what was signed"):
        verify(signed.replace(b"5.6", b"6.5"))
    with pytest.raises(FormatError, match="not signed"):
        verify(ENTITY)


def test_what_is_for_somebody_else_is_not_opened() -> None:
    sealed = encrypt(ENTITY, [NURSE.certificate], "aes-256-cbc")
    assert decrypt(email.message_from_bytes(sealed), THEIRS) == ENTITY
    with pytest.raises(FormatError, match="not encrypted for our certificate"):
        decrypt(email.message_from_bytes(sealed), OURS)


def test_sha1_is_no_signature(tmp_path: Path) -> None:
    NURSE.written(tmp_path, "nurse")
    words = ("cms", "-sign", "-md", "sha1", "-signer", "nurse.pem", "-inkey", "nurse.key")
    with pytest.raises(FormatError, match="SHA-1"):
        verify(openssl(tmp_path, *words, data=ENTITY))


def test_a_signature_of_another_key_is_told() -> None:
    forged = Identity(HUB.certificate, NURSE.key)  # the certificate of one, the key of another
    with pytest.raises(FormatError, match="not what was signed"):
        verify(sign(ENTITY, forged))


LEAF = made("leaf that issues", ANCHOR, x509.RFC822Name(US))


@pytest.mark.parametrize(
    ("pair", "others", "why"),
    [
        (HUB, (BETWEEN,), ""),
        (NURSE, (), ""),
        (HUB, (), "no chain"),
        (made("old", ANCHOR, days=(-9, -2)), (), "expired on"),
        (made("young", ANCHOR, days=(2, 9)), (), "not valid before"),
        (made("stranger", STRANGER), (STRANGER,), "no chain"),
        (made("of a leaf", LEAF), (LEAF,), "no chain"),
    ],
    ids=[
        "through another",
        "directly",
        "a link is missing",
        "expired",
        "not yet",
        "not ours",
        "of no authority",
    ],
)
def test_only_what_an_anchor_stands_behind_is_trusted(pair: Pair, others: tuple[Pair, ...], why: str) -> None:
    def ask() -> tuple[x509.Certificate, ...]:
        return chain_of(pair.certificate, [o.certificate for o in others], [ANCHOR.certificate], NOW)

    if why:
        with pytest.raises(HubError, match=why):
            ask()
    else:
        assert ask()[0] == pair.certificate and ask()[-1] == ANCHOR.certificate


@pytest.mark.parametrize(
    ("pair", "address", "bound"),
    [
        (NURSE, THEM, "address"),
        (NURSE, "Nurse@DIRECT.lakeshore.example", "address"),
        (NURSE, "doctor@direct.lakeshore.example", ""),
        (LAKESHORE, THEM, "domain"),
        (LAKESHORE, "nurse@lakeshore.example", ""),
        (LAKESHORE, "nurse@sub.direct.lakeshore.example", ""),
        (made("both", ANCHOR, x509.RFC822Name(THEM), x509.DNSName("direct.lakeshore.example")),
         "doctor@direct.lakeshore.example", ""),
        (made("name alone", ANCHOR), THEM, ""),
    ],
)  # fmt: skip
def test_a_certificate_is_of_an_address_or_of_its_domain(pair: Pair, address: str, bound: str) -> None:
    assert bound_to(pair.certificate, address) == bound


def test_what_a_certificate_may_be_used_for() -> None:
    signing = made("signing", ANCHOR, uses=("digital_signature",)).certificate
    check_use(signing, "sign")
    with pytest.raises(HubError, match="not meant to encrypt"):
        check_use(signing, "encrypt")
    with pytest.raises(HubError, match="not meant to sign"):
        check_use(made("sealing", ANCHOR, uses=("key_encipherment",)).certificate, "sign")


def test_files_that_cannot_be_used_are_told_by_name(tmp_path: Path) -> None:
    certificate, own = HUB.written(tmp_path, "hub", BETWEEN)
    assert read_identity(certificate, own, "").chain == (BETWEEN.certificate,)
    _, other = NURSE.written(tmp_path, "nurse")
    for wrong, why in ((other, "do not belong together"), (tmp_path / "none.key", "No such file")):
        with pytest.raises(ConfigError, match=why):
            read_identity(certificate, wrong, "")
    (tmp_path / "text.pem").write_text("hello")
    with pytest.raises(ConfigError, match=r"text\.pem"):
        read_certificates(tmp_path / "text.pem")


def test_days_are_those_of_utc() -> None:
    late = datetime.datetime.now(datetime.timezone(datetime.timedelta(hours=14)))
    assert chain_of(NURSE.certificate, (), [ANCHOR.certificate], late.astimezone(datetime.UTC))


@pytest.mark.parametrize(
    "data", [b"", b"\x30", b"\x30\x80", b"\x30\x05\x04\x01", b"\x1f\x01\x00", b"\x30\x80" * 60]
)
def test_what_is_no_ber_is_told(data: bytes) -> None:
    with pytest.raises(ValueError):
        definite(data)


@given(st.binary(max_size=60))
def test_bytes_are_read_or_refused(data: bytes) -> None:
    try:
        once = definite(data)
    except ValueError:
        return
    assert definite(once) == once
