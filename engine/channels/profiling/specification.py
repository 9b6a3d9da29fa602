"""The interface specification of a sender, from what it really sends: to print, to sign, to send to the
vendor.

In: a snapshot, its channel, the coverage of its maps. Out: plain records in the order of a printed page:
transport, message types, segments and fields with their use, code sets, where each goes, quirks, and a
sample message. The sample is written, not copied: words of the dictionary, zeros and one date stand where
values were.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from engine.channels.definition import Channel
from engine.channels.profiling.covering import Coverage
from engine.channels.profiling.drift import Snapshot
from engine.channels.profiling.layout import field_name
from engine.channels.profiling.seen import PlaceSeen, TypeSeen
from engine.channels.profiling.views import (
    CodeRow,
    QuirkRow,
    SegmentRow,
    code_rows,
    covered_of,
    in_order,
    main_version,
    quirk_rows,
    segment_rows,
)
from engine.formats.hl7v2.parse import HEADERS

__all__ = ["CodeSet", "Specification", "Target", "TypePart", "sample_message", "specify", "transport"]

_SAMPLE_SHARE = 0.5  # a place stands in the sample where so many of its occurrences had it
_FEW_CODES = 100


@dataclass(frozen=True, slots=True)
class Target:
    """Where a place goes: FHIR elements, and the row of the map that puts it there."""

    place: str
    name: str
    state: str
    elements: tuple[str, ...]
    rows: tuple[str, ...]
    why: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class CodeSet:
    """The codes of one place over all message types."""

    place: str
    name: str
    count: int
    more: bool
    codes: tuple[CodeRow, ...]


@dataclass(frozen=True, slots=True)
class TypePart:
    """One message type."""

    name: str
    version: str
    count: int
    looked: int
    first: int
    last: int
    segments: tuple[SegmentRow, ...]
    sample: str


@dataclass(frozen=True, slots=True)
class Specification:
    """Everything of the page."""

    transport: tuple[tuple[str, str], ...]
    looked: int
    messages: int
    types: tuple[TypePart, ...]
    code_sets: tuple[CodeSet, ...]
    targets: tuple[Target, ...]
    quirks: tuple[QuirkRow, ...]


def specify(
    seen: Snapshot, channel: Channel | None, coverage: Coverage | None, values: bool = False
) -> Specification:
    """Write the specification; `values`: with codes."""
    parts = []
    for name, t in sorted(seen.types.items(), key=lambda item: (-item[1].looked, item[0])):
        if t.looked and name != "odd":
            count = seen.sender.types.get(name)
            parts.append(
                TypePart(
                    name,
                    main_version(t),
                    count.count if count else t.looked,
                    t.looked,
                    count.first if count else 0,
                    count.last if count else 0,
                    tuple(segment_rows(t, coverage)),
                    sample_message(name, t, values),
                )
            )
    return Specification(
        tuple(transport(channel)) if channel is not None else (),
        seen.sender.looked,
        seen.sender.messages,
        tuple(parts),
        tuple(_code_sets(seen.types, values)),
        tuple(targets_of(coverage, seen.types)) if coverage is not None else (),
        tuple(quirk_rows(seen.sender)),
    )


def transport(channel: Channel) -> list[tuple[str, str]]:
    """Say how messages come in: (what, how)."""
    out = [("channel", f"{channel.name}{f': {channel.purpose}' if channel.purpose else ''}")]
    network = channel.network
    if channel.mllp is not None:
        mllp = channel.mllp.mllp
        out.append(("way in", f"MLLP on {mllp.host} port {mllp.port}"))
    elif channel.http is not None:
        http = channel.http.http
        out.append(("way in", f"HTTP POST on {http.host} port {http.port} at {http.path}"))
    elif channel.folder is not None:
        out.append(("way in", "files in a watched folder"))
    elif channel.sftp is not None:
        out.append(("way in", f"files from the SFTP server {channel.sftp.sftp.host}"))
    elif channel.dicom is not None:
        node = channel.dicom.dicom
        out.append(("way in", f"DICOM node {node.ae_title} on {node.host} port {node.port}"))
    if network is not None:
        plain = f"no: {channel.plain}" if channel.plain else "no"
        out.append(("encrypted", "TLS" if network.tls else plain))
    if channel.mllp is not None:
        allowed = ", ".join(map(str, channel.mllp.mllp.allow)) or "any address"
        out.append(("who may connect", allowed))
    if channel.receives is not None:
        rules = channel.receives.rules
        out.append(("answered", f"{rules.acknowledge} (original or enhanced mode)"))
        out.append(("MSH-11 accepted", ", ".join(rules.processing_id) or "any"))
        out.append(("held against the standard", "yes" if rules.strict else "no"))
        out.append(("conformance profile", rules.profile or "none"))
        out.append(("duplicates", f"{channel.receives.duplicates} (same sender, control id and bytes)"))
        out.append(("order kept", channel.receives.order))
    return out


def targets_of(coverage: Coverage, types: Mapping[str, TypeSeen]) -> list[Target]:
    """Return where each place goes, in the order of a message."""
    places = {place for t in types.values() for place in t.places}
    number = next((main_version(t) for t in types.values() if t.looked), "2.5.1")
    out = []
    for place in sorted(places, key=in_order):
        covered = covered_of(coverage, place, places)
        if covered is not None:
            out.append(
                Target(
                    place,
                    field_name(number, place),
                    covered.state,
                    tuple(covered.elements),
                    tuple(covered.rows),
                    tuple(covered.why),
                )
            )
    return out


def _code_sets(types: Mapping[str, TypeSeen], values: bool) -> list[CodeSet]:
    """Return the code sets of all types, each place once."""
    places = sorted({p for t in types.values() for p, seen in t.places.items() if seen.codes}, key=in_order)
    out = []
    for place in places:
        if place.partition("-")[0] in HEADERS:
            continue
        having = [t for t in types.values() if place in t.places and t.places[place].codes]
        known: dict[tuple[str, str], CodeRow] = {}
        for t in having:
            for row in code_rows(t.places[place]):
                key = row.code, row.system
                if key not in known or known[key].count < row.count:
                    known[key] = row
        rows = sorted(known.values(), key=lambda row: (-row.count, row.code))
        more = any(t.places[place].uncounted for t in having) or len(rows) > _FEW_CODES
        shown = tuple(rows[:_FEW_CODES]) if values else ()
        out.append(CodeSet(place, field_name(main_version(having[0]), place), len(rows), more, shown))
    return out


# -- the sample ---------------------------------------------------------------------------------------------


def sample_message(name: str, seen: TypeSeen, values: bool = False) -> str:
    """Write a message that looks like this sender's and says nothing of anybody; codes only with `values`."""
    number = main_version(seen)
    code, _, event = name.partition("^")
    kind = f"{code}^{event}" if event else code
    lines = [f"MSH|^~\\&|SENDER|FACILITY|HUB|HUB|20000101000000||{kind}|SAMPLE-1|P|{number}"]
    for segment, s in sorted(seen.segments.items(), key=lambda item: in_order(f"{item[0]}-1")):
        if segment not in HEADERS and s.messages >= _SAMPLE_SHARE * seen.looked:
            lines.append(_sample_segment(segment, s.times, seen, number, values))
    return "\n".join(lines)


