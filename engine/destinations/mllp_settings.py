"""Settings of a system that takes messages over MLLP.

In: what stands under `mllp:` of a destination. Out: frozen settings.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from engine.destinations.mllp_connection import address_of
from engine.destinations.production import on_this_machine
from engine.destinations.tls import ClientTls
from engine.kernel.errors import ConfigError

__all__ = ["MllpDestination"]

_SET = {
    "MSH-3": 3, "MSH-4": 4, "MSH-5": 5, "MSH-6": 6, "MSH-8": 8, "MSH-11": 11, "MSH-15": 15, "MSH-16": 16,
}  # fmt: skip
_SAID = re.compile(r"AE|AR|CE|CR|[A-Za-z0-9_.-]{1,20}")


class MllpDestination(BaseModel):
    """A system that takes HL7 v2 messages over MLLP."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    url: str = Field(
        description="Where it listens: `mllp://HOST:PORT`, or `mllps://HOST:PORT` for TLS.",
        examples=["mllps://lis.lakeside.example:2575"],
    )
    tls: ClientTls | None = Field(
        default=None,
        description="Whom to believe, and our own certificate, for `mllps:`.",
        examples=[{"ca": "tls/lakeside-ca.pem", "certificate": "tls/hub.pem", "key": "tls/hub.key"}],
    )
    tls_name: str = Field(
        default="",
        description="The name in its certificate, where that is not the host of `url`.",
        examples=["lis.lakeside.example"],
    )
    plain: str = Field(
        default="",
        description="Why messages go over the network without TLS in production: `accepted because ...`.",
        examples=["accepted because the cable to the analyser leaves the room nowhere"],
        pattern=r"^(accepted because \S.*)?$",
    )
    connect_seconds: float = Field(
        default=10, gt=0, le=120, description="Seconds for making the connection.", examples=[5]
    )
    answer_seconds: float = Field(
        default=30,
        gt=0,
        le=600,
        description="Seconds it has for an answer. Then the connection is closed and the same message is "
        "sent again.",
        examples=[60],
    )
    wait_for: Literal["accept", "application"] = Field(
        default="accept",
        description="Which answer counts in enhanced mode: the first one, or after a CA the application's "
        "(AA, AE, AR) on the same connection.",
        examples=["application"],
    )
    application_seconds: float = Field(
        default=60,
        gt=0,
        le=3600,
        description="Seconds for the application's answer after a CA.",
        examples=[300],
    )
    acknowledge: Literal["as the message says", "always"] = Field(
        default="as the message says",
        description="Whether an answer is waited for where MSH-15 and MSH-16 ask for none (`NE`).",
        examples=["always"],
    )
    unnamed_answers: bool = Field(
        default=False,
        description="Take an answer with an empty MSA-2 for the answer to what was sent last, for systems "
        "that never fill it.",
        examples=[True],
    )
    answers_to: str = Field(
        default="",
        description="Channel that takes what its applications answer (ORL, ORR, ORI: what of an order was "
        "accepted, refused, numbered), as if it had come in there. Empty: it is kept with the delivery only.",
        examples=["orders"],
    )
    answers: dict[str, Literal["sent", "retry", "refuse", "park"]] = Field(
        default_factory=dict,
        description="What an error means, by MSA-1 (AE, AR, CE, CR) or by the code of ERR-3, where this "
        "system means something else than the standard.",
        examples=[{"AR": "refuse", "204": "retry"}],
    )
    keep_open: bool = Field(
        default=True, description="Whether the connection stays open between messages.", examples=[False]
    )
    keepalive_seconds: int = Field(
        default=60,
        ge=0,
        le=7200,
        description="After how many quiet seconds TCP asks whether the other side is still there; 0: never.",
        examples=[30],
    )
    set: dict[str, str] = Field(
        default_factory=dict,
        description="Fields of MSH that are replaced: MSH-3 to 6, 8, 11, 15, 16; components parted with `^`. "
        "Everything else stays as it is.",
        examples=[{"MSH-3": "HUB", "MSH-4": "MERCY", "MSH-5": "LIS"}],
    )
    control_id: Literal["the message's", "the hub's"] = Field(
        default="the message's",
        description="MSH-10 as it came, or one that is the hub's own for each delivery, where messages of "
        "several senders go to a system that remembers control ids.",
        examples=["the hub's"],
    )
    line_ends: Literal["as they are", "CR"] = Field(
        default="as they are",
        description="Whether segments that end with a line feed are made to end with CR, as HL7 wants.",
        examples=["CR"],
    )

    @field_validator("url")
    @classmethod
    def _address(cls, url: str) -> str:
        try:
            address_of(url)
        except ConfigError as e:
            raise ValueError(str(e)) from None
        return url

    @field_validator("set")
    @classmethod
    def _fields(cls, words: dict[str, str]) -> dict[str, str]:
        for name, text in words.items():
            if name not in _SET:
                raise ValueError(f"{name} is not set here; it may be one of {', '.join(_SET)}")
            if not text.isprintable() or len(text) > 227:
                raise ValueError(f"{name}: is no single line of 227 characters at most")
        return words

    @field_validator("answers")
    @classmethod
    def _codes(cls, words: dict[str, str]) -> dict[str, str]:
        for code in words:
            if code in ("AA", "CA") or not _SAID.fullmatch(code):
                raise ValueError(f"{code} is none of AE, AR, CE, CR, nor a code of ERR-3")
        return words

    @property
    def fields(self) -> dict[int, str]:
        """The fields of MSH to replace, by number."""
        return {_SET[name]: text for name, text in self.set.items()}

    def weaknesses(self) -> Iterator[tuple[str, str]]:
        """Give (what is weak, remedy) for a hub with real patients."""
        address = address_of(self.url)
        if not (address.tls or self.plain or on_this_machine(address.host)):
            yield (
                "patients' data would go over the network in the clear",
                "write mllps://, or plain: accepted because ...",
            )
