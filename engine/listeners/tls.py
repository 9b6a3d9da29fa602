"""TLS for listeners: certificates named in settings become what Twisted wants of them.

In: the names of PEM files. Out: context options for a listening port, TLS 1.2 and 1.3 only, with or without
client certificates (mutual TLS). A file that cannot be used is told by name, before anything listens.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from OpenSSL import SSL, crypto
from pydantic import BaseModel, ConfigDict, Field
from twisted.internet import ssl

from engine.kernel.errors import ConfigError

__all__ = ["TlsSettings", "tls_options"]


class TlsSettings(BaseModel):
    """TLS 1.2 or 1.3 for one listener."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    certificate: Path = Field(description="PEM file: the server's certificate, then any intermediate ones.")
    key: Path = Field(description="PEM file: the private key of the certificate.")
    client_ca: Path | None = Field(
        default=None, description="PEM file: the authorities whose client certificates are believed."
    )
    require_client: bool = Field(
        default=False, description="Refuse senders without a certificate from `client_ca`."
    )


def tls_options(tls: TlsSettings) -> Any:
    """Read the certificates and return what Twisted wants of them. Raises ConfigError."""
    if tls.require_client and tls.client_ca is None:
        raise ConfigError(
            "client certificates are required and no authority is named",
            where="tls",
            remedy="set `client_ca`",
        )
    path = tls.certificate
    try:
        chain = [ssl.Certificate.loadPEM(pem).original for pem in _certificates(path)]
        path = tls.key
        key = ssl.KeyPair.load(path.read_bytes(), crypto.FILETYPE_PEM).original
        authorities = []
        if tls.client_ca is not None:
            path = tls.client_ca
            authorities = [ssl.Certificate.loadPEM(pem).original for pem in _certificates(path)]
        options = ssl.CertificateOptions(
            privateKey=key,
            certificate=chain[0],
            extraCertChain=chain[1:],
            verify=bool(authorities),
            requireCertificate=tls.require_client,
            caCerts=authorities or None,
            raiseMinimumTo=ssl.TLSVersion.TLSv1_2,
        )
        options.getContext()  # says now that key and certificate do not belong together
    except (OSError, SSL.Error) as e:
        why = (
            e.strerror
            if isinstance(e, OSError) and e.strerror
            else "it is no PEM file, or key and certificate differ"
        )
        raise ConfigError("cannot use this TLS file", where=str(path), why=why or "") from None
    return options


def _certificates(path: Path) -> list[bytes]:
    """Return the certificates of a PEM file."""
    found = re.findall(
        rb"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", path.read_bytes(), re.DOTALL
    )
    if not found:
        raise ConfigError("there is no certificate in this file", where=str(path), remedy="give a PEM file")
    return found
