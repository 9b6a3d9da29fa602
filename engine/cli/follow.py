"""What became of a message just sent: its entry in the journal of this project, and the FHIR it was turned
into.

In: an address and a control id. Out: the outcome and the resources, or nothing where the address is not this
project's or its hub is slower than the wait.
"""

from __future__ import annotations

import ipaddress
import time
from dataclasses import dataclass
from urllib.parse import urlsplit

from engine.channels.definition import load_channels
from engine.cli.opened import Opened
from engine.kernel.message import Outcome

__all__ = ["Became", "channel_at", "follow", "follow_entry"]

_LOOK_AGAIN = 0.05  # seconds


@dataclass(frozen=True, slots=True)
class Became:
    """One message's fate: `resources` are (type, id, version, op)."""

    entry: int
    outcome: Outcome
    resources: tuple[tuple[str, str, int, str], ...]


def channel_at(hub: Opened, url: str) -> str:
    """Return the name of this project's channel that listens at an address of this machine; "" for none."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    try:
        local = host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        local = False
    for channel in load_channels(hub.config.root):
        if local and channel.mllp is not None and channel.mllp.mllp.port == (parts.port or 2575):
            return channel.name
    return ""


def follow(hub: Opened, channel: str, control_id: str, seconds: float) -> Became | None:
    """Wait for the newest message of this control id to be worked on."""
    found = hub.journal.search.by_control(control_id, channel=channel)
    return follow_entry(hub, found[-1], seconds) if found else None


def follow_entry(hub: Opened, entry: int, seconds: float) -> Became | None:
    """Wait for an entry to be worked on."""
    end = time.monotonic() + seconds
    while True:
        outcome = hub.store.outcome(entry)
        if outcome is not None:
            return Became(entry, outcome, tuple(hub.store.written_by(entry)))
        if time.monotonic() >= end:
            return None
        time.sleep(_LOOK_AGAIN)
