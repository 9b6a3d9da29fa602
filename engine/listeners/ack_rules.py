"""What a sender is told about one message, and what the journal keeps of it: a table, and nothing else.

In: the header of a message and the channel's rules. Out: a `Decision`: the row of the table, the outcome that
`first_answer` turns into AA/AE/AR or CA/CE/CR (HL7 v2.5.1 ch. 2.9.2, 2.9.3), the kind of journal entry, and
the ERR segments (table 0357). One principle rules the table: **accept means safe on disk and going to be
processed; error and reject mean kept, but not processed until a person says so.**
`docs/operators/ack-rules.md` shows the same rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from engine.formats.hl7v2.ack import AckError, first_answer
from engine.formats.hl7v2.header import Header
from engine.kernel.errors import ConfigError
from engine.listeners.accepting import AckScript, AckX12, FhirIn, Takes

__all__ = ["ROWS", "Accepts", "AckRules", "AckSettings", "Decision", "Kind", "OutcomeWord", "Row", "worst"]

OutcomeWord = Literal["accept", "error", "reject"]
Kind = Literal["message", "garbage", "refused", "answer"]


@dataclass(frozen=True, slots=True)
class Row:
    """One row of the table: what is answered, what is kept, and the ERR segment that says why."""

    outcome: OutcomeWord
    kind: Kind
    code: str = ""  # table 0357
    where: str = ""
    text: str = ""
    answered: bool = True


ROWS: dict[str, Row] = {
    "good": Row("accept", "message"),
    "not-hl7": Row("reject", "garbage", "100", "MSH", "this is not an HL7 v2 message: it has no MSH segment"),
    "no-type": Row("reject", "refused", "101", "MSH-9", "the message type is missing"),
    "acknowledgement": Row("accept", "answer", answered=False),  # answering an answer would never end
    "query": Row("reject", "refused", "200", "MSH-9.1", "this hub answers no queries"),
    "wrong-type": Row(
        "reject", "refused", "200", "MSH-9.1", "this channel does not accept this message type"
    ),
    "wrong-event": Row(
        "reject", "refused", "201", "MSH-9.2", "this channel does not accept this trigger event"
    ),
    "wrong-processing-id": Row(
        "reject", "refused", "202", "MSH-11", "this channel does not accept this processing id"
    ),
    "wrong-version": Row(
        "reject", "refused", "203", "MSH-12", "this channel does not accept this HL7 version"
    ),
    "no-control-id": Row(
        "error",
        "refused",
        "101",
        "MSH-10",
        "the message control id is missing: no answer could name this message",
    ),
    "strict": Row("error", "refused"),  # its ERR segments are the findings
    "batch-count": Row(
        "error", "message", "207", "BTS-1", "BTS-1 promises another number of messages than came"
    ),
}
"""Checked from top to bottom, the first that fits decides; `batch-count` is about a whole frame."""

QUERIES = frozenset(
    ("EQQ", "NMQ", "OSQ", "QBP", "QCN", "QRY", "QSB", "QSX", "QVR", "RQQ", "SPQ", "SQM", "VQQ", "VXQ")
)
"""MSH-9.1 of what asks for data (HL7 v2.5.1 ch. 5, table 0076): AA would promise an answer."""

ANSWERS = frozenset(("ACK", "MCF"))
"""MSH-9.1 of what acknowledges and says nothing else (ch. 2.14.1, 2.14.2)."""

_RANK: dict[OutcomeWord, int] = {"accept": 0, "error": 1, "reject": 2}


@dataclass(frozen=True, slots=True)
class Decision:
    """What the table says of one message."""

    row: str
    outcome: OutcomeWord
    kind: Kind
    errors: tuple[AckError, ...] = ()
    answered: bool = True


class Accepts(BaseModel):
    """One kind of message that a channel accepts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: str = Field(
        description="Message type and event as in MSH-9; `|` between several events, `*` for all of them.",
        examples=["ORU^R01", "ADT^A01|A04|A08", "ADT^*"],
    )
    version: str = Field(
        default="",
        description="HL7 versions as in MSH-12: one, several with `|`, a range with `to`. Empty: all.",
        examples=["2.5.1", "2.3 to 2.5.1"],
    )

    @field_validator("type")
    @classmethod
    def _readable_type(cls, text: str) -> str:
        code, _, events = text.partition("^")
        if not code.strip().isalnum() or any(
            not (e.strip().isalnum() or e.strip() == "*") for e in _split(events)
        ):
            raise ValueError(f"{text!r} is not a message type such as `ORU^R01`, `ADT^A01|A04` or `ADT^*`")
        return text

    @field_validator("version")
    @classmethod
    def _readable_version(cls, text: str) -> str:
        try:
            _versions(text)
        except ValueError:
            raise ValueError(
                f"{text!r} is not a version such as `2.5.1`, `2.3|2.4` or `2.3 to 2.5.1`"
            ) from None
        return text


