"""`traces:` of config.yaml: where spans go, and of how many messages.

In: nothing. Out: settings; without an address nothing is measured.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["TraceSettings"]


class TraceSettings(BaseModel):
    """OpenTelemetry spans that follow one message. Needs `pip install 'hl7-hub[otel]'`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    otlp: str = Field(
        default="",
        description="Address of a collector that takes OTLP over HTTP. Empty: nothing is traced.",
        examples=["https://otel.mercy.example:4318/v1/traces"],
        pattern=r"^(https?://[^\s?#]+)?$",
    )
    sample: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="Share of messages that are traced; every process chooses the same ones.",
        examples=[0.01],
    )
    token: str = Field(
        default="",
        description="Bearer token for the collector.",
        examples=["${secret:OTLP_TOKEN}"],
        repr=False,
    )
    authority: str = Field(
        default="",
        description="PEM file: who signs the collector's certificate, where the system does not know it.",
        examples=["/etc/hub/tls/ca.crt"],
    )
