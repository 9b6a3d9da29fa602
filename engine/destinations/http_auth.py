"""How we say to an HTTP server who we are: a bearer token (RFC 6750), a name and a password (RFC 7617).

In: settings. Out: the value of the header `Authorization`. Client certificates are in `tls.py`.
"""

from __future__ import annotations

import base64
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.destinations.production import on_this_machine

__all__ = ["CallerAuth", "authorization", "is_loopback"]


class CallerAuth(BaseModel):
    """Who we say we are: a token, or a name and a password."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    bearer: str = Field(
        default="", description="Token that never changes.", examples=["${secret:ERP_TOKEN}"], repr=False
    )
    user: str = Field(default="", description="Name to sign in with.", examples=["hub"])
    password: str = Field(
        default="", description="Its password.", examples=["${secret:ERP_PASSWORD}"], repr=False
    )

    @model_validator(mode="after")
    def _one_of_them(self) -> CallerAuth:
        if bool(self.bearer) == bool(self.user) or bool(self.user) != bool(self.password):
            raise ValueError("takes `bearer`, or `user` and `password`")
        if ":" in self.user:
            raise ValueError("user: no `:` can be in it (RFC 7617)")
        if not self.bearer.isascii() or any(c.isspace() for c in self.bearer):
            raise ValueError("bearer: is no token; one line of ASCII without blanks")
        return self


def authorization(auth: CallerAuth) -> str:
    """Return the value of the header `Authorization`."""
    if auth.bearer:
        return f"Bearer {auth.bearer}"
    return "Basic " + base64.b64encode(f"{auth.user}:{auth.password}".encode()).decode("ascii")


def is_loopback(url: str) -> bool:
    """Say whether an address is on this machine."""
    return on_this_machine(urlsplit(url).hostname or "")
