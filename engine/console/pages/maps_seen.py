"""Whose maps a page shows: a site's or the standard, in force or with a draft.

In: the address or the form of a visit. Out: a `Seen`; refusals where it names what is not there.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from engine.channels.drafts import OPEN, Drafts
from engine.channels.trying import Changed, Desk
from engine.console.answers import Refused
from engine.console.pages.bench_keep import changed_of
from engine.console.visit import Visit
from engine.mapping.languages import LANGUAGES
from engine.mapping.project import Maps

__all__ = ["Seen", "seen_of"]


@dataclass(slots=True)
class Seen:
    """Whose maps are looked at: a site's or the standard, in force or with a draft."""

    maps: Maps
    root: Path
    site: str
    draft: int | None
    draft_title: str
    live: Maps


def seen_of(visit: Visit, desk: Desk, name: str = "") -> Seen:
    """Read site and draft from the address or the form. Raises Refused."""
    given = visit.form if visit.method == "POST" else visit.query
    live, root = visit.hub.maps(), visit.hub.config.root
    draft, title, changed = None, "", Changed()
    if number := given.get("draft", "").strip():
        if not (number.isascii() and number.isdigit()):
            raise Refused(400, "The draft takes a number.")
        drafts = Drafts(visit.hub.config, visit.hub.staff)
        found = drafts.get(int(number))
        if found.state not in OPEN and visit.method == "POST":
            raise Refused(409, f"Draft {found.number} is {found.state}.", "Choose another, or begin one.")
        draft, title, changed = found.number, found.title, changed_of(drafts, found)
        root = changed.root or root
    maps = _holding(desk.maps(live, changed), name)
    site = given.get("site", "") or "standard"
    if not maps.has(site):
        raise Refused(404, f"There is no site {site}.", "Maps lists them.")
    return Seen(maps, root, site, draft, title, _holding(live, name))


def _holding(maps: Maps, name: str) -> Maps:
    """Return the maps of the format that has a map of this name; HL7 v2's where none has."""
    for format in LANGUAGES:
        one = maps.of(format)
        if name and (name in one.maps or name in one.messages):
            return one
    return maps
