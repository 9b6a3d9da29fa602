"""One page of orders that went out: newest first, from a delivery on, of a bounded number of deliveries.

In: the destinations that take orders, which channels a person may see, the last delivery of the page before.
Out: the orders of the page, and where the next one begins. An order that went out more than once stands on a
page once, by its newest delivery there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from engine.channels.delivering.places import Destined
from engine.channels.orders.standing import (
    Deliveries,
    Journal,
    Late,
    Reports,
    Standing,
    Store,
    carries_orders,
    orders_of,
    state_of,
)
from engine.mapping.outbound.library import OutMaps
from engine.store.deliveries import STATUSES, Delivery

__all__ = ["Asked", "page_of"]

_LOOK = 200  # deliveries, whatever becomes of them


class Asked(NamedTuple):
    """What a page is to show."""

    now: int
    since: int
    before: int | None
    late: Late
    wanted: Callable[[Standing], bool]
    sees: Callable[[str], bool]  # whether the person may see a channel
    most: int = 50


def page_of(
    places: Iterable[Destined],
    maps: OutMaps,
    deliveries: Deliveries,
    store: Store,
    journal: Journal,
    asked: Asked,
) -> tuple[list[Standing], int | None]:
    """Return the orders of a page, and the delivery that the next page goes on after; None at the end."""
    carrying = {place.name: (place, carries_orders(place, maps)) for place in places}
    found: list[Delivery] = []
    for name, (_, channels) in carrying.items():
        for status in STATUSES if channels else ():
            found += deliveries.listed(name, status, asked.before, _LOOK + 1)
    found = sorted((one for one in found if one.at >= asked.since), key=lambda one: -one.id)
    shown: list[Standing] = []
    seen: set[tuple[str, str]] = set()
    reports = Reports(store)
    for n, delivery in enumerate(found):
        if n == _LOOK or len(shown) >= asked.most:
            return shown, found[n - 1].id
        if not asked.sees(delivery.channel or ""):
            continue
        place, channels = carrying[delivery.destination]
        for order in orders_of(delivery, place, channels, store, journal):
            if (place.name, order["id"]) in seen:
                continue  # a change or a cancellation that went out later tells more
            seen.add((place.name, order["id"]))
            state = state_of(delivery, order, reports)
            overdue = asked.late(place.name, order, state, asked.now - delivery.at)
            numbers = (delivery.id, delivery.entry, state, delivery.at, delivery.done, delivery.why)
            one = Standing(order["id"], place.name, *numbers, overdue)
            if asked.wanted(one):
                shown.append(one)
    return shown, None
