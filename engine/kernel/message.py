"""What travels between the rooms: an entry of the journal, the drafts a map makes of it, and what became of
it.

Plain records without behaviour. Times are integers: milliseconds since the epoch, UTC.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

__all__ = [
    "Accepted",
    "Draft",
    "Due",
    "Entry",
    "Flag",
    "Gap",
    "Happened",
    "Identity",
    "Interval",
    "Move",
    "NewEntry",
    "Outcome",
    "Told",
    "Work",
]

Identity = tuple[str, str]
"""(system, value): a business identifier. A bare number is never an identity."""
_PLACES = re.compile(r"\[\d+\]|\([^)]*\)")


@dataclass(frozen=True, slots=True)
class NewEntry:
    """Bytes that a listener (or a person who replays) hands to the journal, and what is known of them."""

    channel: str
    body: bytes
    received: int
    sender: str = ""
    peer: str = ""
    control_id: str = ""
    message_type: str = ""
    charset: str = ""
    kind: str = "message"  # message | garbage | replay | resend | refused | answer
    order_keys: tuple[str, ...] = ()  # plain text here; the journal keeps lanes and keyed hashes only
    parent: int | None = None  # the entry this one replays or edits
    position: int | None = None  # the journal position it counts as; None = its own id
    reason: str = ""  # who and why, for a replay
    lanes: tuple[int, ...] = ()  # a replay's: the origin's, whatever the settings say today
    duplicate_window_ms: int | None = (
        None  # how far back its twin is looked for; None = as the journal was opened
    )
    duplicates: str = "skip"  # skip: a twin is not appended | flag: appended, and names the first


@dataclass(frozen=True, slots=True)
class Accepted:
    """The journal's word for one appended entry, given only after it is on disk."""

    id: int
    duplicate_of: int | None = (
        None  # same sender, same control id, same bytes: nothing was appended, id is the first's
    )
    conflicts_with: int | None = None  # same sender and control id, other bytes: appended, and flagged


@dataclass(frozen=True, slots=True)
class Entry:
    """One entry as the journal holds it, body opened."""

    id: int
    channel: str
    body: bytes
    received: int
    sender: str
    peer: str
    control_id: str
    message_type: str
    charset: str
    kind: str
    lanes: tuple[int, ...]
    parent: int | None
    position: int  # = id, or the origin's position for a replay
    reason: str
    conflicts_with: int | None


@dataclass(frozen=True, slots=True)
class Flag:
    """Something a person may want to know of one entry; `work` puts it on somebody's list."""

    code: str  # stable word, e.g. `unmapped-code`, `not-a-number`, `late`
    where: str  # location in the message, e.g. `OBX[3]-5`
    text: str  # what, without patient data
    work: bool = False


class Gap(NamedTuple):
    """A code that no table knows, where it stood, and what stood beside it. All of it may be patient data."""

    where: str  # `OBX[3]-3`
    table: str  # the table that was asked, empty where the maps name none for this field
    rule: str  # what the row says of such codes: keep | flag | hold | drop
    code: str
    system: str = ""  # the coding system as the sender wrote it
    uri: str = ""  # the same resolved, where that is known
    text: str = ""
    unit: str = ""
    specimen: str = ""
    kind: str = ""  # the type of the value beside it (OBX-2)

    panel: str = ""  # the order it belongs to (OBR-4)

    @property
    def field(self) -> str:
        """Where such codes stand in any message: `OBX[3]-3` and `OBX[1]-3(1).1` -> `OBX-3`."""
        plain = _PLACES.sub("", self.where)
        segment, _, rest = plain.partition(" ")
        if rest:  # said by a datatype map (`PID XPN.7`), or read from another segment (`OBX PV1-2.1`)
            return rest.removesuffix(".1") if "-" in rest else plain
        return segment.removesuffix(".1")


class Told(NamedTuple):
    """The sender's own time of what it tells: where it stood, first and last millisecond it can mean."""

    kind: str  # EVN-2 | OBR-22 | MSH-7, or `MSH-7 local` without a zone; only times of one kind are compared
    first: int
    last: int


class Happened(NamedTuple):
    """The event in the course of a visit that a message tells of. Times are FHIR dateTimes, "" = not told."""

    event: str
    at: str = ""  # since when it is so
    begins: str = (
        ""  # what begins with it whether known before or not: letters of s(tatus), c(lass), l(ocation)
    )
    takes_back: str = ""  # stay | place | status
    of: tuple[str, ...] = ()  # the events it takes back
    of_at: str = ""  # when what it takes back had happened
    of_status: str = ""  # the status it takes back


