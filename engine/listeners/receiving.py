"""What every way in knows of its channel: rules, senders, order, duplicates.

In: the words of a channel file, checked. Out: frozen settings; each way in adds its own (`MllpChannel`,
`HttpChannel`, `FolderChannel`, `SftpChannel`), and `source_of` makes of them what the journal is told.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from engine.formats.hl7v2.profile import Profile
from engine.listeners.ack_rules import AckRules, AckSettings, Strict
from engine.listeners.entries import Source
from engine.listeners.senders import BY_PATIENT, KnownSender, Senders
from engine.listeners.validating import validator

__all__ = ["ReceivingChannel", "source_of"]


class ReceivingChannel(BaseModel):
    """Everything that a way in must know of its channel, whatever the bytes come over."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    channel: str = Field(description="Name of the channel.", examples=["lab_oru"])
    rules: AckSettings = Field(
        default=AckSettings(),
        description="What it accepts and how it answers.",
        examples=[{"accept": [{"type": "ORU^R01"}]}],
    )
    profile: Profile | None = Field(
        default=None, description="The conformance profile that `rules` name, read.", examples=[None]
    )
    sender: str = Field(
        default="",
        description="Name of the sender. Empty: MSH-3 and MSH-4 of each message.",
        examples=["acme_lab"],
    )
    senders: tuple[KnownSender, ...] = Field(
        default=(),
        description="What the site files say of those who send here; the first that fits counts.",
        examples=[({"match": (("MSH-3", ("ACMELIS",)),), "authority": "ACME"},)],
    )
    order: str = Field(
        default=BY_PATIENT,
        description="Whose messages never overtake each other, beside each patient's: `sender`, or all that "
        "have the same value at a place such as `PV1-19`.",
        examples=["PID-3", "sender", "PV1-19"],
    )
    duplicate_window_ms: int | None = Field(
        default=None,
        ge=0,
        description="How far back the same message is looked for. Empty: for ever.",
        examples=[604_800_000],
    )
    duplicates: Literal["skip", "flag"] = Field(
        default="skip",
        description="`skip`: the same message is answered again and not kept twice. "
        "`flag`: it is kept and worked on.",
        examples=["skip", "flag"],
    )


def source_of(
    channel: ReceivingChannel,
    strict: Strict | None = None,
    conceal: Callable[[str], str] | None = None,
    rules: type[AckRules] = AckRules,
) -> Source:
    """Return what the journal is told of a channel's messages; `rules`: a way in's own table."""
    return Source(
        channel.channel,
        rules(channel.rules, validator(channel.rules, channel.profile, strict)),
        Senders(channel.channel, channel.sender, channel.senders, channel.order, conceal),
        channel.sender,
        channel.duplicate_window_ms,
        channel.duplicates,
    )
