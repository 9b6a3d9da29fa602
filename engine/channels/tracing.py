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

from engine.channels.definition import Channel
from engine.formats.hl7v2.parse import parse
from engine.kernel.errors import HubError
from engine.kernel.message import Entry
from engine.mapping.convert import headers, trace_message
from engine.mapping.lineage import Report, names_of, two_way
from engine.mapping.project import Maps
from engine.mapping.run import TracedRun
from engine.store.keys import public_id

__all__ = ["Lineage", "lineage_of"]


class _StoreTracedRun(TracedRun):
    """The traced twin of the worker's run: references name resources as the core store does."""

    left_out = frozenset({"MessageHeader"})

    def reference(self, kind: str, draft_id: str) -> dict[str, Any]:
        return {"reference": f"{kind}/{draft_id}"}


class _StoreTracedRunWithHeader(_StoreTracedRun):
    left_out = frozenset()


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


def lineage_of(
    entry: Entry, maps: Maps, channels: Iterable[Channel], mac: Callable[[str, str], bytes]
) -> Lineage:
    """Trace one entry with the maps of today. Raises FormatError, MapError, and HubError for what is no
    message.
    """
    if entry.kind in ("garbage", "answer", "refused"):
        raise HubError(
            f"entry {entry.id} was not mapped",
            why={"garbage": "it is not HL7", "answer": "it is an acknowledgement"}.get(
                entry.kind, "the channel refused it"
            ),
        )
    channel = next((c for c in channels if c.name == entry.channel), None)
    if channel is None:
        raise HubError(f"the channel {entry.channel} is gone", remedy="bring its file back")
    message = parse(entry.body, charset=entry.charset)
    site = channel.site or maps.site_for(headers(message)).name
    charset = next((s.charset for s in reversed(maps.chain(site)) if s.charset), "")
    if charset and not entry.charset:
        message = parse(entry.body, charset=charset)

    def identify(kind: str, system: str, value: str) -> str:
        return public_id(mac, kind, system, value)

    origin = f"urn:hub:entry|{entry.position}"
    run = _StoreTracedRunWithHeader if channel.keeps_header else _StoreTracedRun
    done = trace_message(message, maps, site, origin, identify, map_=channel.map, run=run)
    drafts = done.built.drafts
    resources = {
        name: f"{d.type}/{d.id}" if d.id else d.type for name, d in zip(names_of(drafts), drafts, strict=True)
    }
    return Lineage(site, done.revision, resources, done.report)
