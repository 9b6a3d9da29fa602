"""A hit as a list shows it, to people who may open messages and to those who may not.

In: entries, and which channels' messages a person may open. Out: `Hit`s. Whoever may not open a message sees
of it nothing that could be a patient's: no name, no reason somebody typed, and control id and type only where
they look like what they should be, for a damaged message may hold anything there.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.channels.bodywords import LARGE, patient_of
from engine.journal.search import Line
from engine.journal.sql import SqlJournal
from engine.kernel.clock import iso
from engine.kernel.message import Outcome
from engine.store.sql import SqlStore

__all__ = ["UNREADABLE", "Hit", "hits_of", "shown_type", "shows_control"]

_TYPE = re.compile(
    r"[A-Z][A-Z0-9]{2}(\^[A-Z][A-Z0-9]{2})?(\^[A-Z]{3}_[A-Z0-9]{3})?"
    r"|(cda|x12|ncpdp|dicom|xdm|fhir)( [A-Za-z0-9.-]{1,30})?|"
)
_CONTROL = re.compile(r"(?=[^0-9]*[0-9])[A-Za-z0-9._:/+=-]{1,60}")
UNREADABLE = frozenset({"garbage", "not-readable", "refused"})
"""Causes of messages whose header may be anything."""
_MOST_BYTES = 2 << 20  # of messages that a page opens to say whose they are


@dataclass(slots=True)
class Hit:
    """One message. `patient` and `number` as sent, only for those who may open it."""

    entry: int
    at: int = 0
    received: str = ""
    channel: str = ""
    sender: str = ""
    type: str = ""
    kind: str = ""
    control_id: str = ""
    status: str = "waiting"
    cause: str = ""
    where: str = ""
    text: str = ""
    flags: int = 0  # flags for somebody to look at
    opens: bool = False
    patient: str = ""
    number: str = ""
    replay_of: int | None = None
    deleted: bool = False


def shows_control(line: Line) -> bool:
    """Say whether a control id may be shown to those who may not open messages."""
    sound = line.kind in ("message", "replay", "resend", "answer") and not line.damaged
    return sound and bool(_TYPE.fullmatch(line.message_type) and _CONTROL.fullmatch(line.control_id))


def shown_type(type: str) -> str:
    """Return a type as those see it who may not open messages: nothing where it is none."""
    return type if _TYPE.fullmatch(type) else ""


def hits_of(
    journal: SqlJournal,
    store: SqlStore,
    entries: Sequence[int],
    opens: Callable[[str], bool],
    patients: bool,
    everyone: bool = False,
) -> list[Hit]:
    """Return entries as hits, newest first. `patients`: with whose they are, as far as a page opens messages
    for that; `everyone`: however many.
    """
    lines = journal.search.lines(entries)
    outcomes = store.finding.outcomes(entries)
    hits = [_hit(line, outcomes.get(line.id), opens(line.channel)) for line in lines]
    if patients:
        _say_whose(journal, hits, {line.id: line.size for line in lines if not line.deleted}, everyone)
    return hits


def _hit(line: Line, outcome: Outcome | None, opens: bool) -> Hit:
    readable = outcome is None or outcome.cause not in UNREADABLE
    hit = Hit(
        line.id,
        line.received,
        iso(line.received),
        line.channel,
        line.sender,
        line.message_type,
        line.kind,
        line.control_id,
        opens=opens,
        replay_of=line.parent,
        deleted=line.deleted,
    )
    if outcome is not None:
        hit.status, hit.cause, hit.where, hit.text = (
            *(outcome.status, outcome.cause, outcome.where, outcome.text),
        )
        hit.flags = sum(flag.work for flag in outcome.flags)
    if not opens:
        hit.control_id = line.control_id if readable and shows_control(line) else ""
        hit.type = shown_type(line.message_type)
    return hit


def _say_whose(journal: SqlJournal, hits: Sequence[Hit], sizes: dict[int, int], everyone: bool) -> None:
    left, wanted = (1 << 62 if everyone else _MOST_BYTES), []
    for hit in hits:
        size = sizes.get(hit.entry, LARGE + 1)
        if hit.opens and size <= min(LARGE, left):
            wanted.append(hit.entry)
            left -= size
    whose = {entry.id: patient_of(entry) for entry in journal.readable(wanted)} if wanted else {}
    for hit in hits:
        hit.patient, hit.number = whose.get(hit.entry, ("", ""))
