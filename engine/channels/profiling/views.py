"""What is known of a sender as people read it: fields in order with share, lengths, kinds, codes, coverage.

In: a snapshot, and coverage where there is some. Out: plain records for pages, the command line and the
printed specification. Codes and texts beside them are in `codes`, which is left empty for those who may
not see bodies.
"""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from engine.channels.profiling.covering import Coverage, Covered
from engine.channels.profiling.kinds import percentile
from engine.channels.profiling.layout import field_name, layout
from engine.channels.profiling.quirks import quirk_text
from engine.channels.profiling.seen import PlaceSeen, SenderSeen, TypeSeen

__all__ = [
    "CodeRow",
    "FieldRow",
    "QuirkRow",
    "SegmentRow",
    "TypeRow",
    "code_rows",
    "covered_of",
    "field_rows",
    "in_order",
    "main_version",
    "quirk_rows",
    "segment_rows",
    "type_rows",
    "usage",
    "week",
]

_PLACE = re.compile(r"([A-Z][A-Z0-9]{2})-(\d+)(?:\.(\d+))?")
_FIRST = ("MSH", "EVN", "PID", "PD1", "NK1", "PV1", "PV2", "ORC", "OBR", "OBX", "NTE", "SPM")


@dataclass(frozen=True, slots=True)
class CodeRow:
    """One code that was seen."""

    code: str
    system: str
    text: str
    count: int
    first: int
    entry: int


@dataclass(frozen=True, slots=True)
class FieldRow:
    """One field or component of one message type. Shares are between 0 and 1, times ms since the epoch."""

    place: str
    name: str
    datatype: str
    share: float  # of its segment's, or for a component of its field's, occurrences
    messages: float  # of the type's messages
    usage: str
    shortest: int
    usual: int
    longest: int
    most: int
    kinds: tuple[tuple[str, int], ...]
    coded: int  # different codes
    more_codes: bool
    first: int
    last: int
    last_entry: int
    trend: str
    state: str = ""
    codes: tuple[CodeRow, ...] = ()


@dataclass(frozen=True, slots=True)
class SegmentRow:
    """One segment of one message type, and its fields."""

    name: str
    share: float
    usage: str
    most: int
    last: int
    fields: tuple[FieldRow, ...] = ()


@dataclass(frozen=True, slots=True)
class TypeRow:
    """One message type."""

    name: str
    count: int
    looked: int
    first: int
    last: int


@dataclass(frozen=True, slots=True)
class QuirkRow:
    """Something odd."""

    word: str
    place: str
    text: str
    count: int
    share: float
    first: int
    last: int
    last_entry: int


@dataclass(slots=True)
class Week:
    """Messages of the last seven days, hour by hour, and of each hour of the day."""

    hours: list[int] = field(default_factory=list)
    by_hour: list[float] = field(default_factory=list)


def usage(share: float) -> str:
    """Say how often something is there."""
    for least, word in ((1.0, "always"), (0.9, "nearly always"), (0.5, "often"), (0.05, "sometimes")):
        if share >= least:
            return word
    return "rarely"


def in_order(place: str) -> tuple[int, str, int, int]:
    """Return where a place belongs in a list: segments as messages have them, then fields by number."""
    found = _PLACE.fullmatch(place)
    if found is None:
        return (99, place, 0, 0)
    name = found[1]
    at = _FIRST.index(name) if name in _FIRST else 50
    return at, name, int(found[2]), int(found[3] or 0)


def main_version(seen: TypeSeen) -> str:
    """Return the version that most messages of a type say."""
    known = {v: n for v, n in seen.versions.items() if v[:1].isdigit()}
    return max(known, key=lambda v: known[v]) if known else "2.5.1"


def type_rows(sender: SenderSeen, types: Mapping[str, TypeSeen]) -> list[TypeRow]:
    """Return the message types, the most frequent first."""
    rows = [
        TypeRow(name, t.count, types[name].looked if name in types else 0, t.first, t.last)
        for name, t in sender.types.items()
    ]
    return sorted(rows, key=lambda row: (-row.count, row.name))


