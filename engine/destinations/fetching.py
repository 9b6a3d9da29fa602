"""What certificates point to, fetched by HTTP: lists, answers of responders, issuers.

In: an address that stands in a certificate. Out: bytes, few enough to hold, or `NotAsked`. No redirect is
followed, no proxy of the environment used, and nothing that was answered is shown to anybody. A certificate
that nobody believes yet may name any address: what only this machine and its link can reach is not asked.
"""

from __future__ import annotations

import ipaddress
import socket
import time

import httpx

from engine.kernel.errors import HubError

__all__ = ["NotAsked", "fetched", "is_inside", "is_web"]

_SECONDS = 20  # for each answer of the network
_WHOLE = 60  # for all of it: what comes byte by byte must not hold those who wait behind


class NotAsked(HubError):
    """What tells whether a certificate holds cannot be had or believed now; it is not known."""


def is_web(address: str) -> bool:
    """Say whether an address is one of HTTP."""
    return address.lower().startswith(("http://", "https://"))


def is_inside(address: str) -> bool:
    """Say whether an address leads to this machine, or to what only its own link reaches (RFC 1122 3.2.1.3,
    RFC 3927, RFC 4291 2.5).
    """
    try:
        host = httpx.URL(address).host
        found = {row[4][0] for row in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (httpx.InvalidURL, OSError, UnicodeError):
        return False  # it is not reached either
    written = [ipaddress.ip_address(str(one).partition("%")[0]) for one in found]
    places = [getattr(one, "ipv4_mapped", None) or one for one in written]
    return any(p.is_loopback or p.is_link_local or p.is_unspecified or p.is_multicast for p in places)


def fetched(address: str, most: int, asked: bytes | None = None, media: str = "") -> bytes:
    """Return what an address answers, to a question where there is one. Raises NotAsked."""
    if is_inside(address):
        raise NotAsked("no answer", why=f"{address} is on this machine or its link, which is not asked")
    headers = {"Content-Type": media} if media else {}
    until = time.monotonic() + _WHOLE
    try:
        with (
            httpx.Client(timeout=_SECONDS, follow_redirects=False, trust_env=False) as client,
            client.stream(
                "GET" if asked is None else "POST", address, content=asked, headers=headers
            ) as answer,
        ):
            if answer.status_code != 200:
                raise NotAsked("no answer", why=f"{address} answered {answer.status_code}")
            data = b""
            for piece in answer.iter_bytes():
                data += piece
                if len(data) > most:
                    raise NotAsked("no answer", why=f"{address} is larger than {most >> 10} KiB")
                if time.monotonic() > until:
                    raise NotAsked("no answer", why=f"{address} takes longer than {_WHOLE} s")
    except (httpx.HTTPError, httpx.InvalidURL) as e:
        raise NotAsked("no answer", why=f"{address} cannot be reached ({type(e).__name__})") from None
    return data
