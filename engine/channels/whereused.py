"""What feeds X, what touches PID-18, who uses code K: one question over channels, sites, maps, tables,
senders.

In: a field, a code, a coding system, a port, an address or a name. Out: places where it is used, with file
and line. Of senders it is said who populates a field and who sends a code; a code that is named here was
typed by the asker, none is shown.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from engine.channels.definition import Channel
from engine.channels.profiling.seen import TypeSeen
from engine.mapping.model import Row
from engine.mapping.project import Maps
from engine.staff.senders import Senders

__all__ = ["Use", "where_used"]

_FIELD = re.compile(r"([A-Z][A-Z0-9]{2})(?:-(\d+)(?:\.(\d+))?)?").fullmatch
_MOST = 200
_SENDERS = 500


@dataclass(frozen=True, slots=True)
class Use:
    """One place: its kind (channel, site, map, table, code system, sender), its name, where, and how."""

    kind: str
    name: str
    where: str
    text: str
    sender: str = ""  # a sender's id


def where_used(
    asked: str,
    maps: Maps,
    channels: Sequence[Channel],
    senders: Senders | None = None,
    names: frozenset[str] | None = None,
    codes: bool = True,
) -> list[Use]:
    """Return where something is used, at most 200 places; `names`: only senders of these channels.

    `codes`: whether the codes that senders send are looked through; they may be patient data.
    """
    asked = asked.strip()
    if not asked:
        return []
    found = [*_channels(asked, channels), *_sites(asked, maps), *_tables(asked, maps)]
    if _FIELD(asked):
        found += _rows(asked, maps)
    if senders is not None and len(found) < _MOST:
        found += _senders(asked, senders, names, codes)
    return found[:_MOST]


def _channels(asked: str, channels: Sequence[Channel]) -> Iterator[Use]:
    for c in channels:
        network = c.network
        how = []
        if network is not None and asked == str(network.port):
            how.append(f"listens on port {network.port} of {network.host}")
        elif network is not None and asked == network.host:
            how.append(f"listens on {network.host}")
        if c.mllp is not None and asked in map(str, c.mllp.mllp.allow):
            how.append("lets this address connect")
        if c.dicom is not None:
            node = c.dicom.dicom
            how += [
                f"knows the peer {peer.ae_title}"
                for peer in node.peers
                if asked in (peer.ae_title, str(peer.host), str(peer.port))
            ]
            how += ["is this AE title"] if asked == node.ae_title else []
        if c.sftp is not None and asked in (c.sftp.sftp.host, str(c.sftp.sftp.port)):
            how.append("fetches files from there")
        if asked in (c.name, c.map):
            how.append("is this channel" if asked == c.name else "uses this map for every message")
        if asked == c.site and c.site:
            how.append("takes this sender's messages")
        if c.receives is not None and asked == c.receives.rules.profile:
            how.append("holds messages against this profile")
        yield from (Use("channel", c.name, c.file, text) for text in how)


def _sites(asked: str, maps: Maps) -> Iterator[Use]:
    for site in maps.all_sites.values():
        for name, uri in site.own_systems.items():
            if asked in (name, uri):
                yield Use("site", site.name, site.file, f"calls {uri} {name}")
        for key, patterns in site.match:
            if asked in patterns:
                yield Use("site", site.name, site.file, f"is known by {key}")
        if asked == site.name:
            yield Use("site", site.name, site.file, "is this sender's file")
        if asked == site.authority:
            yield Use("site", site.name, site.file, "numbers without an authority are of this one")
        if asked in site.segments:
            fields = len(site.segments[asked])
            yield Use("site", site.name, site.file, f"says what the {fields} fields of {asked} are")


def _tables(asked: str, maps: Maps) -> Iterator[Use]:
    terms = maps.terminology
    for name, table in sorted(terms.tables.items()):
        file = f"terminology/maps/{name}.csv"
        if asked == name:
            yield Use("table", name, file, f"is this table, of {len(table.rows)} codes")
        systems = 0
        for row in table.rows:
            if asked == row.source_code:
                to = f"{row.target_code} {row.target_display}".strip() or "nothing"
                yield Use("table", name, f"{file}:{row.line}", f"{row.equivalence} to {to} ({row.status})")
            elif asked == row.target_code:
                yield Use("table", name, f"{file}:{row.line}", f"what {row.source_code} means ({row.status})")
            systems += asked in (row.source_system, row.target_system)
        if systems:
            yield Use("table", name, file, f"{systems} codes of this system")
    for name, system in sorted(terms.code_systems.items()):
        if asked in (name, system.url):
            yield Use("code system", name, "", f"{system.url}, {len(system.displays)} codes")
        elif asked in system:
            yield Use("code system", name, "", f"{system.display(asked) or 'has this code'}")


# -- maps ---------------------------------------------------------------------------------------------------


def _rows(asked: str, maps: Maps) -> Iterator[Use]:
    """Give the rows that read a segment, a field or a component, of the standard maps and of every site."""
    pattern = re.compile(rf"(?<![A-Z0-9]){re.escape(asked)}(?![0-9])")
    seen: set[str] = set()
    for site in ("standard", *maps.sites):
        for m in maps.program(site).resolved.values():
            for ignored in m.ignore:
                if _same(asked, ignored) and (key := f"{m.place} {ignored}") not in seen:
                    seen.add(key)
                    yield Use("map", m.name, str(m.place), f"ignores {ignored} on purpose")
            for row in _every(m.rows):
                if str(row.place) not in seen and pattern.search(_read(row)):
                    seen.add(str(row.place))
                    layer = row.place.layer if row.place.layer not in ("", "standard") else ""
                    yield Use("map", f"{m.name}/{row.name}", str(row.place), _how(row, pattern, layer))


def _same(asked: str, ignored: str) -> bool:
    return ignored == asked or ignored.startswith((f"{asked}.", f"{asked}-"))


def _every(rows: Sequence[Row]) -> Iterator[Row]:
    for row in rows:
        yield row
        for more in (row.default, row.failed, row.make_rows, row.children, *(c.rows for c in row.cases)):
            yield from _every(more)


def _read(row: Row) -> str:
    """Return all that a row says of where it reads."""
    parts: list[Any] = [row.source, row.when, row.by, row.known_by, row.action, row.each]
    return " ".join(repr(part) for part in parts if part)


def _how(row: Row, pattern: re.Pattern[str], layer: str) -> str:
    source = row.source is not None and pattern.search(repr(row.source)) is not None
    return f"{'reads it' if source else 'asks about it'}{f', set by {layer}' if layer else ''}"


# -- senders ------------------------------------------------------------------------------------------------


def _senders(asked: str, senders: Senders, names: frozenset[str] | None, codes: bool) -> Iterator[Use]:
    field = _FIELD(asked) is not None
    for line in senders.lines(_SENDERS, channels=names):
        if asked in (line.sender, line.id):
            yield Use("sender", line.sender, line.channel, f"{line.messages} messages", line.id)
        if not line.looked:
            continue
        types = {name: TypeSeen.of_json(t) for name, t in senders.types(line.id).items()}
        text = _populates(asked, types) if field else ""
        text = text or (_sends(asked, types) if codes else "")
        if text:
            yield Use("sender", line.sender, line.channel, text, line.id)


def _populates(asked: str, types: dict[str, TypeSeen]) -> str:
    said = []
    for name, t in types.items():
        found = t.places.get(asked) or t.segments.get(asked)
        if found is not None and t.looked:
            said.append(f"{found.messages / t.looked:.0%} of {name}")
    return f"populates it: {', '.join(said)}" if said else ""


def _sends(asked: str, types: dict[str, TypeSeen]) -> str:
    places: dict[str, int] = {}
    for t in types.values():
        for place, p in t.places.items():
            count = sum(c.count for (code, system), c in p.codes.items() if asked in (code, system))
            if count:
                places[place] = places.get(place, 0) + count
    return ", ".join(f"{count} times in {place}" for place, count in sorted(places.items()))
