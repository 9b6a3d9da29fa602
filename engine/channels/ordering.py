"""What keeps messages in order, as the channel they came by gives it: the same keys the listener made.

In: a channel, who sent the message, its bytes. Out: its ordering keys, as `listeners/senders.py` makes them
with the sender's own authority and the order of the channel. What is made of an entry later (an edited
message, a delivery) so stands in the same order as the entry did.
"""

from __future__ import annotations

from contextlib import suppress

from engine.channels.arriving import read_body, way_of
from engine.channels.definition import Channel
from engine.formats.content import recognise
from engine.formats.facts import facts_of
from engine.formats.hl7v2.header import peek
from engine.formats.hl7v2.order_keys import order_keys
from engine.kernel.errors import FormatError
from engine.listeners.senders import Senders

__all__ = ["message_keys", "ordering_keys"]


def message_keys(channel: Channel | None, sender: str, body: bytes) -> tuple[str, ...]:
    """Return the ordering keys of an HL7 v2 message."""
    senders = _senders(channel, sender)
    return order_keys(body) if senders is None else senders.keys(peek(body), body)


def ordering_keys(channel: Channel | None, sender: str, body: bytes) -> tuple[str, ...]:
    """Return the ordering keys of any body; none where it cannot be read."""
    format = recognise(body)
    senders = _senders(channel, sender)
    if senders is None or format not in ("cda", "x12", "ncpdp", "dicom", "fhir"):
        return message_keys(channel, sender, body)
    with suppress(FormatError):  # what cannot be read any more keeps the lanes of its origin
        if format == "fhir" and channel is not None:  # its ids are of whose server the channel says
            facts = read_body(body, format, way_of(channel)).facts
        else:
            facts = facts_of(body, format)
        return senders.facts_of(facts)[1]
    return ()


def _senders(channel: Channel | None, sender: str) -> Senders | None:
    port = channel.receives if channel is not None else None
    if port is None:
        return None
    return Senders(port.channel, port.sender, port.senders, port.order, lambda _: sender)
