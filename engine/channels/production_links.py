"""What a production hub may not leave weak between its own parts: databases, brokers, ports for probes.

In: the settings. Out: every weak one with its file, line and remedy, for `production.py`. A connection that
stays on this machine needs no TLS; any other has to be encrypted, and the server's certificate looked at.
"""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import urlsplit

from sqlalchemy.engine import make_url

from engine.channels.production_access import is_loopback
from engine.kernel.config import Config

__all__ = ["weak_links"]

Weak = Iterator[tuple[str, str, str]]

_PROVEN = ("verify-ca", "verify-full")


def weak_links(config: Config) -> Weak:
    """Give (file:line, what is weak, remedy) of every weak setting."""
    yield from _databases(config)
    yield from _queue(config)
    yield from _health(config)
    if config.traces.otlp and _plain(config.traces.otlp):
        yield config.at("traces"), "traces: the collector is reached without TLS", "write https://"
    if config.objects.s3 and _plain(config.objects.s3):
        yield (
            config.at("objects.s3"),
            "objects: s3: is reached without TLS",
            "write https://, even though objects are sealed: the keys of the bucket are not",
        )


def _databases(config: Config) -> Weak:
    for name in ("journal", "core", "imaging", "staff"):
        url = make_url(getattr(config, f"{name}_url"))
        host = str(url.query.get("host") or url.host or "")
        here = not host or host.startswith("/") or is_loopback(host)
        if url.get_backend_name() != "sqlite" and not here and url.query.get("sslmode") not in _PROVEN:
            yield (
                config.at(name),
                f"{name}: is at {host} without a proven certificate",
                "add ?sslmode=verify-full, and &sslrootcert=... where the authority is your own",
            )


def _queue(config: Config) -> Weak:
    for server in config.queue.servers:
        host = urlsplit(server).hostname or ""
        if server.startswith("nats://") and not is_loopback(host):
            yield (
                config.at("queue"),
                f"queue: {host} is reached without TLS",
                "write tls://, and authority: where the authority is your own",
            )
    if config.queue.servers and not (
        config.queue.user or config.queue.credentials or config.queue.certificate
    ):
        yield (
            config.at("queue"),
            "queue: anybody who reaches the broker may take part in it",
            "set user: and password:, or credentials:, or certificate:",
        )


def _health(config: Config) -> Weak:
    """Give the ports for probes and scrapers that others reach without TLS: scrapers show a token there."""
    if config.health.tls is not None:
        return
    for address, roles in config.health.addresses().items():
        host = address.rpartition(":")[0].strip("[]")
        if not is_loopback(host):
            yield (
                config.at("health"),
                f"health: {', '.join(roles)}: {host} is open to the network without TLS",
                "set health: tls:, or listen on 127.0.0.1",
            )


def _plain(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")
