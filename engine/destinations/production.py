"""What a hub with real patients asks of a destination's settings.

In: settings that can name their weaknesses, (what is weak, remedy) each. Out: nothing, or a ConfigError for
the first of them. The start of `hub serve` tells all of them with their lines; this is the door.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterator
from typing import Protocol

from engine.kernel.delivery import Around
from engine.kernel.errors import ConfigError

__all__ = ["on_this_machine", "refuse_weak"]


class Judged(Protocol):
    """Settings that can say what is weak in them."""

    def weaknesses(self) -> Iterator[tuple[str, str]]: ...


def on_this_machine(host: str) -> bool:
    """Say whether only this machine reaches an address."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost"


def refuse_weak(settings: Judged, where: str, around: Around) -> None:
    """Refuse weak settings in production. Raises ConfigError."""
    if not around.production:
        return
    for what, remedy in settings.weaknesses():
        raise ConfigError(
            f"the production profile refuses this destination: {what}", where=where, remedy=remedy
        )
