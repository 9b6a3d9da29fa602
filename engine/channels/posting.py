"""A body that is no HL7 v2 through a channel without a journal, for tests: the same words, the same answer.

In: a channel, what its way in made of a body. Out: entries as the journal would hold them, and the answer in
a few words: `999 A`, `TA1 R`, `Status 010`, `Error 900`, `Verify`, else the HTTP status.
"""

from __future__ import annotations

from engine.channels.definition import Channel
from engine.formats.ncpdp.elements import first_text
from engine.formats.ncpdp.message import parse
from engine.formats.x12.segments import read_segments
from engine.kernel.message import Entry, NewEntry
from engine.listeners.ack_rules import AckRules, AckSettings
from engine.listeners.entries import Source
from engine.listeners.mail import Answer
from engine.listeners.receiving import source_of
from engine.listeners.senders import Senders

__all__ = ["entry_at", "named", "posted_by"]


def posted_by(channel: Channel) -> Source:
    """Return what the journal is told of a channel's bodies."""
    if channel.receives is not None:
        return source_of(channel.receives)
    return Source(channel.name, AckRules(AckSettings()), Senders(channel.name, channel.site), channel.site)


def entry_at(n: int, new: NewEntry) -> Entry:
    """Return the entry that the journal would make of this."""
    return Entry(
        id=n,
        channel=new.channel,
        body=new.body,
        received=0,
        sender=new.sender,
        peer=new.peer,
        control_id=new.control_id,
        message_type=new.message_type,
        charset=new.charset,
        kind=new.kind,
        lanes=(),
        parent=None,
        position=n,
        reason=new.reason,
        conflicts_with=None,
    )


def named(answer: Answer) -> str:
    """Say what was answered."""
    if answer.type == "application/edi-x12":
        segments, _, _ = read_segments(answer.body)
        words = [f"TA1 {s.get(4)}" for s in segments if s.name == "TA1"]
        words += [f"999 {s.get(1)}" for s in segments if s.name == "AK9"]
        return ", ".join(words)
    if answer.type == "application/xml":
        script = parse(answer.body)
        code = first_text(script.body, "Code", "VerifyStatus/Code")
        return f"{script.transaction} {code}".strip()
    return str(answer.status)
