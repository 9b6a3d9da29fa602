"""What a channel takes besides HL7 v2, in words: `x12 837P|837I`, `cda 34133-9`, `ncpdp NewRx`, `xdm`,
`fhir`.

In: the words of a channel file. Out: frozen settings; `mail.py` holds bodies against them.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["AckScript", "AckX12", "FhirIn", "Takes", "kinds_of", "private_base", "read_takes"]

_WORD = re.compile(r"(x12|cda|ncpdp|xdm|fhir|hl7v2)(?: ([0-9A-Za-z.\-]+(?:\|[0-9A-Za-z.\-]+)*))?")


class Takes(BaseModel):
    """One format that a channel accepts, and of it which types."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["x12", "cda", "ncpdp", "xdm", "fhir", "hl7v2"] = Field(
        description="Which format.", examples=["x12", "cda", "ncpdp"]
    )
    kinds: tuple[str, ...] = Field(
        default=(),
        description="Transaction sets, codes of document types, transactions; of FHIR types of resources and "
        "kinds of Bundles. Empty: all.",
        examples=[["837P", "837I"], ["34133-9"], ["NewRx"]],
    )


class AckX12(BaseModel):
    """How X12 is answered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    answer: Literal["always", "never"] = Field(
        default="always",
        description="A 999 for every functional group, and a TA1 where ISA14 asks for one or the interchange "
        "is rejected; or nothing.",
        examples=["always", "never"],
    )
    claim_answers: bool = Field(
        default=False,
        description="After the 999 of an 837 also a 277CA: each claim accepted or rejected.",
        examples=[True],
    )
    partners: Path = Field(
        default=Path("partners"),
        description="Folder of partners' own rules, which a 277CA rejects claims by; starts at the project's "
        "root. None need be there.",
        examples=["partners"],
    )
    reject: Literal["envelope", "errors"] = Field(
        default="envelope",
        description="What a 999 rejects, and is not processed: transaction sets whose envelope is wrong, or "
        "all with an error. What is not rejected is accepted, with its errors told.",
        examples=["envelope", "errors"],
    )
    into: str = Field(
        default="",
        description="Folder that the answers to files are written into; starts at the project's root. "
        "Empty: `answers` in the watched folder; for SFTP, none.",
        examples=["outbox/claims"],
    )


class AckScript(BaseModel):
    """How SCRIPT is answered."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    schemas: Path | None = Field(
        default=None,
        description="Folder of NCPDP's XSD files, one sub-folder a version; what breaks its schema is "
        "rejected. They are licensed, so none ships. Empty: messages are read as far as they can be.",
        examples=["secrets/ncpdp"],
    )
    status: Literal["010", "000"] = Field(
        default="010",
        description="Code of a Status: 010 taken by who it is for, 000 taken to be passed on.",
        examples=["000"],
    )
    description_code: str = Field(
        default="",
        description="DescriptionCode of an Error beside 900, as the network agreed on.",
        examples=["008"],
    )


class FhirIn(BaseModel):
    """What is known of who sends FHIR."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    base: str = Field(
        default="",
        description="Address of the sender's own server: ids and relative references are of it. Empty: they "
        "are of the site's `authority`, else private to the channel.",
        pattern=r"^$|^(https?://|urn:[a-z0-9-]+:)[^\s|?#]+$",
        examples=["https://gateway.example/fhir"],
    )
    patients: str = Field(
        default="",
        description="System of the identifiers that decide who a patient is. Empty: the first of type MR, "
        "else the first with a system.",
        examples=["urn:oid:2.999.3.1"],
    )
    deletes: Literal["refuse", "entered in error"] = Field(
        default="refuse",
        description="What a DELETE in a transaction does: it is refused, or what it names is marked as "
        "entered in error. Nothing is ever deleted.",
        examples=["entered in error"],
    )


def private_base(channel: str) -> str:
    """Return what ids are of whose sender's server nobody has named."""
    return f"urn:hub:sender:fhir:{channel}"


def read_takes(text: str) -> Takes | None:
    """Read a word of `accept:`; None where it is none."""
    m = _WORD.fullmatch(" ".join(text.split()))
    if m is None:
        return None
    return Takes(format=m[1], kinds=tuple(m[2].split("|")) if m[2] else ())  # type: ignore[arg-type]


def kinds_of(takes: Iterable[Takes], format: str) -> frozenset[str]:
    """Return the types of a format that are taken; empty: all are."""
    mine = [t for t in takes if t.format == format]
    return frozenset(k for t in mine for k in t.kinds) if all(t.kinds for t in mine) else frozenset()
