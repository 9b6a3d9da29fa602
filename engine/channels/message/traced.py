"""Lineage for a page: one value and all it became, or one element and the bytes it came from.

In: an entry, the maps and channels in force. Out: a `Trace` of the whole message, asked for by location or by
element. A trace is worked out by the traced twin of the compiled maps and kept for a little while, so that
one click after another costs nothing; it is never stored. It says which revision it was worked out with and
whether that is the one that wrote the message.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.channels.definition import Channel
from engine.channels.message.blame import Change, who_wrote
from engine.channels.tracing import lineage_of
from engine.kernel.message import Entry
from engine.mapping.project import Maps

__all__ = ["Nowhere", "Reached", "Source", "Trace", "Traces", "same_place"]


@dataclass(frozen=True, slots=True)
class Reached:
    """One element that a value reached, and the row that did it."""

    element: str  # Observation[2].valueQuantity.value, as the report names it
    resource: str  # Observation/<id>, as the store keeps it
    path: str  # valueQuantity.value
    row: str
    file: str
    line: int
    layer: str
    changed: Change | None = None


@dataclass(frozen=True, slots=True)
class Source:
    """One location that an element came from, and the row that took it there."""

    location: str
    row: str
    file: str
    line: int
    layer: str
    changed: Change | None = None


@dataclass(frozen=True, slots=True)
class Nowhere:
    """Why a location reached no element."""

    location: str
    state: str  # one of engine.mapping.lineage.STATES
    why: str
    row: str = ""
    file: str = ""
    line: int = 0
    changed: Change | None = None


@dataclass(frozen=True, slots=True)
class Trace:
    """The lineage of one message."""

    site: str
    revision: str
    same_revision: bool  # as the worker had
    root: Path
    resources: dict[str, str]  # name in the report -> Type/id
    elements: dict[str, list[dict[str, Any]]]
    locations: dict[str, dict[str, Any]]

    def from_(self, location: str) -> tuple[list[Reached], list[Nowhere]]:
        """Say where a location went; a field or segment answers for all the values in it."""
        reached: list[Reached] = []
        nowhere: list[Nowhere] = []
        for here, at in self.locations.items():
            if not same_place(here, location):
                continue
            reached += [self._reached(one) for one in at["elements"]]
            if at["state"] != "mapped":
                row = at.get("row") or {}
                file, line = row.get("file", ""), row.get("line", 0)
                changed = who_wrote(self.root, file, line) if file else None
                nowhere.append(
                    Nowhere(here, at["state"], at.get("why", ""), row.get("name", ""), file, line, changed)
                )
        return list(dict.fromkeys(reached)), nowhere

    def of(self, element: str) -> list[Source]:
        """Say from where an element came, or all that is in it: `Observation/<id>.valueQuantity`."""
        wanted = self._named(element)
        out: dict[Source, None] = {}
        for name, sources in self.elements.items():
            if name == wanted or name.startswith((f"{wanted}.", f"{wanted}[")):
                for one in sources:
                    row = one["row"]
                    changed = who_wrote(self.root, row["file"], row["line"]) if row["file"] else None
                    source = Source(
                        one["location"], row["name"], row["file"], row["line"], row["layer"], changed
                    )
                    out[source] = None
        return list(out)

    def state(self, location: str) -> str:
        """Say in one word what became of a location; empty where nothing is known of it."""
        found = self.locations.get(location)
        return str(found["state"]) if found is not None else ""

    def _reached(self, one: dict[str, Any]) -> Reached:
        name, _, path = one["element"].partition(".")
        row = one["row"]
        changed = who_wrote(self.root, row["file"], row["line"]) if row["file"] else None
        return Reached(
            one["element"],
            self.resources.get(name, name),
            path,
            row["name"],
            row["file"],
            row["line"],
            row["layer"],
            changed,
        )

    def _named(self, element: str) -> str:
        """Turn `Observation/<id>.value` into the name that the report has for it."""
        resource, _, path = element.partition(".")
        name = next((n for n, address in self.resources.items() if address == resource), resource)
        return f"{name}.{path}" if path else name


def same_place(location: str, wanted: str) -> bool:
    """Say whether a location is the wanted one or lies in it: `OBX[3]-5[1].1` in `OBX[3]-5`."""
    if location == wanted:
        return True
    return location.startswith(wanted) and location[len(wanted)] in "-.[/(" if wanted else False


class Traces:
    """The traces looked at last, by entry and maps."""

    def __init__(self, most: int = 16) -> None:
        self._most = most
        self._kept: OrderedDict[tuple[int, int, str], tuple[Maps, Trace]] = OrderedDict()
        self._lock = threading.Lock()

    def of(
        self,
        entry: Entry,
        maps: Maps,
        channels: Iterable[Channel],
        mac: Callable[[str, str], bytes],
        revision: str,
    ) -> Trace:
        """Return the trace of an entry; `revision` is what the worker had. Raises HubError."""
        key = entry.id, id(maps), maps.terminology.digest
        with self._lock:
            found = self._kept.get(key)
            if found is not None and found[0] is maps:
                self._kept.move_to_end(key)
                return found[1]
            made = trace(entry, maps, channels, mac, revision)
            self._kept[key] = maps, made
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)
            return made


def trace(
    entry: Entry,
    maps: Maps,
    channels: Iterable[Channel],
    mac: Callable[[str, str], bytes],
    revision: str,
) -> Trace:
    """Work out the lineage of an entry under these maps. Raises HubError."""
    found = lineage_of(entry, maps, channels, mac)
    ways = found.as_json()
    same = found.revision == revision
    return Trace(
        found.site, found.revision, same, maps.root, found.resources, ways["elements"], ways["locations"]
    )
