"""Mail about events reaches a real mail server; nothing of a patient is in it, whatever the event carries."""

from __future__ import annotations

import email
import json
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from behaviour import MARKS, Behaviour
from cable import Cable
from test_destination_notices import Inbox, _Controller, context

from engine.channels.delivering.events import EVENT_MEDIA, event_body
from engine.destinations.kinds import KINDS
from engine.kernel.delivery import Around, Parcel
from engine.kernel.errors import ConfigError
from engine.kernel.message import Entry

PASSWORD = "right"


class Server:
    """A mail server with STARTTLS, whose mailbox shows a message once that came twice."""

    def __init__(self, pem: Path) -> None:
        self.inbox = Inbox()
        self.controller = _Controller(
            self.inbox,
            hostname="127.0.0.1",
            port=0,
            tls_context=context(pem),
            require_starttls=True,
            authenticator=self.inbox.authenticate,
        )
        self.controller.start()
        self.cable = Cable(self.controller.port)
        self.words: dict[str, Any] = {
            "host": "localhost",
            "port": self.cable.port,
            "ca": pem,
            "user": "hub",
            "password": PASSWORD,
            "sender": "hub@mercy.example",
            "to": ["desk@mercy.example", "ward@mercy.example"],
            "link": "https://hub.mercy.example",
            "timeout_seconds": 5,
        }
        self.secrets = (PASSWORD,)

    def taken(self) -> list[bytes]:
        return list({mail["Message-ID"]: mail.as_bytes() for mail in self.inbox.mails}.values())

    def away(self) -> None:
        self.cable.pull()

    def back(self) -> None:
        self.cable.plug()

    def lose_answer(self) -> None:
        self.cable.lose_answer()

    def refuse(self) -> None:
        self.inbox.refuse = "554 5.7.1 the content is not taken"

    def close(self) -> None:
        self.cable.pull()
        self.controller.stop()


class TestEmail(Behaviour):
    word = "email"

    def parcel(self, n: int = 1) -> Parcel:
        entry = Entry(
            *(100 + n, "lab_oru", b"", 1_777_777_777_123, "LAB", "", f"C{n}", "ORU^R01", "", "message"),
            *((), None, 100 + n, "", None),
        )
        found = {
            "resourceType": "Observation",
            "id": f"o{n}",
            "status": "final",
            "meta": {"versionId": "1"},
            "valueString": " ".join(MARKS),
        }
        return replace(
            super().parcel(n), body=event_body(entry, [found], None, with_content=True), media=EVENT_MEDIA
        )

    @pytest.fixture
    def side(self, pem: Path) -> Iterator[Server]:
        made = Server(pem)
        yield made
        made.close()

    def test_what_a_mail_says(self, side: Server, made: Any) -> None:
        receipt = made().deliver(self.parcel())
        (mail,) = side.inbox.mails
        assert (
            mail["Subject"] == "Mercy: result.final (lab_oru, 101)"
            and receipt.reference == mail["Message-ID"]
        )
        assert mail["To"] == "desk@mercy.example, ward@mercy.example"
        text = mail.get_payload(decode=True).decode()  # type: ignore[union-attr]
        assert "Observation/o1 version 1, final" in text
        assert text.rstrip().endswith("https://hub.mercy.example/message/101")
        assert not [word for word in MARKS if word in mail.as_string()]

    def test_many_resources_are_counted(self, side: Server, made: Any) -> None:
        event = json.loads(self.parcel().body)
        event["data"]["resources"] *= 100
        made().deliver(replace(self.parcel(), body=json.dumps(event).encode()))
        assert b"and 60 more" in side.taken()[0]

    @pytest.mark.parametrize(
        ("answer", "verdict", "down"),
        [
            ("452 the disk is full", "retry", False),
            ("554 not wanted", "refuse", False),
            ("421 going down", "retry", False),
        ],
    )
    def test_answers(self, side: Server, made: Any, answer: str, verdict: str, down: bool) -> None:
        side.inbox.refuse = answer
        receipt = made().deliver(self.parcel())
        assert (receipt.verdict, receipt.down, receipt.why) == (verdict, down, answer)

    def test_recipients(self, side: Server, made: Any) -> None:
        async def rcpt(server: Any, session: Any, envelope: Any, address: str, options: Any) -> str:
            if "unknown" in address:
                return "550 no such user"
            envelope.rcpt_tos.append(address)
            return "250 fine"

        side.inbox.handle_RCPT = rcpt  # type: ignore[attr-defined]
        some = made(to=["desk@mercy.example", "unknown@mercy.example"]).deliver(self.parcel())
        assert some.verdict == "sent" and "not to unknown@mercy.example: 550" in some.why
        none = made(to=["unknown@mercy.example"]).deliver(self.parcel(2))
        assert none.verdict == "park" and "550" in none.why and len(side.taken()) == 1

    def test_credentials_that_are_not_believed(self, side: Server, made: Any) -> None:
        receipt = made(password="wrong").deliver(self.parcel())
        assert (receipt.verdict, receipt.down) == ("retry", True) and "535" in receipt.why

    def test_a_certificate_nobody_knows(self, side: Server, made: Any) -> None:
        receipt = made(ca=None).deliver(self.parcel())
        assert (receipt.verdict, receipt.down) == ("retry", True)
        assert re.search("(?i)certificate", receipt.why) and side.inbox.signed_in == []

    def test_what_is_no_event_is_not_mailed(self, side: Server, made: Any) -> None:
        for body in (b"MSH|^~\\&|", b"{}", b"[]", b'{"data": 1}'):
            receipt = made().deliver(replace(self.parcel(), body=body))
            assert receipt.verdict == "park" and "events only" in receipt.why
        assert side.taken() == []

    def test_production_signs_in_protected(self, tmp_path: Path) -> None:
        kind = KINDS["email"]
        words = {"host": "smtp.example", "sender": "hub@mercy.example", "to": ["a@mercy.example"]}
        strict = Around(tmp_path, tmp_path, "Mercy", "https://id.example", production=True)
        with pytest.raises(ConfigError, match="in the clear"):
            kind.make(kind.settings(**words, security="none"), "desk", strict)
        assert kind.make(kind.settings(**words), "desk", strict)
        with pytest.raises(ValueError, match="to"):
            kind.settings(**{**words, "to": []})


def test_the_message_is_one_that_mail_programs_read(tmp_path: Path) -> None:
    kind = KINDS["email"]
    words = {"host": "smtp.example", "sender": "hub@mercy.example", "to": ["a@mercy.example"]}
    made = kind.make(kind.settings(**words), "desk", Around(tmp_path, tmp_path, "Klinik Höhe", "https://id"))
    written = made._written(TestEmail().parcel())  # type: ignore[attr-defined]
    assert b"\r\n" in written and not re.search(rb"[^\r]\n", written)
    read = email.message_from_bytes(written)
    subject = str(email.header.make_header(email.header.decode_header(read["Subject"])))
    assert subject == "Klinik Höhe: result.final (lab_oru, 101)"
