"""`queue:` of config.yaml: how work is shared out among processes and machines.

In: `in-process`, the address of NATS servers, or lines below the word. Out: frozen settings.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["QueueSettings"]


class QueueSettings(BaseModel):
    """Who works on what."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        default="in-process",
        description="`in-process`: the workers of one machine share the lanes. Or the NATS servers (2.11 or "
        "later, with JetStream) through which several machines share them: `nats://` or `tls://`, several "
        "hosts with commas. `queue: ADDRESS` alone says the same.",
        examples=["nats://n1.mercy.example:4222,n2.mercy.example:4222,n3.mercy.example:4222"],
        pattern=r"^(in-process|(nats|tls)://[^\s/,@?#]+(,[^\s/,@?#]+)*)$",
    )
    stream: str = Field(
        default="hub",
        description="Name of the stream, and first word of all subjects: one for each hub on these servers.",
        examples=["mercy"],
        pattern=r"^[a-z][a-z0-9_-]{0,31}$",
    )
    partitions: int = Field(
        default=16,
        ge=1,
        le=64,
        description="Parts in which lanes move from worker to worker, so the most workers that have "
        "something to do. The same on every node.",
        examples=[32],
    )
    replicas: int = Field(
        default=0,
        ge=0,
        le=5,
        description="Servers that keep the stream. 0: three where three or more hosts are named, else one.",
        examples=[3],
    )
    user: str = Field(default="", description="Account name.", examples=["hub"])
    password: str = Field(
        default="", description="Its password.", examples=["${secret:NATS_PASSWORD}"], repr=False
    )
    credentials: str = Field(
        default="", description="File of a JWT and its key, instead of them.", examples=["nats/hub.creds"]
    )
    authority: str = Field(
        default="",
        description="PEM file: who signs the servers' certificates, where the system does not know it.",
        examples=["tls/nats-ca.pem"],
    )
    certificate: str = Field(
        default="", description="PEM file: our certificate, where they ask.", examples=["tls/hub.pem"]
    )
    key: str = Field(default="", description="PEM file: its private key.", examples=["tls/hub.key"])

    @model_validator(mode="before")
    @classmethod
    def _short(cls, value: Any) -> Any:
        return {"url": value} if isinstance(value, str) else value

    @property
    def servers(self) -> list[str]:
        """Return the address of each server; empty where there is none."""
        if self.url == "in-process":
            return []
        scheme, _, hosts = self.url.partition("://")
        return [f"{scheme}://{host}" for host in hosts.split(",")]

    @property
    def copies(self) -> int:
        """Return how many servers are to keep the stream."""
        return self.replicas or (3 if len(self.servers) >= 3 else 1)

    def below(self, root: Path) -> QueueSettings:
        """Return the same with files made full: relative ones start at the project's root."""
        files = ("credentials", "authority", "certificate", "key")
        full = {name: str(root.resolve() / said) for name in files if (said := getattr(self, name))}
        return self.model_copy(update=full)
