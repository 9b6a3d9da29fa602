"""Responders and issuers that certificates name: what they say is believed only where it counts."""

from __future__ import annotations

import datetime
import re
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.serialization import Encoding, pkcs7
from cryptography.x509 import ocsp
from cryptography.x509.oid import ExtendedKeyUsageOID
from direct_certificates import ANCHOR, BETWEEN, NOW, STRANGER, THEM, Pair, made, revocation_list
from direct_sides import list_server

from engine.destinations.issuers import Issuers
from engine.destinations.revocation import NotAsked, Revocation
from engine.kernel.errors import HubError
from engine.security.mailcerts import chain_of

AT = NOW + datetime.timedelta(seconds=1)
SIGNS = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.OCSP_SIGNING])
DELEGATE = made("responder", ANCHOR, more=(SIGNS, x509.OCSPNoCheck()))
OTHER = made("other", ANCHOR, x509.RFC822Name(THEM))


def answer(
    of: Pair,
    status: ocsp.OCSPCertStatus = ocsp.OCSPCertStatus.GOOD,
    *,
    by: Pair = ANCHOR,
    issuer: Pair = ANCHOR,
    hours: tuple[int, int] = (-1, 6),
) -> bytes:
    """What a responder says of a certificate."""
    revoked = status == ocsp.OCSPCertStatus.REVOKED
    builder = (
        ocsp.OCSPResponseBuilder()
        .add_response(
            of.certificate,
            issuer.certificate,
            hashes.SHA1(),
            status,
            NOW + datetime.timedelta(hours=hours[0]),
            NOW + datetime.timedelta(hours=hours[1]),
            NOW if revoked else None,
            None,
        )
        .responder_id(ocsp.OCSPResponderEncoding.HASH, by.certificate)
    )
    if by is not ANCHOR:
        builder = builder.certificates([by.certificate])
    return builder.sign(by.key, hashes.SHA256()).public_bytes(Encoding.DER)


def said(
    where: Pair, policy: Any = "named", revocation: Revocation | None = None, at: datetime.datetime = AT
) -> str:
    """Ask whether a certificate holds; empty where it does."""
    try:
        (revocation or Revocation(policy)).check((where.certificate, ANCHOR.certificate), at)
    except HubError as e:
        return f"{type(e).__name__}: {e.why}"
    return ""


UNKNOWN = ocsp.OCSPResponseBuilder.build_unsuccessful(ocsp.OCSPResponseStatus.TRY_LATER)


@pytest.mark.parametrize(
    ("told", "why"),
    [
        (lambda own: answer(own), ""),
        (lambda own: answer(own, by=DELEGATE), ""),
        (lambda own: answer(own, ocsp.OCSPCertStatus.REVOKED), "HubError: it was taken back"),
        (lambda own: answer(own, ocsp.OCSPCertStatus.REVOKED, by=DELEGATE), "HubError: it was taken back"),
        (lambda own: answer(own, ocsp.OCSPCertStatus.UNKNOWN), "NotAsked: .*does not know"),
        (lambda own: answer(own, by=OTHER), "NotAsked: .*not signed by who may"),  # no right to
        (
            lambda own: answer(own, by=made("fake", STRANGER, more=(SIGNS,))),
            "NotAsked: .*not signed by who may",
        ),
        (
            lambda own: answer(own, by=made("old", ANCHOR, more=(SIGNS, x509.OCSPNoCheck()), days=(-9, -2))),
            "NotAsked: .*not signed by who may",
        ),
        (lambda own: answer(OTHER), "NotAsked: .*of another certificate"),
        (lambda own: answer(own, issuer=BETWEEN), "NotAsked: .*of another certificate"),
        (lambda own: answer(own, hours=(-9, -2)), "NotAsked: .*out of date"),
        (lambda own: answer(own, hours=(2, 9)), "NotAsked: .*out of date"),
        (lambda own: UNKNOWN.public_bytes(Encoding.DER), "NotAsked: .*try later"),
        (lambda own: b"hello", "NotAsked: .*no OCSP response"),
        (lambda own: b"x" * (1 << 21), "NotAsked: .*larger than"),
        (None, "NotAsked: .*404"),
    ],
)
def test_an_answer_is_believed_only_where_it_counts(told: Any, why: str) -> None:
    with list_server() as (where, held):
        own = made("asked", ANCHOR, x509.RFC822Name(THEM), responder_at=f"{where}/ocsp")
        if told is not None:
            held["/ocsp"] = told(own)
        found = said(own)
        assert re.match(why, found) if why else found == "", found


