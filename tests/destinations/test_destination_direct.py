"""Direct against a real mail server; what arrives is opened and verified by openssl."""

from __future__ import annotations

import email
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from email.message import Message
from pathlib import Path
from typing import Any

import pytest
from behaviour import MARKS, Behaviour
from cryptography import x509
from direct_certificates import ANCHOR, BETWEEN, HUB, LAKESHORE, NURSE, STRANGER, THEM, made, revocation_list
from direct_sides import Hisp, der, list_server, name_server
from sharing_samples import FULL, UNNUMBERED

from engine.destinations.direct import Direct
from engine.destinations.direct_settings import DirectSettings
from engine.formats.xdm import read_package
from engine.kernel.delivery import Around, Parcel
from engine.kernel.errors import ConfigError, HubError

SAMPLE = FULL.replace(b"Sample", MARKS[0].encode()).replace(b">Jo<", f">{MARKS[1]}<".encode())


def parcel_of(data: bytes, n: int = 1) -> Parcel:
    facts = {"received": "2026-05-02T11:45:00+00:00", "control_id": MARKS[2]}
    return Parcel(f"cda_in-{100 + n}-direct-1", 100 + n, "cda_in", data, "text/xml", facts)


@pytest.fixture
def hisp(tmp_path: Path) -> Iterator[Hisp]:
    made = Hisp(tmp_path)
    yield made
    made.close()


@pytest.fixture
def around(tmp_path: Path) -> Around:
    return Around(tmp_path, tmp_path / "data", "Mercy", "https://hub.mercy.example/id")


def direct(hisp: Hisp, around: Around, **more: Any) -> Direct:
    return Direct(DirectSettings(**{**hisp.words, **more}), "lakeshore", around)


class TestDirect(Behaviour):
    word = "direct"

    def parcel(self, n: int = 1) -> Parcel:
        return parcel_of(SAMPLE, n)

    @pytest.fixture
    def side(self, hisp: Hisp) -> Hisp:
        return hisp


def opened(raw: bytes, folder: Path, recipient: str = "nurse") -> Message:
    """Open a message as its recipient would, with openssl; return the message inside."""
    NURSE.written(folder, "nurse")
    words = ["openssl", "cms", "-decrypt", "-recip", f"{recipient}.pem", "-inkey", f"{recipient}.key"]
    entity = subprocess.run(words, input=raw, cwd=folder, capture_output=True, check=True).stdout
    words = ["openssl", "cms", "-verify", "-CAfile", "anchors.pem", "-purpose", "any", "-certsout", "who.pem"]
    signed = subprocess.run(words, input=entity, cwd=folder, capture_output=True, check=True).stdout
    wrapped = email.message_from_bytes(signed)
    assert wrapped.get_content_type() == "message/rfc822"
    (who,) = [
        c for c in x509.load_pem_x509_certificates((folder / "who.pem").read_bytes())
        if c == HUB.certificate
    ]  # fmt: skip
    assert who
    return wrapped.get_payload(0)  # type: ignore[return-value, arg-type]


def test_the_recipient_opens_a_whole_message(hisp: Hisp, around: Around, tmp_path: Path) -> None:
    receipt = direct(hisp, around, subject="Summary – Mercy").deliver(parcel_of(SAMPLE))
    outer = hisp.last()
    assert (outer["From"], outer["To"], outer["Message-ID"]) == (
        hisp.words["sender"],
        THEM,
        receipt.reference,
    )
    assert outer["Subject"] == "Encrypted message" and outer.get_param("smime-type") == "enveloped-data"
    assert all(line.isascii() for line in hisp.taken()[0].splitlines())
    inner = opened(hisp.taken()[0], tmp_path)
    assert str(email.header.make_header(email.header.decode_header(inner["Subject"]))) == "Summary – Mercy"
    assert inner["Message-ID"] == receipt.reference and inner["Date"] == "Sat, 02 May 2026 11:45:00 +0000"
    assert inner["Disposition-Notification-To"] == hisp.words["sender"]
    assert inner["Disposition-Notification-Options"] == "X-DIRECT-FINAL-DESTINATION-DELIVERY=optional,true"
    text, attached = inner.get_payload()
    assert "attached" in text.get_payload() and attached.get_content_type() == "application/zip"
    package = read_package(attached.get_payload(decode=True))
    assert package.documents[0].data == SAMPLE and package.problems == () and package.source == "2.999.1"


