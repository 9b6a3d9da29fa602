"""What happened to an entry, in order: received and answered, mapped and written or parked, run again,
overtaken, looked at.

In: its envelope, the entries linked to it, the audit rows that name it where who asks may see them. Out:
`Event`s, oldest first. The journal keeps no time of an answer; what it keeps is that none was given before
the bytes were on disk.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from engine.channels.message.envelope import Envelope
from engine.channels.message.linked import Link
from engine.store.audit import AuditRow
from engine.store.deliveries import Delivery

__all__ = ["Event", "timeline"]

_ANSWERS = {
    "message": "accepted: kept on disk before any answer was given",
    "garbage": "kept on disk, and no message that the channel takes",
    "refused": "kept on disk, and refused: the sender was told",
    "answer": "an acknowledgement: kept, not answered",
}


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened; `at` 0 = the hub keeps no time of it."""

    at: int
    what: str
    text: str
    who: str = ""
    entry: int = 0


def timeline(
    about: Envelope,
    links: Iterable[Link],
    deliveries: Sequence[Delivery] = (),
    seen: Iterable[AuditRow] = (),
) -> list[Event]:
    """Return what happened to an entry."""
    out = [_received(about)]
    if about.kind in _ANSWERS:
        out.append(Event(about.received, "answered", _ANSWERS[about.kind]))
    if about.worked:
        out.append(_worked(about))
    for link in links:
        if link.kind in ("replay", "resend") and link.entry > about.entry and "replay" in link.why:
            out.append(Event(link.received, "run again", f"now {link.state}", link.asked_by, link.entry))
        elif link.kind == "resend" and link.entry > about.entry:
            out.append(
                Event(link.received, "edited and sent again", f"now {link.state}", link.asked_by, link.entry)
            )
    for one in deliveries:
        times = f", {one.tries} tries" if one.tries > 1 else ""
        out.append(Event(one.at, "delivery", f"to {one.destination}: {one.status}{times}"))
    for row in seen:
        out.append(Event(row.at, "looked at", row.action, row.who))
    # of one millisecond, what later entries did comes last, in their order
    return sorted(out, key=lambda event: (event.at, event.entry if event.entry > about.entry else 0))


def _received(about: Envelope) -> Event:
    if about.kind == "replay":
        return Event(
            about.received, "asked for", f"a replay of {about.parent}", about.asked_by, about.parent or 0
        )
    if about.kind == "resend":
        return Event(
            about.received, "asked for", f"edited from {about.parent}", about.asked_by, about.parent or 0
        )
    peer = f" from {about.peer}" if about.peer else ""
    return Event(about.received, "received", f"on {about.channel}{peer}, {about.bytes:,} bytes")


def _worked(about: Envelope) -> Event:
    by = f" with map revision {about.revision[:12]}" if about.revision else ""
    if about.state == "parked":
        return Event(
            about.worked, "parked", f"{about.cause}{f' at {about.where}' if about.where else ''}{by}"
        )
    if about.state == "skipped":
        return Event(about.worked, "skipped", f"{about.cause or 'nothing to write'}{by}")
    said = f"{about.written} written, {about.unchanged} unchanged, {about.superseded} superseded{by}"
    return Event(about.worked, "mapped and written", said)
