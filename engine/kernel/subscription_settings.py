"""Settings of FHIR Subscriptions: whether programs may ask to be called, and where they may have us call.

In: `subscriptions:` of config.yaml. Out: frozen settings.
"""

from __future__ import annotations

import re

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["SubscriptionSettings"]

_HOST = re.compile(r"(?:[a-z0-9-]+\.)*[a-z0-9-]+(?::[0-9]{1,5})?|\[[0-9a-f:]+\](?::[0-9]{1,5})?")


class SubscriptionSettings(BaseModel):
    """FHIR R4 Subscriptions (rest-hook) at /fhir."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    hosts: tuple[str, ...] = Field(
        default=(),
        description="Hosts that subscriptions may name as their endpoint, with a port where it is not the "
        "usual one. Nobody else is ever called. Empty: there are no subscriptions.",
        examples=[["portal.mercy.example", "ehr.mercy.example:8443"]],
    )
    most: int = Field(
        default=100, ge=1, le=1000, description="Subscriptions there may be at one time.", examples=[20]
    )
    timeout_seconds: float = Field(
        default=10, gt=0, le=60, description="Seconds an endpoint has for an answer.", examples=[5]
    )
    give_up_after: str = Field(
        default="1 day",
        description="How long an endpoint may fail before its subscription has the status error and what "
        "waits for it is dropped.",
        examples=["4 hours"],
    )

    @field_validator("hosts")
    @classmethod
    def _plain(cls, hosts: tuple[str, ...]) -> tuple[str, ...]:
        for host in hosts:
            if not _HOST.fullmatch(host):
                raise ValueError(f"{host!r} is no host; write e.g. portal.mercy.example or ehr:8443")
        return hosts
