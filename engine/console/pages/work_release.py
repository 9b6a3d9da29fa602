"""Fix once, release all: try a sample of a task's messages, run all again, see what changed; or close them.

In: the task, a reason, the word of the form. Out: what would become of a sample; a release with a page of its
own, which says of each message what became of it. A form that is sent twice is one release.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

from engine.channels.causes import words_of
from engine.channels.pipeline import Pipeline
from engine.channels.todo.tasks import Task
from engine.channels.todo.trying import Tried, sample_of, try_again
from engine.console.answers import Answer, Goto, Page, Refused
from engine.console.door import Door
from engine.console.pages.work import standing_of, task_of
from engine.console.visit import Visit
from engine.staff.releases import Release

__all__ = ["add", "pipeline_of"]

_PAGE = 100
_ALL = 10_000_000


def add(door: Door) -> None:
    """Add the pages."""

    @door.post("/work/{task}/try", needs="replay")
    def try_(visit: Visit) -> Answer:
        """Say what would become of a sample of the messages under today's maps."""
        task = _task(visit)
        ready = visit.hub.releasing().ready(task)
        tried = try_again(visit.hub.journal, visit.hub.store, pipeline_of(visit), sample_of(ready))
        visit.saw("work:try", f"task/{task.id}", " ".join(str(t.entry) for t in tried))
        facts = {"task": task.id, "count": len(ready), "tried": tried, "summary": _summary(tried)}
        return Page("work_tried_page.html", facts, "What would become of them", fragment="work_tried.html")

    @door.post("/work/{task}/release", needs="replay")
    def release(visit: Visit) -> Answer:
        """Let all messages of a task run again."""
        releasing = visit.hub.releasing()
        known = _known(visit)
        made = known or releasing.release(_task(visit), _form(visit), visit.person.name, _why(visit))
        releasing.start(made.number)
        return Goto(f"/work/releases/{made.number}")

    @door.post("/work/{task}/close", needs="replay")
    def close(visit: Visit) -> Answer:
        """Close what waits: nothing runs."""
        known = _known(visit)
        releasing = visit.hub.releasing()
        made = known or releasing.close(_task(visit), _form(visit), visit.person.name, _why(visit))
        return Goto(f"/work/releases/{made.number}")

    @door.get("/work/releases/{number}", needs="see.messages")
    def released(visit: Visit) -> Page:
        """Show what a release has led to, message by message."""
        return Page("work_release.html", _facts(visit), "Release", fragment="work_release_part.html")

    @door.post("/work/releases/{number}/go-on", needs="replay")
    def go_on(visit: Visit) -> Goto:
        """Go on with a release that was broken off."""
        found = _release(visit, "replay")
        visit.saw("work:go-on", f"release/{found.number}")
        visit.hub.releasing().start(found.number)
        return Goto(f"/work/releases/{found.number}")

    @door.post("/work/releases/{number}/reopen", needs="replay")
    def reopen(visit: Visit) -> Goto:
        """Take a closing back."""
        found = _release(visit, "replay")
        if found.kind != "close" or found.reopened is not None:
            raise Refused(409, "Only what is closed can be opened again.")
        count = visit.hub.releasing().reopen(found, visit.person.name, _why(visit))
        return Goto(f"/work/{found.task}", f"{count} messages wait again.")


def pipeline_of(visit: Visit) -> Pipeline:
    """Return the maps and channels as their files say now, ready to try messages."""
    return Pipeline(visit.hub.maps(), list(visit.hub.channels()), visit.hub.keyring.mac16)


def _task(visit: Visit) -> Task:
    standing_of(visit, "replay")
    found = task_of(visit)
    if found is None:
        raise Refused(409, "Nothing of this waits any more.", "Somebody has released or closed it.")
    return found


def _form(visit: Visit) -> str:
    form = visit.form.get("form", "").strip()
    if not form or len(form) > 64:
        raise Refused(400, "The form is not complete.", "Load the page again.")
    return form


def _why(visit: Visit) -> str:
    why = " ".join(visit.form.get("why", "").split())[:500]
    if not why:
        raise Refused(400, "It needs a reason.", "Say in a few words what was mended or decided.")
    return why


def _known(visit: Visit) -> Release | None:
    """Return the release that this form has led to already."""
    found = visit.hub.staff.releases.of_form(_form(visit))
    if found is not None:
        visit.require("replay", found.channel)
    return found


def _release(visit: Visit, permission: str) -> Release:
    number = visit.path["number"]
    found = visit.hub.staff.releases.get(int(number)) if number.isdecimal() and len(number) < 16 else None
    if found is None:
        raise Refused(404, "There is no such release.")
    visit.require(permission, found.channel)
    return found


def _summary(tried: list[Tried]) -> list[dict[str, Any]]:
    """Return how many of the sample would end how, the most frequent first."""
    counts = Counter((t.status, t.cause, t.flags) for t in tried)
    return [
        {
            "count": count,
            "status": status,
            "cause": cause,
            "title": words_of(cause).title if cause else "",
            "flags": [words_of(flag, parked=False).title for flag in flags],
        }
        for (status, cause, flags), count in counts.most_common()
    ]


def _facts(visit: Visit) -> dict[str, Any]:
    release = _release(visit, "see.messages")
    hub = visit.hub
    lines = hub.staff.releases.lines(release.number, limit=_ALL)
    runs = [replay or entry for entry, replay in lines]
    states = hub.store.waiting.states(runs)
    show = visit.query.get("show", "")
    if show:
        lines = [line for line in lines if _word(line, states, release) == show]
    after = visit.query.get("after", "")
    rest = [line for line in lines if line[0] > int(after)] if after.isdecimal() else lines
    page = rest[:_PAGE]
    outcomes = hub.store.waiting.outcomes([replay or entry for entry, replay in page])
    readable = visit.may("see.bodies", release.channel)
    if readable and not visit.htmx:  # the part that follows what happens has no reason in it
        visit.saw("work:release", f"release/{release.number}")
    progress = hub.releasing().progress(release)
    at_work = hub.releasing().at_work(release.number)
    return {
        "number": release.number,
        "task": release.task,
        "kind": release.kind,
        "channel": release.channel,
        "heading": words_of(release.cause).title,
        "place": release.place,
        "gap": release.gap,
        "who": release.who,
        "at": release.at,
        "reason": release.reason if readable else "",
        "entries": release.entries,
        "held_back": release.held_back,
        "reopened": release.reopened,
        "progress": progress,
        "running": progress.running,
        "broken_off": release.ended is None and not at_work,
        "live": release.kind == "release" and (at_work or progress.running > 0),
        "show": show,
        "lines": [
            {
                "entry": entry,
                "run": replay or None,
                "state": _word((entry, replay), states, release),
                "cause": (made.cause if (made := outcomes.get(replay or entry)) is not None else ""),
                "title": words_of(made.cause).title if made is not None and made.cause else "",
                "where": made.where if made is not None else "",
                "written": made.written if made is not None else 0,
                "superseded": made.superseded if made is not None else 0,
            }
            for entry, replay in page
        ],
        "more": page[-1][0] if len(rest) > _PAGE else None,
    }


def _word(line: tuple[int, int | None], states: dict[int, str], release: Release) -> str:
    """Say how one message of a release stands."""
    replay = line[1]
    if release.kind == "close":
        return "waits again" if release.reopened else "closed"
    if replay is None:
        return "not yet asked"
    if replay == 0:
        return "body gone"
    return {"": "running", "parked": "parked again"}.get(
        states.get(replay, ""), states.get(replay, "running")
    )
