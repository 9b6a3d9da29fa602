"""What a site says of the documents it shares, where the documents themselves do not.

In: `sharing:` of a destination. Out: frozen settings, and the records that metadata are written from. Codes
are those of the community that shares (its affinity domain); none is preset, for none is true everywhere.
Follows IHE ITI TF-3 4.2.3.2 and 4.2.3.3.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field

from engine.formats.xdm import Coded
from engine.formats.xds.entry import Sharing

__all__ = ["SharedCode", "SharingSettings"]


class SharedCode(BaseModel):
    """One code and the list it is from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    code: str = Field(description="The code.", examples=["34133-9"], min_length=1)
    system: str = Field(
        description="The list it is from: its address or its OID.",
        examples=["http://loinc.org"],
        min_length=1,
    )
    display: str = Field(default="", description="What it is called there.", examples=["Summary of episode"])

    @property
    def coded(self) -> Coded:
        """Return it as metadata hold it."""
        return Coded(self.code, self.system, self.display)


class SharingSettings(BaseModel):
    """Who shares, and what the community calls what it shares."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    source: str = Field(
        description="OID of who shares: your organization's, or this hub's below it (sourceId).",
        examples=["2.999.1.7"],
        pattern=r"^[0-2](\.(0|[1-9][0-9]*))+$",
    )
    organization: str = Field(
        default="", description="Name of who shares.", examples=["Mercy Hospital"], max_length=200
    )
    contact: str = Field(
        default="",
        description="Whom to ask about a package; it stands in its README.TXT.",
        examples=["interfaces@mercy.example, +1 555 0100"],
        max_length=200,
    )
    domain: str = Field(
        default="",
        description="OID of the patient numbers of the community (affinity domain). Where a document has a "
        "number of it, that is the patient's number there; it is never looked up.",
        examples=["2.999.3"],
        pattern=r"^([0-2](\.(0|[1-9][0-9]*))+)?$",
    )
    document_class: SharedCode | None = Field(
        default=None,
        description="What class of document these are (classCode).",
        examples=[{"code": "34133-9", "system": "http://loinc.org"}],
    )
    content: SharedCode | None = Field(
        default=None,
        description="What led to sharing them (contentTypeCode).",
        examples=[{"code": "11488-4", "system": "http://loinc.org"}],
    )
    facility: SharedCode | None = Field(
        default=None,
        description="What kind of place they come from, where the document does not say.",
        examples=[{"code": "HOSP", "system": "2.16.840.1.113883.5.111"}],
    )
    practice: SharedCode | None = Field(
        default=None,
        description="The specialty they come from (practiceSettingCode).",
        examples=[{"code": "394802001", "system": "http://snomed.info/sct"}],
    )
    format: SharedCode | None = Field(
        default=None,
        description="Their format, where the document does not say.",
        examples=[{"code": "urn:ihe:iti:xds-sd:pdf:2008", "system": "1.3.6.1.4.1.19376.1.2.3"}],
    )

    @property
    def said(self) -> Sharing:
        """Return what is said of every document."""
        codes = (self.document_class, self.facility, self.practice, self.format)
        return Sharing(*(one.coded if one is not None else None for one in codes))
