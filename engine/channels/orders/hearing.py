"""Answers of applications become messages of a channel: ORL, ORR, ORI and the like, which say what of an
order was accepted, refused and numbered.

In: an answer that came over a connection of ours (MLLP out), and the channel that a destination's
`answers_to` names. Out: a journal entry, as if it had come in there; only then is it acknowledged where it
asks for that (HL7 v2.5.1 ch. 2.9.3.3). Raises StoreUnavailable where it cannot be kept.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

from engine.channels.definition import Channel
from engine.channels.delivering.places import Destined
from engine.channels.posting import posted_by
from engine.formats.hl7v2.header import peek
from engine.kernel.delivery import Destination
from engine.kernel.message import Accepted, NewEntry
from engine.listeners.entries import entry_of

__all__ = ["hearing"]


class Journal(Protocol):
    """Where answers are kept."""

    def append(self, entries: list[NewEntry], /) -> list[Accepted]: ...


def hearing(
    channels: Iterable[Channel], journal: Journal, clock: Callable[[], int]
) -> Callable[[Destined, Destination], None]:
    """Return what lets a destination that was made hand its applications' answers to a channel."""
    by_name = {channel.name: channel for channel in channels}

    def let(place: Destined, line: Destination) -> None:
        channel = by_name.get(getattr(place.settings, "answers_to", ""))
        if channel is not None and hasattr(line, "heard"):
            line.heard = _keeper(channel, journal, clock, place.name)

    return let


def _keeper(
    channel: Channel, journal: Journal, clock: Callable[[], int], place: str
) -> Callable[[bytes], bool]:
    source = posted_by(channel)

    def keep(answer: bytes) -> bool:
        """Take an answer into the journal; False where it is no HL7 v2."""
        header = peek(answer)
        if not header.ok:
            return False
        decision = source.rules.decide(header, answer)
        journal.append([entry_of(source, f"answer of {place}", clock(), answer, header, decision)])
        return True

    return keep
