"""A connection to a mail server (RFC 5321), protected (RFC 3207) and signed in, and what its answers say.

In: where it is and who we are. Out: a connection of the standard library. A server that cannot speak TLS
where it must is not spoken to.
"""

from __future__ import annotations

import smtplib
import ssl
from typing import NamedTuple

from engine.kernel.errors import HubError

__all__ = ["MailHost", "answer_of", "leave", "trouble"]

_LONGEST = 200


class MailHost(NamedTuple):
    """One mail server."""

    host: str
    port: int
    security: str  # starttls | tls | none
    context: ssl.SSLContext
    seconds: float  # for each answer
    user: str = ""
    password: str = ""

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"

    def connected(self) -> smtplib.SMTP:
        """Connect, protected, and sign in. Raises SMTPException, OSError, ValueError."""
        if self.security == "tls":
            server: smtplib.SMTP = smtplib.SMTP_SSL(
                self.host, self.port, timeout=self.seconds, context=self.context
            )
        else:
            server = smtplib.SMTP(self.host, self.port, timeout=self.seconds)
        try:
            if self.security == "starttls":
                server.starttls(context=self.context)  # raises where the server does not offer it
            server.ehlo_or_helo_if_needed()
            if self.user:
                server.login(self.user, self.password)
        except BaseException:
            server.close()
            raise
        return server

    def check(self) -> int:
        """Sign in without sending; return what it answers. Raises HubError."""
        try:
            server = self.connected()
            try:
                code, _ = server.noop()
            finally:
                leave(server)
        except (smtplib.SMTPException, OSError, ValueError) as e:
            raise HubError("the mail server cannot be used", where=str(self), why=trouble(e)) from None
        return code


def leave(server: smtplib.SMTP) -> None:
    """Say goodbye; what is answered to it changes nothing of what was taken."""
    try:
        server.quit()
    except (smtplib.SMTPException, OSError):
        server.close()


def answer_of(code: int, said: bytes | str) -> str:
    """Return one line of what a server answered."""
    text = said.decode("utf-8", "replace") if isinstance(said, bytes) else said
    return f"{code} {' '.join(text.split())[:_LONGEST]}"


def trouble(error: Exception) -> str:
    """Return what went wrong; what an SMTP server answered is bytes."""
    if isinstance(error, smtplib.SMTPResponseException):
        return answer_of(error.smtp_code, error.smtp_error)
    if isinstance(error, smtplib.SMTPRecipientsRefused):
        return "; ".join(answer_of(code, text) for code, text in error.recipients.values())
    return str(error) or type(error).__name__
