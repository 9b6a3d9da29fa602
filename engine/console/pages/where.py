"""Where: what feeds X, what touches PID-18, who uses code K.

In: what somebody typed, sealed in the address of the answer. Out: places in channels, sites, maps and
tables with file and line, and senders. The codes that senders send are looked through only for who may see
bodies.
"""

from __future__ import annotations

from engine.channels.whereused import Use, where_used
from engine.console.answers import Goto, Page
from engine.console.door import Door
from engine.console.visit import Visit

__all__ = ["add"]


def _find(visit: Visit) -> Page:
    asked = str(visit.hub.unseal(visit.query["q"]).get("what", "")) if visit.query.get("q") else ""
    found: list[Use] = []
    if asked:
        channels = [c for c in visit.hub.channels() if visit.may("see.senders", c.name)]
        names = frozenset(n for n in visit.hub.channel_names() if visit.may("see.senders", n))
        codes = visit.person.everywhere("see.bodies")
        if codes:
            visit.saw("where", "senders", asked)
        found = where_used(asked, visit.hub.maps(), channels, visit.hub.staff.senders, names, codes)
    return Page("where.html", {"asked": asked, "found": found, "q": visit.query.get("q", "")}, "Where")


def add(door: Door) -> None:
    """Add the page."""

    @door.get("/where", needs="see.senders")
    def where(visit: Visit) -> Page:
        """Show where something is used."""
        return _find(visit)

    @door.post("/where", needs="see.senders")
    def ask(visit: Visit) -> Goto:
        """Ask: what was typed is sealed in the address of the answer."""
        what = visit.form.get("what", "").strip()[:100]
        return Goto(f"/where?q={visit.hub.seal({'what': what})}" if what else "/where")
