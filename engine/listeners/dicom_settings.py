"""What is configured of one DICOM node: its title and port, who may do what, its limits, where it sends.

In: the words of a channel file, checked. Out: frozen settings. Follows PS3.8 (association limits) and PS3.15
B.1 (secure transport).
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from engine.formats.dicom.uids import is_storage, keyword_of
from engine.listeners.allow import Networks
from engine.listeners.receiving import ReceivingChannel
from engine.listeners.tls import TlsSettings

__all__ = ["DicomChannel", "DicomPeer", "DicomSettings", "ForwardRule", "Issuers"]

Service = Literal["store", "find", "retrieve", "worklist", "mpps", "commitment"]
_ALL: tuple[Service, ...] = ("store", "find", "retrieve", "worklist", "mpps", "commitment")
_TITLE = r"^[!-\[\]-~]([ -\[\]-~]{0,14}[!-\[\]-~])?$"  # PS3.5 6.2, AE: no backslash, no blanks around it


class DicomPeer(BaseModel):
    """One system this node knows by its AE title."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ae_title: str = Field(description="Its AE title.", examples=["CT01"], pattern=_TITLE)
    host: str = Field(
        default="",
        description="Where it listens: needed to move or forward to it, and to answer its commitments.",
        examples=["10.20.0.7"],
    )
    port: int = Field(default=104, ge=1, le=65535, description="Its port.", examples=[11112])
    allow: Networks = Field(
        default=(),
        description="Networks it may call from. Empty: those of the node.",
        examples=[["10.20.0.7/32"]],
    )
    may: tuple[Service, ...] = Field(
        default=_ALL,
        description="What it may ask for.",
        examples=[["store", "worklist", "mpps", "commitment"]],
    )
    tls: bool = Field(default=False, description="Whether it is called by TLS.", examples=[True])


class Issuers(BaseModel):
    """Whose numbers come without an issuer: never guessed, said by the site."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    patient: str = Field(
        default="",
        description="Assigning authority of Patient IDs (0010,0020) that come without an issuer, as PID-3.4 "
        "says it or as a URI. Empty: such a number alone links to nobody.",
        examples=["NORTH", "urn:oid:2.16.840.1.113883.19.5"],
    )
    accession: str = Field(
        default="",
        description="The same of accession numbers (0008,0050), as IPC-1.2 says it or as a URI. Empty: the "
        "hub's own, which OBR-18 has too.",
        examples=["RIS"],
    )


class ForwardRule(BaseModel):
    """Objects that go on to another system."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    to: str = Field(description="AE title of the peer; it needs a host.", examples=["PACS"])
    modality: tuple[str, ...] = Field(
        default=(), description="Only of these modalities. Empty: of all.", examples=[["CT", "MR"]]
    )
    sender: tuple[str, ...] = Field(
        default=(), description="Only from these AE titles. Empty: from all.", examples=[["CT01"]]
    )


class DicomSettings(BaseModel):
    """One DICOM node."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    port: int = Field(ge=0, le=65535, description="TCP port. 0 takes a free one.", examples=[11112])
    host: str = Field(
        default="127.0.0.1",
        description="Address to listen on. Anything but loopback should have `tls` or a private network.",
        examples=["0.0.0.0", "::1"],
    )
    ae_title: str = Field(description="Its own AE title.", examples=["HUB"], pattern=_TITLE)
    any_called: bool = Field(
        default=False, description="Answer whatever AE title is called.", examples=[True]
    )
    tls: TlsSettings | None = Field(
        default=None,
        description="Certificates; without them the port is plain TCP.",
        examples=[{"certificate": "tls/hub.pem", "key": "tls/hub.key", "client_ca": "tls/modalities.pem"}],
    )
    allow: Networks = Field(
        default=(),
        description="Networks that may connect. Empty: every address.",
        examples=[["10.20.0.0/16"]],
    )
    peers: tuple[DicomPeer, ...] = Field(
        default=(),
        description="Systems known by their AE titles.",
        examples=[[{"ae_title": "CT01", "may": ["store", "worklist", "mpps"]}]],
    )
    others: tuple[Service, ...] = Field(
        default=(),
        description="What systems may ask for that `peers` does not name. Empty: they are rejected.",
        examples=[["store"]],
    )
    unknown_classes: Literal["refuse", "accept"] = Field(
        default="refuse",
        description="Objects of SOP classes that the standard does not list: private or newer ones. "
        "`accept` keeps and lists them.",
        examples=["accept"],
    )
    max_associations: int = Field(
        default=40, ge=1, le=1000, description="Associations at one time; more are rejected.", examples=[40]
    )
    max_pdu_bytes: int = Field(
        default=131_072, ge=4096, le=1 << 24, description="Longest PDU that is taken.", examples=[131_072]
    )
    max_object_mb: int = Field(
        default=4096, ge=1, description="An object longer than this is refused.", examples=[4096]
    )
    idle_seconds: float = Field(
        default=60, gt=0, description="An association that says nothing for so long is ended.", examples=[60]
    )
    quiet_seconds: float = Field(
        default=5,
        gt=0,
        le=3600,
        description="How long a study must be quiet before the core store is told of it; one that goes on "
        "growing is told of every minute.",
        examples=[30],
    )
    issuers: Issuers = Field(
        default=Issuers(),
        description="Whose numbers come without an issuer.",
        examples=[{"patient": "NORTH"}],
    )
    forward: tuple[ForwardRule, ...] = Field(
        default=(), description="Where objects go on to.", examples=[[{"to": "PACS", "modality": ["CT"]}]]
    )
    worklist_days: tuple[int, int] = Field(
        default=(30, 90),
        description="Steps of how many days back and ahead stay on the worklist where nobody closed them.",
        examples=[[7, 30]],
    )
    step_status: str = Field(
        default="",
        description="URL (mllp://host:port) that is sent an ORM^O01 status message for every step begun, "
        "completed or discontinued. Empty: nobody is.",
        examples=["mllp://10.20.0.9:2575"],
    )

    def below(self, root: Path) -> DicomSettings:
        """Return the same with relative names of files made full."""
        return self if self.tls is None else self.model_copy(update={"tls": self.tls.below(root)})

    def takes_class(self, sop_class: str) -> bool:
        """Say whether objects of a SOP class are taken."""
        return is_storage(sop_class) or (self.unknown_classes == "accept" and not keyword_of(sop_class))

    def peer(self, ae_title: str) -> DicomPeer | None:
        """Return what is known of a calling AE title."""
        return next((p for p in self.peers if p.ae_title == ae_title), None)


class DicomChannel(ReceivingChannel):
    """Everything a DICOM process must know of one channel."""

    dicom: DicomSettings = Field(description="The node.", examples=[{"port": 11112, "ae_title": "HUB"}])
