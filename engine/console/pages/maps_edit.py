"""Editing maps by cell and by workbook: what somebody writes in the grid becomes a delta in a draft.

In: a row's words from a form, or an edited workbook. Out: the site's file, or the map's own, in a draft,
every other line as it was, proved to say just that. Nobody's live maps change here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from engine.channels.celledit import Written, add_row, drop_row, edit_row
from engine.channels.drafts import Drafts
from engine.channels.sheetbook import read_book
from engine.channels.sheetedits import edits_of
from engine.channels.trying import ALONE, Desk
from engine.console.answers import Answer, Goto, Page
from engine.console.door import Door
from engine.console.pages.bench_scene import drafts_of
from engine.console.pages.maps_seen import Seen, seen_of
from engine.console.visit import Visit
from engine.kernel.errors import HubError

__all__ = ["WORDS", "add"]

WORDS = (
    *("from", "as", "code", "unmapped", "by", "each", "split", "make", "when", "skip", "flag", "work"),
    *("assumed", "comment"),
)
"""The words of a row that the grid's form has, in its order."""
_BOOK = 16 << 20  # bytes of a workbook

Made = Callable[[Seen], Written]


class Editing:
    """What the forms of a sheet are sent to."""

    def __init__(self, desk: Desk) -> None:
        self.desk = desk

    def cell(self, visit: Visit) -> Answer:
        """Write the words of one row."""
        form, name = visit.form, visit.path["name"]
        words = {w: form[w] for w in WORDS if w in form}

        def made(seen: Seen) -> Written:
            return edit_row(
                seen.root, seen.maps, seen.site, name, form.get("spot", ""), words, form.get("stamp", "")
            )

        return self._written(visit, name, made)

    def row(self, visit: Visit) -> Answer:
        """Add a row."""
        form, name = visit.form, visit.path["name"]
        return self._written(
            visit,
            name,
            lambda seen: add_row(
                seen.root,
                seen.maps,
                seen.site,
                name,
                form.get("element", ""),
                form.get("from", ""),
                form.get("stamp", ""),
            ),
        )

    def drop(self, visit: Visit) -> Answer:
        """Take a row out; of a site's view it is skipped."""
        form, name = visit.form, visit.path["name"]
        return self._written(
            visit,
            name,
            lambda seen: drop_row(
                seen.root, seen.maps, seen.site, name, form.get("spot", ""), form.get("stamp", "")
            ),
        )

    def _written(self, visit: Visit, name: str, make: Made) -> Answer:
        seen = seen_of(visit, self.desk, name)
        with ALONE:
            made = make(seen)
        if not made.edits:
            return Goto(_address(name, seen.site, seen.draft), "Nothing is otherwise than it was.")
        number = self._into_draft(visit, seen.draft, f"{name} as {seen.site}", made.texts)
        what = "; ".join(f"{e.element} {e.word}" for e in made.edits[:3])
        return Goto(_address(name, seen.site, number), f"In draft {number}: {what}.")

    def _into_draft(self, visit: Visit, number: int | None, title: str, texts: dict[str, str]) -> int:
        """Put texts into a draft, begun here where none was chosen."""
        drafts, who = Drafts(visit.hub.config, visit.hub.staff), visit.person.name
        if number is None:
            number = drafts.begin(title, who).number
            visit.saw("draft-begun", f"draft/{number}")
        for path, text in sorted(texts.items()):
            drafts.put(number, path, text, who)
            visit.saw("draft-written", f"draft/{number}", path)
        return number

    def import_page(self, visit: Visit) -> Answer:
        """Ask for an edited workbook."""
        return self._import(visit)

    def _import(self, visit: Visit, problem: str = "", edits: Any = ()) -> Page:
        facts = {
            "problem": problem,
            "edits": list(edits),
            "drafts": [{"number": d.number, "title": d.title} for d in drafts_of(visit)],
            "sites": ["standard", *visit.hub.maps().sites],
            "draft": visit.form.get("draft", ""),
            "to": visit.form.get("to", ""),
        }
        return Page("maps_import.html", facts, "Import a sheet")

    def take_in(self, visit: Visit) -> Answer:
        """Take the edits of a workbook into a draft, row by row."""
        upload = visit.files.get("book")
        if upload is None or not upload.body:
            return self._import(visit, "Choose the workbook first.")
        seen = seen_of(visit, self.desk)
        to = visit.form.get("to", "")
        site, standard = ("", True) if to == "standard" else (to, False)
        try:
            grids = read_book(upload.body, upload.name)
            found = edits_of(seen.root, seen.maps, grids, upload.name, site, standard)
            if found.nowhere:
                return self._import(visit, "Say where the edits go: a site, or the standard.", found.edits)
            if not found.edits:
                return self._import(visit, "The workbook says what the maps say: nothing to take in.")
            with ALONE:
                texts = found.texts(seen.root, seen.maps)
        except HubError as e:
            return self._import(visit, str(e))
        title = visit.form.get("title", "").strip() or f"sheet {upload.name}"[:180]
        number = self._into_draft(visit, seen.draft, title, texts)
        facts = {"edits": found.edits, "draft": number, "files": sorted(texts), "site": found.site}
        return Page("maps_imported.html", facts, "Imported")


def add(door: Door, desk: Desk) -> None:
    """Add what forms are sent to."""
    editing = Editing(desk)
    door.get("/maps/import", needs="draft", twin=False)(editing.import_page)
    door.post("/maps/import", needs="draft", most=_BOOK)(editing.take_in)
    door.post("/maps/{name}/cell", needs="draft")(editing.cell)
    door.post("/maps/{name}/row", needs="draft")(editing.row)
    door.post("/maps/{name}/drop", needs="draft")(editing.drop)


def _address(name: str, site: str, draft: int | None) -> str:
    query = f"?site={quote(site)}" + (f"&draft={draft}" if draft else "")
    return f"/maps/{quote(name)}{query}"
