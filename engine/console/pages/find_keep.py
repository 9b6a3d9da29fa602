"""Searches that are kept under a name, and hits taken out as a file.

In: forms of the page Find. Out: saved searches, one's own and shared; CSV or JSON of at most 10,000 hits,
written while it is sent, every message of it named in the audit before the first byte leaves.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import asdict
from datetime import datetime

import orjson

from engine.channels.asked import All
from engine.channels.asking import BadQuery, read_query
from engine.channels.findhits import Hit, hits_of
from engine.console.answers import Answer, Download, Goto, Refused
from engine.console.door import Door
from engine.console.pages.find import audited, finder_of, wanted
from engine.console.visit import Visit

__all__ = ["MOST", "add", "entries_of"]

MOST = 10_000
_AT_ONCE = 500
_COLUMNS = (
    *("entry", "received", "channel", "sender", "type", "kind", "control_id", "status", "cause"),
    *("where", "patient", "number"),
)
_MEDIA = {"csv": "text/csv; charset=utf-8", "json": "application/json"}


def entries_of(visit: Visit, query: str, permission: str = "export") -> list[int]:
    """Return what a search finds without opening anything, newest first, where the person may do that."""
    try:
        asked = read_query(query, datetime.now()) if query.strip() else All(())
        finder = finder_of(visit, permission)
        found: list[int] = []
        below: int | None = None
        for _ in range(200):
            page = finder.find(asked, below=below, limit=_AT_ONCE, names=False)
            found += [hit.entry for hit in page.hits]
            below = page.next
            if below is None or len(found) >= MOST:
                break
    except BadQuery as e:
        raise Refused(400, str(e)) from None
    return found[:MOST]


def _hits(visit: Visit, entries: list[int]) -> Iterator[Hit]:
    for at in range(0, len(entries), 200):
        part = entries[at : at + 200]
        yield from hits_of(
            visit.hub.journal,
            visit.hub.store,
            part,
            lambda channel: visit.may("see.bodies", channel),
            patients=True,
            everyone=True,
        )


def _row(hit: Hit) -> list[str]:
    """Return a hit as cells of which no spreadsheet makes a formula."""
    cells = [str(getattr(hit, name)) for name in _COLUMNS]
    return [f"'{cell}" if cell[:1] in ("=", "+", "-", "@", "\t", "\r") else cell for cell in cells]


def _csv(hits: Iterator[Hit]) -> Iterator[bytes]:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(_COLUMNS)
    for hit in hits:
        writer.writerow(_row(hit))
        if out.tell() > 64 << 10:
            yield out.getvalue().encode()
            out.seek(0)
            out.truncate()
    yield out.getvalue().encode()


def _json(hits: Iterator[Hit]) -> Iterator[bytes]:
    yield b"[\n"
    for n, hit in enumerate(hits):
        known = asdict(hit)
        yield (b",\n" if n else b"") + orjson.dumps({name: known[name] for name in _COLUMNS})
    yield b"\n]\n"


def _number(visit: Visit) -> int:
    text = visit.path["search"]
    return int(text) if text.isdecimal() and len(text) < 16 else 0


def add(door: Door) -> None:
    """Add the forms."""

    @door.post("/find/export", needs="export")
    def export(visit: Visit) -> Answer:
        """Give hits as a file."""
        w = wanted(visit)
        kind = visit.form.get("as", "csv")
        if kind not in _MEDIA:
            raise Refused(400, "A list is taken out as csv or json.")
        entries = entries_of(visit, w.q)
        audited(visit, "find:export", w.q, entries)
        hits = _hits(visit, entries)
        body = _csv(hits) if kind == "csv" else _json(hits)
        return Download(body, _MEDIA[kind], f"messages-{datetime.now():%Y%m%d-%H%M}.{kind}")

    @door.post("/find/saved", needs="see.messages")
    def save(visit: Visit) -> Goto:
        """Keep a search under a name."""
        w = wanted(visit)
        try:
            read_query(w.q, datetime.now())
        except BadQuery as e:
            raise Refused(400, f"This search cannot be read: {e}") from None
        shared = visit.form.get("shared") == "1"
        number = visit.hub.staff.searches.save(visit.person.name, visit.form.get("name", ""), w.q, shared)
        visit.saw("find:save", f"search/{number}", "shared" if shared else "")
        return Goto(f"/find?saved={number}", "Saved.")

    @door.post("/find/saved/{search}", needs="see.messages")
    def change(visit: Visit) -> Goto:
        """Rename one's own search, or share it."""
        number, shared = _number(visit), visit.form.get("shared") == "1"
        visit.hub.staff.searches.change(number, visit.person.name, visit.form.get("name", ""), shared)
        visit.saw("find:save", f"search/{number}", "shared" if shared else "")
        return Goto(f"/find?saved={number}", "Changed.")

    @door.post("/find/saved/{search}/delete", needs="see.messages")
    def delete(visit: Visit) -> Goto:
        """Delete one's own search."""
        number = _number(visit)
        visit.hub.staff.searches.delete(number, visit.person.name)
        visit.saw("find:delete", f"search/{number}")
        return Goto("/find", "Deleted.")
