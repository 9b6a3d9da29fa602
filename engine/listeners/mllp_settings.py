"""What is configured of one MLLP port: where it listens, its limits, its rules, who sends there.

In: the words of a channel file, checked. Out: frozen settings that a listener process is started with.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from engine.listeners.allow import Networks
from engine.listeners.receiving import ReceivingChannel
from engine.listeners.tls import TlsSettings

__all__ = ["MllpChannel", "MllpSettings"]


class MllpSettings(BaseModel):
    """One port that senders connect to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int = Field(ge=0, le=65535, description="TCP port. 0 takes a free one.", examples=[2575])
    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on. Anything but loopback should have `tls` or a private network.",
        examples=["0.0.0.0", "::1"],
    )
    tls: TlsSettings | None = Field(
        default=None,
        description="Certificates; without them the port is plain TCP.",
        examples=[{"certificate": "tls/hub.pem", "key": "tls/hub.key"}],
    )
    allow: Networks = Field(
        default=(),
        description="Networks that may connect. Empty: every address.",
        examples=[["10.20.0.0/16"]],
    )
    max_message_bytes: int = Field(
        default=64 << 20,
        ge=1024,
        description="A frame longer than this closes its connection.",
        examples=[67_108_864],
    )
    max_connections: int = Field(
        default=2000,
        ge=1,
        description="Connections open at one time; more are closed at once.",
        examples=[2000],
    )
    idle_seconds: float = Field(
        default=0,
        ge=0,
        description="Close a connection that sent no message for so long. 0: never.",
        examples=[3600],
    )
    frame_seconds: float = Field(
        default=60,
        gt=0,
        description="A frame begun must be complete after so long, a TLS handshake too, and an answer read.",
        examples=[60],
    )


class MllpChannel(ReceivingChannel):
    """Everything a listener process must know of one channel."""

    mllp: MllpSettings = Field(description="Where it listens.", examples=[{"port": 2575}])
