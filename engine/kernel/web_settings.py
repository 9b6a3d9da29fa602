"""`console:` of config.yaml: where the web side listens, who may sign in and how, whose tokens are believed.

In: nothing. Out: settings with a default for everything; what they mean for production is in
`channels/production.py`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = [
    "ConsoleSettings",
    "IssuerSettings",
    "OidcSettings",
    "RoleClaim",
    "SignInSettings",
    "WebTlsSettings",
]

_URL = r"^https?://[^\s?#]+$"


class WebTlsSettings(BaseModel):
    """TLS 1.2 or 1.3 for the web side."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    certificate: Path = Field(
        description="PEM file: the certificate, then any intermediate ones.", examples=["tls/web.pem"]
    )
    key: Path = Field(description="PEM file: the private key of the certificate.", examples=["tls/web.key"])


class SignInSettings(BaseModel):
    """How people sign in, and for how long."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    idle_minutes: int = Field(
        default=15, ge=1, le=480, description="A session ends after so long without a page.", examples=[10]
    )
    longest_hours: float = Field(
        default=12, gt=0, le=72, description="A session ends after so long in any case.", examples=[9]
    )
    second_factor: Literal["nobody", "bodies", "everybody"] = Field(
        default="nobody",
        description="Who has to give a code of an authenticator besides the password: those who may see "
        "patient data (`bodies`), or everybody.",
        examples=["bodies"],
    )
    tries: int = Field(
        default=5,
        ge=0,
        le=50,
        description="Failed tries before an account waits, each time twice as long. 0: it never does.",
        examples=[3],
    )
    glass_minutes: int = Field(
        default=60, ge=5, le=480, description="How long a broken glass stays open.", examples=[30]
    )


class RoleClaim(BaseModel):
    """What a value of the claim gives."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    role: str = Field(description="A role of this hub.", examples=["analyst"])
    channels: tuple[str, ...] = Field(default=("*",), description="On these channels.", examples=[["lab_*"]])


class OidcSettings(BaseModel):
    """Signing in elsewhere: OpenID Connect."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(
        description="Address of the provider; its /.well-known/openid-configuration is read.",
        examples=["https://sso.mercy.example/realms/staff"],
        pattern=_URL,
    )
    client: str = Field(description="Client id of this hub there.", examples=["hub"])
    secret: str = Field(
        default="", description="Client secret.", examples=["${secret:OIDC_SECRET}"], repr=False
    )
    name: str = Field(
        default="single sign-on", description="What the button says.", examples=["Mercy account"]
    )
    scopes: tuple[str, ...] = Field(
        default=("openid", "profile", "email"),
        description="What is asked for.",
        examples=[["openid", "profile"]],
    )
    name_claim: str = Field(
        default="preferred_username",
        description="Claim that names the person here and in the audit.",
        examples=["email"],
    )
    roles_claim: str = Field(
        default="groups",
        description="Claim of the ID token that holds groups or roles; dots lead into objects.",
        examples=["realm_access.roles"],
    )
    roles: dict[str, tuple[RoleClaim, ...]] = Field(
        default={},
        description="What each value of that claim gives. Who has none of them is not let in.",
        examples=[{"interface-team": [{"role": "analyst", "channels": ["lab_*"]}]}],
    )
    second_factor: bool = Field(
        default=False,
        description="Whether the provider has to say (claims `amr`, `acr`) that a second factor was used.",
        examples=[True],
    )
    acr: tuple[str, ...] = Field(
        default=(), description="Values of `acr` that say so, and are asked for.", examples=[["mfa"]]
    )


class IssuerSettings(BaseModel):
    """Whose access tokens are believed at /fhir, /feed and /dicomweb (SMART, backend services)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    issuer: str = Field(
        description="The claim `iss`, letter by letter.",
        examples=["https://sso.mercy.example/realms/apps"],
        pattern=_URL,
    )
    audience: str = Field(
        description="The claim `aud` that means this hub.",
        examples=["https://hub.mercy.example/fhir"],
        min_length=1,
    )
    keys: str = Field(
        default="",
        description="JWKS of the issuer: a file, or an address. Empty: the address its "
        "/.well-known/openid-configuration names.",
        examples=["secrets/apps.jwks"],
    )
    algorithms: tuple[Literal["RS256", "RS384", "ES256", "ES384"], ...] = Field(
        default=("RS256", "RS384", "ES256", "ES384"),
        min_length=1,
        description="Signatures that are believed.",
        examples=[["RS384", "ES384"]],
    )
    scopes: tuple[str, ...] = Field(
        default=(),
        description="The most its tokens may do. Empty: what they say.",
        examples=[["system/Observation.rs"]],
    )
    patient_claim: str = Field(
        default="patient",
        description="Claim with the id of the Patient that `patient/` scopes mean.",
        examples=["fhir_patient"],
    )


class ConsoleSettings(BaseModel):
    """The web side: console, FHIR endpoint, feed."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    listen: str = Field(
        default="127.0.0.1:8080",
        description="Address and port of the web pages and the FHIR endpoint. For others than this machine "
        "set `tls`, or put a proxy with TLS before it and say so with `proxy`.",
        examples=["10.20.0.5:8443"],
    )
    tls: WebTlsSettings | None = Field(
        default=None,
        description="Certificate of the web side. Empty: plain HTTP.",
        examples=[{"certificate": "tls/web.pem", "key": "tls/web.key"}],
    )
    proxy: str = Field(
        default="",
        description="Address that people type where a proxy with TLS passes requests on. Links begin with "
        "it, and every page then asks for the token.",
        examples=["https://hub.mercy.example"],
        pattern=r"^(https://[^/\s]+(/[^\s?#]*)?)?$",
    )
    sign_in: SignInSettings = Field(
        default=SignInSettings(),
        description="How people sign in, and for how long.",
        examples=[{"second_factor": "bodies"}],
    )
    oidc: OidcSettings | None = Field(
        default=None,
        description="Signing in elsewhere: OpenID Connect. Empty: accounts of this hub alone.",
        examples=[{"issuer": "https://sso.mercy.example/realms/staff", "client": "hub"}],
    )
    issuers: tuple[IssuerSettings, ...] = Field(
        default=(),
        description="Whose access tokens are believed at /fhir, /feed and /dicomweb.",
        examples=[
            [
                {
                    "issuer": "https://sso.mercy.example/realms/apps",
                    "audience": "https://hub.mercy.example/fhir",
                }
            ]
        ],
    )
