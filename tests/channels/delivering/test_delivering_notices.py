"""What is told of Direct messages later: matched to its delivery, believed only from whom it must come."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from direct_certificates import ANCHOR, BETWEEN, HUB, LAKESHORE, NURSE, STRANGER, THEM, US, Pair, made
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.channels.delivering.notices import PATIENCE, Notices
from engine.destinations.direct import Direct
from engine.destinations.direct_message import message_id
from engine.destinations.direct_notices import entry_of, read_notice
from engine.destinations.direct_settings import DirectSettings
from engine.kernel.delivery import Around, Receipt
from engine.kernel.errors import FormatError, HubError
from engine.security.smime import Identity, Signed, encrypt, sign
from engine.store.deliveries import Delivery

ID = message_id(101, "cda_in-101-lakeshore-1", US)
DELIVERY = Delivery(
    (101 << 12) + 1, 101, "lakeshore", "sent", (), 0, 1, 0, 0, 0, None, 5, "250 taken", ID, "cda_in"
)


class Kept:
    """Where deliveries are kept."""

    def __init__(self, *deliveries: Delivery) -> None:
        self.deliveries = list(deliveries)
        self.notes: list[tuple[int, Receipt]] = []

    def of_entry(self, *entries: int) -> list[Delivery]:
        return [d for d in self.deliveries if d.entry in entries]

    def told(self, number: int, receipt: Receipt, at: int) -> None:
        self.notes.append((number, receipt))


def mdn(disposition: str, of: str = ID, to: str = THEM) -> bytes:
    return (
        "Content-Type: multipart/report; report-type=disposition-notification; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nYour message.\r\n"
        "--b\r\nContent-Type: message/disposition-notification\r\n\r\n"
        f"Reporting-UA: hisp.example; agent\r\nFinal-Recipient: rfc822;{to}\r\nOriginal-Message-ID: {of}\r\n"
        f"Disposition: automatic-action/MDN-sent-automatically;{disposition}\r\n\r\n--b--\r\n"
    ).encode()


def dsn(action: str = "failed") -> bytes:
    return (
        "From: postmaster@hisp.example\r\n"
        "Content-Type: multipart/report; report-type=delivery-status; boundary=b\r\n\r\n"
        "--b\r\nContent-Type: text/plain\r\n\r\nSorry.\r\n"
        "--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; hisp.example\r\n\r\n"
        f"Final-Recipient: rfc822; {THEM}\r\nAction: {action}\r\nStatus: 5.1.1\r\n\r\n"
        f"--b\r\nContent-Type: text/rfc822-headers\r\n\r\nMessage-ID: {ID}\r\n\r\n--b--\r\n"
    ).encode()


def secured(entity: bytes, by: Pair = NURSE, *chain: Pair, to: Pair = HUB, wrapped: bool = False) -> bytes:
    if wrapped:
        entity = b"Content-Type: message/rfc822\r\n\r\n" + entity
    signed = sign(entity, Identity(by.certificate, by.key, tuple(c.certificate for c in chain)))
    return b"From: x\r\nMIME-Version: 1.0\r\n" + encrypt(signed, [to.certificate], "aes-256-cbc")


class Folder:
    """A folder of mail, read for one destination."""

    def __init__(self, root: Path) -> None:
        HUB.written(root, "hub", BETWEEN)
        (root / "anchors.pem").write_bytes(ANCHOR.pem)
        settings = DirectSettings.model_validate(
            {
                "host": "hisp.example", "sender": US, "to": THEM, "certificate": "hub.pem", "key": "hub.key",
                "anchors": "anchors.pem", "certificates": "recipients", "notices": "mail",
                "attach": "document",
            }
        )  # fmt: skip
        self.mail = root / "mail"
        self.mail.mkdir()
        self.kept = Kept(DELIVERY)
        around = Around(root, root / "data", "Mercy", "https://hub.mercy.example/id")
        make: Callable[[], Direct] = lambda: Direct(settings, "lakeshore", around)  # noqa: E731
        self.now = 1_000_000.0
        self.notices = Notices(self.mail, {"lakeshore": make}, self.kept, lambda: 7, lambda: self.now)

    def put(self, data: bytes, name: str = "1.eml", age: float = 10) -> None:
        (self.mail / name).write_bytes(data)
        os.utime(self.mail / name, (self.now - age, self.now - age))

    def read(self, data: bytes) -> str:
        """Put a mail there and let it be read; return where it went."""
        self.put(data)
        self.look()
        (found,) = self.mail.rglob("1.eml")
        where = found.parent.name
        found.unlink()
        return where

    def look(self) -> bool:
        self.now += 10
        return self.notices.step()


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def test_an_id_names_its_entry() -> None:
    assert entry_of(ID) == 101 and entry_of("<101.x@y>") is None and entry_of("") is None


@pytest.mark.parametrize("wrapped", [False, True])
@pytest.mark.parametrize(
    ("disposition", "verdict", "why"),
    [
        ("processed", "sent", "told: processed"),
        ("dispatched", "sent", "told: dispatched"),
        ("displayed", "sent", "told: displayed"),
        ("failed/failure", "refuse", "told: failed"),
        ("processed/error", "refuse", "told: failed"),
        ("deleted", "refuse", "told: deleted"),
        ("whatever", "refuse", "told: failed"),
    ],
)
def test_what_is_told_is_written_down(
    folder: Folder, disposition: str, verdict: str, why: str, wrapped: bool
) -> None:
    mail = secured(mdn(disposition), wrapped=wrapped)
    assert folder.read(mail) == "done"
    ((number, receipt),) = folder.kept.notes
    assert (number, receipt.verdict, receipt.why) == (DELIVERY.id, verdict, why)
    assert receipt.answer == mail and receipt.reference == ID


FORGED = made("forger", ANCHOR, x509.RFC822Name("forger@else.example"))
OTHER = "doctor@direct.lakeshore.example"


@pytest.mark.parametrize(
    "mail",
    [
        mdn("dispatched"),
        secured(mdn("dispatched"), FORGED),
        secured(mdn("dispatched"), made("nobody", STRANGER, x509.RFC822Name(THEM)), STRANGER),
        secured(mdn("dispatched", to=OTHER)),
        secured(mdn("dispatched"), to=NURSE),
        secured(mdn("dispatched", of="<1@else.example>")),
        b"Subject: hello\r\n\r\nHow are you?\r\n",
        b"",
        dsn("delivered"),
    ],
    ids=[
        "unsigned", "of another address", "of nobody's authority", "about another recipient", "not for us",
        "not about ours", "a letter", "nothing", "a status that tells of no failure",
    ],
)  # fmt: skip
def test_a_success_counts_only_from_the_recipient(folder: Folder, mail: bytes) -> None:
    assert folder.read(mail) == "unknown" and folder.kept.notes == []


def test_a_certificate_of_the_domain_signs_for_its_addresses(folder: Folder) -> None:
    assert folder.read(secured(mdn("processed"), LAKESHORE, BETWEEN)) == "done"
    assert [r.why for _, r in folder.kept.notes] == ["told: processed"]


@pytest.mark.parametrize(
    ("mail", "why"),
    [
        (mdn("failed"), "told: failed; nobody signed this notice"),
        (secured(mdn("failed"), FORGED), "told: failed; who signed this notice is not trusted"),
        (dsn(), "told: not delivered (5.1.1); nobody signed this notice"),
    ],
)
def test_a_failure_counts_from_anybody_and_says_so(folder: Folder, mail: bytes, why: str) -> None:
    assert folder.read(mail) == "done"
    ((_, receipt),) = folder.kept.notes
    assert (receipt.verdict, receipt.why) == ("refuse", why)


def test_a_notice_ahead_of_its_delivery_waits(folder: Folder) -> None:
    folder.kept.deliveries = []
    folder.put(secured(mdn("processed")))
    assert not folder.look() and (folder.mail / "1.eml").exists()
    folder.kept.deliveries = [DELIVERY]
    assert folder.look() and [n for n, _ in folder.kept.notes] == [DELIVERY.id]
    folder.kept.deliveries = [replace(DELIVERY, reference="<101.f@x>")]  # sent as new since
    folder.put(secured(mdn("processed")), "2.eml", age=PATIENCE + 60)
    assert folder.look() and (folder.mail / "unknown/2.eml").exists() and len(folder.kept.notes) == 1


def test_what_is_still_written_or_hidden_or_large_is_not_read(folder: Folder) -> None:
    folder.put(mdn("failed"), "young.eml", age=-10)
    folder.put(mdn("failed"), ".hidden", age=60)
    folder.put(b"x" * ((8 << 20) + 1), "large.eml")
    folder.look()
    assert sorted(p.name for p in folder.mail.rglob("*") if p.is_file()) == [
        ".hidden",
        "large.eml",
        "young.eml",
    ]
    assert (folder.mail / "unknown/large.eml").exists() and folder.kept.notes == []


def test_a_folder_that_is_gone_is_told_once(folder: Folder, caplog: Any) -> None:
    folder.mail.rmdir()
    folder.look()
    folder.look()
    assert [r.getMessage() for r in caplog.records if "cannot be read" in r.getMessage()][1:] == []


GOOD = [mdn("failed"), dsn(), secured(mdn("processed"))]


@settings(max_examples=150, deadline=None)
@given(st.integers(0, 2), st.integers(0, 4000), st.binary(max_size=12), st.booleans())
def test_damaged_mail_is_read_or_refused(which: int, at: int, by: bytes, cut: bool) -> None:
    good = GOOD[which]
    data = good[: at % len(good)] if cut else good[: at % len(good)] + by + good[at % len(good) + len(by) :]

    def believed(signed: Signed, recipient: str) -> None:
        raise HubError("nobody is")

    try:
        notice = read_notice(data, Identity(HUB.certificate, HUB.key), believed)
    except FormatError:
        return
    assert notice.kind == "failed"


def test_a_fault_of_ours_stops_no_other_mail(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Direct, data: bytes) -> None:
        raise RecursionError

    with monkeypatch.context() as patch:
        patch.setattr(Direct, "notice", broken)
        assert folder.read(mdn("failed")) == "unknown" and folder.kept.notes == []
    assert folder.read(mdn("failed")) == "done"
