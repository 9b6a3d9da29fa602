"""Settings of a FHIR server that gets what the core store holds: its address, whose ids, how we prove who
we are.

In: the words below `fhir:`. Out: settings that can be followed, or pydantic's word for what is wrong; and
what of them a hub with real patients may not do. Plain HTTP is for this machine only, in every profile.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from engine.destinations.cloud_settings import AwsSettings, CertificateSettings, ServiceAccountSettings
from engine.destinations.http_auth import CallerAuth, is_loopback
from engine.destinations.tls import ClientTls

__all__ = [
    "ClientSecretSettings",
    "FhirSettings",
    "SmartSettings",
]

_URL = r"^https?://[^\s?#@]+$"


def _safe(url: str) -> str:
    if url.startswith("http://") and not is_loopback(url):
        raise ValueError("is plain http, which is for this machine only; write https://")
    return url.rstrip("/")


class SmartSettings(BaseModel):
    """SMART Backend Services: a signed assertion for an access token (SMART App Launch 2.2)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    client_id: str = Field(
        min_length=1, description="What the server calls us; it knows our keys by it.", examples=["mercy-hub"]
    )
    token_url: str = Field(
        default="",
        pattern=rf"^$|{_URL}",
        description="Where tokens are given. Empty: what the server's .well-known/smart-configuration says.",
        examples=["https://login.mercy.example/token"],
    )
    scope: str = Field(
        default="system/*.cruds", description="What we ask to be allowed.", examples=["system/*.write"]
    )
    algorithm: Literal["", "RS384", "ES384"] = Field(
        default="",
        description="How assertions are signed. Empty: as the server says it takes, else RS384.",
        examples=["ES384"],
    )
    keys: Path | None = Field(
        default=None,
        description="File of the signing keys. Empty: `signing.keys` in the data folder, which "
        "`hub key signing` makes and whose public half the web side serves at /.well-known/jwks.json.",
        examples=["/run/secrets/signing.keys"],
    )

    _token_url = field_validator("token_url")(_safe)