class AckSettings(BaseModel):
    """Which messages a channel accepts, and how it answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    accept: tuple[Accepts, ...] = Field(
        default=(),
        description="The messages this channel accepts. Empty: every type.",
        examples=[[{"type": "ORU^R01"}]],
    )
    processing_id: tuple[str, ...] = Field(
        default=("P",),
        description="Values of MSH-11 this channel accepts (P production, T training, D debugging): "
        "a test message that reaches a production channel is refused. "
        '`""` accepts an empty MSH-11; an empty list accepts all.',
        examples=[["P"], ["P", "T"]],
    )
    strict: bool = Field(
        default=False,
        description="Check every message against the HL7 standard before answering, refuse what breaks it. "
        "Costs about 40 ms a message, during which this listener does nothing else.",
        examples=[False],
    )
    profile: str = Field(
        default="",
        description="A conformance profile, `mappings/profiles/NAME.yaml`: refuse what breaks it, "
        "beside or without `strict`.",
        examples=["north_lab"],
    )
    others: tuple[Takes, ...] = Field(
        default=(),
        description="The other formats this channel accepts.",
        examples=[[{"format": "x12", "kinds": ["837P"]}]],
    )
    v2: bool = Field(default=True, description="Whether it accepts HL7 v2.", examples=[True])
    x12: AckX12 = Field(default=AckX12(), description="How X12 is answered.", examples=[{"reject": "errors"}])
    script: AckScript = Field(
        default=AckScript(), description="How SCRIPT is answered.", examples=[{"status": "000"}]
    )
    fhir: FhirIn = Field(
        default=FhirIn(),
        description="Who sends FHIR.",
        examples=[{"base": "https://gateway.example/fhir"}],
    )
    acknowledge: Literal["as asked", "original"] = Field(
        default="as asked",
        description="`as asked`: original or enhanced mode as MSH-15 and MSH-16 ask. "
        "`original`: always AA/AE/AR, for senders that fill MSH-15 and do not know CA.",
        examples=["as asked", "original"],
    )


Strict = Callable[[bytes], Sequence[AckError]]
"""The strict validator: the errors it finds in the bytes of one message, most serious first."""

_CACHED = 1024  # distinct headers remembered; a flood of odd ones costs time, not memory
_MOST_ERRORS = 20
_UNNAMED = ("", '""')


class AckRules:
    """The table with one channel's settings filled in."""

    def __init__(self, settings: AckSettings, strict: Strict | None = None) -> None:
        checked = settings.strict or bool(settings.profile)
        if checked and strict is None:
            raise ConfigError(
                "this channel asks for strict validation and there is no validator", where="strict"
            )
        self._settings = settings
        self._strict = strict if checked else None
        self._processing_ids = frozenset(settings.processing_id)
        self._accepts = [_Accept(a) for a in settings.accept]
        self._known: dict[tuple[object, ...], Decision] = {}
        self._original = settings.acknowledge == "original"

    @property
    def settings(self) -> AckSettings:
        """The channel's settings."""
        return self._settings

    def decide(self, header: Header, message: bytes) -> Decision:
        """Find the row for one message. `message` is looked at only by the strict validator."""
        fields = header.fields
        named = bool(fields[10]) and header.control_id not in _UNNAMED
        key = (fields[2], fields[9], fields[11], fields[12], header.reason, named)
        decision = self._known.get(key)
        if decision is None:
            decision = _decision(self._row(header))
            if len(self._known) >= _CACHED:
                self._known.clear()
            self._known[key] = decision
        if decision.row in ("wrong-type", "wrong-event") and _answers(message):
            return _decision("acknowledgement")
        if self._strict is not None and decision.row == "good":
            errors = tuple(self._strict(message))[:_MOST_ERRORS]
            if errors:
                return Decision("strict", ROWS["strict"].outcome, ROWS["strict"].kind, errors)
        return decision

    def answer(self, header: Header, outcome: OutcomeWord) -> str:
        """Return the acknowledgement code, empty where the sender wants none."""
        if self._original:
            return {"accept": "AA", "error": "AE", "reject": "AR"}[outcome]
        return first_answer(header, outcome)

    def _row(self, header: Header) -> str:
        if not header.ok:
            return "not-hl7"
        if not self._settings.v2:
            return "wrong-type"
        if not header.code:
            return "no-type"
        if header.code in ANSWERS:
            return "acknowledgement"
        if header.code in QUERIES:
            return "query"
        if self._accepts:
            typed = [a for a in self._accepts if a.code == header.code]
            if not typed:
                return "wrong-type"
            fitting = [a for a in typed if a.takes(header.event)]
            if not fitting:
                return "wrong-event"
        if self._processing_ids and header.processing_id not in self._processing_ids:
            return "wrong-processing-id"
        if self._accepts and not any(a.reads(header.version) for a in fitting):
            return "wrong-version"
        return "no-control-id" if header.control_id in _UNNAMED else "good"


class _Accept:
    """One `Accepts`, read."""

    def __init__(self, accepts: Accepts) -> None:
        code, _, events = accepts.type.partition("^")
        self.code = code.strip()
        self._events = frozenset() if "*" in events else frozenset(_split(events))
        self._versions = _versions(accepts.version)

    def takes(self, event: str) -> bool:
        return not self._events or event in self._events

    def reads(self, version: str) -> bool:
        if not self._versions:
            return True
        try:
            number = _number(version)
        except ValueError:
            return False
        return any(low <= number <= high for low, high in self._versions)


def worst(outcomes: Sequence[OutcomeWord]) -> OutcomeWord:
    """Return the outcome that one answer for several messages must carry."""
    return max(outcomes, key=_RANK.__getitem__)


def _answers(message: bytes) -> bool:
    """Say whether a message answers one of ours, by its MSA segment (ORR, ORL, RSP and the like)."""
    return b"\rMSA" in message or b"\nMSA" in message


def _decision(name: str) -> Decision:
    row = ROWS[name]
    errors = (AckError("E", row.code, row.where, row.text),) if row.code else ()
    return Decision(name, row.outcome, row.kind, errors, row.answered)


def _split(text: str) -> list[str]:
    return [part.strip() for part in text.split("|")] if text else []


def _versions(text: str) -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    ranges = []
    for part in _split(text):
        low, to, high = part.partition(" to ")
        ranges.append((_number(low), _number(high if to else low)))
    return ranges


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(digits) for digits in version.strip().split("."))
