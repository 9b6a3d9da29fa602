"""Access tokens: asked for, kept, renewed (RFC 6749).

In: who asks for one. Out: the Authorization header. A token is renewed after 80 % of its life, by one thread
while the others go on with the old one; a token that the server refuses is renewed once. What a token server
says besides its error code is told to nobody: it may quote what we sent.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

import httpx
import orjson

from engine.kernel.errors import HubError

__all__ = ["ASSERTED", "ASSERTION_SECONDS", "Tokens", "Unproven", "asked_token"]

ASSERTED = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
"""A client that proves itself by a signed assertion (RFC 7523, 2.2)."""
ASSERTION_SECONDS = 240
"""Five minutes are the most, and clocks differ."""
_RENEW = 0.8  # of a token's life
_LIFE = 300.0  # seconds of a token whose answer does not say
_ERRORS = {
    "invalid_request",
    "invalid_client",
    "invalid_grant",
    "invalid_scope",
    "unauthorized_client",
    "unsupported_grant_type",
}  # RFC 6749, 5.2


class Unproven(HubError):
    """No access token is to be had now."""


class Tokens:
    """The Authorization header of one server, shared by the threads that deliver to it."""

    def __init__(self, get: Callable[[httpx.Client], tuple[str, float]], clock: Callable[[], float]) -> None:
        self._get, self._clock = get, clock
        self._lock = threading.Lock()
        self._header, self._renew_at, self._ends = "", 0.0, 0.0

    def header(self, client: httpx.Client) -> str:
        """Return the header's value. Raises Unproven."""
        now = self._clock()
        if self._header and now < self._renew_at:
            return self._header
        if self._header and now < self._ends and self._lock.locked():
            return self._header  # somebody renews it; this one still counts
        with self._lock:
            if self._header and self._clock() < self._renew_at:
                return self._header
            try:
                token, life = self._get(client)
            except Unproven:
                if self._header and self._clock() < self._ends:
                    return self._header
                raise
            now = self._clock()
            self._header, self._renew_at, self._ends = f"Bearer {token}", now + life * _RENEW, now + life
            return self._header

    def refused(self, header: str) -> bool:
        """Forget a token that the server does not take; say whether another one may help."""
        with self._lock:
            if self._header == header:
                self._header = ""
        return True

    def sign(self, request: httpx.Request) -> None:
        """Add what can be said of a whole request only; an access token needs nothing."""


def asked_token(
    client: httpx.Client, url: str, form: dict[str, str], auth: httpx.BasicAuth | None = None
) -> tuple[str, float]:
    """Ask for a token; return it with the seconds of its life. Raises Unproven."""
    try:
        answer = client.post(
            url, data=form, headers={"Accept": "application/json"}, auth=auth or httpx.USE_CLIENT_DEFAULT
        )
    except (httpx.HTTPError, httpx.InvalidURL) as e:
        raise Unproven("the token server does not answer", where=url, why=type(e).__name__) from None
    try:
        said = orjson.loads(answer.content)
    except orjson.JSONDecodeError:
        said = None
    said = said if isinstance(said, dict) else {}
    token, life = said.get("access_token"), said.get("expires_in")
    if (
        answer.status_code != 200
        or not isinstance(token, str)
        or not token.isascii()
        or not token.isprintable()
    ):
        error = said.get("error")
        word = f" {error}" if error in _ERRORS else ""
        raise Unproven(
            "the token server gives none", where=url, why=f"it answered {answer.status_code}{word}"
        )
    seconds = float(life) if isinstance(life, int | float) and not isinstance(life, bool) else _LIFE
    return token, max(seconds, 1.0)
