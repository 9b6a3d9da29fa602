"""What a Subscription asks for, read: its search, its endpoint, its headers; and where we may call at all.

In: a Subscription of FHIR R4, the hosts that config.yaml allows. Out: the same as plain words, or a reason
why not. An endpoint is on an allowed host and speaks TLS; without it only on this machine. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any, NamedTuple
from urllib.parse import parse_qsl, urlsplit

__all__ = ["Unwanted", "Wanted", "allowed", "headers_of", "read_wanted"]

MEDIA = ("application/fhir+json", "application/json")
_LOOPBACK = ("127.0.0.1", "::1", "localhost")
_NAME = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,100}")
_OURS = frozenset(
    {
        *("host", "content-length", "content-type", "content-encoding", "transfer-encoding", "connection"),
        *("upgrade", "te", "trailer", "keep-alive", "proxy-authorization", "proxy-connection", "expect"),
        *("user-agent", "idempotency-key", "cookie"),
    }
)
_MOST = 20


class Unwanted(Exception):
    """A Subscription that cannot be kept, and why."""


class Wanted(NamedTuple):
    """What a Subscription asks for."""

    kind: str
    query: tuple[tuple[str, str], ...]
    endpoint: str
    headers: dict[str, str]
    payload: bool


def read_wanted(body: dict[str, Any], hosts: Collection[str]) -> Wanted:
    """Read a Subscription. Raises Unwanted."""
    channel = body.get("channel") or {}
    if channel.get("type") != "rest-hook":
        raise Unwanted("channel.type: only rest-hook is spoken here")
    payload = channel.get("payload") or ""
    if payload.partition(";")[0].strip() not in ("", *MEDIA):
        raise Unwanted("channel.payload: only application/fhir+json, or none")
    kind, _, query = str(body.get("criteria") or "").partition("?")
    if not re.fullmatch(r"[A-Z][A-Za-z]+", kind):
        raise Unwanted("criteria: takes a search such as Observation?code=http://loinc.org|1975-2")
    try:
        pairs = tuple(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query), max_num_fields=20))
    except ValueError:
        raise Unwanted("criteria: what follows the ? is no search") from None
    endpoint = str(channel.get("endpoint") or "")
    if why := allowed(endpoint, hosts):
        raise Unwanted(f"channel.endpoint: {why}")
    return Wanted(kind, pairs, endpoint, headers_of(channel.get("header") or []), bool(payload))


def allowed(endpoint: str, hosts: Collection[str]) -> str:
    """Return why an endpoint may not be called, nothing where it may."""
    try:
        parts = urlsplit(endpoint)
        port = parts.port
    except ValueError:
        return "is no address"
    host = (parts.hostname or "").lower()
    if not endpoint.isascii() or not endpoint.isprintable() or " " in endpoint or "\\" in endpoint:
        return "is no address"
    if parts.username is not None or parts.password is not None or "@" in parts.netloc:
        return "holds a name or password; put it into channel.header"
    if parts.fragment:
        return "holds a fragment"
    if parts.scheme not in ("https", "http") or not host:
        return "takes https://"
    if parts.scheme == "http" and host not in _LOOPBACK:
        return "takes https://: patients' data would go over the network in the clear"
    shown = f"[{host}]" if ":" in host else host
    usual = 443 if parts.scheme == "https" else 80
    names = {f"{shown}:{port or usual}", *([shown] if (port or usual) == usual else [])}
    if not names & {one.lower() for one in hosts}:
        return "its host is none that this hub may call; see subscriptions: hosts: in its config.yaml"
    return ""


def headers_of(lines: list[str]) -> dict[str, str]:
    """Read `Name: value` lines. Raises Unwanted."""
    found: dict[str, str] = {}
    if len(lines) > _MOST:
        raise Unwanted(f"channel.header: at most {_MOST}")
    for line in lines:
        name, colon, value = str(line).partition(":")
        value = value.strip()
        if not colon or not _NAME.fullmatch(name.strip()) or not value.isascii() or not value.isprintable():
            raise Unwanted("channel.header: takes lines such as `Authorization: Bearer ...`")
        if name.strip().lower() in _OURS:
            raise Unwanted(f"channel.header: {name.strip()} is set by the hub, or may not be set")
        found[name.strip()] = value
    return found
