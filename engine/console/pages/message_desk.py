"""What the pages about one message share: traces looked at last, pipelines for dry runs, rehearsals of many.

In: the hub of the pages. Out: one `Desk` for all of them, as long as the web process lives. What it keeps is
in memory only.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from engine.channels.drafts import OPEN, Drafts
from engine.channels.message.rehearsing import DryRun
from engine.channels.message.running import Runs, Tries
from engine.channels.message.traced import Trace, Traces
from engine.channels.pipeline import Pipeline
from engine.console.answers import Refused
from engine.console.door import Door
from engine.console.hub import Hub
from engine.console.visit import Visit

__all__ = ["Desk"]

_DESKS: WeakKeyDictionary[Door, Desk] = WeakKeyDictionary()
_NUMBERS = re.compile(r"(\d+)")
_ROWS = 3000  # of lineage on one page


@dataclass(frozen=True, slots=True)
class Row:
    """What became of one location."""

    location: str
    state: str
    why: str
    elements: tuple[str, ...]
    file: str
    line: int


def _in_order(location: str) -> list[tuple[int, str]]:
    """Return what sorts locations as a person counts: field 3 before field 10."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in _NUMBERS.split(location)]


@dataclass(slots=True)
class Desk:
    """What is kept between requests."""

    tries: Tries
    runs: Runs
    traces: Traces = field(default_factory=Traces)
    most: int = 200  # elements or sources that a click shows

    @classmethod
    def of(cls, door: Door) -> Desk:
        """Return the desk of a console: one for all its pages."""
        found = _DESKS.get(door)
        if found is None:
            hub = door.hub
            tries = Tries(hub.journal, hub.store, hub.keyring.mac16)
            found = _DESKS[door] = cls(tries, Runs(tries))
        return found

    def pipeline(self, hub: Hub, draft: int = 0) -> Pipeline:
        """Return the pipeline of what is in force, or of a draft. Raises HubError."""
        if draft:
            drafts = Drafts(hub.config, hub.staff)
            return self.tries.of(drafts.root(draft), hub.maps(), drafts.get(draft).texts)
        return self.tries.live(hub.maps(), hub.channels())

    def try_live(self, hub: Hub, entry: int, body: bytes | None = None) -> DryRun:
        """Try a replay, or an edited message, with what is in force. Raises HubError."""
        return self.tries.run(entry, self.pipeline(hub), body)

    def draft_of(self, visit: Visit, said: str) -> int:
        """Return the number of the draft that a page asks for; 0 = what is in force. Raises Refused."""
        if said in ("", "live", "0"):
            return 0
        number = said.removeprefix("draft-")
        if not number.isdigit():
            raise Refused(400, "maps= takes live, or draft-3.")
        visit.require("see.maps")
        return int(number)

    def drafts(self, visit: Visit) -> list[dict[str, Any]]:
        """Return the drafts that may be tried, newest first."""
        if not visit.may("see.maps"):
            return []
        heads = Drafts(visit.hub.config, visit.hub.staff).all(limit=30, states=OPEN)
        return [{"number": h.number, "title": h.title} for h in heads]

    def rows_of(self, trace: Trace | None, state: str) -> tuple[Sequence[Row], dict[str, int]]:
        """Return what became of every location, those of one state only where it is said; and the counts."""
        counts: dict[str, int] = {}
        rows: list[Row] = []
        for location, at in (trace.locations if trace is not None else {}).items():
            counts[at["state"]] = counts.get(at["state"], 0) + 1
            if state and at["state"] != state:
                continue
            row = at.get("row") or (at["elements"][0]["row"] if at["elements"] else {})
            elements = tuple(one["element"] for one in at["elements"])
            made = Row(
                location, at["state"], at.get("why", ""), elements, row.get("file", ""), row.get("line", 0)
            )
            rows.append(made)
        rows.sort(key=lambda row: _in_order(row.location))
        return rows[:_ROWS], counts
