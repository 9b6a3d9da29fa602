"""Settings of alarms: what the hub watches of itself, who is told, when nobody is woken.

In: `alerts:` of config.yaml. Out: frozen settings. The lines that watch a channel stand in the channel's own
file; those of `every_channel` hold for all of them.
"""

from __future__ import annotations

import re
from datetime import tzinfo
from pathlib import Path
from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import BaseModel, ConfigDict, Field, field_validator

__all__ = ["AlertLine", "AlertSettings", "MailServer", "MailSettings", "OrderLine", "WebhookSettings"]

_QUIET = re.compile(r"([01][0-9]|2[0-3]):([0-5][0-9])-([01][0-9]|2[0-3]):([0-5][0-9])")
_ADDRESS = r"^[^@\s,;<>]+@[^@\s,;<>]+$"


class AlertLine(BaseModel):
    """One thing to watch, as in a channel's file."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    when: str = Field(
        description="What raises the alarm: `held > 10`, `waiting > 1000`, `oldest waiting > 10 minutes`, "
        "`unmapped codes > 0`, `silent for 2 hours`, `silent against the usual`.",
        examples=["held > 10"],
    )
    say: str = Field(default="", description="What people are told to do.", examples=["Call the laboratory"])
    at_most: str = Field(
        default="",
        description="How often it may be told that it begins: hourly, daily, weekly, or a time.",
        examples=["daily"],
    )
    urgent: bool = Field(
        default=False, description="Whether it is told in quiet hours, too.", examples=[True]
    )


class OrderLine(BaseModel):
    """How long orders that went out may be without an answer, and without a result."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    to: str = Field(
        min_length=1, description="The destination that they went to: who fills them.", examples=["lis"]
    )
    priority: Literal["", "routine", "urgent", "asap", "stat"] = Field(
        default="",
        description="Orders of this priority only (ServiceRequest.priority; none said is `routine`).",
        examples=["stat"],
    )
    answered: str = Field(
        default="",
        description="How long until the other side has said that it has the order. Empty: not watched.",
        examples=["30 minutes"],
    )
    resulted: str = Field(
        default="",
        description="How long until a final report names the order, or it is complete or called off. Empty: "
        "not watched.",
        examples=["24 hours"],
    )
    say: str = Field(default="", description="What people are told to do.", examples=["Call the laboratory"])
    urgent: bool = Field(
        default=False, description="Whether it is told in quiet hours, too.", examples=[True]
    )


class MailServer(BaseModel):
    """A mail server, and the address that mail comes from."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    host: str = Field(description="The mail server.", examples=["smtp.mercy.example"])
    port: int = Field(default=587, ge=1, le=65535, description="Its port.", examples=[465])
    security: Literal["starttls", "tls", "none"] = Field(
        default="starttls",
        description="How the connection is protected; a server that cannot is not spoken to.",
        examples=["tls"],
    )
    ca: Path | None = Field(
        default=None,
        description="PEM file: the authorities its certificate may come from. Empty: those of this machine.",
        examples=["tls/mercy-ca.pem"],
    )
    user: str = Field(default="", description="Name to sign in with; empty: none.", examples=["hub"])
    password: str = Field(
        default="", description="Its password.", examples=["${secret:SMTP_PASSWORD}"], repr=False
    )
    sender: str = Field(
        description="Address that mail comes from.", examples=["hub@mercy.example"], pattern=_ADDRESS
    )
    timeout_seconds: float = Field(
        default=15, gt=0, le=120, description="Seconds the server has for each answer.", examples=[30]
    )


class MailSettings(MailServer):
    """Notices by mail."""

    to: tuple[str, ...] = Field(
        default=(), description="Who is told of every alarm.", examples=[["interfaces@mercy.example"]]
    )
    escalate_to: tuple[str, ...] = Field(
        default=(),
        description="Who is told of an alarm that nobody has acknowledged in time.",
        examples=[["on-call@mercy.example"]],
    )


class WebhookSettings(BaseModel):
    """Notices by HTTP POST, e.g. to a paging service."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(
        description="What it is called on the page.", examples=["pager"], pattern=r"^[a-z][a-z0-9_-]{0,39}$"
    )
    url: str = Field(
        description="Where notices are posted, as JSON.",
        examples=["https://pager.mercy.example/hub"],
        pattern=r"^https?://[^\s]+$",
    )
    secret: str = Field(
        default="",
        description="Key of the signature in the header X-Hub-Signature-256, by which the receiver knows "
        "that a notice comes from this hub.",
        examples=["${secret:PAGER_KEY}"],
        repr=False,
    )
    ca: Path | None = Field(
        default=None,
        description="PEM file: the authorities its certificate may come from. Empty: those of this machine.",
        examples=["tls/mercy-ca.pem"],
    )
    escalation: bool = Field(
        default=False,
        description="Whether it is told only of alarms that nobody has acknowledged in time.",
        examples=[True],
    )
    timeout_seconds: float = Field(
        default=10, gt=0, le=120, description="Seconds it has for an answer.", examples=[5]
    )


