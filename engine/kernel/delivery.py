"""What goes out of the hub: a parcel for a destination, and the receipt of one try to deliver it.

In: nothing. Out: the records and the protocol that the delivery loop and every destination share. A
destination is called with one parcel at a time and answers with a receipt; it raises nothing for what the
other side does or does not do. Called twice with one key it delivers once, as far as the protocol it speaks
allows: by the message's control id, a conditional write, a file's name, an idempotency key.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Protocol

from pydantic import BaseModel

__all__ = ["Around", "Destination", "DestinationKind", "Parcel", "Receipt", "Verdict"]

Verdict = Literal["sent", "retry", "refuse", "park"]
"""What came of a try. `sent`: the other side has it, and said so. `retry`: it may pass later. `refuse`: the
other side has judged this content and does not take it, now or later; what comes after goes on. `park`: only
a person can say what to do, and later parcels of the same key wait."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """One thing to deliver.

    `key` is the same on every try, and after a crash; another one only when a person sends it as new. It
    holds no patient data and fits a header, a file name and a broker's message id. `facts` are words that
    templates may name: `channel`, `entry`, `type`, `event`, `control_id`, `sender`, `received` (ISO 8601),
    and where the body is an event `happened`, such as `result.final`. They may be patient data: never log
    them.
    """

    key: str
    entry: int
    channel: str
    body: bytes
    media: str  # `application/hl7-v2`, `application/fhir+json`, `application/json`, ...
    facts: Mapping[str, str] = field(default_factory=dict)
    mentioned: tuple[str, ...] = ()  # FHIR: `Type/id` in the bundle only because others refer to them
    gone: tuple[str, ...] = ()  # FHIR: `Type/id` that are deleted
    tries: int = 0  # before this one


@dataclass(frozen=True, slots=True)
class Receipt:
    """What came of one try. `why` and `reference` are shown to everybody: no patient data in them.

    `request` and `answer` are kept as evidence, sealed; they may be shortened by whoever writes them down.
    """

    verdict: Verdict
    why: str = ""  # one line for a person: what the other side said, or what was wrong
    request: bytes = b""  # what was sent: first line and headers without secrets, or the message
    answer: bytes = b""
    reference: str = ""  # what the other side calls it: a Location, its control id, a message id
    wait: float | None = None  # seconds that the other side asks us to wait
    down: bool = False  # nothing can be delivered there now: the parcel itself is not to blame


class Destination(Protocol):
    """One place that parcels go to. Used by one thread at a time, never across a fork."""

    def deliver(self, parcel: Parcel) -> Receipt:
        """Try to deliver once. Raises nothing for what the other side does."""

    def check(self) -> str:
        """Try the connection without delivering; return one line that says what answered. Raises HubError."""

    def close(self) -> None:
        """Give back connections."""


class Around(NamedTuple):
    """What a destination may know of the hub it belongs to."""

    root: Path  # the project's folder; relative paths start here
    data: Path  # the data folder: what a destination must keep itself goes to data/destinations/<name>
    hub: str
    identity_base: str
    production: bool = False


class DestinationKind(NamedTuple):
    """One kind of destination: its word in YAML, its settings, what makes it, what it takes."""

    word: str
    settings: type[BaseModel]
    make: Callable[[Any, str, Around], Destination]  # (settings, name, around)
    bodies: tuple[str, ...]  # words of `body:` it takes; the first is what it gets where nobody says
    at_once: int = 1  # parcels of different keys that may be under way at the same time, where nobody says
    one_by_one: bool = True  # whether parcels of one key are kept in order where nobody says
