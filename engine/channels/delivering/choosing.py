"""Which deliveries a work asks for: its channel's rules, asked of the message, with what keeps their order.

In: a channel, an entry, the parsed message where it is HL7 v2. Out: `Due` records; the store writes them with
the resources, in the same transaction, and only where the entry is done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from engine.channels.definition import Channel
from engine.channels.ordering import message_keys
from engine.formats.hl7v2.parse import Message
from engine.kernel.message import Due, Entry

__all__ = ["dues_of"]

Mac = Callable[[str, str], bytes]


def dues_of(
    channel: Channel, entry: Entry, mac: Mac, message: Message | None = None, keys: Sequence[str] = ()
) -> tuple[Due, ...]:
    """Return what is to be delivered of one entry. `keys`: of what is no HL7 v2, the patients it is about."""
    wanted = [rule for rule in channel.deliver if rule.wants(entry.message_type, message)]
    if not wanted:
        return ()
    named = message_keys(channel, entry.sender, entry.body) if message is not None else keys
    hashed = tuple(sorted({int.from_bytes(mac("delivery", key)[:7], "big") for key in named}))
    return tuple(Due(rule.to, hashed, rule.state) for rule in wanted)