class ClientSecretSettings(BaseModel):
    """OAuth 2.0 client credentials with a shared secret (RFC 6749, 4.4), as Microsoft Entra ID asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    client_id: str = Field(min_length=1, description="What the server calls us.", examples=["mercy-hub"])
    secret: str = Field(
        min_length=1, repr=False, description="The shared secret.", examples=["${secret:FHIR_CLIENT_SECRET}"]
    )
    token_url: str = Field(
        default="",
        pattern=rf"^$|{_URL}",
        description="Where tokens are given. Empty: what the server's .well-known/smart-configuration says.",
        examples=["https://login.microsoftonline.com/TENANT/oauth2/v2.0/token"],
    )
    scope: str = Field(
        default="system/*.cruds",
        description="What we ask to be allowed.",
        examples=["https://mercy.fhir.azurehealthcareapis.com/.default"],
    )
    resource: str = Field(
        default="",
        description="Sent in place of `scope`, for Microsoft's older token address (`/oauth2/token`).",
        examples=["https://mercy.fhir.azurehealthcareapis.com"],
    )
    send: Literal["header", "body"] = Field(
        default="header",
        description="Where the secret goes: in the Authorization header (client_secret_basic), or in the "
        "form (client_secret_post).",
        examples=["body"],
    )

    _token_url = field_validator("token_url")(_safe)


class FhirSettings(BaseModel):
    """A FHIR R4 server."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        pattern=_URL, description="The server's base address.", examples=["https://fhir.mercy.example/r4"]
    )
    ids: Literal["ours", "theirs"] = Field(
        default="ours",
        description="`ours`: a resource has the id there that it has here (PUT Type/id). `theirs`: the "
        "server gives ids, and finds what we wrote by an identifier of ours.",
        examples=["theirs"],
    )
    find_by: Literal["identifier", "tag"] = Field(
        default="identifier",
        description="With `ids: theirs`, what the server finds ours by: an identifier (a tag for types "
        "without a list of them), or a tag for all types, where it does not search each by identifier.",
        examples=["tag"],
    )
    transactions: bool = Field(
        default=True,
        description="Whether it takes transaction bundles. `false`: every resource by a request of its own, "
        "what others refer to first.",
        examples=[False],
    )
    entries: int = Field(
        default=100,
        ge=1,
        le=5000,
        description="Most resources of one transaction. What refers to each other in a circle is never cut.",
        examples=[8],
    )
    changed_there: Literal["overwrite", "park"] = Field(
        default="overwrite",
        description="What to do where somebody else has changed at the server what we wrote: `overwrite`, or "
        "`park` (If-Match with the version it had after our last write since the hub started).",
        examples=["park"],
    )
    timeout_seconds: float = Field(
        default=60, gt=0, le=600, description="Seconds the server has for an answer.", examples=[20]
    )
    auth: CallerAuth | None = Field(
        default=None,
        description="A token that never changes, or a name and a password.",
        examples=[{"bearer": "${secret:FHIR_TOKEN}"}],
    )
    client_secret: ClientSecretSettings | None = Field(
        default=None,
        description="Access tokens for a shared secret.",
        examples=[{"client_id": "mercy-hub", "secret": "${secret:FHIR_CLIENT_SECRET}"}],
    )
    smart: SmartSettings | None = Field(
        default=None,
        description="Access tokens for a signed assertion.",
        examples=[{"client_id": "mercy-hub"}],
    )
    client_certificate: CertificateSettings | None = Field(
        default=None,
        description="Access tokens for a certificate (Microsoft Entra ID).",
        examples=[
            {
                "client_id": "5c2f9c4e-0000-4000-8000-000000000001",
                "certificate": "/run/secrets/entra.pem",
                "token_url": "https://login.microsoftonline.com/TENANT/oauth2/v2.0/token",
                "scope": "https://mercy.fhir.azurehealthcareapis.com/.default",
            }
        ],
    )
    service_account: ServiceAccountSettings | None = Field(
        default=None,
        description="Access tokens for a key of a service account (Google Cloud).",
        examples=[{"key": "/run/secrets/google.json"}],
    )
    aws: AwsSettings | None = Field(
        default=None,
        description="An access key with which every request is signed (AWS HealthLake).",
        examples=[{"region": "us-east-1", "credentials": "/run/secrets/aws"}],
    )
    tls: ClientTls | None = Field(
        default=None,
        description="Whom to believe, and who we are.",
        examples=[{"ca": "tls/mercy-ca.pem"}],
    )

    _url = field_validator("url")(_safe)

    @model_validator(mode="after")
    def _one_way(self) -> FhirSettings:
        if len(self.ways) > 1:
            raise ValueError(f"{' and '.join(self.ways)}: one way to prove who we are is enough")
        if self.client_certificate is not None:
            _safe(self.client_certificate.token_url)
        return self

    @property
    def ways(self) -> list[str]:
        """The ways in which we prove who we are in a request, apart from a certificate."""
        names = ("auth", "client_secret", "smart", "client_certificate", "service_account", "aws")
        return [name for name in names if getattr(self, name)]

    def weaknesses(self) -> Iterator[tuple[str, str]]:
        """Give (what is weak, remedy) for a hub with real patients."""
        if is_loopback(self.url):
            return
        certified = self.tls is not None and self.tls.certificate is not None
        if not self.ways and not certified:
            yield (
                "the server is written to without a proof of who writes",
                "give smart:, client_secret:, client_certificate:, service_account:, aws:, auth:, or tls: "
                "with a certificate of ours",
            )
        for word, secret in (
            ("auth: bearer", self.auth.bearer if self.auth else ""),
            ("auth: password", self.auth.password if self.auth else ""),
            ("client_secret: secret", self.client_secret.secret if self.client_secret else ""),
            ("aws: secret_key", self.aws.secret_key if self.aws else ""),
        ):
            if secret and len(secret) < 16:
                yield (f"{word} is shorter than 16 characters", "let the server give a longer one")
