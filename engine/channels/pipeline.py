"""One journal entry through the pure rooms: decode, map, check; out comes the work of a transaction.

A content error (unreadable, no map, held by a row, invalid) parks that entry alone, with its cause. Nothing
here touches a database or a clock, so the same entry and revision always give the same work.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import lru_cache
from typing import Any

from engine.channels.actions import mark_changes
from engine.channels.dating import date_drafts
from engine.channels.definition import Channel
from engine.channels.deletes import course_deletes, forbidden_deletes, required_deletes
from engine.channels.delivering.choosing import dues_of
from engine.channels.embedded import work_embedded
from engine.channels.intervals import mark_intervals
from engine.channels.judging import folded, mixed, without_authority
from engine.channels.mapchoice import head_of
from engine.channels.moves import moves_of, parts_of, self_joined
from engine.channels.otherwork import fill_other, prepare_other
from engine.channels.searchwords import declared_words, search_words
from engine.channels.sightings import Sightings, tables_of
from engine.channels.visits import tell_visits
from engine.fhir.validate import validate
from engine.formats.content import recognise
from engine.formats.hl7v2.header import peek
from engine.formats.hl7v2.parse import Message, parse
from engine.kernel.errors import FormatError, HubError, MapError
from engine.kernel.message import Draft, Entry, Flag, Work
from engine.mapping.build import Built
from engine.mapping.convert import headers, headers_of, map_message
from engine.mapping.languages import LANGUAGES
from engine.mapping.project import Maps
from engine.mapping.run import Run
from engine.store.keys import public_id
from engine.terminology.translate import Terminology

__all__ = ["Pipeline"]

log = logging.getLogger(__name__)


KINDS = 10_000
"""Senders and types remembered as prepared; there are more only where senders make their names up."""


class _StoreRun(Run):
    """A run whose references name resources as the core store does: `Type/id`."""

    left_out = frozenset({"MessageHeader"})

    def reference(self, kind: str, draft_id: str) -> dict[str, Any]:
        return {"reference": f"{kind}/{draft_id}"}


class _StoreRunWithHeader(_StoreRun):
    left_out = frozenset()


class Pipeline:
    """The maps and channels of a project, ready to work entries off."""

    def __init__(self, maps: Maps, channels: list[Channel], mac: Callable[[str, str], bytes]) -> None:
        self.maps = maps
        self.channels: Mapping[str, Channel] = {c.name: c for c in channels}
        self.mac = mac

        @lru_cache(maxsize=65536)
        def identify(kind: str, system: str, value: str) -> str:
            return public_id(mac, kind, system, value)

        self.identify = identify
        self._prepared: set[tuple[str, str, str]] = set()
        self._looked: dict[tuple[str, str], tuple[Sightings, str]] = {}  # what is looked for, its tables
        self._tables: dict[tuple[str, str], str] = {}  # (format, site) -> its tables

    def renew(self, terminology: Terminology) -> None:
        """Take over code tables that people have changed. Raises MapError where that needs a new start."""
        self.maps.renew(terminology)
        self._looked.clear()
        self._tables.clear()

    def take(self, maps: Maps, channels: list[Channel]) -> None:
        """Work with other maps and channels from here on."""
        maps.codes = self.maps.codes
        self.maps, self.channels = maps, {c.name: c for c in channels}
        self._prepared.clear()
        self._looked.clear()
        self._tables.clear()

    def tables(self, format: str, site: str) -> str:
        """Name the code tables that a site's own layers ask in one format, with their versions."""
        key = format, site
        if key not in self._tables:
            self._tables[key] = tables_of(self.maps.of(format).program(site))
        return self._tables[key]

    def prepare(self, entry: Entry) -> None:
        """Compile what messages of this kind need, once: it takes a second and is no fault of the entry."""
        kind = entry.channel, entry.sender, entry.message_type
        channel = self.channels.get(entry.channel)
        if kind in self._prepared or channel is None:
            return
        if len(self._prepared) > KINDS:
            self._prepared.clear()
        self._prepared.add(kind)
        if (format := recognise(entry.body)) not in ("", "hl7v2"):
            prepare_other(self, entry, channel, format)
            return
        head = peek(entry.body)
        with suppress(HubError):  # what is wrong here is wrong again when the entry is worked, and told then
            found = headers_of(head.fields, head.encoding[:1] or "^")
            program = self.maps.program(channel.site or self.maps.site_for(found).name)
            named = channel.map_of(head.fields, head.encoding)
            plan = program.plan(named) if named else program.plan_for(head.code, head.event)
            if plan is not None:
                plan.prepare(line[:3].decode("ascii", "replace") for line in entry.body.split(b"\r"))

    def work(self, entry: Entry) -> Work:
        """Turn one entry into work. Never raises for what the entry holds."""
        channel = self.channels.get(entry.channel)
        out = Work(entry.id, entry.position, entry.channel, entry.sender, entry.lanes)
        out.instead = entry.parent if entry.kind == "resend" else None
        if entry.kind == "garbage":
            text = "no message, or of a format that the channel does not accept; hub msg show says why"
            out.parked = Flag("garbage", "", text, True)
            return out
        try:
            if channel is None:
                raise HubError(
                    "the channel is gone",
                    where=entry.channel,
                    remedy="bring the channel back, or replay into another",
                )
            format = recognise(entry.body)
            if format in ("", "hl7v2"):
                self._fill(out, entry, channel)
            else:
                fill_other(self, out, entry, channel, format)
            if channel.downsample and out.parked is None:
                out.flags += mark_intervals(out.drafts, channel.downsample, channel.name)
        except FormatError as e:
            out.parked = Flag("not-readable", e.where, e.what, True)
        except MapError as e:
            if e.where == "MSH-9":  # never in the sender's words: a damaged header may hold anything there
                text = (
                    "no map serves this message type; "
                    "a file under mappings/hl7v2/messages would, with `for:` naming it"
                )
                out.parked = Flag("no-map", "MSH-9", text, True)
            elif e.where in LANGUAGES:
                text = (
                    f"no map serves this type; a file under mappings/{e.where} would, with `for:` naming it"
                )
                out.parked = Flag("no-map", e.where, text, True)
            else:
                out.parked = Flag("map-error", e.where, str(e), True)
        except HubError as e:
            out.parked = Flag("cannot-work", e.where, str(e), True)
        except Exception as e:  # a fault of ours must cost this message a delay, never its neighbours
            tb = e.__traceback__
            while tb is not None and tb.tb_next is not None:
                tb = tb.tb_next
            at = f"{tb.tb_frame.f_code.co_filename.rsplit('/', 1)[-1]}:{tb.tb_lineno}" if tb else ""
            log.error("entry %d: internal error %s at %s", entry.id, type(e).__name__, at)
            out.parked = Flag("internal-error", at, f"{type(e).__name__} while mapping", True)
        if out.parked is not None:
            out.drafts, out.deliveries = [], ()
        return out

    def _fill(self, out: Work, entry: Entry, channel: Channel) -> None:
        message = parse(entry.body, charset=entry.charset)
        site = channel.site or self.maps.site_for(headers(message)).name
        charset = next((s.charset for s in reversed(self.maps.chain(site)) if s.charset), "")
        if charset and not entry.charset:
            message = parse(entry.body, charset=charset)
        out.search = search_words(message)
        if channel.search:
            out.search += tuple(declared_words(message, channel.search))
        if entry.kind == "answer":
            out.note = "acknowledgement"  # an ACK is kept, and there is nothing to do
            return
        if entry.kind == "refused":
            # the entry's reason may quote what stood around the message in its frame: it stays sealed there
            text = "the channel refused it and told the sender; hub msg show says why"
            out.parked = Flag("refused", "MSH", text, True)
            return
        program = self.maps.program(site)
        out.revision = program.revision
        origin = f"urn:hub:entry|{entry.position}"
        run = _StoreRunWithHeader if channel.keeps_header else _StoreRun
        named = channel.map_of(*head_of(message))
        built = map_message(message, program, self.identify, origin, run, named)
        looked = self._looked.get((site, named))
        if looked is None:
            looked = Sightings(program, named), tables_of(program)
            self._looked[site, named] = looked
        try:
            self._judge(out, entry, channel, message, built, looked, program.sender("").zone)
        finally:
            built.release()

    def _judge(
        self,
        out: Work,
        entry: Entry,
        channel: Channel,
        message: Message,
        built: Built,
        looked: tuple[Sightings, str],
        zone: str,
    ) -> None:
        """Park what the maps made of a message, or hand it to the store with all that is to be said of it."""
        out.gaps, out.tables = looked[0].of(message, built.gaps), looked[1]
        out.flags = folded([*built.flags, *(Flag(r.code, r.where, r.text) for r in message.repairs)])
        if entry.conflicts_with is not None:
            out.flags.append(
                Flag(
                    "same-control-id",
                    "MSH[1]-10",
                    f"entry {entry.conflicts_with} has the same control id"
                    + (", and may be the same message" if _keeps_twins(channel) else " and other content"),
                    True,
                )
            )
        if built.held is not None:
            out.parked = built.held
            return
        if _visit_missed(message, built.drafts):
            text = "the event is about a visit, and neither a visit number nor a time of admission says which"
            out.flags.append(Flag("no-visit-number", "PV1[1]-19", text, True))
        if b'""' in entry.body:
            out.parked = _deleted_result(message)
            held, deletes = forbidden_deletes(message)
            out.parked = out.parked or held or required_deletes(built.drafts)
            out.flags += deletes
            if out.parked is not None:
                return
            course_deletes(message, built.drafts)
        for d in built.drafts:
            for p in validate(d.body, d.known):
                flag = Flag("invalid", p.path, f"{p.text} ({d.map})", True)
                if channel.on_error == "hold":
                    out.parked = flag
                    return
                out.flags.append(flag)
            if not d.keys and d.write == "merge":
                d.write = "snapshot"  # known by its place only: replaced, never mixed with who stood there
        if not channel.demographics:
            out.parked = without_authority(built.drafts, message.code)
        out.parked = out.parked or mixed(built.drafts) or self_joined(built, message)
        date_drafts(built, message, zone)
        tell_visits(built, message, zone)
        mark_changes(built, message)
        out.moves, out.parts = moves_of(built, message), parts_of(built, message)
        if (out.moves or out.parts) and not channel.demographics:
            text = "this channel may move and part nothing: it is not marked `authority: demographics`"
            out.parked = out.parked or Flag("no-authority", "MSH[1]-9", text, True)
        out.renumbers = message.code == "ADT" and message.event == "A47"
        out.drafts = built.drafts
        if out.parked is None and b"|ED|" in entry.body and message.code in WITH_DOCUMENTS:
            origin = f"urn:hub:entry|{entry.position}"
            more, flags = work_embedded(self, message, built.drafts, channel, origin)
            out.drafts, out.flags = [*built.drafts, *more], folded([*out.flags, *flags])
        if channel.deliver:
            out.deliveries = dues_of(channel, entry, self.mac, message)


