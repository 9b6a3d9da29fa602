"""The list of codes as files: out for a spreadsheet or another terminology tool, and back in as drafts.

In: filters, a file. Out: a file of what the person may see; or what an import would do, and drafts once
somebody is sure. A cell that a spreadsheet has changed stops the import with its line; nothing is approved by
it.
"""

from __future__ import annotations

from typing import Any

from engine.channels.codebook import STATES, Imported, import_lines, lines_in, media_of, written
from engine.console.answers import Answer, Download, Goto, Page, Refused
from engine.console.codelines import Senders
from engine.console.door import Door
from engine.console.visit import Visit

__all__ = ["add"]

_MOST = 8 << 20
_FORMS = ("xlsx", "csv", "usagi.csv", "json")


def add(door: Door) -> None:
    """Add the pages."""

    @door.get("/codes/lists", needs="see.maps")
    def lists(visit: Visit) -> Page:
        """Show how the list goes out and comes back."""
        return Page("codes_lists.html", _facts(visit), "Export, import")

    @door.post("/codes/export", needs="export")
    def export(visit: Visit) -> Answer:
        """Give the codes that the person may see as a file."""
        state, form = visit.form.get("state", "all"), visit.form.get("form", "xlsx")
        if state not in (*STATES, "all") or form not in _FORMS:
            raise Refused(400, "Choose a state and a form.")
        senders, sender = Senders(visit), visit.form.get("sender", "")
        work = visit.hub.worklist()
        found = [
            s
            for s in work.sightings(STATES if state == "all" else (state,))
            if sender in ("", s.sender)
            and senders.may("export", s.sender)
            and senders.may("see.bodies", s.sender)
        ]
        name = f"codes.{form}"
        visit.saw("codes:export", "codes", f"{len(found)} to {name}: {' '.join(str(s.id) for s in found)}")
        return Download(written(work, found, name, sender), media_of(name), name)

    @door.post("/codes/import", needs="codes.propose", most=_MOST)
    def import_(visit: Visit) -> Answer:
        """Say what a file would do, or make drafts of it."""
        given = visit.files.get("file")
        if given is None or not given.body:
            raise Refused(400, "Choose a file.")
        senders, work = Senders(visit), visit.hub.worklist()
        lines = lines_in(work, given.body, given.name)
        sure = visit.form.get("sure") == "yes"
        visit.saw("codes:import", "codes", f"{len(lines)} lines of {given.name}{'' if sure else ', tried'}")
        made = import_lines(
            work,
            lines,
            given.name,
            visit.person.name,
            sender=visit.form.get("sender", "").strip(),
            field=visit.form.get("field", "").strip() or "OBX-3",
            dry_run=not sure,
            allowed=lambda one: senders.may("codes.propose", one) and senders.may("see.bodies", one),
        )
        if sure and not made.refused:
            return Goto("/codes?tab=draft", f"{made.draft} drafts made, {made.same} said what stands.")
        return Page("codes_lists.html", _facts(visit, made, sure), "Export, import")


def _facts(visit: Visit, made: Imported | None = None, sure: bool = False) -> dict[str, Any]:
    senders = Senders(visit)
    known = sorted({s.sender for s in visit.hub.store.gaps.all() if senders.listed(s.sender)})
    return {"senders": known, "states": ["all", *STATES], "forms": _FORMS, "made": made, "sure": sure}