@pytest.mark.parametrize("ask", ["processed", "dispatched"])
def test_a_document_as_it_is(hisp: Hisp, around: Around, tmp_path: Path, ask: str) -> None:
    there = direct(hisp, around, attach="document", encryption="aes-128-cbc", ask=ask)
    assert there.deliver(parcel_of(SAMPLE)).verdict == "sent"
    inner = opened(hisp.taken()[0], tmp_path)
    assert ("Disposition-Notification-Options" in inner) is (ask == "dispatched")
    attached = inner.get_payload()[1]  # type: ignore[index]
    assert (attached.get_filename(), attached.get_content_type()) == ("document.xml", "text/xml")
    assert attached.get_payload(decode=True) == SAMPLE


def test_a_second_try_is_the_same_message(hisp: Hisp, around: Around, tmp_path: Path) -> None:
    there = direct(hisp, around)
    there.deliver(parcel_of(SAMPLE))
    first = opened(hisp.taken()[0], tmp_path).as_bytes()
    hisp.mails.clear()
    direct(hisp, around).deliver(replace(parcel_of(SAMPLE), tries=1))
    assert opened(hisp.taken()[0], tmp_path).as_bytes() == first


def test_tls_from_the_first_byte(tmp_path: Path, around: Around) -> None:
    hisp = Hisp(tmp_path, tls="tls")
    assert direct(hisp, around).deliver(parcel_of(SAMPLE)).verdict == "sent"
    hisp.close()


def test_a_server_without_tls_is_not_spoken_to(tmp_path: Path, around: Around) -> None:
    hisp = Hisp(tmp_path, tls="none")
    hisp.words["security"] = "starttls"
    receipt = direct(hisp, around).deliver(parcel_of(SAMPLE))
    assert (receipt.verdict, receipt.down) == ("retry", True) and "STARTTLS" in receipt.why
    assert hisp.taken() == []
    hisp.close()


@pytest.mark.parametrize(
    ("data", "why"),
    [(b"MSH|^~\\&|A", "holds no document"), (UNNUMBERED, "has no id")],
    ids=["no document", "no number"],
)
def test_what_cannot_be_sent_is_refused(hisp: Hisp, around: Around, data: bytes, why: str) -> None:
    receipt = direct(hisp, around).deliver(parcel_of(data))
    assert receipt.verdict == "refuse" and why in receipt.why and hisp.taken() == []


@pytest.mark.parametrize(
    ("rcpt", "data", "verdict", "down"),
    [
        ("550 5.1.1 no such mailbox", "", "park", False),
        ("450 4.2.1 busy", "", "retry", False),
        ("", "452 4.3.1 full", "retry", False),
        ("", "554 5.6.0 not taken", "refuse", False),
    ],
)
def test_answers_are_judged_by_meaning(
    hisp: Hisp, around: Around, rcpt: str, data: str, verdict: str, down: bool
) -> None:
    hisp.answer_to_rcpt, hisp.answer = rcpt, data
    receipt = direct(hisp, around).deliver(parcel_of(SAMPLE))
    assert (receipt.verdict, receipt.down) == (verdict, down) and (rcpt or data) in receipt.why


def test_a_wrong_password_is_nobodys_fault_but_ours(hisp: Hisp, around: Around) -> None:
    receipt = direct(hisp, around, password="another").deliver(parcel_of(SAMPLE))
    assert (receipt.verdict, receipt.down) == ("retry", True) and "535" in receipt.why


def test_nothing_leaves_for_a_certificate_that_is_not_right(hisp: Hisp, around: Around) -> None:
    path = hisp.folder / "recipients" / f"{THEM}.pem"
    table = {
        "of another address": made("else", ANCHOR, x509.RFC822Name("x@direct.lakeshore.example")),
        "expired on": made("expired", ANCHOR, x509.RFC822Name(THEM), days=(-9, -2)),
        "no chain leads": made("strange", STRANGER, x509.RFC822Name(THEM)),
        "not meant to encrypt": made("signs", ANCHOR, x509.RFC822Name(THEM), uses=("digital_signature",)),
    }
    there = direct(hisp, around)
    for why, pair in table.items():
        hisp.give(path, pair)
        receipt = there.deliver(parcel_of(SAMPLE))
        assert (receipt.verdict, receipt.down) == ("retry", True) and why in receipt.why, why
    path.unlink()
    assert "no certificate" in there.deliver(parcel_of(SAMPLE)).why
    with pytest.raises(HubError, match="no certificate"):
        there.check()
    assert hisp.taken() == []
    hisp.give(path, NURSE)
    assert there.deliver(parcel_of(SAMPLE)).verdict == "sent"
    assert "valid until" in there.check()


