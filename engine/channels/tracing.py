"""The lineage of an entry of the journal: which location of the message each element came from, and where
each location went.

In: an entry, the maps and channels of today. Out: both directions of the report with rows, file and line, and
the ids under which the store keeps the resources. Nothing is stored for this: maps are pure, so the traced
twin of the same bytes says what the worker did, as long as the revision is the one the worker had.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from engine.channels.arriving import read_body, stored_traced, way_of
from engine.channels.definition import Channel
from engine.channels.mapchoice import head_of
from engine.formats.content import recognise
from engine.formats.hl7v2.parse import parse
from engine.kernel.errors import HubError
from engine.kernel.message import Entry, Flag
from engine.mapping.convert import Conversion, headers, trace_arrived, trace_message, unkeyed
from engine.mapping.lineage import Report, names_of, two_way
from engine.mapping.project import Maps
from engine.mapping.run import Identify, TracedRun
from engine.mapping.seen import watching
from engine.store.keys import public_id

__all__ = ["Lineage", "lineage_of", "trace_body"]


@dataclass(frozen=True, slots=True)
class Lineage:
    """One entry traced: `resources` has the names of the report and the store's addresses for them."""

    site: str
    revision: str
    resources: dict[str, str]
    report: Report

    def as_json(self) -> dict[str, Any]:
        """Return both directions, for programs."""
        ways = two_way(self.report)
        return {"site": self.site, "revision": self.revision, "resources": self.resources, **ways}


def trace_body(
    body: bytes,
    maps: Maps,
    channel: Channel,
    origin: str,
    identify: Identify = unkeyed,
    charset: str = "",
    plain: bool = False,
    watch: bool = False,
) -> tuple[Conversion, str]:
    """Trace one body of any format as its channel maps it; returns what came of it, and the site.

    `plain`: references as in a bundle that leaves the hub; `watch`: tell of every row of the maps too.
    Raises FormatError and MapError.
    """
    format = recognise(body)
    if format in ("", "hl7v2"):
        message = parse(body, charset=charset)
        site = channel.site or maps.site_for(headers(message)).name
        own = next((s.charset for s in reversed(maps.chain(site)) if s.charset), "")
        if own and not charset:
            message = parse(body, charset=own)
        run = TracedRun if plain else stored_traced(TracedRun, channel.keeps_header)
        run = watching(run) if watch else run
        named = channel.map_of(*head_of(message))
        done = trace_message(message, maps, site, origin, identify, map_=named, run=run)
        done.built.flags += [Flag(r.code, r.where, r.text) for r in message.repairs]
        return done, site
    read = read_body(body, format, way_of(channel))
    if len(read.arrived) != 1:
        raise HubError("it holds several transaction sets", remedy="look at one at a time")
    arrived, others = read.arrived[0], maps.of(format)
    site = channel.site if channel.site in others.sites else others.site_for(arrived.headers).name
    kind = arrived.traced_run if plain else stored_traced(arrived.traced_run, channel.keeps_header)
    kind = watching(kind) if watch else kind
    done = trace_arrived(arrived, others, site, origin, identify, channel.map, kind)
    done.built.flags += [Flag(r.code, r.where, r.text) for r in arrived.repairs]
    return done, site


def lineage_of(
    entry: Entry, maps: Maps, channels: Iterable[Channel], mac: Callable[[str, str], bytes]
) -> Lineage:
    """Trace one entry with the maps of today. Raises FormatError, MapError, and HubError for what is no
    message.
    """
    if entry.kind in ("garbage", "answer", "refused"):
        raise HubError(
            f"entry {entry.id} was not mapped",
            why={
                "garbage": "it is not HL7, and no document, claim or prescription",
                "answer": "it is an acknowledgement",
            }.get(entry.kind, "the channel refused it"),
        )
    channel = next((c for c in channels if c.name == entry.channel), None)
    if channel is None:
        raise HubError(f"the channel {entry.channel} is gone", remedy="bring its file back")

    def identify(kind: str, system: str, value: str) -> str:
        return public_id(mac, kind, system, value)

    origin = f"urn:hub:entry|{entry.position}"
    done, site = trace_body(entry.body, maps, channel, origin, identify, entry.charset)
    drafts = done.built.drafts
    resources = {
        name: f"{d.type}/{d.id}" if d.id else d.type for name, d in zip(names_of(drafts), drafts, strict=True)
    }
    return Lineage(site, done.revision, resources, done.report)
