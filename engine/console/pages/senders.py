"""Senders: what each really sends, how it has drifted since somebody signed, what the maps do with it.

In: the counts that the watch keeps (`engine/channels/profiling`). Out: pages that cost no scan. Codes and
the texts beside them can be patient data where a sender misuses a field: only who may see bodies is shown
any, and that is in the audit. A sender's address is a keyed hash, as MSH-3 may hold anything.
"""

from __future__ import annotations

from typing import Any

from engine.channels.definition import Channel
from engine.channels.profiling.contract import as_profile, drift_of, freeze, signed_snapshot, snapshot
from engine.channels.profiling.covering import Coverage
from engine.channels.profiling.drift import Drift, Snapshot
from engine.channels.profiling.heat import heat, totals
from engine.channels.profiling.specification import specify
from engine.channels.profiling.views import (
    main_version,
    quirk_rows,
    segment_rows,
    type_rows,
    week,
)
from engine.console.answers import Download, Goto, Page, Refused
from engine.console.door import Door
from engine.console.visit import Visit
from engine.staff.senders import SenderLine

__all__ = ["add"]

_A_PAGE = 100
_WORDS = ("formats", "versions", "codecs", "line_ends", "zones")
_VALUES = ("charsets", "delimiters")  # as sent: of a damaged header they may be anything


def _list(visit: Visit) -> Page:
    senders = visit.hub.staff.senders
    everywhere = visit.person.everywhere("see.senders")
    channels = None if everywhere else frozenset(visit.hub.channel_names())
    if channels is not None:
        channels = frozenset(c for c in channels if visit.may("see.senders", c))
    lines = senders.lines(_A_PAGE + 1, visit.query.get("after", ""), channels)
    known = {c.name: c for c in visit.hub.channels()}
    head = visit.hub.journal.head()
    facts = {
        "senders": [_line(line, known.get(line.channel)) for line in lines[:_A_PAGE]],
        "next": lines[_A_PAGE - 1].id if len(lines) > _A_PAGE else "",
        "behind": max(0, head - senders.reached()),
        "watching": visit.hub.config.senders.watch,
    }
    return Page("senders.html", facts, "Senders")


def _line(line: SenderLine, channel: Channel | None) -> dict[str, Any]:
    return {
        "id": line.id,
        "sender": line.sender or "not named",
        "channel": line.channel,
        "purpose": channel.purpose if channel is not None else "",
        "messages": line.messages,
        "looked": line.looked,
        "last": line.last,
        "day": line.day,
        "drift": line.drift,
        "signed": line.signed,
        "signed_by": line.signed_by,
        "version": line.version,
    }


def _asked(visit: Visit) -> tuple[SenderLine, Channel | None]:
    """Return the sender of the address, where the person may see it."""
    line = visit.hub.staff.senders.line(visit.path["sender"])
    if line is None:
        raise Refused(404, "There is no such sender.", "It is listed half a minute after its first message.")
    visit.require("see.senders", line.channel)
    return line, next((c for c in visit.hub.channels() if c.name == line.channel), None)


def _values(visit: Visit, line: SenderLine) -> bool:
    """Say whether codes may be shown, and note that they are."""
    if not visit.may("see.bodies", line.channel):
        return False
    visit.saw("sender codes", f"sender/{line.id}")
    return True


def _about(visit: Visit, line: SenderLine, channel: Channel | None) -> dict[str, Any]:
    """Return what every page of a sender has above it."""
    site = channel.site if channel is not None and channel.site else line.sender
    files = visit.hub.maps().all_sites
    return {
        "about": {
            **_line(line, channel),
            "channel_file": channel.file if channel is not None else "",
            "site": site if site in files else "standard",
            "site_file": files[site].file if site in files else "",
        },
        "may_sign": visit.may("draft", line.channel),
    }


def _drifts(found: list[Drift], values: bool) -> list[dict[str, Any]]:
    return [
        {
            "kind": d.kind,
            "place": d.place,
            "text": d.text,
            "types": d.types,
            "when": d.when,
            "entry": d.entry,
            "over": "stopped" in d.kind,
            "values": d.values if values else (),
        }
        for d in found
    ]


def _one(visit: Visit) -> Page:
    line, channel = _asked(visit)
    values = _values(visit, line)
    seen = snapshot(visit.hub.staff.senders, line.id)
    s = seen.sender
    said = {word: _counted(getattr(s, word)) for word in (*_WORDS, *(_VALUES if values else ()))}
    facts = {
        **_about(visit, line, channel),
        "types": type_rows(s, seen.types),
        "said": said,
        "quirks": quirk_rows(s),
        "week": week(s),
        "graph": _graph(week(s).hours),
        "first": s.first,
        "garbage": s.garbage,
        "refused": s.refused,
        "reused": s.reused,
        "gone": s.gone,
        "too_large": s.too_large,
        "drift": _drifts(drift_of(visit.hub.staff.senders, line.id, seen)[:5], values),
    }
    return Page("sender.html", facts, line.sender or "Sender")


def _counted(counts: dict[str, int]) -> list[tuple[str, int]]:
    return sorted(counts.items(), key=lambda item: -item[1])


def _graph(hours: list[int]) -> str:
    """Return the points of a line, 120 wide and 24 high."""
    top = max(hours, default=0) or 1
    step = 120 / max(1, len(hours) - 1)
    return " ".join(f"{i * step:.1f},{23 - 22 * n / top:.1f}" for i, n in enumerate(hours))


