"""Who may connect: the `allow` list of a listener, networks in CIDR notation.

In: networks, and the address of a peer. Out: yes or no. An IPv4 address on an IPv6 socket counts as IPv4.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Sequence
from typing import Annotated

from pydantic import AfterValidator

__all__ = ["AllowList", "Networks"]

_REMEMBERED = 4096


def _read(networks: tuple[str, ...]) -> tuple[str, ...]:
    for network in networks:
        ipaddress.ip_network(network)  # its ValueError names the text
    return networks


Networks = Annotated[tuple[str, ...], AfterValidator(_read)]
"""Networks as a channel file gives them, each readable."""


class AllowList:
    """The networks that may connect; an empty list lets everyone in."""

    def __init__(self, networks: Sequence[str]) -> None:
        self._networks = [ipaddress.ip_network(network) for network in networks]
        self._known: dict[str, bool] = {}

    def __contains__(self, host: str) -> bool:
        if not self._networks:
            return True
        known = self._known.get(host)
        if known is None:
            address = ipaddress.ip_address(host.partition("%")[0])
            mapped = getattr(address, "ipv4_mapped", None) or address
            known = any(mapped in network for network in self._networks)
            if len(self._known) >= _REMEMBERED:
                self._known.clear()
            self._known[host] = known
        return known
