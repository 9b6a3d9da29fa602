"""What an HTTP answer means for a parcel, and what is kept as evidence of the exchange.

In: the answer of httpx, or why there was none. Out: a receipt. Follows RFC 9110 15 (status codes) and 10.2.3
(Retry-After). What the server wrote stays in the sealed evidence: it may quote the patient.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import NamedTuple

import httpx

from engine.destinations.http_secrets import KEPT_BACK, without_secrets
from engine.kernel.delivery import Receipt, Verdict

__all__ = ["Meaning", "answered", "asked", "meaning", "not_reached", "phrase", "retry_after"]

_SECRET_HEADERS = frozenset(
    {"authorization", "proxy-authorization", "cookie", "set-cookie", "x-api-key", "x-amz-security-token"}
)
_KEPT = 64 << 10
_AT_MOST = 86400.0  # longer waits are the channel's to decide


class Meaning(NamedTuple):
    """What a status code says of the parcel."""

    verdict: Verdict
    down: bool
    remedy: str = ""


def meaning(status: int) -> Meaning:
    """Say what a status code means for the parcel that was sent."""
    if 200 <= status < 300:
        return Meaning("sent", False)
    # What only a person can mend, and no parcel is to blame for: nothing is sent until it is mended, and
    # nothing has to be sent again by hand then.
    if 300 <= status < 400:
        return Meaning("retry", True, "name the address it moved to: it is not followed with patients' data")
    if status in (401, 407):
        return Meaning("retry", True, "it does not know us: mend the credentials, or renew them")
    if status in (404, 405, 410):  # of an address: content that is not taken has other codes
        return Meaning("retry", True, "nothing takes messages at this address: see `url`")
    if status == 403:  # of us, or of this patient: the next parcel tells
        return Meaning("park", True, "it does not let us do this: ask its operator for the right")
    if status in (429, 503):
        return Meaning("retry", True)
    if status in (408, 409, 425) or status >= 500:  # 409: an earlier try with this key is still under way
        return Meaning("retry", False)
    return Meaning("refuse", False)


def asked(request: httpx.Request, sent: bytes = b"", hidden: Iterable[str] = ()) -> bytes:
    """Return a request as evidence, cut where it is long; without secrets in its address, and without headers
    that hold secrets or are hidden."""
    target = request.url.raw_path.decode("ascii", "replace")
    return _block(f"{request.method} {target}", request.headers, sent, hidden)


def answered(answer: httpx.Response, body: bytes) -> bytes:
    """Return an answer as evidence, cut where it is long."""
    return _block(f"{answer.status_code} {phrase(answer.status_code)}".strip(), answer.headers, body)


def not_reached(error: Exception, where: str, request: bytes = b"") -> Receipt:
    """Say that no answer came: what was sent may have arrived, or not."""
    if isinstance(error, httpx.TimeoutException):
        why = "no connection in time" if isinstance(error, httpx.ConnectTimeout) else "no answer in time"
    elif isinstance(error, httpx.ConnectError):
        why = f"cannot be reached: {error}"  # the system's words: refused, unknown name, certificate
    else:
        why = f"the connection broke: {type(error).__name__}"
    return Receipt("retry", f"{where}: {' '.join(why.split())[:300]}", request, down=True)


def retry_after(headers: Mapping[str, str], now: datetime | None = None) -> float | None:
    """Return the seconds that a server asks us to wait; None where it does not say, or says nonsense."""
    said = headers.get("retry-after", "").strip()
    if said.isascii() and said.isdigit():
        return min(float(said), _AT_MOST)
    try:
        at = parsedate_to_datetime(said)
    except (ValueError, TypeError):
        return None
    if at.tzinfo is None:
        at = at.replace(tzinfo=UTC)
    return min(max(0.0, (at - (now or datetime.now(UTC))).total_seconds()), _AT_MOST)


def phrase(status: int) -> str:
    """Return the standard's words for a status; not the server's own, which may hold anything."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _block(first: str, headers: httpx.Headers, body: bytes, hidden: Iterable[str] = ()) -> bytes:
    secret = _SECRET_HEADERS | {name.lower() for name in hidden}
    lines = [without_secrets(first)]
    for name, value in headers.multi_items():
        lines.append(f"{name}: {KEPT_BACK if name.lower() in secret else without_secrets(value)}")
    return ("\r\n".join(lines) + "\r\n\r\n").encode("utf-8", "replace") + body[:_KEPT]
