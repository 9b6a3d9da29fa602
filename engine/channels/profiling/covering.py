"""Coverage: which fields of a sender its maps take, ignore on purpose, leave, or take without knowing the
code.

In: some of its newest messages, the maps of today. Out: for every place how often each of the four states
held, with rows, elements and example entries. The traced twin of the maps says it
(`engine/mapping/lineage.py`), so it is what the worker does, and it is made anew when the maps change.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from engine.channels.definition import Channel
from engine.channels.profiling.seen import TypeSeen, count_up
from engine.channels.sightings import Sightings
from engine.channels.tracing import trace_body
from engine.formats.hl7v2.header import peek
from engine.formats.hl7v2.parse import parse
from engine.journal.sql import SqlJournal, UnreadableEntry
from engine.kernel.errors import FormatError, HubError, MapError
from engine.kernel.message import Entry
from engine.mapping.convert import Conversion
from engine.mapping.project import Maps

__all__ = ["SAMPLE", "STATES", "Coverage", "Covered", "cover", "sample_of"]

STATES = ("mapped", "ignored", "unmapped", "code unknown")
SAMPLE = 120
"""Messages traced for one sender."""
_LEAST = 5  # of each type
_STATE = {
    "mapped": "mapped",
    "decides": "mapped",
    "key": "mapped",
    "cleared": "mapped",
    "no effect": "mapped",
    "ignored": "ignored",
    "excluded": "ignored",
    "not mapped": "unmapped",
    "unreadable": "unmapped",
}
_ADDRESS = re.compile(r"([A-Z][A-Z0-9]{2})\[(\d+)\]-(\d+)\[(\d+)\]\.(\d+)")
_GAP = re.compile(r"([A-Z][A-Z0-9]{2})\[(\d+)\]-(\d+)(?:[\[(](\d+)[\])])?(?:\.(\d+))?")
_MOST = 8
_NEVER = "its type, table or system could not take it"


@dataclass(slots=True)
class Covered:
    """One place, `PID-5.1`. `how` counts what `lineage.STATES` has for it, in finer words."""

    states: dict[str, int] = field(default_factory=dict)
    how: dict[str, int] = field(default_factory=dict)
    rows: dict[str, int] = field(default_factory=dict)
    elements: dict[str, int] = field(default_factory=dict)
    why: dict[str, int] = field(default_factory=dict)
    examples: dict[str, list[int]] = field(default_factory=dict)  # state -> entries

    @property
    def state(self) -> str:
        """The word for the place: what a person should know first."""
        if self.states.get("code unknown"):
            return "code unknown"
        return max(("mapped", "unmapped", "ignored"), key=lambda s: self.states.get(s, 0))


@dataclass(slots=True)
class Coverage:
    """What came of the sample."""

    traced: int = 0
    failed: dict[str, int] = field(default_factory=dict)  # why -> messages
    site: str = ""
    places: dict[str, Covered] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return it for JSON."""
        places = {
            name: [c.states, c.how, c.rows, c.elements, c.why, c.examples] for name, c in self.places.items()
        }
        return {"traced": self.traced, "failed": self.failed, "site": self.site, "places": places}

    @classmethod
    def of_json(cls, said: Mapping[str, Any]) -> Coverage:
        """Read it back."""
        places = {name: Covered(*c) for name, c in said["places"].items()}
        return cls(said["traced"], said["failed"], said["site"], places)


def sample_of(types: Mapping[str, TypeSeen], most: int = SAMPLE) -> list[int]:
    """Choose entries to trace: the newest of each type, by its share, a few of the rare ones too."""
    looked = sum(t.looked for t in types.values()) or 1
    chosen: list[int] = []
    for seen in types.values():
        chosen += seen.newest[-max(_LEAST, most * seen.looked // looked) :]
    return sorted(chosen)


def cover(
    journal: SqlJournal,
    maps: Maps,
    channel: Channel,
    entries: Sequence[int],
    pause: Callable[[], None] = lambda: None,
) -> tuple[Coverage, str]:
    """Trace these entries; return what came of them, and the revision of the maps."""
    made, revision = Coverage(), ""
    looks: dict[tuple[str, str], Sightings] = {}
    for number in entries:
        pause()
        try:
            entry = journal.get(number)
        except UnreadableEntry:
            entry = None
        if entry is None:
            count_up(made.failed, "the body was deleted")
            continue
        try:
            done, site = trace_body(
                entry.body, maps, channel, f"urn:hub:entry|{entry.position}", charset=entry.charset
            )
        except (FormatError, MapError) as e:
            count_up(
                made.failed, f"no map serves it ({e.where})" if e.where == "MSH-9" else "it cannot be mapped"
            )
            continue
        except HubError:
            count_up(made.failed, "it cannot be mapped")
            continue
        head = peek(entry.body)
        asked = site, channel.map_of(head.fields, head.encoding)
        if asked not in looks:
            looks[asked] = Sightings(maps.program(site), asked[1])
        _add(made, entry, done, looks[asked])
        made.traced, made.site, revision = made.traced + 1, site, done.revision
    return made, revision


def _add(made: Coverage, entry: Entry, done: Conversion, sightings: Sightings) -> None:
    unknown = _unknown(entry, done, sightings)
    before = ""
    for source, target, row, _ in done.report.mapped:
        place, spot = _place(source)
        covered = made.places.setdefault(place, Covered())
        if source != before:  # what became several elements is one value all the same
            _count(covered, "code unknown" if spot in unknown else "mapped", "mapped", entry.id)
            before = source
        count_up(covered.rows, row, _MOST)
        count_up(covered.elements, _element(target), _MOST)
    for one in done.report.unmapped:
        place, spot = _place(one.source)
        covered = made.places.setdefault(place, Covered())
        state = "code unknown" if spot in unknown else _STATE[one.state]
        _count(covered, state, one.state, entry.id)
        if one.row:
            count_up(covered.rows, one.row, _MOST)
        count_up(covered.why, _NEVER if one.state == "unreadable" else one.why, _MOST)


def _count(covered: Covered, state: str, how: str, entry: int) -> None:
    covered.states[state] = covered.states.get(state, 0) + 1
    covered.how[how] = covered.how.get(how, 0) + 1
    examples = covered.examples.setdefault(state, [])
    if entry not in examples:
        covered.examples[state] = [*examples[-2:], entry]


def _unknown(entry: Entry, done: Conversion, sightings: Sightings) -> set[tuple[str, ...]]:
    """Return the spots of codes that no table knows."""
    try:
        message = parse(entry.body, charset=entry.charset)
    except FormatError:
        return set()
    found = (_GAP.fullmatch(gap.where) for gap in sightings.of(message, done.built.gaps))
    return {(m[1], m[2], m[3], m[5] or "1") for m in found if m is not None}


def _place(address: str) -> tuple[str, tuple[str, ...]]:
    """Return the place of an address, `PID-5.1`, and its spot for comparing with a code's."""
    found = _ADDRESS.match(address)
    if found is None:
        return address, ()
    segment, n, number, _, component = found.groups()
    return f"{segment}-{number}.{component}", (segment, n, number, component)


def _element(target: str) -> str:
    """Return an element without the numbers of resources and repetitions."""
    return re.sub(r"\[\d+\]", "", target)
