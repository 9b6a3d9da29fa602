"""Replay of one message: always tried first, shown, then asked for with a reason, once.

In: the number of an entry, the maps in force or a draft's. Out: the dry run with every difference; a form
whose sealed token says what was shown, so that nobody approves anything else: where a message, a map or a
table has changed since, the dry run is shown anew instead. A second click leads to the first one's replay.
"""

from __future__ import annotations

import secrets
from typing import Any

from engine.channels.message.rehearsing import DryRun
from engine.channels.message.wrote import tried
from engine.channels.replay import ask_replay, due_replays
from engine.console.answers import Answer, Goto, Page, Refused
from engine.console.door import Door
from engine.console.pages.message import Opened, opened, page_of
from engine.console.pages.message_desk import Desk
from engine.console.visit import Visit
from engine.kernel.errors import HubError

__all__ = ["add", "once", "reason_of", "sealed_run", "told", "unsealed_run"]

SHORTEST, LONGEST = 3, 500  # characters of a reason


def sealed_run(visit: Visit, run: DryRun, **more: Any) -> str:
    """Return the token of a form that approves a dry run."""
    once = secrets.token_urlsafe(16)
    return visit.hub.seal({"entry": run.entry, "digest": run.digest, "once": once, **more})


def unsealed_run(visit: Visit, entry: int) -> dict[str, Any]:
    """Return what a form approves. Raises Refused where it is not of this entry."""
    words = visit.hub.unseal(visit.form.get("token", ""))
    if words.get("entry") != entry or not words.get("once"):
        raise Refused(400, "This form belongs to another message.", "Load the page again.")
    return words


def reason_of(visit: Visit) -> str:
    """Return the reason that a form gives. Raises Refused."""
    why = " ".join(visit.form.get("why", "").split())
    if not SHORTEST <= len(why) <= LONGEST:
        raise Refused(400, f"Say why, in {SHORTEST} to {LONGEST} characters.")
    return why


def once(visit: Visit, token: str) -> Goto | None:
    """Take a form; None the first time, else where the first one led."""
    before = visit.hub.staff.once.begin(token)
    if before is None:
        return None
    if before.result:
        return Goto(before.result, "This was asked for already; here it is.")
    raise Refused(409, "This form was sent already, and how it ended is not known.", "The timeline shows it.")


def _facts(visit: Visit, desk: Desk, one: Opened, draft: int) -> dict[str, Any]:
    hub, number = visit.hub, one.about.entry
    facts: dict[str, Any] = {
        "draft": draft, "drafts": desk.drafts(visit), "run": None, "versions": [], "token": "",
        "why_not": one.problem, "changed": False, "waiting": due_replays(hub.journal, hub.store).get(number),
    }  # fmt: skip
    if one.body is None:
        return facts
    try:
        run = desk.tries.run(number, desk.pipeline(hub, draft))
    except HubError as e:
        return facts | {"why_not": str(e)}
    token = sealed_run(visit, run) if not draft else ""
    return facts | {"run": run, "versions": tried(run.changes), "token": token}


def add(door: Door) -> None:
    """Add the pages."""
    desk = Desk.of(door)

    @door.get("/message/{entry:int}/replay", needs="replay")
    def replay(visit: Visit) -> Page:
        """Try the replay of a message, and show what it would do."""
        one = opened(visit, "message:dry-run")
        visit.require("replay", one.about.channel)
        draft = desk.draft_of(visit, visit.query.get("maps", ""))
        facts = _facts(visit, desk, one, draft)
        if isinstance(facts["run"], DryRun):
            facts["run"] = told(facts["run"])
        return page_of(visit, one, "replay", **facts)

    @door.post("/message/{entry:int}/replay", needs="replay")
    def ask(visit: Visit) -> Answer:
        """Ask for the replay that was shown."""
        one = opened(visit, "message:dry-run")
        about = one.about
        visit.require("replay", about.channel)
        visit.require("see.bodies", about.channel)
        words, why = unsealed_run(visit, about.entry), reason_of(visit)
        if led := _led(visit, str(words["once"])):
            return led
        facts = _facts(visit, desk, one, 0)
        run = facts["run"]
        if not isinstance(run, DryRun):
            raise Refused(409, facts["why_not"] or "It cannot be run again.")
        if run.digest != words["digest"]:
            facts["run"] = told(run)
            page = page_of(visit, one, "replay", **(facts | {"changed": True}))
            page.status = 409
            return page
        if first := once(visit, str(words["once"])):
            return first
        return _asked(visit, about.entry, str(words["once"]), why)


def _led(visit: Visit, token: str) -> Goto | None:
    """Return where a form led that was sent before, without taking it."""
    before = visit.hub.staff.once.look(token)
    return (
        Goto(before.result, "This was asked for already; here it is.") if before and before.result else None
    )


def _asked(visit: Visit, entry: int, token: str, why: str) -> Goto:
    hub = visit.hub
    try:
        made = ask_replay(hub.journal, entry, visit.person.name, why)
    except HubError:
        hub.staff.once.undo(token)  # nothing was appended: it may be sent again
        raise
    hub.staff.once.end(token, f"/message/{made.id}")
    visit.saw("message:replay", f"entry/{entry}", f"{made.id}: {why}")
    return Goto(f"/message/{made.id}", f"Replay {made.id} of {entry} is asked for.")


def told(run: DryRun) -> dict[str, Any]:
    """Return a dry run for a page, without the bodies its versions show already."""
    names = (
        "entry",
        "state",
        "was",
        "cause",
        "where",
        "text",
        "revision",
        "unchanged",
        "superseded",
        "later",
    )
    return {name: getattr(run, name) for name in names} | {
        "flags": list(run.flags),
        "changes": len(run.changes),
        "quiet": run.quiet,
    }
