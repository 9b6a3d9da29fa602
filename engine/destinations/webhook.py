"""A webhook: an event is POSTed to a program that waits for it, signed.

In: parcels. Out: receipts, as of `http.py`. The signature is the one of notices (`notices.py`): HMAC-SHA256
over the time and the body, so that the receiver knows who sent it and a recording of it grows old.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import BaseModel, ConfigDict, Field

from engine.destinations.http import Http, HttpDestination, in_the_clear
from engine.destinations.http_auth import CallerAuth
from engine.destinations.notices import signature
from engine.destinations.production import refuse_weak
from engine.destinations.tls import ClientTls
from engine.kernel.clock import now_ms
from engine.kernel.delivery import Around, DestinationKind, Parcel

__all__ = ["WEBHOOK", "WebhookDestination"]


class WebhookDestination(BaseModel):
    """A program that is told of events."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        description="Where each event is POSTed.",
        examples=["https://portal.mercy.example/hooks/hub"],
        pattern=r"^https?://[^\s{}/@]+(/[^\s{}]*)?$",
    )
    secret: str = Field(
        default="",
        description="Key of the signature in the header X-Hub-Signature-256, by which the receiver knows "
        "that an event comes from this hub. Must be set in production.",
        examples=["${secret:PORTAL_KEY}"],
        repr=False,
    )
    auth: CallerAuth | None = Field(
        default=None,
        description="Who we say we are, for who wants more than the signature.",
        examples=[{"bearer": "${secret:PORTAL_TOKEN}"}],
    )
    tls: ClientTls | None = Field(
        default=None,
        description="Whom to believe, and our own certificate.",
        examples=[{"ca": "tls/mercy-ca.pem"}],
    )
    timeout_seconds: float = Field(
        default=10, gt=0, le=600, description="Seconds it has for an answer.", examples=[5]
    )

    def weaknesses(self) -> Iterator[tuple[str, str]]:
        """Give (what is weak, remedy) for a hub with real patients."""
        yield from in_the_clear(self.url)
        if not self.secret:
            yield "a webhook without a secret: anybody could tell its events", "write secret: ${secret:NAME}"


def _make(settings: WebhookDestination, name: str, around: Around) -> Http:
    refuse_weak(settings, f"destination {name}", around)

    def signed(parcel: Parcel) -> Mapping[str, str]:
        at = now_ms() // 1000
        made = {"X-Hub-Timestamp": str(at)}
        if settings.secret:
            made["X-Hub-Signature-256"] = signature(settings.secret, at, parcel.body)
        return made

    called = HttpDestination(
        url=settings.url, auth=settings.auth, tls=settings.tls, timeout_seconds=settings.timeout_seconds
    )
    return Http(called, around, signed)


WEBHOOK = DestinationKind(
    "webhook", WebhookDestination, _make, ("event", "original", "fhir", "any"), at_once=4
)
