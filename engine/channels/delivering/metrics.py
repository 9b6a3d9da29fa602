"""The figures of deliveries for /metrics, written as Prometheus text every few seconds.

In: how every destination is doing, and what its thread counted. Out: `<metrics>/deliveries.prom`. Labels are
names of destinations, never addresses.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path

from engine.channels.delivering.sending import Sending
from engine.store.deliveries import Place

__all__ = ["write_metrics"]


def write_metrics(path: Path, places: Iterable[Place], sendings: Mapping[str, Sending], now: int) -> None:
    """Write the file, whole or not at all."""
    rows: dict[tuple[str, str, str], list[str]] = {}

    def say(name: str, kind: str, help: str, place: str, value: float) -> None:
        rows.setdefault((name, kind, help), []).append(f'{name}{{destination="{place}"}} {value:g}')

    for place in places:
        age = (now - place.oldest) / 1000 if place.oldest is not None else 0
        say("hub_deliveries_pending", "gauge", "Deliveries that wait", place.name, place.pending)
        say("hub_deliveries_oldest_seconds", "gauge", "Age of the oldest that waits", place.name, max(0, age))
        held = place.refused + place.parked
        say("hub_deliveries_held", "gauge", "Deliveries that wait for a person", place.name, held)
        open_ = place.state == "open"
        say("hub_destination_up", "gauge", "1: it takes deliveries", place.name, int(open_))
    for name, sending in dict(sendings).items():
        t = sending.tally
        say("hub_deliveries_sent_total", "counter", "Deliveries that were taken", name, t.sent)
        say("hub_deliveries_retried_total", "counter", "Tries to be made again", name, t.retried)
        say("hub_deliveries_refused_total", "counter", "Deliveries that were refused", name, t.refused)
        say("hub_deliveries_parked_total", "counter", "Deliveries put before a person", name, t.parked)
        say("hub_delivery_seconds_total", "counter", "Time that tries took", name, t.ms / 1000)
    lines: list[str] = []
    for (name, kind, help), values in rows.items():
        lines += [f"# HELP {name} {help}", f"# TYPE {name} {kind}", *values]
    temporary = path.with_suffix(".tmp")
    temporary.write_text("\n".join(lines) + "\n")
    os.replace(temporary, path)
