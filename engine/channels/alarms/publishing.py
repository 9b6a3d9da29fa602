"""Alarms and critical results as events of a destination: a broker, a webhook, an HTTP server.

In: the name of a destination of config.yaml, what is told as an object with ids. Out: what came of it, or a
HubError that says why it was not taken; it is tried again as any notice is. The envelope is that of all
events (docs/analysts/events.md); the key is the notice's: a receiver can leave out what came again.
"""

from __future__ import annotations

from typing import Any

import orjson

from engine.channels.delivering.events import EVENT_MEDIA
from engine.channels.delivering.places import around, destinations_of
from engine.kernel.clock import iso
from engine.kernel.config import Config
from engine.kernel.delivery import Parcel
from engine.kernel.errors import ConfigError, HubError

__all__ = ["check_named", "publish"]

_TAKES = ("http", "rabbitmq", "webhook")


def check_named(config: Config, names: tuple[str, ...], where: str) -> None:
    """Refuse names that lead nowhere, or where events of the hub itself cannot go. Raises ConfigError."""
    if not names:
        return
    known = destinations_of(config, ())
    for name in names:
        place = known.get(name)
        if place is None:
            raise ConfigError(
                f"destinations: there is no {name}",
                where=where,
                remedy="name one that stands under destinations: in config.yaml",
            )
        if place.kind.word not in _TAKES:
            raise ConfigError(
                f"destinations: {name} takes no events of the hub itself",
                where=where,
                remedy=f"name one of {', '.join(_TAKES)}",
            )


def publish(config: Config, name: str, about: str, told: dict[str, Any], once: str, at: int) -> str:
    """Tell a destination one thing: `about` (alert, critical) is the first part of the event's word.

    Raises HubError where it is not taken.
    """
    place = destinations_of(config, ()).get(name)
    if place is None:
        raise HubError(f"destination:{name} is no longer in the settings")
    happened = str(told["event"]).partition(" ")[0]  # `escalated 2`: for the second time
    word = f"{about}.{happened}"
    event = {
        "specversion": "1.0",
        "id": once,
        "source": f"/{about}s",
        "type": word,
        "time": iso(at),
        "datacontenttype": "application/json",
        "data": told,
    }
    channel = str(told.get("channel") or "hub")
    facts = {
        "type": about,
        "event": happened,
        "happened": word,
        "sender": config.hub,
        "received": iso(at),
    }
    parcel = Parcel(once, int(told.get("entry") or 0), channel, orjson.dumps(event), EVENT_MEDIA, facts)
    destination = place.make(around(config))
    try:
        receipt = destination.deliver(parcel)
    finally:
        destination.close()
    if receipt.verdict != "sent":
        raise HubError(receipt.why, where=f"destination {name}")
    return receipt.why or "accepted"