def test_a_certificate_of_the_domain_stands_for_its_addresses(hisp: Hisp, around: Around) -> None:
    folder = hisp.folder / "recipients"
    (folder / f"{THEM}.pem").unlink()
    hisp.give(folder / "direct.lakeshore.example.pem", LAKESHORE, BETWEEN)
    assert direct(hisp, around).deliver(parcel_of(SAMPLE)).verdict == "sent"


def test_certificates_by_dns(hisp: Hisp, around: Around, tmp_path: Path) -> None:
    of_domain = made("domain by dns", ANCHOR, x509.DNSName("direct.lakeshore.example"))
    held = {"direct.lakeshore.example": [b"no certificate", der(of_domain)]}
    with name_server(held) as where:
        there = direct(hisp, around, certificates=None, dns=True, name_servers=[where])
        assert there.deliver(parcel_of(SAMPLE)).verdict == "sent"
        of_domain.written(tmp_path, "domain")
        assert opened(hisp.taken()[0], tmp_path, "domain")
        held["nurse.direct.lakeshore.example"] = [der(NURSE)]  # one of the address goes before
        assert there.deliver(parcel_of(SAMPLE, 2)).verdict == "sent"
        assert opened(hisp.taken()[1], tmp_path)
        held.clear()
        assert "none in DNS" in there.deliver(parcel_of(SAMPLE, 3)).why
    assert (
        "DNS does not answer"
        in direct(hisp, around, certificates=None, dns=True, name_servers=[where], timeout_seconds=1)
        .deliver(parcel_of(SAMPLE, 3))
        .why
    )


def test_what_was_taken_back_is_not_trusted(hisp: Hisp, around: Around) -> None:
    path = hisp.folder / "recipients" / f"{THEM}.pem"
    with list_server() as (where, held):
        listed = made("listed", ANCHOR, x509.RFC822Name(THEM), list_at=f"{where}/a.crl")
        hisp.give(path, listed)
        good = revocation_list(ANCHOR, NURSE.certificate)
        table = [
            ({}, "answered 404"),
            ({"/a.crl": b"hello"}, "is no revocation list"),
            ({"/a.crl": revocation_list(ANCHOR, days=(-9, -2))}, "out of date"),
            ({"/a.crl": revocation_list(ANCHOR, signed_by=STRANGER)}, "not signed by who issued"),
            ({"/a.crl": revocation_list(ANCHOR, listed.certificate)}, "taken back"),
            ({"/a.crl": good}, ""),
        ]
        for lists, why in table:
            held.clear()
            held.update(lists)
            receipt = direct(hisp, around).deliver(parcel_of(SAMPLE))
            assert receipt.verdict == ("retry" if why else "sent") and why in receipt.why, why
        there = direct(hisp, around)
        there.deliver(parcel_of(SAMPLE))
        held.clear()
        assert there.deliver(parcel_of(SAMPLE)).verdict == "sent"  # a list is kept until it is old
    hisp.give(path, NURSE)
    strict = direct(hisp, around, revocation="strict").deliver(parcel_of(SAMPLE, 2))
    assert "names no revocation list" in strict.why
    hisp.give(path, listed)
    assert direct(hisp, around).deliver(parcel_of(SAMPLE, 3)).down
    assert direct(hisp, around, revocation="off").deliver(parcel_of(SAMPLE, 3)).verdict == "sent"


def test_an_issuer_that_nobody_sent_is_fetched_for_a_recipient(hisp: Hisp, around: Around) -> None:
    path = hisp.folder / "recipients" / f"{THEM}.pem"
    with list_server() as (where, held):
        alone = made("alone", BETWEEN, x509.RFC822Name(THEM), issuer_at=f"{where}/between.cer")
        hisp.give(path, alone)
        assert "no chain leads" in direct(hisp, around).deliver(parcel_of(SAMPLE)).why
        held["/between.cer"] = der(BETWEEN)
        assert "no chain leads" in direct(hisp, around, issuers="given").deliver(parcel_of(SAMPLE)).why
        assert direct(hisp, around).deliver(parcel_of(SAMPLE)).verdict == "sent"


def test_settings_that_cannot_be_are_told(hisp: Hisp, around: Around) -> None:
    for more, why in (
        ({"certificates": None}, "nothing is sent unencrypted"),
        ({"sharing": None}, "who shares"),
        ({"to": "nobody"}, "to"),
        ({"subject": "a\r\nBcc: x@y.example"}, "subject"),
    ):
        with pytest.raises(ValueError, match=why):
            DirectSettings(**{**hisp.words, **more})
    with pytest.raises(ConfigError, match="of another address"):
        direct(hisp, around, sender="else@direct.mercy.example")
