"""Direct secure messaging: a document signed, encrypted and handed to the HISP's mail server.

In: parcels that hold a document. Out: receipts; the reference is the message's id, by which what the other
side tells of it later is matched (`direct_notices`). Sent means that the mail server took it, no more. A
second try is the same message with the same id; a server that lost the first answer may show it twice, the
id says that it is one. Follows the Applicability Statement for Secure Health Transport 1.2, RFC 5321 and
RFC 3207.
"""

from __future__ import annotations

import smtplib
from email.utils import format_datetime

from engine.destinations.direct_message import Attached, Envelope, message_id, secured
from engine.destinations.direct_notices import Notice, read_notice
from engine.destinations.direct_settings import DirectSettings
from engine.destinations.direct_trust import Trust
from engine.destinations.revocation import Revocation
from engine.destinations.shared_documents import documents_of, submission_of, when_of
from engine.destinations.smtp import MailHost, answer_of, leave, trouble
from engine.destinations.tls import context_of
from engine.formats.content import recognise
from engine.formats.xdm_writing import write_package
from engine.formats.xds.entry import Sharing
from engine.kernel.delivery import Around, DestinationKind, Parcel, Receipt, Verdict
from engine.kernel.errors import ConfigError, FormatError, HubError
from engine.security.mailcerts import bound_to, read_identity
from engine.security.smime import Signed

__all__ = ["DIRECT", "Direct"]


class Direct:
    """One recipient, by one HISP."""

    def __init__(self, settings: DirectSettings, name: str, around: Around) -> None:
        self._settings = settings = settings.below(around.root)
        self._base = around.identity_base
        self._server = MailHost(
            settings.host,
            settings.port,
            settings.security,
            context_of(settings.tls),
            settings.timeout_seconds,
            settings.user,
            settings.password,
        )
        self._identity = read_identity(settings.certificate, settings.key, settings.key_password)
        if not bound_to(self._identity.certificate, settings.sender):
            raise ConfigError(
                "our certificate is of another address",
                where=str(settings.certificate),
                why=f"neither {settings.sender} nor its domain is in its subjectAltName",
            )
        self._trust = Trust(settings, Revocation(settings.revocation))

    def deliver(self, parcel: Parcel) -> Receipt:
        """Sign, encrypt and hand over one document."""
        settings = self._settings
        try:
            attached = self._attached(parcel)
        except FormatError as e:
            return Receipt("refuse", str(e))
        if attached is None:
            return Receipt("sent", "nothing to deliver: it wrote no document")
        try:
            certificates = self._trust.recipients(settings.to)
        except HubError as e:
            return Receipt("retry", str(e), down=True)
        id_ = message_id(parcel.entry, parcel.key, settings.sender)
        date = format_datetime(when_of(parcel))
        envelope = Envelope(
            settings.sender, settings.to, id_, date, settings.subject, settings.text, settings.ask
        )
        message = secured(envelope, [attached], self._identity, certificates, settings.encryption)
        return self._hand_over(message, id_)

    def check(self) -> str:
        """Sign in without sending, and see that the recipient's certificate can be used."""
        found = self._trust.recipients(self._settings.to)
        self._trust.check(self._identity.certificate, self._identity.chain, "sign")
        code = self._server.check()
        ends = min(one.not_valid_after_utc for one in found).date()
        return f"{self._server} answered {code}; the certificate of {self._settings.to} is valid until {ends}"

    def close(self) -> None:
        """Nothing is kept open."""

    def notice(self, data: bytes) -> Notice:
        """Read what the other side tells of a message; a `FormatError` where it is no notice that counts."""
        return read_notice(data, self._identity, self._believed)

    def _believed(self, signed: Signed, recipient: str) -> None:
        """Raise HubError where a notice is not signed by the recipient that we know."""
        if recipient.casefold() != self._settings.to.casefold():
            raise HubError("not believed", why="it tells of another recipient")
        if not bound_to(signed.signer, self._settings.to):
            raise HubError("not believed", why="it is signed by a certificate of another address")
        self._trust.check(signed.signer, signed.others, "sign")

    def _attached(self, parcel: Parcel) -> Attached | None:
        """Return what is attached: a package as it came, or one of the documents, or the document; None where
        there is none.
        """
        settings, sharing = self._settings, self._settings.sharing
        if recognise(parcel.body) == "xdm":
            return Attached("documents.zip", "application/zip", parcel.body)
        entries = documents_of(parcel, sharing.said if sharing is not None else Sharing(), self._base)
        if not entries:
            return None
        if sharing is None or settings.attach == "document":
            if len(entries) != 1:
                raise FormatError(
                    "it cannot be sent as it is",
                    why=f"it holds {len(entries)} documents",
                    remedy="`attach: xdm` sends them as one package",
                )
            return Attached(
                f"document.{entries[0].extension.lower()}", entries[0].media_type, entries[0].data
            )
        submission = submission_of(parcel, sharing, settings.sender, (settings.to,))
        return Attached(
            "documents.zip", "application/zip", write_package(submission, entries, sharing.contact)
        )

    def _hand_over(self, message: bytes, id_: str) -> Receipt:
        """Give the message to the mail server, and judge what it answers by where it answers it."""
        settings = self._settings
        try:
            server = self._server.connected()
            try:
                code, said = server.mail(settings.sender)
                if code != 250:
                    raise smtplib.SMTPSenderRefused(code, said, settings.sender)
                code, said = server.rcpt(settings.to)
                if code not in (250, 251):
                    verdict: Verdict = "retry" if code < 500 else "park"
                    return Receipt(verdict, f"it does not take the recipient: {answer_of(code, said)}")
                code, said = server.data(message)
            finally:
                leave(server)
        except (smtplib.SMTPException, OSError, ValueError) as e:
            return Receipt("retry", f"{self._server}: {trouble(e)}", down=True)
        told = answer_of(code, said)
        if code == 250:
            return Receipt("sent", told, request=message, answer=told.encode(), reference=id_)
        return Receipt("retry" if code < 500 else "refuse", told, request=message, answer=told.encode())


def _make(settings: DirectSettings, name: str, around: Around) -> Direct:
    return Direct(settings, name, around)


DIRECT = DestinationKind("direct", DirectSettings, _make, ("original", "ccd", "fhir"))
