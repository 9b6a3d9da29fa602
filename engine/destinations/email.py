"""Mail: people are told that something happened, by ids and a link; what it is they read in the hub.

In: parcels that hold an event. Out: receipts. No name, number or value of a patient is in a mail, even where
the event carries the content: only what happened, in which channel, and the ids of what was written. Every
try is the same message with the same Message-ID; a server that lost the first answer may show it twice.
"""

from __future__ import annotations

import hashlib
import smtplib
from collections.abc import Iterator
from datetime import UTC, datetime
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime
from typing import Any

import orjson
from pydantic import Field

from engine.destinations.production import on_this_machine, refuse_weak
from engine.destinations.smtp import MailHost, answer_of, leave, trouble
from engine.destinations.tls import ClientTls, context_of
from engine.kernel.alert_settings import MailServer
from engine.kernel.delivery import Around, DestinationKind, Parcel, Receipt, Verdict
from engine.kernel.errors import FormatError

__all__ = ["EMAIL", "Email", "EmailDestination"]

_MOST_NAMED = 40


class EmailDestination(MailServer):
    """People who are told by mail."""

    to: tuple[str, ...] = Field(
        min_length=1, description="Who is told.", examples=[["lab-desk@mercy.example"]]
    )
    link: str = Field(
        default="",
        description="Address of the console, which the link in a mail begins with.",
        examples=["https://hub.mercy.example"],
        pattern=r"^(https?://[^/\s]+(/[^\s?#]*)?)?$",
    )

    def weaknesses(self) -> Iterator[tuple[str, str]]:
        """Give (what is weak, remedy) for a hub with real patients."""
        if self.security == "none" and not on_this_machine(self.host):
            yield (
                "mail and password would go over the network in the clear",
                "write security: starttls",
            )


class Email:
    """One mail server, and those who are told."""

    def __init__(self, settings: EmailDestination, around: Around) -> None:
        ca = around.root / settings.ca if settings.ca is not None else None
        self._server = MailHost(
            settings.host,
            settings.port,
            settings.security,
            context_of(ClientTls(ca=ca)),
            settings.timeout_seconds,
            settings.user,
            settings.password,
        )
        self._settings, self._hub = settings, around.hub

    def deliver(self, parcel: Parcel) -> Receipt:
        """Send one mail to all who are told."""
        try:
            written = self._written(parcel)
        except FormatError as e:
            return Receipt("park", str(e))
        try:
            server = self._server.connected()
            try:
                code, said = server.mail(self._settings.sender)
                if code != 250:
                    raise smtplib.SMTPSenderRefused(code, said, self._settings.sender)
                refused = {}
                for to in self._settings.to:
                    code, said = server.rcpt(to)
                    if code not in (250, 251):
                        refused[to] = code, answer_of(code, said)
                if len(refused) == len(self._settings.to):
                    code, told = next(iter(refused.values()))
                    verdict: Verdict = "retry" if code < 500 else "park"
                    return Receipt(verdict, f"it takes none of `to`: {told}", written, told.encode())
                code, said = server.data(written)
            finally:
                leave(server)
        except (smtplib.SMTPException, OSError, ValueError) as e:
            return Receipt("retry", f"{self._server}: {trouble(e)}", written, down=True)
        told = answer_of(code, said)
        if code != 250:
            return Receipt("retry" if code < 500 else "refuse", told, written, told.encode())
        missed = "".join(f"; not to {to}: {why}" for to, (_, why) in refused.items())
        return Receipt("sent", told + missed, written, told.encode(), reference=self._id(parcel))

    def check(self) -> str:
        """Sign in without sending. Raises HubError."""
        return f"{self._server} lets us in and answers {self._server.check()}"

    def close(self) -> None:
        """Nothing is kept open."""

    def _id(self, parcel: Parcel) -> str:
        """Return the Message-ID: the same on every try."""
        digest = hashlib.sha256(parcel.key.encode()).hexdigest()[:32]
        return f"<{digest}@{self._settings.sender.rpartition('@')[2]}>"

    def _written(self, parcel: Parcel) -> bytes:
        """Write the mail about an event. Raises FormatError."""
        event = _event(parcel)
        data = event["data"]
        message = EmailMessage()
        message["From"], message["To"] = self._settings.sender, ", ".join(self._settings.to)
        message["Subject"] = f"{self._hub}: {event['type']} ({parcel.channel}, {parcel.entry})"
        message["Date"] = format_datetime(datetime.fromisoformat(event["time"]).astimezone(UTC))
        message["Message-ID"] = self._id(parcel)
        message["Auto-Submitted"] = "auto-generated"
        lines = [
            f"{event['type']} in channel {parcel.channel}, entry {parcel.entry}",
            f"received {data['received']}, written {event['time']}",
            "",
            *(_line(one) for one in data["resources"][:_MOST_NAMED]),
        ]
        if len(data["resources"]) > _MOST_NAMED:
            lines.append(f"and {len(data['resources']) - _MOST_NAMED} more")
        if self._settings.link:
            lines += ["", f"{self._settings.link.rstrip('/')}/message/{parcel.entry}"]
        message.set_content("\n".join(lines) + "\n")
        return message.as_bytes(policy=SMTP)


def _event(parcel: Parcel) -> dict[str, Any]:
    try:
        event = orjson.loads(parcel.body)
        if isinstance(event["data"]["resources"], list) and isinstance(event["type"], str):
            return dict(event)
    except (orjson.JSONDecodeError, KeyError, TypeError):
        pass  # said below
    raise FormatError("a mail tells of events only", remedy="write body: event")


def _line(resource: dict[str, Any]) -> str:
    status = f", {resource['status']}" if "status" in resource else ""
    return f"{resource['type']}/{resource['id']} version {resource['version']}{status}"


def _make(settings: EmailDestination, name: str, around: Around) -> Email:
    refuse_weak(settings, f"destination {name}", around)
    return Email(settings, around)


EMAIL = DestinationKind("email", EmailDestination, _make, ("event",))
