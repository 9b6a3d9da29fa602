"""Sends a notice of an alarm to people: by mail, or by HTTP POST.

In: settings of a way, and a notice as plain words and numbers. Out: the answer of the other side, or a
HubError that says why it did not take it. TLS is checked against the machine's authorities or the named file;
a mail server that cannot speak TLS where it must is not spoken to. A POST is signed: HMAC-SHA256 over the
time and the body, so that the receiver knows who sent it and a recording of it grows old.
"""

from __future__ import annotations

import hashlib
import hmac
import smtplib
from collections.abc import Mapping
from email.message import EmailMessage
from email.utils import formatdate, make_msgid
from pathlib import Path
from typing import Any

import httpx
import orjson

from engine.destinations.smtp import MailHost, trouble
from engine.destinations.tls import ClientTls, context_of
from engine.kernel.alert_settings import MailSettings, WebhookSettings
from engine.kernel.errors import HubError

__all__ = ["post_notice", "send_mail", "signature"]

_ANSWER = 200  # characters of an answer's text that are shown


def send_mail(settings: MailSettings, ca: Path | None, to: str, subject: str, text: str, once: str) -> str:
    """Send one mail and return the server's answer. Raises HubError."""
    message = EmailMessage()
    message["From"], message["To"], message["Subject"] = settings.sender, to, subject
    message["Date"] = formatdate(localtime=False)
    domain = settings.sender.rpartition("@")[2]
    # the same notice has the same Message-ID: a mail server that got it twice shows it once
    digest = hashlib.sha256(once.encode()).hexdigest()[:32]
    message["Message-ID"] = f"<{digest}@{domain}>" if once else make_msgid(domain=domain)
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(text)
    host = MailHost(
        settings.host,
        settings.port,
        settings.security,
        context_of(ClientTls(ca=ca)),
        settings.timeout_seconds,
        settings.user,
        settings.password,
    )
    try:
        with host.connected() as server:
            refused = server.send_message(message)
    except (smtplib.SMTPException, OSError, ValueError) as e:
        raise HubError(f"the mail server did not take it: {trouble(e)}", where=str(host)) from None
    if refused:
        raise HubError(f"the mail server refused {to}", where=str(host))
    return "accepted by the mail server"


def post_notice(
    settings: WebhookSettings, ca: Path | None, body: Mapping[str, Any], once: str, at: int
) -> str:
    """Post one notice and return the answer. Raises HubError for anything but a 2xx."""
    content = orjson.dumps(dict(body))
    headers = {
        "Content-Type": "application/json",
        "User-Agent": "hub-notices",
        "Idempotency-Key": once,
        "X-Hub-Timestamp": str(at // 1000),
    }
    if settings.secret:
        headers["X-Hub-Signature-256"] = signature(settings.secret, at // 1000, content)
    try:
        with httpx.Client(
            verify=context_of(ClientTls(ca=ca)),
            timeout=settings.timeout_seconds,
            follow_redirects=False,
            trust_env=False,
        ) as client:
            answer = client.post(settings.url, content=content, headers=headers)
    except (httpx.HTTPError, httpx.InvalidURL, OSError) as e:
        raise HubError(f"it could not be posted: {trouble(e)}", where=f"webhook {settings.name}") from None
    said = f"{answer.status_code} {' '.join(answer.text.split())[:_ANSWER]}".strip()
    if not answer.is_success:
        raise HubError(f"answered {said}", where=f"webhook {settings.name}")
    return said


def signature(secret: str, seconds: int, body: bytes) -> str:
    """Return the value of X-Hub-Signature-256: over the value of X-Hub-Timestamp, a dot, and the body."""
    return "sha256=" + hmac.new(secret.encode(), f"{seconds}.".encode() + body, hashlib.sha256).hexdigest()
