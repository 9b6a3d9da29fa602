"""Every row of the maps that ran, with what it did to this message: the middle pane of the bench.

In: what a watched trial has seen, and the resolved maps. Out: for each map the places where it ran, and of
the place that is looked at its rows in the order of the sheet: value and where it came from, or why there is
none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from engine.fhir import jsonio
from engine.mapping.entries import Entry, entries
from engine.mapping.lineage import walk_values
from engine.mapping.model import MapDef
from engine.mapping.seen import Frame, RowSeen, Seen, Spot
from engine.mapping.sheet import how_text
from engine.mapping.traced import plain

__all__ = ["STATES", "LiveMap", "LiveRow", "LiveValue", "live_maps"]

STATES = {
    "ran": "gave a value",
    "condition false": "its `when` does not hold here",
    "source empty": "what it reads was not sent",
    "not reached": "what it hangs below made nothing, or another case was chosen",
    "came second": "an earlier row had filled the element",
    "skipped": "deliberately nothing",
}
"""What can become of a row, in two words."""
_LONGEST = 300


@dataclass(frozen=True, slots=True)
class LiveValue:
    """A value a row gave, and the places in the message it was made of."""

    text: str
    sources: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class LiveRow:
    """One row of a sheet on one message. `inside`: the maps that ran to make its value."""

    depth: int
    element: str
    source: str
    how: str
    when: str
    layer: str
    file: str
    line: int
    column: int
    state: str
    why: str
    values: tuple[LiveValue, ...]
    inside: tuple[LiveMap, ...] = ()


@dataclass(slots=True)
class LiveMap:
    """A map that ran: all the places it ran at, and the rows at one of them."""

    map: str
    source: str
    to: str
    file: str
    at: str
    places: list[str] = field(default_factory=list)
    rows: list[LiveRow] = field(default_factory=list)
    through: str = ""  # the map in which it ran, where it is not a map of the message itself


def live_maps(
    seen: Seen, resolved: Mapping[str, MapDef], first: Iterable[str] = (), at: Mapping[str, str] | None = None
) -> list[LiveMap]:
    """Return the maps that ran; those named `first` come first, also where they ran inside others.

    `at`: map -> the place whose rows are wanted; without one, the first.
    """
    at = at or {}
    first = list(first)
    tops: dict[str, list[tuple[Frame, str]]] = {}
    wanted: dict[str, list[tuple[Frame, str]]] = {name: [] for name in first}
    for frame in seen.frames:
        tops.setdefault(frame.map, []).append((frame, ""))
        for inner, through in _inner(frame):
            if inner.map in wanted:
                wanted[inner.map].append((inner, through))
    for name in first:
        if name in tops:
            wanted[name] = tops.pop(name)
    out = []
    for name, ran in [*wanted.items(), *tops.items()]:
        if not ran or name not in resolved:
            continue
        places = _places(ran)
        n = places.index(at[name]) if at.get(name) in places else 0
        frame, through = ran[n]
        live = _live(frame, resolved, places[n], through)
        live.places = places
        out.append(live)
    return out


def _places(ran: list[tuple[Frame, str]]) -> list[str]:
    """Name where a map ran: `OBX[3]`, or `PID-5 in PID_Patient PID[1]`; the same again gets a number."""
    out: list[str] = []
    for frame, through in ran:
        name = f"{frame.at} in {through}" if through else frame.at
        n, text = 1, name
        while text in out:
            n += 1
            text = f"{name} ({n})"
        out.append(text)
    return out


def _inner(frame: Frame) -> Iterator[tuple[Frame, str]]:
    """Give the maps that ran inside one, each with what it ran in."""
    for row in frame.rows.values():
        for inner in row.inner:
            if inner.rows:
                yield inner, f"{frame.map} {frame.at}"
            yield from _inner(inner)


def _live(frame: Frame, resolved: Mapping[str, MapDef], at: str, through: str = "") -> LiveMap:
    m = resolved[frame.map]
    rows = list(_rows(entries(m), frame, resolved, 0, None))
    return LiveMap(m.name, m.source, m.to, m.place.file, at, [at], rows, through)


def _rows(
    found: Iterable[Entry],
    frame: Frame,
    resolved: Mapping[str, MapDef],
    depth: int,
    above: RowSeen | None,
) -> Iterator[LiveRow]:
    for e in found:
        spot: Spot = (e.place.file, e.place.line, e.place.column)
        seen = frame.rows.get(spot)
        state, why = _state(e, seen, above)
        name = e.key or '""'
        shown = {"element": name, "level": f"[{name}]", "case": f"= {name}"}.get(e.kind, f"{name}:")
        maps = [f for f in seen.inner if f.map in resolved and f.rows] if seen is not None else []
        yield LiveRow(
            depth,
            shown,
            e.words.get("from", ""),
            how_text(e),
            e.words.get("when", ""),
            e.place.layer,
            e.place.file,
            e.place.line,
            e.place.column,
            state,
            why,
            tuple(_values(seen)) if seen is not None else (),
            tuple(_live(f, resolved, f.at, f"{frame.map} {frame.at}") for f in maps),
        )
        yield from _rows(e.inside, frame, resolved, depth + 1, seen if seen is not None else above)


def _state(e: Entry, seen: RowSeen | None, above: RowSeen | None) -> tuple[str, str]:
    """Return what became of a row, and why in words where it gave nothing."""
    if "skip" in e.words:
        return "skipped", e.words["skip"]
    if e.kind == "case" and (seen is None or not seen.given):
        chosen = above.chose if above is not None else []
        taken = e.key.split("|")
        if any((v or '""') in taken for v in chosen):
            return "ran", ""
        if chosen:
            return "not reached", f"{_quoted(chosen[-1])} chose another case"
        return "not reached", ""
    if seen is None:
        return "not reached", ""
    if seen.given:
        return "ran", ""
    if seen.late:
        return "came second", "an earlier row had filled the element"
    if seen.refused and not seen.held:
        return "condition false", _because(seen)
    if seen.chose and not seen.reached:
        return "not reached", ""
    if seen.chose:
        return "source empty", f"{_quoted(seen.chose[-1])} chose no case that gave a value"
    return "source empty", ""


def _because(seen: RowSeen) -> str:
    """Say which parts of a condition were false, and what they looked at."""
    parts = seen.refused[-1]
    wrong = [p for p in parts if not p.held] or list(parts)
    return ", ".join(f"{p.said} does not hold: it is {_quoted(p.value)}" for p in wrong)


def _quoted(value: str) -> str:
    return f'"{value}"' if value else "empty"


def _values(seen: RowSeen) -> Iterator[LiveValue]:
    told: set[tuple[str, tuple[str, ...]]] = set()
    for value in (*seen.given, *seen.late):
        text = _text(value)
        sources = tuple(dict.fromkeys(str(a) for _, v in walk_values(value, "") for a in v.src))[:8]
        if (text, sources) not in told:  # a case and its table tell of the same value
            told.add((text, sources))
            yield LiveValue(text, sources)


def _text(value: Any) -> str:
    """Return a value for a line of a table: text as it is, an element as its JSON, not too long."""
    bare = plain(value)
    text = bare if isinstance(bare, str) else jsonio.dumps(bare).decode()
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"
