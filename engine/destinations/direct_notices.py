"""What the other side tells of a Direct message: it was processed, dispatched, or it failed.

In: a mail as it came to our address, our identity, who judges a signature. Out: `Notice`, with the id of the
message it is about. A notice of success counts only when it is encrypted for us, signed by a certificate that
is trusted and is the recipient's; a failure counts from whoever tells it, and it is said that nobody signed
it: to look into one too many harms less than to believe in an arrival that was not. Follows RFC 8098
(message/disposition-notification), RFC 3464 (message/delivery-status), the Applicability Statement for Secure
Health Transport 1.2, 3.0, and the Implementation Guide for Delivery Notification in Direct 1.0.
"""

from __future__ import annotations

import email
import re
from collections.abc import Callable, Iterator
from email.message import Message
from typing import Any, Literal, NamedTuple

from engine.destinations.revocation import NotAsked
from engine.kernel.errors import FormatError, HubError
from engine.security.smime import Identity, Signed, decrypt, verify

__all__ = ["Notice", "entry_of", "read_notice"]

_ID = re.compile(r"<(\d{1,18})\.[0-9a-f]{32}@[^<>\s]{1,200}>")
_DISPOSITION = re.compile(r";\s*([a-z]+)(?:\s*/\s*([a-z,\s-]+))?", re.I)
_STATUS = re.compile(r"[245]\.\d{1,3}\.\d{1,3}")
_DEEPEST = 12


class Notice(NamedTuple):
    """What became of a message. `of` is its id; `why` holds no word of the mail but known ones."""

    of: str
    kind: Literal["processed", "dispatched", "failed"]
    why: str


def entry_of(id_: str) -> int | None:
    """Return the entry that a message id of ours is about."""
    found = _ID.fullmatch(id_)
    return int(found[1]) if found else None


def read_notice(data: bytes, identity: Identity, believed: Callable[[Signed, str], None]) -> Notice:
    """Read a notice. Raises FormatError where the mail is none that counts, NotAsked where that cannot be
    told now. `believed` raises HubError where a signature is not the recipient's (its second argument).
    """
    message = email.message_from_bytes(data)
    signed: Signed | None = None
    if message.get_content_type() in ("application/pkcs7-mime", "application/x-pkcs7-mime"):
        signed = verify(decrypt(message, identity))
        message = email.message_from_bytes(signed.content)
    parts = list(_parts(message, 0))
    for part in parts:
        if part.get_content_type() == "message/disposition-notification":
            of, kind, recipient, why = _disposition(part)
            break
        if part.get_content_type() == "message/delivery-status":
            of, kind, recipient, why = _status(part, parts)
            break
    else:
        raise FormatError("no notice", why="the mail tells of no message", remedy="let a person read it")
    if not _ID.fullmatch(of):
        raise FormatError("no notice", why="the message that it tells of is none of ours")
    if kind == "failed":
        return Notice(of, kind, why + _signature(signed, recipient, believed))
    if signed is None:
        raise FormatError("no notice that counts", why="it tells of success, and nobody signed it")
    try:
        believed(signed, recipient)
    except NotAsked:  # whether its certificate holds can be asked again
        raise
    except HubError as e:
        raise FormatError("no notice that counts", why=e.why or e.what) from None
    return Notice(of, kind, why)


def _signature(signed: Signed | None, recipient: str, believed: Callable[[Signed, str], None]) -> str:
    """Say what the signature of a failure is worth."""
    if signed is None:
        return "; nobody signed this notice"
    try:
        believed(signed, recipient)
    except HubError:
        return "; who signed this notice is not trusted"
    return ""


def _parts(message: Message, depth: int) -> Iterator[Message]:
    """Give every part, also of a message inside."""
    yield message
    held: Any = message.get_payload()
    if isinstance(held, list) and depth < _DEEPEST:
        for one in held:
            yield from _parts(one, depth + 1)


def _disposition(part: Message) -> tuple[str, Literal["processed", "dispatched", "failed"], str, str]:
    """Read the fields of a disposition notification (RFC 8098 3.2)."""
    fields = _fields(part)[-1]
    found = _DISPOSITION.search(str(fields.get("Disposition", "")))
    word = found[1].lower() if found else ""
    modifier = (found[2] or "").lower() if found else ""
    of = str(fields.get("Original-Message-ID", "")).strip()
    recipient = _address(str(fields.get("Final-Recipient", "")))
    if (
        word in ("processed", "dispatched", "displayed")
        and "error" not in modifier
        and "fail" not in modifier
    ):
        # who displayed it had it: no less than dispatched
        return of, "processed" if word == "processed" else "dispatched", recipient, f"told: {word}"
    return of, "failed", recipient, f"told: {word if word in ('failed', 'deleted', 'denied') else 'failed'}"


def _status(
    part: Message, parts: list[Message]
) -> tuple[str, Literal["processed", "dispatched", "failed"], str, str]:
    """Read a delivery status; only a failure says anything of the recipient (RFC 3464 2.3.3)."""
    for fields in _fields(part):
        if str(fields.get("Action", "")).strip().lower() == "failed":
            code = _STATUS.search(str(fields.get("Status", "")))
            why = "told: not delivered" + (f" ({code[0]})" if code else "")
            return _returned(parts), "failed", _address(str(fields.get("Final-Recipient", ""))), why
    raise FormatError("no notice", why="its delivery status tells of no failure")


def _returned(parts: list[Message]) -> str:
    """Return the id of the message that came back: of the message itself, or of its headers as text."""
    for part in parts[1:]:
        text = part.get_payload(decode=True) if part.get_content_type() == "text/rfc822-headers" else None
        held = email.message_from_bytes(text) if isinstance(text, bytes) else part
        if _ID.fullmatch(id_ := str(held.get("Message-ID", "")).strip()):
            return id_
    return str(parts[0].get("In-Reply-To", "")).strip()


def _fields(part: Message) -> list[Message]:
    held: Any = part.get_payload()
    if isinstance(held, list) and held:
        return list(held)
    text = part.get_payload(decode=True)
    return [email.message_from_bytes(text if isinstance(text, bytes) else b"")]


def _address(field: str) -> str:
    return field.rpartition(";")[2].strip().strip("<>")