def _fields(visit: Visit) -> Page:
    line, channel = _asked(visit)
    values = _values(visit, line)
    seen = snapshot(visit.hub.staff.senders, line.id)
    types = [row.name for row in type_rows(seen.sender, seen.types) if row.looked]
    chosen = visit.query.get("type", "") or (types[0] if types else "")
    if types and chosen not in types:
        raise Refused(404, "Nothing of this message type was looked at.")
    kept = seen.types.get(chosen)
    facts = {
        **_about(visit, line, channel),
        "types": types,
        "type": chosen,
        "version": main_version(kept) if kept else "",
        "looked_of_type": kept.looked if kept else 0,
        "segments": segment_rows(kept, _coverage(visit, line)[1], values) if kept else [],
        "values": values,
    }
    return Page("sender_fields.html", facts, f"{line.sender}: fields")


def _drift(visit: Visit) -> Page:
    line, channel = _asked(visit)
    values = _values(visit, line)
    senders = visit.hub.staff.senders
    contracts = senders.contracts(line.id)
    facts = {
        **_about(visit, line, channel),
        "drift": _drifts(drift_of(senders, line.id), values),
        "values": values,
        "contracts": [
            {"version": c.version, "signed": c.signed, "by": c.who, "note": c.note if values else ""}
            for c in contracts
        ],
    }
    return Page("sender_drift.html", facts, f"{line.sender}: drift")


def _coverage(visit: Visit, line: SenderLine) -> tuple[int | None, Coverage | None]:
    kept = visit.hub.staff.senders.coverage(line.id)
    return (None, None) if kept is None else (kept[0], Coverage.of_json(kept[2]))


def _map(visit: Visit) -> Page:
    line, channel = _asked(visit)
    seen = snapshot(visit.hub.staff.senders, line.id)
    made, coverage = _coverage(visit, line)
    types = [row.name for row in type_rows(seen.sender, seen.types) if row.looked]
    chosen, state = visit.query.get("type", ""), visit.query.get("state", "")
    rows = heat(seen.types, coverage or Coverage(), chosen)
    facts = {
        **_about(visit, line, channel),
        "types": types,
        "type": chosen if chosen in types else "",
        "state": state,
        "made": made,
        "traced": coverage.traced if coverage else 0,
        "failed": coverage.failed if coverage else {},
        "totals": totals(rows),
        "rows": [row for row in rows if state in ("", row.state)],
    }
    return Page("sender_coverage.html", facts, f"{line.sender}: coverage")


def _specification(visit: Visit) -> Page:
    line, channel = _asked(visit)
    values = _values(visit, line)
    senders = visit.hub.staff.senders
    signed = visit.query.get("version", "")
    contract = senders.contract(line.id, int(signed)) if signed.isdigit() else None
    seen: Snapshot = signed_snapshot(contract.seen) if contract else snapshot(senders, line.id)
    facts = {
        **_about(visit, line, channel),
        "spec": specify(seen, channel, _coverage(visit, line)[1], values),
        "values": values,
        "contract": {"version": contract.version, "signed": contract.signed, "by": contract.who}
        if contract
        else None,
    }
    return Page("sender_specification.html", facts, f"{line.sender}: interface specification")


def _sign(visit: Visit) -> Goto:
    line, _ = _asked(visit)
    visit.require("draft", line.channel)
    note = visit.form.get("note", "").strip()[:1000]
    visit.saw("sender signed", f"sender/{line.id}", note)
    version = freeze(visit.hub.staff.senders, line.id, visit.person.name, note)
    return Goto(f"/senders/{line.id}/drift", f"Contract {version} is signed. Drift is counted from now on.")


def _profile(visit: Visit) -> Download:
    line, _ = _asked(visit)
    visit.require("see.bodies", line.channel)
    visit.saw("sender profile", f"sender/{line.id}")
    text = as_profile(snapshot(visit.hub.staff.senders, line.id), line.sender)
    return Download(text.encode(), "application/yaml", "profile.yaml")


def add(door: Door) -> None:
    """Add the pages."""

    @door.get("/senders", needs="see.senders")
    def senders(visit: Visit) -> Page:
        """List everybody who sends, those with drift first."""
        return _list(visit)

    @door.get("/senders/{sender}", needs="see.senders")
    def sender(visit: Visit) -> Page:
        """Show what one sender sends."""
        return _one(visit)

    @door.get("/senders/{sender}/fields", needs="see.senders")
    def fields(visit: Visit) -> Page:
        """Show the fields of one message type of a sender."""
        return _fields(visit)

    @door.get("/senders/{sender}/drift", needs="see.senders")
    def drift(visit: Visit) -> Page:
        """Show what is different since the contract was signed."""
        return _drift(visit)

    @door.get("/senders/{sender}/coverage", needs="see.senders")
    def coverage(visit: Visit) -> Page:
        """Show what the maps do with each field that is sent."""
        return _map(visit)

    @door.get("/senders/{sender}/specification", needs="see.senders")
    def specification(visit: Visit) -> Page:
        """Show the interface specification, to print."""
        return _specification(visit)

    @door.post("/senders/{sender}/sign", needs="draft")
    def sign(visit: Visit) -> Goto:
        """Sign what is seen as the contract."""
        return _sign(visit)

    @door.get("/senders/{sender}/profile.yaml", needs="export", twin=False)
    def profile(visit: Visit) -> Download:
        """Give what is seen as a conformance profile."""
        return _profile(visit)
