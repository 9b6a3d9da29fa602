"""One message: its body with names and bytes, where every value went, the FHIR it wrote, what happened to it.

In: the number of an entry. Out: pages with a URL each (`/message/8841`, `/fhir`, `/lineage`, `/timeline`,
`/compare`), and their JSON. Whoever may not see bodies gets the envelope, the state, the cause and the
timeline, and no value of the message anywhere; every look at a body is in the audit first.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from engine.channels.causes import words_of as words_of_cause
from engine.channels.deaths import killed
from engine.channels.findhits import UNREADABLE, shown_type, shows_control
from engine.channels.message.comparing import compare
from engine.channels.message.content import contents
from engine.channels.message.envelope import Envelope, envelope, line_of
from engine.channels.message.linked import Link, linked, words_of
from engine.channels.message.shown import AT_ONCE, WHOLE, Shown, show_body
from engine.channels.message.timeline import timeline
from engine.channels.message.traced import Trace
from engine.channels.message.wrote import tried, value_at, versions
from engine.console.answers import Page, Refused
from engine.console.door import Door
from engine.console.pages.message_desk import Desk
from engine.console.visit import Visit
from engine.journal.sql import UnreadableEntry
from engine.kernel.errors import HubError
from engine.kernel.message import Entry

__all__ = ["Opened", "add", "opened", "page_of"]

_SEEN = 50  # audit rows that name the entry
_PERMISSIONS = ("see.bodies", "replay", "edit.message", "export", "see.audit", "break.glass")


@dataclass(frozen=True, slots=True)
class Opened:
    """An entry, and its body where the person may see it and there is one."""

    about: Envelope
    body: Entry | None
    hidden: bool  # the person may not see it
    problem: str  # why it cannot be opened


def opened(visit: Visit, action: str = "message:open") -> Opened:
    """Open the entry of a visit as far as the person may. Raises Refused."""
    hub, number = visit.hub, int(visit.path["entry"])
    try:
        about = envelope(hub.journal, hub.store, number)
    except HubError:
        raise Refused(404, f"There is no entry {number}.", "Find shows what there is.") from None
    visit.require("see.messages", about.channel)
    if not visit.may("see.bodies", about.channel):
        sound = about.cause not in UNREADABLE and shows_control(line_of(hub.journal, number))
        control = about.control_id if sound else ""
        return Opened(replace(about, type=shown_type(about.type), control_id=control), None, True, "")
    visit.saw(action, f"entry/{number}")
    try:
        return Opened(about, hub.journal.get(number), False, "")
    except UnreadableEntry as e:
        return Opened(about, None, False, str(e))


def page_of(visit: Visit, one: Opened, tab: str, **facts: Any) -> Page:
    """Return a tab of an entry's page."""
    about = one.about
    reason = ""
    if not one.hidden:  # what a listener or a person wrote may quote the message
        reason = line_of(visit.hub.journal, about.entry).reason
    known = {
        "about": about,
        "tab": tab,
        "title_of": words_of_cause(about.cause)._asdict() if about.state == "parked" else None,
        "reason": reason,
        "hidden": one.hidden,
        "problem": one.problem,
        "can": {name: visit.may(name, about.channel) for name in _PERMISSIONS},
    }
    title = f"Message {about.entry}"
    return Page(f"message_{tab}.html", known | facts, title)


def _links(visit: Visit, one: Opened) -> list[Link]:
    hub, number = visit.hub, one.about.entry
    words = words_of(one.body) if one.body is not None else ()
    found = linked(line_of(hub.journal, number), hub.journal, hub.store, words)
    seen = [link for link in found if visit.may("see.messages", link.channel)]
    return [
        link if visit.may("see.bodies", link.channel) else replace(link, type=shown_type(link.type))
        for link in seen
    ]


def _shown(visit: Visit, one: Opened) -> Shown | None:
    if one.body is None:
        return None
    try:
        first = max(1, int(visit.query.get("from", "1")))
    except ValueError:
        raise Refused(400, "from= takes the number of a segment.") from None
    return show_body(one.body, first)


def _trace(visit: Visit, desk: Desk, one: Opened) -> tuple[Trace | None, str]:
    """Return the trace of an entry, or why there is none."""
    if one.body is None:
        return None, one.problem
    hub = visit.hub
    if one.about.cause == killed().code:
        return None, "it killed its worker: it is traced nowhere, so that this page does not die of it"
    if len(one.body.body) > WHOLE:
        return None, "it is too long to be traced here: hub msg show --lineage does it"
    try:
        maps, channels = hub.maps(), hub.channels()
        return desk.traces.of(one.body, maps, channels, hub.keyring.mac16, one.about.revision), ""
    except HubError as e:
        return None, str(e)


