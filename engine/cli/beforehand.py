"""What `hub serve` does once before any process starts: whatever would stop one of them later is found here.

In: the settings. Out: databases made or brought up to date, a pair that fits, a token, ports that are free;
or one line that says what is wrong and what to do.
"""

from __future__ import annotations

import logging
import os
import secrets

from engine.channels.definition import Channel
from engine.channels.golive import recover
from engine.channels.opening import (
    check_pair,
    open_journal,
    open_keyring,
    open_staff,
    open_store,
    prepare_folder,
)
from engine.channels.renewal import alone
from engine.channels.restarts import bind
from engine.channels.swapping import pending
from engine.kernel.config import Config
from engine.kernel.errors import ConfigError
from engine.mapping.project import Maps
from engine.security.keys import Keyring

__all__ = ["address_of", "finish_change", "first_link", "first_open", "free", "read_token", "warm"]

log = logging.getLogger("hub")


def finish_change(config: Config) -> None:
    """Finish, or take back, a change whose writing was interrupted, before anything reads the files."""
    if pending(config) is None:
        return
    prepare_folder(config)
    staff = open_staff(config, open_keyring(config))
    try:
        with alone(config):
            for line in recover(config, staff):
                log.warning("%s", line)
    finally:
        staff.close()


def first_open(config: Config, keyring: Keyring) -> None:
    """Make or migrate both databases once, and refuse a pair that does not fit."""
    journal = open_journal(config, keyring)
    try:
        store = open_store(config, keyring)
        try:
            check_pair(journal, store)
        finally:
            store.close()
    finally:
        journal.close()


def first_link(config: Config, keyring: Keyring) -> str:
    """Return the code of a link for the first account; empty where there is one, or people sign in elsewhere.

    Raises ConfigError in production, where a link is nothing to print.
    """
    staff = open_staff(config, keyring)
    try:
        if config.console.oidc is not None or staff.accounts.any():
            return ""
        if config.profile == "production":
            raise ConfigError(
                "nobody could sign in: there is no account and no console: oidc:",
                where=config.at("profile"),
                remedy="type hub user add NAME --role admin, and open the link it prints once the hub runs",
            )
        return staff.links.for_first()
    finally:
        staff.close()


def warm(maps: Maps, channels: list[Channel]) -> None:
    """Compile the standard maps before forking: workers share the result."""
    program = maps.program("standard")
    for name in maps.messages:
        program.plan(name)


def read_token(config: Config) -> str:
    """Return the text of the token file, made where there is none."""
    path = config.token_file
    if not path.exists():
        fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(fd, "w") as f:
            f.write(secrets.token_urlsafe(32) + "\n")
    return path.read_text().strip()


def address_of(text: str) -> tuple[str, int]:
    """Return host and port of the web side. Raises ConfigError."""
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit():
        raise ConfigError(
            f"{text!r} is not an address",
            where="config.yaml: console: listen:",
            remedy="write e.g. 127.0.0.1:8080",
        )
    return host.strip("[]"), int(port)


def free(host: str, port: int, where: str, remedy: str) -> None:
    """Refuse a port that somebody else has. Raises ConfigError."""
    if not port:
        return
    try:
        bind(host, port).close()
    except OSError as e:
        raise ConfigError(
            f"port {port} on {host} cannot be opened",
            where=where,
            why=(e.strerror or "").lower(),
            remedy=remedy,
        ) from None