class Interval(NamedTuple):
    """What a measurement stands for where one of many is kept: the first that is stored under a key takes it,
    and those that come later under the same key are left out."""

    key: Identity  # of what is measured, the interval, and where the rule says so how the value is
    rule: str  # as people read it, with `file:line`
    near: bool = False  # the key says how the value is: one that is corrected stands for no others any more


@dataclass(slots=True)
class Draft:
    """One FHIR resource as a map made it from one message, before the store has seen it.

    `body` is the resource without `id` and `meta.versionId`/`lastUpdated`. `labels` runs parallel to the
    entries of each top-level list of the body and says which labelled row made each (`telecom` -> ("home",
    "work")). `cleared` holds `element` or `element(label)` for every explicit HL7 delete (`""`), and
    `element@Type/id` where entries that refer to a resource go (a diagnosis taken back). `acts` holds,
    for each list whose entries are told one by one, what happens to which: label `row#known by` ->
    `A`dded, `U`pdated, `X` unchanged, `D`eleted; the rest of such a list stays. `owns`
    holds the top-level elements the map is able to set; a `snapshot` write removes those that were not
    sent.
    """

    name: str
    type: str
    id: str
    body: dict[str, Any]
    keys: tuple[Identity, ...] = ()
    write: str = "merge"  # merge | snapshot | create | known
    labels: dict[str, tuple[str, ...]] = field(default_factory=dict)
    cleared: tuple[str, ...] = ()
    owns: frozenset[str] = frozenset()
    map: str = ""
    weak: tuple[
        str, ...
    ] = ()  # top-level elements that only a new resource takes; an existing one keeps its own
    told: Told | None = None  # None: the sender gives no time that can be compared
    known: Mapping[str, Any] = field(
        default_factory=dict, compare=False, repr=False
    )  # values of elements that were validated before; a copy is in the body
    changes: bool = False  # the sender takes back, calls off or updates what must be known already
    happened: Happened | None = None  # of a visit: the event; None: its course is not told
    acts: dict[str, dict[str, str]] = field(default_factory=dict)
    added: bool = False  # the sender adds it (action code): that it was taken back before holds no more
    keeps: tuple[str, ...] = ()  # of a prescription that is known: what waits for a person: `drug`, `end`
    tells: tuple[str, ...] = ()  # though it is `create`: what of one that is there is changed all the same
    alike: tuple[Identity, ...] = ()  # what the same thing under another number has, too: people are told
    interval: Interval | None = None  # one of a series of which not all are kept; None: always written
    decides: bool = False  # of a Patient: whom another key finds has no other number of the first's system


class Move(NamedTuple):
    """A draft's resource that goes to another patient or becomes another one, as the message says."""

    what: str  # id of the draft
    into: str = ""  # id of the draft of the visit that it becomes; "" = it goes to the draft's own patient
    of: tuple[tuple[str, str], ...] = ()  # (number, authority as sent) of the patient who had it


class Due(NamedTuple):
    """A delivery that a work asks for once it is done."""

    destination: str
    keys: tuple[int, ...] = ()  # keyed hashes of what keeps its order
    state: bool = False  # it carries what the core store says, not the message: a run again sends it again


@dataclass(slots=True)
class Work:
    """One entry after the pure rooms are done with it: ready for the store's transaction, or parked with its
    cause."""

    entry: int
    position: int
    channel: str
    sender: str
    lanes: tuple[int, ...]
    revision: str = ""
    drafts: list[Draft] = field(default_factory=list)
    flags: list[Flag] = field(default_factory=list)
    parked: Flag | None = None  # set: nothing is written, the entry waits for a person
    renumbers: bool = False  # an event that changes a patient's number, and merges nobody
    moves: tuple[Move, ...] = ()
    parts: tuple[tuple[str, str], ...] = ()  # ids of drafts of two patients who are not one after all
    note: str = ""  # e.g. `duplicate`, `not for this channel`
    search: tuple[tuple[str, str], ...] = ()  # (kind, plain value): the store keeps keyed hashes only
    deliveries: tuple[Due, ...] = ()
    gaps: tuple[Gap, ...] = ()  # codes that no table knows
    instead: int | None = None  # the entry that this one is an edited message of
    tables: str = ""  # the code tables that the sender's maps name, with their versions: `name@version ...`


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one entry."""

    entry: int
    status: str  # done | parked | skipped | closed (was parked; a person has said that it shall not run)
    cause: str = ""  # stable word, e.g. `ambiguous-patient`
    where: str = ""
    text: str = ""
    revision: str = ""
    written: int = 0  # resource versions made
    unchanged: int = 0
    superseded: int = 0
    flags: tuple[Flag, ...] = ()
    at: int = 0