def segment_rows(seen: TypeSeen, coverage: Coverage | None = None, values: bool = False) -> list[SegmentRow]:
    """Return the segments of a type with their fields."""
    fields: dict[str, list[FieldRow]] = {}
    for row in field_rows(seen, coverage, values):
        fields.setdefault(row.place.partition("-")[0], []).append(row)
    out = []
    for name, s in seen.segments.items():
        share = s.messages / seen.looked if seen.looked else 0.0
        out.append(SegmentRow(name, share, usage(share), s.most, s.last, tuple(fields.get(name, ()))))
    return sorted(out, key=lambda row: in_order(f"{row.name}-1"))


def field_rows(seen: TypeSeen, coverage: Coverage | None = None, values: bool = False) -> list[FieldRow]:
    """Return the fields and components of a type in the order of a message."""
    number = main_version(seen)
    return [_row(place, seen, number, coverage, values) for place in sorted(seen.places, key=in_order)]


def _row(place: str, seen: TypeSeen, number: str, coverage: Coverage | None, values: bool) -> FieldRow:
    p = seen.places[place]
    segment, _, rest = place.partition("-")
    above, _, component = rest.partition(".")
    if component:
        parent = seen.places.get(f"{segment}-{above}")
        share = min(1.0, p.times / parent.times) if parent and parent.times else 0.0
    else:
        within = seen.segments.get(segment)
        share = min(1.0, p.segments / within.times) if within and within.times else 0.0
    covered = covered_of(coverage, place, seen.places) if coverage is not None else None
    return FieldRow(
        place,
        field_name(number, place),
        _datatype(number, segment, int(above), int(component or 0)),
        share,
        p.messages / seen.looked if seen.looked else 0.0,
        usage(share),
        p.shortest,
        percentile(p.lengths, 0.95),
        p.longest,
        p.most,
        tuple(sorted(p.kinds.items(), key=lambda kind: -kind[1])),
        len(p.codes),
        bool(p.uncounted),
        p.first,
        p.last,
        p.last_entry,
        trend(p, seen.looked),
        covered.state if covered is not None else "",
        tuple(code_rows(p)) if values else (),
    )


def _datatype(number: str, segment: str, above: int, component: int) -> str:
    shape = layout(number, segment, above)
    if not component:
        return shape.datatype
    return shape.components[component - 1] if component <= len(shape.components) else ""


def trend(place: PlaceSeen, looked: int) -> str:
    """Say whether a place has become more or less frequent of late; "" where it has not."""
    overall, late = place.messages / looked if looked else 0.0, place.of_late(looked)
    if looked < 50 or abs(late - overall) < 0.1:
        return ""
    if late < 0.02:
        return "gone of late"
    return "more of late" if late > overall else "less of late"


def code_rows(place: PlaceSeen, most: int = 200) -> list[CodeRow]:
    """Return the codes of a place, the most frequent first."""
    rows = [
        CodeRow(code, system, c.text, c.count, c.first, c.entry) for (code, system), c in place.codes.items()
    ]
    return sorted(rows, key=lambda row: (-row.count, row.code))[:most]


def covered_of(coverage: Coverage, place: str, places: Container[str]) -> Covered | None:
    """Return the coverage of a place; a field without components is its first component there."""
    if "." in place or place in coverage.places:
        return coverage.places.get(place)
    first = f"{place}.1"
    return None if first in places else coverage.places.get(first)


def quirk_rows(sender: SenderSeen) -> list[QuirkRow]:
    """Return what is odd, the most frequent first."""
    rows = []
    for key, q in sender.quirks.items():
        word, _, place = key.partition(" ")
        share = q.count / sender.looked if sender.looked else 0.0
        rows.append(QuirkRow(word, place, quirk_text(word), q.count, share, q.first, q.last, q.last_entry))
    return sorted(rows, key=lambda row: (-row.count, row.word, row.place))


def week(sender: SenderSeen) -> Week:
    """Return the messages of the seven days before the newest, and the usual of each hour (UTC)."""
    end = sender.last // 3_600_000
    hours = [sender.hours.get(hour, 0) for hour in range(end - 167, end + 1)]
    days = max(1, (max(sender.hours, default=0) - min(sender.hours, default=0)) // 24 + 1)
    by_hour = [0.0] * 24
    for hour, count in sender.hours.items():
        by_hour[hour % 24] += count / days
    return Week(hours, [round(n, 1) for n in by_hour])
