"""TLS as the side that calls: whom to believe, and who we are.

In: names of PEM files. Out: a context for TLS 1.2 and 1.3 that checks the other side's certificate and name,
always. A file that cannot be used is told by name.
"""

from __future__ import annotations

import ssl
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.kernel.errors import ConfigError

__all__ = ["ClientTls", "context_of"]


class ClientTls(BaseModel):
    """Whom to believe, and who we are."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ca: Path | None = Field(
        default=None,
        description="PEM file: the authorities the other side's certificate may come from. Empty: those of "
        "this machine.",
        examples=["tls/mercy-ca.pem"],
    )
    certificate: Path | None = Field(
        default=None,
        description="PEM file: our own certificate, for who asks for one (mutual TLS).",
        examples=["tls/hub.pem"],
    )
    key: Path | None = Field(
        default=None,
        description="PEM file: its private key. Empty: in the certificate's file.",
        examples=["tls/hub.key"],
    )

    @model_validator(mode="after")
    def _key_of_what(self) -> ClientTls:
        if self.key is not None and self.certificate is None:
            raise ValueError("key: is the key of no certificate; name its certificate, too")
        return self

    def below(self, root: Path) -> ClientTls:
        """Return the same with relative names made full: they start at the project's root."""
        full = {
            name: root.resolve() / path
            for name in ("ca", "certificate", "key")
            if (path := getattr(self, name)) is not None
        }
        return self.model_copy(update=full)


def context_of(tls: ClientTls | None) -> ssl.SSLContext:
    """Read the certificates and return what connections are made with. Raises ConfigError."""
    tls = tls or ClientTls()
    try:
        context = ssl.create_default_context(cafile=tls.ca)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        if tls.certificate is not None:
            # a key with a passphrase would be asked for at a terminal that nobody sits at
            context.load_cert_chain(tls.certificate, tls.key, password=lambda: "")
    except (OSError, ValueError) as e:  # ssl.SSLError is an OSError
        files = ", ".join(str(f) for f in (tls.ca, tls.certificate, tls.key) if f is not None)
        why = (e.reason if isinstance(e, ssl.SSLError) else getattr(e, "strerror", "")) or str(e)
        raise ConfigError("cannot use these TLS files", where=files, why=why) from None
    return context
