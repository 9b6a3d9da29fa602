"""Find: one box over all channels, a page of hits, what was understood, what would have to be opened.

In: a search as it is typed, posted so that no address ever holds it; links carry it sealed. Out: hits that
the person may see, with the patient for whom they may; how it was read; the number of messages that would
have to be opened, and those opened, five hundred at a time, when the person says so.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from engine.channels.alternatives import is_private
from engine.channels.asked import All, Asked, conditions, in_words
from engine.channels.asking import BadQuery, read_query
from engine.channels.causes import words_of
from engine.channels.finding import Finder, Hits, Look
from engine.channels.relaxing import hints, wider
from engine.console.answers import Goto, Page, Refused
from engine.console.door import Door
from engine.console.visit import Visit
from engine.staff.searches import Saved

__all__ = ["Wanted", "add", "audited", "finder_of", "saved_for", "wanted"]

_LIMIT, _OPENED = 50, 500
_PLAIN = ("channel", "type", "sender", "cause", "state", "kind")
"""What a link from another page may ask for in the open: it says nothing of a patient."""


@dataclass(slots=True)
class Wanted:
    """What a link or a form asks for."""

    q: str = ""
    below: int | None = None
    look: bool = False
    opened: int = 0  # in the looks before
    found: int = 0
    stopped: bool = False
    total: int = 0  # messages to open, as far as they were counted
    over: bool = False  # at least so many
    saved: Saved | None = None


def wanted(visit: Visit) -> Wanted:
    """Read what is asked for. Raises Refused where a sealed search is about patients and the person may
    not look for those.
    """
    if token := visit.query.get("t") or visit.form.get("t"):
        words = visit.hub.unseal(token)
        made = Wanted(
            *(str(words.get("q", "")), words.get("below"), bool(words.get("look"))),
            *(int(words.get("opened", 0)), int(words.get("found", 0)), bool(words.get("stopped"))),
            *(int(words.get("total", 0)), bool(words.get("over"))),
        )
        _mine(visit, made.q, str(words.get("who", "")))
        return made
    if number := visit.query.get("saved"):
        saved = visit.hub.staff.searches.get(int(number) if number.isdecimal() else 0, visit.person.name)
        _mine(visit, saved.query, saved.owner)
        return Wanted(saved.query, saved=saved)
    return Wanted(" ".join(f'{k}:"{v}"' for k in _PLAIN if (v := visit.query.get(k, "").replace('"', ""))))


def _mine(visit: Visit, query: str, who: str) -> None:
    if who != visit.person.name and not visit.may("see.bodies") and private(query):
        raise Refused(
            403,
            "This search is about patients, whose messages your roles do not show.",
            "Whoever gave you the link can tell you the number of the message.",
        )


def private(query: str) -> bool:
    """Say whether a search may name a patient."""
    try:
        return any(is_private(one) for one in conditions(read_query(query, datetime.now())))
    except BadQuery:
        return True


def finder_of(visit: Visit, permission: str = "") -> Finder:
    """Return what finds for this person; with a permission only what that covers too."""

    def sees(channel: str) -> bool:
        return visit.may("see.messages", channel) and (not permission or visit.may(permission, channel))

    return Finder(visit.hub.journal, visit.hub.store, sees, lambda channel: visit.may("see.bodies", channel))


def audited(visit: Visit, action: str, query: str, entries: list[int]) -> None:
    """Note a search and what it showed; its rows name those messages."""
    for at in range(0, max(1, len(entries)), 1500):
        visit.saw(action, "messages", f"{query}: {' '.join(map(str, entries[at : at + 1500]))}")


def saved_for(visit: Visit) -> list[Saved]:
    """Return the saved searches that the person may see: shared ones about patients only with the right."""
    found = visit.hub.staff.searches.of(visit.person.name)
    phi = visit.may("see.bodies")
    return [one for one in found if one.owner == visit.person.name or phi or not private(one.query)]


def _token(visit: Visit, w: Wanted, **more: Any) -> str:
    words = {"q": w.q, "look": w.look, "opened": w.opened, "found": w.found, "who": visit.person.name}
    words |= {"total": w.total, "over": w.over} if w.look else {}
    return visit.hub.seal(words | more)


def _facts(visit: Visit, w: Wanted) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "q": w.q,
        "problem": None,
        "understood": "",
        "hits": [],
        "asked": bool(w.q.strip()),
        "first": w.below is None,
        "saved": saved_for(visit),
        "this": w.saved,
        "me": visit.person.name,
        "zone": datetime.now().astimezone().tzname() or "local time",
        "titles": {},
        "local": {},
        "patients": visit.may("see.bodies"),
        "token": _token(visit, w),
        "look": w.look,
        "stopped": w.stopped,
        "total": w.total,
        "over": w.over,
        "wider": [],
        "hints": [],
        "links": {"on": "", "stop": "", "look": ""},
    }
    try:
        asked: Asked = read_query(w.q, datetime.now().replace(microsecond=0)) if w.q.strip() else All(())
        finder = finder_of(visit)
        look = Look(_OPENED) if w.look and not w.stopped else None
        found = (
            Hits() if w.stopped else finder.find(asked, below=w.below, limit=_LIMIT, look=look, patients=True)
        )
    except BadQuery as e:
        at = max(0, min(e.at, len(w.q)))
        return facts | {"problem": {"what": e.what, "remedy": e.remedy, "at": at}, "found": Hits()}
    facts |= {"understood": in_words(asked), "found": found, "hits": found.hits}
    facts["local"] = {
        hit.entry: f"{datetime.fromtimestamp(hit.at / 1000):%Y-%m-%d %H:%M:%S}" for hit in found.hits
    }
    facts["titles"] = {hit.cause: words_of(hit.cause).title for hit in found.hits if hit.cause}
    opened, count = w.opened + found.opened * w.look, w.found + len(found.hits)
    facts |= {"opened": opened, "count": count, "links": _links(visit, w, found, opened, count)}
    if facts["asked"] and not found.hits and w.below is None and found.next is None:
        facts |= {"wider": _wider(visit, asked, finder), "hints": hints(asked)}
    if facts["asked"] or any(hit.patient or hit.number for hit in found.hits):
        audited(visit, "find", w.q, [hit.entry for hit in found.hits])
    return facts


def _links(visit: Visit, w: Wanted, found: Hits, opened: int, count: int) -> dict[str, str]:
    """Return the links of a page: on, stop, look into the messages."""
    links = {"on": "", "stop": "", "look": ""}
    below = found.next if not w.stopped else w.below
    if below is not None:
        so_far = {"below": below, "opened": opened, "found": count}
        links["on"] = f"/find?t={_token(visit, w, **so_far)}"
        if w.look:
            links["stop"] = f"/find?t={_token(visit, w, **so_far, stopped=True)}"
    if found.to_look:
        counted = {"total": found.to_look, "over": found.more_to_look}
        links["look"] = f"/find?t={_token(visit, w, look=True, opened=0, found=0, **counted)}"
    return links


def _wider(visit: Visit, asked: Asked, finder: Finder) -> list[dict[str, str]]:
    return [
        {"without": one.without, "link": f"/find?t={_token(visit, Wanted(one.query))}"}
        for one in wider(asked, finder)
    ]


def add(door: Door) -> None:
    """Add the pages."""

    @door.get("/find", needs="see.messages")
    def find(visit: Visit) -> Page:
        """Show what a search finds."""
        return Page("find.html", _facts(visit, wanted(visit)), "Find", fragment="find_rows.html")

    @door.post("/find", needs="see.messages")
    def ask(visit: Visit) -> Goto:
        """Take a search over into a link that does not show it."""
        q = visit.form.get("q", "")[:2000].strip()
        return Goto(f"/find?t={_token(visit, Wanted(q))}" if q else "/find")
