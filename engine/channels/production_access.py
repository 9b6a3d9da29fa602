"""What a production hub may not leave weak of who comes in: passwords, sessions, issuers, secrets, tokens.

In: the settings. Out: every weak one with its file, line and remedy, for `production.py`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from engine.kernel.config import Config
from engine.kernel.yamlfile import load, plain

__all__ = ["is_loopback", "weak_access"]

Weak = Iterator[tuple[str, str, str]]

_IDLE = 30  # minutes
_SHORTEST_TOKEN, _FEWEST_LETTERS = 32, 12
_SHORTEST_SECRET = 16
_SECRETS = (
    ("console.oidc", "secret"),
    ("terminology", "token"),
    ("objects", "access_key"),
    ("objects", "secret_key"),
    ("queue", "password"),
    ("traces", "token"),
)


def is_loopback(host: str) -> bool:
    """Say whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def weak_access(config: Config) -> Weak:
    """Give (file:line, what is weak, remedy) of every weak setting."""
    yield from _sign_in(config)
    yield from _issuers(config)
    yield from _secrets(config)
    yield from _tokens(config)


def _sign_in(config: Config) -> Weak:
    settings, at = config.console.sign_in, config.at("console.sign_in")
    if settings.second_factor == "nobody" and config.console.oidc is None:
        yield (
            at,
            "patient data is shown to who knows a password alone",
            "set console: sign_in: {second_factor: bodies}, or let people sign in with console: oidc:",
        )
    if settings.idle_minutes > _IDLE:
        yield (
            at,
            f"a session that nobody uses lasts {settings.idle_minutes} minutes",
            f"set console: sign_in: {{idle_minutes: 15}}, {_IDLE} at most",
        )
    if settings.tries == 0:
        yield at, "passwords may be tried without end", "set console: sign_in: {tries: 5}"


def _issuers(config: Config) -> Weak:
    oidc = config.console.oidc
    if oidc is not None:
        if _plain(oidc.issuer):
            yield (
                config.at("console.oidc"),
                "people sign in at an issuer without TLS",
                "write its https:// address at issuer:",
            )
        if oidc.secret and len(oidc.secret) < _SHORTEST_SECRET:
            yield (
                config.at("console.oidc"),
                f"the client secret has fewer than {_SHORTEST_SECRET} characters",
                "let the provider make one",
            )
    for one in config.console.issuers:
        if _plain(one.issuer) or _plain(one.keys):
            yield (
                config.at("console.issuers"),
                f"the tokens of {one.issuer} are believed by keys that come without TLS",
                "write its https:// address at issuer: and keys:, or a file of its keys",
            )


def _plain(address: str) -> bool:
    parts = urlsplit(address)
    return parts.scheme == "http" and not is_loopback(parts.hostname or "")


def _secrets(config: Config) -> Weak:
    """Give the secrets that stand in config.yaml itself."""
    path = config.root / "config.yaml"
    said = plain(load(path, name="config.yaml")) if path.is_file() else None
    for place, name in _SECRETS:
        value: Any = said
        for word in (*place.split("."), name):
            value = value.get(word) if isinstance(value, dict) else None
        if isinstance(value, str) and value and "${secret:" not in value:
            yield (
                config.at(place),
                f"{place.replace('.', ': ')}: {name}: stands in config.yaml itself",
                f"write {name}: ${{secret:{name.upper()}}}, and put it where secrets: says",
            )


def _tokens(config: Config) -> Weak:
    path = config.token_file
    remedy = f"write one line `name token` for everybody who reads into {path}, mode 600"
    try:
        lines, mode = path.read_text("utf-8").splitlines(), path.stat().st_mode
    except OSError:
        yield str(path), "there are no tokens of your own, and a start would make one", remedy
        return
    if mode & 0o077:
        yield str(path), "others on this machine can read the tokens", f"type chmod 600 {path}"
    for number, line in enumerate(lines, 1):
        words = line.split()
        if not words or line.startswith("#"):
            continue
        if len(words) == 1:
            what = "the default token: it has no name, so the audit cannot say who read"
            yield f"{path}:{number}", what, remedy
        elif len(words[1]) < _SHORTEST_TOKEN or len(set(words[1])) < _FEWEST_LETTERS:
            what = f"the token of {words[0]} can be guessed"
            yield f"{path}:{number}", what, "make one with: openssl rand -base64 32"