def _answer(visit: Visit, desk: Desk, one: Opened) -> dict[str, Any]:
    """Say where the location asked for went, or where the element came from."""
    at, of = visit.query.get("at", ""), visit.query.get("of", "")
    out: dict[str, Any] = {"at": at, "of": of, "trace": None, "why_not": ""}
    if not (at or of) or one.body is None:
        return out
    trace, out["why_not"] = _trace(visit, desk, one)
    if trace is None:
        return out
    reached, nowhere = trace.from_(at) if at else ([], [])
    stored = {f"{w.type}/{w.id}": w.resource for w in visit.hub.store.wrote(one.about.entry)} if at else {}
    out["trace"] = {
        "site": trace.site,
        "revision": trace.revision,
        "same_revision": trace.same_revision,
        "reached": [
            {"to": r, "value": value_at(stored.get(r.resource), r.path)} for r in reached[: desk.most]
        ],
        "nowhere": nowhere[: desk.most],
        "sources": trace.of(of)[: desk.most] if of else [],
        "left_out": max(0, len(reached) - desk.most) + max(0, len(nowhere) - desk.most),
    }
    return out


def add(door: Door) -> None:
    """Add the pages."""
    desk = Desk.of(door)

    @door.get("/message/{entry:int}", needs="see.messages")
    def message(visit: Visit) -> Page:
        """Show a message: its body, and where a value of it went."""
        one = opened(visit)
        shown = _shown(visit, one) if not visit.htmx else None  # htmx asks for the trace alone
        listed = contents(one.body) if one.body is not None and one.about.bytes <= WHOLE else []
        images = shown is not None and shown.format == "dicom" and visit.hub.imaging() is not None
        facts = {
            "shown": shown,
            "at_once": AT_ONCE,
            "contents": listed,
            "pictured": images and visit.may("see.studies", one.about.channel),
            **_answer(visit, desk, one),
        }
        return replace(page_of(visit, one, "body", **facts), fragment="message_trace.html")

    @door.get("/message/{entry:int}/fhir", needs="see.messages")
    def fhir(visit: Visit) -> Page:
        """Show the FHIR that a message wrote, or would write where it is parked."""
        one = opened(visit, "message:fhir")
        made, run = [], None
        if not one.hidden and one.about.state == "parked" and one.body is not None:
            run = desk.try_live(visit.hub, one.about.entry)
            made = tried(run.changes)
        elif not one.hidden:
            made = versions(one.about, visit.hub.store)
        facts = {"versions": made, "dry_run": run, **_answer(visit, desk, one)}
        return replace(page_of(visit, one, "fhir", **facts), fragment="message_trace.html")

    @door.get("/message/{entry:int}/lineage", needs="see.messages")
    def lineage(visit: Visit) -> Page:
        """Show what became of every value of a message."""
        one = opened(visit, "message:lineage")
        trace, why_not = _trace(visit, desk, one)
        state = visit.query.get("state", "")
        rows, counts = desk.rows_of(trace, state)
        facts = {"rows": rows, "counts": counts, "state": state, "why_not": why_not, "at": "", "of": ""}
        site = (
            {"site": trace.site, "revision": trace.revision, "same": trace.same_revision} if trace else None
        )
        return page_of(visit, one, "lineage", map=site, **facts)

    @door.get("/message/{entry:int}/timeline", needs="see.messages")
    def happened(visit: Visit) -> Page:
        """Show what happened to a message, and what belongs to it."""
        one = opened(visit, "message:timeline")
        store = visit.hub.store
        links = _links(visit, one)
        seen = []
        if visit.may("see.audit"):
            seen = store.audit.numbered(store.audit.names.rows_naming([f"entry/{one.about.entry}"], _SEEN))
        events = timeline(one.about, links, store.deliveries.of_entry(one.about.entry), seen)
        return page_of(visit, one, "timeline", events=events, links=links)

    @door.get("/message/{entry:int}/compare", needs="see.messages")
    def compared(visit: Visit) -> Page:
        """Compare a message with another one, field by field."""
        one = opened(visit, "message:compare")
        said = visit.query.get("with", "") or str(one.about.parent or "")
        facts: dict[str, Any] = {"with": said, "comparison": None, "other": None, "links": []}
        if not said or one.body is None:
            facts["links"] = _links(visit, one)
            return page_of(visit, one, "compare", **facts)
        if not said.isdecimal() or len(said) > 18:
            raise Refused(400, "with= takes the number of an entry.")
        other = _other(visit, int(said))
        if len(one.body.body) + len(other.body) > WHOLE:
            raise Refused(413, "They are too long to be compared here.", "Download both.")
        try:
            facts["comparison"] = compare(one.body, other)
        except HubError as e:
            raise Refused(409, f"They cannot be compared: {e}") from None
        facts["other"] = {"entry": other.id, "type": other.message_type, "channel": other.channel}
        return page_of(visit, one, "compare", **facts)


def _other(visit: Visit, number: int) -> Entry:
    """Open the entry that one is compared with."""
    try:
        line = line_of(visit.hub.journal, number)
    except HubError:
        raise Refused(404, f"There is no entry {number}.") from None
    visit.require("see.bodies", line.channel)
    visit.saw("message:compare", f"entry/{number}")
    try:
        found = visit.hub.journal.get(number)
    except UnreadableEntry as e:
        raise Refused(409, str(e)) from None
    if found is None:
        raise Refused(404, f"There is no entry {number}.")
    return found
