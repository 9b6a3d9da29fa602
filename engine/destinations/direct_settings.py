"""Settings of Direct: the mail server of the HISP, our certificate, whom we trust.

In: `direct:` of a destination. Out: frozen settings. Follows the Applicability Statement for Secure Health
Transport 1.2.
"""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from engine.destinations.sharing_settings import SharingSettings
from engine.destinations.tls import ClientTls

__all__ = ["DirectSettings"]

_ADDRESS = r"^[^@\s,;<>\"]+@[^@\s,;<>\"]+$"


class DirectSettings(BaseModel):
    """Documents by Direct secure messaging, to one address."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(description="The mail server of your HISP.", examples=["smtp.hisp.example"])
    port: int = Field(default=587, ge=1, le=65535, description="Its port.", examples=[465])
    security: Literal["starttls", "tls"] = Field(
        default="starttls",
        description="How the connection is protected. A server that cannot is not spoken to.",
        examples=["tls"],
    )
    tls: ClientTls | None = Field(
        default=None,
        description="Whom to believe, and who we are, for the connection to the mail server.",
        examples=[{"ca": "tls/hisp-ca.pem"}],
    )
    user: str = Field(default="", description="Name to sign in with; empty: none.", examples=["hub"])
    password: str = Field(
        default="", description="Its password.", examples=["${secret:HISP_PASSWORD}"], repr=False
    )
    sender: str = Field(
        description="Our Direct address.", examples=["hub@direct.mercy.example"], pattern=_ADDRESS
    )
    to: str = Field(
        description="The Direct address that documents go to: one, for another destination another.",
        examples=["records@direct.lakeshore.example"],
        pattern=_ADDRESS,
    )
    certificate: Path = Field(
        description="PEM file: our certificate for `sender` or its domain, then what leads to its authority.",
        examples=["direct/mercy.pem"],
    )
    key: Path | None = Field(
        default=None,
        description="PEM file: its private key (RSA). Empty: in the certificate's file.",
        examples=["direct/mercy.key"],
    )
    key_password: str = Field(
        default="",
        description="What the private key is encrypted with.",
        examples=["${secret:DIRECT_KEY}"],
        repr=False,
    )
    anchors: Path = Field(
        description="PEM file: the authorities (trust anchors) that recipients' certificates must come from.",
        examples=["direct/anchors.pem"],
    )
    certificates: Path | None = Field(
        default=None,
        description="Folder of recipients' certificates: `<address>.pem`, else `<domain>.pem`, in lower "
        "case; what leads from them to an anchor may follow in the file.",
        examples=["direct/recipients"],
    )
    dns: bool = Field(
        default=False,
        description="Whether a recipient's certificate that no file holds is asked for in DNS "
        "(CERT records).",
        examples=[True],
    )
    name_servers: tuple[str, ...] = Field(
        default=(),
        description="Name servers to ask, `address` or `address:port`. Empty: those of this machine.",
        examples=[["10.0.0.53"]],
    )
    revocation: Literal["named", "strict", "off"] = Field(
        default="named",
        description="`named`: a certificate that names a responder (OCSP) or a revocation list must hold by "
        "one of them, and nothing is sent while neither can be had. `strict`: it must name one. `off`: "
        "nothing is asked.",
        examples=["strict"],
    )
    issuers: Literal["fetch", "given"] = Field(
        default="fetch",
        description="Where a recipient's certificate leads to no anchor by what came with it: whether its "
        "issuers are fetched from where it says they are (HTTP), or only `given` ones count.",
        examples=["given"],
    )
    encryption: Literal["aes-128-cbc", "aes-256-cbc"] = Field(
        default="aes-256-cbc", description="How the message is encrypted.", examples=["aes-128-cbc"]
    )
    attach: Literal["xdm", "document"] = Field(
        default="xdm",
        description="`xdm`: the documents and what is known of them as one zip. `document`: as it is.",
        examples=["document"],
    )
    subject: str = Field(
        default="Clinical document",
        description="Subject of the message; it is encrypted, and yet names no patient.",
        examples=["Summary of care from Mercy"],
        max_length=200,
        pattern=r"^[^\r\n]*$",
    )
    text: str = Field(
        default="A clinical document is attached.",
        description="What the message says.",
        examples=["Please file the attached document."],
    )
    ask: Literal["processed", "dispatched"] = Field(
        default="dispatched",
        description="What the other side is asked to tell: that its HISP took it, or also that it reached "
        "the system behind.",
        examples=["processed"],
    )
    notices: Path | None = Field(
        default=None,
        description="Folder into which mail to `sender` is put, a file each (e.g. a Maildir's `new`): what "
        "the other side tells of our messages is read there.",
        examples=["/var/mail/direct/new"],
    )
    notice_within: str = Field(
        default="1 hour",
        description="How long the other side has to tell what `ask` asks for before an alarm is raised; "
        "empty: never. It takes `notices`.",
        examples=["24 hours"],
        pattern=r"^([1-9]\d*\s*(second|minute|hour|day|week)s?)?$",
    )
    sharing: SharingSettings | None = Field(
        default=None,
        description="What is said of the documents; a package (`attach: xdm`) needs it.",
        examples=[{"source": "2.999.1.7", "organization": "Mercy Hospital"}],
    )
    timeout_seconds: float = Field(
        default=60, gt=0, le=600, description="Seconds the server has for each answer.", examples=[120]
    )

    @model_validator(mode="after")
    def _complete(self) -> DirectSettings:
        if self.certificates is None and not self.dns:
            raise ValueError(
                "takes `certificates` (a folder), `dns: true`, or both: nothing is sent unencrypted"
            )
        if self.attach == "xdm" and self.sharing is None:
            raise ValueError(
                "sharing: a package says who shares; give it at least `source`, or `attach: document`"
            )
        return self

    def below(self, root: Path) -> DirectSettings:
        """Return the same with relative names made full: they start at the project's root."""
        full: dict[str, object] = {
            name: root.resolve() / path
            for name in ("certificate", "key", "anchors", "certificates", "notices")
            if (path := getattr(self, name)) is not None
        }
        if self.tls is not None:
            full["tls"] = self.tls.below(root)
        return self.model_copy(update=full)