def _keeps_twins(channel: Channel) -> bool:
    """Say whether the channel keeps duplicates (`then: flag`)."""
    return channel.receives is not None and channel.receives.duplicates == "flag"


WITH_DOCUMENTS = frozenset({"MDM", "ORU", "OUL", "REF", "RRI", "PPR", "OMP", "ORM"})
"""Messages whose embedded documents are worked on."""
VISIT_EVENTS = frozenset(
    [
        "A02",
        "A03",
        "A06",
        "A07",
        "A09",
        "A10",
        "A11",
        "A12",
        "A13",
        "A15",
        "A16",
        "A21",
        "A22",
        "A25",
        "A26",
        "A27",
        "A32",
        "A33",
        "A38",
    ]
)


def _visit_missed(message: Message, drafts: list[Draft]) -> bool:
    """Say whether a transfer, discharge or cancellation reached no visit: somebody must know."""
    visit = message.code == "ADT" and message.event in VISIT_EVENTS
    return visit and not any(d.type == "Encounter" for d in drafts)


def _deleted_result(message: Message) -> Flag | None:
    """Park a message that deletes the value of a result (`""` in OBX-5) without taking the result back."""
    for s in message.segments:
        if s.name == "OBX" and len(s.fields) > 5 and s.fields[5] == '""':
            status = s.fields[11].strip() if len(s.fields) > 11 else ""
            if status not in ("D", "W", "X"):
                text = "the value of a result is deleted, and its status does not say that it was wrong"
                return Flag("delete-of-result", f"OBX[{s.n}]-5", text, True)
    return None
