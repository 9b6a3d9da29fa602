"""HL7 v2 converted as a channel reads it: by the map that it names, with what its rules leave out.

In: a channel, a message, the maps. Out: what the channel would write, and flags that say what of
devices is left out by which rule. Loaded only where a channel is named: a channel knows every destination.
"""

from __future__ import annotations

from engine.channels.definition import Channel
from engine.channels.intervals import mark_intervals, without_store
from engine.channels.mapchoice import head_of
from engine.formats.hl7v2.parse import Message
from engine.kernel.message import Identity
from engine.mapping.convert import Conversion, trace_message
from engine.mapping.project import Maps

__all__ = ["convert_as"]


def convert_as(
    channel: Channel, message: Message, maps: Maps, site: str, origin: str, taken: dict[Identity, str]
) -> Conversion:
    """Convert one message; `taken`: the values by interval of messages before it."""
    named = channel.map_of(*head_of(message))
    done = trace_message(message, maps, site, origin, general=True, map_=named)
    if channel.downsample:
        built = done.built
        built.flags += mark_intervals(built.drafts, channel.downsample, channel.name)
        built.drafts, told = without_store(built.drafts, taken)
        built.flags += told
    return done
