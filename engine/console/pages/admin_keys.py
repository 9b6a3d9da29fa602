"""Keys of programs: who reads records, images and the feed without a person, since when, and until when.

In: forms. Out: keys, each shown once when it is made; the hub keeps a hash only.
"""

from __future__ import annotations

from engine.console.answers import Answer, Goto, Page, Refused
from engine.console.door import Door
from engine.console.letting_in import fresh
from engine.console.visit import Visit
from engine.kernel.clock import now_ms
from engine.security.scopes import OWN

__all__ = ["add"]

_LONGEST = 3660  # days


def add(door: Door) -> None:
    """Add the pages."""

    @door.get("/admin/keys", needs="admin.keys")
    def keys(visit: Visit) -> Page:
        """Show the keys there are."""
        now = now_ms()
        lines = [
            {
                "name": k.name,
                "scopes": list(k.scopes),
                "channels": list(k.channels),
                "made": k.made,
                "made_by": k.made_by,
                "expires": k.expires,
                "used": k.used,
                "state": k.state(now),
                "revoked": k.revoked,
                "revoked_by": k.revoked_by,
            }
            for k in visit.hub.staff.keys.all()
        ]
        return Page("admin_keys.html", {"keys": lines, "own": list(OWN)}, "Keys of programs")

    @door.post("/admin/keys", needs="admin.keys")
    def new(visit: Visit) -> Answer:
        """Make a key and show it, once."""
        if first := fresh(visit):
            return first
        form = visit.form
        days = form.get("days", "365")
        if days != "never" and not (days.isascii() and days.isdigit() and 1 <= int(days[:6]) <= _LONGEST):
            raise Refused(400, "Say for how many days.")
        made, text = visit.hub.staff.keys.add(
            form.get("name", "").strip(),
            form.get("scopes", "").replace(",", " ").split(),
            visit.person.name,
            channels=form.get("channels", "").replace(",", " ").split() or ("*",),
            days=None if days == "never" else int(days),
        )
        visit.saw("key:add", f"key/{made.name}", " ".join(made.scopes))
        return Page(
            "admin_key.html",
            {"name": made.name, "text": text},
            "A key, shown once",
            headers={"Cache-Control": "no-store"},
        )

    @door.post("/admin/keys/{name}/revoke", needs="admin.keys")
    def revoke(visit: Visit) -> Answer:
        """Take a key back."""
        name = visit.path["name"]
        visit.hub.staff.keys.revoke(name, visit.person.name)
        visit.saw("key:revoke", f"key/{name}")
        return Goto("/admin/keys", f"The key {name} opens nothing any more.")
