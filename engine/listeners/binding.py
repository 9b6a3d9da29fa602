"""A TCP port taken for a channel, plain or with TLS, or a word on why it cannot be."""

from __future__ import annotations

from typing import Any

from twisted.internet.error import CannotListenError
from twisted.internet.protocol import ServerFactory

from engine.kernel.errors import ConfigError
from engine.listeners.tls import TlsSettings, tls_options

__all__ = ["listen_on"]

_WAITING = 511  # connections that the system holds until they are taken


def listen_on(
    reactor: Any, factory: ServerFactory, host: str, port: int, tls: TlsSettings | None, channel: str
) -> tuple[Any, str]:
    """Begin to listen; return the listening port and `host:port` as it is shown. Raises ConfigError."""
    try:
        if tls is None:
            listening = reactor.listenTCP(port, factory, _WAITING, host)
        else:
            listening = reactor.listenSSL(port, factory, tls_options(tls), _WAITING, host)
    except CannotListenError as e:
        raise ConfigError(
            f"cannot listen on {host}:{port}",
            where=f"channel {channel}",
            why=str(e.socketError.strerror or e.socketError),
            remedy="stop the program that has this port, or choose another `port`",
        ) from None
    shown = f"[{host}]" if ":" in host else host
    return listening, f"{shown}:{listening.getHost().port}"
