"""What stands around every answer: headers that keep browsers strict, a count, and no trace of a fault to the
asker.

In: any ASGI application. Out: the same with a Content-Security-Policy, without caching, and with a plain 500
in place of an exception, whose text (it could quote patient data) is neither sent nor logged: only its kind
and place are.
"""

from __future__ import annotations

import logging
from typing import Any

from engine.kernel.errors import place_of
from engine.listeners.metrics import Metrics

__all__ = ["Guard"]

log = logging.getLogger("hub.console")

_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; connect-src 'self'; "
    "frame-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
_HEADERS = [
    (b"content-security-policy", _POLICY.encode()),
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),  # with none, a browser hides where a form came from
    (b"cross-origin-opener-policy", b"same-origin"),
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=()"),
]
_AREAS = ("fhir", "feed", "dicomweb", "metrics", "healthz", "health", "status", "status.json", "static")


class Guard:
    """ASGI middleware; `counts` is filled on the event loop's thread only."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self.counts = Metrics()
        self.counts.counter("hub_http_requests_total", "Requests answered by the web side.")

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        begun = ended = False

        async def sending(message: Any) -> None:
            nonlocal begun, ended
            if message["type"] == "http.response.start":
                begun = True
                self._count(scope["path"], message["status"])
                own = {name.lower() for name, _ in message["headers"]}
                extra = [*_HEADERS, (b"cache-control", b"no-store")]
                message["headers"] = [*message["headers"], *(h for h in extra if h[0] not in own)]
            elif not message.get("more_body"):
                ended = True
            await send(message)

        try:
            await self._app(scope, receive, sending)
        except Exception as e:
            log.error("internal error %s", place_of(e))
            if ended:
                return  # the framework has said 500 already
            if begun:
                raise RuntimeError("the answer broke off") from None
            start = {
                "type": "http.response.start",
                "status": 500,
                "headers": [(b"content-type", b"application/json")],
            }
            await sending(start)
            body = b'{"error": "a fault of the hub; its log says where"}'
            await send({"type": "http.response.body", "body": body})

    def _count(self, path: str, status: int) -> None:
        first = path.lstrip("/").partition("/")[0]
        area = first if first in _AREAS else "page" if not first else "other"
        self.counts.add("hub_http_requests_total", (("area", area), ("status", str(status))))
