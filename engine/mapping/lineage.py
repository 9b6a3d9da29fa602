"""Where every value went and what went nowhere: the report of one message, read off a traced run.

In: a message, its leaves, the drafts of a traced run. Out: `Report` with (source, target, row) for every leaf
that reached an element, and (source, value, why) for every populated leaf that did not; `two_way` turns it
into element -> locations and location -> elements. Nothing is stored: the same bytes and the same revision
give the same report.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import cache
from typing import Any, NamedTuple

from engine.formats.hl7v2.leaves import leaves
from engine.kernel.message import Draft
from engine.mapping import types as T
from engine.mapping.build import Built
from engine.mapping.locate import locate
from engine.mapping.model import MapDef, MessageDef, Place, Row
from engine.mapping.readings import why_not
from engine.mapping.run import TracedRun
from engine.mapping.traced import Address, TKey

__all__ = [
    "STATES",
    "Mapped",
    "Report",
    "Unmapped",
    "ignored_by",
    "names_of",
    "names_of_entries",
    "place_of_row",
    "report",
    "row_name",
    "two_way",
    "walk_values",
]

STATES = (
    "mapped",  # reached an element
    "ignored",  # a map says ignore: somebody looked
    "excluded",  # a row reads it under a condition that does not hold here
    "not mapped",  # no row, or no row of the datatype map, reads it
    "decides",  # chose a case or was asked by a condition
    "key",  # part of an identity only
    "cleared",  # an explicit delete
    "unreadable",  # its type, table or system could not take it
    "no effect",  # read, and nothing new came of it
)
"""What can become of a populated location, in one word."""


NOWHERE = Place()


class Mapped(NamedTuple):
    """One source leaf that reached one element; `row` says which row did it, `PID_Patient/gender
    (file:line)`."""

    source: str
    target: str
    row: str
    place: Place = NOWHERE


class Unmapped(NamedTuple):
    """One populated source leaf that reached no element: why in words, its state in one word, the row if
    any."""

    source: str
    value: str
    why: str
    state: str = "not mapped"
    row: str = ""
    place: Place = NOWHERE


@dataclass(slots=True)
class Report:
    """All of one message."""

    mapped: list[Mapped] = field(default_factory=list)
    unmapped: list[Unmapped] = field(default_factory=list)


def walk_values(value: Any, path: str) -> Iterator[tuple[str, Any]]:
    """Give the traced values of a body, each with its path."""
    stack = [(path, value)]
    while stack:
        path, value = stack.pop()
        if isinstance(value, dict):
            stack.extend([(f"{path}.{k}", v) for k, v in reversed(value.items())])
        elif isinstance(value, list):
            stack.extend([(f"{path}[{i}]", v) for i, v in reversed([*enumerate(value)])])
        elif getattr(value, "src", ()):
            yield path, value


def names_of(drafts: list[Draft]) -> list[str]:
    """Name drafts as the report does: `Patient`, and `Observation[0]` where there are several."""
    total: dict[str, int] = defaultdict(int)
    for d in drafts:
        total[d.type] += 1
    seen: dict[str, int] = defaultdict(int)
    out = []
    for d in drafts:
        out.append(f"{d.type}[{seen[d.type]}]" if total[d.type] > 1 else d.type)
        seen[d.type] += 1
    return out


def names_of_entries(resources: Iterable[Mapping[str, Any]]) -> list[str]:
    """Name resources as differences do: `Patient[0]`, by type and place among those of their type."""
    seen: dict[str, int] = defaultdict(int)
    out = []
    for r in resources:
        kind = str(r.get("resourceType", ""))
        out.append(f"{kind}[{seen[kind]}]")
        seen[kind] += 1
    return out


def report(
    message: Any,
    built: Built,
    x: TracedRun,
    rows: list[Row],
    ignored: Mapping[tuple[str, int, int], str],
    maps: Mapping[str, MapDef] | None = None,
    plan: MessageDef | None = None,
    given: Iterable[Any] | None = None,
    kinds: T.SourceTypes = T.HL7,
) -> Report:
    """Make the report; `ignored` has (segment, field, component or 0) -> why for everything a map looked at
    on purpose; with `maps` and `plan` a leaf that no row took is told from one that a condition excluded.
    The leaves of what is no HL7 v2 are `given`."""
    hits: dict[Address, list[tuple[str, int]]] = defaultdict(list)
    keys: dict[Address, int] = {}
    for name, d in zip(names_of(built.drafts), built.drafts, strict=True):
        for path, value in walk_values({k: v for k, v in d.body.items() if k != "resourceType"}, name):
            for a in value.src:
                if isinstance(value, TKey):
                    keys[a] = value.row
                else:
                    hits[a].append((path, value.row))
    chose = dict(x.choices)
    failed: dict[Address, str] = dict(x.failures)
    same = _same_as_head(built, x)
    read = {(a.segment, a.n) for a in (*hits, *same)}
    out = Report()

    @cache
    def shown(row: int) -> tuple[str, Place]:
        return row_name(rows, row), place_of_row(rows, row)

    for leaf in leaves(message) if given is None else given:
        spots = _spots(leaf)
        found = next((hits[a] for a in spots if a in hits), None)
        if found is None and spots[0] in same:
            found = next((hits[a] for a in same[spots[0]] if a in hits), None)
        if found:
            out.mapped += [Mapped(leaf.address, target, *shown(row)) for target, row in dict.fromkeys(found)]
            continue
        unmapped = _why(leaf, spots, chose, failed, ignored, rows, keys)
        if unmapped is None:
            unmapped = _note_behind(leaf, message, read)
        if unmapped is None:
            why = why_not(leaf.segment.name, (leaf.field, leaf.comp, leaf.sub), maps or {}, plan, kinds)
            place = why.place or NOWHERE
            unmapped = Unmapped(leaf.address, leaf.value, why.text, why.state, why.row, place)
        out.unmapped.append(unmapped)
    return out


def _note_behind(leaf: Any, message: Any, read: Set[tuple[str, int]]) -> Unmapped | None:
    """Say of a comment that no row reached which segment it stands behind: its place is why, not its
    fields."""
    note = leaf.segment
    if note.name != "NTE" or (note.name, note.n) in read or not any(f.strip() for f in note.fields[3:4]):
        return None
    before = "MSH[1]"
    for s in message.segments:
        if s is note:
            break
        if s.name != "NTE":
            before = f"{s.name}[{s.n}]"
    return Unmapped(leaf.address, leaf.value, f"not mapped: no row reads the comments behind {before}")


def _spots(leaf: Any) -> list[Address]:
    """The addresses that speak of a leaf, most exact first: itself, component, repetition, field."""
    name, n, f, r, c = leaf.segment.name, leaf.segment.n, leaf.field, leaf.rep, leaf.comp
    return [
        Address(name, n, f, r, c, leaf.sub or 1),
        Address(name, n, f, r, c),
        Address(name, n, f, r),
        Address(name, n, f),
    ]


def row_name(rows: list[Row], n: int) -> str:
    """Name the n-th row that ran: `PID_Patient/gender (file:line)`."""
    if 0 <= n < len(rows):
        r = rows[n]
        stem = r.place.file.rsplit("/", 1)[-1].removesuffix(".yaml")
        return f"{stem}/{r.name} ({r.place})"
    return ""


def _same_as_head(built: Built, x: TracedRun) -> dict[Address, list[Address]]:
    """For segments that were joined into one: fields that say the same as the first's went where the first's
    went."""
    out: dict[Address, list[Address]] = {}
    for merged in x.merged:
        head = merged.lines[0]
        for line in merged.lines[1:]:
            for i, raw in enumerate(line.fields):
                if i and i != merged.at and raw and i < len(head.fields) and head.fields[i] == raw:
                    for r, rep in enumerate(raw.split(x.rs), 1):
                        for c, comp in enumerate(rep.split(x.cs), 1):
                            for s, _ in enumerate(comp.split(x.ss), 1):
                                mine = Address(line.name, line.n, i, r, c, s)
                                base = Address(head.name, head.n, i, r, c, s)
                                out[mine] = [
                                    base,
                                    base._replace(sub=0),
                                    base._replace(sub=0, component=0),
                                    base._replace(sub=0, component=0, rep=0),
                                ]
    return out


def _why(
    leaf: Any,
    spots: list[Address],
    chose: Mapping[Address, int],
    failed: Mapping[Address, str],
    ignored: Mapping[tuple[str, int, int], str],
    rows: list[Row],
    keys: Mapping[Address, int],
) -> Unmapped | None:
    """Say why a leaf reached nothing, as far as the run itself knows."""
    at, value = leaf.address, leaf.value
    if value.strip() == '""':
        return Unmapped(at, value, "an explicit delete: clears what it would have set", "cleared")
    for a in spots:
        if a in failed:
            return Unmapped(at, value, failed[a], "unreadable")
    for a in spots:
        if a in chose:
            row = row_name(rows, chose[a])
            return Unmapped(
                at, value, f"chose the case of row {row}", "decides", row, place_of_row(rows, chose[a])
            )
    for a in spots:
        if a in keys:
            row = row_name(rows, keys[a])
            why = f"only part of an identity key, row {row}"
            return Unmapped(at, value, why, "key", row, place_of_row(rows, keys[a]))
    for component in (leaf.comp, 0):
        why = ignored.get((leaf.segment.name, leaf.field, component), "")
        if why:
            return Unmapped(at, value, why, "ignored")
    return None


def place_of_row(rows: list[Row], n: int) -> Place:
    """Return where the n-th row that ran is written."""
    return rows[n].place if 0 <= n < len(rows) else NOWHERE


def two_way(made: Report) -> dict[str, Any]:
    """Return the report both ways: element -> locations and rows, and location -> state, elements, why and
    rows."""
    elements: dict[str, list[dict[str, Any]]] = defaultdict(list)
    locations: dict[str, dict[str, Any]] = {}
    for m in made.mapped:
        row = _row_of(m.row, m.place)
        elements[m.target].append({"location": m.source, "row": row})
        at = locations.setdefault(m.source, {"state": "mapped", "elements": []})
        at["elements"].append({"element": m.target, "row": row})
    for u in made.unmapped:
        at = {"state": u.state, "elements": [], "why": u.why}
        if u.row:
            at["row"] = _row_of(u.row, u.place)
        locations[u.source] = at
    return {"elements": dict(sorted(elements.items())), "locations": dict(sorted(locations.items()))}


def _row_of(name: str, place: Place) -> dict[str, Any]:
    return {"name": name.split(" (")[0], "file": place.file, "line": place.line, "layer": place.layer}


def ignored_by(
    maps: Mapping[str, Any], names: list[str], message_ignore: tuple[str, ...] = ()
) -> dict[tuple[str, int, int], str]:
    """Collect `ignore:` of the maps that a message uses."""
    out: dict[tuple[str, int, int], str] = {}
    for text, by in [(t, name) for name in names for t in maps[name].ignore] + [
        (t, "the message map") for t in message_ignore
    ]:
        loc = locate(text)
        if loc is not None:
            own = (
                by in maps and maps[by].source == loc.name
            )  # said by the segment's own map, that map is named
            key = (loc.name, loc.field, loc.component)
            if own or key not in out:
                out[key] = f"ignored on purpose by {by}"
    return out
