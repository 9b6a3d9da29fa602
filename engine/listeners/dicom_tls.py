"""TLS for DICOM: contexts of Python's ssl from the certificates a channel names (PS3.15 B.9, B.10, B.12).

In: the names of PEM files. Out: a context for a node's port, and one for calling others with the same
certificate. A file that cannot be used is told by name, before anything listens.
"""

from __future__ import annotations

import ssl

from engine.kernel.errors import ConfigError
from engine.listeners.tls import TlsSettings

__all__ = ["client_context", "server_context"]


def server_context(tls: TlsSettings) -> ssl.SSLContext:
    """Make the context of a listening port, TLS 1.2 and later. Raises ConfigError."""
    if tls.require_client and tls.client_ca is None:
        raise ConfigError(
            "client certificates are required and no authority is named",
            where="tls",
            remedy="set `client_ca`",
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _load(context, tls)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_TICKET | ssl.OP_NO_RENEGOTIATION
    context.num_tickets = 0  # a resumed session would skip the client certificate
    if tls.client_ca is not None:
        context.verify_mode = ssl.CERT_REQUIRED if tls.require_client else ssl.CERT_OPTIONAL
    return context


def client_context(tls: TlsSettings | None) -> ssl.SSLContext:
    """Make the context for calling another system: our certificate, its authority the one named.

    Raises ConfigError.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    if tls is None or tls.client_ca is None:
        context.load_default_certs()
    else:
        # modalities and archives are known by the site's own authority; their certificates seldom name a host
        context.check_hostname = False
    if tls is not None:
        _load(context, tls)
    else:
        context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _load(context: ssl.SSLContext, tls: TlsSettings) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    path = tls.certificate
    try:
        path.open("rb").close()  # says more than OpenSSL does of a file that is not there
        path = tls.key
        path.open("rb").close()
        context.load_cert_chain(tls.certificate, tls.key, password=_no_passphrase)
        if tls.client_ca is not None:
            path = tls.client_ca
            context.load_verify_locations(path)
    except (OSError, ValueError) as e:
        why = "it is no PEM file, needs a passphrase, or certificate and key do not belong together"
        if isinstance(e, OSError) and not isinstance(e, ssl.SSLError) and e.strerror:
            why = e.strerror
        raise ConfigError("cannot use this TLS file", where=str(path), why=why) from None


def _no_passphrase() -> str:
    raise ValueError("the key needs a passphrase")  # OpenSSL would ask for it on the terminal
