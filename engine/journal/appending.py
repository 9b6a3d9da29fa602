"""What an append writes, decided without a database: rows, ids, duplicates, lanes, marks.

In come new entries; `prepare` does what needs no lock (hashes, lanes, compression), and `lay_out`, called
under the lock that orders ids, gives each entry its id, recognises duplicates, seals, and returns the rows to
insert. A duplicate is the same control id from the same sender on the same channel with the same bytes; the
same id with other bytes is appended and flagged (HL7 v2.5.1 ch. 2.9.2 and 2.14.9.10: MSH-10 identifies a
message within its sender).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from engine.journal.daykeys import DayKeys
from engine.journal.names import Names, Word, source
from engine.journal.tables import KINDS
from engine.kernel.message import Accepted, NewEntry
from engine.security.crypto import pack
from engine.security.keys import Keyring

__all__ = ["Batch", "Laid", "Prepared", "control_key", "lay_out", "open_head", "prepare"]

HOUR = 3_600_000
ALWAYS = -(1 << 62)  # a time before every entry
_WORD = (
    40  # longer types and charsets come from damaged messages: they are kept in the sealed head, not as names
)


@dataclass(slots=True)
class Prepared:
    """One entry ready to be given an id."""

    source: int
    type: int
    charset: int
    kind: int
    received: int
    size: int
    control: int | None
    hash: bytes
    lanes: bytes
    parent: int | None
    position: int | None
    head: tuple[bytes, bytes]
    body: tuple[bytes, bytes]
    unique: bool  # it came from outside, with a control id: look for its twin
    since: int  # the oldest receipt, ms, that still counts as its twin's
    again: bool  # its twin is appended as well, and named


@dataclass(slots=True)
class Batch:
    """Prepared entries and the key they will be sealed with."""

    entries: list[Prepared]
    key_id: int


@dataclass(slots=True)
class Laid:
    """What one transaction inserts, and the answers it will be able to give."""

    accepted: list[Accepted] = field(default_factory=list)
    entries: list[tuple[object, ...]] = field(default_factory=list)
    bodies: list[tuple[int, bytes]] = field(default_factory=list)
    marks: list[tuple[int, int, int]] = field(default_factory=list)


def prepare(
    entries: Sequence[NewEntry],
    names: Names,
    keys: DayKeys,
    keyring: Keyring,
    lanes: int,
    window: int | None = None,
) -> Batch:
    """Do everything that needs no lock. `window` holds for entries that bring no duplicate window, in ms."""
    words: list[tuple[Word, Word, Word]] = []
    for e in entries:
        kind = "type", e.message_type if len(e.message_type) <= _WORD else ""
        words.append(
            (source(e.channel, e.sender), kind, ("charset", e.charset if len(e.charset) <= _WORD else ""))
        )
    ids = names.ids(word for three in words for word in three)
    prepared = [
        Prepared(
            source=ids[from_],
            type=ids[kind],
            charset=ids[charset],
            kind=KINDS.index(e.kind),
            received=e.received,
            size=len(e.body),
            control=control_key(keyring, e.channel, e.sender, e.control_id) if e.control_id else None,
            hash=keyring.mac16("journal body", e.body),
            lanes=_lanes(e, keyring, lanes),
            parent=e.parent,
            position=e.position,
            head=pack(_head(e)),
            body=pack(e.body),
            unique=bool(e.control_id) and e.kind in KINDS[:2],
            since=_since(e, window),
            again=e.duplicates == "flag",
        )
        for e, (from_, kind, charset) in zip(entries, words, strict=True)
    ]
    return Batch(prepared, keys.today())


def lay_out(
    batch: Batch,
    last: int,
    mark: tuple[int, int],
    keys: DayKeys,
    namesake: Callable[[int, int], int | None],
    twin: Callable[[int, bytes, int], int | None],
) -> Laid:
    """Give ids from `last` + 1 on and return the rows; call it under the lock that orders ids.

    `namesake(control, since)` and `twin(control, hash, since)` look for an earlier entry in the
    database; `mark` is the (hour, key id) of the entry before.
    """
    laid = Laid()
    controls: dict[int, int] = {}
    twins: dict[tuple[int, bytes], int] = {}
    close = keys.sealer.close
    for e in batch.entries:
        conflict = None
        if e.unique and e.control is not None:
            first = twins.get((e.control, e.hash))
            conflict = controls.get(e.control) or namesake(e.control, e.since)
            if first is None and conflict is not None:
                first = twin(e.control, e.hash, e.since)
            if first is not None and e.again:
                conflict = first
            elif first is not None:
                laid.accepted.append(Accepted(first, duplicate_of=first))
                continue
        last += 1
        if e.unique and e.control is not None:
            controls[e.control] = twins[e.control, e.hash] = last
        if (now := (e.received // HOUR, batch.key_id)) != mark:
            laid.marks.append((last, *now))
            mark = now
        laid.accepted.append(Accepted(last, conflicts_with=conflict))
        laid.entries.append(
            (
                last,
                e.source,
                e.type,
                e.charset,
                e.kind,
                e.received,
                e.size,
                e.control,
                e.hash,
                e.lanes,
                e.parent,
                e.position,
                conflict,
                close(e.head, b"head:%d" % last, batch.key_id),
            )
        )
        laid.bodies.append((last, close(e.body, b"journal:%d" % last, batch.key_id)))
    return laid


def control_key(keyring: Keyring, channel: str, sender: str, control_id: str) -> int:
    """Return the search key of a control id: it identifies a message only within its sender and channel."""
    return keyring.mac8("journal control", f"{len(channel)}:{channel}{len(sender)}:{sender}{control_id}")


def _since(e: NewEntry, window: int | None) -> int:
    mine = e.duplicate_window_ms if e.duplicate_window_ms is not None else window
    return ALWAYS if mine is None else e.received - mine


def _lanes(e: NewEntry, keyring: Keyring, lanes: int) -> bytes:
    if not e.order_keys and not e.lanes:
        return bytes((keyring.mac8("sender", f"{len(e.channel)}:{e.channel}{e.sender}") % lanes,))
    return bytes(sorted({*e.lanes, *(keyring.mac8("lane", key) % lanes for key in e.order_keys)}))


def _head(e: NewEntry) -> bytes:
    odd = e.message_type if len(e.message_type) > _WORD else "", e.charset if len(e.charset) > _WORD else ""
    parts = (e.control_id, e.peer, e.reason, *odd)
    return (",".join(str(len(p)) for p in parts) + ";" + "".join(parts)).encode("utf-8", "surrogatepass")


def open_head(head: bytes) -> list[str]:
    """Return control id, peer, reason, and the type and charset that were too odd for a name."""
    sizes, _, text = head.decode("utf-8", "surrogatepass").partition(";")
    parts, at = [], 0
    for size in map(int, sizes.split(",")):
        parts.append(text[at : at + size])
        at += size
    return parts
