"""The coverage map of a sender: every place that is populated, how often, and what its maps do with it.

In: what was seen, what tracing a sample found. Out: rows in the order of a message, and counts of the four
states. A place that was seen but stands in no traced message has the state `not looked at`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.channels.profiling.covering import STATES, Coverage
from engine.channels.profiling.layout import field_name
from engine.channels.profiling.seen import TypeSeen
from engine.channels.profiling.views import covered_of, in_order, main_version, trend

__all__ = ["ABSENT", "HeatRow", "heat", "totals"]

ABSENT = "not looked at"


@dataclass(frozen=True, slots=True)
class HeatRow:
    """One place. `share` is of the messages that were looked at; `states` counts values of the sample."""

    place: str
    name: str
    share: float
    messages: int
    state: str
    states: tuple[tuple[str, int], ...]
    how: tuple[tuple[str, int], ...]
    elements: tuple[str, ...]
    rows: tuple[str, ...]
    why: tuple[str, ...]
    examples: tuple[tuple[str, tuple[int, ...]], ...]
    first: int
    last: int
    trend: str
    types: tuple[str, ...]


def heat(types: Mapping[str, TypeSeen], coverage: Coverage, only: str = "") -> list[HeatRow]:
    """Return the rows; `only`: of this message type."""
    chosen = {n: t for n, t in types.items() if t.looked and only in ("", n)}
    looked = sum(t.looked for t in chosen.values())
    places = {p for t in chosen.values() for p in t.places}
    out = []
    for place in sorted(places, key=in_order):
        if f"{place}.1" in places and place not in coverage.places:
            continue  # its components have rows of their own
        having = {n: t for n, t in chosen.items() if place in t.places}
        seen = [t.places[place] for t in having.values()]
        covered = covered_of(coverage, place, places)
        trends = [word for t in having.values() if (word := trend(t.places[place], t.looked))]
        version = main_version(next(iter(having.values())))
        messages = sum(p.messages for p in seen)
        out.append(
            HeatRow(
                place,
                field_name(version, place),
                messages / looked if looked else 0.0,
                messages,
                covered.state if covered else ABSENT,
                tuple((s, covered.states.get(s, 0)) for s in STATES) if covered else (),
                tuple(covered.how.items()) if covered else (),
                tuple(covered.elements) if covered else (),
                tuple(row for row in covered.rows if row) if covered else (),
                tuple(covered.why) if covered else (),
                tuple((state, tuple(n)) for state, n in covered.examples.items()) if covered else (),
                min(p.first for p in seen),
                max(p.last for p in seen),
                trends[0] if trends else "",
                tuple(having),
            )
        )
    return out


def totals(rows: list[HeatRow]) -> list[tuple[str, int]]:
    """Count the places of each state."""
    states = [*STATES, ABSENT]
    return [(state, sum(row.state == state for row in rows)) for state in states]
