"""Work: what waits for a person, by cause; who does it, until when it sleeps, what was said of it.

In: the to-do list, notes. Out: the list (mine, all, snoozed), a page for each task, the count that the
navigation shows. The page of a task stays when nothing waits any more: its notes and releases are what the
next one with the same cause wants to read.
"""

from __future__ import annotations

import hashlib
import secrets
from typing import Any

from engine.channels.causes import words_of
from engine.channels.todo.tasks import Task
from engine.console.answers import Answer, Goto, Page, Refused
from engine.console.door import Door
from engine.console.visit import Visit
from engine.console.worklines import about, ago_choices, rows_of, seen
from engine.kernel.clock import now_ms
from engine.staff.notes import About, Note, Standing

__all__ = ["add", "standing_of", "task_of"]

_PAGE = 100
_MOST_TEXT = 4000
TABS = (("all", "All"), ("mine", "Mine"), ("free", "Nobody's"), ("snoozed", "Snoozed"))


def add(door: Door) -> None:
    """Add the pages."""

    @door.get("/work", needs="see.messages")
    def work(visit: Visit) -> Page:
        """Show what waits for a person."""
        return Page("work.html", _list(visit), "Work")

    @door.get("/work/count", needs="see.messages", stirs=False)
    def count(visit: Visit) -> Page:
        """Count the tasks that are awake, for the navigation."""
        tasks = seen(visit, visit.hub.releasing().tasks.all())
        tabs = _tabs(visit, tasks)
        facts = {"count": len(tabs["all"]), "mine": len(tabs["mine"]), "mark": _mark(tasks)}
        changed = visit.query.get("mark", "") not in ("", facts["mark"])
        return Page("work_count.html", {**facts, "changed": changed}, fragment="work_count.html")

    @door.get("/work/{task}", needs="see.messages")
    def task(visit: Visit) -> Page:
        """Show one task: what waits, what there is to do, what was said and done."""
        return Page("work_task.html", _one(visit), "Work")

    @door.post("/work/{task}/assign", needs="work")
    def assign(visit: Visit) -> Answer:
        """Give a task to somebody, or back."""
        said = visit.form.get("to", "me").strip()[:100]
        to = visit.person.name if said == "me" else "" if said == "nobody" else said
        id, what = _about(visit, "work")
        if to not in ("", visit.person.name, *_people(visit, what[0])):
            raise Refused(400, "There is nobody of that name who may work on this channel.")
        visit.hub.staff.notes.assign(id, what, visit.person.name, to)
        visit.saw("work:assign", f"task/{id}", to)
        return _back(visit, id, f"Assigned to {to}." if to else "Nobody's task now.")

    @door.post("/work/{task}/snooze", needs="work")
    def snooze(visit: Visit) -> Answer:
        """Let a task sleep for a while."""
        found = next((c for c in ago_choices() if c[0] == visit.form.get("for", "")), None)
        if found is None:
            raise Refused(400, "Say for how long it shall sleep.")
        id, what = _about(visit, "work")
        text = visit.form.get("text", "").strip()[:_MOST_TEXT]
        visit.hub.staff.notes.snooze(id, what, visit.person.name, now_ms() + found[2], text)
        visit.saw("work:snooze", f"task/{id}", found[1])
        return _back(visit, id, f"It sleeps for {found[1]}.")

    @door.post("/work/{task}/wake", needs="work")
    def wake(visit: Visit) -> Answer:
        """Wake a task."""
        id, what = _about(visit, "work")
        visit.hub.staff.notes.wake(id, what, visit.person.name)
        visit.saw("work:wake", f"task/{id}")
        return _back(visit, id, "It is awake.")

    @door.post("/work/{task}/comment", needs="work")
    def comment(visit: Visit) -> Answer:
        """Say something about a task."""
        text = visit.form.get("text", "").strip()[:_MOST_TEXT]
        if not text:
            raise Refused(400, "There is nothing in the comment.")
        id, what = _about(visit, "work")
        visit.hub.staff.notes.comment(id, what, visit.person.name, text)
        visit.saw("work:comment", f"task/{id}", text)
        return _back(visit, id, "Noted.")


def _list(visit: Visit) -> dict[str, Any]:
    every = seen(visit, visit.hub.releasing().tasks.all())
    channel, cause = visit.query.get("channel", ""), visit.query.get("cause", "")
    tasks = [t for t in every if channel in ("", t.channel) and cause in ("", t.cause)]
    tabs = _tabs(visit, tasks)
    tab = visit.query.get("tab", "all") if visit.query.get("tab", "all") in tabs else "all"
    after = visit.query.get("after", "")
    start = next((n + 1 for n, t in enumerate(tabs[tab]) if t.id == after), 0)
    page = tabs[tab][start : start + _PAGE]
    return {
        "tab": tab,
        "tabs": [{"key": key, "word": word, "count": len(tabs[key])} for key, word in TABS],
        "rows": rows_of(visit, page),
        "channel": channel,
        "cause": cause,
        "channels": sorted({t.channel for t in every}),
        "more": page[-1].id if start + _PAGE < len(tabs[tab]) else "",
        "messages": sum(t.count for t in tabs[tab]),
        "mark": _mark(every),
        "releases": [
            {"number": r.number, "at": r.at, "who": r.who, "kind": r.kind, "entries": r.entries}
            | {"title": words_of(r.cause).title, "ended": r.ended is not None}
            for r in visit.hub.staff.releases.newest(5)
            if visit.may("see.messages", r.channel)
        ],
    }


