"""`hub msg`: find messages by what a person knows of them, look at one, run one again.

In: words (a number, a name, a birth date, a control id), filters, an entry id. Out: records without patient
data; a body only when it is asked for, after its row in the audit table is on disk.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import Any

from engine.channels.asked import All, Is
from engine.channels.asking import read_query
from engine.channels.definition import load_channels
from engine.channels.findhits import Hit, hits_of
from engine.channels.finding import Finder, Hits, Look
from engine.channels.message.envelope import envelope, line_of
from engine.channels.message.text import readable
from engine.channels.replay import ask_replay
from engine.cli.opened import Opened
from engine.kernel.clock import iso
from engine.kernel.errors import ConfigError
from engine.kernel.message import Accepted
from engine.store.audit import Access

__all__ = ["STATES", "Found", "find", "replay", "search", "show"]

STATES = ("waiting", "done", "parked", "skipped", "closed")
_PAGES = 60  # portions of a search, each bounded, that one command goes through
_AT_ONCE = 500


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
    hub: Opened,
    words: Sequence[str],
    who: str,
    *,
    status: str = "",
    channel: str = "",
    limit: int = 20,
    look: int = 0,
) -> list[Found]:
    """Return the newest messages that fit a search, in that state and channel; `search` says more."""
    return search(hub, words, who, status=status, channel=channel, limit=limit, look=look)[0]


def search(
    hub: Opened,
    words: Sequence[str],
    who: str,
    *,
    status: str = "",
    channel: str = "",
    limit: int = 20,
    look: int = 0,
) -> tuple[list[Found], Hits]:
    """Return the newest messages that fit, and what there is to say of the search. One with words is audited.

    `look`: messages that may be opened for conditions that no index answers.
    """
    if status and status not in STATES:
        raise ConfigError(f"--status {status}", remedy=f"use one of {', '.join(STATES)}")
    text = " ".join(words)
    asked = [read_query(text, datetime.now())] if text.strip() else []
    if asked:
        hub.store.audit.record(Access(who, "msg:find", "messages", text))
    asked += [Is("state", status)] if status else []
    asked += [Is("channel", channel)] if channel else []
    finder = Finder(hub.journal, hub.store)
    made = Hits()
    found: list[Found] = []
    below: int | None = None
    opened = looked = 0
    while len(found) < limit:
        page = finder.find(
            All(tuple(asked)),
            below=below,
            limit=limit - len(found),
            look=Look(min(_AT_ONCE, look - opened)) if look > opened else None,
        )
        found += [_found(hit) for hit in page.hits]
        opened += page.opened if look else 0
        looked += 1
        made = made if below else page
        below = page.next
        if below is None or (look and opened >= look) or looked > _PAGES:
            break
    made.next, made.opened = below, opened
    return found, made


def _found(hit: Hit) -> Found:
    names = (f.name for f in fields(Found))
    return Found(**{name: getattr(hit, name) for name in names})


def show(hub: Opened, entry: int, who: str, *, phi: bool = False) -> dict[str, Any]:
    """Return all that is known of one message; with `phi` also its text, which is audited first."""
    line = line_of(hub.journal, entry)
    outcome = hub.store.outcome(entry)
    (hit,) = hits_of(hub.journal, hub.store, [entry], lambda _: True, False)
    made: dict[str, Any] = asdict(_found(hit))
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
