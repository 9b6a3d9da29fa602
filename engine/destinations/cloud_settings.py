"""Settings of how we prove who we are to FHIR servers of Google, Microsoft and Amazon.

In: the words below `service_account:`, `client_certificate:` and `aws:`. Out: settings that can be followed,
or pydantic's word for what is wrong. Files are named, never copied: who runs the machine puts new ones in
their place, and they are read again for the next token.
"""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, model_validator

__all__ = ["AwsSettings", "CertificateSettings", "ServiceAccountSettings"]


class ServiceAccountSettings(BaseModel):
    """A service account of Google Cloud: a signed assertion for an access token (RFC 7523, 2.1)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    key: Path = Field(
        description="The JSON file that Google gave for a key of the account.",
        examples=["/run/secrets/google.json"],
    )
    scope: str = Field(
        default="https://www.googleapis.com/auth/cloud-healthcare",
        description="What we ask to be allowed.",
        examples=["https://www.googleapis.com/auth/cloud-platform"],
    )


class CertificateSettings(BaseModel):
    """OAuth 2.0 client credentials with a certificate in place of a secret (Microsoft Entra ID)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    client_id: str = Field(
        min_length=1,
        description="What the server calls us: the id of the application.",
        examples=["5c2f9c4e-0000-4000-8000-000000000001"],
    )
    certificate: Path = Field(
        description="PEM file: the certificate that was uploaded there.", examples=["/run/secrets/entra.pem"]
    )
    key: Path | None = Field(
        default=None,
        description="PEM file: its private key (RSA), without a passphrase. Empty: in the certificate's "
        "file.",
        examples=["/run/secrets/entra.key"],
    )
    token_url: str = Field(
        pattern=r"^https?://[^\s?#@]+$",
        description="Where tokens are given.",
        examples=["https://login.microsoftonline.com/TENANT/oauth2/v2.0/token"],
    )
    scope: str = Field(
        default="",
        description="What we ask to be allowed; the FHIR server's address and `/.default`.",
        examples=["https://mercy.fhir.azurehealthcareapis.com/.default"],
    )
    resource: str = Field(
        default="",
        description="In place of a scope, for the older token address (`/oauth2/token`).",
        examples=["https://mercy.fhir.azurehealthcareapis.com"],
    )

    @model_validator(mode="after")
    def _what_for(self) -> CertificateSettings:
        if bool(self.scope) == bool(self.resource):
            raise ValueError("takes `scope` or `resource`")
        return self


class AwsSettings(BaseModel):
    """An access key of AWS: every request is signed (Signature Version 4)."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    region: str = Field(
        pattern=r"^[a-z0-9-]+$", description="The region of the data store.", examples=["us-east-1"]
    )
    access_key: str = Field(
        default="", description="The access key's id.", examples=["${secret:AWS_ACCESS_KEY_ID}"]
    )
    secret_key: str = Field(
        default="", repr=False, description="Its secret.", examples=["${secret:AWS_SECRET_ACCESS_KEY}"]
    )
    credentials: Path | None = Field(
        default=None,
        description="In place of both: a file such as `~/.aws/credentials`, with a session's token where the "
        "key is a short-lived one. It is read for every request.",
        examples=["/run/secrets/aws"],
    )
    profile: str = Field(
        default="default", description="Which section of that file.", examples=["hub"], min_length=1
    )
    service: str = Field(
        default="healthlake",
        pattern=r"^[a-z0-9-]+$",
        description="What requests are signed for.",
        examples=["execute-api"],
    )

    @model_validator(mode="after")
    def _one_way(self) -> AwsSettings:
        if bool(self.access_key) != bool(self.secret_key):
            raise ValueError("access_key and secret_key belong together")
        if bool(self.access_key) == (self.credentials is not None):
            raise ValueError("takes access_key and secret_key, or credentials")
        return self
