"""TLS for listeners: certificates named in settings become what Twisted wants of them.

In: the names of PEM files. Out: context options for a listening port, TLS 1.2 and 1.3 only, with or without
client certificates (mutual TLS). A file that cannot be used is told by name, before anything listens.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from pydantic import BaseModel, ConfigDict, Field
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from zope.interface import implementer  # type: ignore[import-untyped]

from engine.kernel.errors import ConfigError

__all__ = ["ServerTls", "TlsSettings", "tls_options"]


class TlsSettings(BaseModel):
    """TLS 1.2 or 1.3 for one listener."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    certificate: Path = Field(
        description="PEM file: the server's certificate, then any intermediate ones.",
        examples=["tls/hub.pem"],
    )
    key: Path = Field(description="PEM file: the private key of the certificate.", examples=["tls/hub.key"])
    client_ca: Path | None = Field(
        default=None,
        description="PEM file: the authorities whose client certificates are believed.",
        examples=["tls/lab-ca.pem"],
    )
    require_client: bool = Field(
        default=False,
        description="Refuse senders without a certificate from `client_ca`.",
        examples=[True],
    )

    def below(self, root: Path) -> TlsSettings:
        """Return the same with relative names made full: they start at the project's root."""
        full = {
            name: root.resolve() / path
            for name in ("certificate", "key", "client_ca")
            if (path := getattr(self, name)) is not None
        }
        return self.model_copy(update=full)


@implementer(IOpenSSLServerConnectionCreator)
class ServerTls:
    """Makes the TLS side of every connection from one context, as Twisted asks for it."""

    def __init__(self, context: SSL.Context) -> None:
        self._context = context

    def serverConnectionForTLS(self, protocol: Any) -> SSL.Connection:
        """Return the TLS state of one new connection."""
        return SSL.Connection(self._context, None)


def tls_options(tls: TlsSettings) -> ServerTls:
    """Read the certificates and return what Twisted's listenSSL wants of them. Raises ConfigError."""
    if tls.require_client and tls.client_ca is None:
        raise ConfigError(
            "client certificates are required and no authority is named",
            where="tls",
            remedy="set `client_ca`",
        )
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(SSL.TLS1_2_VERSION)
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    # No resumption: senders stay connected for days, and a resumed session would skip the client certificate.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_options(SSL.OP_NO_TICKET)
    path = tls.certificate
    try:
        path.open("rb").close()  # says more than OpenSSL does of a file that is not there
        context.use_certificate_chain_file(bytes(path))
        path = tls.key
        key: Any = load_pem_private_key(path.read_bytes(), None)
        context.use_privatekey(key)
        context.check_privatekey()
        if tls.client_ca is not None:
            path = tls.client_ca
            path.open("rb").close()
            context.load_verify_locations(bytes(path))
            context.load_client_ca(bytes(path))
    except (OSError, ValueError, TypeError, UnsupportedAlgorithm, SSL.Error) as e:
        why = e.strerror if isinstance(e, OSError) else ""
        why = why or "it is no PEM file, needs a passphrase, or certificate and key do not belong together"
        raise ConfigError("cannot use this TLS file", where=str(path), why=why) from None
    if tls.client_ca is not None:
        demand = SSL.VERIFY_PEER | (SSL.VERIFY_FAIL_IF_NO_PEER_CERT if tls.require_client else 0)
        context.set_verify(demand, lambda _connection, _certificate, _code, _depth, good: bool(good))
    return ServerTls(context)