def _tabs(visit: Visit, tasks: list[Task]) -> dict[str, list[Task]]:
    standing = visit.hub.staff.notes.standing([t.id for t in tasks])
    now, me, nobody = now_ms(), visit.person.name, Standing()
    found: dict[str, list[Task]] = {key: [] for key, _ in TABS}
    for t in tasks:
        how = standing.get(t.id, nobody)
        if how.asleep(now):
            found["snoozed"].append(t)
            continue
        found["all"].append(t)
        if how.assignee == me:
            found["mine"].append(t)
        elif not how.assignee:
            found["free"].append(t)
    return found


def _mark(tasks: list[Task]) -> str:
    said = " ".join(f"{t.id}{t.parked}.{t.flagged}" for t in tasks)
    return hashlib.sha256(said.encode()).hexdigest()[:12]


def task_of(visit: Visit) -> Task | None:
    """Return the task that the path names, as of now; None where nothing waits for it."""
    return visit.hub.releasing().tasks.get(visit.path["task"])


def standing_of(visit: Visit, permission: str) -> tuple[str, About, Standing]:
    """Return name, subject and standing of the task that the path names. Raises Refused."""
    id = visit.path["task"]
    how = visit.hub.staff.notes.standing([id]).get(id)
    task = task_of(visit)
    what = about(task) if task is not None else how.about if how is not None else None
    if what is None:
        past = visit.hub.staff.releases.of_task(id, 1)
        what = (past[0].channel, past[0].cause, past[0].place, past[0].gap) if past else None
    if what is None:
        raise Refused(404, "There is no such task.", "What waits is on the list: /work.")
    visit.require(permission, what[0])
    return id, what, how or Standing()


def _about(visit: Visit, permission: str) -> tuple[str, About]:
    id, what, _ = standing_of(visit, permission)
    return id, what


def _back(visit: Visit, id: str, notice: str) -> Answer:
    back = visit.form.get("back", "")
    return Goto(back if back == "/work" or back.startswith("/work?") else f"/work/{id}", notice)


def _one(visit: Visit) -> dict[str, Any]:
    id, what, standing = standing_of(visit, "see.messages")
    channel, cause, place, gap = what
    task = task_of(visit)
    readable = visit.may("see.bodies", channel)
    notes = visit.hub.staff.notes.of(id)
    past = visit.hub.staff.releases.of_task(id)
    if readable and (past or any(n.text for n in notes)):
        visit.saw("work:notes", f"task/{id}")
    row = rows_of(visit, [task])[0] if task is not None else None
    words = words_of(cause, parked=row is None or row.parked > 0)
    return {
        "id": id,
        "channel": channel,
        "cause": cause,
        "place": place,
        "gap": gap,
        "heading": words.title,
        "help": words.help,
        "desk": words.desk,
        "row": row,
        "assignee": standing.assignee,
        "until": standing.until if standing.asleep(now_ms()) else None,
        "samples": _samples(visit, task) if task is not None else [],
        "notes": [_readable(n, readable) for n in notes],
        "releases": [
            {"number": r.number, "at": r.at, "who": r.who, "kind": r.kind, "entries": r.entries}
            | {"reason": r.reason if readable else "", "ended": r.ended is not None}
            for r in past
        ],
        "people": sorted(a.name for a in visit.hub.staff.accounts.all())
        if visit.may("work", channel)
        else [],
        "form": secrets.token_hex(12),
        "naps": [(key, words) for key, words, _ in ago_choices()],
    }


def _people(visit: Visit, channel: str) -> list[str]:
    """Return who may be given work of a channel, by the names they sign in with."""
    return [a.name for a in visit.hub.staff.accounts.all() if a.person().may("work", channel)]


def _readable(note: Note, readable: bool) -> Note:
    hidden = "(a text that you may not see)" if note.text else ""
    return note if readable else Note(note.at, note.who, note.what, note.to, note.until, hidden)


def _samples(visit: Visit, task: Task) -> list[dict[str, Any]]:
    times = visit.hub.journal.search.received(task.samples)
    found = []
    for entry in task.samples:
        outcome = visit.hub.store.outcome(entry)
        flags = [f for f in outcome.flags if f.work and f.code == task.cause] if outcome else []
        said = (flags[0].where, flags[0].text) if flags else ("", "")
        if outcome is not None and outcome.status == "parked":
            said = outcome.where, outcome.text
        found.append({"entry": entry, "received": times.get(entry), "where": said[0], "text": said[1]})
    return found
