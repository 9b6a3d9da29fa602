"""What a draft can reach: which messages could come out otherwise at all.

In: both maps and both lists of channels. Out: for an entry, yes or no, decided by its channel, its sender's
site and its message map; and words for the page. Where it is not sure, the answer is yes.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, fields

from engine.channels.definition import Channel
from engine.channels.impactrows import Rows
from engine.formats.content import recognise
from engine.formats.hl7v2.header import peek
from engine.kernel.errors import HubError
from engine.kernel.message import Entry
from engine.mapping.convert import headers_of
from engine.mapping.project import Maps, SiteProgram
from engine.mapping.reach import SiteDiff, Tables, site_diff, table_diff

__all__ = ["Reach", "Where"]

_WORKED = ("site", "demographics", "map", "on_error", "park_key", "keeps_header")
"""What of a channel decides what is made of a message."""


@dataclass(frozen=True, slots=True)
class Where:
    """Where a message is mapped: its format, site and message map, live and as drafted."""

    format: str
    live_site: str
    draft_site: str
    message: str

    @property
    def key(self) -> tuple[str, ...]:
        """What messages of the same kind have in common."""
        return self.format, self.live_site, self.draft_site, self.message


class Reach:
    """Compares maps and channels when first asked."""

    def __init__(
        self, live: Maps, live_channels: list[Channel], draft: Maps, draft_channels: list[Channel]
    ) -> None:
        self._maps = live, draft
        self._channels = {c.name: c for c in live_channels}, {c.name: c for c in draft_channels}
        self.tables: Tables = table_diff(live.terminology, draft.terminology)
        self._sites: dict[tuple[str, str, str], SiteDiff] = {}
        self._rows: dict[tuple[str, str, str, str], Rows] = {}
        self._touches: dict[tuple[str, ...], bool] = {}
        self._seen: dict[tuple[str, str], bool] = {}  # (channel, message map or format) -> reached
        names = self._channels[0].keys() | self._channels[1].keys()
        self.channels = {name: words for name in sorted(names) if (words := list(self._differ(name)))}

    def touches(self, entry: Entry) -> bool:
        """Say whether an entry could come out otherwise."""
        where = self.where(entry)
        key = entry.channel, *where.key
        if key not in self._touches:
            self._touches[key] = entry.channel in self.channels or self._can(where)
            self._seen[entry.channel, where.message or where.format] = self._touches[key]
        return self._touches[key]

    def told(self) -> tuple[list[str], list[str]]:
        """Return in words what was reached of what was seen, and what was not."""
        reached = sorted(f"{c}: {kind}" for (c, kind), yes in self._seen.items() if yes)
        return reached, sorted(f"{c}: {kind}" for (c, kind), yes in self._seen.items() if not yes)

    def where(self, entry: Entry) -> Where:
        """Say where a message is mapped."""
        format = recognise(entry.body)
        if format not in ("", "hl7v2"):
            return Where(format, "", "", "")
        head = peek(entry.body)
        found = headers_of(head.fields, head.encoding[:1] or "^")
        sites = []
        for maps, channels in zip(self._maps, self._channels, strict=True):
            own = channels[entry.channel].site if entry.channel in channels else ""
            sites.append(own or maps.site_for(found).name)
        channel = self._channels[0].get(entry.channel) or self._channels[1].get(entry.channel)
        message = channel.map_of(head.fields, head.encoding) if channel is not None else ""
        if not message:
            for maps in self._maps:
                plan = maps.triggers.get((head.code, head.event)) or maps.triggers.get((head.code, ""))
                message = plan.name if plan is not None else message
        return Where("hl7v2", sites[0], sites[1], message)

    def rows(self, entry: Entry) -> Rows:
        """Return what differs where a message is mapped."""
        where = self.where(entry)
        key = entry.channel, where.format, where.live_site, where.draft_site
        if key not in self._rows:
            words = [f"{entry.channel}: {w}" for w in self.channels.get(entry.channel, ())]
            self._rows[key] = Rows(
                self._site(where.format or "hl7v2", where.live_site, where.draft_site), words
            )
        return self._rows[key]

    def _can(self, where: Where) -> bool:
        if where.format != "hl7v2":
            return any(not d.nothing for d in self._of_format(where.format))
        if where.live_site != where.draft_site:
            return True
        diff = self._site(where.format, where.live_site, where.draft_site)
        if diff.nothing:
            return False
        return diff.touches(where.message) if where.message else True

    def _of_format(self, format: str) -> Iterable[SiteDiff]:
        try:
            maps = [m.of("cda" if format == "xdm" else format) for m in self._maps]
        except (HubError, KeyError):  # one side cannot be read: look at everything
            yield SiteDiff(None, None, [], {}, [], self.tables)
            return
        for name in ["standard", *sorted(maps[0].sites.keys() | maps[1].sites.keys())]:
            yield self._site(maps[0].language.format, name, name)

    def _site(self, format: str, live: str, draft: str) -> SiteDiff:
        format = "cda" if format == "xdm" else format
        key = format, live, draft
        if key not in self._sites:
            programs: list[SiteProgram | None] = []
            for maps, name in zip(self._maps, (live, draft), strict=True):
                try:
                    programs.append(maps.of(format).program(name or "standard"))
                except HubError:
                    programs.append(None)
            self._sites[key] = site_diff(programs[0], programs[1], self.tables)
        return self._sites[key]

    def _differ(self, name: str) -> Iterable[str]:
        live, draft = (side.get(name) for side in self._channels)
        if live is None or draft is None:
            yield "new" if live is None else "gone"
            return
        for f in fields(Channel):
            if f.name in _WORKED and getattr(live, f.name) != getattr(draft, f.name):
                yield f.name.replace("_", " ")
