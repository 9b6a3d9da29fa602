"""`health:` of config.yaml: where each role of this node says whether it lives and is ready, and its metrics.

In: nothing. Out: settings; without an address nothing is opened.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from engine.kernel.web_settings import WebTlsSettings

__all__ = ["ROLES", "HealthSettings"]

ROLES = ("listeners", "dicom", "workers", "deliveries", "console")
_ADDRESS = r"^(\S+:\d{1,5})?$"


class HealthSettings(BaseModel):
    """Ports for probes and scrapers; roles with the same address share one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listeners: str = Field(
        default="",
        description="Address and port of the listeners' /health/live, /health/ready and /metrics. Empty: "
        "none.",
        examples=["127.0.0.1:9101"],
        pattern=_ADDRESS,
    )
    dicom: str = Field(
        default="", description="The same for the DICOM nodes.", examples=["127.0.0.1:9102"], pattern=_ADDRESS
    )
    workers: str = Field(
        default="", description="The same for the workers.", examples=["127.0.0.1:9103"], pattern=_ADDRESS
    )
    deliveries: str = Field(
        default="", description="The same for the deliveries.", examples=["127.0.0.1:9104"], pattern=_ADDRESS
    )
    console: str = Field(
        default="", description="The same for the web side.", examples=["127.0.0.1:9105"], pattern=_ADDRESS
    )
    tls: WebTlsSettings | None = Field(
        default=None,
        description="Certificate of these ports. Empty: plain HTTP.",
        examples=[{"certificate": "tls/web.pem", "key": "tls/web.key"}],
    )
    drain_seconds: float = Field(
        default=0,
        ge=0,
        le=300,
        description="Seconds between saying `not ready` and stopping, in which load balancers look elsewhere "
        "and everything still works.",
        examples=[5],
    )

    def addresses(self) -> dict[str, tuple[str, ...]]:
        """Return the roles of every address that is set."""
        found: dict[str, tuple[str, ...]] = {}
        for role in ROLES:
            if address := getattr(self, role):
                found[address] = (*found.get(address, ()), role)
        return found
