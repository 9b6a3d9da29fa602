"""`hub msg`: find messages by what a person knows of them, look at one, run one again.

In: words (a number, a name, a birth date, a control id), filters, an entry id. Out: records without patient
data; a body only when it is asked for, after its row in the audit table is on disk.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from engine.channels.definition import load_channels
from engine.channels.message.envelope import envelope, line_of
from engine.channels.message.text import readable
from engine.channels.replay import ask_replay
from engine.cli.opened import Opened
from engine.journal.search import Filters, Line
from engine.kernel.clock import iso
from engine.kernel.errors import ConfigError
from engine.kernel.message import Accepted, Outcome
from engine.store.audit import Access

__all__ = ["STATES", "Found", "find", "replay", "show"]

STATES = ("waiting", "done", "parked", "skipped", "closed")
_KINDS = ("patient", "account", "order", "visit", "control", "claim", "document", "study")
_MOST = 1000  # entries looked at for one word, newest first
_PAGE = 200


@dataclass(frozen=True, slots=True)
class Found:
    """One message as a list shows it."""

    entry: int
    received: str
    channel: str
    type: str
    sender: str
    control_id: str
    kind: str
    status: str
    cause: str
    where: str
    text: str


def find(
    hub: Opened, words: Sequence[str], who: str, *, status: str = "", channel: str = "", limit: int = 20
) -> list[Found]:
    """Return the newest messages known under every word, in that state and channel. A search by words is
    audited.
    """
    if status and status not in STATES:
        raise ConfigError(f"--status {status}", remedy=f"use one of {', '.join(STATES)}")
    if words:
        hub.store.audit.record(Access(who, "msg:find", "messages", " ".join(words)))
        numbers = sorted(_known(hub, words), reverse=True)
        return _filtered((line_of(hub.journal, n) for n in numbers), hub, status, channel, limit)
    if status and status != "waiting":
        if channel:
            outcomes = hub.store.outcomes(newest_first=True, limit=limit, status=status, channel=channel)
        else:
            outcomes = hub.store.outcomes(newest_first=True, limit=limit, status=status)
        return [_found(line_of(hub.journal, o.entry), o) for o in outcomes]
    return _filtered(_newest(hub, channel), hub, status, channel, limit)


def _newest(hub: Opened, channel: str) -> Any:
    before: int | None = None
    looked_at = 0
    while looked_at < 50 * _PAGE:
        page = hub.journal.search.page(Filters(channel=channel or None), before=before, limit=_PAGE)
        yield from page
        if len(page) < _PAGE:
            return
        before = page[-1].id
        looked_at += len(page)


def _filtered(lines: Any, hub: Opened, status: str, channel: str, limit: int) -> list[Found]:
    found: list[Found] = []
    for line in lines:
        if channel and line.channel != channel:
            continue
        one = _found(line, hub.store.outcome(line.id))
        if not status or one.status == status:
            found.append(one)
            if len(found) == limit:
                break
    return found


def _known(hub: Opened, words: Sequence[str]) -> set[int]:
    """Return the entries known under every word, whatever kind of thing each word is."""
    sets = []
    for word in (part for given in words for part in given.split()):
        entries = {n for kind in _KINDS for n in hub.store.find(kind, word, _MOST)}
        entries.update(hub.store.find("name", word.casefold(), _MOST))
        for day in _days(word):
            entries.update(hub.store.find("birth", day, _MOST))
        entries.update(hub.journal.search.by_control(word))
        sets.append(entries)
    return set.intersection(*sets) if sets else set()


def _days(word: str) -> list[str]:
    """Return a birth date as messages write it, `YYYYMMDD`; 03/04/1980 may be two."""
    if re.fullmatch(r"\d{8}", word):
        return [word]
    if m := re.fullmatch(r"(\d{4})[-/.](\d{1,2})[-/.](\d{1,2})", word):
        return [f"{m[1]}{int(m[2]):02}{int(m[3]):02}"]
    if m := re.fullmatch(r"(\d{1,2})[-/.](\d{1,2})[-/.](\d{4})", word):
        one, two = int(m[1]), int(m[2])
        return [
            f"{m[3]}{month:02}{day:02}"
            for month, day in {(one, two), (two, one)}
            if month <= 12 and day <= 31
        ]
    return []


def _found(line: Line, outcome: Outcome | None) -> Found:
    return Found(
        line.id,
        iso(line.received),
        line.channel,
        line.message_type,
        line.sender,
        line.control_id,
        line.kind,
        outcome.status if outcome else "waiting",
        outcome.cause if outcome else "",
        outcome.where if outcome else "",
        outcome.text if outcome else "",
    )


def show(hub: Opened, entry: int, who: str, *, phi: bool = False) -> dict[str, Any]:
    """Return all that is known of one message; with `phi` also its text, which is audited first."""
    line = line_of(hub.journal, entry)
    outcome = hub.store.outcome(entry)
    made: dict[str, Any] = asdict(_found(line, outcome))
    made |= {"peer": line.peer, "bytes": line.size, "reason": line.reason}
    if line.parent is not None:
        made["replay_of"] = line.parent
    if line.conflicts_with is not None:
        made["same_control_id_as"] = line.conflicts_with
    if line.deleted:
        made["deleted"] = True
    about = envelope(hub.journal, hub.store, entry)
    if outcome is not None:
        made |= {
            "revision": about.revision,
            "written": about.written,
            "unchanged": about.unchanged,
            "superseded": about.superseded,
            "flags": [asdict(flag) for flag in about.flags],
            "worked": iso(about.worked),
        }
    made["resources"] = [asdict(one) for one in about.resources]
    if phi:
        hub.store.audit.record(Access(who, "msg:open", f"entry/{entry}"))
        found = hub.journal.get(entry)
        if found is not None:
            made["body"] = readable(found.body)
    return made


def replay(hub: Opened, entry: int, who: str, why: str, body: bytes | None = None) -> Accepted:
    """Ask for a message to be run again, as it is or edited; audited first."""
    line_of(hub.journal, entry)
    hub.store.audit.record(Access(who, "msg:replay", f"entry/{entry}", why))
    channels = load_channels(hub.config.root) if body is not None else []
    return ask_replay(hub.journal, entry, who, why, body, channels)
