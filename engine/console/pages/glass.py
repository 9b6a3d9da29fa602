"""Break-glass: in an emergency somebody sees patient data that their roles do not show, for a while.

In: the channels, a reason in words. Out: the data is open for the time that the settings give; everybody who
looks after the hub is told, and every look is marked in the audit.
"""

from __future__ import annotations

from engine.console.answers import Answer, Goto, Page, Refused
from engine.console.door import Door
from engine.console.letting_in import renewed, session_of
from engine.console.visit import Visit

__all__ = ["add"]


def add(door: Door) -> None:
    """Add the pages."""

    @door.get("/glass", needs="break.glass")
    def glass(visit: Visit) -> Page:
        """Ask for the reason, or show what is open."""
        known = [c for c in visit.hub.channel_names() if not visit.person.by_role("see.bodies", c)]
        return Page(
            "glass.html",
            {
                "channels": known,
                "chosen": visit.query.get("channel", ""),
                "back": _inside(visit.query.get("back", "")),
                "open": list(visit.person.glass),
                "minutes": visit.hub.config.console.sign_in.glass_minutes,
            },
            "Break-glass",
        )

    @door.post("/glass", needs="break.glass")
    def break_glass(visit: Visit) -> Answer:
        """Open the data."""
        seat = visit.seat
        account = visit.hub.staff.accounts.numbered(seat.account) if seat is not None else None
        if account is None:
            raise Refused(409, "Only somebody with an account can break the glass.")
        channels = [c for c in visit.forms.get("channel", []) if c in visit.hub.channel_names()]
        if not channels:
            raise Refused(400, "No channel was chosen.")
        minutes = visit.hub.config.console.sign_in.glass_minutes
        broken = visit.hub.staff.glass.break_(account, channels, visit.form.get("reason", ""), minutes)
        visit.saw("break-glass", " ".join(f"channel/{c}" for c in channels), broken.reason)
        told = f"Open for {minutes} minutes. Everything you see is recorded as an emergency."
        cookie = visit.hub.staff.sessions.renew(session_of(visit))
        return Goto(_inside(visit.form.get("back", "")) or "/now", told, renewed(visit, cookie))

    @door.post("/glass/close", needs="break.glass")
    def close_glass(visit: Visit) -> Goto:
        """Close what the person has open."""
        seat = visit.seat
        closed = visit.hub.staff.glass.close(seat.account) if seat is not None else 0
        visit.saw("close-glass", "glass", str(closed))
        return Goto("/now", "Closed.")


def _inside(path: str) -> str:
    """Return a path of the console, nothing where it leads elsewhere."""
    inside = path.startswith("/") and not path.startswith(("//", "/\\")) and path.isprintable()
    return path if inside else ""
