"""Settings of a document exchange that speaks FHIR (IHE MHD).

In: `mhd:` of a destination. Out: frozen settings, and those of the FHIR server behind them.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.destinations.fhir_settings import ClientSecretSettings, FhirSettings, SmartSettings
from engine.destinations.http_auth import CallerAuth
from engine.destinations.sharing_settings import SharingSettings
from engine.destinations.tls import ClientTls

__all__ = ["MhdSettings"]


class MhdSettings(BaseModel):
    """Documents to a health information exchange, by IHE MHD."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        description="The exchange's base address; documents are posted there (ITI-65).",
        examples=["https://hie.state.example/mhd"],
        pattern=r"^https?://[^\s?#@]+$",
    )
    sharing: SharingSettings = Field(
        description="What is said of the documents.",
        examples=[{"source": "2.999.1.7", "domain": "2.999.3", "organization": "Mercy Hospital"}],
    )
    metadata: Literal["minimal", "comprehensive"] = Field(
        default="minimal",
        description="Which of MHD's metadata profiles is written. `comprehensive`: a document of which "
        "something required is not known is refused, and the receipt names it.",
        examples=["comprehensive"],
    )
    patient: Literal["find", "include", "number"] = Field(
        default="find",
        description="How the patient is named there. `find`: asked for by the number of `sharing: domain`; "
        "exactly one must have it. `include`: what the document says of the patient goes along, and is "
        "created unless somebody has that number. `number`: by that number alone, without asking.",
        examples=["include"],
    )
    patient_system: str = Field(
        default="",
        description="What the exchange calls the numbers of `sharing: domain`, with `patient: find` and "
        "`number`. Empty: urn:oid: and the OID.",
        examples=["https://hie.state.example/patient-id"],
        pattern=r"^\S*$",
    )
    auth: CallerAuth | None = Field(
        default=None,
        description="A token that never changes, or a name and a password.",
        examples=[{"bearer": "${secret:HIE_TOKEN}"}],
    )
    client_secret: ClientSecretSettings | None = Field(
        default=None,
        description="Access tokens for a shared secret.",
        examples=[{"client_id": "mercy-hub", "secret": "${secret:HIE_SECRET}"}],
    )
    smart: SmartSettings | None = Field(
        default=None,
        description="Access tokens for a signed assertion.",
        examples=[{"client_id": "mercy-hub"}],
    )
    tls: ClientTls | None = Field(
        default=None, description="Whom to believe, and who we are.", examples=[{"ca": "tls/hie-ca.pem"}]
    )
    timeout_seconds: float = Field(
        default=60, gt=0, le=600, description="Seconds the exchange has for an answer.", examples=[120]
    )

    @model_validator(mode="after")
    def _complete(self) -> MhdSettings:
        if self.patient != "include" and not self.sharing.domain:
            raise ValueError(
                f"sharing: `patient: {self.patient}` names the patient by the number of the exchange; say "
                "its `domain`"
            )
        _ = self.server
        return self

    @property
    def server(self) -> FhirSettings:
        """Return the settings of the FHIR server."""
        shared = ("url", "auth", "client_secret", "smart", "tls", "timeout_seconds")
        return FhirSettings(**{name: getattr(self, name) for name in shared})

    @property
    def system(self) -> str:
        """Return what the exchange calls its patient numbers."""
        return self.patient_system or f"urn:oid:{self.sharing.domain}"

    def weaknesses(self) -> Iterator[tuple[str, str]]:
        """Give (what is weak, remedy) for a hub with real patients."""
        return self.server.weaknesses()
