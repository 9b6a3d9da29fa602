"""Orders that went out: how far each is, and which nobody has answered in time.

In: the deliveries of destinations that take orders, and the core store. Out: one page without patient data,
of channels the person's roles cover.
"""

from __future__ import annotations

from dataclasses import asdict

from engine.channels.delivering.places import destinations_of
from engine.channels.orders.standing import STATES, counted, standing
from engine.console.answers import Page, Refused
from engine.console.door import Door
from engine.console.visit import Visit
from engine.kernel.clock import now_ms
from engine.mapping.outbound.library import OutMaps

__all__ = ["add"]

_DAY = 86_400_000
_HOURS = ("4", "24", "72")
_LOOK = 500  # deliveries of each destination and state
_SHOWN = 200


def add(door: Door) -> None:
    """Add the page."""
    door.get("/deliveries/orders", needs="see.messages")(orders)


def orders(visit: Visit) -> Page:
    """Show how far orders are, of one state where the address names it."""
    state, hours = visit.query.get("state", ""), visit.query.get("hours", "24")
    if state not in ("", "overdue", *STATES):
        raise Refused(400, f"{state!r} is no state of an order.", f"States are {', '.join(STATES)}.")
    if hours not in _HOURS:
        raise Refused(400, "hours: takes 4, 24 or 72.")
    hub = visit.hub
    places = [
        place
        for place in destinations_of(hub.config, hub.channels()).values()
        if place.rules and all(visit.may("see.messages", channel) for channel in place.rules)
    ]
    now = now_ms()
    found = standing(
        places,
        OutMaps.open(hub.config.root, identity_base=hub.config.identity_base),
        hub.store.deliveries,
        hub.store,
        hub.journal,
        now=now,
        since=now - 30 * _DAY,
        late=int(hours) * 3_600_000,
        most=_LOOK,
    )
    wanted = [one for one in found if state in ("", one.state) or (state == "overdue" and one.overdue)]
    facts = {
        "counts": counted(found),
        "states": STATES,
        "state": state,
        "hours": hours,
        "choices": _HOURS,
        "rows": [asdict(one) for one in wanted[:_SHOWN]],
        "more": max(0, len(wanted) - _SHOWN),
    }
    return Page("orders.html", facts, "Orders")
