"""Calls the endpoint of a FHIR Subscription (FHIR R4 subscription.html, channel type rest-hook).

In: an endpoint, headers, and a resource or none. Out: a receipt. With a payload the endpoint is the base of a
FHIR server: `PUT [endpoint]/[type]/[id]` with the resource, which may come twice and changes nothing then; a
query of the endpoint, such as a key that its owner wrote there, stays behind the path.
Without one it is told that something matches: `POST [endpoint]` with no body. Redirects are not followed.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import urlsplit

import httpx

from engine.destinations.http_answers import meaning, not_reached, phrase, retry_after
from engine.destinations.tls import context_of
from engine.kernel.delivery import Receipt

__all__ = ["RestHook", "below"]

MEDIA = "application/fhir+json"


class RestHook:
    """A client for all endpoints; connections are kept between calls."""

    def __init__(self, timeout_seconds: float) -> None:
        self._client = httpx.Client(
            verify=context_of(None), timeout=timeout_seconds, follow_redirects=False, trust_env=False
        )

    def call(
        self, endpoint: str, headers: Mapping[str, str], resource: str, body: bytes | None, once: str
    ) -> Receipt:
        """Tell an endpoint of a resource (`Type/id`); `once` is the same on every try of the same change."""
        sent = {**headers, "User-Agent": "hub", "Idempotency-Key": once}
        where = f"{httpx.URL(endpoint).scheme}://{httpx.URL(endpoint).netloc.decode('ascii', 'replace')}"
        try:
            if body is None:
                answer = self._client.post(endpoint, headers=sent)
            else:
                answer = self._client.put(
                    below(endpoint, resource), headers=sent | {"Content-Type": MEDIA}, content=body
                )
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as e:
            return not_reached(e, where)
        verdict, _, _ = meaning(answer.status_code)
        said = f"answered {answer.status_code} {phrase(answer.status_code)}".strip()
        if verdict == "park":  # nobody of ours can mend it there: it is tried again until it is given up
            verdict = "retry"
        return Receipt(verdict, said, wait=retry_after(answer.headers) if verdict == "retry" else None)

    def close(self) -> None:
        """Give back connections."""
        self._client.close()


def below(endpoint: str, resource: str) -> str:
    """Return the address of a resource below an endpoint."""
    parts = urlsplit(endpoint)
    return parts._replace(path=f"{parts.path.rstrip('/')}/{resource}", fragment="").geturl()
