"""Notices reach a real mail server over TLS and a real web server, signed; what fails says why."""

from __future__ import annotations

import email
import hashlib
import hmac
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

from engine.destinations.notices import post_notice, send_mail, signature
from engine.kernel.alert_settings import MailSettings, WebhookSettings
from engine.kernel.errors import HubError


def context(pem: Path) -> ssl.SSLContext:
    made = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    made.load_cert_chain(pem)
    return made


class Inbox:
    """Keeps what a mail server takes."""

    def __init__(self) -> None:
        self.mails: list[Message] = []
        self.refuse = ""
        self.signed_in: list[str] = []

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.refuse:
            return self.refuse
        self.mails.append(email.message_from_bytes(envelope.content))
        return "250 taken"

    def authenticate(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        self.signed_in.append(f"{data.login.decode()} {data.password.decode()}")
        return AuthResult(success=data.password == b"right", handled=False)


@pytest.fixture(params=["starttls", "tls", "none"])
def mail(request: pytest.FixtureRequest, pem: Path) -> Iterator[tuple[Inbox, dict[str, Any]]]:
    """A mail server with each kind of security, and the settings that reach it."""
    inbox = Inbox()
    more: dict[str, Any] = {"hostname": "127.0.0.1", "port": 0}
    if request.param == "starttls":
        more |= {"tls_context": context(pem), "require_starttls": True, "authenticator": inbox.authenticate}
    if request.param == "tls":
        more["ssl_context"] = context(pem)
    controller = _Controller(inbox, **more)
    controller.start()
    yield (
        inbox,
        {
            "host": "localhost",
            "port": controller.port,
            "security": request.param,
            "sender": "hub@mercy.example",
            "to": ("it@mercy.example",),
            "timeout_seconds": 5,
        },
    )
    controller.stop()


class _Controller(Controller):
    """Takes whatever port is free."""

    def _trigger_server(self) -> None:
        assert self.server is not None
        self.port = self.server.sockets[0].getsockname()[1]  # type: ignore[attr-defined]
        if self.ssl_context is None:
            super()._trigger_server()
        else:  # connecting is enough; the handshake would need our authority
            socket.create_connection(("127.0.0.1", self.port)).close()


def test_a_mail_arrives(mail: tuple[Inbox, dict[str, Any]], pem: Path) -> None:
    inbox, given = mail
    answer = send_mail(
        MailSettings(**given), pem, "it@mercy.example", "ALARM: lab: höher", "Text\n", "7:raised"
    )
    assert "accepted" in answer
    send_mail(MailSettings(**given), pem, "it@mercy.example", "again", "Text\n", "7:raised")
    one, two = inbox.mails
    assert str(email.header.make_header(email.header.decode_header(one["Subject"]))) == "ALARM: lab: höher"
    assert (one["To"], one["From"]) == ("it@mercy.example", "hub@mercy.example")
    assert one["Message-ID"] == two["Message-ID"] and one["Auto-Submitted"] == "auto-generated"


def test_what_the_mail_server_says_is_told(mail: tuple[Inbox, dict[str, Any]], pem: Path) -> None:
    inbox, given = mail
    inbox.refuse = "452 the disk is full"
    with pytest.raises(HubError, match="452 the disk is full"):
        send_mail(MailSettings(**given), pem, "it@mercy.example", "s", "t", "1")


def test_a_certificate_nobody_knows_is_not_believed(mail: tuple[Inbox, dict[str, Any]], pem: Path) -> None:
    inbox, given = mail
    if given["security"] == "none":
        pytest.skip("there is no certificate")
    with pytest.raises(HubError, match=r"(?i)certificate"):
        send_mail(MailSettings(**given), None, "it@mercy.example", "s", "t", "1")
    assert inbox.mails == []


def test_a_server_without_tls_is_not_spoken_to(mail: tuple[Inbox, dict[str, Any]], pem: Path) -> None:
    inbox, given = mail
    if given["security"] != "none":
        pytest.skip("this one has TLS")
    signed = {**given, "security": "starttls", "user": "hub", "password": "right"}
    with pytest.raises(HubError, match=r"(?i)starttls"):
        send_mail(MailSettings(**signed), pem, "it@mercy.example", "s", "t", "1")
    assert inbox.mails == [] and inbox.signed_in == []


@pytest.mark.parametrize(("password", "ok"), [("right", True), ("wrong", False)])
@pytest.mark.parametrize("mail", ["starttls"], indirect=True)
def test_signing_in(mail: tuple[Inbox, dict[str, Any]], pem: Path, password: str, ok: bool) -> None:
    inbox, given = mail
    settings = MailSettings(**given, user="hub", password=password)
    if ok:
        send_mail(settings, pem, "it@mercy.example", "s", "t", "1")
    else:
        with pytest.raises(HubError, match="535"):
            send_mail(settings, pem, "it@mercy.example", "s", "t", "1")
    assert len(inbox.mails) == ok and inbox.signed_in[0] == f"hub {password}"
    assert password not in repr(settings)


class Receiver:
    """A web server that keeps what is posted."""

    def __init__(self, pem: Path | None = None) -> None:
        posts: list[tuple[dict[str, str], bytes]] = []
        self.posts, self.status, self.pause = posts, 200, 0.0
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                posts.append((dict(self.headers), body))
                time.sleep(outer.pause)
                self.send_response(outer.status)
                if outer.status == 302:
                    self.send_header("Location", "http://127.0.0.1:9/")
                self.end_headers()
                self.wfile.write(b"thanks,\n  noted")

            def log_message(self, *_: object) -> None:
                pass

        self.server = HTTPServer(("localhost", 0), Handler)
        if pem is not None:
            self.server.socket = context(pem).wrap_socket(self.server.socket, server_side=True)
        self.url = f"{'https' if pem else 'http'}://localhost:{self.server.server_port}/hub"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()


@pytest.fixture(params=["http", "https"])
def receiver(request: pytest.FixtureRequest, pem: Path) -> Iterator[Receiver]:
    made = Receiver(pem if request.param == "https" else None)
    yield made
    made.close()


def post(receiver: Receiver, pem: Path | None, **more: Any) -> str:
    hook = WebhookSettings(name="pager", url=receiver.url, secret="s3cret", **more)
    return post_notice(
        hook, pem, {"what": "lab: 5 messages are parked"}, "7:raised:webhook:pager", 1_790_000_000_123
    )


def test_a_post_is_signed(receiver: Receiver, pem: Path) -> None:
    assert post(receiver, pem) == "200 thanks, noted"
    ((headers, body),) = receiver.posts
    assert body == b'{"what":"lab: 5 messages are parked"}'
    assert headers["Idempotency-Key"] == "7:raised:webhook:pager"
    seconds = headers["X-Hub-Timestamp"]
    expected = hmac.new(b"s3cret", f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
    assert headers["X-Hub-Signature-256"] == f"sha256={expected}" and seconds == "1790000000"
    assert signature("other", 1_790_000_000, body) != headers["X-Hub-Signature-256"]


@pytest.mark.parametrize("status", [302, 404, 500])
def test_only_a_yes_is_a_yes(receiver: Receiver, pem: Path, status: int) -> None:
    receiver.status = status
    with pytest.raises(HubError, match=f"answered {status}"):
        post(receiver, pem)


@pytest.mark.parametrize("receiver", ["https"], indirect=True)
def test_a_web_server_nobody_knows_is_not_told(receiver: Receiver) -> None:
    with pytest.raises(HubError, match=r"(?i)certificate"):
        post(receiver, None)
    assert receiver.posts == []


@pytest.mark.parametrize("receiver", ["http"], indirect=True)
def test_who_does_not_answer_in_time_or_not_at_all(receiver: Receiver, pem: Path) -> None:
    receiver.pause = 0.5
    with pytest.raises(HubError, match="timed out"):
        post(receiver, pem, timeout_seconds=0.1)
    hook = WebhookSettings(name="gone", url="http://127.0.0.1:1/x", timeout_seconds=2)
    with pytest.raises(HubError, match="could not be posted"):
        post_notice(hook, None, {}, "1", 0)


def test_a_file_of_authorities_that_is_none(tmp_path: Path) -> None:
    bad = tmp_path / "ca.pem"
    bad.write_text("nothing")
    hook = WebhookSettings(name="pager", url="https://localhost:1/")
    with pytest.raises(HubError, match="TLS files"):
        post_notice(hook, bad, {}, "1", 0)
