"""`hub orders`: how far the orders are that went out to fillers, and which are overdue.

In: words of the command line. Out: text or JSON, without patient data: ids of the core store, numbers of
deliveries and entries, states and ages.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from engine.cli.project import project_root
from engine.kernel.clock import now_ms
from engine.kernel.errors import ConfigError

__all__ = ["orders"]

_DAY = 86_400_000


def orders(
    to: Annotated[str, typer.Option(help="one destination only")] = "",
    state: Annotated[str, typer.Option(help="one state only; overdue: those that are")] = "",
    overdue: Annotated[
        str,
        typer.Option(
            help="after how long an order is overdue; without it as alerts: orders: says, else 24 hours"
        ),
    ] = "",
    days: Annotated[int, typer.Option(min=1, max=3660, help="how far to look back")] = 30,
    most: Annotated[int, typer.Option(min=1, max=100_000, help="deliveries looked at for each")] = 2000,
    json: Annotated[bool, typer.Option("--json", help="for programs")] = False,
) -> None:
    """Show how far the orders are that went out: acknowledged, accepted, resulted, complete, overdue."""
    from engine.channels.alerts import duration_ms
    from engine.channels.definition import load_channels
    from engine.channels.delivering.places import destinations_of
    from engine.channels.orders.patience import late_of
    from engine.channels.orders.standing import STATES, after, counted, standing
    from engine.cli.opened import opened
    from engine.cli.printing import print_json
    from engine.mapping.outbound.library import OutMaps

    if state and state not in (*STATES, "overdue"):
        raise ConfigError(f"--state {state}", remedy=f"use {', '.join(STATES)} or overdue")
    root = project_root(own=True)
    now = now_ms()
    with opened(root) as hub:
        places = destinations_of(hub.config, load_channels(root))
        if to and to not in places:
            raise ConfigError(f"there is no destination {to}", remedy=f"there are: {', '.join(places)}")
        found = standing(
            [place for name, place in places.items() if to in ("", name)],
            OutMaps.open(root, identity_base=hub.config.identity_base),
            hub.store.deliveries,
            hub.store,
            hub.journal,
            now=now,
            since=now - days * _DAY,
            late=after(duration_ms(overdue, "--overdue")) if overdue else late_of(hub.config, _DAY),
            most=most,
        )
    shown = [one for one in found if state in ("", one.state) or (state == "overdue" and one.overdue)]
    if json:
        return print_json([asdict(one) for one in shown])
    for name, counts in sorted(counted(found).items()):
        words = [f"{counts[s]} {s}" for s in (*STATES, "overdue") if s in counts]
        print(f"{name:<24} {', '.join(words)}")
    for one in shown:
        late_ = "  OVERDUE" if one.overdue else ""
        why = f"  {one.why}" if one.why else ""
        age = _age(now - one.at)
        print(
            f"{one.destination:<24} {one.state:<12} {age:>9}  ServiceRequest/{one.order}  "
            f"delivery {one.delivery}  entry {one.entry}{late_}{why}"
        )
    if not shown:
        print("none")


def _age(ms: int) -> str:
    minutes = max(0, ms) // 60_000
    if minutes < 120:
        return f"{minutes} min"
    return f"{minutes // 60} h" if minutes < 2880 else f"{minutes // 1440} days"
