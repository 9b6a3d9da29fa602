"""Replay of many: a channel, a day, what a search found. Tried over all of them first, then released.

In: a selection by channel, time and state, or a list of entries that another page gives. Out: a dry run on
its way, with progress, counts and groups of differences; the release of those that would come out different,
in the order of origins, with a reason, once. Groups name elements and entries, never a value.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import Any

from engine.channels.message.many import MOST
from engine.channels.message.running import Run
from engine.console.answers import Answer, Goto, Page, Refused
from engine.console.door import Door
from engine.console.pages.find import wanted
from engine.console.pages.find_keep import MOST as FOUND
from engine.console.pages.find_keep import entries_of
from engine.console.pages.message_desk import Desk
from engine.console.pages.replay import once, reason_of
from engine.console.visit import Visit
from engine.journal.search import Filters, Line

__all__ = ["add"]

STATES = ("", "parked", "done")
_PAGE = 500
_GROUPS = 200


def _lines(visit: Visit, form: dict[str, str]) -> Iterator[Line]:
    """Give the messages of a selection, oldest first; replays are left out: their origins stand for them."""
    search = visit.hub.journal.search
    since, until = _moment(form.get("since", "")), _moment(form.get("until", ""))
    if since is None:
        raise Refused(400, "Say from when on.")
    filters = Filters(channel=form.get("channel") or None, since=since, until=until)
    after = 0
    while True:
        page = search.page(filters, after=after, limit=_PAGE)
        yield from (line for line in page if line.kind in ("message", "refused") and not line.deleted)
        if len(page) < _PAGE:
            return
        after = page[-1].id


def _moment(text: str) -> int | None:
    """Read the time of a form, in UTC. Raises Refused."""
    if not text.strip():
        return None
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise Refused(400, f"{text[:40]} is no time.", "Write 2026-05-01 or 2026-05-01T08:00.") from None
    return int((found if found.tzinfo else found.replace(tzinfo=UTC)).timestamp() * 1000)


def _chosen(visit: Visit) -> tuple[list[int], str]:
    """Return the entries that a form asks for, and what they are called. Raises Refused."""
    if visit.form.get("t"):  # what a search found; its words stay sealed
        found = entries_of(visit, wanted(visit).q, "replay")
        title = "what a search found" if len(found) < FOUND else f"the newest {FOUND:,} that a search found"
        return _permitted(visit, visit.hub.journal.search.lines(found)), title
    given = [n for text in visit.forms.get("entries", []) for n in text.replace(",", " ").split()]
    if given:
        if not all(n.isdigit() for n in given):
            raise Refused(400, "entries= takes numbers of entries.")
        lines = visit.hub.journal.search.lines(sorted({int(n) for n in given})[: MOST + 1])
        title = visit.form.get("title", "")[:120] or "chosen messages"
    else:
        lines = list(islice(_lines(visit, dict(visit.form)), MOST + 1))
        title = " ".join(
            filter(None, (visit.form.get("channel"), visit.form.get("since"), visit.form.get("until")))
        )
    return _permitted(visit, lines), title


def _permitted(visit: Visit, lines: Sequence[Line]) -> list[int]:
    """Return those that the person may run again, in the order of their places. Raises Refused."""
    if len(lines) > MOST:
        raise Refused(400, f"These are more than {MOST:,} messages.", "Choose a shorter time or one channel.")
    mine = [x for x in lines if visit.may("replay", x.channel) and visit.may("see.bodies", x.channel)]
    mine = [x for x in mine if x.kind != "answer" and not x.deleted]
    state = visit.form.get("state", "")
    if state not in STATES:
        raise Refused(400, "state= takes parked or done.")
    numbers = [x.id for x in sorted(mine, key=lambda x: (x.position, x.id))]
    if state:
        known = visit.hub.store.outcomes_of(numbers)
        numbers = [n for n in numbers if n in known and known[n].status == state]
    if not numbers:
        raise Refused(404, "No message fits, or none that you may run again.")
    return numbers


def _facts(run: Run) -> dict[str, Any]:
    found = run.result
    groups = found.sorted_groups()
    return {
        "token": run.token,
        "called": run.title,
        "draft": run.draft,
        "entries": len(found.entries),
        "done": found.done,
        "ended": found.ended,
        "problem": found.problem,
        "quiet": found.quiet,
        "changing": len(found.changing),
        "parked": [{"cause": c, "count": len(n), "entries": n[:5]} for c, n in sorted(found.parked.items())],
        "unreadable": len(found.unreadable),
        "revisions": dict(found.revisions),
        "resources": found.resources,
        "groups": [
            {"element": g.element, "kind": g.kind, "count": g.count, "samples": list(g.samples)}
            for g in groups[:_GROUPS]
        ],
        "more_groups": max(0, len(groups) - _GROUPS),
        "release": run.release_state,
        "asked": run.asked,
        "release_problem": run.release_problem,
    }


def add(door: Door) -> None:
    """Add the pages."""
    desk = Desk.of(door)

    @door.get("/replay", needs="replay")
    def choose(visit: Visit) -> Page:
        """Choose what is to be run again."""
        channels = [name for name in visit.hub.channel_names() if visit.may("replay", name)]
        return Page(
            "replay_choose.html", {"channels": channels, "drafts": desk.drafts(visit), "most": MOST}, "Replay"
        )

    @door.post("/replay", needs="replay")
    def begin(visit: Visit) -> Answer:
        """Begin to try the replay of many."""
        draft = desk.draft_of(visit, visit.form.get("maps", ""))
        numbers, title = _chosen(visit)
        run = desk.runs.begin(numbers, desk.pipeline(visit.hub, draft), visit.person.name, title, draft)
        visit.saw("replay:dry-run", "messages", f"{len(numbers)}: {numbers[0]} to {numbers[-1]}")
        desk.runs.wait(run, 0.3)  # of a few the first page has it all
        return Goto(f"/replay/{run.token}")

    def of(visit: Visit) -> Run:
        run = desk.runs.get(visit.path["run"], visit.person.name)
        if run is None:
            raise Refused(404, "This dry run is not kept any more.", "Begin it again at /replay.")
        return run

    @door.get("/replay/{run}", needs="replay")
    def look(visit: Visit) -> Page:
        """Show how a replay of many goes."""
        return Page("replay_many.html", _facts(of(visit)), "Replay", fragment="replay_part.html")

    @door.post("/replay/{run}/stop", needs="replay")
    def stop(visit: Visit) -> Answer:
        """Stop a dry run."""
        run = of(visit)
        run.stopped.set()
        desk.runs.wait(run, 5)
        return Goto(f"/replay/{run.token}", "Stopped.")

    @door.post("/replay/{run}/release", needs="replay")
    def release(visit: Visit) -> Answer:
        """Ask for the replays of those that would come out different."""
        run, why = of(visit), reason_of(visit)
        if run.draft:
            raise Refused(409, "This was tried with a draft: bring it live first, then try again.")
        if not run.result.ended or run.result.problem:
            raise Refused(409, "The dry run has not come to its end.")
        lines = visit.hub.journal.search.lines(run.result.changing)
        for channel in {line.channel for line in lines}:
            visit.require("replay", channel)
        if not lines:
            raise Refused(409, "Nothing would come out different: there is nothing to release.")
        if once(visit, f"release {run.token}"):
            return Goto(f"/replay/{run.token}", "This was released already.")
        numbers = run.result.changing
        visit.saw("replay:release", "messages", f"{why}: {' '.join(map(str, numbers[:500]))}")
        visit.hub.staff.once.end(f"release {run.token}", f"/replay/{run.token}")
        desk.runs.release(run, visit.hub.journal, visit.hub.store, why)
        desk.runs.wait(run, 1)
        return Goto(f"/replay/{run.token}", f"{len(numbers):,} replays are being asked for.")
