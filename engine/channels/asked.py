"""What a person asked of the messages, taken apart: words, fields, states, times, joined by and, or, not.

In: what `asking` read. Out: plain records, the same thing said in words, and with every `not` moved down to
the single conditions. Nothing here looks anything up.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime

__all__ = [
    "KINDS",
    "STATES",
    "All",
    "Asked",
    "Either",
    "Held",
    "Is",
    "Named",
    "Not",
    "Received",
    "Word",
    "conditions",
    "in_words",
    "settled",
]

STATES = ("waiting", "done", "parked", "skipped", "closed", "flagged")
KINDS = ("message", "garbage", "replay", "resend", "refused", "answer")


@dataclass(frozen=True, slots=True)
class Word:
    """A word that may be any number or part of a name."""

    text: str


@dataclass(frozen=True, slots=True)
class Named:
    """A word of one kind (`patient`, `name`, `birth`, `order`, `code` ...); `control` and `entry` too."""

    kind: str
    value: str


@dataclass(frozen=True, slots=True)
class Held:
    """A condition on what the message holds at a place: `OBX-3.1 = K`. `op`: = != > < >= <= ~."""

    place: str
    op: str
    value: str


@dataclass(frozen=True, slots=True)
class Is:
    """What a list shows of a message: its state, kind, channel, type, sender or cause; `*` stands for
    anything, `|` for either.
    """

    what: str
    value: str

    @property
    def values(self) -> tuple[str, ...]:
        return tuple(part for part in self.value.split("|") if part)


@dataclass(frozen=True, slots=True)
class Received:
    """When it came in, in the hub's local time; `since` included, `until` not. `birth`: a bare date may be
    somebody's birth date, if the journal does not go back that far.
    """

    since: datetime | None
    until: datetime | None
    birth: str = ""  # YYYYMMDD


@dataclass(frozen=True, slots=True)
class Not:
    part: Asked


@dataclass(frozen=True, slots=True)
class All:
    """All of them; of none: every message."""

    parts: tuple[Asked, ...]


@dataclass(frozen=True, slots=True)
class Either:
    parts: tuple[Asked, ...]


Asked = Word | Named | Held | Is | Received | Not | All | Either


def conditions(asked: Asked) -> Iterator[Asked]:
    """Give the single conditions, without their `not`."""
    if isinstance(asked, Not):
        yield from conditions(asked.part)
    elif isinstance(asked, (All, Either)):
        for part in asked.parts:
            yield from conditions(part)
    else:
        yield asked


def settled(asked: Asked, no: bool = False) -> Asked:
    """Move every `not` down to the single conditions (De Morgan)."""
    if isinstance(asked, Not):
        return settled(asked.part, not no)
    if isinstance(asked, (All, Either)):
        parts = tuple(settled(part, no) for part in asked.parts)
        return All(parts) if isinstance(asked, All) != no else Either(parts)
    return Not(asked) if no else asked


_NAMES = {
    "patient": "the patient number",
    "name": "the name",
    "birth": "the birth date",
    "order": "the order or accession number",
    "visit": "the visit number",
    "account": "the account number",
    "control": "the control id",
    "claim": "the claim number",
    "document": "the document number",
    "study": "the study",
    "code": "the code",
    "downsampled": "a measurement that was left out by rule,",
}
_OPS = {"=": "is", "!=": "is something else than", "~": "contains"} | {
    ">": "is more than",
    "<": "is less than",
    ">=": "is at least",
    "<=": "is at most",
}
_STATES = {"flagged": "written with a flag for somebody to look at"}
_KIND_WORDS = {
    "message": "as they came",
    "garbage": "not readable as a message",
    "replay": "replays",
    "resend": "edited and sent again",
    "refused": "refused by their channel",
    "answer": "acknowledgements",
}


def in_words(asked: Asked) -> str:
    """Say what was understood, for the person who asked: it repeats their words."""
    if isinstance(asked, All):
        return ", and ".join(_inner(part) for part in asked.parts) or "all messages"
    if isinstance(asked, Either):
        return ", or ".join(_inner(part) for part in asked.parts)
    return _one(asked)


def _inner(asked: Asked) -> str:
    text = in_words(asked)
    return f"({text})" if isinstance(asked, (All, Either)) and len(asked.parts) > 1 else text


def _one(asked: Asked) -> str:
    if isinstance(asked, Not):
        return f"not {_inner(asked.part)}"
    if isinstance(asked, Word):
        return f"known under “{asked.text}”"
    if isinstance(asked, Named):
        if asked.kind == "entry":
            return f"entry {asked.value}"
        return f"{_NAMES[asked.kind]} is “{asked.value}”"
    if isinstance(asked, Held):
        return f"{asked.place} {_OPS[asked.op]} “{asked.value}”"
    if isinstance(asked, Received):
        return _times(asked)
    assert isinstance(asked, Is)
    if asked.what == "state":
        return " or ".join(_STATES.get(one, one) for one in asked.values)
    if asked.what == "kind":
        return " or ".join(_KIND_WORDS[one] for one in asked.values)
    shown = " or ".join(f"“{one}”" for one in asked.values)
    names = {"channel": "of channel", "type": "of type", "sender": "sent by", "cause": "with the cause"}
    return f"{names[asked.what]} {shown}"


def _times(asked: Received) -> str:
    since = f"{asked.since:%Y-%m-%d %H:%M}" if asked.since else ""
    until = f"{asked.until:%Y-%m-%d %H:%M}" if asked.until else ""
    born = ", or of a patient born that day" if asked.birth else ""
    if since and until:
        return f"received from {since} to {until}{born}"
    return f"received since {since}" if since else f"received before {until}"
