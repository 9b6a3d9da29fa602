"""Maps: what there is, the resolved sheet of one as a site sees it, who set which row where and why.

In: the maps in force, or with a draft. Out: pages without any value of any message: whoever may see maps sees
sheets. Workbooks carry the revision and the hash of their rows: the signed sheet comes back by mapsedit.py.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import Any

from engine.channels.celledit import CellRow, grid
from engine.channels.sheetbook import book_of
from engine.channels.trying import Desk
from engine.console.answers import Answer, Download, Page, Refused
from engine.console.door import Door
from engine.console.pages import maps_edit
from engine.console.pages.bench_scene import drafts_of
from engine.console.pages.maps_seen import Seen, seen_of
from engine.console.visit import Visit
from engine.fhir import definitions
from engine.mapping.languages import LANGUAGES
from engine.mapping.model import MapDef, MessageDef
from engine.mapping.names import element_paths, field_name
from engine.mapping.project import Maps
from engine.mapping.sheetdiff import changes
from engine.mapping.sheettext import condition_text, source_text
from engine.mapping.whyrows import why_rows

__all__ = ["add"]

_XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"


class Sheets:
    """The pages, around one desk that keeps drafts compiled."""

    def __init__(self) -> None:
        self.desk = Desk()

    def listed(self, visit: Visit) -> Answer:
        """List maps, message maps and sites of a format."""
        format = visit.query.get("format", "hl7v2")
        if format not in LANGUAGES:
            raise Refused(404, f"There is no format {format}.", f"There are {', '.join(LANGUAGES)}.")
        maps = visit.hub.maps().of(format)
        wanted = visit.query.get("q", "").strip().lower()
        changed = Counter(n for s in maps.sites.values() for n in (s.change or {}))
        facts = {
            "format": format,
            "formats": list(LANGUAGES),
            "q": visit.query.get("q", ""),
            "maps": [
                {
                    "name": m.name,
                    "source": m.source,
                    "to": m.to,
                    "rows": len(m.rows),
                    "tests": len(m.tests),
                    "ignored": len(m.ignore),
                    "sites": changed[m.name],
                    "file": m.place.file,
                }
                for m in sorted(maps.maps.values(), key=lambda m: m.name)
                if wanted in f"{m.name} {m.source} {m.to}".lower()
            ],
            "messages": [
                {
                    "name": m.name,
                    "for": ["^".join(t for t in trigger if t) for trigger in m.triggers],
                    "resources": len(m.resources),
                    "file": m.place.file,
                }
                for m in sorted(maps.messages.values(), key=lambda m: m.name)
                if wanted in m.name.lower()
            ],
            "sites": [
                {
                    "name": s.name,
                    "over": s.over,
                    "match": {k: list(v) for k, v in s.match},
                    "maps": list(s.change or ()),
                    "rows": sum(len(c) for c in (s.change or {}).values() if isinstance(c, dict)),
                    "file": s.file,
                }
                for s in maps.sites.values()
                if wanted in s.name.lower()
            ],
        }
        return Page("maps.html", facts, "Maps")

    def sheet(self, visit: Visit) -> Answer:
        """Show the resolved sheet of a map, or the lines of a message map."""
        name = visit.path["name"]
        seen = seen_of(visit, self.desk, name)
        message = seen.maps.messages.get(name)
        if message is not None:
            return Page("maps_message.html", _message_facts(visit, seen, message), name)
        program = seen.maps.program(seen.site)
        m = program.resolved.get(name)
        if m is None:
            raise Refused(404, f"There is no map {name}.", "Maps lists them.")
        rows, stamp = grid(seen.root, seen.maps, seen.site, name)
        facts = _known(visit, seen, name) | {
            "map": name,
            "source": m.source,
            "to": m.to,
            "key": " | ".join(source_text(k) for k in m.key) or m.key_text,
            "ignore": list(m.ignore),
            "note": m.note.strip(),
            "file": m.place.file,
            "revision": program.revision,
            "stamp": stamp,
            "rows": [_row_facts(seen.maps, m, row) for row in rows],
            "changes": _changes(seen, name),
            "editable": visit.may("draft") and seen.maps.language.format == "hl7v2",
            "words": list(maps_edit.WORDS),
        }
        return Page("maps_sheet.html", facts, name)

    def why(self, visit: Visit) -> Answer:
        """Say which rows set an element, or read a field."""
        what = visit.query.get("what", "").strip()
        seen = seen_of(visit, self.desk)
        rows = why_rows(seen.maps.program(seen.site), what) if what else []
        facts = _known(visit, seen, "") | {"what": what, "rows": rows}
        return Page("maps_why.html", facts, "Why")

    def book(self, visit: Visit) -> Answer:
        """Give a workbook of one map, or of all maps of a format."""
        name = visit.path.get("name", "")
        seen = seen_of(visit, self.desk, name)
        program = seen.maps.program(seen.site)
        if name and name not in program.resolved:
            raise Refused(404, f"There is no sheet of {name}.", "Maps lists them.")
        data = book_of(program, seen.root, [name] if name else [])
        of = f"-{seen.site}" if seen.site != "standard" else ""
        return Download(data, _XLSX, f"{name or 'maps'}{of}-{program.revision}.xlsx")


def add(door: Door) -> None:
    """Add the pages."""
    sheets = Sheets()
    door.get("/maps", needs="see.maps")(sheets.listed)
    door.get("/maps/why", needs="see.maps")(sheets.why)
    door.get("/maps/book.xlsx", needs="see.maps", twin=False)(sheets.book)
    maps_edit.add(door, sheets.desk)
    door.get("/maps/{name}", needs="see.maps")(sheets.sheet)
    door.get("/maps/{name}/sheet.xlsx", needs="see.maps", twin=False)(sheets.book)


# -- facts -------------------------------------------------------------------------------------------------


def _known(visit: Visit, seen: Seen, name: str) -> dict[str, Any]:
    may = visit.may("draft")
    return {
        "site": seen.site,
        "sites": ["standard", *seen.maps.sites],
        "draft": seen.draft,
        "draft_title": seen.draft_title,
        "drafts": [{"number": d.number, "title": d.title} for d in drafts_of(visit)],
        "may_draft": may,
        "format": seen.maps.language.format,
    }


def _row_facts(maps: Maps, m: MapDef, row: CellRow) -> dict[str, Any]:
    words = row.words
    named = field_name(maps, words.get("from", "") or words.get("by", ""))
    path = row.element.split("(")[0]
    known = element_paths(m.to) if row.depth == 0 and not definitions.is_primitive(m.to) else {}
    resource = m.to in definitions.resource_types()
    page = f"https://hl7.org/fhir/R4/{m.to.lower() if resource else 'datatypes'}.html" if known else ""
    return asdict(row) | {
        "named": named if maps.language.format == "hl7v2" else "",
        "definition": known.get(path, ""),
        "page": page,
    }


def _changes(seen: Seen, name: str) -> list[dict[str, str]]:
    """Return the rows that a draft changes."""
    if seen.draft is None or seen.maps is seen.live:
        return []
    before = None
    if seen.live.has(seen.site):
        before = seen.live.program(seen.site).resolved.get(name)
    after = seen.maps.program(seen.site).resolved.get(name)
    return [asdict(c) for c in changes(before, after)] if before or after else []


def _message_facts(visit: Visit, seen: Seen, m: MessageDef) -> dict[str, Any]:
    return _known(visit, seen, m.name) | {
        "map": m.name,
        "structure": m.structure,
        "served": ["^".join(t for t in trigger if t) for trigger in m.triggers],
        "file": m.place.file,
        "note": m.note.strip(),
        "resources": [
            {
                "name": r.name,
                "per": "/".join(r.per) or "message",
                "maps": list(r.rows),
                "when": condition_text(r.when),
                "links": [f"{'.'.join(path)}: {to}" for path, to in r.links],
                "layer": r.place.layer,
                "line": r.place.line,
            }
            for r in m.resources
        ],
        "mend": [text for text, _ in m.mend],
        "refuse": [text for text, _ in m.refuse],
        "ignore": list(m.ignore),
    }
