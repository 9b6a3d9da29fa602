"""What is configured of one HTTP port: where it listens, its limits, who may send.

In: the words of a channel file, checked. Out: frozen settings that a listener process is started with.
"""

from __future__ import annotations

import re
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from engine.listeners.allow import Networks
from engine.listeners.receiving import ReceivingChannel
from engine.listeners.tls import TlsSettings

__all__ = ["HttpAuth", "HttpChannel", "HttpSettings"]


class HttpAuth(BaseModel):
    """Who may send over HTTP; what is set must all be shown, of `token` and `basic` one."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    token: Path | None = Field(
        default=None,
        description="File of bearer tokens, a line `name token` for each sender, mode 600.",
        examples=["/etc/hub/lakeside.tokens"],
    )
    basic: Path | None = Field(
        default=None,
        description="File of passwords, a line `user password` for each sender, mode 600.",
        examples=["/etc/hub/lakeside.users"],
    )
    certificate: tuple[str, ...] = Field(
        default=(),
        description="Names (CN, or DNS names) of client certificates that may send; needs `tls: client_ca`.",
        examples=[["lakeside"]],
    )

    @model_validator(mode="after")
    def _says_something(self) -> HttpAuth:
        if not (self.token or self.basic or self.certificate):
            raise ValueError("auth: takes token, basic or certificate")
        return self

    def below(self, root: Path) -> HttpAuth:
        """Return the same with relative names made full: they start at the project's root."""
        full = {n: root.resolve() / p for n in ("token", "basic") if (p := getattr(self, n)) is not None}
        return self.model_copy(update=full)


class HttpSettings(BaseModel):
    """One port that senders POST messages to."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int = Field(ge=0, le=65535, description="TCP port. 0 takes a free one.", examples=[8443])
    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on. Anything but loopback should have `tls` and `auth`.",
        examples=["0.0.0.0", "::1"],
    )
    path: str = Field(
        default="/hl7",
        description="The one path that is answered. It takes no query: a URL is logged by proxies, "
        "so nothing of a patient may stand in it.",
        examples=["/hl7/lakeside"],
    )
    tls: TlsSettings | None = Field(
        default=None,
        description="Certificates; without them the port is plain HTTP.",
        examples=[{"certificate": "tls/hub.pem", "key": "tls/hub.key"}],
    )
    auth: HttpAuth | None = Field(
        default=None,
        description="Who may send. Empty: everybody who can connect.",
        examples=[{"token": "/etc/hub/lakeside.tokens"}],
    )
    allow: Networks = Field(
        default=(),
        description="Networks that may connect. Empty: every address.",
        examples=[["10.20.0.0/16"]],
    )
    max_bytes: int = Field(
        default=64 << 20,
        ge=1024,
        description="A body longer than this is refused (413).",
        examples=[67_108_864],
    )
    max_connections: int = Field(
        default=500,
        ge=1,
        description="Connections open at one time; more are closed at once.",
        examples=[500],
    )
    header_seconds: float = Field(
        default=10,
        gt=0,
        description="The head of a request must be complete after so long, a TLS handshake too.",
        examples=[10],
    )
    request_seconds: float = Field(
        default=60,
        gt=0,
        description="A request begun must be complete after so long, and its answer read.",
        examples=[60],
    )
    idle_seconds: float = Field(
        default=120,
        gt=0,
        description="Close a connection that sent no request for so long.",
        examples=[120],
    )

    @field_validator("path")
    @classmethod
    def _plain_path(cls, path: str) -> str:
        if not re.fullmatch(r"/[A-Za-z0-9._~/-]*", path):
            raise ValueError(f"{path!r} is not a path such as /hl7/lakeside")
        return path

    @model_validator(mode="after")
    def _whose_certificate(self) -> HttpSettings:
        if self.auth is not None:
            if self.auth.token and self.auth.basic:
                raise ValueError("auth: takes token or basic, not both")
            if self.auth.certificate and not (self.tls and self.tls.client_ca and self.tls.require_client):
                raise ValueError("auth: certificate: needs tls: with client_ca: and require_client: true")
        return self

    def below(self, root: Path) -> HttpSettings:
        """Return the same with the names of files made full."""
        return self.model_copy(
            update={
                "tls": self.tls and self.tls.below(root),
                "auth": self.auth and self.auth.below(root),
            }
        )


class HttpChannel(ReceivingChannel):
    """Everything a listener process must know of one channel that takes HTTP."""

    http: HttpSettings = Field(description="Where it listens.", examples=[{"port": 8443}])