def _sample_segment(segment: str, times: int, seen: TypeSeen, number: str, values: bool) -> str:
    fields: dict[int, str] = {}
    for place, p in seen.places.items():
        at, _, below = place.partition("-")
        if at == segment and "." not in below and p.segments >= _SAMPLE_SHARE * times:
            fields[int(below)] = _sample_field(place, p, seen, number, values)
    return "|".join([segment, *(fields.get(n, "") for n in range(1, max(fields, default=0) + 1))])


def _sample_field(place: str, p: PlaceSeen, seen: TypeSeen, number: str, values: bool) -> str:
    below = {
        int(name.rpartition(".")[2]): part
        for name, part in seen.places.items()
        if name.startswith(f"{place}.") and part.times >= _SAMPLE_SHARE * p.times
    }
    if not below:
        return _sample_value(place, p, number, values)
    return "^".join(
        _sample_value(f"{place}.{n}", below[n], number, values) if n in below else ""
        for n in range(1, max(below) + 1)
    )


def _sample_value(place: str, p: PlaceSeen, number: str, values: bool) -> str:
    if p.codes:
        row = code_rows(p, 1)[0]
        return _plain(row.code) if values else "CODE"
    kind = max(p.kinds, key=lambda k: p.kinds[k]) if p.kinds else "text"
    if kind.startswith(("date to", "time to")):
        return _DATES.get(kind.removesuffix(", with zone"), "20000101") + (
            "+0000" if kind.endswith("with zone") else ""
        )
    if kind.startswith("time of day"):
        return "0000"
    if kind in ("whole number", "decimal number"):
        return "0" if kind == "whole number" else "0.0"
    return _plain(field_name(number, place) or "text").upper()


_DATES = {
    "date to the year": "2000",
    "date to the month": "200001",
    "date to the day": "20000101",
    "time to the hour": "2000010100",
    "time to the minute": "200001010000",
    "time to the second": "20000101000000",
    "time to the fraction of a second": "20000101000000.0",
}


def _plain(text: str) -> str:
    """Return text without what would be a delimiter."""
    return "".join(c if c not in "|^~\\&\r\n" else " " for c in text)
