"""Orders that went out: how far each is, and which nobody has answered in time.

In: the deliveries of destinations that take orders, and the core store. Out: pages without patient data,
newest first, of channels the person's roles cover; `hub orders` counts them all.
"""

from __future__ import annotations

from dataclasses import asdict

from engine.channels.delivering.places import destinations_of
from engine.channels.orders.paging import Asked, page_of
from engine.channels.orders.patience import late_of
from engine.channels.orders.standing import STATES, after
from engine.console.answers import Page, Refused
from engine.console.door import Door
from engine.console.visit import Visit
from engine.kernel.clock import now_ms
from engine.mapping.outbound.library import OutMaps

__all__ = ["add"]

_DAY = 86_400_000
_HOURS = ("4", "24", "72")


def add(door: Door) -> None:
    """Add the page."""
    door.get("/deliveries/orders", needs="see.messages")(orders)


def orders(visit: Visit) -> Page:
    """Show how far orders are, of one state where the address names it."""
    state, hours, before = (visit.query.get(name, "") for name in ("state", "hours", "before"))
    if state not in ("", "overdue", *STATES):
        raise Refused(400, f"{state!r} is no state of an order.", f"States are {', '.join(STATES)}.")
    if hours not in ("", *_HOURS):
        raise Refused(400, "hours: takes 4, 24 or 72, or nothing.")
    if before and not (before.isascii() and before.isdigit() and len(before) < 19):
        raise Refused(400, "before: takes the number of a delivery.")
    hub, now = visit.hub, now_ms()
    asked = Asked(
        now=now,
        since=now - 30 * _DAY,
        before=int(before) if before else None,
        late=after(int(hours) * 3_600_000) if hours else late_of(hub.config, _DAY),
        wanted=lambda one: state in ("", one.state) or (state == "overdue" and one.overdue),
        sees=lambda channel: visit.may("see.messages", channel),
    )
    rows, more = page_of(
        destinations_of(hub.config, hub.channels()).values(),
        OutMaps.open(hub.config.root, identity_base=hub.config.identity_base),
        hub.store.deliveries,
        hub.store,
        hub.journal,
        asked,
    )
    facts = {
        "states": STATES,
        "state": state,
        "hours": hours,
        "choices": _HOURS,
        "rows": [asdict(one) for one in rows],
        "more": more,
    }
    return Page("orders.html", facts, "Orders")