class AlertSettings(BaseModel):
    """Alarms and who is told of them."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    every_channel: tuple[AlertLine, ...] = Field(
        default=(
            AlertLine(when="oldest waiting > 10 minutes", urgent=True),
            AlertLine(when="silent against the usual"),
        ),
        description="What is watched of every channel, besides the lines in its own file.",
        examples=[[{"when": "held > 10", "say": "Somebody has to look"}]],
    )
    mail: MailSettings | None = Field(
        default=None,
        description="Notices by mail.",
        examples=[{"host": "smtp.mercy.example", "sender": "hub@mercy.example", "to": ["it@mercy.example"]}],
    )
    webhooks: tuple[WebhookSettings, ...] = Field(
        default=(),
        description="Notices by HTTP POST.",
        examples=[[{"name": "pager", "url": "https://pager.mercy.example/hub"}]],
    )
    destinations: tuple[str, ...] = Field(
        default=(),
        description="Names of destinations (`http`, `rabbitmq`, `webhook`) that are told of every alarm, and "
        "again when nobody has acknowledged it, as events.",
        examples=[["events"]],
    )
    escalate_after: str = Field(
        default="30 minutes",
        description="How long an alarm may be unacknowledged before those of escalate_to are told; `never`.",
        examples=["1 hour"],
    )
    quiet_hours: str = Field(
        default="",
        description="Time of day in which only urgent alarms are told; the others are told when it is over.",
        examples=["22:00-06:30"],
    )
    time_zone: str = Field(
        default="",
        description="Whose clock quiet hours and usual hours follow. Empty: this machine's.",
        examples=["Europe/Berlin"],
    )
    settle: str = Field(
        default="2 minutes",
        description="How long the cause of an alarm must be gone before the alarm is over.",
        examples=["5 minutes"],
    )
    certificate_days: int = Field(
        default=30,
        ge=0,
        description="Days before a certificate expires at which an alarm is raised; urgent in the last 7.",
        examples=[60],
    )
    disk_free_mb: int = Field(
        default=4096,
        ge=0,
        description="Free megabytes of the data folder's disk below which an alarm is raised; urgent below "
        "disk_reserve_mb.",
        examples=[20000],
    )
    restarts: int = Field(
        default=3,
        ge=1,
        description="How often one process may start again within ten minutes before an alarm is raised.",
        examples=[5],
    )
    destination: str = Field(
        default="5 minutes",
        description="How long a destination may take no deliveries before an alarm is raised.",
        examples=["15 minutes"],
    )
    orders: tuple[OrderLine, ...] = Field(
        default=(),
        description="How long orders that went out may wait. Of an order the first line that fits holds.",
        examples=[[{"to": "lis", "answered": "30 minutes", "resulted": "24 hours"}]],
    )
    backup: str = Field(
        default="",
        description="How old the newest backup may be, e.g. `26 hours`. Empty: not watched.",
        examples=["26 hours"],
    )
    audit: str = Field(
        default="1 day",
        description="How often the chain of the audit is recomputed; `never`.",
        examples=["12 hours"],
    )
    link: str = Field(
        default="",
        description="Address that the links in notices begin with. Empty: that of the web side.",
        examples=["https://hub.mercy.example"],
        pattern=r"^(https?://[^/\s]+(/[^\s?#]*)?)?$",
    )

    @field_validator("quiet_hours")
    @classmethod
    def _quiet(cls, value: str) -> str:
        if value and not _QUIET.fullmatch(value.replace(" ", "")):
            raise ValueError("quiet_hours: write e.g. 22:00-06:30")
        return value.replace(" ", "")

    @field_validator("time_zone")
    @classmethod
    def _zone(cls, value: str) -> str:
        if value:
            try:
                ZoneInfo(value)
            except (KeyError, ValueError, OSError):
                raise ValueError("time_zone: there is no such zone; write e.g. Europe/Berlin") from None
        return value

    @property
    def zone(self) -> tzinfo | None:
        """The time zone; None: this machine's."""
        return ZoneInfo(self.time_zone) if self.time_zone else None

    @property
    def quiet(self) -> tuple[int, int] | None:
        """The quiet hours as minutes of the day, from and to."""
        m = _QUIET.fullmatch(self.quiet_hours)
        return (int(m[1]) * 60 + int(m[2]), int(m[3]) * 60 + int(m[4])) if m else None