def test_a_list_decides_where_no_responder_tells_and_a_good_answer_is_kept() -> None:
    with list_server() as (where, held):
        both = made("both", ANCHOR, responder_at=f"{where}/ocsp", list_at=f"{where}/a.crl")
        held["/a.crl"] = revocation_list(ANCHOR)
        assert said(both) == ""
        held["/a.crl"] = revocation_list(ANCHOR, both.certificate)
        assert said(both) == "HubError: it was taken back by who issued it"
        kept = Revocation("strict")
        held["/ocsp"] = answer(both)
        assert said(both, revocation=kept) == ""  # the responder is newer than the list
        held.clear()
        assert said(both, revocation=kept) == ""
        later = AT + datetime.timedelta(hours=2)
        with pytest.raises(NotAsked):
            kept.check((both.certificate, ANCHOR.certificate), later)


def test_a_responder_that_was_taken_back_itself_says_nothing() -> None:
    with list_server() as (where, held):
        delegate = made("checked", ANCHOR, more=(SIGNS,), list_at=f"{where}/a.crl")
        own = made("asked", ANCHOR, x509.RFC822Name(THEM), responder_at=f"{where}/ocsp")
        held["/ocsp"] = answer(own, by=delegate)
        assert said(own).startswith("NotAsked")
        held["/a.crl"] = revocation_list(ANCHOR)
        assert said(own) == ""
        held["/a.crl"] = revocation_list(ANCHOR, delegate.certificate)
        assert said(own) != ""


@contextmanager
def openssl(folder: Path, port: int, own: Pair, revoked: bool) -> Iterator[None]:
    """OpenSSL's own responder."""
    serial = f"{own.certificate.serial_number:X}"
    state = "R\t300101000000Z\t260101000000Z" if revoked else "V\t300101000000Z\t"
    (folder / "index.txt").write_text(f"{state}\t{'0' * (len(serial) % 2)}{serial}\tunknown\t/CN=asked\n")
    anchor, _ = ANCHOR.written(folder, "anchor")
    signer, secret = DELEGATE.written(folder, "signer")
    words = ["-rsigner", str(signer), "-rkey", str(secret), "-CA", str(anchor), "-ndays", "1"]
    process = subprocess.Popen(
        ["openssl", "ocsp", "-index", "index.txt", "-port", str(port), *words],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    try:
        assert process.stdout is not None
        assert any(b"waiting" in line.lower() for line in process.stdout), "openssl ocsp did not start"
        yield
    finally:
        process.kill()
        process.wait()


@pytest.mark.parametrize("revoked", [False, True])
def test_openssls_responder_is_understood(tmp_path: Path, revoked: bool) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
    own = made("asked", ANCHOR, x509.RFC822Name(THEM), responder_at=f"http://127.0.0.1:{port}")
    with openssl(tmp_path, port, own, revoked):
        found = said(own, at=datetime.datetime.now(datetime.UTC))
    assert found == ("HubError: it was taken back by who issued it" if revoked else "")


@pytest.mark.parametrize("form", ["der", "pem", "pkcs7"])
def test_issuers_that_nobody_sent_are_fetched(form: str) -> None:
    with list_server() as (where, held):
        top = made("Second", BETWEEN, ca=True, issuer_at=f"{where}/between")
        own = made("leaf", top, x509.RFC822Name(THEM), issuer_at=f"{where}/second")
        for name, pair in (("second", top), ("between", BETWEEN)):
            held[f"/{name}"] = {
                "der": pair.certificate.public_bytes(Encoding.DER),
                "pem": pair.pem,
                "pkcs7": pkcs7.serialize_certificates([ANCHOR.certificate, pair.certificate], Encoding.DER),
            }[form]
        issuers = Issuers()
        found = issuers.above(own.certificate, AT)
        assert found == (top.certificate, BETWEEN.certificate)
        assert chain_of(own.certificate, found, (ANCHOR.certificate,), AT)[-1] == ANCHOR.certificate
        with pytest.raises(HubError):  # what was fetched is no anchor
            chain_of(own.certificate, found, (STRANGER.certificate,), AT)
        held.clear()
        assert issuers.above(own.certificate, AT) == found  # kept
        assert issuers.above(own.certificate, AT + datetime.timedelta(hours=2)) == ()


def test_one_that_leads_in_circles_or_nowhere_ends() -> None:
    with list_server() as (where, held):
        loop = made("Loop", None, ca=True)
        first = made("Loop A", loop, ca=True, issuer_at=f"{where}/b")
        held["/b"] = first.certificate.public_bytes(Encoding.DER)
        assert Issuers().above(first.certificate, AT) == ()  # it is not its issuer
        held["/b"] = b"x" * (1 << 20)
        assert Issuers().above(first.certificate, AT) == ()
