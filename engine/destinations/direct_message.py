"""A Direct message: documents as attachments of a message that is whole inside its signature and envelope.

In: addresses, an id, the attachment, our identity and the recipient's certificate. Out: the message as SMTP
carries it. The inner message, with its subject and the wish to be told what became of it, is wrapped as
message/rfc822, signed, then encrypted; outside stand the addresses, the time and the same Message-ID, no
more. Follows the Applicability Statement for Secure Health Transport 1.2, 2.1 to 2.8 and 3.0, RFC 5322,
RFC 8551 3.1 (wrapping) and RFC 8098 2 (asking for notifications).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from email.message import EmailMessage
from email.policy import SMTP
from typing import Literal, NamedTuple

from cryptography import x509

from engine.security.mailcerts import domain_of
from engine.security.smime import Identity, encrypt, sign

__all__ = ["Attached", "Envelope", "message_id", "secured"]

_POLICY = SMTP.clone(cte_type="7bit", max_line_length=76)
_HEADERS = _POLICY.clone(max_line_length=200)  # not every HISP unfolds what it looks for in a header
_FINAL = "X-DIRECT-FINAL-DESTINATION-DELIVERY=optional,true"


class Attached(NamedTuple):
    """What is attached."""

    name: str
    media_type: str
    data: bytes


class Envelope(NamedTuple):
    """What stands on the message."""

    sender: str
    to: str
    id: str
    date: str
    subject: str
    text: str
    ask: Literal["processed", "dispatched"]


def message_id(entry: int, key: str, sender: str) -> str:
    """Return the id of a message: the same on every try; its first part is the entry it is about."""
    return f"<{entry}.{hashlib.sha256(key.encode()).hexdigest()[:32]}@{domain_of(sender)}>"


def secured(
    envelope: Envelope,
    attached: Sequence[Attached],
    identity: Identity,
    recipients: Sequence[x509.Certificate],
    cipher: Literal["aes-128-cbc", "aes-256-cbc"],
) -> bytes:
    """Write the message, wrap it, sign it, encrypt it."""
    wrapped = b"Content-Type: message/rfc822\r\n\r\n" + _inner(envelope, attached)
    sealed = encrypt(sign(wrapped, identity), recipients, cipher)
    outer = EmailMessage(policy=_POLICY)
    _headers(outer, envelope)
    outer["Subject"] = "Encrypted message"
    head = outer.as_bytes(policy=_HEADERS).partition(b"\r\n\r\n")[0]
    return head + b"\r\nMIME-Version: 1.0\r\n" + sealed


def _inner(envelope: Envelope, attached: Sequence[Attached]) -> bytes:
    message = EmailMessage(policy=_POLICY)
    _headers(message, envelope)
    message["Subject"] = envelope.subject
    message["Disposition-Notification-To"] = envelope.sender
    if envelope.ask == "dispatched":
        message["Disposition-Notification-Options"] = _FINAL
    message.set_content(envelope.text, cte="quoted-printable")
    for one in attached:
        main, _, sub = one.media_type.partition("/")
        message.add_attachment(one.data, maintype=main, subtype=sub, filename=one.name, cte="base64")
    # boundaries are drawn by lot otherwise; a second try is the same message
    message.set_boundary("=_parts_" + hashlib.sha256(envelope.id.encode()).hexdigest()[:36])
    return message.as_bytes(policy=_HEADERS)


def _headers(message: EmailMessage, envelope: Envelope) -> None:
    message["From"] = envelope.sender
    message["To"] = envelope.to
    message["Date"] = envelope.date
    message["Message-ID"] = envelope.id
